//! The picker of BitTorrent 3.4.2: finish what is begun, then take what fewest peers have.
//!
//! Rare pieces first keeps every piece alive and gives us something to trade. Two exceptions: the very first
//! pieces are taken in random order, since a rare piece is slow to get and a client without pieces has
//! nothing to give; and a seed is not asked for pieces that others began, so that it starts the ones that only
//! it may have. Rules of other releases are keys; every default is 3.4.2's.
//!
//! Source: the rules `PP-1` to `PP-16` of the original, endgame `SW-19` and `DL-13`.

use std::collections::BTreeSet;

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{
    Advertise, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex, PiecePolicy, PieceView, Rng, rng,
};
use serde::{Deserialize, Serialize};

use super::endgame::{self, Endgame};
use super::lowest::lowest;
use super::super_seed::SuperSeed;

/// Asks for begun pieces, then for the rarest.
#[derive(Debug)]
pub struct RarestFirst {
    config: Config,
    endgame: Endgame,
    super_seed: Option<SuperSeed>,
    /// One random order of all pieces, the same for every peer; drawn when it is first needed (PP-14).
    scrambled: Vec<PieceIndex>,
    /// What `unstart-failed = false` remembers.
    failed: Failed,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// While fewer pieces than this are had, the next one is random, not rare (PP-11).
    pub random_first_pieces: u32,
    /// Whose order the random pieces come in (PP-14).
    pub random_order: RandomOrder,
    /// Whether seeds are asked to finish only what a seed began (PP-13).
    pub seed_partials_only: bool,
    /// When a begun piece goes before a rarer one that is not begun.
    pub partials: Partials,
    /// With `above-cutoff`: a piece that so many peers have is not rare (PP-16).
    pub partial_priority_cutoff: u32,
    /// Which of the begun pieces goes first.
    pub partial_order: PartialOrder,
    /// Whether a piece that failed its hash is no longer a begun one: 3.4.2 kept it so, and picked it first (PP-8).
    pub unstart_failed: bool,
    /// Which open block of a piece is asked for first (SW-26).
    pub block_order: BlockOrder,
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
    /// Whether endgame, once begun, goes on to the end of the run.
    pub endgame_sticky: bool,
    /// Whether pieces are shown one at a time once all are had (BEP 16).
    pub super_seeding: bool,
    /// With `super-seeding`: pieces are shown more freely while fewer peers than this want any (SS-2 takes
    /// `min-uploads` of the choker).
    pub super_seed_slots: usize,
}

/// When a begun piece goes before a rarer one that is not begun. While the first pieces are random it always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Partials {
    /// Always, as 3.4.2 (PP-10).
    #[default]
    Always,
    /// Never: only before one that is as rare.
    TieBreak,
    /// When `partial-priority-cutoff` peers or more have the other one, as the builds of mid-2003 (PP-16).
    AboveCutoff,
}

/// Which of the begun pieces goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PartialOrder {
    /// The rarest, one of equals at random, as 3.4.2 (PP-10).
    #[default]
    Rarest,
    /// The one that was begun first, as 3.1 and 3.2 (PP-15; there, only pieces of which a block had come).
    Oldest,
}

/// Whose order the random first pieces come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RandomOrder {
    /// One order for all peers, so that early pieces are finished together.
    #[default]
    Shared,
    /// Drawn anew for each peer and request.
    PerPeer,
}

/// Which open block of a piece is asked for first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BlockOrder {
    /// The lowest, since 3.1.
    #[default]
    Ascending,
    /// The highest, as 3.0.
    Descending,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            random_first_pieces: 4,
            random_order: RandomOrder::Shared,
            seed_partials_only: true,
            partials: Partials::Always,
            partial_priority_cutoff: 3,
            partial_order: PartialOrder::Rarest,
            unstart_failed: true,
            block_order: BlockOrder::Ascending,
            endgame: true,
            endgame_sticky: true,
            super_seeding: false,
            super_seed_slots: 4,
        }
    }
}

impl Plugin for RarestFirst {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "rarest-first";
    const SUMMARY: &'static str =
        "finishes begun pieces, then takes those that fewest peers have (BitTorrent 3.4.2)";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Ok(Box::new(Self::new(config)))
    }
}
bt_api::register!(RarestFirst);

impl RarestFirst {
    /// A picker that has seen nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            endgame: Endgame::new(config.endgame, config.endgame_sticky),
            super_seed: config.super_seeding.then(|| SuperSeed::new(config.super_seed_slots)),
            scrambled: Vec::new(),
            failed: Failed::default(),
            config,
        }
    }

    fn choose(&mut self, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Option<PieceIndex> {
        let young = view.pieces().have().count() < self.config.random_first_pieces;
        if let Some(partial) = self.partial(peer, view, rng) {
            let most = if young { 0 } else { self.rare_enough(view.pieces().availability(partial)) };
            Some(rarest(peer, view, most).unwrap_or(partial))
        } else if young {
            self.random(peer, view, rng)
        } else {
            rarest(peer, view, u32::MAX)
        }
    }

    /// PP-10: of the begun pieces that `peer` may finish, one with the lowest availability, at random.
    fn partial(&self, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Option<PieceIndex> {
        let pieces = view.pieces();
        let by_seed_only = self.config.seed_partials_only && peer.is_seed();
        let by_seed = |piece| pieces.is_started_by_seed(piece) || self.failed.by_seed.contains(&piece);
        let joins = |piece| view.offers(peer, piece) && (!by_seed_only || by_seed(piece));
        let failed = self.failed.pieces.iter().copied().filter(|&piece| !pieces.has_progress(piece));
        let mut begun = failed.chain(pieces.started().iter().copied());
        if self.config.partial_order == PartialOrder::Oldest {
            return begun.find(|&piece| joins(piece));
        }
        lowest(begun, |piece| pieces.availability(piece), joins, rng)
    }

    /// PP-16: fewer peers than this must have a piece for it to go before a begun one that `partial` peers have.
    fn rare_enough(&self, partial: u32) -> u32 {
        match self.config.partials {
            Partials::Always => 0,
            Partials::TieBreak => partial,
            Partials::AboveCutoff => partial.min(self.config.partial_priority_cutoff),
        }
    }

    /// PP-11: the first wanted piece of the random order.
    fn random(&mut self, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Option<PieceIndex> {
        if self.config.random_order == RandomOrder::PerPeer {
            let offered = || view.pieces().open().iter().filter(|&piece| view.offers(peer, piece));
            let count = u32::try_from(offered().count()).unwrap_or(u32::MAX);
            return (count > 0).then(|| offered().nth(rng::below(rng, count) as usize)).flatten();
        }
        if self.scrambled.is_empty() {
            self.scrambled = (0..view.pieces().count()).map(PieceIndex).collect();
            rng::shuffle(rng, &mut self.scrambled);
        }
        self.scrambled.iter().copied().find(|&piece| view.offers(peer, piece))
    }
}

/// PP-12: the first wanted piece of the lowest level below `below`; level 0 is never used.
fn rarest(peer: &PeerFacts, view: &PieceView<'_>, below: u32) -> Option<PieceIndex> {
    let levels = view.pieces().levels().iter().take(below as usize).skip(1);
    levels.flatten().copied().find(|&piece| view.offers(peer, piece))
}

/// Pieces that failed their hash and still count as begun (PP-8).
#[derive(Debug, Default)]
struct Failed {
    /// In the order in which they failed.
    pieces: Vec<PieceIndex>,
    /// Pieces that a seed was asked for, failed or not.
    by_seed: BTreeSet<PieceIndex>,
}

impl Failed {
    fn notice(&mut self, event: PieceEvent) {
        match event {
            PieceEvent::Requested { block, from_seed: true, .. } => {
                self.by_seed.insert(block.piece);
            }
            PieceEvent::Failed(piece) if !self.pieces.contains(&piece) => self.pieces.push(piece),
            PieceEvent::Completed(piece) => {
                self.pieces.retain(|&one| one != piece);
                self.by_seed.remove(&piece);
            }
            _ => {}
        }
    }
}

impl PiecePolicy for RarestFirst {
    fn pick(&mut self, _: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        if view.endgame() {
            return endgame::pick(peer, view, rng);
        }
        let piece = match view.only() {
            // DL-3: what was just freed is taken as it is listed.
            Some(only) => only.iter().copied().find(|&piece| view.offers(peer, piece)),
            None => self.choose(peer, view, rng),
        };
        match (piece, self.config.block_order) {
            (None, _) => Pick::Nothing,
            (Some(piece), BlockOrder::Ascending) => Pick::Piece(piece),
            (Some(piece), BlockOrder::Descending) => {
                view.pieces().open_blocks(piece).next_back().map_or(Pick::Nothing, Pick::Block)
            }
        }
    }

    fn notice(&mut self, _: Instant, event: PieceEvent, view: &PieceView<'_>, _: &mut dyn Rng) {
        if !self.config.unstart_failed {
            self.failed.notice(event);
        }
        if let Some(super_seed) = &mut self.super_seed {
            super_seed.notice(event, view);
        }
    }

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        self.endgame.is_on(view)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        self.super_seed.as_ref().and_then(SuperSeed::next_wakeup)
    }

    fn advertise(
        &mut self,
        now: Instant,
        peer: PeerKey,
        view: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Advertise {
        let super_seed = self.super_seed.as_mut();
        super_seed.map_or(Advertise::All, |super_seed| super_seed.advertise(now, peer, view, rng))
    }
}

#[cfg(test)]
mod tests;
