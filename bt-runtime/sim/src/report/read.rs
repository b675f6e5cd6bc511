//! Reads what runs have written: one run, several seeds of several profiles, or the cells of a sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Error;
use crate::measure::{Dist, OVERALL, PairRow, PeerRow, SeriesRow, Summary};
use crate::output::{self, Manifest, RunFiles};

/// All that a report is about.
#[derive(Clone, Debug)]
pub(super) struct Study {
    /// The profiles or cells, each with its runs.
    pub(super) groups: Vec<Group>,
    /// How profiles compare, after `compare`.
    pub(super) comparison: Option<Comparison>,
}

/// Runs that differ in nothing but the seed.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The profile or the cell.
    pub(super) name: String,
    /// The runs.
    pub(super) runs: Vec<Run>,
}

/// One run: of what its files have, that which a report shows.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Everything needed to repeat it.
    pub(super) manifest: Manifest,
    /// Its summary.
    pub(super) summary: Summary,
    /// Its peers, but for those that came in the warm-up.
    pub(super) peers: Vec<Peer>,
    /// Its courses over time.
    pub(super) series: Vec<Series>,
    /// Who unchoked whom.
    pub(super) chokes: Vec<PairRow>,
}

/// A row of `peers.csv`; times in seconds since the start of the run.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) class: String,
    pub(super) arrived: f64,
    pub(super) completed: Option<f64>,
    pub(super) left: Option<f64>,
    pub(super) uploaded: f64,
    pub(super) downloaded: f64,
    /// Uploaded bytes over the length of the content.
    pub(super) normalized_upload: Option<f64>,
}

impl Peer {
    /// Whether it had everything from the start.
    pub(super) fn is_initial_seed(&self) -> bool {
        self.completed == Some(self.arrived) && self.downloaded == 0.0
    }
}

/// A course over time.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) metric: String,
    pub(super) scope: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// `compare.json`.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// Whether runs of one seed were subtracted from each other.
    pub(super) paired: bool,
    /// The profile that others are compared with.
    pub(super) baseline: String,
    /// What each profile was named by, the classes that ran them, and the seeds of the first.
    pub(super) given: Vec<String>,
    pub(super) classes: Vec<String>,
    pub(super) seeds: Vec<u64>,
    /// Metric by metric.
    pub(super) metrics: Vec<(String, Vec<Compared>)>,
}

/// One profile in one metric.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    pub(super) profile: String,
    pub(super) mean: Option<f64>,
    /// In how many of its runs it is defined.
    pub(super) n: usize,
    pub(super) of: usize,
    /// Against the baseline, which has none.
    pub(super) difference: Option<Difference>,
}

/// A difference with its 95 % interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    pub(super) mean: f64,
    /// In how many pairs of runs, or runs of both.
    pub(super) n: usize,
    pub(super) interval: Option<(f64, f64)>,
    pub(super) p: Option<f64>,
    pub(super) p_holm: Option<f64>,
}

impl Comparison {
    /// In how many runs `row` is compared with that of the baseline, if these are not all of them: pairs of runs, or
    /// runs of both.
    pub(super) fn in_runs(&self, rows: &[Compared], row: &Compared) -> Option<(usize, usize)> {
        let n = row.difference.map_or(0, |difference| difference.n);
        let base = rows.iter().find(|row| row.profile == self.baseline)?;
        let (n, all) = if self.paired { (n, row.of) } else { (base.n + row.n, base.of + row.of) };
        (n < all).then_some((n, all))
    }
}

impl Study {
    /// Reads `dir`.
    ///
    /// # Errors
    ///
    /// Where a file is missing or wrong; the message names it.
    pub(super) fn read(dir: &Path) -> Result<Self, Error> {
        let compared = dir.join("compare.json");
        if compared.exists() {
            let value: Value = output::read_json(&compared)?;
            let comparison = comparison(&value).map_err(|what| Error::Bad { file: compared, what })?;
            let order: Vec<&str> = texts(&value["profiles"]);
            let mut groups = groups(dir)?;
            groups.sort_by_key(|group| {
                order.iter().position(|name| *name == group.name).unwrap_or(order.len())
            });
            return Ok(Self { groups, comparison: Some(comparison) });
        }
        let groups = if dir.join(output::MANIFEST).exists() {
            let run = Run::read(dir)?;
            let name = run.manifest.scenario.name.clone();
            vec![Group { name, runs: vec![run] }]
        } else {
            groups(dir)?
        };
        if groups.is_empty() {
            return Err(Error::Nothing { dir: dir.to_owned() });
        }
        Ok(Self { groups, comparison: None })
    }

    /// All runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.groups.iter().flat_map(|group| &group.runs)
    }

    /// The end of the warm-up in seconds, if there is one and it is that of all runs.
    pub(super) fn warm_up(&self) -> Option<f64> {
        let mut ends = self.runs().map(|run| run.summary.warm_up.as_ref().map(|cut| cut.until_s));
        let first = ends.next()??;
        ends.all(|end| end == Some(first)).then_some(first)
    }

    /// The names of classes, in the order in which they are met; those of initial seeds alone come last.
    pub(super) fn classes(&self) -> Vec<&str> {
        let peers = || self.runs().flat_map(|run| &run.peers);
        let mut classes: Vec<&str> = Vec::new();
        for peer in peers().filter(|peer| !peer.is_initial_seed()).chain(peers()) {
            if !classes.contains(&&*peer.class) {
                classes.push(&peer.class);
            }
        }
        classes
    }
}

impl Run {
    fn read(dir: &Path) -> Result<Self, Error> {
        let RunFiles { manifest, measured } = output::read(dir)?;
        let peer = |row: PeerRow| Peer {
            class: row.class,
            arrived: row.arrived_s,
            completed: row.completed_s,
            left: row.left_s,
            uploaded: row.uploaded_bytes as f64,
            downloaded: row.downloaded_bytes as f64,
            normalized_upload: row.metrics.get("normalized_upload").copied(),
        };
        // Who came in the warm-up does not count.
        let from = measured.summary.counted_from();
        let counts = |row: &PeerRow| row.counts_from(from);
        Ok(Self {
            manifest,
            summary: measured.summary,
            peers: measured.peers.into_iter().filter(counts).map(peer).collect(),
            series: series(measured.series),
            chokes: measured.choke_matrix,
        })
    }

    /// The metrics of a scope, [`OVERALL`] or a class.
    pub(super) fn metrics(&self, scope: &str) -> Option<&BTreeMap<String, Dist>> {
        if scope == OVERALL { Some(&self.summary.overall) } else { self.summary.classes.get(scope) }
    }

    /// A metric of a scope.
    pub(super) fn metric(&self, scope: &str, metric: &str) -> Option<Dist> {
        self.metrics(scope)?.get(metric).copied()
    }
}

/// The rows of each course together.
fn series(rows: Vec<SeriesRow>) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    let mut last = 0; // most rows belong to the series after that of the row before
    for row in rows {
        let is = |series: &Series| series.metric == row.metric && series.scope == row.scope;
        let next = (last + 1) % series.len().max(1);
        let at = [last, next].into_iter().find(|at| series.get(*at).is_some_and(is));
        last = at.or_else(|| series.iter().position(is)).unwrap_or(series.len());
        match series.get_mut(last) {
            Some(series) => series.points.push((row.t, row.value)),
            None => {
                series.push(Series {
                    metric: row.metric,
                    scope: row.scope,
                    points: vec![(row.t, row.value)],
                });
            }
        }
    }
    series
}

/// Runs in folders of `dir`, or one level further down; those that differ in the seed alone are together.
fn groups(dir: &Path) -> Result<Vec<Group>, Error> {
    let is_run = |folder: &PathBuf| folder.join(output::MANIFEST).exists();
    let (runs, others): (Vec<_>, Vec<_>) = folders(dir)?.into_iter().partition(is_run);
    let mut groups = grouped(dir, &runs)?;
    for folder in others {
        let runs: Vec<_> = folders(&folder)?.into_iter().filter(is_run).collect();
        groups.extend(grouped(&folder, &runs)?);
    }
    Ok(groups)
}

/// The runs in folders of `dir`, by what was set for them; a group is named by what was not set for all, or by `dir`.
fn grouped(dir: &Path, folders: &[PathBuf]) -> Result<Vec<Group>, Error> {
    let mut sets: Vec<(BTreeSet<String>, Vec<Run>)> = Vec::new();
    for folder in folders {
        let run = Run::read(folder)?;
        let set = run.manifest.sets.iter().filter(|set| !set.starts_with("run.seed"));
        let set: BTreeSet<String> = set.cloned().collect();
        match sets.iter_mut().find(|(known, _)| *known == set) {
            Some((_, runs)) => runs.push(run),
            None => sets.push((set, vec![run])),
        }
    }
    let common = sets.iter().map(|(set, _)| set.clone()).reduce(|a, b| a.intersection(&b).cloned().collect());
    let common = common.unwrap_or_default();
    let group = |(set, runs): (BTreeSet<String>, Vec<Run>)| {
        let own: Vec<&str> = set.difference(&common).map(String::as_str).collect();
        let folder = || dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Group { name: if own.is_empty() { folder() } else { own.join(", ") }, runs }
    };
    Ok(sets.into_iter().map(group).collect())
}

/// The folders in `dir`, those with numbers for names by number.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { dir: dir.to_owned(), source };
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            folders.push((name.parse::<u64>().unwrap_or(u64::MAX), name, entry.path()));
        }
    }
    folders.sort();
    Ok(folders.into_iter().map(|(_, _, path)| path).collect())
}

/// The texts of a list.
fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn comparison(value: &Value) -> Result<Comparison, String> {
    let mut baseline = None;
    let mut metrics = Vec::new();
    for (name, metric) in value["metrics"].as_object().ok_or("has no table `metrics`")? {
        let rows = metric["rows"].as_array().ok_or_else(|| format!("`metrics.{name}` has no list `rows`"))?;
        baseline = baseline.or(metric["baseline"].as_str());
        let row = |row: &Value| {
            let profile = row["profile"]
                .as_str()
                .ok_or_else(|| format!("a row of `metrics.{name}` has no `profile`"))?;
            let found = &row["difference"];
            let difference = found["mean"].as_f64().map(|mean| Difference {
                mean,
                n: found["n"].as_u64().unwrap_or(0) as usize,
                interval: found["low"].as_f64().zip(found["high"].as_f64()),
                p: found["p"].as_f64(),
                p_holm: found["p_holm"].as_f64(),
            });
            let [n, of] = [&row["n"], &value["runs"][profile]["runs"]]
                .map(|count| count.as_u64().unwrap_or(0) as usize);
            Ok(Compared { profile: profile.to_owned(), mean: row["mean"].as_f64(), n, of, difference })
        };
        metrics.push((name.clone(), rows.iter().map(row).collect::<Result<_, String>>()?));
    }
    let baseline = baseline.or(texts(&value["profiles"]).first().copied()).unwrap_or_default().to_owned();
    let owned = |key: &str| texts(&value[key]).into_iter().map(str::to_owned).collect();
    let seeds = value["seeds"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let paired = value["paired"].as_bool().unwrap_or(false);
    Ok(Comparison { paired, baseline, given: owned("given"), classes: owned("classes"), seeds, metrics })
}
