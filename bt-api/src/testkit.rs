//! Help for tests of plug-ins: a [`Host`] in virtual time, for the feature `testkit`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, ready};
use sha1::{Digest, Sha1};

use crate::block::{Block, Buffer};
use crate::host::{Datagrams, Host, Stream};
use crate::time::Instant;
use crate::torrent::PieceHash;

/// A [`Host`] whose clock only the test moves, which works at once on the caller's thread and has no network.
///
/// ```
/// use bt_api::testkit::TestHost;
/// use bt_api::{Host, Instant};
/// use futures::FutureExt;
/// let host = TestHost::new();
/// let mut nap = host.sleep_until(Instant::from_secs(2));
/// assert!((&mut nap).now_or_never().is_none());
/// host.advance(std::time::Duration::from_secs(2));
/// assert!(nap.now_or_never().is_some());
/// ```
#[derive(Default)]
pub struct TestHost {
    clock: Arc<Mutex<Clock>>,
    /// Blocking work that waits for [`Self::run_held`], where the test holds work back.
    held: Mutex<Option<VecDeque<Work>>>,
    looked_at: AtomicU32,
}

#[derive(Default)]
struct Clock {
    now: Instant,
    auto: bool,
    sleepers: Vec<Waker>,
}

type Work = Box<dyn FnOnce() + Send>;

impl TestHost {
    /// A host at the start of a run.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A host whose clock jumps to the end of each sleep as soon as it is waited for.
    pub fn auto_advancing() -> Arc<Self> {
        let host = Self::new();
        lock(&host.clock).auto = true;
        host
    }

    /// Moves the clock on, and wakes who slept until then.
    pub fn advance(&self, by: Duration) {
        let mut clock = lock(&self.clock);
        clock.now += by;
        let sleepers = std::mem::take(&mut clock.sleepers);
        drop(clock);
        // Who is not due yet looks at the clock and sleeps again.
        sleepers.into_iter().for_each(Waker::wake);
    }

    /// The most pieces that a store said it has looked at.
    pub fn pieces_looked_at(&self) -> u32 {
        self.looked_at.load(Ordering::Relaxed)
    }

    /// From now on blocking work waits for [`Self::run_held`], as on a busy machine.
    pub fn hold_work(&self) {
        lock(&self.held).get_or_insert_default();
    }

    /// Runs the blocking work that was held back, in the order it came, and holds back no more; says how
    /// much there was.
    pub fn run_held(&self) -> usize {
        let held = lock(&self.held).take().unwrap_or_default();
        let count = held.len();
        held.into_iter().for_each(|work| work());
        count
    }
}

impl Host for TestHost {
    fn now(&self) -> Instant {
        lock(&self.clock).now
    }

    fn sleep_until(&self, when: Instant) -> BoxFuture<'static, ()> {
        let clock = self.clock.clone();
        Box::pin(poll_fn(move |context| {
            let mut clock = lock(&clock);
            if clock.auto {
                clock.now = clock.now.max(when);
            }
            if clock.now >= when {
                return Poll::Ready(());
            }
            if !clock.sleepers.iter().any(|waker| waker.will_wake(context.waker())) {
                clock.sleepers.push(context.waker().clone());
            }
            Poll::Pending
        }))
    }

    fn run_boxed(&self, work: Work) -> BoxFuture<'static, ()> {
        let mut held = lock(&self.held);
        let Some(queue) = &mut *held else {
            return Box::pin(async move { work() });
        };
        let (done, result) = oneshot::channel();
        queue.push_back(Box::new(move || {
            work();
            // The receiver is gone when the caller was dropped.
            let _ = done.send(());
        }));
        Box::pin(async move { result.await.expect("held work is run before the host is dropped") })
    }

    fn looked_at(&self, pieces: u32) {
        self.looked_at.fetch_max(pieces, Ordering::Relaxed);
    }

    fn hash(&self, blocks: Vec<Block>) -> BoxFuture<'static, PieceHash> {
        let mut sha1 = Sha1::new();
        blocks.iter().for_each(|block| sha1.update(block));
        Box::pin(ready(PieceHash(sha1.finalize().into())))
    }

    fn buffer(&self, length: usize) -> BoxFuture<'_, Buffer> {
        Box::pin(ready(Buffer::unpooled(length)))
    }

    fn connect(&self, _: &str, _: u16) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        Box::pin(ready(Err(no_network())))
    }

    fn bind_udp(&self, _: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        Box::pin(ready(Err(no_network())))
    }

    fn resolve(&self, _: &str, _: u16) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(ready(Err(no_network())))
    }
}

fn no_network() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::Unsupported, "the test host has no network")
}

/// A test that panicked says so itself: what it held is no worse for it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;
    use crate::host::run_blocking;

    #[test]
    fn an_auto_advancing_clock_jumps() {
        let host = TestHost::auto_advancing();
        block_on(host.sleep_until(Instant::from_secs(5)));
        block_on(host.sleep_until(Instant::from_secs(3)));
        assert_eq!(host.now(), Instant::from_secs(5));
    }

    #[test]
    fn held_work_is_done_when_the_test_says() {
        let host = TestHost::new();
        host.hold_work();
        let mut work = Box::pin(run_blocking(&*host, || 7));
        assert_eq!((&mut work).now_or_never(), None);
        assert_eq!(host.run_held(), 1);
        assert_eq!(work.now_or_never(), Some(7));
        assert_eq!(run_blocking(&*host, || 8).now_or_never(), Some(8));
    }

    /// The first test vector of FIPS 180, cut in two.
    #[test]
    fn blocks_are_hashed_end_to_end() {
        let host = TestHost::new();
        let hash = block_on(host.hash(vec![b"ab".to_vec().into(), b"c".to_vec().into()]));
        assert_eq!(format!("{hash:?}"), "PieceHash(a9993e364706816aba3e25717850c26c9cd0d89d)");
    }
}
