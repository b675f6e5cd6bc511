//! A torrent's files on disk, below the output folder, at the paths that the torrent says.
//!
//! Files are sparse: each is made at its first write and grows to where it was written, so a byte past its
//! end is [missing](bt_api::StorageErrorKind::Missing), and one in a hole reads as zero, which its piece's
//! hash shows. Pad files (BEP 47) read as zeros and are never on the disk.
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

use crate::blocking::{Blocking, BlockingStore, Space};
use crate::disk::{Claims, Disk, Rules, Saved};

pub use crate::disk::{LongerFile, SyncWhen};

/// Begins what is saved; another format gets another number, and an older program then checks the data again.
const FORMAT: u8 = 1;

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
    /// How a file comes to its length.
    pub allocation: Allocation,
    /// Whether data that is there already is hashed at the start. If not, it is taken as complete and hashed
    /// when it is first read; what does not match then is wanted again (SW-4, SW-24).
    pub check_hashes: bool,
}

/// How a file comes to its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// It grows as it is written, and takes up room for what was written.
    Sparse,
    /// It has its full length and all its room from the start, as in 3.0 to 3.2 (ST-2): then a torrent that
    /// does not fit does not start, and one that started never runs out of room.
    Preallocate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            longer_file: LongerFile::Refuse,
            max_open_files: 50,
            sync: SyncWhen::Checkpoint,
            allocation: Allocation::Sparse,
            check_hashes: true,
        }
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
            let disk = run_blocking(&*host, move || open(torrent, &config, claims)).await?;
            Ok(Blocking::boxed(Arc::new(InPlace(disk)), host))
        })
    }
}

fn open(torrent: Arc<Torrent>, config: &Config, claims: Arc<Mutex<Claims>>) -> Result<Disk, StorageError> {
    let Config { longer_file, max_open_files, sync, .. } = *config;
    let disk =
        Disk::open(torrent.clone(), Rules { longer_file, max_open_files, sync, locks: false }, claims)?;
    let saved = torrent.saved.as_ref().and_then(|bytes| Saved::decode(bytes, FORMAT, &torrent));
    // Bytes after the end are of no format of ours.
    if let Some((saved, [])) = saved {
        disk.vouch(saved.vouched(&torrent, &disk.stamps()));
    }
    if !config.check_hashes {
        disk.vouch_unchecked(&disk.allocated());
    }
    if config.allocation == Allocation::Preallocate {
        disk.preallocate()?;
    }
    Ok(disk)
}

/// Each piece in its own slot.
struct InPlace(Disk);

impl BlockingStore for InPlace {
    fn held(&self) -> Result<PieceSet, StorageError> {
        Ok(self.0.sealed())
    }

    fn read(&self, piece: PieceIndex, offset: u32, space: Space) -> Result<Block, StorageError> {
        space.fill(|into| self.0.read(piece, offset, into))
    }

    fn write(&self, piece: PieceIndex, offset: u32, blocks: &[Block]) -> Result<(), StorageError> {
        self.0.write(piece, offset, blocks)
    }

    fn seal(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.0.seal(piece, piece)
    }

    fn checkpoint(&self) -> Result<Option<Bytes>, StorageError> {
        Ok(Some(self.0.checkpoint()?.encode(FORMAT, self.0.torrent()).into()))
    }

    fn close(&self) -> Result<(), StorageError> {
        self.0.close()
    }
}
