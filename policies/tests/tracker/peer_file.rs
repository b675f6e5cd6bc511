//! The `peer-file` source.

use std::time::Duration;

use bt_api::plugin::Plugin;
use bt_api::{Announce, InfoHash, PeerId, TrackerErrorKind};
use bt_policies::tracker::peer_file::{Config, PeerFile};
use futures::FutureExt;

use crate::host::TestHost;

#[test]
fn the_file_is_read_again_at_each_announce() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = Config { path: file.path().to_owned(), ..Config::default() };
    let source = PeerFile::build(config).unwrap();
    assert!(source.schemes().is_empty());
    let (host, _ring) = TestHost::new();
    let announce = Announce {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
        port: 6881,
        ip: None,
        key: 0,
        uploaded: 0,
        downloaded: 0,
        left: 0,
        event: None,
        peers_wanted: None,
        compact: true,
        tracker_id: None,
        last: None,
    };
    let ask = || async_std::task::block_on(source.announce(None, &announce, &host));

    std::fs::write(file.path(), "127.0.0.1:6881\n").unwrap();
    let reply = ask().unwrap();
    assert_eq!(reply.interval, Some(Duration::from_secs(300)));
    assert_eq!(reply.peers[0].address.to_string(), "127.0.0.1:6881");
    std::fs::write(file.path(), "127.0.0.1:6881\n[::1]:6882\n").unwrap();
    assert_eq!(ask().unwrap().peers.len(), 2);
    std::fs::write(file.path(), "not a peer\n").unwrap();
    assert_eq!(ask().unwrap_err().kind, TrackerErrorKind::Malformed);

    assert!(source.unasked(&announce, &host).now_or_never().is_none());
    let scraped = source.scrape("http://t/announce", &[], &host).now_or_never().unwrap();
    assert_eq!(scraped.unwrap_err().kind, TrackerErrorKind::Unsupported);
}
