//! The buffers that sockets and stores fill: bounded, in a few sizes, used again and again.
//!
//! Readers of sockets wait here when memory is short, and with them their peers: that is the back-pressure.
//! Two rules keep everything moving however small the limit is. Stores may use a reserve that readers
//! cannot touch, so what is needed to finish pieces and to free memory is always to be had. And each
//! connection has one spare buffer beyond the limit, so that the block which it is receiving can end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bt_api::{Buffer, Recycle};
use futures::channel::oneshot;
use futures::future::{Either, select};

/// The sizes in which memory is kept for use again. A length in between takes the next larger one, so at
/// most three quarters of a buffer are idle.
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// The longest buffer that is kept for use again: long enough that a call to the kernel costs little beside
/// the bytes that it moves, short enough for a processor's cache.
pub const LONGEST: usize = SIZES[SIZES.len() - 1];

/// With less memory than this a single fast peer could not be served.
const LEAST_LIMIT: usize = 2 << 20;

/// The part of the limit that only stores may use.
const RESERVE_DIVISOR: usize = 8;

/// A bounded pool of buffers.
#[derive(Clone)]
pub struct BufferPool(Arc<Inner>);

struct Inner {
    /// Itself, for the buffers that it grants while it takes memory back.
    this: Weak<Inner>,
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes that are lent.
    lent: usize,
    /// The most that was ever lent.
    peak: usize,
    /// Bytes in `free`.
    idle: usize,
    /// Memory that waits to be used again, by size.
    free: [Vec<Vec<u8>>; SIZES.len()],
    /// Stores that wait; they go before readers.
    stores: VecDeque<Waiter>,
    /// Readers of sockets that wait.
    readers: VecDeque<Waiter>,
    /// Told when somebody has to wait.
    listeners: Vec<Box<dyn Fn() -> bool + Send>>,
}

struct Waiter {
    length: usize,
    answer: oneshot::Sender<Buffer>,
}

/// One connection's claim on a buffer beyond the limit: at most one is out at a time.
pub struct Spare {
    pool: BufferPool,
    state: Mutex<SpareState>,
}

enum SpareState {
    Here,
    Out(Option<oneshot::Sender<()>>),
}

impl BufferPool {
    /// A pool that lends at most `limit` bytes, spare buffers aside.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new_cyclic(|this| Inner {
            this: this.clone(),
            limit: limit.max(LEAST_LIMIT),
            state: Mutex::default(),
        }))
    }

    /// The most that is lent at a time, in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// The most that was lent at a time so far, in bytes.
    pub fn peak(&self) -> usize {
        self.0.lock().peak
    }

    /// Whether somebody waits for memory.
    pub fn is_short(&self) -> bool {
        let state = self.0.lock();
        !state.readers.is_empty() || !state.stores.is_empty()
    }

    /// Calls `listener` whenever somebody has to wait for memory, until it answers false.
    pub fn when_short(&self, listener: impl Fn() -> bool + Send + 'static) {
        self.0.lock().listeners.push(Box::new(listener));
    }

    /// A claim on one buffer beyond the limit.
    pub fn spare(&self) -> Arc<Spare> {
        Arc::new(Spare { pool: self.clone(), state: Mutex::new(SpareState::Here) })
    }

    /// A buffer of `length` bytes or more for a reader, from the pool or, when it is empty, the spare one.
    ///
    /// `needed`, at most `length`, is what the reader cannot do without: the spare one is that long.
    pub async fn get(&self, length: usize, needed: usize, spare: &Arc<Spare>) -> Buffer {
        let limit = self.0.limit - self.0.limit / RESERVE_DIVISOR;
        loop {
            let granted = match self.ask(length, limit, |state| &mut state.readers) {
                Ok(buffer) => return buffer,
                Err(granted) => granted,
            };
            let returned = match spare.take(needed) {
                Ok(buffer) => return buffer,
                Err(returned) => returned,
            };
            // The spare buffer is tried again when it is back; the place in the queue is lost with `granted`.
            if let Either::Left((Ok(buffer), _)) = select(granted, returned).await {
                return buffer;
            }
        }
    }

    /// A buffer of `length` bytes for a store.
    pub async fn get_for_store(&self, length: usize) -> Buffer {
        loop {
            let mut buffer = match self.ask(length, self.0.limit, |state| &mut state.stores) {
                Ok(buffer) => buffer,
                Err(granted) => match granted.await {
                    Ok(buffer) => buffer,
                    Err(_) => continue,
                },
            };
            buffer.truncate(length);
            return buffer;
        }
    }

    /// A buffer at once, or a place in the queue.
    fn ask(
        &self,
        length: usize,
        limit: usize,
        queue: impl Fn(&mut State) -> &mut VecDeque<Waiter>,
    ) -> Result<Buffer, oneshot::Receiver<Buffer>> {
        let mut state = self.0.lock();
        if queue(&mut state).is_empty() && state.fits(length, limit) {
            let memory = state.lend(length, self.0.limit);
            drop(state);
            return Ok(self.buffer(memory));
        }
        let (answer, granted) = oneshot::channel();
        queue(&mut state).push_back(Waiter { length, answer });
        let listeners = std::mem::take(&mut state.listeners);
        drop(state);
        // Called without the lock: a listener may wake a task that wants memory.
        let alive: Vec<_> = listeners.into_iter().filter(|listener| listener()).collect();
        self.0.lock().listeners.extend(alive);
        Err(granted)
    }

    fn buffer(&self, memory: Vec<u8>) -> Buffer {
        let length = memory.len();
        Buffer::pooled(memory, length, self.0.clone())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recycle for Inner {
    /// Takes memory back, and serves those who wait.
    fn recycle(&self, memory: Vec<u8>) {
        let mut state = self.lock();
        state.lent -= memory.len();
        match SIZES.iter().position(|&size| size == memory.len()) {
            Some(class) if state.lent + state.idle + memory.len() <= self.limit => {
                state.idle += memory.len();
                state.free[class].push(memory);
            }
            _ => drop(memory),
        }
        let mut grants = Vec::new();
        let reader_limit = self.limit - self.limit / RESERVE_DIVISOR;
        loop {
            let (stores, readers) = (state.stores.front(), state.readers.front());
            let waiter = match (stores, readers) {
                (Some(first), _) if state.fits(first.length, self.limit) => state.stores.pop_front(),
                (None, Some(first)) if state.fits(first.length, reader_limit) => state.readers.pop_front(),
                _ => None,
            };
            let Some(waiter) = waiter else { break };
            // One that was dropped while it waited takes nothing.
            if !waiter.answer.is_canceled() {
                grants.push((waiter.answer, state.lend(waiter.length, self.limit)));
            }
        }
        drop(state);
        let Some(pool) = self.this.upgrade().map(BufferPool) else { return };
        for (answer, memory) in grants {
            // A receiver that is gone by now: the buffer drops, and comes back here.
            let _ = answer.send(pool.buffer(memory));
        }
    }
}

impl State {
    /// Whether `length` bytes more keep to `limit`. A request for more than there can be is granted when
    /// nothing else is lent.
    fn fits(&self, length: usize, limit: usize) -> bool {
        self.lent + size_for(length) <= limit || self.lent == 0
    }

    fn lend(&mut self, length: usize, limit: usize) -> Vec<u8> {
        let size = size_for(length);
        let class = SIZES.iter().position(|&one| one == size);
        let kept = class.and_then(|class| self.free[class].pop());
        if kept.is_some() {
            self.idle -= size;
        }
        self.lent += size;
        self.peak = self.peak.max(self.lent);
        // Idle memory of other sizes counts too: the process stays under the limit.
        for free in self.free.iter_mut().rev() {
            while self.lent + self.idle > limit
                && let Some(memory) = free.pop()
            {
                self.idle -= memory.len();
            }
        }
        kept.unwrap_or_else(|| vec![0; size])
    }
}

/// The length of the memory behind a buffer of `length` bytes.
fn size_for(length: usize) -> usize {
    SIZES.into_iter().find(|&size| size >= length).unwrap_or(length)
}

impl Spare {
    fn lock(&self) -> MutexGuard<'_, SpareState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spare buffer, or a notice of its return.
    fn take(self: &Arc<Self>, length: usize) -> Result<Buffer, oneshot::Receiver<()>> {
        let mut state = self.lock();
        if let SpareState::Out(notice) = &mut *state {
            let (answer, returned) = oneshot::channel();
            *notice = Some(answer);
            return Err(returned);
        }
        *state = SpareState::Out(None);
        drop(state);
        let mut pool = self.pool.0.lock();
        let memory = pool.lend(length, self.pool.0.limit);
        drop(pool);
        let length = memory.len();
        Ok(Buffer::pooled(memory, length, self.clone()))
    }
}

impl Recycle for Spare {
    fn recycle(&self, memory: Vec<u8>) {
        self.pool.0.recycle(memory);
        if let SpareState::Out(Some(notice)) = std::mem::replace(&mut *self.lock(), SpareState::Here) {
            // The connection may be gone.
            let _ = notice.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn take(pool: &BufferPool, length: usize, spare: &Arc<Spare>) -> Option<Buffer> {
        pool.get(length, 1, spare).now_or_never()
    }

    #[test]
    fn memory_is_bounded_and_used_again() {
        let pool = BufferPool::new(LEAST_LIMIT);
        let spare = pool.spare();
        let mut held: Vec<Buffer> = Vec::new();
        while pool.0.lock().lent + LONGEST <= LEAST_LIMIT - LEAST_LIMIT / RESERVE_DIVISOR {
            held.push(take(&pool, LONGEST, &spare).unwrap());
        }
        assert_eq!(take(&pool, LONGEST, &spare).unwrap().len(), SIZES[0], "the spare one, as long as needed");
        let emergency = take(&pool, LONGEST, &spare).unwrap();
        assert!(take(&pool, LONGEST, &pool.spare()).is_some(), "each connection has its own");
        assert!(take(&pool, LONGEST, &spare).is_none(), "and only one");
        drop(emergency);
        assert_eq!(take(&pool, LONGEST, &spare).unwrap().len(), SIZES[0]);
        assert!(pool.get_for_store(100 << 10).now_or_never().is_some(), "stores have a reserve");
        held.clear();
        let again = take(&pool, LONGEST, &spare).unwrap();
        assert_eq!(again.len(), LONGEST);
        let state = pool.0.lock();
        assert!(state.peak <= LEAST_LIMIT + 2 * SIZES[0] && state.lent + state.idle <= LEAST_LIMIT);
    }

    #[test]
    fn who_waits_is_served_in_order_stores_first_and_the_dropped_ones_not() {
        let pool = BufferPool::new(LEAST_LIMIT);
        let told = Arc::new(AtomicUsize::new(0));
        pool.when_short({
            let told = told.clone();
            move || told.fetch_add(1, Ordering::Relaxed) < 1
        });
        let whole = pool.get_for_store(LEAST_LIMIT).now_or_never().unwrap();
        let spares = [pool.spare(), pool.spare()];
        let emergencies: Vec<_> = spares.iter().map(|spare| take(&pool, 1, spare).unwrap()).collect();
        let mut first = Box::pin(pool.get(1 << 20, 1, &spares[0]));
        let mut second = Box::pin(pool.get(1 << 20, 1, &spares[1]));
        let mut store = Box::pin(pool.get_for_store(1 << 20));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        assert!((&mut store).now_or_never().is_none() && pool.is_short());
        assert_eq!(told.load(Ordering::Relaxed), 2, "a listener is dropped once it says so");
        drop(first);
        drop(whole);
        let for_store = (&mut store).now_or_never().unwrap();
        assert!((&mut second).now_or_never().is_none(), "the rest is the stores' reserve");
        drop(for_store);
        assert_eq!((&mut second).now_or_never().unwrap().len(), 1 << 20);
        assert!(!pool.is_short());
        drop(emergencies);
    }
}
