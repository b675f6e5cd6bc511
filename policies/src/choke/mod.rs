//! Choke policies: whom to serve.
//!
//! | name | serves | file |
//! | --- | --- | --- |
//! | `tit-for-tat` | the peers that give the most, and others in turn: BitTorrent 3.4.2 | [`tit_for_tat`] |
//! | `random` | peers drawn at random | [`random`] |
//! | `free-rider` | nobody | [`free_rider`] |
//!
//! To add one: copy the file nearest to it, give it a name of its own, add its `mod` line here, and name it
//! in a profile: `use = "its-name"` under `[choke]`. `bt-run --list` shows it then, and `--defaults
//! its-name` its keys. What the trait asks of it stands in the [guide](bt_api::guide::choker); `harness.rs`
//! drives it in tests, and a line in `tests/conformance.rs` holds it against the trait's promises.

pub mod free_rider;
pub mod max_uploads;
pub mod random;
pub mod tit_for_tat;

mod seed_rotation;

#[cfg(test)]
mod harness;
