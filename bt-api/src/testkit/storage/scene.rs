//! Small torrents, folders that vanish, and calls that wait for their answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures::executor::block_on;
use sha1::{Digest, Sha1};

use crate::block::{Block, PieceIndex, PieceSet};
use crate::host::Host;
use crate::layout::{NewFile, TorrentLayout};
use crate::storage::{StorageBackend, StorageError, TorrentStore};
use crate::testkit::TestHost;
use crate::torrent::{InfoHash, PieceHash, Torrent};

/// An empty folder among the system's temporary files, removed when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("bt-testkit-{}-{count}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // Of an earlier process of this number, which was killed.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot make {}: {error}", path.display()),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is the system's to clean up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A torrent `t` of these files, in pieces of `piece_length`, whose hashes match nothing; a name that ends in
/// `.pad` is a pad file.
///
/// # Panics
/// When there is no such torrent.
pub fn torrent(folder: &Path, files: &[(&str, u64)], piece_length: u32) -> Torrent {
    let file = |&(path, length): &(&str, u64)| NewFile {
        path: path.split('/').map(str::to_owned).collect(),
        length,
        pad: path.ends_with(".pad"),
    };
    let files = files.iter().map(file).collect();
    let layout = TorrentLayout::several("t", files, piece_length).expect("a torrent's files");
    Torrent {
        info_hash: InfoHash([3; 20]),
        piece_hashes: vec![PieceHash([0; 20]); layout.piece_count() as usize],
        layout,
        folder: folder.to_owned(),
        saved: None,
    }
}

/// A store whose calls wait for their answer.
pub struct Waiting(pub Box<dyn TorrentStore>);

impl Waiting {
    /// The pieces that it vouches for.
    ///
    /// # Panics
    /// On an error.
    pub fn held(&self) -> PieceSet {
        block_on(self.0.held()).expect("what the store vouches for")
    }

    /// The numbers of the pieces that it vouches for.
    ///
    /// # Panics
    /// On an error.
    pub fn pieces_held(&self) -> Vec<u32> {
        self.held().iter().map(|piece| piece.0).collect()
    }

    /// Reads a span.
    ///
    /// # Errors
    /// The store's.
    pub fn read(&self, piece: u32, offset: u32, length: u32) -> Result<Vec<u8>, StorageError> {
        block_on(self.0.read(PieceIndex(piece), offset, length)).map(|block| block.to_vec())
    }

    /// Writes `bytes` as one block.
    ///
    /// # Errors
    /// The store's.
    pub fn write(&self, piece: u32, offset: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.write_blocks(piece, offset, vec![bytes.to_vec().into()])
    }

    /// Writes `blocks`.
    ///
    /// # Errors
    /// The store's.
    pub fn write_blocks(&self, piece: u32, offset: u32, blocks: Vec<Block>) -> Result<(), StorageError> {
        block_on(self.0.write(PieceIndex(piece), offset, blocks))
    }

    /// Seals a piece.
    ///
    /// # Panics
    /// On an error.
    pub fn seal(&self, piece: u32) {
        block_on(self.0.seal(PieceIndex(piece))).expect("sealed");
    }

    /// Saves its state.
    ///
    /// # Errors
    /// The store's.
    pub fn checkpoint(&self) -> Result<Option<Bytes>, StorageError> {
        block_on(self.0.checkpoint())
    }

    /// Ends it.
    ///
    /// # Errors
    /// The store's.
    pub fn close(&self) -> Result<(), StorageError> {
        block_on(self.0.close())
    }
}

/// `length` bytes that are told apart from those of another seed or place.
pub fn pattern(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8) ^ seed).collect()
}

/// `bytes` in blocks of `length`, as slices of one allocation.
pub fn blocks(bytes: &[u8], length: usize) -> Vec<Block> {
    let whole = Block::from(bytes.to_vec());
    (0..bytes.len()).step_by(length).map(|at| whole.slice(at..bytes.len().min(at + length))).collect()
}

/// Opens a store of `backend`.
///
/// # Errors
/// The store's.
pub fn open(
    backend: &dyn StorageBackend,
    torrent: Torrent,
    host: Arc<dyn Host>,
) -> Result<Waiting, StorageError> {
    block_on(backend.open(Arc::new(torrent), host)).map(Waiting)
}

/// A torrent of known content, in a folder of its own.
pub(super) struct Scene {
    pub(super) folder: Folder,
    pub(super) torrent: Torrent,
    pub(super) content: Vec<u8>,
    pub(super) host: Arc<TestHost>,
}

impl Scene {
    /// As [`torrent`], with the hashes of its content; padding is zeros.
    pub(super) fn new(files: &[(&str, u64)], piece_length: u32) -> Self {
        let folder = Folder::new();
        let mut torrent = torrent(folder.path(), files, piece_length);
        let mut content = pattern(0x5a, torrent.layout.total_length() as usize);
        for file in torrent.layout.files().iter().filter(|file| file.is_pad()) {
            content[file.offset() as usize..][..file.length() as usize].fill(0);
        }
        let pieces = content.chunks(piece_length as usize);
        torrent.piece_hashes = pieces.map(|piece| PieceHash(Sha1::digest(piece).into())).collect();
        Self { folder, torrent, content, host: TestHost::auto_advancing() }
    }

    /// Opens the store, which had saved what [`torrent`](Self::torrent) says.
    pub(super) fn open(&self, backend: &dyn StorageBackend) -> Waiting {
        open(backend, self.torrent.clone(), self.host.clone()).expect("the store opens")
    }

    pub(super) fn piece(&self, piece: u32) -> &[u8] {
        let piece = PieceIndex(piece);
        let start = self.torrent.layout.piece_offset(piece) as usize;
        &self.content[start..][..self.torrent.layout.piece_length(piece) as usize]
    }

    /// Writes `piece` whole and right, and seals it.
    pub(super) fn fill(&self, store: &Waiting, piece: u32) {
        store.write(piece, 0, self.piece(piece)).expect("a write");
        store.seal(piece);
    }
}
