//! The pieces that most peers have (the mode), and when to leave them alone.
//!
//! What a client cannot see it estimates: from a few peers that it draws, or from all that it is connected to. A draw holds
//! until a piece was begun on the strength of it, or for a while: drawing anew whenever anything happens would in the
//! end let everything pass.

use bt_api::plugin::BuildError;
use bt_api::{Instant, PeerKey, Pick, PieceEvent, PieceIndex, PieceView, Pieces, Rng, config, rng};

use super::odds;

/// What of the swarm is looked at, and how long nothing is asked for on that account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The probability with which a draw suppresses anything.
    pub(super) q: f64,
    /// Suppressed only when the counts of the most and the least frequent piece differ by more.
    pub(super) threshold: u32,
    /// Peers that are drawn.
    pub(super) sample: config::Limit<u32>,
    /// How long a draw holds.
    pub(super) redraw: config::Duration,
    /// After so long without a request nothing is suppressed until the next one.
    pub(super) patience: config::Limit<config::Duration>,
}

/// What is suppressed now, and since when that keeps us from asking for anything.
#[derive(Debug)]
pub(super) struct Mode {
    rules: Rules,
    drawn: Option<Draw>,
    held_since: Option<Instant>,
    wakeup: Option<Instant>,
}

#[derive(Debug)]
struct Draw {
    until: Instant,
    /// Whether it suppresses anything.
    acts: bool,
    /// Whom it looks at; `None` for everybody.
    peers: Option<Vec<PeerKey>>,
}

impl Mode {
    /// A client that has drawn nothing yet.
    ///
    /// # Errors
    /// When a rule cannot be.
    pub(super) fn new(rules: Rules) -> Result<Self, BuildError> {
        odds::check("q", rules.q)?;
        if rules.sample == config::Limit::At(0) {
            return Err(BuildError::new("sample", "must be at least 1, or \"unlimited\""));
        }
        if rules.redraw.get().is_zero() {
            return Err(BuildError::new("redraw", "must be more than 0"));
        }
        if rules.patience.get().is_some_and(|patience| patience.get().is_zero()) {
            return Err(BuildError::new("patience", "must be more than 0, or \"unlimited\""));
        }
        Ok(Self { rules, drawn: None, held_since: None, wakeup: None })
    }

    /// Says of which pieces nothing is to be begun now.
    pub(super) fn look<'a>(
        &mut self,
        now: Instant,
        view: &PieceView<'a>,
        rng: &mut dyn Rng,
    ) -> impl Fn(PieceIndex) -> bool + use<'a> {
        self.turn(now);
        let connected = view.swarm().peers().len();
        let rules = self.rules;
        let size = rules.sample.get().map(|size| (size as usize).min(connected));
        let holds = self.drawn.as_ref().is_some_and(|draw| {
            let here = |peers: &Vec<PeerKey>| {
                Some(peers.len()) >= size && peers.iter().all(|&peer| view.swarm().peer(peer).is_some())
            };
            now < draw.until && draw.peers.as_ref().is_none_or(here)
        });
        if !holds {
            let mut peers: Vec<PeerKey> = view.swarm().peers().iter().map(|peer| peer.key).collect();
            rng::shuffle(rng, &mut peers);
            peers.truncate(size.unwrap_or(0));
            let (until, acts) = (now + rules.redraw.get(), odds::happens(rules.q, rng));
            self.drawn = Some(Draw { until, acts, peers: size.map(|_| peers) });
        }
        let patient = |since| rules.patience.get().is_none_or(|patience| now < since + patience.get());
        let acts = self.drawn.as_ref().is_some_and(|draw| draw.acts) && self.held_since.is_none_or(patient);
        let peers = self.drawn.as_ref().and_then(|draw| draw.peers.as_deref()).unwrap_or_default();
        let sample = size.is_some().then(|| {
            let facts = peers.iter().filter_map(|&peer| view.swarm().peer(peer));
            facts.map(|facts| &facts.pieces).collect::<Vec<_>>()
        });
        let pieces = view.pieces();
        let frequency = move |piece| match &sample {
            Some(sample) => {
                let have = sample.iter().filter(|have| have.contains(piece)).count() as u32;
                have + u32::from(pieces.have().contains(piece))
            }
            None => pieces.availability(piece) + u32::from(pieces.have().contains(piece)),
        };
        let most = if acts { most_frequent(pieces, &frequency, rules.threshold) } else { None };
        move |piece| most.is_some_and(|most| frequency(piece) == most)
    }

    /// Begins what was found on the strength of the draw; or holds off, where something was offered and nothing found.
    pub(super) fn answer(&mut self, now: Instant, found: Option<PieceIndex>) -> Pick {
        match found {
            Some(piece) => {
                self.drawn = None;
                Pick::Piece(piece)
            }
            None => {
                self.hold(now);
                Pick::Nothing
            }
        }
    }

    fn hold(&mut self, now: Instant) {
        let since = *self.held_since.get_or_insert(now);
        let drawn = self.drawn.as_ref().map(|draw| draw.until);
        let impatient = self.rules.patience.get().map(|patience| since + patience.get());
        // After the end of its patience, only a new draw could change anything.
        self.wakeup = drawn.into_iter().chain(impatient).filter(|&at| at > now).min();
    }

    pub(super) fn notice(&mut self, now: Instant, event: PieceEvent, view: &PieceView<'_>) {
        self.turn(now);
        if let PieceEvent::Requested { .. } = event {
            (self.held_since, self.wakeup) = (None, None);
        }
        if view.swarm().peers().is_empty() || view.pieces().left() == 0 {
            self.wakeup = None;
        }
    }

    /// When what was held may no longer be.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.wakeup
    }

    /// Takes note of the time: a clock that has come is not to come again.
    pub(super) fn turn(&mut self, now: Instant) {
        self.wakeup = self.wakeup.filter(|&at| at > now);
    }
}

/// The count of the most frequent pieces, unless all pieces are nearly as frequent.
fn most_frequent(pieces: &Pieces, frequency: impl Fn(PieceIndex) -> u32, threshold: u32) -> Option<u32> {
    let counts = || (0..pieces.count()).map(PieceIndex).map(&frequency);
    let (most, least) = (counts().max()?, counts().min()?);
    (most > least.saturating_add(threshold)).then_some(most)
}
