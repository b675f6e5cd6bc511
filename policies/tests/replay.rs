//! The recordings of the original's choker and picker agree with the policies here, and one that was altered
//! does not.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[path = "../examples/replay_choker/replay.rs"]
mod choker;
#[path = "../examples/replay_picker/replay.rs"]
mod picker;
#[path = "../../tests/recordings/replay.rs"]
#[expect(dead_code, reason = "its `example` is for the examples")]
mod recording;

const CHOKER: &str = include_str!("../../tests/recordings/choker.jsonl");
const PICKER: &str = include_str!("../../tests/recordings/piece_picker.jsonl");

/// Whether all of `recording` agrees, and what is printed.
fn replayed<S: DeserializeOwned>(recording: &str, replay: impl Fn(&S) -> Vec<String>) -> (bool, String) {
    let mut out = Vec::new();
    let all = recording::all(recording, replay, &mut out).unwrap();
    (all, String::from_utf8(out).unwrap())
}

/// `recording` with the first event altered that `alter` says it has altered.
fn altered(recording: &str, mut alter: impl FnMut(&mut Value) -> bool) -> String {
    let mut scenarios: Vec<Value> =
        recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut events = scenarios.iter_mut().flat_map(|scenario| scenario["events"].as_array_mut().unwrap());
    assert!(events.any(&mut alter), "nothing to alter");
    scenarios.iter().map(|scenario| format!("{scenario}\n")).collect()
}

/// Holds that of `count` scenarios one is told to differ, in one line that has `part`.
fn one_differs((all, told): (bool, String), count: usize, part: &str) {
    assert!(!all, "{told}");
    assert!(told.ends_with(&format!("{} of {count} scenarios agree\n", count - 1)), "{told}");
    assert!(told.contains(part), "{told}");
}

fn choker_differs(alter: impl FnMut(&mut Value) -> bool, part: &str) {
    one_differs(replayed(&altered(CHOKER, alter), choker::replay), CHOKER.lines().count(), part);
}

fn picker_differs(alter: impl FnMut(&mut Value) -> bool, part: &str) {
    one_differs(replayed(&altered(PICKER, alter), picker::replay), PICKER.lines().count(), part);
}

#[test]
fn every_recorded_scenario_agrees() {
    assert_eq!(replayed(CHOKER, choker::replay), (true, "12 of 12 scenarios agree\n".into()));
    assert_eq!(replayed(PICKER, picker::replay), (true, "10 of 10 scenarios agree\n".into()));
}

#[test]
fn another_order_differs() {
    let swap = |event: &mut Value| {
        let order = event["order"].as_array_mut().unwrap();
        let long = order.len() > 3;
        if long {
            order.swap(1, 2);
        }
        long
    };
    choker_differs(swap, "the order is [4, 1, 5, 3], recorded [4, 5, 1, 3]");
}

#[test]
fn one_unchoked_peer_more_or_fewer_differs() {
    let fewer = |event: &mut Value| event["unchoked"].as_array_mut().unwrap().pop().is_some();
    choker_differs(fewer, "unchoked are {0}, recorded {}");
    let more = |event: &mut Value| {
        let choked = event["order"].as_array().unwrap().last().cloned();
        let choked = choked.filter(|peer| !event["unchoked"].as_array().unwrap().contains(peer));
        choked.into_iter().any(|peer| {
            event["unchoked"].as_array_mut().unwrap().push(peer);
            true
        })
    };
    choker_differs(more, "unchoked are {1}, recorded {1, 2}");
}

#[test]
fn another_insertion_differs() {
    let elsewhere = |event: &mut Value| {
        let second = event["insert_at"] == 1;
        if second {
            event["insert_at"] = 0.into();
        }
        second
    };
    choker_differs(elsewhere, "Connect");
}

/// How often a choker differs when one event of the kind `what` is changed, of all such events; some decide nothing.
fn deciding(what: &str, change: impl Fn(&mut Value)) -> usize {
    let count = CHOKER.lines().count();
    let events = CHOKER.matches(&format!("\"do\":\"{what}\"")).count();
    let differs = |nth: &usize| {
        let mut seen = 0;
        let recording = altered(CHOKER, |event| {
            seen += usize::from(event["do"] == what);
            let here = seen == nth + 1;
            if here {
                change(event);
            }
            here
        });
        let (all, told) = replayed(&recording, choker::replay);
        if !all {
            one_differs((all, told), count, "unchoked are");
        }
        !all
    };
    (0..events).filter(differs).count()
}

#[test]
fn another_rate_differs() {
    let fastest =
        |event: &mut Value| (event["download_rate"], event["upload_rate"]) = (json!(1e6), json!(1e6));
    assert!(deciding("set_rates", fastest) > 0);
    assert!(deciding("connect", fastest) > 0);
}

#[test]
fn another_number_of_uploads_differs() {
    assert!(deciding("set_max_uploads", |event| event["value"] = json!(9)) > 1);
}

#[test]
fn rates_that_hardly_differ_are_told_apart() {
    let faster = |rate: f64| {
        let connect = |peer: u32, rate: f64, unchoked: &[u32]| {
            json!({"do": "connect", "peer": peer, "insert_at": peer, "download_rate": rate, "upload_rate": 0.0,
                "order": (0..=peer).collect::<Vec<_>>(), "unchoked": unchoked})
        };
        let interested = |peer: u32, unchoked: &[u32]| json!({"do": "interested", "peer": peer, "order": [0, 1, 2], "unchoked": unchoked});
        let events = [
            connect(0, 0.5, &[0]),
            connect(1, 7.25, &[0, 1]),
            connect(2, rate, &[0, 1, 2]),
            interested(2, &[0, 1, 2]),
            interested(1, &[0, 1, 2]),
            interested(0, if rate > 7.25 { &[0, 2] } else { &[0, 1] }),
        ];
        json!({"max_uploads": 2, "min_uploads": 1, "seeding_at_start": false, "events": events}).to_string()
    };
    for rate in [7.250001, 7.249999] {
        let (all, told) = replayed(&faster(rate), choker::replay);
        assert!(all, "{rate}: {told}");
    }
}

#[test]
fn another_answer_differs() {
    // What is wanted is begun or rare, and the recorded answer is the one that is neither.
    let wrong = |event: &mut Value| {
        let Some(wanted) = event["wanted"].as_array() else { return false };
        let other = wanted.iter().find(|piece| !event["answers_seen"].as_array().unwrap().contains(piece));
        let Some(other) = other.cloned() else { return false };
        event["answers_seen"] = json!([other]);
        true
    };
    // The first client is young: any piece is as good, but the one recorded must come up in some run.
    let (all, told) = replayed(&altered(PICKER, wrong), picker::replay);
    assert!(all, "{told}");
    let mut begun = false;
    picker_differs(
        |event| {
            begun |= event["do"] == "requested";
            begun && wrong(event)
        },
        "event 9: the answer is 1, recorded are of {0}\n",
    );
}

#[test]
fn an_answer_where_none_was_recorded_differs() {
    let none = |event: &mut Value| {
        let some = event["answers_seen"].as_array().is_some_and(|answers| !answers.is_empty());
        if some {
            (event["answers_seen"], event["none_seen"]) = (json!([]), true.into());
        }
        some
    };
    picker_differs(none, "recorded are none or of {}");
    let some = |event: &mut Value| {
        let none = event["none_seen"] == true;
        if none {
            (event["answers_seen"], event["none_seen"]) = (json!([0]), false.into());
        }
        none
    };
    picker_differs(some, "the answer is none, recorded are of {0}");
}

#[test]
fn a_recorded_answer_that_never_comes_differs() {
    let unwanted = |event: &mut Value| {
        let Some(answers) = event["answers_seen"].as_array_mut().filter(|answers| answers.len() > 1) else {
            return false;
        };
        answers.push(json!(0));
        true
    };
    picker_differs(unwanted, "event 27: 0 is no answer in 1000 runs, but was recorded");
}

#[test]
fn events_that_cannot_be_are_told() {
    let many = json!({"pieces": u32::MAX, "rarest_first_cutoff": 4, "events": []});
    one_differs(
        replayed(&many.to_string(), picker::replay),
        1,
        "4294967295 pieces are more than are replayed",
    );
    let complete = json!([{"do": "complete", "piece": 0}, {"do": "lost_have", "piece": 0}]);
    let scenario = json!({"pieces": 1, "rarest_first_cutoff": 4, "events": complete});
    assert!(replayed(&scenario.to_string(), picker::replay).0, "nobody counts who has a complete piece");
    for (events, part) in [
        (json!([{"do": "have", "piece": 3}]), "event 1: there is no piece 3 of 3"),
        (json!([{"do": "lost_have", "piece": 0}]), "event 1: piece 0 is lost by a peer where none has it"),
        (
            json!([{"do": "complete", "piece": 0}, {"do": "complete", "piece": 0}]),
            "event 2: piece 0 is complete already",
        ),
    ] {
        let scenario = json!({"pieces": 3, "rarest_first_cutoff": 4, "events": events});
        one_differs(replayed(&scenario.to_string(), picker::replay), 1, part);
    }
    let leave = json!({"do": "disconnect", "peer": 2, "order": [], "unchoked": []});
    let scenario =
        json!({"max_uploads": 7, "min_uploads": 4, "seeding_at_start": false, "events": [leave]}).to_string();
    one_differs(
        replayed(&scenario, choker::replay),
        1,
        "event 1, Disconnect { peer: 2 }: peer 2 is not connected",
    );
}
