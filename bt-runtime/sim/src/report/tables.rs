//! The tables of a report, as HTML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::metrics::{self, Metric};
use super::read::{Comparison, Group, Study};
use super::text::{Unit, escape, fixed, number};
use crate::measure::{self, Dist, OVERALL};
use crate::stats;

/// More groups than this, and they become rows instead of columns.
const MOST_COLUMNS: usize = 5;

/// The figures of a distribution that are shown.
const PARTS: [&str; 5] = ["mean", "median", "p5", "p95", "max"];

/// They themselves.
pub(super) fn parts(dist: &Dist) -> [f64; 5] {
    [dist.mean, dist.median, dist.p5, dist.p95, dist.max]
}

/// All metrics: of one swarm their distributions, of several groups their means beside each other.
pub(super) fn metrics(study: &Study) -> String {
    let mut html = String::new();
    for scope in scopes(study) {
        let table = match &*study.groups {
            [group] => of_one(group, &scope),
            groups if groups.len() <= MOST_COLUMNS => of_several(groups, &scope),
            groups => of_many(groups, &scope),
        };
        html += &table;
    }
    let left_out: BTreeMap<&str, &str> =
        study.runs().flat_map(|run| &run.summary.left_out).map(|(name, why)| (&**name, &**why)).collect();
    for (name, why) in left_out {
        let _ = writeln!(
            html,
            "<p class=\"left-out\">Not measured: <code>{}</code>: {}</p>",
            escape(name),
            escape(why)
        );
    }
    html
}

fn scopes(study: &Study) -> Vec<String> {
    let classes_of = study.runs().flat_map(|run| run.summary.classes.keys());
    let mut scopes: Vec<String> = std::iter::once(OVERALL.to_owned()).chain(classes_of.cloned()).collect();
    scopes.sort();
    scopes.dedup();
    scopes.retain(|scope| {
        study.runs().any(|run| run.metrics(scope).is_some_and(|metrics| !metrics.is_empty()))
    });
    let classes = study.classes();
    scopes.sort_by_key(|scope| classes.iter().position(|class| class == scope).map_or(0, |at| at + 1));
    scopes
}

fn scope_title(scope: &str) -> String {
    match scope {
        OVERALL => "The whole swarm".to_owned(),
        class => format!("Class {}", escape(class)),
    }
}

/// Says so where figures are means over runs.
fn over_runs(groups: &[Group]) -> String {
    match groups.iter().map(|group| group.runs.len()).max() {
        None | Some(0 | 1) => String::new(),
        Some(runs) => format!(" <small>means over {runs} runs, with 95 % intervals</small>"),
    }
}

/// The metrics that any of the groups has, in order.
fn names(groups: &[Group], scope: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for run in groups.iter().flat_map(|group| &group.runs) {
        names.extend(run.metrics(scope).into_iter().flat_map(|metrics| metrics.keys().cloned()));
    }
    names.sort_by(|a, b| (metrics::place(a), a).cmp(&(metrics::place(b), b)));
    names.dedup();
    names
}

/// A figure of a metric in every run that has it.
fn values(group: &Group, scope: &str, metric: &str, part: usize) -> Vec<f64> {
    group.runs.iter().filter_map(|run| Some(parts(&run.metric(scope, metric)?)[part])).collect()
}

/// The head of a metric's row.
fn row_head(name: &str) -> String {
    let title = escape(&Metric::of(name).title);
    let name = escape(name);
    if title == name {
        return format!("<th scope=\"row\"><code>{name}</code></th>");
    }
    format!("<th scope=\"row\">{title} <code>{name}</code></th>")
}

/// A mean over runs, with its interval if there is one.
fn cell(values: &[f64], size: f64, with_interval: bool) -> String {
    let Some(mean) = stats::mean(values) else { return "<td>–</td>".to_owned() };
    match stats::interval(values).filter(|_| with_interval) {
        Some(found) => format!(
            "<td>{} <span class=\"interval\">[{}, {}]</span></td>",
            number(mean / size),
            number(found.low / size),
            number(found.high / size)
        ),
        None => format!("<td>{}</td>", number(mean / size)),
    }
}

fn open(html: &mut String, caption: &str, heads: &[String]) {
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    let _ = writeln!(
        html,
        "<div class=\"scroll\"><table>\n<caption>{caption}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>"
    );
}

const CLOSE: &str = "</tbody></table></div>\n";

fn of_one(group: &Group, scope: &str) -> String {
    let mut html = String::new();
    let caption = format!("{}{}", scope_title(scope), over_runs(std::slice::from_ref(group)));
    let heads = ["metric"].into_iter().chain(PARTS).chain(["unit"]).map(str::to_owned);
    open(&mut html, &caption, &heads.collect::<Vec<_>>());
    for name in names(std::slice::from_ref(group), scope) {
        let parts: Vec<Vec<f64>> = (0..PARTS.len()).map(|part| values(group, scope, &name, part)).collect();
        let typical =
            parts.iter().filter_map(|values| stats::mean(values)).fold(0.0, |a: f64, b| a.max(b.abs()));
        let (size, unit) = Metric::of(&name).unit.shown(typical);
        let _ = write!(html, "<tr>{}", row_head(&name));
        // A figure of the whole run is its own distribution: said once.
        let single = parts.iter().all(|values| *values == parts[0]);
        for (part, values) in parts.iter().enumerate() {
            html += &if single && part > 0 { "<td></td>".to_owned() } else { cell(values, size, part < 2) };
        }
        let _ = writeln!(html, "<td class=\"unit\">{unit}</td></tr>");
    }
    html + CLOSE
}

fn of_several(groups: &[Group], scope: &str) -> String {
    let mut html = String::new();
    let caption = format!("{}{}", scope_title(scope), over_runs(groups));
    let names_of = groups.iter().map(|group| escape(&group.name));
    let heads = std::iter::once("metric".to_owned()).chain(names_of).chain(["unit".to_owned()]);
    open(&mut html, &caption, &heads.collect::<Vec<_>>());
    for name in names(groups, scope) {
        let columns: Vec<Vec<f64>> = groups.iter().map(|group| values(group, scope, &name, 0)).collect();
        let typical =
            columns.iter().filter_map(|values| stats::mean(values)).fold(0.0, |a: f64, b| a.max(b.abs()));
        let (size, unit) = Metric::of(&name).unit.shown(typical);
        let cells: String = columns.iter().map(|values| cell(values, size, true)).collect();
        let _ = writeln!(html, "<tr>{}{cells}<td class=\"unit\">{unit}</td></tr>", row_head(&name));
    }
    html + CLOSE
}

fn of_many(groups: &[Group], scope: &str) -> String {
    let mut html = String::new();
    let mut shown = names(groups, scope);
    shown.retain(|name| metrics::is_key(name));
    shown.truncate(6);
    let units: Vec<(f64, &str)> = shown
        .iter()
        .map(|name| {
            let all = groups.iter().flat_map(|group| values(group, scope, name, 0));
            Metric::of(name).unit.shown(all.fold(0.0, |a: f64, b| a.max(b.abs())))
        })
        .collect();
    let heads = shown.iter().zip(&units).map(|(name, (_, unit))| {
        let title = escape(&Metric::of(name).title);
        if unit.is_empty() { title } else { format!("{title} ({unit})") }
    });
    let caption = format!("{}{}", scope_title(scope), over_runs(groups));
    open(&mut html, &caption, &std::iter::once("cell".to_owned()).chain(heads).collect::<Vec<_>>());
    for group in groups {
        let cells = shown
            .iter()
            .zip(&units)
            .map(|(name, (size, _))| cell(&values(group, scope, name, 0), *size, true));
        let cells: String = cells.collect();
        let _ = writeln!(html, "<tr><th scope=\"row\">{}</th>{cells}</tr>", escape(&group.name));
    }
    html + CLOSE
}

/// How the metrics in the tables are computed.
pub(super) fn definitions(study: &Study) -> String {
    let mut shown: Vec<String> = scopes(study).iter().flat_map(|scope| names(&study.groups, scope)).collect();
    shown.sort_by(|a, b| (metrics::place(a), a).cmp(&(metrics::place(b), b)));
    shown.dedup();
    let mut html =
        String::from("<details>\n<summary>How the metrics are computed</summary>\n<dl class=\"run\">\n");
    for metric in shown.iter().filter_map(|name| measure::metric(name)) {
        let (name, formula) = (escape(metric.name), escape(metric.formula));
        let _ = writeln!(html, "<div><dt><code>{name}</code></dt><dd>{formula}</dd></div>");
    }
    html + "</dl>\n</details>\n"
}

/// All differences of a comparison.
pub(super) fn comparison(comparison: &Comparison) -> String {
    let rows = || comparison.metrics.iter().flat_map(|(_, rows)| rows);
    let holm = rows().filter_map(|row| row.difference).any(|difference| difference.p_holm.is_some());
    let baseline = escape(&comparison.baseline);
    let mut heads = ["metric", "profile", "mean"].map(str::to_owned).to_vec();
    heads.insert(2, format!("mean of {baseline}"));
    heads.extend(["difference, 95 % interval", "in %", "unit", "p"].map(str::to_owned));
    if holm {
        heads.push("p (Holm)".to_owned());
    }
    heads.extend(["runs", "verdict"].map(str::to_owned));
    let how = if comparison.paired { "paired by seed" } else { "unpaired (Welch)" };
    let adjusted = if holm { "; the verdict is by Holm’s p, which counts all profiles" } else { "" };
    let mut html = String::new();
    open(&mut html, &format!("Differences from {baseline} <small>{how}{adjusted}</small>"), &heads);
    let mut metrics: Vec<_> = comparison.metrics.iter().collect();
    metrics.sort_by_key(|(name, _)| metrics::place(name));
    for (name, rows) in metrics {
        let base = rows.iter().find(|row| row.profile == comparison.baseline).and_then(|row| row.mean);
        for row in rows {
            let in_runs = comparison.in_runs(rows, row);
            let in_runs = in_runs.map_or("all".to_owned(), |(n, all)| format!("<b>{n} of {all}</b>"));
            let Some(found) = row.difference else {
                if row.profile != comparison.baseline && row.mean.or(base).is_some() {
                    let (size, unit) = Metric::of(name).unit.shown(row.mean.or(base).unwrap_or(0.0).abs());
                    let [of_base, own] = [base, row.mean]
                        .map(|value| value.map_or("–".to_owned(), |value| number(value / size)));
                    let holm = if holm { "<td>–</td>" } else { "" };
                    let _ = writeln!(
                        html,
                        "<tr>{}<td class=\"word\">{}</td><td>{of_base}</td><td>{own}</td><td>–</td><td>–</td>\
                         <td class=\"unit\">{unit}</td><td>–</td>{holm}<td>{in_runs}</td>\
                         <td class=\"word\">not to be compared</td></tr>",
                        row_head(name),
                        escape(&row.profile),
                    );
                }
                continue;
            };
            let typical = [base, row.mean, Some(found.mean)]
                .into_iter()
                .flatten()
                .fold(0.0, |a: f64, b| a.max(b.abs()));
            let (size, unit) = Metric::of(name).unit.shown(typical);
            let unit = if Metric::of(name).unit == Unit::Share { "% points" } else { unit };
            let show = |value: Option<f64>| value.map_or("–".to_owned(), |value| number(value / size));
            let interval = found.interval.map_or(String::new(), |(low, high)| {
                format!(" <span class=\"interval\">[{}, {}]</span>", number(low / size), number(high / size))
            });
            let percent = base.filter(|base| *base != 0.0);
            let percent = percent.map_or("–".to_owned(), |base| fixed(found.mean / base.abs() * 100.0, 1));
            let verdict = match found.verdict() {
                Some(verdict @ ("lower" | "higher")) => format!("<b>{verdict}</b>"),
                Some("same") => "exactly the same".to_owned(),
                Some(_) => "no difference shown".to_owned(),
                None => "–".to_owned(),
            };
            let holm = if holm { format!("<td>{}</td>", probability(found.p_holm)) } else { String::new() };
            let _ = writeln!(
                html,
                "<tr>{}<td class=\"word\">{}</td><td>{}</td><td>{}</td><td>{}{interval}</td><td>{percent}</td>\
                 <td class=\"unit\">{unit}</td><td>{}</td>{holm}<td>{in_runs}</td><td class=\"word\">{verdict}</td></tr>",
                row_head(name),
                escape(&row.profile),
                show(base),
                show(row.mean),
                show(Some(found.mean)),
                probability(found.p),
            );
        }
    }
    html + CLOSE
}

fn probability(p: Option<f64>) -> String {
    match p {
        None => "–".to_owned(),
        Some(p) if p < 0.001 => "&lt; 0.001".to_owned(),
        Some(p) => fixed(p, 3),
    }
}
