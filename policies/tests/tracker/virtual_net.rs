//! A [`Host`] in virtual time, whose UDP network is a script.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bt_api::{Block, BoxFuture, Buffer, Datagrams, Host, Instant, PieceHash, Stream};
use futures::FutureExt;
use futures::future::ready;

/// A datagram that a client sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) packet: Vec<u8>,
}

impl Sent {
    /// What comes to the socket that sent it, `after` so long.
    pub(crate) fn answered(&self, after: u64, from: SocketAddr, packet: Vec<u8>) -> Arrival {
        Arrival { at: self.at + Duration::from_secs(after), from, to: self.from, packet }
    }
}

/// A datagram that will arrive.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    /// A socket's address or group.
    pub(crate) to: SocketAddr,
    pub(crate) packet: Vec<u8>,
}

/// Says what arrives because of a datagram that was sent.
type Script = Box<dyn FnMut(&Sent) -> Vec<Arrival> + Send>;

/// The network and its clock, which moves only when nobody has anything to do.
#[derive(Clone)]
pub(crate) struct VirtualNet(Arc<Mutex<State>>);

struct State {
    now: Instant,
    alarms: Vec<Instant>,
    sockets: Vec<(u16, SocketAddr)>,
    next_port: u16,
    arrivals: Vec<(u16, Arrival)>,
    /// Whether anything was sent since somebody looked.
    news: bool,
    sent: Vec<Sent>,
    script: Option<Script>,
    /// What every name leads to.
    addresses: Vec<SocketAddr>,
    /// Whether a socket can be bound to this address or join this group.
    reachable: fn(SocketAddr) -> bool,
}

impl VirtualNet {
    pub(crate) fn new(
        addresses: &[SocketAddr],
        script: impl FnMut(&Sent) -> Vec<Arrival> + Send + 'static,
    ) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Instant::ZERO,
            alarms: Vec::new(),
            sockets: Vec::new(),
            next_port: 40_000,
            arrivals: Vec::new(),
            news: false,
            sent: Vec::new(),
            script: Some(Box::new(script)),
            addresses: addresses.to_vec(),
            reachable: |_| true,
        })))
    }

    /// From now on only these addresses can be bound, and only these groups joined.
    pub(crate) fn reach_only(&self, reachable: fn(SocketAddr) -> bool) {
        self.state().reachable = reachable;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was sent so far.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.state().sent.clone()
    }

    /// How many sockets are open.
    pub(crate) fn open_sockets(&self) -> usize {
        self.state().sockets.len()
    }

    /// Lets a datagram arrive of itself.
    pub(crate) fn arrives(&self, arrival: Arrival) {
        self.state().deliver(arrival);
    }

    /// Moves the clock on.
    pub(crate) fn wait(&self, secs: u64) {
        self.state().now += Duration::from_secs(secs);
    }

    /// Runs `future` to its end, and the clock with it.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        for _ in 0..1_000_000 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return value;
            }
            if flag.0.swap(false, Ordering::Relaxed) {
                continue;
            }
            let mut state = self.state();
            if std::mem::take(&mut state.news) {
                continue;
            }
            let now = state.now;
            let alarms = state.alarms.iter().copied();
            let events = alarms.chain(state.arrivals.iter().map(|(_, arrival)| arrival.at));
            let next = events.filter(|&at| at > now).min();
            state.now = next.expect("the future waits for nothing that will ever come");
            state.alarms.retain(|&alarm| alarm > now);
        }
        panic!("the future does not end")
    }

    fn open(&self, address: SocketAddr, group: Option<SocketAddr>) -> io::Result<Box<dyn Datagrams>> {
        let mut state = self.state();
        if !(state.reachable)(group.unwrap_or(address)) {
            return Err(io::Error::other("no such network"));
        }
        let port = state.next_port;
        state.next_port += 1;
        let own = SocketAddr::new(address.ip(), port);
        state.sockets.push((port, group.unwrap_or(own)));
        Ok(Box::new(VirtualSocket { net: self.clone(), port, own }))
    }
}

impl State {
    fn deliver(&mut self, arrival: Arrival) {
        self.news = true;
        let members = self.sockets.iter().filter(|(_, address)| *address == arrival.to);
        self.arrivals.extend(members.map(|&(port, _)| (port, arrival.clone())));
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct VirtualSocket {
    net: VirtualNet,
    port: u16,
    own: SocketAddr,
}

impl Drop for VirtualSocket {
    fn drop(&mut self) {
        let mut state = self.net.state();
        state.sockets.retain(|(port, _)| *port != self.port);
        state.arrivals.retain(|(port, _)| *port != self.port);
    }
}

impl Datagrams for VirtualSocket {
    fn send_to<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        let mut state = self.net.state();
        let sent = Sent { at: state.now, from: self.own, to, packet: bytes.to_vec() };
        state.sent.push(sent.clone());
        if to.ip().is_multicast() {
            state.deliver(Arrival { at: sent.at, from: sent.from, to, packet: sent.packet.clone() });
        }
        // The script may look at the network, so it runs without the lock.
        let mut script = state.script.take().expect("a script sends nothing itself");
        drop(state);
        let arrivals = script(&sent);
        let mut state = self.net.state();
        state.script = Some(script);
        arrivals.into_iter().for_each(|arrival| state.deliver(arrival));
        ready(Ok(())).boxed()
    }

    fn receive_from<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        poll_fn(move |_| {
            let mut state = self.net.state();
            let now = state.now;
            let due = |(port, arrival): &(u16, Arrival)| *port == self.port && arrival.at <= now;
            let Some(at) = state.arrivals.iter().position(due) else { return Poll::Pending };
            let (_, arrival) = state.arrivals.remove(at);
            let length = arrival.packet.len().min(into.len());
            into[..length].copy_from_slice(&arrival.packet[..length]);
            Poll::Ready(Ok((length, arrival.from)))
        })
        .boxed()
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.own)
    }
}

impl Host for VirtualNet {
    fn now(&self) -> Instant {
        self.state().now
    }

    fn sleep_until(&self, when: Instant) -> BoxFuture<'static, ()> {
        let net = self.clone();
        poll_fn(move |_| {
            let mut state = net.state();
            if state.now >= when {
                return Poll::Ready(());
            }
            if !state.alarms.contains(&when) {
                state.alarms.push(when);
            }
            Poll::Pending
        })
        .boxed()
    }

    fn run_boxed(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        work();
        ready(()).boxed()
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

    fn connect(&self, _name: &str, _port: u16) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        panic!("there is only UDP here")
    }

    fn bind_udp(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        assert!(address.ip().is_unspecified() && address.port() == 0, "{address}");
        ready(self.open(address, None)).boxed()
    }

    fn bind_multicast(
        &self,
        group: SocketAddr,
        interface: Ipv4Addr,
    ) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        ready(self.open((interface, 0).into(), Some(group))).boxed()
    }

    fn resolve(&self, _name: &str, _port: u16) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        ready(Ok(self.state().addresses.clone())).boxed()
    }
}
