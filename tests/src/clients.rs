//! Other clients: how each seeds and downloads one torrent on loopback, with tracker peers only.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Process, free_port};
use crate::skipped;

/// A client that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// `transmission-cli`.
    Transmission,
    /// `aria2c`.
    Aria2,
    /// The Python binding of libtorrent-rasterbar, driven by a script beside this file.
    Libtorrent,
}

/// Where the Python that has libtorrent is: the distribution's own, in case another one comes first.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];

impl Client {
    /// Whether it and opentracker are here.
    ///
    /// # Panics
    /// When something is missing although `BT_REQUIRE_CLIENTS` is `1`.
    pub fn is_here(self) -> bool {
        let client = match self {
            Self::Transmission => runs("transmission-cli", &["--version"]),
            Self::Aria2 => runs("aria2c", &["--version"]),
            Self::Libtorrent => python().is_some(),
        };
        let missing = if !client {
            format!("{self:?}")
        } else if !runs("opentracker", &["-h"]) {
            "opentracker".to_owned()
        } else {
            return true;
        };
        skipped(&format!("{missing} is not installed"));
        false
    }

    /// Whether it connects to addresses of loopback that a tracker names. Transmission takes them for a mistake,
    /// but lets such peers in.
    pub fn dials_loopback(self) -> bool {
        self != Self::Transmission
    }

    /// Whether it makes the files of a torrent that have no bytes.
    pub fn makes_empty_files(self) -> bool {
        self != Self::Transmission
    }

    /// Starts it with everything in `content`. Its own files are in `folder`.
    pub fn seed(self, torrent: &Path, content: &Path, folder: &Path) -> Process {
        let mut command = match self {
            Self::Transmission => transmission(torrent, content, folder),
            Self::Aria2 => aria2(torrent, content),
            Self::Libtorrent => libtorrent("seed", torrent, content, folder),
        };
        match self {
            Self::Transmission => command.arg("--verify"),
            Self::Aria2 => command.args(["--check-integrity=true", "--seed-ratio=0.0"]),
            Self::Libtorrent => &mut command,
        };
        Process::start(&format!("{self:?}"), folder, &mut command)
    }

    /// Starts a download into `output`; [`Self::finish`] waits for its end.
    pub fn download(self, torrent: &Path, output: &Path, folder: &Path) -> Process {
        let mut command = match self {
            Self::Transmission => transmission(torrent, output, folder),
            Self::Aria2 => aria2(torrent, output),
            Self::Libtorrent => libtorrent("download", torrent, output, folder),
        };
        if self == Self::Transmission {
            // It seeds on and says so to a program only.
            let script = folder.join("finished.sh");
            let text = format!("#!/bin/sh\n: >'{}'\n", finished(folder).display());
            fs::write(&script, text).expect("the script is written");
            fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("our own file");
            command.arg("--finish").arg(script);
        }
        if self == Self::Aria2 {
            command.arg("--seed-time=0");
        }
        Process::start(&format!("{self:?}"), folder, &mut command)
    }

    /// Waits until a download is complete, on the disk, and over.
    ///
    /// # Panics
    /// When that takes longer than `limit`, or it fails.
    pub fn finish(self, process: &mut Process, folder: &Path, limit: Duration) {
        if self == Self::Transmission {
            process.until("the download is complete", limit, || finished(folder).exists().then_some(()));
            process.signal(Signal::INT);
        }
        let code = process.exit_code(limit);
        assert_eq!(code, 0, "{}", process.story());
    }
}

/// The file that tells that Transmission is done.
fn finished(folder: &Path) -> PathBuf {
    folder.join("finished")
}

fn transmission(torrent: &Path, data: &Path, folder: &Path) -> Command {
    let settings = serde_json::json!({
        "bind-address-ipv4": "127.0.0.1",
        "dht-enabled": false,
        "lpd-enabled": false,
        "pex-enabled": false,
        "port-forwarding-enabled": false,
    });
    let config = folder.join("transmission");
    fs::create_dir(&config).expect("a folder for Transmission");
    fs::write(config.join("settings.json"), settings.to_string()).expect("its settings are written");
    let mut command = Command::new("transmission-cli");
    command.arg("--config-dir").arg(config).arg("--download-dir").arg(data);
    command.args(["--no-portmap", "--port", &free_port().to_string()]).arg(torrent);
    command
}

fn aria2(torrent: &Path, data: &Path) -> Command {
    let mut command = Command::new("aria2c");
    command.args(["--no-conf=true", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]);
    command.args(["--enable-peer-exchange=false", "--disable-ipv6=true", "--interface=127.0.0.1"]);
    command.args(["--file-allocation=none", "--summary-interval=0", "--show-console-readout=false"]);
    command.arg(format!("--listen-port={}", free_port()));
    // Should the test die without a word, so does it.
    command.arg(format!("--stop-with-process={}", process::id()));
    command.arg("--dir").arg(data).arg(torrent);
    command
}

fn libtorrent(role: &str, torrent: &Path, data: &Path, folder: &Path) -> Command {
    let script = folder.join("libtorrent_peer.py");
    fs::write(&script, include_str!("libtorrent_peer.py")).expect("the script is written");
    let mut command = Command::new(python().expect("a test asks first whether it is here"));
    command.arg(script).arg(role).arg(torrent).arg(data).arg(free_port().to_string());
    command
}

/// A Python that has libtorrent.
fn python() -> Option<&'static str> {
    PYTHONS.into_iter().find(|python| runs(python, &["-c", "import libtorrent"]))
}

/// Whether `program` starts and is content.
pub fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let status =
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
