//! What asynchronous plug-ins are lent: time, workers, buffers, connections.
//!
//! A store or a tracker client does nothing by itself that waits: it asks the [`Host`]. So it runs on the
//! runtime of the network driver, and in virtual time in tests and simulations, unchanged.

use std::net::{Ipv4Addr, SocketAddr};

use futures::future::{BoxFuture, ready};
use futures::io::{AsyncRead, AsyncWrite};

use crate::block::{Block, Buffer};
use crate::contain::contain;
use crate::time::Instant;
use crate::torrent::PieceHash;

/// The runtime, lent to plug-ins.
pub trait Host: Send + Sync {
    /// The time since the run began.
    fn now(&self) -> Instant;

    /// Waits until `when`.
    fn sleep_until(&self, when: Instant) -> BoxFuture<'static, ()>;

    /// Runs `work` where blocking does no harm, and waits for it. Most callers want [`run_blocking`].
    ///
    /// # Panics
    /// When `work` panics, in whoever waits for it.
    fn run_boxed(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;

    /// Tells how far a slow [`open`](crate::StorageBackend::open) of a store is: it has looked at so many of
    /// the torrent's pieces. Users see it as the progress of the check at the start.
    fn looked_at(&self, pieces: u32);

    /// The SHA-1 of `blocks` laid end to end, worked out off the reactor.
    fn hash(&self, blocks: Vec<Block>) -> BoxFuture<'static, PieceHash>;

    /// A buffer of `length` bytes, whose contents are unspecified, from the bounded pool; waits while the
    /// pool is empty.
    fn buffer(&self, length: usize) -> BoxFuture<'_, Buffer>;

    /// Connects over TCP to `port` at `name`, a host name or an IP address.
    fn connect(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>>;

    /// Binds a UDP socket to `address`.
    fn bind_udp(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>>;

    /// Binds a UDP socket to the port of the multicast `group`, beside others on this machine that do, and joins
    /// the group. What is sent to the group from it reaches the members on this machine too. `interface` is the
    /// address of the interface to use for a group of IPv4, unspecified for the one that the system chooses; a
    /// group of IPv6 names its interface by its scope id.
    ///
    /// # Errors
    /// `InvalidInput` when `group` is no multicast address; `Unsupported`, unless a host says otherwise.
    fn bind_multicast(
        &self,
        group: SocketAddr,
        interface: Ipv4Addr,
    ) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        let message = format!("this host cannot join {group} at {interface}");
        Box::pin(ready(Err(std::io::Error::new(std::io::ErrorKind::Unsupported, message))))
    }

    /// The addresses of `name` at `port`.
    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>>;
}

/// A TCP connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A UDP socket.
pub trait Datagrams: Send + Sync {
    /// Sends one datagram.
    fn send_to<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> BoxFuture<'a, std::io::Result<()>>;

    /// Waits for a datagram; its bytes past the end of `into` are lost.
    fn receive_from<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, std::io::Result<(usize, SocketAddr)>>;

    /// Where the socket is bound.
    fn local_address(&self) -> std::io::Result<SocketAddr>;
}

/// Runs `work` where blocking does no harm, and waits for its result.
///
/// # Panics
/// When `work` panics, in the caller: the driver catches it at the plug-in's boundary.
pub async fn run_blocking<T: Send + 'static>(
    host: &dyn Host,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (answer, result) = futures::channel::oneshot::channel();
    host.run_boxed(Box::new(move || {
        let done = contain(work);
        // The receiver is gone when the caller was dropped: then nobody wants the result.
        let _ = answer.send(done);
    }))
    .await;
    match result.await.expect("the host runs what it takes") {
        Ok(value) => value,
        Err(said) => std::panic::resume_unwind(Box::new(said)),
    }
}
