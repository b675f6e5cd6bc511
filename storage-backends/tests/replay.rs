//! The recordings of the original's placement agree with `compact`, and one that was altered does not.

use serde_json::{Value, json};

#[path = "../examples/replay_placement/replay.rs"]
mod placement;
#[path = "../../tests/recordings/replay.rs"]
#[expect(dead_code, reason = "its `example` is for the examples")]
mod recording;

const RECORDED: &str = include_str!("../../tests/recordings/placement.jsonl");

/// Whether all of `recording` agrees, and what is printed.
fn replayed(recording: &str) -> (bool, String) {
    let mut out = Vec::new();
    let all = recording::all(recording, placement::replay, &mut out).unwrap();
    (all, String::from_utf8(out).unwrap())
}

#[test]
fn every_recorded_scenario_agrees() {
    assert_eq!(replayed(RECORDED), (true, "8 of 8 scenarios agree\n".into()));
}

/// Alters what was observed after an event.
type Alter = fn(&mut Value);

/// Whatever of an observation is altered, wherever: it is told.
#[test]
fn another_observation_differs() {
    let alterations: [(&str, Alter); 7] = [
        ("slot_of_piece", |event| {
            let slots = event["slot_of_piece"].as_object_mut().unwrap();
            let (_, slot) = slots.iter_mut().next().unwrap();
            *slot = (slot.as_u64().unwrap() + 1).into();
        }),
        ("slot_of_piece", |event| event["slot_of_piece"] = json!({})),
        ("file_sha1", |event| event["file_sha1"] = "00".repeat(20).into()),
        ("left", |event| event["left"] = (event["left"].as_u64().unwrap() + 1).into()),
        ("endgame", |event| event["endgame"] = (event["endgame"] == false).into()),
        ("ok", |event| event["ok"] = (event["ok"] == false).into()),
        ("have_bits", |event| event["have_bits"] = "".into()),
    ];
    let scenarios: Vec<Value> = RECORDED.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (what, alter) in alterations {
        for (number, scenario) in scenarios.iter().enumerate() {
            for event in [0, scenario["events"].as_array().unwrap().len() - 1] {
                let mut altered = scenarios.clone();
                alter(&mut altered[number]["events"][event]);
                let text: String = altered.iter().map(|scenario| format!("{scenario}\n")).collect();
                let (all, told) = replayed(&text);
                assert!(!all && told.ends_with("7 of 8 scenarios agree\n"), "{what}: {told}");
                let begin = format!("line {}: event {}, piece", number + 1, event + 1);
                assert!(
                    told.starts_with(&begin) && told.contains(&format!(": {what} is ")),
                    "{what}: {told}"
                );
            }
        }
    }
}

/// What cannot be is told, and ends nothing but its scenario.
#[test]
fn events_that_cannot_be_are_told() {
    let event = |piece: u32, arrival: Value| {
        json!({"piece": piece, "arrival": arrival, "corrupt_last_block": false, "slot_of_piece": {}, "have_bits": "",
            "endgame": false, "left": 0, "ok": true, "file_sha1": ""})
    };
    let scenario = |data: &str, event: Value| json!({"total": 4, "piece_length": 4, "request_size": 2, "fill_byte": "ff", "data_hex": data, "events": [event]});
    for (scenario, part) in [
        (scenario("00010203", event(1, json!([]))), "event 1, piece 1: there are 1 pieces"),
        (scenario("00010203", event(0, json!([[0, 4]]))), "the block of 4 at 0 was not asked for"),
        (scenario("00010203", event(0, json!([[0, 2], [0, 2]]))), "the block of 2 at 0 was not asked for"),
        (scenario("000102", event(0, json!([]))), "3 bytes of data for a total of 4"),
        (scenario("0001020x", event(0, json!([]))), "data_hex is not hexadecimal"),
    ] {
        let (all, told) = replayed(&scenario.to_string());
        assert!(!all && told.contains(part) && told.ends_with("0 of 1 scenarios agree\n"), "{told}");
    }
}
