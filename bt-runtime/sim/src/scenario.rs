//! Scenarios: which swarm is simulated.

use std::sync::Arc;
use std::time::Duration;

use bt_runtime::Profile;

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

/// `[content]`: what is downloaded.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its length in bytes.
    pub size: u64,
    /// The length of a piece in bytes.
    pub piece: u32,
    /// Whether it is network-coded: whatever a peer holds that is not all known to another is useful to it.
    pub coded: bool,
}

impl Content {
    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        self.size.div_ceil(u64::from(self.piece)) as u32
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
    /// How many arrive; without it as many as `arrives` says.
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
}

/// When peers arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// All at once, at this time.
    At(Duration),
    /// One after another, so many a second, from the start.
    Rate(f64),
    /// At the times of a Poisson process of so many a second.
    Poisson(f64),
    /// At these times since the start, sorted.
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
    /// Each this part of the pieces, drawn at random.
    Fraction(f64),
    /// All but these.
    Missing(Vec<u32>),
}

impl Scenario {
    /// stand-in
    pub fn lower_bound(&self) -> Option<f64> {
        None
    }
}
