//! Downloads and seeds 2 GiB over loopback, beside aria2 where it is installed, and checks 2 GiB on disk.
//!
//! `cargo bench -p bt-bins --bench loopback [-- MIB [PROFILE]]`. For each client: wall seconds, CPU seconds per
//! GiB (of that process alone, and how many of them in the system) and peak memory, each the median of three turns
//! that the clients take one after the other. The other end is the same for both: `bt-run` with the profile
//! `modern`. Linux only, since it reads `/proc`.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::{Process, Used, make_file, median};

const BT_RUN: &str = env!("CARGO_BIN_EXE_bt-run");
const BT_TORRENT: &str = env!("CARGO_BIN_EXE_bt-torrent");

/// How often each client has its turn.
const TURNS: usize = 3;

/// A tracker that tells each client of all others that announced themselves; it serves until the program ends.
fn tracker() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let known: Arc<Mutex<BTreeMap<u16, ()>>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let value = |key: &str| {
                let (_, rest) = request.split_once(&format!("{key}="))?;
                Some(rest.split(['&', ' ']).next().unwrap_or(rest).to_owned())
            };
            let own: u16 = value("port").and_then(|port| port.parse().ok()).unwrap_or(0);
            let mut known = known.lock().expect("nobody panics with it");
            if value("event").as_deref() == Some("stopped") {
                known.remove(&own);
            } else {
                known.insert(own, ());
            }
            let others = known.keys().filter(|port| **port != own);
            let peers: Vec<u8> =
                others.flat_map(|port| [&[127, 0, 0, 1][..], &port.to_be_bytes()].concat()).collect();
            let mut body = format!("d8:intervali60e5:peers{}:", peers.len()).into_bytes();
            body.extend(peers);
            body.push(b'e');
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // A client that hung up is its own business.
            let _ = stream.write_all(&[head.into_bytes(), body].concat());
        }
    });
    port
}

struct Bench {
    work: PathBuf,
    source: PathBuf,
    seed_state: PathBuf,
    torrent: PathBuf,
    profile: String,
    /// Bytes of the torrent.
    length: u64,
    next: u32,
}

impl Bench {
    fn folder(&mut self, name: &str) -> PathBuf {
        self.next += 1;
        let folder = self.work.join(format!("{name}-{}", self.next));
        fs::create_dir_all(&folder).expect("the folder is ours");
        folder
    }

    fn bt_run(&self, profile: &str, folder: &Path, state: &Path, stop: &str) -> Process {
        Process::start(
            Command::new(BT_RUN).args(["--profile", profile, "--quiet", "--stop-when", stop]).args([
                "--listen".as_ref(),
                "127.0.0.1:0".as_ref(),
                "--state".as_ref(),
                state.as_os_str(),
                "-o".as_ref(),
                folder.as_os_str(),
                self.torrent.as_os_str(),
            ]),
        )
    }

    fn aria2(&self, folder: &Path, seed: bool) -> Process {
        let stop: &[&str] =
            if seed { &["--seed-ratio=0.0", "--bt-seed-unverified=true"] } else { &["--seed-time=0"] };
        let quiet =
            ["--enable-dht=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--quiet"];
        let port = if seed { "--listen-port=51413" } else { "--listen-port=51414" };
        Process::start(
            Command::new("aria2c")
                .args(quiet)
                .args(stop)
                .args([port, "--file-allocation=none", "--dir"])
                .args([folder, &self.torrent]),
        )
    }

    /// A seeder of ours gives everything to `client`, which is measured.
    fn download(&mut self, client: &str) -> Used {
        let (folder, state) = (self.folder("download"), self.folder("state"));
        let _seed = self.bt_run("modern", &self.source, &self.seed_state, "never");
        let mut leecher = match client {
            "aria2" => self.aria2(&folder, false),
            _ => self.bt_run(&self.profile, &folder, &state, "complete"),
        };
        let used = leecher.wait(None);
        let length = fs::metadata(folder.join("data")).map_or(0, |data| data.len());
        assert_eq!(length, self.length, "{client} has downloaded everything");
        fs::remove_dir_all(&folder).expect("the folder is ours");
        used
    }

    /// `client`, which is measured, gives everything to a leecher of ours.
    fn seed(&mut self, client: &str) -> Used {
        let (folder, state) = (self.folder("copy"), self.folder("state"));
        let mut seed = match client {
            "aria2" => self.aria2(&self.source, true),
            _ => self.bt_run(&self.profile, &self.source, &self.seed_state, "never"),
        };
        let mut leecher = self.bt_run("modern", &folder, &state, "complete");
        let wall = leecher.wait(Some(&mut seed)).wall;
        seed.sample();
        fs::remove_dir_all(&folder).expect("the folder is ours");
        Used { wall, ..seed.used }
    }

    /// Lets the clients take turns, and prints the median of each figure.
    fn compare(&mut self, what: &str, clients: &[&str], run: fn(&mut Self, &str) -> Used) {
        let mut turns = vec![Vec::new(); clients.len()];
        for _ in 0..TURNS {
            for (client, turns) in clients.iter().zip(&mut turns) {
                turns.push(run(self, client));
            }
        }
        let gib = self.length as f64 / f64::from(1 << 30);
        let mut ours = None;
        for (client, turns) in clients.iter().zip(&turns) {
            let cpu = median(turns, Used::cpu) / gib;
            let ours = *ours.get_or_insert(cpu);
            println!(
                "{what:<9} {client:<8} {:>7.2} s wall  {cpu:>6.2} CPU s/GiB ({:.2} in the system)  {:>7.1} MiB peak  (bt-run is {:.2} of it in CPU)",
                median(turns, |used| used.wall),
                median(turns, |used| used.system) / gib,
                median(turns, |used| used.peak_kib as f64 / 1024.0),
                ours / cpu,
            );
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let mib: u64 =
        words.first().map_or(2048, |mib| mib.parse().expect("the first argument is a size in MiB"));
    let profile = words.get(1).cloned().unwrap_or_else(|| "modern".to_owned());
    let work = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("loopback");
    // What an earlier run left is of no use.
    let _ = fs::remove_dir_all(&work);
    let source = work.join("source");
    fs::create_dir_all(&source).expect("the folder is ours");
    make_file(&source.join("data"), mib);
    let port = tracker();
    let torrent = work.join("data.torrent");
    let made = Command::new(BT_TORRENT)
        .args(["create".as_ref(), source.join("data").as_os_str(), "--tracker".as_ref()])
        .arg(format!("http://127.0.0.1:{port}/announce"))
        .args(["--piece-length".as_ref(), "1 MiB".as_ref(), "-o".as_ref(), torrent.as_os_str()])
        .status();
    assert!(made.is_ok_and(|status| status.success()), "bt-torrent create works");
    let seed_state = work.join("seed-state");
    let mut bench = Bench { work, source, seed_state, torrent, profile, length: mib << 20, next: 0 };

    let began = Instant::now();
    let mut verify =
        Process::start(Command::new(BT_TORRENT).arg("verify").arg(&bench.torrent).arg(&bench.source));
    let used = verify.wait(None);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wall = began.elapsed().as_secs_f64();
    println!(
        "verify    bt-torrent {wall:.2} s wall  {:.1} of {cores} cores busy  {} MiB read",
        used.cpu() / wall,
        used.read >> 20
    );

    let aria2 = Command::new("aria2c").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !aria2 {
        println!("aria2 is not installed: bt-run alone is measured");
    }
    // The hash check of the source is done once, and remembered.
    let status = bench.bt_run("modern", &bench.source, &bench.seed_state, "complete").child.wait();
    assert!(status.is_ok_and(|status| status.success()), "the source is complete");

    let clients: &[&str] = if aria2 { &["bt-run", "aria2"] } else { &["bt-run"] };
    // Pages that the machine gets from its host cost fifteen times as much to fill as those that it has: without
    // this, whoever goes first pays for all. It may give them back between turns: see ADR 6.
    bench.download("bt-run");
    bench.compare("download", clients, Bench::download);
    bench.compare("seed", clients, Bench::seed);
    fs::remove_dir_all(&bench.work).expect("the folder is ours");
}
