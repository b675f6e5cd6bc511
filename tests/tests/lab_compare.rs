//! `bt-lab compare`, `tournament` and `measure`, and whether their statistics say what is so.

use std::num::NonZeroUsize;
use std::time::Duration;

use bt_bins as _;
use bt_sim::compare::Contest;
use bt_sim::replicate::{Ran, processors, replicate};
use bt_tests::bt_lab::{Lab, TINY, files_called};
use serde_json::Value;

/// Every difference of a comparison, with the name of its metric.
fn differences(compared: &Value) -> Vec<(String, Value)> {
    let metrics = compared["metrics"].as_object().unwrap();
    let rows = metrics.iter().flat_map(|(name, metric)| {
        metric["rows"].as_array().unwrap().iter().map(move |row| (name.clone(), row["difference"].clone()))
    });
    rows.filter(|(_, difference)| !difference.is_null()).collect()
}

#[test]
fn two_identical_profiles_differ_by_exactly_nothing() {
    let lab = Lab::new();
    let compare =
        ["compare", "tiny.toml", "--profile", "mainline", "--profile", "mainline", "--seeds", "1..3"];
    let arguments = [&compare[..], &["--out", "out"]].concat();
    let (table, errors) = lab.succeeds(&arguments);
    assert_eq!(errors, "");
    assert!(table.contains("mainline#2 against mainline") && table.contains("the same"), "{table}");
    let compared = lab.json("out/compare.json");
    assert_eq!(compared["profiles"], serde_json::json!(["mainline", "mainline#2"]));
    let differences = differences(&compared);
    assert!(differences.len() > 30, "{}", differences.len());
    for (name, found) in &differences {
        assert_eq!(
            (&found["mean"], &found["low"], &found["p"]),
            (&0.0.into(), &0.0.into(), &1.0.into()),
            "{name}"
        );
    }
    assert_eq!(files_called(&lab.path("out"), "manifest.json").len(), 6);
    let page = lab.read("out/report.html");
    let again =
        "bt-lab compare tiny --profile mainline --profile mainline --class leecher --seeds 1..3 --out DIR";
    assert!(page.contains("mainline#2") && page.contains(again));
    assert!(
        lab.read("out/compare.csv").starts_with("scope,metric,unit,profile,baseline,mean,baseline_mean,")
    );
    assert!(lab.read("out/runs.csv").contains("\nmainline#2,3,overall,completion_time,"));

    // What is there is not run again, and nothing changes.
    let before = (lab.read("out/compare.json"), lab.read("out/runs.csv"));
    std::fs::remove_file(lab.path("out/mainline/2/manifest.json")).unwrap();
    let (_, errors) = lab.succeeds(&arguments);
    assert_eq!(errors, "bt-lab: 5 of 6 runs were there already\n");
    assert_eq!((lab.read("out/compare.json"), lab.read("out/runs.csv")), before);
    // Of another scenario nothing is there.
    let (_, errors) = lab.succeeds(&[&arguments[..], &["--set", "network.delay=0"]].concat());
    assert_eq!(errors, "");
    assert_ne!(lab.read("out/compare.json"), before.0);
}

/// As far as one can tell: profiles that are the same are called different in one case of twenty.
#[test]
fn independent_runs_of_the_same_are_called_different_in_one_case_of_twenty() {
    const CASES: u64 = 200;
    const SEEDS: u64 = 4;
    let lab = Lab::new();
    let scenario = lab.path("tiny.toml");
    let profiles = ["mainline", "mainline"].map(str::to_owned);
    let contest = |case: u64| {
        let first = 1 + case * 2 * SEEDS;
        let seeds: Vec<u64> = (first..first + SEEDS).collect();
        Contest::load(scenario.to_str().unwrap(), &[], &profiles, &[], &seeds, false).unwrap()
    };
    let contests: Vec<Contest> = (0..CASES).map(contest).collect();
    let jobs: Vec<_> = contests.iter().flat_map(|contest| contest.jobs(None)).collect();
    let ran = replicate(&jobs, processors(), &|| Duration::ZERO, &mut |_| true).unwrap().unwrap();
    let different = |metric: &str| {
        let judged = contests.iter().zip(ran.chunks(2 * SEEDS as usize));
        let called = judged.filter(|(contest, ran)| {
            let difference = contest.judge(ran).metrics[metric].rows[1].difference.unwrap();
            difference.differs().unwrap()
        });
        called.count() as f64 / CASES as f64
    };
    let found =
        ["completion_time", "upload_utilization", "seed_share"].map(|metric| (metric, different(metric)));
    eprintln!("called different: {found:?}");
    for (metric, part) in found {
        assert!((0.02..=0.09).contains(&part), "{metric}: {part}");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_processors() {
    let lab = Lab::new();
    let scenario = lab.path("tiny.toml");
    let profiles = ["mainline", "random-choker"].map(str::to_owned);
    let contest = Contest::load(scenario.to_str().unwrap(), &[], &profiles, &[], &[1, 2, 3], true).unwrap();
    let run = |threads: usize| -> Vec<Ran> {
        let threads = NonZeroUsize::new(threads).unwrap();
        replicate(&contest.jobs(None), threads, &|| Duration::ZERO, &mut |_| true).unwrap().unwrap()
    };
    let one = run(1);
    assert_eq!(one, run(3));
    let seeds: Vec<u64> = one.iter().map(|ran| ran.manifest.seed).collect();
    assert_eq!(seeds, [1, 1, 2, 2, 3, 3]);
}

#[test]
fn sets_and_classes_say_who_runs_what() {
    let profiles = ["mainline", "mainline-4", "random-choker"].map(str::to_owned);
    let lab = Lab::new();
    lab.write("two.toml", &format!("{TINY}\n[[peers]]\nname = \"late\"\ncount = 2\nup = \"1 Mbit/s\"\ndown = \"4 Mbit/s\"\nprofile = \"mainline\"\n"));
    let path = lab.path("two.toml");
    let load = |sets: &[&str], classes: &[&str]| {
        let [sets, classes] =
            [sets, classes].map(|list| list.iter().map(|&one| one.to_owned()).collect::<Vec<_>>());
        Contest::load(path.to_str().unwrap(), &sets, &profiles, &classes, &[1], true)
    };
    let names = |contest: &Contest| -> Vec<Vec<String>> {
        let of = |at: usize| {
            contest.contestants[at].scenario.groups.iter().map(|group| group.profile.name.clone())
        };
        (0..profiles.len()).map(|at| of(at).collect()).collect()
    };
    let all = load(&[], &[]).unwrap();
    assert_eq!(names(&all)[1], ["mainline", "mainline-4", "mainline-4"]);
    assert_eq!(all.classes, ["leecher", "late"]);
    let late = load(&["peers.late.peers.max-initiate=7", "peers.leecher.count=5"], &["late"]).unwrap();
    assert_eq!(names(&late)[2], ["mainline", "mainline", "random-choker"]);
    for contestant in &late.contestants {
        let group = &contestant.scenario.groups[2];
        assert!(group.profile.to_toml().contains("max-initiate = 7"), "{}", group.profile.to_toml());
        assert_eq!(contestant.scenario.groups[1].count, Some(5));
    }
    let error = load(&[], &["nobody"]).unwrap_err().to_string();
    assert_eq!(error, "no class is named `nobody`; this scenario has: seed, leecher, late");
    // A key that not every profile has is told, as ever.
    assert!(load(&["peers.late.choke.no-such-key=1"], &[]).is_err());
    // The scenario says of whom else it is, unless somebody else is named.
    let seeds = load(&["peers.late.compared=false", "peers.seed.compared=true"], &[]).unwrap();
    assert_eq!(seeds.classes, ["seed", "leecher"]);
    assert_eq!(load(&["peers.late.compared=false"], &["late"]).unwrap().classes, ["late"]);
    let none = load(&["peers.late.compared=false", "peers.leecher.compared=false"], &[]).unwrap_err();
    assert!(none.to_string().contains("no group of this scenario is to be compared"), "{none}");
}

#[test]
fn several_scenarios_are_one_table_and_one_plot() {
    let lab = Lab::new();
    let rider = "[[peers]]\nname = \"rider\"\ncount = 3\nup = \"1 Mbit/s\"\ndown = \"4 Mbit/s\"\n\
                 profile = \"free-rider\"\ncompared = false\n";
    lab.write("riders.toml", &format!("{}{rider}", TINY.replace("\"tiny\"", "\"riders\"")));
    let profiles = ["--profile", "mainline", "--profile", "mainline", "--profile", "random-choker"];
    let rest = ["--seeds", "1..3", "--out", "out", "--markdown", "table.md"];
    let (told, _) = lab.succeeds(&[&["compare", "tiny.toml", "riders.toml"], &profiles[..], &rest].concat());
    assert!(told.contains("tiny: 3 runs") && told.contains("riders: 3 runs"), "{told}");
    for made in ["out/tiny/compare.json", "out/riders/report.html", "out/riders/random-choker/3/summary.json"]
    {
        assert!(lab.path(made).is_file(), "{made}");
    }
    let table = lab.read("table.md");
    assert!(table.contains("\nbt-lab compare tiny.toml riders.toml --profile mainline"), "{table}");
    assert!(table.contains("\n| profile | tiny: leecher | riders: leecher | riders: rider |\n"), "{table}");
    assert!(table.contains("\n| `mainline#2` | 0.0 [0.0, 0.0] | 0.0 [0.0, 0.0] | 0.0 [0.0, 0.0] |\n"));
    assert!(table.contains("\n| profile | tiny | riders |\n") && table.contains("](table.svg)"), "{table}");
    let base = lab.json("out/riders/compare.json");
    let base = base["by_class"]["rider"]["completion_time.median"]["rows"][0]["mean"].as_f64().unwrap();
    let row = table.lines().find(|line| line.starts_with("| `mainline` |")).unwrap();
    assert!(row.ends_with(&format!("| {base:.1} s |")), "{row}");
    let plot = lab.read("table.svg");
    assert!(plot.starts_with("<svg") && plot.contains(">random-choker<") && plot.contains(">rider<"));

    // What is wrong with the last scenario is told before the first is run.
    let none = [&["compare", "tiny.toml", "none.toml"], &profiles[..], &["--out", "no"]].concat();
    assert!(lab.fails(&none, 2).contains("none.toml") && !lab.path("no").exists());
}

#[test]
fn three_profiles_are_adjusted_for_and_one_in_another_class_is_told_apart() {
    let lab = Lab::new();
    lab.succeeds(&[
        "compare",
        "tiny.toml",
        "--profile",
        "mainline",
        "--profile",
        "random-choker",
        "--profile",
        "mainline-4",
        "--seeds",
        "1..4",
        "--unpaired",
        "--out",
        "out",
        "--jobs",
        "2",
    ]);
    let compared = lab.json("out/compare.json");
    assert_eq!(compared["paired"], false);
    assert_eq!(compared["seeds_of"]["mainline-4"], serde_json::json!([9, 10, 11, 12]));
    for (name, difference) in differences(&compared) {
        let (p, holm) = (difference["p"].as_f64(), difference["p_holm"].as_f64());
        assert!(holm >= p && holm <= Some(1.0) && p.is_some(), "{name}: {difference}");
    }
    assert!(compared["by_class"]["leecher"]["completion_time"].is_object());
}

#[test]
fn who_left_runs_unfinished_is_told_wherever_they_are_compared() {
    let lab = Lab::new();
    let two = ["--profile", "mainline", "--profile", "free-rider", "--seeds", "1..3", "--out", "out"];
    let (table, _) = lab.succeeds(&[&["compare", "tiny.toml", "--set", "run.limit=60 s"][..], &two].concat());
    let runs = lab.json("out/compare.json")["runs"]["free-rider"].clone();
    assert_eq!((&runs["unfinished"], &runs["given_up"]), (&3.into(), &3.into()));
    let said = format!(
        "free-rider: {} of 90 peers did not finish, in 3 of 3 runs (3 given up at the scenario's limit); completion_time",
        runs["censored"]
    );
    assert!(table.contains(&said) && !table.contains("mainline: "), "{table}");
    // Half of them have everything in no run: there is nothing to be compared, which is not to say no difference.
    let row = table.lines().find(|line| line.starts_with("completion_time.median")).unwrap();
    assert!(row.contains(" 0 of 3 ") && row.ends_with("not to be compared"), "{row}");
    let row = table.lines().find(|line| line.starts_with("upload_utilization ")).unwrap();
    assert!(row.contains(" 3 ") && row.ends_with("lower"), "{row}");
    let page = lab.read("out/report.html");
    assert!(page.contains("<b>in 3 of 3 runs</b> (3 given up at the limit)"));
    assert!(
        page.contains("free-rider and mainline <b>cannot be compared</b>") && page.contains("<b>0 of 3</b>")
    );
}

#[test]
fn wrong_use_is_told_in_one_line() {
    let lab = Lab::new();
    let two = ["--profile", "mainline", "--profile", "mainline"];
    for (arguments, part) in [
        (vec!["compare", "tiny.toml", "--profile", "mainline", "--out", "x"], "two profiles"),
        ([&["compare", "tiny.toml", "--seeds", "3..1", "--out", "x"][..], &two].concat(), "1..30"),
        (
            [&["compare", "tiny.toml", "--class", "x", "--out", "x"][..], &two].concat(),
            "no class is named `x`",
        ),
        ([&["compare", "tiny.tom", "--out", "x"][..], &two].concat(), "tiny.tom"),
        (
            vec!["compare", "tiny.toml", "--profile", "mainlin", "--profile", "x", "--out", "x"],
            "did you mean `mainline`",
        ),
        ([&["compare", "tiny.toml", "--jobs", "0", "--out", "x"][..], &two].concat(), "--jobs"),
        (
            [&["tournament", "tiny.toml", "--share", "1", "--out", "x"][..], &two].concat(),
            "above 0 and below 1",
        ),
        (
            [&["tournament", "tiny.toml", "--set", "peers.leecher.count=1", "--out", "x"][..], &two].concat(),
            "too small",
        ),
        (
            [&["compare", "tiny.toml", "--set", "run.seed=3", "--out", "x"][..], &two].concat(),
            "bt-lab: --set run.seed=3: the seeds of these runs are those of --seeds\n",
        ),
        (
            [&["compare", "tiny.toml", "--set", "peers.leecher.choke.slots=2", "--out", "x"][..], &two]
                .concat(),
            "bt-lab: --set peers.leecher.choke.slots=2, in the profile mainline: unknown field `slots`",
        ),
        (
            [&["tournament", "tiny.toml", "--set", "run.seed = 3", "--out", "x"][..], &two].concat(),
            "those of --seeds",
        ),
        (vec!["measure"], "required"),
    ] {
        let error = lab.fails(&arguments, 2);
        assert!(error.contains(part), "{error}");
    }
    assert!(lab.fails(&["measure", "none.jsonl"], 1).starts_with("bt-lab: none.jsonl: "));
    assert!(lab.fails(&["measure", "tiny.toml"], 1).contains("line 1 of the event log"));
    assert!(!lab.path("x").exists());
}

#[test]
fn a_tournament_of_equals_and_one_more() {
    let lab = Lab::new();
    let arguments = [
        "tournament",
        "tiny.toml",
        "--profile",
        "mainline",
        "--profile",
        "random-choker",
        "--profile",
        "mainline",
        "--seeds",
        "1..4",
        "--out",
        "out",
    ];
    let (table, _) = lab.succeeds(&arguments);
    assert!(table.contains("mainline against mainline#2"), "{table}");
    let found = lab.json("out/tournament.json");
    let pairs = found["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 3);
    let won: f64 =
        found["ranking"].as_array().unwrap().iter().map(|rank| rank["won"].as_f64().unwrap()).sum();
    assert_eq!(won, 12.0);
    for pair in pairs {
        let (a, b) = (pair["median_a_s"].as_f64().unwrap(), pair["median_b_s"].as_f64().unwrap());
        let difference = pair["difference_s"]["mean"].as_f64().unwrap();
        assert!((a - b - difference).abs() < 1e-9, "{pair}");
    }
    assert!(lab.read("out/tournament.csv").starts_with("a,b,encounters,won_by_a,fraction,"));
    // Each swarm is half and half.
    let peers = lab.read("out/mainline-vs-random-choker/1/peers.csv");
    for class in ["leecher-mainline", "leecher-random-choker"] {
        assert_eq!(peers.matches(&format!(",{class},")).count(), 15);
    }
    assert!(lab.path("out/report.html").exists());
    let (_, errors) = lab.succeeds(&arguments);
    assert_eq!(errors, "bt-lab: 12 of 12 runs were there already\n");
}

#[test]
fn who_is_named_first_in_a_tournament_does_not_matter() {
    let lab = Lab::new();
    let play = |profiles: [&str; 3], out: &str| {
        let named: Vec<&str> = profiles.iter().flat_map(|&profile| ["--profile", profile]).collect();
        // An odd number of peers, and of seeds.
        let rest = ["--set", "peers.leecher.count=9", "--seeds", "1..3", "--out", out];
        lab.succeeds(&[&["tournament", "tiny.toml"][..], &named, &rest].concat()).0
    };
    let first = play(["mainline", "random-choker", "mainline-4"], "a");
    let second = play(["mainline-4", "random-choker", "mainline"], "b");
    assert!(first.starts_with("tiny: 3 seeds, each of a pair has half of the peers\n"), "{first}");
    assert_eq!(first.replace("a/report.html", ""), second.replace("b/report.html", ""));
    for file in ["tournament.json", "tournament.csv"] {
        assert_eq!(lab.read(&format!("a/{file}")), lab.read(&format!("b/{file}")));
    }
    let counts = |seed: u32| {
        let peers = lab.read(&format!("a/mainline-vs-random-choker/{seed}/peers.csv"));
        ["mainline", "random-choker"].map(|name| peers.matches(&format!(",leecher-{name},")).count())
    };
    assert_eq!([counts(1), counts(2)], [[4, 5], [5, 4]]);
}

/// [`TINY`] with peers that go on arriving and leave once they have everything.
fn open(lab: &Lab) {
    let arrives = "name = \"leecher\"\narrives = { poisson = \"0.5/s\" }\nleaves = \"on-complete\"\n";
    let text = TINY.replace("name = \"leecher\"\ncount = 30\n", arrives);
    lab.write("open.toml", &format!("{text}\n[run]\nuntil = \"300 s\"\n"));
}

#[test]
fn runs_of_an_open_swarm_are_cut_alike_and_as_by_hand() {
    let lab = Lab::new();
    open(&lab);
    let two = ["--profile", "mainline", "--profile", "random-choker", "--seeds", "1..3", "--out", "out"];
    let compare = [&["compare", "open.toml"][..], &two].concat();
    let (table, errors) = lab.succeeds(&compare);
    let cut = lab.json("out/compare.json")["warm_up"].clone();
    let until = cut["until_s"].as_f64().unwrap();
    assert!(until > 0.0 && until <= 150.0, "{cut}");
    let said =
        format!("warm-up: the first {until:.0} s of every run are left out, with {} peers", cut["peers"]);
    assert!(table.contains(&said), "{table}{errors}");
    let mut own = Vec::new();
    for file in files_called(&lab.path("out"), "summary.json") {
        let summary: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let manifest = std::fs::read_to_string(file.with_file_name("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(summary["warm_up"], manifest["warm_up"]);
        assert_eq!(summary["warm_up"]["until_s"], until);
        own.push(summary["warm_up"]["own_s"].as_f64().unwrap());
        let counts = &summary["counts"]["leecher"];
        let [all, warm_up, finished, censored] =
            [&counts["peers"], &counts["warm_up"], &summary["finished"], &summary["censored"]]
                .map(|count| count.as_u64().unwrap());
        assert_eq!(all, warm_up + finished + censored);
        assert_eq!(
            (Some(warm_up), Some(finished)),
            (summary["warm_up"]["peers"].as_u64(), summary["overall"]["completion_time"]["n"].as_u64())
        );
    }
    assert!(own.iter().any(|own| *own < until) && own.contains(&until), "{own:?}");
    assert!(lab.read("out/report.html").contains("end of the warm-up"));

    // The same cut given by hand gives the same figures.
    let by_hand = format!("run.warm-up={until} s");
    let (text, _) = lab.succeeds(&["run", "open.toml", "--seed", "2", "--set", &by_hand, "--out", "hand"]);
    assert!(text.contains("are left out (as the scenario says), with "), "{text}");
    let [mut there, mut here] =
        ["out/mainline/2/summary.json", "hand/summary.json"].map(|file| lab.json(file));
    assert_ne!(there["warm_up"], here["warm_up"]);
    for summary in [&mut there, &mut here] {
        summary.as_object_mut().unwrap().remove("warm_up");
    }
    assert_eq!(there, here);
    assert!(lab.read("hand/report.html").contains("after a warm-up of"));

    // What was cut alike is there for the next time, and for others that need no such cut.
    let before = lab.read("out/compare.json");
    let (_, errors) = lab.succeeds(&compare);
    assert!(errors.starts_with("bt-lab: 6 of 6 runs were there already\n"), "{errors}");
    assert_eq!(lab.read("out/compare.json"), before);

    // A log measured says the same as its run; nothing is cut if nothing is to be.
    lab.succeeds(&["run", "open.toml", "--events", "--out", "auto"]);
    let (line, _) = lab.succeeds(&["measure", "auto/events.jsonl", "--json"]);
    let found: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(found["summary"], lab.json("auto/summary.json"));
    lab.succeeds(&["run", "open.toml", "--set", "run.warm-up=none", "--out", "all"]);
    assert!(lab.json("all/summary.json").get("warm_up").is_none());
}

#[test]
fn a_log_measured_gives_the_figures_of_the_run() {
    let lab = Lab::new();
    lab.succeeds(&["run", "tiny.toml", "--events", "--out", "out"]);
    let (line, _) = lab.succeeds(&["measure", "out/events.jsonl", "--json"]);
    let found: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(found["summary"], lab.json("out/summary.json"));
    assert_eq!(found["run"]["scenario"], "tiny");
    let log = lab.read("out/events.jsonl");
    lab.write("cut.jsonl", &log[..log.len() - 5]);
    let error = lab.fails(&["measure", "cut.jsonl"], 1);
    assert!(error.ends_with(": the log is cut off here: its last line is not whole\n"), "{error}");
    let (list, _) = lab.succeeds(&["list", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&list["metrics"][0]["name"], &list["metrics"][0]["unit"]),
        (&"completion_time".into(), &"s".into())
    );
    // So does that of a run that ended at a time at which nothing happened, or before everybody came.
    let late = "peers.leecher.arrives={ trace = ['0 s', '1 s', '1 h'] }";
    for (end, code) in [("run.until=7777 ms", 0), ("run.limit=8888 ms", 1), ("run.limit=30 min", 1)] {
        let sets = ["--set", "peers.leecher.count=3", "--set", late, "--set", end];
        let run = lab.run(&[&["run", "tiny.toml", "--events", "--out", "cut"][..], &sets].concat());
        assert_eq!(run.status.code(), Some(code));
        let (line, _) = lab.succeeds(&["measure", "cut/events.jsonl", "--json"]);
        let found: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(found["summary"], lab.json("cut/summary.json"), "{end}");
    }
    let (text, _) = lab.succeeds(&["measure", "out/events.jsonl"]);
    assert!(text.contains("finished 30, unfinished 0\n") && text.contains("\ncompletion_time "), "{text}");
}

/// Where nobody serves but the seed, everything must come through its uplink: a difference that is known beforehand.
#[test]
fn a_swarm_of_free_riders_is_told_from_mainline() {
    let lab = Lab::new();
    let arguments = [
        "compare",
        "tiny.toml",
        "--profile",
        "mainline",
        "--profile",
        "free-rider",
        "--seeds",
        "1..4",
        "--out",
        "out",
    ];
    let (table, _) = lab.succeeds(&arguments);
    let compared = lab.json("out/compare.json");
    let row = |metric: &str| compared["metrics"][metric]["rows"][1].clone();
    assert_eq!(row("upload_utilization")["mean"], 0.0);
    // Thirty times a mebibyte over 2 Mbit/s.
    assert!(row("completion_time.max")["mean"].as_f64() >= Some(30.0 * 8.0 * 1_048_576.0 / 2e6), "{table}");
    for (metric, slower) in
        [("completion_time", true), ("completion_time.median", true), ("upload_utilization", false)]
    {
        let difference = &row(metric)["difference"];
        let [low, high, p] = ["low", "high", "p"].map(|key| difference[key].as_f64().unwrap());
        assert!(p < 0.001 && if slower { low > 0.0 } else { high < 0.0 }, "{metric}: {difference}");
    }
}
