//! One plug-in of each kind that misbehaves when it is told to, towards the torrent that is called `ill`. Policies do not
//! see names: they know it by its pieces, which are half as long as those of the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bt_api::{
    Advertise, Announce, AnnounceReply, Block, BoxFuture, BuildError, Bytes, Cause, ChokePolicy, Host,
    InfoHash, Instant, Notice, PeerAddress, PeerEvent, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex,
    PiecePolicy, PieceSet, PieceView, Plugin, Reason, Rng, ScrapeReply, Serve, StorageBackend, StorageError,
    StorageErrorKind, SwarmView, Torrent, TorrentStore, TrackerClient, TrackerError, TrackerErrorKind,
    Unchokes, Waiting, plugin, run_blocking,
};
use serde::{Deserialize, Serialize};

/// The length of the ill torrent's pieces in bytes, and of the other's.
pub(crate) const PIECE: [u32; 2] = [32 << 10, 64 << 10];

/// The `odd` table of each kind.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Odd {
    /// At which of its methods.
    at: String,
    /// What it does there: `panic`, `pend` (never answers), `block` (the caller's thread, for ever) or `block-lent`
    /// (that of `run_blocking`).
    does: String,
}

impl Odd {
    fn is_at(&self, method: &str) -> bool {
        self.at == method
    }

    /// What cannot wait can only panic here.
    fn reach(&self, method: &str, ill: bool) {
        assert!(!(ill && self.is_at(method)), "broken at {method}");
    }

    async fn misbehave(&self, method: &str, ill: bool, host: &dyn Host) {
        if !ill || !self.is_at(method) {
            return;
        }
        match self.does.as_str() {
            "pend" => std::future::pending().await,
            "block" => block_for_ever(),
            "block-lent" => run_blocking(host, block_for_ever).await,
            _ => panic!("broken at {method}"),
        }
    }
}

fn block_for_ever() {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! odd {
    ($type:ident, $kind:ident, $object:path, $make:expr) => {
        impl Plugin for $type {
            type Kind = plugin::$kind;
            type Config = Odd;
            const NAME: &'static str = "odd";
            const SUMMARY: &'static str = "misbehaves when it is told to";
            fn build(odd: Odd) -> Result<Box<dyn $object>, BuildError> {
                assert!(!odd.is_at("build"), "broken at build");
                let make: fn(Odd) -> $type = $make;
                Ok(Box::new(make(odd)))
            }
        }
        bt_api::register!($type);
    };
}

/// Serves everyone.
struct OddChoke {
    odd: Odd,
    next: Instant,
    ill: bool,
}
odd!(OddChoke, Choke, ChokePolicy, |odd| OddChoke { odd, next: Instant::ZERO, ill: false });

impl OddChoke {
    fn look(&mut self, swarm: &SwarmView<'_>) {
        self.ill |= swarm.own().piece_length == PIECE[0];
    }
}

impl ChokePolicy for OddChoke {
    fn next_round(&self) -> Instant {
        self.odd.reach("next-round", self.ill);
        self.next
    }

    fn max_interested(&self) -> usize {
        self.odd.reach("max-interested", self.ill);
        usize::MAX
    }

    fn notice(&mut self, _: Instant, _: PeerEvent<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        self.look(swarm);
        self.odd.reach("notice", self.ill);
        Notice::Rechoke
    }

    fn choose(
        &mut self,
        now: Instant,
        _: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        self.look(swarm);
        self.odd.reach("choose", self.ill);
        self.next = now + Duration::from_secs(1);
        swarm.peers().iter().for_each(|peer| unchokes.push(peer.key, Reason::EVERYONE));
        if self.ill && self.odd.is_at("lie") {
            swarm.peers().iter().for_each(|peer| unchokes.push(PeerKey(peer.key.0 + 1000), Reason::RANDOM));
        }
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        self.odd.reach("serve", self.ill);
        Serve::ByShare
    }
}

impl Drop for OddChoke {
    fn drop(&mut self) {
        self.odd.reach("drop", self.ill);
    }
}

/// Asks for pieces in order.
struct OddPiece {
    odd: Odd,
    ill: bool,
}
odd!(OddPiece, Piece, PiecePolicy, |odd| OddPiece { odd, ill: false });

impl OddPiece {
    fn reach(&mut self, method: &str, pieces: &PieceView<'_>) {
        self.ill |= pieces.pieces().piece_length(PieceIndex(0)) == PIECE[0];
        self.odd.reach(method, self.ill);
    }
}

impl PiecePolicy for OddPiece {
    fn pick(&mut self, _: Instant, peer: &PeerFacts, view: &PieceView<'_>, _: &mut dyn Rng) -> Pick {
        self.reach("pick", view);
        if self.ill && self.odd.is_at("lie") {
            return Pick::Piece(PieceIndex(u32::MAX));
        }
        let offered = view.pieces().open().iter().find(|&piece| view.offers(peer, piece));
        offered.map_or(Pick::Nothing, Pick::Piece)
    }

    fn notice(&mut self, _: Instant, _: PieceEvent, view: &PieceView<'_>, _: &mut dyn Rng) {
        self.reach("notice", view);
    }

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        self.reach("endgame", view);
        false
    }

    fn next_wakeup(&self) -> Option<Instant> {
        self.odd.reach("next-wakeup", self.ill);
        None
    }

    fn advertise(&mut self, _: Instant, _: PeerKey, view: &PieceView<'_>, _: &mut dyn Rng) -> Advertise {
        self.reach("advertise", view);
        Advertise::All
    }
}

/// Keeps pieces in a map.
struct OddStorage(Odd);
odd!(OddStorage, Storage, StorageBackend, OddStorage);

struct OddStore {
    odd: Odd,
    ill: bool,
    torrent: Arc<Torrent>,
    host: Arc<dyn Host>,
    pieces: Mutex<BTreeMap<PieceIndex, Vec<u8>>>,
}

impl OddStore {
    async fn reach(&self, method: &str) {
        self.odd.misbehave(method, self.ill, &*self.host).await;
    }
}

impl Drop for OddStore {
    fn drop(&mut self) {
        self.odd.reach("drop", self.ill);
    }
}

impl StorageBackend for OddStorage {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            let ill = torrent.layout.name() == "ill";
            let store = OddStore { odd: self.0.clone(), ill, torrent, host, pieces: Mutex::default() };
            store.reach("open").await;
            Ok(Box::new(store) as _)
        })
    }
}

impl TorrentStore for OddStore {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async {
            self.reach("held").await;
            let lies = self.ill && self.odd.is_at("lie-held");
            Ok(PieceSet::new(if lies { 3 } else { self.torrent.layout.piece_count() }))
        })
    }

    fn read(&self, piece: PieceIndex, at: u32, length: u32) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            let there =
                lock(&self.pieces).get(&piece).map(|bytes| bytes[at as usize..][..length as usize].to_vec());
            let missing = || StorageError::new(StorageErrorKind::Missing, format!("reading piece {piece}"));
            let mut bytes = there.ok_or_else(missing)?;
            self.reach("read").await;
            if self.ill && self.odd.is_at("short-read") {
                bytes.pop();
            }
            Ok(bytes.into())
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.reach("write").await;
            let length = self.torrent.layout.piece_length(piece) as usize;
            let mut pieces = lock(&self.pieces);
            let whole = pieces.entry(piece).or_insert_with(|| vec![0; length]);
            let mut at = offset as usize;
            for block in blocks {
                whole[at..][..block.len()].copy_from_slice(&block);
                at += block.len();
            }
            Ok(())
        })
    }

    fn seal(&self, _: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async {
            self.reach("seal").await;
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(async {
            self.reach("checkpoint").await;
            Ok(None)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async {
            self.reach("close").await;
            Ok(())
        })
    }
}

/// A source of peers that knows none.
struct OddTracker(Odd);
odd!(OddTracker, Tracker, TrackerClient, OddTracker);

/// The ill torrent, for the tracker client: the first four bytes of its info-hash.
pub(crate) static ILL: AtomicU32 = AtomicU32::new(0);

/// The first four bytes of an info-hash.
pub(crate) fn start_of(info_hash: InfoHash) -> u32 {
    let [a, b, c, d, ..] = info_hash.0;
    u32::from_be_bytes([a, b, c, d])
}

impl OddTracker {
    async fn reach(&self, method: &str, announce: &Announce, host: &dyn Host) {
        let ill = start_of(announce.info_hash) == ILL.load(Ordering::Relaxed);
        self.0.misbehave(method, ill, host).await;
    }
}

impl TrackerClient for OddTracker {
    fn schemes(&self) -> &'static [&'static str] {
        self.0.reach("schemes", true);
        &[]
    }

    fn announce<'a>(
        &'a self,
        _: Option<&'a str>,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        Box::pin(async move {
            self.reach("announce", announce, host).await;
            let interval = Some(Duration::MAX);
            Ok(AnnounceReply { interval, min_interval: interval, ..AnnounceReply::default() })
        })
    }

    fn scrape<'a>(
        &'a self,
        _: &'a str,
        _: &'a [InfoHash],
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        Box::pin(async { Err(TrackerError::new(TrackerErrorKind::Unsupported, "nothing to ask")) })
    }

    fn unasked<'a>(
        &'a self,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        Box::pin(async move {
            self.reach("unasked", announce, host).await;
            std::future::pending().await
        })
    }
}
