//! Piece policies: what to ask of whom.
//!
//! | name | asks for | file |
//! | --- | --- | --- |
//! | `bitos` | the rarest of the next pieces or of the others, by chance: BiToS | [`bitos`] |
//! | `bittornado` | common pieces while young, then the rarest: BitTornado 0.3.18 | [`bittornado`] |
//! | `deadline` | what is played soon by its deadline, then the rarest | [`deadline`] |
//! | `fixed-permutation` | the pieces in one random order, drawn at the start: OctoSim | [`fixed_permutation`] |
//! | `give-to-get` | the next pieces in order, then the rarest of the near ones, then the rarest | [`give_to_get`] |
//! | `global-rarest` | those that fewest peers of the whole swarm have: in `bt-lab` only | [`global_rarest`] |
//! | `mode-suppression` | any piece but the most frequent ones; else it waits | [`mode_suppression`] |
//! | `portion` | the next piece in order or the rarest, by chance | [`portion`] |
//! | `random` | any piece | [`random`] |
//! | `rarest-first` | begun pieces, then those that fewest peers have: BitTorrent 3.4.2 | [`rarest_first`] |
//! | `rfwpms` | the rarest, and with probability q none of the most frequent | [`rfwpms`] |
//! | `sequential` | the pieces in their order, from the playhead on | [`sequential`] |
//! | `smart-seed` | the rarest; as a seed it lets every peer have what it has served least: OctoSim | [`smart_seed`] |
//! | `super-seed` | the rarest; as a seed it shows each peer one piece at a time: BEP 16 | [`super_seeding`] |
//! | `zipf` | any piece from the playhead on, the nearer the likelier | [`zipf`] |
//!
//! To add one: copy the file nearest to it, give it a name of its own, add its `mod` line here, and name it
//! in a profile: `use = "its-name"` under `[piece]`. `bt-run --list` shows it then, and `--defaults
//! its-name` its keys. What the trait asks of it stands in the [guide](bt_api::guide::picker); `harness.rs`
//! drives it in tests, and a line in `tests/conformance.rs` holds it against the trait's promises.

pub mod bitos;
pub mod bittornado;
pub mod deadline;
pub mod fixed_permutation;
pub mod give_to_get;
pub mod global_rarest;
pub mod mode_suppression;
pub mod portion;
pub mod random;
pub mod rarest_first;
pub mod rfwpms;
pub mod sequential;
pub mod smart_seed;
pub mod super_seeding;
pub mod zipf;

mod endgame;
mod lowest;
mod mode;
mod odds;
mod plain;
mod playhead;
mod super_seed;

#[cfg(test)]
mod harness;
