//! The store and the layer among the odd ones: a layer around any store, and that layer around the simplest one.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{Config, Fault, Methods, WAITS, WAITS_AND_GARBLES, WAITS_AND_LIES, odd};
use crate::block::{Block, PieceIndex, PieceSet};
use crate::host::Host;
use crate::plugin::BuildError;
use crate::storage::{StorageBackend, StorageError, StorageLayer, TorrentStore};
use crate::testkit::storage::Reference;
use crate::torrent::Torrent;

/// Keeps torrents in memory.
///
/// It lies in `held` (of one piece more than there are), `read` (one byte fewer than it was asked for) and `write` (it
/// keeps nothing); its `read` can `garble`. Whatever is wrong with that, but to panic at once, is so only where there is
/// something to be read.
pub struct OddStorage {
    odd: Towards,
    kept: Reference,
}

/// Passes everything on; lies as [`OddStorage`] does.
pub struct OddLayer(Towards);

const STORE: Methods = &[
    ("open", WAITS),
    ("held", WAITS_AND_LIES),
    ("read", WAITS_AND_GARBLES),
    ("write", WAITS_AND_LIES),
    ("seal", WAITS),
    ("checkpoint", WAITS),
    ("close", WAITS),
];
odd!(OddStorage: Storage, StorageBackend, STORE, |config| {
    Ok(OddStorage { odd: Towards::new(config)?, kept: Reference::default() })
});
odd!(OddLayer: Layer, StorageLayer, STORE, |config| Ok(OddLayer(Towards::new(config)?)));

struct Towards {
    config: Config,
    /// The length of the pieces of the one torrent.
    one: Option<u32>,
}

impl Towards {
    fn new(config: Config) -> Result<Self, BuildError> {
        let one = config.piece_length()?;
        Ok(Self { config, one })
    }

    /// What is wrong towards this torrent.
    fn of(&self, torrent: &Torrent) -> Config {
        let it = self.one.is_none_or(|length| length == torrent.layout.nominal_piece_length());
        if it { self.config.clone() } else { Config::default() }
    }
}

impl StorageBackend for OddStorage {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        let odd = self.odd.of(&torrent);
        odd.reach_at_once("open");
        Box::pin(async move {
            odd.reach_later("open", &*host).await;
            let inner = self.kept.open(torrent, host.clone()).await?;
            Ok(Box::new(OddStore { odd, host, inner }) as _)
        })
    }
}

impl StorageLayer for OddLayer {
    fn wrap(
        &self,
        inner: Box<dyn TorrentStore>,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> Box<dyn TorrentStore> {
        Box::new(OddStore { odd: self.0.of(&torrent), host, inner })
    }
}

struct OddStore {
    odd: Config,
    host: Arc<dyn Host>,
    inner: Box<dyn TorrentStore>,
}

impl OddStore {
    /// The call `inner` of `method`, which hears whether it is to lie.
    fn reach<'a, T, F>(
        &'a self,
        method: &'static str,
        inner: impl FnOnce(bool) -> F + Send + 'a,
    ) -> BoxFuture<'a, T>
    where
        F: Future<Output = T> + Send + 'a,
    {
        self.odd.reach_at_once(method);
        Box::pin(async move {
            let fault = self.odd.reach_later(method, &*self.host).await;
            inner(fault == Some(Fault::Lie)).await
        })
    }
}

impl TorrentStore for OddStore {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        self.reach("held", move |lies| async move {
            let held = self.inner.held().await?;
            Ok(if lies { PieceSet::new(held.pieces() + 1) } else { held })
        })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        self.odd.reach_at_once("read");
        Box::pin(async move {
            let block = self.inner.read(piece, offset, length).await?;
            let Some(fault) = self.odd.reach_later("read", &*self.host).await else { return Ok(block) };
            let mut bytes = block.to_vec();
            let last = bytes.pop();
            bytes.extend(last.filter(|_| fault == Fault::Garble).map(|byte| byte ^ 1));
            Ok(bytes.into())
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.reach("write", move |lies| async move {
            if lies { Ok(()) } else { self.inner.write(piece, offset, blocks).await }
        })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        self.reach("seal", move |_| self.inner.seal(piece))
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.reach("checkpoint", move |_| self.inner.checkpoint())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.reach("close", move |_| self.inner.close())
    }
}

impl Drop for OddStore {
    fn drop(&mut self) {
        self.odd.reach("drop");
    }
}
