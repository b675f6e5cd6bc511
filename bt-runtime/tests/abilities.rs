//! Each ability that a store, a layer, a tracker client or a source must have (bt-api's traits), in a tiny
//! plug-in that needs exactly it, chosen by a profile and run over real sockets. Those of policies are in
//! `engine/tests/abilities.rs`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_std::future::timeout;
use async_std::task::block_on;
use bt_api::{
    Announce, AnnounceReply, Block, BoxFuture, BuildError, Bytes, Host, InfoHash, PeerAddress, PieceHash,
    PieceIndex, PieceSet, Plugin, ScrapeReply, StorageBackend, StorageError, StorageErrorKind, StorageLayer,
    Torrent, TorrentLayout, TorrentStore, TrackerClient, TrackerError, TrackerErrorKind, plugin,
    run_blocking,
};
use bt_engine::metainfo::{Metainfo, Rules, create};
use bt_runtime::Profile;
use bt_runtime::net::{AddOptions, Phase, Session, SessionOptions, TorrentHandle};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use tempfile::{TempDir, tempdir};

use {bt_policies as _, bt_storage as _};

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const PIECE: u32 = 64 << 10;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// What tells the tests of one process apart.
    test: String,
}

/// What plug-ins of the test `name` saw, in order.
fn seen(name: &str) -> Arc<Mutex<Vec<String>>> {
    static ALL: Mutex<BTreeMap<String, Arc<Mutex<Vec<String>>>>> = Mutex::new(BTreeMap::new());
    ALL.lock().unwrap().entry(name.to_owned()).or_default().clone()
}

fn note(name: &str, what: impl Into<String>) {
    seen(name).lock().unwrap().push(what.into());
}

fn count(name: &str, what: &str) -> usize {
    seen(name).lock().unwrap().iter().filter(|seen| seen.starts_with(what)).count()
}

/// A store of its own: one flat file in the order of arrival. It moves pieces about, vouches for what it
/// saved, reads on workers, and hands out buffers that it has anyway.
struct Arrival(Config);

impl Plugin for Arrival {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "arrival";
    const SUMMARY: &'static str = "pieces in the order of arrival";
    fn build(config: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        Ok(Box::new(Self(config)))
    }
}
bt_api::register!(Arrival);

impl StorageBackend for Arrival {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        let test = self.0.test.clone();
        Box::pin(async move {
            assert_eq!(torrent.piece_hashes.len() as u32, torrent.layout.piece_count());
            note(&test, format!("open {}", torrent.saved.as_ref().map_or("new", |_| "saved")));
            let path = torrent.folder.join(torrent.info_hash.to_string());
            // Saved: the pieces in the order of their slots.
            let slots =
                torrent.saved.iter().flat_map(|saved| saved.iter()).map(|&piece| Some(u32::from(piece)));
            let slots: Vec<Option<u32>> = slots.collect();
            let sealed = slots.iter().flatten().copied().collect();
            let state = Mutex::new(Slots { slots, sealed, open: BTreeMap::new() });
            Ok(Box::new(ArrivalStore { test, torrent, path, host, state }) as Box<dyn TorrentStore>)
        })
    }
}

struct ArrivalStore {
    test: String,
    torrent: Arc<Torrent>,
    path: PathBuf,
    host: Arc<dyn Host>,
    state: Mutex<Slots>,
}

struct Slots {
    slots: Vec<Option<u32>>,
    sealed: Vec<u32>,
    /// Pieces that are being written, in memory until they are sealed.
    open: BTreeMap<u32, Vec<u8>>,
}

impl TorrentStore for ArrivalStore {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async {
            let mut held = PieceSet::new(self.torrent.layout.piece_count());
            self.state.lock().unwrap().sealed.iter().for_each(|&piece| {
                held.insert(PieceIndex(piece));
            });
            Ok(held)
        })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            let range = offset as usize..(offset + length) as usize;
            let slot = {
                let state = self.state.lock().unwrap();
                if let Some(bytes) = state.open.get(&piece.0) {
                    // A buffer of its own, not of the pool.
                    return Ok(Block::from(bytes[range].to_vec()));
                }
                state.slots.iter().position(|slot| *slot == Some(piece.0))
            };
            let missing = || StorageError::new(StorageErrorKind::Missing, format!("reading piece {piece}"));
            let at = slot.ok_or_else(missing)? * PIECE as usize + offset as usize;
            let path = self.path.clone();
            let whole = run_blocking(&*self.host, move || std::fs::read(path)).await;
            let whole = whole.map_err(|error| StorageError::io("reading the flat file", error))?;
            note(&self.test, "read");
            Ok(Block::from(whole.get(at..at + length as usize).ok_or_else(missing)?.to_vec()))
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let length = self.torrent.layout.piece_length(piece) as usize;
            let mut state = self.state.lock().unwrap();
            let bytes = state.open.entry(piece.0).or_insert_with(|| vec![0; length]);
            let whole: Vec<u8> = blocks.iter().flat_map(|block| block.iter().copied()).collect();
            bytes[offset as usize..offset as usize + whole.len()].copy_from_slice(&whole);
            note(&self.test, "write");
            Ok(())
        })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let (slot, bytes) = {
                let mut state = self.state.lock().unwrap();
                let bytes = state.open.get(&piece.0).cloned();
                state.slots.push(Some(piece.0));
                state.sealed.push(piece.0);
                (state.slots.len() as u64 - 1, bytes.unwrap_or_default())
            };
            let path = self.path.clone();
            let written = run_blocking(&*self.host, move || {
                use std::io::{Seek, SeekFrom, Write};
                let mut file =
                    std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
                file.seek(SeekFrom::Start(slot * u64::from(PIECE)))?;
                file.write_all(&bytes)
            });
            written.await.map_err(|error| StorageError::io("writing the flat file", error))?;
            // From here on it is read from its slot: the store orders its own move.
            self.state.lock().unwrap().open.remove(&piece.0);
            note(&self.test, "seal");
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        let slots: Vec<u8> =
            self.state.lock().unwrap().slots.iter().flatten().map(|&piece| piece as u8).collect();
        Box::pin(async { Ok(Some(Bytes::from(slots))) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        note(&self.test, "close");
        Box::pin(async { Ok(()) })
    }
}

/// A layer that passes everything on, and notes that it was there; every third write fails, each time
/// otherwise.
struct Unsteady(Config);

impl Plugin for Unsteady {
    type Kind = plugin::Layer;
    type Config = Config;
    const NAME: &'static str = "unsteady";
    const SUMMARY: &'static str = "fails now and then";
    fn build(config: Config) -> Result<Box<dyn StorageLayer>, BuildError> {
        Ok(Box::new(Self(config)))
    }
}
bt_api::register!(Unsteady);

impl StorageLayer for Unsteady {
    fn wrap(&self, inner: Box<dyn TorrentStore>, _: Arc<Torrent>, _: Arc<dyn Host>) -> Box<dyn TorrentStore> {
        Box::new(UnsteadyStore { inner, test: self.0.test.clone(), writes: AtomicUsize::new(0) })
    }
}

struct UnsteadyStore {
    inner: Box<dyn TorrentStore>,
    test: String,
    writes: AtomicUsize,
}

impl TorrentStore for UnsteadyStore {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        self.inner.held()
    }
    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            let read = self.inner.read(piece, offset, length).await;
            if read.is_ok() {
                note(&self.test, "read");
            }
            read
        })
    }
    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let kind = match number {
            1 => StorageErrorKind::Temporary,
            3 => StorageErrorKind::Full,
            6 => StorageErrorKind::Missing,
            _ => return self.inner.write(piece, offset, blocks),
        };
        note(&self.test, format!("failed {kind}"));
        Box::pin(async move { Err(StorageError::new(kind, format!("writing piece {piece}"))) })
    }
    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        self.inner.seal(piece)
    }
    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.inner.checkpoint()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        note(&self.test, "layer closed");
        self.inner.close()
    }
}

/// Where the seeder of a test listens, for clients that are asked for peers.
static SEEDERS: Mutex<BTreeMap<String, SocketAddr>> = Mutex::new(BTreeMap::new());

fn seeder_of(test: &str) -> Vec<PeerAddress> {
    let address = SEEDERS.lock().unwrap().get(test).copied();
    address.into_iter().map(|address| PeerAddress { address, id: None }).collect()
}

macro_rules! tracker_client {
    ($client:ident, $name:literal, $schemes:expr, $announce:expr, $unasked:expr) => {
        struct $client(Config);

        impl Plugin for $client {
            type Kind = plugin::Tracker;
            type Config = Config;
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = "for a test";
            fn build(config: Config) -> Result<Box<dyn TrackerClient>, BuildError> {
                Ok(Box::new(Self(config)))
            }
        }
        bt_api::register!($client);

        impl TrackerClient for $client {
            fn schemes(&self) -> &'static [&'static str] {
                $schemes
            }
            fn announce<'a>(
                &'a self,
                url: Option<&'a str>,
                announce: &'a Announce,
                _: &'a dyn Host,
            ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
                let event = announce.event.map_or("-", |event| event.as_str());
                note(&self.0.test, format!("{} {} {event}", $name, url.unwrap_or("-")));
                let peers: Vec<PeerAddress> = $announce(&self.0.test);
                Box::pin(async { Ok(AnnounceReply { peers, ..AnnounceReply::default() }) })
            }
            fn scrape<'a>(
                &'a self,
                _: &'a str,
                _: &'a [InfoHash],
                _: &'a dyn Host,
            ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
                Box::pin(async { Err(TrackerError::new(TrackerErrorKind::Unsupported, "no scrape")) })
            }
            fn unasked<'a>(
                &'a self,
                _: &'a Announce,
                host: &'a dyn Host,
            ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
                let peers: Option<Vec<PeerAddress>> = $unasked(&self.0.test);
                Box::pin(async move {
                    match peers {
                        // Once; then it hears of nobody for a long time.
                        Some(peers) if !peers.is_empty() && count(&self.0.test, "spoke up") == 0 => {
                            note(&self.0.test, "spoke up");
                            let now = host.now();
                            host.sleep_until(now + Duration::from_millis(1)).await;
                            Ok(peers)
                        }
                        _ => futures::future::pending().await,
                    }
                })
            }
        }
    };
}

tracker_client!(Alpha, "alpha", &["alpha"], |_: &str| Vec::new(), |_: &str| None);
tracker_client!(Beta, "beta", &["beta", "gamma"], seeder_of, |_: &str| None);
tracker_client!(Herald, "herald", &[], |_: &str| Vec::new(), |test: &str| Some(seeder_of(test)));

struct Content {
    metainfo: Metainfo,
    bytes: Vec<u8>,
    folder: TempDir,
}

fn content(pieces: u32) -> Content {
    let length = u64::from(pieces) * u64::from(PIECE) - 1000;
    let bytes: Vec<u8> = (0..length).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 29) as u8).collect();
    let layout = TorrentLayout::single("file", length, PIECE).unwrap();
    let hashes: Vec<_> =
        bytes.chunks(PIECE as usize).map(|piece| PieceHash(Sha1::digest(piece).into())).collect();
    let metainfo = Metainfo::parse(&create(&layout, &hashes, &Default::default()), Rules::Lenient).unwrap();
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("file"), &bytes).unwrap();
    Content { metainfo, bytes, folder }
}

async fn session(storage: &str, tracker: &str, state: Option<&Path>) -> Session {
    let text = format!(
        "[choke]\nuse = 'tit-for-tat'\n[piece]\nuse = 'rarest-first'\n[announce]\nmultitracker = true\n{storage}\n{tracker}"
    );
    let profile = Profile::from_text("test", &text, &[]).unwrap_or_else(|error| panic!("{error}"));
    let options = SessionOptions {
        listen: Some((Ipv4Addr::LOCALHOST.into(), 0, 0)),
        state: state.map(Path::to_owned),
        ..SessionOptions::default()
    };
    Session::start(Arc::new(profile), options).await.unwrap()
}

const FILES: &str = "[storage]\nuse = 'files'";
const NO_TRACKER: &str = "[tracker]\nuse = []";

async fn add(
    session: &Session,
    content: &Content,
    folder: &Path,
    peers: &[SocketAddr],
    trackers: &[&str],
) -> TorrentHandle {
    let trackers = trackers.iter().map(|url| vec![(*url).to_owned()]).collect();
    let options = AddOptions {
        folder: folder.to_owned(),
        peers: peers.to_vec(),
        trackers: Some(trackers),
        check: false,
    };
    session.add(content.metainfo.clone(), options).await.unwrap()
}

async fn complete(handle: &TorrentHandle) {
    let done = timeout(PATIENCE, handle.wait_complete()).await;
    assert!(done.is_ok(), "{:?}", handle.progress());
}

async fn seeder(content: &Content) -> Session {
    let seeder = session(FILES, NO_TRACKER, None).await;
    complete(&add(&seeder, content, content.folder.path(), &[], &[]).await).await;
    seeder
}

/// A store that looks at what is there for ever, and says that it has seen three pieces.
struct Glacial;

impl Plugin for Glacial {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "glacial";
    const SUMMARY: &'static str = "starts, and never has started";
    fn build(_: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        Ok(Box::new(Self))
    }
}
bt_api::register!(Glacial);

impl StorageBackend for Glacial {
    fn open(
        &self,
        _: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            [1, 3, 2].into_iter().for_each(|pieces| host.looked_at(pieces));
            futures::future::pending().await
        })
    }
}

/// What a store says of a slow start is the progress that users see; and it can be stopped.
#[test]
fn a_slow_start_of_a_store_is_seen() {
    block_on(async {
        let (content, folder) = (content(20), tempdir().unwrap());
        let session = session("[storage]\nuse = 'glacial'", NO_TRACKER, None).await;
        let handle = add(&session, &content, folder.path(), &[], &[]).await;
        let seen = async {
            while handle.progress().phase != (Phase::Checking { done: 3, total: 20 }) {
                async_std::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, seen).await.is_ok(), "{:?}", handle.progress());
        session.stop().await;
    });
}

/// What `compact` found out of order at its start is not hashed again; the one piece that may have been begun is.
#[test]
fn what_a_store_hashed_at_its_start_is_not_hashed_again() {
    block_on(async {
        let (content, folder) = (content(20), tempdir().unwrap());
        let at = |piece: usize| &content.bytes[piece * PIECE as usize..][..PIECE as usize];
        std::fs::write(folder.path().join("file"), [at(7), at(1), &[0; PIECE as usize], at(5)].concat())
            .unwrap();
        let storage = "[storage]\nuse = 'compact'\n[[storage.layer]]\nuse = 'unsteady'\ntest = 'again'";
        let session = session(storage, NO_TRACKER, None).await;
        let handle = add(&session, &content, folder.path(), &[], &[]).await;
        let running = async {
            while handle.progress().status.bytes_total == 0 {
                async_std::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, running).await.is_ok(), "{:?}", handle.progress());
        assert_eq!(handle.progress().status.bytes_have, 3 * u64::from(PIECE));
        assert_eq!(count("again", "read"), 1);
        session.stop().await;
    });
}

/// A store that keeps pieces elsewhere than they belong, moves them, vouches for what it saved, and is read
/// from.
#[test]
fn a_store_of_its_own_order_downloads_resumes_and_seeds() {
    block_on(async {
        let (content, folder, state) = (content(20), tempdir().unwrap(), tempdir().unwrap());
        let storage = "[storage]\nuse = 'arrival'\ntest = 'order'";
        let first = seeder(&content).await;
        let middle = session(storage, NO_TRACKER, Some(state.path())).await;
        complete(&add(&middle, &content, folder.path(), &[first.local_address()], &[]).await).await;
        middle.stop().await;
        first.stop().await;
        assert_eq!((count("order", "seal"), count("order", "close")), (20, 1));
        // A second run has what the store vouches for, hashes nothing, and serves it.
        let reads = count("order", "read");
        let middle = session(storage, NO_TRACKER, Some(state.path())).await;
        let handle = add(&middle, &content, folder.path(), &[], &[]).await;
        complete(&handle).await;
        assert_eq!((count("order", "open saved"), count("order", "read") - reads), (1, 0));
        let last = session(FILES, NO_TRACKER, None).await;
        let target = tempdir().unwrap();
        complete(&add(&last, &content, target.path(), &[middle.local_address()], &[]).await).await;
        last.stop().await;
        middle.stop().await;
        assert_eq!(std::fs::read(target.path().join("file")).unwrap(), content.bytes);
    });
}

/// Layers from the profile; error kinds that pause, are tried again, or make a piece wanted again.
#[test]
fn a_layer_wraps_any_store_and_its_errors_heal() {
    block_on(async {
        let (content, folder) = (content(12), tempdir().unwrap());
        let first = seeder(&content).await;
        let storage = format!("{FILES}\n[[storage.layer]]\nuse = 'unsteady'\ntest = 'layer'");
        let leecher = session(&storage, NO_TRACKER, None).await;
        let handle = add(&leecher, &content, folder.path(), &[first.local_address()], &[]).await;
        complete(&handle).await;
        leecher.stop().await;
        first.stop().await;
        for kind in ["temporary", "full", "missing"] {
            assert_eq!(count("layer", &format!("failed {kind}")), 1, "{kind}");
        }
        assert_eq!(count("layer", "layer closed"), 1);
        assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), content.bytes);
        assert_eq!(handle.progress().status.hash_failures, 0);
    });
}

/// Several clients in one profile, chosen by the scheme of the URL.
#[test]
fn a_url_goes_to_the_client_of_its_scheme() {
    block_on(async {
        let (content, folder) = (content(3), tempdir().unwrap());
        let first = seeder(&content).await;
        SEEDERS.lock().unwrap().insert("scheme".to_owned(), first.local_address());
        let tracker = "[tracker]\nuse = ['alpha', 'beta']\n[tracker.alpha]\ntest = 'scheme'\n[tracker.beta]\ntest = 'scheme'";
        let leecher = session(FILES, tracker, None).await;
        let urls = ["delta://nobody/serves/this", "gamma://here/announce"];
        let handle = add(&leecher, &content, folder.path(), &[], &urls).await;
        complete(&handle).await;
        leecher.stop().await;
        first.stop().await;
        let seen = seen("scheme").lock().unwrap().clone();
        assert_eq!(seen.first().map(String::as_str), Some("beta gamma://here/announce started"), "{seen:?}");
        assert_eq!(seen.last().map(String::as_str), Some("beta gamma://here/announce stopped"), "{seen:?}");
        assert_eq!(count("scheme", "alpha"), 0);
    });
}

/// A source without a URL, which is asked, and which speaks up by itself.
#[test]
fn a_source_speaks_up_by_itself() {
    block_on(async {
        let (content, folder) = (content(3), tempdir().unwrap());
        let first = seeder(&content).await;
        SEEDERS.lock().unwrap().insert("herald".to_owned(), first.local_address());
        let tracker = "[tracker]\nuse = ['herald']\n[tracker.herald]\ntest = 'herald'";
        let leecher = session(FILES, tracker, None).await;
        let handle = add(&leecher, &content, folder.path(), &[], &[]).await;
        complete(&handle).await;
        leecher.stop().await;
        first.stop().await;
        assert_eq!((count("herald", "spoke up"), count("herald", "herald - -")), (1, 1));
    });
}
