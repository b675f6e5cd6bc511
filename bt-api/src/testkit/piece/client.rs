//! A client around one picker: it asks the policy as an engine would, and carries out its answers.

use std::time::Duration;

use crate::block::{BlockRef, PieceIndex, PieceSet};
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
    table_rng: Generator,
    policy_rng: Generator,
    /// What broke, where it is recorded and no reason to fail.
    pub(super) recorded: Option<Vec<Broken>>,
}

impl<P: PiecePolicy> Client<P> {
    /// A client of a torrent of `pieces` pieces of three blocks, the last one of one byte, that has none.
    pub fn new(policy: P, pieces: u32, seed: u64) -> Self {
        Self::starting(policy, pieces, seed, None)
    }

    /// One that records what breaks and goes on.
    pub(super) fn recording(policy: P, pieces: u32, seed: u64) -> Self {
        Self::starting(policy, pieces, seed, Some(Vec::new()))
    }

    fn starting(policy: P, pieces: u32, seed: u64, recorded: Option<Vec<Broken>>) -> Self {
        let mut table_rng = rng::stream(seed, 0, "pieces");
        let total = u64::from(pieces - 1) * u64::from(PIECE) + 1;
        Self {
            policy,
            pieces: Pieces::new(total, PIECE, BLOCK, PieceSet::new(pieces), &mut table_rng),
            own: OwnFacts::default(),
            peers: Vec::new(),
            now: Instant::ZERO,
            connections: 0,
            endgame: false,
            table_rng,
            policy_rng: rng::stream(seed, 0, "piece"),
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
        key
    }

    /// `peer` has `piece` from now on.
    pub fn announce(&mut self, peer: PeerKey, piece: u32) {
        if self.peer(peer).pieces.insert(PieceIndex(piece)) {
            self.pieces.gained(PieceIndex(piece), &mut self.table_rng);
            self.event(PieceEvent::Announced(peer, PieceIndex(piece)));
        }
    }

    /// `peer` is gone; what it was asked for is open again.
    pub fn leave(&mut self, peer: PeerKey) {
        self.choke(peer);
        let place = self.peers.iter().position(|one| one.key == peer).expect("connected");
        let gone = self.peers.remove(place);
        gone.pieces.iter().for_each(|piece| self.pieces.lost(piece, &mut self.table_rng));
        self.event(PieceEvent::Gone(peer));
    }

    /// `peer` will not send what it was asked for.
    pub fn choke(&mut self, peer: PeerKey) {
        for block in self.requests_of(peer) {
            self.pieces.release(block, peer);
        }
    }

    /// What `peer` was asked for and has not sent.
    pub fn requests_of(&self, peer: PeerKey) -> Vec<BlockRef> {
        self.pieces.missing_blocks().filter(|&block| self.pieces.is_requested_of(block, peer)).collect()
    }

    /// `piece` was found on disk.
    pub fn complete(&mut self, piece: u32) {
        self.pieces.complete(PieceIndex(piece));
    }

    /// All blocks of `piece` came, but its hash is wrong.
    pub fn fail(&mut self, piece: u32) {
        self.pieces.restart(PieceIndex(piece));
        self.event(PieceEvent::Failed(PieceIndex(piece)));
    }

    /// `piece` was had, but is lost.
    pub fn forget(&mut self, piece: u32) {
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
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), self.endgame);
        self.endgame = self.policy.endgame(&view);
        self.endgame
    }

    /// What the policy wants of `peer`, of the pieces `only` if given; checked, not carried out. An answer that
    /// breaks a promise is nothing.
    pub fn pick_of(&mut self, peer: PeerKey, only: Option<&[PieceIndex]>) -> Pick {
        let swarm = SwarmView::new(&self.own, &self.peers);
        let mut view = PieceView::new(&self.pieces, swarm, self.endgame);
        if let Some(only) = only {
            view = view.restricted(only);
        }
        let facts = swarm.peer(peer).expect("connected");
        let pick = self.policy.pick(self.now, facts, &view, &mut self.policy_rng);
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
        self.event(PieceEvent::Requested { block, peer, from_seed });
        self.endgame();
        Some(block)
    }

    /// `peer` sends what it was asked for first; a piece that is full then is good or not.
    pub fn deliver(&mut self, peer: PeerKey, good: bool) {
        let Some(&block) = self.requests_of(peer).first() else { return };
        if self.pieces.receive(block, peer).expect("it was asked for").piece_is_full {
            if good {
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
            for &peer in peers {
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

    /// Lets time pass until the next wake-up that the policy wants, if any, and tells all that it may show;
    /// says whether there was one.
    pub fn wake(&mut self) -> bool {
        let Some(next) = self.policy.next_wakeup().filter(|&next| next < Instant::NEVER) else {
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
        true
    }

    /// What the policy lets `peer` know of.
    pub fn advertise(&mut self, peer: PeerKey) -> Advertise {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), self.endgame);
        let shown = self.policy.advertise(self.now, peer, &view, &mut self.policy_rng);
        if let Advertise::Only(set) = &shown
            && set.pieces() != self.pieces.count()
        {
            let how = format!(
                "it shows a set of {} pieces of a torrent that has {}",
                set.pieces(),
                self.pieces.count()
            );
            self.broke("advertises_sets_of_this_torrent", how);
        }
        shown
    }

    /// Tells the policy of `event`.
    pub fn event(&mut self, event: PieceEvent) {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), self.endgame);
        self.policy.notice(self.now, event, &view, &mut self.policy_rng);
        self.endgame();
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
