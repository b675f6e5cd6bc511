//! Everything in memory: for tests, as the original's fake files (FO-1 to FO-3), and for measuring the rest of the client
//! without a disk.
//!
//! A write is copied once. Received blocks are slices of a bounded pool's buffers; a store that kept them
//! would keep the pool, and the download would stand still. A sealed piece is one allocation that reads
//! share without a copy.

use std::collections::BTreeMap;
use std::iter::once;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageBackend, StorageError,
    StorageErrorKind, Torrent, TorrentStore, config, plugin,
};
use serde::{Deserialize, Serialize};

use crate::ranges::{self, add, covers};

/// The plug-in `memory`.
pub struct Memory {
    budget: Arc<Budget>,
}

/// The `[storage]` table of `memory`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The most memory that the data of all torrents may take up; a larger torrent does not start.
    pub max_size: config::Size,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_size: config::Size::mib(1024) }
    }
}

impl Plugin for Memory {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "memory";
    const SUMMARY: &'static str = "keeps everything in memory, and nothing after the end";
    fn build(config: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        Ok(Box::new(Self { budget: Arc::new(Budget { limit: config.max_size, used: AtomicU64::new(0) }) }))
    }
}
bt_api::register!(Memory);

impl StorageBackend for Memory {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            let (total, limit) = (config::Size(torrent.layout.total_length()), self.budget.limit);
            if total > limit {
                let message = format!("the torrent's {total} are more than the max-size of {limit}");
                return Err(StorageError::new(StorageErrorKind::Full, message));
            }
            let state = State {
                pieces: BTreeMap::new(),
                sealed: PieceSet::new(torrent.layout.piece_count()),
                room: Room { budget: self.budget.clone(), taken: 0 },
            };
            Ok(Box::new(Store { torrent, host, state: Mutex::new(state) }) as Box<dyn TorrentStore>)
        })
    }
}

/// The memory that all torrents share.
struct Budget {
    limit: config::Size,
    /// In bytes.
    used: AtomicU64,
}

/// One torrent's part of the budget, given back when it is dropped.
struct Room {
    budget: Arc<Budget>,
    taken: u64,
}

struct Store {
    torrent: Arc<Torrent>,
    host: Arc<dyn Host>,
    state: Mutex<State>,
}

struct State {
    pieces: BTreeMap<PieceIndex, Piece>,
    sealed: PieceSet,
    room: Room,
}

enum Piece {
    /// The ranges that are written, sorted and apart.
    Partial {
        memory: Vec<u8>,
        written: Vec<Range<u32>>,
    },
    Sealed(Block),
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async { Ok(self.state().sealed.clone()) })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            if let Some(block) = self.shared(piece, offset, length)? {
                return Ok(block);
            }
            let mut buffer = self.host.buffer(length as usize).await;
            self.copy(piece, offset, &mut buffer)?;
            Ok(buffer.freeze())
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move { self.put(piece, offset, &blocks) })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let length = self.torrent.layout.piece_length(piece);
            let mut state = self.state();
            if let Some(Piece::Partial { memory, written }) = state.pieces.get_mut(&piece)
                && covers(written, &(0..length))
            {
                let sealed = Piece::Sealed(std::mem::take(memory).into());
                state.pieces.insert(piece, sealed);
            } else if !matches!(state.pieces.get(&piece), Some(Piece::Sealed(_)))
                && !ranges::is_padding(&self.torrent.layout, piece, 0, length)
            {
                return Err(missing("sealing", piece, &(0..length)));
            }
            state.sealed.insert(piece);
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(async { Ok(None) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async {
            let mut state = self.state();
            state.pieces.clear();
            state.sealed = PieceSet::new(self.torrent.layout.piece_count());
            state.room.give_back();
            Ok(())
        })
    }
}

impl Store {
    /// The bytes without a copy, where the piece is sealed; `None` where they must be copied.
    fn shared(&self, piece: PieceIndex, offset: u32, length: u32) -> Result<Option<Block>, StorageError> {
        let span = offset..offset + length;
        match self.state().pieces.get(&piece) {
            Some(Piece::Sealed(block)) => Ok(Some(block.slice(offset as usize..span.end as usize))),
            Some(Piece::Partial { written, .. }) if covers(written, &span) => Ok(None),
            None if ranges::is_padding(&self.torrent.layout, piece, offset, length) => {
                Ok(Some(Block::zeros(length as usize)))
            }
            _ => Err(missing("reading", piece, &span)),
        }
    }

    fn copy(&self, piece: PieceIndex, offset: u32, into: &mut [u8]) -> Result<(), StorageError> {
        let span = offset as usize..offset as usize + into.len();
        match self.state().pieces.get(&piece) {
            Some(Piece::Sealed(memory)) => into.copy_from_slice(&memory[span]),
            Some(Piece::Partial { memory, .. }) => into.copy_from_slice(&memory[span]),
            None => return Err(missing("reading", piece, &(offset..span.end as u32))),
        }
        Ok(())
    }

    fn put(&self, piece: PieceIndex, offset: u32, blocks: &[Block]) -> Result<(), StorageError> {
        let length = self.torrent.layout.piece_length(piece);
        let mut state = self.state();
        state.sealed.remove(piece);
        let (mut memory, mut written) = match state.pieces.remove(&piece) {
            Some(Piece::Partial { memory, written }) => (memory, written),
            Some(Piece::Sealed(block)) => (block.to_vec(), Vec::from_iter(once(0..length))),
            None => {
                state.room.take(piece, length)?;
                (vec![0; length as usize], ranges::padding(&self.torrent.layout, piece))
            }
        };
        let mut end = offset as usize;
        for block in blocks {
            memory[end..end + block.len()].copy_from_slice(block);
            end += block.len();
        }
        add(&mut written, offset..end as u32);
        state.pieces.insert(piece, Piece::Partial { memory, written });
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Takes `length` bytes for `piece`.
    fn take(&mut self, piece: PieceIndex, length: u32) -> Result<(), StorageError> {
        let (limit, length) = (self.budget.limit, u64::from(length));
        let room = |used: u64| used.checked_add(length).filter(|&used| used <= limit.0);
        self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).map_err(|_| {
            let message =
                format!("writing piece {piece}: all torrents together have the max-size of {limit}");
            StorageError::new(StorageErrorKind::Full, message)
        })?;
        self.taken += length;
        Ok(())
    }

    fn give_back(&mut self) {
        self.budget.used.fetch_sub(std::mem::take(&mut self.taken), Ordering::Relaxed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn missing(what: &str, piece: PieceIndex, span: &Range<u32>) -> StorageError {
    let message =
        format!("{what} bytes {} to {} of piece {piece}: not all were written", span.start, span.end);
    StorageError::new(StorageErrorKind::Missing, message)
}
