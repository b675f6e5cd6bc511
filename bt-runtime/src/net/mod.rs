//! The network driver: engines on real sockets, on async-std.
//!
//! | module | holds |
//! | --- | --- |
//! | `torrent` | one torrent: a task around its engine |
//! | `peer`, `intake`, `outbox` | one connection: its task, what it receives, what it sends |
//! | `listener` | the one listener of the process |
//! | `start`, `check`, `foreign`, `resume_file` | what of a torrent is there when it begins |
//! | `throttle` | the bounds of rates |
//! | `host`, `trackers` | what plug-ins are lent, and who listens to sources |
//! | `lane` | threads for plug-ins, where one that blocks stops nobody else |
//!
//! What drives a store is in [`store`](crate::store), how trackers are asked in [`trackers`](crate::trackers), both shared
//! with the simulator.
//!
//! Payload is read from a socket into a buffer of the pool and stays there: slices of that buffer are
//! hashed, written by the store and dropped. Every queue is bounded, and when the disk is slow the pool
//! runs dry and sockets are no longer read.

mod check;
mod foreign;
mod handle;
mod host;
mod intake;
mod lane;
mod listener;
mod outbox;
mod peer;
mod peer_id;
mod resume_file;
mod shares;
mod start;
mod throttle;
mod torrent;
mod trackers;
mod write_queue;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_std::future::timeout;
use async_std::task::{self, JoinHandle};
use bt_api::config::{Limit, Rate};
use bt_api::contain::{contain, said};
use bt_api::{Host, InfoHash, PeerId, StorageBackend, StorageErrorKind, rng};
use bt_engine::metainfo::Metainfo;
use bt_engine::settings::{ChokedRequest, LateBitfield, Limiter, PortChoice};
use bt_engine::wire::Decoder;
use bt_engine::{Engine, EngineSetup, Event, Settings};
use futures::FutureExt;
use futures::future::{Either, join_all, select};

use crate::store::CACHE_DIVISOR;
use crate::store::guard::Guard;
use crate::store::pool::BufferPool;
use crate::store::uploads::CacheBudget;
use crate::trackers::{Trackers, introduction};
use crate::{EventLog, Profile};

pub use handle::{Phase, Progress, TorrentHandle};
pub use trackers::scrape;

use handle::Board;
use host::NetHost;
use lane::OwnThread;
use listener::{Place, Router};
use shares::UploadShares;
use start::{Beginning, Ready, start};
use throttle::Throttle;
use torrent::{NOTES, Note, Running, Setup, Workers};

/// How often the limit on upload is divided anew among torrents.
const SHARE_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked whether a store hangs.
const SILENCE_INTERVAL: Duration = Duration::from_millis(250);

/// How a session begins.
#[derive(Clone)]
pub struct SessionOptions {
    /// The address to listen at, and the first and last port to try (0: any); without it, as the profile says.
    pub listen: Option<(IpAddr, u16, u16)>,
    /// The seed of every generator.
    pub seed: u64,
    /// Where events are written.
    pub events: Option<Arc<EventLog>>,
    /// The folder of resume files; without it none is read or written.
    pub state: Option<PathBuf>,
    /// How fast its sockets are, whatever the profile limits besides.
    pub link: Link,
    /// Where torrents are kept, in place of the profile's store.
    pub store: Option<Arc<dyn StorageBackend>>,
}

impl Default for SessionOptions {
    /// As the profile says, with a seed that no other run has.
    fn default() -> Self {
        Self {
            listen: None,
            seed: peer_id::fresh_seed(),
            events: None,
            state: None,
            link: Link::default(),
            store: None,
        }
    }
}

/// An access link that all sockets of a session share, kept where bytes go through them; engines know nothing of it,
/// as they know nothing of a real one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Payload out in bytes per second; `None`: as fast as it goes.
    pub up: Option<u64>,
    /// All that comes in, in bytes per second.
    pub down: Option<u64>,
}

/// How a torrent is added.
#[derive(Clone, Debug, Default)]
pub struct AddOptions {
    /// The output folder.
    pub folder: PathBuf,
    /// Peers to connect to, besides those that trackers name.
    pub peers: Vec<SocketAddr>,
    /// Trackers in tiers, instead of the torrent's own.
    pub trackers: Option<Vec<Vec<String>>>,
    /// Whether everything is hashed first, whatever the resume file says.
    pub check: bool,
}

/// Why a session or a torrent does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No port could be had.
    #[error("cannot listen at port {0} to {1}: {2}")]
    Listen(u16, u16, std::io::Error),
    /// The profile's `bind` is no address.
    #[error("net.bind: expected an IP address, found {0:?}")]
    Bind(String),
    /// The profile names a plug-in that only runs in a simulator.
    #[error("{0}")]
    LabOnly(String),
    /// The same torrent runs already.
    #[error("torrent {0} is added already")]
    Added(InfoHash),
    /// Two torrents would write the same file.
    #[error("{path:?} belongs to torrent {other} already; give another output folder")]
    SameFile {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        other: InfoHash,
    },
}

/// All torrents of a process: they share a listener, the limits, and a profile.
pub struct Session {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    torrents: Arc<Mutex<BTreeMap<InfoHash, Added>>>,
    /// Told when the limit on upload changed.
    changed: Sender<()>,
    address: SocketAddr,
    seed: u64,
}

struct Added {
    handle: TorrentHandle,
    /// The files that it may write.
    paths: Vec<PathBuf>,
}

/// What every torrent and connection of a session uses.
pub(crate) struct Shared {
    pub(crate) profile: Arc<Profile>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) host: Arc<NetHost>,
    pub(crate) pool: BufferPool,
    pub(crate) cache: Arc<CacheBudget>,
    /// The limit on download, where sockets are read.
    pub(crate) download: Throttle,
    /// The limit on upload, where blocks are written to sockets; none where the original's own rule holds instead.
    pub(crate) upload: Throttle,
    /// The limit on upload, in bytes per second, which the engines of all torrents share.
    pub(crate) upload_limit: Mutex<Option<u64>>,
    pub(crate) trackers: Arc<Trackers>,
    pub(crate) router: Arc<Router>,
    pub(crate) events: Option<Arc<EventLog>>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) link: Link,
    pub(crate) store: Option<Arc<dyn StorageBackend>>,
    /// The address that connections are made from.
    pub(crate) bind: Option<IpAddr>,
}

impl Session {
    /// Begins to listen.
    ///
    /// # Errors
    /// When no port can be had, or the profile is for the lab only.
    pub async fn start(profile: Arc<Profile>, options: SessionOptions) -> Result<Self, SessionError> {
        if let Some(why) = profile.lab_only() {
            return Err(SessionError::LabOnly(why));
        }
        let settings = profile.settings.clone();
        let bind = match settings.net.bind.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| SessionError::Bind(text.to_owned()))?),
        };
        let net = &settings.net;
        let (address, min, max) = match options.listen {
            Some((address, min, max)) => (Some(address), min, max.max(min)),
            None => (bind, net.min_port, net.max_port),
        };
        let mut ports: Vec<u16> = (min..=max).collect();
        if net.port_choice == PortChoice::Random {
            rng::shuffle(&mut rng::stream(options.seed, 0, "port"), &mut ports);
        }
        let place = Place { address, ports, backlog: net.listen_backlog };
        let failed = |error| SessionError::Listen(min, max, error);
        let listener = place.bind().map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let pool = BufferPool::new(usize::try_from(settings.net.memory.0).unwrap_or(usize::MAX));
        let host = Arc::new(NetHost::new(pool.clone()));
        let shared = Arc::new(Shared {
            cache: CacheBudget::new(pool.limit() / CACHE_DIVISOR),
            download: Throttle::new(lower(bytes_per_sec(settings.net.download_limit), options.link.down)),
            upload: Throttle::new(None),
            upload_limit: Mutex::new(None),
            trackers: trackers::clients(&profile, host.clone()),
            router: Arc::default(),
            events: options.events,
            state: options.state,
            link: options.link,
            store: options.store,
            host,
            pool,
            bind,
            settings: settings.clone(),
            profile,
        });
        let torrents = Arc::new(Mutex::new(BTreeMap::new()));
        let patience = settings.peers.handshake_timeout.get();
        let (changed, changes) = async_channel::bounded(1);
        let tasks = vec![
            task::spawn(listener::listen(listener, shared.router.clone(), patience)),
            task::spawn(share_upload(shared.clone(), torrents.clone(), changes)),
        ];
        let session = Self { shared, tasks, torrents, changed, address, seed: options.seed };
        session.set_upload_limit(settings.net.upload_limit);
        Ok(session)
    }

    /// Sets another limit on upload of all torrents together (DN-8, CN-17); it holds at once.
    pub fn set_upload_limit(&self, limit: Limit<Rate>) {
        let rate = bytes_per_sec(limit);
        *lock(&self.shared.upload_limit) = rate;
        let kept_here = match self.shared.settings.upload.limiter {
            Limiter::Bucket => rate,
            // They send whole blocks: over the limit and then none (CN-13), or each when it is paid for (CN-18).
            Limiter::Suspend | Limiter::Unit => None,
        };
        self.shared.upload.set(lower(kept_here, self.shared.link.up));
        // When a change waits already, this one is seen with it.
        let _ = self.changed.try_send(());
    }

    /// Sets another limit on download of all torrents together; it holds at once.
    pub fn set_download_limit(&self, limit: Limit<Rate>) {
        self.shared.download.set(lower(bytes_per_sec(limit), self.shared.link.down));
    }

    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// The most memory that buffers took so far, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.shared.pool.peak()
    }

    /// Adds a torrent and lets it run; first it looks at what is there already.
    ///
    /// # Errors
    /// When it is there already, or another torrent writes one of its files.
    pub async fn add(&self, metainfo: Metainfo, options: AddOptions) -> Result<TorrentHandle, SessionError> {
        let info_hash = metainfo.info_hash;
        let peer_id = peer_id::peer_id(self.seed, info_hash, self.address.port());
        let board = Arc::new(Board::new(info_hash, peer_id, metainfo.layout.piece_count()));
        let (notes, inbox) = async_channel::bounded(NOTES);
        let handle = TorrentHandle::new(board.clone(), notes.clone());
        self.enter(&metainfo, &options, &handle)?;
        let task = Task {
            shared: self.shared.clone(),
            board,
            peer_id,
            address: self.address,
            seed: self.seed,
            notes,
            inbox,
        };
        task::spawn(task.run(metainfo, options));
        Ok(handle)
    }

    /// Notes a torrent and the files that it writes.
    fn enter(
        &self,
        metainfo: &Metainfo,
        options: &AddOptions,
        handle: &TorrentHandle,
    ) -> Result<(), SessionError> {
        let folder = std::path::absolute(&options.folder).unwrap_or_else(|_| options.folder.clone());
        let files = metainfo.layout.files().iter().filter(|file| !file.is_pad());
        let mut paths: Vec<PathBuf> = files.map(|file| file.path_in(&folder)).collect();
        paths.sort_unstable();
        let mut torrents = lock(&self.torrents);
        torrents.retain(|_, added| !added.handle.is_over());
        if torrents.contains_key(&metainfo.info_hash) {
            return Err(SessionError::Added(metainfo.info_hash));
        }
        for (&other, added) in torrents.iter() {
            if let Some(path) = paths.iter().find(|path| added.paths.binary_search(path).is_ok()) {
                return Err(SessionError::SameFile { path: path.clone(), other });
            }
        }
        torrents.insert(metainfo.info_hash, Added { handle: handle.clone(), paths });
        Ok(())
    }

    /// Stops every torrent, then the session.
    pub async fn stop(self) {
        let handles: Vec<TorrentHandle> =
            lock(&self.torrents).values().map(|added| added.handle.clone()).collect();
        join_all(handles.iter().map(TorrentHandle::stop)).await;
        for task in self.tasks {
            task.cancel().await;
        }
        if let Some(events) = &self.shared.events {
            events.flush();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes_per_sec(limit: Limit<Rate>) -> Option<u64> {
    limit.get().map(|rate| rate.0)
}

/// The lower of two limits, where there are any.
fn lower(limit: Option<u64>, link: Option<u64>) -> Option<u64> {
    limit.into_iter().chain(link).min()
}

/// Gives each torrent its part of the limit on upload: again and again while there is one, and when it changes.
async fn share_upload(
    shared: Arc<Shared>,
    torrents: Arc<Mutex<BTreeMap<InfoHash, Added>>>,
    changes: Receiver<()>,
) {
    let mut shares = UploadShares::default();
    loop {
        let handles: Vec<TorrentHandle> = {
            let torrents = lock(&torrents);
            torrents.values().map(|added| &added.handle).filter(|one| !one.is_over()).cloned().collect()
        };
        let limit = *lock(&shared.upload_limit);
        let mut parts = BTreeMap::new();
        if let Some(limit) = limit {
            let sent: Vec<_> = handles.iter().map(|handle| (handle.info_hash(), handle.uploaded())).collect();
            parts.extend(shares.divide(limit, &sent));
        }
        for handle in &handles {
            // One that is too busy to take it keeps the part it has for another second.
            let part = parts.get(&handle.info_hash()).copied();
            let _ = handle.notes().try_send(Note::UploadLimit(part));
        }
        let changed = changes.recv();
        match limit {
            Some(_) => drop(timeout(SHARE_INTERVAL, changed).await),
            None if changed.await.is_err() => return,
            None => {}
        }
    }
}

/// The life of one torrent.
struct Task {
    shared: Arc<Shared>,
    board: Arc<Board>,
    peer_id: PeerId,
    /// Where the session listens.
    address: SocketAddr,
    seed: u64,
    notes: Sender<Note>,
    inbox: Receiver<Note>,
}

impl Task {
    async fn run(self, metainfo: Metainfo, options: AddOptions) {
        let (board, inbox) = (self.board.clone(), self.inbox.clone());
        let info_hash = metainfo.info_hash;
        let router = self.shared.router.clone();
        let guard = self.guard();
        let watching = watch(self.shared.clone(), info_hash, guard.clone(), board.clone());
        let life = AssertUnwindSafe(self.live(&guard, metainfo, options)).catch_unwind();
        let phase = match select(std::pin::pin!(life), std::pin::pin!(watching)).await {
            Either::Left((Ok(phase), _)) => phase,
            Either::Left((Err(panic), _)) => {
                Phase::Failed(format!("a fault in this program: {}", said(&*panic)))
            }
            Either::Right((never, _)) => match never {},
        };
        // What the store did at the very end counts too, and nothing of it goes on.
        guard.give_up();
        let phase = match guard.panic() {
            Some(broke) if !matches!(phase, Phase::Failed(_)) => Phase::Failed(broke),
            _ => phase,
        };
        router.remove(info_hash);
        inbox.close();
        // What still waits is dropped: sockets close, buffers go back.
        while inbox.try_recv().is_ok() {}
        board.end(phase);
    }

    /// The wall around the torrent's store, which gets a thread of its own.
    fn guard(&self) -> Arc<Guard> {
        let notes = self.notes.clone();
        let tell = move |broke| {
            let notes = notes.clone();
            task::spawn(async move {
                // The torrent may be gone.
                let _ = notes.send(Note::PluginBroke(broke)).await;
            });
        };
        let (name, host) = (self.shared.profile.storage_name(), self.shared.host.clone());
        Guard::new(name, host, Some(OwnThread::new("store")), tell)
    }

    async fn live(self, guard: &Arc<Guard>, metainfo: Metainfo, options: AddOptions) -> Phase {
        let warn = |warning| self.board.warn(warning);
        let pool = self.shared.pool.account();
        let beginning = Beginning {
            shared: &self.shared,
            metainfo: &metainfo,
            folder: options.folder.clone(),
            check_all: options.check,
            done: &self.board.checked,
            guard,
            pool: pool.clone(),
            tasks: Arc::new(Workers(self.notes.clone())),
        };
        let starting = start(beginning, warn);
        let stopped = async { while !matches!(self.inbox.recv().await, Ok(Note::Stop) | Err(_)) {} };
        let ready = match select(std::pin::pin!(starting), std::pin::pin!(stopped)).await {
            Either::Left((Ok(ready), _)) => ready,
            Either::Left((Err(message), _)) => return Phase::Failed(message),
            Either::Right(_) => return Phase::Stopped,
        };
        self.go(guard, pool, metainfo, options, ready).await
    }

    async fn go(
        self,
        guard: &Arc<Guard>,
        pool: BufferPool,
        metainfo: Metainfo,
        options: AddOptions,
        ready: Ready,
    ) -> Phase {
        let Self { shared, board, peer_id, address, seed, notes, inbox } = self;
        let port = address.port();
        let layout = &metainfo.layout;
        let settings = shared.settings.clone();
        let sources = if metainfo.private { Vec::new() } else { shared.trackers.sources() };
        // They were built once when the profile was loaded, but they are strangers.
        let (choke, piece) = match contain(|| (shared.profile.choke(), shared.profile.piece())) {
            Ok(policies) => policies,
            Err(said) => return Phase::Failed(said),
        };
        let engine = Engine::new(EngineSetup {
            info_hash: metainfo.info_hash,
            peer_id,
            port,
            total_length: layout.total_length(),
            piece_length: layout.nominal_piece_length(),
            have: ready.have.clone(),
            partial: ready.partial.clone(),
            trackers: options
                .trackers
                .unwrap_or_else(|| metainfo.tiers(shared.settings.announce.multitracker)),
            sources,
            choke,
            piece,
            seed,
            node: 0,
            log: shared.events.is_some(),
            settings: settings.clone(),
        });
        let short = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        let (block, longest) =
            (short(settings.requests.block_size.0), short(settings.net.max_message_length.0));
        let decoder = Decoder::new(layout.piece_count(), block, longest);
        let decoder = match shared.settings.peers.late_bitfield {
            LateBitfield::Take => decoder.taking_late_bitfields(),
            LateBitfield::Close => decoder,
        };
        let decoder = match settings.upload.choked_request {
            ChokedRequest::Reject => decoder.offering_fast(),
            ChokedRequest::Ignore => decoder,
        };
        shared.pool.when_short({
            let notes = notes.clone();
            // A full queue is as good: the torrent looks at the pool after each turn.
            move || !matches!(notes.try_send(Note::MemoryShort), Err(async_channel::TrySendError::Closed(_)))
        });
        let listening = if metainfo.private {
            Vec::new()
        } else {
            trackers::listen(&shared.trackers, &introduction(metainfo.info_hash, peer_id, port), &notes)
        };
        shared.router.add(metainfo.info_hash, notes.clone());
        board.running();
        let store = ready.desk.store.clone();
        let setup = Setup {
            shared: shared.clone(),
            board: board.clone(),
            peer_id,
            engine,
            decoder,
            peers: options.peers,
            notes,
            inbox,
            guard: guard.clone(),
            pool,
        };
        let mut running = Running::new(setup, ready);
        running.log_joined(address);
        let phase = running.run().await;
        running.log_left();
        shared.router.remove(metainfo.info_hash);
        for task in listening {
            task.cancel().await;
        }
        // What broke is not touched again.
        if guard.panic().is_some() {
            return phase;
        }
        let closing = async {
            let saved = running.save().await;
            (saved, store.close().await.map_err(|error| format!("closing the storage: {error}")))
        };
        match guard.unless_silent(shared.settings.net.store_patience.get(), closing).await {
            // A panic is told otherwise.
            Ok(_) if guard.panic().is_some() => {}
            Ok((saved, closed)) => {
                [saved.warning, closed.err()].into_iter().flatten().for_each(|warning| board.warn(warning));
            }
            Err(silence) => board.warn(format!("{silence}; it is given up")),
        }
        phase
    }
}

/// Tells on `board`, and once in the event log, while the store of a torrent hangs; never ends.
async fn watch(shared: Arc<Shared>, info_hash: InfoHash, guard: Arc<Guard>, board: Arc<Board>) -> Infallible {
    let (mut looked_at, patience) = (0, shared.settings.net.store_patience.get());
    loop {
        task::sleep(SILENCE_INTERVAL).await;
        // A store that looks at what is there may take long, and says how far it is.
        let now_at = board.checked.load(Ordering::Relaxed);
        if std::mem::replace(&mut looked_at, now_at) != now_at {
            guard.goes_on();
        }
        let news = board.set_silence(guard.silence(patience));
        if let (Some(message), Some(log)) = (news, &shared.events) {
            let kind = StorageErrorKind::Other.to_string();
            log.record(shared.host.now(), &info_hash, &Event::StorageError { piece: None, kind, message });
        }
    }
}
