//! Rarest first by the counts of the whole swarm: the baseline that shows what a partial view costs. For the lab only.
//!
//! A client counts the pieces of the peers that it is connected to, and takes what is rare there. This picker is told
//! how many peers of the whole swarm have each piece. It takes the rarest of those that a peer offers, one of equals at
//! random. The rest is as in [`rarest_first`](super::rarest_first): the first pieces are random, and what is begun is
//! finished first, so that the counts make the difference. Nobody knows them outside of a simulator: a profile with this
//! picker runs in `bt-lab` only.
//!
//! Source: the rarest-first rule of BitTorrent, with global knowledge as an oracle.

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Instant, PeerFacts, PieceIndex, PiecePolicy, PieceView, Rng};
use serde::{Deserialize, Serialize};

use super::lowest::lowest;
use super::plain::{self, Choose, Plain};

/// Asks for begun pieces, then for those that fewest peers of the swarm have.
#[derive(Debug)]
pub struct GlobalRarest {
    config: Config,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// While fewer pieces than this are had, the next one is random, not rare.
    pub random_first_pieces: u32,
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { random_first_pieces: 4, endgame: true }
    }
}

impl Plugin for GlobalRarest {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "global-rarest";
    const SUMMARY: &'static str = "takes the pieces that fewest peers of the whole swarm have: a baseline";
    const LAB_ONLY: bool = true;

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Ok(Plain::boxed(Self { config }))
    }
}
bt_api::register!(GlobalRarest);

impl Choose for GlobalRarest {
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
        // Drivers of a network refuse this picker before it is asked: it would be another one without the counts.
        let oracle = view.oracle()?;
        plain::begun(peer, view).or_else(|| {
            if view.pieces().have().count() < self.config.random_first_pieces {
                return plain::any(peer, view, |_| true, rng);
            }
            let open = view.pieces().open().iter();
            lowest(open, |piece| oracle.copies(piece), |piece| view.offers(peer, piece), rng)
        })
    }
}

#[cfg(test)]
mod tests {
    use bt_api::Oracle;
    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    fn policy() -> Plain<GlobalRarest> {
        Plain::new(GlobalRarest { config: Config { random_first_pieces: 0, endgame: true } })
    }

    #[test]
    fn what_is_rare_in_the_swarm_comes_first_though_it_is_frequent_here() {
        let mut client = Client::new(policy(), 6, 1);
        let oracle = Oracle::new(6);
        for piece in [0, 0, 0, 0, 1, 1, 2, 2, 2] {
            oracle.gained(PieceIndex(piece));
        }
        client.pieces.set_oracle(Some(oracle.clone()));
        client.connect(&[1, 2]);
        let peer = client.connect(&[0, 1, 2]);
        assert_eq!(client.pick_piece(peer), Some(1), "two peers of the swarm have it, and both are here");
        oracle.lost(PieceIndex(2));
        oracle.lost(PieceIndex(2));
        assert_eq!(client.pick_piece(peer), Some(2));
        client.start(peer, 0);
        assert_eq!(client.pick_piece(peer), Some(0), "what is begun is finished");
    }

    #[test]
    fn without_the_counts_it_asks_for_nothing() {
        let mut client = Client::new(policy(), 6, 1);
        let peer = client.connect(&[0, 1, 2]);
        assert_eq!(client.pick_piece(peer), None);
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            copies in prop::collection::vec(0_u32..20, 30), seed in any::<u64>(), ops in harness::history(),
        ) {
            let oracle = Oracle::new(12);
            copies.iter().for_each(|&piece| oracle.gained(PieceIndex(piece)));
            let client = || {
                let mut client = harness::client(policy(), seed);
                client.pieces.set_oracle(Some(oracle.clone()));
                client
            };
            prop_assert_eq!(harness::play_with(client(), &ops), harness::play_with(client(), &ops));
        }
    }
}
