//! What the tests of stores share: small torrents, and calls that wait for their answer.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test program has a part of it as a module"
)]

use bt_api::{PieceHash, Torrent};
use sha1::{Digest, Sha1};

pub use bt_api::testkit::storage::{Waiting, blocks, open, pattern, torrent};

/// Gives the pieces of `torrent` the hashes that they have in `content`.
pub fn hash_pieces(torrent: &mut Torrent, content: &[u8]) {
    let pieces = content.chunks(torrent.layout.nominal_piece_length() as usize);
    torrent.piece_hashes = pieces.map(|piece| PieceHash(Sha1::digest(piece).into())).collect();
    assert_eq!(torrent.piece_hashes.len(), torrent.layout.piece_count() as usize);
}
