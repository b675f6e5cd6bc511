//! Deadlines: what is to be played soon comes first, in order; beyond that, the rarest.
//!
//! A piece is due when playback reaches it. Those that are due within the window are asked for by their deadline, which is
//! their order, begun or not; then begun pieces; then the rarest of those after the window; those before the playhead,
//! as after a jump, at the end. What others call time-critical pieces asks several peers for a block that is late; a
//! piece policy can do that in endgame only, and so does this one.
//!
//! Source: earliest deadline first, as scheduling has it; the window is after the time-critical pieces of libtorrent.

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Instant, PeerFacts, PieceEvent, PieceIndex, PiecePolicy, PieceView, Rng, config};
use serde::{Deserialize, Serialize};

use super::plain::{self, Choose, Plain};
use super::playhead::Player;

/// Asks for what is due first, then for the rarest.
#[derive(Debug)]
pub struct Deadline {
    config: Config,
    player: Player,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What is due within this time goes first.
    pub window: config::Duration,
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
            window: config::Duration::secs(20),
            playback_rate: config::Rate(125_000),
            start_up: config::Duration::secs(10),
            endgame: true,
        }
    }
}

impl Plugin for Deadline {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "deadline";
    const SUMMARY: &'static str = "takes what is played soon by its deadline, then the rarest";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Self::new(config).map(Plain::boxed)
    }
}
bt_api::register!(Deadline);

impl Deadline {
    fn new(config: Config) -> Result<Self, BuildError> {
        if config.window.get().is_zero() {
            return Err(BuildError::new("window", "must be more than 0"));
        }
        Ok(Self { player: Player::new(config.playback_rate, config.start_up)?, config })
    }
}

impl Choose for Deadline {
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
        let (from, end) = (head.piece(pieces), head.end_of(self.config.window.get(), pieces));
        let due = (from.0..end.0).map(PieceIndex).find(|&piece| view.offers(peer, piece));
        due.or_else(|| plain::begun(peer, view))
            .or_else(|| plain::rarest(peer, view, |piece| piece >= end))
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

    /// One piece of the harness a second; three pieces are urgent.
    fn policy(endgame: bool) -> Plain<Deadline> {
        let (window, start_up) = (config::Duration::secs(3), config::Duration::secs(2));
        let config = Config { window, playback_rate: config::Rate(48 << 10), start_up, endgame };
        Plain::new(Deadline::new(config).unwrap())
    }

    /// All that is asked of `peer`, in order.
    fn order(client: &mut Client<Plain<Deadline>>, pieces: &[u32]) -> Vec<u32> {
        let peer = client.connect(pieces);
        let mut order = Vec::new();
        while let Some(piece) = client.pick_piece(peer) {
            order.push(piece);
            client.start_all(peer, piece);
        }
        order
    }

    #[test]
    fn what_is_due_comes_in_order_then_the_begun_then_the_rarest() {
        let mut client = Client::new(policy(true), 20, 1);
        client.connect(&[0, 5, 6, 9]);
        let starter = client.connect(&[0, 5, 6, 9]);
        client.start(starter, 6);
        assert_eq!(order(&mut client, &[9, 11, 6, 2, 0, 1]), [0, 1, 2, 6, 11, 9]);
    }

    #[test]
    fn the_window_moves_with_the_clock_once_the_player_plays() {
        let mut client = Client::new(policy(true), 20, 1);
        (0..6).for_each(|piece| client.complete(piece));
        client.connect(&[7]);
        let peer = client.connect(&[7, 8, 9, 19]);
        let pick = |client: &mut Client<_>, secs| {
            client.now = Instant::from_secs(secs);
            client.pick_piece(peer)
        };
        // At first the urgent ones are 0 to 2, which are here.
        assert_ne!(pick(&mut client, 0), Some(7), "19, 8 and 9 are rarer");
        assert_ne!(pick(&mut client, 4), Some(7), "4 to 6 are urgent");
        assert_eq!(pick(&mut client, 5), Some(7), "5 to 7 are urgent");
        assert_eq!(pick(&mut client, 500), Some(7), "the player waits for 6");
    }

    #[test]
    fn something_must_be_due_and_something_played() {
        let wrong = [
            Config { window: config::Duration::secs(0), ..Config::default() },
            Config { playback_rate: config::Rate(0), ..Config::default() },
        ];
        assert!(wrong.into_iter().all(|config| Deadline::new(config).is_err()));
    }

    #[test]
    fn what_was_jumped_over_comes_last() {
        let mut client = Client::new(policy(true), 20, 1);
        client.pieces.set_playhead(PieceIndex(17));
        client.connect(&[18, 17]);
        assert_eq!(order(&mut client, &[0, 18, 17]), [17, 18, 0]);
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
