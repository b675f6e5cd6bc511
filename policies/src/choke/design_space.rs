//! The design space of chokers: whom to meet, whom to consider, whom to prefer, and how to share.
//!
//! A choker is put together from four choices. The *candidates* are peers that gave something lately; the *ranking*
//! orders them, and the first few are our partners; the *allocation* shares the uplink among these; the
//! *stranger policy* says who else is served, that a stranger may become a candidate. `birds` is one point of the
//! space: it ranks by how near a peer's rate is to what we give each of ours, so that peers of a kind flock together
//! instead of all running after the fastest.
//!
//! Partners and strangers are chosen anew every round, from what was given in whole rounds; in between, a slot that
//! falls free is given on at once. A seed, whom nobody gives anything, follows the rule of 3.4.2 (`seed`): our choice,
//! by which leechers alone differ from those of `tit-for-tat`.
//!
//! Source: Rahman, Vinkó, Hales, Pouwelse and Sips, "Design space analysis for modeling incentives in distributed
//! systems", SIGCOMM 2011. The four dimensions and the names of their values are as recalled, unverified, and so is
//! that a peer has one slot for strangers; its ranking by an adaptive aspiration is left out.

use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, OwnFacts, PeerEvent, PeerFacts, PeerKey, Reason, Rng, Serve, Share,
    SwarmView, Unchokes, Waiting, rng,
};

use super::ledger::{Account, Ledger};
use super::tit_for_tat::TitForTat;

mod config;

pub use config::{Allocation, BirdsConfig, Candidates, Config, Ranking, Strangers};

/// A choker of four choices.
#[derive(Debug)]
pub struct DesignSpace {
    config: Config,
    /// The reason of those that are served for their proximity, under the name that the plug-in goes by.
    proximity: Reason,
    seed: TitForTat,
    seeding: bool,
    next_round: Instant,
    ledger: Ledger,
    /// Partners and strangers of the last round; with `free-ride`, partners get nothing.
    partners: Vec<PeerKey>,
    strangers: Vec<PeerKey>,
}

impl Plugin for DesignSpace {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "design-space";
    const SUMMARY: &'static str =
        "serves by a stranger policy, a candidate list, a ranking and an allocation of one's choice";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(DesignSpace);

/// `design-space` with `ranking = "proximity"`: serves the peers whose rate is nearest to what it gives each.
#[derive(Debug)]
pub struct Birds;

impl Plugin for Birds {
    type Kind = Choke;
    type Config = BirdsConfig;
    const NAME: &'static str = "birds";
    const SUMMARY: &'static str =
        "serves the peers whose rate is nearest to what it gives each, and one more by lot";

    fn build(config: BirdsConfig) -> Result<Box<dyn ChokePolicy>, BuildError> {
        let BirdsConfig { partners, stranger_slots, round, seed } = config;
        let ranking = Ranking::Proximity;
        let config = Config { ranking, partners, stranger_slots, round, seed, ..Config::default() };
        let policy = DesignSpace::new(config)?;
        Ok(Box::new(DesignSpace { proximity: Reason("birds:proximity"), ..policy }))
    }
}
bt_api::register!(Birds);

impl DesignSpace {
    /// A choker that serves nobody yet.
    ///
    /// # Errors
    /// When `partners` or `round` is 0, or a key of `seed` is wrong.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.partners == 0 {
            return Err(BuildError::new("partners", "must be at least 1"));
        }
        if config.round == bt_api::config::Duration::secs(0) {
            return Err(BuildError::new("round", "must be longer than 0 s"));
        }
        let seed = TitForTat::new(config.seed.clone())?;
        Ok(Self {
            config,
            proximity: Reason("design-space:proximity"),
            seed,
            seeding: false,
            next_round: Instant::ZERO,
            ledger: Ledger::default(),
            partners: Vec::new(),
            strangers: Vec::new(),
        })
    }

    /// What a candidate gave; 0 for a stranger.
    fn given(&self, account: Account) -> u64 {
        match self.config.candidates {
            Candidates::LastRound => account.gave,
            Candidates::LastTwoRounds => account.gave.saturating_add(account.gave_before),
        }
    }

    /// The first goes first.
    fn rank(&self, peer: &PeerFacts, own: &OwnFacts, rng: &mut dyn Rng) -> u64 {
        let account = self.ledger.of(peer.key);
        let given = self.given(account);
        match self.config.ranking {
            Ranking::Fastest => u64::MAX - given,
            Ranking::Slowest => given,
            Ranking::Proximity => self.per_round(given).abs_diff(self.slot_rate(own)),
            Ranking::Loyal => u64::MAX - u64::from(account.loyal),
            Ranking::Random => rng.next_u64(),
        }
    }

    /// The rate of a peer that gave so much in the rounds that are looked at, in bytes per second.
    fn per_round(&self, given: u64) -> u64 {
        let rounds = match self.config.candidates {
            Candidates::LastRound => 1,
            Candidates::LastTwoRounds => 2,
        };
        let millis = (self.config.round.get().as_millis() * rounds).max(1);
        u64::try_from(u128::from(given) * 1000 / millis).unwrap_or(u64::MAX)
    }

    /// What a slot of ours is worth, in bytes per second: the limit on upload, or what we reach without one, by slots.
    fn slot_rate(&self, own: &OwnFacts) -> u64 {
        let slots = self.config.partners.saturating_add(self.config.stranger_slots);
        own.upload_limit.unwrap_or(own.upload_rate) / u64::try_from(slots).unwrap_or(u64::MAX).max(1)
    }

    /// Fills `partners` and `strangers` up; on the clock both come empty.
    fn fill(&mut self, swarm: &SwarmView<'_>, rng: &mut dyn Rng) {
        let is_new = |peer: &&PeerFacts| {
            peer.peer_interested && !self.partners.contains(&peer.key) && !self.strangers.contains(&peer.key)
        };
        let (candidates, mut strangers): (Vec<&PeerFacts>, Vec<&PeerFacts>) =
            swarm.peers().iter().filter(is_new).partition(|peer| self.given(self.ledger.of(peer.key)) > 0);
        let mut ranked: Vec<(u64, PeerKey)> =
            candidates.iter().map(|peer| (self.rank(peer, swarm.own(), rng), peer.key)).collect();
        ranked.sort_unstable();
        let room = self.config.partners.saturating_sub(self.partners.len());
        self.partners.extend(ranked.into_iter().take(room).map(|(_, peer)| peer));

        let most = self.config.stranger_slots;
        let most = match self.config.strangers {
            Strangers::Periodic => most,
            Strangers::WhenNeeded => most.min(self.config.partners.saturating_sub(self.partners.len())),
            Strangers::Defect => 0,
        };
        rng::shuffle(rng, &mut strangers);
        let room = most.saturating_sub(self.strangers.len());
        self.strangers.extend(strangers.into_iter().take(room).map(|peer| peer.key));
    }

    fn answer(&self, unchokes: &mut Unchokes) {
        let weights: Vec<u32> = self.partners.iter().map(|&peer| self.weight(peer)).collect();
        let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mean = sum.checked_div(weights.len() as u64).and_then(|mean| u32::try_from(mean).ok());
        let share = |weight: u32| match self.config.allocation {
            Allocation::PropShare => Share::Weight(weight.max(1)),
            Allocation::EqualSplit | Allocation::FreeRide => Share::Equal,
        };
        if self.config.allocation != Allocation::FreeRide {
            for (&peer, weight) in self.partners.iter().zip(weights) {
                unchokes.push_with(peer, share(weight), self.reason());
            }
        }
        for &peer in &self.strangers {
            unchokes.push_with(peer, share(mean.unwrap_or(1)), Reason::OPTIMISTIC);
        }
    }

    /// A partner's share by what it gave, in KiB.
    fn weight(&self, peer: PeerKey) -> u32 {
        u32::try_from(self.given(self.ledger.of(peer)) >> 10).unwrap_or(u32::MAX)
    }

    fn reason(&self) -> Reason {
        match self.config.ranking {
            Ranking::Fastest => Reason::DOWNLOAD_RATE,
            Ranking::Slowest => Reason("design-space:slowest"),
            Ranking::Proximity => self.proximity,
            Ranking::Loyal => Reason("design-space:loyal"),
            Ranking::Random => Reason::RANDOM,
        }
    }

    fn is_chosen(&self, peer: PeerKey) -> bool {
        self.partners.contains(&peer) || self.strangers.contains(&peer)
    }
}

impl ChokePolicy for DesignSpace {
    fn next_round(&self) -> Instant {
        if self.seeding { self.seed.next_round() } else { self.next_round }
    }

    fn max_interested(&self) -> usize {
        if self.seeding {
            self.seed.max_interested()
        } else {
            self.config.partners.saturating_add(self.config.stranger_slots)
        }
    }

    fn notice(
        &mut self,
        now: Instant,
        event: PeerEvent<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Notice {
        let seed = self.seed.notice(now, event, swarm, rng);
        let rechoke = match event {
            PeerEvent::Completed => true,
            _ if swarm.own().is_seed => return seed,
            PeerEvent::Gone(peer) => self.is_chosen(peer.key),
            PeerEvent::NotInterested(peer) => self.is_chosen(peer),
            PeerEvent::Interested(_) => {
                self.partners.len() < self.config.partners
                    || self.strangers.len() < self.config.stranger_slots
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
        // The first round as a seed starts the clock of that rule.
        let cause = if self.seeding == swarm.own().is_seed { cause } else { Cause::Timer };
        self.seeding = swarm.own().is_seed;
        if self.seeding {
            self.seed.choose(now, cause, swarm, rng, unchokes);
            if self.config.allocation == Allocation::FreeRide {
                unchokes.clear();
            }
            return;
        }
        if cause == Cause::Timer {
            self.next_round = now + self.config.round.get();
            self.ledger.tick(swarm);
            self.partners.clear();
            self.strangers.clear();
        }
        let stays = |&peer: &PeerKey| swarm.peer(peer).is_some_and(|peer| peer.peer_interested);
        self.partners.retain(stays);
        self.strangers.retain(stays);
        self.fill(swarm, rng);
        self.answer(unchokes);
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[cfg(test)]
mod tests;
