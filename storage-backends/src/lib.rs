//! Where a torrent's bytes are kept: one backend, one file, and [layers](layer) that wrap any of them.
//!
//! | name | keeps the bytes |
//! | --- | --- |
//! | [`compact`] | in the same files, filled from the start without holes, as the original did |
//! | [`database`] | in one transactional file, for all torrents |
//! | [`files`] | in the files of the torrent, below the output folder |
//! | [`memory`] | in memory, for tests and for measuring the rest |
//! | [`null`] | nowhere: for measuring the rest, and for what nobody needs |
//! | `object_store` | in a bucket of S3 or another cloud, one object a piece (feature `object-store`) |
//! | [`piece_files`] | one file a piece, named by its hash |
//!
//! A binary that says `use bt_storage as _;` has them all in its registry. How to write another one is
//! told in [`bt_api::guide::storage`].

mod blocking;
pub mod compact;
pub mod database;
mod disk;
pub mod files;
pub mod layer;
pub mod memory;
pub mod null;
#[cfg(feature = "object-store")]
pub mod object_store;
pub mod piece_files;
mod ranges;
mod tags;
