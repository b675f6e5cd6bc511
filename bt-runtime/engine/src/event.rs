//! Entries of the event log: what happened and why, enough to recompute every metric and to judge a policy
//! off-line.
//!
//! One entry is one JSON object a line, with `t` (seconds since the start of the run) put in front by the
//! writer; the same from a real client and from a simulation. `bt-runtime/docs/events.md` has each field.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dir {
    /// From us to the peer.
    To,
    /// From the peer to us.
    From,
}

/// A client that takes part from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// Where it listens.
    pub addr: Option<SocketAddr>,
    /// Its group in a scenario.
    pub class: Option<String>,
    /// Its uplink, or its limit on upload, in bytes per second.
    pub up: Option<u64>,
    /// The same for download.
    pub down: Option<u64>,
    /// The torrent's length in bytes.
    pub total_length: u64,
    /// The length of every piece but the last, in bytes.
    pub piece_length: u32,
    /// The pieces that it begins with, as ranges: `0-3,7`.
    pub have: String,
}

/// What a tracker or source answered, or why it could not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Who was asked.
    pub target: String,
    /// How many peers it named.
    pub peers: usize,
    /// Seconds that it wants between announces.
    pub interval: Option<u64>,
    /// Why it could not answer.
    pub error: Option<String>,
    /// What it says besides.
    pub warning: Option<String>,
}

/// What happened; made in millions, so what is large and rare is boxed. `peer` is the number of a connection; lengths are bytes, rates bytes per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of the event log's schema, documented there")]
pub enum Event {
    /// A client takes part from now on.
    Joined(Box<Joined>),
    /// It no longer does.
    Left {},
    /// We began to connect to a peer.
    Dial { peer: u32, addr: SocketAddr },
    /// A connection stands.
    PeerConnected { peer: u32, addr: SocketAddr, incoming: bool },
    /// A handshake is complete; `id` is the peer's id in hexadecimal.
    Handshake { peer: u32, id: String },
    /// A connection ended, or was not made.
    PeerClosed { peer: u32, reason: Cow<'static, str>, detail: String },
    /// Somebody became interested or lost interest.
    Interested { peer: u32, dir: Dir, value: bool },
    /// Somebody is no longer served.
    Choke { peer: u32, dir: Dir },
    /// Somebody is served; towards the peer with the policy's reason.
    Unchoke { peer: u32, dir: Dir, reason: Option<Cow<'static, str>> },
    /// A block was asked for.
    Request { peer: u32, dir: Dir, piece: u32, begin: u32, length: u32 },
    /// A request was taken back.
    Cancel { peer: u32, dir: Dir, piece: u32, begin: u32, length: u32 },
    /// A request will not be answered (BEP 6).
    Reject { peer: u32, dir: Dir, piece: u32, begin: u32, length: u32 },
    /// A block arrived that was asked for, or was sent.
    Block { peer: u32, dir: Dir, piece: u32, begin: u32, length: u32 },
    /// A block arrived that was not asked for, or no longer; it was dropped.
    DuplicateBlock { peer: u32, piece: u32, begin: u32, length: u32 },
    /// A piece was announced; `pieces` in place of `piece` where it was a bitfield.
    Have { peer: u32, dir: Dir, piece: Option<u32>, pieces: Option<u32> },
    /// The first block of a piece was asked for; `availability` peers have it.
    PieceStarted { piece: u32, peer: u32, availability: u32, rarest: u32 },
    /// A piece matched its hash and is stored.
    PieceVerified { piece: u32, peers: Vec<u32> },
    /// A piece did not match its hash; these peers sent its blocks.
    PieceFailed { piece: u32, peers: Vec<u32> },
    /// A peer was found to have sent bad data.
    BadData { peer: u32, addr: SocketAddr, piece: u32, banned: bool },
    /// Blocks are asked of several peers from now on.
    Endgame { missing: u64 },
    /// A tracker or source is asked.
    Announce { target: String, event: Option<Cow<'static, str>>, left: u64 },
    /// It answered, or could not.
    AnnounceReply(Box<Answered>),
    /// The store failed.
    StorageError { piece: Option<u32>, kind: String, message: String },
    /// Rates and totals, from time to time; without `peer` those of the torrent.
    Rate { peer: Option<u32>, down: u64, up: u64, downloaded: u64, uploaded: u64 },
    /// Every piece is verified and stored.
    Complete { downloaded: u64, uploaded: u64 },
    /// A policy answered what cannot be; it was left out.
    PolicyViolation { policy: String, message: String },
}
