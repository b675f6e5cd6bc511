//! A store that fails every hundredth call, on both sides: everything arrives.

use bt_tests::bt_run::{events, summary};
use bt_tests::place::Place;
use bt_tests::process::SOON;
use rustix::process::Signal;

use crate::ends_complete;

/// Whoever checks, reads, writes or seals meets a failure: there are more than two hundred calls of each.
#[test]
fn every_hundredth_write_and_read_fails() {
    for (kind, torn) in [("other", true), ("temporary", false), ("missing", true)] {
        let place = Place::new(56 << 20);
        let faults = format!(
            "storage.layer=[{{use=\"faulty\",every-read=100,every-write=100,every-seal=150,\
             every-checkpoint=2,torn-writes={torn},kind=\"{kind}\",seed=9}}]"
        );
        let reads = "storage.layer=[{use=\"faulty\",every-read=100,every-seal=100}]";
        let seeder = place.run("seeder", place.content.folder()).with(["--set", reads]);
        let (mut seeder, addr) = seeder.start_and_wait(&place.torrent);
        let mut leecher = place.leecher().with(["--set", &faults]).peers([addr]).until_complete().start();
        ends_complete(&place, &mut leecher);
        let told = events("leecher", place.folder());
        let told = told.iter().filter(|event| event["ev"] == "storage_error" && event["kind"] == kind);
        assert!(told.count() >= 2, "{kind}");
        assert_eq!(summary(&leecher)["hash_failures"], 0);
        seeder.signal(Signal::TERM);
        assert_eq!(seeder.exit_code(SOON), 143, "{}", seeder.story());
    }
}
