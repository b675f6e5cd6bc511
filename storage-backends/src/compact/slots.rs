//! Carries plans out on the disk, and orders the moves against reads and writes.
//!
//! Plans are carried out one at a time. While a piece moves, nobody reads or writes it: who wants to waits,
//! and the move waits for who is at it already. Every other piece stays in use meanwhile. Each call takes
//! what it waits for and lets go of it by itself, so no order of calls blocks another for good, even on one
//! thread.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bt_api::{Block, Bytes, PieceIndex, PieceSet, StorageError, StorageErrorKind};

use super::placement::{Placement, Step};
use super::saved;
use crate::blocking::{BlockingStore, Space};
use crate::disk::{Disk, Sync};

/// The slots of one torrent and what is in them.
pub(super) struct Slots {
    disk: Arc<Disk>,
    fill: u8,
    verify_moves: bool,
    /// Held by whoever carries out a plan.
    placing: Mutex<()>,
    traffic: Mutex<Traffic>,
    /// Told when a move or a use of a piece ends.
    changed: Condvar,
    /// Whether the disk knows that what the last checkpoint said is no longer so.
    disowned: AtomicBool,
}

struct Traffic {
    placement: Placement,
    /// The pieces that are read or written, and by how many.
    in_use: BTreeMap<PieceIndex, usize>,
    /// The piece that moves or is about to.
    moving: Option<PieceIndex>,
}

impl Slots {
    /// The slots on `disk`. Fresh ones are filled with `fill`; `verify_moves` says whether a piece that is
    /// had is hashed on its way home.
    pub(super) fn new(disk: Arc<Disk>, placement: Placement, fill: u8, verify_moves: bool) -> Self {
        Self {
            disk,
            fill,
            verify_moves,
            placing: Mutex::new(()),
            traffic: Mutex::new(Traffic { placement, in_use: BTreeMap::new(), moving: None }),
            changed: Condvar::new(),
            disowned: AtomicBool::new(false),
        }
    }

    pub(super) fn placement(&self) -> Placement {
        self.traffic().placement.clone()
    }

    /// Gives `piece` a place, and keeps it there for as long as the answer is kept. The bytes in `soon` are written next,
    /// so they need not be filled.
    fn place(&self, piece: PieceIndex, soon: Range<u32>) -> Result<Place<'_>, StorageError> {
        let _turn = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = self.traffic().placement.plan(piece);
        plan.iter().try_for_each(|step| self.carry_out(step, &soon))?;
        // Before another plan may move it: its slot is not whole yet.
        Ok(self.enter(piece).expect("a plan ends with a place"))
    }

    fn carry_out(&self, step: &Step, soon: &Range<u32>) -> Result<(), StorageError> {
        match *step {
            Step::Move { piece, from, to } => {
                let _alone = self.stop_traffic(piece);
                self.copy(piece, from, to)?;
                let mut traffic = self.traffic();
                self.disk.moved(from, to);
                traffic.placement.apply(step);
            }
            Step::Place { slot, fresh, .. } => {
                if fresh {
                    let end = self.disk.torrent().layout.piece_length(slot);
                    self.disk.fill(slot, 0..soon.start.min(end), self.fill)?;
                    self.disk.fill(slot, soon.end.min(end)..end, self.fill)?;
                }
                self.traffic().placement.apply(step);
            }
        }
        Ok(())
    }

    /// Copies a piece to another slot, whole, before anything else gets the old one (SW-10, SW-12).
    fn copy(&self, piece: PieceIndex, from: PieceIndex, to: PieceIndex) -> Result<(), StorageError> {
        let torrent = self.disk.torrent();
        let verify = self.verify_moves && to == piece && self.disk.is_sealed(from);
        let found = self.disk.copy(from, to, torrent.layout.piece_length(to), verify)?;
        if found.is_some_and(|found| found != torrent.piece_hashes[piece.as_usize()]) {
            let what = format!(
                "moving piece {piece} to its place: it no longer matches its hash, so another program wrote into \
                 the torrent's files, or the disk fails; nothing is moved"
            );
            return Err(StorageError::new(StorageErrorKind::Corrupt, what));
        }
        // What the old slot holds is written over soon. Until the copy is on the disk, and with it that the
        // files changed since the last checkpoint, a power cut must not find that done.
        if self.disk.syncs_at_seal() || (self.disk.syncs() && !self.disowned.load(Ordering::Relaxed)) {
            self.disk.sync_slot(to, Sync::All)?;
            self.disowned.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Where `piece` is, and stays for as long as the answer is kept; `None` when it has no place yet.
    fn enter(&self, piece: PieceIndex) -> Option<Place<'_>> {
        let mut traffic = self.traffic();
        while traffic.moving == Some(piece) {
            traffic = self.changed.wait(traffic).unwrap_or_else(PoisonError::into_inner);
        }
        let slot = traffic.placement.slot_of(piece)?;
        *traffic.in_use.entry(piece).or_default() += 1;
        Some(Place { slots: self, piece, slot })
    }

    /// Lets nobody use `piece` any more, and waits until nobody does, for as long as the answer is kept.
    fn stop_traffic(&self, piece: PieceIndex) -> Alone<'_> {
        let mut traffic = self.traffic();
        traffic.moving = Some(piece);
        while traffic.in_use.contains_key(&piece) {
            traffic = self.changed.wait(traffic).unwrap_or_else(PoisonError::into_inner);
        }
        Alone(self)
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockingStore for Slots {
    fn held(&self) -> Result<PieceSet, StorageError> {
        let traffic = self.traffic();
        let slots = self.disk.sealed();
        let mut pieces = PieceSet::new(slots.pieces());
        slots.iter().filter_map(|slot| traffic.placement.piece_in(slot)).for_each(|piece| {
            pieces.insert(piece);
        });
        Ok(pieces)
    }

    /// Of a piece that has no place yet, what lies in its own slot is read,
    /// where nothing else was put there: so somebody's file that was there before us is seen.
    fn read(&self, piece: PieceIndex, offset: u32, space: Space) -> Result<Block, StorageError> {
        let place = self.enter(piece);
        if place.is_none() && self.traffic().placement.piece_in(piece).is_some() {
            return Err(nowhere(&format!("reading {} bytes at {offset} of", space.length), piece));
        }
        let slot = place.as_ref().map_or(piece, |place| place.slot);
        space.fill(|into| self.disk.read(slot, offset, into))
    }

    /// A piece that has no place gets one first.
    fn write(&self, piece: PieceIndex, offset: u32, blocks: &[Block]) -> Result<(), StorageError> {
        let length: usize = blocks.iter().map(|block| block.len()).sum();
        let place = match self.enter(piece) {
            Some(place) => place,
            None => self.place(piece, offset..offset + length as u32)?,
        };
        self.disk.write(place.slot, offset, blocks)
    }

    fn seal(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let place = self.enter(piece).ok_or_else(|| nowhere("sealing", piece))?;
        self.disk.seal(place.slot, piece)
    }

    fn checkpoint(&self) -> Result<Option<Bytes>, StorageError> {
        let (before, sealed) = (self.placement(), self.disk.sealed());
        self.disk.sync()?;
        // Nothing moves between a look at the files and a look at who is where. What moved since before they
        // were forced to the disk is perhaps not there: it is hashed at the next start.
        let _turn = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut saved = self.disk.saved(&sealed);
        self.disowned.store(false, Ordering::Relaxed);
        let now = self.placement();
        let moved = |slot: &PieceIndex| before.piece_in(*slot) != now.piece_in(*slot);
        for slot in saved.sealed.iter().filter(moved).collect::<Vec<_>>() {
            saved.sealed.remove(slot);
        }
        Ok(Some(saved::encode(&saved, &now, self.disk.torrent()).into()))
    }

    fn close(&self) -> Result<(), StorageError> {
        self.disk.close()
    }
}

fn nowhere(attempt: &str, piece: PieceIndex) -> StorageError {
    StorageError::new(StorageErrorKind::Missing, format!("{attempt} piece {piece}: it was never written"))
}

/// A piece that stays where it is.
struct Place<'a> {
    slots: &'a Slots,
    piece: PieceIndex,
    slot: PieceIndex,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut traffic = self.slots.traffic();
        if let Some(users) = traffic.in_use.get_mut(&self.piece) {
            *users -= 1;
            if *users == 0 {
                traffic.in_use.remove(&self.piece);
                self.slots.changed.notify_all();
            }
        }
    }
}

/// A piece that may move.
struct Alone<'a>(&'a Slots);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.traffic().moving = None;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
#[path = "crash_tests.rs"]
mod crash_tests;
