//! The BitTorrent protocol as a pure state machine: no sockets, no files, no clock, no threads.
//!
//! One torrent is one [`Engine`]. A driver feeds it [`Input`]s, each with the time, and carries out the
//! [`Output`]s until there are none; [`Engine::next_wakeup`] says when it wants to be woken. A run is a
//! function of profile, seed and inputs.
//!
//! | module | holds |
//! | --- | --- |
//! | [`io`] | the boundary: every input and output |
//! | [`engine`] | the dispatch of inputs, and the state that the parts share |
//! | [`metainfo`], [`bencode`] | torrent files |
//! | [`wire`], [`handshake`] | bytes of peers |
//! | [`settings`] | the profile's tables that are not a plug-in's |
//! | [`rate`] | rate estimators |
//! | [`event`] | the event log's entries |
//! | [`resume`] | what is kept between runs |

pub mod bencode;
pub mod engine;
pub mod event;
pub mod handshake;
pub mod io;
pub mod metainfo;
pub mod rate;
pub mod resume;
pub mod settings;
pub mod status;
pub mod wire;

pub use engine::{Engine, EngineSetup};
pub use event::Event;
pub use io::{CloseReason, Input, Output, Tag, Target, Verdict};
pub use settings::Settings;
pub use status::{PeerStatus, Stall, Status};
