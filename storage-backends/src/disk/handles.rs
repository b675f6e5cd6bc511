//! Handles of files: opened when they are needed, and vetted before each use.

use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};

use bt_api::{StorageError, StorageErrorKind};

use super::Disk;
use super::folder::{self, Access, Facts, attempt};
use super::table::Known;

impl Disk {
    /// An open handle of a file, which is still the one that it was.
    pub(super) fn handle(&self, file: usize, access: Access) -> Result<Arc<OwnedFd>, StorageError> {
        let cached = self.table().cached(file, access);
        let Some((handle, known)) = cached else {
            return self.open_file(file, access);
        };
        let now = self.folder.glance(self.path(file))?;
        self.vet(file, known, now, access).inspect_err(|_| {
            // A deleted file takes up room for as long as it is open.
            let forgotten = self.table().forget(file);
            drop(forgotten);
        })?;
        Ok(handle)
    }

    /// Opens a file, or makes it where it is to be written and was never there.
    fn open_file(&self, file: usize, access: Access) -> Result<Arc<OwnedFd>, StorageError> {
        let _turn = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.table();
        if table.claim.is_none() {
            let message = format!("{}: the store is closed", attempt("opening", self.path(file)));
            return Err(StorageError::new(StorageErrorKind::Other, message));
        }
        // Somebody else may have opened it before it was our turn.
        if let Some((handle, _)) = table.cached(file, access) {
            return Ok(handle);
        }
        let known = table.files[file].known;
        drop(table);

        let path = self.path(file);
        let (handle, facts) = match (known, access) {
            (Some(known), _) => match self.folder.file(path, access) {
                Ok((handle, facts)) => {
                    self.vet(file, known, Some(facts), access)?;
                    (handle, facts)
                }
                Err(error) if error.kind() == StorageErrorKind::Missing => {
                    return Err(self.vet(file, known, None, access).expect_err("it is gone"));
                }
                Err(error) => return Err(error),
            },
            (None, Access::Read) => {
                let message = format!("{}: it is not there yet", attempt("reading", path));
                return Err(StorageError::new(StorageErrorKind::Missing, message));
            }
            (None, Access::Write | Access::Create) => self.create(file)?,
        };
        if access != Access::Read && self.rules.locks {
            folder::lock(&handle, path)?;
        }
        let handle = Arc::new(handle);
        let closed = self.table().insert(file, &handle, access, facts, self.rules.max_open_files);
        drop(closed);
        Ok(handle)
    }

    fn create(&self, file: usize) -> Result<(OwnedFd, Facts), StorageError> {
        let path = self.path(file);
        let failed = match self.folder.file(path, Access::Create) {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        // The folder was made at the start: who took it away, or put a file there, did so since.
        let what = match self.folder.find(path)? {
            Some(_) => "a file that is not ours appeared there while running, and is not written over",
            None if failed.kind() == StorageErrorKind::Missing => "its folder was taken away while running",
            None => return Err(failed),
        };
        Err(StorageError::new(StorageErrorKind::Corrupt, format!("{}: {what}", attempt("making", path))))
    }

    /// Compares a file as it is known with what its path leads to now.
    ///
    /// Who reads learns that bytes are missing; who writes is told to stop, since a piece that is wanted
    /// again because of it could not be written either.
    pub(super) fn vet(
        &self,
        file: usize,
        known: Known,
        now: Option<Facts>,
        access: Access,
    ) -> Result<(), StorageError> {
        let reads = access == Access::Read;
        let (kind, what) = match now {
            None if reads => (StorageErrorKind::Missing, "it was taken away".to_owned()),
            None => (StorageErrorKind::Corrupt, "it was taken away".to_owned()),
            Some(now) if (now.device, now.inode) != (known.device, known.inode) => {
                (StorageErrorKind::Corrupt, "it was replaced by another file".to_owned())
            }
            Some(now) if now.length < known.length && !reads => {
                let what = format!("it was cut from {} to {} bytes", known.length, now.length);
                (StorageErrorKind::Corrupt, what)
            }
            Some(_) => return Ok(()),
        };
        let (what_for, end) = if reads { ("reading", "") } else { ("writing", ", so nothing is written") };
        let message = format!("{}: {what} while running{end}", attempt(what_for, self.path(file)));
        Err(StorageError::new(kind, message))
    }
}
