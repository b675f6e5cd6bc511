//! Systems that never end: the start, before they are steady, is cut off, and the rest is averaged in batches.
//!
//! A swarm that peers join all the time starts empty, and what it does until it has filled up says nothing of how it
//! is in the long run. Where to cut is for a rule to say and not for the eye: MSER-5 (White, Cobb and Spratt, "A
//! comparison of five steady-state truncation heuristics for simulation", Winter Simulation Conference 2000).

use super::mean;

/// How many values make one of those that the rule looks at.
const BATCH: usize = 5;

/// Fewer batches than this say nothing.
const FEWEST: usize = 10;

/// How many values to cut off at the start of a series that was sampled at equal intervals of time, by MSER-5: of the
/// means of five values each, as many that the rest, by its own variance, gives the mean with the smallest error.
///
/// `None` if the series is too short to tell: fewer than fifty values, or the best cut is at the middle, which is as
/// far as the rule may look; then the run was not yet steady, and needs to be longer.
pub fn warm_up(series: &[f64]) -> Option<usize> {
    let means: Vec<f64> = series.chunks_exact(BATCH).filter_map(mean).collect();
    if means.len() < FEWEST {
        return None;
    }
    let middle = means.len() / 2;
    // From the end, so that each cut adds one mean to what is known of the rest (Welford's update).
    let (mut count, mut average, mut squares) = (0.0, 0.0, 0.0);
    let mut best: Option<(f64, usize)> = None;
    for (cut, value) in means.iter().enumerate().rev() {
        count += 1.0;
        let off = value - average;
        average += off / count;
        squares += off * (value - average);
        let error = squares / (count * count);
        if cut <= middle && best.is_none_or(|(least, _)| error <= least) {
            best = Some((error, cut));
        }
    }
    let (_, cut) = best?;
    (cut < middle).then_some(cut * BATCH)
}

/// The means of `batches` stretches of equal length, for an [`interval`](super::interval) of the mean: long stretches
/// of one run are nearly independent, single values are not. What does not fill a batch is left out at the start,
/// where the system is least steady. Ten to thirty batches are usual. Empty if there are fewer values than batches.
pub fn batch_means(series: &[f64], batches: usize) -> Vec<f64> {
    let Some(length) = series.len().checked_div(batches).filter(|&length| length > 0) else {
        return Vec::new();
    };
    series[series.len() - length * batches..].chunks_exact(length).filter_map(mean).collect()
}

#[cfg(test)]
mod tests {
    use bt_api::rng::stream;

    use super::*;
    use crate::chance::uniform;

    /// Noise about a level that grows to 10 in the first `rise` of `n` values.
    fn growing(rise: usize, n: usize) -> Vec<f64> {
        let mut rng = stream(3, 0, "test");
        (0..n).map(|i| (10.0 * i as f64 / rise as f64).min(10.0) + uniform(&mut rng)).collect()
    }

    #[test]
    fn the_growth_is_cut_off_and_no_more() {
        let cut = warm_up(&growing(200, 1000)).unwrap();
        assert!((180..260).contains(&cut), "{cut}");
        let cut = warm_up(&growing(1, 1000)).unwrap();
        assert!(cut < 100, "{cut}");
        assert_eq!(warm_up(&[4.0; 100]), Some(0), "nothing to cut from what never changes");
    }

    #[test]
    fn what_never_gets_steady_is_not_cut() {
        let rising: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(warm_up(&rising), None);
        assert_eq!(warm_up(&[1.0; 49]), None);
    }

    #[test]
    fn batches_are_equal_and_leave_out_the_start() {
        let series: Vec<f64> = (0..11).map(f64::from).collect();
        assert_eq!(batch_means(&series, 2), [3.0, 8.0]);
        assert_eq!(batch_means(&series, 11), series);
        assert!(batch_means(&series, 12).is_empty());
        assert!(batch_means(&series, 0).is_empty());
        assert!(batch_means(&[], 3).is_empty());
    }
}
