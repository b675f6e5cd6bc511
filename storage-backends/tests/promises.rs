//! What every store promises, over each backend, bare and behind a layer that passes everything on.

mod common;

use std::sync::Arc;

use bt_api::testkit::TestHost;
use bt_api::{PieceIndex, Plugin, StorageError, StorageErrorKind, Torrent};
use bt_storage::compact::{self, Compact};
use bt_storage::database::Database;
use bt_storage::files::Files;
use bt_storage::layer::{cache, cache::Cache, faulty::Faulty, read_only::ReadOnly, slow::Slow, trace::Trace};
use bt_storage::memory::Memory;
use bt_storage::piece_files::PieceFiles;
use common::{Waiting, blocks, open, pattern, torrent};
use futures::FutureExt;
use proptest::prelude::*;

type Open = fn(Torrent, Arc<TestHost>) -> Waiting;

fn files(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    open(&*Files::build(Default::default()).unwrap(), torrent, host).unwrap()
}

fn memory(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    open(&*Memory::build(Default::default()).unwrap(), torrent, host).unwrap()
}

/// Pieces are not hashed on their way home: here they are sealed whatever they hold.
fn compact(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    let config = compact::Config { verify_moves: false, ..compact::Config::default() };
    open(&*Compact::build(config).unwrap(), torrent, host).unwrap()
}

fn slow_compact(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    let layer = Slow::build(Default::default()).unwrap();
    let inner = compact(torrent.clone(), host.clone());
    Waiting(layer.wrap(inner.0, Arc::new(torrent), host))
}

fn slow_files(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    let layer = Slow::build(Default::default()).unwrap();
    let inner = files(torrent.clone(), host.clone());
    Waiting(layer.wrap(inner.0, Arc::new(torrent), host))
}

/// While nothing fails it is as the store that it wraps.
fn faulty_files(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    let layer = Faulty::build(Default::default()).unwrap();
    let inner = files(torrent.clone(), host.clone());
    Waiting(layer.wrap(inner.0, Arc::new(torrent), host))
}

/// Pieces are sealed whatever they hold, so each gets a hash of its own: what is named by a hash is shared.
fn piece_files(mut torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    for (i, hash) in torrent.piece_hashes.iter_mut().enumerate() {
        hash.0[..4].copy_from_slice(&(i as u32).to_be_bytes());
    }
    open(&*PieceFiles::build(Default::default()).unwrap(), torrent, host).unwrap()
}

fn database(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    open(&*Database::build(Default::default()).unwrap(), torrent, host).unwrap()
}

fn cached_files(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    let layer = Cache::build(Default::default()).unwrap();
    let inner = files(torrent.clone(), host.clone());
    Waiting(layer.wrap(inner.0, Arc::new(torrent), host))
}

/// There is room for two pieces or so: they come and go.
fn narrowly_cached_memory(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    let size = bt_api::config::Size(u64::from(torrent.layout.nominal_piece_length()) * 5 / 2);
    let layer = Cache::build(cache::Config { size, ..cache::Config::default() }).unwrap();
    let inner = memory(torrent.clone(), host.clone());
    Waiting(layer.wrap(inner.0, Arc::new(torrent), host))
}

fn traced_memory(torrent: Torrent, host: Arc<TestHost>) -> Waiting {
    let layer = Trace::build(Default::default()).unwrap();
    let inner = memory(torrent.clone(), host.clone());
    Waiting(layer.wrap(inner.0, Arc::new(torrent), host))
}

macro_rules! promises {
    ($($promise:ident)*) => {
        mod on_files { $(#[test] fn $promise() { super::$promise(super::files); })* }
        mod on_memory { $(#[test] fn $promise() { super::$promise(super::memory); })* }
        mod on_compact { $(#[test] fn $promise() { super::$promise(super::compact); })* }
        mod on_slow_compact { $(#[test] fn $promise() { super::$promise(super::slow_compact); })* }
        mod on_slow_files { $(#[test] fn $promise() { super::$promise(super::slow_files); })* }
        mod on_piece_files { $(#[test] fn $promise() { super::$promise(super::piece_files); })* }
        mod on_database { $(#[test] fn $promise() { super::$promise(super::database); })* }
        mod on_cached_files { $(#[test] fn $promise() { super::$promise(super::cached_files); })* }
        mod on_narrowly_cached_memory { $(#[test] fn $promise() { super::$promise(super::narrowly_cached_memory); })* }
        mod on_traced_memory { $(#[test] fn $promise() { super::$promise(super::traced_memory); })* }
        mod on_faulty_files { $(#[test] fn $promise() { super::$promise(super::faulty_files); })* }
    };
}

promises! {
    spans_over_file_edges
    a_short_last_piece
    a_span_is_written_again
    unwritten_bytes_are_missing
    padding_is_zeros
    reads_and_writes_side_by_side
    a_dropped_write_touches_nothing_else
    sealed_pieces_are_held_until_they_are_written
    any_writes_are_read_back
}

/// What was never written is missing; of a piece that was begun, the rest may read as anything: a hash tells.
fn is_unwritten(begun: bool, read: Result<Vec<u8>, StorageError>) -> bool {
    read.map_or_else(|error| error.kind() == StorageErrorKind::Missing, |_| begun)
}

/// Case 19 of the original's tests.
fn spans_over_file_edges(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", 5), ("b", 4), ("c", 3)], 12);
    let store = open(torrent, TestHost::auto_advancing());
    store.write(0, 3, b"12345678").unwrap();
    assert_eq!(store.read(0, 3, 8).unwrap(), b"12345678");
    assert_eq!(store.read(0, 4, 6).unwrap(), b"234567");
}

fn a_short_last_piece(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(torrent(folder.path(), &[("a", 5), ("b", 6)], 4), TestHost::auto_advancing());
    store.write(2, 0, b"end").unwrap();
    store.seal(2);
    assert_eq!(store.read(2, 0, 3).unwrap(), b"end");
    assert_eq!(store.read(2, 3, 0).unwrap(), b"");
}

fn a_span_is_written_again(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(torrent(folder.path(), &[("a", 5), ("b", 3)], 8), TestHost::auto_advancing());
    store.write(0, 0, b"badbadba").unwrap();
    store.write_blocks(0, 2, blocks(b"good", 1)).unwrap();
    assert_eq!(store.read(0, 0, 8).unwrap(), b"bagoodba");
    store.seal(0);
    store.write(0, 7, b"!").unwrap();
    assert_eq!(store.read(0, 0, 8).unwrap(), b"bagoodb!");
}

fn unwritten_bytes_are_missing(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(torrent(folder.path(), &[("a", 6), ("b", 6)], 4), TestHost::auto_advancing());
    assert_eq!(store.read(0, 0, 4).unwrap_err().kind(), StorageErrorKind::Missing);
    store.write(1, 0, b"xyz").unwrap();
    assert_eq!(store.read(1, 0, 3).unwrap(), b"xyz");
    for (piece, offset, length) in [(1, 0, 4), (1, 3, 1), (2, 0, 4)] {
        assert!(is_unwritten(piece == 1, store.read(piece, offset, length)), "{piece} {offset}");
    }
}

/// BEP 47.
fn padding_is_zeros(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let files = [("a", 3), ("1.pad", 9), ("b", 2)];
    let store = open(torrent(folder.path(), &files, 4), TestHost::auto_advancing());
    assert_eq!(store.read(1, 0, 4).unwrap(), [0; 4]);
    assert_eq!(store.read(0, 3, 1).unwrap(), [0]);
    assert_eq!(store.read(0, 0, 4).unwrap_err().kind(), StorageErrorKind::Missing);
    store.write(0, 0, b"abc").unwrap();
    store.write(1, 0, &[0; 4]).unwrap();
    (0..3).for_each(|piece| store.write(2, piece, &[0]).unwrap());
    store.seal(0);
    store.seal(1);
    assert_eq!(store.read(0, 0, 4).unwrap(), b"abc\0");
    assert_eq!(store.read(1, 0, 4).unwrap(), [0; 4]);
}

fn reads_and_writes_side_by_side(open: Open) {
    const PIECE: usize = 1 << 16;
    let folder = tempfile::tempdir().unwrap();
    let files = [("a", PIECE as u64 * 3 / 2), ("b", 100), ("c", PIECE as u64 * 13 / 2 - 100)];
    let store = open(torrent(folder.path(), &files, PIECE as u32), TestHost::auto_advancing());
    std::thread::scope(|scope| {
        for piece in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..10 {
                    let bytes = pattern(piece as u8 * 16 + round, PIECE);
                    store.write_blocks(piece, 0, blocks(&bytes, 1 << 14)).unwrap();
                    assert_eq!(store.read(piece, 0, PIECE as u32).unwrap(), bytes);
                }
                store.seal(piece);
            });
        }
    });
    assert!(store.held().is_full());
    for piece in 0..8 {
        assert_eq!(store.read(piece, 0, PIECE as u32).unwrap(), pattern(piece as u8 * 16 + 9, PIECE));
    }
}

/// Dropped before it began, or while it waits for a worker that does it later.
fn a_dropped_write_touches_nothing_else(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::auto_advancing();
    let store = open(torrent(folder.path(), &[("a", 5), ("b", 7)], 6), host.clone());
    store.write(0, 0, b"012345").unwrap();
    store.write(1, 0, b"6789AB").unwrap();
    drop(store.0.write(PieceIndex(0), 1, vec![b"xx".to_vec().into()]));
    host.hold_work();
    let _ = store.0.write(PieceIndex(0), 3, vec![b"yy".to_vec().into(), b"z".to_vec().into()]).now_or_never();
    let _ = store.0.read(PieceIndex(1), 0, 6).now_or_never();
    host.run_held();
    assert_eq!(store.read(0, 0, 3).unwrap(), b"012");
    assert_eq!(store.read(1, 0, 6).unwrap(), b"6789AB");
    store.write(0, 3, b"345").unwrap();
    assert_eq!(store.read(0, 0, 6).unwrap(), b"012345");
}

fn sealed_pieces_are_held_until_they_are_written(open: Open) {
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
}

/// Any layout, any writes in any blocks: what is read is what was written last.
fn any_writes_are_read_back(open: Open) {
    let write =
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1_usize..40, 1_usize..9, any::<u8>());
    let input = (prop::collection::vec(0_u64..30, 1..7), 1_u32..24, prop::collection::vec(write, 1..20));
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((lengths, piece_length, writes) in input)| {
        prop_assume!(lengths.iter().sum::<u64>() > 0);
        let names: Vec<String> = (0..lengths.len()).map(|i| format!("{}/{i}", i % 3)).collect();
        let list: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(lengths).collect();
        let folder = tempfile::tempdir().unwrap();
        let torrent = torrent(folder.path(), &list, piece_length);
        let layout = torrent.layout.clone();
        let store = open(torrent, TestHost::auto_advancing());
        let mut naive = vec![None; layout.total_length() as usize];
        let mut begun = std::collections::BTreeSet::new();
        for (piece, offset, length, block, seed) in writes {
            let piece = PieceIndex(piece.index(layout.piece_count() as usize) as u32);
            let room = layout.piece_length(piece) as usize;
            let offset = offset.index(room);
            let bytes = pattern(seed, length.min(room - offset));
            store.write_blocks(piece.0, offset as u32, blocks(&bytes, block)).unwrap();
            begun.insert(piece.0);
            let at = layout.piece_offset(piece) as usize + offset;
            naive[at..at + bytes.len()].iter_mut().zip(bytes).for_each(|(old, new)| *old = Some(new));
        }
        for (at, byte) in naive.iter().enumerate() {
            let (piece, offset) = (at as u32 / piece_length, at as u32 % piece_length);
            let read = store.read(piece, offset, 1);
            match byte {
                Some(byte) => prop_assert_eq!(read.unwrap(), [*byte]),
                // A file may be sparse, and a piece that was never begun in its hole.
                None => prop_assert!(is_unwritten(begun.contains(&piece) || matches!(&read, Ok(read) if *read == [0]), read)),
            }
        }
    });
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
    let store = memory(torrent("unused".as_ref(), &[("a", 16)], 16), TestHost::new());
    store.write(0, 0, b"01234").unwrap();
    store.write(0, 10, b"x").unwrap();
    assert_eq!(store.read(0, 0, 5).unwrap(), b"01234");
    assert_eq!(store.read(0, 10, 1).unwrap(), b"x");
    assert_eq!(store.read(0, 5, 5).unwrap_err().kind(), StorageErrorKind::Missing);
}

/// Case 26: a read past what is there answers nothing but an error (ST-5), and does no harm.
#[test]
fn case_26_a_read_past_the_end_does_no_harm() {
    let store = memory(torrent("unused".as_ref(), &[("a", 16)], 16), TestHost::new());
    store.write(0, 0, b"01234").unwrap();
    for _ in 0..2 {
        assert_eq!(store.read(0, 5, 4).unwrap_err().kind(), StorageErrorKind::Missing);
        assert_eq!(store.read(0, 1, 4).unwrap(), b"1234");
    }
}

#[test]
fn memory_shares_what_is_sealed_and_keeps_no_block() {
    let store = memory(torrent("unused".as_ref(), &[("a", 8)], 8), TestHost::new());
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
    let store = layer.wrap(memory((*torrent).clone(), host.clone()).0, torrent, host.clone());
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
    let inner = memory((*torrent).clone(), TestHost::new());
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
