//! The steady part of a run in which peers go on arriving: the start, in which the swarm fills up, is cut off.
//!
//! Everything is worked out from what the files of a run have, so that the cut can be made again elsewhere: runs that
//! are compared are all cut where the slowest of them is steady.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::dist::Dist;
use super::figures::{CAPACITIES, Counts, Measured, OVERALL, PeerRow, SeriesRow};
use super::finish::{distributions, fairness, freerider_gain, single};
use super::metrics::{METRICS, Of};
use crate::scenario::WarmUp;
use crate::stats::{mean, steady};

/// What is kept as a sum over the whole run, and stays that.
const WHOLE_RUN: [&str; 7] = [
    "clustering_index",
    "clustering_index_bytes",
    "clustering_share",
    "stratification_distance",
    "stratification_random",
    "reciprocation",
    "seed_copies",
];

/// What was cut off at the start of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Its end, in simulated seconds: what happened before does not count, nor does who came before.
    pub until_s: f64,
    /// What said where to cut this run.
    pub rule: Rule,
    /// What that said. Runs that are compared are all cut at the latest of these, for the same peers to count in each.
    pub own_s: f64,
    /// Peers that came without everything in what was cut off.
    pub peers: u64,
    /// How much larger the population was on average in the second half of what is left than in the first, as a part of
    /// it: far from 0, and the run is not steady.
    pub drift: Option<f64>,
    /// Figures that are nevertheless of the whole run: they are sums that cannot be divided afterwards.
    pub whole_run: Vec<String>,
}

/// What says where to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The scenario gives the time.
    Given,
    /// MSER-5 on the numbers of leechers and of seeds that are present: the later of the two.
    #[serde(rename = "mser-5")]
    Mser5,
    /// That rule found no steady part in the first half, as far as it may look: the half is cut off, and the run is too
    /// short.
    Half,
}

impl fmt::Display for Cut {
    /// As a sentence for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { until_s, rule, own_s, peers, drift, .. } = self;
        let rule = match rule {
            Rule::Given => "as the scenario says",
            Rule::Mser5 => "MSER-5",
            Rule::Half => "the half: it was not steady by then, a longer run is needed",
        };
        write!(f, "the first {until_s:.0} s are left out ({rule}")?;
        if own_s != until_s {
            write!(f, " {own_s:.0} s; as long as in any run compared")?;
        }
        write!(f, "), with {peers} peers that came in them")?;
        drift.map_or(Ok(()), |drift| {
            write!(f, "; in the second half of the rest the population is {:+.1} %", drift * 100.0)
        })
    }
}

impl Measured {
    /// Cuts off the warm-up as the scenario wants it.
    pub fn cut(&mut self, warm_up: WarmUp) {
        let (rule, own_s) = match warm_up {
            WarmUp::None => return,
            WarmUp::For(time) => (Rule::Given, time.as_secs_f64()),
            WarmUp::Auto => self.steady_from(),
        };
        self.cut_at(rule, own_s, own_s);
    }

    /// Where the population is steady.
    fn steady_from(&self) -> (Rule, f64) {
        let cut = |metric: &str| {
            let series: Vec<(f64, f64)> = self.course(OVERALL, metric).collect();
            // The last row is at the end of the run, not at the end of an interval.
            let even = &series[..series.len().saturating_sub(1)];
            let values: Vec<f64> = even.iter().map(|(_, value)| *value).collect();
            steady::warm_up(&values).map(|at| even[at].0)
        };
        match cut("leechers").zip(cut("seeds")) {
            Some((leechers, seeds)) => (Rule::Mser5, leechers.max(seeds)),
            None => (Rule::Half, self.summary.end_s / 2.0),
        }
    }

    /// Leaves out of all figures what was before `until_s`, where `rule` said `own_s` of this run. What was left out
    /// before comes in again.
    pub(crate) fn cut_at(&mut self, rule: Rule, own_s: f64, until_s: f64) {
        let moments: Vec<f64> = self.course(OVERALL, "leechers").map(|(t, _)| t).collect();
        let after = After { until_s, moments: &moments };
        let later: Vec<&PeerRow> = self.peers.iter().filter(|row| row.counts_from(until_s)).collect();
        let leechers: Vec<&PeerRow> = later.iter().copied().filter(|row| !row.is_initial_seed()).collect();
        let classes: Vec<String> = self.summary.classes.keys().cloned().collect();
        let before = std::mem::take(&mut self.summary.overall);
        let mut overall = self.figures(OVERALL, &leechers, before, &after);
        single(&mut overall, "freerider_gain", freerider_gain(&later));
        for class in &classes {
            let rows: Vec<&PeerRow> = later.iter().copied().filter(|row| row.class == *class).collect();
            let before = self.summary.classes.remove(class).unwrap_or_default();
            let figures = self.figures(class, &rows, before, &after);
            let counts = count(self.peers.iter().filter(|row| row.class == *class), until_s);
            self.summary.classes.insert(class.clone(), figures);
            self.summary.counts.insert(class.clone(), counts);
        }
        let all = count(self.peers.iter(), until_s);
        let has = |name: &&str| {
            let mut scopes = self.summary.classes.values().chain([&overall]);
            scopes.any(|figures| figures.contains_key(*name))
        };
        let whole_run = WHOLE_RUN.iter().filter(|name| has(name)).map(|&name| name.to_owned()).collect();
        self.summary.warm_up =
            Some(Cut { until_s, rule, own_s, peers: all.warm_up, drift: self.drift(until_s), whole_run });
        self.summary.overall = overall;
        (self.summary.finished, self.summary.censored) = (all.finished, all.abandoned + all.unfinished);
    }

    /// The figures of a scope, of these peers and of what is left; of the whole run is what `before` has.
    fn figures(
        &self,
        scope: &str,
        rows: &[&PeerRow],
        before: BTreeMap<String, Dist>,
        after: &After<'_>,
    ) -> BTreeMap<String, Dist> {
        let had = |name: &str| before.contains_key(name);
        let mut figures = distributions(rows);
        for metric in METRICS.iter().filter(|metric| metric.of == Of::Time) {
            let over_time = capacity_of(metric.name).is_some();
            let left = self.course(scope, metric.name).filter(|(t, _)| match over_time {
                true => after.last_moment(*t) >= after.until_s,
                false => *t >= after.until_s,
            });
            let values: Vec<f64> = left.map(|(_, value)| value).collect();
            if let Some(mut dist) = Dist::of(&values) {
                dist.mean = self.used(scope, metric.name, after).unwrap_or(dist.mean);
                figures.insert(metric.name.to_owned(), dist);
            }
        }
        fairness(&mut figures, rows);
        if had("seed_share") {
            let down: f64 = rows.iter().map(|row| row.downloaded_bytes as f64).sum();
            let from_seeds: f64 = rows.iter().filter_map(|row| row.metrics.get("seed_bytes")).sum();
            single(&mut figures, "seed_share", (down > 0.0).then(|| from_seeds / down));
        }
        figures.extend(before.into_iter().filter(|(name, _)| WHOLE_RUN.contains(&name.as_str())));
        figures
    }

    /// A series: times and values.
    fn course<'a>(&'a self, scope: &'a str, metric: &'a str) -> impl Iterator<Item = (f64, f64)> + 'a {
        let is = move |row: &&SeriesRow| row.scope == scope && row.metric == metric;
        self.series.iter().filter(is).map(|row| (row.t, row.value))
    }

    /// The part of the capacity that was used in what is left; `None` of what is no utilisation.
    fn used(&self, scope: &str, metric: &str, after: &After<'_>) -> Option<f64> {
        let capacities = self.course(scope, capacity_of(metric)?);
        let (mut used, mut could) = (0.0, 0.0);
        for ((t, part), (_, capacity)) in self.course(scope, metric).zip(capacities) {
            let since = after.last_moment(t);
            if since >= after.until_s {
                could += capacity * (t - since);
                used += part * capacity * (t - since);
            }
        }
        (could > 0.0).then(|| used / could)
    }

    fn drift(&self, until_s: f64) -> Option<f64> {
        let seeds: Vec<(f64, f64)> = self.course(OVERALL, "seeds").collect();
        let both = self.course(OVERALL, "leechers").zip(seeds);
        let present: Vec<f64> = both
            .filter(|((t, _), _)| *t >= until_s)
            .map(|((_, leechers), (_, seeds))| leechers + seeds)
            .collect();
        let (first, second) = present.split_at(present.len() / 2);
        let first = mean(first).filter(|mean| *mean > 0.0)?;
        Some(mean(second)? / first - 1.0)
    }
}

/// What is left of a run.
struct After<'a> {
    until_s: f64,
    /// The times of all rows of a series that has one at each.
    moments: &'a [f64],
}

impl After<'_> {
    /// The moment before `t`: from then on is counted what a utilisation at `t` counts.
    fn last_moment(&self, t: f64) -> f64 {
        let next = self.moments.partition_point(|moment| *moment < t);
        next.checked_sub(1).map_or(0.0, |last| self.moments[last])
    }
}

fn capacity_of(metric: &str) -> Option<&'static str> {
    CAPACITIES.iter().find(|(name, _)| *name == metric).map(|(_, capacity)| *capacity)
}

fn count<'a>(rows: impl Iterator<Item = &'a PeerRow>, until_s: f64) -> Counts {
    let mut counts = Counts::default();
    for row in rows {
        counts.peers += 1;
        match (row.completed_s, row.left_s) {
            _ if row.is_initial_seed() => counts.initial_seeds += 1,
            _ if !row.counts_from(until_s) => counts.warm_up += 1,
            (Some(_), _) => counts.finished += 1,
            (None, Some(_)) => counts.abandoned += 1,
            (None, None) => counts.unfinished += 1,
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::Summary;

    fn peer(arrived_s: f64, completed_s: Option<f64>, left_s: Option<f64>) -> PeerRow {
        let time = completed_s.filter(|_| arrived_s > 0.0).map(|completed| completed - arrived_s);
        let metrics = time.map(|time| ("completion_time".to_owned(), time)).into_iter().collect();
        PeerRow { class: "a".to_owned(), arrived_s, completed_s, left_s, metrics, ..PeerRow::default() }
    }

    /// A population that grows for 100 s and is 20 leechers and a seed from then on, of 500 s.
    fn run(peers: Vec<PeerRow>) -> Measured {
        let mut series = Vec::new();
        let mut add = |t: u32, metric: &str, value: f64| {
            let (scope, metric) = (OVERALL.to_owned(), metric.to_owned());
            series.push(SeriesRow { t: t.into(), scope, metric, value });
        };
        let rows = || (0..=500_u32).step_by(5);
        rows().for_each(|t| add(t, "leechers", f64::from(t.min(100)) / 5.0));
        rows().for_each(|t| add(t, "seeds", 1.0));
        // Of 1 kB/s a tenth until 300 s, then of 3 kB/s all.
        rows().skip(1).for_each(|t| add(t, "upload_utilization", if t <= 300 { 0.1 } else { 1.0 }));
        rows().skip(1).for_each(|t| add(t, "upload_capacity", if t <= 300 { 1000.0 } else { 3000.0 }));
        let classes = BTreeMap::from([("a".to_owned(), BTreeMap::new())]);
        let overall = BTreeMap::from([("reciprocation".to_owned(), Dist::single(0.5))]);
        let summary = Summary { end_s: 500.0, classes, overall, ..Summary::default() };
        Measured { summary, peers, series, choke_matrix: Vec::new() }
    }

    #[test]
    fn what_came_in_the_warm_up_is_counted_and_no_more() {
        let peers = vec![
            peer(0.0, Some(0.0), None),
            peer(1.0, Some(400.0), None),
            peer(99.0, None, Some(150.0)),
            peer(150.0, Some(160.0), None),
            peer(250.0, Some(270.0), Some(300.0)),
            peer(260.0, None, Some(280.0)),
            peer(490.0, None, None),
        ];
        let mut measured = run(peers);
        measured.cut(WarmUp::Auto);
        let summary = &measured.summary;
        let cut = summary.warm_up.as_ref().unwrap();
        assert!((100.0..=130.0).contains(&cut.until_s) && cut.rule == Rule::Mser5, "{cut:?}");
        assert_eq!((cut.own_s, cut.peers, cut.drift), (cut.until_s, 2, Some(0.0)));
        assert_eq!((summary.finished, summary.censored), (2, 2));
        let wanted =
            Counts { peers: 7, initial_seeds: 1, warm_up: 2, finished: 2, abandoned: 1, unfinished: 1 };
        assert_eq!(summary.counts["a"], wanted);
        assert_eq!(summary.overall["completion_time"].mean, 15.0);
        assert_eq!(summary.overall["leechers"].mean, 20.0);
        assert_eq!(
            (summary.overall["reciprocation"].mean, &cut.whole_run[..]),
            (0.5, &["reciprocation".to_owned()][..])
        );
    }

    #[test]
    fn what_is_used_is_weighed_by_what_could_be_and_a_cut_can_be_made_again() {
        let mut measured = run(vec![peer(250.0, Some(270.0), None)]);
        measured.cut(WarmUp::For(Duration::from_secs(203)));
        // From the next row on, at 205 s: 95 s at a tenth of 1 kB/s, 200 s of 3 kB/s.
        let used = (95.0 * 100.0 + 200.0 * 3000.0) / (95.0 * 1000.0 + 200.0 * 3000.0);
        let found = measured.summary.overall["upload_utilization"];
        assert!((found.mean - used).abs() < 1e-12 && found.n == 59, "{found:?}");
        let first = measured.clone();
        measured.cut_at(Rule::Given, 203.0, 400.0);
        assert_eq!(measured.summary.overall["upload_utilization"].mean, 1.0);
        assert_eq!((measured.summary.finished, measured.summary.warm_up.as_ref().unwrap().peers), (0, 1));
        measured.cut_at(Rule::Given, 203.0, 203.0);
        assert_eq!(measured, first);
        measured.cut(WarmUp::None);
        assert_eq!(measured, first);
    }

    #[test]
    fn what_grows_all_the_time_is_cut_in_half_and_says_so() {
        let mut measured = run(vec![]);
        for row in measured.series.iter_mut().filter(|row| row.metric == "leechers") {
            row.value = row.t;
        }
        measured.cut(WarmUp::Auto);
        let cut = measured.summary.warm_up.unwrap();
        assert_eq!((cut.rule, cut.until_s), (Rule::Half, 250.0));
        assert!(cut.drift > Some(0.3) && cut.to_string().contains("a longer run is needed"), "{cut}");
    }
}
