//! Stores that wrap a store, named in a profile's `[[storage.layer]]` tables.

pub mod cache;
pub mod faulty;
pub mod read_only;
pub mod slow;
pub mod trace;
