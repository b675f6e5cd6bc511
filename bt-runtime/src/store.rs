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
//! | [`guard`] | the wall around a store: its panics, its silence |
//! | [`pool`] | the bounded pool of buffers |

pub mod assembly;
pub mod guard;
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
    /// The store, behind its [`Guard`](guard::Guard).
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
    /// Begins `work`. At the end of the job of a piece the driver of the torrent is told what it did: for
    /// [`Assembly::done`](assembly::Assembly::done).
    fn start(&self, work: BoxFuture<'static, Option<Box<assembly::Done>>>);
}
