//! The pieces of one torrent, in calls that block.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{Block, Bytes, PieceHash, PieceIndex, PieceSet, StorageError, StorageErrorKind, Torrent};
use sha1::{Digest, Sha1};

use super::pool::{Claim, Pool, name_of};
use super::{SyncWhen, saved};
use crate::blocking::{BlockingStore, Space};
use crate::disk::{Access, Facts, attempt, io_at};
use crate::ranges::is_padding;
use crate::tags;

mod begin;
mod name;

/// How much is copied or hashed at a time.
const RUN: usize = 256 << 10;

/// The pieces of one torrent.
pub(super) struct Pieces {
    torrent: Arc<Torrent>,
    pool: Arc<Pool>,
    sync: SyncWhen,
    state: Mutex<State>,
    /// Held by whoever begins a piece, so that its file is made by one.
    turn: Mutex<()>,
}

struct State {
    sealed: PieceSet,
    /// Pieces that are written in this run and not sealed, each with its file.
    begun: BTreeMap<PieceIndex, Facts>,
    /// Sealed pieces that were not forced to the disk yet.
    unsynced: BTreeSet<PieceIndex>,
    /// The folder of unfinished pieces, locked, once one was begun.
    lock: Option<OwnedFd>,
    /// `None` once the store is closed.
    claim: Option<Claim>,
}

impl Pieces {
    /// Opens the pieces of `torrent` in the folder of `pool`.
    pub(super) fn open(torrent: Arc<Torrent>, pool: Arc<Pool>, sync: SyncWhen) -> Result<Self, StorageError> {
        let claim = Claim::new(pool.clone(), torrent.info_hash)?;
        let mut sealed = PieceSet::new(torrent.layout.piece_count());
        let saved_tags =
            torrent.saved.as_ref().and_then(|bytes| tags::decode(saved::FORMAT, bytes, &torrent));
        for (i, tag) in saved_tags.unwrap_or_default().iter().enumerate() {
            let (piece, hash) = (PieceIndex(i as u32), &torrent.piece_hashes[i]);
            if *tag == tags::NOTHING {
                continue;
            }
            if let Some(facts) = pool.folder.glance(&name_of(hash))?
                && facts.length == u64::from(torrent.layout.piece_length(piece))
                && saved::tag(&facts) == *tag
            {
                pool.known().insert(*hash, facts);
                sealed.insert(piece);
            }
        }
        let (begun, unsynced) = (BTreeMap::new(), BTreeSet::new());
        let state = Mutex::new(State { sealed, begun, unsynced, lock: None, claim: Some(claim) });
        Ok(Self { torrent, pool, sync, state, turn: Mutex::new(()) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn length(&self, piece: PieceIndex) -> u64 {
        self.torrent.layout.piece_length(piece).into()
    }

    fn hash(&self, piece: PieceIndex) -> &PieceHash {
        &self.torrent.piece_hashes[piece.as_usize()]
    }

    /// Where `piece` lies while it is not sealed.
    fn partial(&self, piece: PieceIndex) -> Vec<String> {
        vec!["partial".to_owned(), self.torrent.info_hash.to_string(), piece.to_string()]
    }

    /// Fills `into` from `offset` of `piece`.
    fn fill(&self, piece: PieceIndex, offset: u32, into: &mut [u8]) -> Result<(), StorageError> {
        let length = into.len() as u32;
        if is_padding(&self.torrent.layout, piece, offset, length) {
            into.fill(0);
            return Ok(());
        }
        let (path, file, facts) = self.find(piece)?;
        // A file that is not sealed grows as it is written.
        let there = facts.length.saturating_sub(offset.into()).min(length.into()) as u32;
        if !is_padding(&self.torrent.layout, piece, offset + there, length - there) {
            let end = facts.length;
            let message =
                format!("{}: {length} bytes at {offset}, and it ends at {end}", attempt("reading", &path));
            return Err(StorageError::new(StorageErrorKind::Missing, message));
        }
        let (stored, padding) = into.split_at_mut(there as usize);
        padding.fill(0);
        let read = io_at::read_exact(&file, stored, offset.into());
        read.map_err(|error| StorageError::io(attempt("reading", &path), error))
    }

    /// The file that has the bytes of `piece` now.
    fn find(&self, piece: PieceIndex) -> Result<(Vec<String>, OwnedFd, Facts), StorageError> {
        if let Some(begun) = self.begun(piece) {
            let path = self.partial(piece);
            let (file, facts) = self.pool.folder.file(&path, Access::Read)?;
            self.vet_begun(&path, begun, facts)?;
            return Ok((path, file, facts));
        }
        let path = name_of(self.hash(piece));
        match self.pool.folder.file(&path, Access::Read) {
            Ok((file, facts)) => {
                self.vet_sealed(piece, &path, &file, facts)?;
                Ok((path, file, facts))
            }
            // It may have been begun in an earlier run.
            Err(error) if error.kind() == StorageErrorKind::Missing => {
                self.disown(piece);
                let path = self.partial(piece);
                let (file, facts) = self.pool.folder.file(&path, Access::Read)?;
                Ok((path, file, facts))
            }
            Err(error) => Err(error),
        }
    }

    /// Fails where the file of a begun piece is no longer the one that was written.
    fn vet_begun(&self, path: &[String], begun: Facts, now: Facts) -> Result<(), StorageError> {
        if (begun.device, begun.inode) == (now.device, now.inode) {
            return Ok(());
        }
        let message = format!("{}: it was replaced by another file while running", attempt("opening", path));
        Err(StorageError::new(StorageErrorKind::Corrupt, message))
    }

    /// Fails where a file is no longer one that matched its hash.
    fn vet_sealed(
        &self,
        piece: PieceIndex,
        path: &[String],
        file: &OwnedFd,
        now: Facts,
    ) -> Result<(), StorageError> {
        let known = self.pool.known().get(self.hash(piece)).copied();
        if known.is_none_or(|known| known == now) {
            return Ok(());
        }
        // Another program that uses the folder may have sealed the same piece. If both would fetch it anew for that, each
        // would do so for ever.
        let found = hash_of(file, now.length.min(self.length(piece)));
        if found.map_err(|error| StorageError::io(attempt("reading", path), error))? == *self.hash(piece) {
            self.pool.known().insert(*self.hash(piece), now);
            return Ok(());
        }
        self.disown(piece);
        let message = format!("{}: it was written or replaced while running", attempt("reading", path));
        Err(StorageError::new(StorageErrorKind::Corrupt, message))
    }

    /// The file of `piece` is not what it was.
    fn disown(&self, piece: PieceIndex) {
        self.state().sealed.remove(piece);
        self.pool.known().remove(self.hash(piece));
    }
}

impl BlockingStore for Pieces {
    fn held(&self) -> Result<PieceSet, StorageError> {
        Ok(self.state().sealed.clone())
    }

    fn read(&self, piece: PieceIndex, offset: u32, space: Space) -> Result<Block, StorageError> {
        space.fill(|into| self.fill(piece, offset, into))
    }

    fn write(&self, piece: PieceIndex, offset: u32, blocks: &[Block]) -> Result<(), StorageError> {
        let (path, file) = self.begin(piece)?;
        let length = blocks.iter().map(|block| block.len()).sum();
        let mut slices = io_at::Slices::new(blocks.iter().map(|block| &**block)).take(length);
        let written = io_at::write_all(&file, &mut slices, offset.into());
        written.map_err(|error| {
            let what = format!("writing {length} bytes at {offset} of");
            StorageError::io(attempt(&what, &path), error)
        })
    }

    fn seal(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let length = self.torrent.layout.piece_length(piece);
        if is_padding(&self.torrent.layout, piece, 0, length) {
            self.state().sealed.insert(piece);
            return Ok(());
        }
        let begun = self.begun(piece);
        let (named, partial) = (name_of(self.hash(piece)), self.partial(piece));
        if begun.is_none() {
            let _naming = self.pool.naming();
            if let Some(facts) = self.pool.folder.find(&named)? {
                // It was found and hashed.
                if facts.length < length.into() {
                    return Err(short(&named, facts.length));
                }
                self.pool.known().insert(*self.hash(piece), facts);
                self.state().sealed.insert(piece);
                return Ok(());
            }
        }
        let (file, facts) = self.pool.folder.file(&partial, Access::Write)?;
        if let Some(begun) = begun {
            self.vet_begun(&partial, begun, facts)?;
        }
        let there = facts.length.min(length.into()) as u32;
        if !is_padding(&self.torrent.layout, piece, there, length - there) {
            return Err(short(&partial, facts.length));
        }
        self.name(piece, &file, &partial, &named)?;
        let mut state = self.state();
        state.begun.remove(&piece);
        state.sealed.insert(piece);
        if self.sync == SyncWhen::Checkpoint {
            state.unsynced.insert(piece);
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<Option<Bytes>, StorageError> {
        let before = self.held()?;
        self.force()?;
        let sealed = self.held()?;
        let known = self.pool.known();
        let tag = |(i, hash): (usize, &PieceHash)| {
            let piece = PieceIndex(i as u32);
            let facts = known.get(hash).filter(|_| before.contains(piece) && sealed.contains(piece));
            facts.map_or(tags::NOTHING, saved::tag)
        };
        let tags = self.torrent.piece_hashes.iter().enumerate().map(tag);
        Ok(Some(tags::encode(saved::FORMAT, &self.torrent, tags).into()))
    }

    /// Forces what was sealed to the disk, and lets go of everything whether or not that works.
    fn close(&self) -> Result<(), StorageError> {
        let forced = self.force();
        let mut state = self.state();
        let ended = (state.claim.take(), state.lock.take());
        drop(state);
        drop(ended);
        // Only where nothing is left in them.
        for depth in [2, 1] {
            self.pool.folder.remove_folder(&self.partial(PieceIndex(0))[..depth]);
        }
        forced
    }
}

/// The SHA-1 of the first `length` bytes of a file.
fn hash_of(file: &OwnedFd, length: u64) -> std::io::Result<PieceHash> {
    let (mut sha, mut buffer) = (Sha1::new(), vec![0; RUN.min(length as usize)]);
    for at in (0..length).step_by(RUN) {
        let run = &mut buffer[..RUN.min((length - at) as usize)];
        io_at::read_exact(file, run, at)?;
        sha.update(run);
    }
    Ok(PieceHash(sha.finalize().into()))
}

fn short(path: &[String], length: u64) -> StorageError {
    let message = format!("{}: it ends at {length}, before the piece does", attempt("sealing", path));
    StorageError::new(StorageErrorKind::Missing, message)
}
