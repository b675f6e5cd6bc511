//! Runs the cells of a reproduction: in parallel, and each only once.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use bt_runtime::TextError;

use crate::Scenario;
use crate::experiment::{Events, Experiment, RunError};
use crate::measure::{Measured, Playback, Player};
use crate::replicate::over_cores;
use crate::swarm::Ended;

/// What is kept of a run: a few figures by name.
pub type Figures = BTreeMap<String, f64>;

/// A scenario that is run with several seeds.
pub struct Cell<'a> {
    /// What it is called, in the folder and while it runs: short, and another for each cell of a reproduction.
    pub label: String,
    /// What is run.
    pub scenario: Scenario,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// What is kept of a run. A figure that a run does not have is left out.
    pub read: &'a (dyn Fn(&Measured) -> Figures + Sync),
}

/// Why a reproduction came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Somebody asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// A scenario or one of its profiles is wrong.
    #[error("{}", .0.detailed())]
    Scenario(#[from] TextError),
    /// Something does not hold that holds in every run.
    #[error("{label}, seed {seed}: {error}")]
    Run {
        /// Which cell.
        label: String,
        /// Which run of it.
        seed: u64,
        /// What is wrong.
        error: RunError,
    },
    /// A result cannot be read or kept.
    #[error("cannot {what} {}: {error}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

/// Where and how reproductions are run.
pub struct Lab<'a> {
    /// Small swarms and few seeds.
    pub quick: bool,
    /// Where results are kept and found again; `None`: nowhere.
    pub folder: Option<PathBuf>,
    /// How many runs go on at a time, at least 1.
    pub threads: usize,
    /// Told which cell goes on, how many of the runs asked for at once are done, and how many there are.
    pub progress: &'a (dyn Fn(&str, usize, usize) + Sync),
    /// Whether to end early.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// What made the results: those of another program do not count.
    pub program: String,
}

/// A result as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    label: String,
    seed: u64,
    figures: Figures,
}

impl Lab<'_> {
    /// The seeds 1, 2, …: so many in full, five at most if it is to be quick.
    pub fn seeds(&self, full: u64) -> Vec<u64> {
        (1..=if self.quick { full.min(5) } else { full }).collect()
    }

    /// The first value if it is to be quick, else the second.
    pub fn either<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// A scenario from a text, with `sets` put in as `--set` does.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn scenario(&self, name: &str, text: &str, sets: &[String]) -> Result<Scenario, LabError> {
        Ok(Scenario::from_text(name, text, sets)?)
    }

    /// Runs all cells, so many runs at a time as there are threads; answers with the figures of each cell, in the
    /// order of its seeds. The answer does not depend on the order in which runs end.
    ///
    /// # Errors
    /// The first one, by cell and seed; or that it was interrupted.
    pub fn run(&self, cells: &[Cell<'_>]) -> Result<Vec<Vec<Figures>>, LabError> {
        self.run_playing(cells, None)
    }

    /// As [`run`](Self::run); with a player, peers have the metrics of [`Playback`] as well.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_playing(
        &self,
        cells: &[Cell<'_>],
        player: Option<Player>,
    ) -> Result<Vec<Vec<Figures>>, LabError> {
        let jobs: Vec<(usize, u64)> = cells
            .iter()
            .enumerate()
            .flat_map(|(at, cell)| cell.seeds.iter().map(move |&seed| (at, seed)))
            .collect();
        for cell in cells {
            self.write_scenario(cell)?;
        }
        let mut all: Vec<Option<Figures>> = jobs
            .iter()
            .map(|&(cell, seed)| Some(kept_at(&self.path(&cells[cell], seed)?)?.figures))
            .collect();
        let open: Vec<usize> = (0..jobs.len()).filter(|&at| all[at].is_none()).collect();
        let done = AtomicUsize::new(jobs.len() - open.len());
        let work = |at: usize, _: &mut dyn FnMut(f64) -> bool| {
            let (cell, seed) = jobs[open[at]];
            (self.progress)(&cells[cell].label, done.load(Ordering::Relaxed), jobs.len());
            let figures = self.one(&cells[cell], seed, player)?;
            done.fetch_add(1, Ordering::Relaxed);
            Ok::<_, LabError>(figures)
        };
        let threads = NonZeroUsize::new(self.threads).unwrap_or(NonZeroUsize::MIN);
        let fresh = over_cores(open.len(), threads, &|| Duration::ZERO, &work, &mut |_| !(self.stop)())?;
        for (at, figures) in open.iter().zip(fresh.ok_or(LabError::Interrupted)?) {
            all[*at] = Some(figures);
        }
        let mut figures: Vec<Vec<Figures>> = cells.iter().map(|_| Vec::new()).collect();
        for ((cell, _), found) in jobs.iter().zip(all) {
            figures[*cell].extend(found);
        }
        Ok(figures)
    }

    /// One run; `None` if somebody asked for its end.
    fn one(&self, cell: &Cell<'_>, seed: u64, player: Option<Player>) -> Result<Option<Figures>, LabError> {
        if (self.stop)() {
            return Ok(None);
        }
        let experiment =
            Experiment { scenario: &cell.scenario, seed, sets: &[], base: None, events: Events::Dropped };
        let mut playback = player.map(Playback::new);
        let mut go_on = |_, _| !(self.stop)();
        let done = match &mut playback {
            Some(playback) => experiment.run_with(playback, &mut go_on),
            None => experiment.run(&mut go_on),
        };
        let mut done = done.map_err(|error| LabError::Run { label: cell.label.clone(), seed, error })?;
        if let Some(playback) = playback {
            playback.finish(done.outcome.now, &mut done.measured.peers);
        }
        if done.outcome.ended == Ended::Interrupted {
            return Ok(None);
        }
        let mut figures = (cell.read)(&done.measured);
        figures.retain(|_, value| value.is_finite());
        if let Some(path) = self.path(cell, seed) {
            let kept = Kept { label: cell.label.clone(), seed, figures: figures.clone() };
            let text = serde_json::to_string(&kept).expect("figures are finite numbers");
            write(&path, &text)?;
        }
        Ok(Some(figures))
    }

    /// Where a result is kept.
    fn path(&self, cell: &Cell<'_>, seed: u64) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join("cells").join(self.file(cell, seed)))
    }

    /// The name of a result: by all that it depends on.
    fn file(&self, cell: &Cell<'_>, seed: u64) -> String {
        let mut hash = Sha256::new();
        for part in [&self.program, &cell.label, &cell.scenario.to_toml()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(seed.to_le_bytes());
        let digits: String = hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        format!("{digits}.json")
    }

    /// Writes the scenario of a cell, for `bt-lab run`.
    fn write_scenario(&self, cell: &Cell<'_>) -> Result<(), LabError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let name: String =
            cell.label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        write(&folder.join("scenarios").join(format!("{name}.toml")), &cell.scenario.to_toml())
    }
}

/// A result that was kept; none if there is none, or half of one.
fn kept_at(path: &Path) -> Option<Kept> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

/// Writes a file as a whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> Result<(), LabError> {
    let failed = |error| LabError::File { what: "write", path: path.to_owned(), error };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let unfinished = path.with_extension("tmp");
    fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, path)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use bt_policies as _;
    use bt_storage as _;

    use super::*;

    const SCENARIO: &str = r#"
[content]
size = "512 KiB"
piece = "64 KiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "1 MiB/s"
down = "unlimited"
profile = { choke = { use = "random" }, piece.use = "sequential", storage.use = "memory", tracker.use = "http" }
[[peers]]
name = "leecher"
count = 5
up = "512 KiB/s"
down = "4 MiB/s"
profile = { choke = { use = "random" }, piece.use = "sequential", storage.use = "memory", tracker.use = "http" }
"#;

    fn end(measured: &Measured) -> Figures {
        let summary = &measured.summary;
        Figures::from([("end".to_owned(), summary.end_s), ("none".to_owned(), f64::NAN)])
    }

    fn run(threads: usize, folder: Option<&Path>, stop: &AtomicBool) -> Result<Vec<Vec<Figures>>, LabError> {
        let lab = Lab {
            quick: true,
            folder: folder.map(Path::to_owned),
            threads,
            progress: &|_, _, _| {},
            stop: &|| stop.load(Ordering::Relaxed),
            program: "this".to_owned(),
        };
        let cell = |count: u32| {
            let sets = [format!("peers.leecher.count={count}")];
            let scenario = lab.scenario("small", SCENARIO, &sets).unwrap();
            Cell { label: format!("{count} peers"), scenario, seeds: lab.seeds(30), read: &end }
        };
        lab.run(&[cell(3), cell(5)])
    }

    #[test]
    fn results_do_not_depend_on_threads_and_are_found_again() {
        let (go, stop) = (AtomicBool::new(false), AtomicBool::new(true));
        let folder = tempfile::tempdir().unwrap();
        let alone = run(1, None, &go).unwrap();
        assert_eq!(alone.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
        assert!(alone.iter().flatten().all(|figures| figures.keys().eq(["end"])), "no NaN is kept");
        assert_eq!(run(3, Some(folder.path()), &go).unwrap(), alone);
        assert_eq!(run(2, Some(folder.path()), &stop).unwrap(), alone, "nothing is left to run");
        assert!(folder.path().join("scenarios/3-peers.toml").exists());
    }

    #[test]
    fn who_is_asked_to_stop_does_and_half_a_result_is_none() {
        let (go, stop) = (AtomicBool::new(false), AtomicBool::new(true));
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(run(2, Some(folder.path()), &stop), Err(LabError::Interrupted)));
        let whole = run(2, Some(folder.path()), &go).unwrap();
        for cell in fs::read_dir(folder.path().join("cells")).unwrap() {
            fs::write(cell.unwrap().path(), "{\"label\":").unwrap();
        }
        assert_eq!(run(2, Some(folder.path()), &go).unwrap(), whole);
    }
}
