//! Profile in, running session out.
//!
//! | module | holds |
//! | --- | --- |
//! | [`profile`] | from a TOML text to chosen plug-ins and settings |
//! | [`escape`] | text from strangers, made fit for a terminal |
//! | [`events`] | the event log: one JSON object a line |

#[cfg(feature = "net")]
pub mod cli;
pub mod escape;
pub mod events;
#[cfg(feature = "net")]
pub mod net;
pub mod profile;

pub use events::EventLog;
pub use profile::{Profile, ProfileError};
