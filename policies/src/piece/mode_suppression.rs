//! Mode suppression: never begin a piece that is the most frequent in the swarm.
//!
//! When peers leave as soon as they are complete and more come than a seed can serve, one piece is missing nearly
//! everywhere: newcomers get all the others from each other at once, join the club of those that lack that one, and
//! the club grows for ever. Rarest first does not prevent it. This picker does: newcomers do not take what the club has
//! before they have the piece that it lacks, and so they spread it. It is a picker that lets useful pieces be.
//!
//! Counts are those of all neighbours and our own pieces; what none of them has is what is missing most. What is begun is
//! finished. Among what may be begun, chance decides. A client may wait for ever, as when it alone has what the others
//! lack and serves none of them, or when nobody has some piece; `patience` ends that, for one piece.
//!
//! The defaults are the rule that the paper proves stable, as far as a client sees the swarm. Its distributed version
//! estimates the mode from three peers that are drawn at random: `sample = 3`. With that the swarm of `bt-lab reproduce
//! mode-suppression`, where most peers lack one piece from the beginning, grows, if more slowly than with rarest first. So
//! it does with a `patience` of a minute or two; with ten minutes it is as bounded as without an end.
//!
//! Who waits keeps what slots it was given: a seed that serves one peer until that one leaves is blocked by a newcomer that
//! has the missing piece and waits. Seeds must take turns, as the usual chokers do.
//!
//! Source: Reddyvari, Parag and Shakkottai, "Mode-suppression: a simple and provably stable chunk-sharing algorithm for
//! P2P networks" (INFOCOM 2018), and its threshold form of 2021 (IEEE/ACM Transactions on Networking). The problem: Hajek
//! and Zhu, "The missing piece syndrome in peer-to-peer communication" (2011).

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Advertise, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PiecePolicy, PieceView, Rng, config};
use serde::{Deserialize, Serialize};

use super::endgame::{self, Endgame};
use super::mode::{Mode, Rules};
use super::plain;

/// Asks for any piece but the most frequent ones.
#[derive(Debug)]
pub struct ModeSuppression {
    endgame: Endgame,
    mode: Mode,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// T: nothing is suppressed unless the counts of the most and the least frequent piece differ by more than this. The
    /// plain rule is 0: unless all are equal.
    pub threshold: u32,
    /// From how many peers, drawn at random, the counts are taken; `"unlimited"`: all that are connected. The paper's
    /// distributed version draws 3, with which the swarm of `bt-lab reproduce mode-suppression` grows.
    pub sample: config::Limit<u32>,
    /// How long the drawn peers stay the same while nothing comes of them: ours; in the model each contact draws.
    pub redraw: config::Duration,
    /// After so long without a request one piece may be begun whatever its count is; `"unlimited"`, as in the model:
    /// never. A minute undoes the rule: that swarm grows.
    pub patience: config::Limit<config::Duration>,
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threshold: 0,
            sample: config::Limit::Unlimited,
            redraw: config::Duration::secs(5),
            patience: config::Limit::Unlimited,
            endgame: true,
        }
    }
}

impl Plugin for ModeSuppression {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "mode-suppression";
    const SUMMARY: &'static str = "takes any piece but the most frequent ones, and rather waits";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn PiecePolicy>)
    }
}
bt_api::register!(ModeSuppression);

impl ModeSuppression {
    /// A picker that has seen nothing yet.
    ///
    /// # Errors
    /// When a value is out of its range.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let Config { threshold, sample, redraw, patience, endgame } = config;
        let mode = Mode::new(Rules { q: 1.0, threshold, sample, redraw, patience })?;
        Ok(Self { endgame: Endgame::new(endgame, true), mode })
    }
}

impl PiecePolicy for ModeSuppression {
    fn pick(&mut self, now: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        if view.endgame() {
            return endgame::pick(peer, view, rng);
        }
        if let Some(begun) = plain::begun(peer, view) {
            return Pick::Piece(begun);
        }
        let suppressed = self.mode.look(now, view, rng);
        let found = plain::any(peer, view, |piece| !suppressed(piece), rng);
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
mod tests;
