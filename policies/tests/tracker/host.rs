//! A [`Host`] on real sockets whose clock stands still.

use std::net::SocketAddr;

use async_std::net::ToSocketAddrs;
use bt_api::{Block, BoxFuture, Buffer, Datagrams, Host, Instant, PieceHash, Stream};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Shared;

/// A host whose time never comes, until the test rings the alarm: then every sleep is over.
pub(crate) struct TestHost {
    alarm: Shared<oneshot::Receiver<()>>,
}

impl TestHost {
    /// A host, and what rings its alarm. It must be kept: an alarm that is dropped rings too.
    pub(crate) fn new() -> (Self, oneshot::Sender<()>) {
        let (ring, alarm) = oneshot::channel();
        (Self { alarm: alarm.shared() }, ring)
    }
}

impl Host for TestHost {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn sleep_until(&self, _when: Instant) -> BoxFuture<'static, ()> {
        self.alarm.clone().map(|_| ()).boxed()
    }

    fn run_boxed(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        async_std::task::spawn_blocking(work).boxed()
    }

    fn looked_at(&self, _pieces: u32) {
        panic!("a tracker client opens no store")
    }

    fn hash(&self, _blocks: Vec<Block>) -> BoxFuture<'static, PieceHash> {
        panic!("a tracker client hashes nothing")
    }

    fn buffer(&self, _length: usize) -> BoxFuture<'_, Buffer> {
        panic!("a tracker client needs no buffers of the pool")
    }

    fn connect(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        let address = (name.to_owned(), port);
        async move {
            let stream = async_std::net::TcpStream::connect((address.0.as_str(), address.1)).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        }
        .boxed()
    }

    fn bind_udp(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        async move {
            let socket = async_std::net::UdpSocket::bind(address).await?;
            Ok(Box::new(Socket(socket)) as Box<dyn Datagrams>)
        }
        .boxed()
    }

    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        async move { Ok((name.as_str(), port).to_socket_addrs().await?.collect()) }.boxed()
    }
}

struct Socket(async_std::net::UdpSocket);

impl Datagrams for Socket {
    fn send_to<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> BoxFuture<'a, std::io::Result<()>> {
        async move { self.0.send_to(bytes, to).await.map(|_| ()) }.boxed()
    }

    fn receive_from<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, std::io::Result<(usize, SocketAddr)>> {
        self.0.recv_from(into).boxed()
    }

    fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
