//! A torrent's files on disk, below the output folder, at the paths that the torrent says.
//!
//! Files are sparse: each is made at its first write and grows to where it was written, so a byte past its
//! end is [missing](bt_api::StorageErrorKind::Missing), and one in a hole reads as zero, which its piece's hash
//! shows. Pad files (BEP 47) read as zeros and are never on the disk.
//!
//! The store never follows a symbolic link below the output folder, and it only ever writes into the file
//! that it opened or made: one that was deleted, replaced or shortened meanwhile is told and left as it is.
//! It vouches for a piece at the next start when the files that hold it have neither been written nor
//! replaced since the last checkpoint.
//!
//! Facts `ST-1` to `ST-9` of the original client are kept, but for a file that is longer than the torrent
//! says (ST-2): it is refused unless the profile asks for it to be cut, because it may be other data.

use std::sync::{Arc, Mutex};

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageBackend, StorageError,
    Torrent, TorrentStore, plugin, run_blocking,
};
use serde::{Deserialize, Serialize};

use self::claim::Claims;
use self::disk::Disk;

mod claim;
mod disk;
mod folder;
mod saved;

/// The plug-in `files`.
pub struct Files {
    config: Config,
    claims: Arc<Mutex<Claims>>,
}

/// The `[storage]` table of `files`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What becomes of a file that is longer than the torrent says.
    pub longer_file: LongerFile,
    /// How many files of one torrent are open at a time; the one least recently used is closed (ST-9).
    pub max_open_files: usize,
    /// When written data is forced to the disk.
    pub sync: SyncWhen,
}

/// What becomes of a file that is longer than the torrent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LongerFile {
    /// The torrent does not start: the file may be something else.
    Refuse,
    /// It is cut, as the original did (ST-2).
    Truncate,
}

/// When written data is forced to the disk, so that it outlives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncWhen {
    /// Before a piece is announced, and at each checkpoint: slow.
    Seal,
    /// At each checkpoint and at the end.
    Checkpoint,
    /// When the system does it by itself. After a power cut a piece that the resume file has may be lost.
    Never,
}

impl Default for Config {
    fn default() -> Self {
        Self { longer_file: LongerFile::Refuse, max_open_files: 50, sync: SyncWhen::Checkpoint }
    }
}

impl Plugin for Files {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "files";
    const SUMMARY: &'static str = "keeps the torrent's files on disk, below the output folder";
    fn build(config: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        if config.max_open_files == 0 {
            return Err(BuildError::new("max-open-files", "must be at least 1"));
        }
        Ok(Box::new(Self { config, claims: Arc::default() }))
    }
}
bt_api::register!(Files);

impl StorageBackend for Files {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            let (config, claims) = (self.config.clone(), self.claims.clone());
            let disk = run_blocking(&*host, move || Disk::open(torrent, config, claims)).await?;
            Ok(Box::new(Store { disk: Arc::new(disk), host }) as Box<dyn TorrentStore>)
        })
    }
}

/// The open files of one torrent. [`Disk`] does the work, where blocking does no harm.
struct Store {
    disk: Arc<Disk>,
    host: Arc<dyn Host>,
}

impl Store {
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Disk) -> T + Send + 'static) -> T {
        let disk = self.disk.clone();
        run_blocking(&*self.host, move || work(&disk)).await
    }
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async { Ok(self.disk.sealed()) })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            let mut buffer = self.host.buffer(length as usize).await;
            self.blocking(move |disk| {
                disk.read(piece, offset, &mut buffer)?;
                Ok(buffer.freeze())
            })
            .await
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.blocking(move |disk| disk.write(piece, offset, &blocks)))
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            if self.disk.syncs_at_seal() {
                return self.blocking(move |disk| disk.sync_and_seal(piece)).await;
            }
            self.disk.seal(piece);
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(self.blocking(|disk| disk.checkpoint().map(Some)))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.blocking(Disk::close))
    }
}
