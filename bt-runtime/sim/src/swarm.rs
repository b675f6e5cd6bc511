//! The simulation itself.

use bt_api::Instant;
use bt_engine::Event;

/// Sees what happens in a run.
pub trait Observer {
    /// `event` happened at `node`; nodes are numbered from 0 in the order in which they arrive.
    fn event(&mut self, now: Instant, node: u32, event: &Event);

    /// Called now and then with the simulated time and how much of the run is done; `false` ends the run.
    fn progress(&mut self, now: Instant, done: f64) -> bool {
        let _ = (now, done);
        true
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What `run.until` waits for came.
    Done,
    /// The scenario's limit came first.
    Limit,
    /// The observer ended it.
    Interrupted,
}
