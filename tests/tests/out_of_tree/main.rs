//! A user's own package, `tests/out-of-tree`: built as a user builds it, it has the framework's plug-ins and
//! its own side by side, and downloads through its own. One that misbehaves harms no other torrent of its process.

mod misbehaving;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use bt_tests::binaries;
use bt_tests::process::Process;
use serde_json::Value;
use tempfile::TempDir;

/// How long the demo may take; some seconds are usual.
const LIMIT: Duration = Duration::from_secs(180);

/// What the build made.
struct Package {
    binary: PathBuf,
    unit_tests: PathBuf,
    /// The example `odd`, which has plug-ins that misbehave.
    odd: PathBuf,
}

/// The package, built once.
fn package() -> &'static Package {
    static PACKAGE: LazyLock<Package> = LazyLock::new(build);
    &PACKAGE
}

/// Builds the package with its tests.
fn build() -> Package {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("out-of-tree");
    // With the workspace's versions and its target folder: what it has fetched and built serves here too.
    fs::copy(package.join("../../Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    binaries::as_from_a_shell(&mut cargo).current_dir(&package).arg("build").args([
        "--quiet",
        "--all-targets",
        "--message-format",
        "json",
    ]);
    let output = cargo.arg("--target-dir").arg(binaries::target()).output().unwrap();
    assert!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let messages: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let executable = |kind: &str, test: bool| {
        let made = |message: &&Value| {
            message["target"]["kind"][0] == kind
                && message["profile"]["test"] == test
                && message["executable"].is_string()
        };
        let message = messages.iter().find(made).unwrap_or_else(|| panic!("no {kind} was built"));
        PathBuf::from(message["executable"].as_str().unwrap())
    };
    Package {
        binary: executable("bin", false),
        unit_tests: executable("lib", true),
        odd: executable("example", false),
    }
}

/// What `program` prints; it must end well.
fn run(program: &Path, arguments: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path());
    let mut process = Process::start("my-client", folder.path(), &mut command);
    assert_eq!(process.exit_code(LIMIT), 0, "{arguments:?}: {}", process.story());
    process.output()
}

#[test]
fn a_users_own_package_needs_no_change_of_the_framework() {
    let Package { binary, unit_tests, .. } = package();
    run(unit_tests, &[]);

    let list = run(binary, &["--list"]);
    for name in ["proportional", "one-file", "peer-list"] {
        let line = list
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{name} ")))
            .unwrap_or_else(|| panic!("no {name}:\n{list}"));
        assert!(line.contains("my-client 0.3.0"), "{line}");
    }
    for theirs in ["tit-for-tat", "rarest-first", "files"] {
        assert!(list.contains(theirs), "no {theirs}:\n{list}");
    }

    let defaults: toml::Table = run(binary, &["--defaults", "proportional"]).parse().unwrap();
    let expected = "[choke]\nuse = \"proportional\"\nslots = 8\nround = \"10 s\"\nhead-start = \"64 KiB\"\n";
    assert_eq!(defaults, expected.parse().unwrap());

    let profile = run(binary, &["--profile", "mine", "--set", "choke.slots=3", "--print-profile"]);
    let profile: toml::Table = profile.parse().unwrap();
    assert_eq!(profile["choke"]["use"].as_str(), Some("proportional"));
    assert_eq!(profile["choke"]["slots"].as_integer(), Some(3));
    assert_eq!(profile["storage"]["sync"].as_bool(), Some(true));
    assert_eq!(profile["tracker"]["peer-list"]["interval"].as_str(), Some("5 min"));

    let folder = TempDir::new().unwrap();
    let events = folder.path().join("events.jsonl");
    let demo = ["--demo", "--profile", "mine", "--json", "--events", events.to_str().unwrap()];
    let summary: Value = serde_json::from_str(&run(binary, &demo)).unwrap();
    assert_eq!(summary["complete"], true, "{summary}");
    assert_eq!(summary["hash_failures"], 0, "{summary}");
    let events = fs::read_to_string(events).unwrap();
    let of = |ev: &str| {
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["ev"] == ev).collect::<Vec<_>>()
    };
    assert!(!of("piece_verified").is_empty());
    assert!(of("policy_violation").is_empty() && of("storage_error").is_empty(), "{events}");
}
