//! Serves the interested peers in turn, whatever they give: everyone gets the same time.
//!
//! The peers stand in a queue, newcomers last. The first few are served; when a turn is over they go to the end of the
//! queue. A slot that falls free before goes to the next in the queue, at once. A seed does the same.
//!
//! The textbook baseline beside [`random`](super::random): the same for each peer in the mean, without its chance.

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerFacts, PeerKey, Reason, Rng, Serve, SwarmView,
    Unchokes, Waiting,
};
use serde::{Deserialize, Serialize};

/// Serves interested peers in turn.
#[derive(Debug)]
pub struct RoundRobin {
    config: Config,
    next_round: Instant,
    /// All connected peers; those that are served keep their places until their turn is over.
    queue: Vec<PeerKey>,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Peers served at once.
    pub slots: usize,
    /// How long a turn lasts. Ours: as long as an optimistic unchoke of the original client, enough for a download to
    /// get up to speed.
    pub period: config::Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 4, period: config::Duration::secs(30) }
    }
}

impl Plugin for RoundRobin {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "round-robin";
    const SUMMARY: &'static str = "serves interested peers in turn";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(RoundRobin);

impl RoundRobin {
    /// A choker that serves nobody yet.
    ///
    /// # Errors
    /// When `slots` or `period` is 0.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.slots == 0 {
            return Err(BuildError::new("slots", "must be at least 1"));
        }
        if config.period == config::Duration::secs(0) {
            return Err(BuildError::new("period", "must be longer than 0 s"));
        }
        Ok(Self { config, next_round: Instant::ZERO, queue: Vec::new() })
    }
}

fn is_served(peer: &PeerFacts) -> bool {
    peer.peer_interested && !peer.am_choking
}

impl ChokePolicy for RoundRobin {
    fn next_round(&self) -> Instant {
        self.next_round
    }

    fn max_interested(&self) -> usize {
        self.config.slots
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        let rechoke = match event {
            PeerEvent::Connected(peer) => {
                self.queue.push(peer);
                false
            }
            PeerEvent::Gone(peer) => {
                self.queue.retain(|&one| one != peer.key);
                is_served(peer)
            }
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
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        let served = |&peer: &PeerKey| swarm.peer(peer).is_some_and(is_served);
        if cause == Cause::Timer {
            self.next_round = now + self.config.period.get();
            // Stable: whoever is not served keeps its place before the others, and so do these among themselves.
            self.queue.sort_by_key(served);
        }
        let keep = |peer: &PeerKey| cause == Cause::Event && served(peer);
        let interested = |&peer: &PeerKey| swarm.peer(peer).is_some_and(|peer| peer.peer_interested);
        let (kept, next): (Vec<PeerKey>, Vec<PeerKey>) =
            self.queue.iter().copied().filter(interested).partition(keep);
        for peer in kept.into_iter().chain(next).take(self.config.slots) {
            unchokes.push(peer, Reason("round-robin:turn"));
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

    fn client(slots: usize, peers: &str) -> Client<RoundRobin> {
        let mut client = Client::new(RoundRobin::new(Config { slots, ..Config::default() }).unwrap(), 1);
        client.joined_by(peers, |_| (0, 1));
        client.tick();
        client
    }

    #[test]
    fn everyone_is_served_in_turn_whatever_it_gives() {
        let mut client = client(2, "a9 b1 c- d! e5 f0");
        let mut found = vec![client.unchoked()];
        for _ in 0..5 {
            client.tick();
            found.push(client.unchoked());
        }
        assert_eq!(found, ["ab", "de", "af", "bd", "ef", "ab"]);
        assert_eq!(client.now, Instant::from_secs(6 * 30));
    }

    #[test]
    fn in_as_many_turns_as_there_are_peers_each_is_served_exactly_as_often_as_there_are_slots() {
        for slots in 1..6 {
            let mut client = client(slots, "a1 b1 c1 d1 e1 f1 g1");
            let mut served = std::collections::BTreeMap::new();
            for _ in 0..7 {
                client.unchoked().chars().for_each(|peer| *served.entry(peer).or_insert(0) += 1);
                client.tick();
            }
            assert!(served.len() == 7 && served.values().all(|&times| times == slots), "{slots} {served:?}");
        }
    }

    #[test]
    fn a_free_slot_goes_to_the_next_at_once_and_a_newcomer_waits_for_its_turn() {
        let mut client = client(2, "a1 b1 c1 d1");
        client.leave('a');
        assert_eq!(client.unchoked(), "bc");
        client.connect('e');
        client.interest('e', true);
        client.interest('b', false);
        assert_eq!(client.unchoked(), "cd");
        client.tick();
        assert_eq!(client.unchoked(), "ce");
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises(
            slots in 1_usize..5, seed in any::<u64>(), ops in harness::history(),
        ) {
            let policy = || RoundRobin::new(Config { slots, ..Config::default() }).unwrap();
            let client = harness::play(policy(), seed, &ops);
            prop_assert_eq!(&client.log, &harness::play(policy(), seed, &ops).log);
            let interested = client.peers.iter().filter(|peer| peer.peer_interested).count();
            prop_assert_eq!(client.unchoked().len(), interested.min(slots));
        }
    }
}
