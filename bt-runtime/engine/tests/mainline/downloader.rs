//! Cases 74 and 100 to 113: what is asked of whom (DL-1 to DL-20).

use std::time::Duration;

use bt_api::config::Limit;
use bt_api::{BlockRef, Instant, PeerKey, PieceIndex, PieceSet, config};
use bt_engine::settings::{BacklogMode, RequestSettings};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Event, Output};

use crate::common::everyone::Everyone;
use crate::common::solo::{Solo, block, closes, requests, sent, set};
use crate::common::{BLOCK, Node};

fn leecher(pieces: u32, blocks: u32) -> Solo {
    Solo::new(blocks, Node::new(PieceSet::new(pieces)))
}

fn requested(solo: &Solo, peer: PeerKey) -> u32 {
    solo.engine.swarm().peer(peer).unwrap().requested
}

fn interest(outputs: &[Output], of: PeerKey) -> Vec<Message> {
    let mut said = sent(outputs, of);
    said.retain(|message| matches!(message, Message::Interested | Message::NotInterested));
    said
}

fn began_endgame(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Event(Event::Endgame { .. })))
}

#[test]
fn case_100_interest_then_five_requests_then_one_for_each_block() {
    let mut solo = leecher(1, 16);
    let (a, _) = solo.connect_told(1);
    let out = solo.say(a, Message::Bitfield(set(1, &[0])));
    assert_eq!(sent(&out, a), [Message::Interested]);
    let out = solo.say(a, Message::Unchoke);
    let expected: Vec<BlockRef> = (0..5).map(|at| block(0, at)).collect();
    assert_eq!(requests(&out, a), expected);
    assert!(interest(&out, a).is_empty());
    for at in 0..11 {
        assert_eq!(sent(&solo.send_block(a, block(0, at)), a), [Message::Request(block(0, at + 5))]);
    }
}

#[test]
fn case_101_a_peer_with_nothing_that_we_want_does_not_interest_us() {
    let mut solo = Solo::new(4, Node::new(set(3, &[1])));
    let (a, _) = solo.connect_told(1);
    let out = solo.say(a, Message::Bitfield(set(3, &[1])));
    assert!(interest(&out, a).is_empty());
    assert!(requests(&solo.say(a, Message::Unchoke), a).is_empty());
}

#[test]
fn case_102_a_have_while_unchoked_interests_and_is_asked_for() {
    let mut solo = leecher(3, 2);
    let (a, asked) = solo.connect_open(1, &[]);
    assert!(asked.is_empty());
    let out = solo.say(a, Message::Have(PieceIndex(2)));
    let expected = [Message::Interested, Message::Request(block(2, 0)), Message::Request(block(2, 1))];
    assert_eq!(sent(&out, a), expected);
}

#[test]
fn case_103_a_choke_frees_blocks_for_those_who_serve_and_interests_the_others() {
    // Piece 1 is out of reach, so that no endgame begins.
    let mut solo = leecher(2, 8);
    let (a, first) = solo.connect_open(1, &[0]);
    let (b, second) = solo.connect_open(2, &[0]);
    let c = solo.connect(3, &[0]);
    assert_eq!((first.len(), second.len()), (5, 3));
    assert!(!solo.engine.swarm().peer(c).unwrap().am_interested);
    let out = solo.say(a, Message::Choke);
    assert_eq!(requests(&out, b), [block(0, 0), block(0, 1)]);
    assert_eq!(interest(&out, c), [Message::Interested]);
    assert!(interest(&out, a).is_empty());
    assert_eq!((requested(&solo, a), requested(&solo, b), requested(&solo, c)), (0, 5, 0));
}

#[test]
fn case_104_a_block_that_was_not_asked_for_is_dropped_and_forgiven() {
    let mut solo = leecher(1, 16);
    let (a, asked) = solo.connect_open(1, &[0]);
    let unasked = block(0, 10);
    let short = BlockRef { length: BLOCK - 1, ..asked[0] };
    for (number, wrong) in [unasked, short].into_iter().enumerate() {
        let out = solo.send_block(a, wrong);
        assert!(matches!(out[0], Output::Drop { .. }), "{out:?}");
        assert!(closes(&out).is_empty());
        let status = solo.engine.status(solo.now);
        assert_eq!((status.downloaded, status.download_rate), (0, 0));
        assert_eq!(status.wasted, [u64::from(BLOCK), u64::from(2 * BLOCK - 1)][number]);
    }
    assert_eq!(requested(&solo, a), 5);
}

#[test]
fn case_105_who_has_nothing_left_for_us_is_told_and_stays_in_endgame() {
    let mut solo = leecher(2, 5);
    let b = solo.connect(2, &[0]);
    let a = solo.connect(1, &[0]);
    assert!(solo.engine.swarm().peer(b).unwrap().am_interested);
    let out = solo.say(a, Message::Unchoke);
    assert_eq!(interest(&out, b), [Message::NotInterested]);
    assert!(!began_endgame(&out));

    let mut solo = leecher(1, 5);
    let b = solo.connect(2, &[0]);
    let a = solo.connect(1, &[0]);
    let out = solo.say(a, Message::Unchoke);
    assert_eq!(requests(&out, a).len(), 5);
    assert!(began_endgame(&out));
    assert!(interest(&out, b).is_empty());
    assert!(solo.engine.swarm().peer(b).unwrap().am_interested);
}

#[test]
fn case_106_a_failed_piece_is_asked_for_again_and_nobody_is_closed() {
    let mut solo = leecher(2, 4);
    let (a, asked) = solo.connect_open(1, &[0]);
    assert_eq!(asked.len(), 4);
    let finished: Vec<Output> = asked.iter().flat_map(|&block| solo.send_block(a, block)).collect();
    assert!(finished.iter().any(|output| matches!(output, Output::Finish { .. })));
    let out = solo.bad(0);
    assert_eq!(requests(&out, a), asked);
    assert!(closes(&out).is_empty());
    let failures = |output: &&Output| matches!(output, Output::Event(Event::PieceFailed { .. }));
    assert_eq!(out.iter().filter(failures).count(), 1);
    assert_eq!(solo.engine.status(solo.now).hash_failures, 1);
}

#[test]
fn case_107_endgame_asks_twice_and_cancels_where_it_is_no_longer_needed() {
    let mut orders = Vec::new();
    for seed in 0..20 {
        let mut solo = Solo::with(1, Node::new(PieceSet::new(2)), |setup| setup.seed = seed);
        let (a, x) = solo.connect_open(1, &[0]);
        let (b, y) = solo.connect_open(2, &[1]);
        assert_eq!((&x[..], &y[..]), (&[block(0, 0)][..], &[block(1, 0)][..]));
        let (c, both) = solo.connect_open(3, &[0, 1]);
        assert_eq!(both.len(), 2);
        orders.push(both[0]);
        let out = solo.send_block(c, block(0, 0));
        assert_eq!(sent(&out, a), [Message::Cancel(block(0, 0)), Message::NotInterested]);
        assert!(sent(&out, b).is_empty());
    }
    assert!(orders.contains(&block(0, 0)) && orders.contains(&block(1, 0)), "always in one order");
}

#[test]
fn case_108_endgame_keeps_to_the_backlog() {
    let mut node = Node::new(PieceSet::new(1));
    node.settings.requests.backlog = 3;
    let mut solo = Solo::new(10, node);
    let peers: Vec<PeerKey> = (1..=5).map(|number| solo.connect_open(number, &[0]).0).collect();
    assert!(solo.engine.status(solo.now).endgame);
    assert!(peers.iter().all(|&peer| requested(&solo, peer) == 3));
    let out = solo.send_block(peers[0], block(0, 0));
    assert_eq!(requests(&out, peers[0]).len(), 1);
    assert!(peers.iter().all(|&peer| requested(&solo, peer) == 3));
}

#[test]
fn case_109_a_choke_in_endgame_does_not_end_it() {
    let mut solo = leecher(1, 5);
    let (a, asked) = solo.connect_open(1, &[0]);
    assert_eq!(asked.len(), 5);
    let out = solo.say(a, Message::Choke);
    assert!(solo.engine.status(solo.now).endgame);
    assert!(interest(&out, a).is_empty());
    let again = requests(&solo.say(a, Message::Unchoke), a);
    assert_eq!(again.len(), 5);
    assert!(again.iter().all(|block| asked.contains(block)));
}

#[test]
fn case_110_a_piece_that_fails_in_endgame_is_asked_of_everyone_again() {
    let mut solo = leecher(1, 4);
    let (a, asked) = solo.connect_open(1, &[0]);
    let (b, _) = solo.connect_open(2, &[0]);
    asked.iter().for_each(|&block| drop(solo.send_block(a, block)));
    let out = solo.bad(0);
    assert_eq!((requests(&out, a).len(), requests(&out, b).len()), (4, 4));
}

#[test]
fn case_111_a_seed_keeps_no_seeds() {
    let mut solo = leecher(2, 1);
    let (a, _) = solo.connect_open(1, &[0, 1]);
    let b = solo.connect(2, &[0]);
    let (late, _) = solo.connect_told(3);
    for piece in [0, 1] {
        solo.send_block(a, block(piece, 0));
    }
    assert!(closes(&solo.good(0)).is_empty());
    assert_eq!(closes(&solo.good(1)), [(a, CloseReason::BothSeeds)]);
    assert!(solo.engine.swarm().peer(b).is_some());
    let out = solo.say(late, Message::Bitfield(PieceSet::full(2)));
    assert_eq!(closes(&out), [(late, CloseReason::BothSeeds)]);
    let out = solo.say(b, Message::Have(PieceIndex(1)));
    assert_eq!(closes(&out), [(b, CloseReason::BothSeeds)]);
}

#[test]
fn case_112_who_leaves_takes_its_pieces_along() {
    let mut solo = leecher(3, 1);
    let a = solo.connect(1, &[0, 1]);
    solo.connect(2, &[1, 2]);
    let availability = |solo: &Solo| {
        [0, 1, 2].map(|piece| solo.engine.piece_view().pieces().availability(PieceIndex(piece)))
    };
    assert_eq!(availability(&solo), [1, 2, 1]);
    solo.feed(bt_engine::Input::Closed { peer: a, reason: CloseReason::Remote });
    assert_eq!(availability(&solo), [0, 1, 1]);
}

/// What is under way with a peer that sent so many blocks in the last four seconds.
fn backlog_after(blocks_in: u32, edit: impl FnOnce(&mut RequestSettings)) -> u32 {
    let mut node = Node::new(PieceSet::new(1));
    node.settings.requests.backlog_mode = BacklogMode::Rate;
    node.settings.requests.backlog = 2;
    node.settings.rate.download_fudge = config::Duration::secs(0);
    edit(&mut node.settings.requests);
    let mut solo = Solo::new(16_384, node);
    let (a, _) = solo.connect_open(1, &[0]);
    solo.now = Instant::ZERO + Duration::from_secs(4);
    for at in 0..blocks_in {
        solo.send_block(a, block(0, at));
    }
    requested(&solo, a)
}

/// DL-20.
#[test]
fn case_113_the_backlog_follows_the_rate() {
    // 16 blocks in four seconds are 65536 bytes a second, 256 are 1 MiB a second.
    for (blocks_in, expected) in [(0, 2), (16, 18), (48, 50), (49, 50), (256, 50), (800, 60)] {
        assert_eq!(backlog_after(blocks_in, |_| {}), expected, "after {blocks_in} blocks");
    }
}

#[test]
fn the_backlog_may_have_no_knee_and_a_limit() {
    let no_knee = |requests: &mut RequestSettings| requests.backlog_knee = Limit::Unlimited;
    assert_eq!(backlog_after(100, no_knee), 102);
    assert_eq!(backlog_after(400, no_knee), 250);
    let no_limit = |requests: &mut RequestSettings| requests.max_backlog = Limit::Unlimited;
    assert_eq!(backlog_after(4000, no_limit), 300, "0.075 of 4002");
}

/// DL-14: until mid-2003 every missing block was asked of every peer.
#[test]
fn endgame_may_go_beyond_the_backlog() {
    let mut node = Node::new(PieceSet::new(2));
    node.settings.requests.backlog = 3;
    node.settings.requests.endgame_respects_backlog = false;
    let mut solo = Solo::new(4, node);
    let (a, _) = solo.connect_open(1, &[0, 1]);
    assert_eq!(requested(&solo, a), 3);
    let (b, _) = solo.connect_open(2, &[0, 1]);
    assert_eq!((requested(&solo, a), requested(&solo, b)), (3, 3), "two blocks are open: no endgame yet");
    let (c, _) = solo.connect_open(3, &[0, 1]);
    assert_eq!([a, b, c].map(|peer| requested(&solo, peer)), [8, 8, 8]);
}

/// CH-13, the engine's part: a peer is snubbed when its last block is more than the snub time ago, and one that never
/// sent any from the start.
#[test]
fn case_74_a_peer_that_is_silent_for_31_seconds_snubs_us() {
    let mut solo = leecher(1, 16);
    let (a, asked) = solo.connect_open(1, &[0]);
    let snubs = |solo: &Solo| solo.engine.swarm().peer(a).unwrap().snubbed;
    assert!(snubs(&solo));
    solo.send_block(a, asked[0]);
    solo.wait_secs(30);
    assert!(!snubs(&solo));
    solo.wait_secs(1);
    assert!(snubs(&solo));
    solo.send_block(a, asked[1]);
    assert!(!snubs(&solo));
}

#[test]
fn in_endgame_the_last_block_of_a_piece_ends_the_interest_of_its_other_holders() {
    let mut solo = leecher(1, 2);
    let (a, asked) = solo.connect_open(1, &[0]);
    let b = solo.connect(2, &[0]);
    assert!(solo.engine.swarm().peer(b).unwrap().am_interested);
    assert!(interest(&solo.send_block(a, asked[0]), b).is_empty());
    assert_eq!(interest(&solo.send_block(a, asked[1]), b), [Message::NotInterested]);
}

#[test]
fn blocks_of_a_peer_that_is_closed_while_it_is_served_are_asked_of_others_at_once() {
    // Piece 1 is out of reach, so that no endgame begins; piece 2 is what we have.
    let node = Node { choke: Everyone::boxed(), ..Node::new(set(3, &[2])) };
    let mut solo = Solo::new(4, node);
    let (a, asked) = solo.connect_open(1, &[0]);
    let (b, none) = solo.connect_open(2, &[0]);
    assert_eq!((asked.len(), none.len()), (4, 0));
    solo.say(a, Message::Interested);
    let past_the_end = BlockRef { length: BLOCK + 1, ..block(2, 3) };
    let out = solo.say(a, Message::Request(past_the_end));
    assert_eq!(closes(&out), [(a, CloseReason::BadRequest)]);
    assert_eq!(requests(&out, b).len(), 4);
}

#[test]
fn an_answer_about_a_piece_that_is_not_whole_means_nothing() {
    let mut solo = leecher(2, 2);
    let (a, asked) = solo.connect_open(1, &[0]);
    assert!(solo.good(0).is_empty() && solo.bad(0).is_empty() && solo.good(1).is_empty());
    asked.iter().for_each(|&block| drop(solo.send_block(a, block)));
    assert_eq!(requests(&solo.bad(0), a), asked);
    assert!(solo.bad(0).is_empty(), "a second answer");
    assert_eq!(requested(&solo, a), 2);
}
