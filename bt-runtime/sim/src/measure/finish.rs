//! The figures of a run that is over.

use std::collections::BTreeMap;

use bt_api::Instant;

use super::dist::Dist;
use super::figures::{CAPACITIES, Counts, Measured, OVERALL, PairRow, PeerRow, SeriesRow, Summary};
use super::metrics::{METRICS, Of};
use super::population::{Link, Sample, Totals};
use super::state::{NOBODY, Node};
use super::{CLIENT, Measures};
use crate::stats::{jain, quantile};

/// Nanoseconds in a second.
const SECOND: f64 = 1e9;

impl Measures {
    /// Ends the run at `now`. `bound_s` is the least time in which anybody could serve everybody, counted from the
    /// first arrival in seconds, where the scenario has such a bound.
    pub fn finish(mut self, now: Instant, bound_s: Option<f64>) -> Measured {
        let end = now.as_nanos();
        self.population.end(end);
        for at in 0..self.nodes.len() {
            if self.nodes[at].left.is_none() {
                self.nodes[at].rounds.advance(end);
            }
            for slot in self.open(at) {
                self.settle(end, at, slot);
                self.note_interest(end, at, slot);
                let conn = self.conns[slot as usize];
                if conn.serving {
                    self.nodes[at].unchoked_for += end.saturating_sub(conn.unchoked_at);
                }
            }
        }
        let whole = !self.strangers && !self.mixed && self.content.is_some();
        let known: Vec<usize> = (0..self.nodes.len()).filter(|&at| self.nodes[at].known).collect();
        let peers: Vec<PeerRow> = known.iter().map(|&at| self.row(at, end, bound_s, whole)).collect();
        let summary = self.summary(&peers, &known, now, bound_s, whole);
        let series = self.series(whole);
        Measured { summary, peers, series, choke_matrix: if whole { self.matrix() } else { Vec::new() } }
    }

    fn class(&self, node: &Node) -> &str {
        self.classes.get(node.class as usize).map_or(CLIENT, String::as_str)
    }

    /// The figures of one peer.
    fn row(&mut self, at: usize, end: u64, bound_s: Option<f64>, whole: bool) -> PeerRow {
        self.nodes[at].interest.sort_by(f64::total_cmp);
        let node = &self.nodes[at];
        let seconds = |nanos: u64| nanos as f64 / SECOND;
        let ratio = |a: f64, b: f64| (b > 0.0).then(|| a / b);
        let (up, down) = (node.uploaded as f64, node.downloaded as f64);
        // Of a peer that had everything, what is about downloading is not defined.
        let leecher = |value: Option<f64>| value.filter(|_| !node.initial);
        let time = leecher(node.completed.map(|completed| seconds(completed.saturating_sub(node.arrived))));
        let few = time.filter(|_| node.missing_pieces > 0);
        let since_arrival = |at: Option<u64>| leecher(at.map(|at| seconds(at.saturating_sub(node.arrived))));
        let link_time = node.down.map(|link| node.missing as f64 / link as f64);
        let link_time = time.and_then(|time| ratio(time, link_time?));
        let leeched = seconds(node.leeched_for(end));
        let of_link = |bytes: u64, link: Option<u64>| leecher(ratio(bytes as f64, link? as f64 * leeched));
        let last_k = node.last_k.or(Some(node.arrived));
        let in_swarm = |value: f64| leecher(Some(value)).filter(|_| whole);
        let interest = |p| quantile(&node.interest, p);
        let payload = (node.uploaded + node.downloaded + node.duplicate) as f64;
        // What each is, is in `METRICS`.
        let values = [
            ("completion_time", time),
            ("normalized_time", time.and_then(|time| ratio(time, bound_s?)).or(link_time)),
            ("link_time", link_time),
            ("download_rate", time.and_then(|time| ratio(node.missing as f64, time))),
            ("share_ratio", leecher(ratio(up, down))),
            ("normalized_upload", ratio(up, node.total as f64)),
            ("altruism", leecher(ratio(up - down, up))),
            ("peer_upload_utilization", of_link(node.uploaded_as_leecher, node.up)),
            ("peer_download_utilization", of_link(node.downloaded_as_leecher, node.down)),
            ("service_error", in_swarm(node.worst_balance as f64)),
            ("pair_imbalance", in_swarm(node.worst_pair as f64)),
            ("proportionality", node.exchanges.mean().and_then(in_swarm)),
            ("seed_bytes", in_swarm(node.from_seeds as f64)),
            ("first_block", since_arrival(node.first_block)),
            ("first_piece", since_arrival(node.first_piece)),
            ("first_k_pieces", few.and_then(|time| ratio(since_arrival(node.first_k)?, time))),
            ("last_k_pieces", few.and_then(|time| ratio(time - since_arrival(last_k)?, time))),
            ("interest_ratio_p20", interest(0.2)),
            ("interest_ratio_p50", interest(0.5)),
            ("interest_ratio_p80", interest(0.8)),
            ("unchoke_time", ratio(seconds(node.unchoked_for), node.unchokes as f64)),
            ("unchokes_per_minute", ratio(node.unchokes as f64 * 60.0, seconds(node.present_for(end)))),
            ("slot_jaccard", node.rounds.mean()),
            ("fibrillation", Some(node.fibrillation as f64)),
            ("overhead", ratio(node.overhead as f64, payload)),
            ("have_messages", Some(node.haves as f64)),
            ("request_messages", Some(node.requests as f64)),
            ("choke_messages", Some(node.chokes as f64)),
            ("duplicate_bytes", Some(node.duplicate as f64)),
            ("wasted_bytes", Some((node.duplicate + node.failed) as f64)),
        ];
        let metrics = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        PeerRow {
            peer: at as u32,
            class: self.class(node).to_owned(),
            arrived_s: seconds(node.arrived),
            completed_s: node.completed.map(seconds),
            left_s: node.left.map(seconds),
            uploaded_bytes: node.uploaded,
            downloaded_bytes: node.downloaded,
            wasted_bytes: node.duplicate + node.failed,
            metrics: metrics.collect(),
        }
    }

    fn summary(
        &self,
        peers: &[PeerRow],
        known: &[usize],
        now: Instant,
        bound_s: Option<f64>,
        whole: bool,
    ) -> Summary {
        let mut summary = Summary { bound_s, end_s: now.as_secs_f64(), ..Summary::default() };
        let nodes = |class: Option<u32>| {
            known
                .iter()
                .map(|&at| &self.nodes[at])
                .filter(move |node| class.is_none_or(|class| node.class == class))
        };
        let leechers: Vec<&PeerRow> =
            known.iter().zip(peers).filter(|(at, _)| !self.nodes[**at].initial).map(|(_, row)| row).collect();
        summary.overall = distributions(&leechers);
        self.over_time(&mut summary.overall, 0, whole);
        self.of_the_run(&mut summary.overall, &leechers, nodes(None), whole);
        for (class, name) in self.classes.iter().enumerate() {
            let rows: Vec<&PeerRow> = peers.iter().filter(|row| row.class == *name).collect();
            let mut figures = distributions(&rows);
            self.over_time(&mut figures, class + 1, false);
            self.of_the_run(&mut figures, &rows, nodes(Some(class as u32)), whole);
            let counts = counts(nodes(Some(class as u32)));
            // Peers that come with everything have no use for each other.
            if whole && counts.peers > counts.initial_seeds {
                self.clustering(&mut figures, class);
            }
            summary.classes.insert(name.clone(), figures);
            summary.counts.insert(name.clone(), counts);
        }
        if whole {
            self.stratification(&mut summary.overall, nodes(None));
            let content = self.content.map_or(0, |content| content.0) as f64;
            let seed_bytes = self.seed_bytes_at_first.unwrap_or(self.by_initial_seeds) as f64;
            single(&mut summary.overall, "seed_copies", (content > 0.0).then(|| seed_bytes / content));
        }
        let all: Vec<&PeerRow> = peers.iter().collect();
        single(&mut summary.overall, "freerider_gain", freerider_gain(&all));
        let all = counts(nodes(None));
        (summary.finished, summary.censored) = (all.finished, all.abandoned + all.unfinished);
        let first = nodes(None).map(|node| node.arrived).min().unwrap_or(0);
        let last = nodes(None).filter(|node| !node.initial).filter_map(|node| node.completed).max();
        summary.bound_ratio = last
            .filter(|_| summary.censored == 0)
            .map(|last| last.saturating_sub(first) as f64 / SECOND)
            .and_then(|time| bound_s.filter(|bound| *bound > 0.0).map(|bound| time / bound));
        let playhead = "the event log has no playhead";
        for name in ["startup_delay", "stall_count", "continuity"] {
            summary.left_out.insert(name.to_owned(), playhead.to_owned());
        }
        if !whole {
            let why = match (self.strangers, self.mixed) {
                (true, _) => "the log has not the events of every peer",
                (_, true) => "the peers have different content",
                _ => "no peer says what it joined",
            };
            for metric in METRICS.iter().filter(|metric| metric.swarm) {
                summary.left_out.insert(metric.name.to_owned(), why.to_owned());
            }
        }
        summary
    }

    /// The metrics of time of a scope.
    fn over_time(&self, figures: &mut BTreeMap<String, Dist>, scope: usize, copies: bool) {
        for metric in METRICS.iter().filter(|metric| metric.of == Of::Time && (copies || !metric.swarm)) {
            let values = self.values_over_time(metric.name, scope);
            let values: Vec<f64> = values.into_iter().map(|(_, value)| value).collect();
            if let Some(mut dist) = Dist::of(&values) {
                // Over all time, exactly, where there are sums of it.
                let whole = self.population.samples.last().map(|last| last.scopes[scope]);
                let whole = whole.and_then(|all| used(metric.name, &all, &Totals::default()));
                dist.mean = whole.unwrap_or(dist.mean);
                figures.insert(metric.name.to_owned(), dist);
            }
        }
    }

    /// A metric of time at each sample at which it is defined.
    fn values_over_time(&self, metric: &str, scope: usize) -> Vec<(f64, f64)> {
        let none = Totals::default();
        let of = |sample: &Sample| sample.scopes.get(scope).copied().unwrap_or(none);
        let (mut before, mut since) = (none, 0);
        let mut values = Vec::new();
        for sample in &self.population.samples {
            let now = of(sample);
            let copies = sample.copies.filter(|_| now.leechers > 0);
            let value = match metric {
                "leechers" => Some(f64::from(now.leechers)),
                "seeds" => Some(f64::from(now.seeds)),
                "completed" => Some(f64::from(now.completed)),
                "availability_min" => copies.map(|copies| copies.min),
                "availability_mean" => copies.map(|copies| copies.mean),
                "distributed_copies" => copies.map(|copies| copies.distributed),
                "entropy" => copies.and_then(|copies| copies.entropy),
                name if CAPACITIES.iter().any(|(_, capacity)| *capacity == name) => link(name, &now)
                    .zip(link(name, &before))
                    .and_then(|(now, before)| now.capacity_since(before, sample.at - since)),
                name => used(name, &now, &before),
            };
            values.extend(value.map(|value| (sample.at as f64 / SECOND, value)));
            (before, since) = (now, sample.at);
        }
        values
    }

    /// The metrics of the run that a class has as well as all.
    fn of_the_run<'a>(
        &self,
        figures: &mut BTreeMap<String, Dist>,
        rows: &[&PeerRow],
        nodes: impl Iterator<Item = &'a Node>,
        whole: bool,
    ) {
        fairness(figures, rows);
        if !whole {
            return;
        }
        let (mut mutual, mut from_leechers, mut from_seeds) = (0.0, 0.0, 0.0);
        for node in nodes {
            mutual += node.mutual as f64;
            from_leechers += node.from_leechers as f64;
            from_seeds += node.from_seeds as f64;
        }
        let all = from_leechers + from_seeds;
        single(figures, "reciprocation", (from_leechers > 0.0).then(|| mutual / from_leechers));
        single(figures, "seed_share", (all > 0.0).then(|| from_seeds / all));
    }

    fn clustering(&self, figures: &mut BTreeMap<String, Dist>, class: usize) {
        let row = &self.pairs[class];
        let part = |of: &dyn Fn(&super::Pair) -> u64| {
            let sum: f64 = row.iter().map(|pair| of(pair) as f64).sum();
            (sum > 0.0).then(|| of(&row[class]) as f64 / sum)
        };
        single(figures, "clustering_index", part(&|pair| pair.served));
        single(figures, "clustering_index_bytes", part(&|pair| pair.bytes));
        single(figures, "clustering_share", part(&|pair| pair.interested));
    }

    /// Ranks by uplink among all that came without everything; equal uplinks share the middle of their ranks.
    fn stratification<'a>(
        &self,
        figures: &mut BTreeMap<String, Dist>,
        nodes: impl Iterator<Item = &'a Node>,
    ) {
        let mut count = vec![0_u64; self.capacities.len()];
        for node in nodes.filter(|node| !node.initial && node.capacity != NOBODY) {
            count[node.capacity as usize] += 1;
        }
        let (mut rank, mut below) = (vec![0.0; count.len()], 0);
        for &capacity in self.capacities.values() {
            let here = count[capacity as usize];
            rank[capacity as usize] = below as f64 + (here as f64 + 1.0) / 2.0;
            below += here;
        }
        let distance = |a: usize, b: usize| {
            let distance: f64 = rank[a] - rank[b];
            distance.abs()
        };
        let (mut sum, mut time) = (0.0, 0.0);
        for (&(a, b), &nanos) in &self.mutual {
            sum += distance(a as usize, b as usize) * nanos as f64;
            time += nanos as f64;
        }
        single(figures, "stratification_distance", (time > 0.0).then(|| sum / time));
        // Over all ordered pairs, from the lowest rank up: sum of |a - b| by running sums.
        let (mut seen, mut ranks, mut sum) = (0.0, 0.0, 0.0);
        for &capacity in self.capacities.values() {
            let (here, rank) = (count[capacity as usize] as f64, rank[capacity as usize]);
            sum += 2.0 * here * (seen * rank - ranks);
            seen += here;
            ranks += here * rank;
        }
        let pairs = seen * (seen - 1.0);
        single(figures, "stratification_random", (pairs > 0.0).then(|| sum / pairs));
    }

    fn series(&self, whole: bool) -> Vec<SeriesRow> {
        let mut rows = Vec::new();
        let over_time = METRICS.iter().filter(|metric| metric.of == Of::Time);
        let metrics = over_time.map(|metric| (metric.name, metric.swarm)).chain([("completed", false)]);
        let metrics: Vec<_> = metrics.chain(CAPACITIES.map(|(_, capacity)| (capacity, false))).collect();
        for scope in 0..self.population.scopes.len() {
            let name = if scope == 0 { OVERALL } else { &self.classes[scope - 1] };
            // What the swarm holds is not divided by class.
            for &(metric, _) in metrics.iter().filter(|(_, swarm)| !swarm || (whole && scope == 0)) {
                rows.extend(self.values_over_time(metric, scope).into_iter().map(|(t, value)| SeriesRow {
                    t,
                    scope: name.to_owned(),
                    metric: metric.to_owned(),
                    value,
                }));
            }
        }
        rows
    }

    fn matrix(&self) -> Vec<PairRow> {
        let mut rows = Vec::new();
        for (from, pairs) in self.pairs.iter().enumerate() {
            let interested: f64 = pairs.iter().map(|pair| pair.interested as f64).sum();
            rows.extend(pairs.iter().enumerate().map(|(to, pair)| PairRow {
                from: self.classes[from].clone(),
                to: self.classes[to].clone(),
                unchoked_s: pair.served as f64 / SECOND,
                bytes: pair.bytes,
                share: (interested > 0.0).then(|| pair.interested as f64 / interested),
            }));
        }
        rows
    }
}

/// The links that a utilisation is of, or its capacity.
fn link<'t>(metric: &str, totals: &'t Totals) -> Option<&'t Link> {
    match metric {
        "upload_utilization" | "upload_capacity" => Some(&totals.up),
        "upload_utilization_seeds" | "upload_capacity_seeds" => Some(&totals.up_of_seeds),
        "download_utilization" | "download_capacity" => Some(&totals.down),
        _ => None,
    }
}

/// The part of their links that the peers of a scope used between two samples.
fn used(metric: &str, now: &Totals, before: &Totals) -> Option<f64> {
    link(metric, now)?.used_since(link(metric, before)?)
}

/// The indices of fairness over peers.
pub(super) fn fairness(figures: &mut BTreeMap<String, Dist>, rows: &[&PeerRow]) {
    for (index, of) in
        [("jain_ratio", "share_ratio"), ("jain_rate", "download_rate"), ("jain_seed_service", "seed_bytes")]
    {
        let values: Vec<f64> = rows.iter().filter_map(|row| row.metrics.get(of).copied()).collect();
        single(figures, index, jain(&values));
    }
}

/// None where there are not both kinds, or the median of one is a peer that never finished.
pub(super) fn freerider_gain(peers: &[&PeerRow]) -> Option<f64> {
    let mut uploads: BTreeMap<&str, bool> = BTreeMap::new();
    for row in peers {
        *uploads.entry(&row.class).or_default() |= row.uploaded_bytes > 0;
    }
    let median = |who: bool| {
        let leechers =
            peers.iter().filter(|row| !row.is_initial_seed() && uploads[row.class.as_str()] == who);
        let mut times: Vec<f64> = leechers
            .map(|row| row.metrics.get("completion_time").copied().unwrap_or(f64::INFINITY))
            .collect();
        times.sort_by(f64::total_cmp);
        // The usual median, but sure not to calculate with two infinities.
        let (low, high) = (times.get(times.len().checked_sub(1)? / 2)?, times[times.len() / 2]);
        Some(if *low == high { high } else { (low + high) / 2.0 }).filter(|median| median.is_finite())
    };
    Some(median(true)? / median(false)?).filter(|gain| gain.is_finite())
}

/// The metrics of peers, over these.
pub(super) fn distributions(rows: &[&PeerRow]) -> BTreeMap<String, Dist> {
    let of_peers = METRICS.iter().filter(|metric| metric.of == Of::Peer);
    let values =
        |name: &str| -> Vec<f64> { rows.iter().filter_map(|row| row.metrics.get(name).copied()).collect() };
    of_peers.filter_map(|metric| Some((metric.name.to_owned(), Dist::of(&values(metric.name))?))).collect()
}

pub(super) fn single(figures: &mut BTreeMap<String, Dist>, name: &str, value: Option<f64>) {
    figures.extend(value.map(|value| (name.to_owned(), Dist::single(value))));
}

fn counts<'a>(nodes: impl Iterator<Item = &'a Node>) -> Counts {
    let mut counts = Counts::default();
    for node in nodes {
        counts.peers += 1;
        match (node.initial, node.completed, node.left) {
            (true, ..) => counts.initial_seeds += 1,
            (_, Some(_), _) => counts.finished += 1,
            (_, None, Some(_)) => counts.abandoned += 1,
            (_, None, None) => counts.unfinished += 1,
        }
    }
    counts
}
