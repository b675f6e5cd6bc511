//! What the integration tests share: content to transfer, processes that end with their test, other clients.
//!
//! | module | holds |
//! | --- | --- |
//! | [`content`] | deterministic files and folders, and their comparison |
//! | [`process`] | child processes, bounded waits, free ports |
//! | [`binaries`] | this workspace's own binaries |
//! | [`bt_lab`] | runs of `bt-lab` in a folder of their own |
//! | [`bt_run`] | one run of `bt-run`, its summary and its event log |
//! | [`npm_tracker`] | a UDP tracker on loopback, over IPv6 |
//! | [`opentracker`] | a tracker on loopback |
//! | [`clients`] | Transmission, aria2 and libtorrent |
//! | [`greedy`] | peers that take or give as much as they can, to measure limits |
//! | [`probe`] | a peer that only asks who has what |
//! | [`place`] | a torrent of one file, who has it, and who downloads it |
//! | [`page`] | pages whose steps are done as they stand |
//! | [`mount`] | file systems of a test's own |

pub mod binaries;
pub mod bt_lab;
pub mod bt_run;
pub mod clients;
pub mod content;
pub mod greedy;
pub mod mount;
pub mod npm_tracker;
pub mod opentracker;
pub mod page;
pub mod place;
pub mod probe;
pub mod process;

/// Says why a test is left out on this machine.
///
/// # Panics
/// When the environment says `BT_REQUIRE_CLIENTS=1`: then nothing may be left out.
pub fn skipped(why: &str) {
    let required = std::env::var_os("BT_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
    assert!(!required, "{why}, and BT_REQUIRE_CLIENTS=1");
    eprintln!("skipped: {why}");
}
