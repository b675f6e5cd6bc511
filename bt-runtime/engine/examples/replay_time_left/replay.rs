//! One recorded scenario of the estimate of the time left.

use bt_engine::rate::TimeLeft;
use bt_engine::settings::RateSettings;
use serde::Deserialize;

/// A scenario as it is recorded: bytes missing at the start, and what happened.
#[derive(Deserialize)]
pub(crate) struct Scenario {
    left: u64,
    events: Vec<Event>,
}

/// What happened at `t` seconds, and what was seen right after it.
#[derive(Deserialize)]
struct Event {
    t: f64,
    /// So many bytes came in.
    came_in: Option<u64>,
    /// So many bytes failed their hash.
    rejected: Option<u64>,
    /// The estimate in seconds, if there was one.
    #[serde(deserialize_with = "Option::deserialize")]
    time_left: Option<f64>,
    size_left: i64,
}

/// Replays `scenario` up to the first answer that differs; of an estimate, by more than a billionth of it. Says how.
pub(crate) fn replay(scenario: &Scenario) -> Vec<String> {
    let mut measure = TimeLeft::new(&RateSettings::default(), scenario.left);
    for (number, event) in scenario.events.iter().enumerate() {
        if let Some(bytes) = event.came_in {
            measure.came_in(event.t, bytes);
        }
        if let Some(bytes) = event.rejected {
            measure.rejected(bytes);
        }
        let (time_left, left) = (measure.time_left(event.t), measure.left());
        let mut differences = Vec::new();
        let at = format!("event {}, t = {}", number + 1, event.t);
        if !agrees(time_left, event.time_left) {
            let (answer, recorded) = (shown(time_left), shown(event.time_left));
            differences.push(format!("{at}: the time left is {answer}, recorded {recorded}"));
        }
        if left != event.size_left {
            differences.push(format!("{at}: {left} bytes are left, recorded {}", event.size_left));
        }
        if !differences.is_empty() {
            return differences;
        }
    }
    Vec::new()
}

/// Whether `answer` is `recorded`, to a billionth of it.
fn agrees(answer: Option<f64>, recorded: Option<f64>) -> bool {
    match (answer, recorded) {
        (Some(answer), Some(recorded)) => {
            answer == recorded || (answer - recorded).abs() <= 1e-9 * recorded.abs()
        }
        (answer, recorded) => answer == recorded,
    }
}

fn shown(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "unknown".to_owned(), |seconds| seconds.to_string())
}
