//! Tit-for-tat by blocks: nobody is given more than a few blocks beyond what it gave.
//!
//! A peer has a block only while what it was given exceeds what it gave by no more than `delta` blocks, so the imbalance
//! of a pair is never above `delta` plus the one block that is sent then. There are no rounds and no rates:
//! everybody is unchoked and asks, and the test is made for each block. With `scope = "overall"` it is made once for all,
//! on what was given to everybody and what came from everybody. Seeds are exempt: one serves all, and gives without
//! being owed. A few peers are sent to at a time; whose last block is longest ago is next (this order is ours).
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
    /// How long a block is, for `delta`.
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
        Self { delta: 2, block: config::Size::kib(16), scope: Scope::Pair, uploads: 5 }
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

    /// Whether `peer` may be given one more block.
    fn may_have(&self, peer: &PeerFacts, swarm: &SwarmView<'_>) -> bool {
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
        imbalance <= i128::from(self.config.delta) * i128::from(self.config.block.0)
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
            .filter(|peer| self.may_have(peer, swarm))
            .min_by_key(|peer| (self.turns.get(&peer.key).copied(), peer.key));
        let Some(peer) = next else { return Serve::Nobody };
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

    fn policy(delta: u32, scope: Scope) -> BlockTft {
        BlockTft::new(Config { delta, scope, ..Config::default() }).unwrap()
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
        /// No pair, or not all together, is ever further out of balance than delta blocks and one.
        #[test]
        fn the_imbalance_is_bounded_in_any_history(
            delta in 0_u32..4, overall in any::<bool>(), seed in any::<u64>(), ops in exchange::history(),
        ) {
            let scope = if overall { Scope::Overall } else { Scope::Pair };
            let bound = i128::from(delta + 1) * i128::from(BLOCK);
            let check = |_: &BlockTft, _: &Waiting<'_>, swarm: &SwarmView<'_>, serve| {
                let Serve::Peer(chosen) = serve else { return };
                let peer = swarm.peer(chosen).expect("connected");
                let pair = by_block::given(peer) - i128::from(peer.downloaded);
                let all: i128 = swarm.peers().iter().map(|peer| i128::from(peer.unsent)).sum();
                let all = all + i128::from(swarm.own().uploaded) - i128::from(swarm.own().downloaded);
                let before = if overall { all } else { pair };
                assert!(swarm.own().is_seed || before + i128::from(BLOCK) <= bound, "{before} before a block");
            };
            let end = exchange::play(policy(delta, scope), seed, &ops, check);
            let again = exchange::play(policy(delta, scope), seed, &ops, |_, _, _, _| ());
            prop_assert_eq!(end.served, again.served);
        }
    }
}
