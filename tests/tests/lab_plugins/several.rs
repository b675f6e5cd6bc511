//! Several runs, in one of which a plug-in breaks: the one line says which run it is.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use bt_sim::Grid;
use bt_sim::compare::Contest;
use bt_sim::replicate::{Job, replicate};
use bt_sim::sweep::Plan;
use bt_sim::tournament::Tournament;
use bt_tests::bt_lab::Lab;

/// A profile with these policies.
fn profile(choke: &str, piece: &str) -> String {
    format!("[choke]\nuse = {choke}\n[piece]\nuse = {piece}\n[storage]\nuse = 'files'\n[tracker]\nuse = []\n")
}

/// What is wrong with the profile `ill.toml`, and what is told of it.
fn faults() -> [(String, &'static str); 3] {
    let (choke, piece) = ("'unchoke-all'", "'rarest-first'");
    [
        (profile("'odd'\nat = { choose = 'panic' }", piece), "the plug-in `odd` panicked: broken at choose"),
        (
            profile("'odd'\nat = { choose = 'lie' }", piece),
            "the plug-in `odd` answered what cannot be: unchoked 1 peers that are not connected",
        ),
        (profile(choke, "'odd'\nat = { pick = 'panic' }"), "the plug-in `odd` panicked: broken at pick"),
    ]
}

/// The error of these runs: it names the run, a peer of a class that begins so, a time and what was wrong.
fn assert_told(jobs: &[Job], run: &str, class: &str, what: &str) {
    let ran = replicate(jobs, NonZeroUsize::MIN, &|| Duration::ZERO, &mut |_| true);
    let error = ran.unwrap_err().to_string();
    let told = error.strip_prefix(&format!("{run}: ")).unwrap_or_else(|| panic!("{error}"));
    let (peer, told) = told.split_once(" s: ").unwrap();
    let (number, time) = peer.split_once(&format!(" ({class}) at ")).unwrap_or_else(|| panic!("{error}"));
    assert!(number.strip_prefix("peer ").is_some_and(|number| number.parse::<u32>().is_ok()), "{error}");
    assert!(time.parse::<f64>().is_ok(), "{error}");
    assert_eq!(told, what, "{error}");
}

fn path(lab: &Lab, name: &str) -> String {
    lab.path(name).to_str().unwrap().to_owned()
}

#[test]
fn of_a_comparison_the_profile_and_the_seed_are_told() {
    let lab = Lab::new();
    for (ill, what) in faults() {
        lab.write("ill.toml", &ill);
        let profiles = ["mainline".to_owned(), path(&lab, "ill.toml")];
        let contest = Contest::load(&path(&lab, "tiny.toml"), &[], &profiles, &[], &[7], true).unwrap();
        assert_told(&contest.jobs(None), "tiny with ill, seed 7", "leecher", what);
    }
}

#[test]
fn of_a_sweep_the_values_and_the_seed_are_told() {
    let lab = Lab::new();
    let [(ill, what), ..] = faults();
    lab.write("ill.toml", &ill);
    let (scenario, profile) = (path(&lab, "tiny.toml"), path(&lab, "ill.toml"));
    lab.write(
        "grid.toml",
        &format!("scenario = '{scenario}'\nseeds = '5'\n[vary]\npeers.leecher.profile = ['mainline', '{profile}']\n"),
    );
    let plan = Plan::of(&Grid::load(&path(&lab, "grid.toml")).unwrap());
    let jobs = plan.jobs(Path::new(&path(&lab, "out")), &plan.in_turn()).unwrap();
    assert_told(&jobs, &format!("cell 2, peers.leecher.profile={profile}, seed 5"), "leecher", what);
}

#[test]
fn of_a_tournament_the_pair_and_the_seed_are_told() {
    let lab = Lab::new();
    let [(ill, what), ..] = faults();
    lab.write("ill.toml", &ill);
    let profiles = [path(&lab, "ill.toml"), "mainline".to_owned()];
    let tournament = Tournament::load(&path(&lab, "tiny.toml"), &[], &profiles, &[], &[4], 0.5).unwrap();
    assert_told(&tournament.jobs(None), "tiny with ill against mainline, seed 4", "leecher-ill", what);
}
