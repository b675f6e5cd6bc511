//! Pieces, blocks and their bytes.
//!
//! A *piece* is what the metainfo has a hash of; a *block* is what one request asks for, 16 KiB as a rule
//! (BEP 3). Bytes travel as [`Block`]s: cheap clones of a slice of one allocation, so that what the socket
//! filled is what the store writes and what another peer is sent.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The number of a piece, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PieceIndex(pub u32);

impl PieceIndex {
    /// The number as an index into a slice that has one entry a piece.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A span of a piece, as a request names it (BEP 3): `length` bytes from offset `begin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// The piece that it lies in.
    pub piece: PieceIndex,
    /// Its first byte, counted in bytes from the start of the piece.
    pub begin: u32,
    /// Its length in bytes.
    pub length: u32,
}

/// A set of pieces of one torrent: one bit a piece, and a count (BI-1 to BI-6).
///
/// ```
/// use bt_api::{PieceIndex, PieceSet};
/// let mut have = PieceSet::new(10);
/// assert!(have.insert(PieceIndex(9)));
/// assert!(!have.insert(PieceIndex(9)));
/// assert_eq!(have.to_bitfield(), [0, 0b0100_0000]);
/// assert_eq!(have.iter().collect::<Vec<_>>(), [PieceIndex(9)]);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PieceSet {
    /// Bit `i % 64` of word `i / 64` is piece `i`; bits past the last piece are 0.
    words: Vec<u64>,
    pieces: u32,
    count: u32,
}

impl PieceSet {
    /// The empty set, for a torrent of `pieces` pieces.
    pub fn new(pieces: u32) -> Self {
        Self { words: vec![0; (pieces as usize).div_ceil(64)], pieces, count: 0 }
    }

    /// The set of all `pieces` pieces.
    pub fn full(pieces: u32) -> Self {
        let mut set = Self::new(pieces);
        set.words.fill(u64::MAX);
        if let Some(last) = set.words.last_mut()
            && !pieces.is_multiple_of(64)
        {
            *last = (1 << (pieces % 64)) - 1;
        }
        set.count = pieces;
        set
    }

    /// Reads a bitfield as BEP 3 sends it: piece 0 is the high bit of the first byte.
    ///
    /// # Errors
    /// When `bytes` is not ⌈pieces / 8⌉ long, or a bit past the last piece is set.
    pub fn from_bitfield(pieces: u32, bytes: &[u8]) -> Result<Self, BitfieldError> {
        let expected = (pieces as usize).div_ceil(8);
        if bytes.len() != expected {
            return Err(BitfieldError::Length { expected, found: bytes.len() });
        }
        let mut set = Self::new(pieces);
        for (i, &byte) in bytes.iter().enumerate() {
            set.words[i / 8] |= u64::from(byte.reverse_bits()) << (i % 8 * 8);
        }
        if let Some(last) = set.words.last()
            && !pieces.is_multiple_of(64)
            && last >> (pieces % 64) != 0
        {
            return Err(BitfieldError::SpareBits);
        }
        set.count = set.words.iter().map(|word| word.count_ones()).sum();
        Ok(set)
    }

    /// The set as a bitfield of BEP 3, ⌈pieces / 8⌉ bytes.
    pub fn to_bitfield(&self) -> Vec<u8> {
        (0..(self.pieces as usize).div_ceil(8))
            .map(|i| ((self.words[i / 8] >> (i % 8 * 8)) as u8).reverse_bits())
            .collect()
    }

    /// How many pieces the torrent has, in the set or not.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether no piece is in the set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether every piece is in the set.
    pub fn is_full(&self) -> bool {
        self.count == self.pieces
    }

    /// Whether `piece` is in the set; a piece that the torrent does not have never is.
    pub fn contains(&self, piece: PieceIndex) -> bool {
        self.words.get(piece.as_usize() / 64).is_some_and(|word| word >> (piece.0 % 64) & 1 == 1)
    }

    /// Adds `piece`; says whether it was not there before.
    ///
    /// # Panics
    /// When the torrent has no such piece.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        assert!(piece.0 < self.pieces, "piece {piece} of {}", self.pieces);
        let new = !self.contains(piece);
        self.words[piece.as_usize() / 64] |= 1 << (piece.0 % 64);
        self.count += u32::from(new);
        new
    }

    /// Takes `piece` out; says whether it was there.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let there = self.contains(piece);
        if there {
            self.words[piece.as_usize() / 64] &= !(1 << (piece.0 % 64));
            self.count -= 1;
        }
        there
    }

    /// How many pieces are in both sets.
    pub fn common(&self, other: &Self) -> u32 {
        self.words.iter().zip(&other.words).map(|(one, two)| (one & two).count_ones()).sum()
    }

    /// The pieces in the set, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            std::iter::successors((word != 0).then_some(word), |&rest| {
                let rest = rest & (rest - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |rest| PieceIndex(i as u32 * 64 + rest.trailing_zeros()))
        })
    }

    /// The pieces that are not in the set, lowest first.
    pub fn missing(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        (0..self.pieces).map(PieceIndex).filter(|&piece| !self.contains(piece))
    }
}

/// Shows counts, not a wall of bits.
impl fmt::Debug for PieceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PieceSet({} of {})", self.count, self.pieces)
    }
}

/// Why bytes are no bitfield of this torrent (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BitfieldError {
    /// It is too long or too short.
    #[error("a bitfield of {found} bytes where {expected} are needed")]
    Length {
        /// ⌈pieces / 8⌉.
        expected: usize,
        /// The bytes there are.
        found: usize,
    },
    /// A bit past the last piece is set.
    #[error("a bitfield with bits set past the last piece")]
    SpareBits,
}

/// Bytes of a torrent: a cheap clone of a slice of one allocation.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Block(Bytes);

impl Block {
    /// The part of this block in `range`, sharing its allocation.
    ///
    /// # Panics
    /// When `range` reaches past the end.
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self(self.0.slice(range))
    }

    /// A block of `length` zero bytes, as pad files hold (BEP 47).
    pub fn zeros(length: usize) -> Self {
        Self(Bytes::from(vec![0; length]))
    }

    /// The bytes, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Block {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Block {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<Bytes> for Block {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes)", self.len())
    }
}

/// Where a [`Buffer`] goes when it is no longer used: a bounded pool takes its memory back here.
pub trait Recycle: Send + Sync {
    /// Takes back memory that it lent.
    fn recycle(&self, memory: Vec<u8>);
}

/// Memory to be filled, from [`Host::buffer`](crate::Host::buffer); [`freeze`](Self::freeze) makes it a [`Block`].
///
/// Dropped, or when the last clone of its block is dropped, it returns to the pool that lent it.
pub struct Buffer {
    memory: Vec<u8>,
    length: usize,
    pool: Option<Arc<dyn Recycle>>,
}

impl Buffer {
    /// Memory that belongs to no pool, all zero.
    pub fn unpooled(length: usize) -> Self {
        Self { memory: vec![0; length], length, pool: None }
    }

    /// The first `length` bytes of `memory`, which `pool` lends and takes back whole.
    ///
    /// # Panics
    /// When `memory` is shorter than `length`.
    pub fn pooled(memory: Vec<u8>, length: usize, pool: Arc<dyn Recycle>) -> Self {
        assert!(length <= memory.len(), "a buffer longer than its memory");
        Self { memory, length, pool: Some(pool) }
    }

    /// Ends the buffer after `length` bytes, where it is longer.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// The filled buffer as a block, without a copy.
    pub fn freeze(self) -> Block {
        Block(Bytes::from_owner(self))
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.length]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.recycle(std::mem::take(&mut self.memory));
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    /// Case 55 of the original's tests (BI-1 to BI-3).
    #[test]
    fn bitfields_of_wrong_length_or_with_spare_bits_are_refused() {
        for (pieces, bytes) in
            [(7, &[0, 0][..]), (9, &[0]), (8, &[]), (0, &[0]), (7, &[0x01]), (9, &[0, 0x40])]
        {
            assert!(PieceSet::from_bitfield(pieces, bytes).is_err(), "{pieces} {bytes:?}");
        }
        let eight = PieceSet::from_bitfield(9, &[0, 0x80]).unwrap();
        assert_eq!(eight.iter().collect::<Vec<_>>(), [PieceIndex(8)]);
        assert!(PieceSet::from_bitfield(0, &[]).unwrap().is_full());
    }

    /// Case 56 (BI-4).
    #[test]
    fn a_piece_that_is_added_twice_counts_once() {
        let mut set = PieceSet::new(3);
        assert!(set.insert(PieceIndex(1)));
        assert!(!set.insert(PieceIndex(1)));
        assert_eq!((set.count(), set.missing().count(), set.is_full()), (1, 2, false));
    }

    #[test]
    fn a_frozen_buffer_returns_to_its_pool_with_its_last_block() {
        #[derive(Default)]
        struct Pool(Mutex<Vec<Vec<u8>>>);
        impl Recycle for Pool {
            fn recycle(&self, memory: Vec<u8>) {
                self.0.lock().unwrap().push(memory);
            }
        }
        let pool = Arc::new(Pool::default());
        let mut buffer = Buffer::pooled(vec![7; 16], 10, pool.clone());
        buffer.truncate(8);
        let block = buffer.freeze();
        let part = block.slice(2..5);
        drop(block);
        assert_eq!(&*part, [7, 7, 7]);
        assert!(pool.0.lock().unwrap().is_empty());
        drop(part);
        assert_eq!(pool.0.lock().unwrap()[0].len(), 16);
    }

    proptest! {
        #[test]
        fn a_piece_set_agrees_with_a_naive_one(pieces in 1_u32..300, ops in prop::collection::vec((any::<bool>(), 0_u32..300), 0..200)) {
            let mut set = PieceSet::new(pieces);
            let mut naive = std::collections::BTreeSet::new();
            for (add, piece) in ops {
                let piece = PieceIndex(piece % pieces);
                if add {
                    prop_assert_eq!(set.insert(piece), naive.insert(piece));
                } else {
                    prop_assert_eq!(set.remove(piece), naive.remove(&piece));
                }
            }
            prop_assert_eq!(set.count() as usize, naive.len());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), naive.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.missing().count() + naive.len(), pieces as usize);
            let again = PieceSet::from_bitfield(pieces, &set.to_bitfield()).unwrap();
            prop_assert_eq!(again, set);
        }
    }

    #[test]
    fn the_full_set_is_full() {
        for pieces in [0, 1, 63, 64, 65, 128] {
            let set = PieceSet::full(pieces);
            assert!(set.is_full());
            assert_eq!(set.iter().count(), pieces as usize);
            assert_eq!(PieceSet::from_bitfield(pieces, &set.to_bitfield()).unwrap(), set);
        }
    }
}
