//! The buffers that sockets and stores fill: bounded, in a few sizes, used again and again.
//!
//! Readers of sockets wait here when memory is short, and with them their peers: that is the back-pressure.
//! Two rules keep everything moving however small the limit is. Stores may use a reserve that readers
//! cannot touch, so what is needed to finish pieces and to free memory is always to be had. And each
//! connection has one spare buffer beyond the limit, so that the block which it is receiving can end.
//!
//! Torrents share the memory, each through an [account](BufferPool::account) of its own. Where there are several, none
//! has more than a multiple of what it leaves free (a dynamic threshold: Choudhury and Hahne, IEEE/ACM Transactions on
//! Networking 6(2), 1998). So one whose store hangs keeps what it has and gets no more, and the others have room to go on.

use std::collections::{BTreeMap, VecDeque};
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

/// Where there are several accounts, each has at most so many times what is free: one alone could have three quarters.
const TIMES_FREE: usize = 3;

/// A bounded pool of buffers.
#[derive(Clone)]
pub struct BufferPool(Arc<Account>);

/// Whom buffers are lent to.
struct Account {
    pool: Arc<Inner>,
    /// 0 is no torrent's, and is not bounded.
    number: u64,
}

struct Inner {
    limit: usize,
    state: Mutex<State>,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Store,
    Reader,
}

#[derive(Default)]
struct State {
    /// Bytes that are lent.
    lent: usize,
    /// The most that was ever lent.
    peak: usize,
    /// Of what is lent, the part of each torrent.
    accounts: BTreeMap<u64, usize>,
    /// How many accounts there ever were.
    numbered: u64,
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
    number: u64,
    /// That of this number. It lives as long as anybody waits.
    account: Weak<Account>,
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
        let pool = Arc::new(Inner { limit: limit.max(LEAST_LIMIT), state: Mutex::default() });
        Self(Arc::new(Account { pool, number: 0 }))
    }

    /// The same pool, for one torrent.
    pub fn account(&self) -> Self {
        let pool = self.0.pool.clone();
        let mut state = pool.lock();
        state.numbered += 1;
        let number = state.numbered;
        state.accounts.insert(number, 0);
        drop(state);
        Self(Arc::new(Account { pool, number }))
    }

    /// The most that is lent at a time, in bytes.
    pub fn limit(&self) -> usize {
        self.0.pool.limit
    }

    /// The most that was lent at a time so far, in bytes.
    pub fn peak(&self) -> usize {
        self.0.pool.lock().peak
    }

    /// Whether somebody waits for memory that this account could give back: not one that waits for its own.
    pub fn is_short(&self) -> bool {
        let (state, limit) = (self.0.pool.lock(), self.0.pool.limit);
        let waits =
            |who, waiter: &Waiter| waiter.number == self.0.number || state.account_allows(waiter, who, limit);
        state.readers.iter().any(|waiter| waits(Who::Reader, waiter))
            || state.stores.iter().any(|waiter| waits(Who::Store, waiter))
    }

    /// Calls `listener` whenever somebody has to wait for memory, until it answers false.
    pub fn when_short(&self, listener: impl Fn() -> bool + Send + 'static) {
        self.0.pool.lock().listeners.push(Box::new(listener));
    }

    /// A claim on one buffer beyond the limit.
    pub fn spare(&self) -> Arc<Spare> {
        Arc::new(Spare { pool: self.clone(), state: Mutex::new(SpareState::Here) })
    }

    /// A buffer of `length` bytes or more for a reader, from the pool or, when it is empty, the spare one.
    ///
    /// `needed`, at most `length`, is what the reader cannot do without: the spare one is that long.
    pub async fn get(&self, length: usize, needed: usize, spare: &Arc<Spare>) -> Buffer {
        loop {
            let granted = match self.ask(length, Who::Reader) {
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
            let mut buffer = match self.ask(length, Who::Store) {
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
    fn ask(&self, length: usize, who: Who) -> Result<Buffer, oneshot::Receiver<Buffer>> {
        let Inner { limit, .. } = *self.0.pool;
        let mut state = self.0.pool.lock();
        let (answer, granted) = oneshot::channel();
        let waiter = Waiter { length, number: self.0.number, account: Arc::downgrade(&self.0), answer };
        // Not before one who came earlier, unless only his own account keeps him waiting.
        let is_next = !state.queue(who).iter().any(|earlier| state.account_allows(earlier, who, limit));
        if is_next && state.account_allows(&waiter, who, limit) && state.fits(length, who.limit(limit)) {
            let memory = state.lend(length, limit, self.0.number);
            drop(state);
            return Ok(buffer(memory, self.0.clone()));
        }
        match who {
            Who::Store => state.stores.push_back(waiter),
            Who::Reader => state.readers.push_back(waiter),
        }
        let listeners = std::mem::take(&mut state.listeners);
        drop(state);
        // Called without the lock: a listener may wake a task that wants memory.
        let alive: Vec<_> = listeners.into_iter().filter(|listener| listener()).collect();
        self.0.pool.lock().listeners.extend(alive);
        Err(granted)
    }
}

fn buffer(memory: Vec<u8>, account: Arc<Account>) -> Buffer {
    let length = memory.len();
    Buffer::pooled(memory, length, account)
}

impl Who {
    /// How much may be lent together, of `limit`, when one of these asks.
    fn limit(self, limit: usize) -> usize {
        match self {
            Self::Store => limit,
            Self::Reader => limit - limit / RESERVE_DIVISOR,
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves those who wait, as far as there is memory.
    fn serve(&self, mut state: MutexGuard<'_, State>) {
        let mut grants = Vec::new();
        while let Some(waiter) = state.next_waiter(self.limit) {
            // One that was dropped while it waited takes nothing.
            if waiter.answer.is_canceled() {
                continue;
            }
            let Some(account) = waiter.account.upgrade() else { continue };
            let memory = state.lend(waiter.length, self.limit, waiter.number);
            grants.push((waiter.answer, account, memory));
        }
        drop(state);
        for (answer, account, memory) in grants {
            // A receiver that is gone by now: the buffer drops, and comes back here.
            let _ = answer.send(buffer(memory, account));
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        // The others may have more from now on.
        if state.accounts.remove(&self.number).is_some() {
            self.pool.serve(state);
        }
    }
}

impl Recycle for Account {
    /// Takes memory back, and serves those who wait.
    fn recycle(&self, memory: Vec<u8>) {
        let mut state = self.pool.lock();
        state.lent -= memory.len();
        if let Some(lent) = state.accounts.get_mut(&self.number) {
            *lent -= memory.len();
        }
        match SIZES.iter().position(|&size| size == memory.len()) {
            Some(class) if state.lent + state.idle + memory.len() <= self.pool.limit => {
                state.idle += memory.len();
                state.free[class].push(memory);
            }
            _ => drop(memory),
        }
        self.pool.serve(state);
    }
}

impl State {
    /// Whether `length` bytes more keep to `limit`. A request for more than there can be is granted when
    /// nothing else is lent.
    fn fits(&self, length: usize, limit: usize) -> bool {
        self.lent + size_for(length) <= limit || self.lent == 0
    }

    fn queue(&self, who: Who) -> &VecDeque<Waiter> {
        match who {
            Who::Store => &self.stores,
            Who::Reader => &self.readers,
        }
    }

    /// Whether the account of `waiter` keeps to its part of `limit` with what it waits for. An account that has nothing
    /// is never held back.
    fn account_allows(&self, waiter: &Waiter, who: Who, limit: usize) -> bool {
        let Some(&own) = self.accounts.get(&waiter.number) else { return true };
        if self.accounts.len() == 1 || own == 0 {
            return true;
        }
        let wanted = size_for(waiter.length);
        let free = who.limit(limit).saturating_sub(self.lent + wanted);
        // Stores may have more, each of its own: what frees memory does not wait for it.
        let reserve = match who {
            Who::Store => limit / RESERVE_DIVISOR / self.accounts.len(),
            Who::Reader => 0,
        };
        own + wanted <= TIMES_FREE * free + reserve
    }

    /// The next who can be served, stores before readers. Whom his own account holds back keeps nobody else waiting.
    fn next_waiter(&mut self, limit: usize) -> Option<Waiter> {
        for who in [Who::Store, Who::Reader] {
            let allowed =
                |waiter: &Waiter| waiter.answer.is_canceled() || self.account_allows(waiter, who, limit);
            let Some(place) = self.queue(who).iter().position(allowed) else { continue };
            let first = &self.queue(who)[place];
            if !first.answer.is_canceled() && !self.fits(first.length, who.limit(limit)) {
                return None;
            }
            return match who {
                Who::Store => self.stores.remove(place),
                Who::Reader => self.readers.remove(place),
            };
        }
        None
    }

    fn lend(&mut self, length: usize, limit: usize, account: u64) -> Vec<u8> {
        let size = size_for(length);
        let class = SIZES.iter().position(|&one| one == size);
        let kept = class.and_then(|class| self.free[class].pop());
        if kept.is_some() {
            self.idle -= size;
        }
        self.lent += size;
        if let Some(lent) = self.accounts.get_mut(&account) {
            *lent += size;
        }
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
        let Account { pool, number } = &*self.pool.0;
        let memory = pool.lock().lend(length, pool.limit, *number);
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
        while pool.0.pool.lock().lent + LONGEST <= LEAST_LIMIT - LEAST_LIMIT / RESERVE_DIVISOR {
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
        let state = pool.0.pool.lock();
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

    #[test]
    fn one_torrent_that_gives_nothing_back_leaves_room_for_the_others() {
        let pool = BufferPool::new(8 << 20);
        let (hog, other) = (pool.account(), pool.account());
        let (hog_spare, other_spare) = (hog.spare(), other.spare());
        let mut held = Vec::new();
        for buffer in std::iter::from_fn(|| hog.get_for_store(LONGEST).now_or_never()) {
            held.push(buffer);
        }
        held.push(take(&hog, 1, &hog_spare).unwrap());
        let mut waits = Box::pin(hog.get(LONGEST, 1, &hog_spare));
        assert!((&mut waits).now_or_never().is_none() && hog.is_short() && !other.is_short());
        let hogged = held.len() * LONGEST;
        assert!((5 << 20..7 << 20).contains(&hogged), "{hogged}");
        // What it waits for keeps nobody else waiting: readers go round and round, and stores beside them.
        for _ in 0..100 {
            let read = take(&other, LONGEST, &other_spare).unwrap();
            assert_eq!(read.len(), LONGEST, "not the spare one");
            assert!(other.get_for_store(LONGEST).now_or_never().is_some());
        }
        // Alone again, it has all.
        drop((other, other_spare));
        assert_eq!((&mut waits).now_or_never().unwrap().len(), LONGEST);
    }
}
