//! Files that somebody else changes, takes away or puts there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bt_api::testkit::TestHost;
use bt_api::{Plugin, StorageErrorKind, Torrent};
use bt_storage::files::{Config, Files};
use tempfile::tempdir;

use crate::common::{self, pattern, torrent};
use crate::{fill, handles, open, refusal, three};

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
