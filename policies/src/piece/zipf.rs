//! Zipf: any piece from the playhead on, the nearer the likelier.
//!
//! Before a piece is begun, one is drawn among those that the peer offers: the one at distance d from the playhead (0 for
//! the piece that is played) with a probability in proportion to 1 / (d + 1)^theta. At theta 0 that is a random piece, with
//! growing theta more and more the next one in order. What is begun is finished first; pieces before the playhead, as
//! after a jump, are drawn when nothing else is offered.
//!
//! Source: Carlsson and Eager, "Peer-assisted on-demand streaming of stored media using BitTorrent-like protocols"
//! (Networking 2007).

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Instant, PeerFacts, PieceEvent, PieceIndex, PiecePolicy, PieceView, Rng, config};
use serde::{Deserialize, Serialize};

use super::odds;
use super::plain::{self, Choose, Plain};
use super::playhead::Player;

/// Above this only the next piece in order ever comes, and weights would be no numbers.
const MAX_THETA: f64 = 16.0;

/// Asks for pieces near the playhead rather than for far ones.
#[derive(Debug)]
pub struct Zipf {
    config: Config,
    player: Player,
    /// By distance, as far as they were needed.
    weights: Vec<f64>,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How fast the probability falls with the distance (1.25 in the paper, as recalled, unverified).
    pub theta: f64,
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
            theta: 1.25,
            playback_rate: config::Rate(125_000),
            start_up: config::Duration::secs(10),
            endgame: true,
        }
    }
}

impl Plugin for Zipf {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "zipf";
    const SUMMARY: &'static str = "draws a piece from the playhead on, the nearer the likelier";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Self::new(config).map(Plain::boxed)
    }
}
bt_api::register!(Zipf);

impl Zipf {
    fn new(config: Config) -> Result<Self, BuildError> {
        if !(0.0..=MAX_THETA).contains(&config.theta) {
            return Err(BuildError::new("theta", format!("must be from 0 to {MAX_THETA}")));
        }
        let player = Player::new(config.playback_rate, config.start_up)?;
        Ok(Self { config, player, weights: Vec::new() })
    }

    /// The piece that is drawn of those from `from` on that `peer` offers.
    fn ahead(
        &mut self,
        from: PieceIndex,
        peer: &PeerFacts,
        view: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Option<PieceIndex> {
        let distances = view.pieces().count().saturating_sub(from.0) as usize;
        for distance in self.weights.len()..distances {
            self.weights.push(1.0 / power(distance as f64 + 1.0, self.config.theta));
        }
        let open = view.pieces().open().iter().skip_while(|&piece| piece < from);
        let offered = open.filter(|&piece| view.offers(peer, piece));
        let mut sum = 0.0;
        let sums: Vec<(f64, PieceIndex)> = offered
            .map(|piece| {
                sum += self.weights[(piece.0 - from.0) as usize];
                (sum, piece)
            })
            .collect();
        let drawn = sum * odds::draw(rng);
        // Rounding may put the draw on the very end.
        sums.iter().find(|(below, _)| drawn < *below).or(sums.last()).map(|&(_, piece)| piece)
    }
}

/// `base`^`exponent` of numbers that are not negative, with operations that give the same bits on every machine: the
/// binary digits of the exponent tell which squares and roots to multiply.
fn power(base: f64, exponent: f64) -> f64 {
    let mut result = 1.0;
    for _ in 0..exponent as u32 {
        result *= base;
    }
    let (mut rest, mut root) = (exponent - exponent.trunc(), base);
    for _ in 0..32 {
        (rest, root) = (rest * 2.0, root.sqrt());
        if rest >= 1.0 {
            rest -= 1.0;
            result *= root;
        }
    }
    result
}

impl Choose for Zipf {
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
        let from = self.player.look(now, view.pieces()).piece(view.pieces());
        let begun = plain::begun(peer, view);
        let ahead = begun.or_else(|| self.ahead(from, peer, view, rng));
        ahead.or_else(|| plain::any(peer, view, |_| true, rng))
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

    fn policy(theta: f64) -> Plain<Zipf> {
        Plain::new(Zipf::new(Config { theta, ..Config::default() }).unwrap())
    }

    #[test]
    fn each_piece_is_as_likely_as_its_distance_says() {
        for theta in [0.0, 1.25, 2.0] {
            let distances = [0, 1, 3, 7];
            let weights = distances.map(|distance| 1.0 / power(f64::from(distance) + 1.0, theta));
            let mut drawn = [0; 4];
            for seed in 0..4000 {
                let mut client = Client::new(policy(theta), 20, seed);
                client.pieces.set_playhead(PieceIndex(5));
                let peer = client.connect(&[1, 2, 5, 6, 8, 12]);
                let piece = client.pick_piece(peer).expect("a piece");
                drawn
                    [distances.iter().position(|one| one + 5 == piece).expect("one from the playhead on")] +=
                    1;
            }
            for (times, weight) in drawn.iter().zip(weights) {
                let expected = 4000.0 * weight / weights.iter().sum::<f64>();
                assert!((f64::from(*times) - expected).abs() < 120.0, "{drawn:?} at {theta}, not {expected}");
            }
        }
    }

    #[test]
    fn pieces_before_the_playhead_come_last() {
        let mut client = Client::new(policy(1.25), 20, 1);
        client.pieces.set_playhead(PieceIndex(15));
        let peer = client.connect(&[1, 15, 18]);
        let mut order = Vec::new();
        while let Some(piece) = client.pick_piece(peer) {
            order.push(piece);
            client.start_all(peer, piece);
        }
        assert_eq!((order.len(), order[2]), (3, 1));
    }

    #[test]
    fn powers_are_what_they_are() {
        for (base, exponent) in [(1.0, 1.25), (2.0, 0.5), (10.0, 1.25), (1e6, 1.1), (7.0, 3.0), (3.0, 0.0)] {
            let (ours, std) = (power(base, exponent), f64::powf(base, exponent));
            assert!((ours / std - 1.0).abs() < 1e-7, "{base}^{exponent} is {std}, not {ours}");
        }
        assert!(Zipf::new(Config { theta: -1.0, ..Config::default() }).is_err());
        assert!(Zipf::new(Config { theta: f64::NAN, ..Config::default() }).is_err());
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            theta in 0.0..4.0_f64, seed in any::<u64>(), ops in harness::history(),
        ) {
            prop_assert_eq!(harness::play(policy(theta), seed, &ops), harness::play(policy(theta), seed, &ops));
        }
    }
}
