//! The store `database`: several torrents in one file, what a start finds, and who may use it.

mod common;

use std::fs;

use bt_api::testkit::TestHost;
use bt_api::{InfoHash, PieceIndex, Plugin, StorageBackend, StorageErrorKind, Torrent};
use bt_storage::database::{Config, Database, SyncWhen};
use common::{Waiting, blocks, open, pattern, torrent};
use futures::executor::block_on;

fn backend() -> Box<dyn StorageBackend> {
    Database::build(Config::default()).unwrap()
}

fn start(backend: &dyn StorageBackend, torrent: &Torrent) -> Waiting {
    open(backend, torrent.clone(), TestHost::new()).unwrap()
}

fn kind(backend: &dyn StorageBackend, torrent: &Torrent) -> StorageErrorKind {
    open(backend, torrent.clone(), TestHost::new()).err().expect("it is refused").kind()
}

/// Pieces of several rows, of one, and of less; written in spans that keep to no row.
#[test]
fn pieces_of_any_length_are_kept() {
    const LONG: usize = 300_001;
    let folder = tempfile::tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", LONG as u64 + 70_000)], LONG as u32);
    let backend = backend();
    let store = start(&*backend, &torrent);
    for (piece, length) in [(0, LONG), (1, 70_000)] {
        let bytes = pattern(piece as u8, length);
        for start in (0..length).step_by(50_000).rev() {
            let span = &bytes[start..length.min(start + 50_000)];
            store.write_blocks(piece, start as u32, blocks(span, 7_001)).unwrap();
        }
        store.seal(piece);
        assert_eq!(store.read(piece, 0, length as u32).unwrap(), bytes);
        assert_eq!(store.read(piece, 65_000, 1_000).unwrap(), bytes[65_000..66_000]);
    }
    store.close().unwrap();
    let again = start(&*backend, &torrent);
    assert!(again.held().is_full(), "with nothing saved beside it");
    assert_eq!(again.read(1, 0, 70_000).unwrap(), pattern(1, 70_000));
}

#[test]
fn torrents_share_a_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let one = torrent(folder.path(), &[("a", 12)], 4);
    let two = Torrent { info_hash: InfoHash([4; 20]), ..one.clone() };
    let backend = backend();
    let (first, second) = (start(&*backend, &one), start(&*backend, &two));
    first.write(0, 0, b"aaaa").unwrap();
    second.write(0, 0, b"bb").unwrap();
    second.write(2, 0, b"cccc").unwrap();
    first.seal(0);
    second.seal(2);
    assert_eq!((first.pieces_held(), second.pieces_held()), (vec![0], vec![2]));
    assert_eq!(first.read(2, 0, 4).unwrap_err().kind(), StorageErrorKind::Missing);
    assert_eq!(kind(&*backend, &one), StorageErrorKind::Denied);
    first.close().unwrap();
    assert_eq!(second.read(0, 0, 2).unwrap(), b"bb");
    second.close().unwrap();
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["torrents.redb"]);
    let second = start(&*backend, &two);
    assert_eq!(second.read(0, 0, 2).unwrap(), b"bb", "what is not sealed is kept too");
    assert_eq!(second.read(0, 2, 2).unwrap_err().kind(), StorageErrorKind::Missing);
    assert_eq!(second.pieces_held(), [2]);
}

/// As a crash would leave it: the file as it is on the disk at that moment, copied away.
#[test]
fn what_reached_the_disk_is_there_after_a_crash() {
    for (sync, after_seal) in [(SyncWhen::Seal, vec![0, 1]), (SyncWhen::Checkpoint, vec![0])] {
        let folder = tempfile::tempdir().unwrap();
        let torrent = torrent(folder.path(), &[("a", 12)], 4);
        let backend = Database::build(Config { sync, ..Config::default() }).unwrap();
        let held_after_crash = || {
            let other = tempfile::tempdir().unwrap();
            fs::copy(folder.path().join("torrents.redb"), other.path().join("torrents.redb")).unwrap();
            let torrent = Torrent { folder: other.path().to_owned(), ..torrent.clone() };
            let store = start(&*backend, &torrent);
            for piece in store.pieces_held() {
                assert_eq!(store.read(piece, 0, 4).unwrap(), b"abcd");
            }
            store.pieces_held()
        };
        let store = start(&*backend, &torrent);
        store.write(0, 0, b"abcd").unwrap();
        store.seal(0);
        store.checkpoint().unwrap();
        assert_eq!(held_after_crash(), [0]);
        store.write(1, 0, b"abcd").unwrap();
        store.seal(1);
        assert_eq!(held_after_crash(), after_seal, "{sync:?}");
        store.checkpoint().unwrap();
        assert_eq!(held_after_crash(), [0, 1]);
        // One that is written again is what it was until that is committed.
        store.write(0, 0, b"x").unwrap();
        assert_eq!(held_after_crash(), [0, 1]);
        store.checkpoint().unwrap();
        assert_eq!(held_after_crash(), [1]);
    }
}

/// Seals of several tasks, and reads and writes among them, all come through.
#[test]
fn seals_that_wait_together_are_all_done() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", 33 * 100)], 100);
    let backend = backend();
    let store = start(&*backend, &torrent);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for piece in (thread..32).step_by(8) {
                    store.write(piece, 0, &pattern(piece as u8, 100)).unwrap();
                    // One that cannot be sealed spoils nothing for those that wait with it.
                    let lacking = futures::executor::block_on(store.0.seal(bt_api::PieceIndex(32)));
                    assert_eq!(lacking.unwrap_err().kind(), StorageErrorKind::Missing);
                    store.seal(piece);
                    assert_eq!(store.read(piece, 0, 100).unwrap(), pattern(piece as u8, 100));
                }
            });
        }
    });
    assert_eq!(store.pieces_held(), Vec::from_iter(0..32));
}

#[test]
fn a_piece_that_lacks_bytes_is_not_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let backend = backend();
    let store = start(&*backend, &torrent(folder.path(), &[("a", 9), ("b.pad", 3)], 4));
    store.write(0, 0, b"a").unwrap();
    store.write(0, 2, b"cd").unwrap();
    let seal = |piece| futures::executor::block_on(store.0.seal(bt_api::PieceIndex(piece)));
    assert_eq!(seal(0).unwrap_err().kind(), StorageErrorKind::Missing);
    assert_eq!(seal(1).unwrap_err().kind(), StorageErrorKind::Missing);
    store.write(0, 1, b"b").unwrap();
    seal(0).unwrap();
    store.write(2, 0, b"x").unwrap();
    seal(2).unwrap();
    assert_eq!(store.read(2, 0, 4).unwrap(), b"x\0\0\0");
}

#[test]
fn what_is_no_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torrents.redb");
    let torrent = torrent(folder.path(), &[("a", 12)], 4);
    fs::write(&path, "somebody's diary").unwrap();
    assert_eq!(kind(&*backend(), &torrent), StorageErrorKind::Corrupt);
    assert_eq!(fs::read(&path).unwrap(), b"somebody's diary");
    fs::rename(&path, folder.path().join("diary")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("diary"), &path).unwrap();
    assert_eq!(kind(&*backend(), &torrent), StorageErrorKind::Corrupt);
}

/// As a second program would be.
#[test]
fn one_program_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let one = torrent(folder.path(), &[("a", 12)], 4);
    let two = Torrent { info_hash: InfoHash([4; 20]), ..one.clone() };
    let (here, there) = (backend(), backend());
    let store = start(&*here, &one);
    assert_eq!(kind(&*there, &two), StorageErrorKind::Denied);
    store.close().unwrap();
    drop(store);
    start(&*there, &two);
}

#[test]
fn a_damaged_file_is_found_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", 1 << 20)], 1 << 18);
    let careful = Database::build(Config { check_integrity: true, ..Config::default() }).unwrap();
    let store = start(&*careful, &torrent);
    let bytes = pattern(1, 1 << 18);
    store.write(0, 0, &bytes).unwrap();
    store.seal(0);
    store.close().unwrap();
    drop(store);
    drop(start(&*careful, &torrent));
    let path = folder.path().join("torrents.redb");
    let mut file = fs::read(&path).unwrap();
    let at = file.windows(1 << 10).position(|window| window == &bytes[..1 << 10]).unwrap();
    file[at + 99] ^= 1;
    fs::write(&path, file).unwrap();
    assert_eq!(kind(&*careful, &torrent), StorageErrorKind::Corrupt);
}

/// What is written to a file that no path leads to any more would be lost with the process.
#[test]
fn a_file_that_is_taken_away_while_running_is_told_and_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", 12)], 4);
    let other = Torrent { info_hash: InfoHash([4; 20]), ..torrent.clone() };
    let (backend, path) = (backend(), folder.path().join("torrents.redb"));
    let store = start(&*backend, &torrent);
    store.write(0, 0, b"aaaa").unwrap();
    store.seal(0);
    store.write(1, 0, b"bbbb").unwrap();
    fs::remove_file(&path).unwrap();
    let is_told = |what: &str| {
        let error = store.write(2, 0, b"cccc").unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{error}");
        assert!(error.to_string().ends_with(what), "{error}");
        let error = block_on(store.0.seal(PieceIndex(1))).unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{error}");
        assert_eq!(store.checkpoint().unwrap_err().kind(), StorageErrorKind::Corrupt);
        assert_eq!(kind(&*backend, &other), StorageErrorKind::Corrupt);
    };
    is_told("it was taken away while running, so nothing is written");
    assert!(!path.exists());
    fs::write(&path, b"somebody else's").unwrap();
    is_told("it was replaced by another file while running, so nothing is written");
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
    assert_eq!(store.read(0, 0, 4).unwrap(), b"aaaa", "what is still there is read");
}
