//! Tournaments: every policy against every other in mixed swarms.
//!
//! For each pair and each seed the peers that download are divided between the two, class by class, and the policy whose
//! peers have the lower median completion time wins that encounter ("Design space analysis for modeling incentives in
//! distributed systems", Rahman et al., SIGCOMM 2011).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bt_runtime::{Profile, TextError};
use serde::{Deserialize, Serialize};

use crate::Scenario;
use crate::compare::{Delta, chosen, delta, labels, no_seed};
use crate::output::{self, OutputError};
use crate::replicate::{Job, Ran, median_time};
use crate::scenario::{Arrivals, Group};
use crate::stats;

/// The names of the files.
pub const TOURNAMENT_JSON: &str = "tournament.json";
/// See [`TOURNAMENT_JSON`].
pub const TOURNAMENT_CSV: &str = "tournament.csv";

/// What is to be played.
#[derive(Clone, Debug)]
pub struct Tournament {
    scenario: String,
    sets: Vec<String>,
    classes: Vec<String>,
    share: f64,
    seeds: Vec<u64>,
    labels: Vec<String>,
    pairs: Vec<Pair>,
}

/// Two policies, by number, and the swarms in which they meet.
#[derive(Clone, Debug)]
struct Pair {
    a: usize,
    b: usize,
    /// In the one the peers of `a` come first, in the other those of `b`: whoever is first in a list of equals, or has the
    /// odd one of the peers, may have an advantage, so even and odd seeds take turns.
    swarms: [Arc<Scenario>; 2],
    /// The classes of each side.
    sides: [Vec<String>; 2],
}

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

impl Tournament {
    /// Prepares the tournament of `profiles` (paths or shipped names) among the peers of `classes`, or else those that
    /// download. The first of a pair has `share` of them, 0 to 1; if that is no half, each is the first once.
    ///
    /// # Errors
    /// Whatever is wrong with the scenario, a profile or a class, or a class that is too small to be divided.
    pub fn load(
        scenario: &str,
        sets: &[String],
        profiles: &[String],
        classes: &[String],
        seeds: &[u64],
        share: f64,
    ) -> Result<Self, TextError> {
        no_seed(sets)?;
        let base = Scenario::load(scenario, sets)?;
        let classes = chosen(&base, classes)?;
        let profiles = profiles.iter().map(|name| Profile::load(name, &[]).map(Arc::new));
        let profiles = profiles.collect::<Result<Vec<_>, _>>()?;
        let names: Vec<String> = profiles.iter().map(|profile| profile.name.clone()).collect();
        let labels = labels(&names);
        let mut pairs = Vec::new();
        // In which order they were named is nobody's advantage.
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|&at| (&names[at], profiles[at].to_toml()));
        for (place, &a) in order.iter().enumerate() {
            for (other, &b) in order.iter().enumerate() {
                if place < other || (place > other && share != 0.5) {
                    let sides = [(&*labels[a], &profiles[a]), (&*labels[b], &profiles[b])];
                    let (first, names) = mixed(&base, &classes, sides, share, false)?;
                    let (second, _) = mixed(&base, &classes, sides, share, true)?;
                    pairs.push(Pair { a, b, swarms: [first.into(), second.into()], sides: names });
                }
            }
        }
        let (scenario, sets, seeds) = (base.name, sets.to_vec(), seeds.to_vec());
        Ok(Self { scenario, sets, classes, share, seeds, labels, pairs })
    }

    /// The runs, of one seed after the other, each of all pairs; their files go to `DIR/A-vs-B/SEED`.
    pub fn jobs(&self, dir: Option<&Path>) -> Vec<Job> {
        let jobs = self.seeds.iter().flat_map(|&seed| {
            self.pairs.iter().map(move |pair| Job {
                scenario: pair.swarms[(seed % 2) as usize].clone(),
                seed,
                sets: self.sets.clone(),
                base: None,
                folder: dir.map(|dir| {
                    let name = format!("{}-vs-{}", self.labels[pair.a], self.labels[pair.b]);
                    dir.join(name).join(seed.to_string())
                }),
            })
        });
        jobs.collect()
    }

    /// Who won: `ran` has the runs of [`jobs`](Self::jobs).
    pub fn judge(&self, ran: &[Ran]) -> Outcome {
        let count = self.pairs.len().max(1);
        let mut pairs = Vec::new();
        // What each policy won, by seed: points and encounters.
        let mut points = vec![vec![(0.0, 0_usize); self.seeds.len()]; self.labels.len()];
        for (at, pair) in self.pairs.iter().enumerate() {
            let runs: Vec<&Ran> = ran.iter().skip(at).step_by(count).collect();
            let medians: Vec<[Option<f64>; 2]> =
                runs.iter().map(|ran| [0, 1].map(|side: usize| median_of(ran, &pair.sides[side]))).collect();
            let mut won = 0.0;
            for (seed, &[a, b]) in medians.iter().enumerate() {
                let point = point(a, b);
                won += point;
                for (who, point) in [(pair.a, point), (pair.b, 1.0 - point)] {
                    points[who][seed].0 += point;
                    points[who][seed].1 += 1;
                }
            }
            let censored = |side: usize| -> u64 {
                let counts = runs.iter().flat_map(|ran| &ran.summary.counts);
                let own = counts.filter(|(class, _)| pair.sides[side].contains(class));
                own.map(|(_, counts)| counts.abandoned + counts.unfinished).sum()
            };
            let both: Vec<(f64, f64)> = medians.iter().filter_map(|[a, b]| (*a).zip(*b)).collect();
            let (a, b): (Vec<f64>, Vec<f64>) = both.iter().copied().unzip();
            let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
            let difference = delta(&some(&a), &some(&b), true);
            let mean_b = stats::mean(&b);
            pairs.push(Met {
                a: self.labels[pair.a].clone(),
                b: self.labels[pair.b].clone(),
                encounters: medians.len(),
                won_by_a: won,
                fraction: won / medians.len().max(1) as f64,
                median_a_s: stats::mean(&a),
                median_b_s: mean_b,
                difference_s: difference,
                relative: difference.zip(mean_b).map(|(found, mean)| found.mean / mean),
                censored_a: censored(0),
                censored_b: censored(1),
            });
        }
        let ps: Vec<f64> = pairs.iter().filter_map(|met| met.difference_s?.p).collect();
        if ps.len() > 1 {
            let mut adjusted = stats::holm(&ps).into_iter();
            let differences = pairs.iter_mut().filter_map(|met| met.difference_s.as_mut());
            differences.filter(|found| found.p.is_some()).for_each(|found| found.p_holm = adjusted.next());
        }
        Outcome {
            schema: output::SCHEMA,
            scenario: self.scenario.clone(),
            sets: self.sets.clone(),
            classes: self.classes.clone(),
            share: self.share,
            seeds: self.seeds.clone(),
            versions: ran.iter().flat_map(|ran| ran.manifest.versions.clone()).collect(),
            ranking: self.ranking(&points),
            pairs,
        }
    }

    fn ranking(&self, points: &[Vec<(f64, usize)>]) -> Vec<Rank> {
        let rank = |(label, seeds): (&String, &Vec<(f64, usize)>)| {
            let encounters = seeds.iter().map(|(_, count)| count).sum();
            let won = seeds.iter().map(|(won, _)| won).sum();
            // The encounters of one seed have something in common: the seed is the unit.
            let by_seed: Vec<f64> = seeds
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(won, count)| won / *count as f64)
                .collect();
            let interval = stats::interval(&by_seed);
            Rank {
                profile: label.clone(),
                encounters,
                won,
                fraction: if encounters > 0 { won / encounters as f64 } else { 0.0 },
                low: interval.map(|found| found.low.max(0.0)),
                high: interval.map(|found| found.high.min(1.0)),
            }
        };
        let mut ranking: Vec<Rank> = self.labels.iter().zip(points).map(rank).collect();
        ranking.sort_by(|a, b| b.fraction.total_cmp(&a.fraction).then_with(|| a.profile.cmp(&b.profile)));
        ranking
    }
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

/// What the first gets of an encounter. Who has no median was too slow for one.
fn point(a: Option<f64>, b: Option<f64>) -> f64 {
    match (a, b) {
        (Some(a), Some(b)) if a == b => 0.5,
        (Some(a), Some(b)) => f64::from(u8::from(a < b)),
        (None, None) => 0.5,
        (a, _) => f64::from(u8::from(a.is_some())),
    }
}

fn median_of(ran: &Ran, classes: &[String]) -> Option<f64> {
    median_time(classes.iter().filter_map(|class| ran.lasted.get(class)).flatten().copied().collect())
}

/// `base` with each of `classes` divided between two profiles, and the names of the classes of each; the second's come
/// first if they are `turned`.
fn mixed(
    base: &Scenario,
    classes: &[String],
    sides: [(&str, &Arc<Profile>); 2],
    share: f64,
    turned: bool,
) -> Result<(Scenario, [Vec<String>; 2]), TextError> {
    let mut names = [Vec::new(), Vec::new()];
    let mut groups: Vec<Group> = Vec::new();
    for group in &base.groups {
        if !classes.contains(&group.name) {
            groups.push(group.clone());
            continue;
        }
        let Some(counts) = divided(group.count, share, turned) else {
            let message =
                format!("class `{}` is too small to be divided: it needs at least 2 peers", group.name);
            return Err(TextError::new(&message));
        };
        let mut both = [0, 1].map(|side: usize| {
            let (label, profile) = sides[side];
            let mut name = class_name(&group.name, label);
            while base.groups.iter().any(|other| other.name == name)
                || names.iter().flatten().any(|other| *other == name)
            {
                name.push('_');
            }
            names[side].push(name.clone());
            let part = if side == 0 { share } else { 1.0 - share };
            let arrives = part_of(&group.arrives, counts[0], side, part);
            Group { name, count: counts[side], profile: profile.clone(), arrives, ..group.clone() }
        });
        if turned {
            both.reverse();
        }
        groups.extend(both);
    }
    Ok((Scenario { groups, ..base.clone() }, names))
}

/// A count divided in two, each at least 1; `None` if it cannot be. No count stays none. If both could have the odd one,
/// the first has it, or the second if they are `turned`.
fn divided(count: Option<u32>, share: f64, turned: bool) -> Option<[Option<u32>; 2]> {
    let Some(count) = count else { return Some([None, None]) };
    if count < 2 {
        return None;
    }
    let part = f64::from(count) * share;
    let down = turned && part - part.floor() == 0.5;
    let first = ((if down { part } else { part + 0.5 }) as u32).clamp(1, count - 1);
    Some([Some(first), Some(count - first)])
}

/// Whose arrivals are those of a part of a group: `first` peers of it are on side 0.
fn part_of(arrives: &Arrivals, first: Option<u32>, side: usize, part: f64) -> Arrivals {
    match arrives {
        Arrivals::At(time) => Arrivals::At(*time),
        Arrivals::Rate(rate) => Arrivals::Rate(rate * part),
        Arrivals::Poisson(rate) => Arrivals::Poisson(rate * part),
        Arrivals::Trace(times) => {
            // Spread evenly: the arrival number i is the first's if that brings it to its part of i + 1.
            let (all, first) = (times.len().max(1) as u64, u64::from(first.unwrap_or(0)));
            let is_first = |at: u64| (at + 1) * first / all > at * first / all;
            let own = times.iter().zip(0_u64..).filter(|(_, at)| is_first(*at) == (side == 0));
            Arrivals::Trace(own.map(|(time, _)| *time).collect())
        }
    }
}

/// The name of the peers of `class` that run `label`.
fn class_name(class: &str, label: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let label: String = label.chars().map(allowed).take(40).collect();
    let class: String = class.chars().take(50).collect();
    format!("{class}-{label}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_faster_one_gets_the_point() {
        let table = [
            (Some(1.0), Some(2.0), 1.0),
            (Some(2.0), Some(1.0), 0.0),
            (Some(1.0), Some(1.0), 0.5),
            (Some(9.0), None, 1.0),
            (None, Some(9.0), 0.0),
            (None, None, 0.5),
        ];
        for (a, b, wanted) in table {
            assert_eq!(point(a, b), wanted, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_group_is_divided_and_so_are_its_arrivals() {
        assert_eq!(divided(Some(31), 0.5, false), Some([Some(16), Some(15)]));
        assert_eq!(divided(Some(31), 0.5, true), Some([Some(15), Some(16)]));
        assert_eq!(divided(Some(30), 0.5, true), Some([Some(15), Some(15)]));
        assert_eq!(divided(Some(10), 0.01, false), Some([Some(1), Some(9)]));
        assert_eq!(divided(None, 0.3, false), Some([None, None]));
        assert_eq!(divided(Some(1), 0.5, false), None);
        let times: Vec<Duration> = (0..10).map(Duration::from_secs).collect();
        let trace = Arrivals::Trace(times);
        let [a, b] = [0, 1].map(|side| match part_of(&trace, Some(4), side, 0.4) {
            Arrivals::Trace(times) => times.into_iter().map(|time| time.as_secs()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        });
        assert_eq!((a, b), (vec![2, 4, 7, 9], vec![0, 1, 3, 5, 6, 8]));
        assert_eq!(part_of(&Arrivals::Poisson(2.0), None, 1, 0.25), Arrivals::Poisson(0.5));
    }

    #[test]
    fn names_of_classes_are_names() {
        assert_eq!(class_name("leecher", "mainline#2"), "leecher-mainline-2");
        assert!(class_name(&"x".repeat(100), &"y".repeat(100)).len() <= 100);
    }
}
