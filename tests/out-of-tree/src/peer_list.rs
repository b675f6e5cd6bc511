//! Peers from the profile: a source without a URL, for a swarm whose addresses are known.

use std::future::{pending, ready};
use std::net::SocketAddr;

use bt_api::{
    Announce, AnnounceReply, BoxFuture, BuildError, Host, InfoHash, PeerAddress, Plugin, ScrapeReply,
    TrackerClient, TrackerError, TrackerErrorKind, config, plugin,
};
use serde::{Deserialize, Serialize};

/// Names the same peers at every announce.
pub struct PeerList {
    config: Config,
}

/// The `[tracker.peer-list]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The peers, each `ADDRESS:PORT` or `[ADDRESS]:PORT`.
    pub peers: Vec<SocketAddr>,
    /// How often they are named again, for those that were away.
    pub interval: config::Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { peers: Vec::new(), interval: config::Duration::secs(300) }
    }
}

impl Plugin for PeerList {
    type Kind = plugin::Tracker;
    type Config = Config;
    const NAME: &'static str = "peer-list";
    const SUMMARY: &'static str = "peers that the profile lists";

    fn build(config: Config) -> Result<Box<dyn TrackerClient>, BuildError> {
        if config.interval.get().is_zero() {
            return Err(BuildError::new("interval", "must be longer than 0 s"));
        }
        Ok(Box::new(Self { config }))
    }
}
bt_api::register!(PeerList);

impl TrackerClient for PeerList {
    fn schemes(&self) -> &'static [&'static str] {
        &[]
    }

    fn announce<'a>(
        &'a self,
        _: Option<&'a str>,
        _: &'a Announce,
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        let peers = self.config.peers.iter().map(|&address| PeerAddress { address, id: None }).collect();
        let interval = Some(self.config.interval.get());
        Box::pin(ready(Ok(AnnounceReply { interval, peers, ..AnnounceReply::default() })))
    }

    fn scrape<'a>(
        &'a self,
        _: &'a str,
        _: &'a [InfoHash],
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        Box::pin(ready(Err(TrackerError::new(
            TrackerErrorKind::Unsupported,
            "a list of peers has no counts",
        ))))
    }

    fn unasked<'a>(
        &'a self,
        _: &'a Announce,
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        Box::pin(pending())
    }
}
