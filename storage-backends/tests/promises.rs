//! What every store promises, over each backend, bare and behind layers; and what the stores of this crate promise
//! beyond the trait.

mod common;

use std::sync::Arc;

use bt_api::plugin::Storage;
use bt_api::testkit::storage::{PROMISES, Subject};
use bt_api::testkit::{TestHost, broken_promises, layer_conformance, storage_conformance};
use bt_api::{PieceIndex, Plugin, StorageErrorKind, Torrent};
use bt_storage::compact::{Compact, Config as CompactConfig};
use bt_storage::database::Database;
use bt_storage::files::Files;
use bt_storage::layer::{cache::Cache, faulty::Faulty, read_only::ReadOnly, slow::Slow, trace::Trace};
use bt_storage::memory::Memory;
use bt_storage::null::Null;
use bt_storage::piece_files::PieceFiles;
use common::{Waiting, open, pattern, torrent};
use futures::FutureExt;

storage_conformance!(files = full_at_16_kib::<Files>(&["", "max-open-files = 1"]));
storage_conformance!(compact = full_at_16_kib::<Compact>(&["", "max-open-files = 1", "fill = 0"]));
storage_conformance!(
    memory = {
        let cramped = Subject::of::<Memory>(&["max-size = \"16 KiB\""]);
        Subject::of::<Memory>(&[]).volatile().with_little_room(cramped)
    }
);
storage_conformance!(piece_files = full_at_16_kib::<PieceFiles>(&[""]));
storage_conformance!(database = full_at_16_kib::<Database>(&[""]));
storage_conformance!(slow_files = Subject::of::<Files>(&[]).behind::<Slow>(""));
storage_conformance!(slow_compact = Subject::of::<Compact>(&[]).behind::<Slow>(""));
// While nothing fails it is as the store that it wraps.
storage_conformance!(faulty_files = Subject::of::<Files>(&[]).behind::<Faulty>(""));
storage_conformance!(cached_files = Subject::of::<Files>(&[]).behind::<Cache>(""));
// There is room for a piece or two: they come and go.
storage_conformance!(
    narrowly_cached_memory = Subject::of::<Memory>(&[]).volatile().behind::<Cache>("size = \"40 KiB\"")
);
storage_conformance!(traced_memory = Subject::of::<Memory>(&[]).volatile().behind::<Trace>(""));

layer_conformance!(cache: Cache);
layer_conformance!(trace: Trace);
layer_conformance!(slow: Slow);
layer_conformance!(faulty: Faulty);

/// What a subject keeps of the promises of stores.
fn kept(subject: &Subject) -> Vec<&'static str> {
    let broken = broken_promises(PROMISES, subject);
    PROMISES.iter().map(|&(name, _)| name).filter(|name| !broken.contains(name)).collect()
}

/// It gives no byte back, and keeps every promise beside that.
#[test]
fn null_keeps_what_needs_no_bytes() {
    let promises = [
        "what_was_never_written_is_missing",
        "vouches_only_for_what_was_sealed",
        "vouches_by_sets_of_this_torrent",
        "sealed_pieces_outlive_a_restart",
        "saved_pieces_outlive_a_crash",
        "an_unusable_folder_is_an_error",
        "a_full_store_says_so",
        "keeps_no_block",
    ];
    assert_eq!(kept(&Subject::of::<Null>(&[]).volatile()), promises);
}

/// The kits write before they look, and this layer denies just that: neither kit is for it, and what little is left of
/// them is here. What it passes on has a test below.
#[test]
fn read_only_keeps_what_needs_no_write() {
    let promises =
        ["what_was_never_written_is_missing", "an_unusable_folder_is_an_error", "a_full_store_says_so"];
    assert_eq!(kept(&Subject::of::<Memory>(&[]).volatile().behind::<ReadOnly>("")), promises);
}

/// The backend `P` under `tables`. No disk is filled for a test: a layer says that it is.
fn full_at_16_kib<P: Plugin<Kind = Storage>>(tables: &[&str]) -> Subject {
    let cramped = Subject::of::<P>(&[]).behind::<Faulty>("capacity = \"16 KiB\"");
    Subject::of::<P>(tables).with_little_room(cramped)
}

type Open = fn(Torrent, Arc<TestHost>) -> Waiting;

fn open_files(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    open(&*Files::build(Default::default()).unwrap(), torrent, host).unwrap()
}

fn open_memory(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    open(&*Memory::build(Default::default()).unwrap(), torrent, host).unwrap()
}

/// Pieces are not hashed on their way home: here they are sealed whatever they hold.
fn open_compact(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    let config = CompactConfig { verify_moves: false, ..CompactConfig::default() };
    open(&*Compact::build(config).unwrap(), torrent, host).unwrap()
}

/// The trait leaves it to the store whether padding that nobody wrote is there (BEP 47); in ours it is.
#[test]
fn padding_is_zeros_before_it_is_written() {
    let padding: fn(Open) = |open| {
        let folder = tempfile::tempdir().unwrap();
        let files = [("a", 3), ("1.pad", 9), ("b", 2)];
        let store = open(torrent(folder.path(), &files, 4), TestHost::auto_advancing());
        assert_eq!(store.read(1, 0, 4).unwrap(), [0; 4]);
        assert_eq!(store.read(0, 3, 1).unwrap(), [0]);
        assert_eq!(store.read(0, 0, 4).unwrap_err().kind(), StorageErrorKind::Missing);
    };
    [open_files as Open, open_memory, open_compact].into_iter().for_each(padding);
}

/// The trait lets a store vouch for less than was sealed; ours vouch for all of it.
#[test]
fn sealed_pieces_are_held_until_they_are_written() {
    let held: fn(Open) = |open| {
        let folder = tempfile::tempdir().unwrap();
        let store = open(torrent(folder.path(), &[("a", 5), ("b", 7)], 4), TestHost::auto_advancing());
        assert!(store.held().is_empty());
        store.write(1, 0, b"good").unwrap();
        assert!(store.held().is_empty());
        store.seal(1);
        assert_eq!(store.pieces_held(), [1]);
        store.checkpoint().unwrap();
        assert_eq!(store.pieces_held(), [1]);
        store.write(1, 3, b"?").unwrap();
        assert!(store.held().is_empty());
        store.close().unwrap();
    };
    [open_files as Open, open_memory, open_compact].into_iter().for_each(held);
}

#[test]
fn memory_has_a_limit_that_torrents_share() {
    let config = bt_storage::memory::Config { max_size: "10 B".parse().unwrap() };
    let backend = Memory::build(config).unwrap();
    let torrent = |length| torrent("unused".as_ref(), &[("a", length)], 4);
    let error = open(&*backend, torrent(11), TestHost::new()).err().unwrap();
    assert_eq!(error.kind(), StorageErrorKind::Full);
    assert_eq!(error.to_string(), "the torrent's 11 B are more than the max-size of 10 B");

    let one = open(&*backend, torrent(10), TestHost::new()).unwrap();
    let other = open(&*backend, torrent(10), TestHost::new()).unwrap();
    one.write(0, 0, b"a").unwrap();
    other.write(2, 0, b"b").unwrap();
    one.write(1, 0, b"c").unwrap();
    let error = other.write(0, 0, b"d").unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Full);
    one.close().unwrap();
    other.write(0, 0, b"d").unwrap();
    drop(other);
    let again = open(&*backend, torrent(10), TestHost::new()).unwrap();
    (0..3).for_each(|piece| again.write(piece, 0, b"e").unwrap());
}

/// Case 25 of the original's tests, of the fake files (FO-2) that the memory store took the place of: what a
/// write leaves out is not made up. It is missing, where the original said zero.
#[test]
fn case_25_a_write_past_the_end_leaves_a_gap() {
    let store = open_memory(torrent("unused".as_ref(), &[("a", 16)], 16), TestHost::new());
    store.write(0, 0, b"01234").unwrap();
    store.write(0, 10, b"x").unwrap();
    assert_eq!(store.read(0, 0, 5).unwrap(), b"01234");
    assert_eq!(store.read(0, 10, 1).unwrap(), b"x");
    assert_eq!(store.read(0, 5, 5).unwrap_err().kind(), StorageErrorKind::Missing);
}

/// Case 26: a read past what is there answers nothing but an error (ST-5), and does no harm.
#[test]
fn case_26_a_read_past_the_end_does_no_harm() {
    let store = open_memory(torrent("unused".as_ref(), &[("a", 16)], 16), TestHost::new());
    store.write(0, 0, b"01234").unwrap();
    for _ in 0..2 {
        assert_eq!(store.read(0, 5, 4).unwrap_err().kind(), StorageErrorKind::Missing);
        assert_eq!(store.read(0, 1, 4).unwrap(), b"1234");
    }
}

#[test]
fn memory_shares_what_is_sealed_and_keeps_no_block() {
    let store = open_memory(torrent("unused".as_ref(), &[("a", 8)], 8), TestHost::new());
    let block = bt_api::Block::from(pattern(1, 8));
    store.write_blocks(0, 0, vec![block.clone()]).unwrap();
    assert!(block.into_bytes().is_unique(), "the store copied it, so its buffer is free for the next block");
    store.seal(0);
    let read = |offset| store.0.read(PieceIndex(0), offset, 4).now_or_never().unwrap().unwrap().into_bytes();
    assert_eq!(read(0).as_ptr().wrapping_add(4), read(4).as_ptr());
}

#[test]
fn a_slow_store_answers_when_its_delay_is_over() {
    let host = TestHost::new();
    let torrent = Arc::new(torrent("unused".as_ref(), &[("a", 4)], 4));
    let layer = Slow::build(Default::default()).unwrap();
    let store = layer.wrap(open_memory((*torrent).clone(), host.clone()).0, torrent, host.clone());
    let mut write = store.write(PieceIndex(0), 0, vec![b"abcd".to_vec().into()]);
    host.advance(std::time::Duration::from_millis(9));
    assert!((&mut write).now_or_never().is_none());
    host.advance(std::time::Duration::from_millis(9));
    assert!((&mut write).now_or_never().is_none());
    host.advance(std::time::Duration::from_millis(1));
    write.now_or_never().unwrap().unwrap();
}

#[test]
fn a_read_only_store_denies_what_would_change_it() {
    let torrent = Arc::new(torrent("unused".as_ref(), &[("a", 8)], 4));
    let inner = open_memory((*torrent).clone(), TestHost::new());
    inner.write(0, 0, b"abcd").unwrap();
    inner.seal(0);
    let layer = ReadOnly::build(Default::default()).unwrap();
    let store = Waiting(layer.wrap(inner.0, torrent, TestHost::new()));
    let error = store.write(1, 0, b"efgh").unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Denied);
    assert_eq!(error.to_string(), "writing piece 1: the layer read-only denies it");
    // What was found and checked is sealed, which writes nothing.
    store.seal(0);
    assert_eq!(store.pieces_held(), [0]);
    assert_eq!(store.read(0, 1, 2).unwrap(), b"bc");
    assert_eq!(store.read(1, 0, 4).unwrap_err().kind(), StorageErrorKind::Missing);
    store.close().unwrap();
}

/// It counts what was sealed and has none of it.
#[test]
fn a_null_store_seals_and_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let backend = bt_storage::null::Null::build(Default::default()).unwrap();
    let torrent = torrent(folder.path(), &[("a", 5), ("b.pad", 3)], 4);
    let store = open(&*backend, torrent.clone(), TestHost::new()).unwrap();
    let block = bt_api::Block::from(pattern(1, 4));
    store.write_blocks(0, 0, vec![block.clone()]).unwrap();
    assert!(block.into_bytes().is_unique());
    store.seal(0);
    assert_eq!(store.pieces_held(), [0]);
    let error = store.read(0, 1, 2).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Missing);
    assert_eq!(error.to_string(), "reading 2 bytes at 1 of piece 0: null keeps nothing");
    assert_eq!(store.read(1, 1, 3).unwrap(), [0; 3]);
    store.write(0, 0, b"x").unwrap();
    assert!(store.held().is_empty());
    assert_eq!(store.checkpoint().unwrap(), None);
    store.close().unwrap();
    assert!(open(&*backend, torrent, TestHost::new()).unwrap().held().is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it makes no file");
}
