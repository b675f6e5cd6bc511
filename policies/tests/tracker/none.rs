//! The client that asks nobody.

use bt_api::plugin::Plugin;
use bt_api::testkit::TestHost;
use bt_api::{AnnounceReply, TrackerErrorKind};
use bt_policies::tracker::none::{Config, NoTracker};
use futures::FutureExt;

use crate::ANNOUNCE;

#[test]
fn every_tracker_has_nobody_and_nothing_is_sent() {
    // This host has no network, and says so to whoever tries.
    let (host, client) = (TestHost::new(), NoTracker::build(Config::default()).unwrap());
    for scheme in ["http", "https", "udp", "wss"] {
        assert!(client.schemes().contains(&scheme));
        let url = format!("{scheme}://tracker.example:80/announce");
        let reply = client.announce(Some(&url), &ANNOUNCE, &*host).now_or_never();
        assert_eq!(reply, Some(Ok(AnnounceReply::default())));
        let counts = client.scrape(&url, &[ANNOUNCE.info_hash], &*host).now_or_never().unwrap();
        assert_eq!(counts.unwrap_err().kind, TrackerErrorKind::Unsupported);
    }
    assert!(client.unasked(&ANNOUNCE, &*host).now_or_never().is_none());
}
