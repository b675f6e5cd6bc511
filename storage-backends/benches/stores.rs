//! Bytes per second into and out of each backend, without the network and without waiting for a disk:
//! what the store itself and the system's page cache cost. With `--features object-store` that one too, in memory and, where
//! moto is installed, at a server on loopback.

use std::sync::Arc;

use bt_api::testkit::TestHost;
use bt_api::{
    Block, BoxFuture, Host, InfoHash, PieceHash, PieceIndex, Plugin, StorageBackend, StorageError, Torrent,
    TorrentLayout, TorrentStore,
};
use bt_storage::compact::{self, Compact};
use bt_storage::database::{self, Database};
use bt_storage::files::{Config, Files, SyncWhen};
use bt_storage::layer::cache::Cache;
use bt_storage::memory::Memory;
use bt_storage::null::Null;
use bt_storage::piece_files::{self, PieceFiles};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

#[cfg(feature = "object-store")]
#[path = "../tests/common/s3.rs"]
mod s3;

const PIECE: u32 = 1 << 20;
const PIECES: u32 = 64;
const BLOCK: usize = 16 << 10;

/// What every piece is.
fn data() -> Block {
    Block::from((0..PIECE).map(|i| i as u8).collect::<Vec<u8>>())
}

/// A new store of [`PIECES`] pieces in a folder of its own.
fn open(backend: &dyn StorageBackend, hashes: Hashes) -> (TempDir, Box<dyn TorrentStore>) {
    let folder = tempfile::tempdir().unwrap();
    let hash = PieceHash(Sha1::digest(data()).into());
    let torrent = Torrent {
        info_hash: InfoHash([0; 20]),
        layout: TorrentLayout::single("t", u64::from(PIECE) * u64::from(PIECES), PIECE).unwrap(),
        piece_hashes: match hashes {
            Hashes::True => vec![hash; PIECES as usize],
            Hashes::Apart => (0..PIECES).map(|piece| PieceHash([piece as u8; 20])).collect(),
        },
        folder: folder.path().to_owned(),
        saved: None,
    };
    let store = block_on(backend.open(Arc::new(torrent), TestHost::new())).unwrap();
    (folder, store)
}

/// The hashes of the pieces, all of which are the same.
#[derive(Clone, Copy)]
enum Hashes {
    /// Their own: for a store that hashes them.
    True,
    /// One for each piece: for a store that names pieces by it.
    Apart,
}

/// `files` behind a cache.
struct CachedFiles(Box<dyn StorageBackend>);

impl StorageBackend for CachedFiles {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            let inner = self.0.open(torrent.clone(), host.clone()).await?;
            Ok(Cache::build(Default::default()).unwrap().wrap(inner, torrent, host))
        })
    }
}

/// Every piece once, in an order that jumps about as the rarest first do.
fn order() -> impl Iterator<Item = PieceIndex> {
    (0..PIECES).map(|i| PieceIndex(i * 37 % PIECES))
}

/// Writes and seals every piece, `size` bytes a call, in blocks that are slices of one allocation.
fn fill(store: &dyn TorrentStore, data: &Block, size: u32) {
    for piece in order() {
        for offset in (0..PIECE).step_by(size as usize) {
            let starts = (offset as usize..(offset + size) as usize).step_by(BLOCK);
            let blocks = starts.map(|at| data.slice(at..at + BLOCK)).collect();
            block_on(store.write(piece, offset, blocks)).unwrap();
        }
        block_on(store.seal(piece)).unwrap();
    }
}

fn drain(store: &dyn TorrentStore, size: u32) {
    for piece in (0..PIECES).map(PieceIndex) {
        for offset in (0..PIECE).step_by(size as usize) {
            std::hint::black_box(block_on(store.read(piece, offset, size)).unwrap());
        }
    }
}

fn stores(criterion: &mut Criterion) {
    let files = || Files::build(Config { sync: SyncWhen::Never, ..Config::default() }).unwrap();
    // Every piece is the same, so what is hashed on its way home matches.
    let compact = compact::Config { sync: SyncWhen::Never, ..compact::Config::default() };
    let compact = Compact::build(compact).unwrap();
    let memory = Memory::build(Default::default()).unwrap();
    // A commit that waits for the disk measures the disk.
    let database = database::Config { sync: database::SyncWhen::Checkpoint, ..Default::default() };
    let database = Database::build(database).unwrap();
    let piece_files = piece_files::Config { sync: SyncWhen::Never, ..Default::default() };
    let piece_files = PieceFiles::build(piece_files).unwrap();
    let null = Null::build(Default::default()).unwrap();
    #[cfg_attr(not(feature = "object-store"), allow(unused_mut, reason = "more come with the feature"))]
    let mut backends: Vec<(&str, Box<dyn StorageBackend>, Hashes)> = vec![
        ("files", files(), Hashes::True),
        ("files + cache", Box::new(CachedFiles(files())), Hashes::True),
        ("compact", compact, Hashes::True),
        ("memory", memory, Hashes::True),
        ("piece-files", piece_files, Hashes::Apart),
        ("database", database, Hashes::True),
        ("null", null, Hashes::True),
    ];
    #[cfg(feature = "object-store")]
    let server = s3::S3::start();
    #[cfg(feature = "object-store")]
    {
        backends.push(("object-store in memory", objects_in_memory(), Hashes::True));
        backends
            .extend(server.as_ref().map(|server| ("object-store at moto", objects_at(server), Hashes::True)));
    }
    let data = data();
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Bytes(u64::from(PIECE) * u64::from(PIECES))).sample_size(10);
    for (name, backend, hashes) in backends {
        for size in [256 << 10, 1 << 20] {
            group.bench_function(format!("{name}/write {} KiB", size >> 10), |bencher| {
                let fresh = || open(&*backend, hashes);
                bencher.iter_batched(
                    fresh,
                    |(folder, store)| {
                        fill(&*store, &data, size);
                        (folder, store)
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        if name == "null" {
            // It has nothing to read.
            continue;
        }
        let (_folder, store) = open(&*backend, hashes);
        fill(&*store, &data, PIECE);
        for size in [16 << 10, 256 << 10, 1 << 20] {
            group.bench_function(format!("{name}/read {} KiB", size >> 10), |bencher| {
                bencher.iter(|| drain(&*store, size));
            });
        }
    }
    group.finish();
}

#[cfg(feature = "object-store")]
fn objects_in_memory() -> Box<dyn StorageBackend> {
    use bt_storage::object_store::{Config, ObjectStorage};
    ObjectStorage::build(Config { url: "memory:///".to_owned(), ..Config::default() }).unwrap()
}

/// What the server takes is most of it.
#[cfg(feature = "object-store")]
fn objects_at(server: &s3::S3) -> Box<dyn StorageBackend> {
    use object_store::aws::AmazonS3Builder;
    // The store does so itself where it makes the client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = AmazonS3Builder::new().with_endpoint(server.endpoint()).with_allow_http(true);
    let builder =
        builder.with_bucket_name("bucket").with_access_key_id("test").with_secret_access_key("test");
    let store = Arc::new(builder.build().unwrap());
    Box::new(bt_storage::object_store::ObjectStorage::over(store, "bench".into(), Default::default()))
}

criterion_group!(benches, stores);
criterion_main!(benches);
