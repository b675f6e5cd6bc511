//! What a run says in single figures, to be compared with other runs and averaged over them.

use std::collections::BTreeMap;

use crate::measure::{METRICS, OVERALL, PeerRow, Summary, metric};
use crate::stats;

/// Figures by name, by scope: `overall`, then each class. A metric stands for its mean under its own name.
pub type Figures = BTreeMap<String, BTreeMap<String, f64>>;

/// The median time to completion of all that came without everything. Those that did not finish count: the time of each
/// is known to be longer than it was there (Kaplan and Meier's estimator). It is not there when too few finished.
pub const MEDIAN_TIME: &str = "completion_time.median";

/// The last time to completion, of those that finished.
const LAST_TIME: &str = "completion_time.max";
/// How many finished, and how many that came without everything did not.
const FINISHED: &str = "finished";
const CENSORED: &str = "censored";

/// How long a peer that came without everything took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lasted {
    /// Seconds from its arrival until it had everything, left, or the run ended.
    pub time_s: f64,
    /// Whether it had everything then.
    pub finished: bool,
}

/// How long each took, by class, but for those that came in the warm-up of the run that `summary` is of.
pub fn lasted(peers: &[PeerRow], summary: &Summary) -> BTreeMap<String, Vec<Lasted>> {
    let mut lasted: BTreeMap<String, Vec<Lasted>> = BTreeMap::new();
    // Who had everything from the start did not come without it.
    for peer in
        peers.iter().filter(|peer| !peer.is_initial_seed() && peer.counts_from(summary.counted_from()))
    {
        let until = peer.completed_s.or(peer.left_s).unwrap_or(summary.end_s);
        let one = Lasted { time_s: until - peer.arrived_s, finished: peer.completed_s.is_some() };
        lasted.entry(peer.class.clone()).or_default().push(one);
    }
    lasted
}

/// The figures of a run.
pub fn figures(summary: &Summary, lasted: &BTreeMap<String, Vec<Lasted>>) -> Figures {
    let mut all = Figures::new();
    let classes = summary.classes.iter().map(|(name, metrics)| (name.as_str(), metrics));
    for (scope, metrics) in classes.chain([(OVERALL, &summary.overall)]) {
        let mut own: BTreeMap<String, f64> =
            metrics.iter().map(|(name, dist)| (name.clone(), dist.mean)).collect();
        let of_scope = lasted.iter().filter(|(class, _)| scope == OVERALL || *class == scope);
        let leechers: Vec<Lasted> = of_scope.flat_map(|(_, lasted)| lasted).copied().collect();
        let finished = leechers.iter().filter(|one| one.finished).count();
        if !leechers.is_empty() {
            own.insert(FINISHED.to_owned(), finished as f64);
            own.insert(CENSORED.to_owned(), (leechers.len() - finished) as f64);
        }
        let times = metrics.get("completion_time");
        own.extend(median_time(leechers).map(|median| (MEDIAN_TIME.to_owned(), median)));
        own.extend(times.map(|times| (LAST_TIME.to_owned(), times.max)));
        all.insert(scope.to_owned(), own);
    }
    all
}

/// The median time until they had everything, where those that did not finish lasted longer than it is known: of those
/// that lasted so long, the part that is done at each moment gives the part of all that is done ("Nonparametric
/// estimation from incomplete observations", 1958). When all finished it is their median; `None` if too few did.
pub fn median_time(mut lasted: Vec<Lasted>) -> Option<f64> {
    if lasted.iter().all(|one| one.finished) {
        return stats::median(&lasted.iter().map(|one| one.time_s).collect::<Vec<_>>());
    }
    lasted.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    let (mut lacking, mut at) = (1.0, 0);
    // A product of fractions that is one half is so but for its last digits.
    const DIGITS: f64 = 1e-9;
    let mut half = None;
    for same in lasted.chunk_by(|a, b| a.time_s == b.time_s) {
        let done = same.iter().filter(|one| one.finished).count();
        lacking *= 1.0 - done as f64 / (lasted.len() - at) as f64;
        match half {
            // As with an even number of which none is missing: between the two in the middle.
            Some(half) if done > 0 => return Some((half + same[0].time_s) / 2.0),
            Some(_) => {}
            None if lacking < 0.5 - DIGITS => return Some(same[0].time_s),
            None if lacking <= 0.5 + DIGITS => half = Some(same[0].time_s),
            None => {}
        }
        at += same.len();
    }
    half
}

/// Where a figure stands in tables: in the order of the metrics, and what counts peers after the completion time.
pub fn place(name: &str) -> (usize, &str) {
    let of = name.split('.').next().unwrap_or(name);
    let known = METRICS.iter().position(|metric| metric.name == of);
    match name {
        FINISHED | CENSORED => (0, "completion_time.z"),
        _ => (known.unwrap_or(METRICS.len()), name),
    }
}

/// The unit of a figure.
pub fn unit(name: &str) -> &'static str {
    metric(name.split('.').next().unwrap_or(name)).map_or("1", |metric| metric.unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Dist;

    fn peer(class: &str, arrived: f64, completed: Option<f64>, left: Option<f64>) -> PeerRow {
        let class = class.to_owned();
        PeerRow { class, arrived_s: arrived, completed_s: completed, left_s: left, ..PeerRow::default() }
    }

    #[test]
    fn who_did_not_finish_counts_in_the_median() {
        // By hand: at 1 s 1 of 5 is done, 4/5 lack; one leaves at 2 s; at 3 s 1 of 3, 8/15 lack; at 4 s
        // 1 of 2, 4/15 lack: the median is 4 s.
        let peers = [
            peer("a", 0.0, Some(1.0), None),
            peer("a", 10.0, None, Some(12.0)),
            peer("a", 10.0, Some(13.0), None),
            peer("a", 0.0, Some(4.0), Some(4.0)),
            peer("a", 1.0, None, None),
        ];
        let summary = Summary { end_s: 100.0, ..Summary::default() };
        let median = |peers: &[PeerRow]| median_time(lasted(peers, &summary).remove("a").unwrap());
        assert_eq!(median(&peers), Some(4.0));
        // As if each of the unfinished were slower than any, once all of them were there for longer.
        assert_eq!(median(&peers[3..]), Some(4.0));
        assert_eq!(median(&peers[4..]), None);
    }

    #[test]
    fn a_summary_in_single_figures() {
        let dist = Dist { n: 2, mean: 5.0, median: 4.0, p5: 1.0, p95: 8.0, max: 9.0 };
        let mut summary = Summary::default();
        let times = BTreeMap::from([("completion_time".to_owned(), dist)]);
        summary.overall = times.clone();
        summary.classes = BTreeMap::from([("a".to_owned(), times), ("seed".to_owned(), BTreeMap::new())]);
        let peers = [
            peer("seed", 0.0, Some(0.0), None),
            peer("a", 0.0, Some(1.0), None),
            peer("a", 0.0, Some(9.0), None),
        ];
        let found = figures(&summary, &lasted(&peers, &summary));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "overall", "seed"]);
        assert!(found["seed"].is_empty());
        let overall: Vec<(&str, f64)> =
            found["overall"].iter().map(|(name, &value)| (&**name, value)).collect();
        assert_eq!(
            overall,
            [
                ("censored", 0.0),
                ("completion_time", 5.0),
                ("completion_time.max", 9.0),
                (MEDIAN_TIME, 5.0),
                ("finished", 2.0)
            ]
        );
    }

    #[test]
    fn figures_stand_in_the_order_of_metrics() {
        let mut names =
            ["wasted_bytes", "censored", "tomorrow", "completion_time.max", "link_time", "completion_time"];
        names.sort_by_key(|name| place(name));
        assert_eq!(
            names,
            ["completion_time", "completion_time.max", "censored", "link_time", "wasted_bytes", "tomorrow"]
        );
        assert_eq!((unit(MEDIAN_TIME), unit("censored")), ("s", "1"));
    }
}
