//! Profiles compared: what differs between them in each metric, over many seeds.
//!
//! The run is the unit. With the same seeds each profile meets the same arrivals and neighbours, so runs of one seed are
//! subtracted from each other, and two profiles that are the same differ by exactly nothing. Every profile is compared
//! with the first one.
//!
//! | file | holds |
//! | --- | --- |
//! | here | what is to be compared, and its runs |
//! | `figures` | one figure of all profiles |
//! | `found` | what came out, and its files |
//! | `overview` | comparisons in several scenarios at a glance |

mod figures;
mod found;
mod overview;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bt_runtime::{Profile, TextError};

use crate::Scenario;
use crate::measure::OVERALL;
use crate::output;
use crate::replicate::{Job, Ran};
use crate::scenario::Group;

use figures::compared;
pub(crate) use figures::delta;
pub use figures::{Compared, Delta, Row, compare};
pub use found::{COMPARE_CSV, COMPARE_JSON, Comparison, RUNS_CSV, Runs, WarmUps, in_order, write_runs};
pub(crate) use overview::percent;
pub use overview::{Column, Overview};

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

impl Contest {
    /// Prepares the comparison of `profiles` (paths or shipped names) in `scenario` with `sets`. They run in the groups
    /// that are to be [compared](Group::compared), or in those that `classes` names; a `--set` of the profile of such a group is one of every
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
                what: format!("{} with {}", self.scenario, one.label),
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

/// The classes that run what is compared: those that the scenario says, or those that are named.
pub(crate) fn chosen(scenario: &Scenario, named: &[String]) -> Result<Vec<String>, TextError> {
    if let Some(unknown) = named.iter().find(|name| !scenario.groups.iter().any(|group| group.name == **name))
    {
        let known: Vec<&str> = scenario.groups.iter().map(|group| group.name.as_str()).collect();
        let message = format!("no class is named `{unknown}`; this scenario has: {}", known.join(", "));
        return Err(TextError::new(&message));
    }
    let is_chosen =
        |group: &&Group| if named.is_empty() { group.compared } else { named.contains(&group.name) };
    let classes: Vec<String> =
        scenario.groups.iter().filter(is_chosen).map(|group| group.name.clone()).collect();
    if classes.is_empty() {
        return Err(TextError::new(
            "no group of this scenario is to be compared: name the classes with --class",
        ));
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
        let own = sets.iter().filter_map(|set| Some((set, profile_set(set)?)));
        let (given, own): (Vec<&String>, Vec<String>) =
            own.filter(|(_, (class, _))| *class == group.name).map(|(set, (_, own))| (set, own)).unzip();
        let loaded = Profile::load(profile, &own).map_err(|error| match error.set() {
            Some((number, what)) => {
                TextError::new(&format!("--set {}, in the profile {profile}: {what}", given[number]))
            }
            None => error,
        });
        group.profile = Arc::new(loaded?);
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

#[cfg(test)]
mod tests {
    use super::*;

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
