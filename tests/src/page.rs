//! Pages that are done step by step: what they say to write is written, what they say to run is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::binaries::{as_from_a_shell, target};
use crate::process::Process;

/// How long one command may take: the first one builds everything.
const LIMIT: Duration = Duration::from_secs(900);

/// A step of a page.
enum Step {
    Write { path: String, text: String },
    Run(String),
}

/// The folder of the framework, which pages call `FRAMEWORK`.
pub fn framework() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in the framework's folder")
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

/// Does what `page` says, from the folder `start`; answers with the number of its commands, all of which succeeded, and
/// the folder in which it ended.
///
/// # Panics
/// When a command fails, with what it wrote.
pub fn follow(page: &str, start: &Path) -> (usize, PathBuf) {
    let logs = tempfile::tempdir().expect("a temporary folder");
    let (mut place, mut commands) = (start.to_owned(), 0);
    for step in steps(page) {
        match step {
            Step::Write { path, text } => {
                let text = text.replace("FRAMEWORK", framework().to_str().expect("a path in UTF-8"));
                fs::write(place.join(&path), text).expect("the page makes the folder first");
                if path == "Cargo.toml" {
                    // The versions that the workspace is tested with.
                    fs::copy(framework().join("Cargo.lock"), place.join("Cargo.lock")).expect("a lock file");
                }
            }
            Step::Run(line) => {
                if let Some(into) = line.strip_prefix("cd ") {
                    place.push(into);
                    continue;
                }
                commands += 1;
                let mut command = Command::new("sh");
                as_from_a_shell(&mut command)
                    .args(["-c", &format!("exec {line}")])
                    .current_dir(&place)
                    .env("CARGO_TARGET_DIR", target());
                let mut process = Process::start("step", logs.path(), &mut command);
                assert_eq!(process.exit_code(LIMIT), 0, "{line}: {}", process.story());
            }
        }
    }
    (commands, place)
}
