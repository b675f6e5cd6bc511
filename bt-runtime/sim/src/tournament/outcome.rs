//! What came out of a tournament, and its files.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::compare::Delta;
use crate::output::{self, OutputError};

/// The names of the files.
pub const TOURNAMENT_JSON: &str = "tournament.json";
/// See [`TOURNAMENT_JSON`].
pub const TOURNAMENT_CSV: &str = "tournament.csv";

/// `tournament.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The layout of the files.
    pub schema: u32,
    /// The name of the scenario.
    pub scenario: String,
    /// What `--set` changed.
    pub sets: Vec<String>,
    /// The classes that were divided.
    pub classes: Vec<String>,
    /// The part of the peers that the first of a pair has.
    pub share: f64,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Versions by crate.
    pub versions: BTreeMap<String, String>,
    /// The policies, the best first.
    pub ranking: Vec<Rank>,
    /// The pairs, by the names of the policies.
    pub pairs: Vec<Met>,
}

/// How one policy did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    /// The policy.
    pub profile: String,
    /// In how many encounters it was.
    pub encounters: usize,
    /// How many it won; one that nobody won counts half for both.
    pub won: f64,
    /// The part that it won.
    pub fraction: f64,
    /// The ends of the 95 % interval of that part, over seeds.
    pub low: Option<f64>,
    /// See `low`.
    pub high: Option<f64>,
}

/// How two policies did against each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Met {
    /// The one.
    pub a: String,
    /// The other.
    pub b: String,
    /// In how many encounters.
    pub encounters: usize,
    /// How many `a` won; one that nobody won counts half.
    pub won_by_a: f64,
    /// The part that `a` won.
    pub fraction: f64,
    /// The median completion times, in seconds, averaged over the seeds where both are defined.
    pub median_a_s: Option<f64>,
    /// See `median_a_s`.
    pub median_b_s: Option<f64>,
    /// By how much `a` is slower, in seconds: negative if it is faster. Adjusted for all pairs (Holm).
    pub difference_s: Option<Delta>,
    /// The same as a part of the time of `b`.
    pub relative: Option<f64>,
    /// Peers of each that did not finish, in all encounters.
    pub censored_a: u64,
    /// See `censored_a`.
    pub censored_b: u64,
}

impl Outcome {
    /// Writes [`TOURNAMENT_JSON`] and [`TOURNAMENT_CSV`] to `dir`.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), OutputError> {
        output::save(&dir.join(TOURNAMENT_CSV), |out| self.write_table(out))?;
        output::save_json(&dir.join(TOURNAMENT_JSON), self)
    }

    fn write_table(&self, out: impl io::Write) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(out);
        table.write_record([
            "a",
            "b",
            "encounters",
            "won_by_a",
            "fraction",
            "median_a_s",
            "median_b_s",
            "difference_s",
            "low",
            "high",
            "p",
            "p_holm",
            "censored_a",
            "censored_b",
        ])?;
        let maybe = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        for met in &self.pairs {
            let found = met.difference_s;
            let figures = [
                met.median_a_s,
                met.median_b_s,
                found.map(|found| found.mean),
                found.and_then(|found| found.low),
                found.and_then(|found| found.high),
                found.and_then(|found| found.p),
                found.and_then(|found| found.p_holm),
            ];
            let who = [met.a.clone(), met.b.clone(), met.encounters.to_string()];
            let won = [met.won_by_a.to_string(), met.fraction.to_string()];
            let censored = [met.censored_a.to_string(), met.censored_b.to_string()];
            table.write_record(who.into_iter().chain(won).chain(figures.map(maybe)).chain(censored))?;
        }
        table.flush()
    }
}
