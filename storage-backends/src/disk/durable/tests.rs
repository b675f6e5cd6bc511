//! A disk that fails: what may not have reached it is not taken for durable by a second try.

use std::fs;
use std::sync::Arc;

use bt_api::testkit::TestHost;
use bt_api::testkit::storage::{Waiting, open, torrent};
use bt_api::{PieceHash, PieceIndex, Plugin, StorageBackend, StorageErrorKind, Torrent};
use futures::executor::block_on;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use crate::compact::{self, Compact};
use crate::disk::SyncWhen;
use crate::disk::io_at::FAILING_SYNCS;
use crate::files::{self, Files};
use crate::piece_files::{self, PieceFiles};

fn scene() -> (TempDir, Torrent) {
    let folder = tempfile::tempdir().unwrap();
    let mut torrent = torrent(folder.path(), &[("a", 12)], 4);
    torrent.piece_hashes =
        [b"aaaa", b"bbbb", b"cccc"].map(|piece| PieceHash(Sha1::digest(piece).into())).to_vec();
    (folder, torrent)
}

fn start(backend: &dyn StorageBackend, torrent: &Torrent) -> Waiting {
    open(backend, torrent.clone(), TestHost::new()).unwrap()
}

fn seal(store: &Waiting, piece: u32) -> Result<(), StorageErrorKind> {
    block_on(store.0.seal(PieceIndex(piece))).map_err(|error| error.kind())
}

fn backends(sync: SyncWhen) -> [Box<dyn StorageBackend>; 2] {
    [
        Files::build(files::Config { sync, ..Default::default() }).unwrap(),
        Compact::build(compact::Config { sync, ..Default::default() }).unwrap(),
    ]
}

/// After a failed sync the system takes the bytes for written, and drops them when it likes.
#[test]
fn what_a_failed_sync_dropped_is_missing() {
    for backend in backends(SyncWhen::Seal) {
        let (folder, torrent) = scene();
        let (store, file) = (start(&*backend, &torrent), folder.path().join("t/a"));
        store.write(0, 0, b"aaaa").unwrap();
        store.write(1, 0, b"bbbb").unwrap();
        FAILING_SYNCS.set(1);
        assert_eq!(seal(&store, 0), Err(StorageErrorKind::Other));
        fs::write(&file, b"\0\0\0\0bbbb").unwrap();
        assert_eq!(seal(&store, 0), Err(StorageErrorKind::Missing));
        // The other one was not synced either, and is still there.
        assert_eq!(seal(&store, 1), Ok(()));
        store.write(0, 0, b"aaaa").unwrap();
        assert_eq!(seal(&store, 0), Ok(()));
        assert_eq!(fs::read(&file).unwrap(), b"aaaabbbb");
        assert_eq!(store.pieces_held(), [0, 1]);
    }
}

/// What the system still has it is given again, or it would never write it.
#[test]
fn what_a_failed_sync_left_in_memory_is_written_again() {
    for (sync, backend) in [SyncWhen::Seal, SyncWhen::Checkpoint]
        .into_iter()
        .flat_map(|sync| backends(sync).map(|backend| (sync, backend)))
    {
        let (folder, torrent) = scene();
        let (store, file) = (start(&*backend, &torrent), folder.path().join("t/a"));
        let written = || fs::metadata(&file).unwrap().modified().unwrap();
        store.write(0, 0, b"aaaa").unwrap();
        FAILING_SYNCS.set(1);
        match sync {
            SyncWhen::Seal => assert_eq!(seal(&store, 0), Err(StorageErrorKind::Other)),
            _ => assert_eq!(store.checkpoint().unwrap_err().kind(), StorageErrorKind::Other),
        }
        let long_ago = std::time::UNIX_EPOCH;
        fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(seal(&store, 0), Ok(()));
        assert!(written() > long_ago, "it was not written again");
        assert_eq!(store.read(0, 0, 4).unwrap(), b"aaaa");
        // Once is enough.
        fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(seal(&store, 0), Ok(()));
        assert_eq!(written(), long_ago);
    }
}

#[test]
fn a_piece_file_that_could_not_be_synced_is_fetched_again() {
    let (folder, torrent) = scene();
    let config = piece_files::Config { sync: SyncWhen::Seal, ..Default::default() };
    let backend: Arc<dyn StorageBackend> = Arc::from(PieceFiles::build(config).unwrap());
    let store = start(&*backend, &torrent);
    store.write(0, 0, b"aaaa").unwrap();
    FAILING_SYNCS.set(1);
    assert_eq!(seal(&store, 0), Err(StorageErrorKind::Other));
    assert_eq!(seal(&store, 0), Err(StorageErrorKind::Missing));
    assert!(store.held().is_empty());
    store.write(0, 0, b"aaaa").unwrap();
    assert_eq!(seal(&store, 0), Ok(()));
    assert_eq!(store.read(0, 0, 4).unwrap(), b"aaaa");
    drop(folder);
}
