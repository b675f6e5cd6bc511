//! What goes into the engine and what comes out: the whole of its boundary.
//!
//! The engine never touches payload. A received block is `(peer, block, tag)`; its bytes stay with the driver
//! under that tag until the engine says what becomes of them. Everything slow is an output whose answer
//! comes back once as an input, perhaps late, perhaps an error.

use std::net::SocketAddr;

use bt_api::{
    Announce, AnnounceReply, BlockRef, PeerAddress, PeerId, PeerKey, PieceHash, PieceIndex, StorageError,
    TrackerError,
};

use crate::event::Event;
use crate::wire::{Message, WireError};

/// Names the bytes of a received block, which the driver keeps; unique while they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The time that `next_wakeup` named has come.
    Wakeup,
    /// A connection came in and asked for this torrent; its key is from `Engine::new_peer`. It is refused
    /// with [`Output::Close`], or waits for its [`Handshake`](Self::Handshake).
    Incoming {
        /// Its key.
        peer: PeerKey,
        /// Where it comes from.
        address: SocketAddr,
    },
    /// The handshakes of both ends offer the fast extension (BEP 6); comes before [`Handshake`](Self::Handshake).
    Fast {
        /// Whose.
        peer: PeerKey,
    },
    /// The peer's handshake is complete. Answered with [`Output::Accept`] or [`Output::Close`].
    Handshake {
        /// Whose.
        peer: PeerKey,
        /// What it calls itself.
        id: PeerId,
    },
    /// A message of an accepted peer; it goes to the part that it is for (CN-10).
    Message {
        /// From whom.
        peer: PeerKey,
        /// What it says.
        message: Message,
    },
    /// A whole block came from an accepted peer. Answered with [`Output::Keep`] or [`Output::Drop`].
    Block {
        /// From whom.
        peer: PeerKey,
        /// What it says it is.
        block: BlockRef,
        /// The driver's name for its bytes.
        tag: Tag,
    },
    /// Bytes came from the peer, though no whole message: it is not idle.
    Alive {
        /// From whom.
        peer: PeerKey,
    },
    /// The connection is gone, or was never made.
    Closed {
        /// Whose.
        peer: PeerKey,
        /// Why.
        reason: CloseReason,
    },
    /// The answer to [`Output::Upload`]. Not sent when the peer is closed.
    Uploaded {
        /// To whom.
        peer: PeerKey,
        /// Which block.
        block: BlockRef,
        /// Whether the store could read it; its socket has taken it.
        result: Result<(), StorageError>,
    },
    /// The answer to [`Output::Finish`].
    Finished {
        /// Which piece.
        piece: PieceIndex,
        /// Whether it matched its hash, then is stored and sealed; or why the store failed.
        result: Result<Verdict, StorageError>,
    },
    /// The answer to [`Output::Announce`].
    Announced {
        /// The announce's tag.
        tag: u64,
        /// What the tracker said.
        result: Result<Box<AnnounceReply>, TrackerError>,
    },
    /// Peers from elsewhere than an announce: the user, or a source that spoke up by itself.
    Peers {
        /// Who named them, for the event log.
        source: String,
        /// Where they are.
        peers: Vec<PeerAddress>,
    },
    /// The torrent's part of the process's limit on upload, in bytes per second; `None`: no limit.
    UploadLimit(Option<u64>),
    /// Where playback stands, for policies that stream.
    Playhead(PieceIndex),
    /// Stop: announce it, close every connection, and say [`Output::Stopped`].
    Stop,
}

/// What became of a piece whose blocks were all here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It matched its hash, is written and sealed. With the hash of each block, when
    /// [`Output::Finish`] asked for them.
    Good(Vec<PieceHash>),
    /// It did not match, and its bytes are thrown away. With the hash of each block, in order: who sent
    /// which of them is how the guilty peer is found (DL-22).
    Bad(Vec<PieceHash>),
}

/// Something to be done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Connect to a peer and begin the handshake. Answered with `Handshake` or `Closed`.
    Connect {
        /// The connection's key.
        peer: PeerKey,
        /// Where to.
        address: SocketAddr,
        /// Whether our peer id is held back until [`Accept`](Self::Accept) (EN-5).
        delay_id: bool,
    },
    /// The peer is taken: send what is missing of our handshake; messages follow.
    Accept {
        /// Whom.
        peer: PeerKey,
    },
    /// Send a message, after what was sent to this peer before.
    Send {
        /// To whom.
        peer: PeerKey,
        /// What.
        message: Message,
    },
    /// Read this block of a piece that is had and send it, in order with messages. Answered with `Uploaded`.
    Upload {
        /// To whom.
        peer: PeerKey,
        /// What.
        block: BlockRef,
    },
    /// Close the connection, after what was sent. Nothing more of this peer goes in or out.
    Close {
        /// Whose.
        peer: PeerKey,
        /// Why.
        reason: CloseReason,
    },
    /// The block's bytes are part of its piece: hash and write them, at once or with their neighbours.
    Keep {
        /// Their name.
        tag: Tag,
        /// Where they belong.
        block: BlockRef,
    },
    /// The block's bytes are not wanted.
    Drop {
        /// Their name.
        tag: Tag,
    },
    /// All blocks of the piece are kept: compare its hash; when it matches, write and seal it. Sent again
    /// later when the store failed. Answered with `Finished`.
    Finish {
        /// Which piece.
        piece: PieceIndex,
        /// Whether the hashes of its blocks are wanted although it is good.
        digests: bool,
    },
    /// Throw away what was kept of the piece: it will be downloaded anew.
    Discard {
        /// Which piece.
        piece: PieceIndex,
    },
    /// Ask a tracker. Answered with `Announced`.
    Announce {
        /// The answer's tag.
        tag: u64,
        /// Whom to ask.
        target: Target,
        /// What to say.
        announce: Box<Announce>,
    },
    /// An entry for the event log.
    Event(Event),
    /// A plug-in panicked, or the store cannot go on: the torrent stops by itself.
    Failed {
        /// One line: which plug-in, what it said.
        message: String,
    },
    /// Everything is done after [`Input::Stop`] or [`Self::Failed`].
    Stopped,
}

/// Who is asked for peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The tracker at this URL.
    Url(String),
    /// The profile's source without URL of this number, counted from 0.
    Source(usize),
}

/// Why a connection ended (EN-17 to EN-20). Nothing else ends one (EN-21).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it.
    #[error("closed by the peer")]
    Remote,
    /// Reading or writing failed.
    #[error("connection lost: {0}")]
    Io(String),
    /// It could not be made.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The peer does not speak the protocol, or wants another torrent.
    #[error("the handshake is wrong")]
    Handshake,
    /// Connecting or the handshake took too long.
    #[error("no handshake in time")]
    HandshakeTimeout,
    /// We connected to ourselves (EN-7).
    #[error("connected to ourselves")]
    Myself,
    /// A connection to this peer id exists (EN-7).
    #[error("already connected to this peer")]
    Duplicate,
    /// The tracker said that somebody else is there (EN-7).
    #[error("another peer than expected")]
    UnexpectedId,
    /// A connection to this address exists, and the profile allows one.
    #[error("already connected to this address")]
    SameAddress,
    /// There are as many connections as the profile allows.
    #[error("too many connections")]
    TooMany,
    /// The address sent bad data.
    #[error("banned for bad data")]
    Banned,
    /// It sent a bad piece.
    #[error("it sent bad data")]
    BadData,
    /// It broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(#[from] WireError),
    /// It asked for a block although it said that it wants nothing (UP-4).
    #[error("a request while not interested")]
    UninterestedRequest,
    /// It asked for an empty or too long block, or one that is not there to be had (UP-4, UP-5, SW-25).
    #[error("a request that cannot be served")]
    BadRequest,
    /// Nothing came for too long (RS-20).
    #[error("silent for too long")]
    Idle,
    /// Both of us have everything (DL-11).
    #[error("both have everything")]
    BothSeeds,
    /// The piece policy has no use for it.
    #[error("closed by the piece policy")]
    Policy,
    /// The store could not read what the peer asked for.
    #[error("the store failed")]
    Store,
    /// The torrent stops.
    #[error("stopping")]
    Stopping,
}

impl CloseReason {
    /// The word for it in the event log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::Io(_) => "io",
            Self::Connect(_) => "connect",
            Self::Handshake => "handshake",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::Myself => "myself",
            Self::Duplicate => "duplicate",
            Self::UnexpectedId => "unexpected-id",
            Self::SameAddress => "same-address",
            Self::TooMany => "too-many",
            Self::Banned => "banned",
            Self::BadData => "bad-data",
            Self::Protocol(_) => "protocol",
            Self::UninterestedRequest => "uninterested-request",
            Self::BadRequest => "bad-request",
            Self::Idle => "idle",
            Self::BothSeeds => "both-seeds",
            Self::Policy => "policy",
            Self::Store => "store",
            Self::Stopping => "stopping",
        }
    }
}
