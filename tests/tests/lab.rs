//! `bt-lab` as its users have it: the same run twice is the same to the byte, what must hold in every run holds in
//! swarms of any kind, and what goes wrong is told.

use std::path::Path;
use std::process::{Command, Output};

use bt_api::plugin::shipped;
use bt_bins as _;
use bt_sim::Scenario;
use bt_sim::experiment::{Done, Events, Experiment};
use proptest::prelude::*;

/// Runs `bt-lab` with `arguments`.
fn bt_lab(arguments: &[&str]) -> Output {
    bt_tests::binaries::bt_lab().args(arguments).output().expect("it starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn run(text: &str, sets: &[String], seed: u64) -> Done {
    let scenario =
        Scenario::from_text("test", text, sets).unwrap_or_else(|error| panic!("{}", error.detailed()));
    let experiment = Experiment { scenario: &scenario, seed, sets, base: None, events: Events::Hashed };
    experiment.run(&mut |_, _| true).unwrap_or_else(|error| panic!("{error}\nwith seed {seed} in\n{text}"))
}

/// A crowd of ten.
const CROWD: &str = r#"
[content]
size = "4 MiB"
piece = "64 KiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "4 Mbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "leecher"
count = 10
up = "1 Mbit/s"
down = "4 Mbit/s"
profile = "mainline"
"#;

#[test]
fn a_run_is_the_same_twice_and_another_with_another_seed() {
    let hash = |seed| run(CROWD, &[], seed).manifest.events_sha256.expect("it was wanted");
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

/// Among them the stores, with bytes to keep; what `null` keeps nobody can have of it.
#[test]
fn every_shipped_profile_runs_in_a_swarm() {
    for profile in shipped("profile").iter().map(|one| one.name) {
        let payload = profile != "null";
        let runs = match profile {
            // As it is, it asks where.
            "object-store" => "storage={ use = 'object-store', url = 'memory:///' }".to_owned(),
            profile => format!("profile={profile}"),
        };
        let sets = [format!("peers.leecher.{runs}"), format!("content.payload={payload}")];
        let done = run(CROWD, &sets, 1);
        assert_eq!(done.measured.summary.finished, 10, "{profile}");
    }
}

#[test]
fn the_files_are_the_same_twice_but_for_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("crowd.toml");
    std::fs::write(&scenario, CROWD).unwrap();
    for out in ["a", "b"] {
        let out = folder.path().join(out);
        let output = bt_lab(&["run", scenario.to_str().unwrap(), "--events", "--out", out.to_str().unwrap()]);
        assert!(output.status.success(), "{}", said(&output));
    }
    let read = |out: &str, file: &str| std::fs::read(folder.path().join(out).join(file)).unwrap();
    for file in ["summary.json", "peers.csv", "series.csv", "choke_matrix.csv", "events.jsonl"] {
        assert!(read("a", file) == read("b", file), "{file} differs");
    }
    let [a, b] = ["a", "b"].map(|out| {
        let mut manifest: serde_json::Value = serde_json::from_slice(&read(out, "manifest.json")).unwrap();
        manifest.as_object_mut().unwrap().remove("machine").expect("what differs has a part of its own");
        manifest
    });
    assert_eq!(a, b);
    let hash = Command::new("sha256sum").arg(folder.path().join("a/events.jsonl")).output().unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    assert_eq!(hash.split(' ').next(), a["events_sha256"].as_str());
}

#[test]
fn blocks_and_pieces_agree_where_a_piece_is_a_small_part() {
    let sets = |granularity: &str| {
        vec![format!("network.granularity={granularity}"), "content.size=16 MiB".to_owned()]
    };
    let median = |granularity| {
        let done = run(CROWD, &sets(granularity), 1);
        done.measured.summary.overall["completion_time"].median
    };
    let (block, piece) = (median("block"), median("piece"));
    assert!((piece / block - 1.0).abs() < 0.15, "{block} s in blocks, {piece} s in pieces");
}

#[test]
fn a_run_that_reaches_its_limit_is_told_and_keeps_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let (scenario, out) = (folder.path().join("crowd.toml"), folder.path().join("out"));
    std::fs::write(&scenario, CROWD).unwrap();
    let (scenario, out) = (scenario.to_str().unwrap(), out.to_str().unwrap());
    let output = bt_lab(&["run", scenario, "--set", "run.limit=5 s", "--out", out]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said(&output),
        "bt-lab: the run was given up after 5 simulated seconds: 10 peers are unfinished\n"
    );
    let peers = std::fs::read_to_string(Path::new(out).join("peers.csv")).unwrap();
    assert_eq!(peers.lines().filter(|line| line.contains(",leecher,")).count(), 10);
}

#[test]
fn what_ends_before_all_are_done_is_not_held_against_the_bound_of_all() {
    let early = "[[peers]]\nname = 'early'\ncount = 1\nup = '1 Mbit/s'\ndown = '8 Mbit/s'\nprofile = 'mainline'\nhave = 0.95\n";
    let crowd = format!("{CROWD}{early}");
    let until = run(&crowd, &["run.until=15 s".to_owned()], 1);
    assert!((1..11).contains(&until.measured.summary.finished), "some are done, some are not");
    assert_eq!(until.measured.summary.bound_ratio, None);
    // Who was to come later and did not is no part of what was done.
    let late = format!("{early}arrives = {{ at = '1 h' }}\n");
    let limit = run(&format!("{CROWD}{late}"), &["run.limit=30 min".to_owned()], 1);
    assert_eq!((limit.measured.summary.finished, limit.outcome.awaited), (10, 1));
    assert_eq!(limit.measured.summary.bound_ratio, None);
}

#[test]
fn the_scenario_of_a_manifest_gives_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("crowd.toml"), CROWD).unwrap();
    let manifest = |arguments: &[&str], out: &str| -> serde_json::Value {
        let output = bt_lab(&[&["run"], arguments, &["--out", &path(out)]].concat());
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&std::fs::read(folder.path().join(out).join("manifest.json")).unwrap())
            .unwrap()
    };
    let first = manifest(&[&path("crowd.toml"), "--seed", "7", "--set", "network.delay=0"], "first");
    std::fs::write(path("again.toml"), first["scenario"]["toml"].as_str().unwrap()).unwrap();
    let again = manifest(&[&path("again.toml")], "again");
    for key in ["events_sha256", "scenario", "seed", "end_s"] {
        assert_eq!(first[key], again[key]);
    }
}

#[test]
fn no_group_is_called_what_all_are_called() {
    let error = Scenario::from_text("test", &CROWD.replace("\"leecher\"", "\"overall\""), &[]).unwrap_err();
    let message =
        "test.toml:13:8: `overall` is what all peers together are called: give the group another name";
    assert_eq!(error.to_string(), message);
}

#[test]
fn wrong_use_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    for (arguments, message) in [
        (
            &["run", "flash-crow", "--out", out][..],
            "bt-lab: no file and no shipped scenario is named `flash-crow`; did you mean `flash-crowd`? (this binary has: ",
        ),
        (&["run", "flash-crowd"], "bt-lab: the following required arguments were not provided: --out <DIR>"),
        (
            &["run", "flash-crowd", "--set", "peers.leacher.count=3", "--out", out],
            "bt-lab: --set peers.leacher.count=3: ",
        ),
    ] {
        let output = bt_lab(arguments);
        assert_eq!(output.status.code(), Some(2));
        let said = said(&output);
        assert!(said.starts_with(message), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_told_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let output = bt_lab(&["run", "flash-crowd", "--out", file.join("out").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
}

#[test]
fn everything_that_there_is_is_listed() {
    let output = bt_lab(&["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for (part, name) in [
        ("scenarios", "flash-crowd"),
        ("profiles", "mainline"),
        ("choke_policies", "tit-for-tat"),
        ("piece_policies", "rarest-first"),
        ("metrics", "completion_time"),
    ] {
        let named = |one: &serde_json::Value| one["name"] == name && one["summary"].as_str() != Some("");
        assert!(listed[part].as_array().unwrap().iter().any(named), "{part}: {name}");
    }
    for profile in listed["profiles"].as_array().unwrap() {
        let summary = profile["summary"].as_str().unwrap();
        assert!(!summary.ends_with("al."), "a sentence is whole: {summary}");
    }
}

/// A group of leechers of some kind.
fn group(number: usize) -> impl Strategy<Value = String> {
    let profile = prop::sample::select(vec![
        "mainline",
        "mainline-4",
        "mainline-3.2",
        "bittornado",
        "modern",
        "random-choker",
        "sequential",
    ]);
    let arrives = prop::sample::select(vec![
        "{ at = '0 s' }",
        "{ at = '30 s' }",
        "{ rate = '1/s' }",
        "{ poisson = '0.5/s' }",
        "{ trace = ['3 s', '3 s', '40 s', '41 s'] }",
    ]);
    let leaves = prop::sample::select(vec![
        "'never'",
        "'on-complete'",
        "{ after = '10 s' }",
        "{ exponential = '20 s' }",
    ]);
    let have = prop::sample::select(vec!["", "have = 0.5", "have = { missing = [0] }"]);
    let abandons = prop::sample::select(vec!["", "", "abandons = { exponential = '60 s' }"]);
    let rate = || prop::sample::select(vec!["64 kbit/s", "400 kbit/s", "3 Mbit/s", "unlimited"]);
    (profile, arrives, leaves, have, abandons, 1..5_u32, rate(), rate()).prop_map(
        move |(profile, arrives, leaves, have, abandons, count, up, down)| {
            format!(
                "[[peers]]\nname = 'g{number}'\ncount = {count}\nup = '{up}'\ndown = '{down}'\nprofile = '{profile}'\n\
                 arrives = {arrives}\nleaves = {leaves}\n{have}\n{abandons}\n"
            )
        },
    )
}

fn scenario() -> impl Strategy<Value = String> {
    let delay = prop::sample::select(vec!["0 s", "1 ms", "50 ms", "2 s"]);
    let granularity = prop::sample::select(vec!["block", "piece"]);
    let size = prop::sample::select(vec!["100 kB", "1 MiB", "1500 kB"]);
    let piece = prop::sample::select(vec!["16 KiB", "40 kB", "256 KiB"]);
    let seed_up = prop::sample::select(vec!["256 kbit/s", "2 Mbit/s", "unlimited"]);
    let groups = (group(0), group(1), group(2));
    (delay, granularity, size, piece, seed_up, groups, 1..4_u32).prop_map(
        |(delay, granularity, size, piece, seed_up, (a, b, c), reply)| {
            format!(
                "[content]\nsize = '{size}'\npiece = '{piece}'\n[network]\ndelay = '{delay}'\n\
                 granularity = '{granularity}'\n[tracker]\nreply = {reply}\n[run]\nlimit = '2 h'\n\
                 [[peers]]\nname = 'seed'\ncount = 2\ncomplete = true\nup = '{seed_up}'\ndown = 'unlimited'\n\
                 profile = 'mainline'\n{a}{b}{c}"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The assertions of every run end it with an error when they do not hold.
    #[test]
    fn what_must_hold_in_every_run_holds_in_swarms_of_any_kind(text in scenario(), seed in 0..1000_u64) {
        let done = run(&text, &[], seed);
        let summary = &done.measured.summary;
        let counts = summary.counts.values();
        let all: u64 = counts.map(|class| class.initial_seeds + class.finished + class.abandoned + class.unfinished).sum();
        prop_assert_eq!(all, done.measured.peers.len() as u64, "nobody is dropped");
        for row in &done.measured.peers {
            prop_assert!(row.completed_s.is_none_or(|completed| completed >= row.arrived_s));
        }
    }
}
