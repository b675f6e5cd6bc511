//! The network that plug-ins reach through their `Host`: TCP connections and UDP datagrams that take the scenario's
//! delay and no bandwidth, between peers and whoever serves something.
//!
//! Peers have the addresses under which engines know them. Nothing gets lost but what nobody takes, or what finds no
//! room.

mod line;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_api::{BoxFuture, Datagrams};
use futures::future::poll_fn;

use super::executor::Clock;
use line::Line;
pub(super) use line::Wire;

/// The first of the ports that those get who ask for any (RFC 6335).
const FIRST_DYNAMIC: u16 = 49152;

/// The longest datagram that UDP over IPv4 carries.
const MAX_DATAGRAM: usize = 65507;

/// Takes a connection from this address, or refuses it.
type Accept = Arc<dyn Fn(SocketAddr, Wire) -> bool + Send + Sync>;

/// Who is where, and what is between them.
pub(super) struct Network {
    clock: Arc<Clock>,
    delay: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In lower case.
    names: BTreeMap<String, Ipv4Addr>,
    listeners: BTreeMap<SocketAddr, Accept>,
    /// Where datagrams are taken.
    sockets: BTreeMap<SocketAddr, Arc<Line>>,
    /// How many connections were begun.
    connections: u64,
}

impl Network {
    /// One on which everything takes `delay`.
    pub(super) fn new(clock: Arc<Clock>, delay: Duration) -> Arc<Self> {
        Arc::new(Self { clock, delay, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `address` be called `name` too.
    pub(super) fn call(&self, name: &str, address: Ipv4Addr) {
        self.lock().names.insert(name.to_ascii_lowercase(), address);
    }

    /// Has `accept` take the connections that come to `address`.
    pub(super) fn listen(
        &self,
        address: SocketAddr,
        accept: impl Fn(SocketAddr, Wire) -> bool + Send + Sync + 'static,
    ) {
        self.lock().listeners.insert(address, Arc::new(accept));
    }

    /// The addresses of `name`; to look for them takes no time.
    pub(super) fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let address = match name.parse::<IpAddr>() {
            Ok(address) => Some(address),
            Err(_) => self.lock().names.get(&name.to_ascii_lowercase()).copied().map(IpAddr::from),
        };
        let unknown = || io::Error::new(ErrorKind::NotFound, format!("in this simulation nobody is {name}"));
        Ok(vec![SocketAddr::new(address.ok_or_else(unknown)?, port)])
    }

    /// Connects `from` to `port` at `name`: to ask takes the delay, and so does the answer.
    pub(super) async fn connect(
        self: Arc<Self>,
        from: Ipv4Addr,
        name: String,
        port: u16,
    ) -> io::Result<Wire> {
        let to = self.resolve(&name, port)?[0];
        self.clock.sleep_until(self.clock.now() + self.delay).await;
        let (accept, number) = {
            let mut state = self.lock();
            state.connections += 1;
            (state.listeners.get(&to).cloned(), state.connections)
        };
        // A port is used again after so many connections, of everybody together, that its last one is long over.
        let dynamic = u64::from(u16::MAX - FIRST_DYNAMIC) + 1;
        let from = SocketAddr::from((from, FIRST_DYNAMIC + (number % dynamic) as u16));
        let (here, there) = Wire::pair(&self.clock, self.delay, [from, to]);
        let is_taken = accept.is_some_and(|accept| accept(from, there));
        self.clock.sleep_until(self.clock.now() + self.delay).await;
        if is_taken {
            return Ok(here);
        }
        let message = format!("in this simulation nobody takes connections at {name}:{port}");
        Err(io::Error::new(ErrorKind::ConnectionRefused, message))
    }

    /// Binds a UDP socket of the peer at `own` to `address`, which is its own or none; port 0: any.
    pub(super) fn bind(self: &Arc<Self>, own: Ipv4Addr, address: SocketAddr) -> io::Result<Socket> {
        if !(address.is_ipv4() && (address.ip().is_unspecified() || address.ip() == own)) {
            let message = format!("{} is no address of {own}", address.ip());
            return Err(io::Error::new(ErrorKind::AddrNotAvailable, message));
        }
        let mut state = self.lock();
        let is_free = |port: &u16| !state.sockets.contains_key(&SocketAddr::from((own, *port)));
        let mut ports = match address.port() {
            0 => FIRST_DYNAMIC..=u16::MAX,
            port => port..=port,
        };
        let port = ports.find(is_free).ok_or(ErrorKind::AddrInUse)?;
        let address = SocketAddr::from((own, port));
        let line = Line::new(self.clock.clone(), self.delay);
        state.sockets.insert(address, line.clone());
        Ok(Socket { network: self.clone(), address, line })
    }
}

/// A UDP socket.
pub(super) struct Socket {
    network: Arc<Network>,
    address: SocketAddr,
    line: Arc<Line>,
}

impl Datagrams for Socket {
    fn send_to<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            if to.is_ipv6() {
                return Err(ErrorKind::NetworkUnreachable.into());
            }
            if bytes.len() > MAX_DATAGRAM {
                return Err(io::Error::new(ErrorKind::InvalidInput, "too long for a datagram"));
            }
            // What nobody takes, or finds no room, is lost.
            if let Some(line) = self.network.lock().sockets.get(&to) {
                line.send(self.address, bytes.to_vec());
            }
            Ok(())
        })
    }

    fn receive_from<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            let mut nap = None;
            poll_fn(|context| {
                self.line.poll_receive(&mut nap, context, |parcel| {
                    let length = parcel.bytes.len().min(into.len());
                    into[..length].copy_from_slice(&parcel.bytes[..length]);
                    (Ok((length, parcel.from)), true)
                })
            })
            .await
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.network.lock().sockets.remove(&self.address);
    }
}
