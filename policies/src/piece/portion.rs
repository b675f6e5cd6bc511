//! Portion: the next piece in order, or the rarest, by a throw of a coin.
//!
//! Order alone lets playback begin early, yet peers have nothing for each other; rarest first alone is the other way
//! round. Before a piece is begun, order is drawn with probability `p`, else rarity. What is begun is finished first.
//! In order means: the lowest piece from the playhead on.
//!
//! Source: Carlsson and Eager, "Peer-assisted on-demand streaming of stored media using BitTorrent-like protocols"
//! (Networking 2007); Parvez, Williamson, Mahanti and Carlsson, "Analysis of BitTorrent-like protocols for on-demand
//! stored media streaming" (SIGMETRICS 2008).

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Instant, PeerFacts, PieceIndex, PiecePolicy, PieceView, Rng};
use serde::{Deserialize, Serialize};

use super::odds;
use super::plain::{self, Choose, Plain};

/// Asks for the next piece in order or the rarest.
#[derive(Debug)]
pub struct Portion {
    config: Config,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The probability that the next piece is the next one in order. The papers vary it; this value is ours.
    pub p: f64,
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { p: 0.5, endgame: true }
    }
}

impl Plugin for Portion {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "portion";
    const SUMMARY: &'static str = "draws whether the next piece in order or the rarest comes next";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Self::new(config).map(Plain::boxed)
    }
}
bt_api::register!(Portion);

impl Portion {
    fn new(config: Config) -> Result<Self, BuildError> {
        odds::check("p", config.p)?;
        Ok(Self { config })
    }
}

impl Choose for Portion {
    fn endgame(&self) -> bool {
        self.config.endgame
    }

    fn choose(
        &mut self,
        _: Instant,
        peer: &PeerFacts,
        view: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Option<PieceIndex> {
        if let Some(begun) = plain::begun(peer, view) {
            return Some(begun);
        }
        let playhead = view.pieces().playhead();
        let mut open = view.pieces().open().iter().skip_while(|&piece| piece < playhead);
        let in_order = if odds::happens(self.config.p, rng) {
            open.find(|&piece| view.offers(peer, piece))
        } else {
            None
        };
        in_order.or_else(|| plain::rarest(peer, view, |_| true))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    fn client(p: f64, seed: u64) -> Client<Plain<Portion>> {
        Client::new(Plain::new(Portion::new(Config { p, endgame: true }).unwrap()), 20, seed)
    }

    #[test]
    fn order_comes_as_often_as_it_should_and_else_rarity() {
        for p in [0.0, 0.3, 1.0] {
            let mut in_order = 0;
            for seed in 0..1000 {
                let mut client = client(p, seed);
                client.pieces.set_playhead(PieceIndex(2));
                client.connect(&[0, 1, 2, 3]);
                let peer = client.connect(&[1, 2, 3, 17]);
                match client.pick_piece(peer) {
                    Some(2) => in_order += 1,
                    other => assert_eq!(other, Some(17), "the rarest"),
                }
            }
            let expected = (1000.0 * p) as i32;
            assert!((expected - in_order).abs() <= 50, "{in_order} of 1000 at {p}");
        }
    }

    #[test]
    fn behind_the_playhead_it_is_rarity_and_no_odds_above_one() {
        let mut client = client(1.0, 1);
        client.pieces.set_playhead(PieceIndex(9));
        client.connect(&[1]);
        let peer = client.connect(&[1, 2]);
        assert_eq!(client.pick_piece(peer), Some(2));
        assert!(Portion::new(Config { p: 1.01, ..Config::default() }).is_err());
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            p in 0.0..=1.0_f64, endgame: bool, seed in any::<u64>(), ops in harness::history(),
        ) {
            let policy = || Plain::new(Portion::new(Config { p, endgame }).unwrap());
            prop_assert_eq!(harness::play(policy(), seed, &ops), harness::play(policy(), seed, &ops));
        }
    }
}
