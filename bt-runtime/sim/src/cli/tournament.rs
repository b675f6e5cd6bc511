//! `bt-lab tournament`: every policy against every other.

use std::path::PathBuf;

use super::Failure;
use super::many::{Finished, Seeds, Threads, change, figure, probability, run as run_all, table};
use super::terminal::Terminal;
use crate::output;
use crate::report;
use crate::tournament::{Outcome, Tournament};

/// Plays every policy against every other in mixed swarms.
///
/// For each pair and each seed the peers that download are divided between the two, class by class. The one whose peers
/// have the lower median completion time wins that encounter; peers that did not finish count as not done. DIR gets
/// tournament.json, tournament.csv, report.html, and the files of each run in A-vs-B/SEED. Runs that are there already are
/// not run again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-lab tournament three-classes --profile mainline --profile random-choker --profile mine.toml --seeds 1..10 --out cup
  bt-lab tournament homogeneous --profile mainline --profile mine.toml --share 0.1 --out invaders")]
pub(super) struct Options {
    /// A file, or the name of a shipped scenario (`bt-lab list`)
    scenario: String,
    /// A profile: a file, or the name of a shipped one
    #[arg(long = "profile", value_name = "P", required = true)]
    profiles: Vec<String>,
    /// The seeds, both ends included: `1..30`, `7`, `1..5,9`
    #[arg(long, value_name = "SEEDS", default_value = "1..10")]
    seeds: Seeds,
    /// The folder for what comes out; made where there is none
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The part of the peers that the first of a pair has; if that is no half, each is the first once
    #[arg(long, value_name = "PART", default_value_t = 0.5, value_parser = part)]
    share: f64,
    /// Changes a key of the scenario
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// A class that is divided, in place of those that the scenario says
    #[arg(long = "class", value_name = "NAME")]
    classes: Vec<String>,
    #[command(flatten)]
    threads: Threads,
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().ok().filter(|part| *part > 0.0 && *part < 1.0);
    part.ok_or_else(|| "expected a part above 0 and below 1, such as 0.5".to_owned())
}

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    let Options { scenario, profiles, sets, classes, out, share, .. } = options;
    if profiles.len() < 2 {
        return Err(Failure::usage("a tournament needs two profiles: say --profile twice or more"));
    }
    let tournament = Tournament::load(scenario, sets, profiles, classes, &options.seeds.0, *share)?;
    output::prepare(out)?;
    let ran = match run_all("tournament", &tournament.jobs(Some(out)), &options.threads, terminal)? {
        Finished::All(ran) => ran,
        Finished::Interrupted(code) => return Ok(code),
    };
    let outcome = tournament.judge(&ran);
    outcome.write(out)?;
    report::write(out).map_err(|error| Failure::failed(error.to_string()))?;
    terminal.out.write_all(tell(&outcome).as_bytes())?;
    writeln!(terminal.out, "{}", out.join("report.html").display())?;
    Ok(0)
}

fn tell(found: &Outcome) -> String {
    let Outcome { scenario, seeds, share, ranking, pairs, .. } = found;
    let part = match *share {
        0.5 => "each of a pair has half of the peers".to_owned(),
        share => format!("the first of a pair has {} % of the peers", figure(share * 100.0)),
    };
    let mut text = format!("{scenario}: {} seeds, {part}\n\n", seeds.len());
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    let mut rows = vec![["", "won", "of", "", "[95 %]"].map(str::to_owned).to_vec()];
    for rank in ranking {
        let interval = rank.low.zip(rank.high);
        rows.push(vec![
            rank.profile.clone(),
            rank.won.to_string(),
            rank.encounters.to_string(),
            percent(rank.fraction),
            interval.map_or("-".to_owned(), |(low, high)| format!("[{}, {}]", percent(low), percent(high))),
        ]);
    }
    text += &table(&rows);
    text.push('\n');
    let p = if pairs.len() > 1 { "p (Holm)" } else { "p" };
    let heads = ["", "won", "median", "of the other", "slower by, s [95 %]", "in %", p, "unfinished"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for met in pairs {
        let seconds =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{} s", figure(value)));
        let difference = met.difference_s;
        rows.push(vec![
            format!("{} against {}", met.a, met.b),
            percent(met.fraction),
            seconds(met.median_a_s),
            seconds(met.median_b_s),
            difference.map_or("-".to_owned(), |found| change(found.mean, found.low, found.high)),
            met.relative.map_or("-".to_owned(), |part| format!("{:+.1}", part * 100.0)),
            probability(difference.and_then(|found| found.p_holm.or(found.p))),
            format!("{}, {}", met.censored_a, met.censored_b),
        ]);
    }
    text + &table(&rows)
}
