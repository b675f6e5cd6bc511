//! One torrent: a task that feeds its engine what happens, in batches, and carries out what comes out.
//!
//! Whatever happens comes as a [`Note`] through one bounded queue. The task takes what is there, drains the
//! engine's outputs, wakes each connection that has something to send once, and waits for the next note or
//! for the engine's next deadline. It never waits for a peer, a disk or a tracker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_std::net::TcpStream;
use async_std::task;
use bt_api::{
    AnnounceReply, Block, BlockRef, BoxFuture, Host, Instant, PeerAddress, PeerId, PeerKey, StorageError,
    StorageErrorKind, TrackerError,
};
use bt_engine::event::Joined;
use bt_engine::handshake::{self, Handshake};
use bt_engine::resume::Resume;
use bt_engine::settings::ChokedRequest;
use bt_engine::wire::Decoder;
use bt_engine::{CloseReason, Engine, Event, Input, Output, PeerStatus, Tag};
use futures::channel::oneshot;
use futures::future::{Either, select};

use super::handle::Board;
use super::intake::Got;
use super::outbox::Outbox;
use super::peer::{Connection, Start};
use super::start::Ready;
use super::{Phase, Shared, resume_file};
use crate::events::to_ranges;
use crate::store::Tasks;
use crate::store::assembly::{Assembly, Done};
use crate::store::guard::Guard;
use crate::store::pool::BufferPool;
use crate::store::uploads::Uploads;
use crate::trackers::Panicked;

/// Notes that wait: enough that the torrent always has a batch to work on, few enough that sockets feel it
/// when it falls behind.
pub(crate) const NOTES: usize = 64;

/// Notes that are taken before connections are woken.
const NOTES_A_TURN: usize = 32;

/// How often the figures that users see are renewed.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);

/// How often connections are told that memory is short: what they copy then is copied at this rate at most.
const RELIEF_INTERVAL: Duration = Duration::from_millis(200);

/// How often the peers that the user named are dialled again, where they are not connected.
const PEERS_INTERVAL: Duration = Duration::from_secs(60);

/// How often the resume file is saved while pieces come in.
const SAVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long trackers may take to hear that we stop.
const STOP_TIME: Duration = Duration::from_secs(5);

/// How long the store may take after that to end what it is at; a disk that hangs is given up.
const LAST_JOBS_TIME: Duration = Duration::from_secs(30);

/// Something that happened.
pub(crate) enum Note {
    /// A connection came in that wants this torrent; `bytes` came after the part that `handshake` has read.
    Incoming { stream: TcpStream, address: SocketAddr, handshake: Handshake, bytes: Vec<u8> },
    /// A peer sent this.
    Got(PeerKey, Vec<Got>),
    /// A socket took these blocks, or the store could not read them.
    Uploaded(PeerKey, Vec<(BlockRef, Result<(), StorageError>)>),
    /// A connection is gone, or was not made.
    Closed(PeerKey, CloseReason),
    /// A piece's job is done.
    Piece(Box<Done>),
    /// A store or a tracker client panicked: its name, and what it said.
    PluginBroke(String),
    /// A tracker answered.
    Announced(u64, Result<AnnounceReply, TrackerError>),
    /// Somebody named peers.
    Peers(String, Vec<PeerAddress>),
    /// Somebody wants to know who is connected.
    ListPeers(oneshot::Sender<Vec<PeerStatus>>),
    /// The torrent's part of the upload limit.
    UploadLimit(Option<u64>),
    /// What is had was saved, or why not.
    Saved(Saved),
    /// Somebody waits for memory.
    MemoryShort,
    /// The torrent is to stop.
    Stop,
}

/// Runs the work on a store as tasks of their own, which tell the torrent.
pub(crate) struct Workers(pub(crate) Sender<Note>);

impl Tasks for Workers {
    fn start(&self, work: BoxFuture<'static, Option<Box<Done>>>) {
        let notes = self.0.clone();
        task::spawn(async move {
            if let Some(done) = work.await {
                // The torrent may be gone.
                let _ = notes.send(Note::Piece(done)).await;
            }
        });
    }
}

/// How saving what is had went.
pub(crate) struct Saved {
    /// How many pieces were had.
    count: u32,
    /// Whether the store made them durable.
    durable: bool,
    /// What did not work. When they are durable that is the resume file, which costs a check at the next
    /// start and no data.
    pub(crate) warning: Option<String>,
}

/// What a torrent needs besides what is on its disk.
pub(crate) struct Setup {
    pub(crate) shared: Arc<Shared>,
    pub(crate) board: Arc<Board>,
    pub(crate) peer_id: PeerId,
    pub(crate) engine: Engine,
    pub(crate) decoder: Decoder,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) notes: Sender<Note>,
    pub(crate) inbox: Receiver<Note>,
    pub(crate) guard: Arc<Guard>,
    /// The torrent's account of the pool.
    pub(crate) pool: BufferPool,
}

/// A torrent that runs.
pub(crate) struct Running {
    setup: Setup,
    ready: Ready,
    links: BTreeMap<PeerKey, Link>,
    /// Connections that have something new to send.
    touched: Vec<PeerKey>,
    assembly: Assembly,
    uploads: Uploads,
    /// Received blocks of which the engine has not said what becomes of them.
    blocks: BTreeMap<u64, Vec<Block>>,
    next_tag: u64,
    timer: Option<(Instant, BoxFuture<'static, ()>)>,
    status_due: Instant,
    /// When connections may be told again that memory is short.
    relief_due: Instant,
    /// When the peers that the user named are dialled again.
    peers_due: Instant,
    save_due: Instant,
    /// How many pieces the last resume file has, and how many the last try was to save; whether one is
    /// being written.
    saved: u32,
    save_tried: u32,
    saving: bool,
    /// What did not work at the last try.
    save_trouble: Option<String>,
    /// Whether blocks of unfinished pieces were written for the next run.
    parked: bool,
    stop_by: Option<Instant>,
    give_up_at: Option<Instant>,
    /// Why the engine stops by itself.
    failure: Option<String>,
    end: Option<Phase>,
}

struct Link {
    outbox: Arc<Outbox>,
    /// Whether our peer id was held back (EN-5).
    owes_id: bool,
    touched: bool,
}

impl Running {
    pub(crate) fn new(setup: Setup, ready: Ready) -> Self {
        let mut assembly = Assembly::new(ready.desk.clone());
        setup.engine.piece_view().pieces().received_blocks().for_each(|block| assembly.restore(block));
        Self {
            links: BTreeMap::new(),
            touched: Vec::new(),
            assembly,
            uploads: Uploads::new(ready.desk.clone(), setup.shared.cache.clone()),
            blocks: BTreeMap::new(),
            next_tag: 0,
            timer: None,
            status_due: Instant::ZERO,
            relief_due: Instant::ZERO,
            peers_due: Instant::ZERO,
            save_due: setup.shared.host.now() + SAVE_INTERVAL,
            saved: 0,
            save_tried: 0,
            saving: false,
            save_trouble: None,
            parked: false,
            stop_by: None,
            give_up_at: None,
            failure: None,
            end: None,
            setup,
            ready,
        }
    }

    /// Tells the event log that we take part, with what is held; `address` is where the session listens.
    pub(crate) fn log_joined(&self, address: SocketAddr) {
        let shared = &self.setup.shared;
        if shared.events.is_none() {
            return;
        }
        let layout = &self.ready.desk.torrent.layout;
        self.log(
            self.now(),
            &Event::Joined(Box::new(Joined {
                // Of all addresses, none is where a peer finds us.
                addr: Some(address).filter(|address| !address.ip().is_unspecified()),
                class: None,
                up: *super::lock(&shared.upload_limit),
                down: shared.download.rate(),
                total_length: layout.total_length(),
                piece_length: layout.nominal_piece_length(),
                have: to_ranges(self.setup.engine.have()),
            })),
        );
    }

    /// Tells the event log that we do no longer.
    pub(crate) fn log_left(&self) {
        self.log(self.now(), &Event::Left {});
    }

    fn log(&self, now: Instant, event: &Event) {
        if let Some(log) = &self.setup.shared.events {
            log.record(now, &self.ready.desk.torrent.info_hash, event);
        }
    }

    /// Runs to the end: answers how it ended.
    pub(crate) async fn run(&mut self) -> Phase {
        // What was found is not hashed again, and what will be written is known as ours.
        // A stop does not wait for it.
        let (saving, board) = (self.save(), self.setup.board.clone());
        let saved = match select(pin!(saving), pin!(board.stop_asked())).await {
            Either::Left((saved, _)) => saved,
            Either::Right(_) => return Phase::Stopped,
        };
        if let Some(broke) = self.setup.guard.panic() {
            return Phase::Failed(broke);
        }
        let now = self.now();
        self.setup.engine.start(now);
        // What the profile says may have changed since; the torrent's part of it is told within a second.
        let limit = *super::lock(&self.setup.shared.upload_limit);
        self.setup.engine.handle(now, Input::UploadLimit(limit));
        self.name_peers(now);
        self.setup.board.renew(self.setup.engine.status(now));
        self.saved(saved);
        loop {
            self.end_turn();
            // An older resume file must not replace the last one, which is written after this.
            if self.end.is_some() && !self.assembly.is_busy() && !self.saving {
                if self.keeps_partials() && !std::mem::replace(&mut self.parked, true) {
                    self.assembly.park();
                    continue;
                }
                return self.end.take().unwrap_or(Phase::Stopped);
            }
            // What is not written now will be downloaded again.
            if self.end.is_some() && self.is_store_silent() {
                return self.end.take().unwrap_or(Phase::Stopped);
            }
            let mut next = self.wait().await;
            let now = self.now();
            for _ in 0..NOTES_A_TURN {
                let Some(note) = next else { break };
                self.take(now, note);
                self.drain(now);
                next = self.setup.inbox.try_recv().ok();
            }
            if let Some(note) = next {
                self.take(now, note);
                self.drain(now);
            }
            if self.setup.engine.next_wakeup().is_some_and(|due| due <= now) {
                self.setup.engine.handle(now, Input::Wakeup);
                self.drain(now);
            }
            if self.peers_due <= now && self.stop_by.is_none() && !self.setup.engine.have().is_full() {
                self.name_peers(now);
            }
            if self.stop_by.is_some_and(|by| by <= now) {
                self.stopped();
                if self.give_up_at.is_some_and(|at| at <= now) {
                    return self.end.take().unwrap_or(Phase::Stopped);
                }
                self.stop_by = self.give_up_at;
            }
        }
    }

    fn keeps_partials(&self) -> bool {
        self.setup.shared.settings.requests.keep_partials
    }

    /// Tells the engine of the peers that the user named; it dials those that are not connected.
    fn name_peers(&mut self, now: Instant) {
        self.peers_due = now + PEERS_INTERVAL;
        let peers = self.setup.peers.iter().map(|&address| PeerAddress { address, id: None });
        let peers: Vec<_> = peers.collect();
        if !peers.is_empty() {
            self.setup.engine.handle(now, Input::Peers { source: "user".into(), peers });
        }
        self.drain(now);
    }

    fn now(&self) -> Instant {
        self.setup.shared.host.now()
    }

    /// Waits for a note, until the next deadline.
    async fn wait(&mut self) -> Option<Note> {
        if let Ok(note) = self.setup.inbox.try_recv() {
            return Some(note);
        }
        let due = self.setup.engine.next_wakeup().unwrap_or(Instant::NEVER).min(self.status_due);
        let due = due.min(self.stop_by.unwrap_or(Instant::NEVER));
        // A timer that fires too early only costs a turn; making one costs a call to the reactor.
        if self.timer.as_ref().is_none_or(|(when, _)| *when > due) {
            self.timer = Some((due, self.setup.shared.host.sleep_until(due)));
        }
        let (_, timer) = self.timer.as_mut()?;
        match select(pin!(self.setup.inbox.recv()), timer).await {
            Either::Left((note, _)) => note.ok(),
            Either::Right(_) => {
                self.timer = None;
                None
            }
        }
    }

    /// Tells the engine what happened; of a connection that was closed meanwhile nothing (RS-12, EN-12).
    fn take(&mut self, now: Instant, note: Note) {
        let engine = &mut self.setup.engine;
        match note {
            Note::Got(peer, got) => {
                if !self.links.contains_key(&peer) {
                    return;
                }
                for one in got {
                    let input = match one {
                        Got::Block(block, bytes) => {
                            self.next_tag += 1;
                            self.blocks.insert(self.next_tag, bytes);
                            Input::Block { peer, block, tag: Tag(self.next_tag) }
                        }
                        Got::Message(message) => Input::Message { peer, message },
                        Got::Fast => Input::Fast { peer },
                        Got::Handshake(id) => Input::Handshake { peer, id },
                        Got::Alive => Input::Alive { peer },
                    };
                    engine.handle(now, input);
                }
            }
            Note::Uploaded(peer, blocks) => {
                if self.links.contains_key(&peer) {
                    let broke = blocks.iter().any(|(_, result)| result.is_err())
                        && self.setup.guard.panic().is_some();
                    for (block, result) in blocks.into_iter().filter(|_| !broke) {
                        engine.handle(now, Input::Uploaded { peer, block, result });
                    }
                }
            }
            Note::Closed(peer, reason) => {
                if self.links.remove(&peer).is_some() {
                    engine.handle(now, Input::Closed { peer, reason });
                }
            }
            Note::Incoming { stream, address, handshake, bytes } => {
                self.incoming(now, address, Start::Incoming(stream, handshake, bytes));
            }
            Note::Piece(done) => {
                // A panic is told by itself.
                let broke = self.setup.guard.panic().is_some();
                if let Some(why) = self.assembly.take_warning(&done).filter(|_| !broke) {
                    self.setup
                        .board
                        .warn(format!("writing early to free memory fails, and is tried again: {why}"));
                }
                if let Some((piece, result)) = self.assembly.done(now, *done).filter(|_| !broke) {
                    engine.handle(now, Input::Finished { piece, result });
                }
            }
            Note::PluginBroke(message) => self.fail(message),
            Note::Announced(tag, result) => {
                engine.handle(now, Input::Announced { tag, result: result.map(Box::new) })
            }
            Note::Peers(source, peers) => engine.handle(now, Input::Peers { source, peers }),
            // Who asked may be gone.
            Note::ListPeers(answer) => drop(answer.send(engine.peers(now))),
            Note::UploadLimit(limit) => engine.handle(now, Input::UploadLimit(limit)),
            Note::Saved(saved) => self.saved(saved),
            Note::MemoryShort => {}
            Note::Stop => {
                engine.handle(now, Input::Stop);
                self.set_end(now);
            }
        }
    }

    /// Carries out what the engine wants.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.setup.engine.poll_output() {
            match output {
                Output::Send { peer, message } => {
                    let sent = self.outbox(peer).map(|outbox| outbox.message(&message));
                    if let Some(Err(_)) = sent {
                        self.close(peer);
                        let reason = CloseReason::Io("the peer does not read".into());
                        self.setup.engine.handle(now, Input::Closed { peer, reason });
                    }
                }
                Output::Upload { peer, block } => {
                    let slot = self.uploads.get(block);
                    if let Some(outbox) = self.outbox(peer) {
                        outbox.upload(block, slot);
                    }
                }
                Output::Keep { tag, block } => {
                    if let Some(bytes) = self.blocks.remove(&tag.0) {
                        self.assembly.keep(block, bytes);
                    }
                }
                Output::Drop { tag } => drop(self.blocks.remove(&tag.0)),
                Output::Finish { piece, digests } => self.assembly.finish(piece, digests),
                Output::Discard { piece } => self.assembly.discard(piece),
                Output::Connect { peer, address, delay_id } => self.connect(peer, address, delay_id),
                Output::Accept { peer } => self.accept(peer),
                Output::Close { peer, .. } => self.close(peer),
                Output::Announce { tag, target, announce } => {
                    let (trackers, notes) = (self.setup.shared.trackers.clone(), self.setup.notes.clone());
                    task::spawn(async move {
                        let note = match trackers.announce(&target, &announce).await {
                            Ok(result) => Note::Announced(tag, result),
                            Err(Panicked(said)) => Note::PluginBroke(said),
                        };
                        // The torrent may be gone.
                        let _ = notes.send(note).await;
                    });
                }
                Output::Event(event) => self.log(now, &event),
                Output::Failed { message } => {
                    self.failure = Some(message);
                    self.set_end(now);
                }
                Output::Stopped => self.stopped(),
            }
        }
        // The engine answers for each block at once; of a peer that it closed it says nothing.
        self.blocks.clear();
    }

    fn is_store_silent(&self) -> bool {
        self.setup.guard.silence(self.setup.shared.settings.net.store_patience.get()).is_some()
    }

    fn stopped(&mut self) {
        let phase = self.failure.take().map_or(Phase::Stopped, Phase::Failed);
        self.end.get_or_insert(phase);
    }

    fn fail(&mut self, message: String) {
        for peer in self.links.keys().copied().collect::<Vec<_>>() {
            self.close(peer);
        }
        self.set_end(self.now());
        if !matches!(self.end, Some(Phase::Failed(_))) {
            self.end = Some(Phase::Failed(message));
        }
    }

    fn set_end(&mut self, now: Instant) {
        if self.stop_by.is_none() {
            self.stop_by = Some(now + STOP_TIME);
            self.give_up_at = Some(now + STOP_TIME + LAST_JOBS_TIME);
        }
    }

    /// Where to put what `peer` is to be sent; it is woken at the end of the turn.
    fn outbox(&mut self, peer: PeerKey) -> Option<&Outbox> {
        let link = self.links.get_mut(&peer)?;
        if !link.touched {
            link.touched = true;
            self.touched.push(peer);
        }
        Some(&link.outbox)
    }

    fn close(&mut self, peer: PeerKey) {
        if let Some(link) = self.links.remove(&peer) {
            link.outbox.close();
        }
    }

    /// Whether it works is told later, by the connection's task (RS-9).
    fn connect(&mut self, peer: PeerKey, address: SocketAddr, delay_id: bool) {
        let whole = self.own_handshake();
        let first = if delay_id { &whole[..handshake::START] } else { &whole[..] };
        let outbox = self.link(peer, first, delay_id);
        self.spawn(peer, outbox, Start::Dial(address));
    }

    fn incoming(&mut self, now: Instant, address: SocketAddr, start: Start) {
        let peer = self.setup.engine.new_peer();
        // All of our handshake goes out before the peer's id is read (EN-6), unless the engine refuses.
        let whole = self.own_handshake();
        let outbox = self.link(peer, &whole, false);
        self.setup.engine.handle(now, Input::Incoming { peer, address });
        self.drain(now);
        if self.links.contains_key(&peer) {
            self.spawn(peer, outbox, start);
        }
    }

    fn own_handshake(&self) -> [u8; handshake::LENGTH] {
        let mut whole = handshake::whole(self.ready.desk.torrent.info_hash, self.setup.peer_id);
        if self.setup.shared.settings.upload.choked_request == ChokedRequest::Reject {
            handshake::offer_fast(&mut whole);
        }
        whole
    }

    fn link(&mut self, peer: PeerKey, first: &[u8], owes_id: bool) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::default());
        outbox.bytes(first);
        self.links.insert(peer, Link { outbox: outbox.clone(), owes_id, touched: false });
        outbox
    }

    fn spawn(&self, peer: PeerKey, outbox: Arc<Outbox>, start: Start) {
        let connection = Connection {
            peer,
            info_hash: self.ready.desk.torrent.info_hash,
            decoder: self.setup.decoder.clone(),
            outbox,
            notes: self.setup.notes.clone(),
            pool: self.setup.pool.clone(),
            shared: self.setup.shared.clone(),
        };
        task::spawn(connection.run(start));
    }

    fn accept(&mut self, peer: PeerKey) {
        let id = self.setup.peer_id;
        let owed = self.links.get_mut(&peer).is_some_and(|link| std::mem::take(&mut link.owes_id));
        if owed && let Some(outbox) = self.outbox(peer) {
            outbox.bytes(&id.0);
        }
    }

    /// What is done once a turn: connections are woken, memory is freed, figures are renewed.
    fn end_turn(&mut self) {
        for peer in self.touched.drain(..) {
            if let Some(link) = self.links.get_mut(&peer) {
                link.touched = false;
                link.outbox.wake();
            }
        }
        let now = self.now();
        if self.setup.pool.is_short() {
            self.uploads.relieve();
            self.assembly.relieve(now);
            if now >= self.relief_due {
                self.relief_due = now + RELIEF_INTERVAL;
                self.links.values().for_each(|link| link.outbox.relieve());
            }
        }
        let have = self.setup.engine.have();
        let (count, is_complete) = (have.count(), have.is_full());
        let changed = count != self.saved;
        // What was seen last, at the end, is what the summary says.
        if now >= self.status_due || (changed && is_complete) || self.end.is_some() {
            self.status_due = now + STATUS_INTERVAL;
            let status = self.setup.engine.status(now);
            self.setup.board.renew(status);
        }
        if let Some(wrong) = self.setup.engine.take_violation() {
            self.setup.board.warn(wrong);
        }
        let just_complete = is_complete && count != self.save_tried;
        if changed && !self.saving && self.stop_by.is_none() && (now >= self.save_due || just_complete) {
            self.save_due = now + SAVE_INTERVAL;
            self.saving = true;
            self.save_tried = count;
            let (saving, notes) = (self.save(), self.setup.notes.clone());
            task::spawn(async move {
                let _ = notes.send(Note::Saved(saving.await)).await;
            });
        }
    }

    /// Completion is told once it would outlive us: every piece was had when the store made them durable.
    /// What did not work is told once, and tried again at the next time to save.
    fn saved(&mut self, saved: Saved) {
        self.saving = false;
        if self.setup.guard.panic().is_some() {
            return;
        }
        if saved.warning.is_none() {
            self.saved = saved.count;
        }
        if let Some(warning) = saved.warning.as_ref().filter(|_| saved.warning != self.save_trouble) {
            self.setup.board.warn(warning.clone());
        }
        self.save_trouble = saved.warning;
        if saved.durable && saved.count == self.ready.desk.torrent.layout.piece_count() {
            self.setup.board.complete();
        }
    }

    /// Makes what is had durable, then writes the resume file that vouches for it.
    pub(crate) fn save(&mut self) -> impl Future<Output = Saved> + Send + use<> {
        let status = self.setup.engine.status(self.now());
        let (store, info_hash) = (self.ready.desk.store.clone(), self.ready.desk.torrent.info_hash);
        let mut resume = Resume {
            info_hash,
            have: self.setup.engine.have().clone(),
            partial: if self.keeps_partials() { self.assembly.written() } else { Vec::new() },
            uploaded: self.ready.uploaded + status.uploaded,
            downloaded: self.ready.downloaded + status.downloaded,
            storage_name: self.setup.shared.profile.storage_name(),
            store: None,
        };
        let path: Option<PathBuf> =
            self.setup.shared.state.as_ref().map(|state| resume_file::path(state, info_hash));
        let count = resume.have.count();
        async move {
            let mut warning = None;
            match store.checkpoint().await {
                Ok(vouched) => resume.store = vouched,
                Err(error) => warning = Some((error.kind(), format!("checkpoint of the storage: {error}"))),
            }
            let durable = warning.is_none();
            // The last file vouches for more than one without the store's part, but where files were changed under
            // the store: then everything is to be checked.
            let is_worth_it = warning.as_ref().is_none_or(|(kind, _)| *kind == StorageErrorKind::Corrupt);
            let mut warning = warning.map(|(_, text)| text);
            if let Some(path) = path.filter(|_| is_worth_it) {
                let saving = task::spawn_blocking(move || {
                    resume_file::save(&path, &resume).map_err(|error| format!("saving {path:?}: {error}"))
                });
                warning = saving.await.err().or(warning);
            }
            Saved { count, durable, warning }
        }
    }
}
