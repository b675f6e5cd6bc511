//! The tracker client among the odd ones.

use std::time::Duration;

use futures::future::{BoxFuture, pending, ready};

use super::{Config, Methods, PANICS, WAITS, odd};
use crate::host::Host;
use crate::plugin::BuildError;
use crate::torrent::InfoHash;
use crate::tracker::{
    Announce, AnnounceReply, PeerAddress, ScrapeReply, TrackerClient, TrackerError, TrackerErrorKind,
};

/// A source of peers that knows none, and does not want to be asked again.
pub struct OddTracker(Config);

const TRACKER: Methods = &[("schemes", PANICS), ("announce", WAITS), ("unasked", WAITS)];
odd!(OddTracker: Tracker, TrackerClient, TRACKER, |config| {
    let digits = config.torrent.len() == 40 && config.torrent.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !config.torrent.is_empty() && !digits {
        return Err(BuildError::new("torrent", "expected an info-hash: 40 hexadecimal digits"));
    }
    Ok(OddTracker(config))
});

impl OddTracker {
    /// What is wrong towards this torrent.
    fn towards(&self, torrent: InfoHash) -> Config {
        let one = &self.0.torrent;
        let it = one.is_empty() || one.eq_ignore_ascii_case(&torrent.to_string());
        if it { self.0.clone() } else { Config::default() }
    }
}

impl TrackerClient for OddTracker {
    fn schemes(&self) -> &'static [&'static str] {
        self.0.reach("schemes");
        &[]
    }

    fn announce<'a>(
        &'a self,
        _: Option<&'a str>,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        let odd = self.towards(announce.info_hash);
        odd.reach_at_once("announce");
        Box::pin(async move {
            odd.reach_later("announce", host).await;
            let interval = Some(Duration::MAX);
            Ok(AnnounceReply { interval, min_interval: interval, ..AnnounceReply::default() })
        })
    }

    fn scrape<'a>(
        &'a self,
        _: &'a str,
        _: &'a [InfoHash],
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        Box::pin(ready(Err(TrackerError::new(TrackerErrorKind::Unsupported, "it has no counts"))))
    }

    fn unasked<'a>(
        &'a self,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        let odd = self.towards(announce.info_hash);
        odd.reach_at_once("unasked");
        Box::pin(async move {
            odd.reach_later("unasked", host).await;
            pending().await
        })
    }
}
