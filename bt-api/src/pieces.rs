//! The state of every piece and block of a torrent while it is downloaded: what is had, how rare each
//! piece is, which blocks are requested from whom.
//!
//! The engine moves this table on; piece policies read it through a [`PieceView`]. It joins what the
//! original client kept apart in its piece picker (`interests`, `started`) and in its storage wrapper
//! (`inactive_requests`, `numactive`), since neither can be judged without the other.
//!
//! A piece is in one of four states: *had*; *fresh* (nothing of it was asked for); *started* (some of it
//! was); *full* (every block is here, its hash is being checked). A block of a started piece is *open* (to be
//! asked for), *requested* (from one peer, or in endgame from several) or *received*.

mod availability;
mod piece_view;

use std::collections::BTreeMap;

use rand::Rng;

use crate::block::{BlockRef, PieceIndex, PieceSet};
use crate::oracle::Oracle;
use crate::view::PeerKey;

use availability::Availability;
pub use piece_view::PieceView;

/// Who was asked for a block and has not sent it: nearly always one peer, several in endgame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Block {
    #[default]
    Open,
    Requested(PeerKey),
    RequestedOfMany(Vec<PeerKey>),
    /// From whom; from nobody who is known when it came in an earlier run.
    Received(Option<PeerKey>),
}

impl Block {
    fn is_requested_of(&self, peer: PeerKey) -> bool {
        match self {
            Self::Requested(one) => *one == peer,
            Self::RequestedOfMany(many) => many.contains(&peer),
            Self::Open | Self::Received(_) => false,
        }
    }
}

#[derive(Clone, Debug)]
struct Progress {
    blocks: Vec<Block>,
    /// Blocks that are open.
    open: u32,
    /// Blocks that are not received.
    missing: u32,
    /// Whether a seed was asked for a block of it (PP-3).
    by_seed: bool,
}

/// What became of a block that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The other peers that were asked for it too, whose requests are cancelled.
    pub others: Vec<PeerKey>,
    /// Whether it was the last of its piece, which is to be hashed now.
    pub piece_is_full: bool,
}

/// Every piece and block of one torrent.
#[derive(Clone, Debug)]
pub struct Pieces {
    have: PieceSet,
    /// Pieces of which a block is open: fresh ones, and started ones with open blocks.
    open: PieceSet,
    availability: Availability,
    /// Started and full pieces.
    progress: BTreeMap<PieceIndex, Progress>,
    /// Started pieces in the order of their first request (PP-3).
    started: Vec<PieceIndex>,
    block_length: u32,
    piece_length: u32,
    last_piece_length: u32,
    /// Open blocks, in bytes: 0 means that every block of every missing piece is requested (SW-19).
    open_bytes: u64,
    /// Bytes of pieces that are not had.
    left: u64,
    playhead: PieceIndex,
    oracle: Option<Oracle>,
}

impl Pieces {
    /// The table of a torrent of `total_length` bytes in pieces of `piece_length`, asked for in blocks of
    /// `block_length`, of which `have` is had; `rng` draws the order inside levels of availability.
    ///
    /// # Panics
    /// When a length is 0, or `have` is not of as many pieces as the lengths make.
    pub fn new(
        total_length: u64,
        piece_length: u32,
        block_length: u32,
        have: PieceSet,
        rng: &mut dyn Rng,
    ) -> Self {
        assert!(total_length > 0 && piece_length > 0 && block_length > 0, "a length is 0");
        let pieces = total_length.div_ceil(u64::from(piece_length));
        assert_eq!(pieces, u64::from(have.pieces()), "as many pieces as the lengths make");
        let mut open = PieceSet::new(have.pieces());
        have.missing().for_each(|piece| {
            open.insert(piece);
        });
        let last_piece_length = (total_length - (pieces - 1) * u64::from(piece_length)) as u32;
        let mut table = Self {
            availability: Availability::new(&have, rng),
            have,
            open,
            progress: BTreeMap::new(),
            started: Vec::new(),
            block_length,
            piece_length,
            last_piece_length,
            open_bytes: 0,
            left: 0,
            playhead: PieceIndex(0),
            oracle: None,
        };
        table.left = table.have.missing().map(|piece| u64::from(table.piece_length(piece))).sum();
        table.open_bytes = table.left;
        table
    }

    /// How many pieces the torrent has.
    pub fn count(&self) -> u32 {
        self.have.pieces()
    }

    /// The pieces that are verified and stored.
    pub fn have(&self) -> &PieceSet {
        &self.have
    }

    /// Bytes of pieces that are not had.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Bytes of blocks that are neither received nor requested. When this is 0 and pieces are missing, the
    /// original client enters its endgame (SW-19).
    pub fn open_bytes(&self) -> u64 {
        self.open_bytes
    }

    /// The length of `piece` in bytes.
    pub fn piece_length(&self, piece: PieceIndex) -> u32 {
        if piece.0 + 1 == self.count() { self.last_piece_length } else { self.piece_length }
    }

    /// How many connected peers have `piece`.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        u32::from(self.availability.counts[piece.as_usize()])
    }

    /// The pieces that we lack, by how many connected peers have them: level 0 first, each level in random order.
    pub fn levels(&self) -> &[Vec<PieceIndex>] {
        &self.availability.levels
    }

    /// Whether a block of `piece` is open (SW-21).
    pub fn is_open(&self, piece: PieceIndex) -> bool {
        self.open.contains(piece)
    }

    /// The pieces of which a block is open.
    pub fn open(&self) -> &PieceSet {
        &self.open
    }

    /// The pieces of which something was asked for and not everything is received, the longest started first.
    pub fn started(&self) -> &[PieceIndex] {
        &self.started
    }

    /// Whether a seed was asked for a block of the started piece `piece` (PP-3).
    pub fn is_started_by_seed(&self, piece: PieceIndex) -> bool {
        self.progress.get(&piece).is_some_and(|progress| progress.by_seed)
    }

    /// The blocks that are not received: those of started pieces, then those of fresh ones (all of them).
    pub fn missing_blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        self.missing_blocks_where(|_| true, |_| true)
    }

    /// The blocks of [`missing_blocks`](Self::missing_blocks) whose piece and state pass.
    fn missing_blocks_where<'a>(
        &'a self,
        piece_passes: impl Fn(PieceIndex) -> bool + Copy + 'a,
        block_passes: impl Fn(&Block) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = BlockRef> + 'a {
        let started = self.progress.iter().filter(move |&(&piece, _)| piece_passes(piece));
        let started = started.flat_map(move |(&piece, progress)| {
            let missing = progress.blocks.iter().enumerate();
            let missing =
                missing.filter(move |(_, block)| !matches!(block, Block::Received(_)) && block_passes(block));
            missing.map(move |(at, _)| self.block_at(piece, at))
        });
        let fresh = self.open.iter().filter(move |piece| !self.progress.contains_key(piece));
        let fresh = fresh.filter(move |&piece| piece_passes(piece)).flat_map(move |piece| {
            let blocks = self.piece_length(piece).div_ceil(self.block_length) as usize;
            (0..blocks).map(move |at| self.block_at(piece, at))
        });
        started.chain(fresh)
    }

    /// Whether `peer` was asked for `block` and has not sent it.
    pub fn is_requested_of(&self, block: BlockRef, peer: PeerKey) -> bool {
        self.block(block).is_some_and(|state| state.is_requested_of(peer))
    }

    /// Whether `block` is a block of a missing piece that nobody was asked for.
    pub fn is_block_open(&self, block: BlockRef) -> bool {
        match self.progress.contains_key(&block.piece) {
            true => self.block(block) == Some(&Block::Open),
            false => self.is_open(block.piece),
        }
    }

    /// The open blocks of `piece`, lowest first.
    pub fn open_blocks(&self, piece: PieceIndex) -> impl DoubleEndedIterator<Item = BlockRef> + '_ {
        let blocks =
            if self.is_open(piece) { self.piece_length(piece).div_ceil(self.block_length) } else { 0 };
        let progress = self.progress.get(&piece);
        let open = move |&at: &usize| progress.is_none_or(|progress| progress.blocks[at] == Block::Open);
        (0..blocks as usize).filter(open).map(move |at| self.block_at(piece, at))
    }

    /// Whether something of `piece` was asked for, and it is not had.
    pub fn has_progress(&self, piece: PieceIndex) -> bool {
        self.progress.contains_key(&piece)
    }

    /// Where playback stands, for policies that stream; the first piece unless a driver moved it.
    pub fn playhead(&self) -> PieceIndex {
        self.playhead
    }

    /// Moves the playhead.
    pub fn set_playhead(&mut self, piece: PieceIndex) {
        self.playhead = piece;
    }

    /// The counts of the whole swarm, where a simulator lends them.
    pub fn oracle(&self) -> Option<&Oracle> {
        self.oracle.as_ref()
    }

    /// Lends the counts of the whole swarm, or takes them away.
    pub fn set_oracle(&mut self, oracle: Option<Oracle>) {
        self.oracle = oracle;
    }

    /// Counts one more peer that has `piece`.
    pub fn gained(&mut self, piece: PieceIndex, rng: &mut dyn Rng) {
        self.shift(piece, 1, rng);
    }

    /// Counts one peer fewer that has `piece`.
    pub fn lost(&mut self, piece: PieceIndex, rng: &mut dyn Rng) {
        self.shift(piece, -1, rng);
    }

    fn shift(&mut self, piece: PieceIndex, by: i16, rng: &mut dyn Rng) {
        let lacking = !self.have.contains(piece);
        if lacking {
            self.availability.take_out(piece);
        }
        let count = &mut self.availability.counts[piece.as_usize()];
        *count = count.checked_add_signed(by).expect("peers are counted in and out");
        if lacking {
            self.availability.put_in(piece, rng);
        }
    }

    /// Takes the lowest open block of `piece` (SW-19) to ask `peer` for it; `from_seed` is remembered for
    /// the rule that seeds join only what seeds started. `None` when no block is open.
    pub fn request(&mut self, piece: PieceIndex, peer: PeerKey, from_seed: bool) -> Option<BlockRef> {
        if !self.open.contains(piece) {
            return None;
        }
        let at = self
            .progress
            .get(&piece)
            .map_or(Some(0), |progress| progress.blocks.iter().position(|block| *block == Block::Open))?;
        let block = self.block_at(piece, at);
        self.mark_requested(block, peer, from_seed).then_some(block)
    }

    /// Takes `block` to ask `peer` for it, although others may have been asked too. Says no when it is no
    /// block of a missing piece, is received, or `peer` was asked already.
    pub fn mark_requested(&mut self, block: BlockRef, peer: PeerKey, from_seed: bool) -> bool {
        let Some((at, progress)) = self.begin(block) else { return false };
        match &mut progress.blocks[at] {
            Block::Received(_) => return false,
            state if state.is_requested_of(peer) => return false,
            state @ Block::Open => {
                *state = Block::Requested(peer);
                progress.by_seed |= from_seed;
                self.no_longer_open(block);
                return true;
            }
            Block::RequestedOfMany(peers) => peers.push(peer),
            state @ Block::Requested(_) => {
                let Block::Requested(first) = *state else { unreachable!("matched above") };
                *state = Block::RequestedOfMany(vec![first, peer]);
            }
        }
        progress.by_seed |= from_seed;
        true
    }

    /// `block` came in an earlier run and was written then; its piece is hashed once the rest is here. Says no when
    /// it is no block of a missing piece, is not open, or is the last one: a piece that was whole and is not had
    /// is wrong.
    pub fn restore(&mut self, block: BlockRef) -> bool {
        if block.length == self.piece_length(block.piece.min(PieceIndex(self.count() - 1))) {
            return false;
        }
        let Some((at, progress)) = self.begin(block) else { return false };
        if progress.blocks[at] != Block::Open || progress.missing == 1 {
            return false;
        }
        progress.blocks[at] = Block::Received(None);
        progress.missing -= 1;
        self.no_longer_open(block);
        true
    }

    /// The blocks that are here of pieces that are not had.
    pub fn received_blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        self.progress.iter().flat_map(move |(&piece, progress)| {
            let blocks = progress.blocks.iter().enumerate();
            let received = blocks.filter(|(_, block)| matches!(block, Block::Received(_)));
            received.map(move |(at, _)| self.block_at(piece, at))
        })
    }

    /// The piece of `block`, begun if it was fresh, and the place of `block` in it; `None` when it is no block of a
    /// missing piece.
    fn begin(&mut self, block: BlockRef) -> Option<(usize, &mut Progress)> {
        let piece = block.piece;
        if piece.0 >= self.count() || self.have.contains(piece) {
            return None;
        }
        let at = (block.begin / self.block_length) as usize;
        if block.begin >= self.piece_length(piece) || block != self.block_at(piece, at) {
            return None;
        }
        let blocks = self.piece_length(piece).div_ceil(self.block_length);
        let progress = self.progress.entry(piece).or_insert_with(|| {
            self.started.push(piece);
            Progress {
                blocks: vec![Block::Open; blocks as usize],
                open: blocks,
                missing: blocks,
                by_seed: false,
            }
        });
        Some((at, progress))
    }

    /// `block` was open, and is asked for or here now.
    fn no_longer_open(&mut self, block: BlockRef) {
        self.open_bytes -= u64::from(block.length);
        if let Some(progress) = self.progress.get_mut(&block.piece) {
            progress.open -= 1;
            if progress.open == 0 {
                self.open.remove(block.piece);
            }
        }
    }

    /// `peer` will not send `block`: it choked us, is gone, or was told so. Says whether the block is open again
    /// (SW-20).
    pub fn release(&mut self, block: BlockRef, peer: PeerKey) -> bool {
        let at = (block.begin / self.block_length) as usize;
        let Some(progress) = self.progress.get_mut(&block.piece) else {
            return false;
        };
        let Some(state) = progress.blocks.get_mut(at) else {
            return false;
        };
        match state {
            Block::Requested(one) if *one == peer => *state = Block::Open,
            Block::RequestedOfMany(many) => {
                many.retain(|one| *one != peer);
                if let [last] = many[..] {
                    *state = Block::Requested(last);
                }
                return false;
            }
            _ => return false,
        }
        progress.open += 1;
        self.open_bytes += u64::from(block.length);
        self.open.insert(block.piece);
        true
    }

    /// `block` came from `peer`. `None` when `peer` was not asked for exactly this block, or it is no longer
    /// needed: then its bytes are dropped (DL-11).
    pub fn receive(&mut self, block: BlockRef, peer: PeerKey) -> Option<Arrival> {
        if !self.is_requested_of(block, peer) {
            return None;
        }
        let at = (block.begin / self.block_length) as usize;
        let progress = self.progress.get_mut(&block.piece)?;
        let before = std::mem::replace(&mut progress.blocks[at], Block::Received(Some(peer)));
        progress.missing -= 1;
        let piece_is_full = progress.missing == 0;
        if piece_is_full {
            self.started.retain(|&piece| piece != block.piece);
        }
        let others = match before {
            Block::RequestedOfMany(many) => many.into_iter().filter(|&one| one != peer).collect(),
            _ => Vec::new(),
        };
        Some(Arrival { others, piece_is_full })
    }

    /// Who sent each block of `piece` that is here, in order of place; `None` for one of an earlier run.
    pub fn senders(&self, piece: PieceIndex) -> Vec<Option<PeerKey>> {
        let blocks = self.progress.get(&piece).into_iter().flat_map(|progress| &progress.blocks);
        blocks
            .filter_map(|block| if let Block::Received(from) = block { Some(*from) } else { None })
            .collect()
    }

    /// `piece` is verified and stored: it is had now (PP-7).
    ///
    /// # Panics
    /// When it was had already.
    pub fn complete(&mut self, piece: PieceIndex) {
        let length = u64::from(self.piece_length(piece));
        match self.progress.remove(&piece) {
            Some(progress) => self.open_bytes -= self.open_bytes_of(piece, &progress),
            None => self.open_bytes -= length,
        }
        self.started.retain(|&started| started != piece);
        self.availability.take_out(piece);
        self.open.remove(piece);
        self.left -= length;
        assert!(self.have.insert(piece), "piece {piece} completed twice");
    }

    /// `piece` failed its hash or was lost on its way into the store: it is fresh again, last of its level (PP-8).
    pub fn restart(&mut self, piece: PieceIndex) {
        if let Some(progress) = self.progress.remove(&piece) {
            self.open_bytes += u64::from(self.piece_length(piece)) - self.open_bytes_of(piece, &progress);
        }
        self.started.retain(|&started| started != piece);
        self.open.insert(piece);
        self.availability.take_out(piece);
        self.availability.put_last(piece);
    }

    /// `piece` was had, but the store no longer holds it: it is wanted again.
    pub fn forget(&mut self, piece: PieceIndex, rng: &mut dyn Rng) {
        if self.have.remove(piece) {
            let length = u64::from(self.piece_length(piece));
            self.left += length;
            self.open_bytes += length;
            self.open.insert(piece);
            self.availability.put_in(piece, rng);
        }
    }

    fn open_bytes_of(&self, piece: PieceIndex, progress: &Progress) -> u64 {
        let open = progress.blocks.iter().enumerate().filter(|(_, block)| **block == Block::Open);
        open.map(|(at, _)| u64::from(self.block_at(piece, at).length)).sum()
    }

    fn block(&self, block: BlockRef) -> Option<&Block> {
        let at = (block.begin / self.block_length) as usize;
        let state = self.progress.get(&block.piece)?.blocks.get(at)?;
        (block == self.block_at(block.piece, at)).then_some(state)
    }

    /// Blocks lie at multiples of the block length; the last one takes the rest (SW-18).
    fn block_at(&self, piece: PieceIndex, at: usize) -> BlockRef {
        let begin = at as u32 * self.block_length;
        BlockRef { piece, begin, length: self.block_length.min(self.piece_length(piece) - begin) }
    }
}

#[cfg(test)]
mod tests;
