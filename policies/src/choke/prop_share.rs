//! PropShare: the uplink is shared in proportion to what each peer gave in the last round.
//!
//! A choker with equal slots gives a peer that sends a little more than the slowest one served just as much as the
//! fastest, which is what BitTyrant lives on. Here twice the contribution is worth twice the share, so nothing is
//! gained by giving a little less; all that gave are served. A part of the uplink, `newcomer-share`, is kept for a few
//! interested peers that gave nothing in the last round, in turn: so newcomers begin and better peers are found.
//!
//! Shares are weights. Whoever asks for less than its share leaves the rest to the others in the same proportion. The
//! paper says nothing of seeds, who are given nothing: a seed serves a few at a time, in turn and equally.
//!
//! Source: Levin, LaCurts, Spring, Bhattacharjee, "BitTorrent is an auction: analyzing and improving BitTorrent's
//! incentives", SIGCOMM 2008.

use std::collections::BTreeMap;

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerFacts, PeerKey, Reason, Rng, Serve, Share, SwarmView,
    Unchokes, Waiting,
};
use serde::{Deserialize, Serialize};

use super::turns;

/// The reason that traces show for peers that gave.
pub const CONTRIBUTION: Reason = Reason("prop-share:contribution");

/// What all weights sum up to, but for rounding.
const WHOLE: u32 = 1 << 16;

/// Shares the uplink in proportion to what each peer gave in the last round.
#[derive(Debug)]
pub struct PropShare {
    config: Config,
    next_round: Instant,
    accounts: BTreeMap<PeerKey, Account>,
}

/// What is kept of one peer.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Bytes that it had given at the end of the last round.
    mark: u64,
    /// Bytes that it gave in the last round.
    given: u64,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How long a round lasts.
    pub round: config::Duration,
    /// The part of the uplink for peers that gave nothing in the last round, from 0 to below 1. The paper's is a
    /// fifth, as recalled, unverified. With 0 they get what nobody else takes.
    pub newcomer_share: f64,
    /// Peers that this part is split among; how many the paper has is not known here.
    pub newcomers: usize,
    /// How long the turn of a newcomer lasts, and that of anybody at a seed.
    pub turn: config::Duration,
    /// Peers that a seed serves at once.
    pub seed_slots: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            round: config::Duration::secs(10),
            newcomer_share: 0.2,
            newcomers: 4,
            turn: config::Duration::secs(30),
            seed_slots: 4,
        }
    }
}

impl Plugin for PropShare {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "prop-share";
    const SUMMARY: &'static str =
        "shares the uplink in proportion to what each peer gave in the last round (PropShare)";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(PropShare);

impl PropShare {
    /// A choker that nobody gave anything yet.
    ///
    /// # Errors
    /// When `round`, `newcomers` or `seed-slots` is 0, or `newcomer-share` is not from 0 to below 1.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.round.get().is_zero() {
            return Err(BuildError::new("round", "must be longer than 0 s"));
        }
        if !(0.0..1.0).contains(&config.newcomer_share) {
            return Err(BuildError::new("newcomer-share", "must be at least 0 and below 1"));
        }
        if config.newcomers == 0 {
            return Err(BuildError::new("newcomers", "must be at least 1"));
        }
        if config.seed_slots == 0 {
            return Err(BuildError::new("seed-slots", "must be at least 1"));
        }
        Ok(Self { config, next_round: Instant::ZERO, accounts: BTreeMap::new() })
    }

    /// A round ends: what each peer gave in it is what counts in the next.
    fn close_round(&mut self, swarm: &SwarmView<'_>) {
        let close = |peer: &PeerFacts| {
            let mark = self.accounts.get(&peer.key).map_or(0, |account| account.mark);
            let given = peer.downloaded.saturating_sub(mark);
            (peer.key, Account { mark: peer.downloaded, given })
        };
        self.accounts = swarm.peers().iter().map(close).collect();
    }

    fn given(&self, peer: &PeerFacts) -> u64 {
        self.accounts.get(&peer.key).map_or(0, |account| account.given)
    }
}

impl ChokePolicy for PropShare {
    fn next_round(&self) -> Instant {
        self.next_round
    }

    /// All that gave are served, however many they are.
    fn max_interested(&self) -> usize {
        usize::MAX
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        if swarm.own().is_seed {
            turns::notice(event, swarm, self.config.seed_slots, |_| true)
        } else {
            turns::notice(event, swarm, self.config.newcomers, |peer| self.given(peer) == 0)
        }
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
            self.close_round(swarm);
        }
        let interested = swarm.peers().iter().filter(|peer| peer.peer_interested);
        let turn = self.config.turn.get();
        if swarm.own().is_seed {
            let peers = turns::take(now, turn, self.config.seed_slots, interested.collect(), rng);
            peers.iter().for_each(|peer| unchokes.push(peer.key, Reason::OPTIMISTIC));
            return;
        }
        let (givers, others): (Vec<&PeerFacts>, Vec<&PeerFacts>) =
            interested.partition(|peer| self.given(peer) > 0);
        let for_newcomers = (self.config.newcomer_share * f64::from(WHOLE)) as u32;
        let all: u128 = givers.iter().map(|peer| u128::from(self.given(peer))).sum();
        for peer in givers {
            let share = u128::from(WHOLE - for_newcomers) * u128::from(self.given(peer)) / all;
            let weight = u32::try_from(share).expect("a part of the whole").max(1);
            unchokes.push_with(peer.key, Share::Weight(weight), CONTRIBUTION);
        }
        let newcomers = turns::take(now, turn, self.config.newcomers, others, rng);
        let each = for_newcomers / u32::try_from(newcomers.len().max(1)).unwrap_or(u32::MAX);
        for peer in newcomers {
            unchokes.push_with(peer.key, Share::Weight(each), Reason::OPTIMISTIC);
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
    use crate::choke::harness::exchange::{self, Exchange};

    fn exchange(config: Config, peers: &str) -> Exchange<PropShare> {
        let mut exchange = Exchange::new(PropShare::new(config).unwrap(), 1);
        peers.chars().for_each(|peer| exchange.join(peer));
        exchange
    }

    /// The weights of the last round, by letter.
    fn weights(exchange: &Exchange<PropShare>) -> BTreeMap<char, u32> {
        let weight = |share| match share {
            Share::Weight(weight) => weight,
            other => panic!("{other:?} is no weight"),
        };
        let letter = |peer: PeerKey| char::from_u32(peer.0).unwrap();
        let last = exchange.client.log.last().unwrap();
        last.iter().map(|one| (letter(one.peer), weight(one.share))).collect()
    }

    #[test]
    fn shares_are_in_proportion_to_what_the_last_round_brought() {
        let config = Config { newcomer_share: 0.25, newcomers: 2, ..Config::default() };
        let mut exchange = exchange(config, "abcdefgh");
        for (peer, bytes) in [('a', 10_000), ('b', 20_000), ('c', 60_000), ('d', 6_000)] {
            exchange.receive(peer, bytes);
        }
        exchange.client.tick();
        let found = weights(&exchange);
        // Three quarters of 65536 by 10 : 20 : 60 : 6, and a quarter for two newcomers.
        assert_eq!([found[&'a'], found[&'b'], found[&'c'], found[&'d']], [5120, 10240, 30720, 3072]);
        let newcomers: Vec<u32> = "efgh".chars().filter_map(|peer| found.get(&peer).copied()).collect();
        assert_eq!(newcomers, [8192, 8192]);
        // Only the last round counts.
        exchange.receive('d', 1000);
        exchange.receive('e', 3000);
        exchange.client.tick();
        let found = weights(&exchange);
        assert_eq!((found[&'d'], found[&'e'], found.len()), (12288, 36864, 4));
    }

    #[test]
    fn a_round_between_rounds_keeps_the_shares() {
        let mut exchange = exchange(Config::default(), "ab");
        exchange.receive('a', 10_000);
        exchange.client.tick();
        let before = weights(&exchange)[&'a'];
        exchange.receive('a', 70_000);
        "cdefg".chars().for_each(|peer| exchange.join(peer));
        assert_eq!(weights(&exchange)[&'a'], before);
        assert_eq!(exchange.client.unchoked(), "abcde", "four newcomers have the slots that there are");
    }

    #[test]
    fn newcomers_come_in_turn() {
        let mut exchange = exchange(Config { newcomers: 1, ..Config::default() }, "abcd");
        let mut served = String::new();
        for _ in 0..12 {
            exchange.client.tick();
            served += &exchange.client.unchoked();
        }
        let times = |peer| served.chars().filter(|&one| one == peer).count();
        assert!("abcd".chars().all(|peer| (2..=4).contains(&times(peer))), "{served}");
    }

    #[test]
    fn a_seed_serves_equally_and_in_turn() {
        let mut exchange = exchange(Config { seed_slots: 2, ..Config::default() }, "abc");
        exchange.receive('a', 50_000);
        exchange.client.own.is_seed = true;
        exchange.client.tick();
        let last = exchange.client.log.last().unwrap();
        assert!(last.len() == 2 && last.iter().all(|one| one.share == Share::Equal), "{last:?}");
    }

    #[test]
    fn senseless_keys_are_refused() {
        for config in [
            Config { round: config::Duration::secs(0), ..Config::default() },
            Config { newcomer_share: 1.0, ..Config::default() },
            Config { newcomer_share: f64::NAN, ..Config::default() },
            Config { newcomers: 0, ..Config::default() },
            Config { seed_slots: 0, ..Config::default() },
        ] {
            assert!(PropShare::new(config).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises(seed in any::<u64>(), ops in exchange::history()) {
            let policy = || PropShare::new(Config::default()).unwrap();
            let end = exchange::play(policy(), seed, &ops, |_, _, _, _| ());
            let again = exchange::play(policy(), seed, &ops, |_, _, _, _| ());
            prop_assert_eq!(&end.client.log, &again.client.log);
            for round in &end.client.log {
                let weight = |share| if let Share::Weight(weight) = share { u64::from(weight) } else { 0 };
                let sum: u64 = round.iter().map(|one| weight(one.share)).sum();
                prop_assert!(sum <= u64::from(WHOLE) + round.len() as u64);
            }
        }
    }
}
