//! Which slot holds which piece: the original's placement (`SW-10` to `SW-17`), without a disk.
//!
//! Slot *i* is the range of bytes where piece *i* belongs, its home. A piece that arrives gets the lowest
//! slot that holds nothing, so that the files grow from their start without holes; a piece that stands in
//! another's slot moves on when that slot is wanted, and home as soon as the files have grown so far. When
//! nothing is missing everything is at home, with no final pass.
//!
//! ```
//! use bt_api::{PieceIndex, PieceSet};
//! use bt_storage::compact::{Placement, Step};
//! let mut placement = Placement::new(PieceSet::new(4));
//! let mut arrives = |piece| {
//!     let plan = placement.plan(PieceIndex(piece));
//!     plan.iter().for_each(|step| placement.apply(step));
//!     plan
//! };
//! arrives(2);
//! arrives(3);
//! // Piece 0 takes the slot that piece 2 leaves for its own.
//! let moves = Step::Move { piece: PieceIndex(2), from: PieceIndex(0), to: PieceIndex(2) };
//! assert_eq!(arrives(0), [moves, Step::Place { piece: PieceIndex(0), slot: PieceIndex(0), fresh: false }]);
//! let held: Vec<_> = placement.slots().map(|piece| piece.map(|piece| piece.0)).collect();
//! assert_eq!(held, [Some(0), Some(3), Some(2), None]);
//! ```

use bt_api::{PieceIndex, PieceSet};

/// Where each piece is.
///
/// What always holds (`SW-14`): a slot is empty, or the place of just one piece; a piece that is not at home
/// has left its own slot empty; so when no slot is empty, every piece is at home. A last piece that is
/// shorter than the others leaves a slot that no other piece ever gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The piece in each slot, or [`NOTHING`].
    held: Vec<u32>,
    /// The slot of each piece, or [`NOTHING`].
    places: Vec<u32>,
    /// No slot before this one is empty.
    full_before: usize,
}

/// Stands for no piece and for no slot: there are not so many.
const NOTHING: u32 = u32::MAX;

/// One thing to do so that a piece has a place; a plan is done in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `piece` is copied from slot `from` to slot `to`, as many bytes as slot `to` has. Then it lives there.
    Move {
        /// The piece.
        piece: PieceIndex,
        /// The slot that it leaves.
        from: PieceIndex,
        /// The slot that it gets, which holds nothing.
        to: PieceIndex,
    },
    /// `piece`, which had no place, gets `slot`.
    Place {
        /// The piece.
        piece: PieceIndex,
        /// Its place from now on.
        slot: PieceIndex,
        /// Whether nothing stood there before, so that the files are to be filled up to the end of the slot.
        fresh: bool,
    },
}

impl Placement {
    /// The placement of a torrent of which nothing is there. The pieces in `pinned` stand at home from the
    /// start and for good, and nothing else gets their slots.
    pub fn new(pinned: PieceSet) -> Self {
        let count = pinned.pieces() as usize;
        let mut placement = Self { held: vec![NOTHING; count], places: vec![NOTHING; count], full_before: 0 };
        pinned.iter().for_each(|piece| placement.put(piece, piece));
        placement
    }

    /// The placement in which the slots hold these pieces, or nothing; `None` when that can never come about
    /// (see [`Placement`]), for it may come from a file. `short_last` says whether the last piece is shorter
    /// than the others.
    pub fn restore(
        pinned: PieceSet,
        short_last: bool,
        held: impl IntoIterator<Item = Option<PieceIndex>>,
    ) -> Option<Self> {
        let last = PieceIndex(pinned.pieces().checked_sub(1)?);
        let mut placement = Self::new(pinned.clone());
        let mut slots = 0..pinned.pieces();
        for piece in held {
            let slot = PieceIndex(slots.next()?);
            let Some(piece) = piece else { continue };
            let known = piece.0 < pinned.pieces() && !(pinned.contains(piece) || pinned.contains(slot));
            if (known || piece == slot)
                && (slot != last || piece == last || !short_last)
                && (placement.slot_of(piece).is_none() || pinned.contains(piece))
            {
                placement.put(piece, slot);
            } else {
                return None;
            }
        }
        let left_home = |(slot, piece): (u32, Option<PieceIndex>)| {
            piece.is_none_or(|piece| piece.0 == slot || placement.piece_in(piece).is_none())
        };
        (slots.is_empty() && (0..).zip(placement.slots()).all(left_home)).then_some(placement)
    }

    /// How many pieces there are, and slots.
    pub fn pieces(&self) -> u32 {
        self.held.len() as u32
    }

    /// The slot that holds `piece`, if it has one.
    pub fn slot_of(&self, piece: PieceIndex) -> Option<PieceIndex> {
        Some(PieceIndex(self.places[piece.as_usize()])).filter(|slot| slot.0 != NOTHING)
    }

    /// The piece that lives in `slot`, if any does.
    pub fn piece_in(&self, slot: PieceIndex) -> Option<PieceIndex> {
        Some(PieceIndex(self.held[slot.as_usize()])).filter(|piece| piece.0 != NOTHING)
    }

    /// What each slot holds, in order.
    pub fn slots(&self) -> impl Iterator<Item = Option<PieceIndex>> + '_ {
        (0..self.pieces()).map(|slot| self.piece_in(PieceIndex(slot)))
    }

    /// What to do so that `piece` has a place: nothing when it has one, otherwise up to two moves and its
    /// [`Step::Place`]. Each move ends in a slot whose contents nobody needs any more, and what it leaves is
    /// whole until the next step: whenever the work is broken off, every piece is whole where it was or
    /// where it goes.
    pub fn plan(&self, piece: PieceIndex) -> Vec<Step> {
        let place = |slot, fresh| Step::Place { piece, slot, fresh };
        if self.slot_of(piece).is_some() {
            return Vec::new();
        }
        let hole = self.lowest_hole();
        // The piece in this one's own slot, if the files have grown so far.
        let tenant = self.piece_in(piece);
        match (self.slot_of(hole), tenant) {
            // Case A (SW-10): the piece that belongs into the hole goes home, and leaves its place to this
            // one.
            (Some(freed), tenant) => {
                let home = Step::Move { piece: hole, from: freed, to: hole };
                match tenant.filter(|_| freed != piece) {
                    None => vec![home, place(freed, false)],
                    Some(tenant) => {
                        let aside = Step::Move { piece: tenant, from: piece, to: freed };
                        vec![home, aside, place(piece, false)]
                    }
                }
            }
            // Case B (SW-11): the files grow by a slot, and this piece begins there.
            (None, None) => vec![place(hole, true)],
            // Case C (SW-12): the files grow by a slot for the piece that makes room.
            (None, Some(tenant)) => {
                vec![Step::Move { piece: tenant, from: piece, to: hole }, place(piece, false)]
            }
        }
    }

    /// Notes that `step` is done.
    ///
    /// # Panics
    /// When it cannot be done now.
    pub fn apply(&mut self, step: &Step) {
        match *step {
            Step::Move { piece, from, to } => {
                assert_eq!(self.piece_in(from), Some(piece), "moved from where it is");
                self.held[from.as_usize()] = NOTHING;
                self.put(piece, to);
                // A plan may be broken off after this step: then the slot is empty until somebody wants one.
                self.full_before = self.full_before.min(from.as_usize());
            }
            Step::Place { piece, slot, .. } => {
                assert_eq!(self.slot_of(piece), None, "placed once");
                self.put(piece, slot);
            }
        }
    }

    fn put(&mut self, piece: PieceIndex, slot: PieceIndex) {
        let held = &mut self.held[slot.as_usize()];
        assert!(*held == NOTHING || *held == piece.0, "slot {slot} holds a piece already");
        *held = piece.0;
        self.places[piece.as_usize()] = slot.0;
        while self.held.get(self.full_before).is_some_and(|&piece| piece != NOTHING) {
            self.full_before += 1;
        }
    }

    /// The lowest slot that holds nothing. There is one while a piece has no place.
    fn lowest_hole(&self) -> PieceIndex {
        PieceIndex(self.full_before as u32)
    }
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
