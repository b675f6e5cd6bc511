//! Scenarios and grids: what is said of wrong ones, word for word, and that the shipped ones load and can be repeated.

use std::path::Path;
use std::time::Duration;

use bt_api::Instant;
use bt_api::plugin::shipped;
use bt_bins as _;
use bt_engine::Event;
use bt_sim::scenario::{Arrivals, Group, Leaves};
use bt_sim::{Ended, Grid, Observer, Scenario, simulate};

/// A small scenario; tests count on its lines.
const BASE: &str = r#"name = "small"
[content]
size = "16 MiB"
piece = "256 KiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "2 Mbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "leecher"
count = 20
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline"
"#;

fn load(text: &str, sets: &[&str]) -> Result<Scenario, String> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Scenario::from_text("s", text, &sets).map_err(|error| error.to_string())
}

/// That `found` is just this message; the list of what the binary has, which grows, is left out.
#[track_caller]
fn is_told(found: &str, expected: &str) {
    assert_eq!(found.split(" (this binary has: ").next(), Some(expected));
}

/// That the base with the last `from` replaced by `to` is refused with just this message.
#[track_caller]
fn refused(from: &str, to: &str, expected: &str) {
    let at = BASE.rfind(from).expect("the base has it");
    let text = format!("{}{to}{}", &BASE[..at], &BASE[at + from.len()..]);
    is_told(&load(&text, &[]).expect_err("the scenario is wrong"), expected);
}

/// That the base with `extra` lines, from line 18 on, is refused with just this message.
#[track_caller]
fn refused_with(extra: &str, expected: &str) {
    is_told(&load(&format!("{BASE}{extra}\n"), &[]).expect_err("the scenario is wrong"), expected);
}

/// That the base with this `--set` is refused with just this message.
#[track_caller]
fn refused_set(set: &str, expected: &str) {
    is_told(&load(BASE, &[set]).expect_err("the set is wrong"), expected);
}

#[test]
fn every_shipped_scenario_loads_says_its_source_and_can_be_repeated() {
    let scenarios = shipped("scenario");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bins/scenarios");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), scenarios.len());
    for one in scenarios {
        let scenario = Scenario::load(one.name, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(scenario.name, one.name);
        let mut comment = one.text.lines().take_while(|line| line.starts_with("# "));
        assert!(comment.next().is_some(), "{} begins with what it is", one.name);
        assert!(comment.next().is_some_and(|line| line.starts_with("# Source: ")), "{}", one.name);
        let printed = scenario.to_toml();
        let again = load(&printed, &[]).unwrap_or_else(|error| panic!("{}: {error}", one.name));
        assert_eq!(again.to_toml(), printed);
        assert_eq!(format!("{again:?}"), format!("{scenario:?}"));
        let open = scenario.groups.iter().any(|group| group.count.is_none());
        assert_eq!(scenario.lower_bound().is_none(), open, "{}", one.name);
    }
}

/// Sees nothing.
struct Nobody;

impl Observer for Nobody {
    fn event(&mut self, _: Instant, _: u32, _: &Event) {}
}

#[test]
fn every_shipped_scenario_runs_to_its_end_in_small() {
    for one in shipped("scenario") {
        let scenario = Scenario::load(one.name, &[]).unwrap();
        let few = |group: &Group| (!group.complete).then(|| format!("peers.{}.count=3", group.name));
        let mut sets: Vec<String> = scenario.groups.iter().filter_map(few).collect();
        sets.push("content.size=1 MiB".to_owned());
        let small = Scenario::load(one.name, &sets).unwrap();
        let outcome = simulate(&small, small.run.seed, &mut Nobody).unwrap();
        assert_eq!(outcome.ended, Ended::Done, "{}", one.name);
    }
}

#[test]
fn every_form_of_a_key_is_printed_so_that_it_loads_again() {
    let sets = [
        "run.until=90 min",
        "network.delay=0",
        "network.granularity=piece",
        "peers.leecher.have={ missing = [63, 3] }",
        "peers.leecher.abandons={ exponential = '2 h' }",
        "peers.leecher.leaves={ after = '10 min' }",
        "peers.leecher.choke.use=random",
        "run.seed=9223372036854775807",
    ];
    for arrives in [
        "{ at = '7 ms' }",
        "{ rate = '1/min' }",
        "{ poisson = '0.1/s' }",
        "{ trace = ['1500 ms', '0 s'] }",
        "{ batches = { every = '1 min', size = 3 } }",
    ] {
        let arrives = format!("peers.leecher.arrives={arrives}");
        let sets = [&sets[..], &["peers.leecher.count=2", &arrives]].concat();
        let scenario = load(BASE, &sets).unwrap();
        let printed = scenario.to_toml();
        let again = load(&printed, &[]).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(again.to_toml(), printed);
        assert_eq!(format!("{again:?}"), format!("{scenario:?}"));
        assert_eq!(again.groups[1].profile.choke().0, "random");
    }
}

#[test]
fn tables_and_keys() {
    refused(
        "[content]",
        "[contents]",
        "s.toml:1:1: `size` is missing in [content]: the length of what is downloaded, such as \"100 MiB\"",
    );
    refused_with(
        "[[peer]]\nname = 'x'",
        "s.toml:18:3: unknown key `peer` in a scenario, expected one of `name`, `content`, `network`, `tracker`, `run`, `peers`; did you mean `peers`?",
    );
    refused(
        "size",
        "sise",
        "s.toml:2:1: `size` is missing in [content]: the length of what is downloaded, such as \"100 MiB\"",
    );
    refused_with(
        "[network]\ndelays = 0",
        "s.toml:19:1: unknown key `delays` in [network], expected one of `model`, `delay`, `granularity`; did you mean `delay`?",
    );
    refused_with(
        "leave = 'never'",
        "s.toml:18:1: unknown key `leave` in [[peers]], expected one of `name`, `count`, `complete`, `have`, `up`, `down`, `arrives`, `leaves`, `abandons`, `compared`, `profile`, `choke`, `piece`, `storage`, `tracker`, `announce`, `rate`, `requests`, `upload`, `peers`, `net`, `metainfo`, `display`; did you mean `leaves`?",
    );
    refused_with(
        "[run]\nuntil = 'all'",
        "s.toml:19:9: expected \"all-complete\", or a duration such as \"2 h\", found \"all\"",
    );
    refused_with(
        "[run]\nuntil = '8 d'",
        "s.toml:19:9: `until` must be more than 0 and not above `limit`, which is \"7 d\", found \"8 d\"",
    );
    refused_with("[network]\ndelay = 5", "s.toml:19:9: expected a duration such as \"50 ms\", or 0, found 5");
    refused_with(
        "[network]\ngranularity = 'blocks'",
        "s.toml:19:15: unknown value `blocks`, expected `block` or `piece`; did you mean `block`?",
    );
    refused_with("[tracker]\nreply = 0", "s.toml:19:9: `reply` must be at least 1, found 0");
    refused_with(
        "[tracker]\nreply = -1",
        "s.toml:19:9: invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
    );
    assert_eq!(
        load("[content]\nsize = '1 B'\npiece = '1 B'\n", &[]).unwrap_err(),
        "s.toml:1:1: [[peers]] is missing: it says who takes part"
    );
    assert_eq!(
        load("peers = 3\n[content]\nsize = '1 B'\npiece = '1 B'\n", &[]).unwrap_err(),
        "s.toml:1:9: expected groups of peers, each begun by the line [[peers]], found 3"
    );
}

#[test]
fn content() {
    refused("16 MiB", "0 B", "s.toml:3:8: `size` must be at least 1 B, found 0 B");
    refused(
        "16 MiB",
        "16",
        "s.toml:3:8: expected a size such as \"16 KiB\" (units B, kB, KiB, MB, MiB, GB, GiB, TB, TiB), found \"16\"",
    );
    refused("256 KiB", "0 B", "s.toml:4:9: `piece` must be from \"1 B\" to \"64 MiB\", found \"0 B\"");
    refused("256 KiB", "65 MiB", "s.toml:4:9: `piece` must be from \"1 B\" to \"64 MiB\", found \"65 MiB\"");
    refused(
        "256 KiB",
        "1 B",
        "s.toml:4:9: 16777216 pieces are more than the 2097152 that are allowed: `piece` must be at least \"8 B\"",
    );
}

#[test]
fn peers() {
    refused("\"leecher\"", "\"seed\"", "s.toml:13:8: two groups of peers are named `seed`");
    refused(
        "\"leecher\"",
        "\"a.b\"",
        "s.toml:13:8: a group's name has letters from a to z, digits, `-` and `_`, at most 100, found \"a.b\"",
    );
    refused("count = 20", "count = 0", "s.toml:14:9: `count` must be from 1 to 16777216, found 0");
    refused(
        "count = 20",
        "",
        "s.toml:12:1: `count` is missing in [[peers]]: how many there are, such as 100",
    );
    refused(
        "count = 20",
        "arrives = { poisson = '1/s' }",
        "s.toml:12:1: `count` is missing in [[peers]]: without it they go on arriving, so `run.until` must be a duration",
    );
    refused("count = 20", "count = 16777216", "s.toml:12:1: more than 16777216 peers take part");
    refused(
        "\"400 kbit/s\"",
        "\"0 B/s\"",
        "s.toml:15:6: `up` must be at least 1 B/s, or \"unlimited\", found less",
    );
    refused(
        "up = \"400 kbit/s\"",
        "",
        "s.toml:12:1: `up` is missing in [[peers]]: a rate such as \"400 kbit/s\", or \"unlimited\"",
    );
    refused(
        "\"400 kbit/s\"",
        "400",
        "s.toml:15:6: invalid value: integer `400`, expected a rate such as \"400 kbit/s\", or \"unlimited\"",
    );
    refused(
        "complete = true",
        "",
        "s.toml:1:1: nobody ever has piece 0: a group must be `complete = true`, or `have` a part of the pieces",
    );
    refused(
        "complete = true",
        "complete = true\nhave = 0.5",
        "s.toml:9:1: `have` is of peers that lack something, and these are `complete`",
    );
    refused(
        "complete = true",
        "complete = true\nabandons = { after = '1 h' }",
        "s.toml:9:1: `abandons` is of peers that lack something, and these are `complete`",
    );
    refused(
        "complete = true",
        "complete = true\nleaves = 'on-complete'",
        "s.toml:9:10: these are `complete` when they arrive: `leaves` needs a time, such as { after = \"10 min\" }",
    );
    refused_with(
        "have = 1.0",
        "s.toml:18:8: `have` must be at least 0 and below 1 (who has everything is `complete = true`), found 1.0",
    );
    refused_with(
        "have = nan",
        "s.toml:18:8: `have` must be at least 0 and below 1 (who has everything is `complete = true`), found nan",
    );
    refused_with(
        "have = 'half'",
        "s.toml:18:8: expected a part of the pieces such as 0.3, or { missing = [17] }, found \"half\"",
    );
    refused_with("have = { missing = [3, 64] }", "s.toml:18:24: there is no piece 64: the last one is 63");
    refused_with(
        "have = { mising = [3] }",
        "s.toml:18:10: unknown key `mising`, expected `missing`; did you mean `missing`?",
    );
    refused_with(
        "leaves = 'on-completion'",
        "s.toml:18:10: unknown value `on-completion`, expected `never` or `on-complete`; did you mean `on-complete`?",
    );
    refused_with("leaves = { exponential = '0 s' }", "s.toml:18:26: `exponential` must be more than 0");
    refused_with(
        "leaves = 3",
        "s.toml:18:10: expected \"never\", \"on-complete\", { after = \"10 min\" } or { exponential = \"600 s\" }, found 3",
    );
    refused_with(
        "abandons = 'never'",
        "s.toml:18:12: expected { after = \"10 min\" } or { exponential = \"600 s\" }, found \"never\"",
    );
}

#[test]
fn arrivals() {
    for wrong in ["-1/s", "0/s", "nan/s", "inf/s", "1e3/s", "5", "5/year", "10000000/s"] {
        refused_with(
            &format!("arrives = {{ rate = '{wrong}' }}"),
            &format!(
                "s.toml:18:20: expected how many arrive, such as \"100/s\" (units s, min, h, d; from 0.000001/s to 1000000/s), found \"{wrong}\""
            ),
        );
    }
    refused_with(
        "arrives = { rat = '5/s' }",
        "s.toml:18:13: unknown key `rat`, expected `at` or `rate` or `poisson` or `batches` or `trace`; did you mean `at`?",
    );
    refused_with(
        "arrives = {}",
        "s.toml:18:11: expected { at = \"0 s\" }, { rate = \"100/s\" }, { poisson = \"0.5/s\" }, { batches = { every = \"100 s\", size = 10 } } or { trace = \"file.csv\" }, found an empty table",
    );
    refused_with(
        "arrives = { trace = ['1 s'] }",
        "s.toml:14:9: `count` must not be above the 1 arrivals of the trace, found 20",
    );
    refused_with("arrives = { trace = [] }", "s.toml:18:21: the trace has no arrival");
    refused_with(
        "arrives = { batches = { every = '1 s' } }",
        "s.toml:18:23: `size` is missing in batches: how many peers arrive at once, such as 10",
    );
    refused_with(
        "arrives = { trace = 'there-is-none.csv' }",
        "s.toml:18:21: there-is-none.csv: No such file or directory (os error 2)",
    );
}

#[test]
fn profiles() {
    refused(
        "\"mainline\"",
        "\"mainlin\"",
        "s.toml:17:11: no file and no shipped profile is named `mainlin`; did you mean `mainline`?",
    );
    refused("\"mainline\"", "3", "s.toml:17:11: expected the name of a profile as a string, found 3");
    refused(
        "profile = \"mainline\"\n",
        "",
        "s.toml:12:1: `profile` is missing in [[peers]]: what they run, such as \"mainline\"",
    );
    refused_with(
        "choke = { use = 'tit-for-tatt' }",
        "s.toml:18:17: no choke policy is named `tit-for-tatt`; did you mean `tit-for-tat`?",
    );
    refused_with("requests = { backlog = 0 }", "s.toml:18:24: `backlog` must be at least 1, found 0");
    refused_with(
        "choke = { slots = 3 }",
        "s.toml:18:11: unknown field `slots`, expected one of `max-uploads`, `min-uploads`, `round`, `optimistic-rounds`, `new-peer-weight`, `min-preferred-rate`, `leecher-ranking`, `seed-ranking`",
    );
    refused(
        "\"mainline\"",
        "{ use = 'mainline', chok = {} }",
        "s.toml:17:31: unknown table `chok`, expected one of `choke`, `piece`, `storage`, `tracker`, `announce`, `rate`, `requests`, `upload`, `peers`, `net`, `metainfo`, `display`; did you mean `choke`?",
    );
    refused(
        "\"mainline\"",
        "{ choke = { use = 'random' } }",
        "s.toml:17:11: [piece] is missing: it says which piece policy to use",
    );
}

#[test]
fn sets() {
    refused_set(
        "peers.leechr.count=3",
        "--set peers.leechr.count=3: no [[peers]] is named `leechr`; did you mean `leecher`? (there are: seed, leecher)",
    );
    refused_set("peers.leecher=3", "--set peers.leecher=3: expected the path peers.NAME.KEY");
    refused_set(
        "peers.leecher.count=0",
        "--set peers.leecher.count=0: `count` must be from 1 to 16777216, found 0",
    );
    refused_set(
        "peers.leecher.profile=mainlin",
        "--set peers.leecher.profile=mainlin: no file and no shipped profile is named `mainlin`; did you mean `mainline`?",
    );
    refused_set(
        "peers.leecher.choke.use=randm",
        "--set peers.leecher.choke.use=randm: no choke policy is named `randm`; did you mean `random`?",
    );
    refused_set(
        "network.delay=5",
        "--set network.delay=5: expected a duration such as \"50 ms\", or 0, found 5",
    );
    refused_set(
        "peers.leecher.storage.use=null",
        "--set peers.leecher.storage.use=null: stores take part only with `content.payload = true`",
    );
    refused_set("nonsense", "--set nonsense: expected KEY=VALUE, such as peers.leecher.count=100");
    let sets = ["name=other", "content.size=1 MiB", "network.delay=0", "tracker.reply=9", "run.until=2 h"];
    let scenario =
        load(BASE, &[&sets[..], &["peers.leecher.count=3", "peers.leecher.leaves=on-complete"]].concat());
    let scenario = scenario.unwrap();
    assert_eq!(
        (scenario.name.as_str(), scenario.content.size, scenario.tracker.reply),
        ("other", 1 << 20, 9)
    );
    assert_eq!((scenario.groups[1].count, scenario.groups[1].leaves), (Some(3), Leaves::OnComplete));
}

#[test]
fn a_group_overrides_its_profile_in_either_form() {
    let extra = "choke = { use = \"random\", slots = 2 }\nrequests = { backlog = 10 }\n";
    let own = load(&format!("{BASE}{extra}"), &[]).unwrap();
    let table = "{ use = \"mainline\", choke = { use = \"random\", slots = 2 }, requests.backlog = 10 }";
    let at = BASE.rfind("\"mainline\"").unwrap();
    let nested = load(&format!("{}{table}\n", &BASE[..at]), &[]).unwrap();
    let sets = ["choke.slots=2", "choke.use=random", "requests.backlog=10"];
    let sets: Vec<String> = sets.iter().map(|set| format!("peers.leecher.{set}")).collect();
    let set = load(BASE, &sets.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    for scenario in [&own, &nested, &set] {
        let leecher = &scenario.groups[1].profile;
        assert_eq!((leecher.name.as_str(), leecher.choke().0.as_str()), ("mainline", "random"));
        assert_eq!(leecher.settings.requests.backlog, 10);
        assert_eq!(leecher.to_toml(), own.groups[1].profile.to_toml());
        assert_eq!(scenario.groups[0].profile.choke().0, "tit-for-tat");
    }
    // A set goes over what the scenario has.
    let over = load(&format!("{BASE}{extra}"), &["peers.leecher.choke.use=tit-for-tat"]).unwrap();
    assert_eq!(over.groups[1].profile.choke().0, "tit-for-tat");
    // And another profile for those that download leaves nothing of the old one.
    let other = own.with_profile("sequential", |group| !group.complete).unwrap();
    assert_eq!(other.groups[1].profile.piece().0, "sequential");
    assert_eq!(other.groups[1].profile.choke().0, "tit-for-tat");
    assert_eq!(other.groups[0].profile.name, "mainline");
}

#[test]
fn paths_count_from_the_scenario() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let mine = bt_runtime::Profile::load("mainline", &["requests.backlog=77".to_owned()]).unwrap();
    put("mine.toml", &mine.to_toml());
    put("times.csv", "seconds\n2.5\n1\n3\n");
    put(
        "s.toml",
        &format!(
            "{}profile = \"mine.toml\"\narrives = {{ trace = \"times.csv\" }}\n",
            BASE.replace("count = 20", "count = 2").rsplit_once("profile").unwrap().0
        ),
    );
    put("g.toml", "scenario = \"s.toml\"\nseeds = [3, 1]\n[vary]\npeers.leecher.count = [1, 2]\n");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let scenario = Scenario::load(&path("s.toml"), &[]).unwrap();
    let leecher = &scenario.groups[1];
    assert_eq!((leecher.profile.name.as_str(), leecher.profile.settings.requests.backlog), ("mine", 77));
    assert_eq!(leecher.arrives, Arrivals::Trace([1000, 2500].map(Duration::from_millis).to_vec()));
    let grid = Grid::load(&path("g.toml")).unwrap();
    assert_eq!((grid.scenario, grid.seeds), (path("s.toml"), vec![3, 1]));

    put("times.csv", "1\n2,x\nthree\n");
    let message = Scenario::load(&path("s.toml"), &[]).unwrap_err().to_string();
    let expected =
        "times.csv, line 3: expected the seconds of an arrival, from 0 to 1000000000, found \"three\"";
    assert_eq!(message, format!("{}:18:21: {expected}", path("s.toml")));
    put("times.csv", "1\n2\n");
    put("mine.toml", &mine.to_toml().replacen("[choke]\nuse", "[choke]\nuses", 1));
    let message = Scenario::load(&path("s.toml"), &[]).unwrap_err().to_string();
    is_told(&message, &format!("{}:1:1: `use` is missing: it names the choke policy", path("mine.toml")));
    assert!(
        Scenario::load("flash-crwd", &[]).unwrap_err().to_string().contains("did you mean `flash-crowd`?")
    );
}

/// What is said of a grid of the shipped scenario with these lines, from line 2 on.
fn grid_error(lines: &str) -> String {
    let text = format!("scenario = \"flash-crowd\"\n{lines}\n");
    Grid::from_text("g", &text).expect_err("the grid is wrong").to_string()
}

#[test]
fn a_grid_is_checked_before_anything_runs() {
    let text = "scenario = \"flash-crowd\"\nseeds = \"1..2\"\n[vary]\n\"peers.seed.up\" = [\"1 Mbit/s\", \"unlimited\"]\npeers.leecher.count = [10, 20]\nnetwork.delay = [0]\npeers.leecher.leaves = [{ after = \"1 h\" }]\n";
    let grid = Grid::from_text("g", text).unwrap();
    let cells = grid.cells();
    assert_eq!(cells.len(), 8);
    assert_eq!(
        cells[2].sets,
        [
            "peers.seed.up=1 Mbit/s",
            "peers.leecher.count=20",
            "network.delay=0",
            "peers.leecher.leaves={ after = \"1 h\" }"
        ]
    );
    assert_eq!((cells[2].number, cells[2].seed), (3, 1));
    Scenario::load(&grid.scenario, &cells[2].sets).unwrap();

    assert_eq!(
        grid_error("[vary]\npeers.seed.up = ['1 Mbit/s', '0 B/s']"),
        "g.toml:3:30: `peers.seed.up`: `up` must be at least 1 B/s, or \"unlimited\", found less"
    );
    assert_eq!(
        grid_error("[vary]\npeers.seeds.up = ['1 Mbit/s']"),
        "g.toml:3:19: `peers.seeds.up`: no [[peers]] is named `seeds`; did you mean `seed`? (there are: seed, leecher)"
    );
    assert_eq!(
        grid_error("[vary]\npeers.seed.up = '1 Mbit/s'"),
        "g.toml:3:12: expected a list of values for `peers.seed.up`, found \"1 Mbit/s\""
    );
    assert_eq!(
        grid_error("[vary]\nnetwork.delay = []"),
        "g.toml:3:9: expected a list of values for `network.delay`, found an empty one"
    );
    assert_eq!(
        grid_error("[vary]\nrun.seed = [1, 2]"),
        "g.toml:3:5: the seeds of a grid are its key `seeds`"
    );
    assert_eq!(
        grid_error("[vary]\nnetwork.delay = [0]\n'network.delay' = [0]"),
        "g.toml:4:1: `network.delay` is there twice"
    );
    assert_eq!(
        grid_error("seeds = '1-30'"),
        "g.toml:2:9: expected seeds such as \"1..30\" (both ends included) or \"1,2,5\", found \"1-30\""
    );
    assert_eq!(grid_error("seeds = [1, 1]"), "g.toml:2:9: the seed 1 is there twice");
    assert_eq!(
        grid_error("seed = 1"),
        "g.toml:2:1: unknown key `seed` in a grid, expected one of `name`, `scenario`, `seeds`, `vary`; did you mean `seeds`?"
    );
    let message = Grid::from_text("g", "scenario = 'flash-crwd'").unwrap_err().to_string();
    assert!(
        message.starts_with(
            "g.toml:1:12: no file and no shipped scenario is named `flash-crwd`; did you mean `flash-crowd`?"
        ),
        "{message}"
    );
}
