//! Peers found through real trackers over UDP, through the local network, and through nobody.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use bt_tests::bt_run::{self, BtRun};
use bt_tests::content::{Content, Torrent};
use bt_tests::npm_tracker::NpmTracker;
use bt_tests::opentracker::{Opentracker, Swarm};
use bt_tests::process::{Process, SOON, free_port};
use bt_tests::{binaries, clients, skipped};
use rustix::process::Signal;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(180);

/// Nobody listens there.
const NO_TRACKER: &str = "http://127.0.0.1:9/announce";

const UDP: [&str; 2] = ["--set", "tracker.use=[\"http\", \"udp\"]"];

fn content(dir: &Path, tracker: &str) -> (Content, Torrent) {
    let content = Content::file("file.bin", 1 << 20, 6);
    let torrent = content.torrent(tracker, "64 KiB", dir.join("x.torrent"));
    (content, torrent)
}

/// A run that downloads into a folder of its own.
fn leecher(dir: &Path, torrent: &Torrent) -> BtRun {
    let output = dir.join("output");
    fs::create_dir(&output).unwrap();
    BtRun::new("leecher", &torrent.file, &output, dir).until_complete()
}

fn finish(mut leecher: Process, dir: &Path, content: &Content) {
    assert_eq!(leecher.exit_code(LIMIT), 0, "{}", leecher.story());
    content.assert_same(&dir.join("output"));
}

fn stop(mut seeder: Process) {
    seeder.signal(Signal::TERM);
    assert_eq!(seeder.exit_code(SOON), 143, "{}", seeder.story());
}

/// What `bt-torrent scrape` says of the torrent's trackers.
fn scraped(torrent: &Torrent) -> String {
    let output = binaries::bt_torrent().arg("scrape").arg(&torrent.file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The announces that got an answer, as the events name them.
fn answered(name: &str, dir: &Path) -> usize {
    let events = bt_run::events(name, dir);
    events.iter().filter(|event| event["ev"] == "announce_reply" && event["error"].is_null()).count()
}

#[test]
fn opentracker_over_udp() {
    if !clients::runs("opentracker", &["-h"]) {
        return skipped("opentracker is not installed");
    }
    let dir = TempDir::new().unwrap();
    let (dir, port) = (dir.path(), free_port());
    let url = format!("udp://127.0.0.1:{port}/announce");
    let (content, torrent) = content(dir, &url);
    let mut tracker = Opentracker::start(dir, port, torrent.info_hash());
    let seeder = BtRun::new("seeder", &torrent.file, content.folder(), dir).with(UDP).start();
    tracker.wait_for(torrent.info_hash(), Swarm { complete: 1, incomplete: 0 });
    assert_eq!(scraped(&torrent), format!("{url}: 1 seeds, 0 leechers, completed 0 times\n"));

    finish(leecher(dir, &torrent).with(UDP).start(), dir, &content);
    // It told of its start, its completion and its end.
    assert_eq!(scraped(&torrent), format!("{url}: 1 seeds, 0 leechers, completed 1 times\n"));
    assert!(answered("leecher", dir) >= 2);
    stop(seeder);
    tracker.wait_for(torrent.info_hash(), Swarm { complete: 0, incomplete: 0 });
}

#[test]
fn bittorrent_tracker_of_npm_over_udp_and_ipv6() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let Some(mut tracker) = NpmTracker::start(dir) else { return };
    let url = tracker.url();
    let (content, torrent) = content(dir, &url);
    let seeder = BtRun::new("seeder", &torrent.file, content.folder(), dir).with(UDP);
    let (seeder, addr) = seeder.start_and_wait(&torrent);
    tracker.wait_for("start", torrent.info_hash());
    // Whoever has everything counts as a completion with it.
    assert_eq!(scraped(&torrent), format!("{url}: 1 seeds, 0 leechers, completed 1 times\n"));

    finish(leecher(dir, &torrent).with(UDP).peers([addr]).start(), dir, &content);
    tracker.wait_for("complete", torrent.info_hash());
    tracker.wait_for("stop", torrent.info_hash());
    assert_eq!(scraped(&torrent), format!("{url}: 1 seeds, 0 leechers, completed 1 times\n"));
    assert!(answered("leecher", dir) >= 2);
    stop(seeder);
}

#[test]
fn the_local_network_is_enough() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let (content, torrent) = content(dir, NO_TRACKER);
    // A group on loopback, at a port of this test's own.
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let groups = format!("tracker.lsd.groups=[\"239.192.152.143:{port}\"]");
    let local = ["tracker.use=[\"http\", \"lsd\"]", "tracker.lsd.interface=127.0.0.1", &groups];
    let local = || local.iter().flat_map(|set| ["--set", *set]);
    let seeder = BtRun::new("seeder", &torrent.file, content.folder(), dir).with(local());
    let (seeder, _) = seeder.start_and_wait(&torrent);
    finish(leecher(dir, &torrent).with(local()).start(), dir, &content);
    stop(seeder);
}

#[test]
fn none_asks_nobody_and_takes_peers_named_by_hand() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let tracker = TcpListener::bind("127.0.0.1:0").unwrap();
    tracker.set_nonblocking(true).unwrap();
    let url = format!("http://{}/announce", tracker.local_addr().unwrap());
    let (content, torrent) = content(dir, &url);
    let none = ["--set", "tracker.use=[\"none\", \"http\"]"];
    let seeder = BtRun::new("seeder", &torrent.file, content.folder(), dir).with(none);
    let (seeder, addr) = seeder.start_and_wait(&torrent);
    finish(leecher(dir, &torrent).with(none).peers([addr]).start(), dir, &content);
    stop(seeder);
    assert_eq!(tracker.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}
