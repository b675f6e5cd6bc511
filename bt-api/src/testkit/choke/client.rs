//! A client around one choker: it tells the policy what an engine would, and carries out its answers.

use std::collections::BTreeSet;

use crate::block::PieceIndex;
use crate::choke::{
    Cause, ChokePolicy, Notice, PeerEvent, Reason, RequestQueue, Serve, Share, Unchoke, Unchokes, Waiting,
};
use crate::rng::{self, Generator, Rng};
use crate::testkit::Broken;
use crate::time::Instant;
use crate::view::{OwnFacts, PeerFacts, PeerKey, SwarmView};

/// The closed list of reasons.
const REASONS: [Reason; 6] = [
    Reason::DOWNLOAD_RATE,
    Reason::UPLOAD_RATE,
    Reason::OPTIMISTIC,
    Reason::UNINTERESTED,
    Reason::RANDOM,
    Reason::EVERYONE,
];

/// One client with a choker, and what is known of its peers.
///
/// As an engine does, it calls one method at a time, runs a round when a notice asks for it, and leaves out
/// what breaks a promise. A promise that is broken fails the test at once.
pub struct Client<P> {
    /// The policy.
    pub policy: P,
    /// What is known of ourselves.
    pub own: OwnFacts,
    /// How many pieces the torrent has, of [`OwnFacts::piece_length`] each.
    pub pieces: u32,
    /// The connected peers, by key.
    pub peers: Vec<PeerFacts>,
    /// The time.
    pub now: Instant,
    /// What each round so far answered.
    pub log: Vec<Vec<Unchoke>>,
    /// Every other answer.
    pub(super) answers: Vec<Answer>,
    /// What broke, where it is recorded and no reason to fail.
    pub(super) recorded: Option<Vec<Broken>>,
    /// What the policy draws from.
    pub rng: Generator,
}

/// What a policy answered, besides its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Notice(Notice),
    Serve(Serve),
    NextRound(Instant),
}

impl<P: ChokePolicy> Client<P> {
    /// A client at the start of its run, without peers, whose policy draws from `seed`: one that wants a round
    /// at once gets it. The torrent is a single piece of one block, until a test says otherwise.
    pub fn new(policy: P, seed: u64) -> Self {
        let mut client = Self::before_the_start(policy, seed, None);
        client.start();
        client
    }

    /// One that records what breaks and goes on; it is yet to [`start`](Self::start).
    pub(super) fn recording(policy: P, seed: u64) -> Self {
        Self::before_the_start(policy, seed, Some(Vec::new()))
    }

    fn before_the_start(policy: P, seed: u64, recorded: Option<Vec<Broken>>) -> Self {
        let own = OwnFacts { piece_length: 1 << 14, estimator: "window", ..OwnFacts::default() };
        Self {
            policy,
            own,
            pieces: 1,
            peers: Vec::new(),
            now: Instant::ZERO,
            log: Vec::new(),
            answers: Vec::new(),
            recorded,
            rng: rng::stream(seed, 0, "choke"),
        }
    }

    pub(super) fn start(&mut self) {
        if self.policy.next_round() <= self.now {
            self.round(Cause::Timer);
        }
    }

    pub(super) fn broke(&mut self, promise: &'static str, how: String) {
        match &mut self.recorded {
            Some(recorded) => recorded.push(Broken { promise, how }),
            None => panic!("{how}"),
        }
    }

    /// Connects `peer`, which connected to us, has nothing and wants nothing.
    pub fn connect(&mut self, peer: PeerKey) {
        self.insert(peer);
        self.event(PeerEvent::Connected(peer));
    }

    /// As [`connect`](Self::connect); the policy draws from `rng`.
    pub fn connect_with(&mut self, peer: PeerKey, rng: &mut dyn Rng) {
        self.insert(peer);
        self.event_with(PeerEvent::Connected(peer), rng);
    }

    fn insert(&mut self, peer: PeerKey) {
        let facts = PeerFacts::new(peer, ([192, 0, 2, 1], 6881).into(), true, self.now, self.pieces);
        let place = self.peers.partition_point(|one| one.key < peer);
        self.peers.insert(place, facts);
    }

    /// `peer` is gone.
    ///
    /// # Panics
    /// When it was not connected; so do all methods that name a peer.
    pub fn leave(&mut self, peer: PeerKey) {
        let place = self.peers.iter().position(|one| one.key == peer).expect("connected");
        let gone = self.peers.remove(place);
        self.event(PeerEvent::Gone(&gone));
    }

    /// `peer` is interested from now on, or not.
    pub fn interest(&mut self, peer: PeerKey, interested: bool) {
        self.peer(peer).peer_interested = interested;
        self.event(if interested { PeerEvent::Interested(peer) } else { PeerEvent::NotInterested(peer) });
    }

    /// `peer` has `piece` from now on.
    pub fn announce(&mut self, peer: PeerKey, piece: PieceIndex) {
        let is_seed = self.own.is_seed;
        let facts = self.peer(peer);
        if facts.pieces.insert(piece) {
            facts.haves += 1;
            facts.am_interested = !is_seed;
        }
    }

    /// A block of so many bytes comes from `peer`.
    pub fn give(&mut self, peer: PeerKey, length: u32) {
        let (now, bytes) = (self.now, u64::from(length));
        let facts = self.peer(peer);
        facts.downloaded += bytes;
        facts.downloaded_in_round += bytes;
        (facts.last_received, facts.snubbed) = (Some(now), false);
        self.own.downloaded += bytes;
        self.event(PeerEvent::Received(peer, length));
    }

    /// `peer` has sent nothing for the snub time.
    pub fn snub(&mut self, peer: PeerKey) {
        self.peer(peer).snubbed = true;
        self.event(PeerEvent::Snubbed(peer));
    }

    /// Tells the policy of `event`, which [`peers`](Self::peers) shows already.
    pub fn event(&mut self, event: PeerEvent<'_>) {
        let swarm = SwarmView::new(&self.own, &self.peers);
        let notice = self.policy.notice(self.now, event, &swarm, &mut self.rng);
        self.heed(notice);
    }

    /// As [`event`](Self::event); the policy draws from `rng`, but in a round that it asks for.
    pub fn event_with(&mut self, event: PeerEvent<'_>, rng: &mut dyn Rng) {
        let swarm = SwarmView::new(&self.own, &self.peers);
        let notice = self.policy.notice(self.now, event, &swarm, rng);
        self.heed(notice);
    }

    fn heed(&mut self, notice: Notice) {
        self.answers.push(Answer::Notice(notice));
        if notice == Notice::Rechoke {
            self.round(Cause::Event);
        }
    }

    /// Lets time pass until the policy's next round, and runs it; one without a clock has none.
    pub fn tick(&mut self) {
        let next = self.policy.next_round();
        if next == Instant::NEVER {
            return;
        }
        if next > self.now {
            self.now = next;
        } else {
            let how = format!("the round at {next} s is not in the future of {} s", self.now);
            self.broke("rounds_move_on", how);
        }
        self.round(Cause::Timer);
    }

    /// Lets time pass until `until`, and runs the rounds that are due on the way.
    pub fn pass(&mut self, until: Instant) {
        while self.policy.next_round() <= until {
            self.now = self.now.max(self.policy.next_round());
            self.round(Cause::Timer);
            let next = self.policy.next_round();
            if next <= self.now {
                let how = format!("after the round at {} s the next one is at {next} s", self.now);
                self.broke("rounds_move_on", how);
                break;
            }
        }
        self.now = self.now.max(until);
    }

    /// A round now.
    pub fn round(&mut self, cause: Cause) {
        let mut unchokes = Unchokes::new();
        let swarm = SwarmView::new(&self.own, &self.peers);
        self.policy.choose(self.now, cause, &swarm, &mut self.rng, &mut unchokes);
        let most = self.policy.max_interested();
        let (mut served, mut interested) = (BTreeSet::new(), 0);
        for unchoke in unchokes.as_slice() {
            let Some(peer) = self.peers.iter().find(|peer| peer.key == unchoke.peer) else {
                let how = format!("it serves peer {}, which is not connected", unchoke.peer);
                self.broke("serves_only_connected_peers", how);
                continue;
            };
            // A peer that is put in twice keeps its first place.
            if served.insert(peer.key) && peer.peer_interested {
                interested += 1;
                if interested > most {
                    served.remove(&unchoke.peer);
                }
            }
        }
        if interested > most {
            let how = format!("{interested} interested peers are served, its own limit is {most}");
            self.broke("serves_no_more_interested_peers_than_it_says", how);
        }
        for peer in &mut self.peers {
            let choke = !served.contains(&peer.key);
            if peer.am_choking && !choke {
                peer.am_unchoked = Some(self.now);
            }
            peer.am_choking = choke;
        }
        self.log.push(unchokes.as_slice().to_vec());
    }

    /// The peer that gets the next block of those in `queues`, which are sorted by peer, and its place in the
    /// peer's queue; nobody, when the policy wants nobody served or nobody waits. By share, the first is next that
    /// is not capped at 0.
    pub fn serve(&mut self, queues: &[RequestQueue]) -> Option<(PeerKey, usize)> {
        let waiting = Waiting::new(queues);
        waiting.iter().next()?;
        let swarm = SwarmView::new(&self.own, &self.peers);
        let serve = self.policy.serve(self.now, &waiting, &swarm, &mut self.rng);
        self.answers.push(Answer::Serve(serve));
        let (peer, block) = match serve {
            Serve::Nobody => return None,
            Serve::ByShare => {
                let may = |queue: &&RequestQueue| self.share_of(queue.peer) != Some(Share::Cap(0));
                return waiting.iter().find(may).map(|queue| (queue.peer, 0));
            }
            Serve::Peer(peer) => (peer, None),
            Serve::Block(peer, block) => (peer, Some(block)),
        };
        let Some(queue) = waiting.iter().find(|queue| queue.peer == peer) else {
            let how = format!("it serves peer {peer} a block, which waits for none");
            self.broke("serve_answers_only_waiting_peers", how);
            return None;
        };
        let place = block.map_or(Some(0), |block| queue.requests.iter().position(|one| *one == block));
        if place.is_none() {
            let how = format!("it serves peer {peer} {block:?}, for which it does not wait");
            self.broke("serve_answers_only_blocks_that_wait", how);
        }
        Some((peer, place?))
    }

    /// The share that the last round gave `peer`.
    fn share_of(&self, peer: PeerKey) -> Option<Share> {
        self.log.last()?.iter().find(|unchoke| unchoke.peer == peer).map(|unchoke| unchoke.share)
    }

    /// Holds the reasons of the last round against the closed list and the policy's `name`.
    pub(super) fn check_reasons(&mut self, name: &str) {
        let mut reasons = self.log.last().into_iter().flatten().map(|unchoke| unchoke.reason);
        let own = |reason: &Reason| reason.0.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        let other = reasons.find(|reason| !REASONS.contains(reason) && !own(reason));
        if let Some(reason) = other {
            let how = format!("the reason `{reason}` is not of the list and does not begin with `{name}:`");
            self.broke("reasons_are_of_the_list_or_under_its_own_name", how);
        }
    }

    /// What is known of `peer`.
    pub fn peer(&mut self, peer: PeerKey) -> &mut PeerFacts {
        self.peers.iter_mut().find(|one| one.key == peer).expect("connected")
    }
}
