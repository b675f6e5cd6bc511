use proptest::prelude::*;

use super::*;
use crate::rng;
use crate::view::{PeerFacts, SwarmView};

fn table(total: u64, piece: u32, block: u32) -> Pieces {
    let pieces = total.div_ceil(u64::from(piece)) as u32;
    Pieces::new(total, piece, block, PieceSet::new(pieces), &mut rng::stream(1, 0, "test"))
}

const A: PeerKey = PeerKey(1);
const B: PeerKey = PeerKey(2);

fn block(piece: u32, begin: u32, length: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(piece), begin, length }
}

/// Cases 28 to 30 of the original's tests (SW-18 to SW-20).
#[test]
fn blocks_are_handed_out_lowest_first_and_a_lost_one_again() {
    let mut pieces = table(3, 3, 2);
    let open = |pieces: &Pieces| pieces.open_blocks(PieceIndex(0)).collect::<Vec<_>>();
    assert_eq!(open(&pieces), [block(0, 0, 2), block(0, 2, 1)]);
    assert_eq!(pieces.request(PieceIndex(0), A, false), Some(block(0, 0, 2)));
    assert_eq!(open(&pieces), [block(0, 2, 1)]);
    assert_eq!(pieces.request(PieceIndex(0), A, false), Some(block(0, 2, 1)));
    assert_eq!(open(&pieces), []);
    assert_eq!(pieces.request(PieceIndex(0), A, false), None);
    assert_eq!(pieces.open_bytes(), 0);
    assert!(pieces.release(block(0, 0, 2), A));
    assert_eq!(pieces.open_bytes(), 2);
    assert_eq!(pieces.request(PieceIndex(0), B, false), Some(block(0, 0, 2)));
    let mut even = table(4, 4, 2);
    assert_eq!(even.request(PieceIndex(0), A, false), Some(block(0, 0, 2)));
    assert_eq!(even.request(PieceIndex(0), A, false), Some(block(0, 2, 2)));
    assert_eq!(even.request(PieceIndex(0), A, false), None);
}

#[test]
fn a_block_asked_of_two_is_taken_from_one_and_cancelled_at_the_other() {
    let mut pieces = table(4, 4, 2);
    let first = pieces.request(PieceIndex(0), A, false).unwrap();
    assert!(pieces.mark_requested(first, B, false));
    assert!(!pieces.mark_requested(first, B, false));
    let arrival = pieces.receive(first, B).unwrap();
    assert_eq!(arrival, Arrival { others: vec![A], piece_is_full: false });
    assert_eq!(pieces.receive(first, A), None);
    let second = pieces.request(PieceIndex(0), A, false).unwrap();
    assert!(pieces.receive(second, A).unwrap().piece_is_full);
    assert_eq!(pieces.senders(PieceIndex(0)), [Some(B), Some(A)]);
    pieces.complete(PieceIndex(0));
    assert_eq!((pieces.left(), pieces.open_bytes()), (0, 0));
}

#[test]
fn unasked_and_misshapen_blocks_are_not_taken() {
    let mut pieces = table(4, 4, 2);
    pieces.request(PieceIndex(0), A, false).unwrap();
    for wrong in [block(0, 0, 1), block(0, 1, 2), block(0, 2, 2), block(7, 0, 2), block(0, u32::MAX, 2)] {
        assert_eq!(pieces.receive(wrong, A), None, "{wrong:?}");
    }
    assert_eq!(pieces.receive(block(0, 0, 2), B), None);
}

/// Case 85 (PP-8): a failed piece is last of its level and no longer started.
#[test]
fn a_failed_piece_goes_to_the_end_of_its_level() {
    let mut pieces = table(8, 1, 1);
    let first = pieces.levels()[0][0];
    let asked = pieces.request(first, A, true).unwrap();
    pieces.receive(asked, A).unwrap();
    pieces.restart(first);
    assert_eq!(pieces.levels()[0].last(), Some(&first));
    assert!(pieces.started().is_empty() && !pieces.is_started_by_seed(first));
    assert_eq!(pieces.open_bytes(), 8);
}

#[test]
fn blocks_of_an_earlier_run_are_not_asked_for_again() {
    let mut pieces = table(9, 4, 2);
    assert!(pieces.restore(block(0, 2, 2)));
    assert!(!pieces.restore(block(0, 2, 2)), "twice");
    for wrong in
        [block(0, 0, 2), block(2, 0, 1), block(3, 0, 2), block(1, 1, 2), block(1, 0, 1), block(1, 4, 2)]
    {
        assert!(!pieces.restore(wrong), "{wrong:?}");
    }
    assert_eq!(pieces.received_blocks().collect::<Vec<_>>(), [block(0, 2, 2)]);
    assert_eq!((pieces.started(), pieces.open_bytes(), pieces.left()), (&[PieceIndex(0)][..], 7, 9));
    assert_eq!(pieces.request(PieceIndex(0), A, false), Some(block(0, 0, 2)));
    assert!(!pieces.is_open(PieceIndex(0)));
    assert!(pieces.receive(block(0, 0, 2), A).unwrap().piece_is_full);
    assert_eq!(pieces.senders(PieceIndex(0)), [Some(A), None]);
}

/// DL-11: after a hash failure in endgame, all blocks of the piece may be asked for again.
#[test]
fn the_blocks_of_a_failed_piece_are_missing_again() {
    let mut pieces = table(8, 4, 2);
    let asked = [0, 0, 1].map(|piece| pieces.request(PieceIndex(piece), A, false).unwrap());
    asked[..2].iter().for_each(|&block| drop(pieces.receive(block, A).unwrap()));
    pieces.restart(PieceIndex(0));
    let missing = [block(1, 0, 2), block(1, 2, 2), block(0, 0, 2), block(0, 2, 2)];
    assert_eq!(pieces.missing_blocks().collect::<Vec<_>>(), missing);
    let mut peer =
        PeerFacts::new(A, "127.0.0.1:1".parse().unwrap(), false, crate::Instant::ZERO, pieces.count());
    peer.pieces = PieceSet::full(pieces.count());
    let own = crate::OwnFacts::default();
    let view = PieceView::new(&pieces, SwarmView::new(&own, &[]), true);
    assert_eq!(view.missing_blocks_of(&peer).collect::<Vec<_>>(), missing[1..]);
}

proptest! {
    /// Case 84 (PP-5): levels equal a naive count whatever comes, and byte counts stay true.
    #[test]
    fn the_table_agrees_with_a_naive_one(ops in prop::collection::vec((0_u8..8, 0_u32..6, 0_u32..3), 0..300)) {
        let mut rng = rng::stream(2, 0, "test");
        let mut pieces = table(23, 4, 2);
        let mut counts = [0_u32; 6];
        for (op, piece, peer) in ops {
            let (piece, peer) = (PieceIndex(piece), PeerKey(peer));
            match op {
                0 => { pieces.gained(piece, &mut rng); counts[piece.as_usize()] += 1; }
                1 if counts[piece.as_usize()] > 0 => { pieces.lost(piece, &mut rng); counts[piece.as_usize()] -= 1; }
                2 | 3 => { pieces.request(piece, peer, op == 3); }
                4 => { let b = pieces.missing_blocks().find(|b| b.piece == piece); if let Some(b) = b { pieces.mark_requested(b, peer, false); } }
                5 => { let b = pieces.missing_blocks().find(|&b| pieces.is_requested_of(b, peer)); if let Some(b) = b { pieces.release(b, peer); } }
                6 => {
                    let b = pieces.missing_blocks().find(|&b| pieces.is_requested_of(b, peer));
                    if let Some(b) = b && pieces.receive(b, peer).unwrap().piece_is_full {
                        if peer.0 == 0 { pieces.restart(b.piece) } else { pieces.complete(b.piece) }
                    }
                }
                7 => pieces.forget(piece, &mut rng),
                _ => {}
            }
            for (level, list) in pieces.levels().iter().enumerate() {
                for (place, piece) in list.iter().enumerate() {
                    prop_assert_eq!(counts[piece.as_usize()] as usize, level);
                    prop_assert_eq!(pieces.availability.places[piece.as_usize()] as usize, place);
                }
            }
            prop_assert_eq!(pieces.levels().iter().map(Vec::len).sum::<usize>() as u32 + pieces.have().count(), 6);
            let open: u64 = (0..6).map(PieceIndex).filter(|&p| !pieces.have().contains(p)).map(|p| match pieces.progress.get(&p) {
                Some(progress) => pieces.open_bytes_of(p, progress),
                None => u64::from(pieces.piece_length(p)),
            }).sum();
            prop_assert_eq!(pieces.open_bytes(), open);
            for p in (0..6).map(PieceIndex) {
                let some_open = !pieces.have().contains(p) && pieces.progress.get(&p).is_none_or(|g| g.open > 0);
                prop_assert_eq!(pieces.is_open(p), some_open);
            }
        }
    }
}
