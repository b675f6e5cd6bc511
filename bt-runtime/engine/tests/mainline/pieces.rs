//! Cases 31 to 33 and 40 to 42: what becomes of pieces (SW-7, SW-19 to SW-24).

use bt_api::{AnnounceEvent, BlockRef, PeerKey, PieceIndex, PieceSet};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Event, Output};

use crate::common::everyone::Everyone;
use crate::common::solo::{Solo, block, closes, requests, sent, uploads};
use crate::common::{BLOCK, Node};

/// A leecher of `pieces` pieces of two blocks, and a peer with all of them that serves it.
fn with_a_seed(pieces: u32) -> (Solo, PeerKey) {
    let mut solo = Solo::new(2, Node::new(PieceSet::new(pieces)));
    let all: Vec<u32> = (0..pieces).collect();
    let (seed, _) = solo.connect_open(1, &all);
    (solo, seed)
}

/// Both blocks of `piece` come from `peer`.
fn send_piece(solo: &mut Solo, peer: PeerKey, piece: u32) -> Vec<Output> {
    (0..2).flat_map(|at| solo.send_block(peer, block(piece, at))).collect()
}

fn finishes(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Finish { .. })).count()
}

fn completions(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Event(Event::Complete { .. }))).count()
}

#[test]
fn case_31_a_good_last_block_makes_a_piece_and_the_last_piece_the_torrent() {
    let (mut solo, seed) = with_a_seed(2);
    assert_eq!(finishes(&send_piece(&mut solo, seed, 0)), 1);
    let out = solo.good(0);
    assert!(solo.engine.have().contains(PieceIndex(0)));
    assert_eq!(solo.engine.piece_view().pieces().left(), u64::from(2 * BLOCK));
    assert_eq!(completions(&out), 0);
    send_piece(&mut solo, seed, 1);
    let mut out = solo.good(1);
    assert_eq!(solo.engine.piece_view().pieces().left(), 0);
    // An answer that comes twice means nothing.
    out.extend(solo.good(1));
    assert_eq!(completions(&out), 1);
}

#[test]
fn case_32_a_bad_piece_is_fresh_again_and_good_data_completes_it() {
    let (mut solo, seed) = with_a_seed(1);
    send_piece(&mut solo, seed, 0);
    let out = solo.bad(0);
    assert_eq!(requests(&out, seed).len(), 2);
    assert!(!solo.engine.have().contains(PieceIndex(0)));
    let status = solo.engine.status(solo.now);
    assert_eq!((status.bytes_have, status.wasted), (0, u64::from(2 * BLOCK)));
    assert_eq!(finishes(&send_piece(&mut solo, seed, 0)), 1);
    assert_eq!(completions(&solo.good(0)), 1);
}

#[test]
fn case_33_no_hash_while_a_block_is_under_way() {
    let (mut solo, seed) = with_a_seed(1);
    assert_eq!(solo.engine.swarm().peer(seed).unwrap().requested, 2);
    assert_eq!(finishes(&solo.send_block(seed, block(0, 1))), 0);
    assert_eq!(finishes(&solo.send_block(seed, block(0, 0))), 1);
}

/// Here it is a close of the peer that "nothing" stands for (UP-5).
#[test]
fn case_40_a_span_is_served_up_to_the_end_of_its_piece_and_no_further() {
    let node = Node { choke: Everyone::switched().0, ..Node::new(PieceSet::full(2)) };
    let mut solo = Solo::new(2, node);
    let mut ask = |number, begin, length| {
        let peer = solo.connect(number, &[]);
        solo.say(peer, Message::Interested);
        solo.say(peer, Message::Request(BlockRef { piece: PieceIndex(0), begin, length }))
    };
    assert_eq!(uploads(&ask(1, BLOCK + 1, BLOCK - 1)).len(), 1);
    for (number, begin) in [(2, BLOCK + 2), (3, 2 * BLOCK), (4, u32::MAX), (5, u32::MAX - BLOCK + 2)] {
        let out = ask(number, begin, BLOCK - 1);
        assert!(uploads(&out).is_empty());
        assert!(matches!(closes(&out)[..], [(_, CloseReason::BadRequest)]), "{begin}");
    }
}

#[test]
fn case_41_endgame_begins_with_the_request_of_the_last_block_and_stays() {
    let mut solo = Solo::new(6, Node::new(PieceSet::new(1)));
    let (a, asked) = solo.connect_open(1, &[0]);
    assert_eq!(asked.len(), 5);
    assert!(!solo.engine.status(solo.now).endgame);
    assert_eq!(requests(&solo.send_block(a, block(0, 0)), a), [block(0, 5)]);
    assert!(solo.engine.status(solo.now).endgame);
    solo.say(a, Message::Choke);
    assert!(solo.engine.piece_view().pieces().open_bytes() > 0);
    assert!(solo.engine.status(solo.now).endgame);
}

#[test]
fn case_42_all_there_at_the_start_is_complete_at_once() {
    let mut solo = Solo::new(2, Node::new(PieceSet::full(2)));
    assert!(solo.engine.status(solo.now).complete);
    let said = solo.first.iter().filter_map(|output| match output {
        Output::Announce { announce, .. } => Some((announce.event, announce.left)),
        _ => None,
    });
    assert_eq!(said.collect::<Vec<_>>(), [(Some(AnnounceEvent::Started), 0)]);
    let (peer, _) = solo.connect_told(1);
    let mut out = solo.say(peer, Message::Have(PieceIndex(0)));
    out.extend(solo.say(peer, Message::Unchoke));
    assert!(sent(&out, peer).is_empty());
}
