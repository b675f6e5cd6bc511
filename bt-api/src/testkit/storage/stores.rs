//! The promises of a store. Each but the first keeps to torrents of one file where files do not matter, so that
//! a fault is named once.

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::join_all;

use super::history::any_writes;
use super::scene::{Scene, blocks, pattern};
use super::subject::Subject;
use crate::block::{Block, PieceIndex};
use crate::storage::{StorageError, StorageErrorKind};
use crate::testkit::Promise;
use crate::torrent::InfoHash;

/// The promises of stores by name.
pub const PROMISES: &[Promise<Subject>] = crate::__storage_promises! { __conformance_table };

/// A span that reaches over the edges of files is written and read as one.
///
/// # Panics
/// When the promise is broken, as all of these functions do.
pub fn spans_cross_file_edges(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 5), ("d/b", 4), ("empty", 0), ("c", 3)], 12);
        let store = scene.open(&*build());
        store.write_blocks(0, 3, blocks(&scene.content[3..11], 3)).unwrap();
        assert_eq!(store.read(0, 3, 8).unwrap(), scene.content[3..11]);
        assert_eq!(store.read(0, 4, 6).unwrap(), scene.content[4..10]);
    });
}

/// The last piece is as long as the rest of the torrent.
pub fn the_last_piece_may_be_short(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 11)], 4);
        let store = scene.open(&*build());
        scene.fill(&store, 2);
        assert_eq!(store.read(2, 0, 3).unwrap(), scene.piece(2));
        assert_eq!(store.read(2, 3, 0).unwrap(), b"");
        drop(store);
        let one = Scene::new(&[("a", 3)], 16);
        let store = one.open(&*build());
        one.fill(&store, 0);
        assert_eq!(store.read(0, 0, 3).unwrap(), one.content);
    });
}

/// What is written again reads as it was written last, after a seal too.
pub fn a_span_may_be_written_again(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 8)], 8);
        let store = scene.open(&*build());
        store.write(0, 0, b"badbadba").unwrap();
        store.write_blocks(0, 2, blocks(b"good", 1)).unwrap();
        assert_eq!(store.read(0, 0, 8).unwrap(), b"bagoodba");
        scene.fill(&store, 0);
        assert_eq!(store.read(0, 0, 8).unwrap(), scene.content);
        store.write(0, 7, b"!").unwrap();
        assert_eq!(store.read(0, 7, 1).unwrap(), b"!");
        assert_eq!(store.read(0, 0, 7).unwrap(), scene.content[..7]);
    });
}

/// Bytes of a torrent of which nothing was written are [`Missing`](StorageErrorKind::Missing).
pub fn what_was_never_written_is_missing(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 12)], 4);
        let store = scene.open(&*build());
        for (piece, offset, length) in [(0, 0, 4), (1, 3, 1), (2, 0, 4)] {
            let read = store.read(piece, offset, length).map_err(|error| error.kind());
            assert_eq!(read, Err(StorageErrorKind::Missing), "{length} bytes at {offset} of piece {piece}");
        }
    });
}

/// A read gives all its bytes or an error. What was never written of a piece that was begun may read as
/// anything: its hash tells.
pub fn reads_are_whole(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 12)], 4);
        let store = scene.open(&*build());
        store.write(1, 0, &scene.piece(1)[..3]).unwrap();
        assert_eq!(store.read(1, 0, 3).unwrap(), scene.piece(1)[..3]);
        for (offset, length) in [(0, 4), (3, 1), (2, 2)] {
            let read = store.read(1, offset, length);
            let whole = read.map_or_else(
                |error| error.kind() == StorageErrorKind::Missing,
                |read| read.len() == length as usize,
            );
            assert!(whole, "{length} bytes at {offset} of a begun piece");
        }
    });
}

/// Pad files (BEP 47) read as zeros, in pieces of nothing else and at their edges.
pub fn padding_is_zeros(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 3), ("1.pad", 9), ("b", 4)], 4);
        let store = scene.open(&*build());
        [0, 1, 2, 3].iter().for_each(|&piece| scene.fill(&store, piece));
        assert_eq!(store.read(0, 0, 4).unwrap(), scene.piece(0));
        assert_eq!(store.read(1, 0, 4).unwrap(), [0; 4]);
        assert_eq!(store.read(2, 1, 2).unwrap(), [0; 2]);
        assert_eq!(store.read(3, 0, 4).unwrap(), scene.piece(3));
    });
}

/// Any layout, any spans in any blocks, in any order, with checkpoints in between: every byte that was written
/// reads as it was written last.
pub fn any_writes_are_read_back(subject: &Subject) {
    subject.for_each(|build| (0..60).for_each(|seed| any_writes(build, seed)));
}

/// Calls for different pieces run side by side, from several threads and from one, and disturb nothing.
pub fn reads_and_writes_run_side_by_side(subject: &Subject) {
    const PIECE: usize = 1 << 14;
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", PIECE as u64 * 8)], PIECE as u32);
        let store = scene.open(&*build());
        std::thread::scope(|scope| {
            for piece in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..4 {
                        let bytes = pattern(piece as u8 * 16 + round, PIECE);
                        store.write_blocks(piece, 0, blocks(&bytes, 1 << 12)).unwrap();
                        let read = store.read(piece, 0, PIECE as u32).unwrap();
                        assert!(read == bytes, "piece {piece} is not as written");
                    }
                });
            }
        });
        // All are begun before any is done.
        let write = |piece| store.0.write(PieceIndex(piece), 0, blocks(scene.piece(piece), PIECE));
        block_on(join_all((0..8).map(write))).into_iter().for_each(|done| done.unwrap());
        block_on(join_all((0..8).map(|piece| store.0.seal(PieceIndex(piece)))))
            .into_iter()
            .for_each(|done| done.unwrap());
        let read = |piece| store.0.read(PieceIndex(piece), 0, PIECE as u32);
        for (piece, read) in block_on(join_all((0..8).map(read))).into_iter().enumerate() {
            assert!(&*read.unwrap() == scene.piece(piece as u32), "piece {piece} is not as written");
        }
    });
}

/// A call that is dropped, before it began or while a worker has it, touches no byte outside its span, and the
/// span can be written again.
pub fn a_dropped_write_touches_no_other_byte(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 12)], 6);
        let store = scene.open(&*build());
        store.write(0, 0, scene.piece(0)).unwrap();
        store.write(1, 0, scene.piece(1)).unwrap();
        drop(store.0.write(PieceIndex(0), 1, vec![b"xx".to_vec().into()]));
        scene.host.hold_work();
        let two = vec![b"yy".to_vec().into(), b"z".to_vec().into()];
        let _ = store.0.write(PieceIndex(0), 3, two).now_or_never();
        let _ = store.0.read(PieceIndex(1), 0, 6).now_or_never();
        let _ = store.0.seal(PieceIndex(1)).now_or_never();
        scene.host.run_held();
        assert_eq!(store.read(0, 0, 3).unwrap(), scene.piece(0)[..3]);
        assert_eq!(store.read(1, 0, 6).unwrap(), scene.piece(1));
        store.write(0, 3, &scene.piece(0)[3..]).unwrap();
        assert_eq!(store.read(0, 0, 6).unwrap(), scene.piece(0));
        [0, 1].iter().for_each(|&piece| store.seal(piece));
    });
}

/// It vouches for no piece that was not sealed, nor for one that was written since.
pub fn vouches_only_for_what_was_sealed(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 12)], 4);
        let store = scene.open(&*build());
        assert_eq!(store.pieces_held(), [0; 0], "nothing was written");
        store.write(1, 0, scene.piece(1)).unwrap();
        assert_eq!(store.pieces_held(), [0; 0], "nothing was sealed");
        store.seal(1);
        store.checkpoint().unwrap();
        assert!(store.pieces_held().iter().all(|&piece| piece == 1), "only piece 1 was sealed");
        store.write(1, 3, b"?").unwrap();
        assert_eq!(store.pieces_held(), [0; 0], "piece 1 was written again");
    });
}

/// What was sealed and saved is there after a restart, in the folder where it was; of a
/// [volatile](Subject::volatile) store nothing is, and it vouches for nothing.
pub fn sealed_pieces_outlive_a_restart(subject: &Subject) {
    subject.for_each(|build| {
        let mut scene = Scene::new(&[("a", 20)], 4);
        let store = scene.open(&*build());
        [3, 1, 4].iter().for_each(|&piece| scene.fill(&store, piece));
        store.write(0, 0, b"??").unwrap();
        scene.torrent.saved = store.checkpoint().unwrap();
        store.close().unwrap();
        drop(store);
        let store = scene.open(&*build());
        let held = store.pieces_held();
        if subject.volatile {
            assert_eq!(held, [0; 0]);
            return;
        }
        assert!(held.iter().all(|piece| [1, 3, 4].contains(piece)), "it vouches for {held:?} of 1, 3 and 4");
        for piece in [1, 3, 4] {
            let whole = scene.piece(piece);
            assert_eq!(store.read(piece, 0, whole.len() as u32).unwrap(), whole, "piece {piece}");
        }
        [0, 2].iter().for_each(|&piece| scene.fill(&store, piece));
        (0..5).for_each(|piece| {
            let whole = scene.piece(piece);
            assert_eq!(store.read(piece, 0, whole.len() as u32).unwrap(), whole, "piece {piece}");
        });
        store.close().unwrap();
    });
}

/// What was sealed before a [`checkpoint`](crate::TorrentStore::checkpoint) outlives a client that ends without
/// [`close`](crate::TorrentStore::close). Of what came after it, the store may have kept anything, but it vouches only for
/// pieces that match their hashes.
pub fn saved_pieces_outlive_a_crash(subject: &Subject) {
    subject.for_each(|build| {
        let mut scene = Scene::new(&[("a", 20)], 4);
        let store = scene.open(&*build());
        [3, 1].iter().for_each(|&piece| scene.fill(&store, piece));
        scene.torrent.saved = store.checkpoint().unwrap();
        scene.fill(&store, 4);
        store.write(0, 0, b"??").unwrap();
        store.write(1, 3, b"?").unwrap();
        drop(store);
        let store = scene.open(&*build());
        let held = store.pieces_held();
        if subject.volatile {
            assert_eq!(held, [0; 0]);
            return;
        }
        for piece in held {
            let read = store.read(piece, 0, 4).map_err(|error| error.to_string());
            assert_eq!(read.as_deref(), Ok(scene.piece(piece)), "it vouches for piece {piece}");
        }
        assert_eq!(store.read(3, 0, 4).unwrap(), scene.piece(3), "it was saved");
        [0, 1, 2, 4].iter().for_each(|&piece| scene.fill(&store, piece));
        (0..5).for_each(|piece| assert_eq!(store.read(piece, 0, 4).unwrap(), scene.piece(piece)));
        store.close().unwrap();
    });
}

/// What it vouches for is a set of as many pieces as the torrent has, new or reopened.
pub fn vouches_by_sets_of_this_torrent(subject: &Subject) {
    subject.for_each(|build| {
        let mut scene = Scene::new(&[("a", 33)], 4);
        let store = scene.open(&*build());
        assert_eq!(store.held().pieces(), 9, "nothing was written");
        scene.fill(&store, 8);
        assert_eq!(store.held().pieces(), 9, "a piece was sealed");
        scene.torrent.saved = store.checkpoint().unwrap();
        store.close().unwrap();
        drop(store);
        let store = scene.open(&*build());
        assert_eq!(store.held().pieces(), 9, "after a restart");
        store.close().unwrap();
    });
}

/// What it saved comes back from a file that may be old, damaged or of another torrent, to data that may be
/// gone: it opens, and vouches only for pieces that are there and match their hashes.
pub fn saved_state_is_not_trusted_blindly(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 20)], 4);
        let store = scene.open(&*build());
        (0..5).for_each(|piece| scene.fill(&store, piece));
        let saved = store.checkpoint().unwrap().unwrap_or_default();
        store.close().unwrap();
        drop(store);
        let mut lies = vec![vec![], vec![0xff], vec![0xff; 4096], b"d1:a".to_vec(), saved.to_vec()];
        lies.extend(
            (1..saved.len()).step_by(saved.len().div_ceil(16).max(1)).map(|end| saved[..end].to_vec()),
        );
        for at in 0..saved.len().min(64) {
            let mut changed = saved.to_vec();
            changed[at] ^= 1 << (at % 8);
            lies.push(changed);
        }
        for lie in lies {
            // A folder without data, and a torrent of another size there.
            for (length, piece_length) in [(20, 4), (30, 5)] {
                let mut fresh = Scene::new(&[("a", length)], piece_length);
                fresh.torrent.saved = Some(lie.clone().into());
                let store = fresh.open(&*build());
                for piece in store.pieces_held() {
                    let whole = fresh.piece(piece);
                    let read = store.read(piece, 0, whole.len() as u32).map_err(|error| error.to_string());
                    assert_eq!(read.as_deref(), Ok(whole), "it vouches for piece {piece} of a new folder");
                }
                fresh.fill(&store, 1);
                assert_eq!(store.read(1, 0, piece_length).unwrap(), fresh.piece(1));
                store.close().unwrap();
            }
        }
    });
}

/// After [`close`](crate::TorrentStore::close) the torrent can be opened again at once, by the same backend and by
/// another, although the closed store still lives.
pub fn close_lets_go(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 8)], 4);
        let (one, other) = (build(), build());
        let first = scene.open(&*one);
        scene.fill(&first, 0);
        first.close().unwrap();
        let second = scene.open(&*one);
        scene.fill(&second, 1);
        second.close().unwrap();
        let third = scene.open(&*other);
        scene.fill(&third, 0);
        assert_eq!(third.read(0, 0, 4).unwrap(), scene.piece(0));
        third.close().unwrap();
    });
}

/// One backend serves several torrents at once, in different folders, and mixes nothing up.
pub fn torrents_are_kept_apart(subject: &Subject) {
    subject.for_each(|build| {
        let backend = build();
        let one = Scene::new(&[("a", 8)], 4);
        let mut other = Scene::new(&[("a", 8)], 4);
        other.torrent.info_hash = InfoHash([4; 20]);
        let (first, second) = (one.open(&*backend), other.open(&*backend));
        one.fill(&first, 0);
        second.write(0, 0, b"else").unwrap();
        assert_eq!(first.read(0, 0, 4).unwrap(), one.piece(0));
        assert_eq!(second.read(0, 0, 4).unwrap(), b"else");
        first.close().unwrap();
        assert_eq!(second.read(0, 0, 4).unwrap(), b"else");
    });
}

/// Where the output folder is no folder, a store that needs one says so with an error, at once or when it
/// writes; it does not panic.
pub fn an_unusable_folder_is_an_error(subject: &Subject) {
    subject.for_each(|build| {
        let mut scene = Scene::new(&[("a", 8)], 4);
        let file = scene.folder.path().join("file");
        std::fs::write(&file, b"in the way").expect("a file in the folder");
        scene.torrent.folder = file.clone();
        let opened = super::open(&*build(), scene.torrent.clone(), scene.host.clone());
        let written = opened.and_then(|store| {
            store.write(0, 0, scene.piece(0))?;
            // It needs no folder: then it works.
            assert_eq!(store.read(0, 0, 4)?, scene.piece(0));
            Ok(())
        });
        if let Err(error) = written {
            assert_one_line(&error);
        }
        assert_eq!(std::fs::read(&file).expect("the file is still there"), b"in the way");
    });
}

/// Without room left the error is [`Full`](StorageErrorKind::Full), from `open` or from `write`, and what was
/// written stays. Only for a subject [with little room](Subject::with_little_room).
pub fn a_full_store_says_so(subject: &Subject) {
    subject.for_each_cramped(|build| {
        let scene = Scene::new(&[("a", 1 << 16)], 1 << 12);
        let store = match super::open(&*build(), scene.torrent.clone(), scene.host.clone()) {
            Ok(store) => store,
            Err(error) => return assert_eq!(error.kind(), StorageErrorKind::Full, "{error}"),
        };
        let failed = (0..16).find_map(|piece| {
            let written = store.write(piece, 0, scene.piece(piece));
            written.err().map(|error| (piece, error))
        });
        let (piece, error) = failed.expect("64 KiB are more than there is room for");
        assert_eq!(error.kind(), StorageErrorKind::Full, "{error}");
        assert_one_line(&error);
        for earlier in 0..piece {
            let read = store.read(earlier, 0, 1 << 12).unwrap();
            assert!(read == scene.piece(earlier), "piece {earlier} is not as written");
        }
    });
}

/// Once a piece is sealed, no block that was written to it is kept: blocks are slices of the bounded pool, and
/// whoever keeps them keeps the download waiting.
pub fn keeps_no_block(subject: &Subject) {
    subject.for_each(|build| {
        let scene = Scene::new(&[("a", 32)], 16);
        let store = scene.open(&*build());
        let block = Block::from(scene.piece(0).to_vec());
        store.write_blocks(0, 0, vec![block.slice(0..10), block.slice(10..16)]).unwrap();
        store.seal(0);
        assert!(block.into_bytes().is_unique(), "the store keeps a block that it wrote");
    });
}

fn assert_one_line(error: &StorageError) {
    let message = error.to_string();
    assert!(!message.is_empty() && !message.contains('\n'), "not one line: {message:?}");
}
