//! Drives the store of a torrent: from blocks to sealed pieces, and from the store to what peers are sent.
//!
//! Nothing here waits by itself, opens sockets or reads clocks: time comes from the [`Host`], and work is given to
//! [`Tasks`]. So it is the same code on real sockets and in virtual time.
//!
//! | module | holds |
//! | --- | --- |
//! | [`assembly`] | from blocks to pieces that are hashed, written and sealed |
//! | [`uploads`] | what peers are sent, read in long spans that all requests share |
//! | [`reading`] | reads with a check of their length and some patience |
//! | [`hashing`] | SHA-1 in turns |
//! | [`pool`] | the bounded pool of buffers |

pub mod assembly;
pub mod hashing;
pub mod pool;
pub mod reading;
pub mod uploads;

use std::sync::Arc;

use bt_api::{BoxFuture, Host, Torrent, TorrentStore};

/// The part of the memory limit that is for what peers are sent.
pub const CACHE_DIVISOR: usize = 4;

/// What is needed to work on the store of one torrent.
#[derive(Clone)]
pub struct Desk {
    /// The store.
    pub store: Arc<dyn TorrentStore>,
    /// What it keeps.
    pub torrent: Arc<Torrent>,
    /// Whose time it is.
    pub host: Arc<dyn Host>,
    /// Where work runs.
    pub tasks: Arc<dyn Tasks>,
}

/// Runs work beside the driver.
pub trait Tasks: Send + Sync {
    /// Begins `work`; what it says at its end is told to the driver of the torrent.
    fn start(&self, work: BoxFuture<'static, Option<Told>>);
}

/// What work on a store says at its end.
pub enum Told {
    /// The job of a piece is done: for [`Assembly::done`](assembly::Assembly::done).
    Piece(Box<assembly::Done>),
    /// The store panicked, in this work, and said this.
    Panicked(Work, String),
}

/// What a store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The job of a piece.
    Job,
    /// A span for peers.
    Read,
    /// A checkpoint.
    Save,
}
