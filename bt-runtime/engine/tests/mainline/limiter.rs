//! The limiter of 3.9.1 and 4.0: turns of one unit each, and a debt (CN-18).

use std::time::Duration;

use bt_api::config::{Limit, Rate, Size};
use bt_api::{Instant, PeerKey, PieceSet};
use bt_engine::settings::Limiter;
use bt_engine::wire::Message;
use bt_engine::{Input, Output};

use crate::common::everyone::Everyone;
use crate::common::solo::{Solo, block, uploads};
use crate::common::{BLOCK, Node};

/// A block of 16 KiB takes a second and has 16 units.
fn seed() -> Solo {
    let mut node = Node { choke: Everyone::boxed(), ..Node::new(PieceSet::full(1)) };
    node.settings.net.upload_limit = Limit::At(Rate(u64::from(BLOCK)));
    node.settings.upload.limiter = Limiter::Unit;
    node.settings.upload.unit_size = Size::kib(1);
    Solo::new(64, node)
}

fn customer(solo: &mut Solo, number: u8) -> PeerKey {
    let peer = solo.connect(number, &[]);
    solo.say(peer, Message::Interested);
    peer
}

fn ask(solo: &mut Solo, peer: PeerKey, at: u32) -> Vec<Output> {
    solo.say(peer, Message::Request(block(0, at)))
}

/// When blocks went out, and to whom, in so much time; each socket takes what it is given at once.
fn uploaded_in(solo: &mut Solo, time: Duration) -> Vec<(f64, PeerKey)> {
    let end = solo.now + time;
    let mut found = Vec::new();
    while let Some(next) = solo.engine.next_wakeup().filter(|&next| next <= end) {
        solo.now = solo.now.max(next);
        let mut out = solo.feed(Input::Wakeup);
        while let Some((peer, block)) = uploads(&out).pop() {
            found.push((solo.now.as_secs_f64(), peer));
            out = solo.uploaded(peer, block);
        }
    }
    solo.now = end;
    found
}

#[test]
fn blocks_go_out_when_their_last_unit_is_paid_and_the_rate_holds() {
    let mut solo = seed();
    let a = customer(&mut solo, 1);
    (0..20).for_each(|at| assert!(uploads(&ask(&mut solo, a, at)).is_empty()));
    let times = uploaded_in(&mut solo, Duration::from_secs(19));
    // The first unit is free, so each block is out one unit early.
    let expected: Vec<(f64, PeerKey)> = (1..20).map(|second| (f64::from(second) - 1.0 / 16.0, a)).collect();
    assert_eq!(times, expected);
}

#[test]
fn peers_take_turns_unit_by_unit() {
    let mut solo = seed();
    let peers = [customer(&mut solo, 1), customer(&mut solo, 2), customer(&mut solo, 3)];
    for at in 0..2 {
        peers.iter().for_each(|&peer| drop(ask(&mut solo, peer, at)));
    }
    let times = uploaded_in(&mut solo, Duration::from_secs(6));
    let order: Vec<PeerKey> = times.iter().map(|(_, peer)| *peer).collect();
    assert_eq!(order, [peers, peers].concat());
    // All three are served at once: none has a block before the others have nearly one.
    assert!(times[0].0 > 2.6 && times[2].0 < 3.1, "{times:?}");
}

#[test]
fn a_late_wakeup_is_made_up_for_and_idle_time_is_lost() {
    let mut solo = seed();
    let peers: Vec<PeerKey> = (0..4).map(|number| customer(&mut solo, number)).collect();
    peers.iter().for_each(|&peer| drop(ask(&mut solo, peer, 0)));
    // The driver comes late: all that was due by now goes out.
    solo.now = Instant::ZERO + Duration::from_millis(3900);
    let late = uploads(&solo.feed(Input::Wakeup));
    assert_eq!(late.len(), 3, "{late:?}");
    late.into_iter().for_each(|(peer, block)| drop(solo.uploaded(peer, block)));
    assert_eq!(uploaded_in(&mut solo, Duration::from_millis(100)).len(), 1, "nothing was lost");
    // Nobody asks for seconds: that saves nothing up.
    solo.wait_secs(10);
    let began = solo.now.as_secs_f64();
    (0..2).for_each(|at| drop(ask(&mut solo, peers[0], at)));
    let times = uploaded_in(&mut solo, Duration::from_secs(5));
    let times: Vec<f64> = times.iter().map(|(at, _)| at - began).collect();
    assert!(times.len() == 2 && times[0] > 0.9 && times[1] > 1.9, "{times:?}");
}

#[test]
fn what_was_paid_for_a_cancelled_block_counts_for_the_next() {
    let mut solo = seed();
    let a = customer(&mut solo, 1);
    ask(&mut solo, a, 0);
    assert!(uploaded_in(&mut solo, Duration::from_millis(500)).is_empty());
    solo.say(a, Message::Cancel(block(0, 0)));
    ask(&mut solo, a, 1);
    let times = uploaded_in(&mut solo, Duration::from_secs(2));
    assert!(times.len() == 1 && times[0].0 < 1.1, "{times:?}");
}

#[test]
fn without_a_limit_blocks_go_out_at_once() {
    let mut solo = seed();
    let a = customer(&mut solo, 1);
    solo.feed(Input::UploadLimit(None));
    assert_eq!(uploads(&ask(&mut solo, a, 0)), [(a, block(0, 0))]);
}
