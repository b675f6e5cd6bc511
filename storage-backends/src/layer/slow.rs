//! A slow disk: every call to the wrapped store waits first.
//!
//! It waits on the host's clock, so that a simulated disk is slow in virtual time and a test need not wait.

use std::sync::Arc;

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageError, StorageLayer,
    Torrent, TorrentStore, config, plugin,
};
use serde::{Deserialize, Serialize};

/// The layer `slow`.
pub struct Slow {
    config: Config,
}

/// The `[[storage.layer]]` table of `slow`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How long each call waits; calls wait side by side.
    pub delay: config::Duration,
}

/// About a seek of a spinning disk.
impl Default for Config {
    fn default() -> Self {
        Self { delay: config::Duration::millis(10) }
    }
}

impl Plugin for Slow {
    type Kind = plugin::Layer;
    type Config = Config;
    const NAME: &'static str = "slow";
    const SUMMARY: &'static str = "delays each call to the store that it wraps";
    fn build(config: Config) -> Result<Box<dyn StorageLayer>, BuildError> {
        Ok(Box::new(Self { config }))
    }
}
bt_api::register!(Slow);

impl StorageLayer for Slow {
    fn wrap(
        &self,
        inner: Box<dyn TorrentStore>,
        _: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> Box<dyn TorrentStore> {
        Box::new(Store { inner, host, delay: self.config.delay.get() })
    }
}

struct Store {
    inner: Box<dyn TorrentStore>,
    host: Arc<dyn Host>,
    delay: std::time::Duration,
}

impl Store {
    /// What `call` answers, when it is made after the delay.
    fn later<'a, T: 'a>(
        &'a self,
        call: impl FnOnce(&'a dyn TorrentStore) -> BoxFuture<'a, T> + Send + 'a,
    ) -> BoxFuture<'a, T> {
        Box::pin(async move {
            self.host.sleep_until(self.host.now() + self.delay).await;
            call(&*self.inner).await
        })
    }
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        self.later(|inner| inner.held())
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        self.later(move |inner| inner.read(piece, offset, length))
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.later(move |inner| inner.write(piece, offset, blocks))
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        self.later(move |inner| inner.seal(piece))
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.later(|inner| inner.checkpoint())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.later(|inner| inner.close())
    }
}
