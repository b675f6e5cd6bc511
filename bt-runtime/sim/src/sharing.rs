//! Who gets how much of which access link: weighted max-min fair shares with caps, kept up to date as transfers
//! begin and end.
//!
//! The network is a star: each peer has a link up and a link down, and nothing else is ever full. A flow goes over
//! one link up and one link down. Each link has a *level*, the rate per unit of weight of the flows that it holds
//! back; it is infinite where the link is not full. So a flow goes at its weight times the lower level of its two
//! links, or at its cap if that is less.
//!
//! When flows begin, end or change, only their links are computed anew: the level at which the link is just full,
//! given the levels at the far ends. Where that changes what a flow gets, the far link is computed anew as well,
//! and so on, first come first served. This settles: the lowest level of all is right once every link was computed,
//! then it stays as it is, then the second lowest is right, and so on. And where it settles each flow is held back
//! by a full link in which nobody gets more per weight, or by its cap: that is max-min fairness, and there is only
//! one such allocation (Bertsekas and Gallager, "Data Networks", section 6.5.2). A move of one flow touches some ten
//! links, whatever the size of the swarm. Should it ever take too long, all levels are computed from scratch
//! (`filling`), so that there is a bound.
//!
//! Invariants: after [`Sharing::settle`] no link carries more than its capacity, but for rounding (some 1e-12 of
//! it). Everything is a function of the calls so far: no clock, no chance, no order but that of the calls.

mod filling;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

/// The rate of a flow that nothing limits, in bytes per second: 100 Gbit/s. No flow is faster.
pub const CEILING: f64 = 1.25e10;

/// Levels that differ by less than this part of themselves are the same: they differ by rounding only.
const ROUNDING: f64 = 1e-13;

/// A link of a peer. Numbers are dense and used again after [`Sharing::remove_link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(u32);

/// A flow over a link up and a link down. Numbers are dense and used again after [`Sharing::stop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId(u32);

impl LinkId {
    /// Its number, for a table beside this one.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl FlowId {
    /// Its number, for a table beside this one.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All links and the flows over them.
#[derive(Clone, Debug, Default)]
pub struct Sharing {
    links: Vec<Link>,
    /// What the far ends of a link need of it, apart from it: they are many and this stays in the cache.
    levels: Vec<Level>,
    flows: Vec<Flow>,
    unused_links: Vec<u32>,
    unused_flows: Vec<u32>,
    /// Links to compute anew.
    queue: VecDeque<u32>,
    /// Flows that may have another rate than at the last settling.
    touched: Vec<u32>,
    /// What the last settling answered.
    changed: Vec<FlowId>,
    /// Room to sort the flows of one link in.
    sorted: Vec<Claim>,
}

#[derive(Clone, Debug)]
struct Link {
    /// Bytes per second, or infinity.
    capacity: f64,
    flows: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Bytes per second and unit of weight.
    level: f64,
    /// Whether the link has a capacity.
    limited: bool,
    /// Whether the link is in the queue.
    queued: bool,
}

/// A flow as one of its links sees it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    flow: u32,
    /// The link at the other end.
    other: u32,
    weight: u32,
    /// The level at which the flow is at its cap.
    limit: f64,
}

/// What a flow could make use of: so much level, with so much weight.
#[derive(Clone, Copy, Debug)]
struct Claim {
    level: f64,
    weight: u32,
}

#[derive(Clone, Debug)]
struct Flow {
    /// The link up and the link down.
    ends: [u32; 2],
    /// Where it stands in the lists of those links.
    places: [u32; 2],
    weight: u32,
    cap: f64,
    /// The rate that was told last.
    rate: f64,
    live: bool,
    /// Its rate was never told.
    fresh: bool,
    /// The number is in `touched`.
    touched: bool,
}

impl Sharing {
    /// No links and no flows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a link of so many bytes per second; `None`: unlimited.
    pub fn add_link(&mut self, capacity: Option<u64>) -> LinkId {
        let capacity = capacity.map_or(f64::INFINITY, |bytes| bytes as f64);
        let level = Level { level: f64::INFINITY, limited: capacity.is_finite(), queued: false };
        if let Some(number) = self.unused_links.pop() {
            let queued = self.levels[number as usize].queued;
            self.links[number as usize].capacity = capacity;
            self.levels[number as usize] = Level { queued, ..level };
            return LinkId(number);
        }
        self.links.push(Link { capacity, flows: Vec::new() });
        self.levels.push(level);
        LinkId(u32::try_from(self.links.len() - 1).expect("fewer than 2^32 links"))
    }

    /// Removes a link.
    ///
    /// # Panics
    /// When a flow still goes over it.
    pub fn remove_link(&mut self, link: LinkId) {
        assert!(self.links[link.index()].flows.is_empty(), "a flow still goes over the link");
        self.unused_links.push(link.0);
    }

    /// Starts a flow with a share of `weight` (0 counts as 1) and of at most `cap` bytes per second. It has no rate
    /// before the next [`Sharing::settle`].
    ///
    /// # Panics
    /// When `up` and `down` are the same link.
    pub fn start(&mut self, up: LinkId, down: LinkId, weight: u32, cap: Option<u64>) -> FlowId {
        assert_ne!(up, down, "a flow goes over two links");
        let number = self.unused_flows.pop().unwrap_or(self.flows.len() as u32);
        let ends = [up.0, down.0];
        let places = ends.map(|end| self.links[end as usize].flows.len() as u32);
        let touched = self.flows.get(number as usize).is_some_and(|slot| slot.touched);
        let (weight, cap) = (weight.max(1), cap.map_or(CEILING, |bytes| CEILING.min(bytes as f64)));
        let flow = Flow { ends, places, weight, cap, rate: 0.0, live: true, fresh: true, touched };
        for (end, other) in [(up, down), (down, up)] {
            let entry = Entry { flow: number, other: other.0, weight, limit: cap / f64::from(weight) };
            self.links[end.index()].flows.push(entry);
        }
        match self.flows.get_mut(number as usize) {
            Some(slot) => *slot = flow,
            None => self.flows.push(flow),
        }
        self.touch(number);
        FlowId(number)
    }

    /// Ends a flow.
    ///
    /// # Panics
    /// When there is no such flow.
    pub fn stop(&mut self, flow: FlowId) {
        let Flow { ends, places, live, .. } = self.flows[flow.index()];
        assert!(live, "the flow was stopped before");
        for (end, place) in ends.into_iter().zip(places) {
            let list = &mut self.links[end as usize].flows;
            list.swap_remove(place as usize);
            if let Some(moved) = list.get(place as usize) {
                let moved = &mut self.flows[moved.flow as usize];
                moved.places[usize::from(moved.ends[0] != end)] = place;
            }
            enqueue(&mut self.levels, &mut self.queue, end);
        }
        self.flows[flow.index()].live = false;
        self.unused_flows.push(flow.0);
    }

    /// Gives a flow another weight and another cap, as [`Sharing::start`] has them.
    ///
    /// # Panics
    /// When there is no such flow.
    pub fn change(&mut self, flow: FlowId, weight: u32, cap: Option<u64>) {
        let slot = &mut self.flows[flow.index()];
        assert!(slot.live, "the flow was stopped before");
        slot.weight = weight.max(1);
        slot.cap = cap.map_or(CEILING, |bytes| CEILING.min(bytes as f64));
        for (end, place) in slot.ends.into_iter().zip(slot.places) {
            let entry = &mut self.links[end as usize].flows[place as usize];
            entry.weight = slot.weight;
            entry.limit = slot.cap / f64::from(slot.weight);
        }
        self.touch(flow.0);
    }

    /// Brings every rate up to date. Gives the flows that have another rate than after the last settling, each once;
    /// new flows are among them, flows that ended are not. Their order is that in which the calls so far reached them.
    pub fn settle(&mut self) -> &[FlowId] {
        // A move of one slot takes some ten steps, and a swarm that starts at once a few for each link.
        self.settle_within(1000 + 30 * self.links.len())
    }

    /// As [`Sharing::settle`]; after so many links computed, all levels are computed from scratch.
    fn settle_within(&mut self, steps: usize) -> &[FlowId] {
        let mut left = steps;
        while let Some(link) = self.queue.pop_front() {
            self.levels[link as usize].queued = false;
            match left.checked_sub(1) {
                Some(fewer) => left = fewer,
                None => {
                    self.refill();
                    break;
                }
            }
            self.relevel(link as usize);
        }
        self.changed.clear();
        for number in self.touched.drain(..) {
            let flow = &mut self.flows[number as usize];
            flow.touched = false;
            if !flow.live {
                continue;
            }
            let [up, down] = flow.ends.map(|end| self.levels[end as usize].level);
            let rate = (f64::from(flow.weight) * up.min(down)).min(flow.cap);
            if rate != flow.rate || flow.fresh {
                flow.rate = rate;
                flow.fresh = false;
                self.changed.push(FlowId(number));
            }
        }
        &self.changed
    }

    /// What a flow got at the last settling, in bytes per second.
    pub fn rate(&self, flow: FlowId) -> f64 {
        self.flows[flow.index()].rate
    }

    /// The sum of the rates of all flows over a link, in bytes per second. It takes a step for each of them.
    pub fn load(&self, link: LinkId) -> f64 {
        self.links[link.index()].flows.iter().map(|entry| self.flows[entry.flow as usize].rate).sum()
    }

    /// What a link can carry, in bytes per second; `None`: unlimited.
    pub fn capacity(&self, link: LinkId) -> Option<f64> {
        Some(self.links[link.index()].capacity).filter(|capacity| capacity.is_finite())
    }

    /// Notes that a flow is new or different.
    fn touch(&mut self, number: u32) {
        let flow = &mut self.flows[number as usize];
        if !std::mem::replace(&mut flow.touched, true) {
            self.touched.push(number);
        }
        for end in flow.ends {
            enqueue(&mut self.levels, &mut self.queue, end);
        }
    }

    /// Computes the level of a link anew, and notes whom that affects.
    fn relevel(&mut self, link: usize) {
        let Link { capacity, flows } = &self.links[link];
        let old = self.levels[link].level;
        let new = water_level(*capacity, flows, &self.levels, &mut self.sorted);
        if new == old || (new - old).abs() <= ROUNDING * new.min(old) {
            return;
        }
        self.levels[link].level = new;
        let lower = new.min(old);
        for entry in flows {
            // A flow that another limit held back before and after gets what it got.
            if lower < entry.limit.min(self.levels[entry.other as usize].level) {
                let flow = &mut self.flows[entry.flow as usize];
                if !std::mem::replace(&mut flow.touched, true) {
                    self.touched.push(entry.flow);
                }
                enqueue(&mut self.levels, &mut self.queue, entry.other);
            }
        }
    }

    /// Computes all levels from scratch.
    fn refill(&mut self) {
        for (level, new) in self.levels.iter_mut().zip(filling::levels(&self.links, &self.flows)) {
            level.level = new;
            level.queued = false;
        }
        self.queue.clear();
        for (number, flow) in self.flows.iter_mut().enumerate() {
            if flow.live && !std::mem::replace(&mut flow.touched, true) {
                self.touched.push(number as u32);
            }
        }
    }
}

/// Notes that a link is to be computed anew. One without a capacity never is: its level is infinite.
fn enqueue(levels: &mut [Level], queue: &mut VecDeque<u32>, link: u32) {
    let level = &mut levels[link as usize];
    if level.limited && !level.queued {
        level.queued = true;
        queue.push_back(link);
    }
}

/// The level at which a link is just full; infinity if its flows cannot fill it.
fn water_level(capacity: f64, flows: &[Entry], levels: &[Level], sorted: &mut Vec<Claim>) -> f64 {
    let (mut room, mut weight) = (capacity, 0);
    let mut sum = 0.0;
    sorted.clear();
    for entry in flows {
        let claim = entry.limit.min(levels[entry.other as usize].level);
        sorted.push(Claim { level: claim, weight: entry.weight });
        sum += claim * f64::from(entry.weight);
        weight += u64::from(entry.weight);
    }
    let enough = 1.0 + ROUNDING;
    if sum <= capacity * enough {
        return f64::INFINITY;
    }
    sorted.sort_unstable_by(|a, b| a.level.total_cmp(&b.level));
    for claim in sorted.iter() {
        if claim.level * weight as f64 > room * enough {
            return room / weight as f64;
        }
        room = (room - claim.level * f64::from(claim.weight)).max(0.0);
        weight -= u64::from(claim.weight);
    }
    f64::INFINITY
}
