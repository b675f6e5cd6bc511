//! Peers from a file: one `ADDRESS:PORT` a line. A source without a URL, for swarms without a tracker and
//! for experiments.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bt_api::config::{Duration, Size};
use bt_api::plugin::{self, BuildError, Plugin};
use bt_api::{
    Announce, AnnounceReply, BoxFuture, Host, InfoHash, PeerAddress, ScrapeReply, TrackerClient,
    TrackerError, TrackerErrorKind, run_blocking,
};
use serde::{Deserialize, Serialize};

use super::read_file;

/// The largest file that is read: tens of thousands of peers, more than any client has use for.
pub const MAX_FILE: Size = Size::mib(1);

/// Reads peers from a file, again at every announce, so that the file may change during a run.
#[derive(Clone, Debug)]
pub struct PeerFile {
    config: Config,
}

/// The `[tracker.peer-file]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The file: `ADDRESS:PORT` or `[ADDRESS]:PORT` a line; `#` starts a comment. It must be given.
    pub path: PathBuf,
    /// How often the file is read again.
    pub interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { path: PathBuf::new(), interval: Duration::secs(300) }
    }
}

impl Plugin for PeerFile {
    type Kind = plugin::Tracker;
    type Config = Config;
    const NAME: &'static str = "peer-file";
    const SUMMARY: &'static str = "peers from a file, one ADDRESS:PORT a line";

    fn build(config: Config) -> Result<Box<dyn TrackerClient>, BuildError> {
        if config.path.as_os_str().is_empty() {
            return Err(BuildError::unset("path", "must name a file of peers, one ADDRESS:PORT a line"));
        }
        if config.interval.get().is_zero() {
            return Err(BuildError::new("interval", "must be longer than \"0 s\""));
        }
        Ok(Box::new(Self { config }))
    }
}

bt_api::register!(PeerFile);

impl TrackerClient for PeerFile {
    fn schemes(&self) -> &'static [&'static str] {
        &[]
    }

    fn announce<'a>(
        &'a self,
        _url: Option<&'a str>,
        _announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        let path = self.config.path.clone();
        Box::pin(async move {
            let peers = run_blocking(host, move || peers_in(&path)).await?;
            Ok(AnnounceReply {
                interval: Some(self.config.interval.get()),
                peers,
                ..AnnounceReply::default()
            })
        })
    }

    fn scrape<'a>(
        &'a self,
        _url: &'a str,
        _torrents: &'a [InfoHash],
        _host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        let error = TrackerError::new(TrackerErrorKind::Unsupported, "a file of peers has no counts");
        Box::pin(std::future::ready(Err(error)))
    }

    fn unasked<'a>(
        &'a self,
        _announce: &'a Announce,
        _host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        Box::pin(std::future::pending())
    }
}

fn peers_in(path: &Path) -> Result<Vec<PeerAddress>, TrackerError> {
    let bytes = read_file(path, MAX_FILE).map_err(|error| {
        let message = format!("cannot read peers from {}: {error}", path.display());
        TrackerError::new(TrackerErrorKind::Unreachable, message)
    })?;
    // Bytes that are no UTF-8 make lines that are no peers.
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().enumerate();
    let written = lines.map(|(index, line)| (index + 1, line.split('#').next().unwrap_or(line).trim()));
    written
        .filter(|(_, peer)| !peer.is_empty())
        .map(|(line, peer)| match peer.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(PeerAddress { address, id: None }),
            _ => {
                let shown: String = peer.chars().take(60).collect();
                let message = format!(
                    "{}:{line}: `{shown}` is no peer; write ADDRESS:PORT such as 192.0.2.1:6881 or [2001:db8::1]:6881",
                    path.display()
                );
                Err(TrackerError::new(TrackerErrorKind::Malformed, message))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn peers(text: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers.txt");
        fs::write(&path, text).unwrap();
        let shorten = |error: TrackerError| error.to_string().replace(folder.path().to_str().unwrap(), "");
        let peers = peers_in(&path).map_err(shorten)?;
        Ok(peers.iter().map(|peer| peer.address.to_string()).collect())
    }

    #[test]
    fn lines_are_peers_comments_or_empty() {
        let text = "# ours\n\n192.0.2.1:6881\r\n  [2001:db8::1]:51413 # six\n";
        assert_eq!(peers(text).unwrap(), ["192.0.2.1:6881", "[2001:db8::1]:51413"]);
        assert_eq!(peers("").unwrap(), [""; 0]);
    }

    #[test]
    fn a_bad_line_is_named_with_what_is_allowed() {
        assert_eq!(
            peers("192.0.2.1:6881\nlocalhost:80").unwrap_err(),
            "/peers.txt:2: `localhost:80` is no peer; write ADDRESS:PORT such as 192.0.2.1:6881 or [2001:db8::1]:6881"
        );
        for wrong in ["192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "2001:db8::1:80", "\u{fffd}"] {
            assert!(peers(wrong).is_err(), "{wrong}");
        }
        assert!(peers(b"\xff\xfe1.2.3.4:5").is_err());
    }

    #[test]
    fn files_that_are_missing_huge_or_no_files_are_refused() {
        assert_eq!(
            peers("#".repeat((1 << 20) + 1)).unwrap_err(),
            "cannot read peers from /peers.txt: the file is larger than 1 MiB"
        );
        let folder = tempfile::tempdir().unwrap();
        let missing = peers_in(&folder.path().join("none")).unwrap_err();
        assert_eq!(missing.kind, TrackerErrorKind::Unreachable);
        assert!(peers_in(folder.path()).unwrap_err().to_string().ends_with("not a regular file"));
    }

    #[test]
    fn a_path_and_an_interval_are_needed() {
        assert!(PeerFile::build(Config::default()).is_err());
        let config = Config { path: "peers".into(), interval: Duration::secs(0) };
        assert!(PeerFile::build(config).is_err());
    }
}
