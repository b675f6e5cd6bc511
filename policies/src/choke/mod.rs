//! Choke policies: whom to serve.
//!
//! | name | serves | file |
//! | --- | --- | --- |
//! | `tit-for-tat` | the peers that give the most, and others in turn: BitTorrent 3.4.2 | [`tit_for_tat`] |
//! | `libtorrent` | the peers that gave most in the last round; a seed: three orders | [`libtorrent`] |
//! | `transmission` | the fastest and one by chance, with no second change within 10 s | [`transmission`] |
//! | `bittyrant` | those who give most for what they cost, each as little as it takes: BitTyrant | [`bittyrant`] |
//! | `prop-share` | all that gave in the last round, in proportion: PropShare | [`prop_share`] |
//! | `fair-torrent` | everybody, the next block to whom most is owed: FairTorrent | [`fair_torrent`] |
//! | `block-tft` | everybody, a few blocks beyond what it gave | [`block_tft`] |
//! | `birds` | the peers whose rate is nearest to what we give each of ours | [`design_space`] |
//! | `design-space` | by a stranger policy, a candidate list, a ranking and an allocation | [`design_space`] |
//! | `fan-lui-chiu` | everybody, by its contribution to a power | [`fan_lui_chiu`] |
//! | `pfs` | leeching as `tit-for-tat`; a seed: the piece most asked for of what it was served | [`pfs`] |
//! | `round-robin` | peers in turn | [`round_robin`] |
//! | `random` | peers drawn at random | [`random`] |
//! | `unchoke-all` | everyone | [`unchoke_all`] |
//! | `free-rider` | nobody | [`free_rider`] |
//! | `large-view` | nobody; its profile connects to everyone | [`free_rider`] |
//!
//! To add one: copy the file nearest to it, give it a name of its own, add its `mod` line here, and name it
//! in a profile: `use = "its-name"` under `[choke]`. `bt-run --list` shows it then, and `--defaults
//! its-name` its keys. What the trait asks of it stands in the [guide](bt_api::guide::choker); `harness.rs`
//! drives it in tests, and a line in `tests/conformance.rs` holds it against the trait's promises.

pub mod bittyrant;
pub mod block_tft;
pub mod design_space;
pub mod fair_torrent;
pub mod fan_lui_chiu;
pub mod free_rider;
pub mod libtorrent;
pub mod max_uploads;
pub mod pfs;
pub mod prop_share;
pub mod random;
pub mod round_robin;
pub mod tit_for_tat;
pub mod transmission;
pub mod unchoke_all;
pub mod upload_capacity;

mod by_block;
mod ledger;
mod rate_or_word;
mod seed_rotation;
mod turns;

#[cfg(test)]
mod harness;
