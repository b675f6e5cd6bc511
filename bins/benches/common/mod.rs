//! What the benchmarks share: processes and what they use, files to transfer. Linux only, since it reads `/proc`.
#![allow(dead_code, unreachable_pub, reason = "each benchmark has it as a module and uses a part of it")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long one process may take.
const LIMIT: Duration = Duration::from_secs(1800);
/// How often a process is looked at.
const SAMPLE: Duration = Duration::from_millis(20);

/// What a process used.
#[derive(Clone, Copy, Default)]
pub struct Used {
    /// Seconds since it started.
    pub wall: f64,
    /// Seconds of all cores in the program itself.
    pub user: f64,
    /// Seconds of all cores in the system on its behalf: they depend on the state of the machine (ADR 6).
    pub system: f64,
    /// The most memory that it had at a time.
    pub peak_kib: u64,
    /// Bytes that it asked the system to read.
    pub read: u64,
}

impl Used {
    /// Seconds of all cores.
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// A process that ends with this value, and what it used so far.
pub struct Process {
    pub child: Child,
    began: Instant,
    pub used: Used,
}

impl Process {
    /// Starts it, unheard.
    pub fn start(command: &mut Command) -> Self {
        Self::start_heard(command.stderr(Stdio::null()))
    }

    /// Starts it with its standard error as it is set.
    pub fn start_heard(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, began: Instant::now(), used: Used::default() }
    }

    /// Looks at `/proc`; a process that is gone keeps the last figures.
    pub fn sample(&mut self) {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let Ok(stat) = fs::read_to_string(folder.join("stat")) else { return };
        // Fields after the name in brackets: utime and stime are the 12th and 13th, in hundredths.
        let Some((_, fields)) = stat.rsplit_once(')') else { return };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        let (user, system) = (ticks(11) / 100.0, ticks(12) / 100.0);
        let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|line| line.split_whitespace().next()?.parse().ok());
        let io = fs::read_to_string(folder.join("io")).unwrap_or_default();
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok());
        if let (Some(peak_kib), Some(read)) = (peak, read) {
            self.used = Used { wall: self.began.elapsed().as_secs_f64(), user, system, peak_kib, read };
        }
    }

    /// Waits until it ends by itself, and looks at `other` meanwhile.
    pub fn wait(&mut self, mut other: Option<&mut Process>) -> Used {
        while self.child.try_wait().expect("the child is ours").is_none() {
            assert!(self.began.elapsed() < LIMIT, "a transfer took longer than {LIMIT:?}");
            self.sample();
            if let Some(other) = &mut other {
                other.sample();
            }
            std::thread::sleep(SAMPLE);
        }
        self.used
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of `mib` MiB that does not compress or repeat, from a linear congruential generator.
pub fn make_file(path: &Path, mib: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("the folder is ours"));
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut block = vec![0; 1 << 20];
    for _ in 0..mib {
        for word in block.chunks_exact_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            word.copy_from_slice(&(state ^ state >> 29).to_le_bytes());
        }
        file.write_all(&block).expect("there is room");
    }
    file.flush().expect("there is room");
}

/// The median of a figure.
pub fn median(turns: &[Used], figure: fn(&Used) -> f64) -> f64 {
    let mut figures: Vec<f64> = turns.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
