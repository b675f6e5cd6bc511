//! BitTyrant: serves those who give most for what they cost, each at the lowest rate for which it gives.
//!
//! A peer that ranks whom it serves gives the same to a fast uploader and to one just fast enough. So for each peer
//! this choker keeps what the peer gives when it serves us (*d*) and what must be sent to it so that it does (*u*). In
//! each round peers are served by *d/u*, the best first, while the sum of *u* fits the uplink; each is sent *u* and no more
//! (`offers`). What is left over is given away, or kept with `selfish = true`, on which the paper's claim depends that a
//! swarm of strategic peers does worse.
//!
//! `form = "paper"`: peers are taken until the first whose offer does not fit. `form = "1.1"`, as the client BitTyrant
//! 1.1.1 was shipped, applied to one torrent: an unknown peer is offered the market rate, the mean of all present offers;
//! first come those of which nothing is known and those who give at least what they cost, then the others; the lowest offer
//! is sought by time, not by rounds.
//!
//! Ours, where neither form says it: what is left over goes to those not served, the longest unserved first, each at the
//! market rate, and evenly on top of all when nobody is left; an offer is never above the capacity, where it could not be
//! made; a seed, to which nobody gives, serves a few at a time, in turn and equally, selfish or not.
//!
//! Source: Piatek, Isdal, Anderson, Krishnamurthy, Venkataramani, "Do incentives build robustness in BitTorrent?", NSDI
//! 2007, section 4; and the sources of BitTyrant 1.1.1. What libtorrent had under this name from 2010 to 2020 fell by 3 %
//! a round and did not hold uploads to the offers, so it was another algorithm.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerFacts, PeerKey, Reason, Rng, Serve, Share, SwarmView,
    Unchokes, Waiting, rng,
};
use serde::{Deserialize, Serialize};

use super::turns;
use super::upload_capacity::{Capacity, UploadCapacity};
use offers::Offers;

pub use first_offer::FirstOffer;

mod first_offer;
mod offers;

/// The reason that traces show for peers that are served for what they give.
pub const DEAL: Reason = Reason("bittyrant:deal");
/// The reason that traces show for peers to which what is left over is given.
pub const EXCESS: Reason = Reason("bittyrant:excess");

/// Serves those who give most for what they cost.
#[derive(Debug)]
pub struct BitTyrant {
    config: Config,
    next_round: Instant,
    capacity: Capacity,
    offers: Offers,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Which description of the algorithm is followed.
    pub form: Form,
    /// Whether what is left over is kept and not given away.
    pub selfish: bool,
    /// What is shared out: the capacity of the uplink in bytes per second.
    pub upload_capacity: UploadCapacity,
    /// How long a round lasts.
    pub round: config::Duration,
    /// How much more, in percent, a peer is offered that was served and did not serve us.
    pub increase: u32,
    /// How much less, in percent, a peer is offered that has served us for long enough.
    pub decrease: u32,
    /// How many rounds in a row are long enough.
    pub patience: u32,
    /// What a peer is offered first; in the form 1.1, while there is no market. Unset, that of the form.
    pub first_offer: FirstOffer,
    /// Peers that a seed serves at once; ours.
    pub seed_slots: usize,
    /// How long the turn of each of them lasts; ours.
    pub seed_turn: config::Duration,
}

/// Which description of the algorithm is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Form {
    /// The paper's.
    #[default]
    #[serde(rename = "paper")]
    Paper,
    /// As the client 1.1.1 was shipped.
    #[serde(rename = "1.1")]
    Shipped,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            form: Form::Paper,
            selfish: false,
            upload_capacity: UploadCapacity::Automatic,
            round: config::Duration::secs(10),
            increase: 20,
            decrease: 10,
            patience: 3,
            first_offer: FirstOffer::OfForm,
            seed_slots: 4,
            seed_turn: config::Duration::secs(30),
        }
    }
}

impl Config {
    /// The first offer in bytes per second.
    fn first_offer(&self) -> u64 {
        match (self.first_offer, self.form) {
            (FirstOffer::At(rate), _) => rate.0,
            (FirstOffer::OfForm, Form::Paper) => 16_000,
            (FirstOffer::OfForm, Form::Shipped) => 3 << 10,
        }
    }
}

impl Plugin for BitTyrant {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "bittyrant";
    const SUMMARY: &'static str =
        "serves those who give most for what they cost, each as little as it takes (BitTyrant)";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(BitTyrant);

impl BitTyrant {
    /// A choker that has offered nobody anything yet.
    ///
    /// # Errors
    /// When a key is 0 that may not be, or `decrease` is 100 or more.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.upload_capacity == UploadCapacity::At(config::Rate(0)) {
            return Err(BuildError::new("upload-capacity", "must be more than 0 B/s"));
        }
        if config.round.get().is_zero() {
            return Err(BuildError::new("round", "must be longer than 0 s"));
        }
        if config.decrease >= 100 {
            return Err(BuildError::new("decrease", "must be below 100"));
        }
        if config.patience == 0 {
            return Err(BuildError::new("patience", "must be at least 1"));
        }
        if config.first_offer() == 0 {
            return Err(BuildError::new("first-offer", "must be more than 0 B/s"));
        }
        if config.seed_slots == 0 {
            return Err(BuildError::new("seed-slots", "must be at least 1"));
        }
        let capacity = Capacity::new(config.upload_capacity);
        Ok(Self { config, next_round: Instant::ZERO, capacity, offers: Offers::default() })
    }

    /// The peers to make an offer, the best first. Who has nothing for us has nothing to give.
    fn ranked<'a>(&self, swarm: &SwarmView<'a>, market: u64, rng: &mut dyn Rng) -> Vec<&'a PeerFacts> {
        let mut peers: Vec<&PeerFacts> =
            swarm.peers().iter().filter(|peer| peer.peer_interested && peer.am_interested).collect();
        rng::shuffle(rng, &mut peers);
        // By d/u, in whole numbers: more digits than any rate has.
        let ratio = |peer: &PeerFacts| {
            let (gives, offer) = (self.offers.gives(peer.key), self.offers.offer(peer.key, market));
            (u128::from(gives) << 64) / u128::from(offer)
        };
        peers.sort_by_cached_key(|peer| Reverse(ratio(peer)));
        if self.config.form == Form::Shipped {
            let later = |peer: &PeerFacts| self.offers.is_known(peer.key) && ratio(peer) < 1 << 64;
            peers.sort_by_key(|peer| later(peer));
        }
        peers
    }

    /// Gives `left` bytes per second to peers that are not served yet, the longest unserved first, at the market rate.
    /// What is left then is what `deals` get on top.
    fn give_away(
        market: u64,
        left: &mut u64,
        deals: &BTreeSet<PeerKey>,
        swarm: &SwarmView<'_>,
        unchokes: &mut Unchokes,
    ) {
        let mut others: Vec<&PeerFacts> =
            swarm.peers().iter().filter(|peer| peer.peer_interested && !deals.contains(&peer.key)).collect();
        others.sort_by_key(|peer| (!peer.am_choking, peer.am_unchoked, peer.key));
        for peer in others {
            if market > *left {
                return;
            }
            *left -= market;
            unchokes.push_with(peer.key, Share::Cap(market), EXCESS);
        }
    }
}

impl ChokePolicy for BitTyrant {
    fn next_round(&self) -> Instant {
        self.next_round
    }

    /// As many as the uplink can pay for.
    fn max_interested(&self) -> usize {
        usize::MAX
    }

    /// Between rounds a leecher changes nothing: an offer holds for a round.
    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        match event {
            PeerEvent::Completed => Notice::Rechoke,
            event if swarm.own().is_seed => turns::notice(event, swarm, self.config.seed_slots, |_| true),
            _ => Notice::Nothing,
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
        }
        if swarm.own().is_seed {
            let interested = swarm.peers().iter().filter(|peer| peer.peer_interested).collect();
            let turn = self.config.seed_turn.get();
            let peers = turns::take(now, turn, self.config.seed_slots, interested, rng);
            return peers.iter().for_each(|peer| unchokes.push(peer.key, Reason::OPTIMISTIC));
        }
        let capacity = self.capacity.round(swarm.own());
        self.offers.close_round(now, &self.config, capacity, swarm);
        let market = self.offers.market(&self.config, swarm).min(capacity);
        let mut left = capacity;
        let mut deals = BTreeSet::new();
        for peer in self.ranked(swarm, market, rng) {
            let offer = self.offers.offer(peer.key, market);
            if offer > left {
                break;
            }
            left -= offer;
            deals.insert(peer.key);
            self.offers.make(peer.key, offer);
        }
        let mut given = Unchokes::new();
        if !self.config.selfish {
            Self::give_away(market, &mut left, &deals, swarm, &mut given);
        }
        let shared = (deals.len() + given.as_slice().len()) as u64;
        let bonus = if self.config.selfish || shared == 0 { 0 } else { left / shared };
        for &peer in &deals {
            unchokes.push_with(peer, Share::Cap(self.offers.offer(peer, market) + bonus), DEAL);
        }
        for one in given.as_slice() {
            unchokes.push_with(one.peer, Share::Cap(market + bonus), one.reason);
        }
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[cfg(test)]
mod tests;
