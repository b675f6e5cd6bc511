//! The promises of a layer.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::executor::block_on;
use futures::future::{BoxFuture, ready};

use super::history::{any_scene, any_span};
use super::reference::Reference;
use super::scene::{Scene, Waiting, blocks, pattern};
use super::subject::LayerSubject;
use crate::block::{Block, PieceIndex, PieceSet};
use crate::rng::{self, below};
use crate::storage::{StorageError, StorageErrorKind, StorageLayer, TorrentStore};
use crate::testkit::Promise;

/// The promises of layers by name.
pub const LAYER_PROMISES: &[Promise<LayerSubject>] = crate::__layer_promises! { __conformance_table };

/// Around the [`Reference`] it answers any calls as the bare one does, and leaves the same bytes behind.
///
/// # Panics
/// When the promise is broken, as all of these functions do.
pub fn changes_nothing(subject: &LayerSubject) {
    subject.for_each(|layer| (0..100).for_each(|seed| compare(layer, seed)));
}

fn compare(layer: &dyn StorageLayer, seed: u64) {
    let mut rng = rng::stream(seed, 0, "layer");
    let scene = any_scene(&mut rng);
    let (inner, other) = (Reference::default(), Reference::default());
    let bare = scene.open(&other);
    let layered = wrap(layer, &scene, scene.open(&inner).0);
    let kind = |error: StorageError| error.kind();
    for call in 0..40 {
        let (piece, offset, length) = any_span(&scene, &mut rng);
        let what = format!("call {call} of history {seed}, of {length} bytes at {offset} of piece {piece}");
        match below(&mut rng, 8) {
            0..=2 => {
                let bytes = pattern(below(&mut rng, 256) as u8, length as usize);
                let block = 1 + below(&mut rng, 8) as usize;
                let write = |store: &Waiting| store.write_blocks(piece, offset, blocks(&bytes, block));
                assert_eq!(write(&layered).map_err(kind), write(&bare).map_err(kind), "a write, {what}");
            }
            3..=5 => {
                let read = |store: &Waiting| store.read(piece, offset, length);
                assert_eq!(read(&layered).map_err(kind), read(&bare).map_err(kind), "a read, {what}");
            }
            6 => [&layered, &bare].iter().for_each(|store| {
                store.write(piece, 0, scene.piece(piece)).unwrap();
                store.seal(piece);
            }),
            _ => assert_eq!(layered.pieces_held(), bare.pieces_held(), "what is held, {what}"),
        }
    }
    layered.checkpoint().unwrap();
    layered.close().unwrap();
    // What the inner store has in the end.
    let (inner, bare) = (scene.open(&inner), scene.open(&other));
    for piece in 0..scene.torrent.layout.piece_count() {
        for offset in 0..scene.piece(piece).len() as u32 {
            let read = |store: &Waiting| store.read(piece, offset, 1).map_err(kind);
            assert_eq!(read(&inner), read(&bare), "byte {offset} of piece {piece} after history {seed}");
        }
    }
}

/// An error of the inner store comes out with its kind: the client does something else for each.
pub fn errors_keep_their_kind(subject: &LayerSubject) {
    use StorageErrorKind::{Corrupt, Denied, Full, Missing, Other, Temporary};
    subject.for_each(|layer| {
        for kind in [Missing, Full, Denied, Corrupt, Temporary, Other] {
            let scene = Scene::new(&[("a", 8)], 4);
            let inner = Recording { fails: Some(kind), ..Recording::default() };
            let store = wrap(layer, &scene, Box::new(inner)).0;
            let write = block_on(async {
                // One that holds writes back tells at the seal.
                store.write(PieceIndex(0), 0, blocks(b"abcd", 2)).await?;
                store.seal(PieceIndex(0)).await
            });
            let kinds = [
                ("a write", write.err()),
                ("a read", block_on(store.read(PieceIndex(1), 0, 4)).err()),
                ("a seal", block_on(store.seal(PieceIndex(1))).err()),
                ("a checkpoint", block_on(store.checkpoint()).err()),
            ];
            for (call, error) in kinds {
                assert_eq!(error.map(|error| error.kind()), Some(kind), "the error of {call}");
            }
        }
    });
}

/// What the inner store vouches for and saves comes out as it is; a seal and the close reach it, once.
pub fn everything_is_passed_on(subject: &LayerSubject) {
    subject.for_each(|layer| {
        let scene = Scene::new(&[("a", 12)], 4);
        let calls = Arc::<Mutex<Vec<String>>>::default();
        let inner = Recording { calls: calls.clone(), fails: None };
        let store = wrap(layer, &scene, Box::new(inner));
        assert_eq!(store.pieces_held(), [2], "what the inner store vouches for");
        store.write(1, 0, scene.piece(1)).unwrap();
        store.seal(1);
        assert_eq!(store.checkpoint().unwrap().as_deref(), Some(&b"saved"[..]), "what the inner store saved");
        store.close().unwrap();
        let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |call: &str| calls.iter().filter(|one| *one == call).count();
        assert_eq!((count("seal 1"), count("close")), (1, 1), "the inner store was called: {calls:?}");
        assert_eq!(calls.last().map(String::as_str), Some("close"), "nothing is called after the close");
    });
}

fn wrap(layer: &dyn StorageLayer, scene: &Scene, inner: Box<dyn TorrentStore>) -> Waiting {
    Waiting(layer.wrap(inner, Arc::new(scene.torrent.clone()), scene.host.clone()))
}

/// Writes down what it is called, and fails with a kind if it has one.
#[derive(Default)]
struct Recording {
    calls: Arc<Mutex<Vec<String>>>,
    fails: Option<StorageErrorKind>,
}

impl Recording {
    fn answer<T: Send + 'static>(&self, call: String, value: T) -> BoxFuture<'_, Result<T, StorageError>> {
        let answer = match self.fails {
            Some(kind) => Err(StorageError::new(kind, call.clone())),
            None => Ok(value),
        };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        Box::pin(ready(answer))
    }
}

impl TorrentStore for Recording {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        let mut held = PieceSet::new(3);
        held.insert(PieceIndex(2));
        self.answer("held".to_owned(), held)
    }

    fn read(&self, piece: PieceIndex, _: u32, length: u32) -> BoxFuture<'_, Result<Block, StorageError>> {
        self.answer(format!("read {piece}"), Block::zeros(length as usize))
    }

    fn write(&self, piece: PieceIndex, _: u32, _: Vec<Block>) -> BoxFuture<'_, Result<(), StorageError>> {
        self.answer(format!("write {piece}"), ())
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        self.answer(format!("seal {piece}"), ())
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.answer("checkpoint".to_owned(), Some(Bytes::from_static(b"saved")))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push("close".to_owned());
        Box::pin(ready(Ok(())))
    }
}
