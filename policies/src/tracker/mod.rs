//! Tracker clients and other sources of peers: one URL scheme, or one source, one file.

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
mod http_connect;
pub mod peer_file;
pub mod reply;
