//! What `files` does on the disk.

#[path = "../common/mod.rs"]
mod common;
mod handles;
mod others;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bt_api::testkit::TestHost;
use bt_api::{Plugin, StorageError, StorageErrorKind, Torrent};
use bt_storage::files::{Allocation, Config, Files, LongerFile};
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
