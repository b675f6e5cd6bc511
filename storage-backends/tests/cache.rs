//! The layer `cache`: what it saves before a slow store, and when it says that a piece is kept.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bt_api::testkit::TestHost;
use bt_api::{
    Block, BoxFuture, Bytes, Host, Instant, PieceIndex, PieceSet, Plugin, StorageError, StorageErrorKind,
    StorageLayer, Torrent, TorrentStore,
};
use bt_storage::layer::cache::{self, Cache};
use bt_storage::layer::faulty::{self, Faulty};
use bt_storage::layer::slow::Slow;
use bt_storage::memory::Memory;
use common::{Waiting, blocks, open, pattern, torrent};
use futures::FutureExt;
use futures::executor::block_on;

const PIECE: u32 = 256 << 10;
const BLOCK: u32 = 16 << 10;
const PIECES: u32 = 32;

fn cache(size: &str, write_back: bool) -> Box<dyn StorageLayer> {
    Cache::build(cache::Config { size: size.parse().unwrap(), write_back }).unwrap()
}

fn content() -> Torrent {
    torrent("unused".as_ref(), &[("a", u64::from(PIECE) * u64::from(PIECES))], PIECE)
}

fn memory(torrent: &Torrent, host: &Arc<TestHost>) -> Box<dyn TorrentStore> {
    open(&*Memory::build(Default::default()).unwrap(), torrent.clone(), host.clone()).unwrap().0
}

/// How long it takes to write every piece block by block, seal it, and read it block by block.
fn life(
    wrap: impl Fn(Box<dyn TorrentStore>, Arc<Torrent>, Arc<TestHost>) -> Box<dyn TorrentStore>,
) -> Duration {
    let (torrent, host) = (content(), TestHost::auto_advancing());
    let store = Waiting(wrap(memory(&torrent, &host), Arc::new(torrent), host.clone()));
    for piece in 0..PIECES {
        let bytes = pattern(piece as u8, PIECE as usize);
        for (i, block) in blocks(&bytes, BLOCK as usize).into_iter().enumerate() {
            store.write_blocks(piece, i as u32 * BLOCK, vec![block]).unwrap();
        }
        store.seal(piece);
    }
    for piece in 0..PIECES {
        let bytes = pattern(piece as u8, PIECE as usize);
        for (i, block) in bytes.chunks(BLOCK as usize).enumerate() {
            assert_eq!(store.read(piece, i as u32 * BLOCK, BLOCK).unwrap(), block);
        }
    }
    host.now() - Instant::ZERO
}

/// 16 writes, a seal and 16 reads a piece against one write, one seal and one read.
#[test]
fn a_cache_recovers_most_of_what_a_slow_store_costs() {
    let slow = |inner, torrent, host| Slow::build(Default::default()).unwrap().wrap(inner, torrent, host);
    let bare = life(|inner, torrent, host| slow(inner, torrent, host));
    // A tenth of the torrent: what is read was written long ago and left the cache.
    let cached = life(|inner, torrent, host| {
        let slow = slow(inner, torrent.clone(), host.clone());
        cache("768 KiB", true).wrap(slow, torrent, host)
    });
    let calls = |time: Duration| time.as_millis() as u32 / 10;
    assert_eq!((calls(bare), calls(cached)), (PIECES * 33, PIECES * 3));
    // What is still here is not even fetched.
    let roomy = life(|inner, torrent, host| {
        let slow = slow(inner, torrent.clone(), host.clone());
        cache("64 MiB", true).wrap(slow, torrent, host)
    });
    assert_eq!(calls(roomy), PIECES * 2);
    let read_only = life(|inner, torrent, host| {
        let slow = slow(inner, torrent.clone(), host.clone());
        cache("768 KiB", false).wrap(slow, torrent, host)
    });
    assert_eq!(calls(read_only), PIECES * (16 + 1 + 1));
}

/// Passes everything on, and notes what it was asked; seals wait for `gate`.
struct Witness {
    inner: Box<dyn TorrentStore>,
    calls: Arc<Mutex<Vec<String>>>,
    gate: futures::future::Shared<BoxFuture<'static, ()>>,
}

impl Witness {
    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

impl TorrentStore for Witness {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        self.inner.held()
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        self.note(format!("read {piece} {offset} {length}"));
        self.inner.read(piece, offset, length)
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        let length: usize = blocks.iter().map(|block| block.len()).sum();
        self.note(format!("write {piece} {offset} {length}"));
        self.inner.write(piece, offset, blocks)
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.gate.clone().await;
            self.note(format!("seal {piece}"));
            self.inner.seal(piece).await
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.note("checkpoint".to_owned());
        self.inner.checkpoint()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.note("close".to_owned());
        self.inner.close()
    }
}

/// A cache of so many bytes before a store that notes its calls, for three pieces of four bytes.
struct Watched {
    store: Waiting,
    calls: Arc<Mutex<Vec<String>>>,
    open_gate: Option<futures::channel::oneshot::Sender<()>>,
}

fn watched(size: &str) -> Watched {
    let (torrent, host) = (torrent("unused".as_ref(), &[("a", 12)], 4), TestHost::new());
    let (open_gate, gate) = futures::channel::oneshot::channel();
    let calls = Arc::default();
    let gate = async move { gate.await.unwrap_or(()) }.boxed().shared();
    let inner = Witness { inner: memory(&torrent, &host), calls: Arc::clone(&calls), gate };
    let store = Waiting(cache(size, true).wrap(Box::new(inner), Arc::new(torrent), host));
    Watched { store, calls, open_gate: Some(open_gate) }
}

impl Watched {
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn open_gate(&mut self) {
        drop(self.open_gate.take());
    }
}

#[test]
fn a_piece_is_sealed_when_the_wrapped_store_has_sealed_it() {
    let mut watched = watched("1 KiB");
    watched.store.write(1, 0, b"ab").unwrap();
    watched.store.write(1, 2, b"cd").unwrap();
    assert_eq!(watched.calls(), [""; 0]);
    let mut seal = watched.store.0.seal(PieceIndex(1));
    assert!((&mut seal).now_or_never().is_none(), "the wrapped store has not sealed it");
    assert_eq!(*watched.calls.lock().unwrap(), ["write 1 0 4"], "in one call");
    assert!(watched.store.held().is_empty());
    drop(watched.open_gate.take().expect("it is shut"));
    seal.now_or_never().unwrap().unwrap();
    assert_eq!(watched.store.pieces_held(), [1]);
    watched.calls();
    assert_eq!(watched.store.read(1, 1, 2).unwrap(), b"bc");
    assert_eq!(watched.calls(), [""; 0], "it is read from memory");
}

#[test]
fn the_piece_used_longest_ago_makes_room() {
    let mut watched = watched("8 B");
    watched.open_gate();
    watched.store.write(0, 0, b"aaaa").unwrap();
    watched.store.write(1, 0, b"bbb").unwrap();
    watched.store.read(0, 0, 4).unwrap();
    watched.store.write(2, 1, b"cc").unwrap();
    assert_eq!(watched.calls(), ["write 1 0 3"], "piece 0 was used since");
    // What left is written to the wrapped store, and what comes back is only the rest.
    watched.store.write(1, 3, b"d").unwrap();
    assert_eq!(watched.store.read(1, 0, 4).unwrap(), b"bbbd");
    watched.store.seal(1);
    assert_eq!(watched.calls(), ["write 0 0 4", "write 1 3 1", "read 1 0 4", "seal 1"]);
    // Sealed, its second half came from here and its first did not: it is fetched once.
    assert_eq!(watched.store.read(1, 0, 2).unwrap(), b"bb");
    assert_eq!(watched.store.read(1, 2, 2).unwrap(), b"bd");
    assert_eq!(watched.calls(), ["read 1 0 4"]);
}

#[test]
fn a_checkpoint_and_the_end_hand_over_what_is_not_whole() {
    let mut watched = watched("1 KiB");
    watched.open_gate();
    watched.store.write(0, 1, b"xy").unwrap();
    watched.store.checkpoint().unwrap();
    watched.store.checkpoint().unwrap();
    watched.store.write(0, 0, b"w").unwrap();
    watched.store.close().unwrap();
    assert_eq!(watched.calls(), ["write 0 1 2", "checkpoint", "checkpoint", "write 0 0 1", "close"]);
}

#[test]
fn a_piece_longer_than_the_cache_passes_by() {
    let mut watched = watched("3 B");
    watched.open_gate();
    watched.store.write(0, 0, b"abcd").unwrap();
    watched.store.seal(0);
    assert_eq!(watched.store.read(0, 1, 2).unwrap(), b"bc");
    assert_eq!(watched.calls(), ["write 0 0 4", "seal 0", "read 0 1 2"]);
}

/// The wrapped store is full: nothing that was taken is lost, and it all goes on once there is room.
#[test]
fn what_cannot_be_handed_over_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("full");
    std::fs::write(&mark, "").unwrap();
    let (torrent, host) = (torrent("unused".as_ref(), &[("a", 12)], 4), TestHost::new());
    let config = faulty::Config {
        capacity: bt_api::config::Limit::At(bt_api::config::Size(2)),
        full_while: mark.clone(),
        ..Default::default()
    };
    let inner = memory(&torrent, &host);
    let full = Faulty::build(config).unwrap().wrap(inner, Arc::new(torrent.clone()), host.clone());
    let store = Waiting(cache("8 B", true).wrap(full, Arc::new(torrent), host));
    store.write(0, 0, b"aaaa").unwrap();
    store.write(1, 0, b"bbbb").unwrap();
    let error = store.write(2, 0, b"cccc").unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Full);
    let error = block_on(store.0.seal(PieceIndex(0))).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Full);
    assert!(store.checkpoint().is_err());
    assert!(store.held().is_empty());
    assert_eq!(store.read(1, 0, 4).unwrap(), b"bbbb");
    std::fs::remove_file(mark).unwrap();
    store.write(2, 0, b"cccc").unwrap();
    for (piece, byte) in [(0, b'a'), (1, b'b'), (2, b'c')] {
        store.seal(piece);
        assert_eq!(store.read(piece, 0, 4).unwrap(), [byte; 4]);
    }
    assert!(store.held().is_full());
}

/// The wrapped store is full: what it has is read all the same.
#[test]
fn who_reads_needs_no_room() {
    let (torrent, host) = (torrent("unused".as_ref(), &[("a", 12)], 4), TestHost::new());
    let config =
        faulty::Config { capacity: bt_api::config::Limit::At(bt_api::config::Size(4)), ..Default::default() };
    let inner = memory(&torrent, &host);
    let full = Faulty::build(config).unwrap().wrap(inner, Arc::new(torrent.clone()), host.clone());
    let store = Waiting(cache("8 B", true).wrap(full, Arc::new(torrent), host));
    for (piece, bytes) in [(0, b"aaaa"), (1, b"bbbb"), (2, b"cccc")] {
        store.write(piece, 0, bytes).unwrap();
        if piece == 0 {
            store.seal(piece);
        }
    }
    assert_eq!(store.write(0, 0, b"more").unwrap_err().kind(), StorageErrorKind::Full);
    assert_eq!(store.read(0, 1, 2).unwrap(), b"aa");
    assert_eq!(store.read(1, 0, 4).unwrap(), b"bbbb", "nothing left for it");
}

/// A block that the cache kept would keep its buffer from the client's pool.
#[test]
fn no_block_is_kept() {
    let watched = watched("1 KiB");
    let block = Block::from(pattern(1, 4));
    watched.store.write_blocks(0, 0, vec![block.clone()]).unwrap();
    assert!(block.into_bytes().is_unique());
}

/// Dropped while the wrapped store seals it: nothing is lost, and it is sealed when asked again.
#[test]
fn a_dropped_seal_can_be_asked_again() {
    let mut watched = watched("1 KiB");
    watched.store.write(2, 0, b"abcd").unwrap();
    assert!(watched.store.0.seal(PieceIndex(2)).now_or_never().is_none());
    assert!(watched.store.held().is_empty());
    watched.open_gate();
    watched.store.seal(2);
    assert_eq!(watched.store.pieces_held(), [2]);
    assert_eq!(watched.store.read(2, 0, 4).unwrap(), b"abcd");
    assert_eq!(watched.calls(), ["write 2 0 4", "seal 2"]);
}

#[test]
fn a_cache_of_no_size_is_refused() {
    let config = cache::Config { size: bt_api::config::Size(0), ..cache::Config::default() };
    assert!(Cache::build(config).is_err());
}
