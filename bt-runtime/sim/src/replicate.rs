//! Many runs over the processors: the same results in the same order, however many processors there are.
//!
//! The run is the unit: each is simulated by one thread alone, so nothing of it depends on the others. What a run left
//! in its folder before is taken as it is when it is the same run: the same scenario, seed and versions.

mod figures;
mod warm_up;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::Scenario;
use crate::experiment::{Events, Experiment, RunError};
use crate::measure::{Measured, PeerRow, Summary};
use crate::output::{self, MANIFEST, Manifest, SUMMARY};
use crate::swarm::Ended;

pub use figures::{Figures, Lasted, MEDIAN_TIME, figures, lasted, median_time, place, unit};
pub use warm_up::cut_alike;

/// One run of many.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which of them it is, but for its seed: what its profile, its peers or its values are. For messages.
    pub what: String,
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// The seed of every draw.
    pub seed: u64,
    /// What `--set` changed; the scenario has it in already.
    pub sets: Vec<String>,
    /// As in [`Manifest::base`].
    pub base: Option<String>,
    /// Where the files of the run go; without a folder nothing is written, nor hashed.
    pub folder: Option<PathBuf>,
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// What was run.
    pub manifest: Manifest,
    /// Distributions and single figures.
    pub summary: Summary,
    /// What is compared and averaged over runs.
    pub figures: Figures,
    /// How long each peer took, by class.
    pub lasted: BTreeMap<String, Vec<Lasted>>,
    /// Whether it had been run before.
    pub reused: bool,
    /// All of it, where it has a warm-up and no folder from which it could be read again.
    all: Option<Box<Measured>>,
}

/// How far many runs are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Runs that are done.
    pub done: usize,
    /// All runs that were to be run.
    pub count: usize,
    /// The part of all that is done, from 0 to 1, with what runs now.
    pub part: f64,
    /// The time until all are done, if those to come take as long as those that are done: not known before one is.
    pub left: Option<Duration>,
}

/// How often progress is told while no run ends.
const LOOK: Duration = Duration::from_millis(100);

/// What [`AtomicU32`] counts the part of a run in.
const STEPS: f64 = 1e6;

/// As many threads as there are processors.
pub fn processors() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Runs all jobs that have not been run before; the answers are in the order of the jobs. `watch` hears how far it is;
/// `false` ends it: then there is no answer, and whole runs have their files. `clock` is only told, never used.
///
/// # Errors
/// The first that there was in the order of the jobs; the runs that go on then are ended.
pub fn replicate(
    jobs: &[Job],
    threads: NonZeroUsize,
    clock: &(dyn Fn() -> Duration + Sync),
    watch: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Option<Vec<Ran>>, RunError> {
    let mut all: Vec<Option<Ran>> = jobs.iter().map(Job::ran_before).collect();
    let open: Vec<usize> = (0..jobs.len()).filter(|&at| all[at].is_none()).collect();
    let run = |at: usize, tell: &mut dyn FnMut(f64) -> bool| jobs[open[at]].run(clock, tell);
    let Some(fresh) = over_cores(open.len(), threads, clock, &run, watch)? else { return Ok(None) };
    for (at, ran) in open.into_iter().zip(fresh) {
        all[at] = Some(ran);
    }
    Ok(all.into_iter().collect())
}

/// Does `work` for each number below `count`, several at a time; the answers are in the order of the numbers. `work` is
/// to tell how much of its own is done, from 0 to 1, and to end without an answer when it hears `false`.
///
/// # Errors
/// The first of `work` in the order of the numbers; what goes on then is ended.
pub fn over_cores<T: Send, E: Send, W>(
    count: usize,
    threads: NonZeroUsize,
    clock: &(dyn Fn() -> Duration + Sync),
    work: &W,
    watch: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Option<Vec<T>>, E>
where
    W: Fn(usize, &mut dyn FnMut(f64) -> bool) -> Result<Option<T>, E> + Sync,
{
    let (next, stop) = (&AtomicUsize::new(0), &AtomicBool::new(false));
    let parts: Vec<AtomicU32> = (0..threads.get().min(count)).map(|_| AtomicU32::new(0)).collect();
    let mut answers: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let mut failed: Option<(usize, E)> = None;
    let (mut done, mut busy) = (0, Duration::ZERO);
    thread::scope(|scope| {
        let (tell, hear) = mpsc::channel();
        for part in &parts {
            let tell = tell.clone();
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let begin = clock();
                    let answer = work(at, &mut |done| {
                        part.store((done.clamp(0.0, 1.0) * STEPS) as u32, Ordering::Relaxed);
                        !stop.load(Ordering::Relaxed)
                    });
                    part.store(0, Ordering::Relaxed);
                    if tell.send((at, answer, clock().saturating_sub(begin))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(tell);
        loop {
            match hear.recv_timeout(LOOK) {
                Ok((at, Ok(Some(answer)), took)) => {
                    answers[at] = Some(answer);
                    (done, busy) = (done + 1, busy + took);
                }
                Ok((_, Ok(None), _)) => {}
                Ok((at, Err(error), _)) => {
                    stop.store(true, Ordering::Relaxed);
                    if failed.as_ref().is_none_or(|(first, _)| at < *first) {
                        failed = Some((at, error));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let running: f64 = parts.iter().map(|part| f64::from(part.load(Ordering::Relaxed)) / STEPS).sum();
            let whole = (done as f64 + running).min(count as f64);
            let mean = busy.checked_div(done as u32);
            let left = mean.map(|mean| mean.mul_f64((count as f64 - whole) / parts.len() as f64));
            if !watch(&Progress { done, count, part: whole / count as f64, left }) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    match failed {
        Some((_, error)) => Err(error),
        None => Ok(answers.into_iter().collect()),
    }
}

impl Job {
    fn experiment(&self) -> Experiment<'_> {
        let events = if self.folder.is_some() { Events::Hashed } else { Events::Dropped };
        let base = self.base.as_deref();
        Experiment { scenario: &self.scenario, seed: self.seed, sets: &self.sets, base, events }
    }

    /// What its folder has, if it is this run and whole.
    pub fn ran_before(&self) -> Option<Ran> {
        let folder = self.folder.as_deref()?;
        let found: Manifest = output::read_json(&folder.join(MANIFEST)).ok()?;
        let wanted = self.experiment().manifest();
        if !wanted.is_of_same_run(&found) || found.machine.program != output::program() {
            return None;
        }
        Ran::read(folder).ok().filter(|ran| ran.manifest == found)
    }

    fn run(
        &self,
        clock: &(dyn Fn() -> Duration + Sync),
        tell: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Ran>, RunError> {
        let begin = clock();
        let mut watch = |_, done| tell(done);
        let done = match &self.folder {
            Some(folder) => {
                let wall = || clock().saturating_sub(begin);
                self.experiment().run_into(folder, &wall, &mut watch)
            }
            None => self.experiment().run(&mut watch),
        };
        let done = done.map_err(|error| error.of(&self.what, self.seed))?;
        if done.outcome.ended == Ended::Interrupted {
            return Ok(None);
        }
        let measured = done.measured;
        let all = measured.summary.warm_up.is_some() && self.folder.is_none();
        let ran = Ran::new(done.manifest, measured.summary.clone(), &measured.peers, false);
        Ok(Some(Ran { all: all.then(|| measured.into()), ..ran }))
    }
}

impl Ran {
    fn new(manifest: Manifest, summary: Summary, peers: &[PeerRow], reused: bool) -> Self {
        let lasted = lasted(peers, &summary);
        Self { figures: figures(&summary, &lasted), manifest, summary, lasted, reused, all: None }
    }

    /// The run whose files are in `folder`.
    ///
    /// # Errors
    /// When a file is missing or is not what a run writes.
    pub fn read(folder: &Path) -> Result<Self, output::OutputError> {
        let summary = output::read_json(&folder.join(SUMMARY))?;
        let peers = output::read_peers(folder)?;
        Ok(Self::new(output::read_json(&folder.join(MANIFEST))?, summary, &peers, true))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const NO_TIME: &(dyn Fn() -> Duration + Sync) = &|| Duration::from_secs(1);

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn answers_are_in_order_whatever_the_number_of_threads() {
        for count in [1, 3, 8] {
            let square = |at: usize, _: &mut dyn FnMut(f64) -> bool| {
                thread::sleep(Duration::from_micros(997 * (at as u64 % 5)));
                Ok::<_, Infallible>(Some(at * at))
            };
            let mut last = None;
            let mut watch = |progress: &Progress| {
                last = Some(*progress);
                true
            };
            let found = over_cores(20, threads(count), NO_TIME, &square, &mut watch).unwrap();
            assert_eq!(found, Some((0..20).map(|at| at * at).collect()));
            let last = last.unwrap();
            assert_eq!((last.done, last.part, last.left), (20, 1.0, Some(Duration::ZERO)));
        }
    }

    #[test]
    fn an_error_ends_the_rest() {
        let work = |at: usize, _: &mut dyn FnMut(f64) -> bool| if at < 3 { Ok(Some(at)) } else { Err(at) };
        assert_eq!(over_cores(1000, threads(1), NO_TIME, &work, &mut |_| true), Err(3));
    }

    #[test]
    fn who_watches_can_end_it() {
        let work = |_: usize, tell: &mut dyn FnMut(f64) -> bool| {
            while tell(0.5) {
                thread::yield_now();
            }
            Ok::<Option<u32>, Infallible>(None)
        };
        let mut parts = Vec::new();
        let mut watch = |progress: &Progress| {
            parts.push(progress.part);
            false
        };
        assert_eq!(over_cores(4, threads(2), NO_TIME, &work, &mut watch), Ok(None));
        assert!(parts.iter().all(|part| (0.0..=0.25).contains(part)), "{parts:?}");
        let none = |_: usize, _: &mut dyn FnMut(f64) -> bool| Ok::<Option<u32>, Infallible>(None);
        assert_eq!(over_cores(0, threads(2), NO_TIME, &none, &mut |_| true), Ok(Some(vec![])));
    }
}
