//! Keeping a torrent's bytes: the traits of the third kind of plug-in, and of the layers around it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::block::{Block, PieceIndex, PieceSet};
use crate::host::Host;
use crate::torrent::Torrent;

/// Opens the store of a torrent. One value serves every torrent whose profile names it.
pub trait StorageBackend: Send + Sync {
    /// Opens or begins the store of `torrent`. Called once a torrent and run, before anything else.
    ///
    /// # Errors
    /// When the store cannot be used; the torrent does not start and its message is shown.
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>>;
}

/// Builds a store around a store: a cache, a fault, a trace. The profile stacks layers, the outermost last.
pub trait StorageLayer: Send + Sync {
    /// Wraps `inner`, the store of `torrent`.
    fn wrap(
        &self,
        inner: Box<dyn TorrentStore>,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> Box<dyn TorrentStore>;
}

/// The bytes of one torrent.
///
/// The driver calls it, from several tasks at once; it orders calls so that nothing reads or seals a span of
/// a piece while a write to that span runs. Spans never reach past the end of their piece.
///
/// # Cancellation
/// A dropped future may have done all, part or nothing of its work, and touches no other byte. What was
/// written counts for nothing until [`seal`](Self::seal) has answered.
pub trait TorrentStore: Send + Sync {
    /// The pieces that the store vouches for, because it knows that they match their hashes. Every other
    /// piece is read and hashed before it is offered to anyone. A set of as many pieces as the torrent has.
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>>;

    /// Reads `length` bytes at `offset` of `piece`, into a buffer of [`Host::buffer`] or one that the
    /// store has anyway.
    ///
    /// # Errors
    /// [`Missing`](StorageErrorKind::Missing) when some of the bytes were never written or are gone; never fewer bytes
    /// (ST-5).
    fn read(&self, piece: PieceIndex, offset: u32, length: u32)
    -> BoxFuture<'_, Result<Block, StorageError>>;

    /// Writes `blocks` one after another from `offset` of `piece`; a span may be written again.
    ///
    /// # Errors
    /// Any kind. The driver keeps the blocks and writes them again later where the kind allows it.
    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>>;

    /// `piece` is written and matched its hash: make it durable, move it, or do nothing. Only after the
    /// answer is the piece announced to peers.
    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>>;

    /// Makes what was sealed durable, so that it is there although [`close`](Self::close) is never called, and answers
    /// what the store wants back at its next [`open`](StorageBackend::open) (placement, versions), if anything: it is
    /// kept in the resume file.
    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>>;

    /// Flushes and lets go of everything; nothing is called after it.
    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// What went wrong in a store, as far as a client can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// The bytes are not there: never written, deleted, shortened. The piece is wanted again.
    Missing,
    /// There is no room. Downloading pauses and is tried again.
    Full,
    /// Permission is denied. A torrent that could never write stops with this message; later downloading
    /// pauses and is tried again.
    Denied,
    /// What is there contradicts what the store knows. Nothing is overwritten: on writing the torrent stops
    /// with this message; on reading the piece is wanted again.
    Corrupt,
    /// It may work at once when tried again.
    Temporary,
    /// Anything else.
    Other,
}

impl fmt::Display for StorageErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Full => "full",
            Self::Denied => "denied",
            Self::Corrupt => "corrupt",
            Self::Temporary => "temporary",
            Self::Other => "other",
        })
    }
}

/// Why a store could not do what it was asked: a kind, what was tried on what, and the cause.
#[derive(Clone, Debug)]
pub struct StorageError {
    kind: StorageErrorKind,
    attempt: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl StorageError {
    /// An error of `kind`; `attempt` says what was tried on what: `reading 16384 bytes of "a/b"`.
    pub fn new(kind: StorageErrorKind, attempt: impl Into<String>) -> Self {
        Self { kind, attempt: attempt.into(), source: None }
    }

    /// The error that the operating system's `source` means, while `attempt` was tried.
    pub fn io(attempt: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::NotFound | Io::UnexpectedEof => StorageErrorKind::Missing,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => StorageErrorKind::Full,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => StorageErrorKind::Denied,
            Io::Interrupted | Io::TimedOut | Io::WouldBlock => StorageErrorKind::Temporary,
            _ => StorageErrorKind::Other,
        };
        Self { kind, attempt: attempt.into(), source: Some(Arc::new(source)) }
    }

    /// What a client can do about it.
    pub fn kind(&self) -> StorageErrorKind {
        self.kind
    }
}

/// What was tried, and why it failed: one line.
impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.attempt),
            None => f.write_str(&self.attempt),
        }
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
