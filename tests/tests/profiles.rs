//! Profiles: what is said of wrong ones, word for word, and that right ones are complete and print as they run.

use std::collections::BTreeSet;
use std::path::Path;

use bt_api::plugin::{Choke, Kind, Layer, Piece, Registry, Storage, Tracker, shipped};
use bt_bins as _;
use bt_runtime::Profile;

/// The smallest profile; tests count on its lines.
const BASE: &str = r#"[choke]
use = "tit-for-tat"
[piece]
use = "rarest-first"
[storage]
use = "memory"
[tracker]
use = ["http"]
"#;

fn load(text: &str, sets: &[&str]) -> Result<Profile, String> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Profile::from_text("p", text, &sets).map_err(|error| error.to_string())
}

/// `<choke>` stands for the names of this binary's choke policies, as messages list them.
fn filled(expected: &str) -> String {
    fn fill<K: Kind>(text: &str, word: &str) -> String {
        let registry = Registry::of::<K>().unwrap();
        let names: Vec<&str> = registry.iter().map(|one| one.name).collect();
        let crates: Vec<String> =
            registry.iter().map(|one| format!("{} ({} {})", one.name, one.krate, one.version)).collect();
        text.replace(&format!("<{word}>"), &names.join(", "))
            .replace(&format!("<{word} with crates>"), &crates.join(", "))
    }
    let text = fill::<Choke>(expected, "choke");
    let text = fill::<Piece>(&text, "piece");
    let text = fill::<Storage>(&text, "storage");
    fill::<Tracker>(&fill::<Layer>(&text, "layer"), "tracker")
}

/// That the base with `from` replaced by `to` is refused with just this message.
#[track_caller]
fn refused(from: &str, to: &str, expected: &str) {
    assert_eq!(BASE.matches(from).count(), 1, "{from:?} names one place");
    let message = load(&BASE.replace(from, to), &[]).expect_err("the profile is wrong");
    assert_eq!(message, filled(expected));
}

/// That the base with `extra` lines, from line 9 on, is refused with just this message.
#[track_caller]
fn refused_with(extra: &str, expected: &str) {
    assert_eq!(load(&format!("{BASE}{extra}\n"), &[]).expect_err("the profile is wrong"), filled(expected));
}

/// That the base with this `--set` is refused with just this message.
#[track_caller]
fn refused_set(set: &str, expected: &str) {
    assert_eq!(load(BASE, &[set]).expect_err("the set is wrong"), filled(expected));
}

#[test]
fn syntax() {
    refused_with("[net", "p.toml:9:5: unclosed table, expected `]`");
    refused_with(
        "[net]\nmemory = 32 MiB",
        "p.toml:10:10: string values must be quoted, expected literal string",
    );
    refused_with("[choke]", "p.toml:9:2: duplicate key");
    refused_with("[net]\nbind = ''\nbind = ''", "p.toml:11:1: duplicate key");
}

#[test]
fn tables() {
    refused(
        "[choke]\nuse = \"tit-for-tat\"\n",
        "",
        "p.toml:1:1: [choke] is missing: it says which choke policy to use (this binary has: <choke>)",
    );
    refused(
        "[piece]\nuse = \"rarest-first\"\n",
        "",
        "p.toml:1:1: [piece] is missing: it says which piece policy to use (this binary has: <piece>)",
    );
    refused(
        "[storage]\nuse = \"memory\"\n",
        "",
        "p.toml:1:1: [storage] is missing: it says which storage backend to use (this binary has: <storage>)",
    );
    refused(
        "[tracker]\nuse = [\"http\"]\n",
        "",
        "p.toml:1:1: [tracker] is missing: it says which tracker client to use (this binary has: <tracker>)",
    );
    refused(
        "[choke]",
        "[choker]",
        "p.toml:1:2: unknown table `choker`, expected one of `choke`, `piece`, `storage`, `tracker`, `announce`, `rate`, `requests`, `upload`, `peers`, `net`, `metainfo`, `display`; did you mean `choke`?",
    );
    refused_with(
        "[anounce]\nip = ''",
        "p.toml:9:2: unknown table `anounce`, expected one of `choke`, `piece`, `storage`, `tracker`, `announce`, `rate`, `requests`, `upload`, `peers`, `net`, `metainfo`, `display`; did you mean `announce`?",
    );
    refused("[choke]\nuse", "choke", r#"p.toml:1:9: expected a table, [choke], found "tit-for-tat""#);
    refused_with("[[peers]]", "p.toml:9:1: expected a table, [peers], found an array");
}

#[test]
fn plug_ins() {
    refused(
        "tit-for-tat",
        "tit-for-tatt",
        "p.toml:2:7: no choke policy is named `tit-for-tatt`; did you mean `tit-for-tat`? (this binary has: <choke with crates>)",
    );
    refused(
        "rarest-first",
        "fastest",
        "p.toml:4:7: no piece policy is named `fastest` (this binary has: <piece with crates>); one of your own needs `bt_api::register!`, and a main.rs that uses its crate",
    );
    refused(
        "use = \"memory\"",
        "",
        "p.toml:5:1: `use` is missing: it names the storage backend (this binary has: <storage>)",
    );
    refused(
        "\"memory\"",
        "[\"memory\"]",
        "p.toml:6:7: expected the name of a storage backend as a string, found an array",
    );
    refused(
        "\"http\"",
        "\"htpp\"",
        "p.toml:8:8: no tracker client is named `htpp`; did you mean `http`? (this binary has: <tracker with crates>)",
    );
    refused("[\"http\"]", "3", r#"p.toml:8:7: expected a list of tracker clients such as ["http"], found 3"#);
    refused(
        "\"http\"",
        "\"http\", 3",
        "p.toml:8:16: expected the name of a tracker client as a string, found 3",
    );
    refused("\"http\"", "\"http\", \"http\"", "p.toml:8:16: the tracker client `http` is listed twice");
    refused(
        "use = [\"http\"]",
        "",
        r#"p.toml:7:1: `use` is missing: it lists the tracker clients, such as ["http"] (this binary has: <tracker>)"#,
    );
    refused(
        "\"http\"",
        "\"peer-file\"",
        "p.toml:8:8: `path` must name a file of peers, one ADDRESS:PORT a line",
    );
    refused_with(
        "[tracker.peer-file]\npath = 'x'",
        r#"p.toml:9:10: [tracker.peer-file] is of a client that is not used: add "peer-file" to `use`, or take the table out"#,
    );
    refused_with(
        "[tracker.htpp]\ntimeout = '9 s'",
        "p.toml:9:10: [tracker.htpp] is of a client that is not used: did you mean [tracker.http]?",
    );
    refused_with(
        "timeout = '9 s'",
        "p.toml:9:1: unknown field `timeout`, expected `use` and a table for each client, such as [tracker.http]",
    );
    refused(
        "\"memory\"",
        "\"memory\"\nlayer = 'slow'",
        "p.toml:7:9: layers are a list: each begins with the line [[storage.layer]]",
    );
    refused(
        "\"memory\"",
        "\"memory\"\n[[storage.layer]]\nuse = 'slo'",
        "p.toml:8:7: no storage layer is named `slo`; did you mean `slow`? (this binary has: <layer with crates>)",
    );
    refused(
        "\"memory\"",
        "\"memory\"\n[[storage.layer]]\ndelay = '1 s'",
        "p.toml:7:1: `use` is missing: it names the storage layer (this binary has: <layer>)",
    );
}

#[test]
fn keys_of_plug_ins() {
    refused(
        "\"tit-for-tat\"",
        "\"tit-for-tat\"\nmax-upload = 7",
        "p.toml:3:1: unknown field `max-upload`, expected one of `max-uploads`, `min-uploads`, `round`, `optimistic-rounds`, `new-peer-weight`, `min-preferred-rate`, `leecher-ranking`, `seed-ranking`; did you mean `max-uploads`?",
    );
    refused(
        "\"tit-for-tat\"",
        "\"tit-for-tat\"\nmax-uploads = '7'",
        r#"p.toml:3:15: invalid value: string "7", expected a whole number, or "automatic""#,
    );
    refused(
        "\"tit-for-tat\"",
        "\"tit-for-tat\"\nround = 10",
        r#"p.toml:3:9: invalid type: integer `10`, expected a duration such as "30 s""#,
    );
    refused(
        "\"tit-for-tat\"",
        "\"tit-for-tat\"\nround = '10'",
        r#"p.toml:3:9: expected a duration such as "30 s" (units ns, us, ms, s, min, h, d), found "10""#,
    );
    refused(
        "\"tit-for-tat\"",
        "\"tit-for-tat\"\nmin-preferred-rate = '1 kb/s'",
        r#"p.toml:3:22: expected a rate such as "400 kbit/s" (units bit/s, B/s, kbit/s, kB/s, KiB/s, Mbit/s, MB/s, MiB/s, Gbit/s, GB/s, GiB/s), found "1 kb/s""#,
    );
    refused(
        "\"tit-for-tat\"",
        "\"tit-for-tat\"\nseed-ranking = 'upload'",
        "p.toml:3:16: unknown variant `upload`, expected `upload-rate` or `rotate`",
    );
    refused("\"tit-for-tat\"", "\"random\"\nslots = 0", "p.toml:3:9: `slots` must be at least 1, found 0");
    refused_with(
        "[tracker.http]\nmax-reply = 'unlimited'",
        r#"p.toml:10:13: expected a size such as "16 KiB" (units B, kB, KiB, MB, MiB, GB, GiB, TB, TiB), found "unlimited""#,
    );
}

#[test]
fn keys_of_the_engine() {
    refused_with(
        "[peers]\nmax-initiated = 3",
        "p.toml:10:1: unknown field `max-initiated`, expected one of `max-initiate`, `max-connections`, `max-spares`, `one-per-address`, `bad-data`, `late-bitfield`, `delay-peer-id`, `handshake-timeout`, `keepalive-interval`, `idle-timeout`, `idle-check-interval`; did you mean `max-initiate`?",
    );
    refused_with(
        "[peers]\nmax-connections = -1",
        "p.toml:10:19: invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
    );
    refused_with(
        "[peers]\nmax-connections = 0",
        "p.toml:10:19: `max-connections` must be at least 1, found 0",
    );
    refused_with(
        "[peers]\nbad-data = 'bann'",
        "p.toml:10:12: unknown variant `bann`, expected one of `keep`, `v39`, `bittornado`, `ban`; did you mean `ban`?",
    );
    refused_with(
        "[requests]\nblock-size = '256 KiB'",
        r#"p.toml:10:14: `block-size` must be "1 B" to "128 KiB", found "256 KiB""#,
    );
    refused_with(
        "[requests]\nblock-size = '0 B'",
        r#"p.toml:10:14: `block-size` must be "1 B" to "128 KiB", found "0 B""#,
    );
    refused_with("[requests]\nbacklog = 0", "p.toml:10:11: `backlog` must be at least 1, found 0");
    refused_with(
        "[requests]\nbacklog-mode = 'rate'\nmax-backlog = 4",
        "p.toml:11:15: `max-backlog` must not be below `backlog`, found 4 and 5",
    );
    refused_with(
        "[requests]\nbacklog-slope = 1.5",
        "p.toml:10:17: `backlog-slope` must be 0.0 to 1.0, found 1.5",
    );
    refused_with(
        "[upload]\nunit-size = '17001 B'",
        r#"p.toml:10:13: `unit-size` must be "1 B" to "17 kB", found "17001 B""#,
    );
    refused_with(
        "[upload]\nmax-request-length = '2 MiB'",
        r#"p.toml:10:22: `max-request-length` must be "1 B" to "1 MiB", found "2 MiB""#,
    );
    refused_with(
        "[announce]\ncheck-interval = '0 s'",
        r#"p.toml:10:18: `check-interval` must be at least "1 ms", found "0 s""#,
    );
    refused_with(
        "[announce]\nbackoff = 'fixed'",
        "p.toml:10:11: unknown variant `fixed`, expected one of `none`, `fixed-60`, `v4`",
    );
    for (value, found) in [("0", "0"), ("-1.2", "-1.2"), ("nan", "NaN"), ("inf", "inf"), ("-0.0", "-0")] {
        refused_with(
            &format!("[announce]\nlast-reset-factor = {value}"),
            &format!("p.toml:10:21: `last-reset-factor` must be a number above 0, found {found}"),
        );
    }
    refused_with(
        "[announce]\nlast-reset-factor = '2'",
        "p.toml:10:21: invalid type: string \"2\", expected a number",
    );
    refused_with(
        "[announce]\nfailover = 'never'",
        "p.toml:10:12: unknown variant `never`, expected `at-once` or `next-announce`",
    );
    refused_with(
        "[announce]\npeer-order = 'shuffled'",
        "p.toml:10:14: unknown variant `shuffled`, expected `received` or `random`",
    );
    for key in ["time-left-head-start", "time-left-idle", "time-left-window"] {
        let column = key.len() + 4;
        refused_with(
            &format!("[rate]\n{key} = '0 s'"),
            &format!("p.toml:10:{column}: `{key}` must be at least \"1 ms\", found \"0 s\""),
        );
        refused_with(
            &format!("[rate]\n{key} = '-1 s'"),
            &format!(
                "p.toml:10:{column}: expected a duration such as \"30 s\" (units ns, us, ms, s, min, h, d), found \"-1 s\""
            ),
        );
    }
    refused_with(
        "[announce]\nip = 'localhost'",
        r#"p.toml:10:6: `ip` must be an IP address such as "192.0.2.1" or "2001:db8::1", or empty, found "localhost""#,
    );
    refused_with(
        "[net]\nmax-port = 80",
        "p.toml:10:12: `min-port` must not be above `max-port`, found 6881 and 80",
    );
    refused_with(
        "[net]\nmin-port = 70000",
        "p.toml:10:12: invalid value: integer `70000`, expected a whole number from 0 to 65535",
    );
    refused_with(
        "[net]\nport-choice = 'down'",
        "p.toml:10:15: unknown variant `down`, expected `ascending` or `random`",
    );
    refused_with("[net]\nlisten-backlog = 0", "p.toml:10:18: `listen-backlog` must be at least 1, found 0");
    refused_with(
        "[net]\ntype-of-service = 256",
        "p.toml:10:19: invalid value: integer `256`, expected a whole number from 0 to 255",
    );
    refused_with(
        "[net]\nread-size = '1 MiB'",
        r#"p.toml:10:13: `read-size` must be "1 KiB" to "256 KiB", found "1 MiB""#,
    );
    refused_with(
        "[net]\nmemory = '1 MiB'",
        r#"p.toml:10:10: `memory` must be at least "8 MiB", found "1 MiB""#,
    );
    refused_with(
        "[net]\nbind = '::x'",
        r#"p.toml:10:8: `bind` must be an IP address such as "192.0.2.1" or "2001:db8::1", or empty, found "::x""#,
    );
    refused_with(
        "[net]\nupload-limit = '0 B/s'",
        r#"p.toml:10:16: `upload-limit` must be more than 0, or "unlimited", found "0 B/s""#,
    );
    refused_with(
        "[net]\nupload-limit = 0",
        r#"p.toml:10:16: invalid value: integer `0`, expected a rate such as "400 kbit/s", or "unlimited""#,
    );
    refused_with(
        "[net]\nmax-message-length = '1 KiB'",
        r#"p.toml:10:22: `max-message-length` must be "262149 B" to "16 MiB", found "1 KiB""#,
    );
    refused_with(
        "[metainfo]\nrules = 'strikt'",
        "p.toml:10:9: unknown variant `strikt`, expected `lenient` or `strict`; did you mean `strict`?",
    );
    refused_with(
        "[display]\ninterval = '1 us'",
        r#"p.toml:10:12: `interval` must be at least "1 ms", found "1 us""#,
    );
    refused_with(
        "[display]\n\"a\\u001b\\n\" = 1",
        r"p.toml:10:1: unknown field `a\u{1b}\u{a}`, expected `interval` or `report-hash-failures`",
    );
}

#[test]
fn sets() {
    refused_set("choke", "--set choke: expected KEY=VALUE, such as peers.max-initiate=60");
    refused_set("=3", "--set =3: expected KEY=VALUE, such as peers.max-initiate=60");
    refused_set(
        "choke..use=random",
        "--set choke..use=random: expected KEY=VALUE, such as peers.max-initiate=60",
    );
    refused_set(
        "choke.use=tit-for-tatt",
        "--set choke.use=tit-for-tatt: no choke policy is named `tit-for-tatt`; did you mean `tit-for-tat`? (this binary has: <choke with crates>)",
    );
    refused_set(
        "choke.slots=4",
        "--set choke.slots=4: unknown field `slots`, expected one of `max-uploads`, `min-uploads`, `round`, `optimistic-rounds`, `new-peer-weight`, `min-preferred-rate`, `leecher-ranking`, `seed-ranking`",
    );
    refused_set("choke.use.name=random", "--set choke.use.name=random: `use` is not a table");
    refused_set(
        "peers.max-connections=many",
        r#"--set peers.max-connections=many: invalid type: string "many", expected a whole number from 0 to 4294967295"#,
    );
    refused_set(
        "requests.block-size=1 MiB",
        r#"--set requests.block-size=1 MiB: `block-size` must be "1 B" to "128 KiB", found "1 MiB""#,
    );
    refused_set(
        "chok.use=random",
        "--set chok.use=random: unknown table `chok`, expected one of `choke`, `piece`, `storage`, `tracker`, `announce`, `rate`, `requests`, `upload`, `peers`, `net`, `metainfo`, `display`; did you mean `choke`?",
    );
    refused_set(
        "tracker.udp.timeout=3 s",
        r#"--set tracker.udp.timeout=3 s: [tracker.udp] is of a client that is not used: add "udp" to `use`, or take the table out"#,
    );
}

#[test]
fn what_is_wrong_is_shown_below_the_message() {
    let error = Profile::from_text("p", &BASE.replace("rarest-first", "rarest"), &[]).unwrap_err();
    let detailed = error.detailed();
    let lines: Vec<&str> = detailed.lines().collect();
    assert_eq!(lines[0], error.to_string());
    assert_eq!(lines[1..], ["  | use = \"rarest\"", "  |       ^^^^^^^^"]);
}

/// Every key of a profile's text with the tables that it is in: `tracker.http.timeout`.
fn keys(text: &str) -> BTreeSet<String> {
    fn collect(prefix: &str, table: &toml::Table, keys: &mut BTreeSet<String>) {
        for (key, value) in table {
            match value {
                toml::Value::Table(inner) => collect(&format!("{prefix}{key}."), inner, keys),
                _ => drop(keys.insert(format!("{prefix}{key}"))),
            }
        }
    }
    let mut found = BTreeSet::new();
    collect("", &text.parse().expect("a profile is TOML"), &mut found);
    found
}

#[test]
fn every_shipped_profile_loads_and_prints_what_it_is() {
    let names: Vec<&str> = shipped("profile").iter().map(|one| one.name).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bins/profiles");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(names.iter().eq(&files), "not every file of bins/profiles is shipped: {names:?}, {files:?}");
    for name in names {
        // Nobody but its user can say where.
        let sets =
            if name == "object-store" { vec!["storage.url=memory:///".to_owned()] } else { Vec::new() };
        let profile = Profile::load(name, &sets).unwrap();
        assert_eq!(profile.name, name);
        let printed = profile.to_toml();
        let again = Profile::from_text(name, &printed, &[]).unwrap();
        assert_eq!(again.to_toml(), printed, "{name}");
        assert_eq!(again.settings, profile.settings, "{name}");
    }
}

#[test]
fn mainline_and_modern_show_every_key() {
    for name in ["mainline", "modern"] {
        let profile = Profile::load(name, &[]).unwrap();
        assert_eq!(keys(&profile.source_text), keys(&profile.to_toml()), "{name}.toml");
        // And say what each is for.
        let mut before = "";
        for line in profile.source_text.lines() {
            assert!(
                !line.contains(" = ") || line.starts_with('#') || before.starts_with('#'),
                "{name}: {line}"
            );
            before = line;
        }
    }
}

#[test]
fn mainline_is_all_defaults() {
    let profile = Profile::load("mainline.toml", &[]).unwrap();
    assert_eq!(*profile.settings, bt_engine::Settings::default());
    let least = r#"choke.use = "tit-for-tat"
piece.use = "rarest-first"
storage.use = "compact"
tracker.use = ["http"]"#;
    assert_eq!(profile.to_toml(), load(least, &[]).unwrap().to_toml());
}

#[test]
fn a_set_overrides_or_adds() {
    let sets = ["choke.max-uploads=9", "choke.round=5 s", "net.bind=127.0.0.1", "announce.multitracker=true"];
    let profile = load(BASE, &sets).unwrap();
    let printed = profile.to_toml();
    assert!(printed.contains("max-uploads = 9\n") && printed.contains("round = \"5 s\"\n"), "{printed}");
    assert_eq!(profile.settings.net.bind, "127.0.0.1");
    assert!(profile.settings.announce.multitracker);
    assert_eq!(profile.source_text, BASE);
    // The last one counts.
    let profile = load(BASE, &["requests.backlog=7", "requests.backlog=8"]).unwrap();
    assert_eq!(profile.settings.requests.backlog, 8);
}

#[test]
fn a_set_of_another_plug_in_takes_the_keys_of_the_old_one_out() {
    let sets = ["choke.slots=2", "choke.use=random", "piece.use=sequential", "storage.use=memory"];
    let sets: Vec<String> = [&sets[..], &["tracker.use=peer-file", "tracker.peer-file.path=peers.txt"]]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let profile = Profile::load("mainline", &sets).unwrap();
    assert_eq!(profile.choke().0, "random");
    assert_eq!(profile.piece().0, "sequential");
    assert_eq!(profile.storage_name(), "memory");
    assert_eq!(profile.trackers().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["peer-file"]);
    assert!(profile.to_toml().contains("[choke]\nuse = \"random\"\nslots = 2\n"), "{}", profile.to_toml());
    // The same plug-in again keeps its keys.
    let profile = Profile::load("random-choker", &["choke.use=random".to_owned()]).unwrap();
    assert!(profile.to_toml().contains("slots = 4\n"));
}

#[test]
fn layers_are_stacked_in_order_and_printed() {
    let layers =
        "[[storage.layer]]\nuse = \"slow\"\ndelay = \"1 ms\"\n[[storage.layer]]\nuse = \"read-only\"\n";
    let profile = load(&format!("{BASE}{layers}"), &[]).unwrap();
    assert_eq!(profile.storage_name(), "memory + slow + read-only");
    assert!(profile.to_toml().contains(layers.split('\n').nth(2).unwrap()));
    assert_eq!(load(&profile.to_toml(), &[]).unwrap().storage_name(), "memory + slow + read-only");
    let by_set = load(BASE, &["storage.layer=[{use=\"slow\"}]"]).unwrap();
    assert_eq!(by_set.storage_name(), "memory + slow");
    // Another store keeps its layers.
    let other = load(&format!("{BASE}{layers}"), &["storage.use=files"]).unwrap();
    assert_eq!(other.storage_name(), "files + slow + read-only");
}

#[test]
fn a_file_on_disk_wins_and_a_wrong_name_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, BASE).unwrap();
    let profile = Profile::load(path.to_str().unwrap(), &[]).unwrap();
    assert_eq!((profile.name.as_str(), profile.storage_name().as_str()), ("mine", "memory"));

    std::fs::write(&path, BASE.replace("[choke]", "[choker]")).unwrap();
    let message = Profile::load(path.to_str().unwrap(), &[]).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}:1:2: unknown table", path.display())), "{message}");

    std::fs::write(&path, b"# \xff").unwrap();
    let message = Profile::load(path.to_str().unwrap(), &[]).unwrap_err().to_string();
    assert_eq!(message, format!("{}: not UTF-8 from byte 2 on", path.display()));

    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    let message = Profile::load(path.to_str().unwrap(), &[]).unwrap_err().to_string();
    assert_eq!(message, format!("{}: longer than 1024 KiB, so it is no profile", path.display()));

    let message = Profile::load("mainlin", &[]).unwrap_err().to_string();
    let names: Vec<&str> = shipped("profile").iter().map(|one| one.name).collect();
    let said =
        "no file and no shipped profile is named `mainlin`; did you mean `mainline`? (this binary has: ";
    assert_eq!(message, format!("{said}{})", names.join(", ")));
}
