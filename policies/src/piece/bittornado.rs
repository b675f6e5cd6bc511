//! The picker of BitTornado 0.3.18: common pieces while young, then the rarest.
//!
//! A client with nothing to trade wants its first pieces fast, so it takes those that many peers have, and stays
//! with what it began. Later a rarer piece goes before a begun one, unless too many are begun already. Connected
//! seeds are counted apart, since they make every piece equally more common.
//!
//! Source: the rule `PP-17`, without priorities of files; endgame ends when a block is open again (`DL-16`).

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{
    Advertise, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex, PiecePolicy, PieceView, Rng,
};
use serde::{Deserialize, Serialize};

use super::endgame::{self, Endgame};
use super::lowest::lowest;
use super::super_seed::SuperSeed;

/// Asks for common pieces while young, then for the rarest.
#[derive(Debug)]
pub struct BitTornado {
    config: Config,
    endgame: Endgame,
    super_seed: Option<SuperSeed>,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// With fewer pieces than this, a client is young.
    pub young_pieces: u32,
    /// While young: pieces that so many peers have, seeds included, are common and go first.
    pub common_cutoff: u32,
    /// Whether seeds are asked to finish only what a seed began (PP-13).
    pub seed_partials_only: bool,
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
    /// Whether endgame, once begun, goes on to the end of the run.
    pub endgame_sticky: bool,
    /// Whether pieces are shown one at a time once all are had (BEP 16).
    pub super_seeding: bool,
    /// With `super-seeding`: pieces are shown more freely while fewer peers than this want any (SS-2).
    pub super_seed_slots: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            young_pieces: 2,
            common_cutoff: 5,
            seed_partials_only: true,
            endgame: true,
            endgame_sticky: false,
            super_seeding: false,
            super_seed_slots: 4,
        }
    }
}

impl Plugin for BitTornado {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "bittornado";
    const SUMMARY: &'static str = "takes common pieces while young, then the rarest (BitTornado 0.3.18)";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Ok(Box::new(Self::new(config)))
    }
}
bt_api::register!(BitTornado);

/// What a file of normal priority adds to the level of its pieces. Levels begin at 0, so that many seeds move the
/// bound of what is common below them all.
const NORMAL: usize = 20;

impl BitTornado {
    /// A picker that has seen nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            endgame: Endgame::new(config.endgame, config.endgame_sticky),
            super_seed: config.super_seeding.then(|| SuperSeed::new(config.super_seed_slots)),
            config,
        }
    }

    fn choose(&self, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Option<PieceIndex> {
        let (pieces, peers) = (view.pieces(), view.swarm().peers());
        let young = pieces.have().count() < self.config.young_pieces;
        let seeds = peers.iter().filter(|peer| peer.is_seed()).count();
        // In peers that have a piece, seeds included: what lies above is common.
        let common = (self.config.common_cutoff as usize).max(seeds.saturating_sub(NORMAL));
        let partial = self.partial(peer, view, rng);
        if let Some(partial) = partial {
            let too_many = pieces.started().len() > peers.len() / 2;
            let some_common = pieces.levels().iter().skip(common).any(|level| !level.is_empty());
            if (too_many || young) && !peer.is_seed() || young && some_common {
                return Some(partial);
            }
        }
        // A begun piece wins when nothing rarer is wanted.
        let end = partial.map_or(usize::MAX, |partial| pieces.availability(partial) as usize);
        let rarest = |from: usize, to: usize| {
            let levels = pieces.levels().iter().take(to.min(end)).skip(from.max(1));
            levels.flatten().copied().find(|&piece| view.offers(peer, piece))
        };
        let fresh = if young {
            rarest(common, usize::MAX).or_else(|| rarest(0, common))
        } else {
            rarest(0, usize::MAX)
        };
        fresh.or(partial)
    }

    /// Of the begun pieces that `peer` may finish, one with the lowest availability, at random (PP-10).
    fn partial(&self, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Option<PieceIndex> {
        let pieces = view.pieces();
        let by_seed_only = self.config.seed_partials_only && peer.is_seed();
        let by_seed = |piece| !by_seed_only || pieces.is_started_by_seed(piece);
        let joins = |piece| view.offers(peer, piece) && by_seed(piece);
        lowest(pieces.started().iter().copied(), |piece| pieces.availability(piece), joins, rng)
    }
}

impl PiecePolicy for BitTornado {
    fn pick(&mut self, _: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        if view.endgame() {
            return endgame::pick(peer, view, rng);
        }
        let piece = match view.only() {
            // DL-3: what was just freed is taken as it is listed.
            Some(only) => only.iter().copied().find(|&piece| view.offers(peer, piece)),
            None => self.choose(peer, view, rng),
        };
        piece.map_or(Pick::Nothing, Pick::Piece)
    }

    fn notice(&mut self, _: Instant, event: PieceEvent, view: &PieceView<'_>, _: &mut dyn Rng) {
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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    /// A client of 12 pieces, of which the last `had` are had.
    fn client(had: u32, seed: u64) -> Client<BitTornado> {
        let mut client = Client::new(BitTornado::new(Config::default()), 12, seed);
        (12 - had..12).for_each(|piece| client.complete(piece));
        client
    }

    fn all() -> Vec<u32> {
        (0..12).collect()
    }

    #[test]
    fn the_young_take_common_pieces_and_the_others_rare_ones() {
        for (had, expected) in [(0, 1), (1, 1), (2, 0)] {
            let mut client = client(had, 1);
            for _ in 0..4 {
                client.connect(&[1]);
            }
            let peer = client.connect(&[0, 1]);
            assert_eq!(client.pick_piece(peer), Some(expected), "{had} had");
            let peer = client.connect(&[0]);
            assert_eq!(client.pick_piece(peer), Some(0), "what is rare comes after");
        }
    }

    #[test]
    fn a_begun_piece_wins_when_nothing_rarer_is_wanted() {
        let mut client = client(3, 1);
        let peer = client.connect(&[0, 1, 2]);
        for _ in 0..3 {
            client.connect(&[0, 1]);
        }
        client.start(peer, 0);
        assert_eq!(client.pick_piece(peer), Some(2), "one peer has it, four have 0");
        client.start_all(peer, 2);
        assert_eq!(client.pick_piece(peer), Some(0), "1 is as rare, but not begun");
    }

    #[test]
    fn with_too_many_begun_they_go_first_but_not_at_a_seed() {
        let mut client = client(3, 1);
        let peer = client.connect(&[0, 1, 2]);
        let other = client.connect(&[0]);
        client.start(peer, 0);
        let rarer = client.pick_piece(peer);
        assert!([Some(1), Some(2)].contains(&rarer), "one begun of two connections: {rarer:?}");
        client.start(peer, 1);
        client.start(peer, 2);
        client.start_all(peer, 2);
        assert_eq!(client.pick_piece(other), Some(0));
        assert_eq!(client.pick_piece(peer), Some(1), "of those begun the rarer one");
        let seed = client.connect(&all());
        client.start(seed, 0);
        assert!(client.pick_piece(seed).is_some_and(|piece| piece > 2), "those that it alone has");
    }

    #[test]
    fn the_young_stay_with_what_they_began() {
        let mut client = client(1, 1);
        let peer = client.connect(&[0, 1]);
        for _ in 0..9 {
            client.connect(&[0]);
        }
        client.start(peer, 0);
        assert_eq!(client.pick_piece(peer), Some(0));
    }

    #[test]
    fn seeds_do_not_make_pieces_common() {
        // 25 seeds move the bound to what five peers have; nobody but the seeds has any.
        let mut client = client(0, 1);
        for _ in 0..25 {
            client.connect(&all());
        }
        let peer = client.connect(&[3]);
        assert_eq!(client.pick_piece(peer), Some(3));
    }

    #[test]
    fn endgame_ends_when_a_block_is_open_again() {
        let mut client = client(11, 1);
        let (slow, _) = (client.connect(&[0]), client.connect(&[0]));
        client.start_all(slow, 0);
        assert!(client.endgame());
        client.leave(slow);
        assert!(!client.endgame());
    }

    #[test]
    fn equals_are_drawn_from() {
        let answer = |seed| {
            let mut client = client(2, seed);
            let peer = client.connect(&[0, 1]);
            client.pick_piece(peer)
        };
        assert_eq!((0..40).map(answer).collect::<BTreeSet<_>>(), BTreeSet::from([Some(0), Some(1)]));
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            young_pieces in 0_u32..5, common_cutoff in 0_u32..5, seed_partials_only: bool, endgame: bool,
            seed in any::<u64>(), ops in harness::history(),
        ) {
            let config =
                Config { young_pieces, common_cutoff, seed_partials_only, endgame, ..Config::default() };
            let log = harness::play(BitTornado::new(config.clone()), seed, &ops);
            prop_assert_eq!(log, harness::play(BitTornado::new(config), seed, &ops));
        }
    }
}
