use bt_api::rng::{self, Generator};
use bt_api::{OwnFacts, SwarmView};
use proptest::prelude::*;

use super::*;
use crate::piece::harness;

const PIECE: u32 = 16 << 10;

/// A seed of a few pieces, and who is connected to it; each peer asks for something of it.
struct Seed {
    policy: SmartSeed,
    pieces: Pieces,
    own: OwnFacts,
    peers: Vec<PeerFacts>,
    now: Instant,
    rng: Generator,
}

impl Seed {
    fn new(pieces: u32, ahead: u32) -> Self {
        let have = PieceSet::full(pieces);
        let total = u64::from(pieces * PIECE);
        let mut rng = rng::stream(1, 0, "piece");
        let pieces = Pieces::new(total, PIECE, PIECE, have, &mut rng);
        let mut own = OwnFacts::default();
        own.is_seed = true;
        let policy = SmartSeed::new(Config { ahead }).unwrap();
        Self { policy, pieces, own, peers: Vec::new(), now: Instant::ZERO, rng }
    }

    fn connect(&mut self, choked: bool) -> usize {
        let address = "192.0.2.1:6881".parse().unwrap();
        let key = PeerKey(self.peers.len() as u32);
        let mut peer = PeerFacts::new(key, address, true, self.now, self.pieces.count());
        (peer.peer_interested, peer.am_choking, peer.queued) = (true, choked, u32::from(!choked));
        self.peers.push(peer);
        assert_eq!(
            self.shown(key.0 as usize),
            PieceSet::new(self.pieces.count()),
            "its bitfield comes first"
        );
        key.0 as usize
    }

    /// What a peer is shown when the engine asks.
    fn shown(&mut self, peer: usize) -> PieceSet {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), false);
        match self.policy.advertise(self.now, self.peers[peer].key, &view, &mut self.rng) {
            Advertise::Only(shown) => shown,
            other => panic!("{other:?}"),
        }
    }

    /// The pieces that a peer is shown and lacks.
    fn owed(&mut self, peer: usize) -> Vec<PieceIndex> {
        let shown = self.shown(peer);
        shown.iter().filter(|&piece| !self.peers[peer].pieces.contains(piece)).collect()
    }

    /// The next look, as the engine calls it.
    fn look(&mut self) {
        self.now = self.policy.next_wakeup().expect("somebody is connected");
        (0..self.peers.len()).rev().for_each(|peer| _ = self.shown(peer));
    }

    /// A peer has a piece now, of which it was sent so many bytes from here.
    fn has(&mut self, peer: usize, piece: PieceIndex, sent: u32) {
        self.peers[peer].uploaded += u64::from(sent);
        self.peers[peer].pieces.insert(piece);
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.peers), false);
        let event = PieceEvent::Announced(self.peers[peer].key, piece);
        self.policy.notice(self.now, event, &view, &mut self.rng);
        self.shown(peer);
    }

    /// How often each piece was served, or is about to be.
    fn counts(&mut self) -> Vec<u32> {
        let mut counts = self.policy.served.clone();
        for peer in 0..self.peers.len() {
            self.owed(peer).into_iter().for_each(|piece| counts[piece.as_usize()] += 1);
        }
        counts
    }
}

proptest! {
    /// The counts of what is served differ by one at most, as long as each peer lacks what was served least.
    #[test]
    fn every_piece_is_served_as_often_as_any_other(
        ahead in 1_u32..4, peers in 1_usize..7, takes in prop::collection::vec((0_usize..7, 0_usize..4), 1..200),
    ) {
        let mut seed = Seed::new(20, ahead);
        (0..peers).for_each(|_| _ = seed.connect(false));
        seed.look();
        for (peer, which) in takes {
            let peer = peer % peers;
            let owed = seed.owed(peer);
            let Some(&piece) = owed.get(which % owed.len().max(1)) else { continue };
            let before = seed.counts();
            let known = seed.shown(peer);
            let unknown = known.missing().map(|piece| before[piece.as_usize()]).min();
            seed.has(peer, piece, PIECE);
            for piece in seed.shown(peer).iter().filter(|&piece| !known.contains(piece)) {
                prop_assert_eq!(Some(before[piece.as_usize()]), unknown, "another that it lacks was served less");
            }
            let counts = seed.counts();
            let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
            let lacks_least = |peer: usize, seed: &mut Seed| {
                seed.shown(peer).missing().any(|piece| counts[piece.as_usize()] == least)
            };
            if !(0..peers).all(|peer| lacks_least(peer, &mut seed)) {
                break;
            }
            prop_assert!(most - least <= 1, "{:?}", counts);
        }
    }

    #[test]
    fn any_history_keeps_the_promises_and_ends(seed in any::<u64>(), ops in harness::history()) {
        let policy = || SmartSeed::new(Config::default()).unwrap();
        prop_assert_eq!(harness::play(policy(), seed, &ops), harness::play(policy(), seed, &ops));
    }
}

#[test]
fn who_waits_is_shown_one_piece_and_who_is_served_some_ahead() {
    let mut seed = Seed::new(20, 3);
    let (waits, served) = (seed.connect(true), seed.connect(false));
    seed.look();
    assert_eq!((seed.owed(waits).len(), seed.owed(served).len()), (1, 3));
    let first = seed.owed(served)[0];
    seed.has(served, first, PIECE);
    assert_eq!(seed.owed(served).len(), 3, "the next at once");
    seed.peers[waits].am_choking = false;
    seed.look();
    assert_eq!(seed.owed(waits).len(), 3);
}

#[test]
fn who_got_elsewhere_what_it_was_shown_is_shown_more_and_it_does_not_count() {
    let mut seed = Seed::new(20, 1);
    let (waits, served) = (seed.connect(true), seed.connect(false));
    seed.look();
    let piece = seed.owed(served)[0];
    seed.has(served, piece, 0);
    assert_eq!(seed.policy.served, [0; 20]);
    // It asks for nothing: what it knows of it asked somebody else for.
    seed.peers[served].queued = 0;
    seed.look();
    assert_eq!(seed.owed(served).len(), 2);
    seed.peers[waits].peer_interested = false;
    seed.look();
    assert_eq!(seed.owed(waits).len(), 2);
}

#[test]
fn what_a_waiting_peer_was_shown_goes_to_another_only_before_a_second_copy() {
    let mut seed = Seed::new(4, 1);
    let (waits, served) = (seed.connect(true), seed.connect(false));
    seed.look();
    let kept = seed.owed(waits)[0];
    let mut order = Vec::new();
    for _ in 0..4 {
        let piece = seed.owed(served)[0];
        order.push(piece);
        seed.has(served, piece, PIECE);
    }
    assert_eq!(order[3], kept);
}

#[test]
fn until_all_is_had_nothing_is_hidden_and_then_not_from_who_was_there() {
    let mut client = harness::Client::new(SmartSeed::new(Config::default()).unwrap(), 3, 1);
    let old = client.connect(&[]);
    assert_eq!(client.advertise(old), Advertise::All);
    (0..3).for_each(|piece| client.complete(piece));
    assert_eq!(client.advertise(old), Advertise::All);
    let new = client.connect(&[]);
    assert_eq!(client.advertise(new), Advertise::Only(PieceSet::new(3)));
    assert!(SmartSeed::new(Config { ahead: 0 }).is_err());
}
