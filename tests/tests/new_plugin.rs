//! `bt-lab new`: the crate that it writes compiles, passes and runs as it is, by the commands of its own README.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::{Mutex, PoisonError};

use bt_tests::binaries::bt_lab;
use bt_tests::page::follow;

fn new(folder: &Path, arguments: &[&str]) -> Output {
    bt_lab().arg("new").args(arguments).current_dir(folder).output().unwrap()
}

/// The crates have binaries of the same names and share a target folder.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn made_and_followed(kind: &str, name: &str, promised: &[&str]) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let output = new(folder.path(), &[kind, name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crate_folder = folder.path().join(name);
    let page = fs::read_to_string(crate_folder.join("README.md")).unwrap();
    for word in ["my-plugin", "MyPlugin", "FRAMEWORK", "KIND", "GUIDE", "EXPERIMENT"] {
        assert!(!page.contains(word), "{word} is left in {page}");
    }
    let (commands, _) = follow(&page, &crate_folder);
    assert_eq!(commands, 5);
    for made in promised {
        assert!(crate_folder.join(made).is_file(), "{made} is promised");
    }
}

#[test]
fn a_choke_policy() {
    made_and_followed("choke", "best-givers", &["first/report.html", "versus/report.html"]);
}

#[test]
fn a_piece_policy() {
    made_and_followed("piece", "begun-first", &["first/report.html", "versus/report.html"]);
}

#[test]
fn a_store() {
    made_and_followed("storage", "shoebox", &["first/report.html", "versus/report.html"]);
}

#[test]
fn a_tracker_client() {
    made_and_followed("tracker", "old-friends", &["first/report.html", "few/report.html"]);
}

#[test]
fn what_cannot_be_is_one_line_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("taken")).unwrap();
    for (arguments, said) in [
        (&["choke", "Least-Served"][..], "words of small letters"),
        (&["choke", "9-lives"], "words of small letters"),
        (&["choke", "../up"], "words of small letters"),
        (&["choke", ""], "words of small letters"),
        (&["choke", "match"], "Rust or a crate"),
        (&["choke", "serde"], "Rust or a crate"),
        (&["choke", "choke-policy"], "something else of that name"),
        (&["choke", "tit-for-tat"], "of this binary"),
        (&["storage", "homogeneous"], "of this binary"),
        (&["choke", "taken"], "is there already"),
        (&["choke", "fine", "--framework", "."], "--framework DIR"),
        (&["shoe", "fine"], "[possible values: choke, piece, storage, tracker]"),
    ] {
        let output = new(folder.path(), arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(said) && errors.trim_end().lines().count() == 1, "{arguments:?}: {errors}");
    }
    let there: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["taken"]);
}
