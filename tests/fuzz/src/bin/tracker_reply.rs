//! Replies to announces and scrapes: bounded, no peer at port 0, one count for each torrent asked about.
#![no_main]

use bt_api::InfoHash;
use bt_policies::tracker::reply::{MAX_MESSAGE, MAX_PEERS, parse_announce, parse_scrape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|reply: &[u8]| {
    if let Ok(reply) = parse_announce(reply) {
        assert!(reply.peers.len() <= MAX_PEERS && reply.peers.iter().all(|peer| peer.address.port() != 0));
        assert!(reply.interval.is_none_or(|interval| !interval.is_zero()));
        assert!(reply.warning.is_none_or(|warning| warning.chars().count() <= MAX_MESSAGE));
    }
    let torrents = [InfoHash([b'a'; 20]), InfoHash([b'b'; 20])];
    if let Ok(counts) = parse_scrape(reply, &torrents) {
        assert_eq!(counts.len(), torrents.len());
    }
});
