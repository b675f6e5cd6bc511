//! Policies that answer what cannot be, or panic: counted and named, never obeyed, and the swarm goes on.

use std::collections::BTreeSet;

use bt_api::testkit::odd::{Config, Fault, OddChoke, OddPiece};
use bt_api::{BlockRef, ChokePolicy, Instant, PeerKey, Pick, PieceIndex, PiecePolicy, PieceSet, Plugin};
use bt_engine::{Event, Output};

use crate::common::everyone::Everyone;
use crate::common::solo::{Solo, block, closes, sent};
use crate::common::{BLOCK, Network, Node};
use crate::picking::Made;

const HOUR: Instant = Instant::from_secs(3600);

/// A choke policy that serves everyone, with a fault.
fn choke(at: &str, fault: Fault) -> Box<dyn ChokePolicy> {
    OddChoke::build(Config::of([(at, fault)])).expect("it can be so")
}

/// A piece policy that asks in order, with a fault.
fn piece(at: &str, fault: Fault) -> Box<dyn PiecePolicy> {
    OddPiece::build(Config::of([(at, fault)])).expect("it can be so")
}

/// What a policy answered that cannot be, as it was told.
fn violations<'a>(network: &'a Network, node: usize, name: &str) -> Vec<&'a str> {
    let told = network.nodes[node].events.iter().filter_map(|(_, event)| match event {
        Event::PolicyViolation { policy, message } if policy == name => Some(message.as_str()),
        _ => None,
    });
    told.collect()
}

fn swarm_with(edit: impl FnOnce(&mut Node)) -> Network {
    let mut seed = Node { choke: Everyone::boxed(), ..Node::new(PieceSet::full(10)) };
    edit(&mut seed);
    let nodes = vec![seed, Node::new(PieceSet::new(10)), Node::new(PieceSet::new(10))];
    Network::new(10, 4, 1, true, nodes)
}

#[test]
fn wrong_answers_of_a_choke_policy_are_counted_and_left_out() {
    for (at, wrong) in [
        ("choose", &["unchoked 1 peers that are not connected"][..]),
        ("max-interested", &["unchoked 1 interested peers over its own limit of 1"]),
        ("serve", &["served a block that does not wait", "served a peer that does not wait"]),
        ("next-round", &[]),
    ] {
        let mut network = swarm_with(|seed| seed.choke = choke(at, Fault::Lie));
        network.check = |engine| {
            let swarm = engine.swarm();
            let served = swarm.peers().iter().filter(|peer| peer.peer_interested && !peer.am_choking).count();
            assert!(served <= 2);
        };
        assert!(network.run_until_complete(HOUR), "{at}");
        let counted = network.nodes[0].engine.policy_violations();
        let told = violations(&network, 0, "choke");
        assert_eq!(told.len() as u64, counted, "{at}");
        assert_eq!(BTreeSet::from_iter(told), BTreeSet::from_iter(wrong.iter().copied()), "{at}");
        assert!(network.nodes[0].failed.is_none());
    }
}

#[test]
fn no_more_interested_peers_are_served_than_the_policy_says_itself() {
    let node = Node { choke: choke("max-interested", Fault::Lie), ..Node::new(PieceSet::full(2)) };
    let mut solo = Solo::new(1, node);
    let peers: Vec<PeerKey> = (1..=3).map(|number| solo.connect(number, &[])).collect();
    for &peer in &peers {
        solo.say(peer, bt_engine::wire::Message::Interested);
    }
    solo.wait_secs(2);
    let served = solo.engine.swarm().peers().iter().filter(|peer| !peer.am_choking).count();
    assert_eq!(served, 1);
}

#[test]
fn wrong_picks_are_counted_and_left_out() {
    type Wrong = fn(&bt_api::PeerFacts, &bt_api::PieceView<'_>) -> Option<Pick>;
    let lacks: Wrong = |peer, view| {
        (0..view.pieces().count()).map(PieceIndex).find(|&it| !peer.pieces.contains(it)).map(Pick::Piece)
    };
    let had: Wrong = |_, view| view.pieces().have().iter().next().map(Pick::Piece);
    let not_open: Wrong = |peer, view| {
        let mut started = view.pieces().started().iter();
        started.find(|&&it| !view.pieces().is_open(it) && peer.pieces.contains(it)).map(|&it| Pick::Piece(it))
    };
    let outside: Wrong = |_, _| Some(Pick::Piece(PieceIndex(u32::MAX)));
    let no_block: Wrong = |_, view| {
        let piece = view.pieces().open().iter().next()?;
        Some(Pick::Block(BlockRef { piece, begin: 1, length: BLOCK }))
    };
    let far_block: Wrong =
        |_, _| Some(Pick::Block(BlockRef { piece: PieceIndex(0), begin: u32::MAX, length: u32::MAX }));
    for (number, wrong) in [lacks, had, not_open, outside, no_block, far_block].into_iter().enumerate() {
        let mut made = Made::new();
        let mut plain = Made::new().pick;
        let mut calls = 0_u32;
        made.pick = Box::new(move |now, peer, view| {
            calls += 1;
            let wrong = if calls.is_multiple_of(3) { wrong(peer, view) } else { None };
            wrong.unwrap_or_else(|| plain(now, peer, view))
        });
        let leecher = Node { piece: Box::new(made), ..Node::new(PieceSet::new(10)) };
        let mut partial = PieceSet::full(10);
        partial.remove(PieceIndex(7));
        let other = Node { choke: Everyone::boxed(), ..Node::new(partial) };
        let seed = Node { choke: Everyone::boxed(), up: 64 << 10, ..Node::new(PieceSet::full(10)) };
        let mut network = Network::new(10, 4, 1, true, vec![seed, leecher, other]);
        assert!(network.run_until_complete(HOUR), "fault {number}");
        let counted = network.nodes[1].engine.policy_violations();
        assert!(counted > 0, "fault {number}");
        assert_eq!(violations(&network, 1, "piece").len() as u64, counted);
    }
}

#[test]
fn a_set_of_another_torrent_is_not_advertised() {
    let node = Node { piece: piece("advertise", Fault::Lie), ..Node::new(PieceSet::full(10)) };
    let mut solo = Solo::new(1, node);
    let (a, out) = solo.connect_told(1);
    assert!(!sent(&out, a).iter().any(|it| matches!(it, bt_engine::wire::Message::Bitfield(_))));
    assert!(closes(&out).is_empty());
    assert_eq!(solo.engine.policy_violations(), 1);
}

#[test]
fn a_policy_that_panics_ends_its_torrent_alone_and_is_named() {
    let mut network = swarm_with(|seed| seed.choke = choke("serve", Fault::Panic));
    network.start();
    network.run(Instant::from_secs(60), |network| network.nodes[0].failed.is_some());
    let message = network.nodes[0].failed.clone().expect("it failed");
    assert_eq!(message, "the plug-in `choke` panicked: broken at serve");
    assert_eq!(network.nodes[0].engine.next_wakeup(), None);
    network.run(Instant::from_secs(120), |_| false);
    assert!(network.nodes[0].engine.swarm().peers().is_empty());
    assert!(network.nodes[1..].iter().all(|node| node.failed.is_none()));
    assert!(network.nodes[1..].iter().all(|node| node.engine.swarm().peers().len() == 1));

    let node = Node { piece: piece("pick", Fault::Panic), ..Node::new(PieceSet::new(2)) };
    let mut solo = Solo::new(1, node);
    let a = solo.connect(1, &[0]);
    let out = solo.say(a, bt_engine::wire::Message::Unchoke);
    assert_eq!(closes(&out).len(), 1);
    let failed = |output: &Output| matches!(output, Output::Failed { message } if message == "the plug-in `piece` panicked: broken at pick");
    assert!(out.iter().any(failed), "{out:?}");
    assert!(solo.send_block(a, block(0, 0)).iter().all(|output| matches!(output, Output::Drop { .. })));
}
