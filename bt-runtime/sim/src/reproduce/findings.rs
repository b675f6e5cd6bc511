//! What a reproduction found: rows of what was expected and what was measured, each with a verdict.

use std::fmt;

use super::Figures;
use crate::stats::{self, Interval};

/// How well what is expected is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Read in the text of the paper or in the source of its program.
    Read,
    /// Read in the paper's abstract only.
    Abstract,
    /// In closed form: anybody can derive it again.
    Closed,
    /// Computed by a closed form from what was read.
    Derived,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Abstract => "abstract",
            Self::Closed => "closed form",
            Self::Derived => "derived",
        })
    }
}

/// What came of a comparison of expected and measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The number is as expected.
    Reproduced,
    /// It is not.
    NotReproduced,
    /// The order, direction or threshold is as expected.
    ShapeHolds,
    /// It is not.
    ShapeFails,
    /// The interval reaches to both sides of what decides: more runs are needed.
    Undecided,
    /// Measured, with nothing to hold it against.
    Noted,
}

impl Verdict {
    /// Whether it is what the source has.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Reproduced | Self::ShapeHolds | Self::Noted)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::ShapeHolds => "shape holds",
            Self::ShapeFails => "shape does not hold",
            Self::Undecided => "undecided",
            Self::Noted => "noted",
        })
    }
}

/// What a verdict is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A number.
    Number,
    /// An order, a direction, a threshold.
    Shape,
}

impl Check {
    /// The verdict on something that is either so or not.
    pub fn verdict(self, holds: bool) -> Verdict {
        match (self, holds) {
            (Self::Number, true) => Verdict::Reproduced,
            (Self::Number, false) => Verdict::NotReproduced,
            (Self::Shape, true) => Verdict::ShapeHolds,
            (Self::Shape, false) => Verdict::ShapeFails,
        }
    }
}

/// The verdict on an interval that should lie in `from..=to` (either may be infinite): undecided if it does in part,
/// or if there is none.
pub fn judge(check: Check, interval: Option<Interval>, from: f64, to: f64) -> Verdict {
    let Some(Interval { low, high, .. }) = interval else { return Verdict::Undecided };
    if high < from || low > to {
        check.verdict(false)
    } else if from <= low && high <= to {
        check.verdict(true)
    } else {
        Verdict::Undecided
    }
}

/// The verdict on something that should be `most` at most in each single run: undecided without any.
pub fn judge_each(check: Check, runs: &Sample, most: f64) -> Verdict {
    if runs.0.is_empty() { Verdict::Undecided } else { check.verdict(runs.largest() <= most) }
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is measured, and where.
    pub what: String,
    /// What is expected; empty if nothing is.
    pub expected: String,
    /// How well that is known.
    pub standing: Option<Standing>,
    /// What was measured, with its interval.
    pub measured: String,
    /// What came of it.
    pub verdict: Verdict,
}

impl Row {
    /// A comparison.
    pub fn new(
        what: impl Into<String>,
        (expected, standing): (impl Into<String>, Standing),
        measured: impl Into<String>,
        verdict: Verdict,
    ) -> Self {
        let (what, expected, measured) = (what.into(), expected.into(), measured.into());
        Self { what, expected, standing: Some(standing), measured, verdict }
    }

    /// A figure that is of interest, with nothing to hold it against.
    pub fn noted(what: impl Into<String>, measured: impl Into<String>) -> Self {
        let (what, measured) = (what.into(), measured.into());
        Self { what, expected: String::new(), standing: None, measured, verdict: Verdict::Noted }
    }
}

/// What a reproduction found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The set-up, a paragraph each.
    pub setup: Vec<String>,
    /// Expected and measured.
    pub rows: Vec<Row>,
    /// What the figures mean, and why something does not come out; a paragraph each.
    pub explanation: Vec<String>,
}

impl Findings {
    /// Whether every row is as expected.
    pub fn are_good(&self) -> bool {
        self.rows.iter().all(|row| row.verdict.is_good())
    }

    /// How many rows have each verdict, such as "3 reproduced, 1 undecided".
    pub fn in_short(&self) -> String {
        use Verdict::{NotReproduced, Noted, Reproduced, ShapeFails, ShapeHolds, Undecided};
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        let counts = [Reproduced, ShapeHolds, Undecided, NotReproduced, ShapeFails, Noted]
            .map(|verdict| (count(verdict), verdict));
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, verdict)| format!("{count} {verdict}")).collect::<Vec<_>>().join(", ")
    }
}

/// One figure of several runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample(pub Vec<f64>);

impl Sample {
    /// The figure `name` of each run that has it.
    pub fn of(runs: &[Figures], name: &str) -> Self {
        Self(runs.iter().filter_map(|run| run.get(name).copied()).collect())
    }

    /// By how much the first has more than the second, run by run.
    pub fn difference(first: &Self, second: &Self) -> Self {
        Self(first.0.iter().zip(&second.0).map(|(first, second)| first - second).collect())
    }

    /// How many times the second the first has, run by run.
    pub fn ratio(first: &Self, second: &Self) -> Self {
        Self(first.0.iter().zip(&second.0).map(|(first, second)| first / second).collect())
    }

    /// The mean; NaN of no runs.
    pub fn mean(&self) -> f64 {
        stats::mean(&self.0).unwrap_or(f64::NAN)
    }

    /// The least; infinite of no runs.
    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest; infinite of no runs.
    pub fn largest(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The mean with its interval of 95 %; `None` of fewer than two runs.
    pub fn interval(&self) -> Option<Interval> {
        stats::interval(&self.0)
    }

    /// The mean, the interval and the number of runs, to so many digits after the point.
    pub fn shown(&self, digits: usize) -> String {
        match self.interval() {
            Some(Interval { mean, low, high, n }) => {
                format!("{mean:.digits$} ({low:.digits$} to {high:.digits$}; {n} runs)")
            }
            None => match self.0.first() {
                Some(value) => format!("{value:.digits$} (1 run)"),
                None => "no run finished".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_in_out_or_across() {
        let interval = |low, high| Some(Interval { mean: 0.5 * (low + high), low, high, n: 5 });
        let judge = |at, from, to| judge(Check::Number, at, from, to);
        assert_eq!(judge(interval(0.9, 1.0), 0.9, 1.1), Verdict::Reproduced);
        assert_eq!(judge(interval(0.8, 1.0), 0.9, 1.1), Verdict::Undecided);
        assert_eq!(judge(interval(0.5, 0.6), 0.9, 1.1), Verdict::NotReproduced);
        assert_eq!(judge(interval(0.5, 0.6), f64::NEG_INFINITY, 1.1), Verdict::Reproduced);
        assert_eq!(judge(None, 0.0, 1.0), Verdict::Undecided);
    }

    #[test]
    fn a_bound_of_each_run_is_judged_by_the_worst_and_not_at_all_without_runs() {
        let judge = |runs: &[f64]| judge_each(Check::Number, &Sample(runs.to_vec()), 3.0);
        assert_eq!(judge(&[1.0, 3.0]), Verdict::Reproduced);
        assert_eq!(judge(&[1.0, 3.5]), Verdict::NotReproduced);
        assert_eq!(judge(&[]), Verdict::Undecided);
    }

    #[test]
    fn samples_are_shown_with_their_interval() {
        assert_eq!(Sample(vec![1.0, 2.0, 3.0]).shown(2), "2.00 (-0.48 to 4.48; 3 runs)");
        assert_eq!(Sample(vec![4.0]).shown(1), "4.0 (1 run)");
        assert_eq!(Sample(vec![]).shown(1), "no run finished");
        let (a, b) = (Sample(vec![3.0, 5.0]), Sample(vec![1.0, 1.0]));
        assert_eq!(Sample::difference(&a, &b), Sample(vec![2.0, 4.0]));
        assert_eq!(Sample::ratio(&a, &b), Sample(vec![3.0, 5.0]));
    }

    #[test]
    fn verdicts_are_counted() {
        let row = |verdict| Row::new("", ("", Standing::Closed), "", verdict);
        let mut findings = Findings { rows: vec![row(Verdict::Reproduced); 2], ..Findings::default() };
        assert!(findings.are_good());
        findings.rows.push(row(Verdict::ShapeFails));
        assert!(!findings.are_good());
        assert_eq!(findings.in_short(), "2 reproduced, 1 shape does not hold");
    }
}
