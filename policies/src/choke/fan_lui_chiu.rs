//! One knob between the fast and the fair: everybody is served, by its contribution to a power.
//!
//! Fan, Lui and Chiu show that file sharing can be fast for all on average or fair to those who give, and that one
//! parameter can lead from the one to the other. Here each interested peer weighs `(rate + base)^theta`, where the rate is
//! what it gives us: with `theta = 0` all are served equally, with 1 in proportion to what they give. **The exponent form
//! is ours; the paper's own parameter was not at hand.** `base` is given to everybody, so that newcomers can begin.
//! A seed is given nothing, so it serves equally whatever `theta` is.
//!
//! Source: Fan, Lui, Chiu, "The design trade-offs of BitTorrent-like file sharing protocols", IEEE/ACM Transactions on
//! Networking, 2009 (first at ICNP 2006): the trade-off, from its abstract.

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerFacts, Reason, Rng, Serve, Share, SwarmView,
    Unchokes, Waiting,
};
use serde::{Deserialize, Serialize};

/// What the largest weight is.
const HEAVIEST: f64 = 65536.0;

/// Serves everybody by its contribution to a power.
#[derive(Debug)]
pub struct FanLuiChiu {
    config: Config,
    next_round: Instant,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// From 0, all equally, to 1, in proportion to what they give. The default is ours.
    pub theta: f64,
    /// What everybody counts as giving on top of what it gives; ours.
    pub base: config::Rate,
    /// How long a round lasts; ours, as in most chokers.
    pub round: config::Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { theta: 0.5, base: config::Rate(1 << 10), round: config::Duration::secs(10) }
    }
}

impl Plugin for FanLuiChiu {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "fan-lui-chiu";
    const SUMMARY: &'static str =
        "serves everybody, by its contribution to a power between 0 (equally) and 1 (fairly)";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(FanLuiChiu);

impl FanLuiChiu {
    /// A choker before its first round.
    ///
    /// # Errors
    /// When `theta` is not from 0 to 1, or `base` or `round` is 0.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if !(0.0..=1.0).contains(&config.theta) {
            return Err(BuildError::new("theta", "must be from 0 to 1"));
        }
        if config.base.0 == 0 {
            return Err(BuildError::new("base", "must be at least 1 B/s"));
        }
        if config.round.get().is_zero() {
            return Err(BuildError::new("round", "must be longer than 0 s"));
        }
        Ok(Self { config, next_round: Instant::ZERO })
    }

    fn worth(&self, peer: &PeerFacts, own_is_seed: bool) -> f64 {
        let rate = if own_is_seed { 0 } else { peer.download_rate };
        power(rate.saturating_add(self.config.base.0) as f64, self.config.theta)
    }
}

/// `base` to a power from 0 to 1, by the binary digits of `exponent` and square roots: unlike the library's function
/// this gives the same bits on every machine.
fn power(base: f64, exponent: f64) -> f64 {
    if exponent >= 1.0 {
        return base;
    }
    let (mut result, mut root, mut rest) = (1.0, base, exponent);
    while rest > 0.0 && root > 1.0 {
        root = root.sqrt();
        rest *= 2.0;
        if rest >= 1.0 {
            rest -= 1.0;
            result *= root;
        }
    }
    result
}

impl ChokePolicy for FanLuiChiu {
    fn next_round(&self) -> Instant {
        self.next_round
    }

    fn max_interested(&self) -> usize {
        usize::MAX
    }

    /// Who becomes interested need not wait.
    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        if matches!(event, PeerEvent::Interested(_)) { Notice::Rechoke } else { Notice::Nothing }
    }

    fn choose(
        &mut self,
        now: Instant,
        cause: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        if cause == Cause::Timer {
            self.next_round = now + self.config.round.get();
        }
        let interested = || swarm.peers().iter().filter(|peer| peer.peer_interested);
        let worth = |peer: &PeerFacts| self.worth(peer, swarm.own().is_seed);
        let most = interested().map(worth).fold(1.0, f64::max);
        for peer in interested() {
            let weight = ((worth(peer) / most * HEAVIEST) as u32).max(1);
            unchokes.push_with(peer.key, Share::Weight(weight), Reason::EVERYONE);
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

    fn weights(theta: f64, seed: bool) -> Vec<u32> {
        let config = Config { theta, base: config::Rate(1), ..Config::default() };
        let mut client = Client::new(FanLuiChiu::new(config).unwrap(), 1);
        client.own.is_seed = seed;
        client.joined_by("a15 b255 c65535 d- e!", |_| (0, 1));
        client.tick();
        let weight = |share| if let Share::Weight(weight) = share { weight } else { 0 };
        client.log.last().unwrap().iter().map(|one| weight(one.share)).collect()
    }

    #[test]
    fn the_knob_leads_from_equal_shares_to_fair_ones() {
        // They give 16, 256, 65536 and 1, the base among it.
        assert_eq!(weights(0.0, false), [65536; 4]);
        assert_eq!(weights(0.5, false), [1024, 4096, 65536, 256]);
        assert_eq!(weights(1.0, false), [16, 256, 65536, 1]);
        assert_eq!(weights(1.0, true), [65536; 4], "a seed is given nothing");
    }

    #[test]
    fn powers_are_right() {
        for (base, exponent) in [(2.0_f64, 0.1_f64), (1e9, 0.3), (1024.0, 0.75), (7.0, 0.999), (1.0, 0.4)] {
            let found = power(base, exponent);
            assert!((found / base.powf(exponent) - 1.0).abs() < 1e-12, "{base}^{exponent} is not {found}");
        }
    }

    #[test]
    fn senseless_keys_are_refused() {
        for config in [
            Config { theta: 1.5, ..Config::default() },
            Config { theta: f64::NAN, ..Config::default() },
            Config { base: config::Rate(0), ..Config::default() },
            Config { round: config::Duration::secs(0), ..Config::default() },
        ] {
            assert!(FanLuiChiu::new(config).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises(theta in 0.0..=1.0, seed in any::<u64>(), ops in harness::history()) {
            let policy = || FanLuiChiu::new(Config { theta, ..Config::default() }).unwrap();
            let mut client = harness::play(policy(), seed, &ops);
            prop_assert_eq!(&client.log, &harness::play(policy(), seed, &ops).log);
            client.tick();
            let interested = client.peers.iter().filter(|peer| peer.peer_interested).count();
            prop_assert_eq!(client.unchoked().len(), interested);
        }
    }
}
