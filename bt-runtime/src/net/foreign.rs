//! What stands where the torrent's files belong, and is not of the torrent: somebody's data that a download
//! would write over.

use std::collections::BTreeSet;

use bt_api::{BlockRef, PieceIndex, PieceSet};

use crate::store::{Desk, reading};

/// How many bytes of a file are looked at to see whether anything is in it, the shorter ones first: a store
/// answers all that is asked for or nothing.
const BEGINNINGS: [u32; 4] = [1, 64, 1 << 10, 16 << 10];

/// The files that have something in them, but no piece that is in `have`, and no block that is in `partial`.
pub(crate) async fn foreign(desk: &Desk, have: &PieceSet, partial: &[BlockRef]) -> Vec<String> {
    let begun: BTreeSet<PieceIndex> = partial.iter().map(|block| block.piece).collect();
    let layout = &desk.torrent.layout;
    let mut foreign = Vec::new();
    for (number, file) in layout.files().iter().enumerate() {
        let is_ours = |piece: PieceIndex| have.contains(piece) || begun.contains(&piece);
        if file.is_pad() || layout.pieces_of(number).any(is_ours) {
            continue;
        }
        let Some(first) = layout.pieces_of(number).next() else { continue };
        let at = file.offset() - layout.piece_offset(first);
        let room = file.length().min(u64::from(layout.piece_length(first)) - at);
        if has_content(desk, first, at as u32, room).await {
            foreign.push(file.path().join("/"));
        }
    }
    foreign
}

/// Whether anything stands at `offset` of `piece`, in the next `room` bytes. A hole, and room that was set
/// aside, read as zeros.
async fn has_content(desk: &Desk, piece: PieceIndex, offset: u32, room: u64) -> bool {
    for length in BEGINNINGS {
        let length = room.min(length.into()) as u32;
        match reading::read(desk, piece, offset, length).await {
            Ok(block) if block.iter().any(|&byte| byte != 0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}
