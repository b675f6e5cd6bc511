//! The cells of a sweep put together, wherever each was run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::compare::write_runs;
use crate::output::{self, MANIFEST, Manifest, OutputError};
use crate::replicate::{Ran, unit};
use crate::stats;
use crate::sweep::{PLAN, Plan};

/// The name of the table of all cells.
pub const CELLS_CSV: &str = "cells.csv";
/// The name of the means by combination.
pub const GATHERED: &str = "gathered.json";

/// `gathered.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gathered {
    /// The layout of the files.
    pub schema: u32,
    /// The name of the grid.
    pub grid: String,
    /// The name of its scenario.
    pub scenario: String,
    /// Versions by crate: the same of all cells.
    pub versions: BTreeMap<String, String>,
    /// How many cells the sweep has.
    pub cells: usize,
    /// The numbers of those that are not there, or not whole.
    pub missing: Vec<usize>,
    /// The numbers of those that were given up at the scenario's limit.
    pub given_up: Vec<usize>,
    /// Combinations of values, in the order of the grid.
    pub combinations: Vec<Combination>,
}

/// The cells that differ in nothing but the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Combination {
    /// The values by key.
    pub values: BTreeMap<String, String>,
    /// The seeds of the cells that are there.
    pub seeds: Vec<u64>,
    /// Peers that did not finish, in all of them.
    pub censored: u64,
    /// Figures by scope (`overall`, then each class).
    pub metrics: BTreeMap<String, BTreeMap<String, Mean>>,
}

/// The mean of a figure over runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// Its unit.
    pub unit: String,
    /// The mean.
    pub mean: f64,
    /// The ends of its 95 % interval; a single run has none.
    pub low: Option<f64>,
    /// See `low`.
    pub high: Option<f64>,
    /// In how many runs it is defined.
    pub n: usize,
}

/// Why cells cannot be put together; one line.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// There is no sweep.
    #[error("{}: no sweep: there is no {PLAN}, which `bt-lab sweep GRID --out DIR` writes", .0.display())]
    NoPlan(PathBuf),
    /// Cells are by different versions.
    #[error(
        "cells {a} and {b} are by different versions ({name}: {of_a} and {of_b}): run the older ones again"
    )]
    Versions {
        /// The number of a cell.
        a: usize,
        /// The number of another.
        b: usize,
        /// What there are two versions of.
        name: String,
        /// The version of the one.
        of_a: String,
        /// The version of the other.
        of_b: String,
    },
    /// The scenario, or a file that it names, was changed between two cells.
    #[error(
        "cells {a} and {b} are of a scenario that was changed in between: sweep again, which runs the older ones anew"
    )]
    Scenarios {
        /// The number of a cell.
        a: usize,
        /// The number of another.
        b: usize,
    },
    /// Cells are by different programs of one version.
    #[error(
        "cells {a} and {b} are by programs that were built differently, though of one version: run all with the same one"
    )]
    Programs {
        /// The number of a cell.
        a: usize,
        /// The number of another.
        b: usize,
    },
    /// A cell's folder has another run.
    #[error("{}: a run of {found}, not of cell {number} ({wanted})", folder.display())]
    Other {
        /// The number of the cell.
        number: usize,
        /// Where it is.
        folder: PathBuf,
        /// What it is a run of.
        found: String,
        /// What it should be a run of.
        wanted: String,
    },
    /// No cell is there.
    #[error("{}: none of the {cells} cells is there", dir.display())]
    Nothing {
        /// Where they would be.
        dir: PathBuf,
        /// How many there would be.
        cells: usize,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Puts together the cells of the sweep in `dir`, and writes [`CELLS_CSV`] and [`GATHERED`] there.
///
/// # Errors
/// When there is no sweep or no cell, one is of another run, cells are by different versions or programs or of a scenario
/// that was changed in between, or a file cannot be read or written. Cells that are missing are no error: the answer says which.
pub fn gather(dir: &Path) -> Result<Gathered, GatherError> {
    if !dir.join(PLAN).exists() {
        return Err(GatherError::NoPlan(dir.to_owned()));
    }
    let plan: Plan = output::read_json(&dir.join(PLAN))?;
    let mut missing = Vec::new();
    let mut there: Vec<(usize, Ran)> = Vec::new();
    let mut versions = BTreeMap::new();
    // Of each combination of values the scenario, as the first of its cells has it.
    let mut scenarios: BTreeMap<Vec<String>, (usize, Table)> = BTreeMap::new();
    for number in 1..=plan.cells.len() {
        let folder = Plan::folder(dir, number);
        if !folder.join(MANIFEST).exists() {
            missing.push(number);
            continue;
        }
        let ran = Ran::read(&folder)?;
        check(&plan, number, &folder, &ran.manifest)?;
        same_versions(&mut versions, number, &ran.manifest)?;
        if let Some((first, like)) = there.first() {
            let (a, like, own) = (*first, &like.manifest, &ran.manifest);
            if like.base != own.base {
                return Err(GatherError::Scenarios { a, b: number });
            }
            if like.machine.program != own.machine.program {
                return Err(GatherError::Programs { a, b: number });
            }
        }
        let text = without_seed(&ran.manifest.scenario.toml);
        let (first, like) =
            scenarios.entry(ran.manifest.sets.clone()).or_insert_with(|| (number, text.clone()));
        if *like != text {
            return Err(GatherError::Scenarios { a: *first, b: number });
        }
        there.push((number, ran));
    }
    if there.is_empty() {
        return Err(GatherError::Nothing { dir: dir.to_owned(), cells: plan.cells.len() });
    }
    let gathered = Gathered {
        schema: output::SCHEMA,
        grid: plan.grid.clone(),
        scenario: there[0].1.manifest.scenario.name.clone(),
        versions: versions.into_iter().map(|(name, (_, version))| (name, version)).collect(),
        cells: plan.cells.len(),
        missing,
        given_up: there.iter().filter(|(_, ran)| ran.manifest.ended == "limit").map(|(at, _)| *at).collect(),
        combinations: combinations(&there),
    };
    let row = |(number, ran): &'_ (usize, Ran)| {
        let values = ran.manifest.sets.iter().map(|set| key_and_value(set).1);
        std::iter::once(number.to_string()).chain(values).collect::<Vec<String>>()
    };
    let rows: Vec<(Vec<String>, &Ran)> = there.iter().map(|one| (row(one), &one.1)).collect();
    let columns: Vec<String> = std::iter::once("cell".to_owned()).chain(plan.keys.iter().cloned()).collect();
    write_runs(&dir.join(CELLS_CSV), &columns, &rows)?;
    output::save_json(&dir.join(GATHERED), &gathered)?;
    Ok(gathered)
}

/// A scenario's text as a table, in which the seed of the run is no difference.
fn without_seed(toml: &str) -> Table {
    let mut table: Table = toml.parse().unwrap_or_default();
    if let Some(Value::Table(run)) = table.get_mut("run") {
        run.remove("seed");
    }
    table
}

/// That a folder has the run of its cell.
fn check(plan: &Plan, number: usize, folder: &Path, found: &Manifest) -> Result<(), GatherError> {
    let cell = &plan.cells[number - 1];
    if (&cell.sets, cell.seed) == (&found.sets, found.seed) {
        return Ok(());
    }
    let told = |sets: &[String], seed: u64| format!("{} seed={seed}", sets.join(" ")).trim_start().to_owned();
    Err(GatherError::Other {
        number,
        folder: folder.to_owned(),
        found: told(&found.sets, found.seed),
        wanted: told(&cell.sets, cell.seed),
    })
}

/// Notes the versions of a cell; `known` has those of the cells before, each with the number of a cell.
fn same_versions(
    known: &mut BTreeMap<String, (usize, String)>,
    number: usize,
    found: &Manifest,
) -> Result<(), GatherError> {
    for (name, version) in &found.versions {
        let (other, known) = known.entry(name.clone()).or_insert_with(|| (number, version.clone()));
        if known != version {
            let (of_a, of_b) = (known.clone(), version.clone());
            return Err(GatherError::Versions { a: *other, b: number, name: name.clone(), of_a, of_b });
        }
    }
    Ok(())
}

fn key_and_value(set: &str) -> (String, String) {
    let (key, value) = set.split_once('=').unwrap_or((set, ""));
    (key.to_owned(), value.to_owned())
}

/// Cells of the same values, which are next to each other.
fn combinations(there: &[(usize, Ran)]) -> Vec<Combination> {
    let same = |a: &(usize, Ran), b: &(usize, Ran)| a.1.manifest.sets == b.1.manifest.sets;
    let combination = |cells: &[(usize, Ran)]| {
        let mut values: BTreeMap<&String, BTreeMap<&String, Vec<f64>>> = BTreeMap::new();
        for (_, ran) in cells {
            for (scope, figures) in &ran.figures {
                let own = values.entry(scope).or_default();
                figures.iter().for_each(|(name, value)| own.entry(name).or_default().push(*value));
            }
        }
        let means = values.into_iter().map(|(scope, figures)| {
            let figures =
                figures.into_iter().filter_map(|(name, values)| Some((name.clone(), mean(name, &values)?)));
            (scope.clone(), figures.collect())
        });
        Combination {
            values: cells[0].1.manifest.sets.iter().map(|set| key_and_value(set)).collect(),
            seeds: cells.iter().map(|(_, ran)| ran.manifest.seed).collect(),
            censored: cells.iter().map(|(_, ran)| ran.summary.censored).sum(),
            metrics: means.collect(),
        }
    };
    there.chunk_by(same).map(combination).collect()
}

fn mean(name: &str, values: &[f64]) -> Option<Mean> {
    let interval = stats::interval(values);
    Some(Mean {
        unit: unit(name).to_owned(),
        mean: stats::mean(values)?,
        low: interval.map(|found| found.low),
        high: interval.map(|found| found.high),
        n: values.len(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::measure::Measured;
    use crate::measure::{Dist, Summary};
    use crate::sweep::PlannedCell;

    /// A sweep of two values and two seeds; the cells with these versions are there.
    fn sweep(versions: [Option<&str>; 4]) -> TempDir {
        let dir = TempDir::new().unwrap();
        let cells: Vec<PlannedCell> = [("a=x", 1), ("a=x", 2), ("a=y", 1), ("a=y", 2)]
            .map(|(set, seed)| PlannedCell { sets: vec![set.to_owned()], seed })
            .to_vec();
        let plan = Plan {
            schema: 1,
            grid: "g".to_owned(),
            scenario: "s".to_owned(),
            keys: vec!["a".to_owned()],
            cells: cells.clone(),
        };
        plan.write(dir.path()).unwrap();
        for (at, (cell, version)) in cells.into_iter().zip(versions).enumerate() {
            let Some(version) = version else { continue };
            let manifest = Manifest {
                sets: cell.sets,
                seed: cell.seed,
                versions: [("bt-sim".to_owned(), version.to_owned())].into(),
                ended: "done".to_owned(),
                ..Manifest::default()
            };
            let overall = BTreeMap::from([("overhead".to_owned(), Dist::single(at as f64))]);
            let summary = Summary { overall, ..Summary::default() };
            let measured =
                Measured { summary, peers: Vec::new(), series: Vec::new(), choke_matrix: Vec::new() };
            output::write(&Plan::folder(dir.path(), at + 1), &manifest, &measured).unwrap();
        }
        dir
    }

    #[test]
    fn cells_are_put_together_and_those_missing_are_told() {
        let dir = sweep([Some("1"), Some("1"), None, Some("1")]);
        let found = gather(dir.path()).unwrap();
        assert_eq!((found.cells, found.missing, found.given_up), (4, vec![3], vec![]));
        assert_eq!(found.combinations.len(), 2);
        let both = &found.combinations[0];
        assert_eq!((both.values["a"].as_str(), &both.seeds[..]), ("x", &[1, 2][..]));
        let overhead = &both.metrics["overall"]["overhead"];
        assert_eq!((overhead.mean, overhead.n), (0.5, 2));
        let table = fs::read_to_string(dir.path().join(CELLS_CSV)).unwrap();
        assert_eq!(
            table,
            "cell,a,seed,scope,metric,value\n1,x,1,overall,overhead,0\n2,x,2,overall,overhead,1\n4,y,2,overall,overhead,3\n"
        );
    }

    #[test]
    fn mixed_versions_are_refused() {
        let dir = sweep([Some("1"), Some("1"), Some("2"), None]);
        assert_eq!(
            gather(dir.path()).unwrap_err().to_string(),
            "cells 1 and 3 are by different versions (bt-sim: 1 and 2): run the older ones again"
        );
        assert!(!dir.path().join(GATHERED).exists());
    }

    #[test]
    fn a_changed_scenario_and_another_program_are_noticed_in_cells_of_other_values() {
        let change = |number: usize, change: fn(&mut Manifest)| {
            let dir = sweep([Some("1"); 4]);
            let path = Plan::folder(dir.path(), number).join(MANIFEST);
            let mut manifest: Manifest = output::read_json(&path).unwrap();
            change(&mut manifest);
            output::save_json(&path, &manifest).unwrap();
            gather(dir.path()).map_err(|error| error.to_string())
        };
        let told = |number, of| change(number, of).unwrap_err();
        let base = told(3, |manifest| manifest.base = Some("another".to_owned()));
        assert_eq!(
            base,
            "cells 1 and 3 are of a scenario that was changed in between: sweep again, which runs the older ones anew"
        );
        let program = told(4, |manifest| manifest.machine.program = Some("another".to_owned()));
        assert!(
            program.starts_with("cells 1 and 4 are by programs that were built differently"),
            "{program}"
        );
        // A profile that is the value of a key was changed: its own cells differ.
        let text =
            told(4, |manifest| manifest.scenario.toml = "run = { seed = 2, limit = '1 h' }".to_owned());
        assert!(text.starts_with("cells 3 and 4 are of a scenario"), "{text}");
        assert!(change(1, |_| {}).is_ok());
    }

    #[test]
    fn the_seed_is_no_difference_of_scenarios() {
        assert_eq!(
            without_seed("a = 1\n[run]\nseed = 1\nlimit = '1 h'"),
            without_seed("a = 1\nrun.limit = '1 h'")
        );
        assert_ne!(without_seed("a = 1"), without_seed("a = 2"));
    }

    #[test]
    fn what_is_no_sweep_is_told() {
        let dir = TempDir::new().unwrap();
        assert!(gather(dir.path()).unwrap_err().to_string().contains("no sweep: there is no sweep.json"));
        let dir = sweep([None; 4]);
        assert!(gather(dir.path()).unwrap_err().to_string().ends_with("none of the 4 cells is there"));
        let dir = sweep([Some("1"), None, None, None]);
        fs::rename(Plan::folder(dir.path(), 1), Plan::folder(dir.path(), 2)).unwrap();
        let error = gather(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("a run of a=x seed=1, not of cell 2 (a=x seed=2)"), "{error}");
    }
}
