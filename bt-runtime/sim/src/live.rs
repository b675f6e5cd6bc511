//! A scenario as real clients on this machine: each peer is a session of the network driver with sockets, a profile and
//! a shaped link of its own; peers come and go in real time.
//!
//! What is the same as in a simulation: the engines and policies, who arrives when with which pieces, how the tracker
//! draws, the rates of links. What is not: bytes go through the kernel's sockets, tasks wait for the processor, links
//! are shared by turns of a throttle (ADR 8) and not by a formula, and loopback knows no delay. So the two together say
//! what the simulator's model of the network is worth ([`validate`]).
//!
//! | file | holds |
//! | --- | --- |
//! | `peers` | who comes, and a peer's session |
//! | `content` | the bytes of the torrent, made from a seed |
//! | `tracker` | the simulation's tracker behind HTTP |
//! | `logs` | from the peers' event logs to the figures of the run |
//! | `transit` | how long messages take, live and simulated |
//! | `validate` | the run beside its simulation |

mod content;
mod logs;
mod peers;
mod tracker;
pub mod transit;
pub mod validate;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use bt_api::{Instant, rng};

use crate::experiment::{Done, Experiment, RunError};
use crate::measure::LogError;
use crate::output::{self, Machine, OutputError, Recorded};
use crate::scenario::{Granularity, Leaves, Scenario, Until};
use crate::swarm::comings::wait;
use crate::swarm::{Broken, Ended, Outcome, simulate};

use peers::{Coming, Peer, Stage};
use transit::{Transits, Watch};

/// The most peers of a live run: more than some dozens are more than a desktop computer runs in real time.
pub const MAX_PEERS: usize = 64;
/// The most bytes of content, and of content times peers: all of it is sent, received and hashed.
pub const MAX_SIZE: u64 = 1 << 30;
/// See [`MAX_SIZE`].
pub const MAX_TRAFFIC: u64 = 8 << 30;

/// The longest pause between two looks at the run.
const LOOK: Duration = Duration::from_millis(50);

/// How long a sleeper of [`NAP`] may take; beyond that the machine had something else to do.
const LATE: Duration = Duration::from_millis(15);
const NAP: Duration = Duration::from_millis(5);

/// Why a live run came to nothing; one line.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The scenario is none that can be run live.
    #[error("{0}")]
    Unfit(String),
    /// A peer did not start, or failed.
    #[error("peer {peer}: {what}")]
    Peer {
        /// Its number.
        peer: usize,
        /// What happened.
        what: String,
    },
    /// The tracker did not start.
    #[error("cannot start a tracker on loopback: {0}")]
    Tracker(io::Error),
    /// A peer's event log could not be written or read.
    #[error("the event log of peer {peer}: {what}")]
    Log {
        /// Its number.
        peer: usize,
        /// What happened.
        what: String,
    },
    /// A log is none.
    #[error(transparent)]
    Read(#[from] LogError),
    /// A file could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The simulation was broken.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Whether `scenario` can be run live.
///
/// # Errors
/// What is in the way, and what would do.
pub fn check(scenario: &Scenario, seed: u64) -> Result<(), LiveError> {
    let unfit = |message: String| Err(LiveError::Unfit(message));
    if scenario.network.granularity == Granularity::Piece {
        return unfit("real clients ask for blocks: set network.granularity=block".to_owned());
    }
    if scenario.content.coded {
        return unfit("real clients know no coded content: set content.coded=false".to_owned());
    }
    let size = scenario.content.size;
    if size > MAX_SIZE {
        return unfit(format!("content.size is {size} bytes; live runs take up to {MAX_SIZE} (1 GiB)"));
    }
    let peers = Coming::all(scenario, seed).len();
    if peers > MAX_PEERS {
        return unfit(format!(
            "more than {MAX_PEERS} peers arrive; live runs take up to {MAX_PEERS}: set their `count`"
        ));
    }
    let traffic = size * peers as u64;
    if traffic > MAX_TRAFFIC {
        return unfit(format!(
            "{peers} peers of {size} bytes are {traffic} bytes to move; live runs take up to {MAX_TRAFFIC} (8 GiB)"
        ));
    }
    peers::raise_open_files(scenario, peers).map_err(LiveError::Unfit)
}

/// A live run that came to an end, and how much it was disturbed.
pub struct LiveDone {
    /// What was run and its figures.
    pub done: Done,
    /// How long messages took.
    pub transits: Transits,
    /// How long in all the machine kept a sleeper from waking up.
    pub stolen: Duration,
}

/// How long messages take in the simulation of `scenario` with `seed`.
///
/// # Errors
/// As [`simulate`].
pub fn simulated_transits(scenario: &Scenario, seed: u64) -> Result<Transits, Broken> {
    let mut watch = Watch::default();
    simulate(scenario, seed, &mut watch)?;
    Ok(watch.finish())
}

/// Runs `experiment` live and writes its files to `folder`, unless it was interrupted. It is given up after `limit`.
/// `watch` hears of the time and of how much is done, from 0 to 1; `false` ends the run. All peers have stopped, and no
/// socket is open, when this returns.
///
/// # Errors
/// When a peer fails, or a file cannot be written. What cannot be run live is found by [`check`] before.
#[allow(clippy::disallowed_methods, reason = "a live run takes place in real time")]
pub fn run_into(
    experiment: &Experiment<'_>,
    folder: &Path,
    limit: Duration,
    watch: &mut dyn FnMut(Instant, f64) -> bool,
) -> Result<LiveDone, LiveError> {
    output::prepare(folder)?;
    let logs = folder.join("live-logs");
    output::prepare(&logs)?;
    let over = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        let witness = scope.spawn(|| witness(&over));
        // Whatever happens: the scope waits for it.
        let end = End(&over);
        let result = Live::new(experiment, &logs).and_then(|mut live| {
            let ended = live.run(limit, watch);
            let stopped = live.stop();
            let (ended, now) = ended?;
            stopped?;
            Ok((ended, now, live))
        });
        drop(end);
        result.map(|ended| (ended, witness.join().unwrap_or_default()))
    });
    let result = result.and_then(|((ended, now, live), stolen)| {
        let mut manifest = experiment.manifest();
        let mut recorder = experiment.recorder(&manifest)?;
        let mut watch = Watch::default();
        let all_done = ended == Ended::Done && experiment.scenario.run.until == Until::AllComplete;
        let now = logs::gather(&live.logs(), now, &mut recorder, &mut watch, all_done)?;
        let Recorded { mut measured, stream } = recorder.finish(now, experiment.scenario.lower_bound());
        if let Some(streamed) = stream? {
            manifest.events = Some(streamed.events);
            manifest.events_sha256 = Some(streamed.sha256);
        }
        measured.cut(experiment.scenario.run.warm_up);
        manifest.warm_up = measured.summary.warm_up.clone();
        manifest.mode = Some("live".to_owned());
        manifest.ended = ended.name().to_owned();
        manifest.end_s = now.as_secs_f64();
        manifest.machine = Machine::here(Duration::from_nanos(now.as_nanos()));
        if ended != Ended::Interrupted {
            output::write(folder, &manifest, &measured)?;
        }
        let outcome =
            Outcome { ended, now, happenings: 0, inputs: 0, awaited: live.awaited(), silent: Vec::new() };
        let done = Done { manifest, measured, outcome };
        Ok(LiveDone { done, transits: watch.finish(), stolen })
    });
    // They are in the figures and in events.jsonl, where that was wanted.
    let _ = fs::remove_dir_all(&logs);
    result
}

/// Ends the witness when it is dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long in all a sleeper was kept from waking up.
#[allow(clippy::disallowed_methods, reason = "it is the real time that it measures")]
fn witness(over: &AtomicBool) -> Duration {
    let mut stolen = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let began = std::time::Instant::now();
        thread::sleep(NAP);
        stolen += Some(began.elapsed()).filter(|slept| *slept > LATE).unwrap_or_default();
    }
    stolen
}

/// A run that goes on.
struct Live<'a> {
    scenario: &'a Scenario,
    seed: u64,
    stage: Stage<'a>,
    /// In the order of their numbers; those that came are in `peers`.
    coming: Vec<Coming>,
    peers: Vec<Peer>,
    /// When who leaves, and whether it does so only while it lacks something.
    departures: BTreeSet<(Instant, usize, bool)>,
    tell: Sender<usize>,
    told: Receiver<usize>,
    began: std::time::Instant,
}

impl<'a> Live<'a> {
    #[allow(clippy::disallowed_methods, reason = "a live run takes place in real time")]
    fn new(experiment: &Experiment<'a>, logs: &'a Path) -> Result<Self, LiveError> {
        let (scenario, seed) = (experiment.scenario, experiment.seed);
        let stage = Stage::new(scenario, seed, logs)?;
        let (tell, told) = channel();
        Ok(Self {
            scenario,
            seed,
            stage,
            coming: Coming::all(scenario, seed),
            peers: Vec::new(),
            departures: BTreeSet::new(),
            tell,
            told,
            began: std::time::Instant::now(),
        })
    }

    /// How many were still to arrive.
    fn awaited(&self) -> u64 {
        (self.coming.len() - self.peers.len()) as u64
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    /// Runs to the end; says how and when that was.
    fn run(
        &mut self,
        limit: Duration,
        watch: &mut dyn FnMut(Instant, f64) -> bool,
    ) -> Result<(Ended, Instant), LiveError> {
        let until = match self.scenario.run.until {
            Until::AllComplete => None,
            Until::After(time) => Some(Instant::ZERO + time),
        };
        let limit = Instant::ZERO + limit.min(self.scenario.run.limit);
        loop {
            let now = self.now();
            while self.coming.get(self.peers.len()).is_some_and(|coming| coming.at <= now) {
                self.arrive()?;
            }
            while let Some(&(at, peer, abandons)) = self.departures.first().filter(|(at, ..)| *at <= now) {
                self.departures.remove(&(at, peer, abandons));
                if !(abandons && self.peers[peer].complete) {
                    self.peers[peer].leave();
                }
            }
            let done = self.peers.iter().filter(|peer| peer.is_done()).count();
            let part = match until {
                Some(until) => now.as_secs_f64() / until.as_secs_f64(),
                None => done as f64 / self.coming.len() as f64,
            };
            match until {
                Some(until) if now >= until => return Ok((Ended::Done, until)),
                None if done == self.coming.len() => return Ok((Ended::Done, now)),
                _ if now >= limit => return Ok((Ended::Limit, limit)),
                _ if !watch(now, part) => return Ok((Ended::Interrupted, now)),
                _ => {}
            }
            let next = self.coming.get(self.peers.len()).map(|coming| coming.at);
            let due = next.into_iter().chain(self.departures.first().map(|(at, ..)| *at)).min();
            let pause = due.map_or(LOOK, |due| (due - self.now()).min(LOOK));
            match self.told.recv_timeout(pause) {
                Ok(peer) => self.completed(peer)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn arrive(&mut self) -> Result<(), LiveError> {
        let number = self.peers.len();
        let group = &self.scenario.groups[self.coming[number].group];
        let peer = self.stage.start(number, group, || self.began.elapsed(), self.tell.clone())?;
        let mut draws = rng::stream(self.seed, number as u64, "departure");
        let now = Instant::ZERO + peer.began;
        if let (true, Leaves::Later(time)) = (peer.complete, group.leaves) {
            self.departures.insert((now + wait(time, &mut draws), number, false));
        } else if let (false, Some(time)) = (peer.complete, group.abandons) {
            self.departures.insert((now + wait(time, &mut draws), number, true));
        }
        self.peers.push(peer);
        Ok(())
    }

    /// A peer has everything, or has ended.
    fn completed(&mut self, number: usize) -> Result<(), LiveError> {
        let peer = &mut self.peers[number];
        if let Some(what) = peer.failed() {
            return Err(LiveError::Peer { peer: number, what });
        }
        if peer.complete || !peer.has_everything() {
            return Ok(());
        }
        peer.complete = true;
        let now = self.now();
        let at = match self.scenario.groups[self.coming[number].group].leaves {
            Leaves::Never => return Ok(()),
            Leaves::OnComplete => now,
            Leaves::Later(time) => now + wait(time, &mut rng::stream(self.seed, number as u64, "seeding")),
        };
        self.departures.insert((at, number, false));
        Ok(())
    }

    /// Stops everyone who is still there, and waits for all.
    fn stop(&mut self) -> Result<(), LiveError> {
        self.peers.iter_mut().for_each(Peer::leave);
        self.peers.iter_mut().for_each(Peer::wait);
        for (number, peer) in self.peers.iter().enumerate() {
            if let Some(error) = peer.log_error() {
                return Err(LiveError::Log { peer: number, what: error.to_string() });
            }
        }
        Ok(())
    }

    fn logs(&self) -> Vec<logs::PeerLog> {
        let groups = self.coming.iter().map(|coming| &self.scenario.groups[coming.group]);
        self.peers.iter().zip(groups).map(|(peer, group)| peer.log_of(group)).collect()
    }
}
