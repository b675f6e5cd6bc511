//! Give-to-Get: three sets by how soon a piece is played.
//!
//! High priority is what is played within the next seconds, asked for in order, begun or not. Middle priority is the time
//! after that, several times as long; low priority is the rest. In both, the rarest piece comes first, so that peers
//! at about the same place in the content have something for each other. Begun pieces go before fresh ones of middle
//! and low priority; pieces before the playhead, as after a jump, come last.
//!
//! This is the piece side. The choke side serves the neighbours that forwarded most of what we gave them, as reported by
//! those who got it from them. That needs messages between peers that are not neighbours in a choke, which no policy
//! can send; with any choker here, only the order of pieces is that of the paper.
//!
//! Source: Mol, Pouwelse, Meulpolder, Epema and Sips, "Give-to-Get: free-riding-resilient video-on-demand in P2P systems"
//! (MMCN 2008).

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Instant, PeerFacts, PieceEvent, PieceIndex, PiecePolicy, PieceView, Rng, config};
use serde::{Deserialize, Serialize};

use super::plain::{self, Choose, Plain};
use super::playhead::Player;

/// Asks for the next pieces in order, then the rarest of the near ones, then the rarest.
#[derive(Debug)]
pub struct GiveToGet {
    config: Config,
    player: Player,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What is played within this time is of high priority (10 s in the paper, as recalled, unverified).
    pub high: config::Duration,
    /// The time of middle priority is so many times as long (4 in the paper, as recalled, unverified).
    pub middle_factor: u32,
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
            high: config::Duration::secs(10),
            middle_factor: 4,
            playback_rate: config::Rate(125_000),
            start_up: config::Duration::secs(10),
            endgame: true,
        }
    }
}

impl Plugin for GiveToGet {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "give-to-get";
    const SUMMARY: &'static str =
        "takes the next pieces in order, the rarest of those soon after, then the rarest (Give-to-Get)";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Self::new(config).map(Plain::boxed)
    }
}
bt_api::register!(GiveToGet);

impl GiveToGet {
    fn new(config: Config) -> Result<Self, BuildError> {
        if config.high.get().is_zero() {
            return Err(BuildError::new("high", "must be more than 0"));
        }
        if config.middle_factor == 0 {
            return Err(BuildError::new("middle-factor", "must be at least 1"));
        }
        Ok(Self { player: Player::new(config.playback_rate, config.start_up)?, config })
    }
}

impl Choose for GiveToGet {
    fn endgame(&self) -> bool {
        self.config.endgame
    }

    fn choose(
        &mut self,
        now: Instant,
        peer: &PeerFacts,
        view: &PieceView<'_>,
        _: &mut dyn Rng,
    ) -> Option<PieceIndex> {
        let pieces = view.pieces();
        let head = self.player.look(now, pieces);
        let high = self.config.high.get();
        let middle = high.saturating_mul(self.config.middle_factor.saturating_add(1));
        let from = head.piece(pieces);
        let (high, middle) = (head.end_of(high, pieces), head.end_of(middle, pieces));
        let next = (from.0..high.0).map(PieceIndex).find(|&piece| view.offers(peer, piece));
        next.or_else(|| plain::begun(peer, view))
            .or_else(|| plain::rarest(peer, view, |piece| (high..middle).contains(&piece)))
            .or_else(|| plain::rarest(peer, view, |piece| piece >= middle))
            .or_else(|| plain::rarest(peer, view, |piece| piece < from))
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

    /// One piece of the harness a second: two are of high priority and the next six of middle priority.
    fn policy(endgame: bool) -> Plain<GiveToGet> {
        let (high, start_up) = (config::Duration::secs(2), config::Duration::secs(2));
        let config =
            Config { high, middle_factor: 3, playback_rate: config::Rate(48 << 10), start_up, endgame };
        Plain::new(GiveToGet::new(config).unwrap())
    }

    /// All that is asked of a peer that has `pieces`, in order.
    fn order(client: &mut Client<Plain<GiveToGet>>, pieces: &[u32]) -> Vec<u32> {
        let peer = client.connect(pieces);
        let mut order = Vec::new();
        while let Some(piece) = client.pick_piece(peer) {
            order.push(piece);
            client.start_all(peer, piece);
        }
        order
    }

    #[test]
    fn the_high_set_in_order_then_the_rarest_of_the_middle_then_the_rarest() {
        let mut client = Client::new(policy(true), 20, 1);
        client.connect(&[0, 2, 3, 9]);
        client.connect(&[0, 2, 9]);
        assert_eq!(order(&mut client, &[9, 12, 2, 3, 7, 1, 0]), [0, 1, 7, 3, 2, 12, 9]);
    }

    #[test]
    fn the_sets_move_with_the_clock() {
        let mut client = Client::new(policy(true), 20, 1);
        (0..7).for_each(|piece| client.complete(piece));
        client.connect(&[8]);
        client.connect(&[8, 10]);
        let peer = client.connect(&[8, 10, 15]);
        assert_eq!(client.pick_piece(peer), Some(15), "all are of low priority, and this is the rarest");
        client.now = Instant::from_secs(1);
        assert_eq!(client.pick_piece(peer), Some(8), "1 to 8 are high or middle");
        client.now = Instant::from_secs(3);
        assert_eq!(client.pick_piece(peer), Some(10), "both are middle, and 10 is rarer");
        client.now = Instant::from_secs(7);
        client.complete(7);
        assert_eq!(client.pick_piece(peer), Some(8), "it is played next");
    }

    #[test]
    fn begun_pieces_go_before_fresh_ones_but_not_before_the_high_set() {
        let mut client = Client::new(policy(true), 20, 1);
        let starter = client.connect(&[15]);
        client.start(starter, 15);
        assert_eq!(order(&mut client, &[15, 1, 4]), [1, 15, 4]);
    }

    #[test]
    fn no_set_may_be_empty_and_nothing_be_played() {
        let wrong = [
            Config { high: config::Duration::secs(0), ..Config::default() },
            Config { middle_factor: 0, ..Config::default() },
            Config { playback_rate: config::Rate(0), ..Config::default() },
        ];
        assert!(wrong.into_iter().all(|config| GiveToGet::new(config).is_err()));
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            endgame: bool, seed in any::<u64>(), ops in harness::history(),
        ) {
            prop_assert_eq!(harness::play(policy(endgame), seed, &ops), harness::play(policy(endgame), seed, &ops));
        }
    }
}
