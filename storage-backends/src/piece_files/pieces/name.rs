//! How a whole piece gets its name, and how that comes to outlive the machine.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use bt_api::{PieceIndex, StorageError, StorageErrorKind};
use rustix::fs::{fstat, ftruncate};
use rustix::io::Errno;

use super::super::SyncWhen;
use super::super::pool::name_of;
use super::Pieces;
use crate::disk::{Access, Facts, attempt, io_at};

impl Pieces {
    /// Makes the `file` at `partial` the one that is `named`.
    pub(super) fn name(
        &self,
        piece: PieceIndex,
        file: &OwnedFd,
        partial: &[String],
        named: &[String],
    ) -> Result<(), StorageError> {
        let failed = |errno: Errno| StorageError::io(attempt("sealing", partial), errno.into());
        ftruncate(file, self.length(piece)).map_err(failed)?;
        let written = Facts::from(&fstat(file).map_err(failed)?);
        // The system's clock for this moves in steps of some milliseconds. With a time that no later write can
        // have, one that follows at once is noticed. Who may not set the time does without.
        let _ = io_at::set_mtime(file, written.mtime.wrapping_sub(1));
        let facts = Facts::from(&fstat(file).map_err(failed)?);
        if self.sync == SyncWhen::Seal
            && let Err(error) = io_at::sync(file, true)
        {
            // What did not reach the disk may be gone although a later try works: the piece is to be missing then.
            self.state().begun.remove(&piece);
            self.pool.folder.remove(partial)?;
            return Err(StorageError::io(attempt("sealing", partial), error));
        }
        let naming = self.pool.naming();
        let known = self.pool.known().get(self.hash(piece)).copied();
        if known.is_some() && self.pool.folder.glance(named)? == known {
            // Another torrent has it: that file goes on to be the one that is known.
            return self.pool.folder.remove(partial);
        }
        self.pool.folder.rename(partial, named)?;
        self.pool.known().insert(*self.hash(piece), facts);
        drop(naming);
        if self.sync == SyncWhen::Seal {
            self.pool.folder.sync_names(named)?;
        }
        Ok(())
    }

    /// Forces what was sealed to the disk, and the names of it.
    pub(super) fn force(&self) -> Result<(), StorageError> {
        let unsynced = std::mem::take(&mut self.state().unsynced);
        let (mut result, mut folders) = (Ok(()), BTreeMap::new());
        for piece in unsynced {
            let path = name_of(self.hash(piece));
            let synced = self.pool.folder.file(&path, Access::Read).and_then(|(file, _)| {
                io_at::sync(&file, true).map_err(|error| StorageError::io(attempt("syncing", &path), error))
            });
            match synced {
                Ok(()) => drop(folders.insert(path[0].clone(), path)),
                // Somebody took it away: the next read says so.
                Err(error) if error.kind() == StorageErrorKind::Missing => self.disown(piece),
                Err(error) => {
                    // What did not reach the disk may be gone although a later try works.
                    self.disown(piece);
                    self.state().unsynced.insert(piece);
                    result = Err(error);
                }
            }
        }
        for path in folders.values() {
            result = result.and(self.pool.folder.sync_names(path));
        }
        result
    }
}
