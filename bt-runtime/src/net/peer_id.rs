//! Our peer id: a prefix that says which client this is (BEP 20), and chance (RR-8).

use std::hash::{BuildHasher, RandomState};

use bt_api::{InfoHash, PeerId, Rng, rng};

/// Client `BT`, version 0.1.0.0 (BEP 20, Azureus style).
const PREFIX: &[u8; 8] = b"-BT0100-";

/// A seed that no other run has, from the entropy that the standard library takes from the system.
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// The peer id in a run of `seed`: of a torrent, and of a client, since two clients with one seed on a machine, which
/// their ports tell apart, are not one client.
pub(crate) fn peer_id(seed: u64, torrent: InfoHash, port: u16) -> PeerId {
    let [a, b, c, d, e, f, ..] = torrent.0;
    let [high, low] = port.to_be_bytes();
    let node = u64::from_be_bytes([a, b, c, d, e, f, high, low]);
    let mut rng = rng::stream(seed, node, "peer-id");
    let mut id = [0; 20];
    id[..8].copy_from_slice(PREFIX);
    // Letters and digits only: some trackers log ids as they come.
    for byte in &mut id[8..] {
        *byte = b"0123456789abcdefghijklmnopqrstuvwxyz"[rng::below(&mut rng as &mut dyn Rng, 36) as usize];
    }
    PeerId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_repeat_with_the_seed_and_differ_without() {
        let (one, other) = (InfoHash([1; 20]), InfoHash([2; 20]));
        assert_eq!(peer_id(1, one, 6881), peer_id(1, one, 6881));
        for different in [peer_id(2, one, 6881), peer_id(1, other, 6881), peer_id(1, one, 6882)] {
            assert_ne!(peer_id(1, one, 6881), different);
            assert!(different.0.starts_with(PREFIX));
        }
        assert_ne!(fresh_seed(), fresh_seed());
    }
}
