//! Cases 76, 114 to 118 and 121: who gets blocks (UP-1 to UP-10, CN-11). The limit on upload is in `upload_limit.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bt_api::{BlockRef, PeerKey, PieceIndex, PieceSet};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Output};

use crate::common::everyone::Everyone;
use crate::common::solo::{Solo, block, closes, sent, set, uploads};
use crate::common::{BLOCK, Node};

/// A node that serves everyone while the switch is on.
pub(crate) fn open_node(have: PieceSet) -> (Node, Arc<AtomicBool>) {
    let (choke, open) = Everyone::switched();
    (Node { choke, ..Node::new(have) }, open)
}

fn seed(pieces: u32, blocks: u32) -> (Solo, Arc<AtomicBool>) {
    let (node, open) = open_node(PieceSet::full(pieces));
    (Solo::new(blocks, node), open)
}

/// A peer that wants our pieces and is unchoked.
pub(crate) fn customer(solo: &mut Solo, number: u8) -> PeerKey {
    let peer = solo.connect(number, &[]);
    solo.say(peer, Message::Interested);
    peer
}

pub(crate) fn ask(solo: &mut Solo, peer: PeerKey, block: BlockRef) -> Vec<Output> {
    solo.say(peer, Message::Request(block))
}

/// CH-8.
#[test]
fn case_76_a_round_that_changes_nothing_sends_nothing() {
    let (mut solo, open) = seed(1, 8);
    let a = customer(&mut solo, 1);
    assert!(sent(&solo.wait_secs(10), a).is_empty(), "ten rounds that unchoke it");
    open.store(false, Ordering::Relaxed);
    assert_eq!(sent(&solo.wait_secs(10), a), [Message::Choke], "ten rounds that choke it");
}

#[test]
fn case_114_the_bitfield_comes_first_and_only_when_there_is_something_to_tell() {
    let (nothing, _) = open_node(PieceSet::new(3));
    let mut solo = Solo::new(1, nothing);
    let (a, out) = solo.connect_told(1);
    assert_eq!(sent(&out, a), [Message::Unchoke]);

    let (one, _) = open_node(set(3, &[1]));
    let mut solo = Solo::new(1, one);
    let (a, out) = solo.connect_told(1);
    assert_eq!(sent(&out, a), [Message::Bitfield(set(3, &[1])), Message::Unchoke]);
}

#[test]
fn case_115_requests_without_interest_or_too_long_close_and_while_choked_are_silent() {
    let long = |length| BlockRef { piece: PieceIndex(0), begin: 0, length };
    let (mut solo, _) = seed(1, 8);
    let a = solo.connect(1, &[]);
    assert_eq!(closes(&ask(&mut solo, a, block(0, 0))), [(a, CloseReason::UninterestedRequest)]);
    let b = customer(&mut solo, 2);
    assert_eq!(closes(&ask(&mut solo, b, long(131_073))), [(b, CloseReason::BadRequest)]);
    let c = customer(&mut solo, 3);
    assert_eq!(uploads(&ask(&mut solo, c, long(131_072))), [(c, long(131_072))]);
    // A length of 0 closes too (SW-25).
    assert_eq!(closes(&ask(&mut solo, c, long(0))), [(c, CloseReason::BadRequest)]);

    let (mut solo, open) = seed(1, 8);
    open.store(false, Ordering::Relaxed);
    let d = customer(&mut solo, 4);
    let out = ask(&mut solo, d, block(0, 0));
    assert!(uploads(&out).is_empty() && closes(&out).is_empty() && sent(&out, d).is_empty());
    assert_eq!(solo.engine.swarm().peer(d).unwrap().queued, 0);
}

#[test]
fn case_116_a_cancelled_request_is_not_sent_and_a_choke_cancels_all() {
    let (mut solo, open) = seed(1, 8);
    let a = customer(&mut solo, 1);
    assert_eq!(uploads(&ask(&mut solo, a, block(0, 7))), [(a, block(0, 7))]);
    for at in 0..3 {
        assert!(uploads(&ask(&mut solo, a, block(0, at))).is_empty(), "its socket is busy");
    }
    solo.say(a, Message::Cancel(block(0, 1)));
    assert_eq!(uploads(&solo.uploaded(a, block(0, 7))), [(a, block(0, 0))]);
    assert_eq!(uploads(&solo.uploaded(a, block(0, 0))), [(a, block(0, 2))]);
    assert!(uploads(&solo.uploaded(a, block(0, 2))).is_empty());

    ask(&mut solo, a, block(0, 7));
    ask(&mut solo, a, block(0, 0));
    open.store(false, Ordering::Relaxed);
    assert_eq!(sent(&solo.wait_secs(2), a), [Message::Choke]);
    assert!(uploads(&solo.uploaded(a, block(0, 7))).is_empty());
}

#[test]
fn case_117_a_choke_forgets_requests_for_good() {
    let (mut solo, open) = seed(1, 8);
    let a = customer(&mut solo, 1);
    (0..3).for_each(|at| drop(ask(&mut solo, a, block(0, at))));
    open.store(false, Ordering::Relaxed);
    solo.wait_secs(2);
    open.store(true, Ordering::Relaxed);
    let mut out = solo.wait_secs(2);
    assert_eq!(sent(&out, a), [Message::Unchoke]);
    out.extend(solo.uploaded(a, block(0, 0)));
    assert!(uploads(&out).is_empty());
}

#[test]
fn case_118_a_request_for_what_is_not_there_closes_when_its_turn_comes() {
    let (node, _) = open_node(set(2, &[0]));
    let mut solo = Solo::new(8, node);
    let past_its_end = BlockRef { piece: PieceIndex(0), begin: 7 * BLOCK + 1, length: BLOCK };
    let past_all = BlockRef { piece: PieceIndex(0), begin: u32::MAX, length: BLOCK };
    for (number, wrong) in [block(1, 0), past_its_end, past_all].into_iter().enumerate() {
        let a = customer(&mut solo, number as u8);
        assert_eq!(uploads(&ask(&mut solo, a, block(0, 0))).len(), 1);
        assert!(closes(&ask(&mut solo, a, wrong)).is_empty(), "its turn has not come");
        let out = solo.uploaded(a, block(0, 0));
        assert_eq!(closes(&out), [(a, CloseReason::BadRequest)]);
        assert!(uploads(&out).is_empty());
    }
}

#[test]
fn case_121_a_whole_piece_is_announced_to_all_and_nothing_less() {
    let mut solo = Solo::new(2, Node::new(PieceSet::new(2)));
    let (a, asked) = solo.connect_open(1, &[0]);
    let b = solo.connect(2, &[0, 1]);
    let haves = |out: &[Output], of| {
        sent(out, of).iter().filter(|message| matches!(message, Message::Have(_))).count()
    };
    let mut half = solo.send_block(a, asked[0]);
    half.extend(solo.send_block(a, asked[1]));
    half.extend(solo.bad(0));
    assert_eq!(haves(&half, a) + haves(&half, b), 0);
    asked.iter().for_each(|&block| drop(solo.send_block(a, block)));
    let out = solo.good(0);
    for peer in [a, b] {
        assert!(sent(&out, peer).contains(&Message::Have(PieceIndex(0))));
        assert_eq!(haves(&out, peer), 1);
    }
}
