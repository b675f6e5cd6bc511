//! A disk without room: the download waits, says so, and goes on once there is room.

use std::fs;

use bt_tests::bt_run::events;
use bt_tests::mount::Mount;
use bt_tests::place::Place;
use bt_tests::process::SOON;

use crate::ends_complete;

const FULL: &str = "disk full, trying again";

#[test]
fn a_disk_that_another_file_fills_is_waited_for() {
    let place = Place::new(24 << 20);
    let Some(_mount) = Mount::of_64_mib(&place.output) else { return };
    let other = place.output.join("somebody else's");
    fs::write(&other, vec![7; 52 << 20]).unwrap();
    let (_seeder, addr) = place.seeder("unlimited");
    let mut leecher = place.leecher().peers([addr]).until_complete().start();
    leecher.until_told(FULL, SOON);
    assert_eq!(fs::metadata(&other).unwrap().len(), 52 << 20);
    fs::remove_file(&other).unwrap();
    ends_complete(&place, &mut leecher);
    let events = events("leecher", place.folder());
    assert!(events.iter().any(|event| event["ev"] == "storage_error" && event["kind"] == "full"));
}

/// The same without the right to mount anything. What was written of a piece before the disk was full is
/// written again.
#[test]
fn a_capacity_that_is_lifted_is_waited_for() {
    for torn in ["true", "false"] {
        let place = Place::new(8 << 20);
        let other = place.folder().join("somebody else's");
        fs::write(&other, "takes up room").unwrap();
        let layer = format!(
            "storage.layer=[{{use=\"faulty\",capacity=\"3 MB\",full-while={other:?},torn-writes={torn}}}]"
        );
        let (_seeder, addr) = place.seeder("unlimited");
        let mut leecher = place.leecher().with(["--set", &layer]).peers([addr]).until_complete().start();
        leecher.until_told(FULL, SOON);
        fs::remove_file(&other).unwrap();
        ends_complete(&place, &mut leecher);
    }
}
