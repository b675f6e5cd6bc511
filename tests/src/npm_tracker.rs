//! The npm package `bittorrent-tracker` on loopback, over UDP and IPv6.
//!
//! Whatever the family of who asks, it names peers of IPv4 only, so over IPv6 it serves to count.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};

use bt_api::InfoHash;

use crate::process::{Process, SOON};
use crate::skipped;

/// A running tracker.
pub struct NpmTracker {
    port: u16,
    process: Process,
}

impl NpmTracker {
    /// Starts a tracker whose log is in `folder`, if there is one on this machine.
    ///
    /// # Panics
    /// When there is none although `BT_REQUIRE_CLIENTS` is `1`.
    pub fn start(folder: &Path) -> Option<Self> {
        let Some(packages) = packages() else {
            skipped("the npm package bittorrent-tracker is not installed");
            return None;
        };
        let Ok(port) = free_port() else {
            skipped("there is no IPv6 on loopback");
            return None;
        };
        let script = folder.join("npm_tracker.mjs");
        fs::write(&script, include_str!("npm_tracker.mjs")).expect("the script is written");
        let mut command = Command::new("node");
        command.arg(script).arg(packages).arg(port.to_string());
        let mut process = Process::start("npm-tracker", folder, &mut command);
        process.until_told("listening", SOON);
        Some(Self { port, process })
    }

    /// Its announce URL.
    pub fn url(&self) -> String {
        format!("udp://[::1]:{}/announce", self.port)
    }

    /// Waits until it was told of `event` (`start`, `complete`, `stop`) of `torrent`.
    pub fn wait_for(&mut self, event: &str, torrent: InfoHash) {
        self.process.until_told(&format!("{event} {torrent} from"), SOON);
    }
}

/// The folder of global packages, if the tracker is there.
fn packages() -> Option<String> {
    let output = Command::new("npm").args(["root", "--global"]).stderr(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Path::new(&folder).join("bittorrent-tracker/server.js").is_file().then_some(folder)
}

/// A UDP port of ::1 that is free now.
fn free_port() -> std::io::Result<u16> {
    Ok(UdpSocket::bind("[::1]:0")?.local_addr()?.port())
}
