//! `bt-lab run`: one run of one scenario.

use std::path::PathBuf;

use super::Failure;
use super::terminal::{Bar, Stop, Terminal, stopwatch};
use crate::Scenario;
use crate::experiment::{Done, Events, Experiment};
use crate::report;
use crate::swarm::Ended;

/// Simulates one scenario and writes what came out.
///
/// DIR gets manifest.json, summary.json, peers.csv, series.csv, choke_matrix.csv and report.html. The same scenario and
/// seed give the same files, but for the part `machine` of the manifest, which the report shows. Exit code 1 when the run reached its limit
/// before it was done.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-lab run homogeneous --out first
  bt-lab run my-swarm.toml --set network.delay=0 --set peers.leecher.choke.use=random --out swapped
  bt-lab run homogeneous --seed 2 --events --out second   (and the event log, events.jsonl)")]
pub(super) struct Options {
    /// A file, or the name of a shipped scenario (`bt-lab list`)
    scenario: String,
    /// The seed of every draw, in place of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=Scenario::MAX_SEED))]
    seed: Option<u64>,
    /// Changes a key of the scenario: `peers.leecher.count=100`, `network.delay=0`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The folder for what comes out; made where there is none
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write the event log too: events.jsonl
    #[arg(long)]
    events: bool,
}

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    let scenario = Scenario::load(&options.scenario, &options.sets)?;
    let seed = options.seed.unwrap_or(scenario.run.seed);
    let events = if options.events { Events::Written(&options.out) } else { Events::Hashed };
    let experiment = Experiment { scenario: &scenario, seed, sets: &options.sets, base: None, events };
    let stop = Stop::listen()?;
    let (wall, bar) = (stopwatch(), Bar::new(&scenario.name));
    let done = experiment.run_into(&options.out, &wall, &mut |_, done| {
        bar.set(done);
        stop.asked().is_none()
    })?;
    drop(bar);
    if let Some(code) = stop.asked().filter(|_| done.outcome.ended == Ended::Interrupted) {
        terminal.note("interrupted: nothing was written");
        return Ok(code);
    }
    report::write(&options.out).map_err(|error| Failure::failed(error.to_string()))?;
    tell(&done, terminal)?;
    if done.outcome.ended == Ended::Limit {
        let (end, censored) = (done.manifest.end_s, done.measured.summary.censored);
        let late = match done.outcome.awaited {
            0 => String::new(),
            awaited => format!(", {awaited} did not arrive"),
        };
        terminal.note(&format!(
            "the run was given up after {end} simulated seconds: {censored} peers are unfinished{late}"
        ));
        done.outcome.silent.iter().for_each(|line| terminal.note(line));
        return Ok(1);
    }
    Ok(0)
}

/// What came out, in a few lines.
fn tell(done: &Done, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let summary = &done.measured.summary;
    let out = &mut terminal.out;
    writeln!(
        out,
        "{} with seed {}: {:.1} simulated seconds",
        done.manifest.scenario.name, done.manifest.seed, summary.end_s
    )?;
    if let Some(cut) = &summary.warm_up {
        writeln!(out, "warm-up: {cut}")?;
    }
    writeln!(out, "finished {}, unfinished {}", summary.finished, summary.censored)?;
    if let Some(time) = summary.overall.get("completion_time") {
        writeln!(
            out,
            "completion time: median {:.1} s, mean {:.1} s, 5 % {:.1} s, 95 % {:.1} s, last {:.1} s",
            time.median, time.mean, time.p5, time.p95, time.max
        )?;
    }
    if let (Some(bound), Some(ratio)) = (summary.bound_s, summary.bound_ratio) {
        writeln!(out, "the last was done after {ratio:.3} times the lower bound of {bound:.1} s")?;
    }
    if let Some(hash) = &done.manifest.events_sha256 {
        writeln!(out, "events {hash}")?;
    }
    Ok(())
}
