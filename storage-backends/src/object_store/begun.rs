//! Pieces that are being written: in memory that is bounded, or away in an object of their own.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use ::object_store::path::Path;
use bt_api::{Bytes, PieceIndex};

use super::bucket::Version;

/// What there is of a piece that is being written.
pub(super) enum Begun {
    /// Nothing is here yet.
    Empty,
    /// It is in memory; the ranges that are written are sorted and apart.
    Here { memory: Memory, written: Vec<Range<u32>> },
    /// It went to an object, to make room.
    Away { object: Path, version: Version, written: Vec<Range<u32>> },
    /// It is no longer being written: whoever waited for it looks again.
    Gone,
}

/// The place of a piece in the [`Table`].
pub(super) struct Slot {
    /// Pieces that were begun earlier have a lower one.
    age: u64,
    begun: Mutex<Begun>,
}

/// The pieces that are being written. Whoever holds one may wait for the server, and for [room](Self::take) only while
/// his own piece takes up none: so room always comes.
pub(super) struct Table {
    slots: Mutex<(BTreeMap<PieceIndex, Arc<Slot>>, u64)>,
    budget: Arc<Budget>,
}

/// Memory, in bytes.
struct Budget {
    limit: u64,
    used: Mutex<u64>,
    /// Room was given back, or a piece is held no longer.
    changed: Condvar,
}

/// A part of the budget, given back when it is dropped.
pub(super) struct Room {
    budget: Arc<Budget>,
    taken: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        *lock(&self.budget.used) -= self.taken;
        self.budget.changed.notify_all();
    }
}

/// The bytes of a piece, within the budget.
pub(super) struct Memory {
    bytes: Vec<u8>,
    _room: Room,
}

impl Memory {
    pub(super) fn new(bytes: Vec<u8>, room: Room) -> Self {
        Self { bytes, _room: room }
    }

    /// Lends the bytes to `call` without a copy.
    pub(super) fn lend<T>(&mut self, call: impl FnOnce(Bytes) -> T) -> T {
        struct Lent<'a>(&'a mut Vec<u8>, Bytes);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                // A copy where the call left something behind that holds on to them.
                *self.0 = std::mem::take(&mut self.1).into();
            }
        }
        let whole = Bytes::from(std::mem::take(&mut self.bytes));
        let lent = Lent(&mut self.bytes, whole);
        call(lent.1.clone())
    }
}

impl Deref for Memory {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Room, or who is to make some.
pub(super) enum Taken {
    Room(Room),
    /// This piece was begun first of those that nobody holds.
    Victim(PieceIndex, Arc<Slot>),
}

/// A piece that nobody else changes.
pub(super) struct Held<'a> {
    begun: Option<MutexGuard<'a, Begun>>,
    budget: &'a Budget,
}

impl Deref for Held<'_> {
    type Target = Begun;
    fn deref(&self) -> &Begun {
        self.begun.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Begun {
        self.begun.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        drop(self.begun.take());
        // Whoever looks for a victim does so while he has this lock, so he hears of it.
        drop(lock(&self.budget.used));
        self.budget.changed.notify_all();
    }
}

impl Table {
    /// A table that takes up to `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        let budget = Budget { limit, used: Mutex::new(0), changed: Condvar::new() };
        Self { slots: Mutex::default(), budget: Arc::new(budget) }
    }

    pub(super) fn get(&self, piece: PieceIndex) -> Option<Arc<Slot>> {
        lock(&self.slots).0.get(&piece).cloned()
    }

    /// The slot of `piece`, made if there is none.
    pub(super) fn begin(&self, piece: PieceIndex) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        let (slots, ages) = &mut *slots;
        let new = || {
            *ages += 1;
            Arc::new(Slot { age: *ages, begun: Mutex::new(Begun::Empty) })
        };
        slots.entry(piece).or_insert_with(new).clone()
    }

    /// Waits until nobody else holds it.
    pub(super) fn hold<'a>(&'a self, slot: &'a Slot) -> Held<'a> {
        Held { begun: Some(lock(&slot.begun)), budget: &self.budget }
    }

    /// Holds it if nobody else does.
    pub(super) fn try_hold<'a>(&'a self, slot: &'a Slot) -> Option<Held<'a>> {
        Some(Held { begun: Some(try_lock(&slot.begun)?), budget: &self.budget })
    }

    /// Takes `piece` out.
    pub(super) fn forget(&self, piece: PieceIndex, held: &mut Held<'_>) {
        **held = Begun::Gone;
        lock(&self.slots).0.remove(&piece);
    }

    /// Takes room for `length` bytes, or says which piece is to make room; waits while all pieces are held.
    pub(super) fn take(&self, length: u64) -> Taken {
        let mut used = lock(&self.budget.used);
        loop {
            if *used + length <= self.budget.limit {
                *used += length;
                return Taken::Room(Room { budget: self.budget.clone(), taken: length });
            }
            if let Some((piece, slot)) = self.oldest() {
                return Taken::Victim(piece, slot);
            }
            used = self.budget.changed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn oldest(&self) -> Option<(PieceIndex, Arc<Slot>)> {
        let slots = lock(&self.slots);
        let free = slots.0.iter().filter(|(_, slot)| {
            try_lock(&slot.begun).is_some_and(|begun| matches!(*begun, Begun::Here { .. }))
        });
        free.min_by_key(|(_, slot)| slot.age).map(|(piece, slot)| (*piece, slot.clone()))
    }

    /// Takes everything out, and says which objects are needed no longer.
    pub(super) fn clear(&self) -> Vec<Path> {
        let slots = std::mem::take(&mut lock(&self.slots).0);
        let gone = slots.into_values().filter_map(|slot| {
            match std::mem::replace(&mut *self.hold(&slot), Begun::Gone) {
                Begun::Away { object, .. } => Some(object),
                _ => None,
            }
        });
        gone.collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
