//! Pieces in their order from the playhead on, for listening and watching while downloading; a swarm of
//! such clients is slow to spread rare pieces.

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Advertise, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PiecePolicy, PieceView, Rng};
use serde::{Deserialize, Serialize};

use super::endgame::{self, Endgame};

/// Asks for the lowest piece from the playhead on, then for those before it.
#[derive(Debug)]
pub struct Sequential {
    endgame: Endgame,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
    /// Whether endgame, once begun, goes on to the end of the run.
    pub endgame_sticky: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { endgame: true, endgame_sticky: true }
    }
}

impl Plugin for Sequential {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "sequential";
    const SUMMARY: &'static str = "takes the pieces in their order, from the playhead on";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Ok(Box::new(Self::new(&config)))
    }
}
bt_api::register!(Sequential);

impl Sequential {
    /// A picker that has seen nothing yet.
    pub fn new(config: &Config) -> Self {
        Self { endgame: Endgame::new(config.endgame, config.endgame_sticky) }
    }
}

impl PiecePolicy for Sequential {
    fn pick(&mut self, _: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        if view.endgame() {
            return endgame::pick(peer, view, rng);
        }
        // The set of open pieces skips what is had or asked for by the word, and shrinks as we go on.
        let mut before = None;
        for piece in view.pieces().open().iter().filter(|&piece| view.offers(peer, piece)) {
            if piece >= view.pieces().playhead() {
                return Pick::Piece(piece);
            }
            before = before.or(Some(piece));
        }
        before.map_or(Pick::Nothing, Pick::Piece)
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
    use bt_api::PieceIndex;
    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    #[test]
    fn the_lowest_from_the_playhead_on_then_those_before() {
        let mut client = Client::new(Sequential::new(&Config::default()), 8, 1);
        client.complete(4);
        client.pieces.set_playhead(PieceIndex(3));
        let peer = client.connect(&[1, 2, 4, 5, 7]);
        let only = [7, 1].map(PieceIndex);
        assert_eq!(client.pick_of(peer, Some(&only)), Pick::Piece(PieceIndex(7)));
        for expected in [Some(5), Some(7), Some(1), Some(2), None] {
            let piece = client.pick_piece(peer);
            assert_eq!(piece, expected);
            piece.into_iter().for_each(|piece| client.start_all(peer, piece));
        }
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            endgame: bool, endgame_sticky: bool, seed in any::<u64>(), ops in harness::history(),
        ) {
            let config = Config { endgame, endgame_sticky };
            let log = harness::play(Sequential::new(&config), seed, &ops);
            prop_assert_eq!(log, harness::play(Sequential::new(&config), seed, &ops));
        }
    }
}
