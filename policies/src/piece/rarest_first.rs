//! The picker of BitTorrent 3.4.2: finish what is begun, then take what fewest peers have.
//!
//! Rare pieces first keeps every piece alive and gives us something to trade. Two exceptions: the very first
//! pieces are taken in random order, since a rare piece is slow to get and a client without pieces has
//! nothing to give; and a seed is not asked for pieces that others began, so that it starts the ones that only
//! it may have.
//!
//! Source: the rules `PP-1` to `PP-14` of the original, endgame `SW-19` and `DL-13`.

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{
    Advertise, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex, PiecePolicy, PieceView, Rng, rng,
};
use serde::{Deserialize, Serialize};

use super::endgame::{self, Endgame};

/// Asks for begun pieces, then for the rarest.
#[derive(Debug)]
pub struct RarestFirst {
    config: Config,
    endgame: Endgame,
    /// One random order of all pieces, the same for every peer; drawn when it is first needed (PP-14).
    scrambled: Vec<PieceIndex>,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// While fewer pieces than this are had, the next one is random, not rare.
    pub random_first_pieces: u32,
    /// Whether seeds are asked to finish only what a seed began.
    pub seed_partials_only: bool,
    /// When a begun piece goes before one that is not.
    pub partials: Partials,
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
    /// Whether endgame, once begun, goes on to the end of the run.
    pub endgame_sticky: bool,
}

/// When a begun piece goes before one that is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Partials {
    /// However rare the other is.
    #[default]
    Always,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            random_first_pieces: 4,
            seed_partials_only: true,
            partials: Partials::Always,
            endgame: true,
            endgame_sticky: true,
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
        let endgame = Endgame::new(config.endgame, config.endgame_sticky);
        Self { config, endgame, scrambled: Vec::new() }
    }

    /// PP-10: of the begun pieces that `peer` may finish, one with the lowest availability, at random.
    fn partial(&self, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Option<PieceIndex> {
        let Partials::Always = self.config.partials;
        let pieces = view.pieces();
        let by_seed_only = self.config.seed_partials_only && peer.is_seed();
        let joins = |piece: PieceIndex| {
            view.offers(peer, piece) && (!by_seed_only || pieces.is_started_by_seed(piece))
        };
        // Each of the n equals found so far stays with probability 1/n: one pass, nothing stored.
        let mut best = None;
        let mut lowest = u32::MAX;
        let mut equals = 0;
        for &piece in pieces.started() {
            let availability = pieces.availability(piece);
            if availability > lowest || !joins(piece) {
                continue;
            }
            equals = if availability < lowest { 1 } else { equals + 1 };
            lowest = availability;
            if equals == 1 || rng::below(rng, equals) == 0 {
                best = Some(piece);
            }
        }
        best
    }

    /// PP-11: the first wanted piece of the shared random order.
    fn random(&mut self, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Option<PieceIndex> {
        if self.scrambled.is_empty() {
            self.scrambled = (0..view.pieces().count()).map(PieceIndex).collect();
            rng::shuffle(rng, &mut self.scrambled);
        }
        self.scrambled.iter().copied().find(|&piece| view.offers(peer, piece))
    }
}

/// PP-12: the first wanted piece of the lowest level; level 0 is never used.
fn rarest(peer: &PeerFacts, view: &PieceView<'_>) -> Option<PieceIndex> {
    let levels = view.pieces().levels().iter().skip(1);
    levels.flatten().copied().find(|&piece| view.offers(peer, piece))
}

impl PiecePolicy for RarestFirst {
    fn pick(&mut self, _: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        if view.endgame() {
            return endgame::pick(peer, view, rng);
        }
        let piece = if let Some(only) = view.only() {
            // DL-3: what was just freed is taken as it is listed.
            only.iter().copied().find(|&piece| view.offers(peer, piece))
        } else if let Some(partial) = self.partial(peer, view, rng) {
            Some(partial)
        } else if view.pieces().have().count() < self.config.random_first_pieces {
            self.random(peer, view, rng)
        } else {
            rarest(peer, view)
        };
        piece.map_or(Pick::Nothing, Pick::Piece)
    }

    fn notice(&mut self, _: Instant, _: PieceEvent, _: &PieceView<'_>, _: &mut dyn Rng) {}

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        self.endgame.is_on(view)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        None
    }

    fn advertise(&mut self, _: Instant, _: PeerKey, _: &PieceView<'_>, _: &mut dyn Rng) -> Advertise {
        Advertise::All
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    /// A client of `pieces` pieces, of which the last `had` are had.
    fn client(pieces: u32, had: u32, seed: u64) -> Client<RarestFirst> {
        let mut client = Client::new(RarestFirst::new(Config::default()), pieces, seed);
        (pieces - had..pieces).for_each(|piece| client.complete(piece));
        client
    }

    /// What a peer that has `pieces` would be asked for first in each of 60 runs.
    fn answers(make: impl Fn(u64) -> Client<RarestFirst>, pieces: &[u32]) -> BTreeSet<Option<u32>> {
        let answer = |seed| {
            let mut client = make(seed);
            let peer = client.connect(pieces);
            client.pick_piece(peer)
        };
        (0..60).map(answer).collect()
    }

    #[test]
    fn case_78_one_of_the_two_rarest_by_chance() {
        let make = |seed| {
            let mut client = client(7, 4, seed);
            client.connect(&[2]);
            client.connect(&[2]);
            client
        };
        assert_eq!(answers(make, &[0, 1, 2]), BTreeSet::from([Some(0), Some(1)]));
    }

    #[test]
    fn case_79_begun_pieces_go_first_the_rarer_one_before() {
        let make = |seed| {
            let mut client = client(9, 4, seed);
            let starter = client.connect(&[0, 1]);
            client.start(starter, 0);
            client.start(starter, 1);
            client.connect(&[0]);
            client.connect(&[0]);
            client
        };
        assert_eq!(answers(make, &[0, 1, 2]), BTreeSet::from([Some(1)]));
        assert_eq!(answers(make, &[0, 2]), BTreeSet::from([Some(0)]));
        assert_eq!(answers(make, &[2]), BTreeSet::from([Some(2)]));
    }

    #[test]
    fn equally_rare_begun_pieces_are_drawn_from() {
        let make = |seed| {
            let mut client = client(9, 4, seed);
            let starter = client.connect(&[0, 1, 2]);
            (0..3).for_each(|piece| client.start(starter, piece));
            client
        };
        assert_eq!(answers(make, &[0, 1, 2]), BTreeSet::from([Some(0), Some(1), Some(2)]));
    }

    #[test]
    fn case_80_a_seed_joins_only_what_a_seed_began() {
        let mut client = client(9, 4, 1);
        let starter = client.connect(&[0]);
        client.start(starter, 0);
        let seed = client.connect(&(0..9).collect::<Vec<_>>());
        let fresh = client.pick_piece(seed);
        assert!(fresh.is_some_and(|piece| (1..5).contains(&piece)), "{fresh:?}");
        client.start(starter, 4);
        client.policy.config.seed_partials_only = false;
        assert!([Some(0), Some(4)].contains(&client.pick_piece(seed)));
        client.policy.config.seed_partials_only = true;
        client.start(seed, 0);
        assert_eq!(client.pick_piece(seed), Some(0));
    }

    #[test]
    fn case_81_the_first_pieces_come_in_one_random_order() {
        let mut young = client(30, 3, 1);
        let all: Vec<u32> = (0..30).collect();
        let (some, other) = (young.connect(&all[..20]), young.connect(&all[10..]));
        young.connect(&[5]);
        young.pick_piece(some);
        let order = young.policy.scrambled.clone();
        let first = |of: &[u32]| order.iter().map(|piece| piece.0).find(|piece| of.contains(piece));
        assert_eq!(young.pick_piece(some), first(&all[..20]));
        assert_eq!(young.pick_piece(other), first(&all[10..27]));
        young.complete(26);
        young.connect(&all[..25]);
        assert_eq!(young.pick_piece(other), Some(25), "the only one that one peer has");
    }

    #[test]
    fn case_82_what_no_peer_has_is_never_asked_for() {
        let mut client = client(6, 4, 1);
        let peer = client.connect(&[0]);
        // A table that was not told of piece 1, as when a message is still on its way.
        client.peer(peer).pieces.insert(PieceIndex(1));
        client.start_all(peer, 0);
        assert_eq!(client.pick_piece(peer), None);
    }

    #[test]
    fn case_83_a_piece_that_is_had_stays_out_of_the_choice() {
        let mut client = client(7, 4, 1);
        client.complete(0);
        let peer = client.connect(&[0, 1]);
        assert_eq!(client.pick_piece(peer), Some(1));
        client.leave(peer);
        let peer = client.connect(&[0]);
        assert_eq!(client.pick_piece(peer), None);
    }

    #[test]
    fn case_85_a_failed_piece_is_the_last_of_its_level() {
        for seed in 0..20 {
            let mut client = client(9, 4, seed);
            let peer = client.connect(&[0, 1, 2]);
            client.start_all(peer, 1);
            client.pieces.restart(PieceIndex(1));
            let order: Vec<_> = (0..3)
                .map(|_| {
                    let piece = client.pick_piece(peer).expect("three pieces");
                    client.start_all(peer, piece);
                    piece
                })
                .collect();
            assert_eq!(order[2], 1);
        }
    }

    #[test]
    fn only_freed_pieces_are_taken_as_they_are_listed() {
        let mut client = client(9, 4, 1);
        let peer = client.connect(&[0, 1, 2]);
        client.start(peer, 2);
        let only = [3, 1, 2].map(PieceIndex);
        assert_eq!(client.pick_of(peer, Some(&only)), Pick::Piece(PieceIndex(1)));
    }

    #[test]
    fn endgame_begins_when_all_is_asked_for_and_stays() {
        let mut client = client(5, 4, 1);
        let (slow, fast) = (client.connect(&[0]), client.connect(&[0]));
        client.start(slow, 0);
        assert!(!client.endgame());
        client.start_all(slow, 0);
        assert!(client.endgame());
        let Pick::Block(block) = client.pick_of(fast, None) else { panic!("no duplicate") };
        assert_eq!((block.piece, client.pick_of(slow, None)), (PieceIndex(0), Pick::Nothing));
        client.leave(slow);
        assert!(client.endgame(), "it is sticky");
        client.policy.endgame = Endgame::new(true, false);
        assert!(!client.endgame(), "a block is open");
        client.start_all(fast, 0);
        assert!(client.endgame());
        client.policy.endgame = Endgame::new(false, true);
        assert!(!client.endgame());
    }

    proptest! {
        /// Case 86, and what the harness checks of every answer.
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            random_first_pieces in 0_u32..9, seed_partials_only: bool, endgame: bool, endgame_sticky: bool,
            seed in any::<u64>(), ops in harness::history(),
        ) {
            let partials = Partials::Always;
            let config = Config { random_first_pieces, seed_partials_only, partials, endgame, endgame_sticky };
            let log = harness::play(RarestFirst::new(config.clone()), seed, &ops);
            prop_assert_eq!(log, harness::play(RarestFirst::new(config), seed, &ops));
        }
    }
}
