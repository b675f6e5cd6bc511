//! What only a simulator knows: the whole swarm. For baselines that show what a partial view costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::block::PieceIndex;

/// How many peers of the whole swarm have each piece, connected to us or not.
///
/// A simulator keeps it, and lends it to the policies of plug-ins that are [for the lab
/// only](crate::Plugin::LAB_ONLY); nobody has it on a network. Clones share their counts.
#[derive(Clone, Debug)]
pub struct Oracle {
    copies: Arc<[AtomicU32]>,
}

impl Oracle {
    /// The counts of a torrent of so many pieces that nobody has.
    pub fn new(pieces: u32) -> Self {
        Self { copies: (0..pieces).map(|_| AtomicU32::new(0)).collect() }
    }

    /// How many peers have `piece`, ourselves too if we have it; 0 for what is no piece of the torrent.
    pub fn copies(&self, piece: PieceIndex) -> u32 {
        // One simulated swarm is one thread; the counts are atomic only so that policies may be sent to it.
        self.copies.get(piece.as_usize()).map_or(0, |copies| copies.load(Ordering::Relaxed))
    }

    /// One more peer has `piece`.
    pub fn gained(&self, piece: PieceIndex) {
        if let Some(copies) = self.copies.get(piece.as_usize()) {
            copies.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One peer that had `piece` is gone.
    pub fn lost(&self, piece: PieceIndex) {
        if let Some(copies) = self.copies.get(piece.as_usize()) {
            let fewer = copies.load(Ordering::Relaxed).saturating_sub(1);
            copies.store(fewer, Ordering::Relaxed);
        }
    }
}
