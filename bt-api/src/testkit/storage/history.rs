//! Random layouts and random calls.

use std::collections::BTreeSet;

use super::scene::{Scene, blocks, pattern};
use crate::block::PieceIndex;
use crate::rng::{self, Generator, below};
use crate::storage::{StorageBackend, StorageErrorKind};

/// Files of up to 30 bytes, some empty, some in folders, in pieces of up to 24 bytes.
pub(super) fn any_scene(rng: &mut Generator) -> Scene {
    let count = 1 + below(rng, 6);
    let mut files: Vec<(String, u64)> =
        (0..count).map(|at| (format!("{}/{at}", at % 3), u64::from(below(rng, 30)))).collect();
    files.push(("last".to_owned(), 1 + u64::from(below(rng, 9))));
    let files: Vec<(&str, u64)> = files.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    Scene::new(&files, 1 + below(rng, 23))
}

/// A span of some piece.
pub(super) fn any_span(scene: &Scene, rng: &mut Generator) -> (u32, u32, u32) {
    let layout = &scene.torrent.layout;
    let piece = below(rng, layout.piece_count());
    let room = layout.piece_length(PieceIndex(piece));
    let offset = below(rng, room);
    (piece, offset, 1 + below(rng, room - offset))
}

/// Writes at random, and reads each byte.
pub(super) fn any_writes(build: &dyn Fn() -> Box<dyn StorageBackend>, seed: u64) {
    let mut rng = rng::stream(seed, 0, "store");
    let scene = any_scene(&mut rng);
    let store = scene.open(&*build());
    let mut naive = vec![None; scene.content.len()];
    let mut begun = BTreeSet::new();
    for _ in 0..1 + below(&mut rng, 20) {
        let (piece, offset, length) = any_span(&scene, &mut rng);
        let bytes = pattern(below(&mut rng, 256) as u8, length as usize);
        let block = 1 + below(&mut rng, 8) as usize;
        store.write_blocks(piece, offset, blocks(&bytes, block)).unwrap();
        begun.insert(piece);
        let at = scene.torrent.layout.piece_offset(PieceIndex(piece)) as usize + offset as usize;
        naive[at..][..bytes.len()].iter_mut().zip(bytes).for_each(|(old, new)| *old = Some(new));
        if below(&mut rng, 4) == 0 {
            store.checkpoint().unwrap();
        }
    }
    let piece_length = scene.torrent.layout.nominal_piece_length();
    for (at, byte) in naive.iter().enumerate() {
        let (piece, offset) = (at as u32 / piece_length, at as u32 % piece_length);
        let read = store.read(piece, offset, 1);
        match (byte, read) {
            (Some(byte), read) => assert_eq!(read.unwrap(), [*byte], "byte {at} of history {seed}"),
            // A piece that was begun reads as anything; one that was not may lie in the hole of a sparse file.
            (None, Ok(read)) => {
                assert!(begun.contains(&piece) || read == [0], "byte {at} of history {seed} is made up");
            }
            (None, Err(error)) => assert_eq!(error.kind(), StorageErrorKind::Missing, "{error}"),
        }
    }
    store.close().unwrap();
}
