//! Hashes what the slots hold, on all cores and in bounded memory: the reading half of the start-up check
//! (`SW-4`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{Host, PieceHash, PieceIndex, PieceSet, StorageError, StorageErrorKind, run_blocking};
use futures::future::try_join_all;
use sha1::{Digest, Sha1};

use super::recognise::{Arrangement, Found, Hashes, arrange};
use crate::disk::Disk;

/// Looks at every slot of `disk` and says who is where. Tells the host how far it is (SW-6).
///
/// # Errors
/// When a file cannot be read for another reason than that its bytes are gone.
///
/// # Cancellation
/// Dropped, it stops after the slots that are just being read (SW-6); nothing is changed.
pub(super) async fn scan(
    disk: &Arc<Disk>,
    host: &Arc<dyn Host>,
    pinned: PieceSet,
) -> Result<Arrangement, StorageError> {
    let (to_scan, to_tell) = (disk.clone(), host.clone());
    let work = Arc::new(run_blocking(&**host, move || Work::new(to_scan, to_tell)).await);
    let _end = EndOnDrop(work.clone());
    let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let run = |_| {
        let work = work.clone();
        run_blocking(&**host, move || work.run())
    };
    try_join_all((0..workers).map(run)).await?;
    let work = work.clone();
    Ok(run_blocking(&**host, move || arrange(&work.hashes, &pinned, &work.found())).await)
}

/// The work that the workers share: each takes the next slot.
struct Work {
    disk: Arc<Disk>,
    host: Arc<dyn Host>,
    hashes: Hashes,
    allocated: PieceSet,
    next: AtomicU32,
    /// Slots looked at.
    done: AtomicU32,
    found: Mutex<Vec<Found>>,
}

/// Leaves no work to the workers when the check is dropped.
struct EndOnDrop(Arc<Work>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        // Past every slot, and far enough from wrapping around.
        self.0.next.store(u32::MAX / 2, Ordering::Relaxed);
    }
}

impl Work {
    fn new(disk: Arc<Disk>, host: Arc<dyn Host>) -> Self {
        let (allocated, hashes) = (disk.allocated(), Hashes::new(disk.torrent().clone()));
        let found = Mutex::new(vec![Found::default(); allocated.pieces() as usize]);
        Self { disk, host, hashes, allocated, next: AtomicU32::new(0), done: AtomicU32::new(0), found }
    }

    fn found(&self) -> MutexGuard<'_, Vec<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) -> Result<(), StorageError> {
        loop {
            let slot = PieceIndex(self.next.fetch_add(1, Ordering::Relaxed));
            if slot.0 >= self.allocated.pieces() {
                return Ok(());
            }
            if self.allocated.contains(slot) {
                let found = self.look(slot)?;
                self.found()[slot.as_usize()] = found;
            }
            self.host.looked_at(self.done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    }

    fn look(&self, slot: PieceIndex) -> Result<Found, StorageError> {
        let torrent = self.disk.torrent();
        let layout = &torrent.layout;
        let last = PieceIndex(layout.piece_count() - 1);
        let (short, whole) = (layout.piece_length(last), layout.piece_length(slot));
        // One running hash, looked at twice: where the last piece would end, and at the end of the slot.
        let (mut sha, mut head) = (Sha1::new(), None);
        let read = self.disk.read_runs(slot, whole, |at, run| {
            let cut = (short.saturating_sub(at) as usize).min(run.len());
            sha.update(&run[..cut]);
            if head.is_none() && at + run.len() as u32 >= short {
                head = Some(sha.clone());
            }
            sha.update(&run[cut..]);
            Ok(())
        });
        match read {
            Ok(()) => {}
            // Gone since the start: never there.
            Err(error) if matches!(error.kind(), StorageErrorKind::Missing | StorageErrorKind::Corrupt) => {
                return Ok(Found::default());
            }
            Err(error) => return Err(error),
        }
        let hash = PieceHash(sha.finalize().into());
        let is = |hash: PieceHash, piece: PieceIndex| torrent.piece_hashes[piece.as_usize()] == hash;
        let home = is(hash, slot);
        let is_last = |head: Sha1| is(PieceHash(head.finalize().into()), last);
        Ok(Found {
            allocated: true,
            home,
            class: if home { None } else { self.hashes.find(hash) },
            last: head.is_some_and(is_last),
        })
    }
}
