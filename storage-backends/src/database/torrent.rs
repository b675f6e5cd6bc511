//! One torrent in the database, in calls that block.

use std::sync::Arc;

use bt_api::{
    Block, Bytes, Host, PieceIndex, PieceSet, StorageError, StorageErrorKind, Torrent, TorrentLayout,
};
use redb::ReadableDatabase;

use super::file::{DatabaseFile, lock};
use super::rows;
use crate::blocking::{BlockingStore, Space};
use crate::ranges::padding;

/// A torrent's right to its part of the database, until it is dropped.
pub(super) struct Claim {
    torrent: Arc<Torrent>,
    file: Arc<DatabaseFile>,
}

impl Claim {
    /// Opens `file`, if it is not open, and claims what is of `torrent` in it, unless it runs already.
    pub(super) fn new(
        torrent: Arc<Torrent>,
        file: Arc<DatabaseFile>,
        host: &Arc<dyn Host>,
    ) -> Result<Self, StorageError> {
        let info_hash = torrent.info_hash;
        if !lock(&file.torrents).insert(info_hash.0) {
            let message = format!("opening {info_hash} in the database: the same torrent runs already");
            return Err(StorageError::new(StorageErrorKind::Denied, message));
        }
        let claim = Self { torrent, file };
        let (host, pieces) = (host.clone(), claim.layout().piece_count());
        claim.file.open(move |done| host.looked_at((done * f64::from(pieces)) as u32))?;
        Ok(claim)
    }

    fn layout(&self) -> &TorrentLayout {
        &self.torrent.layout
    }

    fn piece(&self, piece: PieceIndex) -> rows::Piece {
        rows::Piece {
            info_hash: self.torrent.info_hash.0,
            piece,
            length: self.layout().piece_length(piece),
            padding: padding(self.layout(), piece),
        }
    }
}

impl BlockingStore for Claim {
    fn held(&self) -> Result<PieceSet, StorageError> {
        let sealed = self.file.with("listing the sealed pieces", |database| {
            rows::sealed(&database.begin_read()?, &self.torrent.info_hash.0)
        })?;
        let mut set = PieceSet::new(self.layout().piece_count());
        // A torrent has no others; a database may say what it likes.
        for piece in sealed {
            if piece.0 < set.pieces() {
                set.insert(piece);
            }
        }
        Ok(set)
    }

    fn read(&self, piece: PieceIndex, offset: u32, space: Space) -> Result<Block, StorageError> {
        let attempt = format!("reading {} bytes at {offset} of piece {piece}", space.length);
        space.fill(|into| {
            self.file.with(&attempt, |database| {
                rows::read(&database.begin_read()?, &self.piece(piece), offset, into)
            })?
        })
    }

    fn write(&self, piece: PieceIndex, offset: u32, blocks: &[Block]) -> Result<(), StorageError> {
        let length: usize = blocks.iter().map(|block| block.len()).sum();
        let attempt = format!("writing {length} bytes at {offset} of piece {piece}");
        let piece = self.piece(piece);
        self.file.change(&attempt, |transaction| rows::write(transaction, &piece, offset, blocks))
    }

    fn seal(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.file.seal(self.piece(piece))
    }

    fn checkpoint(&self) -> Result<Option<Bytes>, StorageError> {
        self.file.checkpoint().map(|()| None)
    }

    /// The last torrent closes the file when it lets go of it.
    fn close(&self) -> Result<(), StorageError> {
        self.file.checkpoint()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.file.torrents).remove(&self.torrent.info_hash.0);
    }
}
