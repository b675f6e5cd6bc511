//! How rare each piece is among connected peers.

use rand::Rng;

use crate::block::{PieceIndex, PieceSet};
use crate::rng;

/// How many connected peers have each piece that we lack, and those pieces by that number.
///
/// Each level is a list in random order; a piece moves between levels in O(1), to a random place (PP-1, PP-2, PP-5).
#[derive(Clone, Debug)]
pub(super) struct Availability {
    /// Peers known to have each piece.
    pub(super) counts: Vec<u16>,
    /// Where each piece that we lack stands in its level's list.
    pub(super) places: Vec<u32>,
    /// The pieces that we lack, by availability.
    pub(super) levels: Vec<Vec<PieceIndex>>,
}

impl Availability {
    /// Room for so many pieces is kept by a level that is nearly empty.
    const KEPT: usize = 16;

    pub(super) fn new(have: &PieceSet, rng: &mut dyn Rng) -> Self {
        let mut missing: Vec<PieceIndex> = have.missing().collect();
        rng::shuffle(rng, &mut missing);
        let mut places = vec![0; have.pieces() as usize];
        for (place, piece) in missing.iter().enumerate() {
            places[piece.as_usize()] = place as u32;
        }
        Self { counts: vec![0; have.pieces() as usize], places, levels: vec![missing] }
    }

    pub(super) fn take_out(&mut self, piece: PieceIndex) {
        let place = self.places[piece.as_usize()] as usize;
        let level = &mut self.levels[usize::from(self.counts[piece.as_usize()])];
        level.swap_remove(place);
        if let Some(moved) = level.get(place) {
            self.places[moved.as_usize()] = place as u32;
        }
        // There is a level for each number of peers: those that emptied must not keep the memory of all pieces.
        if level.capacity() > Self::KEPT && level.len() < level.capacity() / 4 {
            level.shrink_to(level.len() * 2);
        }
    }

    /// Puts `piece` at the end of its level.
    pub(super) fn put_last(&mut self, piece: PieceIndex) {
        let at_level = usize::from(self.counts[piece.as_usize()]);
        if self.levels.len() <= at_level {
            self.levels.resize_with(at_level + 1, Vec::new);
        }
        let level = &mut self.levels[at_level];
        self.places[piece.as_usize()] = level.len() as u32;
        level.push(piece);
    }

    /// Puts `piece` at a uniformly random place of its level; the piece displaced goes to the end.
    pub(super) fn put_in(&mut self, piece: PieceIndex, rng: &mut dyn Rng) {
        self.put_last(piece);
        let level = &mut self.levels[usize::from(self.counts[piece.as_usize()])];
        let last = level.len() - 1;
        let place = rng::below(rng, last as u32 + 1) as usize;
        level.swap(place, last);
        self.places[level[last].as_usize()] = last as u32;
        self.places[piece.as_usize()] = place as u32;
    }
}
