//! Which pieces are in the cache, which of them was used last, and how much memory they take up.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{Block, PieceIndex, PieceSet};

/// What is here of a piece.
pub(super) enum Piece {
    /// Nothing yet: its slot was just made.
    Empty,
    /// It is not sealed, and gathers writes.
    Begun {
        /// As long as the piece.
        memory: Vec<u8>,
        /// What was written, since the piece came here.
        written: Vec<Range<u32>>,
        /// What the wrapped store does not have of it.
        unsaved: Vec<Range<u32>>,
    },
    /// It is sealed, and the wrapped store has it.
    Whole(Block),
    /// It left the cache: who still has the slot looks again.
    Gone,
}

/// A piece's place in the cache. Locked over calls to the wrapped store, so that they keep their order.
pub(super) type Slot = futures::lock::Mutex<Piece>;

/// The slots, the set of sealed pieces, and the bound.
pub(super) struct Table {
    /// In bytes.
    limit: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    slots: BTreeMap<PieceIndex, Entry>,
    /// By when they were last used.
    recent: BTreeMap<u64, PieceIndex>,
    /// The clock of `recent`.
    uses: u64,
    /// Bytes.
    taken: u64,
    /// What the wrapped store was told to seal, or vouches for.
    sealed: PieceSet,
}

struct Entry {
    slot: Arc<Slot>,
    used: u64,
    length: u64,
}

impl Table {
    /// A cache of at most `limit` bytes, for a torrent of `pieces` pieces.
    pub(super) fn new(limit: u64, pieces: u32) -> Self {
        let inner = Inner {
            slots: BTreeMap::new(),
            recent: BTreeMap::new(),
            uses: 0,
            taken: 0,
            sealed: PieceSet::new(pieces),
        };
        Self { limit, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `length` bytes have room where nothing else is.
    pub(super) fn could_hold(&self, length: u64) -> bool {
        length <= self.limit
    }

    /// The slot of `piece`, which counts as used.
    pub(super) fn get(&self, piece: PieceIndex) -> Option<Arc<Slot>> {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let entry = inner.slots.get_mut(&piece)?;
        inner.recent.remove(&entry.used);
        inner.uses += 1;
        entry.used = inner.uses;
        inner.recent.insert(entry.used, piece);
        Some(entry.slot.clone())
    }

    /// The slot of `piece`: a new one where it has none, unless the bound would be passed.
    pub(super) fn insert(&self, piece: PieceIndex, length: u64) -> Option<Arc<Slot>> {
        let mut inner = self.inner();
        if let Some(entry) = inner.slots.get(&piece) {
            return Some(entry.slot.clone());
        }
        if inner.taken + length > self.limit {
            return None;
        }
        inner.taken += length;
        inner.uses += 1;
        let (used, slot) = (inner.uses, Arc::new(Slot::new(Piece::Empty)));
        inner.recent.insert(used, piece);
        inner.slots.insert(piece, Entry { slot: slot.clone(), used, length });
        Some(slot)
    }

    /// Takes `piece` out, if its slot is still `slot`.
    pub(super) fn remove(&self, piece: PieceIndex, slot: &Arc<Slot>) {
        let mut inner = self.inner();
        if inner.slots.get(&piece).is_some_and(|entry| Arc::ptr_eq(&entry.slot, slot)) {
            let entry = inner.slots.remove(&piece).expect("it was just looked at");
            inner.recent.remove(&entry.used);
            inner.taken -= entry.length;
        }
    }

    /// All slots, the one that was used longest ago first.
    pub(super) fn oldest_first(&self) -> Vec<(PieceIndex, Arc<Slot>)> {
        let inner = self.inner();
        inner.recent.values().map(|piece| (*piece, inner.slots[piece].slot.clone())).collect()
    }

    /// Takes everything out.
    pub(super) fn clear(&self) {
        let mut inner = self.inner();
        inner.slots.clear();
        inner.recent.clear();
        inner.taken = 0;
    }

    /// The wrapped store vouches for these.
    pub(super) fn set_sealed(&self, sealed: PieceSet) {
        self.inner().sealed = sealed;
    }

    pub(super) fn is_sealed(&self, piece: PieceIndex) -> bool {
        self.inner().sealed.contains(piece)
    }

    pub(super) fn seal(&self, piece: PieceIndex) {
        self.inner().sealed.insert(piece);
    }

    /// `piece` is written again; says whether it was sealed.
    pub(super) fn unseal(&self, piece: PieceIndex) -> bool {
        self.inner().sealed.remove(piece)
    }
}
