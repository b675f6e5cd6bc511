//! Runs torrents through a session until the user's goal is reached, and reports on them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use async_std::future::timeout;
use async_std::task;
use bt_api::StorageErrorKind;
use bt_engine::metainfo::Metainfo;
use bt_engine::{Stall, Status};
use serde::Serialize;

use super::options::StopWhen;
use super::progress::Display;
use super::signals::{self, Signal};
use super::{Failure, hook};
use crate::Profile;
use crate::events::{EventLog, RunHeader, RunTorrent};
use crate::net::{AddOptions, Phase, Progress, Session, SessionError, SessionOptions, TorrentHandle};

/// How often the event log is handed over, so that a reader can follow it.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// What is to be done.
pub(super) struct Plan {
    pub(super) profile: Arc<Profile>,
    pub(super) torrents: Vec<Metainfo>,
    /// How each is added.
    pub(super) add: AddOptions,
    /// How the session begins; its event log is made here.
    pub(super) session: SessionOptions,
    pub(super) events: Option<PathBuf>,
    pub(super) stop_when: StopWhen,
    /// Stop after so long, whatever was reached.
    pub(super) time_limit: Option<Duration>,
    pub(super) on_complete: Option<PathBuf>,
    pub(super) quiet: bool,
}

/// What became of it.
pub(super) struct Report {
    /// In the order of the torrents.
    pub(super) summaries: Vec<Summary>,
    /// How each stood last.
    pub(super) last: Vec<Progress>,
    signal: Option<Signal>,
    /// Something else went wrong, and was said: the event log, a program that was to be run.
    trouble: bool,
}

/// A torrent at the end of the run: the object that `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) name: String,
    pub(super) info_hash: String,
    pub(super) complete: bool,
    pub(super) bytes_total: u64,
    pub(super) bytes_have: u64,
    pub(super) downloaded: u64,
    pub(super) uploaded: u64,
    pub(super) wasted: u64,
    pub(super) hash_failures: u64,
    pub(super) elapsed_s: f64,
    pub(super) peers_seen: u64,
    /// Seconds until everything was verified and on disk, if it came to that in this run.
    pub(super) completed_s: Option<f64>,
    /// Why it could not go on, or what the store failed at last.
    pub(super) error: Option<String>,
}

impl Report {
    pub(super) fn exit_code(&self) -> u8 {
        let done = self.summaries.iter().all(|one| one.complete && one.error.is_none());
        match self.signal {
            Some(signal) => signal.exit_code(),
            None => u8::from(!done || self.trouble),
        }
    }
}

/// One torrent of the run.
struct Job {
    name: String,
    handle: TorrentHandle,
    bytes_total: u64,
    progress: Progress,
    /// When everything was on disk, and when it ended, since the start.
    completed: Option<Duration>,
    ended: Option<Duration>,
    stopping: bool,
}

/// What wakes the loop.
enum Note {
    /// The torrent of this number is on disk.
    Complete(usize),
    /// A torrent ended: look.
    Ended,
    /// The program for a complete torrent ended.
    Ran(Result<(), String>),
    Signal(Signal),
}

struct Run {
    jobs: Vec<Job>,
    display: Display,
    notes: Receiver<Note>,
    tell: Sender<Note>,
    started: Instant,
    events: Option<(PathBuf, Arc<EventLog>)>,
    flush_due: Instant,
    on_complete: Option<PathBuf>,
    folder: PathBuf,
    programs: usize,
    report_hash_failures: bool,
    trouble: bool,
}

/// Carries out the plan. It ends when every torrent ended, the time is over, or a signal came.
///
/// # Errors
/// When the session cannot begin, or a torrent not be added.
pub(super) async fn drive(plan: Plan) -> Result<Report, Failure> {
    let Plan { profile, torrents, add, mut session, events, stop_when, time_limit, on_complete, quiet } =
        plan;
    let started = Instant::now();
    let events = match events {
        Some(path) => {
            let mut header = RunHeader::new(&profile, session.seed);
            header.torrents = torrents.iter().map(run_torrent).collect();
            let log = EventLog::create(&path, &header);
            let log =
                log.map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
            Some((path, Arc::new(log)))
        }
        None => None,
    };
    session.events = events.as_ref().map(|(_, log)| log.clone());
    // Few notes come, and none may be lost.
    let (tell, notes) = async_channel::unbounded();
    let told = tell.clone();
    let watch = signals::watch(move |signal| drop(told.try_send(Note::Signal(signal))));
    watch.map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")))?;

    let names: Vec<&str> = torrents.iter().map(|one| one.layout.name()).collect();
    let display = Display::new(&names, quiet);
    let (interval, report_hash_failures) =
        (profile.settings.display.interval.get(), profile.settings.display.report_hash_failures);
    let session =
        Session::start(profile, session).await.map_err(|error| Failure::failed(error.to_string()))?;
    display.say(&format!("listening at {}", session.local_address()));
    let folder = std::path::absolute(&add.folder).unwrap_or_else(|_| add.folder.clone());
    let mut run = Run {
        jobs: Vec::new(),
        display,
        notes,
        tell,
        started,
        events,
        flush_due: started,
        on_complete,
        folder,
        programs: 0,
        report_hash_failures,
        trouble: false,
    };
    for metainfo in torrents {
        let name = metainfo.layout.name().to_owned();
        if let Err(error) = run.add(&session, metainfo, add.clone()).await {
            session.stop().await;
            let message = format!("{name}: {error}");
            return Err(match error {
                SessionError::Added(_) | SessionError::SameFile { .. } => Failure::usage(message),
                _ => Failure::failed(message),
            });
        }
    }
    let deadline = match stop_when {
        StopWhen::Time(time) => Some(time),
        _ => time_limit,
    };
    let signal = run.until(stop_when, deadline, interval).await;
    if signal.is_some() {
        run.display.say("stopping; once more to end at once");
    }
    session.stop().await;
    Ok(run.finish(signal).await)
}

/// What the store fails at now and did not before. What may work at once when tried again is no news.
fn new_trouble<'a>(before: &Status, now: &'a Status) -> Option<&'a Stall> {
    let kind = |stall: &Option<Stall>| match stall {
        Some(Stall::Store { kind, .. }) if *kind != StorageErrorKind::Temporary => Some(*kind),
        _ => None,
    };
    now.stall.as_ref().filter(|_| kind(&now.stall).is_some() && kind(&now.stall) != kind(&before.stall))
}

fn run_torrent(metainfo: &Metainfo) -> RunTorrent {
    RunTorrent { info_hash: metainfo.info_hash.to_string(), name: metainfo.layout.name().to_owned() }
}

impl Run {
    async fn add(
        &mut self,
        session: &Session,
        metainfo: Metainfo,
        add: AddOptions,
    ) -> Result<(), SessionError> {
        let (name, bytes_total) = (metainfo.layout.name().to_owned(), metainfo.layout.total_length());
        let handle = session.add(metainfo, add).await?;
        let (number, watched, tell) = (self.jobs.len(), handle.clone(), self.tell.clone());
        task::spawn(async move {
            // Whoever reads the notes may be gone at the end.
            watched.wait_complete().await;
            if watched.progress().status.complete {
                let _ = tell.send(Note::Complete(number)).await;
            }
            watched.wait_ended().await;
            let _ = tell.send(Note::Ended).await;
        });
        let progress = handle.progress();
        self.jobs.push(Job {
            name,
            handle,
            bytes_total,
            progress,
            completed: None,
            ended: None,
            stopping: false,
        });
        Ok(())
    }

    /// Looks after the torrents until all have ended, `deadline` after the start has come, or a signal.
    async fn until(
        &mut self,
        stop_when: StopWhen,
        deadline: Option<Duration>,
        interval: Duration,
    ) -> Option<Signal> {
        loop {
            self.look(stop_when);
            if self.jobs.iter().all(|job| job.ended.is_some()) {
                return None;
            }
            let left = deadline.map(|deadline| deadline.saturating_sub(self.started.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            if let Ok(Ok(note)) = timeout(left.unwrap_or(interval).min(interval), self.notes.recv()).await
                && let Some(signal) = self.take(note)
            {
                return Some(signal);
            }
        }
    }

    /// Sees how every torrent stands, shows it, and stops those that reached their goal.
    fn look(&mut self, stop_when: StopWhen) {
        for job in &mut self.jobs {
            let before = std::mem::replace(&mut job.progress, job.handle.progress());
            for warning in job.handle.take_warnings() {
                self.display.warn(&format!("{}: {warning}", job.name));
            }
            if let Some(trouble) = new_trouble(&before.status, &job.progress.status) {
                self.display.warn(&format!("{}: {trouble}", job.name));
            }
            let (failures, status) = (before.status.hash_failures, &job.progress.status);
            if self.report_hash_failures && status.hash_failures > failures {
                let text = format!("{}: {} pieces failed their hash so far", job.name, status.hash_failures);
                self.display.say(&text);
            }
            let over = matches!(job.progress.phase, Phase::Stopped | Phase::Failed(_));
            if over && job.ended.is_none() {
                job.ended = Some(self.started.elapsed());
                if let Phase::Failed(why) = &job.progress.phase {
                    self.display.warn(&format!("{}: {why}", job.name));
                }
            }
            let goal = match stop_when {
                StopWhen::Complete => job.completed.is_some(),
                StopWhen::Ratio(ratio) => {
                    job.completed.is_some() && status.uploaded as f64 >= ratio * job.bytes_total as f64
                }
                StopWhen::Time(_) | StopWhen::Never => false,
            };
            if goal && !over && !job.stopping {
                job.stopping = true;
                let handle = job.handle.clone();
                task::spawn(async move { handle.stop().await });
            }
        }
        let standing: Vec<Progress> = self.jobs.iter().map(|job| job.progress.clone()).collect();
        self.display.show(&standing);
        if self.flush_due <= Instant::now() {
            self.flush_due = Instant::now() + FLUSH_INTERVAL;
            self.flush_events();
        }
    }

    fn flush_events(&mut self) {
        if let Some((path, log)) = &self.events {
            log.flush();
            if let Some(error) = log.take_error() {
                self.trouble = true;
                self.display.warn(&format!("the event log {} ends here: {error}", path.display()));
            }
        }
    }

    fn take(&mut self, note: Note) -> Option<Signal> {
        match note {
            Note::Signal(signal) => return Some(signal),
            Note::Ended => {}
            Note::Ran(result) => {
                self.programs -= 1;
                if let Err(why) = result {
                    self.trouble = true;
                    self.display.warn(&why);
                }
            }
            Note::Complete(number) => self.complete(number),
        }
        None
    }

    /// The torrent of this number is on disk. What was there before this run is no news to anyone.
    fn complete(&mut self, number: usize) {
        let job = &mut self.jobs[number];
        job.completed = Some(self.started.elapsed());
        job.progress = job.handle.progress();
        if job.progress.status.downloaded == 0 {
            self.display.say(&format!("{}: everything is there", job.name));
            return;
        }
        self.display.say(&format!("{}: complete", job.name));
        if let Some(program) = self.on_complete.clone() {
            self.programs += 1;
            let (name, info_hash) = (job.name.clone(), job.handle.info_hash().to_string());
            let (folder, tell) = (self.folder.clone(), self.tell.clone());
            task::spawn(async move {
                let result = hook::run(program, name, info_hash, folder).await;
                let _ = tell.send(Note::Ran(result)).await;
            });
        }
    }

    /// The session is over: waits for programs that still run, and sums up.
    async fn finish(mut self, mut signal: Option<Signal>) -> Report {
        // A torrent may have completed while it was being stopped.
        while let Ok(note) = self.notes.try_recv() {
            signal = self.take(note).or(signal);
        }
        while self.programs > 0 {
            let Ok(note) = self.notes.recv().await else { break };
            signal = self.take(note).or(signal);
        }
        self.look(StopWhen::Never);
        self.flush_events();
        self.display.end();
        let elapsed = self.started.elapsed();
        Report {
            summaries: self.jobs.iter().map(|job| job.summary(elapsed)).collect(),
            last: self.jobs.iter().map(|job| job.progress.clone()).collect(),
            signal,
            trouble: self.trouble,
        }
    }
}

impl Job {
    fn summary(&self, elapsed: Duration) -> Summary {
        let status = &self.progress.status;
        let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
        Summary {
            name: self.name.clone(),
            info_hash: self.handle.info_hash().to_string(),
            complete: status.complete,
            bytes_total: self.bytes_total,
            bytes_have: status.bytes_have,
            downloaded: status.downloaded,
            uploaded: status.uploaded,
            wasted: status.wasted,
            hash_failures: status.hash_failures,
            elapsed_s: seconds(self.ended.unwrap_or(elapsed)),
            peers_seen: status.peers_seen,
            completed_s: self.completed.filter(|_| status.downloaded > 0).map(seconds),
            error: match (&self.progress.phase, &status.stall) {
                (Phase::Failed(why), _) => Some(why.clone()),
                (_, Some(stall @ (Stall::Store { .. } | Stall::StoreSilent(_)))) if !status.complete => {
                    Some(stall.to_string())
                }
                _ => None,
            },
        }
    }
}
