//! What peers are sent, read from the store in long spans that all requests share.
//!
//! Requests are for 16 KiB, and a peer that asks for one block asks for its neighbours next. So the store
//! reads a quarter of a MiB at a time; the spans used last are kept, in a small part of the memory limit.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bt_api::{Block, BlockRef, BoxFuture, Instant, PieceIndex, StorageError, StorageErrorKind};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Shared, ready};

use super::pool::LONGEST;
use super::{Desk, reading};

/// What one read of the store brings: a buffer that the pool keeps.
const SPAN: u32 = LONGEST as u32;

/// What was not asked for during so long is let go of when memory is short.
const IDLE_TIME: Duration = Duration::from_secs(1);

/// The bytes that the caches of all torrents together may keep.
pub struct CacheBudget {
    limit: usize,
    used: AtomicUsize,
}

impl CacheBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }
}

type Reading = Shared<BoxFuture<'static, Result<Block, StorageError>>>;

/// The cache of one torrent.
pub struct Uploads {
    desk: Desk,
    budget: Arc<CacheBudget>,
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
pub struct Slot(Vec<(Reading, Range<usize>)>);

impl Uploads {
    /// Spans come from the store of `desk`.
    pub fn new(desk: Desk, budget: Arc<CacheBudget>) -> Self {
        Self { desk, budget, spans: BTreeMap::new(), clock: 0 }
    }

    /// The bytes of `block`, which lies within its piece.
    pub fn get(&mut self, block: BlockRef) -> Slot {
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
    pub fn relieve(&mut self) {
        let now = self.desk.host.now();
        self.evict(|span| now - span.used_at > IDLE_TIME);
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
        let length = self.desk.torrent.layout.piece_length(piece).checked_sub(start)?.min(SPAN);
        if length == 0 {
            return None;
        }
        self.clock += 1;
        let now = self.desk.host.now();
        // A read that failed is tried again: the disk may be back.
        let failed = |span: &Span| matches!(span.reading.peek(), Some(Err(_)));
        if let Some(span) = self.spans.get_mut(&(piece, number)).filter(|span| !failed(span)) {
            (span.used, span.used_at) = (self.clock, now);
            return Some(span.reading.clone());
        }
        let (answer, answered) = oneshot::channel();
        let desk = self.desk.clone();
        let work = async move {
            // Nobody may want it any more.
            let _ = answer.send(reading::read(&desk, piece, start, length).await);
            None
        };
        self.desk.tasks.start(work.boxed());
        let given_up =
            move |_| StorageError::new(StorageErrorKind::Other, format!("reading piece {piece}: given up"));
        let reading = answered.map(move |read| read.map_err(given_up).flatten()).boxed().shared();
        let span = Span { reading: reading.clone(), length, used: self.clock, used_at: now };
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
    #[cfg(all(test, feature = "net"))]
    pub(crate) fn of(block: Block) -> Self {
        let range = 0..block.len();
        Self(vec![(ready(Ok(block)).boxed().shared(), range)])
    }

    /// Replaces bytes that are here by a copy, so that the buffers they are parts of are free.
    pub fn copy(&mut self) {
        for (reading, range) in &mut self.0 {
            if let Some(Ok(block)) = reading.clone().now_or_never() {
                let copy = block[range.clone()].to_vec();
                (*reading, *range) = (ready(Ok(copy.into())).boxed().shared(), 0..range.len());
            }
        }
    }

    /// The bytes, if they are here.
    pub fn now(&self) -> Option<Result<Vec<Block>, StorageError>> {
        self.read().now_or_never()
    }

    /// Waits for the bytes.
    pub async fn read(&self) -> Result<Vec<Block>, StorageError> {
        let mut blocks = Vec::with_capacity(self.0.len());
        for (reading, range) in &self.0 {
            blocks.push(reading.clone().await?.slice(range.clone()));
        }
        Ok(blocks)
    }
}
