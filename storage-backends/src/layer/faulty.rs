//! A disk that fails: one in so many calls, part of a write, or every write past a capacity.
//!
//! For tests of what a client does then. Which one of each hundred calls fails is drawn from the seed, so that
//! no pattern of calls falls into step with the failures; the same calls in the same order fail again in the next
//! run. Reads, writes, seals and checkpoints have a stream of their own: one more read leaves the writes alone.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageError, StorageErrorKind,
    StorageLayer, Torrent, TorrentStore, config, plugin, rng, run_blocking,
};
use serde::{Deserialize, Serialize};

/// The layer `faulty`.
pub struct Faulty {
    config: Config,
}

/// The `[[storage.layer]]` table of `faulty`. By default nothing fails.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// One of so many reads fails; 0: none.
    pub every_read: u32,
    /// One of so many writes fails; 0: none.
    pub every_write: u32,
    /// One of so many seals fails; 0: none.
    pub every_seal: u32,
    /// One of so many checkpoints fails; 0: none.
    pub every_checkpoint: u32,
    /// How they fail.
    pub kind: Fault,
    /// Whether a write that fails has written some of its bytes, from the first on.
    pub torn_writes: bool,
    /// So many bytes can be written, counted anew in each run; then the disk is full. What is written again
    /// counts again.
    pub capacity: config::Limit<config::Size>,
    /// The disk is only full while there is a file at this path; empty: for ever.
    pub full_while: PathBuf,
    /// Decides which calls fail, and how much of a torn write is written.
    pub seed: u64,
}

/// How a call fails: one for each [`StorageErrorKind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The bytes are not there.
    Missing,
    /// There is no room.
    Full,
    /// Permission is denied.
    Denied,
    /// What is there is not what was written.
    Corrupt,
    /// It may work at once when tried again.
    Temporary,
    /// Anything else, such as a broken sector.
    #[default]
    Other,
}

impl From<Fault> for StorageErrorKind {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Missing => Self::Missing,
            Fault::Full => Self::Full,
            Fault::Denied => Self::Denied,
            Fault::Corrupt => Self::Corrupt,
            Fault::Temporary => Self::Temporary,
            Fault::Other => Self::Other,
        }
    }
}

impl Plugin for Faulty {
    type Kind = plugin::Layer;
    type Config = Config;
    const NAME: &'static str = "faulty";
    const SUMMARY: &'static str = "fails some of the calls to the store that it wraps";
    fn build(config: Config) -> Result<Box<dyn StorageLayer>, BuildError> {
        if config.capacity.get().is_none() && !config.full_while.as_os_str().is_empty() {
            return Err(BuildError::new("full-while", "needs a `capacity`"));
        }
        Ok(Box::new(Self { config }))
    }
}
bt_api::register!(Faulty);

impl StorageLayer for Faulty {
    fn wrap(
        &self,
        inner: Box<dyn TorrentStore>,
        _: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> Box<dyn TorrentStore> {
        let config = self.config.clone();
        let chance = |every, name| Mutex::new(Chance::new(every, config.seed, name));
        Box::new(Store {
            reads: chance(config.every_read, "faulty read"),
            writes: chance(config.every_write, "faulty write"),
            seals: chance(config.every_seal, "faulty seal"),
            checkpoints: chance(config.every_checkpoint, "faulty checkpoint"),
            written: Mutex::new(0),
            inner,
            host,
            config,
        })
    }
}

struct Store {
    inner: Box<dyn TorrentStore>,
    host: Arc<dyn Host>,
    config: Config,
    reads: Mutex<Chance>,
    writes: Mutex<Chance>,
    seals: Mutex<Chance>,
    checkpoints: Mutex<Chance>,
    /// Bytes, those of writes under way included.
    written: Mutex<u64>,
}

/// Lets one of every so many calls fail.
struct Chance {
    every: u32,
    rng: rng::Generator,
    /// Calls that are left of this round, and how many are left after the one that fails.
    left: u32,
    fails_at: u32,
}

impl Chance {
    fn new(every: u32, seed: u64, name: &str) -> Self {
        Self { every, rng: rng::stream(seed, 0, name), left: 0, fails_at: 0 }
    }

    fn fails(&mut self) -> bool {
        if self.every == 0 {
            return false;
        }
        if self.left == 0 {
            self.left = self.every;
            self.fails_at = rng::below(&mut self.rng, self.every);
        }
        self.left -= 1;
        self.left == self.fails_at
    }
}

impl Store {
    /// Fails a call when it is its turn; `what` was tried.
    fn pass(&self, chance: &Mutex<Chance>, what: &str) -> Result<(), StorageError> {
        let mut chance = lock(chance);
        if chance.fails() { Err(self.failed(what, chance.every)) } else { Ok(()) }
    }

    fn failed(&self, what: &str, every: u32) -> StorageError {
        let message = format!("{what}: the layer faulty fails one of {every}");
        StorageError::new(self.config.kind.into(), message)
    }

    /// How many of the `length` bytes of a write are written, and why not all of them are.
    async fn take(&self, piece: PieceIndex, length: u64) -> (u64, Result<(), StorageError>) {
        let capacity = self.capacity().await;
        let mut written = lock(&self.written);
        let mut chance = lock(&self.writes);
        let what = format!("writing piece {piece}");
        let (part, result) = if chance.fails() {
            let bound = u32::try_from(length).unwrap_or(u32::MAX).max(1);
            (rng::below(&mut chance.rng, bound).into(), Err(self.failed(&what, chance.every)))
        } else if *written + length > capacity {
            let message = format!("{what}: the layer faulty has room for {capacity} bytes");
            let full = StorageError::new(StorageErrorKind::Full, message);
            (capacity.saturating_sub(*written), Err(full))
        } else {
            (length, Ok(()))
        };
        let part = if result.is_ok() || self.config.torn_writes { part } else { 0 };
        *written += part;
        (part, result)
    }

    /// How many bytes can be written, as things stand.
    async fn capacity(&self) -> u64 {
        let Some(capacity) = self.config.capacity.get() else { return u64::MAX };
        let path = self.config.full_while.clone();
        let holds = path.as_os_str().is_empty() || run_blocking(&*self.host, move || path.exists()).await;
        if holds { capacity.0 } else { u64::MAX }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first `length` bytes of `blocks`.
fn first(blocks: Vec<Block>, mut length: u64) -> Vec<Block> {
    let mut first = Vec::with_capacity(blocks.len());
    for block in blocks {
        let part = block.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        if part == 0 {
            break;
        }
        length -= part as u64;
        first.push(block.slice(0..part));
    }
    first
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        self.inner.held()
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            self.pass(&self.reads, &format!("reading piece {piece}"))?;
            self.inner.read(piece, offset, length).await
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let length = blocks.iter().map(|block| block.len() as u64).sum();
            let (part, result) = self.take(piece, length).await;
            if part > 0 || result.is_ok() {
                let done = self.inner.write(piece, offset, first(blocks, part)).await;
                done.inspect_err(|_| *lock(&self.written) -= part)?;
            }
            result
        })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.pass(&self.seals, &format!("sealing piece {piece}"))?;
            self.inner.seal(piece).await
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(async move {
            self.pass(&self.checkpoints, "a checkpoint")?;
            self.inner.checkpoint().await
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.inner.close()
    }
}
