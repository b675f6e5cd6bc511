//! What the layer `faulty` lets fail, and when.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use bt_api::testkit::TestHost;
use bt_api::{PieceIndex, Plugin, StorageErrorKind, config};
use bt_storage::layer::faulty::{Config, Fault, Faulty};
use bt_storage::memory::Memory;
use common::{Waiting, blocks, open, pattern, torrent};
use futures::executor::block_on;

/// Four pieces of 100 bytes in memory, behind the layer.
fn faulty(config: Config) -> Waiting {
    let host = TestHost::new();
    let torrent = torrent("unused".as_ref(), &[("a", 400)], 100);
    let inner = open(&*Memory::build(Default::default()).unwrap(), torrent.clone(), host.clone()).unwrap();
    Waiting(Faulty::build(config).unwrap().wrap(inner.0, Arc::new(torrent), host))
}

/// Which of `calls` calls fail.
fn failures(calls: usize, mut call: impl FnMut() -> bool) -> Vec<usize> {
    (0..calls).filter(|_| !call()).collect()
}

#[test]
fn one_of_every_so_many_fails_and_the_seed_says_which() {
    let run = |seed, every_write| {
        let store = faulty(Config { every_write, seed, ..Config::default() });
        failures(30, || store.write(0, 0, b"x").is_ok())
    };
    let tens = run(1, 10);
    assert_eq!(tens.iter().map(|at| at / 10).collect::<Vec<_>>(), [0, 1, 2], "{tens:?}");
    assert_eq!(tens, run(1, 10));
    assert!((2..9).any(|seed| run(seed, 10) != tens));
    assert_eq!(run(1, 1).len(), 30);
    assert_eq!(run(1, 0), [0; 0]);
}

#[test]
fn each_kind_of_call_fails_by_itself_in_the_way_that_is_asked_for() {
    for (kind, expected) in [
        (Fault::Missing, StorageErrorKind::Missing),
        (Fault::Full, StorageErrorKind::Full),
        (Fault::Denied, StorageErrorKind::Denied),
        (Fault::Corrupt, StorageErrorKind::Corrupt),
        (Fault::Temporary, StorageErrorKind::Temporary),
        (Fault::Other, StorageErrorKind::Other),
    ] {
        let config = || Config { kind, ..Config::default() };
        let store = faulty(Config { every_read: 1, ..config() });
        store.write(1, 0, &[b'x'; 100]).unwrap();
        let error = store.read(1, 0, 1).unwrap_err();
        assert_eq!(error.kind(), expected);
        assert_eq!(error.to_string(), "reading piece 1: the layer faulty fails one of 1");
        store.seal(1);

        let store = faulty(Config { every_seal: 1, every_checkpoint: 1, ..config() });
        store.write(1, 0, &[b'x'; 100]).unwrap();
        assert_eq!(block_on(store.0.seal(PieceIndex(1))).unwrap_err().kind(), expected);
        assert!(store.held().is_empty());
        assert_eq!(store.checkpoint().unwrap_err().kind(), expected);
        assert_eq!(store.read(1, 0, 1).unwrap(), b"x");
    }
}

#[test]
fn a_torn_write_has_written_its_first_bytes() {
    let bytes = pattern(1, 100);
    let mut parts = Vec::new();
    for seed in 0..20 {
        let store = faulty(Config { every_write: 1, torn_writes: true, seed, ..Config::default() });
        assert_eq!(store.write_blocks(2, 0, blocks(&bytes, 30)).unwrap_err().kind(), StorageErrorKind::Other);
        let part = (0..100).take_while(|&at| store.read(2, at, 1).is_ok()).count();
        assert_eq!(store.read(2, 0, part as u32).unwrap(), bytes[..part]);
        parts.push(part);
    }
    assert!(parts.iter().all(|&part| part < 100) && parts.iter().any(|&part| part > 30), "{parts:?}");

    let whole = faulty(Config { every_write: 1, ..Config::default() });
    whole.write(2, 0, &bytes).unwrap_err();
    assert_eq!(whole.read(2, 0, 1).unwrap_err().kind(), StorageErrorKind::Missing);
}

#[test]
fn the_disk_is_full_at_its_capacity_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("somebody else's");
    std::fs::write(&other, "takes up room").unwrap();
    let config = |full_while: PathBuf, torn_writes| Config {
        capacity: config::Limit::At(config::Size(150)),
        full_while,
        torn_writes,
        ..Config::default()
    };
    let store = faulty(config(other.clone(), false));
    store.write(0, 0, &pattern(1, 100)).unwrap();
    let error = store.write(1, 0, &pattern(2, 51)).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Full);
    assert_eq!(error.to_string(), "writing piece 1: the layer faulty has room for 150 bytes");
    assert_eq!(store.read(1, 0, 1).unwrap_err().kind(), StorageErrorKind::Missing);
    store.write(1, 0, &pattern(2, 50)).unwrap();
    store.write(1, 50, b"x").unwrap_err();
    std::fs::remove_file(&other).unwrap();
    store.write(1, 50, &pattern(3, 50)).unwrap();

    let torn = faulty(config(PathBuf::new(), true));
    torn.write(0, 0, &pattern(1, 100)).unwrap();
    torn.write(1, 0, &pattern(2, 100)).unwrap_err();
    assert_eq!(torn.read(1, 0, 50).unwrap(), pattern(2, 50));
    torn.read(1, 50, 1).unwrap_err();
}

#[test]
fn what_could_never_be_full_needs_no_file_to_wait_for() {
    let config = Config { full_while: "x".into(), ..Config::default() };
    assert!(Faulty::build(config).is_err());
}
