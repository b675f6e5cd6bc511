//! Who is there and what the swarm holds, over time: sums that only grow, and samples of them.
//!
//! A sample is a copy of the sums. What happened between two samples is their difference, so thinning is leaving
//! out every other one: a run of any length gives between 256 and 512 of them, evenly spaced.

/// The first distance of samples, in nanoseconds: an eighth of a second.
const FIRST_INTERVAL: u64 = 125_000_000;

/// When there are so many samples, every other one goes.
const MOST_SAMPLES: usize = 512;

/// Sums over the peers of a scope: of all, or of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) leechers: u32,
    pub(super) seeds: u32,
    /// Peers that came without everything and have it.
    pub(super) completed: u32,
    /// Links of those present, in bytes per second, and bytes that went over them.
    pub(super) up: Link,
    pub(super) up_of_seeds: Link,
    pub(super) down: Link,
}

/// A kind of link: what it could carry and what it carried.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Link {
    capacity: u64,
    /// Capacity times time: bytes per second times nanoseconds.
    could: u128,
    pub(super) bytes: u64,
}

impl Link {
    /// The part of what could be carried since `earlier` that was; `None` where nothing could.
    pub(super) fn used_since(&self, earlier: &Self) -> Option<f64> {
        let could = self.could - earlier.could;
        (could > 0).then(|| (self.bytes - earlier.bytes) as f64 * 1e9 / could as f64)
    }

    /// The mean of what could be carried since `earlier`, which was `nanos` before, in bytes per second; `None` where
    /// nothing could.
    pub(super) fn capacity_since(&self, earlier: &Self, nanos: u64) -> Option<f64> {
        let could = self.could - earlier.could;
        (could > 0).then(|| could as f64 / nanos as f64)
    }
}

/// What happens to a peer, as far as the sums go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Arrives,
    Completes,
    Leaves,
}

impl Totals {
    fn pass(&mut self, nanos: u64) {
        for link in [&mut self.up, &mut self.up_of_seeds, &mut self.down] {
            link.could += u128::from(link.capacity) * u128::from(nanos);
        }
    }

    fn change(&mut self, change: Change, is_seed: bool, up: Option<u64>, down: Option<u64>) {
        let (up, down) = (up.unwrap_or(0), down.unwrap_or(0));
        match (change, is_seed) {
            (Change::Arrives, false) => {
                self.leechers += 1;
                self.up.capacity += up;
                self.down.capacity += down;
            }
            (Change::Arrives, true) => {
                self.seeds += 1;
                self.up_of_seeds.capacity += up;
            }
            (Change::Leaves, true) => {
                self.seeds -= 1;
                self.up_of_seeds.capacity -= up;
            }
            (Change::Leaves | Change::Completes, _) => {
                self.leechers -= 1;
                self.up.capacity -= up;
                self.down.capacity -= down;
                if change == Change::Completes {
                    self.completed += 1;
                    self.change(Change::Arrives, true, Some(up), Some(down));
                }
            }
        }
    }
}

/// How often each piece is there among the peers present.
#[derive(Debug, Default)]
pub(super) struct Copies {
    copies: Vec<u32>,
    /// How many pieces there are so often.
    levels: Vec<u32>,
    total: u64,
}

/// The state of the copies at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CopiesNow {
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) distributed: f64,
    pub(super) entropy: Option<f64>,
}

impl Copies {
    pub(super) fn new(pieces: u32) -> Self {
        Self { copies: vec![0; pieces as usize], levels: vec![pieces], total: 0 }
    }

    pub(super) fn pieces(&self) -> u32 {
        self.copies.len() as u32
    }

    pub(super) fn add(&mut self, piece: u32) {
        if let Some(copies) = self.copies.get_mut(piece as usize) {
            self.levels[*copies as usize] -= 1;
            *copies += 1;
            if self.levels.len() <= *copies as usize {
                self.levels.push(0);
            }
            self.levels[*copies as usize] += 1;
            self.total += 1;
        }
    }

    pub(super) fn remove(&mut self, piece: u32) {
        if let Some(copies) = self.copies.get_mut(piece as usize).filter(|copies| **copies > 0) {
            self.levels[*copies as usize] -= 1;
            *copies -= 1;
            self.levels[*copies as usize] += 1;
            self.total -= 1;
        }
    }

    fn now(&self) -> Option<CopiesNow> {
        let pieces = self.copies.len() as f64;
        let min = self.levels.iter().position(|&count| count > 0).filter(|_| pieces > 0.0)?;
        let total = self.total as f64;
        // H = log S - (1/S) sum of c log c, where S is the sum of all copies c.
        let logs = self.levels.iter().enumerate().skip(2);
        let logs = logs.map(|(copies, &count)| f64::from(count) * copies as f64 * libm::log(copies as f64));
        let entropy = (self.total > 0 && pieces > 1.0)
            .then(|| (libm::log(total) - logs.sum::<f64>() / total) / libm::log(pieces));
        Some(CopiesNow {
            min: min as f64,
            mean: total / pieces,
            distributed: min as f64 + (pieces - f64::from(self.levels[min])) / pieces,
            entropy,
        })
    }
}

/// A copy of the sums.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: u64,
    pub(super) copies: Option<CopiesNow>,
    /// Of all, then of each class that was known by then.
    pub(super) scopes: Vec<Totals>,
}

/// The sums of all scopes, and the samples of them.
#[derive(Debug)]
pub(super) struct Population {
    /// Of all, then of each class.
    pub(super) scopes: Vec<Totals>,
    pub(super) copies: Copies,
    /// Until when the sums are kept.
    mark: u64,
    interval: u64,
    /// When the next sample is due.
    pub(super) due: u64,
    pub(super) samples: Vec<Sample>,
}

impl Population {
    pub(super) fn new() -> Self {
        Self {
            scopes: vec![Totals::default()],
            copies: Copies::default(),
            mark: 0,
            interval: FIRST_INTERVAL,
            due: 0,
            samples: Vec::new(),
        }
    }

    /// Something happens to a peer of the scope of `class`, which is a seed or not until then.
    pub(super) fn change(
        &mut self,
        now: u64,
        class: u32,
        change: Change,
        is_seed: bool,
        links: (Option<u64>, Option<u64>),
    ) {
        self.pass(now);
        for scope in [0, class as usize + 1] {
            self.scopes[scope].change(change, is_seed, links.0, links.1);
        }
    }

    /// Both scopes of a peer.
    pub(super) fn of(&mut self, class: u32, count: impl Fn(&mut Totals)) {
        count(&mut self.scopes[0]);
        count(&mut self.scopes[class as usize + 1]);
    }

    fn pass(&mut self, now: u64) {
        let nanos = now.saturating_sub(self.mark);
        if nanos > 0 {
            self.scopes.iter_mut().for_each(|scope| scope.pass(nanos));
            self.mark = now;
        }
    }

    /// Takes the samples that are due before what happens at `now`.
    pub(super) fn sample(&mut self, now: u64) {
        while self.due < now {
            let due = self.due;
            self.take(due);
            if self.samples.len() >= MOST_SAMPLES {
                let mut keep = false;
                self.samples.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.interval *= 2;
            }
            self.due = self.samples.last().map_or(0, |last| last.at).saturating_add(self.interval);
        }
    }

    /// Takes the last sample.
    pub(super) fn end(&mut self, now: u64) {
        self.sample(now);
        self.take(now);
    }

    fn take(&mut self, at: u64) {
        self.pass(at);
        self.samples.push(Sample { at, copies: self.copies.now(), scopes: self.scopes.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_a_run_is_it_has_some_hundreds_of_evenly_spaced_samples() {
        for seconds in [64, 1000, 2000, 700_000] {
            let mut population = Population::new();
            population.end(seconds * 1_000_000_000);
            let samples = &population.samples;
            assert!((256..=513).contains(&samples.len()), "{seconds}: {}", samples.len());
            let gap = samples[1].at - samples[0].at;
            assert!(samples[..samples.len() - 1].windows(2).all(|two| two[1].at - two[0].at == gap));
        }
    }

    #[test]
    fn sums_go_on_through_thinning() {
        let mut population = Population::new();
        population.scopes.push(Totals::default());
        population.change(0, 0, Change::Arrives, false, (Some(1000), None));
        for second in 1..=200 {
            population.sample(second * 1_000_000_000);
            population.of(0, |scope| scope.up.bytes += 500);
        }
        population.end(200_000_000_000);
        let last = population.samples.last().unwrap();
        assert_eq!(last.scopes[1].up.used_since(&Link::default()), Some(0.5));
        assert_eq!(last.scopes[0].down.used_since(&Link::default()), None);
    }

    #[test]
    fn copies_are_counted_and_their_entropy_is_one_when_all_are_equally_common() {
        let mut copies = Copies::new(4);
        assert_eq!(copies.now().unwrap(), CopiesNow { min: 0.0, mean: 0.0, distributed: 0.0, entropy: None });
        (0..4).for_each(|piece| copies.add(piece));
        copies.add(0);
        let now = copies.now().unwrap();
        assert_eq!((now.min, now.mean, now.distributed), (1.0, 1.25, 1.25));
        // -(2/5 log 2/5 + 3 * 1/5 log 1/5) / log 4 = 1.33218 / 1.38629
        assert!((now.entropy.unwrap() - 0.960_964).abs() < 1e-6, "{now:?}");
        copies.remove(0);
        assert!((copies.now().unwrap().entropy.unwrap() - 1.0).abs() < 1e-12);
        copies.remove(3);
        assert_eq!(copies.now().unwrap().distributed, 0.75);
    }
}
