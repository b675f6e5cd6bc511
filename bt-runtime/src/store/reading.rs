//! Reads from a store, which may be anybody's: what it answers is as long as what was asked for, and what fails
//! for once is tried again.

use std::time::Duration;

use bt_api::{Block, Host, PieceIndex, StorageError, StorageErrorKind};

use super::Desk;

/// How often something is tried, and how long the first pause is; each is twice the one before. What fails for
/// longer will not work in a moment.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Reads `length` bytes at `offset` of `piece`.
///
/// # Errors
/// What the store says, or that its answer has another length.
pub async fn read(desk: &Desk, piece: PieceIndex, offset: u32, length: u32) -> Result<Block, StorageError> {
    let block = patiently(&*desk.host, || desk.store.read(piece, offset, length)).await?;
    if block.len() != length as usize {
        let found = block.len();
        let what =
            format!("reading {length} bytes at {offset} of piece {piece}: the store answered {found} bytes");
        return Err(StorageError::new(StorageErrorKind::Corrupt, what));
    }
    Ok(block)
}

/// Makes a call to the store, and makes it again where it may only have failed for once: a peer that waits for
/// the bytes, or a start, need not end for that.
///
/// # Errors
/// What the last call says.
pub async fn patiently<T, F>(host: &dyn Host, mut call: impl FnMut() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match call().await {
            Err(error) if matches!(error.kind(), StorageErrorKind::Temporary | StorageErrorKind::Other) => {}
            answer => return answer,
        }
        host.sleep_until(host.now() + pause).await;
        pause *= 2;
    }
    call().await
}
