//! What one answer of a policy costs: a choke round at 1000 peers, a pick at 10,000 pieces and 200 peers.

use std::hint::black_box;

use bt_api::rng::{self, Generator};
use bt_api::{
    Cause, ChokePolicy, Instant, OwnFacts, PeerEvent, PeerFacts, PeerKey, Pick, PieceIndex, PiecePolicy,
    PieceSet, PieceView, Pieces, SwarmView, Unchokes,
};
use bt_policies::choke::{random, tit_for_tat};
use bt_policies::piece::{rarest_first, sequential};
use criterion::{Criterion, criterion_group, criterion_main};

const BLOCK: u32 = 16 << 10;
const PIECE: u32 = 256 << 10;

fn peers(count: u32, pieces: u32) -> Vec<PeerFacts> {
    let address = "192.0.2.1:6881".parse().expect("an address");
    (0..count).map(|key| PeerFacts::new(PeerKey(key), address, true, Instant::ZERO, pieces)).collect()
}

/// A round of `policy` in a swarm of 1000 peers, half of them interested, every other one of those snubbed.
fn choke_round(c: &mut Criterion, name: &str, policy: &mut dyn ChokePolicy) {
    let mut rng = rng::stream(1, 0, "bench");
    let own = OwnFacts::default();
    let mut peers = peers(1000, 1);
    for peer in &mut peers {
        peer.peer_interested = peer.key.0.is_multiple_of(2);
        peer.snubbed = peer.key.0.is_multiple_of(4);
        peer.download_rate = u64::from(rng::below(&mut rng, 1 << 20));
    }
    for joined in 0..peers.len() {
        let swarm = SwarmView::new(&own, &peers[..=joined]);
        let _ = policy.notice(Instant::ZERO, PeerEvent::Connected(peers[joined].key), &swarm, &mut rng);
    }
    let mut unchokes = Unchokes::new();
    c.bench_function(&format!("choke round, 1000 peers, {name}"), |bench| {
        bench.iter(|| {
            unchokes.clear();
            let now = policy.next_round();
            let swarm = SwarmView::new(&own, black_box(&peers));
            policy.choose(now, Cause::Timer, &swarm, &mut rng, &mut unchokes);
        });
    });
}

/// 10,000 pieces, a tenth of them had, 200 peers of which each has about half; each peer was asked for five
/// blocks, so that about 200 pieces are begun.
fn swarm(policy: &mut dyn PiecePolicy, rng: &mut Generator) -> (Pieces, Vec<PeerFacts>) {
    const PIECES: u32 = 10_000;
    let mut have = PieceSet::new(PIECES);
    for piece in (0..PIECES).step_by(10) {
        have.insert(PieceIndex(piece));
    }
    let mut pieces = Pieces::new(u64::from(PIECES) * u64::from(PIECE), PIECE, BLOCK, have, rng);
    let mut peers = peers(200, PIECES);
    for peer in &mut peers {
        for piece in (0..PIECES).map(PieceIndex) {
            if rng::below(rng, 2) == 0 {
                peer.pieces.insert(piece);
                pieces.gained(piece, rng);
            }
        }
    }
    let own = OwnFacts::default();
    for peer in &peers {
        for _ in 0..5 {
            let view = PieceView::new(&pieces, SwarmView::new(&own, &peers), false);
            let Pick::Piece(piece) = policy.pick(Instant::ZERO, peer, &view, rng) else {
                unreachable!("every peer has much to give");
            };
            pieces.request(piece, peer.key, false).expect("an open block");
        }
    }
    // Begin more: as when peers come and go.
    for (piece, peer) in (1..PIECES).step_by(50).map(PieceIndex).zip(&peers) {
        pieces.request(piece, peer.key, false);
    }
    (pieces, peers)
}

fn pick(c: &mut Criterion, name: &str, policy: &mut dyn PiecePolicy) {
    let mut rng = rng::stream(1, 0, "bench");
    let (pieces, peers) = swarm(policy, &mut rng);
    let own = OwnFacts::default();
    let mut turn = peers.iter().cycle();
    c.bench_function(&format!("pick, 10,000 pieces, 200 peers, {name}"), |bench| {
        bench.iter(|| {
            let peer = turn.next().expect("a cycle");
            let view = PieceView::new(black_box(&pieces), SwarmView::new(&own, &peers), false);
            policy.pick(Instant::ZERO, peer, &view, &mut rng)
        });
    });
}

fn benches(c: &mut Criterion) {
    let mut choker = tit_for_tat::TitForTat::new(tit_for_tat::Config::default()).expect("defaults");
    choke_round(c, "tit-for-tat", &mut choker);
    let mut choker = random::Random::new(random::Config::default()).expect("defaults");
    choke_round(c, "random", &mut choker);
    let mut picker = rarest_first::RarestFirst::new(rarest_first::Config::default());
    pick(c, "rarest-first", &mut picker);
    pick(c, "sequential", &mut sequential::Sequential::new(&sequential::Config::default()));
}

criterion_group!(all, benches);
criterion_main!(all);
