//! The tracker clients, asked as the network driver asks them.

mod conformance;
mod host;
#[cfg(feature = "http")]
mod http;
mod peer_file;
#[cfg(feature = "http")]
mod server;
