//! The shipped `bt-run`, as a user has it: its options, its exit codes, what it prints where.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn bt_run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("bt-run can be run")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bt-run"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("bt-run prints UTF-8")
}

/// The code, standard output and standard error of a run that must succeed.
#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let output = bt_run(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

#[test]
fn wrong_use_is_told_in_one_line() {
    for (arguments, part) in [
        (&[][..], "required"),
        (&["--profle", "x", "y"], "--profile"),
        (&["nothing.torrent"], "nothing.torrent"),
        (&["/dev/null"], "/dev/null"),
        (&["--stop-when", "done", "x"], "'complete'"),
        (&["--listen", "6881", "x"], "IP address"),
        (&["--peer", "host", "x"], "--peer"),
        (&["--tracker", "tracker", "x"], "URL"),
        (&["--seed", "x", "y"], "--seed"),
        (&["--defaults", "tit-for-tatt"], "did you mean `tit-for-tat`?"),
        (&["--profile", "mainlin", "--print-profile"], "did you mean `mainline`?"),
        (&["--set", "choke", "--print-profile"], "KEY=VALUE"),
        (&["--on-complete", "no-such-program", "x.torrent"], "no such program"),
        (&["--demo", "x.torrent"], "cannot be used with"),
        (&["--profile", "global-rarest", "--demo"], "use bt-lab"),
        (&["--profile", "global-rarest", "x.torrent"], "use bt-lab"),
    ] {
        let output = bt_run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty());
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_wrong_profile_is_told_at_its_place_and_shown() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, "[choke]\nuse = \"tit-for-tatt\"\n").unwrap();
    let path = path.to_str().unwrap();
    let output = bt_run(&["--profile", path, "x.torrent"]);
    assert_eq!(output.status.code(), Some(2));
    let lines: Vec<&str> = text(&output.stderr).lines().collect();
    assert!(
        lines[0].starts_with(&format!("{path}:2:7: no choke policy is named `tit-for-tatt`; did you mean"))
    );
    assert_eq!(lines[1..], ["  | use = \"tit-for-tatt\"", "  |       ^^^^^^^^^^^^^^"]);
}

#[test]
fn help_and_version() {
    let help = succeeds(&["--help"]);
    assert!(help.contains("Examples:\n  bt-run --demo"), "{help}");
    assert_eq!(succeeds(&["--version"]).trim_end(), concat!("bt-run ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn plug_ins_and_profiles_are_listed() {
    let list = succeeds(&["--list"]);
    for part in ["choke policy, [choke]:", "(bt-policies 0.1.0)", "mainline, mainline-3.2, mainline-4, "] {
        assert!(list.contains(part), "{list}");
    }
    assert!(
        list.lines().any(|line| line.starts_with("  tit-for-tat ") && line.contains(" serves")),
        "{list}"
    );
    let data: Value = serde_json::from_str(&succeeds(&["--list", "--json"])).unwrap();
    let plugins = data["plugins"].as_array().unwrap();
    let files = plugins.iter().find(|one| one["name"] == "files").unwrap();
    assert_eq!((&files["table"], &files["crate"]), (&"storage".into(), &"bt-storage".into()));
    assert!(data["profiles"].as_array().unwrap().contains(&"modern".into()));
    // Each of them has defaults, and they are what a profile would say.
    for plugin in plugins {
        let defaults: toml::Table =
            succeeds(&["--defaults", plugin["name"].as_str().unwrap()]).parse().unwrap();
        let table = plugin["table"].as_str().unwrap().split('.').next().unwrap();
        assert!(defaults.contains_key(table), "{plugin}");
    }
}

#[test]
fn the_printed_profile_is_the_profile() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("printed.toml");
    for arguments in [
        &["--profile", "mainline"][..],
        &["--profile", "modern.toml", "--set", "choke.use=random", "--set", "net.upload-limit=1 MiB/s"],
        &["--profile", "memory", "--set", "storage.layer=[{use=\"slow\",delay=\"1 ms\"}]"],
    ] {
        let printed = succeeds(&[arguments, &["--print-profile"]].concat());
        std::fs::write(&path, &printed).unwrap();
        assert_eq!(succeeds(&["--profile", path.to_str().unwrap(), "--print-profile"]), printed);
    }
}

#[test]
fn the_demo_ends_by_itself_with_verified_data() {
    let told = succeeds(&["--profile", "mainline.toml", "--demo"]);
    assert!(told.contains("read back and compared: identical") && told.contains("try next:"), "{told}");
}

/// The limit that is in the way may be raised by who is limited; another one is the user's.
#[cfg(unix)]
#[test]
fn a_low_limit_of_open_files_is_raised() {
    let demo = format!("ulimit -Sn 16; exec '{}' --demo --quiet", env!("CARGO_BIN_EXE_bt-run"));
    let output = Command::new("sh").args(["-c", &demo]).output().expect("there is a shell");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn the_demo_runs_through_any_profile() {
    // The demo's seeder has the profile too. These give nothing, give a lone peer a piece every few seconds, see the
    // whole swarm, speak to the local network, or have to be told of a place.
    let left_out = ["free-rider", "large-view", "null", "super-seed", "global-rarest", "lan", "object-store"];
    let data: Value = serde_json::from_str(&succeeds(&["--list", "--json"])).unwrap();
    let profiles: Vec<&str> =
        data["profiles"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(left_out.iter().all(|name| profiles.contains(name)), "{profiles:?}");
    for name in profiles.into_iter().filter(|name| !left_out.contains(name)) {
        let summary = succeeds(&["--profile", name, "--demo", "--json", "--quiet"]);
        let summary: Value = serde_json::from_str(&summary).unwrap();
        assert_eq!(summary["complete"], true, "{name}");
        assert_eq!(summary["bytes_have"], 64 << 20);
        // One request that is never answered costs a snub time.
        assert!(summary["elapsed_s"].as_f64().unwrap() < 25.0, "{name}: {summary}");
    }
}

#[test]
fn an_object_store_is_told_where_it_is() {
    let output = bt_run(&["--profile", "object-store", "--demo"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    let first = error.lines().next().unwrap();
    assert!(first.starts_with("object-store.toml:") && first.contains("`url` must say where"), "{error}");
    let folder = TempDir::new().unwrap();
    // It is printed to be filled in, and runs then.
    let printed = succeeds(&["--profile", "object-store", "--print-profile"]);
    assert!(printed.contains("\nurl = \"\"\n"), "{printed}");
    let filled = printed.replace("\nurl = \"\"\n", "\nurl = \"memory:///\"\n");
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, &filled).unwrap();
    assert_eq!(succeeds(&["--profile", path.to_str().unwrap(), "--print-profile"]), filled);
    succeeds(&["--profile", path.to_str().unwrap(), "--demo", "--quiet"]);
    let wrong = bt_run(&["--profile", "object-store", "--set", "storage.url=here", "--print-profile"]);
    assert_eq!((wrong.status.code(), text(&wrong.stdout)), (Some(2), ""), "what is wrong is not printed");
    let unsaid = bt_run(&["--set", "storage.use=object-store", "--demo"]);
    let error = text(&unsaid.stderr);
    assert!(error.starts_with("--set storage.use=object-store: `url` must say where"), "{error}");
    for url in ["memory:///".to_owned(), format!("file://{}/objects", folder.path().display())] {
        let set = format!("storage.url={url}");
        let summary = succeeds(&["--profile", "object-store", "--set", &set, "--demo", "--json", "--quiet"]);
        let summary: Value = serde_json::from_str(&summary).unwrap();
        assert_eq!(
            (&summary["complete"], &summary["bytes_have"]),
            (&true.into(), &(64 << 20).into()),
            "{url}"
        );
    }
    let torrents: Vec<_> = std::fs::read_dir(folder.path().join("objects")).unwrap().collect();
    let [Ok(torrent)] = &torrents[..] else { panic!("{torrents:?}") };
    assert_eq!(std::fs::read_dir(torrent.path()).unwrap().count(), 256, "one object a piece");
}

/// A `bt-run` in the background; ended when dropped.
struct Background {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Background {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// Reads what it says until a line holds `part`; answers that line.
    fn wait_for(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "no {part:?} in {seen}");
            if line.contains(part) {
                return line;
            }
            seen += &line;
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end; answers what it printed too.
    fn end(mut self) -> (ExitStatus, String) {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        (self.child.wait().unwrap(), out)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a file of `length` bytes and its torrent in `folder`; answers the torrent's path.
fn make_torrent(folder: &Path, length: usize) -> String {
    let seed = folder.join("seed");
    std::fs::create_dir(&seed).unwrap();
    let bytes: Vec<u8> = (0..length).map(|at| (at * at / 7) as u8).collect();
    std::fs::write(seed.join("data.bin"), bytes).unwrap();
    let torrent = folder.join("data.torrent");
    let mut create = Command::new(env!("CARGO_BIN_EXE_bt-torrent"));
    create.arg("create").arg(seed.join("data.bin")).args(["--piece-length", "32 KiB", "-o"]).arg(&torrent);
    assert!(create.stdout(Stdio::null()).status().unwrap().success());
    torrent.to_str().unwrap().to_owned()
}

#[test]
fn one_seeds_another_downloads() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let torrent = make_torrent(folder.path(), 3_000_000);
    let (seed, state) = (path("seed"), path("state"));
    let local = ["--listen", "127.0.0.1:0", "--state", &state];
    let mut seeder = Background::start(&[&local[..], &["-o", &seed, "--json", &torrent]].concat());
    let listening = seeder.wait_for("listening at ");
    let address = listening.trim().rsplit(' ').next().unwrap();
    seeder.wait_for("everything is there");

    // The program notes its arguments, then is done.
    let (program, noted) = (path("program"), path("noted"));
    std::fs::write(&program, format!("#!/bin/sh\necho printed\nprintf '%s\\n' \"$@\" >> '{noted}'\n"))
        .unwrap();
    assert!(Command::new("chmod").args(["+x", &program]).status().unwrap().success());
    let (down, state, events) = (path("down"), path("state2"), path("events.jsonl"));
    let out = succeeds(&[
        "--peer",
        address,
        "-o",
        &down,
        "--state",
        &state,
        "--listen",
        "127.0.0.1:0",
        "--stop-when",
        "complete",
        "--json",
        "--seed",
        "7",
        "--events",
        &events,
        "--on-complete",
        &program,
        &torrent,
    ]);
    assert_eq!(out.lines().count(), 1, "{out}");
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(summary["name"], "data.bin");
    assert_eq!(summary["complete"], true);
    for key in ["bytes_total", "bytes_have", "downloaded"] {
        assert_eq!(summary[key], 3_000_000, "{key}");
    }
    assert_eq!(
        (&summary["uploaded"], &summary["wasted"], &summary["hash_failures"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!(summary["peers_seen"], 1);
    assert!(summary["elapsed_s"].as_f64().unwrap() > 0.0);
    let read = |file: &str| std::fs::read(folder.path().join(file)).unwrap();
    assert_eq!(read("down/data.bin"), read("seed/data.bin"));
    let noted = std::fs::read_to_string(noted).unwrap();
    assert_eq!(
        noted.lines().collect::<Vec<_>>(),
        ["data.bin", summary["info_hash"].as_str().unwrap(), &down]
    );

    let events = std::fs::read_to_string(events).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&events[0]["schema"], &events[0]["run"]["seed"]), (&1.into(), &7.into()));
    let verified = events.iter().filter(|event| event["ev"] == "piece_verified").count();
    assert_eq!(verified, 3_000_000_usize.div_ceil(32 << 10));
    assert_eq!(events.iter().filter(|event| event["ev"] == "complete").count(), 1);
    // It says when it takes part, and with what.
    let joined = (&events[1]["ev"], &events[1]["have"], &events[1]["total_length"]);
    assert_eq!(joined, (&"joined".into(), &"".into(), &3_000_000.into()));
    assert!(events[1]["addr"].as_str().unwrap().starts_with("127.0.0.1:"), "{}", events[1]);
    assert_eq!(events.last().unwrap()["ev"], "left");

    // Once more: everything is there, nothing is downloaded, the program is not run again.
    let again = succeeds(&[
        "-o",
        &down,
        "--state",
        &state,
        "--listen",
        "127.0.0.1:0",
        "--stop-when",
        "complete",
        "--json",
        "--on-complete",
        &program,
        &torrent,
    ]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["complete"], &again["downloaded"]), (&true.into(), &0.into()));
    assert_eq!(std::fs::read_to_string(path("noted")).unwrap(), noted);

    seeder.signal("-INT");
    let (status, out) = seeder.end();
    assert_eq!(status.code(), Some(130));
    let seeded: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&seeded["complete"], &seeded["uploaded"]), (&true.into(), &3_000_000.into()));
}

#[test]
fn what_is_not_complete_ends_with_1_and_kill_with_143() {
    let folder = TempDir::new().unwrap();
    let torrent = make_torrent(folder.path(), 100_000);
    let (down, state) = (folder.path().join("down"), folder.path().join("state"));
    let (down, state) = (down.to_str().unwrap(), state.to_str().unwrap());
    let common = ["-o", down, "--state", state, "--listen", "127.0.0.1:0", "--json"];
    let output = bt_run(&[&common[..], &["--stop-when", "time=100 ms", &torrent]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["complete"], &summary["bytes_have"]), (&false.into(), &0.into()));
    assert_eq!(summary["bytes_total"], 100_000);

    let mut waiting = Background::start(&[&common[..], &[&torrent]].concat());
    waiting.wait_for("stalled: no peers");
    waiting.signal("-TERM");
    let (status, out) = waiting.end();
    assert_eq!(status.code(), Some(143));
    assert_eq!(out.lines().count(), 1);
}

#[test]
fn ctrl_c_twice_ends_at_once() {
    let folder = TempDir::new().unwrap();
    let torrent = make_torrent(folder.path(), 100_000);
    let state = folder.path().join("state");
    // It takes connections and says nothing: the stopped announce waits for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tracker = format!("http://{}/announce", silent.local_addr().unwrap());
    let options = ["--state", state.to_str().unwrap(), "--listen", "127.0.0.1:0", "--json"];
    let mut running = Background::start(&[&options[..], &["--tracker", &tracker, &torrent]].concat());
    let (mut connection, _) = silent.accept().unwrap();
    let mut request = [0; 4];
    connection.read_exact(&mut request).unwrap();
    assert_eq!(&request, b"GET ");
    running.signal("-INT");
    running.wait_for("once more to end at once");
    running.signal("-INT");
    let (status, out) = running.end();
    assert_eq!((status.code(), out.as_str()), (Some(130), ""));
}

#[test]
fn the_same_torrent_twice_is_wrong_use() {
    let folder = TempDir::new().unwrap();
    let torrent = make_torrent(folder.path(), 100_000);
    let state = folder.path().join("state");
    let output = bt_run(&[
        "--state",
        state.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--quiet",
        &torrent,
        &torrent,
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is added already"), "{}", text(&output.stderr));
}
