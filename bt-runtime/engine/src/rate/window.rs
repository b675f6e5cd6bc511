//! The original's `Measure` (`CurrentRateMeasure`): how many bytes a second pass now.

/// The mean over at most the last `period` seconds, the original's `Measure` (CR-1 to CR-7).
///
/// Time is in seconds from any start that the caller chooses; a clock that steps back does no harm. Each step is the
/// original's, in its order, so that the same events give the same rate to the last bit.
#[derive(Clone, Debug)]
pub struct WindowRate {
    period: f64,
    /// Start of the window; before the measure was made by the fudge, at first.
    since: f64,
    last: f64,
    rate: f64,
}

impl WindowRate {
    /// A measure made at `now` over `period` seconds. `fudge` seconds are added to its age at its start, against
    /// extremes (CR-1).
    pub fn new(now: f64, period: f64, fudge: f64) -> Self {
        let start = now - fudge;
        Self { period, since: start, last: start, rate: 0.0 }
    }

    /// Counts `bytes` at `now`; with none, lets time pass (CR-2).
    pub fn update(&mut self, now: f64, bytes: u64) {
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

    /// The rate as of the last update, in bytes per second (CR-3).
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// For how many seconds from `now` nothing may come until the rate has fallen to `target` bytes per second (CR-4).
    /// It takes the rate as of the last update, so it is exact right after one; for a target of 0 it is infinite.
    pub fn time_until(&self, now: f64, target: f64) -> f64 {
        if self.rate <= target {
            return 0.0;
        }
        let window = now - self.since;
        self.rate * window / target - window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, relative: f64) -> bool {
        (a - b).abs() <= relative * b.abs()
    }

    /// Case 60, first half (CR-6).
    #[test]
    fn case_60_the_window_gives_the_vectors_of_the_original() {
        let mut measure = WindowRate::new(0.0, 20.0, 1.0);
        for (at, bytes, rate) in [(0.0, 1000, 1000.0), (1.0, 1000, 1000.0), (25.0, 0, 76.9231)] {
            measure.update(at, bytes);
            assert!(close(measure.rate(), rate, 1e-6), "at {at}: {}", measure.rate());
        }
        assert_eq!(measure.since, 5.0);
        measure.update(26.0, 0);
        assert!(close(measure.rate(), 73.2601, 1e-6));
        let mut upload = WindowRate::new(0.0, 20.0, 5.0);
        upload.update(0.0, 10_000);
        assert_eq!(upload.rate(), 2000.0);
        assert_eq!(upload.time_until(0.0, 1000.0), 5.0);
        upload.update(5.0, 0);
        assert_eq!(upload.rate(), 1000.0);
    }

    #[test]
    fn case_61_a_steady_rate_is_found_and_forgotten() {
        let mut measure = WindowRate::new(0.0, 20.0, 1.0);
        (0..60).for_each(|at| measure.update(f64::from(at), 1000));
        assert!(close(measure.rate(), 1000.0, 0.02));
        (60..120).for_each(|at| measure.update(f64::from(at), 0));
        assert!(measure.rate() < 60.0);
    }

    #[test]
    fn case_62_after_the_time_until_a_rate_that_is_the_rate() {
        let mut measure = WindowRate::new(0.0, 20.0, 1.0);
        (0..8).for_each(|at| measure.update(f64::from(at), 1000));
        let rate = measure.rate();
        assert_eq!([measure.time_until(7.0, rate), measure.time_until(7.0, 2000.0)], [0.0, 0.0]);
        measure.update(7.0 + measure.time_until(7.0, 500.0), 0);
        assert!(close(measure.rate(), 500.0, 1e-9), "{}", measure.rate());
    }

    /// CR-7, and a clock that is worse.
    #[test]
    fn no_time_and_odd_times_do_no_harm() {
        let mut young = WindowRate::new(3.0, 20.0, 0.0);
        young.update(3.0, 1000);
        assert_eq!(young.rate(), 0.0);
        young.update(4.0, 1000);
        assert_eq!(young.rate(), 1000.0);
        assert_eq!(young.time_until(4.0, 0.0), f64::INFINITY);
        young.update(1.0, 1000);
        young.update(f64::MAX, u64::MAX);
        young.update(f64::NAN, 1);
    }
}
