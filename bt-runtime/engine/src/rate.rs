//! Rate estimators: how fast a peer sends or takes, and how long a download has still to go.
//!
//! State is floating point, with + − × / only, so that it comes out the same on every machine.

use std::time::Duration;

use bt_api::Instant;

use crate::settings::{Estimator, RateSettings};

/// The mean over at most the last `period`, the original's `Measure` (CR-1 to CR-5).
#[derive(Clone, Debug)]
pub struct WindowRate {
    period: f64,
    /// Start of the window, in seconds of the run; before 0 by the fudge for one made at the start.
    since: f64,
    last: f64,
    rate: f64,
}

impl WindowRate {
    /// A measure made at `now`; `fudge` is added to its age against extremes at its start (CR-1).
    pub fn new(now: Instant, period: Duration, fudge: Duration) -> Self {
        let start = now.as_secs_f64() - fudge.as_secs_f64();
        Self { period: period.as_secs_f64(), since: start, last: start, rate: 0.0 }
    }

    /// Counts `bytes` at `now`, and lets time pass (CR-2).
    pub fn update(&mut self, now: Instant, bytes: u64) {
        let now = now.as_secs_f64();
        let age = now - self.since;
        if age > 0.0 {
            // Without age there is no rate yet: a fudge of 0 (CR-7).
            self.rate = (self.rate * (self.last - self.since) + bytes as f64) / age;
        }
        self.last = now;
        if self.since < now - self.period {
            self.since = now - self.period;
        }
    }

    /// The rate as of the last update, in bytes per second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// How long from `now` without traffic until the rate falls to `target` bytes per second (CR-4).
    pub fn time_until(&self, now: Instant, target: f64) -> Duration {
        if self.rate <= target {
            return Duration::ZERO;
        }
        let window = now.as_secs_f64() - self.since;
        Duration::try_from_secs_f64(self.rate * window / target - window).unwrap_or(Duration::MAX)
    }
}

/// An estimator of one direction of one connection, or of all together.
#[derive(Clone, Debug)]
pub enum Meter {
    /// See [`Estimator::Window`].
    Window(WindowRate),
    /// See [`Estimator::Round`].
    Round {
        /// Start of the round.
        since: Instant,
        /// Bytes since then.
        bytes: u64,
        /// The rate of the round before.
        rate: u64,
    },
}

impl Meter {
    /// A meter as `settings` have it, made at `now`.
    pub fn new(settings: &RateSettings, now: Instant, fudge: Duration) -> Self {
        match settings.estimator {
            Estimator::Window => Self::Window(WindowRate::new(now, settings.period.get(), fudge)),
            Estimator::Round => Self::Round { since: now, bytes: 0, rate: 0 },
        }
    }

    /// Counts `bytes` at `now`.
    pub fn count(&mut self, now: Instant, counted: u64) {
        match self {
            Self::Window(window) => window.update(now, counted),
            Self::Round { bytes, .. } => *bytes += counted,
        }
    }

    /// The rate in whole bytes per second, read at a choke round.
    pub fn round(&mut self, now: Instant) -> u64 {
        match self {
            Self::Window(window) => {
                window.update(now, 0);
                window.rate() as u64
            }
            Self::Round { since, bytes, rate } => {
                let age = now.since(*since).as_secs_f64();
                if age > 0.0 {
                    *rate = (*bytes as f64 / age) as u64;
                }
                (*since, *bytes) = (now, 0);
                *rate
            }
        }
    }

    /// The best guess of the rate now, without disturbing rounds.
    pub fn current(&self, now: Instant) -> u64 {
        match self {
            Self::Window(window) => {
                let mut copy = window.clone();
                copy.update(now, 0);
                copy.rate() as u64
            }
            Self::Round { since, bytes, rate } => {
                let age = now.since(*since).as_secs_f64();
                if age > 1.0 { (*bytes as f64 / age) as u64 } else { (*rate).max(*bytes) }
            }
        }
    }
}

/// Time left until completion, the original's `RateMeasure` (RM-1 to RM-8).
///
/// The window is the time since the start, but not more than the time that is estimated to be left; once it
/// was over 20 s it never falls under 20 s again.
#[derive(Clone, Debug)]
pub struct TimeLeft {
    start: Option<f64>,
    last: f64,
    rate: f64,
    remaining: Option<f64>,
    left: u64,
    broke: bool,
}

/// An idle estimate is worked out anew after so many seconds (RM-5).
const IDLE_REFRESH: f64 = 15.0;
/// Data is taken to have begun so many seconds before its first byte (RM-2).
const HEAD_START: f64 = 2.0;
/// The least window in seconds, once it was longer (RM-3).
const MIN_WINDOW: f64 = 20.0;

impl TimeLeft {
    /// With `left` bytes missing.
    pub fn new(left: u64) -> Self {
        Self { start: None, last: 0.0, rate: 0.0, remaining: None, left, broke: false }
    }

    /// Counts `bytes` at `now`.
    pub fn came_in(&mut self, now: Instant, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        let now = now.as_secs_f64();
        if self.start.is_none() {
            self.start = Some(now - HEAD_START);
            self.last = now - HEAD_START;
            return;
        }
        self.update(now, bytes);
    }

    fn update(&mut self, now: f64, bytes: u64) {
        let Some(mut start) = self.start else { return };
        if now > start {
            self.rate = (self.rate * (self.last - start) + bytes as f64) / (now - start);
        }
        self.last = now;
        self.remaining = (self.rate > 0.0).then(|| self.left as f64 / self.rate);
        if let Some(remaining) = self.remaining
            && start < self.last - remaining
        {
            start = self.last - remaining;
        }
        if self.broke && self.last - start < MIN_WINDOW {
            start = self.last - MIN_WINDOW;
        }
        self.broke |= self.last - start > MIN_WINDOW;
        self.start = Some(start);
    }

    /// `bytes` that came in failed their hash.
    pub fn rejected(&mut self, bytes: u64) {
        self.left += bytes;
    }

    /// Bytes that have not come in.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The estimate at `now`, if there is one.
    pub fn time_left(&mut self, now: Instant) -> Option<Duration> {
        self.start?;
        let now = now.as_secs_f64();
        if now - self.last > IDLE_REFRESH {
            self.update(now, 0);
        }
        self.remaining.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(20);

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-6 * b.abs()
    }

    /// Case 60, first half (CR-6).
    #[test]
    fn the_window_gives_the_vectors_of_the_original() {
        let mut measure = WindowRate::new(Instant::ZERO, PERIOD, Duration::from_secs(1));
        for (at, bytes, rate) in [(0, 1000, 1000.0), (1, 1000, 1000.0), (25, 0, 2000.0 / 26.0)] {
            measure.update(Instant::from_secs(at), bytes);
            assert!(close(measure.rate(), rate), "at {at}: {}", measure.rate());
        }
        assert!(close(measure.since, 5.0));
        measure.update(Instant::from_secs(26), 0);
        assert!(close(measure.rate(), 2000.0 / 26.0 * 20.0 / 21.0));
        let mut upload = WindowRate::new(Instant::ZERO, PERIOD, Duration::from_secs(5));
        upload.update(Instant::ZERO, 10_000);
        assert!(close(upload.rate(), 2000.0));
        assert_eq!(upload.time_until(Instant::ZERO, 1000.0), Duration::from_secs(5));
        upload.update(Instant::from_secs(5), 0);
        assert!(close(upload.rate(), 1000.0));
    }

    /// Case 60, second half (RM-7).
    #[test]
    fn the_time_left_gives_the_vectors_of_the_original() {
        let mut measure = TimeLeft::new(1000);
        measure.came_in(Instant::ZERO, 100);
        assert_eq!((measure.left(), measure.time_left(Instant::ZERO)), (900, None));
        measure.came_in(Instant::from_secs(2), 100);
        assert!(close(measure.rate, 25.0));
        assert_eq!(measure.time_left(Instant::from_secs(2)), Some(Duration::from_secs(32)));
        measure.came_in(Instant::from_secs(4), 100);
        assert!(close(measure.rate, 100.0 / 3.0));
        let at =
            |measure: &mut TimeLeft, secs| measure.time_left(Instant::from_secs(secs)).unwrap().as_secs_f64();
        assert!(close(at(&mut measure, 18), 21.0));
        assert!(close(at(&mut measure, 20), 77.0));
        assert!(close(measure.rate, 200.0 / 22.0));
    }

    /// Case 61.
    #[test]
    fn a_steady_rate_is_found_and_forgotten() {
        let mut measure = WindowRate::new(Instant::ZERO, PERIOD, Duration::from_secs(1));
        (0..60).for_each(|at| measure.update(Instant::from_secs(at), 1000));
        assert!((980.0..1020.0).contains(&measure.rate()));
        (60..120).for_each(|at| measure.update(Instant::from_secs(at), 0));
        assert!(measure.rate() < 60.0);
    }

    /// Case 62.
    #[test]
    fn after_the_time_until_a_rate_that_is_the_rate() {
        let mut measure = WindowRate::new(Instant::ZERO, PERIOD, Duration::from_secs(1));
        (0..8).for_each(|at| measure.update(Instant::from_secs(at), 1000));
        let now = Instant::from_secs(7);
        assert_eq!(measure.time_until(now, 2000.0), Duration::ZERO);
        measure.update(now + measure.time_until(now, 500.0), 0);
        assert!((measure.rate() - 500.0).abs() <= 500.0 * 1e-9 * 10.0);
    }

    /// Cases 63 and 64.
    #[test]
    fn the_time_left_starts_unknown_and_ends_at_nothing() {
        let mut measure = TimeLeft::new(200);
        assert_eq!(measure.time_left(Instant::from_secs(100)), None);
        measure.rejected(50);
        assert_eq!(measure.left(), 250);
        measure.came_in(Instant::from_secs(100), 200);
        measure.came_in(Instant::from_secs(101), 50);
        assert_eq!(measure.time_left(Instant::from_secs(101)), Some(Duration::ZERO));
        let mut idle = TimeLeft::new(100);
        idle.came_in(Instant::ZERO, 10);
        assert_eq!(idle.time_left(Instant::from_secs(50)), None);
    }

    #[test]
    fn the_round_estimator_counts_a_round() {
        let settings = RateSettings { estimator: Estimator::Round, ..RateSettings::default() };
        let mut meter = Meter::new(&settings, Instant::ZERO, Duration::ZERO);
        meter.count(Instant::from_secs(3), 50_000);
        assert_eq!(meter.round(Instant::from_secs(10)), 5000);
        assert_eq!(meter.round(Instant::from_secs(20)), 0);
    }
}
