//! `--demo`: a swarm of two on this machine, to see the whole work with nothing else at hand.
//!
//! It makes a file of pseudo-random bytes and its torrent, starts a tracker and a seeder on loopback,
//! downloads through the chosen profile over real sockets, and compares what came.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_std::future::timeout;
use async_std::task;
use bt_api::{PieceHash, Rng, TorrentLayout, rng};
use bt_engine::metainfo::{Extras, Metainfo, Rules, create};
use indicatif::HumanBytes;
use sha1::{Digest, Sha1};

use super::Failure;
use super::drive::{Plan, Report, drive};
use super::mini_tracker::MiniTracker;
use super::options::{Options, StopWhen};
use super::progress::describe;
use crate::Profile;
use crate::net::{AddOptions, Session, SessionOptions};

const NAME: &str = "demo.bin";
const LENGTH: u64 = 64 << 20;
const PIECE_LENGTH: u32 = 256 << 10;

/// Any machine does it in seconds; whoever limits the rates of the profile may need more.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// How long the seeder may take until it is announced.
const SEEDER_LIMIT: Duration = Duration::from_secs(30);

/// Runs the demo through `profile`; answers what it shows a person, and the report.
pub(super) async fn run(
    profile: Arc<Profile>,
    options: &Options,
    seed: u64,
) -> Result<(String, Report), Failure> {
    let cannot =
        |what: &'static str| move |error: io::Error| Failure::failed(format!("demo: {what}: {error}"));
    let seeder_profile = Arc::new(seeder_profile(&profile)?);
    let folder = tempfile::tempdir().map_err(cannot("cannot make a folder"))?;
    let (from, to) = (folder.path().join("seeder"), folder.path().join("downloaded"));
    let tracker = MiniTracker::start().await.map_err(cannot("cannot start a tracker"))?;
    let metainfo = {
        let (from, url) = (from.clone(), tracker.url());
        task::spawn_blocking(move || make_torrent(&from, url, seed)).await
    };
    let metainfo = metainfo.map_err(cannot("cannot write the file"))?;

    let loopback = Some((IpAddr::V4(Ipv4Addr::LOCALHOST), 0, 0));
    let session =
        SessionOptions { listen: loopback, seed, events: None, state: None, ..SessionOptions::default() };
    let seeder = Session::start(seeder_profile, SessionOptions { seed: !seed, ..session.clone() }).await;
    let seeder = seeder.map_err(|error| Failure::failed(format!("demo: the seeder: {error}")))?;
    let add = AddOptions { folder: from, ..AddOptions::default() };
    let seeding = seeder.add(metainfo.clone(), add).await;
    let seeding = seeding.map_err(|error| Failure::failed(format!("demo: the seeder: {error}")))?;
    if timeout(SEEDER_LIMIT, tracker.announced()).await.is_err() {
        let why = seeding.progress();
        seeder.stop().await;
        return Err(Failure::failed(format!("demo: the seeder was not announced in time: {why:?}")));
    }

    // A profile whose clients do not speak HTTP is told where the seeder is.
    let by_tracker = profile.trackers().iter().any(|(_, client)| client.schemes().contains(&"http"));
    let peers = if by_tracker { Vec::new() } else { vec![seeder.local_address()] };
    let report = drive(Plan {
        profile: profile.clone(),
        torrents: vec![metainfo.clone()],
        add: AddOptions { folder: to.clone(), peers, ..AddOptions::default() },
        session,
        events: options.events.clone(),
        stop_when: StopWhen::Complete,
        time_limit: Some(TIME_LIMIT),
        on_complete: None,
        quiet: options.quiet,
    })
    .await;
    for warning in seeding.take_warnings() {
        eprintln!("bt-run: demo: the seeder, which has the same policies: {warning}");
    }
    seeder.stop().await;
    let report = report?;
    if !report.summaries[0].complete {
        return Ok((format!("demo: not complete: {}", describe(&report.last[0])), report));
    }
    let path = to.join(NAME);
    let verified = if path.exists() {
        let compared = task::spawn_blocking(move || compare(&path, &metainfo)).await;
        if !compared.map_err(cannot("cannot read what was downloaded"))? {
            return Err(Failure::failed("demo: what was downloaded differs from the original"));
        }
        "read back and compared: identical"
    } else {
        "each piece matched its hash"
    };
    Ok((told(&profile, &report, verified), report))
}

/// The profile's policies, over files and HTTP: a store that keeps nothing has nothing to seed.
fn seeder_profile(profile: &Profile) -> Result<Profile, Failure> {
    let whole: toml::Table = profile.to_toml().parse().expect("the effective profile is TOML");
    let mut tables: toml::Table =
        whole.into_iter().filter(|(name, _)| name == "choke" || name == "piece").collect();
    let of = |value: toml::Value| toml::Table::from_iter([("use".to_owned(), value)]);
    tables.insert("storage".to_owned(), of("files".into()).into());
    tables.insert("tracker".to_owned(), of(vec![toml::Value::from("http")].into()).into());
    let text = toml::to_string(&tables).expect("tables are TOML");
    let loaded = Profile::from_text("demo-seeder", &text, &[]);
    loaded
        .map_err(|error| Failure::failed(format!("demo: it needs the plug-ins `files` and `http`: {error}")))
}

/// Writes the file into `folder` and makes its torrent.
fn make_torrent(folder: &Path, tracker: String, seed: u64) -> io::Result<Metainfo> {
    std::fs::create_dir(folder)?;
    let layout = TorrentLayout::single(NAME, LENGTH, PIECE_LENGTH).expect("the layout is a right one");
    let mut file = File::create(folder.join(NAME))?;
    let mut chance = rng::stream(seed, 0, "demo");
    let mut piece = vec![0; PIECE_LENGTH as usize];
    let mut hashes = Vec::new();
    for _ in 0..layout.piece_count() {
        chance.fill_bytes(&mut piece);
        file.write_all(&piece)?;
        hashes.push(PieceHash(Sha1::digest(&piece).into()));
    }
    let extras = Extras { trackers: vec![vec![tracker]], ..Extras::default() };
    let bytes = create(&layout, &hashes, &extras);
    Ok(Metainfo::parse(&bytes, Rules::Lenient).expect("it is made by the rules"))
}

/// Whether the file at `path` is the one that was seeded.
fn compare(path: &Path, metainfo: &Metainfo) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE_LENGTH as usize];
    for hash in &metainfo.piece_hashes {
        file.read_exact(&mut piece)?;
        if *hash != PieceHash(Sha1::digest(&piece).into()) {
            return Ok(false);
        }
    }
    Ok(file.read(&mut piece)? == 0)
}

/// What happened, and what to try next.
fn told(profile: &Profile, report: &Report, verified: &str) -> String {
    let seconds = report.summaries[0].completed_s.unwrap_or(report.summaries[0].elapsed_s);
    let rate = HumanBytes((LENGTH as f64 / seconds.max(0.001)) as u64);
    let trackers: Vec<String> = profile.trackers().into_iter().map(|(name, _)| name).collect();
    format!(
        "downloaded {} in {seconds:.1} s ({rate}/s) from a seeder on this machine; {verified}
profile {}: choke {}, piece {}, storage {}, tracker {}

try next:
  bt-run --list                                  what else a profile can name
  bt-run --demo --set choke.use=random           another choker, nothing rebuilt
  bt-run --demo --events demo.jsonl              each event of the run, and why
  bt-run --profile modern some.torrent           the real thing",
        HumanBytes(LENGTH),
        profile.name,
        profile.choke().0,
        profile.piece().0,
        profile.storage_name(),
        trackers.join(", "),
    )
}
