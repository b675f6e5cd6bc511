//! What `files` does on the disk.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bt_api::testkit::TestHost;
use bt_api::{Plugin, StorageError, StorageErrorKind, Torrent};
use bt_storage::files::{Allocation, Config, Files, LongerFile, SyncWhen};
use common::{Waiting, blocks, hash_pieces, pattern, torrent};
use tempfile::{TempDir, tempdir};

fn try_open_with(torrent: &Torrent, config: Config) -> Result<Waiting, StorageError> {
    common::open(&*Files::build(config).unwrap(), torrent.clone(), TestHost::new())
}

fn try_open(torrent: &Torrent) -> Result<Waiting, StorageError> {
    try_open_with(torrent, Config::default())
}

fn open(torrent: &Torrent) -> Waiting {
    try_open(torrent).unwrap()
}

/// The message of a refusal to open, which changed nothing on the disk.
fn refusal(torrent: &Torrent) -> String {
    let before = listing(&torrent.folder);
    let error = try_open(torrent).err().expect("it is refused");
    assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{error}");
    assert_eq!(listing(&torrent.folder), before);
    error.to_string()
}

/// Every path below `folder`, sorted, with its length.
fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, if metadata.is_file() { metadata.len() } else { 0 }));
        }
    }
    found.sort();
    found
}

/// A folder with three files in pieces of four bytes: `a` has pieces 0 and 1, `b` 1 to 3, `c` 3.
fn three() -> (TempDir, Torrent) {
    let folder = tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", 6), ("d/b", 7), ("c", 3)], 4);
    (folder, torrent)
}

/// Writes and seals every piece of [`three`], and answers what the store saved.
fn fill(torrent: &mut Torrent) {
    let store = open(torrent);
    for piece in 0..4 {
        store.write(piece, 0, &pattern(piece as u8, 4)).unwrap();
        store.seal(piece);
    }
    torrent.saved = store.checkpoint().unwrap();
    store.close().unwrap();
}

/// The open handles of this process below `folder`: number and flags.
fn handles(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        // The number that listed the folder is gone by now.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        if target.starts_with(folder) && target != folder {
            let number = entry.file_name().into_string().unwrap();
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            found.push((number, u32::from_str_radix(flags.trim(), 8).unwrap()));
        }
    }
    found
}

/// Case 19 of the original's tests.
#[test]
fn case_19_a_span_lies_in_its_files() {
    let folder = tempdir().unwrap();
    let store = open(&torrent(folder.path(), &[("a", 5), ("b", 4), ("c", 3)], 12));
    assert_eq!(
        listing(folder.path()),
        [(folder.path().join("t"), 0)],
        "files are made when they are written"
    );
    store.write(0, 3, b"12345678").unwrap();
    let file = |name: &str| fs::read(folder.path().join("t").join(name)).unwrap();
    assert_eq!(file("a"), b"\0\0\x0012");
    assert_eq!(file("b"), b"3456");
    assert_eq!(file("c"), b"78");
}

/// Case 20 of the original's tests; a file without bytes that has some is left alone (ST-1).
#[test]
fn case_20_a_file_without_bytes_is_made_at_the_start() {
    let folder = tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", 3), ("b", 0), ("c", 3), ("e/f", 0)], 6);
    fs::create_dir_all(folder.path().join("t/e")).unwrap();
    fs::write(folder.path().join("t/e/f"), "mine").unwrap();
    let store = open(&torrent);
    store.write(0, 2, b"xyz").unwrap();
    let file = |name: &str| fs::read(folder.path().join("t").join(name)).unwrap();
    assert_eq!((file("a"), file("b"), file("c")), (b"\0\0x".to_vec(), Vec::new(), b"yz".to_vec()));
    assert_eq!(file("e/f"), b"mine");
}

/// Case 22 of the original's tests: what is there of a short file is read, what is not is missing.
#[test]
fn case_22_a_short_file_is_completed() {
    let folder = tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", 4)], 4);
    fs::create_dir(folder.path().join("t")).unwrap();
    fs::write(folder.path().join("t/a"), "abc").unwrap();
    let store = open(&torrent);
    assert_eq!(store.read(0, 0, 3).unwrap(), b"abc");
    let error = store.read(0, 0, 4).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Missing);
    assert_eq!(error.to_string(), "reading 4 bytes at 0 of \"t/a\": the file ends at 3");
    store.write(0, 0, b"ABCD").unwrap();
    assert_eq!(store.read(0, 0, 4).unwrap(), b"ABCD");
    assert!(store.held().is_empty());
}

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

/// ST-2 as 3.0 to 3.2 had it: all the room is taken at the start, and what is new is no piece.
#[test]
fn files_have_all_their_room_from_the_start_on_request() {
    let (folder, torrent) = three();
    fs::create_dir(folder.path().join("t")).unwrap();
    fs::write(folder.path().join("t/a"), "piec").unwrap();
    let config = Config { allocation: Allocation::Preallocate, ..Config::default() };
    let store = try_open_with(&torrent, config).unwrap();
    let t = folder.path().join("t");
    let lengths = [(t.join("a"), 6), (t.join("c"), 3), (t.join("d"), 0), (t.join("d/b"), 7)];
    assert_eq!(listing(&t), lengths);
    assert!(fs::metadata(t.join("d/b")).unwrap().blocks() > 0, "it takes up room");
    assert_eq!(store.read(0, 0, 4).unwrap(), b"piec");
    for piece in 1..4 {
        let error = store.read(piece, 0, 4).unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Missing, "not even read: {error}");
    }
    store.write(2, 1, b"xyz").unwrap();
    assert_eq!(store.read(2, 0, 4).unwrap(), b"\0xyz");
}

/// Case 39 (SW-4, SW-24): what is there is taken as it is, and hashed at its first read.
#[test]
fn case_39_data_is_taken_unseen_on_request() {
    let (folder, mut torrent) = three();
    hash_pieces(&mut torrent, &(0..4).flat_map(|piece| pattern(piece, 4)).collect::<Vec<_>>());
    fill(&mut torrent);
    torrent.saved = None;
    fs::write(folder.path().join("t/c"), "bad").unwrap();
    let config = Config { check_hashes: false, ..Config::default() };
    let store = try_open_with(&torrent, config.clone()).unwrap();
    assert!(store.held().is_full());
    assert_eq!(store.read(1, 2, 2).unwrap(), pattern(1, 4)[2..]);
    let error = store.read(3, 0, 1).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert!(
        error.to_string().starts_with("reading piece 3: what is there does not match its hash"),
        "{error}"
    );
    assert_eq!(store.read(3, 0, 1).unwrap_err().kind(), StorageErrorKind::Missing, "it is hashed once");
    assert_eq!(store.pieces_held(), [0, 1, 2]);
    // Unlike what was only taken, what was hashed is vouched for at the next start.
    store.seal(1);
    torrent.saved = store.checkpoint().unwrap();
    store.close().unwrap();
    assert_eq!(open(&torrent).pieces_held(), [1]);
    // A file that is not whole has no piece to take.
    fs::write(folder.path().join("t/d/b"), "short").unwrap();
    torrent.saved = None;
    assert_eq!(try_open_with(&torrent, config).unwrap().pieces_held(), [0, 1]);
}

/// A time that the system cannot tell from the one before does not hide a write after the checkpoint.
#[test]
fn writes_in_one_tick_of_the_clock_are_told_apart() {
    for _ in 0..20 {
        let (folder, mut torrent) = three();
        let written = || fs::metadata(folder.path().join("t/a")).unwrap().modified().unwrap();
        let store = open(&torrent);
        store.write(0, 0, b"good").unwrap();
        store.seal(0);
        let before = written();
        torrent.saved = store.checkpoint().unwrap();
        // No write that comes now gives it this time.
        assert_eq!(before.duration_since(written()).unwrap(), Duration::from_nanos(1));
        store.write(0, 0, b"evil").unwrap();
        drop(store);
        assert_eq!(open(&torrent).pieces_held(), [0; 0]);
    }
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

#[test]
fn more_blocks_than_one_call_takes_are_written() {
    let folder = tempdir().unwrap();
    let store = open(&torrent(folder.path(), &[("a", 2500), ("b", 1500)], 4000));
    let bytes = pattern(5, 4000);
    store.write_blocks(0, 0, blocks(&bytes, 1)).unwrap();
    assert_eq!(store.read(0, 0, 4000).unwrap(), bytes);
    let empty = bt_api::Block::default();
    store.write_blocks(0, 0, vec![empty.clone(), b"xy".to_vec().into(), empty]).unwrap();
    assert_eq!(store.read(0, 0, 3).unwrap(), [b'x', b'y', bytes[2]]);
}

#[test]
fn pieces_are_vouched_for_after_a_checkpoint_and_not_without() {
    let (_folder, mut torrent) = three();
    fill(&mut torrent);
    let store = open(&torrent);
    assert!(store.held().is_full());
    assert_eq!(store.read(3, 0, 4).unwrap(), pattern(3, 4));
    // What was vouched for stays so over further runs.
    torrent.saved = store.checkpoint().unwrap();
    store.close().unwrap();
    drop(store);
    assert!(open(&torrent).held().is_full());
    let saved = torrent.saved.take().unwrap();
    assert!(open(&torrent).held().is_empty());
    torrent.saved = Some(saved.slice(1..));
    assert!(open(&torrent).held().is_empty());
}

#[test]
fn a_changed_file_is_not_vouched_for() {
    let (folder, mut torrent) = three();
    let b = folder.path().join("t/d/b");
    let changes: [(&str, &dyn Fn()); 4] = [
        ("written", &|| {
            let later = SystemTime::now() + Duration::from_secs(9);
            fs::File::options().write(true).open(&b).unwrap().set_modified(later).unwrap();
        }),
        ("cut", &|| {
            let file = fs::File::options().write(true).open(&b).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.set_len(6).unwrap();
            file.set_modified(modified).unwrap();
        }),
        ("replaced", &|| {
            let modified = fs::metadata(&b).unwrap().modified().unwrap();
            let other = b.with_extension("new");
            fs::copy(&b, &other).unwrap();
            fs::rename(&other, &b).unwrap();
            fs::File::options().write(true).open(&b).unwrap().set_modified(modified).unwrap();
        }),
        ("deleted", &|| fs::remove_file(&b).unwrap()),
    ];
    for (what, change) in changes {
        torrent.saved = None;
        fill(&mut torrent);
        change();
        assert_eq!(open(&torrent).pieces_held(), [0], "{what}");
    }
}

/// A piece that is written again after the checkpoint is in a file with another time.
#[test]
fn what_is_written_after_the_checkpoint_is_not_vouched_for() {
    let (folder, mut torrent) = three();
    fill(&mut torrent);
    let a = fs::File::options().write(true).open(folder.path().join("t/a")).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    a.set_modified(long_ago).unwrap();
    torrent.saved = None;
    let store = open(&torrent);
    (0..4).for_each(|piece| store.seal(piece));
    torrent.saved = store.checkpoint().unwrap();
    store.write(0, 0, b"?").unwrap();
    drop(store);
    assert_eq!(open(&torrent).pieces_held(), [2, 3]);
}

/// A checkpoint does not take what somebody else wrote while the store ran for what was sealed.
#[test]
fn a_file_that_others_wrote_while_running_is_not_vouched_for() {
    let (folder, mut torrent) = three();
    fill(&mut torrent);
    let store = open(&torrent);
    assert!(store.held().is_full());
    let b = fs::File::options().write(true).open(folder.path().join("t/d/b")).unwrap();
    b.set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
    torrent.saved = store.checkpoint().unwrap();
    assert_eq!(store.pieces_held(), [0]);
    store.close().unwrap();
    drop(store);
    assert_eq!(open(&torrent).pieces_held(), [0]);
    // Found, hashed and sealed once more, it is.
    let store = open(&torrent);
    (1..4).for_each(|piece| store.seal(piece));
    torrent.saved = store.checkpoint().unwrap();
    store.close().unwrap();
    drop(store);
    assert!(open(&torrent).held().is_full());
}

#[test]
fn a_file_that_is_taken_away_while_running_is_told() {
    let (folder, mut torrent) = three();
    fill(&mut torrent);
    let store = open(&torrent);
    store.write(1, 0, &pattern(1, 4)).unwrap();
    let b = folder.path().join("t/d/b");
    fs::rename(&b, folder.path().join("away")).unwrap();
    let error = store.read(1, 0, 4).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Missing);
    assert_eq!(error.to_string(), "reading \"t/d/b\": it was taken away while running");
    let error = store.write(2, 0, b"1234").unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert_eq!(
        error.to_string(),
        "writing \"t/d/b\": it was taken away while running, so nothing is written"
    );
    assert!(!b.exists());
    assert_eq!(handles(folder.path()).len(), 1, "no handle keeps a deleted file");
    assert_eq!(store.read(0, 0, 4).unwrap(), pattern(0, 4));
    assert_eq!(store.checkpoint().unwrap_err().kind(), StorageErrorKind::Missing, "it could not be synced");
    // It is the same file when it comes back.
    fs::rename(folder.path().join("away"), &b).unwrap();
    assert_eq!(store.read(1, 0, 4).unwrap(), pattern(1, 4));
    store.write(2, 0, b"1234").unwrap();
    store.checkpoint().unwrap();
}

#[test]
fn a_file_that_is_replaced_while_running_is_told_and_left_alone() {
    let (folder, mut torrent) = three();
    fill(&mut torrent);
    let b = folder.path().join("t/d/b");
    // Both where the file is open, and where it is yet to be opened.
    for opened in [true, false] {
        let store = open(&torrent);
        if opened {
            store.read(2, 0, 4).unwrap();
        }
        fs::write(folder.path().join("other"), "other bytes").unwrap();
        fs::rename(folder.path().join("other"), &b).unwrap();
        for error in [store.read(2, 0, 4).unwrap_err(), store.write(2, 0, b"1234").unwrap_err()] {
            assert_eq!(error.kind(), StorageErrorKind::Corrupt);
            assert!(error.to_string().contains("\"t/d/b\": it was replaced by another file"), "{error}");
        }
        assert_eq!(fs::read(&b).unwrap(), b"other bytes");
        torrent.saved = store.checkpoint().unwrap();
        drop(store);
        fs::write(&b, pattern(7, 7)).unwrap();
        assert_eq!(open(&torrent).pieces_held(), [0]);
    }
}

#[test]
fn a_file_that_is_cut_while_running_is_told_and_not_patched() {
    let (folder, mut torrent) = three();
    fill(&mut torrent);
    let store = open(&torrent);
    let b = folder.path().join("t/d/b");
    fs::File::options().write(true).open(&b).unwrap().set_len(3).unwrap();
    let error = store.read(2, 0, 4).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Missing);
    assert_eq!(error.to_string(), "reading 4 bytes at 2 of \"t/d/b\": the file ends at 3");
    let error = store.write(3, 0, b"1234").unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert_eq!(
        error.to_string(),
        "writing \"t/d/b\": it was cut from 7 to 3 bytes while running, so nothing is written"
    );
    assert_eq!(fs::metadata(&b).unwrap().len(), 3);
}

#[test]
fn a_file_that_appears_while_running_is_not_written_over() {
    let (folder, torrent) = three();
    let store = open(&torrent);
    fs::write(folder.path().join("t/a"), "mine").unwrap();
    let error = store.write(0, 0, b"1234").unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert_eq!(
        error.to_string(),
        "making \"t/a\": a file that is not ours appeared there while running, and is not written over"
    );
    assert_eq!(fs::read(folder.path().join("t/a")).unwrap(), b"mine");
    fs::remove_dir(folder.path().join("t/d")).unwrap();
    let error = store.write(2, 0, b"1234").unwrap_err();
    assert_eq!(error.to_string(), "making \"t/d/b\": its folder was taken away while running");
}

#[test]
fn a_planted_link_is_refused_at_the_start() {
    let outside = tempdir().unwrap();
    fs::write(outside.path().join("b"), "victim").unwrap();
    fs::create_dir(outside.path().join("d")).unwrap();
    fs::write(outside.path().join("d/b"), "victim").unwrap();
    let (folder, torrent) = three();
    let plant = |target: PathBuf, link: &str| {
        let link = folder.path().join(link);
        let _ = fs::remove_dir_all(folder.path().join("t"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
        refusal(&torrent)
    };
    let link = "is a symbolic link, which is never followed, not";
    let b = outside.path().join("b");
    assert_eq!(plant(b, "t/d/b"), format!("opening \"t/d/b\": \"t/d/b\" {link} a regular file"));
    // One that leads nowhere would make its target.
    let made = outside.path().join("made");
    assert_eq!(plant(made, "t/a"), format!("opening \"t/a\": \"t/a\" {link} a regular file"));
    let d = outside.path().join("d");
    assert_eq!(plant(d, "t/d"), format!("opening \"t/d/b\": \"t/d\" {link} a folder"));
    fs::remove_dir_all(folder.path().join("t")).unwrap();
    symlink(outside.path(), folder.path().join("t")).unwrap();
    assert_eq!(refusal(&torrent), format!("opening \"t/a\": \"t\" {link} a folder"));
    assert!(!outside.path().join("made").exists());
    assert_eq!(fs::read(outside.path().join("b")).unwrap(), b"victim");
}

#[test]
fn a_link_that_is_planted_while_running_is_not_followed() {
    let outside = tempdir().unwrap();
    fs::write(outside.path().join("b"), "victim").unwrap();
    let (folder, mut torrent) = three();
    let store = open(&torrent);
    fs::remove_dir(folder.path().join("t/d")).unwrap();
    symlink(outside.path(), folder.path().join("t/d")).unwrap();
    symlink(outside.path().join("made"), folder.path().join("t/a")).unwrap();
    let message = store.write(2, 0, b"1234").unwrap_err().to_string();
    assert!(message.contains("\"t/d\" is a symbolic link"), "{message}");
    let message = store.write(0, 0, b"1234").unwrap_err().to_string();
    assert!(message.contains("\"t/a\" is a symbolic link"), "{message}");
    assert!(!outside.path().join("made").exists());
    assert_eq!(fs::read(outside.path().join("b")).unwrap(), b"victim");
    drop(store);

    fs::remove_dir_all(folder.path().join("t")).unwrap();
    fill(&mut torrent);
    for opened in [true, false] {
        let store = open(&torrent);
        if opened {
            store.write(2, 0, &pattern(2, 4)).unwrap();
        }
        fs::rename(folder.path().join("t/d/b"), folder.path().join("kept")).unwrap();
        symlink(outside.path().join("b"), folder.path().join("t/d/b")).unwrap();
        assert!(store.read(2, 0, 4).is_err());
        assert_eq!(store.write(2, 0, b"1234").unwrap_err().kind(), StorageErrorKind::Corrupt);
        fs::rename(folder.path().join("kept"), folder.path().join("t/d/b")).unwrap();
    }
    assert_eq!(fs::read(outside.path().join("b")).unwrap(), b"victim");
}

/// The output folder is the user's choice, and may be a link.
#[test]
fn the_output_folder_may_be_a_link_and_is_made() {
    let (real, torrent) = three();
    let links = tempdir().unwrap();
    symlink(real.path(), links.path().join("out")).unwrap();
    let torrent = Torrent { folder: links.path().join("out/deeper/still"), ..torrent };
    open(&torrent).write(0, 0, b"1234").unwrap();
    assert_eq!(fs::read(real.path().join("deeper/still/t/a")).unwrap(), b"1234");
}

/// Case 21 of the original's tests; ST-2 departed from: the file may be something else.
#[test]
fn case_21_a_longer_file_is_refused_or_cut_on_request() {
    let (folder, mut torrent) = three();
    fill(&mut torrent);
    let c = folder.path().join("t/c");
    fs::write(&c, "longer").unwrap();
    fs::remove_file(folder.path().join("t/a")).unwrap();
    assert_eq!(
        refusal(&torrent),
        "opening \"t/c\": it has 6 bytes, and 3 in the torrent; move it away, or set longer-file = \"truncate\""
    );
    assert_eq!(fs::read(&c).unwrap(), b"longer");
    let config = Config { longer_file: LongerFile::Truncate, ..Config::default() };
    let store = try_open_with(&torrent, config).unwrap();
    assert_eq!(fs::read(&c).unwrap(), b"lon");
    assert_eq!(store.read(3, 1, 3).unwrap(), b"lon");
    assert_eq!(store.pieces_held(), [2]);
    store.write(3, 1, b"new").unwrap();
    assert_eq!(fs::read(&c).unwrap(), b"new");
}

#[test]
fn what_is_no_file_is_refused() {
    let (folder, torrent) = three();
    fs::create_dir_all(folder.path().join("t/a")).unwrap();
    assert_eq!(refusal(&torrent), "opening \"t/a\": \"t/a\" is a folder, not a regular file");
    fs::remove_dir(folder.path().join("t/a")).unwrap();
    fs::write(folder.path().join("t/d"), "").unwrap();
    assert_eq!(refusal(&torrent), "opening \"t/d/b\": \"t/d\" is a file, not a folder");
    fs::remove_file(folder.path().join("t/d")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(folder.path().join("t/c")).unwrap();
    assert_eq!(refusal(&torrent), "opening \"t/c\": \"t/c\" is a device, pipe or socket, not a regular file");
    drop(socket);
}

/// ST-9: two running torrents would write over each other.
#[test]
fn a_file_of_another_running_torrent_is_refused() {
    let folder = tempdir().unwrap();
    let one = torrent(folder.path(), &[("a", 4), ("b", 4)], 4);
    let other = torrent(folder.path(), &[("c", 4), ("b", 4)], 4);
    let backend = Files::build(Config::default()).unwrap();
    let open = |torrent: &Torrent| common::open(&*backend, torrent.clone(), TestHost::new());
    let first = open(&one).unwrap();
    let error = open(&other).err().unwrap();
    assert_eq!(error.to_string(), "opening \"t/b\": another running torrent uses this file");
    open(&torrent(folder.path(), &[("c", 4)], 4)).unwrap();
    first.close().unwrap();
    let second = open(&other).unwrap();
    drop(second);
    open(&one).unwrap();
}

/// BEP 47.
#[test]
fn padding_is_never_on_the_disk() {
    let folder = tempdir().unwrap();
    let mut torrent = torrent(folder.path(), &[("a", 3), (".pad/1.pad", 5), ("b", 2)], 8);
    let store = open(&torrent);
    store.write(0, 0, b"abc\0\0\0\0\0").unwrap();
    store.write(1, 0, b"de").unwrap();
    store.seal(0);
    store.seal(1);
    torrent.saved = store.checkpoint().unwrap();
    let t = folder.path().join("t");
    assert_eq!(listing(folder.path()), [(t.clone(), 0), (t.join("a"), 3), (t.join("b"), 2)]);
    drop(store);
    assert!(open(&torrent).held().is_full());
}

#[test]
fn names_may_be_of_any_script() {
    let folder = tempdir().unwrap();
    let names = [("Ünïcode/日本語/файл.txt", 4), ("🎵 - ♫", 4), ("a \"b\" 'c' $d *", 4)];
    let torrent = torrent(folder.path(), &names, 12);
    let store = open(&torrent);
    store.write(0, 0, b"onlytwothree").unwrap();
    assert_eq!(fs::read(folder.path().join("t/Ünïcode/日本語/файл.txt")).unwrap(), b"only");
    fs::remove_file(folder.path().join("t/🎵 - ♫")).unwrap();
    let error = store.read(0, 0, 12).unwrap_err().to_string();
    assert_eq!(error, "reading \"t/🎵 - ♫\": it was taken away while running");
}

#[test]
fn a_folder_without_permission_is_denied() {
    let (folder, torrent) = three();
    let store = open(&torrent);
    let t = folder.path().join("t");
    fs::set_permissions(&t, fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser may write all the same: then there is nothing to see.
    if fs::write(t.join("probe"), "").is_err() {
        let error = store.write(0, 0, b"1234").unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Denied, "{error}");
        fs::set_permissions(&t, fs::Permissions::from_mode(0o755)).unwrap();
        store.write(0, 0, b"1234").unwrap();
    }
    fs::set_permissions(&t, fs::Permissions::from_mode(0o755)).unwrap();
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

/// The permissions of new files are the user's to limit.
#[test]
fn files_are_made_with_the_usual_permissions() {
    let (folder, torrent) = three();
    let usual = folder.path().join("usual");
    fs::write(&usual, "").unwrap();
    open(&torrent).write(0, 0, b"1234").unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(folder.path().join("t/a")), mode(usual));
}
