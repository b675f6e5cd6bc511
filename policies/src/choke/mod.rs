//! Choke policies: whom to serve.
//!
//! | name | serves | file |
//! | --- | --- | --- |
//! | `tit-for-tat` | the peers that give the most, and others in turn: BitTorrent 3.4.2 | [`tit_for_tat`] |
//! | `random` | peers drawn at random | [`random`] |
//! | `bittyrant` | those who give most for what they cost, each as little as it takes: BitTyrant | [`bittyrant`] |
//! | `block-tft` | everybody, a few blocks beyond what it gave | [`block_tft`] |
//! | `fair-torrent` | everybody, the next block to whom most is owed: FairTorrent | [`fair_torrent`] |
//! | `fan-lui-chiu` | everybody, by its contribution to a power | [`fan_lui_chiu`] |
//! | `free-rider` | nobody | [`free_rider`] |
//! | `prop-share` | all that gave in the last round, in proportion: PropShare | [`prop_share`] |
//!
//! To add one: copy the file nearest to it, give it a name of its own, add its `mod` line here, and name it
//! in a profile: `use = "its-name"` under `[choke]`. `bt-run --list` shows it then, and `--defaults
//! its-name` its keys. What the trait asks of it stands in the [guide](bt_api::guide::choker); `harness.rs`
//! drives it in tests, and a line in `tests/conformance.rs` holds it against the trait's promises.

pub mod bittyrant;
pub mod block_tft;
pub mod fair_torrent;
pub mod fan_lui_chiu;
pub mod free_rider;
pub mod max_uploads;
pub mod prop_share;
pub mod random;
pub mod tit_for_tat;
pub mod upload_capacity;

mod by_block;
mod seed_rotation;
mod turns;

#[cfg(test)]
mod harness;
