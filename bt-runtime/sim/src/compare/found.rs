//! What came out of a comparison, and its files.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::figures::Compared;
use crate::measure::{Cut, OVERALL, Rule};
use crate::output::{self, OutputError};
use crate::replicate::{Ran, place};

/// The names of the files.
pub const COMPARE_JSON: &str = "compare.json";
/// See [`COMPARE_JSON`].
pub const COMPARE_CSV: &str = "compare.csv";
/// Every figure of every run, a row each.
pub const RUNS_CSV: &str = "runs.csv";

/// `compare.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The layout of the files.
    pub schema: u32,
    /// The name of the scenario.
    pub scenario: String,
    /// What `--set` changed.
    pub sets: Vec<String>,
    /// Whether runs of one seed were subtracted from each other.
    pub paired: bool,
    /// The profiles, the first of which the others are compared with.
    pub profiles: Vec<String>,
    /// What each was named by: a path or the name of a shipped one.
    #[serde(default)]
    pub given: Vec<String>,
    /// The classes that ran them.
    pub classes: Vec<String>,
    /// The seeds of the first profile.
    pub seeds: Vec<u64>,
    /// The seeds of each profile.
    pub seeds_of: BTreeMap<String, Vec<u64>>,
    /// Versions by crate.
    pub versions: BTreeMap<String, String>,
    /// How the runs of each profile ended.
    pub runs: BTreeMap<String, Runs>,
    /// What was cut off at the start of every run, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUps>,
    /// Figures of all peers.
    pub metrics: BTreeMap<String, Compared>,
    /// Figures of each class.
    pub by_class: BTreeMap<String, BTreeMap<String, Compared>>,
}

/// How the runs of one profile ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// How many there were.
    pub runs: usize,
    /// How many were given up at the scenario's limit.
    pub given_up: usize,
    /// In how many some peers did not finish.
    #[serde(default)]
    pub unfinished: usize,
    /// Peers that finished, in all runs.
    pub finished: u64,
    /// Peers that did not: no time is made up for them.
    pub censored: u64,
}

/// The warm-up of all runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUps {
    /// Its end, in simulated seconds: the latest of those of all runs.
    pub until_s: f64,
    /// In how many runs the population was not steady in the first half.
    pub unsteady: usize,
    /// Peers that came in it, in all runs.
    pub peers: u64,
}

impl WarmUps {
    pub(super) fn of(ran: &[Ran]) -> Option<Self> {
        let cuts: Vec<&Cut> = ran.iter().filter_map(|ran| ran.summary.warm_up.as_ref()).collect();
        Some(Self {
            until_s: cuts.first()?.until_s,
            unsteady: cuts.iter().filter(|cut| cut.rule == Rule::Half).count(),
            peers: cuts.iter().map(|cut| cut.peers).sum(),
        })
    }
}

impl Runs {
    /// How these ended.
    pub fn of(ran: &[&Ran]) -> Self {
        Self {
            runs: ran.len(),
            given_up: ran.iter().filter(|ran| ran.manifest.ended == "limit").count(),
            unfinished: ran.iter().filter(|ran| ran.summary.censored > 0).count(),
            finished: ran.iter().map(|ran| ran.summary.finished).sum(),
            censored: ran.iter().map(|ran| ran.summary.censored).sum(),
        }
    }
}

impl Comparison {
    /// Writes [`COMPARE_JSON`] and [`COMPARE_CSV`] to `folder`.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), OutputError> {
        output::save(&folder.join(COMPARE_CSV), |out| self.write_table(out))?;
        output::save_json(&folder.join(COMPARE_JSON), self)
    }

    fn write_table(&self, out: impl io::Write) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(out);
        table.write_record([
            "scope",
            "metric",
            "unit",
            "profile",
            "baseline",
            "mean",
            "baseline_mean",
            "difference",
            "low",
            "high",
            "n",
            "p",
            "p_holm",
        ])?;
        let scopes = self.by_class.iter().map(|(class, metrics)| (class.as_str(), metrics));
        for (scope, metrics) in std::iter::once((OVERALL, &self.metrics)).chain(scopes) {
            for (name, metric) in in_order(metrics) {
                let base = metric.rows.first().and_then(|row| row.mean);
                for row in &metric.rows {
                    let Some(found) = &row.difference else { continue };
                    let own = [scope, name, &metric.unit, &row.profile, &metric.baseline].map(str::to_owned);
                    let figures = [row.mean, base, Some(found.mean), found.low, found.high].map(maybe);
                    let rest = [found.n.to_string(), maybe(found.p), maybe(found.p_holm)];
                    table.write_record(own.into_iter().chain(figures).chain(rest))?;
                }
            }
        }
        table.flush()
    }
}

/// Writes [`RUNS_CSV`] to `folder`: every figure of every run, named by `keys`, a column and its value by run.
///
/// # Errors
/// When it cannot be written.
pub fn write_runs(path: &Path, columns: &[String], runs: &[(Vec<String>, &Ran)]) -> Result<(), OutputError> {
    output::save(path, |out| {
        let mut table = csv::Writer::from_writer(out);
        let rest = ["seed", "scope", "metric", "value"].map(str::to_owned);
        table.write_record(columns.iter().chain(&rest))?;
        for (keys, ran) in runs {
            let seed = ran.manifest.seed.to_string();
            for (scope, figures) in &ran.figures {
                for (name, value) in in_order(figures) {
                    let value = value.to_string();
                    let rest = [&seed, scope, name, &value].map(String::as_str);
                    table.write_record(keys.iter().map(String::as_str).chain(rest))?;
                }
            }
        }
        table.flush()
    })
}

/// Figures in the order of tables.
pub fn in_order<T>(figures: &BTreeMap<String, T>) -> Vec<(&String, &T)> {
    let mut figures: Vec<(&String, &T)> = figures.iter().collect();
    figures.sort_by_key(|(name, _)| place(name));
    figures
}

fn maybe(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
