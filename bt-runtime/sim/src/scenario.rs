//! Scenarios: which swarm is simulated.
//!
//! A scenario is a TOML text; `bt-runtime/docs/scenarios.md` has each key. Everything is checked when it is loaded, so
//! that a scenario that loads can run.

mod bound;
mod group;
mod read;
#[cfg(test)]
mod tests;
mod times;
mod tracker;
mod write;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bt_runtime::text::{self, Found};
use bt_runtime::{Profile, TextError};

pub use tracker::{Announces, TrackerScheme, TrackerUrl};

/// A checked scenario: it can run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What is downloaded.
    pub content: Content,
    /// How the network behaves.
    pub network: Network,
    /// How the tracker behaves.
    pub tracker: Tracker,
    /// When the run ends, and its seed.
    pub run: Run,
    /// Who takes part, in the order of the text.
    pub groups: Vec<Group>,
}

impl Scenario {
    /// The longest text that is read, in bytes: room for a trace of a million arrivals.
    pub const MAX_TEXT: u64 = 64 << 20;
    /// The most pieces that the content may have: what the rules for metainfo allow.
    pub const MAX_PIECES: u64 = 1 << 21;
    /// The longest piece, in bytes.
    pub const MAX_PIECE: u64 = 64 << 20;
    /// The most peers of all groups together.
    pub const MAX_PEERS: u64 = 1 << 24;
    /// The largest seed: the largest number that TOML can say.
    pub const MAX_SEED: u64 = i64::MAX as u64;

    /// Loads the scenario that `name` is the path of, or the shipped one of this name (with or without `.toml`), with
    /// `sets` put in: each `KEY=VALUE`, with a dotted path as the key and a value that is read as TOML, else as a
    /// string. A group is found by its name: `peers.leecher.count=100`, `peers.leecher.choke.use=random`.
    ///
    /// # Errors
    /// Whatever is wrong with it, at its place.
    pub fn load(name: &str, sets: &[String]) -> Result<Self, TextError> {
        Self::load_beside(None, name, sets)
    }

    /// As [`load`](Self::load); a relative path counts from `folder` if there is such a file.
    pub(crate) fn load_beside(
        folder: Option<&std::path::Path>,
        name: &str,
        sets: &[String],
    ) -> Result<Self, TextError> {
        let found =
            text::find("scenario", name, folder, Self::MAX_TEXT).map_err(|why| TextError::new(&why))?;
        read::scenario(&found, sets)
    }

    /// Reads a scenario from `text`; `name` is its name unless the text has one, and `NAME.toml` stands in messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_text(name: &str, text: &str, sets: &[String]) -> Result<Self, TextError> {
        let found = Found {
            name: name.to_owned(),
            file: format!("{name}.toml"),
            text: text.to_owned().into(),
            folder: None,
        };
        read::scenario(&found, sets)
    }

    /// A copy in which every group that `which` names runs the profile `name` (a path or a shipped one) as it is: what
    /// the scenario itself set in their profiles is gone. To compare profiles, `which` is `|group| !group.complete`.
    ///
    /// # Errors
    /// Whatever is wrong with the profile, and that its tracker clients do not serve the scenario's URL.
    pub fn with_profile(&self, name: &str, which: impl Fn(&Group) -> bool) -> Result<Self, TextError> {
        let profile = Arc::new(Profile::load(name, &[])?);
        let mut other = self.clone();
        for group in other.groups.iter_mut().filter(|group| which(group)) {
            group.profile = profile.clone();
        }
        match tracker::lacks_client(&other.tracker, &other.groups) {
            Some(message) => Err(TextError::new(&message)),
            None => Ok(other),
        }
    }
}

/// `[content]`: what is downloaded.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its length in bytes.
    pub size: u64,
    /// The length of a piece in bytes.
    pub piece: u32,
    /// Whether it is network-coded: whatever a peer holds that is not all known to another is useful to it.
    pub coded: bool,
    /// Whether it has bytes, which peers keep in the stores of their profiles.
    pub payload: bool,
}

impl Content {
    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        self.size.div_ceil(u64::from(self.piece)) as u32
    }

    /// The length of piece number `piece` in bytes: the last one may be short.
    pub fn length_of(&self, piece: u32) -> u64 {
        let begin = u64::from(piece) * u64::from(self.piece);
        self.size.saturating_sub(begin).min(u64::from(self.piece))
    }
}

/// `[network]`: how the network behaves.
#[derive(Clone, Debug)]
pub struct Network {
    /// How access links are shared.
    pub model: Model,
    /// The time that anything takes from one peer to another.
    pub delay: Duration,
    /// What is transferred at a time.
    pub granularity: Granularity,
}

/// How access links are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Max-min fair among all transfers.
    MaxMin,
}

/// What is transferred at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// Blocks as the profile asks for them.
    Block,
    /// Whole pieces: a block is a piece, the longest request that is served has no limit, and the backlog is kept
    /// in bytes.
    Piece,
}

/// `[tracker]`: how the tracker behaves.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// Most peers in one reply.
    pub reply: u32,
    /// How peers announce themselves.
    pub announces: Announces,
    /// When it answers nobody, counted from the start; only of one with a URL.
    pub down: Vec<Range<Duration>>,
}

/// `[run]`: when it ends.
#[derive(Clone, Debug)]
pub struct Run {
    /// When it is done.
    pub until: Until,
    /// When an unfinished run is given up.
    pub limit: Duration,
    /// The seed of every draw.
    pub seed: u64,
    /// What is cut off at its start before figures are taken.
    pub warm_up: WarmUp,
}

/// What is cut off at the start of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmUp {
    /// Nothing: a crowd that comes, gets everything and is done has no steady state.
    None,
    /// What a rule says ([`Cut`](crate::measure::Cut)).
    Auto,
    /// This time.
    For(Duration),
}

/// When a run is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Once every peer that was to arrive did, and each has everything or left.
    AllComplete,
    /// After so long.
    After(Duration),
}

/// `[[peers]]`: peers of one class.
#[derive(Clone, Debug)]
pub struct Group {
    /// The name of the class.
    pub name: String,
    /// How many arrive. `None`: they go on arriving until the run ends, which then ends at a time.
    pub count: Option<u32>,
    /// Whether they have everything from the start.
    pub complete: bool,
    /// What they hold on arrival, unless they are `complete`.
    pub have: Have,
    /// Bytes per second of the uplink; `None`: unlimited.
    pub up: Option<u64>,
    /// Bytes per second of the downlink; `None`: unlimited.
    pub down: Option<u64>,
    /// What they run.
    pub profile: Arc<Profile>,
    /// When they arrive.
    pub arrives: Arrivals,
    /// When they leave, once they have everything.
    pub leaves: Leaves,
    /// When they give up before they have everything.
    pub abandons: Option<Wait>,
    /// Whether a comparison gives them its profiles.
    pub compared: bool,
}

/// When peers arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// All at once, at this time.
    At(Duration),
    /// One after another, so many a second: number `i`, counted from 0, at `i / rate` seconds.
    Rate(f64),
    /// At the times of a Poisson process of so many a second.
    Poisson(f64),
    /// At these times since the start, sorted, one for each of the group's `count`.
    Trace(Vec<Duration>),
}

/// When peers leave, once they have everything (an initial seed: once it arrived).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leaves {
    /// They stay.
    Never,
    /// At once.
    OnComplete,
    /// After a time.
    Later(Wait),
}

/// A time to wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// Always this.
    After(Duration),
    /// Exponentially distributed with this mean.
    Exponential(Duration),
}

/// What peers hold on arrival.
#[derive(Clone, Debug, PartialEq)]
pub enum Have {
    /// Each this part of the pieces, drawn at random: at least 0 and below 1.
    Fraction(f64),
    /// All but these, which are sorted.
    Missing(Vec<u32>),
}

impl Have {
    /// How many of `pieces` each holds: a fraction is rounded down, so at least one is missing.
    pub fn count(&self, pieces: u32) -> u32 {
        match self {
            Self::Fraction(part) => (f64::from(pieces) * part) as u32,
            Self::Missing(missing) => pieces - missing.len() as u32,
        }
    }
}
