//! One figure of several profiles: means with intervals, and what each differs by from the first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::replicate::{Ran, unit};
use crate::stats::{self, Difference};

/// One figure of all profiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Its unit.
    pub unit: String,
    /// The profile that others are compared with.
    pub baseline: String,
    /// A row for each profile, in their order.
    pub rows: Vec<Row>,
}

/// One figure of one profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The profile.
    pub profile: String,
    /// The mean over runs.
    pub mean: Option<f64>,
    /// The ends of its 95 % interval.
    pub low: Option<f64>,
    /// See `low`.
    pub high: Option<f64>,
    /// In how many runs the figure is defined.
    pub n: usize,
    /// The difference from the baseline, which has none.
    pub difference: Option<Delta>,
}

/// A difference from the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// The difference of the means, this profile less the baseline.
    pub mean: f64,
    /// The ends of its 95 % interval; a single run has none.
    pub low: Option<f64>,
    /// See `low`.
    pub high: Option<f64>,
    /// Pairs of runs, or runs of both.
    pub n: usize,
    /// The probability of such a difference if there is none in truth.
    pub p: Option<f64>,
    /// The same where several profiles are compared with the baseline, adjusted for that (Holm).
    pub p_holm: Option<f64>,
}

impl Delta {
    /// Whether it is called different, at 95 %; `None` of single runs.
    pub fn differs(&self) -> Option<bool> {
        self.p_holm.or(self.p).map(|p| p < 1.0 - stats::compare::CONFIDENCE)
    }

    fn of(found: Difference) -> Self {
        let interval = found.interval;
        Self {
            mean: interval.mean,
            low: Some(interval.low),
            high: Some(interval.high),
            n: interval.n,
            p: Some(found.p),
            p_holm: None,
        }
    }
}

/// Every figure of a scope, of all profiles.
pub(super) fn compared(
    samples: &[(&str, Vec<&Ran>)],
    scope: &str,
    paired: bool,
) -> BTreeMap<String, Compared> {
    let figures = |ran: &&Ran| {
        ran.figures.get(scope).into_iter().flat_map(|own| own.keys().cloned()).collect::<Vec<_>>()
    };
    let names: BTreeSet<String> = samples.iter().flat_map(|(_, ran)| ran.iter().flat_map(figures)).collect();
    let one = |name: String| {
        let value = |ran: &&Ran| ran.figures.get(scope)?.get(&name).copied();
        let values: Vec<(&str, Vec<Option<f64>>)> =
            samples.iter().map(|(label, ran)| (*label, ran.iter().map(value).collect())).collect();
        (name.clone(), compare(&values, unit(&name), paired))
    };
    names.into_iter().map(one).collect()
}

/// One figure of all profiles: each has a value for each run, if it is defined there.
pub fn compare(samples: &[(&str, Vec<Option<f64>>)], unit: &str, paired: bool) -> Compared {
    let base = samples.first().map(|(_, values)| values.as_slice()).unwrap_or_default();
    let mut rows: Vec<Row> = Vec::new();
    for (at, (label, values)) in samples.iter().enumerate() {
        let defined: Vec<f64> = values.iter().flatten().copied().collect();
        let interval = stats::interval(&defined);
        rows.push(Row {
            profile: (*label).to_owned(),
            mean: stats::mean(&defined),
            low: interval.map(|found| found.low),
            high: interval.map(|found| found.high),
            n: defined.len(),
            difference: if at == 0 { None } else { delta(values, base, paired) },
        });
    }
    let ps: Vec<f64> = rows.iter().filter_map(|row| row.difference?.p).collect();
    if samples.len() > 2 {
        let mut adjusted = stats::holm(&ps).into_iter();
        for found in
            rows.iter_mut().filter_map(|row| row.difference.as_mut()).filter(|found| found.p.is_some())
        {
            found.p_holm = adjusted.next();
        }
    }
    let baseline = samples.first().map_or_else(String::new, |(label, _)| (*label).to_owned());
    Compared { unit: unit.to_owned(), baseline, rows }
}

/// What `first` has more than `second`, run by run or sample by sample.
pub(crate) fn delta(first: &[Option<f64>], second: &[Option<f64>], paired: bool) -> Option<Delta> {
    let without_interval =
        |mean: f64, n: usize| Delta { mean, low: None, high: None, n, p: None, p_holm: None };
    if paired {
        let pairs: Vec<(f64, f64)> = first.iter().zip(second).filter_map(|(a, b)| (*a).zip(*b)).collect();
        let single = pairs.first().map(|(a, b)| without_interval(a - b, 1));
        return stats::paired(&pairs).map(Delta::of).or(single);
    }
    let [first, second] =
        [first, second].map(|values| values.iter().flatten().copied().collect::<Vec<f64>>());
    let means = stats::mean(&first).zip(stats::mean(&second));
    let rough = means.map(|(a, b)| without_interval(a - b, first.len() + second.len()));
    stats::welch(&first, &second).map(Delta::of).or(rough)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn pairs_are_subtracted_and_what_is_undefined_is_left_out_in_pairs() {
        let found = compare(
            &[("a", vec![Some(1.0), None, Some(3.0), Some(4.0)]), ("b", some(&[2.0, 9.0, 4.0, 5.0]))],
            "s",
            true,
        );
        assert_eq!((found.baseline.as_str(), found.rows[0].n, found.rows[0].difference), ("a", 3, None));
        let difference = found.rows[1].difference.unwrap();
        assert_eq!(
            (difference.mean, difference.low, difference.n, difference.p),
            (1.0, Some(1.0), 3, Some(0.0))
        );
        assert_eq!((difference.p_holm, difference.differs()), (None, Some(true)));
    }

    #[test]
    fn the_same_differs_by_nothing() {
        let values = some(&[0.1, 0.7, 0.2]);
        let found = compare(&[("a", values.clone()), ("b", values)], "s", true);
        let none = Delta { mean: 0.0, low: Some(0.0), high: Some(0.0), n: 3, p: Some(1.0), p_holm: None };
        assert_eq!(found.rows[1].difference, Some(none));
    }

    #[test]
    fn several_profiles_are_adjusted_for() {
        let base = some(&[1.0, 2.0, 3.0, 4.0]);
        let found = compare(
            &[("a", base), ("b", some(&[1.5, 2.4, 3.6, 4.5])), ("c", some(&[1.0, 2.1, 2.9, 4.0]))],
            "s",
            true,
        );
        let [b, c] = [1, 2].map(|at: usize| found.rows[at].difference.unwrap());
        assert_eq!(b.p_holm, Some(2.0 * b.p.unwrap()));
        assert_eq!((c.p_holm, c.differs()), (c.p, Some(false)));
    }

    #[test]
    fn a_single_run_has_no_interval() {
        for paired in [true, false] {
            let found = compare(&[("a", some(&[1.0])), ("b", some(&[3.0]))], "s", paired);
            let difference = found.rows[1].difference.unwrap();
            assert_eq!((difference.mean, difference.low, difference.differs()), (2.0, None, None));
        }
        assert_eq!(compare(&[("a", vec![None]), ("b", some(&[3.0]))], "s", true).rows[1].difference, None);
    }
}
