//! Who comes, and a peer's session.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bt_api::Instant;
use bt_api::rng::{self, Rng};
use bt_engine::metainfo::Metainfo;
use bt_runtime::events::{RunHeader, RunTorrent};
use bt_runtime::net::{AddOptions, Link, Phase, Session, SessionOptions, TorrentHandle};
use bt_runtime::{EventLog, Profile};
use futures::executor::block_on;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::content::{self, Made};
use super::logs::PeerLog;
use super::tracker::LiveTracker;
use super::{LiveError, MAX_PEERS};
use crate::scenario::{Group, Scenario, Until};
use crate::swarm::comings::{Timeline, held_by};

/// Files that a process has open besides the sockets of its peers, with room to spare.
const OTHER_FILES: u64 = 256;

/// One that comes.
pub(super) struct Coming {
    pub(super) at: Instant,
    /// Its group's place in the scenario.
    pub(super) group: usize,
}

impl Coming {
    /// Everyone, by number: as in a simulation. Of more than [`MAX_PEERS`] only some.
    pub(super) fn all(scenario: &Scenario, seed: u64) -> Vec<Self> {
        let end = match scenario.run.until {
            Until::AllComplete => Instant::ZERO + scenario.run.limit,
            Until::After(time) => Instant::ZERO + time,
        };
        let mut timeline = Timeline::new(scenario, seed);
        let mut all = Vec::new();
        while let Some(at) = timeline.next_at().filter(|at| *at <= end && all.len() <= MAX_PEERS) {
            all.extend(timeline.take(scenario).into_iter().map(|group| Self { at, group }));
        }
        all
    }
}

/// Lets this process have as many files open as the sockets of `peers` peers need.
///
/// # Errors
/// One line, where the system does not let it.
pub(super) fn raise_open_files(scenario: &Scenario, peers: usize) -> Result<(), String> {
    let most = scenario.groups.iter().map(|group| group.profile.settings.peers.max_connections);
    let each = u64::from(most.max().unwrap_or(0)).min(peers as u64) + 2;
    let needed = each * peers as u64 + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let wanted = Rlimit { current: Some(needed), maximum };
    setrlimit(Resource::Nofile, wanted).map_err(|_| {
        let most = maximum.or(current).unwrap_or(0);
        format!("{peers} peers need {needed} open files, and this process may have {most} (see `ulimit -n`)")
    })
}

/// What all peers have in common.
pub(super) struct Stage<'a> {
    scenario: &'a Scenario,
    seed: u64,
    tracker: LiveTracker,
    metainfo: Metainfo,
    /// The folder of the event logs.
    logs: &'a Path,
}

impl<'a> Stage<'a> {
    pub(super) fn new(scenario: &'a Scenario, seed: u64, logs: &'a Path) -> Result<Self, LiveError> {
        let metainfo = content::torrent(&scenario.name, &scenario.content, seed).map_err(LiveError::Unfit)?;
        let tracker = LiveTracker::start(scenario.tracker.reply, seed).map_err(LiveError::Tracker)?;
        Ok(Self { scenario, seed, tracker, metainfo, logs })
    }

    /// Starts peer `number`; `clock` tells the time since the start of the run, and `tell` hears of it when the peer has
    /// everything, or has ended.
    pub(super) fn start(
        &self,
        number: usize,
        group: &Group,
        clock: impl Fn() -> Duration,
        tell: Sender<usize>,
    ) -> Result<Peer, LiveError> {
        let failed = |what: String| LiveError::Peer { peer: number, what };
        let mut draws = rng::stream(self.seed, number as u64, "have");
        let have = held_by(self.scenario, group, &mut draws);
        let complete = have.is_full();
        let ip = ip_of(number);
        let profile = Arc::new(profile_of(group, ip).map_err(failed)?);
        let seed = rng::stream(self.seed, number as u64, "live").next_u64();
        let path = self.logs.join(format!("{number}.jsonl"));
        let mut header = RunHeader::new(&profile, seed);
        let (info_hash, name) = (self.metainfo.info_hash, self.metainfo.layout.name().to_owned());
        header.torrents = vec![RunTorrent { info_hash: info_hash.to_string(), name }];
        let log = EventLog::create(&path, &header)
            .map_err(|error: io::Error| LiveError::Log { peer: number, what: error.to_string() })?;
        let log = Arc::new(log);
        let options = SessionOptions {
            listen: Some((IpAddr::V4(ip), 0, 0)),
            seed,
            events: Some(log.clone()),
            state: None,
            link: Link { up: group.up, down: group.down },
            store: Some(Arc::new(Made { seed: self.seed, have: have.clone() })),
        };
        let session = block_on(Session::start(profile, options)).map_err(|error| {
            failed(format!("{error} (each peer has an address of its own in 127.0.0.0/8, as Linux has them)"))
        })?;
        // The zero of its clock. Rather late than early: nobody is to hear of a peer before it came.
        let began = clock();
        let address = session.local_address();
        let SocketAddr::V4(listening) = address else {
            return Err(failed("it listens at no IPv4 address".to_owned()));
        };
        let add = AddOptions {
            // Nothing is written there.
            folder: self.logs.join("nothing"),
            trackers: Some(vec![vec![self.tracker.enter(listening)]]),
            ..AddOptions::default()
        };
        let handle = block_on(session.add(self.metainfo.clone(), add));
        let handle = match handle {
            Ok(handle) => handle,
            Err(error) => {
                block_on(session.stop());
                return Err(failed(error.to_string()));
            }
        };
        let watched = handle.clone();
        let watcher = thread::spawn(move || {
            block_on(watched.wait_complete());
            // Nobody listens at the end.
            let _ = tell.send(number);
        });
        Ok(Peer {
            complete,
            began,
            address,
            path,
            log,
            handle,
            session: Some(session),
            threads: vec![watcher],
        })
    }
}

/// The address of a peer: its own, since profiles may want no more than one connection an address.
fn ip_of(number: usize) -> Ipv4Addr {
    let [.., a, b] = (number as u32 + 1).to_be_bytes();
    Ipv4Addr::new(127, 77, a, b)
}

/// The group's profile with HTTP trackers only, at the peer's address.
fn profile_of(group: &Group, ip: Ipv4Addr) -> Result<Profile, String> {
    let mut tables: toml::Table =
        group.profile.to_toml().parse().map_err(|error| format!("its profile: {error}"))?;
    if let Some(toml::Value::Table(tracker)) = tables.get_mut("tracker") {
        // Other clients' keys are of no use to a profile without them.
        let http = tracker.remove("http");
        *tracker = toml::Table::from_iter([("use".to_owned(), vec!["http".to_owned()].into())]);
        tracker.extend(http.map(|http| ("http".to_owned(), http)));
    }
    if let Some(toml::Value::Table(net)) = tables.get_mut("net") {
        net.insert("bind".to_owned(), ip.to_string().into());
    }
    Profile::from_text(&group.profile.name, &tables.to_string(), &[]).map_err(|error| error.to_string())
}

/// A peer that came.
pub(super) struct Peer {
    /// Whether it has everything.
    pub(super) complete: bool,
    /// When it came, since the start of the run.
    pub(super) began: Duration,
    address: SocketAddr,
    path: PathBuf,
    log: Arc<EventLog>,
    handle: TorrentHandle,
    /// Gone once it leaves.
    session: Option<Session>,
    threads: Vec<JoinHandle<()>>,
}

impl Peer {
    /// Whether it has everything, or left.
    pub(super) fn is_done(&self) -> bool {
        self.complete || self.session.is_none()
    }

    /// Why it cannot go on.
    pub(super) fn failed(&self) -> Option<String> {
        match self.handle.progress().phase {
            Phase::Failed(why) => Some(why),
            _ => None,
        }
    }

    pub(super) fn has_everything(&self) -> bool {
        self.handle.progress().status.complete
    }

    /// It begins to leave, unless it did.
    pub(super) fn leave(&mut self) {
        if let Some(session) = self.session.take() {
            self.threads.push(thread::spawn(move || block_on(session.stop())));
        }
    }

    /// Waits until it has left.
    pub(super) fn wait(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    /// What ended its event log.
    pub(super) fn log_error(&self) -> Option<io::Error> {
        self.log.take_error()
    }

    /// Its log, for one of `group`.
    pub(super) fn log_of(&self, group: &Group) -> PeerLog {
        PeerLog {
            path: self.path.clone(),
            began: self.began,
            class: group.name.clone(),
            up: group.up,
            down: group.down,
            address: self.address,
        }
    }
}
