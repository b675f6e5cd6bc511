//! Serves peers drawn at random: the baseline that any incentive must beat.
//!
//! Each round draws anew. Between rounds a slot that falls free goes to a peer drawn from those that wait,
//! at once, and nobody who is served loses its slot.

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerFacts, Reason, Rng, Serve, SwarmView, Unchokes,
    Waiting, rng,
};
use serde::{Deserialize, Serialize};

/// Serves interested peers drawn at random.
#[derive(Debug)]
pub struct Random {
    config: Config,
    next_round: Instant,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Peers served at once.
    pub slots: usize,
    /// How long a round lasts.
    pub round: config::Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 4, round: config::Duration::secs(10) }
    }
}

impl Plugin for Random {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "random";
    const SUMMARY: &'static str = "serves interested peers drawn at random each round";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(Random);

impl Random {
    /// A choker that serves nobody yet.
    ///
    /// # Errors
    /// When `slots` or `round` is 0.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.slots == 0 {
            return Err(BuildError::new("slots", "must be at least 1"));
        }
        if config.round == config::Duration::secs(0) {
            return Err(BuildError::new("round", "must be longer than 0 s"));
        }
        Ok(Self { config, next_round: Instant::ZERO })
    }
}

fn is_served(peer: &PeerFacts) -> bool {
    peer.peer_interested && !peer.am_choking
}

impl ChokePolicy for Random {
    fn next_round(&self) -> Instant {
        self.next_round
    }

    fn max_interested(&self) -> usize {
        self.config.slots
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        let rechoke = match event {
            PeerEvent::Gone(peer) => is_served(peer),
            PeerEvent::NotInterested(peer) => swarm.peer(peer).is_some_and(|peer| !peer.am_choking),
            PeerEvent::Interested(_) => {
                swarm.peers().iter().filter(|peer| is_served(peer)).count() < self.config.slots
            }
            _ => false,
        };
        if rechoke { Notice::Rechoke } else { Notice::Nothing }
    }

    fn choose(
        &mut self,
        now: Instant,
        cause: Cause,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        let keep = cause == Cause::Event;
        if !keep {
            self.next_round = now + self.config.round.get();
        }
        let (kept, mut waiting): (Vec<&PeerFacts>, Vec<&PeerFacts>) = swarm
            .peers()
            .iter()
            .filter(|peer| peer.peer_interested)
            .partition(|peer| keep && is_served(peer));
        let drawn = self.config.slots.saturating_sub(kept.len()).min(waiting.len());
        for place in 0..drawn {
            let rest = u32::try_from(waiting.len() - place).expect("fewer than 2^32 connections");
            waiting.swap(place, place + rng::below(rng, rest) as usize);
        }
        for peer in kept.iter().chain(&waiting[..drawn]).take(self.config.slots) {
            unchokes.push(peer.key, Reason::RANDOM);
        }
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::choke::harness::{self, Client};

    fn client(slots: usize, peers: &str) -> Client<Random> {
        let mut client = Client::new(Random::new(Config { slots, ..Config::default() }).unwrap(), 1);
        client.joined_by(peers, |_| (0, 1));
        client.tick();
        client
    }

    #[test]
    fn every_interested_peer_is_served_as_often_as_any_other() {
        let mut client = client(2, "a1 b1 c- d1 e1 f1");
        let mut served = std::collections::BTreeMap::new();
        for _ in 0..5000 {
            client.tick();
            assert_eq!(client.unchoked().len(), 2);
            client.unchoked().chars().for_each(|peer| *served.entry(peer).or_insert(0) += 1);
        }
        assert_eq!(served.keys().collect::<String>(), "abdef");
        assert!(served.values().all(|times| (1850..2150).contains(times)), "{served:?}");
    }

    #[test]
    fn a_free_slot_is_given_on_at_once_and_nobody_else_loses_one() {
        let mut client = client(2, "a1 b1 c1 d-");
        let before = client.unchoked();
        let (gone, stays) = (before.chars().next().unwrap(), before.chars().nth(1).unwrap());
        client.interest(gone, false);
        let after = client.unchoked();
        assert!(after.len() == 2 && after.contains(stays) && !after.contains(gone), "{before} {after}");
        client.leave(stays);
        assert_eq!(client.unchoked().len(), 1);
        client.interest('d', true);
        assert_eq!(client.unchoked().len(), 2);
        let rounds = client.log.len();
        client.interest(gone, true);
        assert_eq!(client.log.len(), rounds);
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises(
            slots in 1_usize..5, seed in any::<u64>(), ops in harness::history(),
        ) {
            let policy = || Random::new(Config { slots, ..Config::default() }).unwrap();
            let client = harness::play(policy(), seed, &ops);
            prop_assert_eq!(&client.log, &harness::play(policy(), seed, &ops).log);
            let interested = client.peers.iter().filter(|peer| peer.peer_interested).count();
            prop_assert_eq!(client.unchoked().len(), interested.min(slots));
        }
    }
}
