//! Announces of local discovery: a port that is not 0, and no torrent but those that are named.
#![no_main]

use bt_api::InfoHash;
use bt_policies::tracker::lsd::Search;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let torrent = InfoHash([0xab; 20]);
    if let Some(search) = Search::parse(packet) {
        assert_ne!(search.port, 0);
        let named = packet.windows(40).any(|part| part.eq_ignore_ascii_case("ab".repeat(20).as_bytes()));
        assert!(named || !search.names(torrent));
    }
});
