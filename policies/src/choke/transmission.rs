//! The choker of Transmission: the fastest few, one more by chance, and no change of heart within ten seconds.
//!
//! Every 10 s the peers are sorted by rate, those that are served already first among equals, then by lot. From the
//! front of that list peers are unchoked until there are eight interested ones; uninterested ones on the way are
//! unchoked too. One more interested peer is drawn from the rest, and keeps its slot through four rounds. While the
//! uplink is full nobody new is unchoked. Whatever a round says, a peer that was choked or unchoked less than 10 s ago
//! stays as it is (*anti-fibrillation*). Other seeds are always choked. Rounds come by the clock alone.
//!
//! What differs: the draw is uniform (as recalled, unverified, the program gives peers that have just connected more
//! chances), and peers that anti-fibrillation keeps are still within [`ChokePolicy::max_interested`].
//!
//! Source: Transmission, `rechokeUploads` in `peer-mgr.c` and the choke message in `peer-msgs.c`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, OwnFacts, PeerEvent, PeerFacts, PeerKey, Reason, Rng, Serve,
    SwarmView, Unchokes, Waiting, rng,
};
use serde::{Deserialize, Serialize};

/// Serves the fastest peers and one by chance, and lets nobody's state change twice in ten seconds.
#[derive(Debug)]
pub struct Transmission {
    config: Config,
    next_round: Instant,
    /// The peer that was drawn, and for how many more rounds it is kept.
    optimistic: Option<(PeerKey, u32)>,
    /// When peers were last choked or unchoked.
    changed: BTreeMap<PeerKey, Instant>,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Interested peers served for their rate.
    pub slots: usize,
    /// How long a round lasts.
    pub round: config::Duration,
    /// For how many rounds after its first the peer that was drawn is kept.
    pub optimistic_rounds: u32,
    /// How long a peer is neither choked nor unchoked after it was.
    pub min_choke_period: config::Duration,
    /// What peers are ranked by until we are a seed.
    pub leecher_ranking: LeecherRanking,
}

/// What peers are ranked by until we are a seed; a seed ranks them by its rate to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LeecherRanking {
    /// Their rate to us.
    #[default]
    DownloadRate,
    /// Their rate to us and ours to them together, as the program ranks in private torrents.
    BothRates,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slots: 8,
            round: config::Duration::secs(10),
            optimistic_rounds: 4,
            min_choke_period: config::Duration::secs(10),
            leecher_ranking: LeecherRanking::DownloadRate,
        }
    }
}

impl Plugin for Transmission {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "transmission";
    const SUMMARY: &'static str =
        "serves the fastest peers and one by chance, and changes no peer's state within 10 s";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(Transmission);

impl Transmission {
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
        Ok(Self { config, next_round: Instant::ZERO, optimistic: None, changed: BTreeMap::new() })
    }

    fn rate(&self, peer: &PeerFacts, own: &OwnFacts) -> u64 {
        match self.config.leecher_ranking {
            _ if own.is_seed => peer.upload_rate,
            LeecherRanking::DownloadRate => peer.download_rate,
            LeecherRanking::BothRates => peer.download_rate.saturating_add(peer.upload_rate),
        }
    }

    /// Who is to be served, in order, before anti-fibrillation.
    fn wanted(&mut self, swarm: &SwarmView<'_>, rng: &mut dyn Rng) -> Vec<(PeerKey, Reason)> {
        self.optimistic = self
            .optimistic
            .filter(|&(peer, rounds)| rounds > 0 && swarm.peer(peer).is_some_and(|peer| !peer.is_seed()))
            .map(|(peer, rounds)| (peer, rounds - 1));
        let kept = self.optimistic.map(|(peer, _)| peer);
        let own = swarm.own();
        let mut ranked: Vec<(Reverse<u64>, bool, u32, &PeerFacts)> = swarm
            .peers()
            .iter()
            .filter(|peer| !peer.is_seed() && Some(peer.key) != kept)
            .map(|peer| (Reverse(self.rate(peer, own)), peer.am_choking, rng.next_u32(), peer))
            .collect();
        ranked.sort_unstable_by_key(|&(rate, choked, lot, peer)| (rate, choked, lot, peer.key));

        let full = own.upload_limit.is_some_and(|limit| own.upload_rate >= limit);
        let for_rate = if own.is_seed { Reason::UPLOAD_RATE } else { Reason::DOWNLOAD_RATE };
        let mut wanted: Vec<(PeerKey, Reason)> =
            kept.map(|peer| (peer, Reason::OPTIMISTIC)).into_iter().collect();
        let mut rest = ranked.into_iter().map(|(.., peer)| peer);
        let mut slots = self.config.slots;
        while slots > 0 {
            let Some(peer) = rest.next() else { break };
            slots -= usize::from(peer.peer_interested);
            if !full || !peer.am_choking {
                wanted.push((peer.key, if peer.peer_interested { for_rate } else { Reason::UNINTERESTED }));
            }
        }
        if kept.is_none() && !full {
            let rest: Vec<PeerKey> = rest.filter(|peer| peer.peer_interested).map(|peer| peer.key).collect();
            if let Some(&drawn) = rng::choose(rng, &rest) {
                self.optimistic = Some((drawn, self.config.optimistic_rounds));
                wanted.push((drawn, Reason::OPTIMISTIC));
            }
        }
        wanted
    }

    fn may_change(&self, now: Instant, peer: PeerKey) -> bool {
        let changed = self.changed.get(&peer);
        changed.is_none_or(|&changed| now.since(changed) >= self.config.min_choke_period.get())
    }
}

impl ChokePolicy for Transmission {
    fn next_round(&self) -> Instant {
        self.next_round
    }

    /// The slots and the one that was drawn; and as many again for each earlier round whose peers may not be choked yet.
    fn max_interested(&self) -> usize {
        let held = self.config.min_choke_period.get().as_nanos();
        let rounds = held.div_ceil(self.config.round.get().as_nanos()).max(1);
        (self.config.slots.saturating_add(1)).saturating_mul(usize::try_from(rounds).unwrap_or(usize::MAX))
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        if let PeerEvent::Gone(peer) = event {
            self.changed.remove(&peer.key);
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
        }
        let mut wanted = self.wanted(swarm, rng);
        let named: BTreeSet<PeerKey> = wanted.iter().map(|&(peer, _)| peer).collect();
        let held = swarm
            .peers()
            .iter()
            .filter(|peer| !peer.am_choking && !named.contains(&peer.key) && !self.may_change(now, peer.key));
        wanted.extend(held.map(|peer| (peer.key, Reason("transmission:unchoked-lately"))));
        let mut served = BTreeSet::new();
        let mut room = self.max_interested();
        for (key, reason) in wanted {
            let Some(peer) = swarm.peer(key) else { continue };
            if (peer.am_choking && !self.may_change(now, key)) || (peer.peer_interested && room == 0) {
                continue;
            }
            room -= usize::from(peer.peer_interested);
            served.insert(key);
            unchokes.push(key, reason);
        }
        for peer in swarm.peers() {
            if peer.am_choking == served.contains(&peer.key) {
                self.changed.insert(peer.key, now);
            }
        }
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[cfg(test)]
mod tests;
