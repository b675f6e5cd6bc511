//! A live run beside its simulation: how far apart the completion times are.
//!
//! Peers of one swarm depend on each other, so a distance has no p-value here. What a difference is worth shows beside
//! the medians that other seeds of the simulation give.

use serde::{Deserialize, Serialize};

use super::transit::Transits;
use crate::experiment::Experiment;
use crate::measure::{Measured, OVERALL};
use crate::stats::{ks_distance, mean, median, quantile, sorted};

/// The name of the file.
pub const VALIDATION: &str = "validation.json";

/// The metric that is compared.
const METRIC: &str = "completion_time";

/// The quantiles that are compared.
const QUANTILES: [(&str, f64); 5] = [("p5", 0.05), ("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p95", 0.95)];

/// By how much medians may differ and be called the same.
pub const TOLERANCE: f64 = 0.15;

/// What `validation.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The scenario.
    pub scenario: String,
    /// The seed of the live run and of the simulation beside it.
    pub seed: u64,
    /// Seconds in which the machine kept a sleeper of the live run from waking up, in all.
    pub stolen_s: f64,
    /// How long messages took, live and simulated.
    pub live_transits: Transits,
    /// See `live_transits`.
    pub simulated_transits: Transits,
    /// Everyone, then each class that has somebody to compare.
    pub scopes: Vec<Scope>,
    /// What the figures say, in a few lines.
    pub text: Vec<String>,
}

/// Completion times of some peers, live and simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// `overall`, or a class.
    pub scope: String,
    /// How many peers finished.
    pub live: usize,
    /// See `live`.
    pub simulated: usize,
    /// How many did not.
    pub live_censored: usize,
    /// See `live_censored`.
    pub simulated_censored: usize,
    /// The largest difference of the two distribution functions, from 0 to 1 (Kolmogorov and Smirnov).
    pub ks: f64,
    /// The mean, then quantiles.
    pub figures: Vec<Figure>,
    /// The medians of simulations with other seeds, in seconds, sorted.
    pub other_medians_s: Vec<f64>,
}

/// One figure, live and simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// `mean`, `p5`, `p25`, `p50`, `p75` or `p95`.
    pub name: String,
    /// In seconds.
    pub live_s: f64,
    /// See `live_s`.
    pub simulated_s: f64,
    /// The first divided by the second.
    pub ratio: f64,
}

impl Scope {
    /// The ratio of the medians.
    pub fn median_ratio(&self) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == "p50").map(|figure| figure.ratio)
    }
}

/// The completion times of those of `scope` who finished, and how many did not.
fn times(measured: &Measured, scope: &str) -> (Vec<f64>, usize) {
    let rows = measured.peers.iter().filter(|row| scope == OVERALL || row.class == scope);
    let finished: Vec<f64> = rows.clone().filter_map(|row| row.metrics.get(METRIC).copied()).collect();
    (finished, rows.filter(|row| row.completed_s.is_none()).count())
}

/// One side of the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Its figures.
    pub measured: &'a Measured,
    /// How long its messages took.
    pub transits: Transits,
}

/// Compares a live run of `experiment` with its simulation; `others` are simulations with other seeds, `stolen_s` as in
/// [`Validation`].
pub fn compare(
    experiment: &Experiment<'_>,
    live: Side<'_>,
    simulated: Side<'_>,
    others: &[Measured],
    stolen_s: f64,
) -> Validation {
    let classes = experiment.scenario.groups.iter().map(|group| group.name.as_str());
    let names = std::iter::once(OVERALL).chain(classes);
    let of = |name| scope(name, live.measured, simulated.measured, others);
    let mut scopes: Vec<Scope> = names.filter_map(of).collect();
    // Where there is one class to compare, it is everyone.
    if scopes.len() == 2 {
        scopes.truncate(1);
    }
    let mut text: Vec<String> = scopes.iter().map(told).collect();
    let (real, model) = (live.transits, simulated.transits);
    for (what, real, model) in [
        ("a request", real.request, model.request),
        ("the news of a piece", real.have, model.have),
        ("the end of a block", real.block, model.block),
    ] {
        let [[a, b], [c, d]] = [real, model].map(|times| [times.median_ms, times.p95_ms]);
        text.push(format!(
            "{what} takes {a:.1} ms live and {c:.1} ms simulated (median), {b:.1} ms and {d:.1} ms (95 %)"
        ));
    }
    Validation {
        scenario: experiment.scenario.name.clone(),
        seed: experiment.seed,
        stolen_s,
        live_transits: live.transits,
        simulated_transits: simulated.transits,
        scopes,
        text,
    }
}

/// `None` where nobody finished on one of the two sides.
fn scope(name: &str, live: &Measured, simulated: &Measured, others: &[Measured]) -> Option<Scope> {
    let ((real, live_censored), (model, simulated_censored)) = (times(live, name), times(simulated, name));
    let figure = |name: &str, live_s: f64, simulated_s: f64| Figure {
        name: name.to_owned(),
        live_s,
        simulated_s,
        ratio: live_s / simulated_s,
    };
    let (first, second) = (sorted(&real), sorted(&model));
    let mut figures = vec![figure("mean", mean(&real)?, mean(&model)?)];
    for (name, p) in QUANTILES {
        figures.push(figure(name, quantile(&first, p)?, quantile(&second, p)?));
    }
    let medians: Vec<f64> = others.iter().filter_map(|other| median(&times(other, name).0)).collect();
    Some(Scope {
        scope: name.to_owned(),
        live: real.len(),
        simulated: model.len(),
        live_censored,
        simulated_censored,
        ks: ks_distance(&real, &model)?,
        figures,
        other_medians_s: sorted(&medians),
    })
}

/// What the figures of a scope say.
fn told(scope: &Scope) -> String {
    let Some(figure) = scope.figures.iter().find(|figure| figure.name == "p50") else { return String::new() };
    let percent = (figure.ratio - 1.0) * 100.0;
    let verdict = if (figure.ratio - 1.0).abs() <= TOLERANCE { "agree" } else { "differ" };
    let (most, tolerance) = (scope.ks, TOLERANCE * 100.0);
    let seeds = match (scope.other_medians_s.first(), scope.other_medians_s.last()) {
        (Some(low), Some(high)) => {
            let count = scope.other_medians_s.len();
            format!("; simulations with {count} other seeds: {low:.1} s to {high:.1} s")
        }
        _ => String::new(),
    };
    format!(
        "{}: the medians {verdict} (within {tolerance:.0} %): live {:.1} s, simulated {:.1} s, {percent:+.1} %; KS distance {most:.2}{seeds}",
        scope.scope, figure.live_s, figure.simulated_s
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::measure::{Measures, PeerRow};

    fn measured(times: &[f64]) -> Measured {
        let row = |time: &f64| PeerRow {
            class: "leecher".to_owned(),
            completed_s: Some(*time),
            metrics: BTreeMap::from([(METRIC.to_owned(), *time)]),
            ..PeerRow::default()
        };
        let mut peers: Vec<PeerRow> = times.iter().map(row).collect();
        peers.push(PeerRow { class: "leecher".to_owned(), ..PeerRow::default() });
        Measured { peers, ..Measures::new().finish(bt_api::Instant::ZERO, None) }
    }

    #[test]
    fn twice_as_long_is_a_ratio_of_two_and_a_distance() {
        let (live, model) = (measured(&[2.0, 4.0, 6.0]), measured(&[1.0, 2.0, 3.0]));
        let scope = scope("leecher", &live, &model, &[measured(&[1.0, 2.5, 4.0])]).unwrap();
        assert_eq!(scope.median_ratio(), Some(2.0));
        assert_eq!((scope.live, scope.live_censored, scope.other_medians_s.clone()), (3, 1, vec![2.5]));
        assert!((scope.ks - 2.0 / 3.0).abs() < 1e-12, "{}", scope.ks);
        assert!(told(&scope).contains("differ"), "{}", told(&scope));
        assert_eq!(super::scope("seed", &live, &model, &[]), None);
    }
}
