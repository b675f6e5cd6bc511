//! Swarms in virtual time: the engine and the policies of a real client, a thousand times, over a model of
//! the network. A run is a function of scenario and seed, to the byte.
//!
//! | module | holds |
//! | --- | --- |
//! | [`scenario`] | what is simulated: a TOML text in, a checked [`Scenario`] out |
//! | [`grid`] | one scenario with many values: the runs of a sweep |
//! | [`swarm`] | the simulation itself: engines, messages, transfers, arrivals and departures in one order of events |
//! | [`sharing`] | who gets how much of which access link: max-min fair shares |
//! | [`measure`] | every metric of a run, from its events |
//! | [`output`] | the files of a run, and the hash of its events |
//! | [`experiment`] | one run, from a scenario to its figures and files |
//! | [`replicate`] | many runs over the processors |
//! | [`compare`] | profiles compared over many seeds |
//! | [`sweep`], [`gather`] | the cells of a grid, on one machine or on many |
//! | [`tournament`] | every policy against every other in mixed swarms |
//! | `live` | with the feature `live`: a scenario as real clients, beside its simulation |
//! | [`report`] | one page and plots of a run or a comparison |
//! | [`reproduce`] | published results, measured again |
//! | [`new`] | a crate to begin a plug-in of one's own with |
//! | [`cli`] | the whole of `bt-lab` |
//! | [`chance`] | random draws that are the same on every machine |
//! | [`stats`] | statistics of runs: intervals, differences, distributions |

pub mod chance;
pub mod cli;
pub mod compare;
pub mod experiment;
mod fields;
pub mod gather;
pub mod grid;
#[cfg(feature = "live")]
pub mod live;
mod made;
pub mod measure;
pub mod new;
pub mod output;
pub mod replicate;
pub mod report;
pub mod reproduce;
pub mod scenario;
pub mod sharing;
pub mod stats;
pub mod swarm;
pub mod sweep;
pub mod tournament;

pub use grid::Grid;
pub use scenario::Scenario;
pub use swarm::{Broken, Ended, Observer, Outcome, simulate};
