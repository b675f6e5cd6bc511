//! Downloads between `bt-run` and other clients, each way, through a real tracker.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_tests::bt_run::{self, BtRun};
use bt_tests::clients::Client;
use bt_tests::content::{Content, Torrent};
use bt_tests::opentracker::{Opentracker, Swarm};
use bt_tests::process::{Process, free_port};
use tempfile::TempDir;

/// How long one transfer may take. Some seconds are usual; Transmission serves nobody before its ten-second round.
const LIMIT: Duration = Duration::from_secs(180);

/// What the profile needs for gigabytes with Transmission 3.00, which acts on its peers twice a second only: five
/// requests under way, as the original has, bring 160 KiB a second from it. 500 are within its queue.
const FROM_TRANSMISSION: [&str; 2] = ["--set", "requests.backlog=500"];

/// To make up for that it asks for ten seconds' worth at once, which on loopback can be all of it, and waits a minute
/// and a half for each request that a full queue has dropped.
const TO_TRANSMISSION: [&str; 2] = ["--set", "upload.max-queue=65536"];

/// Waits until the tracker knows one peer, complete or not, and no other.
fn wait_for_first(tracker: &mut Opentracker, torrent: &Torrent, complete: bool) {
    let one = Swarm { complete: usize::from(complete), incomplete: usize::from(!complete) };
    tracker.wait_for(torrent.info_hash(), one);
}

/// `client` seeds and `bt-run` downloads.
fn download_from(client: Client, content: fn() -> Arc<Content>) {
    if !client.is_here() {
        return;
    }
    let content = content();
    let dir = TempDir::new().unwrap();
    let (mut tracker, torrent, output) = prepare(&content, dir.path());
    let _seeder = client.seed(&torrent.file, content.folder(), dir.path());
    wait_for_first(&mut tracker, &torrent, true);

    let start = Instant::now();
    let mut leecher = BtRun::new("bt-run", &torrent.file, &output, dir.path()).until_complete();
    if client == Client::Transmission {
        leecher = leecher.with(FROM_TRANSMISSION);
    }
    let mut leecher = leecher.start();
    assert_eq!(leecher.exit_code(LIMIT), 0, "{}", leecher.story());
    eprintln!("from {client:?}: {:?}", start.elapsed());
    content.assert_same(&output);
    let summary = bt_run::summary(&leecher);
    assert_eq!(summary["complete"], true, "{summary}");
    assert_eq!(summary["bytes_have"], torrent.metainfo.layout.total_length(), "{summary}");
    assert_eq!(summary["hash_failures"], 0, "{summary}");
}

/// `bt-run` seeds and `client` downloads.
fn upload_to(client: Client, content: fn() -> Arc<Content>) {
    if !client.is_here() {
        return;
    }
    let content = content();
    let dir = TempDir::new().unwrap();
    let (mut tracker, torrent, output) = prepare(&content, dir.path());
    let mut seeder = BtRun::new("bt-run", &torrent.file, content.folder(), dir.path());
    if client == Client::Transmission {
        seeder = seeder.with(TO_TRANSMISSION);
    }
    // Who comes second learns of the first from the tracker, and connects.
    let (mut leecher, _seeder): (Process, Process);
    let start = Instant::now();
    if client.dials_loopback() {
        _seeder = seeder.start();
        wait_for_first(&mut tracker, &torrent, true);
        leecher = client.download(&torrent.file, &output, dir.path());
    } else {
        leecher = client.download(&torrent.file, &output, dir.path());
        wait_for_first(&mut tracker, &torrent, false);
        _seeder = seeder.start();
    }
    client.finish(&mut leecher, dir.path(), LIMIT);
    eprintln!("to {client:?}: {:?}", start.elapsed());
    content.assert_same_but_for(&output, |length| length == 0 && !client.makes_empty_files());
}

/// A tracker, the torrent that names it, and an empty output folder, all in `dir`.
fn prepare(content: &Content, dir: &Path) -> (Opentracker, Torrent, PathBuf) {
    let port = free_port();
    let torrent = content.torrent(&Opentracker::url(port), "256 KiB", dir.join("x.torrent"));
    let tracker = Opentracker::start(dir, port, torrent.info_hash());
    let output = dir.join("output");
    fs::create_dir(&output).unwrap();
    (tracker, torrent, output)
}

macro_rules! transfers {
    ($($name:ident: $transfer:ident($client:ident, $content:ident);)*) => {$(
        #[test]
        fn $name() {
            $transfer(Client::$client, $content);
        }
    )*};
}

fn tree() -> Arc<Content> {
    Arc::new(Content::tree("baum 木 500", 2))
}

fn gibibyte() -> Arc<Content> {
    Content::gibibyte()
}

// Tests run in the order of their names: those of the large file side by side, so that it is made once.
transfers! {
    gibibyte_from_aria2: download_from(Aria2, gibibyte);
    gibibyte_from_libtorrent: download_from(Libtorrent, gibibyte);
    gibibyte_from_transmission: download_from(Transmission, gibibyte);
    gibibyte_to_aria2: upload_to(Aria2, gibibyte);
    gibibyte_to_libtorrent: upload_to(Libtorrent, gibibyte);
    gibibyte_to_transmission: upload_to(Transmission, gibibyte);
    tree_from_aria2: download_from(Aria2, tree);
    tree_from_libtorrent: download_from(Libtorrent, tree);
    tree_from_transmission: download_from(Transmission, tree);
    tree_to_aria2: upload_to(Aria2, tree);
    tree_to_libtorrent: upload_to(Libtorrent, tree);
    tree_to_transmission: upload_to(Transmission, tree);
}
