//! Super-seeding, case 136 and the rules SS-1 to SS-9 (BEP 16), as `super-seeding` of `rarest-first` has it.

use std::collections::BTreeSet;
use std::time::Duration;

use bt_api::{Instant, PeerKey, PieceIndex, PiecePolicy, PieceSet};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Input, Output};
use bt_policies::piece::rarest_first::{Config, RarestFirst};

use crate::common::everyone::Everyone;
use crate::common::solo::{Solo, block, closes, sent, set};
use crate::common::{BLOCK, Network, Node};

const PIECES: u32 = 12;

fn policy(super_seed_slots: usize) -> Box<dyn PiecePolicy> {
    Box::new(RarestFirst::new(Config { super_seeding: true, super_seed_slots, ..Config::default() }))
}

/// A super-seed; `slots` of 0 make it wait for the pieces to be passed on, whoever is interested.
fn seed(slots: usize) -> Solo {
    let choke = Everyone::boxed();
    Solo::new(1, Node { choke, piece: policy(slots), ..Node::new(PieceSet::full(PIECES)) })
}

/// The pieces that `peer` was told of; a bitfield is a mistake.
fn told(out: &[Output], peer: PeerKey) -> Vec<u32> {
    let have = |message| match message {
        Message::Have(piece) => Some(piece.0),
        Message::Bitfield(_) => panic!("a bitfield"),
        _ => None,
    };
    sent(out, peer).into_iter().filter_map(have).collect()
}

fn has(solo: &mut Solo, peer: PeerKey, piece: u32) -> Vec<Output> {
    solo.say(peer, Message::Have(PieceIndex(piece)))
}

/// The first pieces that so many peers are told of.
fn first_pieces(solo: &mut Solo, peers: u8) -> Vec<(PeerKey, u32)> {
    let keys: Vec<PeerKey> = (1..=peers)
        .map(|number| {
            let (peer, out) = solo.connect_told(number);
            assert!(told(&out, peer).is_empty());
            peer
        })
        .collect();
    let out = solo.wait_secs(20);
    let first = |&peer: &PeerKey| {
        let told = told(&out, peer);
        assert_eq!(told.len(), 1, "{told:?}");
        (peer, told[0])
    };
    keys.iter().map(first).collect()
}

/// SS-1, SS-4, SS-8.
#[test]
fn case_136_each_peer_is_told_of_one_piece_until_another_has_it() {
    let mut solo = seed(0);
    let told_of = first_pieces(&mut solo, 3);
    let [(a, x), (b, y), (c, z)] = told_of[..] else { panic!("three peers") };
    assert_eq!(BTreeSet::from([x, y, z]).len(), 3, "different pieces");
    // That it has the piece itself is no news.
    has(&mut solo, a, x);
    assert!(told(&solo.wait_secs(60), a).is_empty());
    // That another has it is.
    has(&mut solo, b, x);
    let out = solo.wait_secs(5);
    let next = told(&out, a);
    assert_eq!(next.len(), 1);
    assert!(![x, y, z].contains(&next[0]), "{next:?}");
    assert!(told(&out, b).is_empty() && told(&out, c).is_empty());
    // What was not shown may not be asked for.
    for peer in [a, b] {
        solo.say(peer, Message::Interested);
    }
    for piece in [x, next[0]] {
        assert!(closes(&solo.say(a, Message::Request(block(piece, 0)))).is_empty());
    }
    let hidden = (0..PIECES).find(|piece| ![x, y, z, next[0]].contains(piece)).unwrap();
    let out = solo.say(b, Message::Request(block(hidden, 0)));
    assert_eq!(closes(&out), [(b, CloseReason::BadRequest)]);
}

/// SS-1.
#[test]
fn the_last_piece_closes_all_connections_and_new_peers_get_no_bitfield() {
    let mut solo =
        Solo::new(1, Node { piece: policy(4), ..Node::new(set(PIECES, &(1..PIECES).collect::<Vec<_>>())) });
    let (a, out) = solo.connect_told(1);
    assert_eq!(sent(&out, a)[0], Message::Bitfield(set(PIECES, &(1..PIECES).collect::<Vec<_>>())));
    let b = solo.connect(2, &[0]);
    solo.say(b, Message::Unchoke);
    solo.send_block(b, block(0, 0));
    let mut closed = closes(&solo.good(0));
    closed.sort_by_key(|(peer, _)| *peer);
    assert_eq!(closed, [(a, CloseReason::Policy), (b, CloseReason::Policy)]);
    let (c, out) = solo.connect_told(3);
    assert!(told(&out, c).is_empty() && closes(&out).is_empty());
}

/// SS-2, SS-3: every five seconds, and nothing for ten seconds after the first time.
#[test]
fn the_first_piece_is_shown_ten_seconds_after_the_first_look() {
    let mut solo = seed(4);
    let a = solo.connect(1, &[]);
    assert!(told(&solo.wait(Duration::from_millis(14_999)), a).is_empty());
    assert_eq!(told(&solo.wait(Duration::from_millis(2)), a).len(), 1);
    // Later comers wait for the next look only.
    let b = solo.connect(2, &[]);
    assert_eq!(told(&solo.wait_secs(5), b).len(), 1);
}

/// SS-2, SS-4: while few are interested, the announcement of the peer itself is enough, for as many as slots are free.
#[test]
fn pieces_are_shown_more_freely_while_slots_are_free() {
    let mut solo = seed(2);
    let told_of = first_pieces(&mut solo, 3);
    for &(peer, piece) in &told_of {
        has(&mut solo, peer, piece);
    }
    let count = |out: &[Output]| told_of.iter().map(|&(peer, _)| told(out, peer).len()).sum::<usize>();
    assert_eq!(count(&solo.wait_secs(5)), 2, "two slots");
    assert_eq!(count(&solo.wait_secs(5)), 1);

    let mut solo = seed(2);
    let told_of = first_pieces(&mut solo, 3);
    for &(peer, piece) in &told_of {
        solo.say(peer, Message::Interested);
        has(&mut solo, peer, piece);
    }
    let count = |out: &[Output]| told_of.iter().map(|&(peer, _)| told(out, peer).len()).sum::<usize>();
    assert_eq!(count(&solo.wait_secs(30)), 0, "three are interested");
}

/// SS-5.
#[test]
fn who_comes_back_has_its_piece_still_to_pass_on() {
    let mut solo = seed(0);
    let told_of = first_pieces(&mut solo, 3);
    let [(a, x), (b, _), (c, _)] = told_of[..] else { panic!("three peers") };
    solo.feed(Input::Closed { peer: a, reason: CloseReason::Remote });
    let (again, out) = solo.connect_told(1);
    assert!(told(&out, again).is_empty());
    assert_eq!(told(&solo.wait(Duration::from_millis(2)), again), [x], "the same once more");
    has(&mut solo, again, x);
    has(&mut solo, b, x);
    assert!(told(&solo.wait_secs(10), again).is_empty(), "one more than otherwise");
    has(&mut solo, c, x);
    let next = told(&solo.wait_secs(5), again);
    assert_eq!(next.len(), 1);
    // From now on it is like any other.
    has(&mut solo, again, next[0]);
    has(&mut solo, b, next[0]);
    assert_eq!(told(&solo.wait_secs(5), again).len(), 1);
}

/// SS-6.
#[test]
fn who_is_never_interested_is_closed_at_the_third_check() {
    for interested in [false, true] {
        let mut solo = seed(0);
        let told_of = first_pieces(&mut solo, 3);
        let (a, mut piece) = told_of[0];
        if interested {
            solo.say(a, Message::Interested);
            solo.wait_secs(5);
            solo.say(a, Message::NotInterested);
        }
        for check in 1..=3 {
            for &(peer, _) in &told_of[1..] {
                has(&mut solo, peer, piece);
            }
            let out = solo.wait_secs(5);
            if check == 3 && !interested {
                assert_eq!(closes(&out), [(a, CloseReason::Policy)]);
            } else {
                assert!(closes(&out).iter().all(|(peer, _)| *peer != a), "check {check}");
                piece = told(&out, a)[0];
            }
        }
    }
}

/// SS-7.
#[test]
fn the_piece_is_one_that_fewest_have_or_were_shown() {
    let mut found = BTreeSet::new();
    for run in 0..30 {
        let node = Node { choke: Everyone::boxed(), piece: policy(9), ..Node::new(PieceSet::full(5)) };
        let mut solo = Solo::with(1, node, |setup| setup.seed = run);
        // Pieces 0 and 1 are there already.
        let a = solo.connect(1, &[0, 1]);
        let b = solo.connect(2, &[]);
        let out = solo.wait_secs(15);
        let (first, second) = (told(&out, a)[0], told(&out, b)[0]);
        assert!(first != second && first > 1 && second > 1, "{first} {second}");
        found.insert(first);
    }
    assert_eq!(found, BTreeSet::from([2, 3, 4]), "one of equals by chance");
}

/// SS-9, whichever rule closes it.
#[test]
fn a_fellow_seed_is_told_and_closed() {
    for (drop_seeds_when_complete, reason) in [(true, CloseReason::BothSeeds), (false, CloseReason::Policy)] {
        let mut node = Node { piece: policy(4), ..Node::new(PieceSet::full(PIECES)) };
        node.settings.requests.drop_seeds_when_complete = drop_seeds_when_complete;
        let mut solo = Solo::new(1, node);
        let (a, _) = solo.connect_told(1);
        let out = solo.say(a, Message::Bitfield(PieceSet::full(PIECES)));
        assert_eq!(sent(&out, a), [Message::Bitfield(PieceSet::full(PIECES))]);
        assert_eq!(closes(&out), [(a, reason)]);
    }
}

#[test]
fn nobody_there_means_nothing_to_do() {
    let mut solo = seed(4);
    let a = solo.connect(1, &[]);
    solo.wait_secs(20);
    solo.feed(Input::Closed { peer: a, reason: CloseReason::Remote });
    let mut wakeups = 0;
    let end = solo.now + Duration::from_secs(60);
    while let Some(at) = solo.engine.next_wakeup().filter(|&at| at <= end) {
        solo.now = solo.now.max(at);
        solo.feed(Input::Wakeup);
        wakeups += 1;
    }
    assert!(wakeups < 100, "{wakeups} wake-ups in a minute");
}

/// How much the first seed sent, in copies of the torrent, before another peer had all of it.
fn copies(super_seeding: bool, run: u64) -> f64 {
    let (pieces, blocks) = (60, 4);
    let piece =
        Box::new(RarestFirst::new(Config { super_seeding, super_seed_slots: 4, ..Config::default() }));
    let mut nodes = vec![Node { piece, up: 128 << 10, ..Node::new(PieceSet::full(pieces)) }];
    nodes.extend((0..8).map(|_| Node { up: 128 << 10, ..Node::new(PieceSet::new(pieces)) }));
    let mut network = Network::new(pieces, blocks, run, false, nodes);
    network.start();
    let second = |network: &Network| network.nodes[1..].iter().any(|node| node.engine.have().is_full());
    assert!(network.run(Instant::from_secs(7200), second), "no second seed in two hours");
    network.nodes[0].engine.swarm().own().uploaded as f64 / f64::from(pieces * blocks * BLOCK)
}

#[test]
fn a_super_seed_sends_little_more_than_one_copy() {
    for run in 0..5 {
        let (plain, careful) = (copies(false, run), copies(true, run));
        assert!(careful < 1.3 && plain > 1.3, "{careful} copies, a plain seed {plain}");
    }
}
