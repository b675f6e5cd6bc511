//! A tracker client that asks nobody and finds nobody: for runs whose peers are named by hand (`bt-run --peer`),
//! and for those that must leave no trace at a tracker.

use bt_api::plugin::{self, BuildError, Plugin};
use bt_api::{
    Announce, AnnounceReply, BoxFuture, Host, InfoHash, PeerAddress, ScrapeReply, TrackerClient, TrackerError,
};
use serde::{Deserialize, Serialize};

use super::unsupported;

/// Stands in for every tracker of a torrent, so that their URLs are no errors, and sends nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoTracker;

/// The `[tracker.none]` table, which has no keys.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {}

impl Plugin for NoTracker {
    type Kind = plugin::Tracker;
    type Config = Config;
    const NAME: &'static str = "none";
    const SUMMARY: &'static str = "no tracker is asked, nobody is found";

    fn build(_: Config) -> Result<Box<dyn TrackerClient>, BuildError> {
        Ok(Box::new(Self))
    }
}

bt_api::register!(NoTracker);

impl TrackerClient for NoTracker {
    /// All that torrents in the wild name, WebSocket trackers too.
    fn schemes(&self) -> &'static [&'static str] {
        &["http", "https", "udp", "ws", "wss"]
    }

    fn announce<'a>(
        &'a self,
        url: Option<&'a str>,
        _announce: &'a Announce,
        _host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        let scheme = url.and_then(|url| url.split_once("://")).map(|(scheme, _)| scheme.to_ascii_lowercase());
        let answer = match scheme {
            Some(scheme) if self.schemes().contains(&&*scheme) => Ok(AnnounceReply::default()),
            _ => Err(unsupported("`none` stands in for trackers, and this is the URL of none")),
        };
        Box::pin(std::future::ready(answer))
    }

    fn scrape<'a>(
        &'a self,
        _url: &'a str,
        _torrents: &'a [InfoHash],
        _host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        let error = unsupported("the profile's tracker client is `none`, which asks nobody");
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
