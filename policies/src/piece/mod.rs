//! Piece policies: what to ask of whom.
//!
//! | name | asks for | file |
//! | --- | --- | --- |
//! | `bittornado` | common pieces while young, then the rarest: BitTornado 0.3.18 | [`bittornado`] |
//! | `rarest-first` | begun pieces, then those that fewest peers have: BitTorrent 3.4.2 | [`rarest_first`] |
//! | `sequential` | the pieces in their order, from the playhead on | [`sequential`] |
//! | `smart-seed` | the rarest; as a seed it lets every peer have what it has served least: OctoSim | [`smart_seed`] |
//!
//! To add one: copy the file nearest to it, give it a name of its own, add its `mod` line here, and name it
//! in a profile: `use = "its-name"` under `[piece]`. `bt-run --list` shows it then, and `--defaults
//! its-name` its keys. What the trait asks of it stands in the [guide](bt_api::guide::picker); `harness.rs`
//! drives it in tests, and a line in `tests/conformance.rs` holds it against the trait's promises.

pub mod bittornado;
pub mod rarest_first;
pub mod sequential;
pub mod smart_seed;

mod endgame;
mod lowest;
mod super_seed;

#[cfg(test)]
mod harness;
