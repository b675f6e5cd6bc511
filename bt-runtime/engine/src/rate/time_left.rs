//! The original's `RateMeasure`: how long a download has still to go.

use crate::settings::RateSettings;

/// Time left until completion, the original's `RateMeasure` (RM-1 to RM-8).
///
/// The window is the time since the start, but not more than the time that is estimated to be left; once it was
/// longer than `time-left-window` it is never shorter again (RM-4). Bytes count when they are received, so a failed hash
/// takes the estimate back (RM-8). Time is in seconds from any start that the caller chooses, and each step is the
/// original's, in its order.
#[derive(Clone, Debug)]
pub struct TimeLeft {
    rules: Rules,
    /// Start and end of the window, once something came in.
    window: Option<Window>,
    rate: f64,
    remaining: Option<f64>,
    /// Less than nothing when more came in than was missing, as in the original.
    left: i64,
    /// Whether the window was once longer than its least.
    broke: bool,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    start: f64,
    last: f64,
}

/// Its settings, in seconds.
#[derive(Clone, Copy, Debug)]
struct Rules {
    head_start: f64,
    idle: f64,
    least_window: f64,
}

impl TimeLeft {
    /// With `left` bytes missing.
    pub fn new(settings: &RateSettings, left: u64) -> Self {
        let rules = Rules {
            head_start: settings.time_left_head_start.get().as_secs_f64(),
            idle: settings.time_left_idle.get().as_secs_f64(),
            least_window: settings.time_left_window.get().as_secs_f64(),
        };
        Self { rules, window: None, rate: 0.0, remaining: None, left: whole(left), broke: false }
    }

    /// Counts `bytes` at `now`. The first only begin the window (RM-2).
    pub fn came_in(&mut self, now: f64, bytes: u64) {
        if self.window.is_some() {
            return self.update(now, bytes);
        }
        let start = now - self.rules.head_start;
        self.window = Some(Window { start, last: start });
        self.left = self.left.saturating_sub(whole(bytes));
    }

    /// RM-3.
    fn update(&mut self, now: f64, bytes: u64) {
        let Some(Window { mut start, mut last }) = self.window else { return };
        self.left = self.left.saturating_sub(whole(bytes));
        self.remaining = None;
        let age = now - start;
        if age != 0.0 {
            self.rate = (self.rate * (last - start) + bytes as f64) / age;
            last = now;
            if self.rate != 0.0 {
                let remaining = self.left as f64 / self.rate;
                self.remaining = Some(remaining);
                if start < last - remaining {
                    start = last - remaining;
                }
            }
        }
        if self.broke && last - start < self.rules.least_window {
            start = last - self.rules.least_window;
        }
        self.broke |= last - start > self.rules.least_window;
        self.window = Some(Window { start, last });
    }

    /// `bytes` that came in failed their hash (RM-6).
    pub fn rejected(&mut self, bytes: u64) {
        self.left = self.left.saturating_add(whole(bytes));
    }

    /// Bytes that have not come in; below 0 by what came in twice.
    pub fn left(&self) -> i64 {
        self.left
    }

    /// The estimate at `now` in seconds, if there is one. After a silence it is worked out anew (RM-5).
    pub fn time_left(&mut self, now: f64) -> Option<f64> {
        if now - self.window?.last > self.rules.idle {
            self.update(now, 0);
        }
        self.remaining
    }
}

fn whole(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use bt_api::config::Duration;

    use super::*;

    fn time_left(left: u64) -> TimeLeft {
        TimeLeft::new(&RateSettings::default(), left)
    }

    fn close(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() <= 1e-6 * b.abs())
    }

    /// Case 60, second half (RM-7).
    #[test]
    fn case_60_the_time_left_gives_the_vectors_of_the_original() {
        let mut measure = time_left(1000);
        measure.came_in(0.0, 100);
        assert_eq!((measure.left(), measure.time_left(0.0)), (900, None));
        measure.came_in(2.0, 100);
        assert_eq!((measure.rate, measure.time_left(2.0)), (25.0, Some(32.0)));
        measure.came_in(4.0, 100);
        assert!(close(Some(measure.rate), 33.333333));
        assert!(close(measure.time_left(18.0), 21.0));
        assert!(close(measure.time_left(20.0), 77.0));
        assert!(close(Some(measure.rate), 9.0909091));
    }

    #[test]
    fn case_63_nothing_is_known_before_data_and_a_failed_hash_takes_back() {
        let mut measure = time_left(200);
        assert_eq!(measure.time_left(100.0), None);
        measure.rejected(50);
        assert_eq!(measure.left(), 250);
    }

    #[test]
    fn case_64_nothing_left_takes_no_time_and_no_rate_gives_no_estimate() {
        let mut measure = time_left(250);
        measure.came_in(100.0, 200);
        measure.came_in(101.0, 50);
        assert_eq!(measure.time_left(101.0), Some(0.0));
        let mut idle = time_left(100);
        idle.came_in(0.0, 10);
        assert_eq!(idle.time_left(50.0), None);
    }

    #[test]
    fn each_rule_is_a_setting() {
        let settings = RateSettings {
            time_left_head_start: Duration::secs(8),
            time_left_idle: Duration::secs(5),
            time_left_window: Duration::secs(40),
            ..RateSettings::default()
        };
        let mut measure = TimeLeft::new(&settings, 1000);
        measure.came_in(0.0, 100);
        measure.came_in(2.0, 100);
        // 100 bytes in 10 s; in the original's 4 s the estimate would be 32 s.
        assert_eq!(measure.time_left(7.0), Some(80.0));
        // Silent for more than 5 s: 100 bytes in 16 s.
        assert_eq!(measure.time_left(8.0), Some(128.0));
        // The window has been 50 s long; it stays at 40 s, although the rest takes less.
        measure.came_in(42.0, 0);
        measure.came_in(43.0, 700);
        assert!(measure.broke);
        let Window { start, last } = measure.window.unwrap();
        assert_eq!(last - start, 40.0);
    }

    #[test]
    fn more_than_was_missing_and_odd_times_do_no_harm() {
        let mut measure = time_left(10);
        measure.came_in(1.0, 30);
        measure.came_in(2.0, u64::MAX);
        assert!(measure.time_left(2.0).unwrap() < 0.0);
        for now in [0.0, f64::MAX, f64::NAN, f64::INFINITY] {
            measure.came_in(now, 1);
            measure.rejected(u64::MAX);
            measure.time_left(now);
        }
    }
}
