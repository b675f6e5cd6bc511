//! What peers are sent, read from the store in long spans that all requests share.
//!
//! Requests are for 16 KiB, and a peer that asks for one block asks for its neighbours next. So the store
//! reads a quarter of a MiB at a time; the spans used last are kept, in a small part of the memory limit.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_channel::Sender;
use async_std::task;
use bt_api::{Block, BlockRef, BoxFuture, PieceIndex, StorageError, StorageErrorKind, Torrent, TorrentStore};
use futures::FutureExt;
use futures::future::{Shared, ready};

use super::pool::LONGEST;
use super::torrent::{Note, StoreWork};
use super::{panics, reading};

/// What one read of the store brings: a buffer that the pool keeps.
const SPAN: u32 = LONGEST as u32;

/// What was not asked for during so long is let go of when memory is short.
const IDLE_TIME: Duration = Duration::from_secs(1);

/// The bytes that the caches of all torrents together may keep.
pub(crate) struct CacheBudget {
    limit: usize,
    used: AtomicUsize,
}

impl CacheBudget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }
}

type Reading = Shared<BoxFuture<'static, Result<Block, StorageError>>>;

/// The cache of one torrent.
pub(crate) struct Uploads {
    store: Arc<dyn TorrentStore>,
    torrent: Arc<Torrent>,
    budget: Arc<CacheBudget>,
    notes: Sender<Note>,
    spans: BTreeMap<(PieceIndex, u32), Span>,
    /// Counts uses: the span with the lowest number was used longest ago.
    clock: u64,
}

struct Span {
    reading: Reading,
    length: u32,
    used: u64,
    used_at: Instant,
}

/// The bytes of a block to be sent, which may still be on their way from the store.
pub(crate) struct Slot(Vec<(Reading, Range<usize>)>);

impl Uploads {
    /// Spans of `torrent` come from `store`; its panics are told to `notes`.
    pub(crate) fn new(
        store: Arc<dyn TorrentStore>,
        torrent: Arc<Torrent>,
        budget: Arc<CacheBudget>,
        notes: Sender<Note>,
    ) -> Self {
        Self { store, torrent, budget, notes, spans: BTreeMap::new(), clock: 0 }
    }

    /// The bytes of `block`, which lies within its piece.
    pub(crate) fn get(&mut self, block: BlockRef) -> Slot {
        let end = block.begin + block.length;
        let mut parts = Vec::new();
        for number in block.begin / SPAN..end.div_ceil(SPAN) {
            let start = number * SPAN;
            let range = block.begin.max(start) - start..end.min(start.saturating_add(SPAN)) - start;
            // Somebody is half through: the next span will be wanted.
            if range.end > SPAN / 2 {
                self.span(block.piece, number + 1);
            }
            if let Some(reading) = self.span(block.piece, number) {
                parts.push((reading, range.start as usize..range.end as usize));
            }
        }
        self.shrink();
        Slot(parts)
    }

    /// Memory is short: lets go of what nobody asked for lately.
    pub(crate) fn relieve(&mut self) {
        self.evict(|span| span.used_at.elapsed() > IDLE_TIME);
    }

    fn shrink(&mut self) {
        // Two spans stay in any case: the one that is being sent, and the next.
        while self.spans.len() > 2 && self.budget.is_over() {
            let Some(oldest) = self.spans.values().map(|span| span.used).min() else { break };
            self.evict(|span| span.used == oldest);
        }
    }

    fn evict(&mut self, which: impl Fn(&Span) -> bool) {
        let used = &self.budget.used;
        self.spans.retain(|_, span| {
            let goes = which(span);
            if goes {
                used.fetch_sub(span.length as usize, Ordering::Relaxed);
            }
            !goes
        });
    }

    /// A span of a piece, read now if it is not there; `None` past the end of the piece.
    fn span(&mut self, piece: PieceIndex, number: u32) -> Option<Reading> {
        // Past 4 GiB is past every piece.
        let start = number.checked_mul(SPAN)?;
        let length = self.torrent.layout.piece_length(piece).checked_sub(start)?.min(SPAN);
        if length == 0 {
            return None;
        }
        self.clock += 1;
        // A read that failed is tried again: the disk may be back.
        let failed = |span: &Span| matches!(span.reading.peek(), Some(Err(_)));
        if let Some(span) = self.spans.get_mut(&(piece, number)).filter(|span| !failed(span)) {
            (span.used, span.used_at) = (self.clock, Instant::now());
            return Some(span.reading.clone());
        }
        let (store, notes) = (self.store.clone(), self.notes.clone());
        let reading = task::spawn(async move {
            let read = AssertUnwindSafe(reading::read(&*store, piece, start, length)).catch_unwind().await;
            match read {
                Ok(result) => result,
                Err(panic) => {
                    let message = format!("reading piece {piece}: {}", panics::message(&*panic));
                    let error = StorageError::new(StorageErrorKind::Other, message.as_str());
                    // The torrent may be gone.
                    let _ = notes.send(Note::StorePanicked(StoreWork::Read, message)).await;
                    Err(error)
                }
            }
        });
        let reading = reading.boxed().shared();
        let span = Span { reading: reading.clone(), length, used: self.clock, used_at: Instant::now() };
        let replaced = self.spans.insert((piece, number), span);
        if replaced.is_none() {
            self.budget.used.fetch_add(length as usize, Ordering::Relaxed);
        }
        Some(reading)
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.evict(|_| true);
    }
}

impl Slot {
    /// A slot for a block that is here.
    #[cfg(test)]
    pub(crate) fn of(block: Block) -> Self {
        let range = 0..block.len();
        Self(vec![(ready(Ok(block)).boxed().shared(), range)])
    }

    /// Replaces bytes that are here by a copy, so that the buffers they are parts of are free.
    pub(crate) fn copy(&mut self) {
        for (reading, range) in &mut self.0 {
            if let Some(Ok(block)) = reading.clone().now_or_never() {
                let copy = block[range.clone()].to_vec();
                (*reading, *range) = (ready(Ok(copy.into())).boxed().shared(), 0..range.len());
            }
        }
    }

    /// The bytes, if they are here.
    pub(crate) fn now(&self) -> Option<Result<Vec<Block>, StorageError>> {
        self.read().now_or_never()
    }

    /// Waits for the bytes.
    pub(crate) async fn read(&self) -> Result<Vec<Block>, StorageError> {
        let mut blocks = Vec::with_capacity(self.0.len());
        for (reading, range) in &self.0 {
            blocks.push(reading.clone().await?.slice(range.clone()));
        }
        Ok(blocks)
    }
}
