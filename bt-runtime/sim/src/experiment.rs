//! One run, from a scenario to its figures and files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bt_api::Instant;
use bt_engine::Event;

use crate::Scenario;
use crate::measure::Measured;
use crate::output::{
    self, EventStream, Machine, Manifest, OutputError, Recorded, Recorder, SCHEMA, ScenarioText,
};
use crate::swarm::{Broken, Ended, Observer, Outcome, simulate};

/// What is to be run, and what is wanted of it.
#[derive(Clone, Copy, Debug)]
pub struct Experiment<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The seed of every draw.
    pub seed: u64,
    /// What `--set` changed; the scenario has it in already.
    pub sets: &'a [String],
    /// As in [`Manifest::base`].
    pub base: Option<&'a str>,
    /// What becomes of the events.
    pub events: Events<'a>,
}

/// What becomes of the events of a run, besides being measured.
#[derive(Clone, Copy, Debug)]
pub enum Events<'a> {
    /// Nothing.
    Dropped,
    /// They are hashed.
    Hashed,
    /// They are hashed, and written to `events.jsonl` in this folder.
    Written(&'a Path),
}

/// A run that came to an end.
#[derive(Clone, Debug)]
pub struct Done {
    /// What was run, with what came out of it in one number.
    pub manifest: Manifest,
    /// Its figures.
    pub measured: Measured,
    /// How it ended.
    pub outcome: Outcome,
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something does not hold that holds in every run.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The same, in one run of several.
    #[error("{what}, seed {seed}: {broken}")]
    BrokenIn {
        /// Which of them, but for its seed.
        what: String,
        /// Its seed.
        seed: u64,
        /// What does not hold.
        broken: Broken,
    },
    /// A file could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl RunError {
    /// The error of one run of several. An error of a file names it, and so the run.
    pub(crate) fn of(self, what: &str, seed: u64) -> Self {
        match self {
            Self::Broken(broken) => Self::BrokenIn { what: what.to_owned(), seed, broken },
            other => other,
        }
    }
}

impl Experiment<'_> {
    /// Runs it. `watch` hears of the simulated time and of how much is done, from 0 to 1; `false` ends the run.
    ///
    /// # Errors
    /// When an assertion is broken or the events cannot be written.
    pub fn run(&self, watch: &mut dyn FnMut(Instant, f64) -> bool) -> Result<Done, RunError> {
        self.run_with(&mut Unheard, watch)
    }

    /// As [`run`](Self::run); `beside` is told of every event, too.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(
        &self,
        beside: &mut dyn Observer,
        watch: &mut dyn FnMut(Instant, f64) -> bool,
    ) -> Result<Done, RunError> {
        let Self { scenario, seed, .. } = *self;
        let mut manifest = self.manifest();
        let mut watched = Watched { recorder: self.recorder(&manifest)?, beside, watch };
        let outcome = simulate(scenario, seed, &mut watched)?;
        // What ended it may be that they could not be written: that is told.
        if outcome.ended == Ended::Interrupted && !watched.recorder.has_failed() {
            watched.recorder.drop_events();
        }
        let Recorded { mut measured, stream } = watched.recorder.finish(outcome.now, scenario.lower_bound());
        if outcome.awaited > 0 {
            // The bound is of the whole crowd.
            measured.summary.bound_ratio = None;
        }
        measured.cut(scenario.run.warm_up);
        manifest.warm_up = measured.summary.warm_up.clone();
        if let Some(streamed) = stream? {
            manifest.events = Some(streamed.events);
            manifest.events_sha256 = Some(streamed.sha256);
        }
        manifest.ended = outcome.ended.name().to_owned();
        manifest.end_s = outcome.now.as_secs_f64();
        manifest.inputs = outcome.inputs;
        Ok(Done { manifest, measured, outcome })
    }

    /// What measures it, and takes its events.
    pub(crate) fn recorder(&self, manifest: &Manifest) -> Result<Recorder, OutputError> {
        let stream = match self.events {
            Events::Dropped => None,
            Events::Hashed => Some(EventStream::hashed(&manifest.header()).expect("a header is JSON")),
            Events::Written(folder) => Some(EventStream::written(&manifest.header(), folder)?),
        };
        Ok(Recorder::new(stream))
    }

    /// What is known of it before it is run.
    pub fn manifest(&self) -> Manifest {
        let Self { scenario, seed, sets, base, .. } = *self;
        // Saved to a file, the text gives this run, not that of the scenario's own seed.
        let mut same = scenario.clone();
        same.run.seed = seed;
        Manifest {
            schema: SCHEMA,
            scenario: ScenarioText { name: same.name.clone(), toml: same.to_toml() },
            seed,
            sets: sets.to_vec(),
            base: base.map(str::to_owned),
            profiles: profiles(scenario),
            versions: versions(scenario),
            ..Manifest::default()
        }
    }

    /// As [`run`](Self::run), and writes the files of the run to `folder`, unless it was interrupted; `wall` is asked
    /// for the time that it took.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when a file cannot be written.
    pub fn run_into(
        &self,
        folder: &Path,
        wall: &dyn Fn() -> Duration,
        watch: &mut dyn FnMut(Instant, f64) -> bool,
    ) -> Result<Done, RunError> {
        output::prepare(folder)?;
        let mut done = self.run(watch)?;
        if !matches!(self.events, Events::Written(_)) {
            output::remove_events(folder)?;
        }
        if done.outcome.ended != Ended::Interrupted {
            done.manifest.machine = Machine::here(wall());
            output::write(folder, &done.manifest, &done.measured)?;
        }
        Ok(done)
    }
}

/// A recorder that somebody watches.
struct Watched<'a> {
    recorder: Recorder,
    beside: &'a mut dyn Observer,
    watch: &'a mut dyn FnMut(Instant, f64) -> bool,
}

impl Observer for Watched<'_> {
    fn event(&mut self, now: Instant, node: u32, event: &Event) {
        self.recorder.event(now, node, event);
        self.beside.event(now, node, event);
    }

    fn progress(&mut self, now: Instant, done: f64) -> bool {
        !self.recorder.has_failed() && (self.watch)(now, done)
    }
}

/// Nobody else hears of the events.
struct Unheard;

impl Observer for Unheard {
    fn event(&mut self, _: Instant, _: u32, _: &Event) {}
}

/// The profile of each class.
fn profiles(scenario: &Scenario) -> BTreeMap<String, String> {
    scenario.groups.iter().map(|group| (group.name.clone(), group.profile.name.clone())).collect()
}

/// The versions of the simulator and of each crate that a plug-in comes from.
fn versions(scenario: &Scenario) -> BTreeMap<String, String> {
    let own = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let plugins = scenario.groups.iter().flat_map(|group| group.profile.plugins());
    plugins.map(|one| (one.krate.to_owned(), one.version.to_owned())).chain([own]).collect()
}
