//! Policies that answer what cannot be, or panic: counted and named, never obeyed, and the swarm goes on.

use std::time::Duration;

use bt_api::{
    Advertise, BlockRef, Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerKey, Pick, PieceIndex, PieceSet,
    Reason, Rng, Serve, SwarmView, Unchokes, Waiting,
};
use bt_engine::{Event, Output};

use crate::common::everyone::Everyone;
use crate::common::solo::{Solo, block, closes, sent};
use crate::common::{BLOCK, Network, Node};
use crate::picking::Made;

const HOUR: Instant = Instant::from_secs(3600);

/// What is wrong with a choke policy that serves everyone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    UnchokesTheGone,
    UnchokesTooMany,
    ServesWhoDoesNotWait,
    ServesWhatIsNotAsked,
    WantsRoundsWithoutEnd,
    Panics,
}

struct Faulty {
    fault: Fault,
    next: Instant,
    calls: u32,
}

impl ChokePolicy for Faulty {
    fn next_round(&self) -> Instant {
        if self.fault == Fault::WantsRoundsWithoutEnd { Instant::ZERO } else { self.next }
    }

    fn max_interested(&self) -> usize {
        if self.fault == Fault::UnchokesTooMany { 1 } else { usize::MAX }
    }

    fn notice(&mut self, _: Instant, _: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        if self.fault == Fault::WantsRoundsWithoutEnd { Notice::Rechoke } else { Notice::Nothing }
    }

    fn choose(
        &mut self,
        now: Instant,
        _: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        self.next = now + Duration::from_secs(1);
        if self.fault == Fault::UnchokesTheGone {
            unchokes.push(PeerKey(u32::MAX), Reason::RANDOM);
        }
        swarm.peers().iter().for_each(|peer| unchokes.push(peer.key, Reason::EVERYONE));
        // A peer that is named twice counts once.
        swarm.peers().iter().for_each(|peer| unchokes.push(peer.key, Reason::RANDOM));
    }

    fn serve(&mut self, _: Instant, waiting: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        self.calls += 1;
        let unasked = BlockRef { piece: PieceIndex(u32::MAX), begin: 3, length: 9 };
        match self.fault {
            Fault::Panics if self.calls > 3 => panic!("out of ideas"),
            // Every other time it thinks better of it.
            Fault::ServesWhoDoesNotWait if self.calls.is_multiple_of(2) => Serve::Peer(PeerKey(u32::MAX)),
            Fault::ServesWhatIsNotAsked if self.calls.is_multiple_of(2) => {
                waiting.iter().next().map_or(Serve::Nobody, |queue| Serve::Block(queue.peer, unasked))
            }
            _ => Serve::ByShare,
        }
    }
}

fn violations_named(network: &Network, node: usize, policy: &str) -> u64 {
    let named = |event: &Event| matches!(event, Event::PolicyViolation { policy: it, .. } if it == policy);
    network.nodes[node].events.iter().filter(|(_, event)| named(event)).count() as u64
}

fn swarm_with(edit: impl FnOnce(&mut Node)) -> Network {
    let mut seed = Node { choke: Everyone::boxed(), ..Node::new(PieceSet::full(10)) };
    edit(&mut seed);
    let nodes = vec![seed, Node::new(PieceSet::new(10)), Node::new(PieceSet::new(10))];
    Network::new(10, 4, 1, true, nodes)
}

#[test]
fn wrong_answers_of_a_choke_policy_are_counted_and_left_out() {
    for (fault, wrong) in [
        (Fault::UnchokesTheGone, true),
        (Fault::UnchokesTooMany, true),
        (Fault::ServesWhoDoesNotWait, true),
        (Fault::ServesWhatIsNotAsked, true),
        (Fault::WantsRoundsWithoutEnd, false),
    ] {
        let mut network = swarm_with(|seed| {
            seed.choke = Box::new(Faulty { fault, next: Instant::ZERO, calls: 0 });
        });
        network.check = |engine| {
            let swarm = engine.swarm();
            let served = swarm.peers().iter().filter(|peer| peer.peer_interested && !peer.am_choking).count();
            assert!(served <= 2);
        };
        assert!(network.run_until_complete(HOUR), "{fault:?}");
        let counted = network.nodes[0].engine.policy_violations();
        assert_eq!(counted > 0, wrong, "{fault:?}");
        assert_eq!(violations_named(&network, 0, "choke"), counted, "{fault:?}");
        assert!(network.nodes[0].failed.is_none());
    }
}

#[test]
fn no_more_interested_peers_are_served_than_the_policy_says_itself() {
    let choke = Box::new(Faulty { fault: Fault::UnchokesTooMany, next: Instant::ZERO, calls: 0 });
    let mut solo = Solo::new(1, Node { choke, ..Node::new(PieceSet::full(2)) });
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
        assert_eq!(violations_named(&network, 1, "piece"), counted);
    }
}

#[test]
fn a_set_of_another_torrent_is_not_advertised() {
    let mut made = Made::new();
    made.advertise = Box::new(|_, _, _| Advertise::Only(PieceSet::full(11)));
    let node = Node { piece: Box::new(made), ..Node::new(PieceSet::full(10)) };
    let mut solo = Solo::new(1, node);
    let (a, out) = solo.connect_told(1);
    assert!(!sent(&out, a).iter().any(|it| matches!(it, bt_engine::wire::Message::Bitfield(_))));
    assert!(closes(&out).is_empty());
    assert_eq!(solo.engine.policy_violations(), 1);
}

#[test]
fn a_policy_that_panics_ends_its_torrent_alone_and_is_named() {
    let mut network = swarm_with(|seed| {
        seed.choke = Box::new(Faulty { fault: Fault::Panics, next: Instant::ZERO, calls: 0 });
    });
    network.start();
    network.run(Instant::from_secs(60), |network| network.nodes[0].failed.is_some());
    let message = network.nodes[0].failed.clone().expect("it failed");
    assert_eq!(message, "the plug-in `choke` panicked: out of ideas");
    assert_eq!(network.nodes[0].engine.next_wakeup(), None);
    network.run(Instant::from_secs(120), |_| false);
    assert!(network.nodes[0].engine.swarm().peers().is_empty());
    assert!(network.nodes[1..].iter().all(|node| node.failed.is_none()));
    assert!(network.nodes[1..].iter().all(|node| node.engine.swarm().peers().len() == 1));

    let mut made = Made::new();
    made.pick = Box::new(|_, _, _| panic!("no pieces today"));
    let mut solo = Solo::new(1, Node { piece: Box::new(made), ..Node::new(PieceSet::new(2)) });
    let a = solo.connect(1, &[0]);
    let out = solo.say(a, bt_engine::wire::Message::Unchoke);
    assert_eq!(closes(&out).len(), 1);
    let failed = |output: &Output| matches!(output, Output::Failed { message } if message == "the plug-in `piece` panicked: no pieces today");
    assert!(out.iter().any(failed), "{out:?}");
    assert!(solo.send_block(a, block(0, 0)).iter().all(|output| matches!(output, Output::Drop { .. })));
}
