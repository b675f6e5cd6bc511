//! Content that is a function of seed and place, so that nobody has to keep it.

use bt_api::PieceHash;
use sha1::{Digest, Sha1};

use crate::scenario::Content;

/// Fills `bytes` with the content from `offset` on.
pub(crate) fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    let (first, skip) = (offset / 8, (offset % 8) as usize);
    let (head, rest) = bytes.split_at_mut(((8 - skip) % 8).min(bytes.len()));
    head.copy_from_slice(&word(seed, first)[skip..][..head.len()]);
    for (number, chunk) in (offset.div_ceil(8)..).zip(rest.chunks_mut(8)) {
        chunk.copy_from_slice(&word(seed, number)[..chunk.len()]);
    }
}

/// Eight bytes of it: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) over their number.
fn word(seed: u64, number: u64) -> [u8; 8] {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

/// The hash of each piece; it takes a second a gigabyte.
pub(crate) fn piece_hashes(content: &Content, seed: u64) -> Vec<PieceHash> {
    let mut piece = vec![0; content.piece as usize];
    let hash = |number| {
        let bytes = &mut piece[..content.length_of(number) as usize];
        fill(seed, u64::from(number) * u64::from(content.piece), bytes);
        PieceHash(Sha1::digest(bytes).into())
    };
    (0..content.pieces()).map(hash).collect()
}
