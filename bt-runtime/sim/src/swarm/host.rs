//! What plug-ins that wait are lent in a simulation: the simulated time, and a simulated network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bt_api::{Block, BoxFuture, Buffer, Datagrams, Host, Instant, PieceHash, Stream};
use bt_runtime::store::pool::BufferPool;
use futures::FutureExt;
use futures::future::ready;
use sha1::{Digest, Sha1};

use super::executor::Clock;
use super::network::Network;

/// The host of the plug-ins of a peer.
pub(super) struct VirtualHost {
    clock: Arc<Clock>,
    pool: BufferPool,
    network: Arc<Network>,
    /// The peer's own.
    address: Ipv4Addr,
}

impl VirtualHost {
    /// That of the peer at `address`.
    pub(super) fn new(
        clock: Arc<Clock>,
        pool: BufferPool,
        network: Arc<Network>,
        address: Ipv4Addr,
    ) -> Arc<Self> {
        Arc::new(Self { clock, pool, network, address })
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
        let connecting = self.network.clone().connect(self.address, name.to_owned(), port);
        Box::pin(connecting.map(|wire| Ok(Box::new(wire?) as Box<dyn Stream>)))
    }

    fn bind_udp(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        let bound = self.network.bind(self.address, address);
        Box::pin(ready(bound.map(|socket| Box::new(socket) as Box<dyn Datagrams>)))
    }

    fn bind_multicast(
        &self,
        _: SocketAddr,
        _: Ipv4Addr,
    ) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        let message = "the simulated network has no multicast";
        Box::pin(ready(Err(std::io::Error::new(std::io::ErrorKind::Unsupported, message))))
    }

    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(ready(self.network.resolve(name, port)))
    }
}
