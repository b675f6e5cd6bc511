//! Plug-ins that break their promises where they are told to: one of each kind, all called `odd`, for tests of whoever
//! calls plug-ins.
//!
//! Nobody has them unless a test registers them, as its own. What they do otherwise is the simplest that works, so that
//! what is seen comes from what they were told.
//!
//! ```
//! use bt_api::testkit::odd::{Config, Fault, OddChoke, OddStorage};
//! use bt_api::Plugin;
//! bt_api::register!(OddChoke); // in a profile: [choke] use = "odd", at = { choose = "panic" }
//! bt_api::register!(OddStorage);
//!
//! // Or without a profile.
//! let odd = Config::of([("max-interested", Fault::Lie)]);
//! assert_eq!(OddChoke::build(odd).unwrap().max_interested(), 1);
//! ```

mod policies;
mod store;
mod tracker;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Size;
use crate::host::{Host, run_blocking};
use crate::plugin::BuildError;

use Fault::{Block, BlockLent, Garble, Lie, Panic, PanicAtOnce, Pend};

pub use policies::{OddChoke, OddPiece};
pub use store::{OddLayer, OddStorage};
pub use tracker::OddTracker;

/// The table of each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What is wrong, by the method in which it is: `next-round`, or `build` and `drop`, which can only panic.
    pub at: BTreeMap<String, Fault>,
    /// The one torrent towards which it is wrong, if not towards all. Policies and stores know it by the length of its
    /// pieces (`32 KiB`), tracker clients by its info-hash in hexadecimal digits: each by what it sees.
    pub torrent: String,
}

/// What is wrong with a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It panics: where it gives a future, when that is first polled.
    Panic,
    /// It panics, before it gives a future.
    PanicAtOnce,
    /// Its future never ends.
    Pend,
    /// Its future never lets go of the thread that polls it.
    Block,
    /// Its future waits for work on a thread of [`run_blocking`], which never ends.
    BlockLent,
    /// It answers what cannot be, or does not do what it says.
    Lie,
    /// It answers with bytes that are wrong.
    Garble,
}

impl Fault {
    /// As it is written.
    const fn as_str(self) -> &'static str {
        match self {
            Panic => "panic",
            PanicAtOnce => "panic-at-once",
            Pend => "pend",
            Block => "block",
            BlockLent => "block-lent",
            Lie => "lie",
            Garble => "garble",
        }
    }
}

/// The faults that methods can have: those that answer at once, then those that give a future.
const PANICS: &[Fault] = &[Panic, PanicAtOnce];
const LIES: &[Fault] = &[Panic, PanicAtOnce, Lie];
const WAITS: &[Fault] = &[Panic, PanicAtOnce, Pend, Block, BlockLent];
const WAITS_AND_LIES: &[Fault] = &[Panic, PanicAtOnce, Pend, Block, BlockLent, Lie];
const WAITS_AND_GARBLES: &[Fault] = &[Panic, PanicAtOnce, Pend, Block, BlockLent, Lie, Garble];

/// The methods of a plug-in, each with the faults that it can have.
type Methods = &'static [(&'static str, &'static [Fault])];

impl Config {
    /// With these faults, each at a method, towards all torrents.
    pub fn of<'a>(faults: impl IntoIterator<Item = (&'a str, Fault)>) -> Self {
        let at = faults.into_iter().map(|(method, fault)| (method.to_owned(), fault)).collect();
        Self { at, torrent: String::new() }
    }

    /// Whether a plug-in with these methods can be so.
    fn check(&self, methods: Methods) -> Result<(), BuildError> {
        for (method, fault) in &self.at {
            let known = methods.iter().chain(&[("build", PANICS), ("drop", PANICS)]);
            let Some((_, faults)) = known.clone().find(|(name, _)| name == method) else {
                let names: Vec<&str> = known.map(|(name, _)| *name).collect();
                let message = format!("`{method}` is none of its methods: {}", names.join(", "));
                return Err(BuildError::new("at", message));
            };
            if !faults.contains(fault) {
                let can: Vec<&str> = faults.iter().map(|fault| fault.as_str()).collect();
                let message = format!("`{method}` cannot `{}`: it can {}", fault.as_str(), can.join(", "));
                return Err(BuildError::new("at", message));
            }
        }
        self.reach("build");
        Ok(())
    }

    /// The length of the pieces of the one torrent, if it is one.
    fn piece_length(&self) -> Result<Option<u32>, BuildError> {
        if self.torrent.is_empty() {
            return Ok(None);
        }
        let length = self.torrent.parse::<Size>().ok().and_then(|size| u32::try_from(size.0).ok());
        let wrong = || BuildError::new("torrent", "expected the length of its pieces, such as \"32 KiB\"");
        length.map(Some).ok_or_else(wrong)
    }

    fn fault(&self, method: &str) -> Option<Fault> {
        self.at.get(method).copied()
    }

    /// In a method that answers at once: panics if it is to, and tells whether it is to lie.
    fn reach(&self, method: &str) -> bool {
        match self.fault(method) {
            Some(Panic | PanicAtOnce) => broken(method),
            fault => fault == Some(Lie),
        }
    }

    /// In a method that gives a future, before it does.
    fn reach_at_once(&self, method: &str) {
        if self.fault(method) == Some(PanicAtOnce) {
            broken(method);
        }
    }

    /// In the future of a method: answers with the fault that is left to the method, if it comes to an end.
    async fn reach_later(&self, method: &str, host: &dyn Host) -> Option<Fault> {
        match self.fault(method) {
            Some(Panic) => broken(method),
            Some(Pend) => std::future::pending().await,
            Some(Block) => block_for_ever(),
            Some(BlockLent) => run_blocking(host, || block_for_ever()).await,
            fault => fault,
        }
    }
}

fn broken(method: &str) -> ! {
    panic!("broken at {method}")
}

fn block_for_ever() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// A plug-in `odd` of a kind: its methods, and how it is made.
macro_rules! odd {
    ($type:ident: $kind:ident, $object:path, $methods:expr, $make:expr) => {
        impl $crate::plugin::Plugin for $type {
            type Kind = $crate::plugin::$kind;
            type Config = $crate::testkit::odd::Config;
            const NAME: &'static str = "odd";
            const SUMMARY: &'static str = "breaks its promises where it is told to";
            fn build(config: Self::Config) -> Result<Box<dyn $object>, $crate::plugin::BuildError> {
                config.check($methods)?;
                let make: fn(Self::Config) -> Result<$type, $crate::plugin::BuildError> = $make;
                Ok(Box::new(make(config)?))
            }
        }
    };
}
use odd;
