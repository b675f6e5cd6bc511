//! What a user is shown of a running torrent.

use std::net::SocketAddr;
use std::time::Duration;

use bt_api::{PeerId, Reason, StorageErrorKind};

/// A torrent's figures, for progress lines and summaries (DN-9). Lengths in bytes, rates in bytes per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Whether every piece is verified and stored.
    pub complete: bool,
    /// The length of the torrent.
    pub bytes_total: u64,
    /// Of it, verified and stored.
    pub bytes_have: u64,
    /// Payload received in this run in blocks that were asked for.
    pub downloaded: u64,
    /// Payload sent in this run.
    pub uploaded: u64,
    /// Payload received and thrown away: blocks that were not asked for or came twice, and failed pieces.
    pub wasted: u64,
    /// Pieces that did not match their hash.
    pub hash_failures: u64,
    /// Connections whose handshake is complete (CN-4).
    pub peers: usize,
    /// Of them, those that have every piece.
    pub seeds: usize,
    /// Connections under way.
    pub dialing: usize,
    /// Different peers that completed a handshake in this run.
    pub peers_seen: u64,
    /// Estimated rate towards us.
    pub download_rate: u64,
    /// Estimated rate from us.
    pub upload_rate: u64,
    /// Estimated time until everything is here (RM-3), when there is an estimate.
    pub time_left: Option<Duration>,
    /// Whether blocks are asked of several peers.
    pub endgame: bool,
    /// Why nothing moves, when nothing moves.
    pub stall: Option<Stall>,
    /// What trackers and sources last said, when it was trouble or a warning.
    pub tracker_trouble: Option<String>,
}

/// One connected peer, for diagnostics (DN-9). Lengths in bytes, rates in bytes per second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Where it is.
    pub address: SocketAddr,
    /// What it calls itself.
    pub id: PeerId,
    /// Whether it connected to us.
    pub incoming: bool,
    /// Whether it has every piece.
    pub seed: bool,
    /// Why we serve it, [`Reason::OPTIMISTIC`] or another; `None`: we choke it.
    pub unchoked: Option<Reason>,
    /// Whether it wants pieces of ours.
    pub peer_interested: bool,
    /// Whether it does not serve us.
    pub peer_choking: bool,
    /// Whether we want pieces of its.
    pub am_interested: bool,
    /// Whether it has sent us no block for a while (CH-13).
    pub snubbed: bool,
    /// Payload received from it in blocks that were asked for.
    pub downloaded: u64,
    /// Payload sent to it.
    pub uploaded: u64,
    /// Estimated rate from it.
    pub download_rate: u64,
    /// Estimated rate to it.
    pub upload_rate: u64,
}

/// Why nothing moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stall {
    /// No peer is connected or known.
    NoPeers,
    /// Connecting to peers.
    Dialing,
    /// No connected peer has a piece that we lack.
    NothingToGet,
    /// Peers have what we want, and all of them choke us.
    AllChoke,
    /// Peers were asked for blocks, and have sent none for a while.
    NothingComes,
    /// The store failed; it is tried again by itself.
    Store {
        /// How.
        kind: StorageErrorKind,
        /// One line.
        message: String,
    },
    /// The store does not answer; one line says since when. Everything goes on when it does.
    StoreSilent(String),
}

impl std::fmt::Display for Stall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoPeers => f.write_str("no peers"),
            Self::Dialing => f.write_str("connecting to peers"),
            Self::NothingToGet => f.write_str("no connected peer has what is missing"),
            Self::AllChoke => f.write_str("all peers choke us"),
            Self::NothingComes => f.write_str("peers do not send what they were asked for"),
            Self::Store { kind: StorageErrorKind::Full, message } => {
                write!(f, "disk full, trying again: {message}")
            }
            Self::StoreSilent(message) => f.write_str(message),
            Self::Store { message, .. } => write!(f, "the store failed, trying again: {message}"),
        }
    }
}
