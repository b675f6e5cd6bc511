//! `bt-lab gather`: the cells of a sweep put together.

use std::path::PathBuf;

use super::Failure;
use super::many::{figure, table};
use super::terminal::Terminal;
use crate::gather::{CELLS_CSV, Combination, Mean, gather};
use crate::grid::ranges;
use crate::measure::OVERALL;
use crate::replicate::MEDIAN_TIME;

/// Puts the cells of a sweep together, wherever they were run.
///
/// DIR gets cells.csv (tidy: cell, the keys that vary, seed, scope, metric, value) and gathered.json (means over seeds with
/// 95 % intervals). Cells by different versions are refused. Exit code 1 when cells are missing. `bt-lab report DIR` makes
/// the page.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The folder of a sweep
    dir: PathBuf,
}

/// What is shown of each combination.
const SHOWN: [&str; 4] = ["completion_time", MEDIAN_TIME, "upload_utilization", "jain_ratio"];

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    let found = gather(&options.dir).map_err(|error| Failure::failed(error.to_string()))?;
    let mut rows = vec![heads()];
    rows.extend(found.combinations.iter().map(row));
    terminal.out.write_all(table(&rows).as_bytes())?;
    writeln!(terminal.out, "{}", options.dir.join(CELLS_CSV).display())?;
    if !found.given_up.is_empty() {
        let cells = ranges(&found.given_up);
        terminal.note(&format!("given up at the scenario's limit, with unfinished peers: {cells}"));
    }
    if !found.missing.is_empty() {
        let (missing, all) = (found.missing.len(), found.cells);
        let cells = ranges(&found.missing);
        terminal.note(&format!(
            "{missing} of {all} cells are missing: {cells}; the sweep goes on where it ended"
        ));
        return Ok(1);
    }
    Ok(0)
}

fn heads() -> Vec<String> {
    let own = ["cell", "seeds", "unfinished"].into_iter();
    own.chain(SHOWN).map(str::to_owned).collect()
}

fn row(one: &Combination) -> Vec<String> {
    let values: Vec<String> = one.values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let values = if values.is_empty() { "all".to_owned() } else { values.join(" ") };
    let mean = |name: &str| one.metrics.get(OVERALL).and_then(|figures| figures.get(name));
    let shown = |found: Option<&Mean>| match found {
        None => "-".to_owned(),
        Some(Mean { mean, low: Some(low), high: Some(high), .. }) => {
            format!("{} [{}, {}]", figure(*mean), figure(*low), figure(*high))
        }
        Some(found) => figure(found.mean),
    };
    let own = [values, one.seeds.len().to_string(), one.censored.to_string()];
    own.into_iter().chain(SHOWN.map(|name| shown(mean(name)))).collect()
}
