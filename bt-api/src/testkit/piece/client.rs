//! A client around one picker: it asks the policy as an engine would, and carries out its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::block::{BlockRef, PieceIndex, PieceSet};
use crate::oracle::Oracle;
use crate::piece::{Advertise, Pick, PieceEvent, PiecePolicy};
use crate::pieces::{PieceView, Pieces};
use crate::rng::{self, Generator};
use crate::testkit::Broken;
use crate::time::Instant;
use crate::view::{OwnFacts, PeerFacts, PeerKey, SwarmView};

/// The length of the pieces of a [`Client`]'s torrent, three blocks.
pub const PIECE: u32 = 48 << 10;
/// The length of its blocks.
pub const BLOCK: u32 = 16 << 10;

/// One client with a picker, its table of pieces, and what is known of its peers.
///
/// A promise that is broken fails the test at once. Methods that name a peer panic when it is not connected.
pub struct Client<P> {
    /// The policy.
    pub policy: P,
    /// The pieces.
    pub pieces: Pieces,
    /// What is known of ourselves.
    pub own: OwnFacts,
    /// The connected peers, by key.
    pub peers: Vec<PeerFacts>,
    /// The time.
    pub now: Instant,
    connections: u32,
    endgame: bool,
    /// What each peer may know of.
    shown: BTreeMap<PeerKey, PieceSet>,
    /// The peers that the policy wants closed; they are still connected.
    unwanted: BTreeSet<PeerKey>,
    table_rng: Generator,
    policy_rng: Generator,
    /// What the policy answered.
    pub(super) answers: Vec<Answer>,
    /// What broke, where it is recorded and no reason to fail.
    pub(super) recorded: Option<Vec<Broken>>,
}

/// What a policy answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Pick(Pick),
    Endgame(bool),
    NextWakeup(Option<Instant>),
    Advertise(Advertise),
}

impl<P: PiecePolicy> Client<P> {
    /// A client of a torrent of `pieces` pieces of three blocks, the last one of one byte, that has none.
    pub fn new(policy: P, pieces: u32, seed: u64) -> Self {
        Self::starting(policy, PieceSet::new(pieces), seed, None)
    }

    /// One that has the pieces of `have`, records what breaks and goes on. One for the lab knows the whole swarm: itself
    /// and its peers.
    pub(super) fn recording(policy: P, have: PieceSet, seed: u64, lab_only: bool) -> Self {
        let oracle = lab_only.then(|| Oracle::new(have.pieces()));
        have.iter().for_each(|piece| oracle.iter().for_each(|oracle| oracle.gained(piece)));
        let mut client = Self::starting(policy, have, seed, Some(Vec::new()));
        client.pieces.set_oracle(oracle);
        client
    }

    fn starting(policy: P, have: PieceSet, seed: u64, recorded: Option<Vec<Broken>>) -> Self {
        let mut table_rng = rng::stream(seed, 0, "pieces");
        let total = u64::from(have.pieces() - 1) * u64::from(PIECE) + 1;
        let own = OwnFacts { piece_length: PIECE, estimator: "window", ..OwnFacts::default() };
        Self {
            policy,
            pieces: Pieces::new(total, PIECE, BLOCK, have, &mut table_rng),
            own,
            peers: Vec::new(),
            now: Instant::ZERO,
            connections: 0,
            endgame: false,
            shown: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            table_rng,
            policy_rng: rng::stream(seed, 0, "piece"),
            answers: Vec::new(),
            recorded,
        }
    }

    fn broke(&mut self, promise: &'static str, how: String) {
        match &mut self.recorded {
            Some(recorded) => recorded.push(Broken { promise, how }),
            None => panic!("{how}"),
        }
    }

    /// Connects a peer that serves us and has `pieces`.
    pub fn connect(&mut self, pieces: &[u32]) -> PeerKey {
        let key = PeerKey(self.connections);
        self.connections += 1;
        let address = ([192, 0, 2, 1], 6881).into();
        self.peers.push(PeerFacts::new(key, address, true, self.now, self.pieces.count()));
        self.event(PieceEvent::Connected(key));
        pieces.iter().for_each(|&piece| self.announce(key, piece));
        let now = self.now;
        let facts = self.peer(key);
        (facts.haves, facts.peer_choking, facts.peer_unchoked) = (0, false, Some(now));
        key
    }

    /// As [`connect`](Self::connect), but the policy decides whether the peer stays, as it is asked what to show it.
    pub(super) fn welcome(&mut self, pieces: &[u32]) -> Option<PeerKey> {
        let key = self.connect(pieces);
        self.advertise(key);
        self.close_unwanted();
        self.is_connected(key).then_some(key)
    }

    /// Closes the peers that the policy wants closed.
    pub(super) fn close_unwanted(&mut self) {
        while let Some(peer) = self.unwanted.pop_first() {
            if self.is_connected(peer) {
                self.leave(peer);
            }
        }
    }

    fn is_connected(&self, peer: PeerKey) -> bool {
        self.peers.iter().any(|one| one.key == peer)
    }

    /// What `peer` may know of by now.
    pub(super) fn shown(&self, peer: PeerKey) -> PieceSet {
        self.shown.get(&peer).cloned().unwrap_or_else(|| PieceSet::new(self.pieces.count()))
    }

    /// `peer` has `piece` from now on.
    pub fn announce(&mut self, peer: PeerKey, piece: u32) {
        let facts = self.peer(peer);
        if facts.pieces.insert(PieceIndex(piece)) {
            facts.haves += 1;
            self.copies(piece, true);
            self.pieces.gained(PieceIndex(piece), &mut self.table_rng);
            self.event(PieceEvent::Announced(peer, PieceIndex(piece)));
        }
    }

    /// `peer` is gone; what it was asked for is open again.
    pub fn leave(&mut self, peer: PeerKey) {
        self.choke(peer);
        let place = self.peers.iter().position(|one| one.key == peer).expect("connected");
        let gone = self.peers.remove(place);
        for piece in gone.pieces.iter() {
            self.copies(piece.0, false);
            self.pieces.lost(piece, &mut self.table_rng);
        }
        self.event(PieceEvent::Gone(peer));
    }

    /// `peer` will not send what it was asked for.
    pub fn choke(&mut self, peer: PeerKey) {
        for block in self.requests_of(peer) {
            self.pieces.release(block, peer);
        }
        self.peer(peer).requested = 0;
    }

    /// One more of the swarm has `piece`, or one fewer.
    fn copies(&self, piece: u32, more: bool) {
        if let Some(oracle) = self.pieces.oracle() {
            if more { oracle.gained(PieceIndex(piece)) } else { oracle.lost(PieceIndex(piece)) }
        }
    }

    /// What `peer` was asked for and has not sent.
    pub fn requests_of(&self, peer: PeerKey) -> Vec<BlockRef> {
        self.pieces.missing_blocks().filter(|&block| self.pieces.is_requested_of(block, peer)).collect()
    }

    /// `piece` was found on disk.
    pub fn complete(&mut self, piece: u32) {
        self.copies(piece, true);
        self.pieces.complete(PieceIndex(piece));
        for at in 0..self.peers.len() {
            self.peers[at].requested = self.requests_of(self.peers[at].key).len() as u32;
        }
    }

    /// All blocks of `piece` came, but its hash is wrong.
    pub fn fail(&mut self, piece: u32) {
        self.pieces.restart(PieceIndex(piece));
        self.event(PieceEvent::Failed(PieceIndex(piece)));
    }

    /// `piece` was had, but is lost.
    pub fn forget(&mut self, piece: u32) {
        self.copies(piece, false);
        self.pieces.forget(PieceIndex(piece), &mut self.table_rng);
    }

    /// The block of `piece` at this place.
    pub fn block(&self, piece: u32, at: u32) -> BlockRef {
        let begin = at * BLOCK;
        let piece = PieceIndex(piece);
        BlockRef { piece, begin, length: BLOCK.min(self.pieces.piece_length(piece) - begin) }
    }

    /// Asks `peer` for the lowest open block of `piece`, whatever the policy thinks.
    pub fn start(&mut self, peer: PeerKey, piece: u32) {
        let from_seed = self.peer(peer).is_seed();
        let block = self.pieces.request(PieceIndex(piece), peer, from_seed).expect("an open block");
        self.peer(peer).requested += 1;
        self.event(PieceEvent::Requested { block, peer, from_seed });
    }

    /// Asks `peer` for every open block of `piece`.
    pub fn start_all(&mut self, peer: PeerKey, piece: u32) {
        while self.pieces.is_open(PieceIndex(piece)) {
            self.start(peer, piece);
        }
    }

    /// Asks the policy whether it is in endgame now.
    pub fn endgame(&mut self) -> bool {
        self.look_at_ourselves();
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), self.endgame);
        self.endgame = self.policy.endgame(&view);
        self.answers.push(Answer::Endgame(self.endgame));
        self.endgame
    }

    /// What the policy wants of `peer`, of the pieces `only` if given; checked, not carried out. An answer that
    /// breaks a promise is nothing.
    pub fn pick_of(&mut self, peer: PeerKey, only: Option<&[PieceIndex]>) -> Pick {
        self.look_at_ourselves();
        let swarm = SwarmView::new(&self.own, &self.peers);
        let mut view = PieceView::new(&self.pieces, swarm, self.endgame);
        if let Some(only) = only {
            view = view.restricted(only);
        }
        let facts = swarm.peer(peer).expect("connected");
        let pick = self.policy.pick(self.now, facts, &view, &mut self.policy_rng);
        self.answers.push(Answer::Pick(pick));
        match breach(pick, facts, &view) {
            None => pick,
            Some(promise) => {
                let endgame = if self.endgame { ", in endgame" } else { "" };
                self.broke(promise, format!("it asks peer {peer} for {pick:?}{endgame}"));
                Pick::Nothing
            }
        }
    }

    /// The piece that the policy wants of `peer`.
    pub fn pick_piece(&mut self, peer: PeerKey) -> Option<u32> {
        match self.pick_of(peer, None) {
            Pick::Piece(piece) => Some(piece.0),
            Pick::Block(block) => panic!("{block:?} where a piece is expected"),
            Pick::Nothing => None,
        }
    }

    /// Asks `peer` for what the policy wants; says what that was.
    pub fn ask(&mut self, peer: PeerKey) -> Option<BlockRef> {
        self.ask_of(peer, None)
    }

    /// Asks `peer` for what the policy wants of the pieces `only`, if given.
    pub fn ask_of(&mut self, peer: PeerKey, only: Option<&[PieceIndex]>) -> Option<BlockRef> {
        let from_seed = self.peer(peer).is_seed();
        let block = match self.pick_of(peer, only) {
            Pick::Piece(piece) => self.pieces.request(piece, peer, from_seed).expect("checked"),
            Pick::Block(block) => {
                assert!(self.pieces.mark_requested(block, peer, from_seed), "checked");
                block
            }
            Pick::Nothing => return None,
        };
        self.peer(peer).requested += 1;
        self.event(PieceEvent::Requested { block, peer, from_seed });
        self.endgame();
        Some(block)
    }

    /// `peer` sends what it was asked for first; a piece that is full then is good or not.
    pub fn deliver(&mut self, peer: PeerKey, good: bool) {
        let Some(&block) = self.requests_of(peer).first() else { return };
        let arrival = self.pieces.receive(block, peer).expect("it was asked for");
        let (now, length) = (self.now, u64::from(block.length));
        let facts = self.peer(peer);
        facts.downloaded += length;
        (facts.last_received, facts.snubbed) = (Some(now), false);
        facts.requested = facts.requested.saturating_sub(1);
        for &other in &arrival.others {
            let facts = self.peer(other);
            facts.requested = facts.requested.saturating_sub(1);
        }
        self.own.downloaded += length;
        if arrival.piece_is_full {
            if good {
                self.copies(block.piece.0, true);
                self.pieces.complete(block.piece);
                self.event(PieceEvent::Completed(block.piece));
            } else {
                self.fail(block.piece.0);
            }
        }
    }

    /// Asks `peers` in turn, each of which sends a block at once, until all is had or none of them is asked for
    /// anything, at the policy's next wake-ups neither. Returns what was asked for.
    pub fn exhaust(&mut self, peers: &[PeerKey]) -> Vec<BlockRef> {
        let mut asked = Vec::new();
        let mut naps = 0;
        // A policy may hold off for a while: it is woken as it wants.
        while naps < 200 && !self.pieces.have().is_full() {
            let before = asked.len();
            let here: Vec<PeerKey> = peers.iter().copied().filter(|&peer| self.is_connected(peer)).collect();
            for peer in here {
                let block = self.ask(peer);
                if block.is_some() {
                    self.deliver(peer, true);
                }
                asked.extend(block);
            }
            if asked.len() == before && !self.wake() {
                break;
            }
            naps = if asked.len() == before { naps + 1 } else { 0 };
        }
        asked
    }

    /// Lets time pass until the next wake-up that the policy wants, if any, and tells all that it may show; whom it
    /// wants closed is gone after that. Says whether there was one.
    pub fn wake(&mut self) -> bool {
        let next = self.policy.next_wakeup();
        self.answers.push(Answer::NextWakeup(next));
        let Some(next) = next.filter(|&next| next < Instant::NEVER) else {
            return false;
        };
        self.now = self.now.max(next);
        let peers: Vec<PeerKey> = self.peers.iter().map(|peer| peer.key).collect();
        for &peer in &peers {
            self.advertise(peer);
            self.pick_of(peer, None);
        }
        if let Some(next) = self.policy.next_wakeup().filter(|&next| next <= self.now && !peers.is_empty()) {
            let how = format!("woken at {} s, it wants to be woken at {next} s", self.now);
            self.broke("wakeups_move_on", how);
            self.now += Duration::from_millis(1);
        }
        self.close_unwanted();
        true
    }

    /// What the policy lets `peer` know of.
    pub fn advertise(&mut self, peer: PeerKey) -> Advertise {
        self.look_at_ourselves();
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), self.endgame);
        let shown = self.policy.advertise(self.now, peer, &view, &mut self.policy_rng);
        self.answers.push(Answer::Advertise(shown.clone()));
        let have = self.pieces.have();
        let known = self.shown.entry(peer).or_insert_with(|| PieceSet::new(have.pieces()));
        match &shown {
            Advertise::All => *known = have.clone(),
            Advertise::Only(set) if set.pieces() != have.pieces() => {
                let (set, count) = (set.pieces(), have.pieces());
                let how = format!("it shows a set of {set} pieces of a torrent that has {count}");
                self.broke("advertises_sets_of_this_torrent", how);
            }
            Advertise::Only(set) => {
                for piece in set.iter().filter(|&piece| have.contains(piece)) {
                    known.insert(piece);
                }
            }
            Advertise::Close => _ = self.unwanted.insert(peer),
        }
        shown
    }

    /// Tells the policy of `event`.
    pub fn event(&mut self, event: PieceEvent) {
        self.look_at_ourselves();
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), self.endgame);
        self.policy.notice(self.now, event, &view, &mut self.policy_rng);
        self.endgame();
    }

    /// Whether we are a seed, and whom we want pieces of, follow from the table of pieces.
    fn look_at_ourselves(&mut self) {
        let have = self.pieces.have();
        self.own.is_seed = have.is_full();
        for peer in &mut self.peers {
            peer.am_interested = !have.is_full() && peer.pieces.iter().any(|piece| !have.contains(piece));
        }
    }

    /// What is known of `peer`.
    pub fn peer(&mut self, peer: PeerKey) -> &mut PeerFacts {
        self.peers.iter_mut().find(|one| one.key == peer).expect("connected")
    }
}

/// The promise that `pick` breaks, asked of `peer`.
fn breach(pick: Pick, peer: &PeerFacts, view: &PieceView<'_>) -> Option<&'static str> {
    let pieces = view.pieces();
    let piece = match pick {
        Pick::Piece(piece) => piece,
        Pick::Block(block) => block.piece,
        Pick::Nothing => return None,
    };
    if piece.0 >= pieces.count() {
        return Some("asks_for_no_block_that_is_none");
    }
    if pieces.have().contains(piece) {
        return Some("asks_for_no_piece_that_is_held");
    }
    if !peer.pieces.contains(piece) {
        return Some("asks_for_no_piece_that_the_peer_lacks");
    }
    let is_left_out = view.only().is_some_and(|only| !only.contains(&piece));
    match pick {
        // No block of it is open: the engine would have to ask for one a second time.
        Pick::Piece(_) if !pieces.is_open(piece) => Some("asks_once_outside_endgame"),
        Pick::Block(block) if !is_block(block, pieces) => Some("asks_for_no_block_that_is_none"),
        Pick::Block(block) if !view.endgame() && !pieces.is_block_open(block) => {
            Some("asks_once_outside_endgame")
        }
        Pick::Block(block) if !view.missing_blocks_of(peer).any(|one| one == block) => {
            Some("asks_no_peer_twice")
        }
        _ if is_left_out && !view.endgame() => Some("asks_for_nothing_that_is_not_offered"),
        _ => None,
    }
}

fn is_block(block: BlockRef, pieces: &Pieces) -> bool {
    let length = pieces.piece_length(block.piece);
    block.begin.is_multiple_of(BLOCK)
        && block.begin < length
        && block.length == BLOCK.min(length - block.begin)
}
