//! Confidence intervals, and whether two samples differ.
//!
//! Two policies are best compared in pairs: the same seed gives both the same arrivals, capacities and neighbours, so
//! that most of what differs from run to run cancels ([`paired`]). Runs of different seeds are compared by Welch's
//! test ([`welch`]). Who makes many comparisons finds a difference somewhere by chance: [`holm`] allows for that.

use bt_api::rng::{below, stream};

use super::{mean, quantile, sorted, student, variance};

/// How sure an interval is.
pub const CONFIDENCE: f64 = 0.95;

/// An estimate with its confidence interval of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate: the mean, or the statistic of a [`bootstrap`].
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many values (runs, pairs of runs) it rests on.
    pub n: usize,
}

/// By how much the first of two samples has more than the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The difference of the means, first less second; `n` counts the pairs, or the values of both samples.
    pub interval: Interval,
    /// The probability of a difference as large as this, or larger, either way, if there is none in truth.
    pub p: f64,
}

impl Difference {
    /// Of an estimate with its standard error and degrees of freedom.
    fn new(estimate: f64, error: f64, df: f64, n: usize) -> Self {
        if error == 0.0 {
            let interval = Interval { mean: estimate, low: estimate, high: estimate, n };
            return Self { interval, p: if estimate == 0.0 { 1.0 } else { 0.0 } };
        }
        let half = student::quantile((1.0 + CONFIDENCE) / 2.0, df) * error;
        let interval = Interval { mean: estimate, low: estimate - half, high: estimate + half, n };
        Self { interval, p: student::two_sided_p(estimate / error, df) }
    }
}

/// The mean of what the values are drawn from, by Student's t; `None` of fewer than two values.
pub fn interval(values: &[f64]) -> Option<Interval> {
    Some(against_zero(values)?.interval)
}

/// The mean with its interval, and the probability of it if it is 0 in truth.
fn against_zero(values: &[f64]) -> Option<Difference> {
    let n = values.len();
    let error = (variance(values)? / n as f64).sqrt();
    Some(Difference::new(mean(values)?, error, (n - 1) as f64, n))
}

/// The difference within pairs, first less second, by Student's t; `None` of fewer than two pairs. If both are the
/// same in each pair it is exactly 0, and `p` is 1.
pub fn paired(pairs: &[(f64, f64)]) -> Option<Difference> {
    let differences: Vec<f64> = pairs.iter().map(|(first, second)| first - second).collect();
    against_zero(&differences)
}

/// The difference of the means of two samples that have nothing to do with each other and may vary differently, by
/// Welch's t (Biometrika 34, 1947); `None` if one has fewer than two values.
pub fn welch(first: &[f64], second: &[f64]) -> Option<Difference> {
    let (n, m) = (first.len() as f64, second.len() as f64);
    let (a, b) = (variance(first)? / n, variance(second)? / m);
    // Of the ratios, so that no square overflows or vanishes.
    let (part, rest) = (a / (a + b), b / (a + b));
    let df = 1.0 / (part * part / (n - 1.0) + rest * rest / (m - 1.0));
    Some(Difference::new(mean(first)? - mean(second)?, (a + b).sqrt(), df, first.len() + second.len()))
}

/// The p of many comparisons made at once, adjusted so that with probability 95 % none of those that hold in truth is
/// below 0.05, in the order given (Holm, "A simple sequentially rejective multiple test procedure", 1979).
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|&a, &b| ps[a].total_cmp(&ps[b]));
    let mut adjusted = vec![0.0; ps.len()];
    let mut least = 0.0_f64;
    for (place, index) in order.into_iter().enumerate() {
        least = least.max(ps[index] * (ps.len() - place) as f64).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

/// The interval of any statistic (say, [`median`](super::median)): the quantiles of what it is in `resamples` samples
/// drawn from the values with replacement (Efron's percentile bootstrap; 2,000 resamples are usual). `None` of fewer
/// than two values, if nothing is drawn, or where the statistic is. The draws are a function of `seed`.
pub fn bootstrap(
    values: &[f64],
    statistic: impl Fn(&[f64]) -> Option<f64>,
    resamples: usize,
    seed: u64,
) -> Option<Interval> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let mut rng = stream(seed, 0, "bootstrap");
    let mut drawn = vec![0.0; n];
    let found: Option<Vec<f64>> = (0..resamples)
        .map(|_| {
            drawn.fill_with(|| values[below(&mut rng, n as u32) as usize]);
            statistic(&drawn)
        })
        .collect();
    let found = sorted(&found?);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some(Interval {
        mean: statistic(values)?,
        low: quantile(&found, tail)?,
        high: quantile(&found, 1.0 - tail)?,
        n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::uniform;
    use crate::stats::median;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn an_interval_by_hand() {
        // Mean 3, standard error sqrt(2.5 / 5), t of 4 degrees 2.776445.
        let found = interval(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!((found.mean, found.n), (3.0, 5));
        near(found.low, 3.0 - 2.776_445 * 0.5_f64.sqrt());
        near(found.high, 3.0 + 2.776_445 * 0.5_f64.sqrt());
        assert_eq!(interval(&[1.0]), None);
        assert_eq!(interval(&[7.0; 3]), Some(Interval { mean: 7.0, low: 7.0, high: 7.0, n: 3 }));
    }

    /// Extra hours of sleep with two drugs: the data of Student's own paper (Biometrika 6, 1908), `sleep` in R.
    const SLEEP: [(f64, f64); 10] = [
        (0.7, 1.9),
        (-1.6, 0.8),
        (-0.2, 1.1),
        (-1.2, 0.1),
        (-0.1, -0.1),
        (3.4, 4.4),
        (3.7, 5.5),
        (0.8, 1.6),
        (0.0, 4.6),
        (2.0, 3.4),
    ];

    #[test]
    fn students_own_data() {
        // R: t.test(extra ~ group, paired = TRUE): -1.58, -2.4598858 to -0.7001142, p = 0.002832890.
        let found = paired(&SLEEP).unwrap();
        near(found.interval.mean, -1.58);
        near(found.interval.low, -2.459_885_8);
        near(found.interval.high, -0.700_114_2);
        near(found.p, 0.002_832_890);
        // R: t.test(extra ~ group): -3.3654832 to 0.2054832, p = 0.07939414, 17.776 degrees.
        let (first, second): (Vec<f64>, Vec<f64>) = SLEEP.into_iter().unzip();
        let found = welch(&first, &second).unwrap();
        near(found.interval.low, -3.365_483_2);
        near(found.interval.high, 0.205_483_2);
        near(found.p, 0.079_394_14);
    }

    #[test]
    fn the_same_runs_do_not_differ_at_all() {
        let same: Vec<(f64, f64)> = SLEEP.iter().map(|pair| (pair.0, pair.0)).collect();
        let none = Difference { interval: Interval { mean: 0.0, low: 0.0, high: 0.0, n: 10 }, p: 1.0 };
        assert_eq!(paired(&same), Some(none));
        assert_eq!(paired(&same[..1]), None);
        assert_eq!(paired(&[(2.0, 1.0), (3.0, 2.0)]).unwrap().p, 0.0);
        assert_eq!(welch(&[1.0, 1.0], &[1.0, 1.0]).unwrap().p, 1.0);
        assert_eq!(welch(&[2.0, 2.0], &[1.0, 1.0]).unwrap().p, 0.0);
        assert_eq!(welch(&[2.0, 2.0], &[1.0]), None);
    }

    #[test]
    fn holm_by_hand() {
        let found = holm(&[0.01, 0.04, 0.03, 0.005, 0.9]);
        for (found, wanted) in found.into_iter().zip([0.04, 0.09, 0.09, 0.025, 0.9]) {
            near(found, wanted);
        }
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn a_bootstrap_is_near_to_students_and_repeats() {
        let values: Vec<f64> = (0..30).map(|i| f64::from(i * i % 31)).collect();
        let drawn = bootstrap(&values, mean, 2000, 1).unwrap();
        let exact = interval(&values).unwrap();
        assert_eq!(drawn.mean, exact.mean);
        assert!(
            (drawn.low - exact.low).abs() < 0.4 && (drawn.high - exact.high).abs() < 0.4,
            "{drawn:?} {exact:?}"
        );
        assert_eq!(bootstrap(&values, mean, 2000, 1), Some(drawn));
        assert_ne!(bootstrap(&values, mean, 2000, 2), Some(drawn));
        let middle = bootstrap(&values, median, 500, 1).unwrap();
        assert!(middle.low <= middle.mean && middle.mean <= middle.high);
        assert_eq!(bootstrap(&[1.0], mean, 100, 1), None);
        assert_eq!(bootstrap(&[1.0, 2.0], mean, 0, 1), None);
        assert_eq!(bootstrap(&[1.0, 2.0], |_| None, 10, 1), None);
    }

    #[test]
    fn what_is_the_same_is_called_different_in_one_case_of_twenty() {
        // The sum of twelve uniform draws is nearly normal.
        let mut rng = stream(1, 0, "test");
        let mut sample = |n: usize, spread: f64| -> Vec<f64> {
            (0..n).map(|_| (0..12).map(|_| spread * uniform(&mut rng)).sum::<f64>() - 6.0 * spread).collect()
        };
        let cases = 4000;
        let (mut pairs, mut apart, mut outside) = (0, 0, 0);
        for _ in 0..cases {
            let (a, b, c) = (sample(10, 1.0), sample(10, 1.0), sample(6, 3.0));
            let both: Vec<(f64, f64)> = a.iter().copied().zip(b).collect();
            pairs += u32::from(paired(&both).unwrap().p < 0.05);
            apart += u32::from(welch(&a, &c).unwrap().p < 0.05);
            let of_a = interval(&a).unwrap();
            outside += u32::from(of_a.low > 0.0 || of_a.high < 0.0);
        }
        for found in [pairs, apart, outside] {
            let part = f64::from(found) / f64::from(cases);
            assert!((0.04..0.06).contains(&part), "{part}");
        }
    }
}
