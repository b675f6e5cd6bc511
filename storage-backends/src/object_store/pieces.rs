//! The pieces of one torrent, in calls that block.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::object_store::ObjectMeta;
use ::object_store::path::Path;
use bt_api::{
    Block, Bytes, Host, PieceHash, PieceIndex, PieceSet, StorageError, StorageErrorKind, Torrent, config,
};
use sha1::{Digest, Sha1};

use super::begun::{Begun, Table};
use super::bucket::{Bucket, Claim, Version, agree, version_of};
use super::failure::told;
use crate::blocking::{BlockingStore, Space};
use crate::ranges::{add, covers, is_padding};
use crate::tags;

mod room;

/// Begins what is saved: another store or format has another.
const FORMAT: u8 = 3;

/// Where pieces go to make room, below their torrent.
const BEGUN: &str = "begun";

/// The pieces of one torrent.
pub(super) struct Pieces {
    torrent: Arc<Torrent>,
    bucket: Arc<Bucket>,
    begun: Table,
    state: Mutex<State>,
    /// Tells the begun pieces of this run from those of another one, by another process perhaps.
    run: String,
    /// How often a piece went away.
    away: AtomicU64,
}

struct State {
    /// The pieces that are known to match their hash.
    sealed: PieceSet,
    /// The pieces that have an object, and which one it is.
    objects: BTreeMap<PieceIndex, Version>,
    /// `None` once the store is closed.
    claim: Option<Claim>,
}

impl Pieces {
    /// Looks for what is there of `torrent`.
    pub(super) fn open(
        torrent: Arc<Torrent>,
        bucket: Arc<Bucket>,
        memory: u64,
        host: &dyn Host,
    ) -> Result<Self, StorageError> {
        let top = bucket.path(torrent.info_hash, &[]);
        let claim = Claim::new(bucket.clone(), torrent.info_hash)?;
        let (longest, memory_size) =
            (config::Size(torrent.layout.nominal_piece_length().into()), config::Size(memory));
        if longest > memory_size {
            let cause = format!("a piece of {longest} is longer than the memory of {memory_size}");
            let attempt = format!("opening {}", bucket.name(&top));
            return Err(told(StorageErrorKind::Full, &attempt, &cause));
        }
        let (mut objects, mut left_behind) = (BTreeMap::new(), Vec::new());
        bucket.list(&top, |object| match piece_of(&torrent, &top, &object) {
            Some(piece) => {
                objects.insert(piece, version_of(object.e_tag.as_deref()));
                host.looked_at(objects.len() as u32);
            }
            None if is_begun(&top, &object.location) => left_behind.push(object.location),
            // It is somebody else's.
            None => {}
        })?;
        left_behind.iter().for_each(|object| bucket.discard(object));
        let mut sealed = PieceSet::new(torrent.layout.piece_count());
        let saved = torrent.saved.as_ref().and_then(|bytes| tags::decode(FORMAT, bytes, &torrent));
        for (i, tag) in saved.unwrap_or_default().iter().enumerate() {
            let piece = PieceIndex(i as u32);
            if *tag != tags::NOTHING && objects.get(&piece) == Some(&Some(*tag)) {
                sealed.insert(piece);
            }
        }
        let run = format!("{:016x}", entropy());
        let state = Mutex::new(State { sealed, objects, claim: Some(claim) });
        Ok(Self { torrent, bucket, begun: Table::new(memory), state, run, away: AtomicU64::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn length(&self, piece: PieceIndex) -> u32 {
        self.torrent.layout.piece_length(piece)
    }

    fn object(&self, piece: PieceIndex) -> Path {
        self.bucket.path(self.torrent.info_hash, &[&number(piece)])
    }

    fn attempt(&self, what: &str, piece: PieceIndex) -> String {
        format!("{what} {}", self.bucket.name(&self.object(piece)))
    }

    /// Reads a span of the object of `piece`.
    fn get(&self, piece: PieceIndex, span: Range<u32>) -> Result<Bytes, StorageError> {
        let Some(before) = self.state().objects.get(&piece).copied() else {
            return Err(self.missing("reading", piece, &span));
        };
        let (bytes, meta) = match self.bucket.get(&self.object(piece), span.clone()) {
            Err(error) if matches!(error.kind(), StorageErrorKind::Missing | StorageErrorKind::Corrupt) => {
                self.disown(piece);
                return Err(error);
            }
            answer => answer?,
        };
        let found = version_of(meta.e_tag.as_deref());
        let (length, attempt) = (self.length(piece), || self.attempt("reading", piece));
        let mut state = self.state();
        let now = state.objects.get(&piece).copied();
        // A piece is checked from its start on: what stands there then is what is checked.
        if !state.sealed.contains(piece) && span.start == 0 && now.is_some() {
            state.objects.insert(piece, found);
        } else if !agree(found, before) && !now.is_some_and(|now| agree(found, now)) {
            drop(state);
            return self.get_changed(piece, span);
        }
        if meta.size != u64::from(length) {
            let cause = format!("it has {} bytes and the piece {length}", meta.size);
            return Err(told(StorageErrorKind::Corrupt, &attempt(), &cause));
        }
        whole(bytes, &span).map_err(|cause| told(StorageErrorKind::Other, &attempt(), &cause))
    }

    /// Reads a span of an object that was written by somebody else. That may be another client which sealed the same
    /// piece: if both fetched it anew for that, each would do so for ever.
    fn get_changed(&self, piece: PieceIndex, span: Range<u32>) -> Result<Bytes, StorageError> {
        let length = self.length(piece);
        let changed = match self.bucket.get(&self.object(piece), 0..length) {
            Ok((bytes, meta)) if meta.size == u64::from(length) && is_piece(&self.torrent, piece, &bytes) => {
                self.state().objects.insert(piece, version_of(meta.e_tag.as_deref()));
                return Ok(bytes.slice(span.start as usize..span.end as usize));
            }
            Ok(_) => {
                let attempt = self.attempt("reading", piece);
                told(StorageErrorKind::Corrupt, &attempt, "it was written by somebody else")
            }
            Err(error) if matches!(error.kind(), StorageErrorKind::Missing | StorageErrorKind::Corrupt) => {
                error
            }
            Err(error) => return Err(error),
        };
        self.disown(piece);
        Err(changed)
    }

    /// Reads a span of a piece that is away. Where that was changed by somebody else it is lost.
    fn get_away(&self, object: &Path, version: Version, span: Range<u32>) -> Result<Bytes, StorageError> {
        let (bytes, meta) = self.bucket.get(object, span.clone()).map_err(|error| match error.kind() {
            StorageErrorKind::Corrupt => StorageError::new(StorageErrorKind::Missing, error.to_string()),
            _ => error,
        })?;
        let attempt = || format!("reading {}", self.bucket.name(object));
        if !agree(version, version_of(meta.e_tag.as_deref())) {
            return Err(told(StorageErrorKind::Missing, &attempt(), "it was written by somebody else"));
        }
        whole(bytes, &span).map_err(|cause| told(StorageErrorKind::Other, &attempt(), &cause))
    }

    /// The object of `piece` is not what it was.
    fn disown(&self, piece: PieceIndex) {
        let mut state = self.state();
        state.sealed.remove(piece);
        state.objects.remove(&piece);
    }

    fn missing(&self, what: &str, piece: PieceIndex, span: &Range<u32>) -> StorageError {
        let cause = format!("not all of its bytes {} to {} were written", span.start, span.end);
        told(StorageErrorKind::Missing, &self.attempt(what, piece), &cause)
    }
}

impl BlockingStore for Pieces {
    fn held(&self) -> Result<PieceSet, StorageError> {
        Ok(self.state().sealed.clone())
    }

    /// An object does; a begun piece is in memory of ours, and copied.
    fn lends(&self, piece: PieceIndex) -> bool {
        self.begun.get(piece).is_none()
    }

    fn read(&self, piece: PieceIndex, offset: u32, space: Space) -> Result<Block, StorageError> {
        let span = offset..offset + space.length;
        while let Some(slot) = self.begun.get(piece) {
            let held = self.begun.hold(&slot);
            match &*held {
                Begun::Gone => {}
                Begun::Here { memory, written } if covers(written, &span) => {
                    return space.fill(|into| {
                        into.copy_from_slice(&memory[span.start as usize..span.end as usize]);
                        Ok(())
                    });
                }
                Begun::Away { object, version, written } if covers(written, &span) => {
                    return Ok(self.get_away(object, *version, span)?.into());
                }
                _ => return Err(self.missing("reading", piece, &span)),
            }
        }
        if is_padding(&self.torrent.layout, piece, offset, space.length) {
            return Ok(Block::zeros(space.length as usize));
        }
        if span.is_empty() {
            return Ok(Block::default());
        }
        Ok(self.get(piece, span)?.into())
    }

    fn write(&self, piece: PieceIndex, offset: u32, blocks: &[Block]) -> Result<(), StorageError> {
        self.state().sealed.remove(piece);
        let length: usize = blocks.iter().map(|block| block.len()).sum();
        let span = offset..offset + length as u32;
        loop {
            let slot = self.begun.begin(piece);
            let mut held = self.begun.hold(&slot);
            if matches!(*held, Begun::Gone) {
                continue;
            }
            self.bring_here(piece, &span, &mut held)?;
            if let Begun::Here { memory, written } = &mut *held {
                let mut end = offset as usize;
                for block in blocks {
                    memory[end..end + block.len()].copy_from_slice(block);
                    end += block.len();
                }
                add(written, span);
            }
            return Ok(());
        }
    }

    fn seal(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let whole = 0..self.length(piece);
        while let Some(slot) = self.begun.get(piece) {
            let mut held = self.begun.hold(&slot);
            match &*held {
                Begun::Gone => continue,
                Begun::Here { written, .. } | Begun::Away { written, .. } if covers(written, &whole) => {}
                _ => return Err(self.missing("sealing", piece, &whole)),
            }
            self.bring_here(piece, &whole, &mut held)?;
            if let Begun::Here { memory, .. } = &mut *held {
                let object = self.object(piece);
                let version = memory.lend(|bytes| self.bucket.put(&object, bytes))?;
                let mut state = self.state();
                state.objects.insert(piece, version);
                state.sealed.insert(piece);
            }
            self.begun.forget(piece, &mut held);
            return Ok(());
        }
        let mut state = self.state();
        // It was found and hashed, or is nothing but padding.
        if !state.objects.contains_key(&piece) && !is_padding(&self.torrent.layout, piece, 0, whole.end) {
            drop(state);
            return Err(self.missing("sealing", piece, &whole));
        }
        state.sealed.insert(piece);
        Ok(())
    }

    /// What is sealed is with the server already.
    fn checkpoint(&self) -> Result<Option<Bytes>, StorageError> {
        let state = self.state();
        let tag = |piece| {
            let version = state.objects.get(&piece).copied().flatten();
            version.filter(|_| state.sealed.contains(piece)).unwrap_or(tags::NOTHING)
        };
        let pieces = (0..self.torrent.layout.piece_count()).map(PieceIndex);
        Ok(Some(tags::encode(FORMAT, &self.torrent, pieces.map(tag)).into()))
    }

    /// What was not sealed is lost.
    fn close(&self) -> Result<(), StorageError> {
        self.begun.clear().iter().for_each(|object| self.bucket.discard(object));
        let claim = self.state().claim.take();
        drop(claim);
        Ok(())
    }
}

/// Seven digits: so many the number of a torrent's last piece may have, and listings go by number.
fn number(piece: PieceIndex) -> String {
    format!("{:07}", piece.0)
}

/// Whether `bytes` are those of `piece`.
fn is_piece(torrent: &Torrent, piece: PieceIndex, bytes: &[u8]) -> bool {
    torrent.piece_hashes[piece.as_usize()] == PieceHash(Sha1::digest(bytes).into())
}

/// Which piece an object is by its name, where it has the length of that.
fn piece_of(torrent: &Torrent, top: &Path, object: &ObjectMeta) -> Option<PieceIndex> {
    let mut parts = object.location.prefix_match(top)?;
    let (Some(name), None) = (parts.next(), parts.next()) else { return None };
    let piece = PieceIndex(name.as_ref().parse().ok()?);
    let is_it = piece.0 < torrent.layout.piece_count()
        && name.as_ref() == number(piece)
        && object.size == u64::from(torrent.layout.piece_length(piece));
    is_it.then_some(piece)
}

fn is_begun(top: &Path, object: &Path) -> bool {
    object.prefix_match(top).is_some_and(|mut parts| parts.next().is_some_and(|part| part.as_ref() == BEGUN))
}

/// The bytes, where they are as many as were asked for.
fn whole(bytes: Bytes, span: &Range<u32>) -> Result<Bytes, String> {
    let wanted = span.len();
    if bytes.len() == wanted { Ok(bytes) } else { Err(format!("{} bytes came of {wanted}", bytes.len())) }
}

/// Something that no other run has; the standard library seeds its hash maps with it.
fn entropy() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
