//! Starts again with a finished torrent of 4 GiB: with its resume file, and without it.
//!
//! `cargo bench -p bt-bins --bench restart [-- MIB [PROFILE]]`. For each: seconds until everything is known to be
//! there, bytes that the process read, cores that were busy, and peak memory, each the median of three turns. The
//! check is measured with the data in the page cache, where the hash is what it waits for, and without, where it
//! is the disk.

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use common::{Process, Used, make_file, median};
use rustix::fs::{Advice, fadvise};

const BT_RUN: &str = env!("CARGO_BIN_EXE_bt-run");
const BT_TORRENT: &str = env!("CARGO_BIN_EXE_bt-torrent");

/// How often each start is made.
const TURNS: usize = 3;

/// What `bt-run` says when it has everything.
const DONE: &str = "everything is there";

struct Bench {
    work: PathBuf,
    profile: String,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// Starts and waits until everything is there and the resume file is written.
    fn start(&self) -> Used {
        let mut command = Command::new(BT_RUN);
        command.args(["--profile", &self.profile, "--listen", "127.0.0.1:0", "--state"]);
        command.arg(self.path("state")).arg("-o").arg(&self.work).arg(self.path("data.torrent"));
        let mut process = Process::start_heard(command.stderr(Stdio::piped()));
        let errors = BufReader::new(process.child.stderr.take().expect("it is a pipe"));
        let heard = errors.lines().map_while(Result::ok).find(|line| line.contains(DONE));
        assert!(heard.is_some(), "it ended before everything was there");
        process.sample();
        process.used
    }

    fn forget(&self) {
        fs::remove_dir_all(self.path("state")).expect("it was made");
    }

    /// Takes the data out of the page cache.
    fn cool(&self) {
        let file = File::open(self.path("data")).expect("it was made");
        file.sync_all().expect("the disk works");
        fadvise(&file, 0, None, Advice::DontNeed).expect("the system takes the advice");
    }

    fn measure(&self, what: &str, before: impl Fn(&Self)) {
        let turns: Vec<Used> = (0..TURNS)
            .map(|_| {
                before(self);
                self.start()
            })
            .collect();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        println!(
            "{what:<34} {:>7.2} s  {:>8.1} MiB read  {:>4.2} of {cores} cores busy  {:>6.1} MiB peak",
            median(&turns, |used| used.wall),
            median(&turns, |used| used.read as f64 / f64::from(1 << 20)),
            median(&turns, |used| used.cpu() / used.wall),
            median(&turns, |used| used.peak_kib as f64 / 1024.0),
        );
    }
}

fn make_torrent(work: &Path) {
    let mut create = Command::new(BT_TORRENT);
    create.arg("create").arg(work.join("data")).args(["--tracker", "http://127.0.0.1:9/announce"]);
    create.args(["--piece-length", "1 MiB", "-o"]).arg(work.join("data.torrent"));
    Process::start(&mut create).wait(None);
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let mib: u64 =
        words.first().map_or(4096, |mib| mib.parse().expect("the first argument is a size in MiB"));
    let profile = words.get(1).cloned().unwrap_or_else(|| "mainline".to_owned());
    let work = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("restart");
    // What an earlier run left is of no use.
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).expect("the folder is ours");
    make_file(&work.join("data"), mib);
    make_torrent(&work);
    let bench = Bench { work, profile };

    println!("{mib} MiB in pieces of 1 MiB, profile {}", bench.profile);
    bench.start();
    bench.measure("no resume file, data in memory", Bench::forget);
    bench.measure("no resume file, data on disk", |bench| {
        bench.forget();
        bench.cool();
    });
    bench.measure("resume file, data on disk", Bench::cool);
    fs::remove_dir_all(&bench.work).expect("the folder is ours");
}
