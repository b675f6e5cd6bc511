//! What becomes of peers that send bad data, by each rule (DL-19, DL-22).

use bt_api::{PeerKey, PieceHash, PieceSet};
use bt_engine::settings::BadData;
use bt_engine::{CloseReason, Event, Input, Output, Verdict};

use crate::common::Node;
use crate::common::solo::{Solo, block, closes};

/// A leecher with this rule; pieces of one block.
fn leecher(rule: BadData) -> Solo {
    let mut node = Node::new(PieceSet::new(200));
    node.settings.peers.bad_data = rule;
    node.settings.requests.backlog = 200;
    Solo::new(1, node)
}

/// A peer that has these pieces and serves us.
fn sender(solo: &mut Solo, number: u8, pieces: std::ops::Range<u32>) -> PeerKey {
    solo.connect_open(number, &pieces.collect::<Vec<_>>()).0
}

fn send(solo: &mut Solo, peer: PeerKey, piece: u32, good: bool) -> Vec<Output> {
    solo.send_block(peer, block(piece, 0));
    if good { solo.good(piece) } else { solo.bad(piece) }
}

fn banned(outputs: &[Output]) -> Vec<bool> {
    let verdict = |output: &Output| match output {
        Output::Event(Event::BadData { banned, .. }) => Some(*banned),
        _ => None,
    };
    outputs.iter().filter_map(verdict).collect()
}

#[test]
fn keep_names_and_ban_bans_at_the_first() {
    let mut solo = leecher(BadData::Keep);
    let a = sender(&mut solo, 1, 0..10);
    let out = send(&mut solo, a, 0, false);
    assert_eq!((closes(&out), banned(&out)), (vec![], vec![false]));

    let mut solo = leecher(BadData::Ban);
    let a = sender(&mut solo, 1, 0..10);
    let out = send(&mut solo, a, 0, false);
    assert_eq!((closes(&out), banned(&out)), (vec![(a, CloseReason::Banned)], vec![true]));
}

#[test]
fn v39_closes_at_the_first_and_bans_at_the_third() {
    let mut solo = leecher(BadData::V39);
    for piece in 0..3 {
        let (a, out) = solo.incoming(1);
        assert!(closes(&out).is_empty(), "it may come back");
        solo.handshake(a, 1);
        solo.say(a, bt_engine::wire::Message::Bitfield(crate::common::solo::set(200, &[piece])));
        solo.say(a, bt_engine::wire::Message::Unchoke);
        let out = send(&mut solo, a, piece, false);
        let expected = if piece < 2 { CloseReason::BadData } else { CloseReason::Banned };
        assert_eq!((closes(&out), banned(&out)), (vec![(a, expected)], vec![piece == 2]));
    }
    let (again, out) = solo.incoming(1);
    assert_eq!(closes(&out), [(again, CloseReason::Banned)]);
}

#[test]
fn the_same_bad_piece_counts_once_and_good_ones_count_for_a_peer() {
    // The second in command of a piece that failed twice: somebody else must be able to send it.
    let mut solo = leecher(BadData::V39);
    let come = |solo: &mut Solo, pieces: &[u32]| solo.connect_open(1, pieces).0;
    for _ in 0..4 {
        let a = come(&mut solo, &[0]);
        assert_eq!(closes(&send(&mut solo, a, 0, false)), [(a, CloseReason::BadData)]);
    }
    // 90 good pieces allow three bad ones, and no fourth.
    let a = come(&mut solo, &(10..100).collect::<Vec<_>>());
    for piece in 10..100 {
        assert!(closes(&send(&mut solo, a, piece, true)).is_empty());
    }
    for (piece, reason) in [(1, CloseReason::BadData), (2, CloseReason::BadData), (3, CloseReason::Banned)] {
        let a = if piece == 1 { a } else { come(&mut solo, &[]) };
        solo.say(a, bt_engine::wire::Message::Unchoke);
        solo.say(a, bt_engine::wire::Message::Have(bt_api::PieceIndex(piece)));
        assert_eq!(closes(&send(&mut solo, a, piece, false)), [(a, reason)]);
    }
}

#[test]
fn bittornado_forgives_the_first_and_everything_while_there_are_few_peers() {
    let mut solo = leecher(BadData::Bittornado);
    let a = sender(&mut solo, 1, 0..10);
    solo.connect(2, &[]);
    for piece in 0..4 {
        let out = send(&mut solo, a, piece, false);
        assert_eq!((closes(&out), banned(&out)), (vec![], vec![false]), "two peers");
    }
    let mut solo = leecher(BadData::Bittornado);
    let a = sender(&mut solo, 1, 0..10);
    solo.connect(2, &[]);
    solo.connect(3, &[]);
    assert!(closes(&send(&mut solo, a, 0, false)).is_empty());
    assert_eq!(closes(&send(&mut solo, a, 1, false)), [(a, CloseReason::BadData)]);
    let a = sender(&mut solo, 1, 0..10);
    assert_eq!(closes(&send(&mut solo, a, 2, false)), [(a, CloseReason::Banned)]);
}

#[test]
fn bittornado_blames_itself_when_too_many_places_are_bad() {
    let mut solo = leecher(BadData::Bittornado);
    let peers: Vec<PeerKey> = (0..11_u32).map(|at| sender(&mut solo, at as u8, at * 4..at * 4 + 4)).collect();
    for (at, &peer) in peers.iter().enumerate().skip(1) {
        assert!(closes(&send(&mut solo, peer, at as u32 * 4, false)).is_empty(), "the first of each");
    }
    assert_eq!(closes(&send(&mut solo, peers[10], 41, false)), [(peers[10], CloseReason::BadData)]);
    assert!(closes(&send(&mut solo, peers[0], 0, false)).is_empty());
    assert!(closes(&send(&mut solo, peers[9], 37, false)).is_empty(), "eleven places sent bad data");
}

/// Two senders: who sent the block that differs from the good one did it, and the other is praised.
#[test]
fn v39_finds_the_one_of_two_that_did_it() {
    let mut node = Node::new(PieceSet::new(3));
    node.settings.peers.bad_data = BadData::V39;
    node.settings.requests.backlog = 1;
    let mut solo = Solo::new(2, node);
    let (a, _) = solo.connect_open(1, &[0]);
    let (b, _) = solo.connect_open(2, &[0]);
    let digests = |marks: [u8; 2]| marks.map(|mark| PieceHash([mark; 20])).to_vec();
    solo.send_block(a, block(0, 0));
    solo.send_block(b, block(0, 1));
    let piece = bt_api::PieceIndex(0);
    let result = Ok(Verdict::Bad(digests([1, 2])));
    assert!(closes(&solo.feed(Input::Finished { piece, result })).is_empty(), "it may be either");
    for at in 0..2 {
        let asked = |solo: &Solo, peer| solo.engine.piece_view().pieces().is_requested_of(block(0, at), peer);
        let from = if asked(&solo, a) { a } else { b };
        solo.send_block(from, block(0, at));
    }
    let result = Ok(Verdict::Good(digests([1, 3])));
    assert_eq!(closes(&solo.feed(Input::Finished { piece, result })), [(b, CloseReason::BadData)]);
}
