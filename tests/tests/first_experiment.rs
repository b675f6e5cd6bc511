//! The page `bt-runtime/docs/first-experiment.md`, done step by step, and what it promises is there.

use std::fs;

use bt_tests::page::{follow, framework};

#[test]
fn every_step_of_the_page_does_what_it_says() {
    let page = fs::read_to_string(framework().join("bt-runtime/docs/first-experiment.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (commands, place) = follow(&page, folder.path());
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
