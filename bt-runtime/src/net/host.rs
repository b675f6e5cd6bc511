//! The runtime that stores and tracker clients are lent: async-std's, behind [`Host`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use async_std::task;
use bt_api::{Block, BoxFuture, Buffer, Datagrams, Host, Instant, PieceHash, Stream};
use sha1::{Digest, Sha1};

use crate::store::hashing::hash_into;
use crate::store::pool::BufferPool;

/// The host of one session; its time counts from the session's start.
pub(crate) struct NetHost {
    start: std::time::Instant,
    pool: BufferPool,
    /// Where a store's slow start is told, if this is the host of one.
    looked_at: Option<Arc<AtomicU32>>,
}

impl NetHost {
    pub(crate) fn new(pool: BufferPool) -> Self {
        Self { start: std::time::Instant::now(), pool, looked_at: None }
    }

    /// The same host, for the store of one torrent: `looked_at` counts the pieces that it has looked at.
    pub(crate) fn of_store(&self, looked_at: Arc<AtomicU32>) -> Self {
        Self { start: self.start, pool: self.pool.clone(), looked_at: Some(looked_at) }
    }
}

impl Host for NetHost {
    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    fn sleep_until(&self, when: Instant) -> BoxFuture<'static, ()> {
        let wait = when - self.now();
        Box::pin(async move {
            if wait > Duration::ZERO {
                task::sleep(wait).await;
            }
        })
    }

    fn run_boxed(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(task::spawn_blocking(work))
    }

    fn looked_at(&self, pieces: u32) {
        // Several workers may tell at a time, in any order.
        if let Some(looked_at) = &self.looked_at {
            looked_at.fetch_max(pieces, Ordering::Relaxed);
        }
    }

    fn hash(&self, blocks: Vec<Block>) -> BoxFuture<'static, PieceHash> {
        Box::pin(task::spawn(async move {
            let mut sha = Sha1::new();
            hash_into(&mut sha, &blocks).await;
            PieceHash(sha.finalize().into())
        }))
    }

    fn buffer(&self, length: usize) -> BoxFuture<'_, Buffer> {
        Box::pin(self.pool.get_for_store(length))
    }

    fn connect(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect((name.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn bind_udp(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(address).await?;
            Ok(Box::new(NetDatagrams(socket)) as Box<dyn Datagrams>)
        })
    }

    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok((name.as_str(), port).to_socket_addrs().await?.collect()) })
    }
}

struct NetDatagrams(UdpSocket);

impl Datagrams for NetDatagrams {
    fn send_to<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> BoxFuture<'a, std::io::Result<()>> {
        Box::pin(async move { self.0.send_to(bytes, to).await.map(|_| ()) })
    }

    fn receive_from<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, std::io::Result<(usize, SocketAddr)>> {
        Box::pin(self.0.recv_from(into))
    }

    fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
