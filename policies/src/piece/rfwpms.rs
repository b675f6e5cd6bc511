//! Rarest first with probabilistic mode suppression: the rarest piece, and with probability q none of the most frequent.
//!
//! [Mode suppression](super::mode_suppression) keeps a swarm stable, yet lets uplinks idle. Here each piece is begun under
//! that rule with probability `q` only, and it is the rarest of those that may be begun. At q 0 this is rarest first, at 1
//! mode suppression that takes the rarest. The paper has simulations of it and no proof. Where most peers lack one
//! piece from the beginning, as in `bt-lab reproduce mode-suppression`, the swarm is bounded at 1 and grows below it as
//! with rarest first: all other pieces are equally frequent there, so a single exception makes the piece that was begun
//! the only most frequent one, and every other may be begun at once.
//!
//! Source: the variants of mode suppression of Reddyvari, Parag and Shakkottai (INFOCOM 2018; IEEE/ACM Transactions on
//! Networking 2021).

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Advertise, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PiecePolicy, PieceView, Rng, config};
use serde::{Deserialize, Serialize};

use super::endgame::{self, Endgame};
use super::mode::{Mode, Rules};
use super::plain;

/// Asks for the rarest piece, unless that is one of the most frequent and chance is against it.
#[derive(Debug)]
pub struct Rfwpms {
    endgame: Endgame,
    mode: Mode,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The probability that the most frequent pieces are suppressed. The paper varies it; this value is ours. With less
    /// than 1 the swarm of `bt-lab reproduce mode-suppression` grows.
    pub q: f64,
    /// T: nothing is suppressed unless the counts of the most and the least frequent piece differ by more than this.
    pub threshold: u32,
    /// From how many peers, drawn at random, the counts are taken (3 in the paper's distributed version);
    /// `"unlimited"`: all that are connected.
    pub sample: config::Limit<u32>,
    /// How long what was drawn holds while nothing comes of it: ours; in the model each contact draws.
    pub redraw: config::Duration,
    /// After so long without a request one piece may be begun whatever its count is; `"unlimited"`, as in the model:
    /// never.
    pub patience: config::Limit<config::Duration>,
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            q: 0.5,
            threshold: 0,
            sample: config::Limit::Unlimited,
            redraw: config::Duration::secs(5),
            patience: config::Limit::Unlimited,
            endgame: true,
        }
    }
}

impl Plugin for Rfwpms {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "rfwpms";
    const SUMMARY: &'static str =
        "takes the rarest piece, but with probability q none of the most frequent (mode suppression)";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn PiecePolicy>)
    }
}
bt_api::register!(Rfwpms);

impl Rfwpms {
    /// A picker that has seen nothing yet.
    ///
    /// # Errors
    /// When a value is out of its range.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let Config { q, threshold, sample, redraw, patience, endgame } = config;
        let mode = Mode::new(Rules { q, threshold, sample, redraw, patience })?;
        Ok(Self { endgame: Endgame::new(endgame, true), mode })
    }
}

impl PiecePolicy for Rfwpms {
    fn pick(&mut self, now: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        if view.endgame() {
            return endgame::pick(peer, view, rng);
        }
        if let Some(begun) = plain::begun(peer, view) {
            return Pick::Piece(begun);
        }
        let suppressed = self.mode.look(now, view, rng);
        let found = plain::rarest(peer, view, |piece| !suppressed(piece));
        self.mode.answer(now, found)
    }

    fn notice(&mut self, now: Instant, event: PieceEvent, view: &PieceView<'_>, _: &mut dyn Rng) {
        self.mode.notice(now, event, view);
    }

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        self.endgame.is_on(view)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        self.mode.next_wakeup()
    }

    fn advertise(&mut self, now: Instant, _: PeerKey, _: &PieceView<'_>, _: &mut dyn Rng) -> Advertise {
        self.mode.turn(now);
        Advertise::All
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    fn client(q: f64, seed: u64) -> Client<Rfwpms> {
        Client::new(Rfwpms::new(Config { q, ..Config::default() }).unwrap(), 10, seed)
    }

    #[test]
    fn the_mode_is_suppressed_as_often_as_q_says() {
        for q in [0.0, 0.3, 1.0] {
            let held = |seed: &u64| {
                let mut client = client(q, *seed);
                client.connect(&[0, 1]);
                let peer = client.connect(&[0]);
                client.pick_piece(peer).is_none()
            };
            let held = (0..1000).filter(held).count() as i32;
            assert!((held - (1000.0 * q) as i32).abs() <= 50, "{held} of 1000 at {q}");
        }
    }

    #[test]
    fn the_rarest_comes_first_and_a_draw_holds_for_a_while() {
        let mut client = client(1.0, 1);
        client.connect(&[0, 1, 2]);
        client.connect(&[0, 1]);
        let (peer, club) = (client.connect(&[0, 1, 2, 3]), client.connect(&[0]));
        assert_eq!(client.pick_piece(peer), Some(3));
        let mut undecided = Client::new(Rfwpms::new(Config { q: 0.5, ..Config::default() }).unwrap(), 10, 3);
        undecided.connect(&[0, 1]);
        let other = undecided.connect(&[0]);
        let mut answers = Vec::new();
        for step in 0..40 {
            undecided.now = Instant::from_millis(100 * step);
            if answers.last() != Some(&Some(0)) {
                answers.push(undecided.pick_piece(other));
            }
        }
        assert!(answers.iter().all(|&answer| answer == answers[0]), "one draw in four seconds: {answers:?}");
        assert!(client.pick_piece(club).is_none());
        assert!(Rfwpms::new(Config { q: 2.0, ..Config::default() }).is_err());
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            q in 0.0..=1.0_f64, seed in any::<u64>(), ops in harness::history(),
        ) {
            let policy = || Rfwpms::new(Config { q, ..Config::default() }).unwrap();
            prop_assert_eq!(harness::play(policy(), seed, &ops), harness::play(policy(), seed, &ops));
        }
    }
}
