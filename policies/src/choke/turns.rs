//! Serving in turn: for newcomers, and for seeds of which a paper says nothing.
//!
//! A turn lasts for a while and is not cut short. Whoever waits is before whoever had its turn; of those that wait
//! the ones never served are first, in random order, then the one whose last turn is longest ago.

use std::time::Duration;

use bt_api::{Instant, Notice, PeerEvent, PeerFacts, Rng, SwarmView, rng};

/// Those of `peers` whose turn it is, `slots` at most.
pub(super) fn take<'a>(
    now: Instant,
    turn: Duration,
    slots: usize,
    mut peers: Vec<&'a PeerFacts>,
    rng: &mut dyn Rng,
) -> Vec<&'a PeerFacts> {
    rng::shuffle(rng, &mut peers);
    peers.sort_by_key(|peer| {
        let Some(began) = peer.am_unchoked else { return (1, None) };
        if peer.am_choking {
            (1, Some(began.as_nanos()))
        } else if now - began < turn {
            (0, None)
        } else {
            // Of those who had their turn the first to come is the first to go.
            (2, Some(u64::MAX - began.as_nanos()))
        }
    });
    peers.truncate(slots);
    peers
}

/// A round where somebody who was served is gone or wants no more, or where one of `slots` is free and somebody wants it;
/// those served have one of these for whom `has_slot`.
pub(super) fn notice(
    event: PeerEvent<'_>,
    swarm: &SwarmView<'_>,
    slots: usize,
    has_slot: impl Fn(&PeerFacts) -> bool,
) -> Notice {
    let served = |peer: &PeerFacts| peer.peer_interested && !peer.am_choking;
    let rechoke = match event {
        PeerEvent::Gone(peer) => served(peer),
        PeerEvent::NotInterested(peer) => swarm.peer(peer).is_some_and(|peer| !peer.am_choking),
        PeerEvent::Interested(_) => {
            swarm.peers().iter().filter(|peer| served(peer) && has_slot(peer)).count() < slots
        }
        _ => false,
    };
    if rechoke { Notice::Rechoke } else { Notice::Nothing }
}

#[cfg(test)]
mod tests {
    use bt_api::PeerKey;

    use super::*;

    #[test]
    fn everyone_has_a_whole_turn_and_nobody_waits_for_long() {
        let address = "192.0.2.1:6881".parse().unwrap();
        let mut peers: Vec<PeerFacts> =
            (0..6).map(|key| PeerFacts::new(PeerKey(key), address, true, Instant::ZERO, 1)).collect();
        let mut rng = rng::stream(1, 0, "choke");
        let mut rounds = [0; 6];
        for round in 0..180 {
            let now = Instant::from_secs(10 * round);
            let all = peers.iter().collect();
            let taken: Vec<PeerKey> =
                take(now, Duration::from_secs(30), 2, all, &mut rng).iter().map(|peer| peer.key).collect();
            assert_eq!(taken.len(), 2);
            for peer in &mut peers {
                let serve = taken.contains(&peer.key);
                let fresh = peer.am_unchoked.is_some_and(|since| now - since < Duration::from_secs(30));
                assert!(serve || peer.am_choking || !fresh, "a turn was cut short");
                if serve && peer.am_choking {
                    peer.am_unchoked = Some(now);
                }
                peer.am_choking = !serve;
                rounds[peer.key.0 as usize] += u32::from(serve);
            }
        }
        assert_eq!(rounds, [60; 6]);
    }
}
