//! What leechers give each other and take, pair by pair, in all and round by round.

use super::state::ROUND;

/// What one end of a connection gave and took while both ends lacked something, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exchange {
    /// In all, given less taken.
    imbalance: i64,
    /// In the round that runs.
    gave: u64,
    took: u64,
    /// In the round before.
    took_before: u64,
}

impl Exchange {
    pub(super) fn give(&mut self, bytes: u64) {
        self.gave = self.gave.saturating_add(bytes);
        self.imbalance = self.imbalance.saturating_add_unsigned(bytes);
    }

    pub(super) fn take(&mut self, bytes: u64) {
        self.took = self.took.saturating_add(bytes);
        self.imbalance = self.imbalance.saturating_sub_unsigned(bytes);
    }

    /// How much more was given than taken; below 0: less.
    pub(super) fn imbalance(&self) -> i64 {
        self.imbalance
    }

    /// A round is over, and so are those without an event that followed it; `past` of them in all.
    pub(super) fn next(&mut self, past: u64) {
        self.took_before = if past == 1 { self.took } else { 0 };
        (self.gave, self.took) = (0, 0);
    }
}

/// How much the gifts of a peer follow, in each round, those that it got in the round before.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    /// The number of the round that runs, from 0.
    round: u64,
    /// Bytes given in proportion, and all that could be.
    fitting: f64,
    all: f64,
}

impl Exchanges {
    /// How many rounds are over at `now`, counted from the peer's arrival, that were not at the last call.
    pub(super) fn advance(&mut self, now: u64) -> u64 {
        let past = (now / ROUND).saturating_sub(self.round);
        self.round += past;
        past
    }

    /// Adds a round that is over: `all` that there was on open connections. With fewer than two that gave in the round
    /// before there is nothing to share out.
    pub(super) fn add<'a>(&mut self, all: impl Iterator<Item = &'a Exchange> + Clone) {
        let givers = all.filter(|one| one.took_before > 0);
        let (mut count, mut gave, mut took) = (0, 0.0, 0.0);
        for one in givers.clone() {
            (count, gave, took) = (count + 1, gave + one.gave as f64, took + one.took_before as f64);
        }
        if count < 2 || gave == 0.0 {
            return;
        }
        let part = |one: &Exchange| f64::min(one.gave as f64, gave * (one.took_before as f64 / took));
        self.fitting += givers.map(part).sum::<f64>();
        self.all += gave;
    }

    /// The part of the bytes that was given in proportion.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.all > 0.0).then(|| self.fitting / self.all)
    }
}
