//! What a report says before anything else: the key figures of a swarm, or how profiles differ.

use super::metrics::{self, Metric};
use super::read::{Compared, Comparison, Difference, Group, Run, Study};
use super::tables::parts;
use super::text::{Unit, escape, fixed, number, short};
use crate::measure::OVERALL;
use crate::stats;

/// A figure in large print.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) note: String,
}

/// The key figures of one swarm; of several runs their means.
pub(super) fn facts(study: &Study) -> Vec<Fact> {
    let runs: Vec<&Run> = study.runs().collect();
    let leechers = || runs.iter().flat_map(|run| &run.peers).filter(|peer| !peer.is_initial_seed());
    let (all, finished) = (leechers().count(), leechers().filter(|peer| peer.completed.is_some()).count());
    let mut facts = vec![Fact {
        label: "Finished",
        value: format!("{} of {}", number(finished as f64), number(all as f64)),
        note: match all - finished {
            0 => "every leecher has everything".to_owned(),
            unfinished => {
                match leechers().filter(|peer| peer.completed.is_none() && peer.left.is_some()).count() {
                    0 => format!("{} unfinished at the end", number(unfinished as f64)),
                    gone => format!(
                        "{} unfinished, {} of them left before",
                        number(unfinished as f64),
                        number(gone as f64)
                    ),
                }
            }
        },
    }];
    let figure = |name: &str, part: usize| -> Vec<f64> {
        runs.iter().filter_map(|run| Some(parts(&run.metric(OVERALL, name)?)[part])).collect()
    };
    let mut add = |label, values: Vec<f64>, unit: Unit, note: &dyn Fn() -> String| {
        if let Some(mean) = stats::mean(&values) {
            let note = match interval(&values, unit) {
                Some(interval) => interval,
                None => note(),
            };
            facts.push(Fact { label, value: unit.write(mean), note });
        }
    };
    let part = |name: &str, part: usize| {
        figure(name, part).first().map_or("–".to_owned(), |x| Unit::Seconds.write(*x))
    };
    add("Median completion time", figure("completion_time", 1), Unit::Seconds, &|| {
        let (early, late) = (part("completion_time", 2), part("completion_time", 3));
        format!("5 % within {early}, 95 % within {late}")
    });
    let bounds: Vec<f64> = runs.iter().filter_map(|run| run.summary.bound_s).collect();
    let ratios: Vec<f64> = runs.iter().filter_map(|run| run.summary.bound_ratio).collect();
    add("Last one over the bound", ratios, Unit::Plain, &|| {
        bounds.first().map_or(String::new(), |bound| format!("lower bound {}", Unit::Seconds.write(*bound)))
    });
    add("Upload utilisation", figure("upload_utilization", 0), Unit::Share, &|| {
        "mean over time, leechers".to_owned()
    });
    add("Fairness of share ratios", figure("jain_ratio", 0), Unit::Plain, &|| {
        "Jain’s index; 1: all alike".to_owned()
    });
    add("Bytes from seeds", figure("seed_share", 0), Unit::Share, &|| "the rest is from leechers".to_owned());
    facts
}

fn interval(values: &[f64], unit: Unit) -> Option<String> {
    let found = stats::interval(values)?;
    let (size, name) = unit.shown(found.mean.abs());
    let name = if name.is_empty() { String::new() } else { format!(" {name}") };
    let (low, high) = (short(found.low / size), short(found.high / size));
    Some(format!("{} runs, 95 % interval {low} to {high}{name}", values.len()))
}

/// The most important metrics of a comparison, each with a sentence per profile, as HTML.
pub(super) fn verdicts(study: &Study, comparison: &Comparison) -> Vec<String> {
    let wanted = ["completion_time", "upload_utilization", "jain_ratio", "freerider_gain"];
    let seeds = study.groups.iter().map(|group| group.runs.len()).max().unwrap_or(0);
    let how = match (comparison.paired, seeds) {
        (true, _) => format!("paired over {seeds} seeds"),
        (false, _) => format!("unpaired, {seeds} seeds each"),
    };
    // Before all else: a figure of those that finished says nothing of the others.
    let mut sentences: Vec<(usize, String)> =
        study.groups.iter().filter_map(unfinished).map(|told| (0, told)).collect();
    for (name, rows) in &comparison.metrics {
        if !wanted.contains(&name.split('.').next().unwrap_or(name)) {
            continue;
        }
        let base = rows.iter().find(|row| row.profile == comparison.baseline).and_then(|row| row.mean);
        for row in rows.iter().filter(|row| row.profile != comparison.baseline) {
            let metric = Metric::of(name);
            let incomplete = comparison.in_runs(rows, row).map(|(n, all)| {
                let runs = if comparison.paired { "pairs of runs" } else { "runs of both" };
                format!("<b>{n} of {all}</b> {runs} in which it is defined")
            });
            let told = match (row.difference, incomplete) {
                (None, None) => continue,
                (None, Some(_)) => {
                    let (title, profile, baseline) =
                        (escape(&metric.title), escape(&row.profile), escape(&comparison.baseline));
                    format!(
                        "<b>{title}</b>: {profile} and {baseline} <b>cannot be compared</b>: one has it in no run in \
                         which the other has it."
                    )
                }
                (Some(difference), incomplete) => {
                    let how = incomplete.map_or(how.clone(), |of| format!("over the {of}"));
                    sentence(&metric, row, difference, base, &comparison.baseline, &how)
                }
            };
            sentences.push((metrics::place(name) + 1, told));
        }
    }
    sentences.sort_by_key(|(place, _)| *place);
    sentences.into_iter().map(|(_, sentence)| sentence).collect()
}

/// Says how many peers of a profile did not finish, if any did not.
fn unfinished(group: &Group) -> Option<String> {
    let runs = || group.runs.iter().filter(|run| run.summary.censored > 0);
    let (some, all) = (runs().count(), group.runs.len());
    let censored: u64 = runs().map(|run| run.summary.censored).sum();
    let peers: u64 = group.runs.iter().map(|run| run.summary.finished).sum::<u64>() + censored;
    let given_up = match group.runs.iter().filter(|run| run.manifest.ended == "limit").count() {
        0 => String::new(),
        runs => format!(" ({runs} given up at the limit)"),
    };
    let [censored, peers] = [censored, peers].map(|count| number(count as f64));
    let name = escape(&group.name);
    (some > 0).then(|| {
        format!(
            "<b>Unfinished</b>: {censored} of {peers} peers of {name} did not finish, <b>in {some} of {all} runs</b>{given_up}; \
             completion times are those of the others, the median counts all."
        )
    })
}

fn sentence(
    metric: &Metric,
    row: &Compared,
    found: Difference,
    base: Option<f64>,
    baseline: &str,
    how: &str,
) -> String {
    let (title, profile, baseline) = (escape(&metric.title), escape(&row.profile), escape(baseline));
    let (size, unit) = metric.unit.shown(base.unwrap_or(found.mean).abs());
    let unit = if unit == "%" { " points" } else { &format!(" {unit}") };
    let amount = |value: f64| match base.filter(|base| *base != 0.0 && metric.unit != Unit::Share) {
        Some(base) => format!("{} %", fixed(value / base.abs() * 100.0, 1)),
        None => format!("{}{unit}", short(value / size)),
    };
    let interval = match found.interval {
        Some((low, high)) => format!("95 % interval {} to {}, {how}", amount(low), amount(high)),
        None => format!("a single run has no interval, {how}"),
    };
    match found.verdict() {
        Some("same") => format!("<b>{title}</b>: {profile} and {baseline} are exactly the same ({how})."),
        Some("unclear") | None => {
            let amount = amount(found.mean);
            format!(
                "<b>{title}</b>: no difference shown between {profile} and {baseline}: {amount} ({interval})."
            )
        }
        Some(verdict) => {
            let amount = amount(found.mean.abs());
            format!("<b>{title}</b>: {profile} is <b>{amount} {verdict}</b> than {baseline} ({interval}).")
        }
    }
}

impl Difference {
    /// `lower`, `higher`, `same` (exactly), or `unclear`: by the p value that counts all comparisons if there is one,
    /// else by the interval. `None` without either.
    pub(super) fn verdict(&self) -> Option<&'static str> {
        let differs = match (self.p_holm, self.interval) {
            (Some(p), _) => p < 0.05,
            (None, Some((low, high))) => low > 0.0 || high < 0.0,
            (None, None) => return None,
        };
        Some(match differs {
            false if self.mean == 0.0 && self.interval == Some((0.0, 0.0)) => "same",
            false => "unclear",
            true if self.mean < 0.0 => "lower",
            true => "higher",
        })
    }
}
