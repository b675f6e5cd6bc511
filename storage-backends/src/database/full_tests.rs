//! A disk that is full for a while: what was committed stays, and the rest is missing and not wrong.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bt_api::testkit::TestHost;
use bt_api::testkit::storage::Waiting;
use bt_api::{Host, InfoHash, PieceHash, PieceIndex, StorageErrorKind, Torrent, TorrentLayout};
use futures::executor::block_on;
use redb::StorageBackend;
use redb::backends::FileBackend;

use super::SyncWhen;
use super::file::{DatabaseFile, Open};
use super::torrent::Claim;
use crate::blocking::Blocking;

/// Whether the disk is full.
static FULL: AtomicBool = AtomicBool::new(false);

fn room() -> io::Result<()> {
    if FULL.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

/// A file on that disk.
#[derive(Debug)]
struct Limited(FileBackend);

impl StorageBackend for Limited {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        room()?;
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        room()?;
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

#[test]
fn a_full_disk_costs_what_was_not_sealed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = Arc::new(DatabaseFile::new(Open {
        path: folder.path().join("db"),
        cache: 1 << 20,
        check_integrity: false,
        sync: SyncWhen::Seal,
        create: |builder, file| builder.create_with_backend(Limited(FileBackend::new(file)?)),
    }));
    let torrent = Torrent {
        info_hash: InfoHash([3; 20]),
        layout: TorrentLayout::single("t", 400_000, 100_000).unwrap(),
        piece_hashes: vec![PieceHash([0; 20]); 4],
        folder: folder.path().to_owned(),
        saved: None,
    };
    let host: Arc<dyn Host> = TestHost::new();
    let claim = Claim::new(Arc::new(torrent), file, &host).unwrap();
    let store = Waiting(Blocking::boxed(Arc::new(claim), host));
    let write = |piece, offset, length, byte| store.write(piece, offset, &vec![byte; length]);
    let read = |piece, offset, length| store.read(piece, offset, length).map_err(|error| error.kind());
    let seal = |piece| block_on(store.0.seal(PieceIndex(piece)));
    write(0, 0, 50_000, 1).unwrap();
    write(1, 0, 100_000, 2).unwrap();
    seal(1).unwrap();
    // In the same row as what the seal committed.
    write(0, 50_000, 50_000, 3).unwrap();
    write(2, 0, 100_000, 4).unwrap();

    FULL.store(true, Ordering::Relaxed);
    assert_eq!(seal(2).unwrap_err().kind(), StorageErrorKind::Full);
    let meanwhile = write(3, 0, 100_000, 5).and_then(|()| seal(3)).unwrap_err();
    assert_eq!(meanwhile.kind(), StorageErrorKind::Full, "{meanwhile}");

    FULL.store(false, Ordering::Relaxed);
    assert_eq!(store.pieces_held(), [1]);
    assert_eq!(read(1, 0, 100_000), Ok(vec![2; 100_000]));
    assert_eq!(read(0, 0, 50_000), Ok(vec![1; 50_000]));
    assert_eq!(read(0, 50_000, 1), Err(StorageErrorKind::Missing));
    for (piece, byte) in [(0, 6), (2, 4), (3, 5)] {
        // It is told to be wanted again, and nobody is told that it is there.
        assert_eq!(seal(piece).unwrap_err().kind(), StorageErrorKind::Missing);
        write(piece, 0, 100_000, byte).unwrap();
        seal(piece).unwrap();
        assert_eq!(read(piece, 0, 100_000), Ok(vec![byte; 100_000]));
    }
    store.checkpoint().unwrap();
    assert!(store.held().is_full());
}
