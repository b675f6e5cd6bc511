//! The wall around the store of one torrent: every call passes here.
//!
//! A panic, when the store is opened, called or dropped, ends it: it is told once, by the storage's name and what it was
//! at, and every other call fails from then on, also those under way. A call that is not answered is known by when it
//! began, so that a store that hangs can be told and, at the end, given up.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use bt_api::contain::contain;
use bt_api::{
    Block, BoxFuture, Bytes, Host, Instant, PieceIndex, PieceSet, StorageBackend, StorageError,
    StorageErrorKind, Torrent, TorrentStore,
};
use futures::FutureExt;
use futures::future::{Either, select};

use crate::lane::{self, Lane};

/// How often it is looked whether a store hangs, while its end is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Open,
    Held,
    Read(PieceIndex),
    Write(PieceIndex),
    Seal(PieceIndex),
    Checkpoint,
    Close,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("opening"),
            Self::Held => f.write_str("saying what it holds"),
            Self::Read(piece) => write!(f, "reading piece {piece}"),
            Self::Write(piece) => write!(f, "writing piece {piece}"),
            Self::Seal(piece) => write!(f, "sealing piece {piece}"),
            Self::Checkpoint => f.write_str("making a checkpoint"),
            Self::Close => f.write_str("closing"),
        }
    }
}

/// Guards the store of one torrent.
pub struct Guard {
    name: String,
    host: Arc<dyn Host>,
    /// Where its calls run; without it, in whoever calls.
    lane: Option<Arc<dyn Lane>>,
    /// Is told of the panic.
    tell: Box<dyn Fn(String) + Send + Sync>,
    state: Mutex<State>,
    /// Closed when the store is called no more.
    over: (Sender<()>, Receiver<()>),
}

#[derive(Default)]
struct State {
    /// How many calls there were.
    calls: u64,
    /// Those under way, and since when.
    open: BTreeMap<u64, (Instant, Call)>,
    /// Why the store is called no more.
    died: Option<String>,
    /// Whether that is a panic.
    panicked: bool,
}

impl Guard {
    /// Guards the store that the storage called `name` will open. Its calls run on `lane`, or without one in whoever
    /// makes them; `tell` hears of a panic, once.
    pub fn new(
        name: String,
        host: Arc<dyn Host>,
        lane: Option<Arc<dyn Lane>>,
        tell: impl Fn(String) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (state, over) = (Mutex::default(), async_channel::bounded(1));
        Arc::new(Self { name, host, lane, tell: Box::new(tell), state, over })
    }

    /// Has `backend` open the store of `torrent`.
    ///
    /// # Errors
    /// What the backend says, or that it panicked.
    pub async fn open(
        self: &Arc<Self>,
        backend: Arc<dyn StorageBackend>,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> Result<Arc<dyn TorrentStore>, StorageError> {
        let (guard, pieces) = (self.clone(), torrent.layout.piece_count());
        let opening = async move {
            let store = backend.open(torrent, host).await?;
            Ok(Kept { guard, store: Some(store) })
        };
        let store = Arc::new(self.call(Call::Open, opening).await?);
        Ok(Arc::new(Guarded { guard: self.clone(), store, pieces }))
    }

    /// The panic that ended it, if one did: by name, and what it was at.
    pub fn panic(&self) -> Option<String> {
        let state = self.lock();
        state.died.clone().filter(|_| state.panicked)
    }

    /// That the store has not answered for `patience` or longer, if it has not: since when, at what.
    pub fn silence(&self, patience: Duration) -> Option<String> {
        self.silence_at(self.host.now(), patience)
    }

    /// The same, as it stands at `now`.
    pub fn silence_at(&self, now: Instant, patience: Duration) -> Option<String> {
        let (since, call) = *self.lock().open.values().min_by_key(|(since, _)| *since)?;
        let silent = now.since(since);
        (silent >= patience)
            .then(|| format!("the storage {} has not answered for {} s: {call}", self.name, silent.as_secs()))
    }

    /// What is under way is not hanging: it said how far it is.
    pub fn goes_on(&self) {
        let now = self.host.now();
        self.lock().open.values_mut().for_each(|(since, _)| *since = now);
    }

    /// What `work` on the store answers, or that the store hangs, once it has not answered for `patience`.
    ///
    /// # Errors
    /// As [`silence`](Self::silence) says it.
    pub async fn unless_silent<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, String> {
        let mut work = pin!(work);
        loop {
            let look = self.host.sleep_until(self.host.now() + LOOK_INTERVAL);
            match select(work.as_mut(), look).await {
                Either::Left((answer, _)) => return Ok(answer),
                Either::Right(_) => {}
            }
            if let Some(silence) = self.silence(patience) {
                return Err(silence);
            }
        }
    }

    /// The store is not called any more, and what is under way is dropped: the torrent is over.
    pub fn give_up(&self) {
        self.end(format!("the storage {} is given up", self.name), false);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this ended it.
    fn end(&self, why: String, panicked: bool) -> bool {
        let mut state = self.lock();
        let is_first = state.died.is_none();
        if is_first {
            (state.died, state.panicked) = (Some(why), panicked);
        }
        drop(state);
        self.over.0.close();
        is_first
    }

    /// It panicked: answers what those who call it are told.
    fn broke(&self, doing: &str, said: &str) -> StorageError {
        let what = format!("the storage {} panicked {doing}: {said}", self.name);
        if self.end(what.clone(), true) {
            (self.tell)(what);
        }
        self.dead()
    }

    /// What calls are answered once it has ended.
    fn dead(&self) -> StorageError {
        StorageError::new(StorageErrorKind::Other, self.lock().died.clone().unwrap_or_default())
    }

    /// Makes a call. One that nobody waits for is dropped.
    async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: Call,
        work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
    ) -> Result<T, StorageError> {
        let number = {
            let mut state = self.lock();
            if state.died.is_some() {
                drop(state);
                return Err(self.dead());
            }
            state.calls += 1;
            let number = state.calls;
            state.open.insert(number, (self.host.now(), call));
            number
        };
        let _open = OpenCall { guard: self, number };
        let work = pin!(lane::run(self.lane.as_ref(), work));
        match select(work, pin!(self.over.1.recv())).await {
            Either::Left((Ok(answer), _)) => answer,
            Either::Left((Err(said), _)) => Err(self.broke(&format!("while {call}"), &said)),
            Either::Right(_) => Err(self.dead()),
        }
    }
}

/// A call under way.
struct OpenCall<'a> {
    guard: &'a Guard,
    number: u64,
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.guard.lock().open.remove(&self.number);
    }
}

/// A store, whose end is guarded too.
struct Kept {
    guard: Arc<Guard>,
    /// `None` in the moment of its end.
    store: Option<Box<dyn TorrentStore>>,
}

impl Kept {
    fn store(&self) -> &dyn TorrentStore {
        self.store.as_deref().expect("it is there until it is dropped")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let store = self.store.take();
        if let Err(said) = contain(|| drop(store)) {
            self.guard.broke("when it was dropped", &said);
        }
    }
}

/// The store as everyone else sees it.
struct Guarded {
    guard: Arc<Guard>,
    store: Arc<Kept>,
    /// How many the torrent has.
    pieces: u32,
}

impl Guarded {
    /// Has the store do `what`.
    fn call<T: Send + 'static>(
        &self,
        call: Call,
        what: impl for<'s> FnOnce(&'s dyn TorrentStore) -> BoxFuture<'s, Result<T, StorageError>> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StorageError>> {
        let store = self.store.clone();
        self.guard.call(call, async move { what(store.store()).await }).boxed()
    }
}

impl TorrentStore for Guarded {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        let (pieces, name) = (self.pieces, self.guard.name.clone());
        let held = self.call(Call::Held, |store| store.held());
        // A set of another torrent would be out of bounds everywhere.
        let fits = move |held: PieceSet| match held.pieces() {
            found if found == pieces => Ok(held),
            found => {
                let what =
                    format!("the storage {name} says what it holds of {found} pieces, not of {pieces}");
                Err(StorageError::new(StorageErrorKind::Corrupt, what))
            }
        };
        held.map(|held| held.and_then(fits)).boxed()
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        self.call(Call::Read(piece), move |store| store.read(piece, offset, length))
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.call(Call::Write(piece), move |store| store.write(piece, offset, blocks))
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        self.call(Call::Seal(piece), move |store| store.seal(piece))
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.call(Call::Checkpoint, |store| store.checkpoint())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.call(Call::Close, |store| store.close())
    }
}

#[cfg(test)]
mod tests;
