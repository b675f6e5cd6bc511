//! The recordings of the original's two measures agree with those here, and one that was altered does not.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[path = "../examples/replay_rate/replay.rs"]
mod rate;
#[path = "../../../tests/recordings/replay.rs"]
#[expect(dead_code, reason = "its `example` is for the examples")]
mod recording;
#[path = "../examples/replay_time_left/replay.rs"]
mod time_left;

const RATE: &str = include_str!("../../../tests/recordings/current_rate.jsonl");
const TIME_LEFT: &str = include_str!("../../../tests/recordings/time_left.jsonl");

/// Whether all of `recording` agrees, and what is printed.
fn replayed<S: DeserializeOwned>(recording: &str, replay: impl Fn(&S) -> Vec<String>) -> (bool, String) {
    let mut out = Vec::new();
    let all = recording::all(recording, replay, &mut out).unwrap();
    (all, String::from_utf8(out).unwrap())
}

/// Holds that with `key` of any one event multiplied by `factor`, the scenario of that event differs, and it alone.
fn each_differs<S: DeserializeOwned>(
    recording: &str,
    replay: impl Fn(&S) -> Vec<String>,
    key: &str,
    factor: f64,
    part: &str,
) {
    let scenarios: Vec<Value> = recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut altered = 0;
    for (at, scenario) in scenarios.iter().enumerate() {
        for event in 0..scenario["events"].as_array().unwrap().len() {
            let mut wrong = scenarios.clone();
            let value = &mut wrong[at]["events"][event][key];
            let Some(number) = value.as_f64().filter(|number| *number != 0.0) else { continue };
            *value =
                if value.is_u64() { json!((number * factor) as u64 + 1) } else { json!(number * factor) };
            altered += 1;
            let text: String = wrong.iter().map(|scenario| format!("{scenario}\n")).collect();
            let (all, told) = replayed(&text, &replay);
            assert!(!all, "{key} of event {} of line {}", event + 1, at + 1);
            let count = scenarios.len();
            assert!(told.ends_with(&format!("{} of {count} scenarios agree\n", count - 1)), "{told}");
            assert!(told.starts_with(&format!("line {}: event ", at + 1)), "{told}");
            assert!(told.contains(part), "{told}");
        }
    }
    assert!(altered > 2, "{key}");
}

#[test]
fn every_recorded_scenario_agrees() {
    assert_eq!(replayed(RATE, rate::replay), (true, "5 of 5 scenarios agree\n".into()));
    assert_eq!(replayed(TIME_LEFT, time_left::replay), (true, "5 of 5 scenarios agree\n".into()));
}

#[test]
fn another_rate_or_time_until_it_differs() {
    each_differs(RATE, rate::replay, "rate", 1.0 + 2e-9, "the rate is ");
    each_differs(RATE, rate::replay, "seconds", 1.0 + 2e-9, "the time until the rate is ");
}

#[test]
fn another_estimate_or_size_differs() {
    each_differs(TIME_LEFT, time_left::replay, "time_left", 1.0 + 2e-9, "the time left is ");
    each_differs(TIME_LEFT, time_left::replay, "size_left", 1.0, " bytes are left, recorded ");
}

#[test]
fn an_estimate_where_there_was_none_differs() {
    let known = TIME_LEFT.replacen("\"time_left\":null", "\"time_left\":5.0", 1);
    let (all, told) = replayed(&known, time_left::replay);
    assert!(!all && told.contains("the time left is unknown, recorded 5\n"), "{told}");
}

/// Every time counts: one that is altered changes what is seen from there on.
#[test]
fn another_time_differs() {
    let counted = |text: &str, alter: fn(f64) -> f64, replay: &dyn Fn(&str) -> bool| {
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut noticed = 0;
        for scenario in &lines {
            for event in 0..scenario["events"].as_array().unwrap().len() {
                let mut wrong = scenario.clone();
                let t = &mut wrong["events"][event]["t"];
                *t = json!(alter(t.as_f64().unwrap()));
                noticed += usize::from(!replay(&wrong.to_string()));
            }
        }
        noticed
    };
    let later = |t: f64| t + 0.001;
    assert!(counted(RATE, later, &|text| replayed(text, rate::replay).0) > 20);
    assert!(counted(TIME_LEFT, later, &|text| replayed(text, time_left::replay).0) > 20);
}

/// The formulas of the original, in its arithmetic, over runs that are long, dense, and with hardly any fudge.
#[test]
fn long_and_dense_runs_agree_to_the_last_bit() {
    for (fudge, start, step) in
        [(0.0, 1e-13, 1e-13), (1e-12, 0.0, 3e-10), (1.0, 1e9, 0.1 + 1e-11), (5.0, 0.0, 1e7)]
    {
        let (mut since, mut last, mut rate) = (-fudge, -fudge, 0.0);
        let events: Vec<Value> = (0..20_000)
            .map(|number| {
                let (t, bytes) = (start + f64::from(number) * step, number * 7919 % 16384);
                rate = (rate * (last - since) + f64::from(bytes)) / (t - since);
                (last, since) = (t, f64::max(since, t - 20.0));
                json!({"t": t, "bytes": bytes, "rate": rate})
            })
            .collect();
        let scenario = json!({"max_rate_period": 20.0, "fudge": fudge, "events": events}).to_string();
        let (all, told) = replayed(&scenario, rate::replay);
        assert!(all, "{fudge}: {told}");
    }
}

#[test]
fn odd_scenarios_are_told_or_refused_and_never_panic() {
    let odd =
        |events: Value| json!({"max_rate_period": 0, "fudge": 0, "left": 1, "events": events}).to_string();
    for t in [json!(0), json!(-5.5), json!(1e308), json!(1e-320)] {
        replayed(&odd(json!([{"t": t, "bytes": u64::MAX, "rate": 1}])), rate::replay);
        let asked = json!([{"t": t, "query": "time_until_rate", "target": 0, "seconds": 0}]);
        replayed(&odd(asked), rate::replay);
        let came_in = json!({"t": t, "came_in": u64::MAX, "time_left": null, "size_left": i64::MIN});
        let rejected = json!({"t": t, "rejected": u64::MAX, "time_left": null, "size_left": 0});
        replayed(&odd(json!([came_in, came_in, rejected, rejected])), time_left::replay);
    }
    let refused = |error: std::io::Error| error.to_string().starts_with("line 1: ");
    for event in [json!({"t": 1}), json!({"t": 1, "query": "total"}), json!({"t": 1, "bytes": -1, "rate": 0})]
    {
        let refusal = recording::all(&odd(json!([event])), rate::replay, &mut Vec::new());
        assert!(refusal.is_err_and(refused), "{event}");
    }
    let no_answer = odd(json!([{"t": 1, "came_in": 1, "size_left": 0}]));
    assert!(recording::all(&no_answer, time_left::replay, &mut Vec::new()).is_err_and(refused));
}
