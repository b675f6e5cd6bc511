//! The one listener of a process: takes connections, reads which torrent they want, and hands them on.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::Sender;
use async_std::future::timeout;
use async_std::net::{TcpListener, TcpStream};
use async_std::task;
use bt_api::InfoHash;
use bt_engine::handshake::{Handshake, LENGTH, Step};
use futures::io::AsyncReadExt;
use socket2::{Domain, Protocol, Socket, Type};

use super::torrent::Note;

/// Connections whose handshake is under way, in all; further ones are closed at once.
const MOST_PENDING: usize = 256;

/// How long to wait after an error that will not pass at once, such as too many open files. Only the
/// listener waits (after RS-10, where everything did).
const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// Where connections to a torrent go.
#[derive(Default)]
pub(crate) struct Router(Mutex<BTreeMap<InfoHash, Sender<Note>>>);

impl Router {
    /// From now on connections to `torrent` go to `notes`.
    pub(crate) fn add(&self, torrent: InfoHash, notes: Sender<Note>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(torrent, notes);
    }

    /// Connections to `torrent` are refused from now on.
    pub(crate) fn remove(&self, torrent: InfoHash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&torrent);
    }

    fn find(&self, torrent: InfoHash) -> Option<Sender<Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&torrent).cloned()
    }
}

/// Where to listen.
pub(crate) struct Place {
    /// The address; `None`: all, of IPv6 and IPv4, or of IPv4 where there is no IPv6.
    pub(crate) address: Option<IpAddr>,
    /// The ports to try, in order (DN-2); port 0 is any.
    pub(crate) ports: Vec<u16>,
    /// Connections that the system keeps until they are accepted (RS-8).
    pub(crate) backlog: u32,
}

impl Place {
    /// Listens at the first port that is free.
    ///
    /// # Errors
    /// Why the last port could not be had.
    pub(crate) fn bind(&self) -> std::io::Result<TcpListener> {
        let mut result = Err(std::io::Error::from(std::io::ErrorKind::InvalidInput));
        for &port in &self.ports {
            result = match self.address {
                Some(address) => self.bind_to(SocketAddr::new(address, port)),
                None => {
                    self.bind_to((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|error| match error.kind() {
                        // The port is taken: IPv4 alone would hide that.
                        std::io::ErrorKind::AddrInUse => Err(error),
                        _ => self.bind_to((Ipv4Addr::UNSPECIFIED, port).into()),
                    })
                }
            };
            if result.is_ok() {
                break;
            }
        }
        result.map(TcpListener::from)
    }

    fn bind_to(&self, address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        // Elsewhere it would let two processes share the port.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }
}

/// Takes connections for as long as the task lives; a handshake may take `patience`.
pub(crate) async fn listen(listener: TcpListener, router: Arc<Router>, patience: Duration) {
    let pending = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
            Err(_) => {
                task::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        if pending.fetch_add(1, Ordering::Relaxed) >= MOST_PENDING {
            pending.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (router, pending) = (router.clone(), pending.clone());
        task::spawn(async move {
            // One that is too slow is dropped, and with it its socket.
            let _ = timeout(patience, welcome(stream, address, &router)).await;
            pending.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Reads which torrent the peer wants, and hands it on; nothing is sent to one that wants another (EN-6).
async fn welcome(mut stream: TcpStream, address: SocketAddr, router: &Router) {
    let (mut bytes, mut filled, mut handshake) = ([0; LENGTH], 0, Handshake::new());
    loop {
        match stream.read(&mut bytes[filled..]).await {
            Ok(read) if read > 0 => filled += read,
            _ => return,
        }
        match handshake.step(&bytes[..filled]) {
            Ok((Step::InfoHash(torrent, _), used)) => {
                let Some(notes) = router.find(torrent) else { return };
                // An IPv4 peer at a socket for both is known by its IPv4 address.
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                let note = Note::Incoming { stream, address, handshake, bytes: bytes[used..filled].to_vec() };
                let _ = notes.send(note).await;
                return;
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(ports: impl Iterator<Item = u16>) -> std::io::Result<u16> {
        let place = Place { address: Some(Ipv4Addr::LOCALHOST.into()), ports: ports.collect(), backlog: 5 };
        Ok(place.bind()?.local_addr()?.port())
    }

    /// So many neighbouring ports of loopback that somebody else holds while the answer lives.
    fn taken(count: u16) -> (u16, Vec<std::net::TcpListener>) {
        let hold = |port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        // Others take ports at the same time: it may need some tries.
        loop {
            let port = hold(0).unwrap().local_addr().unwrap().port();
            let held: Vec<_> =
                (port..=port.saturating_add(count)).map_while(|port| hold(port).ok()).collect();
            if held.len() > usize::from(count) {
                return (port, held);
            }
        }
    }

    /// Case 133: of a range the first free port is taken, and all taken is an error.
    #[test]
    fn case_133_ports_are_tried_upward() {
        let (port, mut held) = taken(2);
        assert_eq!(bind(port..=port + 2).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        held.pop();
        assert_eq!(bind(port..=port + 2).unwrap(), port + 2);
    }
}
