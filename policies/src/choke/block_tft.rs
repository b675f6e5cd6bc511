//! Tit-for-tat by blocks: nobody is given more than a few blocks beyond what it gave.
//!
//! A peer is sent what it asked for only while what it was given, that included, exceeds what it gave by no more than
//! `delta` blocks and one: with requests of a block each, while the imbalance before is `delta` blocks at most. A longer
//! request waits until it fits, so the bound holds for requests of any length; one that is longer than `delta` blocks
//! and one is served only against what came. There are no rounds and no rates: everybody is unchoked and asks, and the
//! test is made for each request. With `scope = "overall"` it is made once for all, on what was given to everybody and
//! what came from everybody. Accounts are per connection: a peer that connects anew begins with an even one, and so may
//! have `delta` blocks and one again. Seeds are exempt: one serves all, and gives without being owed. A few peers are
//! sent to at a time; whose last block is longest ago is next (this order is ours).
//!
//! The block is that of the published simulations, which knew no unit below it: the file in 400 parts of 256 kB. Requests
//! on the network are shorter, 16 KiB as a rule; that `delta` then counts their bytes, and not requests, is ours.
//!
//! Source: Bharambe, Herley, Padmanabhan, "Analyzing and Improving a BitTorrent Network's Performance Mechanisms",
//! INFOCOM 2006, and the test as their simulator OctoSim makes it, with its defaults.

use std::collections::BTreeMap;

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerFacts, PeerKey, Rng, Serve, SwarmView, Unchokes,
    Waiting,
};
use serde::{Deserialize, Serialize};

use super::by_block;

/// Gives nobody more than a few blocks beyond what it gave.
#[derive(Debug)]
pub struct BlockTft {
    config: Config,
    /// When each peer was last given a block, in blocks.
    turns: BTreeMap<PeerKey, u64>,
    /// Blocks given.
    blocks: u64,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Blocks that may be given beyond what came, before the last one.
    pub delta: u32,
    /// How long a block is, for `delta`: as in the published simulations 256 kB, whatever the length of a request.
    pub block: config::Size,
    /// Between whom accounts are kept.
    pub scope: Scope,
    /// Peers sent to at once.
    pub uploads: usize,
}

/// Between whom accounts are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scope {
    /// Us and each peer.
    #[default]
    Pair,
    /// Us and all peers together, seeds among them.
    Overall,
}

impl Default for Config {
    fn default() -> Self {
        Self { delta: 2, block: config::Size(256_000), scope: Scope::Pair, uploads: 5 }
    }
}

impl Plugin for BlockTft {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "block-tft";
    const SUMMARY: &'static str = "gives nobody more than a few blocks beyond what it gave";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(BlockTft);

impl BlockTft {
    /// A choker with even accounts.
    ///
    /// # Errors
    /// When `block` or `uploads` is 0.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.block.0 == 0 {
            return Err(BuildError::new("block", "must be at least 1 B"));
        }
        if config.uploads == 0 {
            return Err(BuildError::new("uploads", "must be at least 1"));
        }
        Ok(Self { config, turns: BTreeMap::new(), blocks: 0 })
    }

    /// Whether `peer` may be given `length` bytes more.
    fn may_have(&self, peer: &PeerFacts, length: u32, swarm: &SwarmView<'_>) -> bool {
        if swarm.own().is_seed {
            return true;
        }
        let imbalance = match self.config.scope {
            Scope::Pair => by_block::given(peer) - i128::from(peer.downloaded),
            Scope::Overall => {
                let unsent: u64 = swarm.peers().iter().map(|peer| peer.unsent).sum();
                let own = swarm.own();
                i128::from(own.uploaded) + i128::from(unsent) - i128::from(own.downloaded)
            }
        };
        imbalance + i128::from(length)
            <= (i128::from(self.config.delta) + 1) * i128::from(self.config.block.0)
    }
}

impl ChokePolicy for BlockTft {
    fn next_round(&self) -> Instant {
        Instant::NEVER
    }

    fn max_interested(&self) -> usize {
        usize::MAX
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        match event {
            PeerEvent::Connected(_) => return Notice::Rechoke,
            PeerEvent::Gone(peer) => {
                self.turns.remove(&peer.key);
            }
            _ => {}
        }
        Notice::Nothing
    }

    fn choose(
        &mut self,
        _: Instant,
        _: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        by_block::unchoke_all(swarm, unchokes);
    }

    fn serve(&mut self, _: Instant, waiting: &Waiting<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        let next = by_block::candidates(waiting, swarm, self.config.uploads)
            .filter(|(peer, oldest)| self.may_have(peer, oldest.length, swarm))
            .min_by_key(|(peer, _)| (self.turns.get(&peer.key).copied(), peer.key));
        let Some((peer, _)) = next else { return Serve::Nobody };
        self.blocks += 1;
        self.turns.insert(peer.key, self.blocks);
        Serve::Peer(peer.key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::choke::harness::exchange::{self, BLOCK, Exchange};

    /// A block is what a request is for, as it was in the published simulations.
    fn policy(delta: u32, scope: Scope) -> BlockTft {
        let block = config::Size(u64::from(BLOCK));
        BlockTft::new(Config { delta, block, scope, ..Config::default() }).unwrap()
    }

    fn exchange(delta: u32, scope: Scope) -> Exchange<BlockTft> {
        let mut exchange = Exchange::new(policy(delta, scope), 1);
        "abcdefgh".chars().for_each(|peer| exchange.join(peer));
        exchange
    }

    #[test]
    fn who_gives_nothing_gets_delta_blocks_and_one() {
        for delta in 0..4 {
            let mut exchange = exchange(delta, Scope::Pair);
            exchange.ask('a', 20);
            (0..20).for_each(|_| exchange.take_any());
            assert_eq!(exchange.served.len(), delta as usize + 1);
            exchange.receive('a', 2 * BLOCK);
            (0..20).for_each(|_| exchange.take_any());
            assert_eq!(exchange.served.len(), delta as usize + 3);
        }
    }

    #[test]
    fn a_long_request_waits_until_it_fits() {
        let mut exchange = exchange(1, Scope::Pair);
        exchange.length = 128 << 10;
        exchange.ask('a', 20);
        assert_eq!(exchange.served, "", "eight blocks are more than delta and one");
        exchange.receive('a', 6 * BLOCK - 1);
        assert_eq!(exchange.served, "");
        exchange.receive('a', 1);
        (0..20).for_each(|_| exchange.take_any());
        assert_eq!(exchange.served, "a");
        exchange.receive('a', 8 * BLOCK);
        (0..20).for_each(|_| exchange.take_any());
        assert_eq!(exchange.served, "aa");
    }

    #[test]
    fn by_default_three_parts_of_the_published_file_are_given_in_requests_of_any_length() {
        for length in [16 << 10, 128 << 10, 256_000] {
            let mut exchange = Exchange::new(BlockTft::new(Config::default()).unwrap(), 1);
            exchange.join('a');
            exchange.length = length;
            exchange.ask('a', 100);
            (0..100).for_each(|_| exchange.take_any());
            assert_eq!(exchange.served.len(), 768_000 / length as usize);
        }
    }

    #[test]
    fn who_connects_anew_has_an_even_account() {
        let mut exchange = exchange(2, Scope::Pair);
        for connection in 1..4 {
            exchange.ask('a', 20);
            (0..20).for_each(|_| exchange.take_any());
            assert_eq!(exchange.served.len(), 3 * connection);
            exchange.client.leave('a');
            exchange.join('a');
        }
    }

    #[test]
    fn overall_what_one_gave_may_go_to_another() {
        let mut exchange = exchange(1, Scope::Overall);
        exchange.receive('b', 5 * BLOCK);
        exchange.ask('a', 20);
        (0..20).for_each(|_| exchange.take_any());
        assert_eq!(exchange.served, "aaaaaaa");
    }

    #[test]
    fn a_seed_serves_all_and_five_at_a_time() {
        let mut exchange = exchange(0, Scope::Pair);
        exchange.client.own.is_seed = true;
        "abcdefgh".chars().for_each(|peer| exchange.ask(peer, 3));
        assert_eq!(exchange.served, "abcde");
        (0..24).for_each(|_| exchange.take_any());
        assert_eq!(exchange.served.len(), 24);
        // Whose last block is longest ago is next.
        assert!(exchange.served.starts_with("abcdefgh"), "{}", exchange.served);
    }

    #[test]
    fn senseless_keys_are_refused() {
        for config in [
            Config { uploads: 0, ..Config::default() },
            Config { block: config::Size(0), ..Config::default() },
        ] {
            assert!(BlockTft::new(config).is_err());
        }
    }

    proptest! {
        /// No pair, or not all together, is ever further out of balance than delta blocks and one, whatever the
        /// lengths of requests.
        #[test]
        fn the_imbalance_is_bounded_in_any_history(
            delta in 0_u32..4, overall in any::<bool>(), seed in any::<u64>(), ops in exchange::history(),
        ) {
            let lengths = [BLOCK, 1, BLOCK - 1, 3 * BLOCK, 128 << 10];
            let scope = if overall { Scope::Overall } else { Scope::Pair };
            let bound = i128::from(delta + 1) * i128::from(BLOCK);
            let check = |_: &BlockTft, waiting: &Waiting<'_>, swarm: &SwarmView<'_>, serve| {
                let Serve::Peer(chosen) = serve else { return };
                let peer = swarm.peer(chosen).expect("connected");
                let queue = waiting.iter().find(|queue| queue.peer == chosen).expect("it waits");
                let pair = by_block::given(peer) - i128::from(peer.downloaded);
                let all: i128 = swarm.peers().iter().map(|peer| i128::from(peer.unsent)).sum();
                let all = all + i128::from(swarm.own().uploaded) - i128::from(swarm.own().downloaded);
                let after = if overall { all } else { pair } + i128::from(queue.requests[0].length);
                assert!(swarm.own().is_seed || after <= bound, "{after} after a block");
            };
            let play = |check: &dyn Fn(&BlockTft, &Waiting<'_>, &SwarmView<'_>, Serve)| {
                exchange::play_lengths(policy(delta, scope), seed, &lengths, &ops, check)
            };
            prop_assert_eq!(play(&check).served, play(&|_, _, _, _| ()).served);
        }
    }
}
