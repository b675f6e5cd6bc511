//! `bt-lab compare`: profiles against each other, over many seeds.

use std::path::{Path, PathBuf};

use super::Failure;
use super::many::{Finished, Seeds, Threads, change, figure, probability, run as run_all, table};
use super::terminal::Terminal;
use crate::compare::{
    Compared, Comparison, Contest, Overview, RUNS_CSV, Row, Runs, WarmUps, in_order, labels, write_runs,
};
use crate::output;
use crate::replicate::cut_alike;
use crate::report;
use crate::sweep::quoted;

/// Compares profiles over many seeds, with confidence intervals.
///
/// Each profile is given to the groups that download, but for those that the scenario excepts. With the same seed all profiles meet the same arrivals and
/// neighbours, and runs of one seed are subtracted from each other; --unpaired gives each profile seeds of its own. The
/// others are compared with the first one; with more than two the probabilities are adjusted (Holm). Peers that did not
/// finish are counted, never left out.
///
/// DIR gets compare.json, compare.csv, runs.csv (every figure of every run), report.html, and the files of each run in
/// PROFILE/SEED. Runs that are there already are not run again. Of several scenarios each has all that in DIR/SCENARIO.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-lab compare homogeneous --profile mainline --profile random-choker --seeds 1..30 --out chokers
  bt-lab compare three-classes --profile mainline --profile mine.toml --class slow --out slow-ones
  bt-lab compare homogeneous free-riders --profile mainline --profile mine.toml --out both --markdown both.md
  bt-lab compare flash-crowd --profile a.toml --profile b.toml --set network.granularity=piece --out quick")]
pub(super) struct Options {
    /// A file, or the name of a shipped scenario (`bt-lab list`); or several
    #[arg(value_name = "SCENARIO", required = true)]
    scenarios: Vec<String>,
    /// A profile: a file, or the name of a shipped one; the first is what the others are compared with
    #[arg(long = "profile", value_name = "P", required = true)]
    profiles: Vec<String>,
    /// The seeds, both ends included: `1..30`, `7`, `1..5,9`
    #[arg(long, value_name = "SEEDS", default_value = "1..30")]
    seeds: Seeds,
    /// The folder for what comes out; made where there is none
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write one table of all scenarios to a document, too, and its plot beside it (.svg)
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Give each profile seeds of its own (Welch's test)
    #[arg(long)]
    unpaired: bool,
    /// Changes a key of the scenario; one of a compared group's profile changes every profile
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// A class that runs the profiles, in place of those that the scenario says
    #[arg(long = "class", value_name = "NAME")]
    classes: Vec<String>,
    #[command(flatten)]
    threads: Threads,
}

/// Figures that are shown even where nothing differs.
const SHOWN: [&str; 12] = [
    "completion_time",
    "completion_time.median",
    "completion_time.max",
    "finished",
    "censored",
    "upload_utilization",
    "share_ratio",
    "jain_ratio",
    "jain_rate",
    "reciprocation",
    "seed_share",
    "wasted_bytes",
];

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    let Options { scenarios, profiles, sets, classes, out, .. } = options;
    if profiles.len() < 2 {
        return Err(Failure::usage("a comparison needs two profiles: say --profile twice or more"));
    }
    // What is wrong with the last scenario is told before the first one is run.
    let load = |scenario: &String| {
        Contest::load(scenario, sets, profiles, classes, &options.seeds.0, !options.unpaired)
    };
    let contests = scenarios.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = contests.iter().map(|contest| contest.scenario.clone()).collect();
    let mut found = Vec::new();
    for (contest, name) in contests.into_iter().zip(labels(&names)) {
        let folder = if scenarios.len() == 1 { out.clone() } else { out.join(name) };
        match one(&contest, &folder, options, terminal)? {
            Finished::All(comparison) => found.push((contest, comparison)),
            Finished::Interrupted(code) => return Ok(code),
        }
    }
    if let Some(file) = &options.markdown {
        let overview = Overview::of(&found);
        let plot = file.with_extension("svg");
        let name = plot.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text)
                .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
        };
        write(&plot, &report::overview(&overview))?;
        write(file, &overview.markdown(&command(), &name))?;
    }
    Ok(0)
}

/// The comparison in one scenario.
fn one(
    contest: &Contest,
    folder: &Path,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Finished<Comparison>, Failure> {
    output::prepare(folder)?;
    let jobs = contest.jobs(Some(folder));
    let mut ran = match run_all(&contest.scenario, &jobs, &options.threads, terminal)? {
        Finished::All(ran) => ran,
        Finished::Interrupted(code) => return Ok(Finished::Interrupted(code)),
    };
    cut_alike(&jobs, &mut ran)?;
    let comparison = contest.judge(&ran);
    let labels = contest.contestants.iter().map(|one| vec![one.label.clone()]);
    let rows: Vec<(Vec<String>, _)> = labels.cycle().zip(&ran).collect();
    write_runs(&folder.join(RUNS_CSV), &["profile".to_owned()], &rows)?;
    comparison.write(folder)?;
    report::write(folder).map_err(|error| Failure::failed(error.to_string()))?;
    terminal.out.write_all(tell(&comparison).as_bytes())?;
    writeln!(terminal.out, "{}", folder.join("report.html").display())?;
    Ok(Finished::All(comparison))
}

/// The command that was given, for the document.
fn command() -> String {
    let words = std::env::args().skip(1).map(|word| quoted(&word));
    std::iter::once("bt-lab".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// How many of the peers of a profile did not finish, and in how many runs.
fn unfinished(profile: &str, found: Runs) -> String {
    let Runs { runs, given_up, unfinished, finished, censored } = found;
    let given_up = match given_up {
        0 => String::new(),
        some => format!(" ({some} given up at the scenario's limit)"),
    };
    format!(
        "{profile}: {censored} of {} peers did not finish, in {unfinished} of {runs} runs{given_up}; completion_time is \
         that of the others, completion_time.median counts all\n",
        censored + finished
    )
}

/// In how many of the runs a figure is compared, as a text, and whether these are all.
fn in_runs(found: &Comparison, metric: &Compared, row: &Row) -> (String, bool) {
    let runs = |profile: &str| found.runs.get(profile).map_or(0, |runs| runs.runs);
    let base = metric.rows.first().map_or(0, |base| base.n);
    let (n, all) = match found.paired {
        true => (row.difference.map_or(0, |delta| delta.n), runs(&row.profile)),
        false => (base + row.n, runs(&metric.baseline) + runs(&row.profile)),
    };
    (if n == all { n.to_string() } else { format!("{n} of {all}") }, n == all)
}

/// The comparison in a table.
fn tell(found: &Comparison) -> String {
    let Comparison { scenario, profiles, seeds, paired, .. } = found;
    let how = if *paired { "paired by seed" } else { "independent seeds" };
    let mut text = format!("{scenario}: {} runs of each profile, {how}\n", seeds.len());
    if let Some(WarmUps { until_s, unsteady, peers }) = found.warm_up {
        text += &format!(
            "warm-up: the first {until_s:.0} s of every run are left out, with {peers} peers that came in them; each run is steady by then\n"
        );
        if unsteady > 0 {
            let all: usize = found.runs.values().map(|runs| runs.runs).sum();
            text += &format!(
                "but for {unsteady} of {all} runs, not steady in their first half: make run.until longer\n"
            );
        }
    }
    for profile in profiles {
        let runs = found.runs.get(profile).copied().unwrap_or_default();
        if runs.censored > 0 {
            text += &unfinished(profile, runs);
        }
    }
    let several = profiles.len() > 2;
    let p = if several { "p (Holm)" } else { "p" };
    let first = profiles.first().map_or("", String::as_str);
    for profile in profiles.iter().skip(1) {
        text += &format!("\n{profile} against {first}\n");
        let heads = ["", "unit", first, profile, "difference [95 %]", "in %", p, "runs", ""];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        let (mut compared, mut different) = (0, 0);
        for (name, metric) in in_order(&found.metrics) {
            let base = metric.rows.first().and_then(|row| row.mean);
            let Some(row) = metric.rows.iter().find(|row| row.profile == *profile) else { continue };
            let in_runs = in_runs(found, metric, row);
            let Some(delta) = row.difference else {
                // One of them has it in no run that the other has it in: that says much.
                if SHOWN.contains(&name.as_str()) {
                    let values = [base, row.mean].map(|value| value.map_or("-".to_owned(), figure));
                    let own = [name.clone(), metric.unit.clone()].into_iter().chain(values);
                    let none = ["-", "-", "-"].map(str::to_owned).into_iter();
                    rows.push(own.chain(none).chain([in_runs.0, "not to be compared".to_owned()]).collect());
                }
                continue;
            };
            compared += 1;
            different += usize::from(delta.differs() == Some(true));
            if delta.differs() != Some(true) && in_runs.1 && !SHOWN.contains(&name.as_str()) {
                continue;
            }
            let percent = base
                .filter(|base| *base != 0.0)
                .map(|base| format!("{:+.1}", delta.mean / base.abs() * 100.0));
            let verdict = match delta.differs() {
                Some(true) if delta.mean < 0.0 => "lower",
                Some(true) => "higher",
                Some(false) if (delta.mean, delta.low, delta.high) == (0.0, Some(0.0), Some(0.0)) => {
                    "the same"
                }
                _ => "",
            };
            let figure = |value: Option<f64>| value.map_or("-".to_owned(), figure);
            rows.push(vec![
                name.clone(),
                metric.unit.clone(),
                figure(base),
                figure(row.mean),
                change(delta.mean, delta.low, delta.high),
                percent.unwrap_or_else(|| "-".to_owned()),
                probability(delta.p_holm.or(delta.p)),
                in_runs.0,
                if in_runs.1 {
                    verdict.to_owned()
                } else {
                    format!("{verdict} in these only").trim_start().to_owned()
                },
            ]);
        }
        text += &table(&rows);
        text += &format!(
            "{different} of {compared} figures are called different; of figures that do not differ in truth one in twenty is\n"
        );
    }
    text += "not all figures are shown: compare.csv has the others, and those of each class\n";
    if seeds.len() == 1 {
        text += "one seed only: no intervals\n";
    }
    text
}
