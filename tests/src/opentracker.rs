//! Debian's opentracker on loopback: IPv4 only, and it knows only the torrents of its whitelist.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use bt_api::InfoHash;
use bt_engine::bencode::{self, Mode};

use crate::process::{Process, SOON, listens};

/// A running tracker.
pub struct Opentracker {
    addr: SocketAddr,
    process: Process,
}

/// How many peers of a torrent have everything, and how many do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Peers that have everything.
    pub complete: usize,
    /// Peers that do not.
    pub incomplete: usize,
}

impl Opentracker {
    /// The announce URL of a tracker at `port`, which is known before it starts: the torrent names it.
    pub fn url(port: u16) -> String {
        format!("http://127.0.0.1:{port}/announce")
    }

    /// Starts a tracker at `port` that serves `torrent`; its files are in `folder`.
    pub fn start(folder: &Path, port: u16, torrent: InfoHash) -> Self {
        // Started by root it changes its root folder and then its user, who must be able to read the list.
        let own = folder.join("opentracker");
        fs::create_dir(&own).expect("a folder for the tracker");
        fs::set_permissions(&own, Permissions::from_mode(0o755)).expect("our own folder");
        fs::write(own.join("whitelist"), format!("{torrent}\n")).expect("the whitelist is written");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let port = port.to_string();
        let mut command = Command::new("opentracker");
        command.args(["-i", "127.0.0.1", "-p", &port, "-P", &port, "-d", ".", "-w", "whitelist"]);
        let mut process = Process::start("opentracker", folder, command.current_dir(own));
        process.until("opentracker listens", SOON, || listens(addr).then_some(()));
        Self { addr, process }
    }

    /// Waits until it knows of `wanted`.
    pub fn wait_for(&mut self, torrent: InfoHash, wanted: Swarm) {
        let addr = self.addr;
        let what = format!("the tracker knows of {wanted:?}");
        self.process.until(&what, SOON, || scrape(addr, torrent).filter(|swarm| *swarm == wanted));
    }
}

/// Asks the tracker at `addr` how many peers it knows.
fn scrape(addr: SocketAddr, torrent: InfoHash) -> Option<Swarm> {
    let hash = torrent.0.iter().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
    let mut stream = TcpStream::connect(addr).ok()?;
    write!(stream, "GET /scrape?info_hash={hash} HTTP/1.0\r\n\r\n").ok()?;
    let mut reply = Vec::new();
    stream.take(1 << 20).read_to_end(&mut reply).ok()?;
    let body = reply.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let [files] = bencode::scan(&reply[body..], Mode::Lenient).ok()?.get(["files"])?;
    let (_, file) = files?.entries()?.next()?;
    let [complete, incomplete] = file.get(["complete", "incomplete"])?;
    let count = |value: Option<bencode::Value<'_>>| value?.integer()?.parse().ok();
    Some(Swarm { complete: count(complete)?, incomplete: count(incomplete)? })
}
