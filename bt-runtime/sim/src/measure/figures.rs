//! What is known of a run that is over: the rows of its files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dist::Dist;
use super::steady::Cut;

/// The scope of all peers.
pub const OVERALL: &str = "overall";

/// All figures of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Distributions and single figures.
    pub summary: Summary,
    /// A row for each peer, in the order of arrival.
    pub peers: Vec<PeerRow>,
    /// What changes over time.
    pub series: Vec<SeriesRow>,
    /// Who served whom, by class.
    pub choke_matrix: Vec<PairRow>,
}

/// Distributions and single figures: `summary.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Of the peers that came without everything (metrics of peers), of all (metrics of time and run).
    pub overall: BTreeMap<String, Dist>,
    /// Of each class by itself.
    pub classes: BTreeMap<String, BTreeMap<String, Dist>>,
    /// The least time, in seconds, in which anybody could serve everybody, where such a bound is known.
    pub bound_s: Option<f64>,
    /// The time until the last finished, over the bound; none while some have not.
    pub bound_ratio: Option<f64>,
    /// When the run ended, in seconds.
    pub end_s: f64,
    /// Peers that finished.
    pub finished: u64,
    /// Peers that did not: no time is known of them, and none is made up.
    pub censored: u64,
    /// The same and more for each class.
    pub counts: BTreeMap<String, Counts>,
    /// Metrics that the events do not give, each with the reason.
    #[serde(default)]
    pub left_out: BTreeMap<String, String>,
    /// What was cut off at the start: every figure is of what is left. Nothing where peers do not go on arriving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Cut>,
}

impl Summary {
    /// From when on what happened counts, in seconds: the end of the warm-up, if there is one.
    pub fn counted_from(&self) -> f64 {
        self.warm_up.as_ref().map_or(0.0, |cut| cut.until_s)
    }
}

/// How many peers there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub peers: u64,
    /// Had everything on arrival.
    pub initial_seeds: u64,
    /// Came without everything while the swarm warmed up: what became of them does not count.
    #[serde(default)]
    pub warm_up: u64,
    /// Came without everything and got it.
    pub finished: u64,
    /// Left without everything.
    pub abandoned: u64,
    /// Were there at the end of the run, without everything.
    pub unfinished: u64,
}

/// A row of `peers.csv`. Times are seconds since the start of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerRow {
    /// Its number.
    pub peer: u32,
    /// Its class.
    pub class: String,
    /// When it arrived.
    pub arrived_s: f64,
    /// When it had everything: on arrival, later, or not at all.
    pub completed_s: Option<f64>,
    /// When it left.
    pub left_s: Option<f64>,
    /// Bytes sent.
    pub uploaded_bytes: u64,
    /// Bytes received that were asked for.
    pub downloaded_bytes: u64,
    /// Bytes received in vain.
    pub wasted_bytes: u64,
    /// The metrics of peers, by name; what is not defined of this one is not there.
    pub metrics: BTreeMap<String, f64>,
}

/// A row of `series.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesRow {
    /// Seconds since the start of the run. What is counted over time is counted since the row before.
    pub t: f64,
    /// `overall` or a class.
    pub scope: String,
    /// A metric of time; `completed`: how many finished so far; or the capacity, in bytes per second, that a utilisation
    /// is a part of ([`CAPACITIES`]).
    pub metric: String,
    /// Its value.
    pub value: f64,
}

impl PeerRow {
    /// Whether it had everything on arrival.
    pub fn is_initial_seed(&self) -> bool {
        self.completed_s == Some(self.arrived_s)
    }

    /// Whether figures of what came after `from_s` are of this peer too: it came then, or had everything on arrival.
    pub fn counts_from(&self, from_s: f64) -> bool {
        self.is_initial_seed() || self.arrived_s >= from_s
    }
}

/// The utilisations, each with the series of the capacity that it is a part of.
pub const CAPACITIES: [(&str, &str); 3] = [
    ("upload_utilization", "upload_capacity"),
    ("upload_utilization_seeds", "upload_capacity_seeds"),
    ("download_utilization", "download_capacity"),
];

/// A row of `choke_matrix.csv`: what leechers of one class (and peers that had everything on arrival) did with
/// neighbours of another.
#[derive(Clone, Debug, PartialEq)]
pub struct PairRow {
    /// The class that serves.
    pub from: String,
    /// The class that is served.
    pub to: String,
    /// Seconds of service: unchoked while interested, summed over pairs.
    pub unchoked_s: f64,
    /// Bytes sent.
    pub bytes: u64,
    /// The part of `to` among the interested neighbours of `from`, by time.
    pub share: Option<f64>,
}
