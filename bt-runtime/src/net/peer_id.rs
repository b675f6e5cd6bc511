//! Our peer id: a prefix that says which client this is (BEP 20), and chance (RR-8).

use std::hash::{BuildHasher, RandomState};

use bt_api::{PeerId, Rng, rng};

/// Client `BT`, version 0.1.0.0 (BEP 20, Azureus style).
const PREFIX: &[u8; 8] = b"-BT0100-";

/// A seed that no other run has, from the entropy that the standard library takes from the system.
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// The peer id of a run of `seed`, for the torrent and client that `node` tells apart.
pub(crate) fn peer_id(seed: u64, node: u64) -> PeerId {
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
        assert_eq!(peer_id(1, 0), peer_id(1, 0));
        assert_ne!(peer_id(1, 0), peer_id(2, 0));
        assert!(peer_id(1, 0).0.starts_with(PREFIX));
        assert_ne!(fresh_seed(), fresh_seed());
    }
}
