//! Who a torrent and its peers are: the identifiers of BEP 3, and what a store is told when it opens one.

use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;

use crate::layout::TorrentLayout;

macro_rules! twenty_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 20]);

        /// As 40 lower-case hexadecimal digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

twenty_bytes! {
    /// SHA-1 over the raw bytes of a metainfo's `info` value (BEP 3): the name of a torrent.
    InfoHash
}
twenty_bytes! {
    /// What a client calls itself in handshakes and announces (BEP 3, BEP 20).
    PeerId
}
twenty_bytes! {
    /// The SHA-1 of a piece, from the metainfo's `pieces` (BEP 3).
    PieceHash
}

/// A torrent as its store sees it.
#[derive(Clone, Debug)]
pub struct Torrent {
    /// Which torrent it is.
    pub info_hash: InfoHash,
    /// Its files and pieces.
    pub layout: TorrentLayout,
    /// The hash of each piece, in order; as many as the layout has pieces.
    pub piece_hashes: Vec<PieceHash>,
    /// The output folder. Files lie at `folder/name`, or `folder/name/…` when there are several.
    pub folder: PathBuf,
    /// What this store answered to its last [`checkpoint`](crate::TorrentStore::checkpoint) in an earlier
    /// run, as it was; `None` in the first one. It came from a file, so it is not to be trusted blindly.
    pub saved: Option<Bytes>,
}
