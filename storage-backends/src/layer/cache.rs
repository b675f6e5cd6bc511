//! A cache of whole pieces in bounded memory, the least recently used leaving first.
//!
//! **Writes** are gathered: those of a piece reach the wrapped store in one call, when the piece is sealed, when a
//! checkpoint is made, or when its memory is needed. **Reads** of a sealed piece fetch the whole of it, and the
//! blocks that peers ask for next come from memory. So a store for which each call is dear (`slow`, a network) is
//! called a few times a piece and not once a block.
//!
//! The promises of a store hold as they are. `seal` answers when the wrapped store has written *and sealed* the piece,
//! so no piece is announced that is only here. `checkpoint` hands over everything first, pieces that are not
//! whole yet too. What a kill costs is what was written to pieces that are not sealed since the last
//! checkpoint, which the resume file does not speak of either.
//!
//! The memory is the cache's own: received blocks are slices of the client's bounded pool, and whoever kept them
//! would keep the pool. A piece that is longer than `size` and what finds no room, because all that is here is in use
//! at that moment, pass by the cache. When a piece cannot be handed over to make room, the write that needed the room
//! fails with the wrapped store's error and is tried again by the client; nothing is lost meanwhile.
//!
//! It waits on nothing but the wrapped store, so it takes part in simulations.

use std::ops::Range;
use std::sync::Arc;

use bt_api::{
    Block, BoxFuture, Buffer, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageError,
    StorageLayer, Torrent, TorrentStore, config, plugin,
};
use futures::lock::MutexGuard;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use self::table::{Piece, Slot, Table};
use crate::ranges::{add, covers};

mod table;

/// How much of a piece is fetched in one call: the longest buffer that a client's pool keeps for use again.
const PART: u32 = 256 << 10;

/// So many calls fetch one piece side by side.
const PARTS_AT_ONCE: usize = 4;

/// The layer `cache`.
pub struct Cache {
    config: Config,
}

/// The `[[storage.layer]]` table of `cache`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The most memory that it takes up for each torrent.
    pub size: config::Size,
    /// Whether writes are gathered. If not, they pass by, and only what is read is kept.
    pub write_back: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { size: config::Size::mib(64), write_back: true }
    }
}

impl Plugin for Cache {
    type Kind = plugin::Layer;
    type Config = Config;
    const NAME: &'static str = "cache";
    const SUMMARY: &'static str = "keeps pieces in memory before the store that it wraps";
    fn build(config: Config) -> Result<Box<dyn StorageLayer>, BuildError> {
        if config.size.0 == 0 {
            return Err(BuildError::new("size", "must be at least 1 B: take the layer out instead"));
        }
        Ok(Box::new(Self { config }))
    }
}
bt_api::register!(Cache);

impl StorageLayer for Cache {
    fn wrap(
        &self,
        inner: Box<dyn TorrentStore>,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> Box<dyn TorrentStore> {
        let table = Table::new(self.config.size.0, torrent.layout.piece_count());
        Box::new(Store { inner, torrent, host, table, write_back: self.config.write_back })
    }
}

struct Store {
    inner: Box<dyn TorrentStore>,
    torrent: Arc<Torrent>,
    host: Arc<dyn Host>,
    table: Table,
    write_back: bool,
}

/// A piece that nobody else changes at this moment.
type Locked<'a> = MutexGuard<'a, Piece>;

impl Store {
    fn length(&self, piece: PieceIndex) -> u32 {
        self.torrent.layout.piece_length(piece)
    }

    /// A new slot for `piece`, when there is room for it or room can be made.
    async fn make_slot(&self, piece: PieceIndex) -> Result<Option<Arc<Slot>>, StorageError> {
        let length = u64::from(self.length(piece));
        loop {
            if !self.table.could_hold(length) {
                return Ok(None);
            }
            if let Some(slot) = self.table.insert(piece, length) {
                return Ok(Some(slot));
            }
            // A piece that is in use now is passed over: its turn comes.
            let victim = self.table.oldest_first().into_iter().find_map(|(piece, slot)| {
                let locked = slot.try_lock_owned()?;
                Some((piece, slot, locked))
            });
            let Some((piece, slot, mut locked)) = victim else { return Ok(None) };
            self.hand_over(piece, &mut locked).await?;
            *locked = Piece::Gone;
            self.table.remove(piece, &slot);
        }
    }

    /// Writes to the wrapped store what it lacks of `piece`.
    async fn hand_over(&self, piece: PieceIndex, state: &mut Piece) -> Result<(), StorageError> {
        let Piece::Begun { memory, unsaved, .. } = state else { return Ok(()) };
        while let Some(range) = unsaved.first().cloned() {
            // For the time of the call the memory is shared with it, not copied.
            let whole = Bytes::from(std::mem::take(memory));
            let block = Block::from(whole.slice(range.start as usize..range.end as usize));
            let lent = Lent { memory, whole };
            self.inner.write(piece, range.start, vec![block]).await?;
            drop(lent);
            unsaved.remove(0);
        }
        Ok(())
    }

    /// Hands over everything, and answers the first error once all was tried.
    async fn hand_over_all(&self) -> Result<(), StorageError> {
        let mut result = Ok(());
        for (piece, slot) in self.table.oldest_first() {
            let mut state = slot.lock().await;
            let done = self.hand_over(piece, &mut state).await;
            result = result.and(done);
        }
        result
    }

    /// Fetches the whole of `piece` from the wrapped store.
    async fn fetch(&self, piece: PieceIndex) -> Result<Block, StorageError> {
        let length = self.length(piece);
        let parts = (0..length).step_by(PART as usize);
        let read = |at: u32| self.inner.read(piece, at, PART.min(length - at));
        let mut memory = Vec::with_capacity(length as usize);
        let mut blocks = stream::iter(parts).map(read).buffered(PARTS_AT_ONCE);
        while let Some(block) = blocks.try_next().await? {
            memory.extend_from_slice(&block);
        }
        Ok(memory.into())
    }

    /// Reads a span of a sealed piece, the whole of which is then here.
    async fn read_sealed(&self, piece: PieceIndex, span: Range<u32>) -> Result<Option<Block>, StorageError> {
        let slot = match self.table.get(piece) {
            Some(slot) => slot,
            // That no room can be made is no trouble of who reads.
            None => match self.make_slot(piece).await {
                Ok(Some(slot)) => slot,
                Ok(None) | Err(_) => return Ok(None),
            },
        };
        let mut state = slot.lock().await;
        if matches!(*state, Piece::Empty) {
            match self.fetch(piece).await {
                // It may have been written since: then it is not kept.
                Ok(block) if !self.table.is_sealed(piece) => {
                    self.forget(piece, &slot, &mut state);
                    return Ok(Some(block.slice(span.start as usize..span.end as usize)));
                }
                Ok(block) => *state = Piece::Whole(block),
                Err(error) => {
                    self.forget(piece, &slot, &mut state);
                    return Err(error);
                }
            }
        }
        match &*state {
            Piece::Whole(block) => Ok(Some(block.slice(span.start as usize..span.end as usize))),
            _ => Ok(None),
        }
    }

    fn forget(&self, piece: PieceIndex, slot: &Arc<Slot>, state: &mut Locked<'_>) {
        **state = Piece::Gone;
        self.table.remove(piece, slot);
    }

    /// Puts `blocks` into the memory of a piece that is not sealed; `false` where they are to pass by.
    async fn keep(&self, piece: PieceIndex, offset: u32, blocks: &[Block]) -> Result<bool, StorageError> {
        loop {
            let slot = match self.table.get(piece) {
                Some(slot) => slot,
                None => match self.make_slot(piece).await? {
                    Some(slot) => slot,
                    None => return Ok(false),
                },
            };
            let mut state = slot.lock().await;
            match &mut *state {
                // It left while we waited for it.
                Piece::Gone => continue,
                Piece::Whole(_) => {
                    self.forget(piece, &slot, &mut state);
                    return Ok(false);
                }
                Piece::Empty => {
                    let memory = vec![0; self.length(piece) as usize];
                    *state = Piece::Begun { memory, written: Vec::new(), unsaved: Vec::new() };
                }
                Piece::Begun { .. } => {}
            }
            if let Piece::Begun { memory, written, unsaved } = &mut *state {
                let mut end = offset as usize;
                for block in blocks {
                    memory[end..end + block.len()].copy_from_slice(block);
                    end += block.len();
                }
                add(written, offset..end as u32);
                add(unsaved, offset..end as u32);
            }
            return Ok(true);
        }
    }
}

/// Memory that is lent to a call, and comes back when that is over or dropped.
struct Lent<'a> {
    memory: &'a mut Vec<u8>,
    whole: Bytes,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // Nothing is copied but where somebody holds on to the block that he was given.
        *self.memory = std::mem::take(&mut self.whole).into();
    }
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async {
            let held = self.inner.held().await?;
            self.table.set_sealed(held.clone());
            Ok(held)
        })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            let span = offset..offset + length;
            if self.table.is_sealed(piece) {
                if let Some(block) = self.read_sealed(piece, span).await? {
                    return Ok(block);
                }
                return self.inner.read(piece, offset, length).await;
            }
            // Waited for before the piece is locked: those who hold buffers may be waiting for the piece.
            let mut buffer: Option<Buffer> = None;
            while let Some(slot) = self.table.get(piece) {
                let mut state = slot.lock().await;
                match &mut *state {
                    Piece::Gone => continue,
                    Piece::Empty => break,
                    Piece::Whole(block) => {
                        return Ok(block.slice(span.start as usize..span.end as usize));
                    }
                    Piece::Begun { memory, written, .. } if covers(written, &span) => {
                        if let Some(mut buffer) = buffer.take() {
                            buffer.copy_from_slice(&memory[span.start as usize..span.end as usize]);
                            return Ok(buffer.freeze());
                        }
                        drop(state);
                        buffer = Some(self.host.buffer(length as usize).await);
                    }
                    Piece::Begun { .. } => {
                        // Part of it was written before the piece came here, or never was.
                        self.hand_over(piece, &mut state).await?;
                        break;
                    }
                }
            }
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
            if self.table.unseal(piece) {
                // The wrapped store has to learn at once that it vouches for it no longer.
                if let Some(slot) = self.table.get(piece) {
                    let mut state = slot.lock().await;
                    self.forget(piece, &slot, &mut state);
                }
            } else if self.write_back && self.keep(piece, offset, &blocks).await? {
                return Ok(());
            }
            self.inner.write(piece, offset, blocks).await
        })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            while let Some(slot) = self.table.get(piece) {
                let mut state = slot.lock().await;
                if matches!(*state, Piece::Gone) {
                    continue;
                }
                self.hand_over(piece, &mut state).await?;
                self.inner.seal(piece).await?;
                let whole = 0..self.length(piece);
                match &mut *state {
                    Piece::Begun { memory, written, .. } if covers(written, &whole) => {
                        *state = Piece::Whole(std::mem::take(memory).into());
                    }
                    Piece::Whole(_) => {}
                    _ => self.forget(piece, &slot, &mut state),
                }
                self.table.seal(piece);
                return Ok(());
            }
            self.inner.seal(piece).await?;
            self.table.seal(piece);
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(async {
            self.hand_over_all().await?;
            self.inner.checkpoint().await
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async {
            let handed_over = self.hand_over_all().await;
            self.table.clear();
            let closed = self.inner.close().await;
            handed_over.and(closed)
        })
    }
}
