//! Proportional fair seeding: a seed serves the piece that is most asked for of what it was served so far.
//!
//! A seed serves all leechers and looks at what they ask for. When more than a few requests wait, or the first of them
//! has waited for a second, it serves a few: each time a block of the piece p with the largest r/θ, where r is how many
//! requests for blocks of p wait and θ the share of its upload that p has had. A piece that few have is asked of
//! the seed by many, and soon has copies elsewhere; one that the swarm can give by itself is left to it.
//!
//! The papers' client had no way to choose single blocks: it unchoked everyone to collect requests, then choked all but
//! those whose pieces won. Here the engine asks for each block, so that everyone stays unchoked and the losers' requests
//! wait. With `alpha` = 0 θ is the plain share of all that was served; else old blocks count for less: θ is the moving
//! average that gives the last block the weight alpha. Of the requests for the winning piece goes first the one of the
//! peer that we have sent least (ours; the papers leave it open). Until it is a seed the client is one of 3.4.2
//! (`[choke.leech]`), as in the papers.
//!
//! Source: Michiardi, Ramachandran and Sikdar, "Modeling seed scheduling strategies in BitTorrent", NETWORKING 2007;
//! Esposito, Matta, Michiardi, Mitsutake and Carra, "Seed scheduling for peer-to-peer networks", NCA 2009.

use std::collections::BTreeMap;

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    BlockRef, Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerKey, PieceIndex, Reason, Rng, Serve,
    SwarmView, Unchokes, Waiting,
};
use serde::{Deserialize, Serialize};

use super::tit_for_tat::{self, TitForTat};

/// Leeches as 3.4.2; as a seed serves the piece most asked for of what it was served.
#[derive(Debug)]
pub struct Pfs {
    config: Config,
    leech: TitForTat,
    seeding: bool,
    /// When the requests that are being collected are served at the latest.
    deadline: Option<Instant>,
    /// Blocks that may still be served before requests are collected again.
    left: usize,
    served: Served,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// As soon as more requests than this wait, so many are served.
    pub batch: usize,
    /// The longest that requests are collected.
    pub collect: config::Duration,
    /// How much of a piece's share the last block makes: 0 for all blocks alike, less than 1.
    pub alpha: f64,
    /// Who is served until we are a seed: the keys of `tit-for-tat`.
    pub leech: tit_for_tat::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch: 4,
            collect: config::Duration::secs(1),
            alpha: 0.0,
            leech: tit_for_tat::Config::default(),
        }
    }
}

impl Plugin for Pfs {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "pfs";
    const SUMMARY: &'static str = "as a seed, serves the piece most asked for of what it was served (proportional fair); leeches as 3.4.2";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(Pfs);

impl Pfs {
    /// A choker without connections.
    ///
    /// # Errors
    /// When `batch` is 0, `alpha` not in 0 to below 1, or a key of `leech` is wrong.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.batch == 0 {
            return Err(BuildError::new("batch", "must be at least 1"));
        }
        if !(0.0..1.0).contains(&config.alpha) {
            return Err(BuildError::new("alpha", "must be at least 0 and less than 1"));
        }
        let leech = TitForTat::new(config.leech.clone())?;
        let served = Served::new(config.alpha);
        Ok(Self { config, leech, seeding: false, deadline: None, left: 0, served })
    }

    fn best(&self, waiting: &Waiting<'_>, swarm: &SwarmView<'_>) -> Option<(PeerKey, BlockRef)> {
        let mut wanted: BTreeMap<PieceIndex, (u32, u64, PeerKey, BlockRef)> = BTreeMap::new();
        for queue in waiting.iter() {
            let sent = swarm.peer(queue.peer).map_or(0, |peer| peer.uploaded);
            for &block in &queue.requests {
                let piece = wanted.entry(block.piece).or_insert((0, sent, queue.peer, block));
                piece.0 += 1;
                if sent < piece.1 {
                    (piece.1, piece.2, piece.3) = (sent, queue.peer, block);
                }
            }
        }
        let mut best: Option<(f64, f64, PeerKey, BlockRef)> = None;
        for (piece, (requests, _, peer, block)) in wanted {
            let (requests, share) = (f64::from(requests), self.served.of(piece));
            // r/θ compared as products: of two pieces that were never served, the one more asked for wins.
            let wins = best.is_none_or(|(most, least, ..)| {
                let (this, other) = (requests * least, most * share);
                this > other || (this == other && share <= least && requests > most)
            });
            if wins {
                best = Some((requests, share, peer, block));
            }
        }
        best.map(|(.., peer, block)| (peer, block))
    }
}

impl ChokePolicy for Pfs {
    fn next_round(&self) -> Instant {
        match self.deadline {
            _ if !self.seeding => self.leech.next_round(),
            deadline => deadline.unwrap_or(Instant::NEVER),
        }
    }

    fn max_interested(&self) -> usize {
        if self.seeding { usize::MAX } else { self.leech.max_interested() }
    }

    fn notice(
        &mut self,
        now: Instant,
        event: PeerEvent<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Notice {
        let leech = self.leech.notice(now, event, swarm, rng);
        match event {
            _ if !swarm.own().is_seed => leech,
            PeerEvent::Connected(_) | PeerEvent::Completed => Notice::Rechoke,
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
        self.seeding = swarm.own().is_seed;
        if !self.seeding {
            self.deadline = None;
            return self.leech.choose(now, cause, swarm, rng, unchokes);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.left = self.config.batch;
        }
        let leechers = swarm.peers().iter().filter(|peer| !peer.is_seed());
        leechers.for_each(|peer| unchokes.push(peer.key, Reason::EVERYONE));
    }

    fn serve(
        &mut self,
        now: Instant,
        waiting: &Waiting<'_>,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
    ) -> Serve {
        if !self.seeding {
            return Serve::ByShare;
        }
        if self.left == 0 {
            let deadline = *self.deadline.get_or_insert(now + self.config.collect.get());
            let requests: usize = swarm.peers().iter().map(|peer| peer.queued as usize).sum();
            if requests <= self.config.batch && now < deadline {
                return Serve::Nobody;
            }
            self.deadline = None;
            self.left = self.config.batch;
        }
        let Some((peer, block)) = self.best(waiting, swarm) else { return Serve::Nobody };
        self.left -= 1;
        self.served.count(block.piece);
        Serve::Block(peer, block)
    }
}

/// How much each piece was served, up to a factor that is the same for all.
#[derive(Debug)]
struct Served {
    /// What the next block counts, and by how much more each block counts than the one before: that old blocks fade is
    /// the same as that new ones grow.
    weight: f64,
    growth: f64,
    pieces: BTreeMap<PieceIndex, f64>,
}

impl Served {
    /// The weight at which everything is scaled down, far from where an `f64` ends.
    const LARGEST: f64 = 1e100;

    fn new(alpha: f64) -> Self {
        Self { weight: 1.0, growth: 1.0 / (1.0 - alpha), pieces: BTreeMap::new() }
    }

    fn of(&self, piece: PieceIndex) -> f64 {
        self.pieces.get(&piece).copied().unwrap_or(0.0)
    }

    fn count(&mut self, piece: PieceIndex) {
        *self.pieces.entry(piece).or_insert(0.0) += self.weight;
        self.weight *= self.growth;
        if self.weight > Self::LARGEST {
            self.pieces.values_mut().for_each(|share| *share /= self.weight);
            self.weight = 1.0;
        }
    }
}

#[cfg(test)]
mod tests;
