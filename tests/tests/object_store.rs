//! Torrents that are kept at a server of S3: downloaded to it, seeded from it, and through its failing.

#[path = "../../storage-backends/tests/common/s3.rs"]
mod s3;

use std::fs;
use std::process::Command;
use std::time::Duration;

use bt_tests::bt_run::{BtRun, summary};
use bt_tests::place::Place;
use bt_tests::process::SOON;
use rustix::process::Signal;
use s3::S3;

const LIMIT: Duration = Duration::from_secs(180);
const SIZE: u64 = 16 << 20;
const KEY: &str = "AKIAOBJECTSTORETEST";
const SECRET: &str = "objectstoretestsecret";

/// A run that keeps everything in `bucket` of `server`, and has no credentials.
fn stranger(place: &Place, name: &str, server: &str, bucket: &str) -> BtRun {
    let url = format!("storage.url=s3://{bucket}/torrents");
    let endpoint = format!("storage.endpoint={server}");
    let run = place.run(name, &place.output).with(["--set", "storage.use=object-store", "--set", &url]);
    let run =
        run.with(["--set", &endpoint, "--set", "storage.allow-http=true", "--set", "storage.timeout=2 s"]);
    run.with(["--set", "storage.retries=1"])
}

/// The same with credentials.
fn at_server(place: &Place, name: &str, server: &str, bucket: &str) -> BtRun {
    let run = stranger(place, name, server, bucket);
    run.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET)
}

/// No log, event or resume file of a run holds a credential.
fn assert_no_secret(place: &Place, name: &str) {
    for entry in fs::read_dir(place.folder()).unwrap().map(Result::unwrap) {
        if entry.file_name().to_str().unwrap().starts_with(name) && entry.path().is_file() {
            let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
            assert!(!text.contains(KEY) && !text.contains(SECRET), "{:?}: {text}", entry.path());
        }
    }
}

#[test]
fn a_torrent_is_downloaded_to_a_bucket_and_seeded_from_it() {
    let Some(server) = S3::start() else { return };
    let place = Place::new(SIZE);
    let (seeder, addr) = place.seeder("8 MiB/s");
    // Killed on its way; the next one goes on with what was sealed.
    let mut leecher =
        at_server(&place, "leecher", &server.endpoint(), "bucket").aloud().peers([addr]).start();
    leecher.until("some pieces are there", SOON, || (server.objects() > 8).then_some(()));
    leecher.signal(Signal::KILL);
    leecher.wait(SOON);
    let kept = server.objects();
    let again = at_server(&place, "leecher", &server.endpoint(), "bucket").until_complete();
    let mut again = again.peers([addr]).start();
    assert_eq!(again.exit_code(LIMIT), 0, "{}", again.story());
    let told = summary(&again);
    assert_eq!((&told["complete"], &told["hash_failures"]), (&true.into(), &0.into()), "{told}");
    let downloaded = told["downloaded"].as_u64().unwrap();
    let most = SIZE - (kept as u64 - 1) * (256 << 10) + (1 << 20);
    assert!(downloaded <= most, "{kept} pieces were there, and {downloaded} bytes came");
    assert_eq!(fs::read_dir(&place.output).unwrap().count(), 0, "nothing goes to the disk");
    drop(seeder);

    let from_bucket = at_server(&place, "leecher", &server.endpoint(), "bucket");
    let (_from_bucket, addr) = from_bucket.start_and_wait(&place.torrent);
    let copy = place.folder().join("copy");
    let mut copying = place.run("copying", &copy).until_complete().peers([addr]).start();
    assert_eq!(copying.exit_code(LIMIT), 0, "{}", copying.story());
    place.content.assert_same(&copy);
    assert_no_secret(&place, "leecher");
}

/// Each ends in one line that says what was tried, where, and why not.
#[test]
fn what_cannot_be_used_is_told() {
    let Some(server) = S3::start() else { return };
    let place = Place::new(SIZE);
    let endpoint = server.endpoint();
    let mut none = at_server(&place, "none", &endpoint, "no-such-bucket").until_complete().start();
    assert_eq!(none.exit_code(SOON), 1, "{}", none.story());
    let told = none.errors();
    assert!(told.contains("object-store: listing s3://no-such-bucket/torrents/"), "{told}");
    assert!(told.contains("404 Not Found: NoSuchBucket"), "{told}");
    // The machine is asked for a role, at an address where nobody is.
    let stranger =
        stranger(&place, "stranger", &endpoint, "bucket").env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9");
    let mut stranger = stranger.until_complete().start();
    assert_eq!(stranger.exit_code(SOON), 1, "{}", stranger.story());
    assert!(
        stranger.errors().contains("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        "{}",
        stranger.errors()
    );
    drop(server);
    let mut away = at_server(&place, "away", &endpoint, "bucket").until_complete().start();
    assert_eq!(away.exit_code(SOON), 1, "{}", away.story());
    let told = away.errors();
    assert!(
        told.contains("object-store: listing s3://bucket/torrents/") && told.contains("no connection"),
        "{told}"
    );
    assert_no_secret(&place, "none");
    assert_no_secret(&place, "away");
}

/// It hangs, as seen from here, and goes on.
#[test]
fn a_server_that_hangs_for_a_while_costs_nothing_but_time() {
    let Some(server) = S3::start() else { return };
    let place = Place::new(SIZE);
    let (_seeder, addr) = place.seeder("8 MiB/s");
    let leecher = at_server(&place, "leecher", &server.endpoint(), "bucket").aloud().until_complete();
    let mut leecher = leecher.peers([addr]).start();
    leecher.until("some pieces are there", SOON, || (server.objects() > 8).then_some(()));
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &server.id().to_string()]).status().unwrap();
        assert!(status.success());
    };
    signal("-STOP");
    leecher.until_told("object-store: writing s3://bucket/torrents/", SOON);
    signal("-CONT");
    assert_eq!(leecher.exit_code(LIMIT), 0, "{}", leecher.story());
    let told = leecher.errors();
    assert!(told.contains("no answer"), "{told}");
    assert_eq!(summary(&leecher)["complete"], true);
}
