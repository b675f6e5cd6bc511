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

use bt_api::PeerAddress;
use bt_api::rng::{self, Generator};

use crate::swarm::node_at;
use crate::swarm::tracker::{Tracker, http};

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
    while http::head_length(&request).is_none() {
        let read = stream.read(&mut chunk)?;
        if read == 0 || request.len() + read > http::MAX_REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..read]);
    }
    let body = answer(&request, &mut lock(desk)).unwrap_or_else(|why| http::refused(&why));
    stream.write_all(&http::response("200 OK", &body, false))
}

/// Answers the announce in `request`.
///
/// # Errors
/// What is wrong with it.
fn answer(request: &[u8], desk: &mut Desk) -> Result<Vec<u8>, String> {
    let request = http::request(request).map_err(str::to_owned)?;
    let path = request.path.strip_prefix('/').and_then(|path| path.strip_suffix("/announce"));
    let number = path.and_then(|number| number.parse::<u32>().ok());
    let Desk { tracker, peers, .. } = desk;
    let asking = number.and_then(|number| Some((number, peers.get_mut(number as usize)?)));
    let (number, (_, draws)) = asking.ok_or("nobody was given this URL")?;
    let announce = http::announce(request.query)?;
    let mut reply = tracker.announce(number, &announce, draws);
    // The tracker knows where they would be in a simulation.
    let real = |peer: &PeerAddress| Some(peers.get(node_at(peer.address)? as usize)?.0);
    reply.peers = reply
        .peers
        .iter()
        .filter_map(real)
        .map(|address| PeerAddress { address: address.into(), id: None })
        .collect();
    Ok(http::announced(&reply, announce.compact))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str =
        "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=258&left=5&compact=1";

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
            let answer = ask(tracker.address, &format!("{path}?{QUERY}&event=started"));
            assert!(answer.ends_with(end), "{answer:?}");
        }
        for (wrong, why) in [
            ("/", "nobody was given this URL"),
            (format!("/9/announce?{QUERY}").as_str(), "nobody was given this URL"),
            ("/0/announce", "info_hash is missing"),
        ] {
            assert!(ask(tracker.address, wrong).contains(why), "{wrong}");
        }
    }
}
