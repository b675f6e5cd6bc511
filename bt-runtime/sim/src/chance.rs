//! Random draws that are the same on every machine.
//!
//! The standard library's logarithm may differ in its last digit from machine to machine, so draws that need one
//! take it from a fixed implementation (the `libm` crate). Whole numbers are drawn by [`bt_api::rng`].

use std::collections::BTreeMap;
use std::time::Duration;

use bt_api::rng::{Rng, below};

/// A uniform draw from the 2^53 multiples of 2^-53 in [0, 1).
pub fn uniform(rng: &mut dyn Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A time from the exponential distribution with this mean, in whole nanoseconds, by inversion. It is never more
/// than 36.8 times the mean: the smallest uniform draw is 2^-53.
pub fn exponential(rng: &mut dyn Rng, mean: Duration) -> Duration {
    let factor = -libm::log(1.0 - uniform(rng));
    // Too large a number becomes the largest one, some 584 years.
    Duration::from_nanos((mean.as_nanos() as f64 * factor).round() as u64)
}

/// `count` different numbers out of `0..bound` (all of them, if there are no more), in random order: the first
/// steps of a shuffle (Fisher and Yates) of which only what moved is kept.
pub fn sample(rng: &mut dyn Rng, bound: u32, count: u32) -> Vec<u32> {
    let mut moved = BTreeMap::new();
    (0..count.min(bound))
        .map(|place| {
            let from = place + below(rng, bound - place);
            let here = moved.remove(&place).unwrap_or(place);
            if from == place { here } else { moved.insert(from, here).unwrap_or(from) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bt_api::rng::stream;

    use super::*;

    #[test]
    fn draws_have_the_mean_that_they_should() {
        let mut rng = stream(1, 0, "test");
        let n = 100_000;
        let mean = (0..n).map(|_| uniform(&mut rng)).sum::<f64>() / f64::from(n);
        assert!((mean - 0.5).abs() < 0.003, "{mean}");
        let draws: Vec<f64> =
            (0..n).map(|_| exponential(&mut rng, Duration::from_secs(600)).as_secs_f64()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        assert!((mean - 600.0).abs() < 6.0, "{mean}");
        // Half of the draws are below the mean times the logarithm of 2.
        let below = draws.iter().filter(|&&draw| draw < 415.888).count();
        assert!((49_400..50_600).contains(&below), "{below}");
    }

    #[test]
    fn the_same_bits_on_every_machine() {
        let mut rng = stream(7, 3, "arrivals");
        // Worked out apart from this program, from the definitions of the stream and of the draws.
        assert_eq!(uniform(&mut rng), 0.503_209_807_387_444_6);
        assert_eq!(exponential(&mut rng, Duration::from_secs(1)).as_nanos(), 497_456_146);
    }

    #[test]
    fn extremes() {
        let mut rng = stream(1, 0, "test");
        assert_eq!(exponential(&mut rng, Duration::ZERO), Duration::ZERO);
        exponential(&mut rng, Duration::MAX);
    }

    #[test]
    fn a_sample_has_no_number_twice_and_reaches_each() {
        let mut rng = stream(1, 0, "test");
        assert!(sample(&mut rng, 0, 3).is_empty());
        for (bound, count) in [(1, 1), (10, 3), (10, 10), (10, 99), (100_000, 50)] {
            let mut numbers = sample(&mut rng, bound, count);
            assert_eq!(numbers.len(), count.min(bound) as usize);
            assert!(numbers.iter().all(|&number| number < bound));
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count.min(bound) as usize);
        }
        // Each number is as likely as any other at each place.
        let mut seen = [[0; 5]; 3];
        for _ in 0..10_000 {
            for (place, number) in sample(&mut rng, 5, 3).into_iter().enumerate() {
                seen[place][number as usize] += 1;
            }
        }
        assert!(seen.iter().flatten().all(|&n| (1850..2150).contains(&n)), "{seen:?}");
    }
}
