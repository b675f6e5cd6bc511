//! What the store wants back at its next start: that of [`crate::disk`], and which slot holds which piece.
//!
//! After the shared part come four bytes for each slot, little-endian: the piece in it, or all ones. What
//! does not fit the torrent or cannot come about is taken as nothing saved.

use bt_api::{PieceIndex, PieceSet, Torrent};

use super::placement::Placement;
use crate::disk::Saved;

/// Begins what is saved: another store or format has another.
const FORMAT: u8 = 2;

/// Stands for no piece.
const NOTHING: u32 = u32::MAX;

/// The bytes to save.
pub(super) fn encode(saved: &Saved, placement: &Placement, torrent: &Torrent) -> Vec<u8> {
    let mut bytes = saved.encode(FORMAT, torrent);
    for piece in placement.slots() {
        bytes.extend(piece.map_or(NOTHING, |piece| piece.0).to_le_bytes());
    }
    bytes
}

/// What `bytes` say of `torrent`, where they are what [`encode`] makes.
pub(super) fn decode(bytes: &[u8], pinned: PieceSet, torrent: &Torrent) -> Option<(Saved, Placement)> {
    let (saved, rest) = Saved::decode(bytes, FORMAT, torrent)?;
    let (slots, []) = rest.as_chunks::<4>() else { return None };
    let held = slots.iter().map(|bytes| match u32::from_le_bytes(*bytes) {
        NOTHING => None,
        piece => Some(PieceIndex(piece)),
    });
    let placement = Placement::restore(pinned, super::short_last(&torrent.layout), held)?;
    // An empty slot holds nothing that could match.
    let possible = saved.sealed.iter().all(|slot| placement.piece_in(slot).is_some());
    possible.then_some((saved, placement))
}
