//! Cases 122 to 124: how the `suspend` limiter keeps the limit on upload (CN-13 to CN-17), held against a plain model of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bt_api::config::{Limit, Rate};
use bt_api::{BlockRef, PeerKey, PieceIndex, PieceSet};
use bt_engine::wire::Message;
use bt_engine::{Input, Output};

use crate::common::BLOCK;
use crate::common::solo::{Solo, block, sent, set, uploads};
use crate::uploader::{ask, customer, open_node};

/// The original's window and fudge, in seconds.
const PERIOD: f64 = 20.0;
const FUDGE: f64 = 5.0;

/// CN-13 and CR-1 to CR-4 on their own: when the next block goes out, if there is always one to send.
struct Model {
    cap: f64,
    since: f64,
    last: f64,
    rate: f64,
}

impl Model {
    fn new(cap: u64) -> Self {
        Self { cap: cap as f64, since: -FUDGE, last: -FUDGE, rate: 0.0 }
    }

    /// A block goes out at `now`; gives when the next may.
    fn send(&mut self, now: f64, block: u32) -> f64 {
        self.rate = (self.rate * (self.last - self.since) + f64::from(block)) / (now - self.since);
        self.last = now;
        self.since = self.since.max(now - PERIOD);
        let window = now - self.since;
        if self.rate > self.cap { now + self.rate * window / self.cap - window } else { now }
    }

    /// When blocks go out in the first `seconds`.
    fn times(mut self, block: u32, seconds: f64) -> Vec<f64> {
        let mut times = vec![0.0];
        loop {
            let next = self.send(times[times.len() - 1], block);
            if next > seconds {
                return times;
            }
            times.push(next);
        }
    }
}

/// A seed of one piece of 128 KiB with this limit, and so many leechers who always want more.
fn capped(cap: u64, leechers: u8) -> (Solo, Vec<PeerKey>) {
    let (mut node, _) = open_node(PieceSet::full(1));
    node.settings.net.upload_limit = Limit::At(Rate(cap));
    let mut solo = Solo::new(8, node);
    let peers = (1..=leechers).map(|number| customer(&mut solo, number)).collect();
    (solo, peers)
}

/// Each of `peers` asks for blocks of `length` bytes, and takes each at once and asks for the next, for `seconds`.
/// Gives when blocks were handed out, and to whom.
fn greedy(solo: &mut Solo, peers: &[PeerKey], length: u32, seconds: u64) -> Vec<(f64, PeerKey)> {
    let wanted = BlockRef { piece: PieceIndex(0), begin: 0, length };
    // One more waits than is under way, so that the next is there when the socket is drained.
    let mut out: Vec<Output> = Vec::new();
    for &peer in peers {
        out.extend((0..2).flat_map(|_| ask(solo, peer, wanted)));
    }
    let mut served = Vec::new();
    let end = solo.now + Duration::from_secs(seconds);
    loop {
        while !out.is_empty() {
            for (peer, block) in uploads(&std::mem::take(&mut out)) {
                served.push((solo.now.as_secs_f64(), peer));
                out.extend(ask(solo, peer, wanted));
                out.extend(solo.uploaded(peer, block));
            }
        }
        let Some(next) = solo.engine.next_wakeup().filter(|&next| next <= end) else { break };
        solo.now = solo.now.max(next);
        out = solo.feed(Input::Wakeup);
    }
    solo.now = end;
    served
}

/// The caps in bytes a second and the lengths of blocks that the limiter is tried with.
const TRIED: [(u64, u32); 6] = [
    (2 << 10, BLOCK),
    (10 << 10, BLOCK),
    (20_000, BLOCK),
    (100 << 10, 1 << 10),
    (10 << 10, 8 * BLOCK),
    (1 << 20, BLOCK),
];

#[test]
fn case_122_each_block_goes_out_when_the_original_sends_it() {
    for (cap, length) in TRIED {
        let (mut solo, peers) = capped(cap, 4);
        let served = greedy(&mut solo, &peers, length, 660);
        let expected = Model::new(cap).times(length, 660.0);
        assert!(served.len().abs_diff(expected.len()) <= 1, "{cap} B/s, blocks of {length}");
        for (at, (&(got, _), &expected)) in served.iter().zip(&expected).enumerate() {
            assert!(
                (got - expected).abs() < 1e-6,
                "{cap} B/s: block {at} at {got}, the model has {expected}"
            );
        }
    }
}

/// What CN-13 comes to: one block in a window more than the limit, and at first the seconds of the fudge on top.
#[test]
fn case_122_the_mean_is_over_the_limit_by_a_block_in_a_window_at_most() {
    for (cap, length) in TRIED {
        let (mut solo, peers) = capped(cap, 4);
        let served = greedy(&mut solo, &peers, length, 660);
        let (cap, length) = (cap as f64, f64::from(length));
        let bytes = |from: f64, to: f64| {
            served.iter().filter(|(at, _)| (from..to).contains(at)).count() as f64 * length
        };
        let allowed = (0.05 * cap).max(length / PERIOD);
        let steady = bytes(60.0, 660.0) / 600.0;
        assert!((steady - cap).abs() <= allowed, "{cap} B/s, blocks of {length}: {steady}");
        let minute = bytes(0.0, 60.0);
        assert!(minute > 60.0 * cap, "{cap} B/s, blocks of {length}: {minute} in the first minute");
        let most = (60.0 + FUDGE) * cap + (1.0 + 60.0 / PERIOD) * length;
        assert!(minute <= most, "{cap} B/s, blocks of {length}: {minute} in the first minute");
        let mean = bytes(0.0, 600.0) / 600.0;
        assert!(mean - cap <= allowed + FUDGE * cap / 600.0, "{cap} B/s, blocks of {length}: {mean}");
    }
}

#[test]
fn case_122_after_a_block_nothing_goes_out_until_the_rate_is_the_limit() {
    const CAP: u64 = 10 << 10;
    let (mut solo, peers) = capped(CAP, 1);
    let full = greedy(&mut solo, &peers, BLOCK, 40);
    // The measure is full of traffic at the cap; what is served next is capped at once.
    let mut model = Model::new(CAP);
    let mut free = 0.0;
    full.iter().for_each(|&(at, _)| free = model.send(at, BLOCK));
    let out = solo.wait(Duration::from_secs_f64(free - 40.0 - 1e-6));
    assert!(uploads(&out).is_empty(), "before the time until the rate is the limit");
    assert_eq!(uploads(&solo.wait(Duration::from_millis(1))).len(), 1);
    solo.uploaded(peers[0], BlockRef { piece: PieceIndex(0), begin: 0, length: BLOCK });
    let bytes = greedy(&mut solo, &peers, BLOCK, 60).len() as u64 * u64::from(BLOCK);
    assert!(bytes <= 60 * CAP + 3 * u64::from(BLOCK), "{bytes} bytes in a minute");
}

/// CN-15: greedy peers get as much, since the one that got least is next.
#[test]
fn those_who_wait_get_the_same() {
    let (mut solo, peers) = capped(20_000, 4);
    greedy(&mut solo, &peers, BLOCK, 60);
    let served = greedy(&mut solo, &peers, BLOCK, 600);
    let counts = peers.iter().map(|peer| served.iter().filter(|(_, to)| to == peer).count());
    let (least, most) = (counts.clone().min().unwrap(), counts.max().unwrap());
    assert!(most - least <= 2, "{least} to {most} blocks");
}

#[test]
fn case_123_the_slowest_goes_first_once_the_limit_lets_go() {
    let (node, open) = open_node(PieceSet::full(1));
    let mut solo = Solo::new(8, node);
    let peers = [1, 2, 3, 4].map(|number| customer(&mut solo, number));
    for (peer, blocks) in peers.into_iter().zip([4, 2, 1]) {
        for at in 0..blocks {
            assert_eq!(uploads(&ask(&mut solo, peer, block(0, at))).len(), 1);
            solo.uploaded(peer, block(0, at));
        }
    }
    // The one that got nothing yet still has a block in its socket.
    ask(&mut solo, peers[3], block(0, 0));
    // Far over this limit, a block that goes out at once closes the uplink.
    solo.feed(Input::UploadLimit(Some(1)));
    ask(&mut solo, peers[0], block(0, 0));
    solo.uploaded(peers[0], block(0, 0));
    for peer in peers {
        assert!(uploads(&ask(&mut solo, peer, block(0, 5))).is_empty());
    }
    // CN-17: a change looks again at once. Only those with a drained socket are served.
    let out = solo.feed(Input::UploadLimit(Some(1 << 30)));
    let order: Vec<PeerKey> = uploads(&out).into_iter().map(|(peer, _)| peer).collect();
    assert_eq!(order, [peers[2], peers[1], peers[0]]);

    // Nor is who was choked meanwhile.
    solo.feed(Input::UploadLimit(Some(1)));
    solo.uploaded(peers[2], block(0, 5));
    open.store(false, Ordering::Relaxed);
    solo.wait_secs(2);
    assert!(uploads(&solo.feed(Input::UploadLimit(None))).is_empty());
}

#[test]
fn case_124_the_limit_holds_back_nothing_but_blocks() {
    let (mut node, open) = open_node(set(3, &[0]));
    node.settings.net.upload_limit = Limit::At(Rate(1));
    let mut solo = Solo::new(2, node);
    let a = customer(&mut solo, 1);
    ask(&mut solo, a, block(0, 0));
    solo.uploaded(a, block(0, 0));
    assert!(uploads(&ask(&mut solo, a, block(0, 1))).is_empty(), "over the limit");
    let (b, asked) = solo.connect_open(2, &[1]);
    asked.iter().for_each(|&block| drop(solo.send_block(b, block)));
    assert!(sent(&solo.good(1), a).contains(&Message::Have(PieceIndex(1))));
    assert!(sent(&solo.wait_secs(121), a).contains(&Message::KeepAlive));
    open.store(false, Ordering::Relaxed);
    assert!(sent(&solo.wait_secs(2), a).contains(&Message::Choke));
}
