//! All torrents in one file: an embedded database with transactions, [redb](https://docs.rs/redb).
//!
//! A torrent is found by its info-hash. A piece is kept in rows of 64 KiB, and beside them stands which of its
//! bytes were written, or that it is sealed. Each call is a transaction, so the two never disagree, whenever the
//! process is killed or the power fails; what is vouched for at a start is what was sealed, with no state beside the
//! database, and the resume file may be lost. Every page has a checksum.
//!
//! - A `write` is seen at once and outlives the process with the next seal or checkpoint of any torrent.
//! - A `seal` is a commit. Under `sync = "seal"` it waits for the disk, and seals that wait at the same time
//!   share one commit. Under `sync = "checkpoint"` a kill or a power cut costs what was sealed since the last
//!   checkpoint: those pieces are fetched again.
//! - A `checkpoint` waits for the disk, and leaves the file such that it opens at once after a kill.
//!
//! After a kill between checkpoints the file is gone through once at the start, as a check of its data would.
//! When the disk is full or fails, what was not committed is lost to the database: it is opened anew, and a piece that
//! lacks some of its bytes then is [missing](bt_api::StorageErrorKind::Missing) and fetched again. The file grows as it needs
//! and does not shrink. On the disk a torrent takes up some 2 % more than its length with pieces of 256 KiB or more, and
//! twice its length with pieces of 16 KiB; the file seems longer than that, for it has holes. One program at a time may
//! use it. Where it is taken away or replaced meanwhile, nothing more is written and the torrents end.
//!
//! The store needs a real file, in simulations too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bt_api::{
    BoxFuture, BuildError, Host, Plugin, StorageBackend, StorageError, Torrent, TorrentStore, config, plugin,
    run_blocking,
};
use redb::backends::FileBackend;
use serde::{Deserialize, Serialize};

use self::file::{DatabaseFile, Open};
use self::torrent::Claim;
use crate::blocking::Blocking;

mod file;
#[cfg(test)]
mod full_tests;
mod rows;
mod torrent;

/// The plug-in `database`.
pub struct Database {
    config: Config,
    /// The files in use, each shared by its torrents.
    files: Mutex<BTreeMap<PathBuf, Weak<DatabaseFile>>>,
}

/// The `[storage]` table of `database`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The database; below the output folder, if it does not begin with `/`. It is made where it is missing.
    pub file: PathBuf,
    /// When a commit waits for the disk.
    pub sync: SyncWhen,
    /// How much memory the database uses for its pages, for all torrents.
    pub cache: config::Size,
    /// Whether every checksum is verified at the start, and not only after a kill: it reads the whole file.
    pub check_integrity: bool,
}

/// When a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncWhen {
    /// At each seal: what was announced is never lost.
    Seal,
    /// At each checkpoint and at the end: what was sealed since then is lost when the process is killed.
    Checkpoint,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: "torrents.redb".into(),
            sync: SyncWhen::Seal,
            cache: config::Size::mib(32),
            check_integrity: false,
        }
    }
}

impl Plugin for Database {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "database";
    const SUMMARY: &'static str = "keeps all torrents in one transactional file";
    fn build(config: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        if config.file.file_name().is_none() {
            return Err(BuildError::new("file", "must name a file"));
        }
        Ok(Box::new(Self { config, files: Mutex::default() }))
    }
}
bt_api::register!(Database);

impl Database {
    /// The file at `path`, shared with the other torrents that use it.
    fn file(&self, path: PathBuf) -> Arc<DatabaseFile> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&path).and_then(Weak::upgrade) {
            return file;
        }
        let file = Arc::new(DatabaseFile::new(Open {
            path: path.clone(),
            cache: usize::try_from(self.config.cache.0).unwrap_or(usize::MAX),
            check_integrity: self.config.check_integrity,
            sync: self.config.sync,
            create: |builder, file| builder.create_with_backend(FileBackend::new(file)?),
        }));
        files.retain(|_, file| file.strong_count() > 0);
        files.insert(path, Arc::downgrade(&file));
        file
    }
}

impl StorageBackend for Database {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            let file = self.file(torrent.folder.join(&self.config.file));
            let lent = host.clone();
            let claim = run_blocking(&*host, move || Claim::new(torrent, file, &lent)).await?;
            Ok(Blocking::boxed(Arc::new(claim), host))
        })
    }
}
