//! Reads from a store, which may be anybody's: what it answers is as long as what was asked for.

use bt_api::{Block, PieceIndex, StorageError, StorageErrorKind, TorrentStore};

/// Reads `length` bytes at `offset` of `piece`.
///
/// # Errors
/// What the store says, or that its answer has another length.
pub(crate) async fn read(
    store: &dyn TorrentStore,
    piece: PieceIndex,
    offset: u32,
    length: u32,
) -> Result<Block, StorageError> {
    let block = store.read(piece, offset, length).await?;
    if block.len() != length as usize {
        let found = block.len();
        let what =
            format!("reading {length} bytes at {offset} of piece {piece}: the store answered {found} bytes");
        return Err(StorageError::new(StorageErrorKind::Corrupt, what));
    }
    Ok(block)
}
