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
    bytes: BTreeMap<(PieceIndex, u32), u8>,
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
        let new = || Kept { bytes: BTreeMap::new(), sealed: PieceSet::new(torrent.layout.piece_count()) };
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
            let bytes: Option<Vec<u8>> =
                (offset..offset + length).map(|at| kept.bytes.get(&(piece, at)).copied()).collect();
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
            let mut kept = lock(&self.kept);
            kept.sealed.remove(piece);
            for (at, &byte) in (offset..).zip(blocks.iter().flat_map(|block| &**block)) {
                kept.bytes.insert((piece, at), byte);
                if kept.bytes.len() > self.room {
                    kept.bytes.remove(&(piece, at));
                    let what = format!("writing at {at} of piece {piece}");
                    return Err(StorageError::new(StorageErrorKind::Full, what));
                }
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
