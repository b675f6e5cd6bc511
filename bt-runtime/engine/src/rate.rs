//! Rate estimators: how fast a peer sends or takes, and how long a download has still to go.
//!
//! State is floating point, with + − × / only, so that it comes out the same on every machine. The original's two
//! measures, [`WindowRate`] and [`TimeLeft`], count in seconds as floating point too, as they always did, so that
//! no rounding of a clock stands between them and the original; a [`Meter`] reads the engine's clock for them.

mod time_left;
mod window;

use std::time::Duration;

use bt_api::Instant;

use crate::settings::{Estimator, RateSettings};

pub use time_left::TimeLeft;
pub use window::WindowRate;

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
            Estimator::Window => Self::Window(WindowRate::new(
                now.as_secs_f64(),
                settings.period.get().as_secs_f64(),
                fudge.as_secs_f64(),
            )),
            Estimator::Round => Self::Round { since: now, bytes: 0, rate: 0 },
        }
    }

    /// Counts `bytes` at `now`.
    pub fn count(&mut self, now: Instant, counted: u64) {
        match self {
            Self::Window(window) => window.update(now.as_secs_f64(), counted),
            Self::Round { bytes, .. } => *bytes += counted,
        }
    }

    /// The rate in whole bytes per second, read at a choke round.
    pub fn round(&mut self, now: Instant) -> u64 {
        match self {
            Self::Window(window) => {
                window.update(now.as_secs_f64(), 0);
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

    /// The best guess of the rate now in bytes per second, without disturbing rounds.
    pub fn current(&self, now: Instant) -> f64 {
        match self {
            Self::Window(window) => {
                let mut copy = window.clone();
                copy.update(now.as_secs_f64(), 0);
                copy.rate()
            }
            Self::Round { since, bytes, rate } => {
                let age = now.since(*since).as_secs_f64();
                if age > 1.0 { *bytes as f64 / age } else { (*rate).max(*bytes) as f64 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_estimator_counts_a_round() {
        let settings = RateSettings { estimator: Estimator::Round, ..RateSettings::default() };
        let mut meter = Meter::new(&settings, Instant::ZERO, Duration::ZERO);
        meter.count(Instant::from_secs(3), 50_000);
        assert_eq!(meter.round(Instant::from_secs(10)), 5000);
        assert_eq!(meter.round(Instant::from_secs(20)), 0);
    }
}
