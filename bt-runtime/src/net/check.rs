//! What of a torrent is there already: pieces that the store vouches for are taken, the others are read
//! and hashed, on all cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_std::task;
use bt_api::{PieceHash, PieceIndex, PieceSet, StorageError, StorageErrorKind};
use futures::future::try_join_all;
use sha1::{Digest, Sha1};

use crate::store::hashing::hash_into;
use crate::store::pool::LONGEST;
use crate::store::{Desk, reading};

/// Reads and hashes every piece that is not in `trusted`, several at a time; answers all pieces that are
/// there. `done` counts the pieces looked at. Each piece that is found is sealed.
///
/// # Errors
/// When the store fails again and again, other than by not having the bytes.
pub(crate) async fn check(
    desk: &Desk,
    trusted: PieceSet,
    done: &Arc<AtomicU32>,
) -> Result<PieceSet, StorageError> {
    let work: Arc<Vec<PieceIndex>> = Arc::new(trusted.missing().collect());
    done.store(trusted.count(), Ordering::Relaxed);
    let next = Arc::new(AtomicU32::new(0));
    let _end = EndOnDrop(next.clone());
    let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let tasks = (0..workers.min(work.len())).map(|_| {
        let desk = desk.clone();
        let (work, next, done) = (work.clone(), next.clone(), done.clone());
        task::spawn(async move {
            let mut found = Vec::new();
            while let Some(&piece) = work.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                if is_there(&desk, piece).await? {
                    found.push(piece);
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(found)
        })
    });
    let mut have = trusted;
    for piece in try_join_all(tasks).await?.into_iter().flatten() {
        have.insert(piece);
    }
    Ok(have)
}

/// Leaves no work to the workers when the check is dropped.
struct EndOnDrop(Arc<AtomicU32>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        // Past every piece, and far enough from wrapping around.
        self.0.store(u32::MAX / 2, Ordering::Relaxed);
    }
}

/// Whether the store has `piece` as it should be.
async fn is_there(desk: &Desk, piece: PieceIndex) -> Result<bool, StorageError> {
    let torrent = &desk.torrent;
    let (length, mut sha, mut at) = (torrent.layout.piece_length(piece), Sha1::new(), 0);
    while at < length {
        let part = (length - at).min(LONGEST as u32);
        match reading::read(desk, piece, at, part).await {
            Ok(block) => hash_into(&mut sha, &[block]).await,
            Err(error) if matches!(error.kind(), StorageErrorKind::Missing | StorageErrorKind::Corrupt) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        at += part;
    }
    let matches = PieceHash(sha.finalize().into()) == torrent.piece_hashes[piece.as_usize()];
    if matches {
        reading::patiently(&*desk.host, || desk.store.seal(piece)).await?;
    }
    Ok(matches)
}
