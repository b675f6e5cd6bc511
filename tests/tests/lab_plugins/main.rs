//! Plug-ins in simulated swarms: stores keep real bytes, tracker clients announce, in virtual time; one that breaks is told.

mod announcing;
mod clients;
mod several;
mod stores;

use std::collections::{BTreeMap, BTreeSet};

use bt_api::Instant;
use bt_api::testkit::odd::{OddChoke, OddPiece, OddStorage, OddTracker};
use bt_bins as _;
use bt_engine::Event;
use bt_sim::experiment::{Events, Experiment};
use bt_sim::{Ended, Observer, Outcome, Scenario, simulate};

bt_api::register!(OddChoke);
bt_api::register!(OddPiece);
bt_api::register!(OddStorage);
bt_api::register!(OddTracker);

/// A seed and five leechers, who keep 1 MiB in `STORAGE`.
const SWARM: &str = r#"
[content]
size = "1000 KiB"
piece = "64 KiB"
payload = true
[[peers]]
name = "seed"
count = 1
complete = true
up = "4 Mbit/s"
down = "unlimited"
profile = "mainline"
storage = { use = "memory" }
[[peers]]
name = "leecher"
count = 5
up = "1 Mbit/s"
down = "4 Mbit/s"
profile = "mainline"
storage = STORAGE
"#;

fn scenario(storage: &str, more: &str, sets: &[&str]) -> Scenario {
    let text = format!("{}{more}", SWARM.replace("STORAGE", storage));
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Scenario::from_text("stores", &text, &sets).unwrap_or_else(|error| panic!("{error}"))
}

/// What tests look at.
#[derive(Default)]
struct Seen {
    classes: BTreeMap<u32, String>,
    complete: BTreeMap<u32, Instant>,
    left: BTreeSet<u32>,
    errors: Vec<(u32, String, String)>,
    /// How many pieces did not match their hash.
    failed: usize,
}

impl Observer for Seen {
    fn event(&mut self, now: Instant, node: u32, event: &Event) {
        match event {
            Event::Joined(joined) => {
                self.classes.insert(node, joined.class.clone().expect("a simulation has classes"));
            }
            Event::Complete { .. } => _ = self.complete.entry(node).or_insert(now),
            Event::Left {} => _ = self.left.insert(node),
            Event::StorageError { kind, message, .. } => {
                self.errors.push((node, kind.clone(), message.clone()));
            }
            Event::PieceFailed { .. } => self.failed += 1,
            _ => {}
        }
    }
}

impl Seen {
    /// The peers of a class.
    fn of(&self, class: &str) -> BTreeSet<u32> {
        let of_class = self.classes.iter().filter(|(_, name)| *name == class);
        of_class.map(|(node, _)| *node).collect()
    }
}

fn run(scenario: &Scenario) -> (Outcome, Seen) {
    let mut seen = Seen::default();
    let outcome = simulate(scenario, 1, &mut seen).unwrap_or_else(|error| panic!("{error}"));
    (outcome, seen)
}

fn last(seen: &Seen) -> f64 {
    seen.complete.values().max().expect("somebody is done").as_secs_f64()
}

fn hash(scenario: &Scenario) -> String {
    let experiment = Experiment { scenario, seed: 1, sets: &[], base: None, events: Events::Hashed };
    let done = experiment.run(&mut |_, _| true).unwrap_or_else(|error| panic!("{error}"));
    done.manifest.events_sha256.expect("it was wanted")
}

#[test]
fn every_peer_has_the_content_in_its_own_store() {
    for store in ["memory", "files", "compact", "piece-files", "database", "object-store", "odd"] {
        let keys = if store == "object-store" { "url = 'memory:///', " } else { "" };
        let storage =
            format!("{{ use = '{store}', {keys}layer = [{{ use = 'witness', tag = '{store}' }}] }}");
        let (outcome, seen) = run(&scenario(&storage, "", &[]));
        assert_eq!((outcome.ended, seen.complete.len(), seen.failed), (Ended::Done, 5, 0), "{store}");
        assert_eq!(seen.errors, [], "{store}");
        let kept = stores::kept(store);
        assert_eq!(kept.len(), 5, "{store}: each leecher has a store of its own");
        let contents: BTreeSet<Vec<u8>> =
            kept.into_values().map(|pieces| pieces.into_values().flatten().collect()).collect();
        let [content] = Vec::from_iter(&contents)[..] else { panic!("{store}: contents differ") };
        assert_eq!(content.len(), 1000 << 10, "{store}");
        assert!(content.iter().collect::<BTreeSet<_>>().len() == 256, "{store}: it is random");
        assert!(stores::all_closed(store), "{store}: every store is closed at the end");
    }
}

#[test]
fn bytes_cost_no_simulated_time_and_a_run_with_them_is_the_same_twice() {
    let with = scenario("{ use = 'files' }", "", &[]);
    let without = scenario("{ use = 'files' }", "", &["content.payload=false"]);
    let (with_bytes, without_bytes) = (last(&run(&with).1), last(&run(&without).1));
    assert!((with_bytes / without_bytes - 1.0).abs() < 0.05, "{with_bytes} s and {without_bytes} s");
    assert_eq!(hash(&with), hash(&with));
    assert_eq!(hash(&without), hash(&without));
}

#[test]
fn a_slow_store_is_slow_in_simulated_time() {
    let storage = |delay| format!("{{ use = 'memory', layer = [{{ use = 'slow', delay = '{delay}' }}] }}");
    let time = |delay| last(&run(&scenario(&storage(delay), "", &[])).1);
    let fast = last(&run(&scenario("{ use = 'memory' }", "", &[])).1);
    let (some, much) = (time("300 ms"), time("2 s"));
    // To open takes one such wait, and the last piece takes two: it is written and sealed.
    assert!(some > fast + 3.0 * 0.3 * 0.9, "{fast} s, and with a slow store {some} s");
    assert!(much > some + 3.0 * 1.7 * 0.9, "{some} s, and with a slower store {much} s");
    let slow = scenario(&storage("300 ms"), "", &[]);
    assert_eq!(hash(&slow), hash(&slow));
}

#[test]
fn what_fails_for_once_is_tried_again() {
    let storage = "{ use = 'files', layer = [{ use = 'faulty', every-write = 3, every-read = 5, kind = 'temporary', torn-writes = true }] }";
    let (outcome, seen) = run(&scenario(storage, "", &[]));
    assert_eq!((outcome.ended, seen.complete.len()), (Ended::Done, 5));
    assert!(seen.errors.iter().any(|(_, kind, message)| kind == "temporary" && message.contains("faulty")));
    assert_eq!(hash(&scenario(storage, "", &[])), hash(&scenario(storage, "", &[])));
}

/// Another class of one leecher, with this storage.
fn broken(layer: &str) -> String {
    format!(
        "[[peers]]\nname = \"broken\"\ncount = 1\nup = \"1 Mbit/s\"\ndown = \"4 Mbit/s\"\nprofile = \"mainline\"\n\
         abandons = {{ after = \"10 min\" }}\nstorage = {{ use = 'files', layer = [{{ use = 'faulty', {layer} }}] }}\n"
    )
}

#[test]
fn the_others_go_on_where_one_disk_is_full_or_may_not_be_written() {
    let full = broken("capacity = '200 KiB'");
    let (outcome, seen) = run(&scenario("{ use = 'memory' }", &full, &[]));
    assert_eq!(outcome.ended, Ended::Done);
    let broken = seen.of("broken");
    assert_eq!((broken.len(), BTreeSet::from_iter(seen.complete.keys().copied())), (1, seen.of("leecher")));
    assert!(
        seen.errors.iter().all(|(node, kind, _)| broken.contains(node) && kind == "full"),
        "{:?}",
        seen.errors
    );
    assert!(!seen.errors.is_empty() && outcome.now >= Instant::from_secs(600), "it tries until it gives up");

    // What could never be written ends that peer at once, with its error.
    let denied = self::broken("every-write = 1, kind = 'denied'");
    let (outcome, seen) = run(&scenario("{ use = 'memory' }", &denied, &[]));
    assert_eq!((outcome.ended, seen.complete.len()), (Ended::Done, 5));
    let broken = seen.of("broken");
    assert!(seen.left == broken && outcome.now < Instant::from_secs(600), "{:?}", outcome.now);
    assert!(seen.errors.iter().any(|(node, kind, _)| broken.contains(node) && kind == "denied"));
}

#[test]
fn a_store_that_cannot_be_opened_ends_its_peer_alone() {
    let sets = ["peers.leecher.count=3"];
    let small = "[[peers]]\nname = \"small\"\ncount = 2\nup = \"1 Mbit/s\"\ndown = \"4 Mbit/s\"\nprofile = \"mainline\"\n\
                 storage = { use = 'memory', max-size = '10 KiB' }\n";
    let (outcome, seen) = run(&scenario("{ use = 'memory' }", small, &sets));
    assert_eq!((outcome.ended, seen.complete.len()), (Ended::Done, 3));
    assert_eq!((seen.left.len(), seen.left.clone()), (2, seen.of("small")));
    assert_eq!(seen.errors.len(), 2);
}

/// Spans that were read once are kept to be sent again, so the wrong pieces stay wrong: nobody can be done.
#[test]
fn bytes_that_a_store_changed_are_found_out_by_their_hash() {
    let sets = ["peers.seed.storage={ use = 'odd', at = { read = 'garble' } }", "run.until=2 min"];
    let (outcome, seen) = run(&scenario("{ use = 'memory' }", "", &sets));
    assert_eq!((outcome.ended, seen.complete.len()), (Ended::Done, 0));
    assert!(seen.failed > 0);
}

#[test]
fn a_store_that_panics_ends_the_run_and_is_named() {
    for (method, doing) in [
        ("open", "while opening"),
        ("held", "while saying what it holds"),
        ("read", "while reading piece"),
        ("write", "while writing piece"),
        ("seal", "while sealing piece"),
        ("checkpoint", "while making a checkpoint"),
        ("close", "while closing"),
        ("drop", "when it was dropped"),
    ] {
        let scenario = scenario(&format!("{{ use = 'odd', at = {{ {method} = 'panic' }} }}"), "", &[]);
        let error = simulate(&scenario, 1, &mut Seen::default()).unwrap_err().to_string();
        let told = error.strip_prefix("peer ").unwrap_or_else(|| panic!("{error}"));
        assert!(told.contains(&format!(" s: the storage odd panicked {doing}")), "{method}: {error}");
        assert!(
            told.ends_with(&format!(": broken at {method}")) && !error.contains('\n'),
            "{method}: {error}"
        );
    }
}

#[test]
fn a_store_that_hangs_is_told_and_the_others_go_on() {
    for (method, doing) in
        [("open", "opening"), ("write", "writing piece"), ("seal", "sealing piece"), ("close", "closing")]
    {
        let ill = format!(
            "[[peers]]\nname = \"ill\"\ncount = 1\nup = \"1 Mbit/s\"\ndown = \"4 Mbit/s\"\nprofile = \"mainline\"\n\
             storage = {{ use = 'odd', at = {{ {method} = 'pend' }} }}\n"
        );
        let (outcome, seen) = run(&scenario("{ use = 'memory' }", &ill, &["run.limit=10 min"]));
        let ill = seen.of("ill");
        let others: BTreeSet<u32> = seen.of("leecher");
        assert!(others.iter().all(|node| seen.complete.contains_key(node)), "{method}");
        if method == "close" {
            // Nobody needs its answer any more.
            assert_eq!((outcome.ended, outcome.silent.len()), (Ended::Done, 0));
            continue;
        }
        assert_eq!((outcome.ended, outcome.silent.len()), (Ended::Limit, 1), "{method}");
        let line = &outcome.silent[0];
        assert!(line.contains(": the storage odd has not answered for ") && line.contains(doing), "{line}");
        assert!(seen.errors.iter().any(|(node, _, message)| ill.contains(node) && line.contains(message)));
    }
}

#[test]
fn a_store_that_answers_for_another_torrent_is_not_taken_at_its_word() {
    let error = "the storage odd says what it holds of";
    let storage = "{ use = 'odd', at = { held = 'lie' } }";
    let (outcome, seen) = run(&scenario(storage, "", &[]));
    assert_eq!((outcome.ended, seen.complete.len(), seen.left.clone()), (Ended::Done, 0, seen.of("leecher")));
    assert!(seen.errors.iter().all(|(_, _, message)| message.starts_with(error)), "{:?}", seen.errors);
}

#[test]
fn coded_content_has_no_bytes() {
    let error = Scenario::from_text(
        "s",
        "[content]\nsize = \"1 MiB\"\npiece = \"64 KiB\"\ncoded = true\npayload = true\n",
        &[],
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "s.toml:5:11: coded content has no bytes to store: with `coded = true`, `payload` must be false"
    );
}
