//! The choker of libtorrent (Rasterbar): the peers that gave most in the last round, and some that waited long.
//!
//! Every round the interested peers are sorted by the bytes that they gave since the last one; among equals, and so
//! among all for a seed, by one of three [seed orders](SeedOrder). The first few are served. A fifth of the slots,
//! and at least one, is optimistic: every 30 s they go to the peers for which that is longest ago. The number of
//! slots is fixed, or follows what the uplink achieves: one more for each peer that takes more than a threshold
//! which rises from peer to peer.
//!
//! What differs: the original lets all its torrents compete, and has peer classes with priorities; here one torrent is
//! served and all peers are of one class. After an event the original runs a whole round on the few bytes since the
//! last; here whoever is served keeps its slot until the clock, and only what fell free is given on.
//!
//! Source: libtorrent, `choker.cpp` at 005fa0c and the settings reference. The old quota is that of issue 1171, its
//! mend that of pull request 1218 (2016); the guard against a peer that hides what it has is from pull request 3833.
//! Anti-leech goes back to Chow, Golubchik and Misra, "Improving BitTorrent: a simple approach", IPTPS 2008.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, OwnFacts, PeerEvent, PeerFacts, PeerKey, Reason, Rng, Serve,
    SwarmView, Unchokes, Waiting,
};
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;

/// Serves the peers that gave most in the last round, and those that waited longest.
#[derive(Debug)]
pub struct Libtorrent {
    config: Config,
    /// The slots of the last round by the clock.
    slots: usize,
    next_round: Instant,
    next_optimistic: Instant,
    ledger: Ledger,
    turns: BTreeMap<PeerKey, Turn>,
}

/// What is remembered of a peer's slots.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// All that we had sent it when it was last unchoked.
    uploaded: u64,
    /// Whether its slot is an optimistic one.
    optimistic: bool,
    /// When it last got an optimistic slot.
    last_optimistic: Option<Instant>,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How the number of slots is found.
    pub algorithm: Algorithm,
    /// With fixed slots: peers served at once, the optimistic ones included.
    pub slots: usize,
    /// By rate: the fewest slots. The program never has fewer than 1, its manual says 2.
    pub min_slots: usize,
    /// By rate: what the fastest peer must take for a second slot.
    pub rate_threshold: config::Rate,
    /// By rate: how much more each further peer must take.
    pub rate_step: config::Rate,
    /// Slots that are optimistic; 0 stands for a fifth of all, at least one. With fixed slots no more than `slots`; by
    /// rate, where there are fewer slots in a round, all of them.
    pub optimistic_slots: usize,
    /// How often the optimistic slots are given on.
    pub optimistic_interval: config::Duration,
    /// How long a round lasts.
    pub round: config::Duration,
    /// Who goes first among peers that gave the same, as all do to a seed.
    pub seed_order: SeedOrder,
    /// With `round-robin`: a turn ends after more than so many pieces' bytes.
    pub quota_pieces: u32,
    /// With `round-robin`: and after more than this time. `"0 s"` is the quota before 2016, by bytes alone, which took
    /// the slots from fast peers and left them to slow ones; with it went `turn-order = "waiting"`.
    pub quota_time: config::Duration,
    /// With `round-robin`: who of those whose turn is not over goes first.
    pub turn_order: TurnOrder,
}

/// How the number of slots is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Algorithm {
    /// As the profile says.
    #[default]
    FixedSlots,
    /// From what peers take: `rate-threshold` and `rate-step`.
    RateBased,
}

/// Who goes first among peers that gave the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SeedOrder {
    /// Who is served keeps its slot for a turn, then who has waited longest gets it.
    #[default]
    RoundRobin,
    /// Who took most in the last round.
    FastestUpload,
    /// Who has just begun or is nearly done.
    AntiLeech,
}

/// Who goes first of those whose turn is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TurnOrder {
    /// Who took most in the last round: a fast peer with an optimistic slot takes the place of the slowest.
    #[default]
    Rate,
    /// Who is served keeps its slot to the end of its turn, however slow it is: as before 2016.
    Waiting,
}

/// Who goes first, least value first: whoever keeps its slot; who gave most; whose turn is not over; who stands
/// first in the seed order; who has waited longest.
type Rank = (bool, Reverse<u64>, bool, Reverse<u64>, Instant, PeerKey);

impl Default for Config {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::FixedSlots,
            slots: 8,
            min_slots: 1,
            rate_threshold: config::Rate(1024),
            rate_step: config::Rate(2048),
            optimistic_slots: 0,
            optimistic_interval: config::Duration::secs(30),
            round: config::Duration::secs(15),
            seed_order: SeedOrder::RoundRobin,
            quota_pieces: 20,
            quota_time: config::Duration::secs(60),
            turn_order: TurnOrder::Rate,
        }
    }
}

impl Plugin for Libtorrent {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "libtorrent";
    const SUMMARY: &'static str =
        "serves the peers that gave most in the last round, and those that waited longest";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(Libtorrent);

impl Libtorrent {
    /// A choker that serves nobody yet.
    ///
    /// # Errors
    /// When `slots`, `min-slots`, `round` or `optimistic-interval` is 0, or more of fixed slots are optimistic than there
    /// are.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let zero = config::Duration::secs(0);
        for (key, bad) in [("slots", config.slots == 0), ("min-slots", config.min_slots == 0)] {
            if bad {
                return Err(BuildError::new(key, "must be at least 1"));
            }
        }
        for (key, time) in [("round", config.round), ("optimistic-interval", config.optimistic_interval)] {
            if time == zero {
                return Err(BuildError::new(key, "must be longer than 0 s"));
            }
        }
        if config.algorithm == Algorithm::FixedSlots && config.optimistic_slots > config.slots {
            let message = format!("must be at most `slots`, which is {}", config.slots);
            return Err(BuildError::new("optimistic-slots", message));
        }
        let slots = match config.algorithm {
            Algorithm::FixedSlots => config.slots,
            Algorithm::RateBased => config.min_slots,
        };
        Ok(Self {
            config,
            slots,
            next_round: Instant::ZERO,
            next_optimistic: Instant::ZERO,
            ledger: Ledger::default(),
            turns: BTreeMap::new(),
        })
    }

    fn turn(&self, peer: PeerKey) -> Turn {
        self.turns.get(&peer).copied().unwrap_or_default()
    }

    /// One slot for each peer that takes more than those before it must, and one more to find the next.
    fn slots_by_rate(&self, swarm: &SwarmView<'_>) -> usize {
        let millis = self.config.round.get().as_millis().max(1);
        let mut rates: Vec<u128> =
            interested(swarm).map(|peer| u128::from(self.ledger.of(peer.key).took) * 1000 / millis).collect();
        rates.sort_unstable_by_key(|&rate| Reverse(rate));
        let (first, step) = (u128::from(self.config.rate_threshold.0), u128::from(self.config.rate_step.0));
        let passing =
            rates.iter().zip(0..).take_while(|&(&rate, place)| rate >= first + place * step).count();
        (passing + 1).max(self.config.min_slots)
    }

    /// How many of the slots are optimistic.
    fn optimistic_slots(&self) -> usize {
        let wanted = match self.config.optimistic_slots {
            0 => (self.slots / 5).max(1),
            wanted => wanted,
        };
        wanted.min(self.slots)
    }

    fn rank(&self, now: Instant, cause: Cause, peer: &PeerFacts, own: &OwnFacts) -> Rank {
        let turn = self.turn(peer.key);
        let account = self.ledger.of(peer.key);
        let keeps = cause == Cause::Event && !peer.am_choking && !turn.optimistic;
        let (over, score) = match self.config.seed_order {
            SeedOrder::RoundRobin => {
                let score = match self.config.turn_order {
                    // What a choked peer took in the last round was left over from its turn.
                    _ if peer.am_choking => 0,
                    TurnOrder::Rate => account.took,
                    TurnOrder::Waiting => 1,
                };
                (self.turn_is_over(now, peer, own), score)
            }
            SeedOrder::FastestUpload => (false, account.took),
            SeedOrder::AntiLeech => (false, anti_leech_score(peer, own.piece_length)),
        };
        let waits_since = peer.am_unchoked.unwrap_or(peer.connected);
        (!keeps, Reverse(account.gave), over, Reverse(score), waits_since, peer.key)
    }

    fn turn_is_over(&self, now: Instant, peer: &PeerFacts, own: &OwnFacts) -> bool {
        let taken = peer.uploaded.saturating_sub(self.turn(peer.key).uploaded);
        let served_for = peer.am_unchoked.map(|since| now.since(since)).unwrap_or_default();
        !peer.am_choking
            && taken > u64::from(own.piece_length) * u64::from(self.config.quota_pieces)
            && served_for > self.config.quota_time.get()
    }

    fn reason(&self, own: &OwnFacts) -> Reason {
        match self.config.seed_order {
            _ if !own.is_seed => Reason::DOWNLOAD_RATE,
            SeedOrder::RoundRobin => Reason("libtorrent:round-robin"),
            SeedOrder::FastestUpload => Reason::UPLOAD_RATE,
            SeedOrder::AntiLeech => Reason("libtorrent:anti-leech"),
        }
    }
}

fn interested<'a>(swarm: &SwarmView<'a>) -> impl Iterator<Item = &'a PeerFacts> + use<'a> {
    swarm.peers().iter().filter(|peer| peer.peer_interested)
}

/// 1000 at both ends of a download, 0 in its middle. A peer that was given much has that much, whatever it says, but
/// what it was given never counts for more than the middle: to be served must not raise a rank.
fn anti_leech_score(peer: &PeerFacts, piece_length: u32) -> u64 {
    let size = i128::from(peer.pieces.pieces()) * i128::from(piece_length.max(1));
    if size == 0 {
        return 0;
    }
    let claimed = i128::from(peer.pieces.count()) * i128::from(piece_length.max(1));
    let have = claimed.max(i128::from(peer.uploaded).min(size / 2));
    let score = ((have - size / 2) * 2000 / size).unsigned_abs();
    u64::try_from(score).unwrap_or(u64::MAX)
}

impl ChokePolicy for Libtorrent {
    fn next_round(&self) -> Instant {
        self.next_round
    }

    fn max_interested(&self) -> usize {
        self.slots
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        let rechoke = match event {
            PeerEvent::Gone(peer) => {
                self.turns.remove(&peer.key);
                peer.peer_interested && !peer.am_choking
            }
            PeerEvent::NotInterested(peer) => swarm.peer(peer).is_some_and(|peer| !peer.am_choking),
            PeerEvent::Interested(_) => {
                interested(swarm).filter(|peer| !peer.am_choking).count() < self.slots
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
        if cause == Cause::Timer {
            self.next_round = now + self.config.round.get();
            self.ledger.tick(swarm);
            if self.config.algorithm == Algorithm::RateBased {
                self.slots = self.slots_by_rate(swarm);
            }
        }
        let own = swarm.own();
        let optimistic_slots = self.optimistic_slots();
        let mut ranked: Vec<Rank> = interested(swarm).map(|peer| self.rank(now, cause, peer, own)).collect();
        ranked.sort_unstable();
        let regular = ranked.len().min(self.slots - optimistic_slots);
        let reason = self.reason(own);
        ranked[..regular].iter().for_each(|&(.., peer)| unchokes.push(peer, reason));

        // An optimistic slot ends early when its peer earns a regular one.
        let due = now >= self.next_optimistic && cause == Cause::Timer;
        if due {
            self.next_optimistic = now + self.config.optimistic_interval.get();
        }
        let mut rest: Vec<(bool, Option<Instant>, PeerKey)> = ranked[regular..]
            .iter()
            .map(|&(.., peer)| (peer, self.turn(peer)))
            .map(|(peer, turn)| (due || !turn.optimistic, turn.last_optimistic, peer))
            .collect();
        rest.sort_unstable();
        rest.truncate(optimistic_slots);
        rest.iter().for_each(|&(.., peer)| unchokes.push(peer, Reason::OPTIMISTIC));

        for turn in self.turns.values_mut() {
            turn.optimistic = false;
        }
        for unchoke in unchokes.as_slice() {
            let Some(peer) = swarm.peer(unchoke.peer) else { continue };
            let turn = self.turns.entry(peer.key).or_default();
            if peer.am_choking {
                turn.uploaded = peer.uploaded;
            }
            turn.optimistic = unchoke.reason == Reason::OPTIMISTIC;
        }
        for (renewed, _, peer) in rest {
            if renewed {
                self.turns.entry(peer).or_default().last_optimistic = Some(now);
            }
        }
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[cfg(test)]
mod tests;
