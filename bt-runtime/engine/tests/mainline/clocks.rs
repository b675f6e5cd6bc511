//! Cases 5 to 8, 18 and 132: what took the place of the original's task list and event loop (RS-1 to RS-12).
//!
//! The engine names its next deadline, the driver wakes it up then, and whatever happens is one input.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bt_api::config::Duration as Length;
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerAddress, PeerEvent, PieceIndex, PieceSet, Rng, Serve, SwarmView,
    TrackerError, TrackerErrorKind, Unchokes, Waiting,
};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Event, Input, Output};

use crate::common::Node;
use crate::common::solo::{Solo, block, closes, sent};

fn node() -> Node {
    Node::new(PieceSet::new(50))
}

fn dial(solo: &mut Solo, number: u8) {
    let address = SocketAddr::from(([10, 2, 0, number], 6881));
    let peers = vec![PeerAddress { address, id: None }];
    solo.feed(Input::Peers { source: "test".to_owned(), peers });
}

/// What came out, by its name and when, of closed connections and keep-alives.
fn happened(outputs: Vec<(Instant, Output)>) -> Vec<(f64, &'static str)> {
    let named = outputs.into_iter().filter_map(|(at, output)| match output {
        Output::Close { reason, .. } => Some((at.as_secs_f64(), reason.word())),
        Output::Send { message: Message::KeepAlive, .. } => Some((at.as_secs_f64(), "keep-alive")),
        _ => None,
    });
    named.collect()
}

/// Tasks due after 2, 1 and 4 s and one that is added meanwhile run when they are due.
#[test]
fn case_5_deadlines_come_in_the_order_of_their_times() {
    let mut node = node();
    node.settings.peers.keepalive_interval = Length::secs(2);
    node.settings.peers.handshake_timeout = Length::secs(1);
    node.settings.peers.idle_check_interval = Length::secs(4);
    node.settings.peers.idle_timeout = Length::secs(3);
    let mut solo = Solo::new(1, node);
    solo.connect(1, &[]);
    dial(&mut solo, 2);
    let mut seen = happened(solo.wait_timed(Duration::from_millis(2500)));
    dial(&mut solo, 3);
    seen.extend(happened(solo.wait_timed(Duration::from_millis(1500))));
    let (late, alive, idle) = ("handshake-timeout", "keep-alive", "idle");
    // Of what is due at one time the order is always the same (RS-7 leaves it open).
    assert_eq!(seen, [(1.0, late), (2.0, alive), (3.5, late), (4.0, alive), (4.0, idle)]);
}

/// A choker that wants its next round at once, always.
struct Hasty(Arc<AtomicU32>);

impl ChokePolicy for Hasty {
    fn next_round(&self) -> Instant {
        Instant::ZERO
    }
    fn max_interested(&self) -> usize {
        1
    }
    fn notice(&mut self, _: Instant, _: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        Notice::Nothing
    }
    fn choose(&mut self, _: Instant, _: Cause, _: &SwarmView<'_>, _: &mut dyn Rng, _: &mut Unchokes) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[test]
fn case_6_what_wants_to_run_at_once_runs_after_all_that_is_due() {
    let rounds = Arc::new(AtomicU32::new(0));
    let mut node = node();
    node.settings.peers.keepalive_interval = Length::secs(2);
    node.choke = Box::new(Hasty(rounds.clone()));
    let mut solo = Solo::new(1, node);
    let peer = solo.connect(1, &[]);
    solo.wait(Duration::from_millis(1_999));
    solo.now += Duration::from_millis(1);
    let before = rounds.load(Ordering::Relaxed);
    // One pass: everything due, and one round though another is wanted already.
    let out = solo.feed(Input::Wakeup);
    assert_eq!(sent(&out, peer), [Message::KeepAlive]);
    assert_eq!(rounds.load(Ordering::Relaxed), before + 1);
    assert!(solo.engine.next_wakeup().unwrap() > solo.now, "the next round is a pass of its own");
}

/// Nothing is reported but through the status, so there is no `noisy` to turn off.
#[test]
fn case_7_what_fails_does_not_stop_what_comes_after() {
    let mut solo = Solo::new(1, node());
    let peer = solo.connect(1, &[]);
    let tag = solo.first.iter().find_map(|output| match output {
        Output::Announce { tag, .. } => Some(*tag),
        _ => None,
    });
    let error = TrackerError::new(TrackerErrorKind::Refused, "go away");
    solo.feed(Input::Announced { tag: tag.unwrap(), result: Err(error) });
    assert!(solo.engine.status(solo.now).tracker_trouble.unwrap().contains("go away"));
    assert_eq!(sent(&solo.wait_secs(120), peer).last(), Some(&Message::KeepAlive));
}

#[test]
fn case_8_what_a_closed_peer_sent_before_is_skipped() {
    let mut solo = Solo::new(1, node());
    let (peer, asked) = solo.connect_open(1, &[0, 1, 2]);
    let closed = solo.say(peer, Message::Request(block(0, 0)));
    assert_eq!(closes(&closed), [(peer, CloseReason::UninterestedRequest)]);
    // The driver had these in hand already.
    assert!(solo.say(peer, Message::Have(PieceIndex(7))).is_empty());
    assert!(solo.feed(Input::Alive { peer }).is_empty());
    assert!(matches!(solo.send_block(peer, asked[0])[..], [Output::Drop { .. }]));
    assert!(solo.uploaded(peer, asked[0]).is_empty());
    assert!(solo.feed(Input::Closed { peer, reason: CloseReason::Remote }).is_empty(), "it is closed once");
}

#[test]
fn case_18_after_a_stop_nothing_else_is_looked_at() {
    let mut solo = Solo::new(1, node());
    let (peer, asked) = solo.connect_open(1, &[0, 1, 2]);
    let stop = solo.feed(Input::Stop);
    assert_eq!(closes(&stop), [(peer, CloseReason::Stopping)]);
    assert!(solo.say(peer, Message::Have(PieceIndex(7))).is_empty());
    assert!(matches!(solo.send_block(peer, asked[0])[..], [Output::Drop { .. }]));
    assert_eq!(solo.engine.status(solo.now).downloaded, 0);
    let (late, out) = solo.incoming(2);
    assert_eq!(closes(&out), [(late, CloseReason::Stopping)]);
    // The trackers hear of it, and that is the end.
    let tag = stop.iter().find_map(|output| match output {
        Output::Announce { tag, .. } => Some(*tag),
        _ => None,
    });
    if let Some(tag) = tag {
        solo.feed(Input::Announced { tag, result: Ok(Box::default()) });
    }
    assert_eq!(solo.engine.next_wakeup(), None);
}

#[test]
fn case_132_what_follows_the_message_that_closes_is_not_delivered() {
    let mut solo = Solo::new(1, node());
    let peer = solo.connect(1, &[]);
    // One chunk held all three: they come as inputs one after the other.
    let chunk = [Message::Have(PieceIndex(1)), Message::Request(block(0, 0)), Message::Have(PieceIndex(2))];
    let out: Vec<Output> = chunk.into_iter().flat_map(|message| solo.say(peer, message)).collect();
    assert_eq!(closes(&out), [(peer, CloseReason::UninterestedRequest)]);
    let events = |wanted: fn(&Event) -> bool| {
        out.iter().filter(|output| matches!(output, Output::Event(event) if wanted(event))).count()
    };
    assert_eq!(events(|event| matches!(event, Event::PeerClosed { .. })), 1);
    assert_eq!(events(|event| matches!(event, Event::Have { .. })), 1);
}
