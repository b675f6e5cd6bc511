//! `bt-lab live`: a small swarm of real clients over loopback comes out as its simulation does.
//!
//! Real time is shared with whatever else the machine does. What it took away is measured by a sleeper (as in
//! `bt_tests::greedy`), and the live side is allowed that much more; a machine that took more than a quarter says
//! nothing about the simulator, and the ratio is not looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use bt_bins as _;
use bt_sim::experiment::{Events, Experiment};
use bt_sim::live::validate::{Side, compare};
use bt_sim::live::{check, run_into, simulated_transits};
use bt_sim::output::read;
use bt_sim::{Ended, Scenario};

/// Some who stay, and some who come one after the other with a quarter of the content, and leave when they have all.
const SMALL: &str = r#"name = "small"
[content]
size = "12 MiB"
piece = "256 KiB"
[network]
delay = 0
[[peers]]
name = "seed"
count = 1
complete = true
up = "16 Mbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "stays"
count = 8
up = "8 Mbit/s"
down = "32 Mbit/s"
profile = "mainline"
[[peers]]
name = "goes"
count = 4
up = "8 Mbit/s"
down = "32 Mbit/s"
profile = "modern"
have = 0.25
arrives = { rate = "1/s" }
leaves = "on-complete"
"#;

/// By how much the medians may differ: the runs of one seed after the other differ by a tenth.
const TOLERANCE: f64 = 0.3;

#[test]
fn a_small_swarm_takes_as_long_as_its_simulation() {
    let scenario = Scenario::from_text("small", SMALL, &[]).unwrap_or_else(|error| panic!("{error}"));
    check(&scenario, 1).unwrap();
    let experiment =
        Experiment { scenario: &scenario, seed: 1, sets: &[], base: None, events: Events::Hashed };
    let simulated = experiment.run(&mut |_, _| true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let live = run_into(&experiment, folder.path(), Duration::from_secs(120), &mut |_, _| true).unwrap();

    let measured = &live.done.measured;
    assert_eq!(live.done.outcome.ended, Ended::Done);
    assert_eq!(measured.summary.finished, 12);
    let pieces = u64::from(scenario.content.pieces());
    for row in &measured.peers {
        let missing = match row.class.as_str() {
            "seed" => 0,
            "stays" => pieces,
            _ => pieces - pieces / 4,
        };
        assert_eq!(row.downloaded_bytes, missing * u64::from(scenario.content.piece), "{row:?}");
        // Who is done with the last one has not left when the run is over.
        assert!(row.left_s.is_none() || row.class == "goes", "{row:?}");
    }
    // Every connection has somebody at its other end, so nothing is left out for want of knowledge.
    let reasons: BTreeSet<&String> = measured.summary.left_out.values().collect();
    assert!(reasons.iter().all(|reason| !reason.contains("every peer")), "{reasons:?}");
    let files = read(folder.path()).unwrap();
    assert_eq!(files.manifest.mode.as_deref(), Some("live"));
    assert!(!folder.path().join("live-logs").exists());

    let stolen = live.stolen.as_secs_f64();
    let real = Side { measured, transits: live.transits };
    let transits = simulated_transits(&scenario, 1).unwrap();
    let model = Side { measured: &simulated.measured, transits };
    let validation = compare(&experiment, real, model, &[], stolen);
    println!("{}; stolen {stolen:.2} s", validation.text.join("\n"));
    for scope in &validation.scopes {
        let median = scope.figures.iter().find(|figure| figure.name == "p50").unwrap();
        if stolen > median.live_s / 4.0 {
            println!("the machine had no time for this: {stolen:.1} s of {:.1} s", median.live_s);
            return;
        }
        let most = (1.0 + TOLERANCE) * median.simulated_s + stolen;
        let least = (1.0 - TOLERANCE) * median.simulated_s;
        assert!((least..=most).contains(&median.live_s), "{}: {median:?}, stolen {stolen:.2} s", scope.scope);
    }
}

#[test]
fn what_cannot_be_run_live_is_said_before() {
    let told = |set: &str, message: &str| {
        let sets = [set.to_owned()];
        let scenario = Scenario::from_text("small", SMALL, &sets).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(check(&scenario, 1).unwrap_err().to_string(), message);
    };
    told("peers.stays.count=60", "more than 64 peers arrive; live runs take up to 64: set their `count`");
    told("network.granularity=piece", "real clients ask for blocks: set network.granularity=block");
    told("content.size=2 GiB", "content.size is 2147483648 bytes; live runs take up to 1073741824 (1 GiB)");
    told(
        "content.size=1 GiB",
        "13 peers of 1073741824 bytes are 13958643712 bytes to move; live runs take up to 8589934592 (8 GiB)",
    );
}
