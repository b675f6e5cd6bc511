//! Content, and sessions that seed or download it in this process.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_std::future::timeout;
use async_std::task::block_on;
use bt_api::{PieceHash, TorrentLayout};
use bt_engine::metainfo::{Metainfo, Rules, create};
use bt_runtime::events::RunHeader;
use bt_runtime::net::{AddOptions, Phase, Session, SessionOptions, TorrentHandle};
use bt_runtime::{EventLog, Profile};
use bt_tests::process::wait_for;
use serde_json::Value;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use bt_bins as _;

/// How long anything may take; on an idle machine it takes a moment.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// As many that a bitfield has spare bits.
pub(crate) const PIECES: u32 = 30;
pub(crate) const PIECE_LENGTH: u32 = 64 << 10;

/// A torrent of one file.
pub(crate) struct Content {
    pub(crate) metainfo: Metainfo,
    pub(crate) bytes: Vec<u8>,
}

impl Content {
    pub(crate) fn new() -> Self {
        let length = u64::from(PIECES * PIECE_LENGTH - 1000);
        let bytes: Vec<u8> =
            (0..length).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 29) as u8).collect();
        let layout = TorrentLayout::single("content", length, PIECE_LENGTH).unwrap();
        let pieces = bytes.chunks(PIECE_LENGTH as usize).map(|piece| PieceHash(Sha1::digest(piece).into()));
        let file = create(&layout, &pieces.collect::<Vec<_>>(), &Default::default());
        Self { metainfo: Metainfo::parse(&file, Rules::Lenient).unwrap(), bytes }
    }
}

/// One session with the torrent, and what it says of it.
pub(crate) struct Node {
    session: Session,
    torrent: TorrentHandle,
    folder: TempDir,
    events: Arc<EventLog>,
    written: Written,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Node {
    /// A session that has everything, and connects to `peers`.
    pub(crate) fn seeder(content: &Content, profile: &str, sets: &[&str], peers: &[SocketAddr]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("content"), &content.bytes).unwrap();
        let node = Self::start(content, profile, sets, peers, folder);
        node.complete();
        node
    }

    /// A session that has nothing, and connects to `peers`.
    pub(crate) fn leecher(content: &Content, profile: &str, sets: &[&str], peers: &[SocketAddr]) -> Self {
        Self::start(content, profile, sets, peers, TempDir::new().unwrap())
    }

    fn start(content: &Content, profile: &str, sets: &[&str], peers: &[SocketAddr], folder: TempDir) -> Self {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let profile = Profile::load(profile, &sets).unwrap_or_else(|error| panic!("{error}"));
        let written = Written::default();
        // Each session has a seed of its own, or all would have one peer id.
        let seed = SessionOptions::default().seed;
        let events = EventLog::to_writer(written.clone(), &RunHeader::new(&profile, seed)).unwrap();
        let events = Arc::new(events);
        let listen = Some((Ipv4Addr::LOCALHOST.into(), 0, 0));
        let options = SessionOptions {
            listen,
            seed,
            events: Some(events.clone()),
            state: None,
            ..SessionOptions::default()
        };
        let session = block_on(Session::start(Arc::new(profile), options)).unwrap();
        let options = AddOptions {
            folder: folder.path().to_owned(),
            peers: peers.to_vec(),
            trackers: Some(Vec::new()),
            check: false,
        };
        let torrent = block_on(session.add(content.metainfo.clone(), options)).unwrap();
        wait_for("the start", PATIENCE, || (torrent.progress().phase == Phase::Running).then_some(()));
        Self { session, torrent, folder, events, written }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.session.local_address()
    }

    /// The most memory that its buffers took, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        self.session.peak_memory()
    }

    /// Its events so far of kind `ev`.
    pub(crate) fn events(&self, ev: &str) -> Vec<Value> {
        self.events.flush();
        let written = self.written.0.lock().unwrap().clone();
        let lines = written.split(|&byte| byte == b'\n').skip(1).filter(|line| !line.is_empty());
        let events = lines.map(|line| serde_json::from_slice(line).unwrap());
        events.filter(|event: &Value| event["ev"] == ev).collect()
    }

    /// Waits for an event of kind `ev` with these fields.
    pub(crate) fn wait_for_event(&self, ev: &str, fields: &[(&str, Value)]) -> Value {
        let fits = |event: &Value| fields.iter().all(|(field, value)| event[field] == *value);
        wait_for(&format!("{ev} {fields:?}"), PATIENCE, || self.events(ev).into_iter().find(fits))
    }

    /// The number of the connection from `peer`.
    pub(crate) fn number_of(&self, peer: SocketAddr) -> Value {
        self.wait_for_event("peer_connected", &[("addr", peer.to_string().into())])["peer"].clone()
    }

    /// Waits until the connection from `peer` is closed; answers why.
    pub(crate) fn fate_of(&self, peer: SocketAddr) -> String {
        let closed = self.wait_for_event("peer_closed", &[("peer", self.number_of(peer))]);
        closed["reason"].as_str().unwrap().to_owned()
    }

    /// Whether the connection from `peer` stands.
    pub(crate) fn keeps(&self, peer: SocketAddr) -> bool {
        let number = self.number_of(peer);
        self.events("peer_closed").iter().all(|event| event["peer"] != number)
    }

    /// Waits until it has everything.
    pub(crate) fn complete(&self) {
        let done = block_on(timeout(PATIENCE, self.torrent.wait_complete()));
        let progress = self.torrent.progress();
        assert!(done.is_ok() && progress.status.complete, "{progress:?}");
        assert_eq!(progress.phase, Phase::Running);
    }

    /// Waits until it has everything, byte for byte, then stops; no policy and no store did wrong.
    pub(crate) fn finish(self, content: &Content) {
        self.complete();
        assert!(std::fs::read(self.folder.path().join("content")).unwrap() == content.bytes, "other bytes");
        for ev in ["policy_violation", "storage_error"] {
            assert_eq!(self.events(ev), [] as [Value; 0]);
        }
        block_on(self.session.stop());
        assert_eq!(self.torrent.progress().phase, Phase::Stopped);
    }

    /// An honest peer downloads everything from this seeder; then both stop.
    pub(crate) fn serves_on(self, content: &Content) {
        Self::leecher(content, "mainline.toml", &[], &[self.address()]).finish(content);
        self.finish(content);
    }

    /// This leecher downloads everything from an honest peer, and nothing bad; then both stop.
    pub(crate) fn downloads_on(self, content: &Content) {
        let seeder = Self::seeder(content, "mainline.toml", &[], &[self.address()]);
        self.complete();
        assert_eq!(self.torrent.progress().status.hash_failures, 0);
        self.finish(content);
        seeder.finish(content);
    }
}
