//! Bytes on their way from one end to the other: in order, each a delay after it was sent.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bt_api::Instant;
use futures::io::{AsyncRead, AsyncWrite};

use super::super::executor::{Clock, Sleep};

/// The most bytes of a stream on their way at a time: whoever sends more waits.
const WINDOW: usize = 256 << 10;

/// The most datagrams that wait to be received; further ones are lost.
const MAX_WAITING: usize = 1024;

/// The most datagrams on their way: a crowd of so many may ask a tracker at once.
const MAX_UNDER_WAY: usize = 1 << 20;

/// What was sent at once.
pub(super) struct Parcel {
    arrives: Instant,
    pub(super) from: SocketAddr,
    /// None end a stream.
    pub(super) bytes: Vec<u8>,
}

/// One way from an end to another.
pub(super) struct Line {
    clock: Arc<Clock>,
    delay: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parcels: VecDeque<Parcel>,
    /// How many bytes they have.
    length: usize,
    /// Whether nobody receives any more.
    is_over: bool,
    /// Who waits for a parcel, and who for room.
    receivers: Vec<Waker>,
    senders: Vec<Waker>,
}

impl State {
    /// Notes the task of `context` among those who wait.
    fn wait(waiting: &mut Vec<Waker>, context: &Context<'_>) {
        if !waiting.iter().any(|other| other.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
    }
}

impl Line {
    pub(super) fn new(clock: Arc<Clock>, delay: Duration) -> Arc<Self> {
        Arc::new(Self { clock, delay, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a datagram; without room for it it is lost.
    pub(super) fn send(&self, from: SocketAddr, bytes: Vec<u8>) {
        let mut state = self.lock();
        let now = self.clock.now();
        let waiting = state.parcels.partition_point(|parcel| parcel.arrives <= now);
        if waiting < MAX_WAITING && state.parcels.len() < MAX_UNDER_WAY {
            self.put(&mut state, from, bytes);
        }
    }

    fn put(&self, state: &mut State, from: SocketAddr, bytes: Vec<u8>) {
        state.length += bytes.len();
        state.parcels.push_back(Parcel { arrives: self.clock.now() + self.delay, from, bytes });
        state.receivers.drain(..).for_each(Waker::wake);
    }

    /// Waits until the first parcel is here, and has `take` look at it: that answers whether it is done with. `nap` is
    /// the receiver's own, kept from one poll to the next.
    pub(super) fn poll_receive<R>(
        &self,
        nap: &mut Option<Sleep>,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut Parcel) -> (R, bool),
    ) -> Poll<R> {
        let mut state = self.lock();
        let Some(first) = state.parcels.front_mut() else {
            State::wait(&mut state.receivers, context);
            return Poll::Pending;
        };
        if first.arrives > self.clock.now() {
            // Another may take it meanwhile, so there may be a nap for an earlier one.
            let sleep = nap.insert(self.clock.sleep_until(first.arrives));
            if Pin::new(sleep).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        *nap = None;
        let before = first.bytes.len();
        let (result, is_done) = take(first);
        let after = if is_done { 0 } else { first.bytes.len() };
        state.length -= before - after;
        if is_done {
            state.parcels.pop_front();
        }
        state.senders.drain(..).for_each(Waker::wake);
        Poll::Ready(result)
    }

    /// Nobody receives any more.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        state.senders.drain(..).for_each(Waker::wake);
    }
}

/// One end of a TCP connection.
pub(in crate::swarm) struct Wire {
    address: SocketAddr,
    incoming: Arc<Line>,
    outgoing: Arc<Line>,
    nap: Option<Sleep>,
    is_closed: bool,
}

impl Wire {
    /// Both ends of a connection between two addresses.
    pub(super) fn pair(clock: &Arc<Clock>, delay: Duration, [here, there]: [SocketAddr; 2]) -> (Self, Self) {
        let (forth, back) = (Line::new(clock.clone(), delay), Line::new(clock.clone(), delay));
        let end = |address, incoming: &Arc<Line>, outgoing: &Arc<Line>| Self {
            address,
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            nap: None,
            is_closed: false,
        };
        (end(here, &back, &forth), end(there, &forth, &back))
    }

    /// Tells the other end that nothing more comes.
    fn finish(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            let mut state = self.outgoing.lock();
            // Whether there is room or not: it takes none.
            self.outgoing.put(&mut state, self.address, Vec::new());
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self { incoming, nap, .. } = &mut *self;
        let take = |parcel: &mut Parcel| {
            let length = parcel.bytes.len().min(into.len());
            into[..length].copy_from_slice(&parcel.bytes[..length]);
            parcel.bytes.drain(..length);
            // The end stays, to be read again.
            (length, length > 0 && parcel.bytes.is_empty())
        };
        incoming.poll_receive(nap, context, take).map(Ok)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.outgoing.lock();
        if self.is_closed || state.is_over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW.saturating_sub(state.length);
        if room == 0 && !bytes.is_empty() {
            State::wait(&mut state.senders, context);
            return Poll::Pending;
        }
        let length = bytes.len().min(room);
        if length > 0 {
            self.outgoing.put(&mut state, self.address, bytes[..length].to_vec());
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.finish();
        self.incoming.end();
    }
}
