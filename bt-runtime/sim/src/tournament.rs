//! Tournaments: every policy against every other in mixed swarms.
//!
//! For each pair and each seed the peers that download are divided between the two, class by class, and the policy whose
//! peers have the lower median completion time wins that encounter ("Design space analysis for modeling incentives in
//! distributed systems", Rahman et al., SIGCOMM 2011).

mod outcome;
mod swarms;

use std::path::Path;
use std::sync::Arc;

use bt_runtime::{Profile, TextError};

use crate::Scenario;
use crate::compare::{chosen, delta, labels, no_seed};
use crate::output;
use crate::replicate::{Job, Ran, median_time};
use crate::stats;

pub use outcome::{Met, Outcome, Rank, TOURNAMENT_CSV, TOURNAMENT_JSON};
use swarms::mixed;

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

impl Tournament {
    /// Prepares the tournament of `profiles` (paths or shipped names) among the peers of `classes`, or else those that
    /// are to be compared. The first of a pair has `share` of them, 0 to 1; if that is no half, each is the first once.
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
            self.pairs.iter().map(move |pair| {
                let (a, b) = (&self.labels[pair.a], &self.labels[pair.b]);
                Job {
                    what: format!("{} with {a} against {b}", self.scenario),
                    scenario: pair.swarms[(seed % 2) as usize].clone(),
                    seed,
                    sets: self.sets.clone(),
                    base: None,
                    folder: dir.map(|dir| dir.join(format!("{a}-vs-{b}")).join(seed.to_string())),
                }
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

#[cfg(test)]
mod tests {
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
}
