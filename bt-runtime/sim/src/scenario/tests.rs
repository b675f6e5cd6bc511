use std::collections::BTreeMap;
use std::time::Duration;

use bt_policies as _;
use bt_storage as _;
use proptest::prelude::*;

use super::*;
use crate::Grid;

/// A seed and ten peers, with a profile that is all written here; 8 pieces, the last one half as long.
const TEXT: &str = r#"
[content]
size = "7680 KiB"
piece = "1 MiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "1 MiB/s"
down = "unlimited"
profile = { choke = { use = "random" }, piece.use = "sequential", storage.use = "memory", tracker.use = "http" }
[[peers]]
name = "leecher"
count = 10
up = "512 KiB/s"
down = "4 MiB/s"
profile = { choke = { use = "random" }, piece.use = "sequential", storage.use = "memory", tracker.use = "http" }
"#;

fn load(sets: &[&str]) -> Result<Scenario, String> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Scenario::from_text("s", TEXT, &sets).map_err(|error| error.to_string())
}

/// The keys that a table has, from what is said about one that it has not.
fn keys(message: &str) -> Vec<String> {
    let (_, expected) = message.split_once("expected one of ").expect("the message has a list");
    let expected = expected.split(';').next().unwrap();
    expected.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

#[test]
fn the_document_has_every_key_of_every_table() {
    // A section "### `[table]`" for each table; in it a row "| `key` | type | default | meaning |" for each key.
    let mut documented: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut table = None;
    for line in include_str!("../../../docs/scenarios.md").lines() {
        if let Some(heading) = line.strip_prefix("### `[") {
            let name = heading.trim_end_matches(['`', ']']).trim_start_matches('[');
            table = Some(name.to_owned());
            documented.insert(name.to_owned(), Vec::new());
        } else if line.starts_with("## ") {
            table = None;
        } else if let (Some(table), Some(row)) = (&table, line.strip_prefix("| `")) {
            documented.get_mut(table).unwrap().push(row.split('`').next().unwrap().to_owned());
        }
    }
    let mut actual = BTreeMap::new();
    for (table, path) in [
        ("content", "content."),
        ("network", "network."),
        ("tracker", "tracker."),
        ("run", "run."),
        ("peers", "peers.seed."),
    ] {
        let mut known = keys(&load(&[&format!("{path}xyzzy=1")]).unwrap_err());
        known.retain(|key| table != "peers" || !Profile::TABLES.contains(&key.as_str()));
        actual.insert(table.to_owned(), known);
    }
    let mut whole = keys(&load(&["xyzzy=1"]).unwrap_err());
    whole.retain(|key| !actual.contains_key(key));
    actual.insert("scenario".to_owned(), whole);
    let grid = Grid::from_text("g", "scenario = 's'\nxyzzy = 1\n").unwrap_err().to_string();
    actual.insert("grid".to_owned(), keys(&grid));
    for known in documented.values_mut().chain(actual.values_mut()) {
        known.sort_unstable();
    }
    assert_eq!(documented, actual);
}

#[test]
fn what_is_not_said_has_a_default() {
    let scenario = load(&[]).unwrap();
    assert_eq!(scenario.name, "s");
    assert!(!scenario.content.coded);
    assert_eq!((scenario.content.pieces(), scenario.content.length_of(7)), (8, 512 << 10));
    assert_eq!(scenario.network.delay, Duration::from_millis(50));
    assert_eq!(scenario.network.granularity, Granularity::Block);
    assert_eq!(scenario.tracker.reply, 50);
    assert_eq!((scenario.run.until, scenario.run.seed), (Until::AllComplete, 1));
    assert_eq!(scenario.run.limit, Duration::from_secs(7 * 86400));
    let leecher = &scenario.groups[1];
    assert_eq!(leecher.arrives, Arrivals::At(Duration::ZERO));
    assert_eq!((leecher.leaves, leecher.abandons), (Leaves::Never, None));
    assert_eq!((leecher.up, leecher.down), (Some(512 << 10), Some(4 << 20)));
    assert_eq!(leecher.have, Have::Fraction(0.0));
    assert_eq!(leecher.profile.name, "leecher");
}

#[test]
fn only_a_swarm_that_never_ends_warms_up() {
    let warm_up = |sets: &[&str]| load(sets).map(|scenario| scenario.run.warm_up);
    assert_eq!(warm_up(&[]), Ok(WarmUp::None));
    assert_eq!(warm_up(&["run.until=1 h"]), Ok(WarmUp::None), "all that come have a number");
    assert_eq!(warm_up(&["run.until=1 h", "run.warm-up=auto"]), Ok(WarmUp::Auto));
    let open = TEXT.replace("count = 10", "arrives = { poisson = '1/s' }");
    let open = |set: &str| {
        let sets = ["run.until=1 h", set].map(str::to_owned);
        Scenario::from_text("s", &open, &sets)
            .map(|scenario| scenario.run.warm_up)
            .map_err(|error| error.to_string())
    };
    assert_eq!(open("run.seed=1"), Ok(WarmUp::Auto));
    assert_eq!(open("run.warm-up=none"), Ok(WarmUp::None));
    assert_eq!(open("run.warm-up=30 min"), Ok(WarmUp::For(Duration::from_secs(1800))));
    for (found, message) in [
        (warm_up(&["run.warm-up=1 min"]), "a run until all are complete has no steady state"),
        (open("run.warm-up=1 h"), "`warm-up` must be shorter than `until`, which is \"1 h\", found \"1 h\""),
        (open("run.warm-up=7"), "expected \"auto\", \"none\", or a duration such as \"30 min\", found 7"),
    ] {
        let error = found.unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_delay_that_lets_nobody_connect_is_refused() {
    let wrong = "`delay` must be below \"7500 ms\", found \"7500 ms\": a connection takes four times as long, and is given \
                 up after `peers.handshake-timeout`, here \"30 s\"";
    assert!(
        load(&["network.delay=7500 ms"]).unwrap_err().contains(wrong),
        "{:?}",
        load(&["network.delay=7500 ms"])
    );
    assert!(load(&["network.delay=7499 ms"]).is_ok());
    assert!(load(&["network.delay=7500 ms", "peers.leecher.peers.handshake-timeout=1 min"]).is_err());
    let both = ["leecher", "seed"].map(|group| format!("peers.{group}.peers.handshake-timeout=1 min"));
    assert!(load(&["network.delay=7500 ms", &both[0], &both[1]]).is_ok());
}

#[test]
fn a_trackers_url_is_taken_apart_or_refused_with_what_is_wrong() {
    let url = |text: &str| -> Result<_, String> {
        match load(&[&format!("tracker.url={text}")])?.tracker.announces {
            Announces::To(url) => Ok((url.scheme, url.host, url.port, url.path)),
            other => panic!("{other:?}"),
        }
    };
    let http =
        |host: &str, port, path: &str| Ok((TrackerScheme::Http, host.to_owned(), port, path.to_owned()));
    assert_eq!(url("http://tracker.lab/announce"), http("tracker.lab", 80, "/announce"));
    assert_eq!(url("http://192.0.2.7:6969/x/announce.php"), http("192.0.2.7", 6969, "/x/announce.php"));
    assert_eq!(url("http://t"), http("t", 80, "/"));
    assert_eq!(load(&[]).unwrap().tracker.announces, Announces::Directly);
    for (text, what) in [
        ("tracker.lab", "it has no scheme"),
        ("https://t/", "the simulated tracker speaks no TLS"),
        ("HTTP://t/", "the simulated tracker speaks `http` and `udp`"),
        ("udp://t/", "a port from 1 to 65535 is needed"),
        ("http://t:0/", "a port from 1 to 65535 is needed"),
        ("http://t:70000/", "a port from 1 to 65535 is needed"),
        ("http:///announce", "its host is a name or an IPv4 address"),
        ("http://a@t/", "its host is a name or an IPv4 address"),
        ("http://1.2.3/", "its host is no IPv4 address"),
        ("http://10.1.2.3/", "the addresses from 10.0.0.0 to 10.255.255.255 are those of peers"),
        ("http://t/a?key=1", "its path has letters, digits and `-._~/`"),
    ] {
        let error = url(text).unwrap_err();
        assert!(error.contains(what) && error.contains(&format!("found {text:?}")), "{text}: {error}");
    }
}

#[test]
fn announces_need_a_client_that_serves_them() {
    let error = load(&["tracker.url=udp://t:1"]).unwrap_err();
    let none = "no tracker client of the profile of `seed` serves `udp` URLs: its [tracker] uses http";
    assert!(error.contains(none), "{error}");
    let error = load(&["tracker.url=none"]).unwrap_err();
    assert!(error.contains("no profile has one among the clients of its [tracker]"), "{error}");
    let source = "peers.leecher.tracker={ use = 'peer-file', peer-file.path = 'peers' }";
    assert_eq!(load(&["tracker.url=none", source]).unwrap().tracker.announces, Announces::ToSources);
    assert!(load(&["tracker.url=http://t/", source]).is_ok());
}

#[test]
fn outages_are_times_in_order() {
    let down = |text: &str| {
        load(&["tracker.url=http://t/", &format!("tracker.down={text}")])
            .map(|scenario| scenario.tracker.down)
    };
    let secs = Duration::from_secs;
    assert_eq!(down("['0 s..90 s', '10 min .. 1 h']"), Ok(vec![secs(0)..secs(90), secs(600)..secs(3600)]));
    for wrong in ["['90 s']", "['90 s..90 s']", "['2 s..1 s']", "['1 s..']"] {
        let error = down(wrong).unwrap_err();
        assert!(error.contains("expected a time and a later one, such as \"10 min..20 min\""), "{error}");
    }
    assert!(
        load(&["tracker.down=['1 s..2 s']"]).unwrap_err().contains("only a tracker with a `url` can be down")
    );
    let scenario = load(&["tracker.url=http://t/", "tracker.down=['1 s..2 min']"]).unwrap();
    let again = Scenario::from_text("s", &scenario.to_toml(), &[]).unwrap();
    assert_eq!(again.tracker.down, scenario.tracker.down);
    assert_eq!(again.tracker.announces, scenario.tracker.announces);
}

#[test]
fn arrivals_and_departures_are_read_in_each_form() {
    let group = |set: &str| load(&["run.until=1 h", set]).map(|scenario| scenario.groups[1].clone());
    let arrives = |value: &str| group(&format!("peers.leecher.arrives={value}")).unwrap().arrives;
    assert_eq!(arrives("{ at = '5 s' }"), Arrivals::At(Duration::from_secs(5)));
    assert_eq!(arrives("{ rate = '120/min' }"), Arrivals::Rate(2.0));
    assert_eq!(arrives("{ poisson = '0.5 / s' }"), Arrivals::Poisson(0.5));
    let Arrivals::Trace(times) = arrives("{ batches = { every = '10 s', size = 4, from = '1 s' } }") else {
        panic!("batches are a trace");
    };
    assert_eq!(times.iter().map(Duration::as_secs).collect::<Vec<_>>(), [1, 1, 1, 1, 11, 11, 11, 11, 21, 21]);
    let leaves = |value: &str| group(&format!("peers.leecher.leaves={value}")).unwrap().leaves;
    assert_eq!(leaves("on-complete"), Leaves::OnComplete);
    assert_eq!(leaves("{ after = '1 min' }"), Leaves::Later(Wait::After(Duration::from_secs(60))));
    let have = |value: &str| group(&format!("peers.leecher.have={value}")).unwrap().have;
    assert_eq!(have("0"), Have::Fraction(0.0));
    assert_eq!(have("0.5").count(7), 3);
    assert_eq!(have("{ missing = [7, 1, 7] }"), Have::Missing(vec![1, 7]));
}

#[test]
fn the_bound_is_the_tightest_of_the_three() {
    let bound = |sets: &[&str]| load(sets).unwrap().lower_bound();
    // 10 x 7.5 MiB over 6 MiB/s; 7.5 MiB over the seed's 1 MiB/s; 7.5 MiB over 4 MiB/s.
    assert_eq!(bound(&[]), Some(12.5));
    assert_eq!(bound(&["peers.seed.up=512 KiB/s"]), Some(15.0));
    assert_eq!(bound(&["peers.leecher.down=512 KiB/s"]), Some(15.0));
    assert_eq!(bound(&["peers.seed.up=unlimited"]), Some(1.875));
    assert_eq!(bound(&["peers.seed.up=unlimited", "peers.leecher.down=unlimited"]), None);
    // Each lacks 3.5 MiB and holds 4 of 8 pieces; everybody may be a source.
    assert_eq!(bound(&["peers.leecher.have=0.5"]), Some(35.0 / 6.0));
    // All lack the same half of a MiB, which the seed alone has.
    assert_eq!(bound(&["peers.leecher.have={ missing = [7] }"]), Some(5.0 / 6.0));
    assert_eq!(bound(&["peers.leecher.have={ missing = [7] }", "peers.seed.up=256 KiB/s"]), Some(2.0));
    assert_eq!(bound(&["peers.leecher.abandons={ after = '1 h' }"]), None);
    assert_eq!(bound(&["peers.leecher.arrives={ rate = '1/s' }"]), Some(12.5));
}

proptest! {
    #[test]
    fn whatever_is_set_the_message_is_one_line(
        sets in proptest::collection::vec(
            "(content.(size|piece|coded)|network.(delay|granularity)|run.(until|limit|seed|warm-up)|tracker.(reply|url|down)\
             |peers.(seed|leecher).(name|count|have|up|down|profile|arrives|leaves|abandons|choke.use))\
             =(['\"]?-?[0-9]{1,20}(.[0-9])?( ?[kMG]?i?(B|bit|s|h|d)(/s)?)?['\"]?|never|nan|true|unlimited\
             |\\{ ?(at|rate|trace|batches|after|exponential|missing) ?= ?['\"\\[]?-?[0-9]{0,10}( s|/s)?['\"\\]]? ?\\}|\\PC{0,9})",
            0..4,
        ),
    ) {
        match Scenario::from_text("s", TEXT, &sets) {
            Ok(scenario) => {
                let printed = scenario.to_toml();
                let again = Scenario::from_text("s", &printed, &[]).map_err(|error| format!("{error}\n{printed}"));
                prop_assert_eq!(again.unwrap().to_toml(), printed);
                if let Some(bound) = scenario.lower_bound() {
                    prop_assert!(bound.is_finite() && bound > 0.0);
                }
            }
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control), "{error}"),
        }
    }
}
