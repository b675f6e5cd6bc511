//! `bt-lab live`: one scenario as real clients on this machine, and beside it as a simulation.

use std::path::PathBuf;
use std::time::Duration;

use bt_api::config;

use super::Failure;
use super::terminal::{Bar, Stop, Terminal, stopwatch};
use crate::Scenario;
use crate::experiment::{Events, Experiment, RunError};
use crate::live::validate::{Side, VALIDATION, Validation, compare};
use crate::live::{self, LiveDone, LiveError};
use crate::measure::Measured;
use crate::swarm::Ended;
use crate::{output, report};

/// Runs a scenario of some dozens of peers as real clients over loopback, in real time, and compares it with the
/// simulation.
///
/// Each peer is a client of its own with sockets and a shaped link. Loopback knows no delay, so both are run with
/// network.delay=0. DIR gets the files of `bt-lab run`, those of the simulation in DIR/simulated, and validation.json.
/// Exit code 1 when the limit came before the run was done.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-lab live homogeneous --out live
  bt-lab live three-classes --set content.size=16MiB --seed 2 --out short")]
pub(super) struct Options {
    /// A file, or the name of a shipped scenario (`bt-lab list`)
    scenario: String,
    /// The seed of every draw, in place of the scenario's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Changes a key of the scenario: `peers.leecher.count=20`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The folder for what comes out; made where there is none
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write the event log too: events.jsonl
    #[arg(long)]
    events: bool,
    /// When an unfinished run is given up; it takes place in real time
    #[arg(long, value_name = "TIME", default_value = "10 min")]
    limit: config::Duration,
}

/// How many other seeds are simulated, to see how much chance does.
const OTHER_SEEDS: u64 = 9;

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    let mut sets = options.sets.clone();
    sets.push("network.delay=0".to_owned());
    let scenario = Scenario::load(&options.scenario, &sets)?;
    let seed = options.seed.unwrap_or(scenario.run.seed);
    live::check(&scenario, seed)?;
    let events = if options.events { Events::Written(&options.out) } else { Events::Hashed };
    let experiment = Experiment { scenario: &scenario, seed, sets: &sets, base: None, events };
    let stop = Stop::listen()?;
    let interrupted = |terminal: &mut Terminal<'_>, code| {
        terminal.note("interrupted: the live run was not written");
        Ok(code)
    };

    // The simulation first: while the clients run, nothing else is to.
    let bar = Bar::new("simulation");
    let twin_folder = options.out.join("simulated");
    let twin = Experiment { events: Events::Hashed, ..experiment };
    let mut watch = |_, done| {
        bar.set(done);
        stop.asked().is_none()
    };
    let simulated = twin.run_into(&twin_folder, &stopwatch(), &mut watch)?;
    let mut others: Vec<Measured> = Vec::new();
    for other in (1..=OTHER_SEEDS).map(|step| (seed + step) % Scenario::MAX_SEED) {
        let other = Experiment { seed: other, events: Events::Dropped, ..experiment };
        others.push(other.run(&mut watch)?.measured);
    }
    let simulated_transits = live::simulated_transits(&scenario, seed).map_err(RunError::from)?;
    drop(bar);
    if let Some(code) = stop.asked() {
        return interrupted(terminal, code);
    }
    report::write(&twin_folder).map_err(|error| Failure::failed(error.to_string()))?;
    let limit: Duration = options.limit.0;
    let end_s = simulated.manifest.end_s;
    if end_s > limit.as_secs_f64() {
        return Err(Failure::usage(format!(
            "the run takes {end_s:.0} s by the simulation, more than the limit of {}: give a smaller scenario, or --limit",
            options.limit
        )));
    }

    let bar = Bar::new(&scenario.name);
    let done = live::run_into(&experiment, &options.out, limit, &mut |_, done| {
        bar.set(done);
        stop.asked().is_none()
    })?;
    drop(bar);
    let LiveDone { done, transits, stolen } = done;
    if let Some(code) = stop.asked().filter(|_| done.outcome.ended == Ended::Interrupted) {
        return interrupted(terminal, code);
    }
    let real = Side { measured: &done.measured, transits };
    let model = Side { measured: &simulated.measured, transits: simulated_transits };
    let validation = compare(&experiment, real, model, &others, stolen.as_secs_f64());
    output::save_json(&options.out.join(VALIDATION), &validation)?;
    report::write(&options.out).map_err(|error| Failure::failed(error.to_string()))?;
    tell(&validation, terminal)?;
    if done.outcome.ended == Ended::Limit {
        let (end, censored) = (done.manifest.end_s, done.measured.summary.censored);
        terminal.note(&format!("the run was given up after {end} seconds: {censored} peers are unfinished"));
        return Ok(1);
    }
    Ok(0)
}

/// The comparison as a table, and what it says.
fn tell(validation: &Validation, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let out = &mut terminal.out;
    writeln!(out, "{} with seed {}, completion times in seconds", validation.scenario, validation.seed)?;
    writeln!(out, "{:12} {:>6} {:>9} {:>9} {:>7}", "", "", "live", "simulated", "ratio")?;
    for scope in &validation.scopes {
        for (line, figure) in scope.figures.iter().enumerate() {
            let name = if line == 0 { scope.scope.as_str() } else { "" };
            let (live, model, ratio) = (figure.live_s, figure.simulated_s, figure.ratio);
            writeln!(out, "{name:12} {:>6} {live:9.2} {model:9.2} {ratio:7.3}", figure.name)?;
        }
    }
    for line in &validation.text {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "the machine kept a sleeper waiting for {:.1} s in all", validation.stolen_s)
}

impl From<LiveError> for Failure {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Unfit(_) => Self::usage(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}
