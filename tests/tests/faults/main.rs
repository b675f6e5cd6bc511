//! Disks that fail, people who meddle, processes that are killed: each ends with everything downloaded and right,
//! by itself, or with a clear stop that loses nothing.

mod changed_files;
mod flaky_store;
mod foreign_files;
mod full_disk;
mod kill;
mod links;
mod resume_file;
mod unwritable;

use std::time::Duration;

use bt_tests::bt_run::summary;
use bt_tests::place::Place;
use bt_tests::process::{Process, SOON};

/// How long one download may take; a few seconds are usual.
const LIMIT: Duration = Duration::from_secs(180);

/// Waits until it is complete and ends, with the file as it should be.
fn ends_complete(place: &Place, process: &mut Process) {
    assert_eq!(process.exit_code(LIMIT), 0, "{}", process.story());
    assert_eq!(summary(process)["complete"], true);
    place.content.assert_same(&place.output);
}

/// Waits until it stops because it cannot go on, having said why: in one line for people, and in the summary.
fn ends_with(process: &mut Process, why: &str) {
    assert_eq!(process.exit_code(SOON), 1, "{}", process.story());
    let errors = process.errors();
    assert!(errors.lines().any(|line| line.starts_with("bt-run: ") && line.contains(why)), "{errors}");
    let summary = summary(process);
    assert_eq!(summary["complete"], false);
    assert!(summary["error"].as_str().is_some_and(|error| error.contains(why)), "{summary}");
}
