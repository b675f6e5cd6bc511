//! What plug-ins that wait are lent in a simulation: the simulated time, and no network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bt_api::{Block, BoxFuture, Buffer, Datagrams, Host, Instant, PieceHash, Stream};
use bt_runtime::store::pool::BufferPool;
use futures::FutureExt;
use futures::future::ready;
use sha1::{Digest, Sha1};

use super::executor::Clock;

/// The host of the plug-ins of a run.
pub(super) struct VirtualHost {
    clock: Arc<Clock>,
    pool: BufferPool,
}

impl VirtualHost {
    pub(super) fn new(clock: Arc<Clock>, pool: BufferPool) -> Self {
        Self { clock, pool }
    }
}

impl Host for VirtualHost {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep_until(&self, when: Instant) -> BoxFuture<'static, ()> {
        Box::pin(self.clock.sleep_until(when))
    }

    /// At once: only what sleeps takes simulated time.
    fn run_boxed(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { work() })
    }

    fn looked_at(&self, _: u32) {}

    fn hash(&self, blocks: Vec<Block>) -> BoxFuture<'static, PieceHash> {
        let mut sha = Sha1::new();
        blocks.iter().for_each(|block| sha.update(block));
        Box::pin(ready(PieceHash(sha.finalize().into())))
    }

    /// From the pool, and beyond its bound from elsewhere: whoever waited could wait for another peer's store.
    fn buffer(&self, length: usize) -> BoxFuture<'_, Buffer> {
        let pooled = self.pool.get_for_store(length).now_or_never();
        Box::pin(ready(pooled.unwrap_or_else(|| Buffer::unpooled(length))))
    }

    fn connect(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        Box::pin(ready(Err(nobody(&format!("{name}:{port}")))))
    }

    fn bind_udp(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        Box::pin(ready(Err(nobody(&address.to_string()))))
    }

    fn bind_multicast(
        &self,
        group: SocketAddr,
        _: Ipv4Addr,
    ) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        Box::pin(ready(Err(nobody(&group.to_string()))))
    }

    fn resolve(&self, name: &str, _: u16) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(ready(Err(nobody(name))))
    }
}

fn nobody(place: &str) -> std::io::Error {
    let message = format!("in this simulation nobody is at {place}");
    std::io::Error::new(std::io::ErrorKind::ConnectionRefused, message)
}
