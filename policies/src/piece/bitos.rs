//! BiToS: what is to be played soon, or what is rare, by a throw of a coin.
//!
//! Two sets: the next pieces from the playhead on that we lack, and the rest. Before a piece is begun, one of the sets is
//! drawn, the first one with probability `p`, and the rarest piece in it is taken. If the peer offers none of that
//! set, the other one serves. What is begun is finished first.
//!
//! The paper drops a piece that is not there when its turn to be played comes. Here the player waits instead (see
//! `playback-rate`), and a download is to be complete in the end. So dropped means: pieces before the playhead, as
//! after a jump, are asked for when a peer offers nothing else.
//!
//! Source: Vlavianos, Iliofotou and Faloutsos, "BiToS: Enhancing BitTorrent for Supporting Streaming Applications"
//! (Global Internet 2006).

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Instant, PeerFacts, PieceEvent, PieceIndex, PiecePolicy, PieceView, Pieces, Rng, config};
use serde::{Deserialize, Serialize};

use super::plain::{self, Choose, Plain};
use super::playhead::Player;
use super::{lowest::lowest, odds};

/// Asks for the rarest of the next pieces, or the rarest of the others.
#[derive(Debug)]
pub struct Bitos {
    config: Config,
    player: Player,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How many pieces the set of the next ones holds. The paper's value depends on the content; this one is ours.
    pub window: u32,
    /// The probability that the next piece is one of those (0.8 in the paper, as recalled, unverified).
    pub p: f64,
    /// What the imagined player plays per second.
    pub playback_rate: config::Rate,
    /// For how long the player could play when it begins.
    pub start_up: config::Duration,
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: 40,
            p: 0.8,
            playback_rate: config::Rate(125_000),
            start_up: config::Duration::secs(10),
            endgame: true,
        }
    }
}

impl Plugin for Bitos {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "bitos";
    const SUMMARY: &'static str =
        "draws whether the rarest of the next pieces or of the others comes next (BiToS)";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Self::new(config).map(Plain::boxed)
    }
}
bt_api::register!(Bitos);

impl Bitos {
    fn new(config: Config) -> Result<Self, BuildError> {
        if config.window == 0 {
            return Err(BuildError::new("window", "must be at least 1"));
        }
        odds::check("p", config.p)?;
        Ok(Self { player: Player::new(config.playback_rate, config.start_up)?, config })
    }

    /// Where the set of the next pieces ends, of which the first is `from`.
    fn end(&self, from: PieceIndex, pieces: &Pieces) -> PieceIndex {
        let missing =
            (from.0..pieces.count()).map(PieceIndex).filter(|&piece| !pieces.have().contains(piece));
        let last = missing.take(self.config.window as usize).last();
        last.map_or(from, |last| PieceIndex(last.0 + 1))
    }
}

impl Choose for Bitos {
    fn endgame(&self) -> bool {
        self.config.endgame
    }

    fn choose(
        &mut self,
        now: Instant,
        peer: &PeerFacts,
        view: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Option<PieceIndex> {
        let pieces = view.pieces();
        let from = self.player.look(now, pieces).piece(pieces);
        if let Some(begun) = plain::begun(peer, view) {
            return Some(begun);
        }
        let end = self.end(from, pieces);
        let soon = |rng: &mut dyn Rng| {
            let window = (from.0..end.0).map(PieceIndex);
            lowest(window, |piece| pieces.availability(piece), |piece| view.offers(peer, piece), rng)
        };
        let later = || plain::rarest(peer, view, |piece| piece >= end);
        let next = if odds::happens(self.config.p, rng) {
            soon(rng).or_else(later)
        } else {
            later().or_else(|| soon(rng))
        };
        next.or_else(|| plain::rarest(peer, view, |piece| piece < from))
    }

    fn notice(&mut self, now: Instant, event: PieceEvent, view: &PieceView<'_>) {
        if let PieceEvent::Completed(_) = event {
            self.player.look(now, view.pieces());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    /// One piece of the harness a second.
    fn config(p: f64) -> Config {
        let playback_rate = config::Rate(48 << 10);
        Config { window: 4, p, playback_rate, start_up: config::Duration::secs(2), endgame: true }
    }

    fn client(p: f64, seed: u64) -> Client<Plain<Bitos>> {
        Client::new(Plain::new(Bitos::new(config(p)).unwrap()), 20, seed)
    }

    fn all() -> Vec<u32> {
        (0..20).collect()
    }

    #[test]
    fn each_set_comes_as_often_as_it_should_and_its_rarest_piece_first() {
        let mut soon = 0;
        for seed in 0..1000 {
            let mut client = client(0.8, seed);
            client.complete(1);
            let peer = client.connect(&all());
            // All but 3 and 12 have another copy. The set of the next ones is 0, 2, 3, 4.
            client.connect(&all().into_iter().filter(|&piece| piece != 3 && piece != 12).collect::<Vec<_>>());
            match client.pick_piece(peer) {
                Some(3) => soon += 1,
                other => assert_eq!(other, Some(12)),
            }
        }
        assert!((750..850).contains(&soon), "{soon}");
    }

    #[test]
    fn the_other_set_serves_when_the_peer_has_nothing_of_the_drawn_one() {
        let peer_has = |p, pieces: &[u32]| {
            let mut client = client(p, 1);
            let peer = client.connect(pieces);
            client.pick_piece(peer)
        };
        assert_eq!(peer_has(1.0, &[9]), Some(9));
        assert_eq!(peer_has(0.0, &[2]), Some(2));
    }

    #[test]
    fn the_window_moves_as_the_content_is_played() {
        let mut client = client(1.0, 1);
        (0..12).for_each(|piece| client.complete(piece));
        client.pieces.set_playhead(PieceIndex(2));
        let peer = client.connect(&[0, 1, 12, 13, 15, 16]);
        assert!(client.pick_piece(peer).is_some_and(|piece| (12..16).contains(&piece)));
        // A jump over what is missing: those that were passed come last.
        client.pieces.set_playhead(PieceIndex(16));
        assert_eq!(client.pick_piece(peer), Some(16));
        client.complete(16);
        assert!(client.pick_piece(peer).is_some_and(|piece| piece < 16));
        client.now = Instant::from_secs(99);
        assert!(client.pick_piece(peer).is_some(), "dropped is not given up");
    }

    #[test]
    fn bad_values_are_refused() {
        assert!(Bitos::new(Config { window: 0, ..Config::default() }).is_err());
        assert!(Bitos::new(Config { p: 1.5, ..Config::default() }).is_err());
        assert!(Bitos::new(Config { playback_rate: config::Rate(0), ..Config::default() }).is_err());
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            p in 0.0..=1.0_f64, seed in any::<u64>(), ops in harness::history(),
        ) {
            let policy = || Plain::new(Bitos::new(config(p)).unwrap());
            prop_assert_eq!(harness::play(policy(), seed, &ops), harness::play(policy(), seed, &ops));
        }
    }
}
