//! The tracker clients, asked as the network driver asks them.

mod conformance;
mod host;
#[cfg(feature = "http")]
mod http;
mod lsd;
mod none;
mod peer_file;
#[cfg(feature = "http")]
mod server;
mod udp;
mod udp_loopback;
mod virtual_net;

use bt_api::{Announce, InfoHash, PeerId};

/// What the tests announce.
const ANNOUNCE: Announce = Announce {
    info_hash: InfoHash([0xfe; 20]),
    peer_id: PeerId(*b"-BT0100-012345678901"),
    port: 6881,
    ip: None,
    key: 1,
    uploaded: 0,
    downloaded: 0,
    left: 5,
    event: None,
    peers_wanted: None,
    compact: true,
    tracker_id: None,
    last: None,
};
