//! The choker of BitTorrent 3.4.2: serve those who serve us, and one more in turn.
//!
//! It keeps the connections in a list of its own. The *preferred* are the few fastest; the rest of the list
//! is walked from its front, and the first interested peers found there are served too, so the front of the
//! list is the optimistic unchoke. Every third round the list is rotated to bring the next choked peer to the
//! front. Peers that are not interested and stand before the last one served are unchoked as well: it costs
//! nothing, and they can begin at once when they want to.
//!
//! Two rules of later releases are keys: `max-uploads = "automatic"` and `seed-ranking = "rotate"`, each in a file
//! of its own.
//!
//! Source: the rules `CH-1` to `CH-13` of the original; the protocol is BEP 3.

use std::cmp::Reverse;

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerKey, Reason, Rng, Serve, SwarmView, Unchokes,
    Waiting, rng,
};
use serde::{Deserialize, Serialize};

use super::max_uploads::MaxUploads;
use super::seed_rotation::SeedRotation;

/// Serves the peers that serve us fastest, and others in turn.
#[derive(Debug)]
pub struct TitForTat {
    config: Config,
    /// The max-uploads of the last round.
    max_uploads: usize,
    /// When the next round is due; `None` until the first call tells the time.
    next_round: Option<Instant>,
    /// Rounds by the clock so far (CH-1).
    rounds: u32,
    /// The connections; the first is the optimistic unchoke (CH-1).
    order: Vec<PeerKey>,
    /// Candidates of the running round, by rate and place: kept only for its memory.
    candidates: Vec<(Reverse<u64>, usize)>,
    /// What `seed-ranking = "rotate"` remembers.
    rotation: SeedRotation,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// One more than the peers served for their rate; 0 and 1 leave the optimistic ones alone. Or `"automatic"`,
    /// from the limit on upload, as 3.9.1 and 4.0 have it (CH-19).
    pub max_uploads: MaxUploads,
    /// Interested peers served at least, while there are so many.
    pub min_uploads: usize,
    /// How long a round lasts.
    pub round: config::Duration,
    /// The list is rotated every so many rounds.
    pub optimistic_rounds: u32,
    /// How many times likelier than any other place the first one is for a new peer.
    pub new_peer_weight: u32,
    /// Peers that give less are not served for their rate; BitTornado had 1000 B/s. Unused as a seed.
    pub min_preferred_rate: config::Rate,
    /// What peers are ranked by until we are a seed.
    pub leecher_ranking: LeecherRanking,
    /// What a seed ranks peers by.
    pub seed_ranking: SeedRanking,
}

/// What peers are ranked by until we are a seed: no release ever ranked by anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LeecherRanking {
    /// Their rate to us.
    #[default]
    DownloadRate,
}

/// What a seed ranks peers by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SeedRanking {
    /// Our rate to them, as 3.2 to 3.4 have it: the fastest takers, and others in turn.
    #[default]
    UploadRate,
    /// Whose turn it is, as 3.9.1 and 4.x have it (CH-16 to CH-18).
    Rotate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_uploads: MaxUploads::At(7),
            min_uploads: 4,
            round: config::Duration::secs(10),
            optimistic_rounds: 3,
            new_peer_weight: 3,
            min_preferred_rate: config::Rate(0),
            leecher_ranking: LeecherRanking::DownloadRate,
            seed_ranking: SeedRanking::UploadRate,
        }
    }
}

impl Plugin for TitForTat {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "tit-for-tat";
    const SUMMARY: &'static str =
        "serves the peers that serve us fastest, and others in turn (BitTorrent 3.4.2)";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(TitForTat);

impl TitForTat {
    /// A choker without connections.
    ///
    /// # Errors
    /// When `round`, `optimistic-rounds` or `new-peer-weight` is 0.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.round == config::Duration::secs(0) {
            return Err(BuildError::new("round", "must be longer than 0 s"));
        }
        if config.optimistic_rounds == 0 {
            return Err(BuildError::new("optimistic-rounds", "must be at least 1"));
        }
        if config.new_peer_weight == 0 {
            return Err(BuildError::new("new-peer-weight", "must be at least 1"));
        }
        Ok(Self {
            max_uploads: config.max_uploads.get(None),
            config,
            next_round: None,
            rounds: 0,
            order: Vec::new(),
            candidates: Vec::new(),
            rotation: SeedRotation::default(),
        })
    }

    /// The connections in the order of the list: the first is the optimistic unchoke, and stands to be served
    /// before all that are not among the fastest (CH-1).
    pub fn order(&self) -> &[PeerKey] {
        &self.order
    }

    /// Changes `max-uploads` of a choker that runs, as a policy that adapts it may do around this one. Nobody is
    /// choked or unchoked before the next round, for which the caller asks with [`Notice::Rechoke`]: the
    /// original too leaves it to a later turn of its loop (CH-12).
    pub fn set_max_uploads(&mut self, max_uploads: usize) {
        self.config.max_uploads = MaxUploads::At(max_uploads);
    }

    /// Whether this round is one of the later choker for seeds.
    fn rotates(&self, swarm: &SwarmView<'_>) -> bool {
        swarm.own().is_seed && self.config.seed_ranking == SeedRanking::Rotate
    }

    /// Starts the clock at the first call: the first round is due one round later.
    fn start_clock(&mut self, now: Instant) {
        self.next_round.get_or_insert(now + self.config.round.get());
    }

    /// CH-9: the place is max(p, 0) for a p from 1 − weight to the end of the list.
    fn insert(&mut self, peer: PeerKey, weight: u32, rng: &mut dyn Rng) {
        let end = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        let place = rng::below(rng, end.saturating_add(weight)).saturating_sub(weight - 1);
        self.order.insert(place as usize, peer);
    }

    /// CH-2: brings the first choked interested peer to the front, cyclic order kept.
    fn rotate(&mut self, swarm: &SwarmView<'_>) {
        let waits = |&peer: &PeerKey| swarm.peer(peer).is_some_and(|it| it.am_choking && it.peer_interested);
        if let Some(place) = self.order.iter().position(waits) {
            self.order.rotate_left(place);
        }
    }

    /// Leaves the preferred in `candidates` (CH-3 to CH-5), by their place in the list.
    fn find_preferred(&mut self, swarm: &SwarmView<'_>) {
        let seed = swarm.own().is_seed;
        let least = self.config.min_preferred_rate.0;
        let LeecherRanking::DownloadRate = self.config.leecher_ranking;
        self.candidates.clear();
        for (place, &peer) in self.order.iter().enumerate() {
            let Some(peer) = swarm.peer(peer).filter(|peer| peer.peer_interested) else { continue };
            if seed {
                self.candidates.push((Reverse(peer.upload_rate), place));
            } else if !peer.snubbed && peer.download_rate >= least {
                self.candidates.push((Reverse(peer.download_rate), place));
            }
        }
        let preferred = self.max_uploads.saturating_sub(1);
        if preferred < self.candidates.len() {
            // Equal rates are told apart by place, so the fastest are the same ones in any order.
            self.candidates.select_nth_unstable(preferred);
            self.candidates.truncate(preferred);
        }
        self.candidates.sort_unstable_by_key(|&(_, place)| place);
    }
}

impl ChokePolicy for TitForTat {
    fn next_round(&self) -> Instant {
        self.next_round.unwrap_or(Instant::ZERO)
    }

    /// Besides the max-uploads − 1 preferred, interested peers are unchoked until there are min-uploads, and
    /// at least one (CH-7).
    fn max_interested(&self) -> usize {
        self.max_uploads.max(self.config.min_uploads).max(1)
    }

    fn notice(
        &mut self,
        now: Instant,
        event: PeerEvent<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Notice {
        self.start_clock(now);
        let rechoke = match event {
            PeerEvent::Connected(peer) => {
                // CH-18: where seeds serve by turns, a new peer waits for its turn like any other.
                let by_turns = self.rotates(swarm);
                self.insert(peer, if by_turns { 1 } else { self.config.new_peer_weight }, rng);
                !by_turns
            }
            // CH-10.
            PeerEvent::Gone(peer) => {
                self.order.retain(|&one| one != peer.key);
                peer.peer_interested && !peer.am_choking
            }
            // CH-11: a choked peer waits for the clock.
            PeerEvent::Interested(peer) | PeerEvent::NotInterested(peer) => {
                swarm.peer(peer).is_some_and(|peer| !peer.am_choking)
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
        let by_turns = self.rotates(swarm);
        if cause == Cause::Timer && self.next_round.is_some() {
            self.next_round = Some(now + self.config.round.get());
            self.rounds = self.rounds.wrapping_add(1);
            self.rotation.tick(now);
            if !by_turns && self.rounds.is_multiple_of(self.config.optimistic_rounds) {
                self.rotate(swarm);
            }
        }
        self.start_clock(now);
        self.max_uploads = self.config.max_uploads.get(swarm.own().upload_limit);
        if by_turns {
            let forced = if cause == Cause::Timer { Some(self.rounds) } else { None };
            return self.rotation.choose(forced, self.max_uploads, &mut self.order, swarm, unchokes);
        }
        self.find_preferred(swarm);
        let for_rate = if swarm.own().is_seed { Reason::UPLOAD_RATE } else { Reason::DOWNLOAD_RATE };
        // CH-6.
        let mut count = self.candidates.len();
        let mut hit = false;
        let mut preferred = self.candidates.iter().map(|&(_, place)| place).peekable();
        for (place, &key) in self.order.iter().enumerate() {
            if preferred.next_if_eq(&place).is_some() {
                unchokes.push(key, for_rate);
            } else if count < self.config.min_uploads || !hit {
                let Some(peer) = swarm.peer(key) else { continue };
                if peer.peer_interested {
                    unchokes.push(key, Reason::OPTIMISTIC);
                    count += 1;
                    hit = true;
                } else {
                    unchokes.push(key, Reason::UNINTERESTED);
                }
            } else if preferred.peek().is_none() {
                break;
            }
        }
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[cfg(test)]
mod tests;
