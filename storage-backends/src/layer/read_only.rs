//! Changes nothing: reads pass, writes are denied.
//!
//! For serving from a place that is not ours to change. Seals pass, for a piece that was found and checked is
//! sealed too, and that writes nothing.

use std::sync::Arc;

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageError, StorageErrorKind,
    StorageLayer, Torrent, TorrentStore, plugin,
};
use serde::{Deserialize, Serialize};

/// The layer `read-only`.
pub struct ReadOnly;

/// The `[[storage.layer]]` table of `read-only`: it has no keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {}

impl Plugin for ReadOnly {
    type Kind = plugin::Layer;
    type Config = Config;
    const NAME: &'static str = "read-only";
    const SUMMARY: &'static str = "denies every write to the store that it wraps";
    fn build(_: Config) -> Result<Box<dyn StorageLayer>, BuildError> {
        Ok(Box::new(Self))
    }
}
bt_api::register!(ReadOnly);

impl StorageLayer for ReadOnly {
    fn wrap(&self, inner: Box<dyn TorrentStore>, _: Arc<Torrent>, _: Arc<dyn Host>) -> Box<dyn TorrentStore> {
        Box::new(Store { inner })
    }
}

struct Store {
    inner: Box<dyn TorrentStore>,
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
        self.inner.read(piece, offset, length)
    }

    fn write(&self, piece: PieceIndex, _: u32, _: Vec<Block>) -> BoxFuture<'_, Result<(), StorageError>> {
        let attempt = format!("writing piece {piece}: the layer read-only denies it");
        Box::pin(async move { Err(StorageError::new(StorageErrorKind::Denied, attempt)) })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        self.inner.seal(piece)
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.inner.checkpoint()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.inner.close()
    }
}
