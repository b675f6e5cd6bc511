//! A client around one picker, for tests: it asks the policy as an engine would, carries out its answers, and
//! holds every answer against what the trait promises.

use bt_api::rng::{self, Generator};
use bt_api::{
    Advertise, BlockRef, Instant, OwnFacts, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex, PiecePolicy,
    PieceSet, PieceView, Pieces, SwarmView,
};
use proptest::prelude::*;

/// Pieces are of three blocks.
const PIECE: u32 = 48 << 10;
const BLOCK: u32 = 16 << 10;

/// One client and its table of pieces.
pub(crate) struct Client<P> {
    pub(crate) policy: P,
    pub(crate) pieces: Pieces,
    pub(crate) now: Instant,
    own: OwnFacts,
    peers: Vec<PeerFacts>,
    connections: u32,
    endgame: bool,
    table_rng: Generator,
    policy_rng: Generator,
}

impl<P: PiecePolicy> Client<P> {
    /// A client of a torrent of `pieces` pieces, the last one of one byte, that has none.
    pub(crate) fn new(policy: P, pieces: u32, seed: u64) -> Self {
        let mut table_rng = rng::stream(seed, 0, "pieces");
        let total = u64::from(pieces - 1) * u64::from(PIECE) + 1;
        Self {
            policy,
            now: Instant::ZERO,
            pieces: Pieces::new(total, PIECE, BLOCK, PieceSet::new(pieces), &mut table_rng),
            own: OwnFacts::default(),
            peers: Vec::new(),
            connections: 0,
            endgame: false,
            table_rng,
            policy_rng: rng::stream(seed, 0, "piece"),
        }
    }

    /// Connects a peer that has `pieces`.
    pub(crate) fn connect(&mut self, pieces: &[u32]) -> PeerKey {
        let key = PeerKey(self.connections);
        self.connections += 1;
        let address = "192.0.2.1:6881".parse().expect("an address");
        self.peers.push(PeerFacts::new(key, address, true, self.now, self.pieces.count()));
        self.event(PieceEvent::Connected(key));
        pieces.iter().for_each(|&piece| self.announce(key, piece));
        key
    }

    fn announce(&mut self, peer: PeerKey, piece: u32) {
        if self.peer(peer).pieces.insert(PieceIndex(piece)) {
            self.pieces.gained(PieceIndex(piece), &mut self.table_rng);
            self.event(PieceEvent::Announced(peer, PieceIndex(piece)));
        }
    }

    pub(crate) fn leave(&mut self, peer: PeerKey) {
        self.choke(peer);
        let place = self.peers.iter().position(|one| one.key == peer).expect("connected");
        let gone = self.peers.remove(place);
        gone.pieces.iter().for_each(|piece| self.pieces.lost(piece, &mut self.table_rng));
        self.event(PieceEvent::Gone(peer));
    }

    fn choke(&mut self, peer: PeerKey) {
        for block in self.requests_of(peer) {
            self.pieces.release(block, peer);
        }
    }

    fn requests_of(&self, peer: PeerKey) -> Vec<BlockRef> {
        self.pieces.missing_blocks().filter(|&block| self.pieces.is_requested_of(block, peer)).collect()
    }

    /// `piece` was found on disk.
    pub(crate) fn complete(&mut self, piece: u32) {
        self.pieces.complete(PieceIndex(piece));
    }

    /// All blocks of `piece` came, but its hash is wrong.
    pub(crate) fn fail(&mut self, piece: u32) {
        self.pieces.restart(PieceIndex(piece));
        self.event(PieceEvent::Failed(PieceIndex(piece)));
    }

    /// The block of `piece` at this place.
    pub(crate) fn block(&self, piece: u32, at: u32) -> BlockRef {
        let begin = at * BLOCK;
        let piece = PieceIndex(piece);
        BlockRef { piece, begin, length: BLOCK.min(self.pieces.piece_length(piece) - begin) }
    }

    /// Asks `peer` for the lowest open block of `piece`, whatever the policy thinks.
    pub(crate) fn start(&mut self, peer: PeerKey, piece: u32) {
        let from_seed = self.peer(peer).is_seed();
        let block = self.pieces.request(PieceIndex(piece), peer, from_seed).expect("an open block");
        self.event(PieceEvent::Requested { block, peer, from_seed });
    }

    /// Asks `peer` for every open block of `piece`.
    pub(crate) fn start_all(&mut self, peer: PeerKey, piece: u32) {
        while self.pieces.is_open(PieceIndex(piece)) {
            self.start(peer, piece);
        }
    }

    pub(crate) fn endgame(&mut self) -> bool {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), self.endgame);
        self.endgame = self.policy.endgame(&view);
        self.endgame
    }

    /// What the policy wants of `peer`, of the pieces `only` if given; checked, not carried out.
    pub(crate) fn pick_of(&mut self, peer: PeerKey, only: Option<&[PieceIndex]>) -> Pick {
        let swarm = SwarmView::new(&self.own, &self.peers);
        let mut view = PieceView::new(&self.pieces, swarm, self.endgame);
        if let Some(only) = only {
            view = view.restricted(only);
        }
        let facts = swarm.peer(peer).expect("connected");
        let pick = self.policy.pick(self.now, facts, &view, &mut self.policy_rng);
        match pick {
            Pick::Piece(piece) => assert!(view.offers(facts, piece), "{piece} is not offered"),
            Pick::Block(block) => {
                assert!(view.missing_blocks_of(facts).any(|one| one == block), "{block:?} is not wanted");
                assert!(self.endgame || view.offers(facts, block.piece), "{block:?} is not offered");
            }
            Pick::Nothing => {}
        }
        pick
    }

    /// The piece that the policy wants of `peer`.
    pub(crate) fn pick_piece(&mut self, peer: PeerKey) -> Option<u32> {
        match self.pick_of(peer, None) {
            Pick::Piece(piece) => Some(piece.0),
            Pick::Block(block) => panic!("{block:?} without endgame"),
            Pick::Nothing => None,
        }
    }

    /// Asks `peer` for what the policy wants; says what that was.
    pub(crate) fn ask(&mut self, peer: PeerKey) -> Option<BlockRef> {
        let from_seed = self.peer(peer).is_seed();
        let block = match self.pick_of(peer, None) {
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
    fn deliver(&mut self, peer: PeerKey, good: bool) {
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

    /// What the policy lets `peer` know of.
    pub(crate) fn advertise(&mut self, peer: PeerKey) -> Advertise {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), self.endgame);
        self.policy.advertise(self.now, peer, &view, &mut self.policy_rng)
    }

    pub(crate) fn event(&mut self, event: PieceEvent) {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), self.endgame);
        self.policy.notice(self.now, event, &view, &mut self.policy_rng);
        self.endgame();
    }

    pub(crate) fn peer(&mut self, peer: PeerKey) -> &mut PeerFacts {
        self.peers.iter_mut().find(|one| one.key == peer).expect("connected")
    }
}

/// Something that happens: what, to which of the connected peers, with which piece.
pub(crate) type Op = (u8, usize, u32);

/// The pieces of the torrent of a random history.
const PIECES: u32 = 12;

/// Random histories of a small swarm.
pub(crate) fn history() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec((0_u8..16, 0_usize..5, 0..PIECES), 0..250)
}

/// Plays `history` to `policy`, then lets a seed send all that is missing; what was asked for, in order.
pub(crate) fn play<P: PiecePolicy>(policy: P, seed: u64, history: &[Op]) -> Vec<BlockRef> {
    play_with(client(policy, seed), history)
}

/// A client of the torrent of a random history.
pub(crate) fn client<P: PiecePolicy>(policy: P, seed: u64) -> Client<P> {
    Client::new(policy, PIECES, seed)
}

/// As [`play`], with such a client.
pub(crate) fn play_with<P: PiecePolicy>(mut client: Client<P>, history: &[Op]) -> Vec<BlockRef> {
    let mut log = Vec::new();
    for &(op, peer, piece) in history {
        let Some(key) = client.peers.get(peer).map(|peer| peer.key) else {
            let pieces: Vec<u32> = (0..PIECES).filter(|one| piece == 0 || one % 3 == piece % 3).collect();
            client.connect(&pieces);
            continue;
        };
        match op {
            0 => client.leave(key),
            1 => client.choke(key),
            2..=4 => client.announce(key, piece),
            5..=9 => log.extend(client.ask(key)),
            10 => client.deliver(key, false),
            11 if client.pieces.have().contains(PieceIndex(piece)) => {
                client.pieces.forget(PieceIndex(piece), &mut client.table_rng);
            }
            _ => client.deliver(key, true),
        }
    }
    while let Some(peer) = client.peers.first() {
        client.leave(peer.key);
    }
    let seed = client.connect(&(0..PIECES).collect::<Vec<_>>());
    while let Some(block) = client.ask(seed) {
        log.push(block);
        client.deliver(seed, true);
    }
    assert!(client.pieces.have().is_full(), "the last piece did not arrive");
    log
}
