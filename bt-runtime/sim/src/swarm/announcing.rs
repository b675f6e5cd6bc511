//! The tracker clients of peers, where the scenario has announces go through them: every peer's own, as its profile has
//! them, asked by the code that asks them in a real client ([`bt_runtime::trackers`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use bt_api::Announce;
use bt_api::contain::contain;
use bt_engine::Target;
use bt_runtime::Profile;
use bt_runtime::store::pool::BufferPool;
use bt_runtime::trackers::{Panicked, Trackers};

use super::executor::{Clock, Life};
use super::host::VirtualHost;
use super::ip_of;
use super::network::Network;
use super::plugins::{News, NewsDesk};
use super::tracker::server::Server;
use crate::scenario::{Announces, Scenario};

/// Who announces, and the tracker's place on the network.
pub(super) struct Announcing {
    clock: Arc<Clock>,
    network: Arc<Network>,
    news: NewsDesk,
    /// By node.
    peers: BTreeMap<u32, Peer>,
    /// The tracker's.
    life: Life,
}

/// The clients of a peer.
struct Peer {
    trackers: Arc<Trackers>,
    /// What is begun for it ends with it.
    life: Life,
}

impl Announcing {
    /// The announces of `scenario`, if they go through clients.
    pub(super) fn new(
        scenario: &Scenario,
        seed: u64,
        clock: &Arc<Clock>,
        network: &Arc<Network>,
        news: &NewsDesk,
    ) -> Option<Self> {
        let life = Life::new();
        match &scenario.tracker.announces {
            Announces::Directly => return None,
            Announces::To(url) => {
                Server::open(url, &scenario.tracker.down, seed, (network, clock, news), life.over());
            }
            Announces::ToSources => {}
        }
        let (clock, network, news) = (clock.clone(), network.clone(), news.clone());
        Some(Self { clock, network, news, peers: BTreeMap::new(), life })
    }

    /// Makes the clients of a new peer; answers with the names of those that have no URL.
    pub(super) fn enter(&mut self, node: u32, profile: &Profile) -> Vec<String> {
        // A client has no use for payload, so for buffers.
        let pool = BufferPool::new(0);
        let host = VirtualHost::new(self.clock.clone(), pool, self.network.clone(), ip_of(node));
        let clients = match contain(|| profile.new_trackers()) {
            Ok(clients) => clients,
            Err(said) => {
                self.news.put(node, News::Broke(said));
                return Vec::new();
            }
        };
        let trackers = Trackers::new(clients, host, profile.settings.announce.timeout.get(), || None);
        let sources = trackers.sources();
        self.peers.insert(node, Peer { trackers, life: Life::new() });
        sources
    }

    /// Listens to those clients of `node` that hear of peers unasked, and introduces the torrent to them.
    pub(super) fn listen(&self, node: u32, introduction: &Announce) {
        let Some(peer) = self.peers.get(&node) else { return };
        for number in 0..peer.trackers.count() {
            let (trackers, announce, news) = (peer.trackers.clone(), introduction.clone(), self.news.clone());
            let listening = async move {
                let tell = |name, peers| {
                    news.put(node, News::Heard(name, peers));
                    std::future::ready(true)
                };
                if let Err(Panicked(said)) = trackers.listen_to(number, &announce, tell).await {
                    news.put(node, News::Broke(said));
                }
            };
            self.clock.start(peer.life.over().bound(listening));
        }
    }

    /// Has `node` announce.
    pub(super) fn ask(&self, node: u32, tag: u64, target: Target, announce: Box<Announce>) {
        let Some(peer) = self.peers.get(&node) else { return };
        let (trackers, news) = (peer.trackers.clone(), self.news.clone());
        let asking = async move {
            news.put(
                node,
                match trackers.announce(&target, &announce).await {
                    Ok(result) => News::Announced(tag, result.map(Box::new)),
                    Err(Panicked(said)) => News::Broke(said),
                },
            );
        };
        self.clock.start(peer.life.over().bound(asking));
    }

    /// `node` is gone, and with it what its clients are at.
    pub(super) fn leave(&mut self, node: u32) {
        self.peers.remove(&node);
    }

    /// Everyone is gone, and the tracker too: the run is over.
    pub(super) fn end(&mut self) {
        self.peers.clear();
        self.life = Life::new();
    }
}
