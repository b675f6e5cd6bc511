//! Statistics of runs: what a sample says of what it was drawn from.
//!
//! All are pure functions of slices of finite numbers. The unit of replication is the run: peers of one swarm depend
//! on each other, so an interval is one over means or medians of runs. What a sample is too small for is `None`,
//! never a NaN.
//!
//! | module | holds |
//! | --- | --- |
//! | here | one sample described: mean, quantiles, distribution, fairness |
//! | [`student`] | Student's t distribution |
//! | [`compare`] | confidence intervals, differences between two samples, many comparisons at once |
//! | [`steady`] | systems that never end: what to cut off at the start, batches |

pub mod compare;
pub mod steady;
pub mod student;

pub use compare::{Difference, Interval, bootstrap, holm, interval, paired, welch};

/// The mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The variance of what the sample is drawn from, estimated without bias (by n - 1); `None` of fewer than two.
pub fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (values.len() > 1).then(|| squares / (values.len() - 1) as f64)
}

/// The standard deviation: the square root of [`variance`].
pub fn sd(values: &[f64]) -> Option<f64> {
    Some(variance(values)?.sqrt())
}

/// The values in ascending order.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The quantile at `p` in 0..=1 of values in ascending order; `None` of nothing. It is type 7 of Hyndman and Fan
/// ("Sample quantiles in statistical packages", 1996), the usual one of R and NumPy: between the two values next to
/// the place (n - 1) p it is interpolated.
pub fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = p.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * (place - below as f64))
}

/// The median; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(&sorted(values), 0.5)
}

/// The empirical distribution: each different value with the part of the values that are not above it.
pub fn ecdf(values: &[f64]) -> Vec<(f64, f64)> {
    let sorted = sorted(values);
    let part = |count: usize| count as f64 / sorted.len() as f64;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (before, &value) in sorted.iter().enumerate() {
        match points.last_mut() {
            Some(last) if last.0 == value => last.1 = part(before + 1),
            _ => points.push((value, part(before + 1))),
        }
    }
    points
}

/// The distance of Kolmogorov and Smirnov: the most by which the empirical distributions of two samples differ
/// anywhere, in 0..=1; `None` if one is empty.
pub fn ks_distance(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j) = (0, 0);
    let mut most = 0.0_f64;
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        i += a[i..].iter().take_while(|&&x| x == value).count();
        j += b[j..].iter().take_while(|&&x| x == value).count();
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    Some(most)
}

/// Jain's index of fairness, (sum x)^2 / (n sum x^2): 1 if all have the same, 1/n if one has everything. `None` if
/// nobody has anything.
pub fn jain(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    (squares > 0.0).then(|| sum * sum / (values.len() as f64 * squares))
}

/// Shannon's entropy of the shares that the counts are of their sum, as a part of the most that it can be (the
/// logarithm of how many counts there are): 1 if all are the same, 0 if one has everything. A single count is as even
/// as can be: 1. `None` if the sum is 0.
pub fn entropy(counts: &[f64]) -> Option<f64> {
    let sum: f64 = counts.iter().sum();
    if sum <= 0.0 {
        return None;
    }
    if counts.len() == 1 {
        return Some(1.0);
    }
    let shares = counts.iter().map(|count| count / sum).filter(|&share| share > 0.0);
    // Rounding may leave a -0 or a 1 and a bit.
    let entropy: f64 = shares.map(|share| share * -libm::log(share)).sum();
    Some((entropy / libm::log(counts.len() as f64)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_described() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&values), Some(5.0));
        assert_eq!(variance(&values), Some(32.0 / 7.0));
        assert_eq!(sd(&[1.0, 3.0]), Some(2.0_f64.sqrt()));
        assert_eq!(median(&values), Some(4.5));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn quantiles_are_of_type_7() {
        // R: quantile(c(1, 2, 4, 8), c(0, .05, .25, .5, .9, 1)).
        let values = [1.0, 2.0, 4.0, 8.0];
        for (p, wanted) in [(0.0, 1.0), (0.05, 1.15), (0.25, 1.75), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)] {
            let found = quantile(&values, p).unwrap();
            assert!((found - wanted).abs() < 1e-12, "{p}: {found}");
        }
    }

    #[test]
    fn nothing_and_one() {
        assert_eq!((mean(&[]), median(&[]), variance(&[]), sd(&[1.0])), (None, None, None, None));
        assert_eq!((jain(&[]), jain(&[0.0]), entropy(&[]), entropy(&[0.0, 0.0])), (None, None, None, None));
        assert_eq!((quantile(&[7.0], 0.3), ks_distance(&[], &[1.0])), (Some(7.0), None));
        assert!(ecdf(&[]).is_empty());
    }

    #[test]
    fn distributions() {
        assert_eq!(ecdf(&[3.0, 1.0, 3.0, 2.0]), [(1.0, 0.25), (2.0, 0.5), (3.0, 1.0)]);
        assert_eq!(ks_distance(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(0.0));
        assert_eq!(ks_distance(&[1.0, 2.0], &[3.0, 4.0, 5.0]), Some(1.0));
        // After 2: 2/4 against 0/2; after 3: 3/4 against 1/2.
        assert_eq!(ks_distance(&[1.0, 2.0, 3.0, 4.0], &[3.0, 5.0]), Some(0.5));
    }

    #[test]
    fn evenness() {
        assert_eq!(jain(&[3.0, 3.0, 3.0]), Some(1.0));
        assert_eq!(jain(&[1.0, 0.0, 0.0, 0.0]), Some(0.25));
        assert_eq!(jain(&[1.0, 2.0, 3.0]), Some(36.0 / 42.0));
        assert_eq!(entropy(&[5.0, 5.0, 5.0, 5.0]), Some(1.0));
        assert_eq!(entropy(&[5.0, 0.0]), Some(0.0));
        assert_eq!(entropy(&[9.0]), Some(1.0));
        // Of 1/4 and 3/4 in bits: 2 - 3/4 log2(3).
        let found = entropy(&[1.0, 3.0]).unwrap();
        assert!((found - 0.811_278_124_459_132_8).abs() < 1e-12, "{found}");
    }
}
