//! Where a piece is written until it is sealed: a file of its own, begun once.

use std::os::fd::OwnedFd;
use std::sync::PoisonError;

use bt_api::{PieceIndex, StorageError, StorageErrorKind};

use super::super::pool::name_of;
use super::{Pieces, RUN};
use crate::disk::{Access, Facts, attempt, io_at, lock};

impl Pieces {
    /// The file to write `piece` to.
    pub(super) fn begin(&self, piece: PieceIndex) -> Result<(Vec<String>, OwnedFd), StorageError> {
        if let Some(begun) = self.begun(piece) {
            return self.go_on(piece, begun);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have begun it meanwhile.
        match self.begun(piece) {
            Some(begun) => self.go_on(piece, begun),
            None => self.begin_anew(piece),
        }
    }

    /// The file of a piece that is begun.
    pub(super) fn begun(&self, piece: PieceIndex) -> Option<Facts> {
        self.state().begun.get(&piece).copied()
    }

    fn go_on(&self, piece: PieceIndex, begun: Facts) -> Result<(Vec<String>, OwnedFd), StorageError> {
        let path = self.partial(piece);
        let opened = self.pool.folder.file(&path, Access::Write).and_then(|(file, facts)| {
            self.vet_begun(&path, begun, facts)?;
            Ok(file)
        });
        if opened.as_ref().is_err_and(|error| error.kind() == StorageErrorKind::Missing) {
            // What it held is lost; the next write begins it anew.
            self.state().begun.remove(&piece);
        }
        Ok((path, opened?))
    }

    fn begin_anew(&self, piece: PieceIndex) -> Result<(Vec<String>, OwnedFd), StorageError> {
        let (path, folder) = (self.partial(piece), &self.pool.folder);
        self.state().sealed.remove(piece);
        let named = name_of(self.hash(piece));
        let found = match folder.file(&named, Access::Read) {
            Ok((source, facts)) => Some((source, facts.length)),
            Err(error) if error.kind() == StorageErrorKind::Missing => None,
            Err(error) => return Err(error),
        };
        self.lock_partials(&path)?;
        if found.is_some() {
            // Of the two the one with the name is the later one.
            folder.remove(&path)?;
        }
        let opened = match folder.file(&path, Access::Write) {
            Err(error) if error.kind() == StorageErrorKind::Missing => {
                folder.make_parents(&path).and_then(|_| folder.file(&path, Access::Create))
            }
            opened => opened,
        };
        let (file, facts) = opened.map_err(|error| taken_away(&path, error))?;
        if let Some((source, length)) = found {
            let copied = copy(&source, &file, length.min(self.length(piece)));
            copied.map_err(|error| StorageError::io(attempt("copying to", &path), error))?;
        }
        let mut state = self.state();
        if state.claim.is_none() {
            let message = format!("{}: the store is closed", attempt("writing", &path));
            return Err(StorageError::new(StorageErrorKind::Other, message));
        }
        state.begun.insert(piece, facts);
        drop(state);
        Ok((path, file))
    }

    /// Keeps other programs from writing to the unfinished pieces of this torrent, until it is closed.
    fn lock_partials(&self, path: &[String]) -> Result<(), StorageError> {
        if self.state().lock.is_none() {
            let partials = self.pool.folder.make_parents(path).map_err(|error| taken_away(path, error))?;
            lock(&partials, path)?;
            self.state().lock = Some(partials);
        }
        Ok(())
    }
}

/// What can be made in no way has no folder to be made in: fetched again, the piece would find no place either.
fn taken_away(path: &[String], error: StorageError) -> StorageError {
    match error.kind() {
        StorageErrorKind::Missing => {
            let message = format!("{}: its folder was taken away while running", attempt("making", path));
            StorageError::new(StorageErrorKind::Corrupt, message)
        }
        _ => error,
    }
}

fn copy(from: &OwnedFd, to: &OwnedFd, length: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; RUN.min(length as usize)];
    let mut at = 0;
    while at < length {
        let run = &mut buffer[..RUN.min((length - at) as usize)];
        io_at::read_exact(from, run, at)?;
        io_at::write_all(to, &mut [std::io::IoSlice::new(run)], at)?;
        at += run.len() as u64;
    }
    Ok(())
}
