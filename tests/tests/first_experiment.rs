//! The page `bt-runtime/docs/first-experiment.md`, done step by step: what it says to write is written, what it says to
//! run is run, and what it promises is there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bt_tests::process::Process;
use tempfile::TempDir;

/// How long one command may take: the first one builds everything.
const LIMIT: Duration = Duration::from_secs(900);

/// A step of the page.
enum Step {
    Write { path: String, text: String },
    Run(String),
}

/// The steps of a page: a file is named in a line of its own before its text, a command stands in a block of `sh`.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut named = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(path) = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")) {
            named = Some(path.to_owned());
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match (language, named.take()) {
            ("sh", None) => steps.extend(block.into_iter().map(|line| Step::Run(line.to_owned()))),
            (_, Some(path)) => steps.push(Step::Write { path, text: block.join("\n") + "\n" }),
            (language, _) => panic!("a block of {language:?} that is neither a file nor commands"),
        }
    }
    steps
}

#[test]
fn every_step_of_the_page_does_what_it_says() {
    let framework = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let framework = framework.to_str().unwrap();
    let page = fs::read_to_string(Path::new(framework).join("bt-runtime/docs/first-experiment.md")).unwrap();
    // What was built serves here too.
    let test = env::current_exe().unwrap();
    let target = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).unwrap();
    let folder = TempDir::new().unwrap();
    let mut place: PathBuf = folder.path().to_owned();
    let mut commands = 0;
    for step in steps(&page) {
        match step {
            Step::Write { path, text } => {
                fs::write(place.join(&path), text.replace("FRAMEWORK", framework)).unwrap();
                if path == "Cargo.toml" {
                    // The versions that the workspace is tested with.
                    fs::copy(Path::new(framework).join("Cargo.lock"), place.join("Cargo.lock")).unwrap();
                }
            }
            Step::Run(line) => {
                if let Some(into) = line.strip_prefix("cd ") {
                    place.push(into);
                    continue;
                }
                commands += 1;
                let mut command = Command::new("sh");
                command.args(["-c", &line]).current_dir(&place).env("CARGO_TARGET_DIR", target);
                let mut process = Process::start("step", folder.path(), &mut command);
                assert_eq!(process.exit_code(LIMIT), 0, "{line}: {}", process.story());
            }
        }
    }
    assert!(commands >= 6, "the page has commands");
    for made in [
        "first/report.html",
        "first/peers.csv",
        "versus/report.html",
        "versus/compare.csv",
        "logged/events.jsonl",
    ] {
        assert!(place.join(made).is_file(), "{made} is promised");
    }
}
