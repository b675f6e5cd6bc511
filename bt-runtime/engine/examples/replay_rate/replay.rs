//! One recorded scenario of the measure of a rate, made at t = 0.

use bt_engine::rate::WindowRate;
use serde::Deserialize;

/// A scenario as it is recorded: times in seconds, rates in bytes per second.
#[derive(Deserialize)]
pub(crate) struct Scenario {
    max_rate_period: f64,
    fudge: f64,
    events: Vec<Event>,
}

/// What happened at `t`, and what was seen right after it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Event {
    /// So many bytes were counted.
    Counted { t: f64, bytes: u64, rate: f64 },
    /// Something was asked.
    Asked {
        t: f64,
        #[serde(flatten)]
        query: Query,
    },
}

#[derive(Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
enum Query {
    /// The rate now: time is let pass first.
    Rate { rate: f64 },
    /// How long until the rate falls to the target, from the rate as of the last update.
    TimeUntilRate { target: f64, seconds: f64 },
}

/// Replays `scenario` up to the first answer that differs by more than a billionth of it; says how.
pub(crate) fn replay(scenario: &Scenario) -> Vec<String> {
    let mut measure = WindowRate::new(0.0, scenario.max_rate_period, scenario.fudge);
    for (number, event) in scenario.events.iter().enumerate() {
        let (t, what, answer, recorded) = match *event {
            Event::Counted { t, bytes, rate } => {
                measure.update(t, bytes);
                (t, "rate", measure.rate(), rate)
            }
            Event::Asked { t, query: Query::Rate { rate } } => {
                measure.update(t, 0);
                (t, "rate", measure.rate(), rate)
            }
            Event::Asked { t, query: Query::TimeUntilRate { target, seconds } } => {
                (t, "time until the rate", measure.time_until(t, target), seconds)
            }
        };
        if !agrees(answer, recorded) {
            return vec![format!(
                "event {}, t = {t}: the {what} is {answer}, recorded {recorded}",
                number + 1
            )];
        }
    }
    Vec::new()
}

/// Whether `answer` is `recorded`, to a billionth of it.
fn agrees(answer: f64, recorded: f64) -> bool {
    answer == recorded || (answer - recorded).abs() <= 1e-9 * recorded.abs()
}
