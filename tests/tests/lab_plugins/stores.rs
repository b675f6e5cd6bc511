//! A layer of a crate that the simulator does not know: it notes what is sealed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageError, StorageLayer,
    Torrent, TorrentStore, plugin,
};
use serde::{Deserialize, Serialize};

/// The bytes of each sealed piece, and whether the store was closed.
#[derive(Clone, Default)]
struct Note {
    pieces: BTreeMap<u32, Vec<u8>>,
    closed: bool,
}

/// By the layer's tag and the store's folder.
static NOTES: Mutex<BTreeMap<(String, PathBuf), Note>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the stores under this tag sealed, by folder.
pub(crate) fn kept(tag: &str) -> BTreeMap<PathBuf, BTreeMap<u32, Vec<u8>>> {
    let notes = lock(&NOTES);
    let own = notes.iter().filter(|((of, _), _)| of == tag);
    own.map(|((_, folder), note)| (folder.clone(), note.pieces.clone())).collect()
}

/// Whether the stores under this tag were all closed.
pub(crate) fn all_closed(tag: &str) -> bool {
    lock(&NOTES).iter().filter(|((of, _), _)| of == tag).all(|(_, note)| note.closed)
}

/// The layer `witness`.
struct Witness {
    tag: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WitnessConfig {
    /// Under which its notes are found.
    tag: String,
}

impl Plugin for Witness {
    type Kind = plugin::Layer;
    type Config = WitnessConfig;
    const NAME: &'static str = "witness";
    const SUMMARY: &'static str = "notes what is sealed";
    fn build(config: WitnessConfig) -> Result<Box<dyn StorageLayer>, BuildError> {
        Ok(Box::new(Self { tag: config.tag }))
    }
}
bt_api::register!(Witness);

impl StorageLayer for Witness {
    fn wrap(
        &self,
        inner: Box<dyn TorrentStore>,
        torrent: Arc<Torrent>,
        _: Arc<dyn Host>,
    ) -> Box<dyn TorrentStore> {
        let key = (self.tag.clone(), torrent.folder.clone());
        lock(&NOTES).insert(key.clone(), Note::default());
        Box::new(Watched { inner, torrent, key })
    }
}

struct Watched {
    inner: Box<dyn TorrentStore>,
    torrent: Arc<Torrent>,
    key: (String, PathBuf),
}

impl Watched {
    fn note(&self, what: impl FnOnce(&mut Note)) {
        what(lock(&NOTES).entry(self.key.clone()).or_default());
    }
}

impl TorrentStore for Watched {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        self.inner.held()
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        self.inner.read(piece, offset, length)
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.inner.write(piece, offset, blocks)
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.inner.seal(piece).await?;
            let bytes = self.inner.read(piece, 0, self.torrent.layout.piece_length(piece)).await?;
            self.note(|note| _ = note.pieces.insert(piece.0, bytes.to_vec()));
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.inner.checkpoint()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.note(|note| note.closed = true);
        self.inner.close()
    }
}
