//! A [`Host`] in virtual time, without a network or with one that a test scripts.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, ready};
use sha1::{Digest, Sha1};

use crate::block::{Block, Buffer};
use crate::host::{Datagrams, Host, Stream};
use crate::time::Instant;
use crate::torrent::PieceHash;

/// A [`Host`] whose clock only the test moves, which works at once on the caller's thread and has no network
/// unless the test gives it one.
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
    network: Option<Box<dyn Network>>,
}

/// What a [`TestHost`] is connected to: [`Host`]'s methods of these names go to it.
pub trait Network: Send + Sync {
    /// Connects over TCP to `port` at `name`. `clock` sleeps in the host's time.
    fn connect(&self, name: &str, port: u16, clock: TestClock) -> std::io::Result<Box<dyn Stream>>;

    /// Binds a UDP socket to `address`.
    fn bind_udp(&self, address: SocketAddr, clock: TestClock) -> std::io::Result<Box<dyn Datagrams>>;

    /// The addresses of `name` at `port`.
    fn resolve(&self, name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// The clock of a [`TestHost`], for the far ends of its connections.
#[derive(Clone)]
pub struct TestClock(Arc<Mutex<Clock>>);

impl TestClock {
    /// The host's time.
    pub fn now(&self) -> Instant {
        lock(&self.0).now
    }

    /// Waits until `when`.
    pub fn sleep_until(&self, when: Instant) -> BoxFuture<'static, ()> {
        let clock = self.0.clone();
        Box::pin(poll_fn(move |context| {
            let mut clock = lock(&clock);
            if clock.auto {
                clock.now = clock.now.max(when);
            }
            if clock.now >= when {
                return Poll::Ready(());
            }
            let known =
                clock.sleepers.iter().any(|(due, waker)| *due == when && waker.will_wake(context.waker()));
            if !known {
                clock.sleepers.push((when, context.waker().clone()));
            }
            Poll::Pending
        }))
    }
}

#[derive(Default)]
struct Clock {
    now: Instant,
    auto: bool,
    /// Who waits, and until when; some may have been dropped since.
    sleepers: Vec<(Instant, Waker)>,
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

    /// A host that reaches `network`.
    pub fn with_network(network: impl Network + 'static) -> Arc<Self> {
        Arc::new(Self { network: Some(Box::new(network)), ..Self::default() })
    }

    /// Moves the clock on, and wakes who slept until then.
    pub fn advance(&self, by: Duration) {
        let mut clock = lock(&self.clock);
        clock.now += by;
        let sleepers = std::mem::take(&mut clock.sleepers);
        drop(clock);
        // Who is not due yet looks at the clock and sleeps again.
        sleepers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Drives `future` and moves the clock from one end of a sleep to the next. `None` when it does not end by
    /// `limit`, or waits for something that no sleep brings about.
    pub fn run<T>(&self, limit: Instant, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return Some(value);
            }
            let next = lock(&self.clock).sleepers.iter().map(|&(due, _)| due).min()?;
            if next > limit {
                return None;
            }
            self.advance(next - self.now());
        }
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
        self.test_clock().sleep_until(when)
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

    fn connect(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        let stream = self.network().and_then(|network| network.connect(name, port, self.test_clock()));
        Box::pin(ready(stream))
    }

    fn bind_udp(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        let socket = self.network().and_then(|network| network.bind_udp(address, self.test_clock()));
        Box::pin(ready(socket))
    }

    /// To a [`Network`] a group is an address like others.
    fn bind_multicast(
        &self,
        group: SocketAddr,
        _: Ipv4Addr,
    ) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        self.bind_udp(group)
    }

    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(ready(self.network().and_then(|network| network.resolve(name, port))))
    }
}

impl TestHost {
    fn test_clock(&self) -> TestClock {
        TestClock(self.clock.clone())
    }

    fn network(&self) -> std::io::Result<&dyn Network> {
        self.network.as_deref().ok_or_else(no_network)
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
    fn a_run_moves_the_clock_from_sleep_to_sleep() {
        let host = TestHost::new();
        let naps = async {
            host.sleep_until(Instant::from_secs(2)).await;
            host.sleep_until(Instant::from_secs(5)).await;
            host.now()
        };
        assert_eq!(host.run(Instant::from_secs(60), naps), Some(Instant::from_secs(5)));
        assert_eq!(host.run(Instant::from_secs(60), host.sleep_until(Instant::from_secs(61))), None);
        assert_eq!(host.run(Instant::from_secs(99), std::future::pending::<()>()), None);
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
