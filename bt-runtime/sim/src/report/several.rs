//! Several runs as one: their distributions and courses over time averaged, with intervals over runs.
//!
//! Peers of one swarm depend on each other, so the run is the unit: each run gives one curve, and the interval at a
//! place is that of the mean over the runs' curves there.

use crate::stats;

/// At how many places averaged curves are drawn.
const PLACES: usize = 240;

/// Places and figures.
type Pairs = Vec<(f64, f64)>;

/// A figure of each peer, run by run; `None`: the peer never got so far.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    pub(super) runs: Vec<Vec<Option<f64>>>,
}

impl Distribution {
    /// How many peers there are in all runs.
    pub(super) fn count(&self) -> usize {
        self.runs.iter().map(Vec::len).sum()
    }

    /// How many of them have no figure.
    pub(super) fn unfinished(&self) -> usize {
        self.runs.iter().flatten().filter(|value| value.is_none()).count()
    }

    /// The fraction of all peers with a figure of at most x, as points (x, fraction): of one run at each figure, of
    /// several their mean with its interval.
    pub(super) fn ecdf(&self) -> (Pairs, Pairs) {
        let mut runs: Vec<(Vec<f64>, f64)> = Vec::new();
        for run in self.runs.iter().filter(|run| !run.is_empty()) {
            let mut values: Vec<f64> = run.iter().flatten().copied().collect();
            values.sort_by(f64::total_cmp);
            runs.push((values, run.len() as f64));
        }
        if let [(values, count)] = &*runs {
            let mut points: Vec<(f64, f64)> = Vec::new();
            for (at, value) in values.iter().enumerate() {
                match points.last_mut() {
                    Some(last) if last.0 == *value => last.1 = (at + 1) as f64 / count,
                    _ => points.push((*value, (at + 1) as f64 / count)),
                }
            }
            return (points, Vec::new());
        }
        let ends = runs.iter().filter_map(|(values, _)| Some((*values.first()?, *values.last()?)));
        let ends = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let Some((low, high)) = ends else { return (Vec::new(), Vec::new()) };
        let fractions = |x: f64| -> Vec<f64> {
            runs.iter()
                .map(|(values, count)| values.partition_point(|value| *value <= x) as f64 / count)
                .collect()
        };
        // From just before the first figure, so that the curve begins at the axis.
        let step = (high - low) / (PLACES - 1) as f64;
        let place = |at: usize| if at == PLACES { high } else { low + step * (at as f64 - 1.0) };
        averaged((0..=PLACES).map(|at| (place(at), fractions(place(at)))), Some((0.0, 1.0)))
    }
}

/// A course over time, run by run.
#[derive(Clone, Debug)]
pub(super) struct Courses {
    pub(super) runs: Vec<Vec<(f64, f64)>>,
}

impl Courses {
    /// The course of the only run; of several the mean over those that are still going.
    pub(super) fn mean(&self) -> Vec<(f64, f64)> {
        if let [run] = &*self.runs {
            return run.clone();
        }
        let ends = self.runs.iter().filter_map(|run| Some((run.first()?.0, run.last()?.0)));
        let Some((low, high)) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else { return Vec::new() };
        let place = |at: usize| low + (high - low) * at as f64 / PLACES as f64;
        let values = |x: f64| self.runs.iter().filter_map(|run| between(run, x)).collect();
        averaged((0..=PLACES).map(|at| (place(at), values(place(at)))), None).0
    }
}

/// The value of a course at `x`, on the line between its neighbours; `None` before its begin and after its end.
fn between(run: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = run.partition_point(|point| point.0 < x);
    let (right, left) = (run.get(after)?, run.get(after.saturating_sub(1))?);
    if right.0 == x || left.0 >= right.0 {
        return (right.0 == x).then_some(right.1);
    }
    Some(left.1 + (right.1 - left.1) * (x - left.0) / (right.0 - left.0))
}

/// The mean at each place, and its interval within `limits` if it is wanted.
fn averaged(places: impl Iterator<Item = (f64, Vec<f64>)>, limits: Option<(f64, f64)>) -> (Pairs, Pairs) {
    let (mut points, mut band) = (Vec::new(), Vec::new());
    for (x, values) in places {
        let Some(mean) = stats::mean(&values) else { continue };
        points.push((x, mean));
        if let Some((least, most)) = limits {
            let interval = stats::interval(&values).map_or((mean, mean), |found| (found.low, found.high));
            band.push((interval.0.clamp(least, most), interval.1.clamp(least, most)));
        }
    }
    (points, band)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_peers_keep_a_curve_below_one() {
        let one = Distribution { runs: vec![vec![Some(3.0), None, Some(1.0), Some(3.0)]] };
        assert_eq!(one.ecdf(), (vec![(1.0, 0.25), (3.0, 0.75)], Vec::new()));
        assert_eq!((one.count(), one.unfinished()), (4, 1));
    }

    #[test]
    fn several_runs_have_a_mean_and_a_band() {
        let runs = vec![vec![Some(1.0), Some(2.0)], vec![Some(2.0), Some(3.0)], vec![Some(2.0), Some(2.0)]];
        let (points, band) = Distribution { runs }.ecdf();
        assert_eq!((points.len(), band.len()), (PLACES + 1, PLACES + 1));
        assert_eq!((points[0].1, points.last().copied()), (0.0, Some((3.0, 1.0))));
        assert!(points.iter().zip(&band).all(|(point, band)| band.0 <= point.1 && point.1 <= band.1));
        assert!(band.iter().all(|band| band.0 >= 0.0 && band.1 <= 1.0));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    }

    #[test]
    fn courses_are_averaged_while_they_last() {
        let runs = vec![vec![(0.0, 0.0), (10.0, 10.0)], vec![(0.0, 10.0), (5.0, 10.0)]];
        let mean = Courses { runs }.mean();
        assert_eq!((mean[0], mean[PLACES]), ((0.0, 5.0), (10.0, 10.0)));
        let at = |x: f64| mean.iter().find(|point| (point.0 - x).abs() < 1e-9).map(|point| point.1);
        assert_eq!((at(5.0), at(7.5)), (Some(7.5), Some(7.5)));
    }
}
