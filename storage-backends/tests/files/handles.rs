//! Which files are open, and how.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use bt_api::Plugin;
use bt_storage::files::{Config, Files, SyncWhen};
use tempfile::tempdir;

use crate::common::{pattern, torrent};
use crate::{fill, handles, open, three, try_open_with};

/// Case 23 of the original's tests (ST-6).
#[test]
fn case_23_the_first_write_reopens_a_file_and_later_ones_do_not() {
    let (folder, mut torrent) = three();
    fill(&mut torrent);
    let store = open(&torrent);
    store.read(0, 0, 4).unwrap();
    let read = handles(folder.path());
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].1 & 3, 0, "opened for reading only");
    store.write(0, 0, b"1234").unwrap();
    let written = handles(folder.path());
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].1 & 3, 2, "opened for reading and writing");
    store.write(0, 0, b"5678").unwrap();
    store.read(0, 0, 4).unwrap();
    assert_eq!(handles(folder.path()), written);
    store.close().unwrap();
    assert_eq!(handles(folder.path()), []);
    let error = store.read(0, 0, 4).unwrap_err();
    assert_eq!(error.to_string(), "the store is closed");
}

/// Case 24 of the original's tests (ST-7): what is complete is only read.
#[test]
fn case_24_a_complete_torrent_is_opened_for_reading_only() {
    let (folder, torrent) = three();
    let store = open(&torrent);
    for piece in 0..4 {
        store.write(piece, 0, &pattern(piece as u8, 4)).unwrap();
        store.seal(piece);
    }
    assert_eq!(handles(folder.path()).iter().filter(|(_, flags)| flags & 3 == 2).count(), 3);
    store.checkpoint().unwrap();
    (0..4).for_each(|piece| assert_eq!(store.read(piece, 0, 4).unwrap(), pattern(piece as u8, 4)));
    assert_eq!(handles(folder.path()).iter().map(|(_, flags)| flags & 3).collect::<Vec<_>>(), [0; 3]);
    // A piece that turns out wrong is written all the same.
    store.write(1, 0, b"anew").unwrap();
    assert_eq!(store.read(1, 0, 4).unwrap(), b"anew");
}

/// ST-9, over many more files than may be open.
#[test]
fn no_more_files_are_open_than_allowed() {
    let folder = tempdir().unwrap();
    let names: Vec<String> = (0..500).map(|i| format!("{}/{}/{i}", i % 7, i % 3)).collect();
    let list: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 10)).collect();
    let mut torrent = torrent(folder.path(), &list, 64);
    let config = Config { max_open_files: 8, ..Config::default() };
    let store = try_open_with(&torrent, config).unwrap();
    let bytes = pattern(1, 5000);
    for (piece, bytes) in bytes.chunks(64).enumerate() {
        store.write(piece as u32, 0, bytes).unwrap();
        assert!(handles(folder.path()).len() <= 8);
        store.seal(piece as u32);
    }
    for (piece, bytes) in bytes.chunks(64).enumerate() {
        assert_eq!(store.read(piece as u32, 0, bytes.len() as u32).unwrap(), bytes);
    }
    // The first file is used all the time, and so stays open.
    let first = fs::metadata(folder.path().join("t/0/0/0")).unwrap().ino();
    let open_number = |folder: &Path| {
        let is_first = |(number, _): &(String, u32)| {
            fs::metadata(format!("/proc/self/fd/{number}")).is_ok_and(|data| data.ino() == first)
        };
        handles(folder).into_iter().find(is_first)
    };
    store.read(0, 0, 1).unwrap();
    let number = open_number(folder.path());
    for piece in 1..70 {
        store.read(piece, 0, 1).unwrap();
        store.read(0, 0, 1).unwrap();
        assert_eq!(open_number(folder.path()), number);
    }
    torrent.saved = store.checkpoint().unwrap();
    store.close().unwrap();
    assert!(open(&torrent).held().is_full());
    assert!(Files::build(Config { max_open_files: 0, ..Config::default() }).is_err());
}

/// A piece may hold the whole of very many files; none of them costs a descriptor for long.
#[test]
fn a_piece_of_thousands_of_files_is_kept() {
    let folder = tempdir().unwrap();
    let names: Vec<String> = (0..4_000).map(|i| format!("{}/{i}", i % 100)).collect();
    let list: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 2)).collect();
    let mut torrent = torrent(folder.path(), &list, 1 << 20);
    let config = Config { max_open_files: 4, sync: SyncWhen::Never, ..Config::default() };
    let store = try_open_with(&torrent, config.clone()).unwrap();
    let bytes = pattern(1, 8_000);
    store.write(0, 0, &bytes).unwrap();
    store.seal(0);
    assert_eq!(handles(folder.path()).len(), 4);
    assert_eq!(store.read(0, 0, 8_000).unwrap(), bytes);
    torrent.saved = store.checkpoint().unwrap();
    store.close().unwrap();
    assert!(open(&torrent).held().is_full());
    torrent.saved = None;
    let unchecked = Config { check_hashes: false, ..config };
    assert!(try_open_with(&torrent, unchecked.clone()).unwrap().held().is_full());
    fs::remove_file(folder.path().join("t/99/3999")).unwrap();
    assert!(try_open_with(&torrent, unchecked).unwrap().held().is_empty());
}

/// A seal or checkpoint that syncs works whatever handles are open, and on a file nobody may write.
#[test]
fn every_way_to_sync_keeps_the_data() {
    for sync in [SyncWhen::Seal, SyncWhen::Checkpoint, SyncWhen::Never] {
        let (folder, mut torrent) = three();
        let config = Config { sync, max_open_files: 1, ..Config::default() };
        let store = try_open_with(&torrent, config).unwrap();
        for piece in 0..4 {
            store.write(piece, 0, &pattern(piece as u8, 4)).unwrap();
            store.seal(piece);
            store.checkpoint().unwrap();
        }
        let a = folder.path().join("t/a");
        fs::set_permissions(&a, fs::Permissions::from_mode(0o444)).unwrap();
        torrent.saved = store.checkpoint().unwrap();
        store.close().unwrap();
        assert!(open(&torrent).held().is_full());
    }
}
