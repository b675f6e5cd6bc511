//! `bt-lab sweep` and `gather`: the same whichever way the cells are run, resumed after an interruption, one line for a
//! disk that is full.

use std::fs;
use std::path::Path;

use bt_tests::bt_lab::{Lab, TINY, files_called, told};
use bt_tests::mount::Mount;
use bt_tests::process::{Process, SOON};
use rustix::process::Signal;
use serde_json::Value;

/// Twelve cells.
const GRID: &str = r#"scenario = "tiny.toml"
seeds = "1..3"
[vary]
network.delay = [0, "50 ms"]
peers.leecher.profile = ["mainline", "random-choker"]
"#;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("grid.toml", GRID);
    lab
}

/// What must be the same: tables, means, and the hash of each run's events.
fn results(lab: &Lab, dir: &str) -> (String, String, Vec<Value>) {
    let hash = |file: &std::path::PathBuf| {
        let manifest: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        manifest["events_sha256"].clone()
    };
    let hashes = files_called(&lab.path(dir), "manifest.json").iter().map(hash).collect();
    (lab.read(&format!("{dir}/cells.csv")), lab.read(&format!("{dir}/gathered.json")), hashes)
}

#[test]
fn cells_one_by_one_are_those_of_a_sweep() {
    let lab = lab();
    let (out, errors) = lab.succeeds(&["sweep", "grid.toml", "--out", "all"]);
    assert_eq!((out.as_str(), errors.as_str()), ("12 cells are in all; next: bt-lab gather\n", ""));
    lab.succeeds(&["gather", "all"]);
    let table = lab.read("all/cells.csv");
    assert!(table.starts_with(
        "cell,network.delay,peers.leecher.profile,seed,scope,metric,value\n1,0,mainline,1,leecher,"
    ));
    assert!(table.contains("\n12,50 ms,random-choker,3,overall,completion_time,"));
    let gathered = lab.json("all/gathered.json");
    let combinations = gathered["combinations"].as_array().unwrap();
    assert_eq!((combinations.len(), &gathered["missing"]), (4, &serde_json::json!([])));
    assert_eq!(combinations[3]["values"]["peers.leecher.profile"], "random-choker");
    assert_eq!(combinations[3]["metrics"]["overall"]["completion_time"]["n"], 3);
    lab.succeeds(&["report", "all"]);
    assert!(lab.read("all/report.html").contains("random-choker"));

    // The list of jobs, line by line, in another order.
    let (out, _) = lab.succeeds(&["sweep", "grid.toml", "--out", "cells", "--plan"]);
    assert_eq!(out, "cells/jobs.txt\ncells/array.sbatch\n");
    assert!(files_called(&lab.path("cells"), "manifest.json").is_empty());
    let jobs = lab.read("cells/jobs.txt");
    assert_eq!(jobs.lines().count(), 12);
    assert!(lab.read("cells/array.sbatch").contains("#SBATCH --array=1-12\n"));
    assert!(lab.fails(&["gather", "cells"], 1).ends_with("none of the 12 cells is there\n"));
    for job in jobs.lines().rev() {
        let status = std::process::Command::new("sh").args(["-c", job]).status().unwrap();
        assert!(status.success(), "{job}");
    }
    lab.succeeds(&["gather", "cells"]);
    assert_eq!(results(&lab, "cells"), results(&lab, "all"));
    assert!(
        lab.fails(&["sweep", "grid.toml", "--out", "cells", "--cell", "13"], 2).contains("cells 1 to 12")
    );
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_was() {
    let lab = lab();
    lab.write("grid.toml", &GRID.replace("1..3", "1..15"));
    let mut process = Process::start(
        "sweep",
        lab.path("").as_path(),
        &mut lab.command(&["sweep", "grid.toml", "--out", "out", "--jobs", "1"]),
    );
    let whole = || files_called(&lab.path("out"), "manifest.json").len();
    process.until("a few cells are there", SOON, || (whole() >= 3).then_some(()));
    process.signal(Signal::INT);
    assert_eq!(process.exit_code(SOON), 130, "{}", process.story());
    let done = whole();
    let told =
        format!("bt-lab: interrupted: {done} of 60 runs are done; the same command goes on from there\n");
    assert_eq!(process.errors(), told);
    assert!(done < 60, "{done}");

    let (code, _, errors) = self::told(&lab.run(&["gather", "out"]));
    assert_eq!(code, Some(1));
    assert!(errors.contains(&format!("{} of 60 cells are missing: ", 60 - done)), "{errors}");
    let (_, errors) = lab.succeeds(&["sweep", "grid.toml", "--out", "out"]);
    assert_eq!(errors, format!("bt-lab: {done} of 60 runs were there already\n"));
    lab.succeeds(&["gather", "out"]);
    lab.succeeds(&["sweep", "grid.toml", "--out", "straight"]);
    lab.succeeds(&["gather", "straight"]);
    assert_eq!(results(&lab, "out"), results(&lab, "straight"));
}

#[test]
fn versions_are_not_mixed() {
    let lab = lab();
    lab.write("grid.toml", "scenario = \"tiny.toml\"\nseeds = \"1..2\"\n");
    lab.succeeds(&["sweep", "grid.toml", "--out", "out"]);
    let manifest = "out/cells/2/manifest.json";
    let mut older = lab.json(manifest);
    older["versions"]["bt-sim"] = "0.0.9".into();
    lab.write(manifest, &older.to_string());
    let error = lab.fails(&["gather", "out"], 1);
    assert!(error.contains("cells 1 and 2 are by different versions (bt-sim: "), "{error}");
    // The older one is run again.
    let (_, errors) = lab.succeeds(&["sweep", "grid.toml", "--out", "out"]);
    assert_eq!(errors, "bt-lab: 1 of 2 runs were there already\n");
    lab.succeeds(&["gather", "out"]);
}

#[test]
fn a_scenario_that_is_changed_between_cells_of_different_values_is_noticed() {
    let lab = Lab::new();
    let mine = fs::read_to_string("../bins/profiles/mainline.toml").unwrap();
    lab.write("mine.toml", &mine);
    lab.write("tiny.toml", &TINY.replace("profile = \"mainline\"", "profile = \"mine.toml\""));
    lab.write("grid.toml", "scenario = \"tiny.toml\"\n[vary]\nnetwork.delay = [0, \"50 ms\"]\n");
    let cell = |number: &str| lab.succeeds(&["sweep", "grid.toml", "--out", "out", "--cell", number]).1;
    cell("1");
    // The scenario's text stays, a profile that it names does not.
    lab.write("mine.toml", &mine.replace("\nbacklog = 5\n", "\nbacklog = 4\n"));
    cell("2");
    let error = lab.fails(&["gather", "out"], 1);
    assert!(error.contains("cells 1 and 2 are of a scenario that was changed in between"), "{error}");
    let (_, errors) = lab.succeeds(&["sweep", "grid.toml", "--out", "out"]);
    assert_eq!(errors, "bt-lab: 1 of 2 runs were there already\n");
    lab.succeeds(&["gather", "out"]);
}

#[test]
fn a_full_disk_is_told_in_one_line() {
    let lab = lab();
    fs::create_dir(lab.path("out")).unwrap();
    let Some(_mount) = Mount::of_64_mib(&lab.path("out")) else { return };
    // A little room: some of the cells have it.
    fs::write(lab.path("out/somebody else's"), vec![7; (64 << 20) - (200 << 10)]).unwrap();
    let error = lab.fails(&["sweep", "grid.toml", "--out", "out"], 1);
    assert!(error.contains("No space left on device"), "{error}");
    for arguments in [
        vec!["compare", "tiny.toml", "--profile", "mainline", "--profile", "mainline", "--seeds", "1..9"],
        vec!["run", "tiny.toml", "--events"],
    ] {
        let error = lab.fails(&[&arguments[..], &["--out", "out/more"]].concat(), 1);
        assert!(error.contains("No space left on device"), "{error}");
    }
    // With room again the sweep goes on.
    fs::remove_file(lab.path("out/somebody else's")).unwrap();
    lab.succeeds(&["sweep", "grid.toml", "--out", "out"]);
    lab.succeeds(&["gather", "out"]);
    assert!(files_called(&lab.path("out"), "manifest.json").len() >= 12);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_in_one_line() {
    let lab = lab();
    lab.write("file", "");
    let arguments = |out: &'static str| {
        let two = ["--profile", "mainline", "--profile", "mainline", "--seeds", "1..2", "--out", out];
        [
            vec!["run", "tiny.toml", "--out", out],
            vec!["sweep", "grid.toml", "--out", out],
            [&["compare", "tiny.toml"][..], &two].concat(),
            [&["tournament", "tiny.toml"][..], &two].concat(),
        ]
    };
    for arguments in arguments("file/out") {
        let error = lab.fails(&arguments, 1);
        assert!(error.contains("Not a directory"), "{error}");
    }
    fs::create_dir(lab.path("frozen")).unwrap();
    let Some(_mount) = Mount::read_only(&lab.path("frozen")) else { return };
    for out in ["frozen", "frozen/out"] {
        for arguments in arguments(out) {
            let error = lab.fails(&arguments, 1);
            assert!(error.contains("Read-only file system"), "{error}");
        }
    }
    assert!(Path::new(&lab.path("frozen")).read_dir().unwrap().next().is_none());
}
