//! What the store knows of each file and slot, and the handles that are open.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bt_api::{PieceIndex, PieceSet, Torrent};
use rustix::fs::{FlockOperation, flock};

use super::claim::Claim;
use super::folder::{Access, Facts};
use super::saved::Stamp;

/// All of it, for one torrent.
pub(super) struct Table {
    pub(super) files: Vec<State>,
    /// The files with an open handle, by when it was last used.
    recent: BTreeMap<u64, usize>,
    /// How often a handle was used: the clock of `recent`.
    uses: u64,
    /// Slots whose contents matched their hash.
    pub(super) sealed: PieceSet,
    /// Slots that were sealed without being hashed: the first read hashes them.
    pub(super) unchecked: PieceSet,
    /// Slots that are known to hold nothing of worth, and were not written since.
    pub(super) blank: PieceSet,
    /// Slots that were written and are not sealed yet.
    begun: PieceSet,
    /// Those among them that may not reach the disk by themselves: forcing their file there failed.
    pub(super) doubted: PieceSet,
    /// `None` once the store is closed: then no file is opened any more.
    pub(super) claim: Option<Claim>,
}

/// What is known of a file.
#[derive(Default)]
pub(super) struct State {
    /// Which file it is; `None` while it is not there.
    pub(super) known: Option<Known>,
    handle: Option<Handle>,
    /// Whether it was written since it was last synced.
    pub(super) dirty: bool,
    /// Whether it was written since its time was set.
    pub(super) touched: bool,
    /// How it looked at the start, or after our last write: when it looks otherwise, somebody else wrote.
    pub(super) stamp: Option<Stamp>,
    /// Writes of ours that are under way.
    pub(super) writers: u32,
}

impl State {
    /// How long it is known to be, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.known.map_or(0, |known| known.length)
    }
}

/// Which file it is.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// It is at least this long, or somebody else cut it.
    pub(super) length: u64,
}

/// An open file.
pub(super) struct Handle {
    file: Arc<OwnedFd>,
    writable: bool,
    used: u64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.writable {
            // Whoever is at it still must not keep the next handle from its lock.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
}

impl Table {
    /// Of files that were `found` like this.
    pub(super) fn new(found: Vec<Option<Facts>>, slots: u32, claim: Claim) -> Self {
        let state = |facts: Option<Facts>| State {
            known: facts.map(Known::from),
            stamp: facts.map(Stamp::from),
            ..State::default()
        };
        Self {
            files: found.into_iter().map(state).collect(),
            recent: BTreeMap::new(),
            uses: 0,
            sealed: PieceSet::new(slots),
            unchecked: PieceSet::new(slots),
            blank: PieceSet::new(slots),
            begun: PieceSet::new(slots),
            doubted: PieceSet::new(slots),
            claim: Some(claim),
        }
    }

    /// Forgets that what lies in `file` matched its hash.
    pub(super) fn disown(&mut self, file: usize, torrent: &Torrent) {
        torrent.layout.pieces_of(file).for_each(|piece| {
            self.sealed.remove(piece);
        });
    }

    /// What `slot` holds is no longer what it was.
    pub(super) fn changed(&mut self, slot: PieceIndex) {
        self.sealed.remove(slot);
        self.unchecked.remove(slot);
        self.blank.remove(slot);
        self.begun.insert(slot);
    }

    /// What `slot` holds matched its hash.
    pub(super) fn seal(&mut self, slot: PieceIndex) {
        self.sealed.insert(slot);
        self.unchecked.remove(slot);
        self.blank.remove(slot);
        self.begun.remove(slot);
    }

    /// What was written to `file` since it was last forced to the disk may be lost.
    pub(super) fn doubt(&mut self, file: usize, torrent: &Torrent) {
        for slot in torrent.layout.pieces_of(file).filter(|&slot| self.begun.contains(slot)) {
            self.doubted.insert(slot);
        }
    }

    /// The handle of a file, if it is open for this, and which file it is.
    pub(super) fn cached(&mut self, file: usize, access: Access) -> Option<(Arc<OwnedFd>, Known)> {
        let state = &mut self.files[file];
        let handle = state.handle.as_mut().filter(|handle| handle.writable || access == Access::Read)?;
        self.recent.remove(&handle.used);
        self.uses += 1;
        handle.used = self.uses;
        self.recent.insert(self.uses, file);
        Some((handle.file.clone(), state.known?))
    }

    /// Takes in a new handle; answers those that make room for it, to be closed outside the lock.
    ///
    /// One that is in use at this moment is closed when that use ends.
    pub(super) fn insert(
        &mut self,
        file: usize,
        handle: &Arc<OwnedFd>,
        access: Access,
        facts: Facts,
        limit: usize,
    ) -> Vec<Option<Handle>> {
        let mut closed = vec![self.forget(file)];
        while self.recent.len() >= limit
            && let Some((_, &oldest)) = self.recent.first_key_value()
        {
            closed.push(self.forget(oldest));
        }
        self.uses += 1;
        self.recent.insert(self.uses, file);
        let state = &mut self.files[file];
        state.known.get_or_insert(facts.into());
        let writable = access != Access::Read;
        state.handle = Some(Handle { file: handle.clone(), writable, used: self.uses });
        closed
    }

    /// Lets go of each handle that may write, to be closed outside the lock.
    pub(super) fn forget_writable(&mut self) -> Vec<Option<Handle>> {
        let writable = |state: &State| state.handle.as_ref().is_some_and(|handle| handle.writable);
        let files: Vec<usize> = (0..self.files.len()).filter(|&file| writable(&self.files[file])).collect();
        files.into_iter().map(|file| self.forget(file)).collect()
    }

    /// Lets go of every handle, to be closed outside the lock.
    pub(super) fn forget_all(&mut self) -> Vec<Option<Handle>> {
        (0..self.files.len()).map(|file| self.forget(file)).collect()
    }

    /// Lets go of the handle of a file, if there is one.
    pub(super) fn forget(&mut self, file: usize) -> Option<Handle> {
        let handle = self.files[file].handle.take()?;
        self.recent.remove(&handle.used);
        Some(handle)
    }
}

impl From<Facts> for Known {
    fn from(facts: Facts) -> Self {
        Self { device: facts.device, inode: facts.inode, length: facts.length }
    }
}
