//! The fast extension, `choked-request = "reject"` (BEP 6).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bt_api::{BlockRef, PeerId, PeerKey, PieceIndex, PieceSet, StorageError, StorageErrorKind};
use bt_engine::settings::{ChokedRequest, UninterestedRequest};
use bt_engine::wire::Message;
use bt_engine::{Input, Output};

use crate::common::Node;
use crate::common::everyone::Everyone;
use crate::common::solo::{Solo, block, closes, requests, sent, set, uploads};

/// A client that knows the extension, and the switch of its choker.
fn client(have: PieceSet, blocks: u32) -> (Solo, Arc<AtomicBool>) {
    let (choke, open) = Everyone::switched();
    let mut node = Node { choke, ..Node::new(have) };
    node.settings.upload.choked_request = ChokedRequest::Reject;
    (Solo::new(blocks, node), open)
}

/// A peer that knows it too, and what it is told at first.
fn fast(solo: &mut Solo, number: u8) -> (PeerKey, Vec<Message>) {
    let (peer, mut out) = solo.incoming(number);
    out.extend(solo.feed(Input::Fast { peer }));
    out.extend(solo.feed(Input::Handshake { peer, id: PeerId([number; 20]) }));
    (peer, sent(&out, peer))
}

fn rejects(out: &[Output], peer: PeerKey) -> Vec<BlockRef> {
    let reject = |message| if let Message::Reject(block) = message { Some(block) } else { None };
    sent(out, peer).into_iter().filter_map(reject).collect()
}

#[test]
fn the_first_message_tells_of_all_or_none_or_some() {
    for (have, first) in [
        (PieceSet::new(3), Message::HaveNone),
        (PieceSet::full(3), Message::HaveAll),
        (set(3, &[1]), Message::Bitfield(set(3, &[1]))),
    ] {
        let (mut solo, _) = client(have.clone(), 1);
        assert_eq!(fast(&mut solo, 1).1[0], first);
        // Whoever does not know it is told as ever.
        let (other, out) = solo.connect_told(2);
        let told = sent(&out, other);
        assert_eq!(told.contains(&Message::Bitfield(have.clone())), !have.is_empty(), "{told:?}");
    }
}

#[test]
fn without_the_key_nothing_of_it_is_said() {
    let mut solo = Solo::new(1, Node::new(PieceSet::full(3)));
    let (_, told) = fast(&mut solo, 1);
    assert_eq!(told[0], Message::Bitfield(PieceSet::full(3)));
}

#[test]
fn have_all_and_have_none_stand_for_a_bitfield() {
    let (mut solo, _) = client(PieceSet::new(3), 1);
    let (a, _) = fast(&mut solo, 1);
    assert_eq!(sent(&solo.say(a, Message::HaveAll), a), [Message::Interested]);
    assert!(solo.engine.swarm().peer(a).unwrap().is_seed());
    let (b, _) = fast(&mut solo, 2);
    assert!(sent(&solo.say(b, Message::HaveNone), b).is_empty());
}

#[test]
fn every_request_that_is_not_served_is_rejected() {
    let (mut solo, open) = client(PieceSet::full(1), 8);
    let (a, _) = fast(&mut solo, 1);
    let slow = solo.connect(2, &[]);
    for peer in [a, slow] {
        solo.say(peer, Message::Interested);
        (0..4).for_each(|at| drop(solo.say(peer, Message::Request(block(0, at)))));
    }
    // One is on its way; of the three that wait one is taken back, and the choke rejects the others.
    assert_eq!(rejects(&solo.say(a, Message::Cancel(block(0, 2))), a), [block(0, 2)]);
    open.store(false, Ordering::Relaxed);
    let out = solo.wait_secs(2);
    assert_eq!(sent(&out, a), [Message::Choke, Message::Reject(block(0, 1)), Message::Reject(block(0, 3))]);
    assert_eq!(sent(&out, slow), [Message::Choke]);
    // And what is asked for while it is choked.
    assert_eq!(rejects(&solo.say(a, Message::Request(block(0, 5))), a), [block(0, 5)]);
    assert!(sent(&solo.say(slow, Message::Request(block(0, 5))), slow).is_empty());
}

#[test]
fn an_uninterested_request_and_a_failed_read_are_rejected() {
    let (choke, _) = Everyone::switched();
    let mut node = Node { choke, ..Node::new(PieceSet::full(1)) };
    node.settings.upload.choked_request = ChokedRequest::Reject;
    node.settings.upload.uninterested_request = UninterestedRequest::Ignore;
    let mut solo = Solo::new(8, node);
    let (a, _) = fast(&mut solo, 1);
    assert_eq!(rejects(&solo.say(a, Message::Request(block(0, 0))), a), [block(0, 0)]);
    solo.say(a, Message::Interested);
    assert_eq!(uploads(&solo.say(a, Message::Request(block(0, 1)))).len(), 1);
    let result = Err(StorageError::new(StorageErrorKind::Temporary, "not now"));
    let out = solo.feed(Input::Uploaded { peer: a, block: block(0, 1), result });
    assert_eq!(rejects(&out, a), [block(0, 1)]);
    assert!(closes(&out).is_empty(), "others are closed, since nothing can be said to them");
    assert_eq!(uploads(&solo.say(a, Message::Request(block(0, 2)))).len(), 1);
}

#[test]
fn our_requests_outlive_a_choke_until_they_are_rejected() {
    let (mut solo, _) = client(PieceSet::new(2), 8);
    let (a, _) = fast(&mut solo, 1);
    solo.say(a, Message::Bitfield(set(2, &[0])));
    let asked = requests(&solo.say(a, Message::Unchoke), a);
    assert_eq!(asked.len(), 5);
    let b = solo.connect(2, &[0]);
    let others = requests(&solo.say(b, Message::Unchoke), b);
    assert_eq!(others.len(), 3);
    let out = solo.say(a, Message::Choke);
    assert!(requests(&out, b).is_empty() && requests(&out, a).is_empty());
    // What was on its way still counts, what is rejected is asked of another.
    assert!(matches!(solo.send_block(a, asked[0])[0], Output::Keep { .. }));
    let out = solo.say(a, Message::Reject(asked[1]));
    assert_eq!(requests(&out, b), [asked[1]]);
    assert_eq!(solo.engine.swarm().peer(a).unwrap().requested, 3);
    // A reject of what is not under way means nothing.
    assert!(requests(&solo.say(a, Message::Reject(asked[1])), b).is_empty());
    assert!(requests(&solo.say(a, Message::Reject(block(1, 0))), b).is_empty());
    // A gone peer's requests are free at once.
    solo.say(b, Message::Reject(others[0]));
    solo.feed(Input::Closed { peer: a, reason: bt_engine::CloseReason::Remote });
    assert!(asked[2..].iter().all(|&block| !solo.engine.piece_view().pieces().is_requested_of(block, a)));
}

#[test]
fn who_serves_us_and_rejects_is_asked_for_little() {
    let (mut solo, _) = client(PieceSet::new(2), 8);
    let (a, _) = fast(&mut solo, 1);
    solo.say(a, Message::Bitfield(set(2, &[0])));
    let asked = requests(&solo.say(a, Message::Unchoke), a);
    for &block in &asked[..4] {
        assert!(requests(&solo.say(a, Message::Reject(block)), a).is_empty());
    }
    assert_eq!(requests(&solo.say(a, Message::Reject(asked[4])), a).len(), 1);
}

#[test]
fn pieces_that_are_allowed_fast_are_asked_for_while_choked() {
    let (mut solo, _) = client(PieceSet::new(4), 2);
    let (a, _) = fast(&mut solo, 1);
    solo.say(a, Message::Bitfield(set(4, &[0, 1, 2])));
    let out = solo.say(a, Message::AllowedFast(PieceIndex(2)));
    assert_eq!(requests(&out, a), [block(2, 0), block(2, 1)]);
    assert!(requests(&solo.say(a, Message::AllowedFast(PieceIndex(3))), a).is_empty(), "it lacks that");
    assert_eq!(requests(&solo.say(a, Message::Have(PieceIndex(3))), a), [block(3, 0), block(3, 1)]);
    // Once it says no, it is not asked again.
    assert!(requests(&solo.say(a, Message::Reject(block(2, 0))), a).is_empty());
    assert!(requests(&solo.say(a, Message::Suggest(PieceIndex(1))), a).is_empty());
    assert_eq!(solo.engine.policy_violations(), 0);
    // Nobody else is: without the extension there is no such message.
    let b = solo.connect(2, &[0, 1]);
    assert!(requests(&solo.say(b, Message::AllowedFast(PieceIndex(1))), b).is_empty());
}
