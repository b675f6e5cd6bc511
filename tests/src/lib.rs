//! What the integration tests share: content to transfer, processes that end with their test, other clients.
//!
//! | module | holds |
//! | --- | --- |
//! | [`content`] | deterministic files and folders, and their comparison |
//! | [`process`] | child processes, bounded waits, free ports |
//! | [`binaries`] | this workspace's own binaries |
//! | [`bt_run`] | one run of `bt-run`, its summary and its event log |
//! | [`opentracker`] | a tracker on loopback |
//! | [`clients`] | Transmission, aria2 and libtorrent |
//! | [`greedy`] | peers that take or give as much as they can, to measure limits |
//! | [`probe`] | a peer that only asks who has what |

pub mod binaries;
pub mod bt_run;
pub mod clients;
pub mod content;
pub mod greedy;
pub mod opentracker;
pub mod probe;
pub mod process;
