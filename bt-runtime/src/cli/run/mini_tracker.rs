//! A tracker for the demo: HTTP on loopback, IPv4, compact replies (BEP 3, BEP 23), and no more.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_std::future::timeout;
use async_std::net::{TcpListener, TcpStream};
use async_std::task::{self, JoinHandle};
use bt_api::InfoHash;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};

/// The longest request that is read: an announce has a few hundred bytes.
const MAX_REQUEST: usize = 4096;
/// Connections served side by side.
const MAX_AT_ONCE: usize = 16;
/// How long one connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Torrents, and peers of each, that are remembered.
const MAX_TORRENTS: usize = 16;
const MAX_PEERS: usize = 50;

/// Where the peers of each torrent listen, and whether they have everything.
type Swarms = BTreeMap<InfoHash, BTreeMap<SocketAddrV4, bool>>;

/// A tracker that runs until it is dropped.
pub(super) struct MiniTracker {
    address: SocketAddr,
    announced: Receiver<()>,
    task: Option<JoinHandle<()>>,
}

impl MiniTracker {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (tell, announced) = async_channel::bounded(1);
        let task = task::spawn(async move {
            let swarms = Arc::new(Mutex::new(Swarms::new()));
            let serve = |stream: io::Result<TcpStream>| {
                let (swarms, tell) = (swarms.clone(), tell.clone());
                async move {
                    if let Ok(stream) = stream {
                        // A client that breaks off or takes too long is gone: nobody else is held up.
                        let _ = timeout(PATIENCE, serve(stream, &swarms, &tell)).await;
                    }
                }
            };
            listener.incoming().for_each_concurrent(MAX_AT_ONCE, serve).await;
        });
        Ok(Self { address, announced, task: Some(task) })
    }

    /// The URL to announce to.
    pub(super) fn url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    /// Waits until a peer has announced itself.
    pub(super) async fn announced(&self) {
        // The tracker's task holds the other end as long as this value lives.
        let _ = self.announced.recv().await;
    }
}

impl Drop for MiniTracker {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            // A dropped handle would let it run on.
            task::spawn(task.cancel());
        }
    }
}

async fn serve(mut stream: TcpStream, swarms: &Mutex<Swarms>, tell: &Sender<()>) -> io::Result<()> {
    let from = stream.peer_addr()?.ip();
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await?;
        if read == 0 || request.len() + read > MAX_REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..read]);
    }
    let answer = {
        let mut swarms = swarms.lock().unwrap_or_else(PoisonError::into_inner);
        answer(&request, from, &mut swarms)
    };
    let body = match answer {
        Some(body) => {
            // One word that waits is enough.
            let _ = tell.try_send(());
            body
        }
        None => b"d14:failure reason13:not understoode".to_vec(),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.close().await
}

/// Notes the announce in `request`, and answers with the other peers; `None` when it is none.
fn answer(request: &[u8], from: IpAddr, swarms: &mut Swarms) -> Option<Vec<u8>> {
    let line = request.split(|&byte| byte == b'\r').next()?;
    let query = std::str::from_utf8(line).ok()?.strip_prefix("GET /announce?")?.split(' ').next()?;
    let field = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let info_hash = InfoHash(percent_decoded(field("info_hash")?)?.try_into().ok()?);
    let IpAddr::V4(ip) = from else { return None };
    let peer = SocketAddrV4::new(ip, field("port")?.parse().ok()?);
    let complete = field("left")? == "0";

    if !swarms.contains_key(&info_hash) && swarms.len() == MAX_TORRENTS {
        return None;
    }
    let swarm = swarms.entry(info_hash).or_default();
    if field("event") == Some("stopped") {
        swarm.remove(&peer);
    } else if swarm.contains_key(&peer) || swarm.len() < MAX_PEERS {
        swarm.insert(peer, complete);
    }
    let seeds = swarm.values().filter(|&&complete| complete).count();
    let others: Vec<u8> = swarm
        .keys()
        .filter(|other| **other != peer)
        .flat_map(|other| other.ip().octets().into_iter().chain(other.port().to_be_bytes()))
        .collect();
    let leechers = swarm.len() - seeds;
    let mut body =
        format!("d8:completei{seeds}e10:incompletei{leechers}e8:intervali60e5:peers{}:", others.len())
            .into_bytes();
    body.extend(others);
    body.push(b'e');
    Some(body)
}

/// The bytes that `text` stands for (RFC 3986, section 2.1).
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            (digit(bytes.next())? * 16 + digit(bytes.next())?) as u8
        } else {
            byte
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announce(rest: &str, swarms: &mut Swarms) -> Option<Vec<u8>> {
        let hash = "%01".repeat(20);
        let request = format!("GET /announce?info_hash={hash}&{rest} HTTP/1.1\r\nHost: x\r\n\r\n");
        answer(request.as_bytes(), Ipv4Addr::LOCALHOST.into(), swarms)
    }

    #[test]
    fn peers_hear_of_each_other_and_not_of_themselves() {
        let mut swarms = Swarms::new();
        let first = announce("port=258&left=0&event=started", &mut swarms).unwrap();
        assert_eq!(first, b"d8:completei1e10:incompletei0e8:intervali60e5:peers0:e");
        let second = announce("port=300&left=5", &mut swarms).unwrap();
        assert_eq!(second, b"d8:completei1e10:incompletei1e8:intervali60e5:peers6:\x7f\0\0\x01\x01\x02e");
        announce("port=258&left=0&event=stopped", &mut swarms).unwrap();
        let alone = announce("port=300&left=5", &mut swarms).unwrap();
        assert_eq!(alone, b"d8:completei0e10:incompletei1e8:intervali60e5:peers0:e");
    }

    #[test]
    fn what_is_no_announce_is_refused_and_nothing_grows_without_bound() {
        let mut swarms = Swarms::new();
        for wrong in ["", "port=x&left=0", "port=70000&left=0", "port=1"] {
            assert_eq!(announce(wrong, &mut swarms), None, "{wrong}");
        }
        for line in ["", "GET / HTTP/1.1", "GET /announce?info_hash=%0&port=1&left=0 HTTP/1.1", "\u{0}"] {
            assert_eq!(answer(line.as_bytes(), Ipv4Addr::LOCALHOST.into(), &mut swarms), None, "{line}");
        }
        for port in 1..200 {
            announce(&format!("port={port}&left=1"), &mut swarms);
        }
        assert_eq!(swarms.values().map(BTreeMap::len).collect::<Vec<_>>(), [MAX_PEERS]);
    }
}
