//! All levels from scratch, by progressive filling: the water rises everywhere at once; a link that is full stops
//! the flows over it, a flow that is at its cap stops by itself, and the others share what is left.
//!
//! Shares only grow as flows stop, so a heap of links by share, in which old entries are put right when they come
//! up, gives the next link that is full: O(n log n) for n flows. It is what the incremental algorithm falls back on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Flow, Link};

/// What stops flows next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Cap(u32),
    Link(u32),
}

/// What is left of a link.
struct Rest {
    room: f64,
    /// The weight of the flows that go on.
    weight: u64,
}

impl Rest {
    fn take(&mut self, level: f64, weight: u32) {
        self.room = (self.room - level * f64::from(weight)).max(0.0);
        self.weight -= u64::from(weight);
    }

    fn share(&self) -> f64 {
        self.room / self.weight as f64
    }
}

/// The level of each link: infinity where it is not full.
pub(super) fn levels(links: &[Link], flows: &[Flow]) -> Vec<f64> {
    // None is negative, and such numbers are ordered as their bits are.
    let key = |level: f64, stop| Reverse((level.to_bits(), stop));
    let mut rests: Vec<Rest> = (links.iter())
        .map(|link| Rest {
            room: link.capacity,
            weight: link.flows.iter().map(|entry| u64::from(entry.weight)).sum(),
        })
        .collect();
    let caps = (flows.iter().enumerate()).filter(|(_, flow)| flow.live);
    let caps = caps.map(|(number, flow)| key(flow.cap / f64::from(flow.weight), Stop::Cap(number as u32)));
    let full = (rests.iter().enumerate()).filter(|(_, rest)| rest.weight > 0 && rest.room.is_finite());
    let full = full.map(|(number, rest)| key(rest.share(), Stop::Link(number as u32)));
    let mut heap: BinaryHeap<_> = caps.chain(full).collect();
    let mut stopped = vec![false; flows.len()];
    let mut levels = vec![f64::INFINITY; links.len()];
    while let Some(Reverse((bits, stop))) = heap.pop() {
        match stop {
            Stop::Cap(number) => {
                if std::mem::replace(&mut stopped[number as usize], true) {
                    continue;
                }
                let flow = &flows[number as usize];
                for end in flow.ends {
                    rests[end as usize].take(f64::from_bits(bits), flow.weight);
                }
            }
            Stop::Link(number) => {
                let rest = &rests[number as usize];
                if rest.weight == 0 {
                    continue;
                }
                let level = rest.share();
                if level.to_bits() > bits {
                    heap.push(key(level, stop));
                    continue;
                }
                levels[number as usize] = level;
                for entry in &links[number as usize].flows {
                    if !std::mem::replace(&mut stopped[entry.flow as usize], true) {
                        rests[entry.other as usize].take(level, entry.weight);
                    }
                }
                rests[number as usize].weight = 0;
            }
        }
    }
    levels
}
