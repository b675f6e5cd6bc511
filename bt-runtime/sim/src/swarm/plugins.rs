//! Plug-ins that wait, as part of a swarm: what engines want of them, and what becomes of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bt_api::{
    AnnounceReply, Block, Instant, PeerAddress, PeerKey, StorageError, StorageErrorKind, TorrentStore,
    TrackerError,
};
use bt_engine::{Event, Input, Output};
use bt_runtime::store::assembly::Done;

use super::announcing::Announcing;
use super::comings::INFO_HASH;
use super::executor::{Clock, Executor};
use super::network::Network;
use super::stores::{Item, Stores};
use super::tracker::server::Asked;
use super::wires::{Mail, SHORTEST};
use super::{Swarm, node_at};
use crate::scenario::{Announces, Scenario};

/// What plug-ins have to tell.
pub(super) enum News {
    /// A peer's store is open and holds what the peer comes with; or why not.
    Opened(Result<Arc<dyn TorrentStore>, StorageError>),
    /// The job of a piece is done.
    Done(Box<Done>),
    /// A plug-in of the peer panicked: its name, and what it said.
    Broke(String),
    /// What was read to be sent, by the number of its reading.
    Read(PeerKey, u64, Result<Block, StorageError>),
    /// The store could not do this, and nobody waits for it.
    Trouble(StorageError),
    /// The peer cannot go on without its store.
    GaveUp,
    /// A tracker client answered the announce of this tag.
    Announced(u64, Result<Box<AnnounceReply>, TrackerError>),
    /// The client of this name heard of peers unasked.
    Heard(String, Vec<PeerAddress>),
    /// The peer asks the tracker.
    Asked(Asked),
}

/// News of peers, in order.
#[derive(Clone, Default)]
pub(super) struct NewsDesk(Arc<Mutex<VecDeque<(u32, News)>>>);

impl NewsDesk {
    pub(super) fn put(&self, node: u32, news: News) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((node, news));
    }

    fn take(&self) -> Option<(u32, News)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The plug-ins of a run that wait.
pub(super) struct Plugins {
    clock: Arc<Clock>,
    executor: Executor,
    news: NewsDesk,
    /// When the agenda lets sleepers wake.
    wakes_at: Option<Instant>,
    /// If the content has bytes.
    stores: Option<Stores>,
    /// If announces go through clients.
    announcing: Option<Announcing>,
}

impl Plugins {
    /// Those of `scenario`, if it has any.
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Option<Box<Self>> {
        if !scenario.content.payload && matches!(scenario.tracker.announces, Announces::Directly) {
            return None;
        }
        let (clock, news) = (Arc::<Clock>::default(), NewsDesk::default());
        let network = Network::new(clock.clone(), scenario.network.delay.max(SHORTEST));
        let announcing = Announcing::new(scenario, seed, &clock, &network, &news);
        let stores = || Stores::new(scenario, seed, clock.clone(), network, news.clone());
        Some(Box::new(Self {
            executor: Executor::new(clock.clone()),
            stores: scenario.content.payload.then(stores),
            announcing,
            clock,
            news,
            wakes_at: None,
        }))
    }

    /// The entry of the agenda that lets sleepers wake is worked off.
    pub(super) fn woken(&mut self) {
        self.wakes_at = None;
    }

    /// The run is over: clients are dropped, and every store is closed, however long that takes. `class` is that of a peer.
    fn end<'a>(&mut self, class: impl Fn(u32) -> &'a str) -> Result<(), String> {
        if let Some(announcing) = &mut self.announcing {
            announcing.end();
        }
        if let Some(stores) = &mut self.stores {
            stores.leave_all();
        }
        let mut now = self.clock.now();
        loop {
            self.executor.run(now)?;
            match self.news.take() {
                Some((node, News::Done(done))) => {
                    _ = self.stores.as_mut().map(|stores| stores.done(node, now, *done));
                }
                Some((node, News::Broke(message))) => return Err(broke(class(node), node, now, &message)),
                Some(_) => {}
                None => match self.executor.next_at() {
                    Some(next) => now = next,
                    None => return Ok(()),
                },
            }
        }
    }
}

impl Swarm<'_> {
    /// The stores of peers, if the content has bytes.
    pub(super) fn stores(&mut self) -> Option<&mut Stores> {
        self.plugins.as_mut()?.stores.as_mut()
    }

    /// The tracker clients of peers, if announces go through them.
    pub(super) fn announcing(&mut self) -> Option<&mut Announcing> {
        self.plugins.as_mut()?.announcing.as_mut()
    }

    /// `node` is gone: its clients are dropped, its store is closed.
    pub(super) fn plugins_leave(&mut self, node: u32) {
        if let Some(announcing) = self.announcing() {
            announcing.leave(node);
        }
        if let Some(stores) = self.stores() {
            stores.leave(node);
        }
    }

    /// Opens the store of `node`, which takes part from then on.
    pub(super) fn open_store(&mut self, node: u32) {
        let scenario = self.scenario;
        let Some(engine) = &self.nodes[node as usize].engine else { return };
        let have = engine.have().clone();
        let profile = &scenario.groups[self.nodes[node as usize].group].profile;
        if let Some(stores) = self.stores() {
            stores.open(node, profile, INFO_HASH, have);
        }
    }

    /// Carries out what the engine of `node` wants of its store.
    pub(super) fn use_store(&mut self, node: u32, output: Output) {
        let Some(stores) = self.stores() else { return };
        match output {
            Output::Upload { peer, block } => stores.read(node, peer, block),
            Output::Keep { tag, block } => stores.take(node, tag.0, block),
            Output::Drop { tag } => stores.drop_block(node, tag.0),
            Output::Finish { piece, digests } => {
                _ = stores.assembly(node).map(|all| all.finish(piece, digests))
            }
            Output::Discard { piece } => _ = stores.assembly(node).map(|all| all.discard(piece)),
            _ => unreachable!("nothing else is of the store"),
        }
    }

    /// The engine of `node` stops by itself: because of its store, or else somebody made a mistake.
    pub(super) fn failed(&mut self, node: u32, message: &str) {
        let is_store = self.stores().is_some_and(|stores| stores.is_cause(node, message));
        match self.plugins.as_mut().filter(|_| is_store) {
            Some(plugins) => plugins.news.put(node, News::GaveUp),
            None => self.broke(node, message),
        }
    }

    /// A plug-in of `node` cannot go on, or its answers count for nothing.
    pub(super) fn broke(&mut self, node: u32, message: &str) {
        let class = &self.scenario.groups[self.nodes[node as usize].group].name;
        self.checks.plugin(broke(class, node, self.now, message));
    }

    /// Lets plug-ins do what they can do now.
    pub(super) fn run_plugins(&mut self) {
        while let Some(plugins) = &mut self.plugins {
            if let Err(message) = plugins.executor.run(self.now) {
                return self.checks.plugin(message);
            }
            match plugins.news.take() {
                Some((node, news)) => self.heard(node, news),
                None => break,
            }
        }
        let Some(plugins) = &mut self.plugins else { return };
        if let Some(at) = plugins.executor.next_at()
            && plugins.wakes_at.is_none_or(|earlier| at < earlier)
        {
            plugins.wakes_at = Some(at);
            self.post_at(at, 0, Mail::Sleepers);
        }
    }

    fn heard(&mut self, node: u32, news: News) {
        match news {
            News::Opened(Ok(store)) => {
                if let Some(stores) = self.stores() {
                    stores.opened(node, store);
                }
                self.take_part(node);
            }
            News::Opened(Err(error)) => {
                self.trouble(node, error);
                self.give_up(node);
                self.stopped(node);
            }
            News::Done(done) => {
                let now = self.now;
                let Some(stores) = self.stores() else { return };
                if let Some((piece, result)) = stores.done(node, now, *done) {
                    self.feed(node, Input::Finished { piece, result });
                }
                if self.nodes[node as usize].complete
                    && let Some(stores) = self.stores()
                {
                    stores.keep(node);
                }
            }
            News::Broke(message) => self.broke(node, &message),
            News::Read(peer, number, bytes) => {
                if let Some(stores) = self.stores() {
                    stores.was_read(node, peer, number, bytes);
                }
                self.send_what_was_read(node, peer);
            }
            News::Trouble(error) => self.trouble(node, error),
            // It may have left meanwhile.
            News::GaveUp if !self.nodes[node as usize].present => {}
            News::GaveUp => self.give_up(node),
            News::Announced(tag, result) => self.feed(node, Input::Announced { tag, result }),
            News::Heard(source, peers) => self.feed(node, Input::Peers { source, peers }),
            News::Asked(asked) => self.answer(node, asked),
        }
    }

    /// Answers what `node` asked the tracker. It may wait no longer.
    fn answer(&mut self, node: u32, asked: Asked) {
        let Self { tracker, nodes, .. } = self;
        match asked {
            Asked::Announce { announce, ids, answer } => {
                let mut reply = tracker.announce(node, &announce, &mut nodes[node as usize].named);
                for peer in reply.peers.iter_mut().filter(|_| ids) {
                    peer.id = node_at(peer.address).map(|named| nodes[named as usize].id);
                }
                let _ = answer.send(reply);
            }
            Asked::Scrape(answer) => _ = answer.send(tracker.counts()),
        }
    }

    /// Tells the event log of an error of which no engine knows.
    fn trouble(&mut self, node: u32, error: StorageError) {
        let Some(stores) = self.stores() else { return };
        let error = stores.told_anywhere(node, error);
        let (kind, message) = (error.kind().to_string(), error.to_string());
        self.observe(node, &Event::StorageError { piece: None, kind, message });
    }

    /// Sends blocks whose bytes are here, and what waits between them.
    fn send_what_was_read(&mut self, node: u32, peer: PeerKey) {
        while let Some(item) = self.stores().and_then(|stores| stores.next_to_send(node, peer)) {
            match item {
                Item::Message(message) => self.pass_on(node, peer, message),
                Item::Block(block, _, Some(Ok(bytes))) => {
                    let receiver = self.nodes[node as usize]
                        .open(peer)
                        .map(|connection| (connection.other, connection.there));
                    if let (Some((to, Some(there))), Some(stores)) = (receiver, self.stores()) {
                        stores.fly(to, there, block, bytes);
                        self.upload(node, peer, block);
                    }
                }
                Item::Block(block, _, Some(Err(error))) => {
                    let Some(stores) = self.stores() else { return };
                    let result = Err(stores.told_anywhere(node, error));
                    self.feed(node, Input::Uploaded { peer, block, result });
                }
                Item::Block(_, _, None) => unreachable!("it is not sent before it is read"),
            }
        }
    }

    /// Tells whose stores hang: that is why nobody waits for them.
    pub(super) fn tell_silent_stores(&mut self) -> Vec<String> {
        let now = self.now;
        let silent = self.stores().map(|stores| stores.silent(now)).unwrap_or_default();
        let tell = |(node, silence): (u32, String)| {
            let (kind, message) = (StorageErrorKind::Other.to_string(), silence);
            self.observe(node, &Event::StorageError { piece: None, kind, message: message.clone() });
            format!("peer {node}: {message}")
        };
        silent.into_iter().map(tell).collect()
    }

    /// Drops all clients and closes all stores.
    pub(super) fn end_plugins(&mut self) {
        let (nodes, groups) = (&self.nodes, &self.scenario.groups);
        let class = |node: u32| groups[nodes[node as usize].group].name.as_str();
        if let Some(Err(message)) = self.plugins.as_mut().map(|plugins| plugins.end(class)) {
            self.checks.plugin(message);
        }
    }
}

/// A plug-in of `node`, which is of `class`, cannot go on, at `now`.
pub(super) fn broke(class: &str, node: u32, now: Instant, message: &str) -> String {
    format!("peer {node} ({class}) at {} s: {message}", now.as_secs_f64())
}
