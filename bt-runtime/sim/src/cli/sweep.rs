//! `bt-lab sweep`: the cells of a grid.

use std::path::{Path, PathBuf};

use super::Failure;
use super::many::{Finished, Threads, run as run_all};
use super::terminal::Terminal;
use crate::Grid;
use crate::output;
use crate::sweep::{JOBS, Plan, SLURM};

/// Runs the cells of a grid, here or by a list of jobs.
///
/// DIR gets sweep.json (which cells there are), jobs.txt with one line of shell for each cell, array.sbatch with the same
/// as a Slurm job array, and the files of each cell in cells/NUMBER. A cell that is there already, whole and of the same
/// scenario, seed and versions, is not run again. `bt-lab gather DIR` puts the cells together.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-lab sweep grid.toml --out sizes
  bt-lab sweep grid.toml --out sizes --plan && parallel < sizes/jobs.txt     (GNU parallel; --sshlogin for other machines)
  bt-lab sweep grid.toml --out sizes --plan && sbatch sizes/array.sbatch     (Slurm)
  bt-lab sweep grid.toml --out sizes --cell 17")]
pub(super) struct Options {
    /// The grid: a file that names a scenario, the values of its keys, and seeds
    grid: String,
    /// The folder for what comes out; made where there is none
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Run this cell alone, counted from 1
    #[arg(long, value_name = "K", conflicts_with = "plan")]
    cell: Option<usize>,
    /// Only write the plan and the lists of jobs
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    threads: Threads,
}

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    let grid =
        if options.cell.is_some() { Grid::load_unchecked(&options.grid) } else { Grid::load(&options.grid) }?;
    let plan = Plan::of(&grid);
    let count = plan.cells.len();
    let dir = absolute(&options.out);
    if let Some(cell) = options.cell.filter(|cell| !(1..=count).contains(cell)) {
        return Err(Failure::usage(format!("--cell {cell}: this grid has cells 1 to {count}")));
    }
    output::prepare(&dir)?;
    plan.write(&dir)?;
    if options.cell.is_none() {
        plan.write_jobs(&dir, &command(&options.grid, &dir))?;
    }
    if options.plan {
        for file in [JOBS, SLURM] {
            writeln!(terminal.out, "{}", options.out.join(file).display())?;
        }
        return Ok(0);
    }
    let numbers = options.cell.map_or_else(|| plan.in_turn(), |cell| vec![cell]);
    let jobs = plan.jobs(&dir, &numbers)?;
    match run_all(&plan.grid, &jobs, &options.threads, terminal)? {
        Finished::Interrupted(code) => Ok(code),
        Finished::All(_) if options.cell.is_some() => Ok(0),
        Finished::All(_) => {
            writeln!(terminal.out, "{count} cells are in {}; next: bt-lab gather", options.out.display())?;
            Ok(0)
        }
    }
}

/// What runs a cell once its number is appended, from any folder: this program, as it was called.
fn command(grid: &str, dir: &Path) -> Vec<String> {
    let called = std::env::args_os().next().unwrap_or_else(|| "bt-lab".into());
    let by_path = Path::new(&called).components().count() > 1;
    let program = if by_path { absolute(Path::new(&called)) } else { PathBuf::from(&called) };
    let grid = if Path::new(grid).is_file() { absolute(Path::new(grid)) } else { PathBuf::from(grid) };
    let path = |path: &Path| path.display().to_string();
    vec![path(&program), "sweep".into(), path(&grid), "--out".into(), path(dir), "--cell".into()]
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
