//! Upload in proportion to what came: who gave twice as much in the last round gets twice the share.
//!
//! Everyone has a head start, as though it had given a little more than it did: so a newcomer, and
//! everyone while we seed, gets a share too. Peers beyond the slots wait for a better round; among equals
//! chance decides.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bt_api::plugin::Choke;
use bt_api::{
    BuildError, Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerFacts, PeerKey, Plugin, Reason, Rng,
    Serve, Share, SwarmView, Unchokes, Waiting, config, rng,
};
use serde::{Deserialize, Serialize};

/// The reason that traces show.
const CONTRIBUTION: Reason = Reason("proportional:contribution");

/// The unit of weights: a `u32` of them is more than any round moves.
const WEIGHT_UNIT: u64 = 1024;

/// Shares the uplink in proportion to what each peer gave in the last round.
pub struct Proportional {
    config: Config,
    next_round: Instant,
    /// Bytes that each peer gave in the round that runs.
    coming: BTreeMap<PeerKey, u64>,
    /// Bytes that each peer gave in the last round.
    given: BTreeMap<PeerKey, u64>,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Peers served at once.
    pub slots: usize,
    /// How long a round lasts.
    pub round: config::Duration,
    /// What everyone counts as having given, on top of what it gave.
    pub head_start: config::Size,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 8, round: config::Duration::secs(10), head_start: config::Size::kib(64) }
    }
}

impl Plugin for Proportional {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "proportional";
    const SUMMARY: &'static str = "shares the uplink in proportion to what each peer gave in the last round";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Ok(Box::new(Self::new(config)?))
    }
}
bt_api::register!(Proportional);

impl Proportional {
    fn new(config: Config) -> Result<Self, BuildError> {
        if config.slots == 0 {
            return Err(BuildError::new("slots", "must be at least 1"));
        }
        if config.round.get().is_zero() {
            return Err(BuildError::new("round", "must be longer than 0 s"));
        }
        if config.head_start.0 < WEIGHT_UNIT {
            return Err(BuildError::new("head-start", "must be at least 1 KiB"));
        }
        Ok(Self { config, next_round: Instant::ZERO, coming: BTreeMap::new(), given: BTreeMap::new() })
    }

    fn given(&self, peer: PeerKey) -> u64 {
        self.given.get(&peer).copied().unwrap_or(0)
    }

    fn weight(&self, peer: PeerKey) -> u32 {
        let bytes = self.given(peer).saturating_add(self.config.head_start.0);
        u32::try_from(bytes / WEIGHT_UNIT).unwrap_or(u32::MAX)
    }
}

fn is_served(peer: &PeerFacts) -> bool {
    peer.peer_interested && !peer.am_choking
}

impl ChokePolicy for Proportional {
    fn next_round(&self) -> Instant {
        self.next_round
    }

    fn max_interested(&self) -> usize {
        self.config.slots
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        match event {
            PeerEvent::Received(peer, bytes) => *self.coming.entry(peer).or_default() += u64::from(bytes),
            // A slot is free, or falls free: it is given away at once.
            PeerEvent::Interested(_) | PeerEvent::NotInterested(_) | PeerEvent::Gone(_)
                if swarm.peers().iter().filter(|peer| is_served(peer)).count() < self.config.slots =>
            {
                return Notice::Rechoke;
            }
            _ => {}
        }
        Notice::Nothing
    }

    fn choose(
        &mut self,
        now: Instant,
        cause: Cause,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        if cause == Cause::Timer {
            self.next_round = now + self.config.round.get();
            self.given = std::mem::take(&mut self.coming);
        }
        let mut peers: Vec<&PeerFacts> = swarm.peers().iter().filter(|peer| peer.peer_interested).collect();
        rng::shuffle(rng, &mut peers);
        // Between rounds nobody who is served loses its slot.
        let keep = cause == Cause::Event;
        peers.sort_by_key(|peer| (Reverse(keep && is_served(peer)), Reverse(self.given(peer.key))));
        for peer in peers.into_iter().take(self.config.slots) {
            unchokes.push_with(peer.key, Share::Weight(self.weight(peer.key)), CONTRIBUTION);
        }
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[cfg(test)]
mod tests {
    use bt_api::OwnFacts;

    use super::*;

    fn interested(key: u32) -> PeerFacts {
        let address = "192.0.2.1:6881".parse().unwrap();
        let mut peer = PeerFacts::new(PeerKey(key), address, true, Instant::ZERO, 1);
        peer.peer_interested = true;
        peer
    }

    #[test]
    fn who_gave_gets_in_proportion_and_a_newcomer_gets_the_head_start() {
        let config = Config { slots: 3, head_start: config::Size::kib(10), ..Config::default() };
        let mut policy = Proportional::new(config).unwrap();
        let (own, peers) = (OwnFacts::default(), [1, 2, 3, 4].map(interested));
        let swarm = SwarmView::new(&own, &peers);
        let mut rng = rng::stream(1, 0, "choke");
        for (peer, kib) in [(4, 30), (2, 40), (2, 50)] {
            let event = PeerEvent::Received(PeerKey(peer), kib << 10);
            assert_eq!(policy.notice(Instant::ZERO, event, &swarm, &mut rng), Notice::Nothing);
        }
        let mut unchokes = Unchokes::new();
        policy.choose(Instant::ZERO, Cause::Timer, &swarm, &mut rng, &mut unchokes);
        let shares: Vec<_> = unchokes.as_slice().iter().map(|one| (one.peer.0, one.share)).collect();
        assert_eq!(shares[..2], [(2, Share::Weight(100)), (4, Share::Weight(40))]);
        assert!(matches!(shares[2..], [(1 | 3, Share::Weight(10))]), "{shares:?}");
        assert_eq!(policy.next_round(), Instant::from_secs(10));
    }
}
