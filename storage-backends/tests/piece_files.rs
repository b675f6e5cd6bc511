//! The store `piece-files`: sharing, names that prove nothing, and files that change while it runs.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use bt_api::testkit::TestHost;
use bt_api::{InfoHash, Plugin, StorageBackend, StorageErrorKind, Torrent};
use bt_storage::piece_files::{Config, PieceFiles, SyncWhen};
use common::{Waiting, hash_pieces, open, torrent};

fn backend(sync: SyncWhen) -> Box<dyn StorageBackend> {
    PieceFiles::build(Config { sync, ..Config::default() }).unwrap()
}

fn start(backend: &dyn StorageBackend, torrent: &Torrent) -> Waiting {
    open(backend, torrent.clone(), TestHost::new()).unwrap()
}

/// A torrent of this content, in pieces of four bytes.
fn of(folder: &Path, content: &[u8]) -> Torrent {
    let mut torrent = torrent(folder, &[("a", content.len() as u64)], 4);
    hash_pieces(&mut torrent, content);
    torrent
}

fn path(torrent: &Torrent, piece: usize) -> PathBuf {
    let hash = torrent.piece_hashes[piece].to_string();
    torrent.folder.join("pieces").join(&hash[..2]).join(hash)
}

/// Everything below `folder`, with `/` after folders.
fn all_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_below(&path));
        }
        found.push(path.to_str().unwrap().to_owned() + if path.is_dir() { "/" } else { "" });
    }
    found.sort();
    found
}

#[test]
fn a_piece_gets_its_name_when_it_is_sealed() {
    for sync in [SyncWhen::Seal, SyncWhen::Checkpoint, SyncWhen::Never] {
        let folder = tempfile::tempdir().unwrap();
        let torrent = of(folder.path(), b"aaaabbbbcc");
        let store = start(&*backend(sync), &torrent);
        store.write(2, 0, b"cc").unwrap();
        assert!(!path(&torrent, 2).exists());
        store.seal(2);
        assert_eq!(fs::read(path(&torrent, 2)).unwrap(), b"cc");
        let saved = store.checkpoint().unwrap();
        store.close().unwrap();
        let pieces = folder.path().join("pieces");
        let named = path(&torrent, 2);
        let expected = [format!("{}/", named.parent().unwrap().display()), named.display().to_string()];
        assert_eq!(all_below(&pieces), expected, "nothing else is left behind");
        let again = start(&*backend(sync), &Torrent { saved, ..torrent });
        assert_eq!(again.pieces_held(), [2]);
    }
}

/// In one run and after it, whatever order they come in.
#[test]
fn two_torrents_share_what_they_have_in_common() {
    let folder = tempfile::tempdir().unwrap();
    let one = of(folder.path(), b"aaaabbbb");
    let two = Torrent { info_hash: InfoHash([4; 20]), ..of(folder.path(), b"bbbbccccbbbb") };
    let backend = backend(SyncWhen::Checkpoint);
    let (first, second) = (start(&*backend, &one), start(&*backend, &two));
    first.write(1, 0, b"bbbb").unwrap();
    first.seal(1);
    // Found by the check at the start of the second: hashed, and sealed with no write.
    assert_eq!(second.read(0, 0, 4).unwrap(), b"bbbb");
    assert!(second.held().is_empty());
    second.seal(0);
    // Downloaded although it was there: the file goes on to be the one that both know.
    second.write(2, 0, b"bbbb").unwrap();
    second.seal(2);
    let saved = [first.checkpoint().unwrap(), second.checkpoint().unwrap()];
    assert_eq!(first.read(1, 0, 4).unwrap(), b"bbbb");
    first.close().unwrap();
    second.close().unwrap();
    assert_eq!(all_below(&folder.path().join("pieces")).len(), 2, "one file in one folder");
    let [one_saved, two_saved] = saved;
    let held =
        |torrent: &Torrent, saved| start(&*backend, &Torrent { saved, ..torrent.clone() }).pieces_held();
    assert_eq!(held(&one, one_saved), [1]);
    assert_eq!(held(&two, two_saved), [0, 2]);
}

/// What one torrent writes anew, another goes on to serve as it was.
#[test]
fn a_piece_that_is_written_again_is_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let one = of(folder.path(), b"aaaabbbb");
    let two = Torrent { info_hash: InfoHash([4; 20]), ..one.clone() };
    let backend = backend(SyncWhen::Checkpoint);
    let (first, second) = (start(&*backend, &one), start(&*backend, &two));
    first.write(0, 0, b"aaaa").unwrap();
    first.seal(0);
    second.seal(0);
    first.write(0, 3, b"!").unwrap();
    assert_eq!(first.read(0, 0, 4).unwrap(), b"aaa!");
    assert!(first.held().is_empty());
    assert_eq!(second.read(0, 0, 4).unwrap(), b"aaaa");
    assert_eq!(second.pieces_held(), [0]);
}

#[test]
fn a_name_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = of(folder.path(), b"aaaabbbbcccc");
    fs::create_dir_all(path(&torrent, 0).parent().unwrap()).unwrap();
    fs::write(path(&torrent, 0), "evil").unwrap();
    let backend = backend(SyncWhen::Checkpoint);
    let store = start(&*backend, &torrent);
    assert!(store.held().is_empty(), "it is hashed before it is offered");
    assert_eq!(store.read(0, 0, 4).unwrap(), b"evil");
    for (piece, bytes) in [(0, b"aaaa"), (1, b"bbbb"), (2, b"cccc")] {
        store.write(piece, 0, bytes).unwrap();
        store.seal(piece);
    }
    assert_eq!(fs::read(path(&torrent, 0)).unwrap(), b"aaaa");
    let saved = store.checkpoint().unwrap();
    store.close().unwrap();
    // Written at once after it, and of the same length; replaced; gone.
    fs::write(path(&torrent, 0), "evil").unwrap();
    fs::write(folder.path().join("new"), "bbbb").unwrap();
    fs::rename(folder.path().join("new"), path(&torrent, 1)).unwrap();
    let held = |saved| start(&*backend, &Torrent { saved, ..torrent.clone() }).pieces_held();
    assert_eq!(held(saved.clone()), [2]);
    fs::remove_file(path(&torrent, 2)).unwrap();
    assert_eq!(held(saved), [0; 0]);
}

#[test]
fn files_that_change_while_it_runs_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = of(folder.path(), b"aaaabbbbcccc");
    let store = start(&*backend(SyncWhen::Checkpoint), &torrent);
    for (piece, bytes) in [(0, b"aaaa"), (1, b"bbbb")] {
        store.write(piece, 0, bytes).unwrap();
        store.seal(piece);
    }
    fs::write(path(&torrent, 0), "evil").unwrap();
    assert_eq!(store.read(0, 0, 4).unwrap_err().kind(), StorageErrorKind::Corrupt);
    fs::remove_file(path(&torrent, 1)).unwrap();
    assert_eq!(store.read(1, 0, 4).unwrap_err().kind(), StorageErrorKind::Missing);
    assert!(store.held().is_empty());
    // They are wanted again, and come to their places.
    store.write(0, 0, b"aaaa").unwrap();
    store.seal(0);
    assert_eq!(store.read(0, 0, 4).unwrap(), b"aaaa");
    // One that is not sealed yet.
    store.write(2, 0, b"cc").unwrap();
    let partial = folder.path().join(format!("pieces/partial/{}/2", torrent.info_hash));
    fs::remove_file(&partial).unwrap();
    assert_eq!(store.write(2, 2, b"cc").unwrap_err().kind(), StorageErrorKind::Missing);
    store.write(2, 0, b"cccc").unwrap();
    store.seal(2);
    assert_eq!(store.pieces_held(), [0, 2]);
}

/// Two programs that use one folder, as two backends do.
#[test]
fn what_another_program_sealed_too_is_still_that_piece() {
    let folder = tempfile::tempdir().unwrap();
    let one = of(folder.path(), b"aaaabbbb");
    let two = Torrent { info_hash: InfoHash([4; 20]), ..one.clone() };
    let (first, second) =
        (start(&*backend(SyncWhen::Checkpoint), &one), start(&*backend(SyncWhen::Checkpoint), &two));
    for store in [&first, &second] {
        store.write(0, 0, b"aaaa").unwrap();
        store.seal(0);
    }
    assert_eq!(first.read(0, 1, 2).unwrap(), b"aa", "nobody fetches it again");
    assert_eq!(first.pieces_held(), [0]);
    // What both have begun is that of the one which came first.
    let same = start(&*backend(SyncWhen::Checkpoint), &one);
    first.write(1, 0, b"bb").unwrap();
    let error = same.write(1, 0, b"evil").unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert!(error.to_string().contains("another program is writing there"), "{error}");
    first.write(1, 2, b"bb").unwrap();
    first.seal(1);
    first.close().unwrap();
    same.write(1, 0, b"bbbb").unwrap();
}

#[test]
fn a_folder_that_is_taken_away_while_it_runs_ends_the_torrent() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = of(folder.path(), b"aaaabbbb");
    let store = start(&*backend(SyncWhen::Checkpoint), &torrent);
    store.write(0, 0, b"aa").unwrap();
    fs::remove_dir_all(folder.path().join("pieces")).unwrap();
    assert_eq!(store.write(0, 2, b"aa").unwrap_err().kind(), StorageErrorKind::Missing);
    // It is fetched again, and again there is nowhere to put it.
    for piece in [0, 1] {
        let error = store.write(piece, 0, b"aaaa").unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Corrupt);
        assert!(error.to_string().ends_with("its folder was taken away while running"), "{error}");
    }
    assert!(!folder.path().join("pieces").exists());
}

#[test]
fn links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = of(folder.path(), b"aaaabbbb");
    let victim = folder.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    let partial = folder.path().join(format!("pieces/partial/{}", torrent.info_hash));
    fs::create_dir_all(&partial).unwrap();
    fs::create_dir_all(path(&torrent, 0).parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&victim, path(&torrent, 0)).unwrap();
    std::os::unix::fs::symlink(&victim, partial.join("1")).unwrap();
    let store = start(&*backend(SyncWhen::Checkpoint), &torrent);
    for piece in [0, 1] {
        assert_eq!(store.write(piece, 0, b"evil").unwrap_err().kind(), StorageErrorKind::Corrupt);
        assert_eq!(store.read(piece, 0, 4).unwrap_err().kind(), StorageErrorKind::Corrupt);
    }
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
}

#[test]
fn a_torrent_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = of(folder.path(), b"aaaa");
    let backend = backend(SyncWhen::Checkpoint);
    let first = start(&*backend, &torrent);
    let error = open(&*backend, torrent.clone(), TestHost::new()).err().unwrap();
    assert_eq!(error.kind(), StorageErrorKind::Denied);
    first.close().unwrap();
    start(&*backend, &torrent);
}

#[test]
fn what_was_saved_of_something_else_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = of(folder.path(), b"aaaabbbb");
    let backend = backend(SyncWhen::Checkpoint);
    let store = start(&*backend, &torrent);
    store.write(0, 0, b"aaaa").unwrap();
    store.seal(0);
    let saved = store.checkpoint().unwrap().unwrap();
    store.close().unwrap();
    for cut in 0..saved.len() {
        let saved = Some(saved.slice(..cut));
        assert!(start(&*backend, &Torrent { saved, ..torrent.clone() }).held().is_empty(), "{cut} bytes");
    }
    for at in 0..saved.len() - 8 {
        let mut other = saved.to_vec();
        other[at] ^= 1;
        let saved = Some(other.into());
        assert!(start(&*backend, &Torrent { saved, ..torrent.clone() }).held().is_empty(), "byte {at}");
    }
}
