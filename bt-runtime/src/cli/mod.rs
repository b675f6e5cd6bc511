//! The command lines of the binaries, as functions that any binary can call.

pub mod torrent;
