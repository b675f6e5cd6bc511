//! Who is where, by the hashes of what the slots hold: the original's start-up check (`SW-3` to `SW-5`).
//!
//! A slot that holds its own piece is that piece's place. In another slot a piece is recognised when its own
//! slot was never reached (SW-4 b), the short last piece by the first bytes of a slot (SW-4 c). What nobody
//! recognises is an unfinished part of the slot's own piece (SW-4 d). A slot can hold its own piece and begin with the
//! last one too, when their bytes are the same (zeros, say): then it is its own piece that is had.
//!
//! One rule is added, for after a crash. The original recognises a piece away from home only while its own
//! slot is not on the disk; but a copy home that was cut short may have brought its slot there, when the
//! slot lies in several files. So what is left then is looked through once more for pieces that were found
//! nowhere else, and the slot of such a piece counts as empty, whatever lies in it. Nothing that the
//! original finds is found elsewhere by this.

use std::collections::BTreeMap;
use std::sync::Arc;

use bt_api::{PieceHash, PieceIndex, PieceSet, Torrent};

/// What hashing a slot told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether all its bytes are on the disk.
    pub(super) allocated: bool,
    /// Whether it holds its own piece.
    pub(super) home: bool,
    /// The pieces that all of it matches, if it is not its own.
    pub(super) class: Option<Class>,
    /// Whether its first bytes are the last piece.
    pub(super) last: bool,
}

/// Pieces of one hash: where they begin in the order of [`Hashes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class(u32);

/// The hashes of a torrent in order, to look pieces up by.
pub(super) struct Hashes {
    torrent: Arc<Torrent>,
    order: Vec<u32>,
}

impl Hashes {
    pub(super) fn new(torrent: Arc<Torrent>) -> Self {
        let mut order: Vec<u32> = (0..torrent.piece_hashes.len() as u32).collect();
        order.sort_unstable_by_key(|&piece| (torrent.piece_hashes[piece as usize], piece));
        Self { torrent, order }
    }

    fn of(&self, piece: u32) -> PieceHash {
        self.torrent.piece_hashes[piece as usize]
    }

    /// The pieces whose hash is `hash`.
    pub(super) fn find(&self, hash: PieceHash) -> Option<Class> {
        let start = self.order.partition_point(|&piece| self.of(piece) < hash);
        self.order.get(start).filter(|&&piece| self.of(piece) == hash).map(|_| Class(start as u32))
    }

    /// Those pieces, lowest first.
    fn pieces(&self, class: Class) -> &[u32] {
        let rest = &self.order[class.0 as usize..];
        let hash = self.of(rest[0]);
        &rest[..rest.partition_point(|&piece| self.of(piece) == hash)]
    }
}

/// Who is where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrangement {
    /// The piece in each slot.
    pub(super) held: Vec<Option<PieceIndex>>,
    /// The slots whose piece matches its hash.
    pub(super) sealed: PieceSet,
}

/// Works out who is where from what was `found` in each slot; `pinned` pieces are at home in any case.
pub(super) fn arrange(hashes: &Hashes, pinned: &PieceSet, found: &[Found]) -> Arrangement {
    let mut desk = Desk::new(hashes, pinned, found);
    desk.recognise(|found| !found.allocated);
    desk.recognise(|found| found.allocated);
    desk.rest()
}

struct Desk<'a> {
    hashes: &'a Hashes,
    pinned: &'a PieceSet,
    found: &'a [Found],
    arrangement: Arrangement,
    /// The pieces that have a slot; only guests and those at home by their hash.
    placed: PieceSet,
}

impl<'a> Desk<'a> {
    /// With the pieces at home that match their hash (SW-4 a).
    fn new(hashes: &'a Hashes, pinned: &'a PieceSet, found: &'a [Found]) -> Self {
        let none = PieceSet::new(pinned.pieces());
        let held = vec![None; found.len()];
        let arrangement = Arrangement { held, sealed: none.clone() };
        let mut desk = Self { hashes, pinned, found, arrangement, placed: none };
        let home = (0..).map(PieceIndex).zip(found).filter(|(_, found)| found.home);
        home.for_each(|(piece, _)| desk.place(piece, piece));
        desk
    }

    fn place(&mut self, piece: PieceIndex, slot: PieceIndex) {
        self.arrangement.held[slot.as_usize()] = Some(piece);
        self.arrangement.sealed.insert(slot);
        self.placed.insert(piece);
    }

    /// Recognises pieces away from home whose own slots are such (SW-4 b and c).
    fn recognise(&mut self, own_slot_is: impl Fn(&Found) -> bool) {
        let last = PieceIndex(self.pinned.pieces() - 1);
        let layout = &self.hashes.torrent.layout;
        // Of each class, how many pieces are not looked at yet: they are taken from the end.
        let mut left: BTreeMap<Class, usize> = BTreeMap::new();
        for slot in (0..self.pinned.pieces()).map(PieceIndex) {
            let found = self.found[slot.as_usize()];
            if !found.allocated || self.is_taken(slot) || self.pinned.contains(slot) {
                continue;
            }
            let is_wanted = |desk: &Self, piece: PieceIndex| {
                own_slot_is(&desk.found[piece.as_usize()])
                    && !desk.placed.contains(piece)
                    && !desk.pinned.contains(piece)
                    && desk.arrangement.held[piece.as_usize()].is_none()
            };
            let mut guest = None;
            if let Some(class) = found.class {
                let pieces = self.hashes.pieces(class);
                let left = left.entry(class).or_insert(pieces.len());
                while *left > 0 && guest.is_none() {
                    *left -= 1;
                    let piece = PieceIndex(pieces[*left]);
                    let fits = layout.piece_length(piece) == layout.piece_length(slot);
                    guest = Some(piece).filter(|&piece| fits && is_wanted(self, piece));
                }
            }
            let short = || Some(last).filter(|&last| found.last && slot != last && is_wanted(self, last));
            if let Some(piece) = guest.or_else(short) {
                self.place(piece, slot);
            }
        }
    }

    /// Whether a piece is in `slot`, or its own piece is elsewhere, so that nothing is to be in it.
    fn is_taken(&self, slot: PieceIndex) -> bool {
        self.arrangement.held[slot.as_usize()].is_some() || self.placed.contains(slot)
    }

    /// What is not recognised is the slot's own piece, not whole (SW-4 d).
    fn rest(mut self) -> Arrangement {
        for slot in (0..self.pinned.pieces()).map(PieceIndex) {
            if self.found[slot.as_usize()].allocated && !self.is_taken(slot) {
                self.arrangement.held[slot.as_usize()] = Some(slot);
            }
        }
        self.arrangement
    }
}

#[cfg(test)]
mod tests {
    use bt_api::{InfoHash, TorrentLayout};
    use proptest::prelude::*;

    use super::*;
    use crate::compact::placement::Placement;

    /// Seven pieces with these hashes, the last one shorter.
    fn hashes(kinds: [u8; 7]) -> Hashes {
        Hashes::new(Arc::new(Torrent {
            info_hash: InfoHash([0; 20]),
            layout: TorrentLayout::single("t", 27, 4).unwrap(),
            piece_hashes: kinds.iter().map(|&kind| PieceHash([kind; 20])).collect(),
            folder: "unused".into(),
            saved: None,
        }))
    }

    /// What hashing slots tells that hold data of these kinds.
    fn found(hashes: &Hashes, kinds: [Option<u8>; 7], last: [bool; 7]) -> Vec<Found> {
        let found = |(slot, (kind, last)): (usize, (Option<u8>, bool))| {
            let hash = kind.map(|kind| PieceHash([kind; 20]));
            let home = hash == Some(hashes.of(slot as u32));
            let class = hash.filter(|_| !home).and_then(|hash| hashes.find(hash));
            Found { allocated: hash.is_some(), home, class, last: last && hash.is_some() }
        };
        kinds.into_iter().zip(last).enumerate().map(found).collect()
    }

    fn held(kinds: [u8; 7], slots: [Option<u8>; 7]) -> Vec<Option<u32>> {
        let hashes = hashes(kinds);
        let found = found(&hashes, slots, slots.map(|kind| kind == Some(kinds[6])));
        let arranged = arrange(&hashes, &PieceSet::new(7), &found);
        arranged.held.into_iter().map(|piece| piece.map(|piece| piece.0)).collect()
    }

    const DISTINCT: [u8; 7] = [0, 1, 2, 3, 4, 5, 6];

    #[test]
    fn pieces_are_recognised_in_other_slots() {
        let slots = [Some(5), Some(1), Some(99), Some(6), None, None, None];
        assert_eq!(held(DISTINCT, slots), [Some(5), Some(1), Some(2), Some(6), None, None, None]);
    }

    /// Case 45 of the original's tests (SW-4 b): the higher of two equal pieces is had, and no other.
    #[test]
    fn case_45_of_two_equal_pieces_one_is_had() {
        let kinds = [0, 1, 2, 3, 3, 5, 6];
        let hashes = hashes(kinds);
        let found = found(&hashes, [Some(3), None, None, None, None, None, None], [false; 7]);
        let arranged = arrange(&hashes, &PieceSet::new(7), &found);
        assert_eq!(arranged.held[0], Some(PieceIndex(4)));
        assert_eq!(arranged.sealed.count(), 1);
    }

    /// A copy home that was cut short: what its own slot holds is nothing, and the piece is where it was.
    #[test]
    fn a_piece_is_recognised_although_its_own_slot_is_there() {
        let slots = [Some(2), Some(1), Some(99), Some(3), Some(98), None, None];
        assert_eq!(held(DISTINCT, slots), [Some(2), Some(1), None, Some(3), Some(4), None, None]);
        // A copy that was done is at home, and what is left of it is nothing.
        let slots = [Some(2), Some(1), Some(2), None, None, None, None];
        assert_eq!(held(DISTINCT, slots), [Some(0), Some(1), Some(2), None, None, None, None]);
    }

    proptest! {
        /// Whatever lies there: each piece is where its hash says, nothing at home is missed, and it is a
        /// placement.
        #[test]
        fn what_is_arranged_keeps_the_rules(
            kinds in prop::array::uniform7(0_u8..5), slots in prop::array::uniform7(prop::option::of(0_u8..6)),
            last in prop::array::uniform7(any::<bool>()), pins in 0_u8..8,
        ) {
            let hashes = hashes(kinds);
            let found = found(&hashes, slots, last);
            let pinned = PieceSet::from_bitfield(7, &[pins << 5]).unwrap();
            let arranged = arrange(&hashes, &pinned, &found);
            prop_assert!(Placement::restore(pinned, true, arranged.held.clone()).is_some());
            for (slot, piece) in arranged.held.iter().enumerate() {
                let sealed = arranged.sealed.contains(PieceIndex(slot as u32));
                prop_assert!(piece.is_none() || slots[slot].is_some());
                prop_assert!(sealed || !found[slot].home);
                if let Some(piece) = piece.filter(|_| sealed) {
                    let fits = slots[slot] == Some(kinds[piece.as_usize()]);
                    prop_assert!(fits || (piece.0 == 6 && last[slot]));
                }
            }
        }
    }
}
