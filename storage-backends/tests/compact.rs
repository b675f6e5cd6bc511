//! What `compact` does on the disk: the placement of the original, and its start from what is there.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bt_api::testkit::TestHost;
use bt_api::{Host, PieceIndex, StorageError, StorageErrorKind, Torrent};
use bt_storage::compact::{Compact, Config, LongerFile, Places, SyncWhen};
use common::{Waiting, hash_pieces, pattern, torrent};
use futures::FutureExt;
use futures::executor::block_on;
use proptest::prelude::*;
use tempfile::TempDir;

/// A torrent, and where it is downloaded to.
struct Place {
    folder: TempDir,
    torrent: Torrent,
    content: Vec<u8>,
}

impl Place {
    /// Of one file `t/a`.
    fn new(length: usize, piece_length: u32) -> Self {
        Self::of(&[("a", length as u64)], piece_length)
    }

    fn of(files: &[(&str, u64)], piece_length: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut torrent = torrent(folder.path(), files, piece_length);
        let mut content = pattern(7, torrent.layout.total_length() as usize);
        for file in torrent.layout.files().iter().filter(|file| file.is_pad()) {
            content[file.offset() as usize..][..file.length() as usize].fill(0);
        }
        hash_pieces(&mut torrent, &content);
        fs::create_dir(folder.path().join("t")).unwrap();
        Self { folder, torrent, content }
    }

    fn try_open(&self, config: Config, host: Arc<dyn Host>) -> Result<Open, StorageError> {
        let backend = Compact::new(config).unwrap();
        let (store, places) = block_on(backend.open_store(Arc::new(self.torrent.clone()), host))?;
        Ok(Open(Waiting(store), places))
    }

    fn open(&self) -> Open {
        self.try_open(Config::default(), TestHost::new()).unwrap()
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join("t").join(name)).unwrap()
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join("t").join(name), bytes).unwrap();
    }

    fn piece(&self, piece: u32) -> &[u8] {
        let layout = &self.torrent.layout;
        let at = layout.piece_offset(PieceIndex(piece)) as usize;
        &self.content[at..at + layout.piece_length(PieceIndex(piece)) as usize]
    }

    /// Writes and seals `piece`.
    fn arrives(&self, store: &Open, piece: u32) -> Result<(), StorageError> {
        store.write(piece, 0, self.piece(piece))?;
        store.seal(piece)
    }
}

/// An open store, whose calls wait for their answer.
struct Open(Waiting, Places);

impl Open {
    fn slots(&self) -> Vec<Option<u32>> {
        self.1.now().slots().map(|piece| piece.map(|piece| piece.0)).collect()
    }

    fn held(&self) -> Vec<u32> {
        self.0.pieces_held()
    }

    fn read(&self, piece: u32, offset: u32, length: u32) -> Result<Vec<u8>, StorageError> {
        self.0.read(piece, offset, length)
    }

    fn write(&self, piece: u32, offset: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.0.write(piece, offset, bytes)
    }

    fn seal(&self, piece: u32) -> Result<(), StorageError> {
        block_on(self.0.0.seal(PieceIndex(piece)))
    }

    /// What it saves at its end.
    fn ends(self) -> Option<bt_api::Bytes> {
        let saved = self.0.checkpoint().unwrap();
        self.0.close().unwrap();
        saved
    }
}

/// Case 34 of the original's tests (SW-15 to SW-17), on the disk: slots, and the bytes in them.
#[test]
fn case_34_placement_traces() {
    for (count, order, traces) in [
        (4, vec![2, 3, 0, 1], vec!["2", "23", "032", "0123"]),
        (4, vec![2, 0, 1, 3], vec!["2", "02", "012", "0123"]),
        (5, vec![2, 3, 1, 0, 4], vec!["2", "23", "312", "0123", "01234"]),
    ] {
        let place = Place::new(count * 3, 3);
        let store = place.open();
        for (piece, trace) in order.into_iter().zip(traces) {
            place.arrives(&store, piece).unwrap();
            let expected: Vec<u32> = trace.bytes().map(|digit| u32::from(digit - b'0')).collect();
            assert_eq!(store.slots().into_iter().flatten().collect::<Vec<_>>(), expected);
            let bytes: Vec<u8> = expected.iter().flat_map(|&piece| place.piece(piece).to_vec()).collect();
            assert_eq!(place.file("a"), bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cases 35 and 36 of the original's tests: after k one-byte pieces the file has k bytes; a restart in
    /// the middle finds them all, and the rest ends in order.
    #[test]
    fn case_35_and_36_any_order_without_holes_and_a_restart(
        order in Just((0..101).collect::<Vec<u32>>()).prop_shuffle(),
    ) {
        let place = Place::new(101, 1);
        let mut store = place.open();
        for (count, &piece) in order.iter().enumerate() {
            if count == 50 {
                drop(store);
                store = place.open();
                // Equal pieces are all the same: of those one may be had for the other.
                let bytes = |pieces: &[u32]| {
                    let mut bytes: Vec<u8> = pieces.iter().map(|&piece| place.content[piece as usize]).collect();
                    bytes.sort_unstable();
                    bytes
                };
                prop_assert_eq!(bytes(&store.held()), bytes(&order[..50]));
            }
            place.arrives(&store, piece).unwrap();
            prop_assert!(place.file("a").len() <= count + 1);
        }
        (0..101).for_each(|piece| place.arrives(&store, piece).unwrap());
        prop_assert_eq!(place.file("a"), &place.content[..]);
        prop_assert!(store.slots().iter().zip(0..).all(|(held, slot)| *held == Some(slot)));
    }

    /// Over several files, with padding, in writes of any size, with any fill: at the end all is in order.
    #[test]
    fn any_layout_ends_in_order(
        lengths in prop::collection::vec((1_u64..20, 0_u64..4), 1..5), piece_length in 1_u32..9,
        seed in 0_u64..1000, block in 1_usize..6, fill: u8, max_open_files in 1_usize..3,
    ) {
        let names: Vec<(String, String)> = (0..lengths.len()).map(|i| (format!("{i}"), format!("{i}.pad"))).collect();
        let files: Vec<(&str, u64)> = names.iter().zip(&lengths)
            .flat_map(|((file, pad), (length, padding))| [(file.as_str(), *length), (pad.as_str(), *padding)])
            .collect();
        let place = Place::of(&files, piece_length);
        let count = place.torrent.layout.piece_count();
        let mut order: Vec<u32> = (0..count).collect();
        bt_api::rng::shuffle(&mut bt_api::rng::stream(seed, 0, "order"), &mut order);
        let sync = if seed % 2 == 0 { SyncWhen::Seal } else { SyncWhen::Checkpoint };
        let store = place.try_open(Config { fill, max_open_files, sync, ..Config::default() }, TestHost::new()).unwrap();
        for (had, &piece) in order.iter().enumerate() {
            for (nth, bytes) in place.piece(piece).chunks(block).enumerate() {
                store.write(piece, (nth * block) as u32, bytes).unwrap();
            }
            store.seal(piece).unwrap();
            for &piece in &order[..=had] {
                prop_assert_eq!(store.read(piece, 0, place.piece(piece).len() as u32).unwrap(), place.piece(piece));
            }
            // Pieces of nothing but padding are there from the start.
            let held = store.held();
            prop_assert!(order[..=had].iter().all(|piece| held.contains(piece)));
        }
        for file in place.torrent.layout.files().iter().filter(|file| !file.is_pad()) {
            let expected = &place.content[file.offset() as usize..][..file.length() as usize];
            prop_assert_eq!(fs::read(file.path_in(place.folder.path())).unwrap(), expected);
        }
    }
}

/// SW-11: the file really grows by a slot, also when only some of it was received.
#[test]
fn a_fresh_slot_is_filled() {
    let place = Place::new(12, 4);
    let store = place.open();
    store.write(2, 1, b"xy").unwrap();
    assert_eq!(place.file("a"), [0xff, b'x', b'y', 0xff]);
    assert_eq!(
        store.read(0, 0, 4).unwrap_err().to_string(),
        "reading 4 bytes at 0 of piece 0: it was never written"
    );
}

/// Case 37 of the original's tests (SW-4 c): a short last piece is recognised by the first bytes of a slot.
#[test]
fn case_37_the_short_last_piece_is_found_in_another_slot() {
    let place = Place::new(10, 4);
    place.put("a", [place.piece(2), b"??"].concat());
    let store = place.open();
    assert_eq!((store.slots(), store.held()), (vec![Some(2), None, None], vec![2]));
    place.arrives(&store, 0).unwrap();
    place.arrives(&store, 1).unwrap();
    assert_eq!(store.slots(), [Some(0), Some(1), Some(2)]);
    assert_eq!(place.file("a"), place.content);
}

/// Case 38 of the original's tests (SW-10): what changed while it waited is not moved home, and nothing is
/// lost by it.
#[test]
fn case_38_a_piece_that_changed_is_not_moved_home() {
    let place = Place::new(12, 4);
    let store = place.open();
    place.arrives(&store, 1).unwrap();
    place.put("a", b"evil");
    let error = place.arrives(&store, 2).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert!(
        error.to_string().starts_with("moving piece 1 to its place: it no longer matches its hash"),
        "{error}"
    );
    assert_eq!(store.slots(), [Some(1), None, None]);
    assert_eq!(&place.file("a")[..4], b"evil");
    // Put right, it goes on.
    place.put("a", place.piece(1));
    drop(store);
    let store = place.open();
    place.arrives(&store, 2).unwrap();
    assert_eq!(store.held(), [1, 2]);
    // On request nobody looks.
    let place = Place::new(12, 4);
    let config = Config { verify_moves: false, ..Config::default() };
    let store = place.try_open(config, TestHost::new()).unwrap();
    place.arrives(&store, 1).unwrap();
    place.put("a", b"evil");
    place.arrives(&store, 2).unwrap();
    assert_eq!(store.read(1, 0, 4).unwrap(), b"evil");
}

/// Case 39 of the original's tests (SW-4, SW-24), in this store.
#[test]
fn case_39_data_is_taken_unseen_on_request() {
    let place = Place::new(12, 4);
    place.put("a", [&place.content[..4], b"evil"].concat());
    let host = TestHost::new();
    let config = Config { check_hashes: false, ..Config::default() };
    let store = place.try_open(config, host.clone()).unwrap();
    assert_eq!((store.held(), host.pieces_looked_at()), (vec![0, 1], 0));
    assert_eq!(store.read(0, 1, 2).unwrap(), place.content[1..3]);
    assert_eq!(store.read(1, 0, 4).unwrap_err().kind(), StorageErrorKind::Corrupt);
    assert_eq!(store.held(), [0]);
    place.arrives(&store, 1).unwrap();
    assert_eq!(store.read(1, 0, 4).unwrap(), place.piece(1));
}

/// Case 43 of the original's tests (SW-6): a check that is stopped ends soon and marks nothing; done, it
/// tells how far it is.
#[test]
fn case_43_a_stopped_check_marks_nothing() {
    let place = Place::new(40, 4);
    place.put("a", &place.content[..30]);
    let host = TestHost::new();
    let opening = Compact::new(Config::default()).unwrap();
    let mut opening = Box::pin(opening.open_store(Arc::new(place.torrent.clone()), host.clone()));
    // The files are opened, and the hashes put in order; then the workers are to begin.
    for _ in 0..2 {
        host.hold_work();
        assert!((&mut opening).now_or_never().is_none());
        host.run_held();
    }
    host.hold_work();
    assert!((&mut opening).now_or_never().is_none());
    drop(opening);
    assert!(host.run_held() > 0, "the workers find that nobody wants to know");
    assert_eq!(host.pieces_looked_at(), 0);
    assert_eq!(place.file("a"), &place.content[..30]);
    let store = place.try_open(Config::default(), host.clone()).unwrap();
    assert_eq!(host.pieces_looked_at(), 10);
    assert_eq!(store.held(), (0..7).collect::<Vec<_>>());
}

/// Two programs with one folder, as two backends are: only one of them writes, and moves pieces about.
#[test]
fn a_file_that_another_program_writes_is_left_to_it() {
    let place = Place::new(12, 4);
    let (first, second) = (place.open(), place.open());
    place.arrives(&first, 2).unwrap();
    // It is there now, and was not when the second one started.
    let third = place.open();
    for other in [&second, &third] {
        assert_eq!(place.arrives(other, 0).unwrap_err().kind(), StorageErrorKind::Corrupt);
    }
    let error = third.write(0, 0, b"evil").unwrap_err();
    assert_eq!(error.to_string(), "writing \"t/a\": another program is writing there, so nothing is written");
    assert_eq!(third.read(2, 0, 4).unwrap(), place.piece(2));
    place.arrives(&first, 0).unwrap();
    first.ends();
    let fourth = place.open();
    place.arrives(&fourth, 1).unwrap();
    assert_eq!(fourth.held(), [0, 1, 2]);
    assert_eq!(place.file("a"), place.content);
}

/// Case 44 of the original's tests, as departed from (SW-23): an error has a kind, no piece is lost by it,
/// and it heals.
#[test]
fn case_44_a_write_error_changes_nothing() {
    let place = Place::new(12, 4);
    let store = place.open();
    place.arrives(&store, 1).unwrap();
    let (a, away) = (place.folder.path().join("t/a"), place.folder.path().join("away"));
    fs::rename(&a, &away).unwrap();
    let error = place.arrives(&store, 2).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{error}");
    assert_eq!(store.slots(), [Some(1), None, None]);
    assert!(!a.exists(), "nothing is written elsewhere");
    fs::rename(&away, &a).unwrap();
    place.arrives(&store, 2).unwrap();
    place.arrives(&store, 0).unwrap();
    assert_eq!(place.file("a"), place.content);
}

/// Case 45 of the original's tests: of two equal pieces, one that lies in a foreign slot is had once.
#[test]
fn case_45_of_two_equal_pieces_one_is_had() {
    let mut place = Place::new(16, 4);
    place.content = b"abcdsameefghsame".to_vec();
    let content = place.content.clone();
    hash_pieces(&mut place.torrent, &content);
    place.put("a", b"same");
    let store = place.open();
    assert_eq!((store.slots(), store.held()), (vec![Some(3), None, None, None], vec![3]));
    [0, 1, 2].iter().for_each(|&piece| place.arrives(&store, piece).unwrap());
    assert_eq!(place.file("a"), place.content);
}

/// Cases 19 and 20 of the original's tests, in this store: a slot may lie in several files.
#[test]
fn case_19_and_20_a_slot_lies_in_its_files() {
    let place = Place::of(&[("a", 3), ("b", 0), ("c", 3), ("d", 6)], 4);
    let store = place.open();
    assert_eq!(place.file("b"), b"");
    place.arrives(&store, 2).unwrap();
    assert_eq!(
        (place.file("a"), place.file("c")),
        (place.piece(2)[..3].to_vec(), place.piece(2)[3..].to_vec())
    );
    place.arrives(&store, 0).unwrap();
    assert_eq!(store.slots(), [Some(0), Some(2), None]);
    place.arrives(&store, 1).unwrap();
    assert_eq!([place.file("a"), place.file("c"), place.file("d")].concat(), place.content);
}

/// BEP 47: a piece with padding stands at home, and nothing else in its slot.
#[test]
fn padded_pieces_stay_at_home() {
    let place = Place::of(&[("a", 9), ("1.pad", 3), ("b", 8)], 4);
    let store = place.open();
    [2, 4, 3].iter().for_each(|&piece| place.arrives(&store, piece).unwrap());
    assert_eq!(store.slots(), [Some(4), Some(3), Some(2), None, None]);
    assert_eq!(place.file("a"), [place.piece(4), place.piece(3), &place.piece(2)[..1]].concat());
    drop(store);
    let store = place.open();
    assert_eq!(store.held(), [2, 3, 4]);
    [0, 1].iter().for_each(|&piece| place.arrives(&store, piece).unwrap());
    assert_eq!([place.file("a"), vec![0; 3], place.file("b")].concat(), place.content);
}

/// The places are saved, and taken only while the files are as they were.
#[test]
fn saved_places_are_taken_unless_a_file_changed() {
    let mut place = Place::new(14, 4);
    let store = place.open();
    [2, 3].iter().for_each(|&piece| place.arrives(&store, piece).unwrap());
    store.write(1, 0, b"?").unwrap();
    let slots = store.slots();
    place.torrent.saved = store.ends();
    let looked_at = |place: &Place| {
        let host = TestHost::new();
        let store = place.try_open(Config::default(), host.clone()).unwrap();
        assert_eq!(store.held(), [2, 3]);
        (store.slots(), host.pieces_looked_at())
    };
    assert_eq!(looked_at(&place), (slots.clone(), 0));
    // Rubbish, and what another store saved, is nothing.
    let saved = place.torrent.saved.clone().unwrap();
    for wrong in [saved.slice(1..), saved.slice(..saved.len() - 1), [&saved[..], b"x"].concat().into()] {
        place.torrent.saved = Some(wrong);
        assert_eq!(looked_at(&place).1, 4);
    }
    place.torrent.saved = Some(saved);
    let file = fs::File::options().write(true).open(place.folder.path().join("t/a")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(looked_at(&place), (slots, 4));
}

/// Every byte of what is saved may be wrong, and the files as they were: no piece is shown that is not.
#[test]
fn saved_places_may_be_anything() {
    let mut place = Place::new(14, 4);
    let store = place.open();
    [2, 3].iter().for_each(|&piece| place.arrives(&store, piece).unwrap());
    let saved = store.ends().unwrap();
    for at in 0..saved.len() {
        for bit in 0..8 {
            let mut bytes = saved.to_vec();
            bytes[at] ^= 1 << bit;
            place.torrent.saved = Some(bytes.into());
            // What comes is a placement, or nothing: it does not panic, and a hash guards what is served of
            // it.
            let store = place.open();
            assert!(store.slots().len() == 4);
        }
    }
}

/// A longer file is refused, or cut on request (ST-2), as by `files`: also one with pieces out of order.
#[test]
fn case_21_a_longer_file_is_refused_or_cut_on_request() {
    let place = Place::new(8, 4);
    place.put("a", [&place.content[..], b"more"].concat());
    let error = place.try_open(Config::default(), TestHost::new()).err().unwrap();
    assert!(error.to_string().contains("set longer-file = \"truncate\""), "{error}");
    let config = Config { longer_file: LongerFile::Truncate, ..Config::default() };
    assert_eq!(place.try_open(config, TestHost::new()).unwrap().held(), [0, 1]);
    assert_eq!(place.file("a"), place.content);
    assert!(Compact::new(Config { max_open_files: 0, ..Config::default() }).is_err());
}

/// A planted link is not followed, whatever the store.
#[test]
fn a_planted_link_is_refused() {
    let place = Place::new(8, 4);
    let victim: &Path = &place.folder.path().join("victim");
    fs::write(victim, "precious").unwrap();
    std::os::unix::fs::symlink(victim, place.folder.path().join("t/a")).unwrap();
    assert!(place.try_open(Config::default(), TestHost::new()).is_err());
    assert_eq!(fs::read(victim).unwrap(), b"precious");
}

/// Reads and writes of all pieces at once, while they move.
#[test]
fn pieces_move_while_others_are_used() {
    const PIECE: usize = 1 << 14;
    let place = Place::of(&[("a", 100_000), ("b", 50_000), ("c", 200_000)], PIECE as u32);
    let store = place.open();
    let count = place.torrent.layout.piece_count();
    let mut order: Vec<u32> = (0..count).collect();
    bt_api::rng::shuffle(&mut bt_api::rng::stream(3, 0, "order"), &mut order);
    std::thread::scope(|scope| {
        for part in order.chunks(count.div_ceil(6) as usize) {
            let (store, place) = (&store, &place);
            scope.spawn(move || {
                for &piece in part {
                    for (nth, bytes) in place.piece(piece).chunks(5000).enumerate() {
                        store.write(piece, nth as u32 * 5000, bytes).unwrap();
                    }
                    store.seal(piece).unwrap();
                    for &piece in part.iter().take_while(|&&other| other != piece).chain([&piece]) {
                        let length = place.piece(piece).len() as u32;
                        assert_eq!(store.read(piece, 0, length).unwrap(), place.piece(piece));
                    }
                }
            });
        }
    });
    assert_eq!(["a", "b", "c"].map(|name| place.file(name)).concat(), place.content);
}
