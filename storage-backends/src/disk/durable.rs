//! What of the files outlives the process, and how the next one tells that it did.

use std::os::fd::OwnedFd;
use std::sync::PoisonError;

use bt_api::{PieceIndex, PieceSet, StorageError, StorageErrorKind};

use super::folder::{Access, attempt};
use super::saved::{Saved, Stamp};
use super::table::State;
use super::{Disk, io_at};

/// What of a file is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Its bytes.
    Data,
    /// Its bytes, and when it was written.
    All,
}

impl Disk {
    /// Notes that `slot` holds `piece`, which matched its hash, and forces it to the disk first where the profile says
    /// so.
    pub(crate) fn seal(&self, slot: PieceIndex, piece: PieceIndex) -> Result<(), StorageError> {
        if self.table().doubted.contains(slot) {
            self.write_again(slot, piece)?;
        }
        if self.syncs_at_seal() {
            self.sync_slot(slot, Sync::Data)?;
        }
        self.table().seal(slot);
        Ok(())
    }

    /// Writes what `slot` holds to where it is: after a failure the system takes it for written, and would not try to
    /// again. It may also have dropped it: then the piece is missing.
    fn write_again(&self, slot: PieceIndex, piece: PieceIndex) -> Result<(), StorageError> {
        let found = self.copy(slot, slot, self.torrent.layout.piece_length(piece), true)?;
        self.table().doubted.remove(slot);
        if found == Some(self.torrent.piece_hashes[piece.as_usize()]) {
            return Ok(());
        }
        let what =
            format!("sealing piece {piece}: what was written is lost, since its file could not be synced");
        Err(StorageError::new(StorageErrorKind::Missing, what))
    }

    /// Forces the bytes of `slot` to the disk, or all that is new in its files.
    pub(crate) fn sync_slot(&self, slot: PieceIndex, what: Sync) -> Result<(), StorageError> {
        let length = self.torrent.layout.piece_length(slot);
        for span in self.torrent.layout.spans(slot, 0, length).filter(|span| !span.pad) {
            let handle = self.handle(span.file, Access::Read)?;
            self.force(span.file, &handle, what)?;
        }
        Ok(())
    }

    /// Forces what was written to the disk, and answers what tells at the next start which slots are good.
    pub(crate) fn checkpoint(&self) -> Result<Saved, StorageError> {
        let before = self.sealed();
        self.sync()?;
        Ok(self.saved(&before))
    }

    /// What is to be saved, once all was forced to the disk that was written up to when `before` was sealed:
    /// only that is on the disk, and only what is sealed still after the files were looked at has not been
    /// written in between.
    pub(crate) fn saved(&self, before: &PieceSet) -> Saved {
        let files = (0..self.torrent.layout.files().len()).map(|file| self.stamp(file)).collect();
        // Nobody opens a file that is just being closed: it is locked until it is.
        let _turn = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.table();
        let mut sealed = PieceSet::new(before.pieces());
        for slot in before.iter() {
            if table.sealed.contains(slot) && !table.unchecked.contains(slot) {
                sealed.insert(slot);
            }
        }
        // What is complete is only read from now on (ST-7).
        let closed = if table.sealed.is_full() { table.forget_writable() } else { Vec::new() };
        drop(table);
        drop(closed);
        Saved { files, sealed }
    }

    /// Forces what was written to the disk, and lets go of everything whether or not that works.
    pub(crate) fn close(&self) -> Result<(), StorageError> {
        let synced = self.sync();
        let mut table = self.table();
        let handles = table.forget_all();
        let claim = table.claim.take();
        drop(table);
        drop((handles, claim));
        synced
    }

    /// Syncs each file that was written since it was last synced. A file whose name is lost in a power cut
    /// is not vouched for at the next start, so the folders need not be synced.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        for file in 0..self.torrent.layout.files().len() {
            self.backdate(file);
        }
        if !self.syncs() {
            return Ok(());
        }
        let mut table = self.table();
        let states = table.files.iter_mut().enumerate();
        let dirty: Vec<usize> =
            states.filter_map(|(file, state)| std::mem::take(&mut state.dirty).then_some(file)).collect();
        drop(table);
        let mut result = Ok(());
        for file in dirty {
            let handle = self.handle(file, Access::Read);
            let synced = handle.and_then(|handle| self.force(file, &handle, Sync::All));
            if let Err(error) = synced {
                // What did not reach the disk may be gone although a later try works.
                let mut table = self.table();
                table.files[file].dirty = true;
                table.disown(file, &self.torrent);
                result = Err(error);
            }
        }
        result
    }

    fn force(&self, file: usize, handle: &OwnedFd, what: Sync) -> Result<(), StorageError> {
        io_at::sync(handle, what == Sync::All).map_err(|error| {
            self.table().doubt(file, &self.torrent);
            StorageError::io(attempt("syncing", self.path(file)), error)
        })
    }

    /// How a file looks now.
    pub(super) fn look(&self, file: usize) -> Option<Stamp> {
        self.folder.glance(self.path(file)).ok().flatten().map(Stamp::from)
    }

    /// Vouches no longer for a file that somebody else has written since our last write.
    pub(super) fn look_for_others(&self, file: usize) {
        let mut table = self.table();
        let now = self.look(file);
        let state = &mut table.files[file];
        if state.writers == 0 && state.stamp.is_some() && state.stamp != now {
            state.stamp = now;
            table.disown(file, &self.torrent);
        }
    }

    /// How to tell at the next start that a file is unchanged; nothing where it is not the one that it was.
    fn stamp(&self, file: usize) -> Option<Stamp> {
        self.look_for_others(file);
        self.backdate(file);
        let known = self.table().files[file].known?;
        let now = self.folder.glance(self.path(file)).ok()?;
        self.vet(file, known, now, Access::Write).ok()?;
        now.map(Stamp::from)
    }

    /// Takes a nanosecond off the time of a file that we wrote, so that any later write gives it another
    /// time: the system's clock for that moves in steps of some milliseconds, and two writes in one step
    /// look alike. Who may not set the time does without.
    fn backdate(&self, file: usize) {
        let due = |state: &State| state.touched && state.writers == 0;
        if !due(&self.table().files[file]) {
            return;
        }
        let Ok(handle) = self.handle(file, Access::Read) else { return };
        let mut table = self.table();
        let state = &mut table.files[file];
        // No write of ours begins while the table is locked.
        if let Some(stamp) = state.stamp.filter(|_| due(state))
            && io_at::set_mtime(&handle, stamp.mtime.wrapping_sub(1)).is_ok()
        {
            state.stamp = self.look(file);
            state.touched = false;
        }
    }
}

#[cfg(test)]
mod tests;
