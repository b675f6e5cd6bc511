//! What a plug-in author needs, and nothing that does IO.
//!
//! Four traits make a BitTorrent client of parts that can be swapped:
//!
//! | trait | decides | guide |
//! | --- | --- | --- |
//! | [`ChokePolicy`] | which peers are served, and how much | [`guide::choker`] |
//! | [`PiecePolicy`] | what is asked of whom, what is shown to whom | [`guide::picker`] |
//! | [`StorageBackend`] | where a torrent's bytes are kept | [`guide::storage`] |
//! | [`TrackerClient`] | where peers come from | [`guide::tracker`] |
//!
//! Policies are synchronous: they see read-only [views](view), the time and a generator of their own, and
//! answer with data. Stores and tracker clients are asynchronous and are lent a [`Host`]. So all of them
//! run unchanged on real sockets and in virtual time. One that panics, lies or hangs harms no torrent but its own:
//! [`guide::misbehaving`].
//!
//! A plug-in implements its trait and [`Plugin`], and calls [`register!`]; a profile then names it. The
//! smallest complete example stands in [`guide::choker`].

pub mod block;
pub mod choke;
pub mod config;
pub mod contain;
pub mod host;
pub mod layout;
pub mod oracle;
pub mod piece;
pub mod pieces;
pub mod plugin;
pub mod rng;
pub mod storage;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod torrent;
pub mod tracker;
pub mod view;

pub use block::{BitfieldError, Block, BlockRef, Buffer, PieceIndex, PieceSet, Recycle};
pub use bytes::Bytes;
pub use choke::{
    Cause, ChokePolicy, Notice, PeerEvent, Reason, RequestQueue, Serve, Share, Unchoke, Unchokes, Waiting,
};
pub use futures::future::BoxFuture;
pub use host::{Datagrams, Host, Stream, run_blocking};
pub use layout::{FileEntry, FileSpan, LayoutError, NewFile, TorrentLayout};
pub use oracle::Oracle;
pub use piece::{Advertise, Pick, PieceEvent, PiecePolicy};
pub use pieces::{Arrival, PieceView, Pieces};
pub use plugin::{BuildError, Plugin, Registry};
pub use rng::Rng;
pub use storage::{StorageBackend, StorageError, StorageErrorKind, StorageLayer, TorrentStore};
pub use time::Instant;
pub use torrent::{InfoHash, PeerId, PieceHash, Torrent};
pub use tracker::{
    Announce, AnnounceEvent, AnnounceReply, PeerAddress, ScrapeReply, TrackerClient, TrackerError,
    TrackerErrorKind,
};
pub use view::{OwnFacts, PeerFacts, PeerKey, SwarmView};

/// Guides for plug-in authors; their examples are compiled and run as tests.
pub mod guide {
    #[doc = include_str!("../docs/choker.md")]
    pub mod choker {}
    #[doc = include_str!("../docs/misbehaving.md")]
    pub mod misbehaving {}
    #[doc = include_str!("../docs/picker.md")]
    pub mod picker {}
    #[doc = include_str!("../docs/storage.md")]
    pub mod storage {}
    #[doc = include_str!("../docs/tracker.md")]
    pub mod tracker {}
}
