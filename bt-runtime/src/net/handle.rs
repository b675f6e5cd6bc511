//! What the user of a session holds of a torrent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_channel::{Receiver, Sender};
use bt_api::{InfoHash, PeerAddress, PeerId};
use bt_engine::{PeerStatus, Stall, Status};
use futures::channel::oneshot;

use super::torrent::Note;

/// The most warnings that are kept for a user who does not fetch them.
const MOST_WARNINGS: usize = 100;

/// A torrent of a session. Clones are the same torrent; dropping them all leaves it running.
#[derive(Clone)]
pub struct TorrentHandle {
    board: Arc<Board>,
    notes: Sender<Note>,
}

/// How a torrent stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What it is at.
    pub phase: Phase,
    /// Its figures; all zero before it runs, the last ones after it stopped.
    pub status: Status,
}

/// What a torrent is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It looks at what is there already.
    Checking {
        /// Pieces looked at.
        done: u32,
        /// Pieces of the torrent.
        total: u32,
    },
    /// It downloads or seeds.
    Running,
    /// It was stopped.
    Stopped,
    /// It cannot go on: one line that says why.
    Failed(String),
}

/// Where a torrent's task writes what the handles show.
pub(crate) struct Board {
    info_hash: InfoHash,
    peer_id: PeerId,
    pieces: u32,
    /// Pieces looked at.
    pub(crate) checked: Arc<AtomicU32>,
    state: Mutex<State>,
    completed: Gate,
    ended: Gate,
    stop_asked: Gate,
}

struct State {
    /// `None` while checking.
    phase: Option<Phase>,
    status: Status,
    /// That the store hangs, while it does.
    silence: Option<String>,
    warnings: Vec<String>,
}

/// Something that happens once and that any number wait for (DN-4): a channel that is closed then.
struct Gate(Sender<()>, Receiver<()>);

impl Gate {
    fn new() -> Self {
        let (open, wait) = async_channel::bounded(1);
        Self(open, wait)
    }

    fn open(&self) {
        self.0.close();
    }

    async fn wait(&self) {
        // Nothing is ever sent: only its end answers.
        let _ = self.1.recv().await;
    }
}

impl TorrentHandle {
    pub(crate) fn new(board: Arc<Board>, notes: Sender<Note>) -> Self {
        Self { board, notes }
    }

    /// Which torrent it is.
    pub fn info_hash(&self) -> InfoHash {
        self.board.info_hash
    }

    /// What it calls itself to peers and trackers.
    pub fn peer_id(&self) -> PeerId {
        self.board.peer_id
    }

    /// Connects to a peer at `address`, by the rules for one that a tracker named (DN-8, EN-1): not twice, and later
    /// where there is no room. Nothing happens while what is there is still checked, or after the end.
    pub async fn connect(&self, address: SocketAddr) {
        let peers = vec![PeerAddress { address, id: None }];
        // One that ended takes no notes.
        let _ = self.notes.send(Note::Peers("user".to_owned(), peers)).await;
    }

    /// The connected peers now (DN-9); none before it runs, or after the end.
    pub async fn peers(&self) -> Vec<PeerStatus> {
        let (answer, peers) = oneshot::channel();
        // One that ended, or checks, drops the question.
        let _ = self.notes.send(Note::ListPeers(answer)).await;
        peers.await.unwrap_or_default()
    }

    /// How it stands now.
    pub fn progress(&self) -> Progress {
        let state = self.board.lock();
        let checking =
            || Phase::Checking { done: self.board.checked.load(Ordering::Relaxed), total: self.board.pieces };
        let mut status = state.status.clone();
        if let Some(silence) = &state.silence {
            status.stall = Some(Stall::StoreSilent(silence.clone()));
        }
        Progress { phase: state.phase.clone().unwrap_or_else(checking), status }
    }

    /// What the user should know and has not fetched yet, a line each: a resume file that is broken or
    /// cannot be saved.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.board.lock().warnings)
    }

    /// Waits until every piece is verified, stored, and noted in the resume file; or until the torrent ends.
    pub async fn wait_complete(&self) {
        self.board.completed.wait().await;
    }

    /// Waits until it stopped or failed.
    pub async fn wait_ended(&self) {
        self.board.ended.wait().await;
    }

    /// Stops it: trackers and peers are told, the store is closed, the resume file saved. Takes a few
    /// seconds at most, when a tracker does not answer; a store that hangs is given up when it has not answered for
    /// `net.store-patience`. Stopped torrents stay stopped.
    pub async fn stop(&self) {
        self.board.stop_asked.open();
        // One that ended takes no notes.
        let _ = self.notes.send(Note::Stop).await;
        self.wait_ended().await;
    }

    /// Bytes sent so far.
    pub(crate) fn uploaded(&self) -> u64 {
        self.board.lock().status.uploaded
    }

    pub(crate) fn notes(&self) -> &Sender<Note> {
        &self.notes
    }

    pub(crate) fn is_over(&self) -> bool {
        self.notes.is_closed()
    }
}

impl Board {
    pub(crate) fn new(info_hash: InfoHash, peer_id: PeerId, pieces: u32) -> Self {
        let state = State { phase: None, status: Status::default(), silence: None, warnings: Vec::new() };
        Self {
            info_hash,
            peer_id,
            pieces,
            checked: Arc::default(),
            state: Mutex::new(state),
            completed: Gate::new(),
            ended: Gate::new(),
            stop_asked: Gate::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn warn(&self, warning: String) {
        let mut state = self.lock();
        if state.warnings.len() < MOST_WARNINGS {
            state.warnings.push(warning);
        }
    }

    pub(crate) fn renew(&self, status: Status) {
        self.lock().status = status;
    }

    /// Waits until somebody wants it to stop.
    pub(crate) async fn stop_asked(&self) {
        self.stop_asked.wait().await;
    }

    /// Whether the store hangs, in which words. It is told, and answered here, once when it begins to.
    pub(crate) fn set_silence(&self, silence: Option<String>) -> Option<String> {
        let before = std::mem::replace(&mut self.lock().silence, silence.clone());
        let news = silence.filter(|_| before.is_none())?;
        self.warn(news.clone());
        Some(news)
    }

    pub(crate) fn running(&self) {
        self.lock().phase = Some(Phase::Running);
    }

    pub(crate) fn complete(&self) {
        self.completed.open();
    }

    /// The torrent is over; everyone who waits is let go.
    pub(crate) fn end(&self, phase: Phase) {
        self.lock().phase = Some(phase);
        self.completed.open();
        self.ended.open();
    }
}
