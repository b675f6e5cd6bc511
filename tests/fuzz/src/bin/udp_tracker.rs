//! Packets of UDP trackers: bounded, no peer at port 0, one count for each torrent asked about, and an answer only to
//! the request of its transaction.
//!
//! The input's first byte says which request it answers and over which family; what follows is the packet.
#![no_main]

use bt_policies::tracker::reply::{MAX_MESSAGE, MAX_PEERS};
use bt_policies::tracker::udp_packet::{Action, answer, parse_announce, parse_connect, parse_scrape};
use libfuzzer_sys::fuzz_target;

const TRANSACTION: u32 = u32::from_be_bytes(*b"tran");

fuzz_target!(|input: &[u8]| {
    let Some((&how, packet)) = input.split_first() else { return };
    let (ipv4, torrents) = (how & 4 == 0, usize::from(how >> 3));
    let action = [Action::Connect, Action::Announce, Action::Scrape][usize::from(how & 3) % 3];
    let answered = answer(packet, action, TRANSACTION);
    assert_eq!(answered.is_some(), packet.len() >= 8 && packet[4..8] == *b"tran");
    match answered {
        None => {}
        Some(Err(error)) => {
            assert!(!error.message.is_empty() && error.message.chars().count() <= MAX_MESSAGE);
        }
        Some(Ok(body)) => match action {
            Action::Connect => assert_eq!(parse_connect(body).is_ok(), body.len() >= 8),
            Action::Announce => {
                if let Ok(reply) = parse_announce(body, ipv4) {
                    assert!(reply.peers.len() <= MAX_PEERS);
                    assert!(reply.peers.iter().all(|peer| peer.address.port() != 0));
                    assert!(reply.peers.iter().all(|peer| peer.address.is_ipv4() == ipv4));
                    assert!(reply.interval.is_none_or(|interval| !interval.is_zero()));
                }
            }
            Action::Scrape => {
                if let Ok(counts) = parse_scrape(body, torrents) {
                    assert_eq!(counts.len(), torrents);
                }
            }
        },
    }
});
