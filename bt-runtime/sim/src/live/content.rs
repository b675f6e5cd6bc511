//! The content of a live run: bytes that are a function of seed and place, so that nobody has to keep them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, BoxFuture, Bytes, Host, PieceIndex, PieceSet, StorageBackend, StorageError, StorageErrorKind,
    Torrent, TorrentLayout, TorrentStore,
};
use bt_engine::metainfo::{Extras, Metainfo, Rules, create};

use crate::made::{fill, piece_hashes};
use crate::scenario::Content;

/// The torrent of `content`, whose bytes are drawn from `seed`; hashing it takes a second a gigabyte.
///
/// # Errors
/// One line, where no torrent can be of this shape.
pub(super) fn torrent(name: &str, content: &Content, seed: u64) -> Result<Metainfo, String> {
    let layout = TorrentLayout::single(name, content.size, content.piece)
        .map_err(|error| format!("the content makes no torrent: {error}"))?;
    let hashes = piece_hashes(content, seed);
    let bytes = create(&layout, &hashes, &Extras::default());
    Metainfo::parse(&bytes, Rules::Lenient).map_err(|error| format!("the content makes no torrent: {error}"))
}

/// A store that keeps which pieces it has, and makes their bytes when they are read. What is written is compared with
/// what belongs there.
pub(super) struct Made {
    pub(super) seed: u64,
    /// What it begins with.
    pub(super) have: PieceSet,
}

impl StorageBackend for Made {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        let (seed, have) = (self.seed, self.have.clone());
        Box::pin(async move {
            let pieces = Mutex::new(Pieces { begun: have.clone(), sealed: have });
            Ok(Box::new(Store { seed, torrent, host, pieces }) as Box<dyn TorrentStore>)
        })
    }
}

struct Store {
    seed: u64,
    torrent: Arc<Torrent>,
    host: Arc<dyn Host>,
    pieces: Mutex<Pieces>,
}

struct Pieces {
    /// Something of these was written.
    begun: PieceSet,
    sealed: PieceSet,
}

impl Store {
    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, piece: PieceIndex, offset: u32) -> u64 {
        self.torrent.layout.piece_offset(piece) + u64::from(offset)
    }
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async { Ok(self.pieces().sealed.clone()) })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            if !self.pieces().begun.contains(piece) {
                let what = format!("reading {length} bytes at {offset} of piece {}", piece.0);
                return Err(StorageError::new(StorageErrorKind::Missing, what));
            }
            let mut buffer = self.host.buffer(length as usize).await;
            fill(self.seed, self.place(piece, offset), &mut buffer);
            Ok(buffer.freeze())
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        mut offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let mut right = Vec::new();
            for block in &blocks {
                right.resize(block.len(), 0);
                fill(self.seed, self.place(piece, offset), &mut right);
                if **block != right[..] {
                    let what = format!(
                        "writing {} bytes at {offset} of piece {}: others belong there",
                        block.len(),
                        piece.0
                    );
                    return Err(StorageError::new(StorageErrorKind::Corrupt, what));
                }
                offset += block.len() as u32;
            }
            self.pieces().begun.insert(piece);
            Ok(())
        })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        self.pieces().sealed.insert(piece);
        Box::pin(async { Ok(()) })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(async { Ok(None) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stretch_is_the_same_bytes() {
        let mut whole = [0; 64];
        fill(7, 0, &mut whole);
        for begin in 0..20 {
            for end in begin..40 {
                let mut part = vec![0; end - begin];
                fill(7, begin as u64, &mut part);
                assert_eq!(part, whole[begin..end], "{begin} to {end}");
            }
        }
        let mut other = [0; 64];
        fill(8, 0, &mut other);
        assert_ne!(whole, other);
    }
}
