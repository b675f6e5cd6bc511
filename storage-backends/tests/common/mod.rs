//! What the tests of stores share: small torrents, and calls that wait for their answer.
#![allow(dead_code, unreachable_pub, reason = "each test program has a part of it as a module")]

use std::path::Path;
use std::sync::Arc;

use bt_api::{
    Block, Bytes, InfoHash, NewFile, PieceHash, PieceIndex, PieceSet, StorageError, Torrent, TorrentLayout,
    TorrentStore,
};
use futures::executor::block_on;
use sha1::{Digest, Sha1};

/// A torrent `t` of these files, in pieces of `piece_length`; a name that ends in `.pad` is a pad file.
pub fn torrent(folder: &Path, files: &[(&str, u64)], piece_length: u32) -> Torrent {
    let file = |&(path, length): &(&str, u64)| NewFile {
        path: path.split('/').map(str::to_owned).collect(),
        length,
        pad: path.ends_with(".pad"),
    };
    let layout = TorrentLayout::several("t", files.iter().map(file).collect(), piece_length).unwrap();
    Torrent {
        info_hash: InfoHash([3; 20]),
        piece_hashes: vec![PieceHash([0; 20]); layout.piece_count() as usize],
        layout,
        folder: folder.to_owned(),
        saved: None,
    }
}

/// Gives the pieces of `torrent` the hashes that they have in `content`.
pub fn hash_pieces(torrent: &mut Torrent, content: &[u8]) {
    let pieces = content.chunks(torrent.layout.nominal_piece_length() as usize);
    torrent.piece_hashes = pieces.map(|piece| PieceHash(Sha1::digest(piece).into())).collect();
    assert_eq!(torrent.piece_hashes.len(), torrent.layout.piece_count() as usize);
}

/// A store whose calls wait for their answer.
pub struct Waiting(pub Box<dyn TorrentStore>);

impl Waiting {
    pub fn held(&self) -> PieceSet {
        block_on(self.0.held()).unwrap()
    }

    pub fn pieces_held(&self) -> Vec<u32> {
        self.held().iter().map(|piece| piece.0).collect()
    }

    pub fn read(&self, piece: u32, offset: u32, length: u32) -> Result<Vec<u8>, StorageError> {
        block_on(self.0.read(PieceIndex(piece), offset, length)).map(|block| block.to_vec())
    }

    pub fn write(&self, piece: u32, offset: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.write_blocks(piece, offset, vec![bytes.to_vec().into()])
    }

    pub fn write_blocks(&self, piece: u32, offset: u32, blocks: Vec<Block>) -> Result<(), StorageError> {
        block_on(self.0.write(PieceIndex(piece), offset, blocks))
    }

    pub fn seal(&self, piece: u32) {
        block_on(self.0.seal(PieceIndex(piece))).unwrap();
    }

    pub fn checkpoint(&self) -> Result<Option<Bytes>, StorageError> {
        block_on(self.0.checkpoint())
    }

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
pub fn open(
    backend: &dyn bt_api::StorageBackend,
    torrent: Torrent,
    host: Arc<dyn bt_api::Host>,
) -> Result<Waiting, StorageError> {
    block_on(backend.open(Arc::new(torrent), host)).map(Waiting)
}
