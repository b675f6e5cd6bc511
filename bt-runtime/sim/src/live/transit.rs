//! How long messages take from one peer to another: from the event at the one to that at the other.
//!
//! A message goes behind the block that its connection is sending, so on a busy uplink this is much longer than the
//! network's delay, and what peers know of each other is that old.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bt_api::Instant;
use bt_engine::Event;
use bt_engine::event::Dir;
use serde::{Deserialize, Serialize};

use crate::stats::{quantile, sorted};
use crate::swarm::Observer;

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many messages or blocks arrived.
    pub count: usize,
    /// Half of them took less.
    pub median_ms: f64,
    /// 95 % of them took less.
    pub p95_ms: f64,
}

/// What took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transits {
    /// Requests, from one engine to the other.
    pub request: Times,
    /// News of a piece.
    pub have: Times,
    /// Blocks, from when the sender was rid of the last byte.
    pub block: Times,
}

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Request,
    Have,
    Block,
}

/// Watches a run for how long things take.
#[derive(Default)]
pub(super) struct Watch {
    nodes: BTreeMap<SocketAddr, u32>,
    /// The other end of each connection, by node and number.
    others: BTreeMap<(u32, u32), u32>,
    /// Not arrived: who sent it to whom, and what it is.
    sent: BTreeMap<(Kind, u32, u32, [u32; 2]), VecDeque<Instant>>,
    took_ms: BTreeMap<Kind, Vec<f64>>,
}

impl Watch {
    /// What it saw.
    pub(super) fn finish(self) -> Transits {
        let of = |kind| {
            let took = sorted(self.took_ms.get(&kind).map_or(&[], Vec::as_slice));
            let at = |p| quantile(&took, p).unwrap_or(0.0);
            Times { count: took.len(), median_ms: at(0.5), p95_ms: at(0.95) }
        };
        Transits { request: of(Kind::Request), have: of(Kind::Have), block: of(Kind::Block) }
    }

    fn went(&mut self, now: Instant, node: u32, peer: u32, dir: Dir, kind: Kind, what: [u32; 2]) {
        let Some(&other) = self.others.get(&(node, peer)) else { return };
        match dir {
            Dir::To => self.sent.entry((kind, node, other, what)).or_default().push_back(now),
            Dir::From => {
                let sent = self.sent.get_mut(&(kind, other, node, what));
                if let Some(then) = sent.and_then(VecDeque::pop_front) {
                    let took = now.since(then).as_secs_f64() * 1e3;
                    self.took_ms.entry(kind).or_default().push(took);
                }
            }
        }
    }
}

impl Observer for Watch {
    fn event(&mut self, now: Instant, node: u32, event: &Event) {
        match *event {
            Event::Joined(ref joined) => self.nodes.extend(joined.addr.map(|addr| (addr, node))),
            Event::PeerConnected { peer, addr, .. } => {
                if let Some(&other) = self.nodes.get(&addr) {
                    self.others.insert((node, peer), other);
                }
            }
            Event::Request { peer, dir, piece, begin, .. } => {
                self.went(now, node, peer, dir, Kind::Request, [piece, begin]);
            }
            Event::Block { peer, dir, piece, begin, .. } => {
                self.went(now, node, peer, dir, Kind::Block, [piece, begin]);
            }
            Event::Have { peer, dir, piece: Some(piece), .. } => {
                self.went(now, node, peer, dir, Kind::Have, [piece, 0]);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bt_engine::event::Joined;

    use super::*;

    #[test]
    fn a_request_is_timed_from_the_one_to_the_other() {
        let mut watch = Watch::default();
        let addr = |node: u32| SocketAddr::from(([10, 0, 0, node as u8], 1));
        for node in [0, 1] {
            let joined = Joined {
                addr: Some(addr(node)),
                class: None,
                up: None,
                down: None,
                total_length: 1,
                piece_length: 1,
                have: String::new(),
            };
            watch.event(Instant::ZERO, node, &Event::Joined(Box::new(joined)));
        }
        let connected = |peer, node| Event::PeerConnected { peer, addr: addr(node), incoming: false };
        watch.event(Instant::ZERO, 0, &connected(7, 1));
        watch.event(Instant::ZERO, 1, &connected(3, 0));
        let request = |peer, dir, piece| Event::Request { peer, dir, piece, begin: 0, length: 1 };
        watch.event(Instant::from_millis(10), 0, &request(7, Dir::To, 5));
        watch.event(Instant::from_millis(12), 1, &request(3, Dir::From, 4));
        watch.event(Instant::from_millis(14), 1, &request(3, Dir::From, 5));
        let found = watch.finish();
        assert_eq!(found.request, Times { count: 1, median_ms: 4.0, p95_ms: 4.0 });
        assert_eq!(found.block.count, 0);
    }
}
