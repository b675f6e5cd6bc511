//! Profiles compared: what differs between them in each metric, over many seeds.
//!
//! The run is the unit. With the same seeds each profile meets the same arrivals and neighbours, so runs of one seed are
//! subtracted from each other, and two profiles that are the same differ by exactly nothing. Every profile is compared
//! with the first one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bt_runtime::{Profile, TextError};
use serde::{Deserialize, Serialize};

use crate::Scenario;
use crate::measure::{Cut, OVERALL, Rule};
use crate::output::{self, OutputError};
use crate::replicate::{Job, Ran, place, unit};
use crate::scenario::Group;
use crate::stats::{self, Difference};

/// The names of the files.
pub const COMPARE_JSON: &str = "compare.json";
/// See [`COMPARE_JSON`].
pub const COMPARE_CSV: &str = "compare.csv";
/// Every figure of every run, a row each.
pub const RUNS_CSV: &str = "runs.csv";

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Contest {
    /// The name of the scenario.
    pub scenario: String,
    /// What `--set` changed.
    pub sets: Vec<String>,
    /// The classes that run the profiles.
    pub classes: Vec<String>,
    /// Whether all have the same seeds.
    pub paired: bool,
    /// The profiles, the first of which the others are compared with.
    pub contestants: Vec<Contestant>,
}

/// A profile in a comparison.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// What it is called: its name, or `NAME#2` if that is taken.
    pub label: String,
    /// What it was named by: a path or the name of a shipped one.
    pub given: String,
    /// The scenario in which it runs.
    pub scenario: Arc<Scenario>,
    /// Its seeds.
    pub seeds: Vec<u64>,
}

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

impl Contest {
    /// Prepares the comparison of `profiles` (paths or shipped names) in `scenario` with `sets`. They run in the groups
    /// that download, or in those that `classes` names; a `--set` of the profile of such a group is one of every
    /// profile. Unpaired, each profile has seeds of its own: those after the last one of the profile before.
    ///
    /// # Errors
    /// Whatever is wrong with the scenario, a profile, a set or a class.
    pub fn load(
        scenario: &str,
        sets: &[String],
        profiles: &[String],
        classes: &[String],
        seeds: &[u64],
        paired: bool,
    ) -> Result<Self, TextError> {
        no_seed(sets)?;
        let (of_profiles, others): (Vec<_>, Vec<_>) =
            sets.iter().cloned().partition(|set| profile_set(set).is_some());
        let plain = Scenario::load(scenario, &others)?;
        let classes = chosen(&plain, classes)?;
        let is_of_class = |set: &String| profile_set(set).is_some_and(|(class, _)| classes.contains(&class));
        let (of_profiles, kept): (Vec<_>, Vec<_>) = of_profiles.into_iter().partition(is_of_class);
        let base = Scenario::load(scenario, &others.into_iter().chain(kept).collect::<Vec<_>>())?;
        let mut names = Vec::new();
        let mut scenarios = Vec::new();
        for profile in profiles {
            let (first, scenario) = with_profile(&base, profile, &classes, &of_profiles)?;
            names.push(first);
            scenarios.push(Arc::new(scenario));
        }
        let with_seeds = labels(&names).into_iter().zip(profiles).zip(scenarios).enumerate();
        let contestants = with_seeds.map(|(at, ((label, given), scenario))| {
            let seeds = if paired { Ok(seeds.to_vec()) } else { seeds_after(seeds, at as u64) };
            Ok(Contestant { label, given: given.clone(), scenario, seeds: seeds? })
        });
        let contestants = contestants.collect::<Result<_, TextError>>()?;
        Ok(Self { scenario: base.name, sets: sets.to_vec(), classes, paired, contestants })
    }

    /// The runs, of one seed after the other, each of all profiles; their files go to `DIR/PROFILE/SEED`.
    pub fn jobs(&self, folder: Option<&Path>) -> Vec<Job> {
        let count = self.contestants.first().map_or(0, |first| first.seeds.len());
        let jobs = (0..count).flat_map(|at| {
            self.contestants.iter().map(move |one| Job {
                scenario: one.scenario.clone(),
                seed: one.seeds[at],
                sets: self.sets.clone(),
                base: None,
                folder: folder.map(|dir| folder_of(dir, &one.label, one.seeds[at])),
            })
        });
        jobs.collect()
    }

    /// What came out: `ran` has the runs of [`jobs`](Self::jobs), [cut alike](crate::replicate::cut_alike) where peers go
    /// on arriving.
    pub fn judge(&self, ran: &[Ran]) -> Comparison {
        let count = self.contestants.len().max(1);
        let of = |at: usize| ran.iter().skip(at).step_by(count).collect::<Vec<&Ran>>();
        let samples: Vec<(&str, Vec<&Ran>)> =
            self.contestants.iter().enumerate().map(|(at, one)| (one.label.as_str(), of(at))).collect();
        let scopes: BTreeSet<&String> = ran.iter().flat_map(|ran| ran.figures.keys()).collect();
        let mut by_scope =
            scopes.into_iter().map(|scope| (scope.clone(), compared(&samples, scope, self.paired)));
        let (overall, by_class): (Vec<_>, Vec<_>) =
            by_scope.by_ref().partition(|(scope, _)| scope == OVERALL);
        let labelled = |one: &Contestant| (one.label.clone(), one.seeds.clone());
        Comparison {
            schema: output::SCHEMA,
            scenario: self.scenario.clone(),
            sets: self.sets.clone(),
            paired: self.paired,
            profiles: self.contestants.iter().map(|one| one.label.clone()).collect(),
            given: self.contestants.iter().map(|one| one.given.clone()).collect(),
            classes: self.classes.clone(),
            seeds: self.contestants.first().map(|one| one.seeds.clone()).unwrap_or_default(),
            seeds_of: self.contestants.iter().map(labelled).collect(),
            versions: ran.iter().flat_map(|ran| ran.manifest.versions.clone()).collect(),
            runs: samples.iter().map(|(label, ran)| ((*label).to_owned(), Runs::of(ran))).collect(),
            warm_up: WarmUps::of(ran),
            metrics: overall.into_iter().next().map(|(_, metrics)| metrics).unwrap_or_default(),
            by_class: by_class.into_iter().collect(),
        }
    }
}

impl WarmUps {
    fn of(ran: &[Ran]) -> Option<Self> {
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

/// Refuses a seed where many are given: it would be none of them.
pub(crate) fn no_seed(sets: &[String]) -> Result<(), TextError> {
    let is_seed = |set: &&String| set.split('=').next().is_some_and(|key| key.trim() == "run.seed");
    sets.iter().find(is_seed).map_or(Ok(()), |set| {
        Err(TextError::new(&format!("--set {set}: the seeds of these runs are those of --seeds")))
    })
}

/// The class and the rest of a `--set` of a group's profile: `peers.leecher.choke.use=random`.
fn profile_set(set: &str) -> Option<(String, String)> {
    let (key, value) = set.split_once('=')?;
    let rest = key.trim().strip_prefix("peers.")?;
    let (class, rest) = rest.split_once('.')?;
    let table = rest.split('.').next()?.trim();
    Profile::TABLES.contains(&table).then(|| (class.trim().to_owned(), format!("{rest}={value}")))
}

/// The classes that run what is compared: those that download, or those that are named.
pub(crate) fn chosen(scenario: &Scenario, named: &[String]) -> Result<Vec<String>, TextError> {
    if let Some(unknown) = named.iter().find(|name| !scenario.groups.iter().any(|group| group.name == **name))
    {
        let known: Vec<&str> = scenario.groups.iter().map(|group| group.name.as_str()).collect();
        let message = format!("no class is named `{unknown}`; this scenario has: {}", known.join(", "));
        return Err(TextError::new(&message));
    }
    let is_chosen =
        |group: &&Group| if named.is_empty() { !group.complete } else { named.contains(&group.name) };
    let classes: Vec<String> =
        scenario.groups.iter().filter(is_chosen).map(|group| group.name.clone()).collect();
    if classes.is_empty() {
        return Err(TextError::new("nobody downloads in this scenario: name the classes with --class"));
    }
    Ok(classes)
}

/// The name of a profile, and `base` with it in `classes`, changed by the sets of those classes.
fn with_profile(
    base: &Scenario,
    profile: &str,
    classes: &[String],
    sets: &[String],
) -> Result<(String, Scenario), TextError> {
    let mut scenario = base.clone();
    let mut name = String::new();
    for group in scenario.groups.iter_mut().filter(|group| classes.contains(&group.name)) {
        let own = sets.iter().filter_map(|set| profile_set(set)).filter(|(class, _)| *class == group.name);
        let own: Vec<String> = own.map(|(_, set)| set).collect();
        group.profile = Arc::new(Profile::load(profile, &own)?);
        name.clone_from(&group.profile.name);
    }
    Ok((name, scenario))
}

/// Distinct labels that can be names of folders: a name that is taken gets a number.
pub(crate) fn labels(names: &[String]) -> Vec<String> {
    let allowed = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let mut labels: Vec<String> = Vec::new();
    for name in names {
        let name: String = name.trim_start_matches('.').chars().map(allowed).collect();
        let name = if name.is_empty() { "profile".to_owned() } else { name };
        let mut others = (2..).map(|number| format!("{name}#{number}"));
        let free = std::iter::once(name.clone()).chain(&mut others).find(|label| !labels.contains(label));
        labels.extend(free);
    }
    labels
}

/// Seeds that begin after those of `at` earlier profiles.
fn seeds_after(seeds: &[u64], at: u64) -> Result<Vec<u64>, TextError> {
    let (first, last) = (seeds.iter().min().copied().unwrap_or(0), seeds.iter().max().copied().unwrap_or(0));
    let shift = (last - first + 1).checked_mul(at);
    let shifted =
        seeds.iter().map(|seed| seed.checked_add(shift?).filter(|&seed| seed <= Scenario::MAX_SEED));
    let wrong = || {
        TextError::new(
            "--unpaired gives each profile the seeds after those of the one before, and there are no more",
        )
    };
    shifted.collect::<Option<_>>().ok_or_else(wrong)
}

fn folder_of(dir: &Path, label: &str, seed: u64) -> PathBuf {
    dir.join(label).join(seed.to_string())
}

/// Every figure of a scope, of all profiles.
fn compared(samples: &[(&str, Vec<&Ran>)], scope: &str, paired: bool) -> BTreeMap<String, Compared> {
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

    #[test]
    fn labels_are_distinct_and_stay_in_the_folder() {
        let names = ["mainline", "mainline", "my choker", "..", "mainline", ".."].map(str::to_owned);
        assert_eq!(
            labels(&names),
            ["mainline", "mainline#2", "my-choker", "profile", "mainline#3", "profile#2"]
        );
    }

    #[test]
    fn independent_seeds_do_not_overlap() {
        assert_eq!(seeds_after(&[1, 2, 5], 2).unwrap(), [11, 12, 15]);
        assert!(seeds_after(&[Scenario::MAX_SEED], 1).is_err());
    }

    #[test]
    fn sets_of_profiles_are_known() {
        let found = profile_set("peers.leecher.choke.use = random");
        assert_eq!(found, Some(("leecher".to_owned(), "choke.use= random".to_owned())));
        for other in ["peers.leecher.count=3", "network.delay=0", "peers.leecher.profile=x", "choke.use=x"] {
            assert_eq!(profile_set(other), None, "{other}");
        }
    }
}
