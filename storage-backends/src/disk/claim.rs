//! Which files the running torrents use, so that no two of them write into the same one (ST-9).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bt_api::{StorageError, StorageErrorKind, TorrentLayout};

use super::folder::attempt;

/// The files in use: device and inode of the output folder, and the path below it.
pub(crate) type Claims = BTreeSet<((u64, u64), Vec<String>)>;

/// The files of one torrent among them, until it is dropped.
pub(super) struct Claim {
    claims: Arc<Mutex<Claims>>,
    mine: Claims,
}

impl Claim {
    /// Claims all files of `layout` in the output folder `folder`, or none where one is taken.
    pub(super) fn new(
        claims: Arc<Mutex<Claims>>,
        folder: (u64, u64),
        layout: &TorrentLayout,
    ) -> Result<Self, StorageError> {
        let files = layout.files().iter().filter(|file| !file.is_pad());
        let mine: Claims = files.map(|file| (folder, file.path().to_vec())).collect();
        let mut all = claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, path)) = mine.iter().find(|file| all.contains(file)) {
            let message = format!("{}: another running torrent uses this file", attempt("opening", path));
            return Err(StorageError::new(StorageErrorKind::Denied, message));
        }
        all.extend(mine.iter().cloned());
        drop(all);
        Ok(Self { claims, mine })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        self.mine.iter().for_each(|file| {
            all.remove(file);
        });
    }
}
