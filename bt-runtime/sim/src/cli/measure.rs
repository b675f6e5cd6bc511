//! `bt-lab measure`: the metrics of event logs.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Failure;
use super::many::{figure, table};
use super::terminal::Terminal;
use crate::Scenario;
use crate::measure::{Measures, OVERALL, Summary, metric, read_log};
use crate::replicate::place;

/// Computes the metrics of event logs, of `bt-run` or of `bt-lab`.
///
/// The figures are those that a simulation has in its summary.json. What a client's own log cannot tell is left out, with
/// the reason.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-run --profile mainline --events events.jsonl x.torrent; bt-lab measure events.jsonl
  bt-lab run homogeneous --events --out first; bt-lab measure first/events.jsonl --json")]
pub(super) struct Options {
    /// Event logs
    #[arg(required = true, value_name = "EVENTS.jsonl")]
    logs: Vec<PathBuf>,
    /// One JSON object for each log, one a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    for log in &options.logs {
        let (run, summary) = measure(log)?;
        if options.json {
            let object = json!({ "log": log.display().to_string(), "run": run, "summary": summary });
            writeln!(terminal.out, "{object}")?;
        } else {
            terminal.out.write_all(tell(log, &summary).as_bytes())?;
        }
    }
    Ok(0)
}

/// What the header of a log says of the run, and its figures.
fn measure(log: &Path) -> Result<(Value, Summary), Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::failed(format!("{}: {why}", log.display()));
    let file = File::open(log).map_err(|error| failed(&error))?;
    let mut measures = Measures::new();
    let read = read_log(BufReader::with_capacity(1 << 20, file), |now, node, event| {
        measures.event(now, node, event)
    });
    let (run, end) = read.map_err(|error| failed(&error))?;
    // The log of a simulation has its scenario: its lower bound and its warm-up are known from it.
    let text = run["scenario_toml"].as_str();
    let scenario = text.and_then(|text| Scenario::from_text("scenario", text, &[]).ok());
    let bound = scenario.as_ref().and_then(Scenario::lower_bound);
    let mut measured = measures.finish(end, bound);
    if let Some(scenario) = scenario {
        let wanted: u64 = scenario.groups.iter().filter_map(|group| group.count).map(u64::from).sum();
        let came: u64 = measured.summary.counts.values().map(|counts| counts.peers).sum();
        if came < wanted {
            // The bound is of the whole crowd.
            measured.summary.bound_ratio = None;
        }
        measured.cut(scenario.run.warm_up);
    }
    Ok((run, measured.summary))
}

fn tell(log: &Path, summary: &Summary) -> String {
    let Summary { end_s, finished, censored, .. } = summary;
    let warm_up = summary.warm_up.as_ref().map(|cut| format!("warm-up: {cut}\n")).unwrap_or_default();
    let mut text = format!(
        "{}: {} s\n{warm_up}finished {finished}, unfinished {censored}\n",
        log.display(),
        figure(*end_s)
    );
    let classes = summary.classes.iter().filter(|_| summary.classes.len() > 1);
    let scopes = classes.map(|(class, metrics)| (class.as_str(), metrics));
    for (scope, metrics) in std::iter::once((OVERALL, &summary.overall)).chain(scopes) {
        let mut names: Vec<_> = metrics.iter().collect();
        names.sort_by_key(|(name, _)| place(name));
        let heads = [scope, "unit", "mean", "median", "p5", "p95", "max"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for (name, dist) in names {
            let unit = metric(name).map_or("", |metric| metric.unit);
            let figures = [dist.mean, dist.median, dist.p5, dist.p95, dist.max].map(figure);
            rows.push([name.clone(), unit.to_owned()].into_iter().chain(figures).collect());
        }
        text.push('\n');
        text += &table(&rows);
    }
    for (name, why) in &summary.left_out {
        text += &format!("left out: {name}: {why}\n");
    }
    text
}
