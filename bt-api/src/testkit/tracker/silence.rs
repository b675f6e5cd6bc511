//! A network on which everybody is reached, and nobody ever says anything.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::future::{BoxFuture, pending, ready};
use futures::io::{AsyncRead, AsyncWrite};

use crate::host::{Datagrams, Stream};
use crate::testkit::{Network, TestClock};

/// The network, which counts what is asked of it; clones are the same network.
#[derive(Clone, Debug, Default)]
pub struct Silence(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicUsize,
    open: AtomicUsize,
}

impl Silence {
    /// How many sockets and addresses were asked for.
    pub fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// How many sockets are open.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    fn socket(&self) -> Socket {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Socket(self.0.clone())
    }
}

impl Network for Silence {
    fn connect(&self, _: &str, _: u16, _: TestClock) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.socket()))
    }

    fn bind_udp(&self, _: SocketAddr, _: TestClock) -> io::Result<Box<dyn Datagrams>> {
        Ok(Box::new(self.socket()))
    }

    fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        Ok(vec![([192, 0, 2, 7], port).into()])
    }
}

/// A connection or a UDP socket.
struct Socket(Arc<Counts>);

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Datagrams for Socket {
    fn send_to<'a>(&'a self, _: &'a [u8], _: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(ready(Ok(())))
    }

    fn receive_from<'a>(&'a self, _: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(pending())
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 40_000).into())
    }
}
