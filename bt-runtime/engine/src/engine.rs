//! The engine: dispatch of inputs, and the state that its parts share.

use std::sync::Arc;

use bt_api::{ChokePolicy, InfoHash, Instant, PeerId, PeerKey, PiecePolicy, PieceSet};

use crate::io::{Input, Output};
use crate::settings::Settings;
use crate::status::Status;

/// All that an engine is made of.
pub struct EngineSetup {
    /// The profile's tables that are not a plug-in's.
    pub settings: Arc<Settings>,
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who we are.
    pub peer_id: PeerId,
    /// The port at which we listen.
    pub port: u16,
    /// The torrent's length in bytes.
    pub total_length: u64,
    /// The length of every piece but the last, in bytes.
    pub piece_length: u32,
    /// The pieces that are verified and stored.
    pub have: PieceSet,
    /// Tiers of tracker URLs (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// The names of the profile's peer sources that have no URL, in order.
    pub sources: Vec<String>,
    /// The choke policy and its name.
    pub choke: (String, Box<dyn ChokePolicy>),
    /// The piece policy and its name.
    pub piece: (String, Box<dyn PiecePolicy>),
    /// The run's seed, and this client's number in it: 0 outside a simulation.
    pub seed: u64,
    /// See [`Self::seed`].
    pub node: u64,
    /// Whether entries for the event log are wanted.
    pub log: bool,
}
