//! One file a piece, named by the piece's hash: what two torrents have in common is there once.
//!
//! Below the key `folder` a piece lies at `ab/abcdef…`, after the 40 hexadecimal digits of its SHA-1, padding
//! (BEP 47) included. While it is not sealed it is `partial/INFO-HASH/PIECE`; sealing gives it its name in one step. So
//! a name is only ever given to a file that is complete, and whenever the process is killed each sealed piece is there
//! under its name. What another torrent in the same folder has, in this run or an earlier one, is found by the check
//! at the start and not fetched again; nothing is ever changed under a name, so a piece that is written again is a
//! copy until it is sealed again.
//!
//! **A name proves nothing**: anybody may have put a file there. The store vouches for a piece when its file is the one
//! that it sealed, by inode, length and time of the last write, which a checkpoint saves; every other file is hashed
//! at the start like any data that is found. A file that is replaced or written while the client runs is
//! [corrupt](bt_api::StorageErrorKind::Corrupt) from then on, unless it holds the same piece still, and one that is gone
//! [missing](bt_api::StorageErrorKind::Missing): either piece is wanted again. No symbolic link below the folder is
//! followed. Several programs may use one folder, each with other torrents.
//!
//! A power cut may also cost what was not forced to the disk: see the key `sync`. Files are never deleted, since
//! another torrent may need them. The store needs real files, in simulations too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bt_api::{
    BoxFuture, BuildError, Host, Plugin, StorageBackend, StorageError, Torrent, TorrentStore, plugin,
    run_blocking,
};
use serde::{Deserialize, Serialize};

use self::pieces::Pieces;
use self::pool::Pool;
use crate::blocking::Blocking;

mod pieces;
mod pool;
mod saved;

pub use crate::disk::SyncWhen;

/// The plug-in `piece-files`.
pub struct PieceFiles {
    config: Config,
    /// The folders in use, each shared by its torrents.
    pools: Mutex<BTreeMap<PathBuf, Weak<Pool>>>,
}

/// The `[storage]` table of `piece-files`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where the pieces go; below the output folder, if it does not begin with `/`. It is made where it is missing.
    pub folder: PathBuf,
    /// When sealed pieces are forced to the disk, and their names with them.
    pub sync: SyncWhen,
}

impl Default for Config {
    fn default() -> Self {
        Self { folder: "pieces".into(), sync: SyncWhen::Checkpoint }
    }
}

impl Plugin for PieceFiles {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "piece-files";
    const SUMMARY: &'static str = "keeps each piece in a file named by its hash, shared by torrents";
    fn build(config: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        if config.folder.as_os_str().is_empty() {
            return Err(BuildError::new("folder", "must name a folder"));
        }
        Ok(Box::new(Self { config, pools: Mutex::default() }))
    }
}
bt_api::register!(PieceFiles);

impl PieceFiles {
    /// The folder at `path`, shared with the other torrents that use it.
    fn pool(&self, path: PathBuf) -> Result<Arc<Pool>, StorageError> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&path).and_then(Weak::upgrade) {
            return Ok(pool);
        }
        let pool = Arc::new(Pool::open(&path)?);
        pools.retain(|_, pool| pool.strong_count() > 0);
        pools.insert(path, Arc::downgrade(&pool));
        Ok(pool)
    }
}

impl StorageBackend for PieceFiles {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            // One call to the system, when a torrent is opened.
            let pool = self.pool(torrent.folder.join(&self.config.folder))?;
            let sync = self.config.sync;
            let pieces = run_blocking(&*host, move || Pieces::open(torrent, pool, sync)).await?;
            Ok(Blocking::boxed(Arc::new(pieces), host))
        })
    }
}
