//! A swarm of real processes: one capped seeder and eight who download, and give.

use std::fs;
use std::time::Duration;

use bt_tests::bt_run::{BtRun, events, sum, summary};
use bt_tests::content::Content;
use bt_tests::process::SOON;
use serde_json::Value;
use tempfile::TempDir;

/// How long the swarm may take. The seeder's cap alone makes it some 12 s.
const LIMIT: Duration = Duration::from_secs(180);

const SIZE: u64 = 24 << 20;
const LEECHERS: u64 = 8;

/// The profile's `random-first-pieces`, which are not the rarest.
const RANDOM_FIRST: usize = 4;

/// Profiles that serve nobody, or only a crowd: the demo, whose seeder has the profile too, does not show that they download.
#[test]
fn whoever_serves_nobody_downloads_all_the_same() {
    let dir = TempDir::new().unwrap();
    let content = Content::file("file.bin", 4 << 20, 4);
    let torrent = content.torrent("http://127.0.0.1:9/announce", "64 KiB", dir.path().join("x.torrent"));
    let (_seeder, addr) =
        BtRun::new("seeder", &torrent.file, content.folder(), dir.path()).start_and_wait(&torrent);
    for profile in ["free-rider", "large-view", "super-seed", "null"] {
        let output = dir.path().join(profile);
        fs::create_dir(&output).unwrap();
        let run = BtRun::new(profile, &torrent.file, &output, dir.path());
        let mut run = run.profile(profile).until_complete().peers([addr]).start();
        assert_eq!(run.exit_code(LIMIT), 0, "{}", run.story());
        assert_eq!(summary(&run)["bytes_have"], 4 << 20, "{profile}");
        if profile != "null" {
            content.assert_same(&output);
        }
    }
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["ev"] == name).collect()
}

#[test]
fn a_capped_seeder_and_eight_who_help_each_other() {
    let dir = TempDir::new().unwrap();
    let content = Content::file("file.bin", SIZE, 4);
    // Nobody listens there: peers are named on the command line, each knows those who came before.
    let torrent = content.torrent("http://127.0.0.1:9/announce", "64 KiB", dir.path().join("x.torrent"));
    let seeder = BtRun::new("seeder", &torrent.file, content.folder(), dir.path());
    // The original's limiter lets twenty seconds' worth through at first: a cap from the first byte on is the bucket's.
    let cap = ["--set", "net.upload-limit=2 MiB/s", "--set", "upload.limiter=bucket"];
    let (mut seeder, addr) = seeder.with(cap).start_and_wait(&torrent);
    let mut addrs = vec![addr];
    let mut leechers = Vec::new();
    for number in 1..=LEECHERS {
        let (name, output) = (format!("leecher-{number}"), dir.path().join(format!("output-{number}")));
        fs::create_dir(&output).unwrap();
        let run = BtRun::new(&name, &torrent.file, &output, dir.path());
        let run = run.until_complete().peers(addrs.iter().copied());
        let (process, addr) = run.start_and_wait(&torrent);
        addrs.push(addr);
        leechers.push((name, output, process));
    }
    for (_, output, leecher) in &mut leechers {
        assert_eq!(leecher.exit_code(LIMIT), 0, "{}", leecher.story());
        content.assert_same(output);
    }
    seeder.signal(rustix::process::Signal::TERM);
    assert_eq!(seeder.exit_code(SOON), 143, "{}", seeder.story());

    let summaries: Vec<Value> = leechers.iter().map(|(_, _, leecher)| summary(leecher)).collect();
    let (downloaded, given) = (sum(&summaries, "downloaded"), sum(&summaries, "uploaded"));
    assert!(downloaded >= LEECHERS * SIZE, "{downloaded}");
    assert!(given > downloaded / 2, "leechers gave {given} of {downloaded}");

    let logs: Vec<Vec<Value>> = leechers.iter().map(|(name, _, _)| events(name, dir.path())).collect();
    let unchokes = logs.iter().flat_map(|log| named(log, "unchoke"));
    let reasons: Vec<_> =
        unchokes.filter(|event| event["dir"] == "to").map(|event| &event["reason"]).collect();
    for reason in ["optimistic", "download-rate"] {
        assert!(reasons.iter().any(|found| *found == reason), "nobody was unchoked as {reason}");
    }
    for log in &logs {
        assert_eq!(named(log, "policy_violation"), [] as [&Value; 0]);
    }
    let endgames = logs.iter().filter(|log| !named(log, "endgame").is_empty()).count();
    assert!(endgames > 0, "nobody came to endgame");
    let started = logs.iter().flat_map(|log| named(log, "piece_started").into_iter().skip(RANDOM_FIRST));
    let (rarest, other): (Vec<_>, Vec<_>) =
        started.partition(|event| event["availability"] == event["rarest"]);
    eprintln!(
        "given {given} of {downloaded}; endgames {endgames}; rarest {} other {}",
        rarest.len(),
        other.len()
    );
    assert!(rarest.len() > 9 * other.len(), "{} began as the rarest, {} did not", rarest.len(), other.len());
}
