//! The engine: dispatch of inputs, and the state that its parts share.
//!
//! Each part is an `impl Engine` in a file of its own: [`peers`](self) (who is connected), `requests` (what is
//! asked of whom), `pieces` (what becomes of whole pieces), `uploads` (who gets the next block), `chokes`
//! (rounds of the choke policy), `announces` (when trackers are asked), `guard` (who sent bad data), `fast` (the
//! extension that says no), `shown` (what peers are told of our pieces).
//! After each input, what became due because of it is done: interest, requests, a round, uploads.

mod announces;
mod chokes;
mod fast;
mod guard;
mod peers;
mod pieces;
mod places;
mod plugged;
mod requests;
mod shown;
mod uploads;

use std::collections::VecDeque;
use std::sync::Arc;

use bt_api::rng::Generator;
use bt_api::{
    BlockRef, ChokePolicy, InfoHash, Instant, OwnFacts, PeerEvent, PeerFacts, PeerId, PeerKey, PiecePolicy,
    PieceSet, PieceView, Pieces, RequestQueue, Share, SwarmView, rng,
};

use crate::event::Event;
use crate::io::{Input, Output};
use crate::rate::{Meter, TimeLeft};
use crate::settings::Settings;
use crate::status::{PeerStatus, Stall, Status};
use crate::wire::Message;

use announces::Announcer;
use guard::Guard;
use peers::{Connection, Peers};
use pieces::Trouble;
use places::Places;
use plugged::Plugged;
use uploads::Uplink;

/// All that an engine is made of.
pub struct EngineSetup {
    /// The profile's tables that are not a plug-in's.
    pub settings: Arc<Settings>,
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who we are.
    pub peer_id: PeerId,
    /// The port at which we listen.
    pub port: u16,
    /// The torrent's length in bytes.
    pub total_length: u64,
    /// The length of every piece but the last, in bytes.
    pub piece_length: u32,
    /// The pieces that are verified and stored.
    pub have: PieceSet,
    /// Blocks of other pieces that an earlier run wrote. Those that fit are taken for received: the driver keeps the
    /// same ones, which [`Engine::piece_view`] tells.
    pub partial: Vec<BlockRef>,
    /// Tiers of tracker URLs (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// The names of the profile's peer sources that have no URL, in order; none for a private torrent (BEP 27).
    pub sources: Vec<String>,
    /// The choke policy and its name.
    pub choke: (String, Box<dyn ChokePolicy>),
    /// The piece policy and its name.
    pub piece: (String, Box<dyn PiecePolicy>),
    /// The run's seed, and this client's number in it: 0 outside a simulation.
    pub seed: u64,
    /// See [`Self::seed`].
    pub node: u64,
    /// Whether entries for the event log are wanted.
    pub log: bool,
}

/// After so long without a block that was asked for, a user is told.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// One torrent of one client, as a state machine.
///
/// Feed [`handle`](Self::handle), then drain [`poll_output`](Self::poll_output) until it is empty; when
/// [`next_wakeup`](Self::next_wakeup) has come, feed [`Input::Wakeup`]. It never blocks and never panics
/// because of what comes in.
pub struct Engine {
    settings: Arc<Settings>,
    now: Instant,
    log: bool,
    phase: Phase,
    outputs: VecDeque<Output>,

    own: OwnFacts,
    /// The connected peers, sorted; `facts`, `connections` and `queues` run parallel to it.
    keys: Vec<PeerKey>,
    /// What policies see of each.
    facts: Vec<PeerFacts>,
    connections: Vec<Connection>,
    due: Due,
    queues: Vec<RequestQueue>,
    peers: Peers,

    pieces: Pieces,
    total_length: u64,
    /// Draws the order of pieces inside a level of availability, and other orders that are the engine's.
    rng: Generator,
    choke: Plugged<dyn ChokePolicy>,
    picker: Plugged<dyn PiecePolicy>,
    endgame: bool,
    /// Whether the endgame began during this input.
    endgame_began: bool,
    /// Whether the choke policy asked for a round when it was told of something.
    round_wanted: bool,
    uplink: Uplink,
    trouble: Trouble,
    guard: Guard,
    announcer: Announcer,

    total_down: Meter,
    time_left: TimeLeft,
    wasted: u64,
    hash_failures: u64,
    /// When the rates of connections are logged next.
    rates_due: Instant,
}

/// What is to be done about connected peers at the end of an input.
#[derive(Default)]
struct Due {
    /// Whose interest is to be looked at again.
    unsettled: Places,
    /// Who may have room for requests.
    hungry: Places,
    /// Of whom the policy asked nothing although something was useful: it may do so when something changed.
    held_off: Places,
    /// Who waits for a block, and has a socket that takes one.
    waiting: Places,
}

impl Due {
    /// See [`Places::came`].
    fn came(&mut self, at: usize) {
        self.all().into_iter().for_each(|places| places.came(at));
    }

    /// See [`Places::left`].
    fn left(&mut self, at: usize) {
        self.all().into_iter().for_each(|places| places.left(at));
    }

    fn clear(&mut self) {
        self.all().into_iter().for_each(Places::clear);
    }

    fn all(&mut self) -> [&mut Places; 4] {
        [&mut self.unsettled, &mut self.hungry, &mut self.held_off, &mut self.waiting]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before [`Engine::start`].
    New,
    Running,
    /// Stop was asked for; the last announce is under way.
    Stopping,
    /// Stopped, or failed.
    Over,
}

impl Engine {
    /// An engine at rest; [`start`](Self::start) sets it going.
    pub fn new(setup: EngineSetup) -> Self {
        let EngineSetup { settings, seed, node, .. } = setup;
        let mut own_rng = rng::stream(seed, node, "engine");
        let block = settings.requests.block_size.0.clamp(1, u64::from(u32::MAX)) as u32;
        let mut pieces = Pieces::new(setup.total_length, setup.piece_length, block, setup.have, &mut own_rng);
        let fits = |block: &BlockRef| pieces.restore(*block);
        let restored: u64 = setup.partial.into_iter().filter(fits).map(|block| u64::from(block.length)).sum();
        let own = {
            let mut own = OwnFacts::default();
            // SW-7.
            own.is_seed = pieces.left() == 0;
            own.piece_length = setup.piece_length;
            own.upload_limit = settings.net.upload_limit.get().map(|rate| rate.0);
            own.estimator = settings.rate.estimator.name();
            own
        };
        let announcer = Announcer::new(
            setup.trackers,
            setup.sources,
            setup.info_hash,
            setup.port,
            &settings,
            &mut own_rng,
        );
        let down_fudge = settings.rate.download_fudge.get();
        Self {
            now: Instant::ZERO,
            log: setup.log,
            phase: Phase::New,
            outputs: VecDeque::new(),
            keys: Vec::new(),
            facts: Vec::new(),
            connections: Vec::new(),
            due: Due::default(),
            queues: Vec::new(),
            peers: Peers::new(setup.peer_id),
            time_left: TimeLeft::new(&settings.rate, pieces.left() - restored),
            total_down: Meter::new(&settings.rate, Instant::ZERO, down_fudge),
            uplink: Uplink::new(&settings, own.upload_limit, Instant::ZERO),
            choke: Plugged::new(setup.choke, rng::stream(seed, node, "choke")),
            picker: Plugged::new(setup.piece, rng::stream(seed, node, "piece")),
            rng: own_rng,
            own,
            pieces,
            total_length: setup.total_length,
            endgame: false,
            endgame_began: false,
            round_wanted: false,
            trouble: Trouble::default(),
            guard: Guard::default(),
            announcer,
            wasted: 0,
            hash_failures: 0,
            rates_due: Instant::ZERO,
            settings,
        }
    }

    /// Begins at `now`: announces, and starts every clock.
    pub fn start(&mut self, now: Instant) {
        if self.phase != Phase::New {
            return;
        }
        self.now = now;
        self.phase = Phase::Running;
        self.total_down = Meter::new(&self.settings.rate, now, self.settings.rate.download_fudge.get());
        self.uplink.start(now, &self.settings);
        self.peers.start(now, &self.settings.peers);
        self.begin_announcing();
        self.settle();
    }

    /// Lends the piece policy the counts of the whole swarm, which a simulator knows.
    pub fn set_oracle(&mut self, oracle: bt_api::Oracle) {
        self.pieces.set_oracle(Some(oracle));
    }

    /// A key for a connection that came in.
    pub fn new_peer(&mut self) -> PeerKey {
        self.peers.new_key()
    }

    /// Takes one input at `now`; time never runs backwards here, whatever `now` says.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match self.phase {
            Phase::Over | Phase::New => {
                match input {
                    Input::Incoming { peer, .. } => self.turn_away(peer),
                    Input::Block { tag, .. } => self.outputs.push_back(Output::Drop { tag }),
                    _ => {}
                }
                return;
            }
            Phase::Stopping => {
                match input {
                    Input::Announced { tag, result } => self.announced(tag, result),
                    Input::Incoming { peer, .. } => self.turn_away(peer),
                    Input::Block { tag, .. } => self.outputs.push_back(Output::Drop { tag }),
                    // What was on its way to the disk counts.
                    Input::Finished { piece, result } => self.finished(piece, result),
                    _ => {}
                }
                self.stop_when_told();
                return;
            }
            Phase::Running => {}
        }
        match input {
            Input::Wakeup => self.wake(),
            Input::Incoming { peer, address } => self.incoming(peer, address),
            Input::Fast { peer } => self.agreed_on_fast(peer),
            Input::Handshake { peer, id } => self.handshake(peer, id),
            Input::Message { peer, message } => self.message(peer, message),
            Input::Block { peer, block, tag } => self.block(peer, block, tag),
            Input::Alive { peer } => {
                if let Some(at) = self.at(peer) {
                    self.connections[at].last_read = self.now;
                }
            }
            Input::Closed { peer, reason } => self.gone(peer, reason),
            Input::Uploaded { peer, block, result } => self.uploaded(peer, block, result),
            Input::Finished { piece, result } => self.finished(piece, result),
            Input::Announced { tag, result } => self.announced(tag, result),
            Input::Peers { source, peers } => self.told_of(source, peers),
            Input::UploadLimit(limit) => self.set_upload_limit(limit),
            Input::Playhead(piece) => {
                if piece.0 < self.pieces.count() {
                    self.pieces.set_playhead(piece);
                    self.requests_may_change();
                }
            }
            Input::Stop => self.stop(),
        }
        if self.phase == Phase::Running {
            self.settle();
        }
    }

    /// Exchanges the list of things to be done, in order, for `into`, which is empty: its memory is used from then on.
    /// What [`poll_output`](Self::poll_output) gives one by one, for a driver of many engines.
    pub fn take_outputs(&mut self, into: &mut VecDeque<Output>) {
        std::mem::swap(&mut self.outputs, into);
    }

    /// The next thing to be done, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() {
            // Back to the beginning of its memory, which is in the processor's cache.
            self.outputs.clear();
        }
        next
    }

    /// When [`Input::Wakeup`] is wanted next, if ever (after RS-1 to RS-3).
    pub fn next_wakeup(&self) -> Option<Instant> {
        let next = match self.phase {
            Phase::New | Phase::Over => return None,
            Phase::Stopping => self.announcer.deadline(),
            Phase::Running => [
                self.choke.due(),
                self.picker.due(),
                self.peers.next_clock(),
                self.uplink.resumes(),
                self.trouble.retry_at(),
                self.announcer.next_clock(),
            ]
            .into_iter()
            .min()
            .unwrap_or(Instant::NEVER),
        };
        (next != Instant::NEVER).then_some(next)
    }

    /// The pieces that are verified and stored.
    pub fn have(&self) -> &PieceSet {
        self.pieces.have()
    }

    /// The connected peers and ourselves, as policies see them.
    pub fn swarm(&self) -> SwarmView<'_> {
        SwarmView::new(&self.own, &self.facts)
    }

    /// The pieces, as policies see them.
    pub fn piece_view(&self) -> PieceView<'_> {
        PieceView::new(&self.pieces, self.swarm(), self.endgame)
    }

    /// How the choke policy rations the upload to `peer`.
    pub fn share(&self, peer: PeerKey) -> Share {
        self.at(peer).map_or(Share::Equal, |at| self.connections[at].share)
    }

    /// How many answers of policies were wrong and left out, since the start.
    pub fn policy_violations(&self) -> u64 {
        self.choke.violations + self.picker.violations
    }

    /// The first wrong answer of a policy, in one line with its name, when it is news.
    pub fn take_violation(&mut self) -> Option<String> {
        self.choke.take_first_wrong().or_else(|| self.picker.take_first_wrong())
    }

    /// What a user is shown at `now`.
    pub fn status(&mut self, now: Instant) -> Status {
        let now = self.now.max(now);
        Status {
            complete: self.own.is_seed,
            bytes_total: self.total_length,
            bytes_have: self.total_length - self.pieces.left(),
            downloaded: self.own.downloaded,
            uploaded: self.own.uploaded,
            wasted: self.wasted,
            hash_failures: self.hash_failures,
            peers: self.facts.len(),
            seeds: self.facts.iter().filter(|peer| peer.is_seed()).count(),
            dialing: self.peers.pending(),
            peers_seen: self.peers.seen(),
            download_rate: self.total_down.current(now) as u64,
            upload_rate: self.uplink.rate(now),
            time_left: self.time_left(now),
            endgame: self.endgame && !self.own.is_seed,
            stall: self.stall(now),
            tracker_trouble: self.announcer.trouble(),
        }
    }

    fn time_left(&mut self, now: Instant) -> Option<std::time::Duration> {
        if self.own.is_seed {
            return None;
        }
        let seconds = self.time_left.time_left(now.as_secs_f64())?;
        std::time::Duration::try_from_secs_f64(seconds).ok()
    }

    /// The connected peers at `now`, in the order in which they connected.
    pub fn peers(&self, now: Instant) -> Vec<PeerStatus> {
        let now = self.now.max(now);
        let both = self.facts.iter().zip(&self.connections);
        both.map(|(facts, connection)| PeerStatus {
            address: facts.address,
            id: connection.id,
            incoming: facts.incoming,
            seed: facts.is_seed(),
            unchoked: connection.reason.filter(|_| !facts.am_choking),
            peer_interested: facts.peer_interested,
            peer_choking: facts.peer_choking,
            am_interested: facts.am_interested,
            snubbed: facts.snubbed,
            downloaded: facts.downloaded,
            uploaded: facts.uploaded,
            download_rate: connection.down.current(now) as u64,
            upload_rate: connection.up.current(now) as u64,
        })
        .collect()
    }

    fn stall(&self, now: Instant) -> Option<Stall> {
        if let Some(stall) = self.trouble.stall() {
            return Some(stall);
        }
        if self.own.is_seed {
            return self.facts.is_empty().then_some(Stall::NoPeers);
        }
        if self.facts.is_empty() {
            return Some(if self.peers.pending() > 0 { Stall::Dialing } else { Stall::NoPeers });
        }
        if self.facts.iter().any(|peer| peer.requested > 0) {
            let asked = self.connections.iter().filter_map(|connection| connection.active.first());
            let received = self.facts.iter().filter_map(|facts| facts.last_received);
            let latest = asked.map(|active| active.at).chain(received).max().unwrap_or(now);
            return (now.since(latest) > PATIENCE).then_some(Stall::NothingComes);
        }
        if !self.facts.iter().any(|peer| peer.am_interested) {
            return Some(Stall::NothingToGet);
        }
        let choked = self.facts.iter().all(|peer| !peer.am_interested || peer.peer_choking);
        choked.then_some(Stall::AllChoke)
    }

    // What the parts share.

    fn at(&self, peer: PeerKey) -> Option<usize> {
        self.keys.binary_search(&peer).ok()
    }

    fn send(&mut self, at: usize, message: Message) {
        self.outputs.push_back(Output::Send { peer: self.facts[at].key, message });
    }

    /// Writes an entry, made only when entries are wanted.
    fn event(&mut self, event: impl FnOnce(&Self) -> Event) {
        if self.log {
            let event = event(self);
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Tells the choke policy, and remembers when it wants a round.
    fn notice_choke(&mut self, event: PeerEvent<'_>) {
        let swarm = SwarmView::new(&self.own, &self.facts);
        let now = self.now;
        let notice =
            self.choke.call(bt_api::Notice::Nothing, |policy, rng| policy.notice(now, event, &swarm, rng));
        self.round_wanted |= notice == bt_api::Notice::Rechoke;
    }

    fn notice_picker(&mut self, event: bt_api::PieceEvent) {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.facts), self.endgame);
        let now = self.now;
        self.picker.call((), |policy, rng| policy.notice(now, event, &view, rng));
    }

    /// Whatever clock has come, always in this order (RS-7).
    fn wake(&mut self) {
        if self.picker.due() <= self.now {
            // Not again in this instant, whatever the policy says.
            self.picker.put_off(self.now + std::time::Duration::from_millis(1));
            (0..self.facts.len()).rev().for_each(|at| self.advertise(at));
            self.requests_may_change();
        }
        self.watch_peers();
        self.retry_store();
        self.watch_trackers();
    }

    /// Does what the last input made due (after DL-5). No step makes an earlier one due, but that serving closes whoever
    /// asked for what is not there, for which the policy may want a round.
    fn settle(&mut self) {
        loop {
            self.settle_rounds();
            self.serve();
            if !self.round_wanted {
                break;
            }
        }
        self.settle_requests();
        self.settle_interest();
        self.choke.look_at_clock(|policy| policy.next_round());
        self.picker.look_at_clock(|policy| policy.next_wakeup().unwrap_or(Instant::NEVER));
        let died = self.choke.take_death().or_else(|| self.picker.take_death());
        if let Some(message) = died {
            self.fail(message);
        }
    }

    /// A plug-in broke: this torrent ends, the process goes on.
    fn fail(&mut self, message: String) {
        self.close_everyone();
        self.outputs.push_back(Output::Failed { message });
        self.outputs.push_back(Output::Stopped);
        self.phase = Phase::Over;
    }

    /// The store cannot go on by itself: this torrent stops as when it is told to (DN-6).
    fn give_up(&mut self, error: &bt_api::StorageError) {
        if self.phase == Phase::Running {
            self.outputs.push_back(Output::Failed { message: error.to_string() });
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.close_everyone();
        self.phase = Phase::Stopping;
        self.announce_stopped();
        self.stop_when_told();
    }

    fn stop_when_told(&mut self) {
        if self.announcer.is_quiet(self.now) {
            self.phase = Phase::Over;
            self.outputs.push_back(Output::Stopped);
        }
    }
}
