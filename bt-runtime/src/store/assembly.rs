//! Makes pieces of received blocks: hashes them in order while they are warm, writes them in large calls,
//! and says whether they match (SW-22, where they were read back from the disk).
//!
//! Blocks stay in memory until their piece is whole, or until a long run of it is hashed; then they are
//! written in one go. When memory is short the blocks of unfinished pieces are written early, hashed first
//! where they are in order. Only what was written before its turn to be hashed is ever read back.
//!
//! At most one job of a piece runs at a time, so nothing reads, hashes or seals a span of it while a
//! write to it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use bt_api::{Block, BlockRef, Instant, PieceHash, PieceIndex, StorageError, StorageErrorKind};
use bt_engine::Verdict;
use futures::FutureExt;
use sha1::{Digest, Sha1};

use super::hashing::hash_into;
use super::pool::LONGEST;
use super::{Desk, reading};

/// A run of this length is worth a job that hashes it: it still is in the processor's cache.
const HASH_RUN: u32 = 256 << 10;

/// The most that one call of the store writes; a longer piece is written in parts of this length. Longer
/// calls cost no less per byte.
const WRITE_RUN: u32 = 1 << 20;

/// How many writes are under way at a time: writes to one file wait for each other in the kernel, and each
/// holds a thread meanwhile.
const WRITES_AT_ONCE: usize = 4;

/// How many pieces are written early at a time when memory is short.
const RELIEVED_AT_ONCE: usize = 4;

/// How long to wait after an early write failed before the next try: a full disk stays full for a while.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// The pieces of one torrent that are being received.
pub struct Assembly {
    bench: Bench,
    pieces: BTreeMap<PieceIndex, Piece>,
    /// How often a piece was begun; tells answers to an earlier try of a piece apart.
    tries: u64,
    running: usize,
    /// Early writes fail, and the user was told.
    troubled: bool,
}

/// What every job needs.
#[derive(Clone)]
struct Bench {
    desk: Desk,
    /// Holds one item for each write that is under way, and has room for no more.
    writing: (Sender<()>, Receiver<()>),
}

struct Piece {
    try_number: u64,
    length: u32,
    /// What was kept, by where it begins.
    kept: BTreeMap<u32, Kept>,
    /// The hash of the first `hashed` bytes; a running job has it.
    sha: Sha1,
    hashed: u32,
    /// How many bytes from the start are kept without a gap.
    whole: u32,
    /// How many bytes from the start are written.
    flushed: u32,
    in_memory: u32,
    busy: bool,
    /// Set by `finish`: whether the hashes of the blocks are wanted.
    finish: Option<bool>,
    /// When an early write failed. After a pause `relieve` tries again: a piece that is larger than memory
    /// can never be whole without that. `finish` writes in any case.
    failed_at: Option<Instant>,
}

#[derive(Clone)]
struct Kept {
    length: u32,
    /// Its bytes, or none when they are written.
    bytes: Option<Vec<Block>>,
}

/// One step of work on a piece: hash what is next, then compare or write.
struct Job {
    piece: PieceIndex,
    try_number: u64,
    sha: Sha1,
    hashed: u32,
    hash: Vec<(u32, Kept)>,
    writes: Vec<Run>,
    finish: Option<Finish>,
}

struct Finish {
    digests: bool,
    blocks: Vec<(u32, Kept)>,
}

/// Neighbouring blocks that one call writes.
struct Run {
    offset: u32,
    length: u32,
    blocks: Vec<Block>,
}

/// What a job did.
pub struct Done {
    piece: PieceIndex,
    try_number: u64,
    sha: Sha1,
    hashed: u32,
    written: Vec<(u32, u32)>,
    /// Why it did not end, where the engine is not told by `answer`.
    failure: Option<StorageError>,
    answer: Option<Result<Verdict, StorageError>>,
}

impl Assembly {
    /// Pieces go to the store of `desk`; its jobs say at their end what they [did](Done).
    pub fn new(desk: Desk) -> Self {
        let bench = Bench { desk, writing: async_channel::bounded(WRITES_AT_ONCE) };
        Self { bench, pieces: BTreeMap::new(), tries: 0, running: 0, troubled: false }
    }

    /// Whether jobs are under way.
    pub fn is_busy(&self) -> bool {
        self.running > 0
    }

    /// Takes a block that belongs to its piece.
    pub fn keep(&mut self, block: BlockRef, bytes: Vec<Block>) {
        self.piece(block.piece).keep(block, Some(bytes));
        self.advance(block.piece);
    }

    /// Takes over a block that an earlier run has written.
    pub fn restore(&mut self, block: BlockRef) {
        self.piece(block.piece).keep(block, None);
    }

    /// Every block of `piece` was kept: compare, write and seal.
    pub fn finish(&mut self, index: PieceIndex, digests: bool) {
        self.piece(index).finish = Some(digests);
        self.advance(index);
    }

    /// Writes all that is kept of unfinished pieces, so that a later run can go on with it.
    pub fn park(&mut self) {
        let idle = self.pieces.iter_mut().filter(|(_, piece)| !piece.busy && piece.in_memory > 0);
        let jobs: Vec<Job> = idle.map(|(&index, piece)| piece.job(index, piece.length)).collect();
        jobs.into_iter().for_each(|job| self.start(job));
    }

    /// The blocks of unfinished pieces that are written.
    pub fn written(&self) -> Vec<BlockRef> {
        let of_piece = |(&piece, state): (&PieceIndex, &Piece)| {
            let written = state.kept.iter().filter(|(_, kept)| kept.bytes.is_none());
            written.map(|(&begin, kept)| BlockRef { piece, begin, length: kept.length }).collect::<Vec<_>>()
        };
        self.pieces.iter().flat_map(of_piece).collect()
    }

    fn piece(&mut self, index: PieceIndex) -> &mut Piece {
        let length = self.bench.desk.torrent.layout.piece_length(index);
        self.pieces.entry(index).or_insert_with(|| {
            self.tries += 1;
            Piece::new(self.tries, length)
        })
    }

    /// Forgets what was kept of `piece`.
    pub fn discard(&mut self, index: PieceIndex) {
        let Some(piece) = self.pieces.remove(&index) else { return };
        if piece.busy {
            // The next try waits until the job of this one is through.
            self.tries += 1;
            let next = Piece { busy: true, ..Piece::new(self.tries, piece.length) };
            self.pieces.insert(index, next);
        }
    }

    /// Memory is short: writes blocks of unfinished pieces early, of those first that hold most.
    pub fn relieve(&mut self, now: Instant) {
        let rested = |piece: &Piece| piece.failed_at.is_none_or(|at| now >= at + RETRY_PAUSE);
        let idle = |piece: &Piece| !piece.busy && piece.in_memory > 0 && rested(piece);
        let mut largest: Vec<_> = self
            .pieces
            .iter()
            .filter(|(_, piece)| idle(piece))
            .map(|(&i, piece)| (piece.in_memory, i))
            .collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        for (_, index) in largest.into_iter().take(RELIEVED_AT_ONCE) {
            let Some(piece) = self.pieces.get_mut(&index) else { continue };
            let job = piece.job(index, piece.length);
            self.start(job);
        }
    }

    /// Why early writes fail, told once until one works.
    pub fn take_warning(&mut self, done: &Done) -> Option<String> {
        let Some(error) = &done.failure else {
            self.troubled &= done.written.is_empty();
            return None;
        };
        (!std::mem::replace(&mut self.troubled, true)).then(|| error.to_string())
    }

    /// Takes the answer of a job; answers what the engine is to be told.
    pub fn done(&mut self, now: Instant, done: Done) -> Option<(PieceIndex, Result<Verdict, StorageError>)> {
        self.running -= 1;
        let index = done.piece;
        let piece = self.pieces.get_mut(&index)?;
        piece.busy = false;
        if piece.try_number != done.try_number {
            self.advance(index);
            return None;
        }
        piece.take_back(now, &done);
        let Some(answer) = done.answer else {
            self.advance(index);
            return None;
        };
        piece.finish = None;
        if answer.is_ok() {
            self.pieces.remove(&index);
        }
        Some((index, answer))
    }

    /// Starts the next job of a piece, when there is enough to do.
    fn advance(&mut self, index: PieceIndex) {
        let Some(piece) = self.pieces.get_mut(&index) else { return };
        // Where the store failed, what `relieve` or `finish` starts tries again; each new block would be too often.
        let waits = piece.whole - piece.hashed < HASH_RUN || piece.failed_at.is_some();
        if piece.busy || (piece.finish.is_none() && waits) {
            return;
        }
        let write_to = if piece.finish.is_some() {
            piece.length
        } else if piece.length > WRITE_RUN {
            // Whole runs only, counted from the start of the piece: writes stay aligned.
            piece.whole / WRITE_RUN * WRITE_RUN
        } else {
            0
        };
        let job = piece.job(index, write_to);
        self.start(job);
    }

    fn start(&mut self, job: Job) {
        self.running += 1;
        let bench = self.bench.clone();
        let work = async move { Some(Box::new(job.run(bench).await)) };
        self.bench.desk.tasks.start(work.boxed());
    }
}

impl Piece {
    fn new(try_number: u64, length: u32) -> Self {
        Self {
            try_number,
            length,
            kept: BTreeMap::new(),
            sha: Sha1::new(),
            hashed: 0,
            whole: 0,
            flushed: 0,
            in_memory: 0,
            busy: false,
            finish: None,
            failed_at: None,
        }
    }

    /// Takes a block; without `bytes` it is written already.
    fn keep(&mut self, block: BlockRef, bytes: Option<Vec<Block>>) {
        if self.kept.contains_key(&block.begin) {
            return;
        }
        self.in_memory += if bytes.is_some() { block.length } else { 0 };
        self.kept.insert(block.begin, Kept { length: block.length, bytes });
        while let Some(next) = self.kept.get(&self.whole) {
            self.whole += next.length;
        }
    }

    /// The next job: hashes what is whole, and writes what is in memory and ends at or before `write_to`.
    fn job(&mut self, piece: PieceIndex, write_to: u32) -> Job {
        self.busy = true;
        let copy = |(&begin, kept): (&u32, &Kept)| (begin, kept.clone());
        let finish =
            self.finish.map(|digests| Finish { digests, blocks: self.kept.iter().map(copy).collect() });
        let mut writes: Vec<Run> = Vec::new();
        for (&begin, kept) in self.kept.range(self.flushed..) {
            let Some(bytes) = kept.bytes.as_ref().filter(|_| begin + kept.length <= write_to) else {
                continue;
            };
            match writes.last_mut() {
                Some(run) if run.offset + run.length == begin && run.length + kept.length <= WRITE_RUN => {
                    run.length += kept.length;
                    run.blocks.extend_from_slice(bytes);
                }
                _ => writes.push(Run { offset: begin, length: kept.length, blocks: bytes.clone() }),
            }
        }
        Job {
            piece,
            try_number: self.try_number,
            sha: std::mem::take(&mut self.sha),
            hashed: self.hashed,
            hash: self.kept.range(self.hashed..self.whole).map(copy).collect(),
            writes,
            finish,
        }
    }

    /// Takes over what a job did.
    fn take_back(&mut self, now: Instant, done: &Done) {
        self.sha = done.sha.clone();
        self.hashed = done.hashed;
        self.failed_at = match &done.failure {
            Some(_) => Some(now),
            None if done.written.is_empty() => self.failed_at,
            None => None,
        };
        for &(offset, length) in &done.written {
            for (_, kept) in self.kept.range_mut(offset..offset + length) {
                if kept.bytes.take().is_some() {
                    self.in_memory -= kept.length;
                }
            }
        }
        while let Some(kept) = self.kept.get(&self.flushed)
            && kept.bytes.is_none()
        {
            self.flushed += kept.length;
        }
    }
}

impl Job {
    async fn run(mut self, bench: Bench) -> Done {
        let mut written = Vec::new();
        let finish = self.finish.take();
        let result = self.work(&bench, finish.as_ref(), &mut written).await;
        let (answer, failure) = match result {
            Err(error) if finish.is_none() => (None, Some(error)),
            result => (result.transpose(), None),
        };
        Done {
            piece: self.piece,
            try_number: self.try_number,
            sha: self.sha,
            hashed: self.hashed,
            written,
            failure,
            answer,
        }
    }

    async fn work(
        &mut self,
        bench: &Bench,
        finish: Option<&Finish>,
        written: &mut Vec<(u32, u32)>,
    ) -> Result<Option<Verdict>, StorageError> {
        for (begin, kept) in std::mem::take(&mut self.hash) {
            // Hashed as a whole or not at all: after an error the next job starts at the same place.
            let mut sha = self.sha.clone();
            bench.hash(&mut sha, self.piece, begin, &kept).await?;
            self.sha = sha;
            self.hashed += kept.length;
        }
        if let Some(finish) = finish {
            let length = bench.desk.torrent.layout.piece_length(self.piece);
            if self.hashed < length {
                let what = format!("finishing piece {} with {} of {length} bytes", self.piece, self.hashed);
                return Err(StorageError::new(StorageErrorKind::Missing, what));
            }
            let found = PieceHash(self.sha.clone().finalize().into());
            if found != bench.desk.torrent.piece_hashes[self.piece.as_usize()] {
                return Ok(Some(Verdict::Bad(bench.digests(self.piece, &finish.blocks).await?)));
            }
        }
        for run in std::mem::take(&mut self.writes) {
            let (offset, length) = (run.offset, run.length);
            bench.write(self.piece, run).await?;
            written.push((offset, length));
        }
        let Some(finish) = finish else { return Ok(None) };
        bench.desk.store.seal(self.piece).await?;
        let digests =
            if finish.digests { bench.digests(self.piece, &finish.blocks).await? } else { Vec::new() };
        Ok(Some(Verdict::Good(digests)))
    }
}

impl Bench {
    async fn write(&self, piece: PieceIndex, run: Run) -> Result<(), StorageError> {
        let (enter, leave) = &self.writing;
        // It cannot be closed: this holds both ends.
        let _ = enter.send(()).await;
        let result = self.desk.store.write(piece, run.offset, run.blocks).await;
        let _ = leave.try_recv();
        result
    }

    /// Hashes one block, read back when it was written early.
    async fn hash(
        &self,
        sha: &mut Sha1,
        piece: PieceIndex,
        begin: u32,
        kept: &Kept,
    ) -> Result<(), StorageError> {
        if let Some(bytes) = &kept.bytes {
            hash_into(sha, bytes).await;
            return Ok(());
        }
        let mut at = 0;
        while at < kept.length {
            let length = (kept.length - at).min(LONGEST as u32);
            let block = reading::read(&self.desk, piece, begin + at, length).await?;
            hash_into(sha, &[block]).await;
            at += length;
        }
        Ok(())
    }

    /// The hash of each block, in order.
    async fn digests(
        &self,
        piece: PieceIndex,
        blocks: &[(u32, Kept)],
    ) -> Result<Vec<PieceHash>, StorageError> {
        let mut digests = Vec::with_capacity(blocks.len());
        for (begin, kept) in blocks {
            let mut sha = Sha1::new();
            self.hash(&mut sha, piece, *begin, kept).await?;
            digests.push(PieceHash(sha.finalize().into()));
        }
        Ok(digests)
    }
}

#[cfg(test)]
mod tests;
