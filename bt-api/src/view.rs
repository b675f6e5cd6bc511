//! What a policy may see of the swarm: our own state, and that of each connected peer.
//!
//! The engine keeps these facts itself and lends them, so a view costs nothing to make. The structs are
//! `non_exhaustive`: a new figure for policies breaks nobody. Rates are whole bytes per second, from the
//! estimator that the profile's `[rate]` table names; bytes are payload, without protocol overhead.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::block::PieceSet;
use crate::time::Instant;

/// The number of a connection: unique in a run of one torrent, growing, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u32);

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of one connected peer, whose handshake is complete.
///
/// "We" and "us" is this client; upload is towards the peer, download towards us.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerFacts {
    /// Its connection.
    pub key: PeerKey,
    /// Where it connects from, or was dialled (RS-19).
    pub address: SocketAddr,
    /// Whether it connected to us.
    pub incoming: bool,
    /// When its handshake was complete.
    pub connected: Instant,
    /// Whether it wants pieces of ours.
    pub peer_interested: bool,
    /// Whether we want pieces of its.
    pub am_interested: bool,
    /// Whether it does not serve us.
    pub peer_choking: bool,
    /// Whether we do not serve it.
    pub am_choking: bool,
    /// When it last began to serve us.
    pub peer_unchoked: Option<Instant>,
    /// When we last began to serve it.
    pub am_unchoked: Option<Instant>,
    /// The pieces that it says it has.
    pub pieces: PieceSet,
    /// How many `have` messages it sent since it connected; over [`Self::connected`] this tells how fast it downloads.
    pub haves: u32,
    /// Bytes received from it in blocks that we asked for, since it connected.
    pub downloaded: u64,
    /// Bytes sent to it since it connected.
    pub uploaded: u64,
    /// [`Self::downloaded`] since the choker's last round, whatever caused it: whoever asks for rounds between those of
    /// its clock and counts from one of these to the next keeps what [`Self::downloaded`] was.
    pub downloaded_in_round: u64,
    /// [`Self::uploaded`] since the choker's last round, whatever caused it.
    pub uploaded_in_round: u64,
    /// Estimated rate from it, in bytes per second, as of the choker's last round.
    pub download_rate: u64,
    /// Estimated rate to it, in bytes per second, as of the choker's last round.
    pub upload_rate: u64,
    /// When a block from it was last accepted.
    pub last_received: Option<Instant>,
    /// When a block was last sent to it.
    pub last_sent: Option<Instant>,
    /// Whether it has sent us no block for the profile's `requests.snub-time`; one that never sent any is snubbed from
    /// the start, as in 3.4.2 (CH-13). One that stopped sending has [`Self::last_received`], too.
    pub snubbed: bool,
    /// Our requests that it has not answered.
    pub requested: u32,
    /// Its requests that wait here.
    pub queued: u32,
    /// Bytes of blocks that are on their way into its socket.
    pub unsent: u64,
    /// The shortest time from a request to its block so far.
    pub round_trip: Option<Duration>,
}

impl PeerFacts {
    /// A peer that just connected: it has nothing, and both sides choke and are not interested (BEP 3, DL-1, UP-1).
    pub fn new(key: PeerKey, address: SocketAddr, incoming: bool, connected: Instant, pieces: u32) -> Self {
        Self {
            key,
            address,
            incoming,
            connected,
            peer_interested: false,
            am_interested: false,
            peer_choking: true,
            am_choking: true,
            peer_unchoked: None,
            am_unchoked: None,
            pieces: PieceSet::new(pieces),
            haves: 0,
            downloaded: 0,
            uploaded: 0,
            downloaded_in_round: 0,
            uploaded_in_round: 0,
            download_rate: 0,
            upload_rate: 0,
            last_received: None,
            last_sent: None,
            snubbed: true,
            requested: 0,
            queued: 0,
            unsent: 0,
            round_trip: None,
        }
    }

    /// Whether it has every piece.
    pub fn is_seed(&self) -> bool {
        self.pieces.is_full()
    }
}

/// What is known of ourselves.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OwnFacts {
    /// Whether we have every piece.
    pub is_seed: bool,
    /// The length of a piece in bytes; the last one may be shorter. With [`PeerFacts::haves`] it tells how many bytes a
    /// peer downloads.
    pub piece_length: u32,
    /// The limit on our upload in bytes per second, or `None` when there is none.
    pub upload_limit: Option<u64>,
    /// Bytes received in blocks that we asked for.
    pub downloaded: u64,
    /// Bytes sent.
    pub uploaded: u64,
    /// Estimated rate of all downloads together, in bytes per second, as of the choker's last round.
    pub download_rate: u64,
    /// Estimated rate of all uploads together, in bytes per second, as of the choker's last round.
    pub upload_rate: u64,
    /// The estimator behind every rate here, as `[rate] use` names it.
    pub estimator: &'static str,
}

/// The swarm as one client sees it: itself and its connected peers.
#[derive(Clone, Copy, Debug)]
pub struct SwarmView<'a> {
    own: &'a OwnFacts,
    peers: &'a [PeerFacts],
}

impl<'a> SwarmView<'a> {
    /// A view of `own` and of `peers`, which are sorted by key.
    pub fn new(own: &'a OwnFacts, peers: &'a [PeerFacts]) -> Self {
        debug_assert!(peers.is_sorted_by_key(|peer| peer.key), "peers out of order");
        Self { own, peers }
    }

    /// Our own state.
    pub fn own(&self) -> &'a OwnFacts {
        self.own
    }

    /// The connected peers, by key.
    pub fn peers(&self) -> &'a [PeerFacts] {
        self.peers
    }

    /// The peer of this key, while it is connected.
    pub fn peer(&self, key: PeerKey) -> Option<&'a PeerFacts> {
        self.peers.binary_search_by_key(&key, |peer| peer.key).ok().map(|at| &self.peers[at])
    }
}
