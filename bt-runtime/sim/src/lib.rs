//! Swarms in virtual time: the engine and the policies of a real client, a thousand times, over a model of
//! the network. A run is a function of scenario and seed, to the byte.
//!
//! | module | holds |
//! | --- | --- |
//! | [`scenario`] | what is simulated: a TOML text in, a checked [`Scenario`] out |
//! | [`grid`] | one scenario with many values: the runs of a sweep |
//! | [`swarm`] | the simulation itself: engines, messages, transfers, arrivals and departures in one order of events |
//! | [`sharing`] | who gets how much of which access link: max-min fair shares |
//! | [`chance`] | random draws that are the same on every machine |
//! | [`stats`] | statistics of runs: intervals, differences, distributions |

pub mod chance;
mod fields;
pub mod grid;
pub mod scenario;
pub mod sharing;
pub mod stats;
pub mod swarm;

pub use grid::Grid;
pub use scenario::Scenario;
pub use swarm::{Broken, Ended, Observer, Outcome, simulate};
