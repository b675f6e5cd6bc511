//! Stores of a crate that the simulator does not know: one that keeps bytes, lies or panics, and a layer that notes what
//! is sealed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageBackend, StorageError,
    StorageErrorKind, StorageLayer, Torrent, TorrentStore, plugin,
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

/// The storage `shelf`: pieces in a map.
struct Shelf {
    config: ShelfConfig,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ShelfConfig {
    /// One of so many reads has a wrong byte; 0: none.
    lies: u32,
    /// At which of its methods it panics, or when it is dropped; nowhere.
    panics: String,
    /// At which of its methods it never answers; nowhere.
    hangs: String,
    /// Of how many pieces it says what it holds; 0: of those of the torrent.
    pieces: u32,
}

impl Plugin for Shelf {
    type Kind = plugin::Storage;
    type Config = ShelfConfig;
    const NAME: &'static str = "shelf";
    const SUMMARY: &'static str = "keeps pieces in a map";
    fn build(config: ShelfConfig) -> Result<Box<dyn StorageBackend>, BuildError> {
        Ok(Box::new(Self { config }))
    }
}
bt_api::register!(Shelf);

impl StorageBackend for Shelf {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        _: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        let config = self.config.clone();
        Box::pin(async move {
            config.reach("open").await;
            Ok(Box::new(Shelves { config, torrent, state: Mutex::default() }) as _)
        })
    }
}

impl ShelfConfig {
    async fn reach(&self, method: &str) {
        assert!(self.panics != method, "the shelf fell down");
        if self.hangs == method {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Shelves {
    fn drop(&mut self) {
        assert!(self.config.panics != "drop", "the shelf fell down");
    }
}

struct Shelves {
    config: ShelfConfig,
    torrent: Arc<Torrent>,
    /// The pieces, and how many reads there were.
    state: Mutex<(BTreeMap<PieceIndex, Vec<u8>>, u32)>,
}

impl TorrentStore for Shelves {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async {
            self.config.reach("held").await;
            let all = self.torrent.layout.piece_count();
            Ok(PieceSet::new(if self.config.pieces == 0 { all } else { self.config.pieces }))
        })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            self.config.reach("read").await;
            let (pieces, reads) = &mut *lock(&self.state);
            *reads += 1;
            let missing = || StorageError::new(StorageErrorKind::Missing, format!("reading piece {piece}"));
            let mut bytes =
                pieces.get(&piece).ok_or_else(missing)?[offset as usize..][..length as usize].to_vec();
            if self.config.lies > 0 && reads.is_multiple_of(self.config.lies) {
                bytes[0] ^= 1;
            }
            Ok(bytes.into())
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.config.reach("write").await;
            let (pieces, _) = &mut *lock(&self.state);
            let whole = pieces
                .entry(piece)
                .or_insert_with(|| vec![0; self.torrent.layout.piece_length(piece) as usize]);
            let mut at = offset as usize;
            for block in blocks {
                whole[at..][..block.len()].copy_from_slice(&block);
                at += block.len();
            }
            Ok(())
        })
    }

    fn seal(&self, _: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async {
            self.config.reach("seal").await;
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(async {
            self.config.reach("checkpoint").await;
            Ok(None)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async {
            self.config.reach("close").await;
            Ok(())
        })
    }
}
