//! Compact peers of both families, as they stand in a reply, against the plainest way to read them.
//!
//! Of the input the first byte says how much of the rest is `peers`; what follows is `peers6`.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use bt_policies::tracker::reply::{MAX_PEERS, parse_announce};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&part, bytes)) = input.split_first() else { return };
    let (peers, peers6) = bytes.split_at(bytes.len() * usize::from(part) / 255);
    let mut reply = Vec::new();
    for (key, text) in [("5:peers", peers), ("6:peers6", peers6)] {
        reply.extend_from_slice(if reply.is_empty() { b"d" } else { b"" });
        reply.extend_from_slice(format!("{key}{}:", text.len()).as_bytes());
        reply.extend_from_slice(text);
    }
    reply.push(b'e');
    let found = parse_announce(&reply).ok();
    let found: Option<Vec<SocketAddr>> =
        found.map(|reply| reply.peers.into_iter().map(|peer| peer.address).collect());
    let whole = peers.len() % 6 == 0 && peers6.len() % 18 == 0;
    let mut expected = Vec::from_iter(peers.chunks_exact(6).map(address::<4>));
    expected.extend(peers6.chunks_exact(18).map(address::<16>));
    expected.retain(|address| address.port() != 0);
    expected.truncate(MAX_PEERS);
    assert_eq!(found, whole.then_some(expected));
});

fn address<const N: usize>(peer: &[u8]) -> SocketAddr
where
    IpAddr: From<[u8; N]>,
{
    let ip: [u8; N] = peer[..N].try_into().unwrap();
    SocketAddr::new(ip.into(), u16::from(peer[N]) << 8 | u16::from(peer[N + 1]))
}
