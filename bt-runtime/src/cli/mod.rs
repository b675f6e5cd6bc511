//! The command lines of the binaries, as functions that any binary can call.

mod run;
pub mod torrent;

pub use run::main;
