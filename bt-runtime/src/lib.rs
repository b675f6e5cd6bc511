//! Profile in, running session out.
//!
//! | module | holds |
//! | --- | --- |
//! | [`profile`] | from a TOML text to chosen plug-ins and settings |
//! | [`escape`] | text from strangers, made fit for a terminal |
//! | [`events`] | the event log: one JSON object a line |
//! | [`store`] | drives the store of a torrent |
//! | [`trackers`] | asks trackers and peer sources |
//! | [`lane`] | where plug-ins that wait are run |
//! | [`text`] | texts with `--set`s put in, and messages that name a place in them |
//! | [`usage`] | wrong arguments, told in one line |

#[cfg(feature = "net")]
pub mod cli;
pub mod escape;
pub mod events;
pub mod lane;
#[cfg(feature = "net")]
pub mod net;
pub mod profile;
pub mod store;
pub mod text;
pub mod trackers;
pub mod usage;

pub use events::EventLog;
pub use profile::{Profile, ProfileError};
pub use text::TextError;
