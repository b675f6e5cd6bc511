//! Keeps nothing: for measuring what a client costs without a store, and for contents that nobody needs.
//!
//! A write is thrown away as soon as it is asked for, and a piece is *sealed* without having been kept: the client
//! counts it, announces it and comes to its end, since it hashes what arrives from memory. A read answers
//! [`Missing`](StorageErrorKind::Missing), never made-up bytes, so no peer is ever sent what is wrong; but a client
//! that is asked for such a piece then wants it again. Choose a `[choke]` that serves nobody (`free-rider`), as the
//! profile `null` does. Where memory is so short that blocks are written before their piece is whole, they would have
//! to be read back to be hashed, and their piece begins anew: give `[net]` memory enough for the pieces that are
//! under way. Only padding (BEP 47) can be read, for its zeros are known. After a restart there is nothing.
//!
//! It waits for nothing and needs no files, so it takes part in simulations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageBackend, StorageError,
    StorageErrorKind, Torrent, TorrentStore, plugin,
};
use serde::{Deserialize, Serialize};

use crate::ranges;

/// The plug-in `null`.
pub struct Null;

/// The `[storage]` table of `null`: it has no keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {}

impl Plugin for Null {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "null";
    const SUMMARY: &'static str = "keeps nothing and cannot serve: for measuring the rest";
    fn build(_: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        Ok(Box::new(Self))
    }
}
bt_api::register!(Null);

impl StorageBackend for Null {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        _: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        let sealed = Mutex::new(PieceSet::new(torrent.layout.piece_count()));
        Box::pin(async move { Ok(Box::new(Store { torrent, sealed }) as Box<dyn TorrentStore>) })
    }
}

struct Store {
    torrent: Arc<Torrent>,
    /// What matched its hash in this run, though it is gone.
    sealed: Mutex<PieceSet>,
}

impl Store {
    fn sealed(&self) -> MutexGuard<'_, PieceSet> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async { Ok(self.sealed().clone()) })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            if ranges::is_padding(&self.torrent.layout, piece, offset, length) {
                return Ok(Block::zeros(length as usize));
            }
            let attempt = format!("reading {length} bytes at {offset} of piece {piece}: null keeps nothing");
            Err(StorageError::new(StorageErrorKind::Missing, attempt))
        })
    }

    fn write(&self, piece: PieceIndex, _: u32, _: Vec<Block>) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.sealed().remove(piece);
            Ok(())
        })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.sealed().insert(piece);
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(async { Ok(None) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async { Ok(()) })
    }
}
