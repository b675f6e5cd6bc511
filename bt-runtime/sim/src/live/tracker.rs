//! The tracker of a live run: HTTP on loopback (BEP 3, BEP 23) around the tracker of the simulation, so that both draw
//! the peers that they name in the same way.
//!
//! Each peer has a URL of its own, which says who announces. One request is answered after the other: there are no more
//! than the run's own peers.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bt_api::rng::{self, Generator};
use bt_api::{Announce, AnnounceEvent, AnnounceReply, InfoHash, PeerId};

use crate::swarm::node_at;
use crate::swarm::tracker::Tracker;

/// The longest request that is read: an announce has a few hundred bytes.
const MAX_REQUEST: usize = 4096;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(2);

/// A tracker that runs until it is dropped.
pub(super) struct LiveTracker {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the tracker knows.
struct Desk {
    tracker: Tracker,
    seed: u64,
    /// Where each peer listens, and its draws, by its number.
    peers: Vec<(SocketAddrV4, Generator)>,
}

impl LiveTracker {
    /// Begins to listen; a reply names `reply` peers at most.
    ///
    /// # Errors
    /// When there is no port.
    pub(super) fn start(reply: u32, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Mutex::new(Desk { tracker: Tracker::new(reply), seed, peers: Vec::new() }));
        let over = Arc::new(AtomicBool::new(false));
        let (served, ended) = (desk.clone(), over.clone());
        let thread = thread::Builder::new().name("tracker".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                // A client that breaks off asks again.
                let _ = stream.and_then(|stream| serve(stream, &served));
            }
        })?;
        Ok(Self { address, desk, over, thread: Some(thread) })
    }

    /// Notes the next peer, which listens at `address`; answers with the URL that it announces to.
    pub(super) fn enter(&self, address: SocketAddrV4) -> String {
        let mut desk = lock(&self.desk);
        let number = desk.peers.len();
        // As in the simulation.
        let draws = rng::stream(desk.seed, number as u64, "tracker");
        desk.peers.push((address, draws));
        format!("http://{}/{number}/announce", self.address)
    }
}

impl Drop for LiveTracker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It waits for someone who connects.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, desk: &Mutex<Desk>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut chunk)?;
        if read == 0 || request.len() + read > MAX_REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..read]);
    }
    let body =
        answer(&request, &mut lock(desk)).unwrap_or_else(|| b"d14:failure reason14:not understoode".to_vec());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat())
}

/// Answers the announce in `request`; `None` when it is none.
fn answer(request: &[u8], desk: &mut Desk) -> Option<Vec<u8>> {
    let line = std::str::from_utf8(request).ok()?.lines().next()?;
    let (path, query) = line.strip_prefix("GET /")?.split(' ').next()?.split_once('?')?;
    let number: u32 = path.strip_suffix("/announce")?.parse().ok()?;
    let field = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let announce = Announce {
        info_hash: InfoHash([0; 20]),
        peer_id: PeerId([0; 20]),
        port: field("port")?.parse().ok()?,
        ip: None,
        key: 0,
        uploaded: 0,
        downloaded: 0,
        left: field("left")?.parse().ok()?,
        event: match field("event") {
            Some("started") => Some(AnnounceEvent::Started),
            Some("completed") => Some(AnnounceEvent::Completed),
            Some("stopped") => Some(AnnounceEvent::Stopped),
            _ => None,
        },
        peers_wanted: field("numwant").and_then(|wanted| wanted.parse().ok()),
        compact: true,
        tracker_id: None,
        last: None,
    };
    let Desk { tracker, peers, .. } = desk;
    let draws = &mut peers.get_mut(number as usize)?.1;
    let reply = tracker.announce(number, &announce, draws);
    let named = reply.peers.iter().filter_map(|peer| node_at(peer.address));
    let named = named.filter_map(|node| peers.get(node as usize)).map(|(address, _)| *address);
    Some(written(&reply, named.collect()))
}

/// The reply as it goes over the wire.
fn written(reply: &AnnounceReply, peers: Vec<SocketAddrV4>) -> Vec<u8> {
    let (seeds, others) = (reply.complete.unwrap_or(0), reply.incomplete.unwrap_or(0));
    let interval = reply.interval.map_or(0, |interval| interval.as_secs());
    let length = 6 * peers.len();
    let head = format!("d8:completei{seeds}e10:incompletei{others}e8:intervali{interval}e5:peers{length}:");
    let mut body = head.into_bytes();
    for peer in peers {
        body.extend(peer.ip().octets());
        body.extend(peer.port().to_be_bytes());
    }
    body.push(b'e');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(format!("GET {line} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn peers_hear_of_those_who_announced_before_and_of_no_more_than_the_reply_has() {
        let tracker = LiveTracker::start(1, 7).unwrap();
        let peer = |number| SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, number), 258);
        let urls: Vec<String> = (1..=3).map(|number| tracker.enter(peer(number))).collect();
        let ends = ["5:peers0:e", "\x01\x02e", "\x01\x02e"];
        for (url, end) in urls.iter().zip(ends) {
            let path = url.split_once(&tracker.address.to_string()).unwrap().1;
            let answer = ask(tracker.address, &format!("{path}?port=258&left=5&event=started"));
            assert!(answer.ends_with(end), "{answer:?}");
        }
        for wrong in ["/", "/9/announce?port=1&left=0", "/0/announce?port=x&left=0", "/0/announce"] {
            assert!(ask(tracker.address, wrong).contains("not understood"), "{wrong}");
        }
    }
}
