//! What watches a run: it measures, hashes and writes as events happen.

use bt_api::Instant;
use bt_engine::Event;

use super::stream::{EventStream, Streamed};
use crate::Observer;
use crate::measure::{Measured, Measures};
use crate::output::OutputError;

/// Measures a run, and hashes or writes its events where that is wanted.
#[derive(Default)]
pub struct Recorder {
    measures: Measures,
    stream: Option<EventStream>,
}

/// What a [`Recorder`] has of a run.
#[derive(Debug)]
pub struct Recorded {
    /// Its figures.
    pub measured: Measured,
    /// Its event stream, where one was wanted; or why it could not be written.
    pub stream: Result<Option<Streamed>, OutputError>,
}

impl Recorder {
    /// Measures a run; `stream` takes its events, too.
    pub fn new(stream: Option<EventStream>) -> Self {
        Self { measures: Measures::new(), stream }
    }

    /// Lets go of the events, and of what is written of them: the run was broken off.
    pub fn drop_events(&mut self) {
        self.stream = None;
    }

    /// Whether the events can no longer be written: to go on with the run is in vain.
    pub fn has_failed(&self) -> bool {
        self.stream.as_ref().is_some_and(EventStream::has_failed)
    }

    /// Ends the run at `now`; `bound_s` as in [`Measures::finish`].
    pub fn finish(self, now: Instant, bound_s: Option<f64>) -> Recorded {
        let stream = self.stream.map(|stream| stream.finish(now)).transpose();
        Recorded { measured: self.measures.finish(now, bound_s), stream }
    }
}

impl Observer for Recorder {
    fn event(&mut self, now: Instant, node: u32, event: &Event) {
        self.measures.event(now, node, event);
        if let Some(stream) = &mut self.stream {
            stream.event(now, node, event);
        }
    }

    fn progress(&mut self, _now: Instant, _done: f64) -> bool {
        !self.has_failed()
    }
}
