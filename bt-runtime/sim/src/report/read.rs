//! Reads what runs have written: one run, several seeds of several profiles, or the cells of a sweep.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Error;

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

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Everything needed to repeat it.
    pub(super) manifest: Value,
    /// Its summary.
    pub(super) summary: Summary,
    /// Its peers.
    pub(super) peers: Vec<Peer>,
    /// Its courses over time.
    pub(super) series: Vec<Series>,
    /// Who unchoked whom.
    pub(super) chokes: Vec<Choke>,
}

/// `summary.json`.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    /// Metrics of the whole swarm, then of each class.
    pub(super) scopes: Vec<(String, Vec<(String, Spread)>)>,
    /// The time before which the last peer cannot be done, in seconds.
    pub(super) bound: Option<f64>,
    /// The time that was needed over that bound.
    pub(super) bound_ratio: Option<f64>,
    /// Metrics that the events do not give, each with the reason.
    pub(super) left_out: Vec<(String, String)>,
}

/// How a metric is distributed; each part may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spread {
    /// Mean, median, 5th and 95th percentile and largest.
    pub(super) figures: [Option<f64>; 5],
}

/// What the parts of a [`Spread`] are called.
pub(super) const SPREAD: [&str; 5] = ["mean", "median", "p5", "p95", "max"];

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

/// A row of `choke_matrix.csv`.
#[derive(Clone, Debug)]
pub(super) struct Choke {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) seconds: f64,
}

/// `compare.json`.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// Whether runs of one seed were subtracted from each other.
    pub(super) paired: bool,
    /// The profile that others are compared with.
    pub(super) baseline: String,
    /// Metric by metric.
    pub(super) metrics: Vec<(String, Vec<Compared>)>,
}

/// One profile in one metric.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    pub(super) profile: String,
    pub(super) mean: Option<f64>,
    /// Against the baseline, which has none.
    pub(super) difference: Option<Difference>,
}

/// A difference with its 95 % interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    pub(super) mean: f64,
    pub(super) interval: Option<(f64, f64)>,
    pub(super) p: Option<f64>,
    pub(super) p_holm: Option<f64>,
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
            let value = json(&compared)?;
            let comparison = comparison(&value).map_err(|what| Error::Bad { file: compared, what })?;
            let order: Vec<&str> = texts(&value["profiles"]);
            let mut groups = groups(dir)?;
            groups.sort_by_key(|group| {
                order.iter().position(|name| *name == group.name).unwrap_or(order.len())
            });
            return Ok(Self { groups, comparison: Some(comparison) });
        }
        let groups = if dir.join("manifest.json").exists() {
            let run = Run::read(dir)?;
            let name = run.text("/scenario/name").unwrap_or("run").to_owned();
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
        let summary = dir.join("summary.json");
        let manifest = json(&dir.join("manifest.json"))?;
        let summary = Summary::read(&json(&summary)?).map_err(|what| Error::Bad { file: summary, what })?;
        let (peers, series) = (peers(&dir.join("peers.csv"))?, series(&dir.join("series.csv"))?);
        Ok(Self { manifest, summary, peers, series, chokes: chokes(&dir.join("choke_matrix.csv"))? })
    }

    /// A text in the manifest, by its JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.manifest.pointer(pointer)?.as_str()
    }
}

impl Summary {
    fn read(value: &Value) -> Result<Self, String> {
        let overall = value["overall"].as_object().ok_or("has no table `overall`")?;
        let mut scopes = vec![("overall".to_owned(), overall)];
        for (name, metrics) in value["classes"].as_object().into_iter().flatten() {
            let metrics = metrics.as_object().ok_or_else(|| format!("`classes.{name}` is no table"))?;
            scopes.push((name.clone(), metrics));
        }
        let read = |metrics: &serde_json::Map<String, Value>| {
            metrics.iter().map(|(name, value)| (name.clone(), Spread::read(value))).collect()
        };
        let scopes = scopes.into_iter().map(|(name, metrics)| (name, read(metrics))).collect();
        let left_out = value["left_out"].as_object().into_iter().flatten();
        let left_out =
            left_out.map(|(name, why)| (name.clone(), why.as_str().unwrap_or_default().to_owned()));
        Ok(Self {
            scopes,
            bound: value["bound_s"].as_f64(),
            bound_ratio: value["bound_ratio"].as_f64(),
            left_out: left_out.collect(),
        })
    }

    /// A metric of a scope.
    pub(super) fn metric(&self, scope: &str, metric: &str) -> Option<Spread> {
        let (_, metrics) = self.scopes.iter().find(|(name, _)| name == scope)?;
        metrics.iter().find(|(name, _)| name == metric).map(|(_, spread)| *spread)
    }
}

impl Spread {
    /// A table of figures; a bare number is its own mean.
    fn read(value: &Value) -> Self {
        let mut figures = SPREAD.map(|part| value[part].as_f64());
        figures[0] = figures[0].or(value.as_f64());
        Self { figures }
    }

    /// The mean.
    pub(super) fn mean(&self) -> Option<f64> {
        self.figures[0]
    }
}

/// Runs in folders of `dir`, or one level further down; those that differ in the seed alone are together.
fn groups(dir: &Path) -> Result<Vec<Group>, Error> {
    let is_run = |folder: &PathBuf| folder.join("manifest.json").exists();
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
        let set = texts(&run.manifest["sets"]).into_iter().filter(|set| !set.starts_with("run.seed"));
        let set: BTreeSet<String> = set.map(str::to_owned).collect();
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
    let failed = |source| Error::Read { file: dir.to_owned(), source };
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

fn json(file: &Path) -> Result<Value, Error> {
    let text = fs::read_to_string(file).map_err(|source| Error::Read { file: file.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|error| Error::Bad { file: file.to_owned(), what: error.to_string() })
}

/// The texts of a list.
pub(super) fn texts(value: &Value) -> Vec<&str> {
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
                interval: found["low"].as_f64().zip(found["high"].as_f64()),
                p: found["p"].as_f64(),
                p_holm: found["p_holm"].as_f64(),
            });
            Ok(Compared { profile: profile.to_owned(), mean: row["mean"].as_f64(), difference })
        };
        metrics.push((name.clone(), rows.iter().map(row).collect::<Result<_, String>>()?));
    }
    let baseline = baseline.or(texts(&value["profiles"]).first().copied()).unwrap_or_default().to_owned();
    Ok(Comparison { paired: value["paired"].as_bool().unwrap_or(false), baseline, metrics })
}

/// A CSV file with named columns, read line by line.
struct Table {
    file: PathBuf,
    columns: csv::StringRecord,
    records: csv::StringRecordsIntoIter<fs::File>,
}

/// One of its lines.
struct Line<'a> {
    table: &'a Path,
    number: u64,
    columns: &'a csv::StringRecord,
    record: csv::StringRecord,
}

impl Table {
    fn open(file: &Path) -> Result<Self, Error> {
        let opened = fs::File::open(file).map_err(|source| Error::Read { file: file.to_owned(), source })?;
        let mut reader = csv::Reader::from_reader(opened);
        let columns = reader.headers().map_err(|error| wrong(file, &error))?.clone();
        Ok(Self { file: file.to_owned(), columns, records: reader.into_records() })
    }

    fn next(&mut self) -> Option<Result<Line<'_>, Error>> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(wrong(&self.file, &error))),
        };
        let number = record.position().map_or(0, csv::Position::line);
        Some(Ok(Line { table: &self.file, number, columns: &self.columns, record }))
    }
}

impl Line<'_> {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    fn text(&self, column: &str) -> Result<&str, Error> {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| self.record.get(at)).ok_or_else(|| Error::Bad {
            file: self.table.to_owned(),
            what: format!("has no column `{column}`"),
        })
    }

    fn maybe(&self, column: &str) -> Result<Option<f64>, Error> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| {
            let what =
                format!("line {}: `{}` in column `{column}` is no number", self.number, text.escape_debug());
            Error::Bad { file: self.table.to_owned(), what }
        })
    }

    fn number(&self, column: &str) -> Result<f64, Error> {
        self.maybe(column)?.ok_or_else(|| {
            let what = format!("line {}: column `{column}` is empty", self.number);
            Error::Bad { file: self.table.to_owned(), what }
        })
    }
}

fn wrong(file: &Path, error: &csv::Error) -> Error {
    Error::Bad { file: file.to_owned(), what: error.to_string() }
}

fn peers(file: &Path) -> Result<Vec<Peer>, Error> {
    let mut table = Table::open(file)?;
    let mut peers = Vec::new();
    while let Some(line) = table.next() {
        let line = line?;
        peers.push(Peer {
            class: line.text("class")?.to_owned(),
            arrived: line.number("arrived_s")?,
            completed: line.maybe("completed_s")?,
            left: line.maybe("left_s")?,
            uploaded: line.number("uploaded_bytes")?,
            downloaded: line.number("downloaded_bytes")?,
            normalized_upload: if line.has("normalized_upload") {
                line.maybe("normalized_upload")?
            } else {
                None
            },
        });
    }
    Ok(peers)
}

fn series(file: &Path) -> Result<Vec<Series>, Error> {
    let mut table = Table::open(file)?;
    let mut series: Vec<Series> = Vec::new();
    let mut last = 0; // most rows belong to the series after that of the row before
    while let Some(line) = table.next() {
        let line = line?;
        let (metric, scope) = (line.text("metric")?, line.text("scope")?);
        let is = |series: &Series| series.metric == metric && series.scope == scope;
        let next = (last + 1) % series.len().max(1);
        let at = [last, next].into_iter().find(|at| series.get(*at).is_some_and(is));
        last = at.or_else(|| series.iter().position(is)).unwrap_or(series.len());
        if last == series.len() {
            series.push(Series { metric: metric.to_owned(), scope: scope.to_owned(), points: Vec::new() });
        }
        if let Some(value) = line.maybe("value")? {
            series[last].points.push((line.number("t")?, value));
        }
    }
    Ok(series)
}

fn chokes(file: &Path) -> Result<Vec<Choke>, Error> {
    let mut table = Table::open(file)?;
    let mut chokes = Vec::new();
    while let Some(line) = table.next() {
        let line = line?;
        let (from, to) = (line.text("from")?.to_owned(), line.text("to")?.to_owned());
        chokes.push(Choke { from, to, seconds: line.number("unchoked_s")? });
    }
    Ok(chokes)
}
