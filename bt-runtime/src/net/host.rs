//! The runtime that stores and tracker clients are lent: async-std's, behind [`Host`].

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use async_std::task;
use bt_api::{Block, BoxFuture, Buffer, Datagrams, Host, Instant, PieceHash, Stream};
use sha1::{Digest, Sha1};
use socket2::{Domain, Protocol, Socket, Type};

use super::lane::BlockingThreads;
use crate::store::hashing::hash_into;
use crate::store::pool::BufferPool;

/// The host of one session; its time counts from the session's start.
pub(crate) struct NetHost {
    start: std::time::Instant,
    pool: BufferPool,
    /// For what blocks: a store that never comes back from there must not take the threads of others.
    threads: BlockingThreads,
    /// Where a store's slow start is told, if this is the host of one.
    looked_at: Option<Arc<AtomicU32>>,
}

impl NetHost {
    pub(crate) fn new(pool: BufferPool) -> Self {
        Self { start: std::time::Instant::now(), pool, threads: BlockingThreads::default(), looked_at: None }
    }

    /// The same host, for the store of one torrent, with threads and an account of its own: `looked_at` counts the pieces
    /// that it has looked at.
    pub(crate) fn of_store(&self, pool: BufferPool, looked_at: Arc<AtomicU32>) -> Self {
        Self { start: self.start, pool, threads: BlockingThreads::default(), looked_at: Some(looked_at) }
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
        self.threads.run(work)
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

    fn bind_multicast(
        &self,
        group: SocketAddr,
        interface: Ipv4Addr,
    ) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let socket = join(group, interface)?;
            Ok(Box::new(NetDatagrams(socket.into())) as Box<dyn Datagrams>)
        })
    }

    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok((name.as_str(), port).to_socket_addrs().await?.collect()) })
    }
}

/// A member of `group`.
fn join(group: SocketAddr, interface: Ipv4Addr) -> std::io::Result<std::net::UdpSocket> {
    if !group.ip().is_multicast() {
        let message = format!("{group} is no multicast address");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, message));
    }
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Bound to the group, it hears only what was sent to the group: no stranger far away can reach it.
    // Windows binds to own addresses alone.
    let mut bound = group;
    if cfg!(windows) {
        bound.set_ip(if group.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        });
    }
    socket.bind(&bound.into())?;
    match group {
        SocketAddr::V4(group) => {
            socket.join_multicast_v4(group.ip(), &interface)?;
            socket.set_multicast_if_v4(&interface)?;
            socket.set_multicast_loop_v4(true)?;
        }
        SocketAddr::V6(group) => {
            socket.join_multicast_v6(group.ip(), group.scope_id())?;
            socket.set_multicast_if_v6(group.scope_id())?;
            socket.set_multicast_loop_v6(true)?;
        }
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_group_on_one_machine_hear_each_other_and_themselves() {
        let host = NetHost::new(BufferPool::new(0));
        let interface = Ipv4Addr::LOCALHOST;
        // The port is any that is free, so that runs side by side do not hear each other.
        let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let group = SocketAddr::from(([239, 192, 152, 143], port));
        task::block_on(async {
            let one = host.bind_multicast(group, interface).await.unwrap();
            let other = host.bind_multicast(group, interface).await.unwrap();
            one.send_to(b"hello", group).await.unwrap();
            for member in [&one, &other] {
                let mut bytes = [0; 10];
                let hearing = member.receive_from(&mut bytes);
                let (length, from) =
                    async_std::future::timeout(Duration::from_secs(10), hearing).await.unwrap().unwrap();
                assert_eq!((&bytes[..length], from.ip()), (&b"hello"[..], interface.into()));
            }
            let nobody = host.bind_multicast(([127, 0, 0, 1], port).into(), interface).await;
            assert_eq!(nobody.err().unwrap().kind(), std::io::ErrorKind::InvalidInput);
        });
    }
}
