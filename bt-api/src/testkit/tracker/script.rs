//! A tracker that says over TCP what a script has for it, in virtual time.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncWrite};

use crate::host::{Datagrams, Stream};
use crate::testkit::{Network, TestClock};

/// After so many bytes a tracker without end ends, so that a test of one who reads them all does too.
const TOO_MUCH: usize = 128 << 20;

/// What happens to one connection.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is refused.
    Refused,
    /// It says these bytes once it is asked something, and closes.
    Says(Vec<u8>),
    /// It says these bytes, then those again and again, without end.
    SaysForEver(Vec<u8>, Vec<u8>),
    /// It says these bytes, one every so often, and closes.
    Drips(Vec<u8>, Duration),
    /// It says these bytes, then nothing, and stays open.
    FallsSilent(Vec<u8>),
    /// It is reset after these bytes.
    Resets(Vec<u8>),
}

/// What a tracker saw.
#[derive(Clone, Debug, Default)]
pub struct Script(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    read: AtomicUsize,
    requests: Mutex<Vec<Vec<u8>>>,
}

impl Script {
    /// How many connections were made, refused ones too.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// How many bytes were read of the replies.
    pub fn bytes_read(&self) -> usize {
        self.0.read.load(Ordering::Relaxed)
    }

    /// What was sent over each connection that was not refused.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A network on which every name is this tracker. Connections get its replies in turn; after the last one they
/// are refused.
#[derive(Debug)]
pub struct Tracker {
    replies: Mutex<VecDeque<Reply>>,
    seen: Script,
}

impl Tracker {
    /// A tracker with these replies, and what it sees.
    pub fn new(replies: Vec<Reply>) -> (Self, Script) {
        let seen = Script::default();
        (Self { replies: Mutex::new(replies.into()), seen: seen.clone() }, seen)
    }
}

impl Network for Tracker {
    fn connect(&self, _: &str, _: u16, clock: TestClock) -> io::Result<Box<dyn Stream>> {
        let seen = self.seen.0.clone();
        seen.connections.fetch_add(1, Ordering::Relaxed);
        let reply = self.replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let (said, then) = match reply.unwrap_or(Reply::Refused) {
            Reply::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
            Reply::Says(bytes) => (bytes, Then::Close),
            Reply::SaysForEver(bytes, more) => (bytes, Then::Say(more)),
            Reply::Drips(bytes, every) => (bytes, Then::Drip(every)),
            Reply::FallsSilent(bytes) => (bytes, Then::Wait),
            Reply::Resets(bytes) => (bytes, Then::Reset),
        };
        seen.open.fetch_add(1, Ordering::Relaxed);
        let mut requests = seen.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(Vec::new());
        let number = requests.len() - 1;
        drop(requests);
        Ok(Box::new(Line { said, at: 0, then, asleep: None, clock, seen, number }))
    }

    fn bind_udp(&self, _: SocketAddr, _: TestClock) -> io::Result<Box<dyn Datagrams>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![([192, 0, 2, 7], port).into()])
    }
}

enum Then {
    Close,
    Say(Vec<u8>),
    Drip(Duration),
    Wait,
    Reset,
}

/// One connection.
struct Line {
    said: Vec<u8>,
    at: usize,
    then: Then,
    /// Until the next drop.
    asleep: Option<Mutex<BoxFuture<'static, ()>>>,
    clock: TestClock,
    seen: Arc<Seen>,
    number: usize,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.seen.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.at == this.said.len() {
            match &this.then {
                Then::Close | Then::Drip(_) => return Poll::Ready(Ok(0)),
                Then::Wait => return Poll::Pending,
                Then::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Then::Say(more) => (this.said, this.at) = (more.repeat(1 + 4096 / more.len().max(1)), 0),
            }
        }
        if this.seen.read.load(Ordering::Relaxed) > TOO_MUCH {
            return Poll::Ready(Err(io::Error::other("the script has said too much")));
        }
        let mut room = into.len();
        if let Then::Drip(every) = this.then {
            let clock = &this.clock;
            let sleep = this.asleep.get_or_insert_with(|| Mutex::new(clock.sleep_until(clock.now() + every)));
            ready!(sleep.get_mut().unwrap_or_else(PoisonError::into_inner).poll_unpin(context));
            this.asleep = None;
            room = room.min(1);
        }
        let length = room.min(this.said.len() - this.at);
        into[..length].copy_from_slice(&this.said[this.at..][..length]);
        this.at += length;
        this.seen.read.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut requests = self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests[self.number].extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
