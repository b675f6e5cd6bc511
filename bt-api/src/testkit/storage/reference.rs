//! The store that others are measured by: every byte by itself in memory, as simple as can be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::{BoxFuture, ready};

use crate::block::{Block, PieceIndex, PieceSet};
use crate::host::Host;
use crate::storage::{StorageBackend, StorageError, StorageErrorKind, TorrentStore};
use crate::torrent::{InfoHash, Torrent};

/// Keeps torrents in memory, by folder and info-hash, as long as one of its clones lives.
#[derive(Clone, Debug)]
pub struct Reference {
    torrents: Arc<Mutex<Torrents>>,
    /// The most bytes of one torrent.
    room: usize,
}

type Torrents = BTreeMap<(PathBuf, InfoHash), Arc<Mutex<Kept>>>;

impl Default for Reference {
    fn default() -> Self {
        Self::with_room(usize::MAX)
    }
}

impl Reference {
    /// One that is full when so many bytes of a torrent are written.
    pub fn with_room(bytes: usize) -> Self {
        Self { torrents: Arc::default(), room: bytes }
    }
}

#[derive(Debug)]
struct Kept {
    /// Each byte that was ever written, up to the last one of a piece.
    pieces: BTreeMap<PieceIndex, Vec<Option<u8>>>,
    /// How many these are.
    count: usize,
    sealed: PieceSet,
}

struct Store {
    kept: Arc<Mutex<Kept>>,
    room: usize,
}

impl StorageBackend for Reference {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        _: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        let mut torrents = lock(&self.torrents);
        let sealed = PieceSet::new(torrent.layout.piece_count());
        let new = || Kept { pieces: BTreeMap::new(), count: 0, sealed };
        let kept = torrents.entry((torrent.folder.clone(), torrent.info_hash));
        let kept = kept.or_insert_with(|| Arc::new(Mutex::new(new()))).clone();
        Box::pin(ready(Ok(Box::new(Store { kept, room: self.room }) as Box<dyn TorrentStore>)))
    }
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async { Ok(lock(&self.kept).sealed.clone()) })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            let kept = lock(&self.kept);
            let range = offset as usize..offset as usize + length as usize;
            let bytes = kept.pieces.get(&piece).and_then(|bytes| bytes.get(range));
            let bytes: Option<Vec<u8>> = bytes.and_then(|bytes| bytes.iter().copied().collect());
            let what = || format!("reading {length} bytes at {offset} of piece {piece}");
            bytes.map(Block::from).ok_or_else(|| StorageError::new(StorageErrorKind::Missing, what()))
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let Kept { pieces, count, sealed } = &mut *lock(&self.kept);
            sealed.remove(piece);
            let bytes = pieces.entry(piece).or_default();
            for (at, &byte) in (offset as usize..).zip(blocks.iter().flat_map(|block| &**block)) {
                bytes.resize(bytes.len().max(at + 1), None);
                if bytes[at].is_none() {
                    if *count == self.room {
                        let what = format!("writing at {at} of piece {piece}");
                        return Err(StorageError::new(StorageErrorKind::Full, what));
                    }
                    *count += 1;
                }
                bytes[at] = Some(byte);
            }
            Ok(())
        })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            lock(&self.kept).sealed.insert(piece);
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(async { Ok(Some(lock(&self.kept).sealed.to_bitfield().into())) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(ready(Ok(())))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
