//! Sweeps: the cells of a grid, on one machine or on many.
//!
//! A sweep's folder has a list of jobs, one line of shell for each cell, and the same as a Slurm job array; neither knows
//! more than the number of a cell, so GNU parallel, Slurm or anything else that runs commands can do the work. Each cell
//! has a folder of its own, which is whole once its manifest is there, and a cell that is whole is not run again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bt_runtime::TextError;
use serde::{Deserialize, Serialize};

use crate::grid::Cell;
use crate::output::{self, OutputError};
use crate::replicate::Job;
use crate::{Grid, Scenario};

/// The name of the plan.
pub const PLAN: &str = "sweep.json";
/// The name of the list of jobs.
pub const JOBS: &str = "jobs.txt";
/// The name of the script for Slurm.
pub const SLURM: &str = "array.sbatch";
/// The folder of the cells' folders.
const CELLS: &str = "cells";

/// The most tasks of an array: the highest number that Slurm allows unless its configuration says otherwise. With more
/// cells, a task runs several.
const MOST_TASKS: usize = 1000;

/// `sweep.json`: which cells there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The layout of the files.
    pub schema: u32,
    /// The name of the grid.
    pub grid: String,
    /// The path or the shipped name of its scenario.
    pub scenario: String,
    /// The keys that vary, in the order of the grid.
    pub keys: Vec<String>,
    /// The cells in the order of their numbers, from 1 on.
    pub cells: Vec<PlannedCell>,
}

/// A cell in a [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCell {
    /// What is set, `KEY=VALUE`.
    pub sets: Vec<String>,
    /// The seed.
    pub seed: u64,
}

impl Plan {
    /// The plan of a grid.
    pub fn of(grid: &Grid) -> Self {
        let cells = grid.cells().into_iter().map(|Cell { sets, seed, .. }| PlannedCell { sets, seed });
        Self {
            schema: output::SCHEMA,
            grid: grid.name.clone(),
            scenario: grid.scenario.clone(),
            keys: grid.axes.iter().map(|axis| axis.key.clone()).collect(),
            cells: cells.collect(),
        }
    }

    /// Where the files of cell `number`, counted from 1, are.
    pub fn folder(dir: &Path, number: usize) -> PathBuf {
        dir.join(CELLS).join(number.to_string())
    }

    /// The jobs of the cells with these numbers.
    ///
    /// # Errors
    /// When the scenario is no longer what it was when the grid was loaded.
    pub fn jobs(&self, dir: &Path, numbers: &[usize]) -> Result<Vec<Job>, TextError> {
        let mut known: BTreeMap<&[String], Arc<Scenario>> = BTreeMap::new();
        // What is nothing by itself, before anything is set, is known by why not.
        let base = match Scenario::load(&self.scenario, &[]) {
            Ok(scenario) => scenario.to_toml(),
            Err(error) => error.to_string(),
        };
        let base = output::sha256(base.as_bytes());
        let job = |&number: &usize| {
            let cell = &self.cells[number - 1];
            let scenario = match known.get(&*cell.sets) {
                Some(scenario) => scenario.clone(),
                None => {
                    let loaded = Arc::new(Scenario::load(&self.scenario, &cell.sets)?);
                    known.insert(&cell.sets, loaded.clone());
                    loaded
                }
            };
            let what = std::iter::once(format!("cell {number}")).chain(cell.sets.iter().cloned());
            Ok(Job {
                what: what.collect::<Vec<_>>().join(", "),
                scenario,
                seed: cell.seed,
                sets: cell.sets.clone(),
                base: Some(base.clone()),
                folder: Some(Self::folder(dir, number)),
            })
        };
        numbers.iter().map(job).collect()
    }

    /// The numbers of all cells, the first seed of all combinations first: so the first results say something of all,
    /// and the time that is left is told from cells of every kind.
    pub fn in_turn(&self) -> Vec<usize> {
        let mut turns: BTreeMap<&[String], usize> = BTreeMap::new();
        let mut numbers: Vec<(usize, usize)> = Vec::new();
        for (at, cell) in self.cells.iter().enumerate() {
            let turn = turns.entry(&cell.sets).or_default();
            numbers.push((*turn, at + 1));
            *turn += 1;
        }
        numbers.sort_unstable();
        numbers.into_iter().map(|(_, number)| number).collect()
    }

    /// Writes the plan to `dir`, where it is not there as it is. Several that begin at once do not disturb each other.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), OutputError> {
        let path = dir.join(PLAN);
        if output::read_json::<Self>(&path).is_ok_and(|found| found == *self) {
            return Ok(());
        }
        let own = dir.join(format!("{PLAN}.{}", std::process::id()));
        output::save_json(&own, self)?;
        fs::rename(&own, &path).map_err(|error| OutputError::new("writing", &path, error))
    }

    /// Writes the list of jobs and the Slurm script to `dir`; `command` runs a cell once its number is appended.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write_jobs(&self, dir: &Path, command: &[String]) -> Result<(), OutputError> {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        let command = words.join(" ");
        output::save(&dir.join(JOBS), |out| {
            (1..=self.cells.len()).try_for_each(|number| writeln!(out, "{command} {number}"))
        })?;
        let script = slurm(&self.grid, dir, &command, self.cells.len());
        output::save(&dir.join(SLURM), |out| out.write_all(script.as_bytes()))
    }
}

/// The script of a job array: each task runs one cell, or every so many-th.
fn slurm(name: &str, dir: &Path, command: &str, cells: usize) -> String {
    let tasks = cells.clamp(1, MOST_TASKS);
    let log = dir.join("slurm-%A_%a.out").display().to_string().replace(['"', '\n'], "?");
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let mut script = String::from("#!/bin/sh\n");
    let _ = writeln!(script, "#SBATCH --job-name={name}");
    let _ = writeln!(script, "#SBATCH --array=1-{tasks}");
    let _ = writeln!(script, "#SBATCH --ntasks=1");
    let _ = writeln!(script, "#SBATCH --cpus-per-task=1");
    let _ = writeln!(script, "#SBATCH --output=\"{log}\"");
    let _ = writeln!(script, "cell=$SLURM_ARRAY_TASK_ID");
    let _ = writeln!(script, "while [ \"$cell\" -le {cells} ]; do");
    let _ = writeln!(script, "    {command} \"$cell\" || exit");
    let _ = writeln!(script, "    cell=$((cell + {tasks}))");
    let _ = writeln!(script, "done");
    script
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,+:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let cell = |set: &str, seed| PlannedCell { sets: vec![set.to_owned()], seed };
        Plan {
            schema: 1,
            grid: "g".to_owned(),
            scenario: "s".to_owned(),
            keys: vec!["a".to_owned()],
            cells: vec![cell("a=1", 1), cell("a=1", 2), cell("a=2", 1), cell("a=2", 2)],
        }
    }

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted("/usr/bin/bt-lab"), "/usr/bin/bt-lab");
        assert_eq!(quoted("my grid's.toml"), "'my grid'\\''s.toml'");
        assert_eq!((quoted(""), quoted("$HOME")), ("''".to_owned(), "'$HOME'".to_owned()));
    }

    #[test]
    fn seeds_take_turns() {
        assert_eq!(plan().in_turn(), [1, 3, 2, 4]);
    }

    #[test]
    fn a_job_for_each_cell() {
        let dir = tempfile::TempDir::new().unwrap();
        plan().write(dir.path()).unwrap();
        assert_eq!(output::read_json::<Plan>(&dir.path().join(PLAN)).unwrap(), plan());
        plan().write_jobs(dir.path(), &["bt-lab", "sweep", "my grid", "--cell"].map(str::to_owned)).unwrap();
        let jobs = fs::read_to_string(dir.path().join(JOBS)).unwrap();
        assert_eq!(
            jobs.lines().collect::<Vec<_>>(),
            [1, 2, 3, 4].map(|n| format!("bt-lab sweep 'my grid' --cell {n}"))
        );
        assert!(!dir.path().join(format!("{PLAN}.{}", std::process::id())).exists());
    }

    #[test]
    fn an_array_has_a_task_for_each_cell_or_for_every_thousandth() {
        let script = slurm("my grid", Path::new("/out"), "run --cell", 4);
        assert!(
            script.contains("\n#SBATCH --array=1-4\n") && script.contains("--job-name=my-grid\n"),
            "{script}"
        );
        assert!(script.contains("    run --cell \"$cell\" || exit\n"), "{script}");
        let script = slurm("g", Path::new("/out"), "run", 2500);
        assert!(
            script.contains("--array=1-1000\n")
                && script.contains("-le 2500 ]")
                && script.contains("cell + 1000")
        );
    }
}
