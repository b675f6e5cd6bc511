//! The kit's client around one picker, and random histories for tests that draw the configuration too.

use bt_api::{BlockRef, PieceIndex, PiecePolicy};
use proptest::prelude::*;

pub(crate) use bt_api::testkit::piece::Client;

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
            11 if client.pieces.have().contains(PieceIndex(piece)) => client.forget(piece),
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
