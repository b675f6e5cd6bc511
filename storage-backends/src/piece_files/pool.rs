//! A folder of pieces that torrents share: which files in it are known to match their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{InfoHash, PieceHash, StorageError, StorageErrorKind};

use crate::disk::{Facts, Folder};

/// The folder.
pub(super) struct Pool {
    pub(super) folder: Folder,
    /// The files that matched their hash, and how they looked then.
    known: Mutex<BTreeMap<PieceHash, Facts>>,
    /// Held by whoever gives a file a name, or learns what has it.
    naming: Mutex<()>,
    /// The torrents that run.
    torrents: Mutex<BTreeSet<InfoHash>>,
}

impl Pool {
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let folder = Folder::open(path)?;
        Ok(Self { folder, known: Mutex::default(), naming: Mutex::default(), torrents: Mutex::default() })
    }

    pub(super) fn known(&self) -> MutexGuard<'_, BTreeMap<PieceHash, Facts>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn torrents(&self) -> MutexGuard<'_, BTreeSet<InfoHash>> {
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A torrent's right to its unfinished pieces, until it is dropped.
pub(super) struct Claim {
    pool: Arc<Pool>,
    info_hash: InfoHash,
}

impl Claim {
    /// Claims them, unless the same torrent runs already.
    pub(super) fn new(pool: Arc<Pool>, info_hash: InfoHash) -> Result<Self, StorageError> {
        if !pool.torrents().insert(info_hash) {
            let message = format!("opening the pieces of {info_hash}: the same torrent runs already");
            return Err(StorageError::new(StorageErrorKind::Denied, message));
        }
        Ok(Self { pool, info_hash })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.pool.torrents().remove(&self.info_hash);
    }
}

/// Where a piece lies that matched its hash.
pub(super) fn name_of(hash: &PieceHash) -> Vec<String> {
    let digits = hash.to_string();
    vec![digits[..2].to_owned(), digits]
}
