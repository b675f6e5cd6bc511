//! The files of a run: `manifest.json`, `summary.json`, `peers.csv`, `series.csv`, `choke_matrix.csv` and, where
//! wanted, `events.jsonl`.
//!
//! Each is written under another name first and renamed once it is whole; the manifest comes last, so where there is
//! one the run is complete. All but the manifest's `machine` is the same for the same scenario and seed, to the byte.

mod recorder;
mod stream;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::measure::{Cut, Measured, PairRow, PeerRow, SeriesRow, Summary};
pub use recorder::{Recorded, Recorder};
pub use stream::{EVENTS, EventStream, Streamed};

/// The name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// The name of the summary.
pub const SUMMARY: &str = "summary.json";
/// The name of the table of peers.
pub const PEERS: &str = "peers.csv";
/// The name of the table of what changes over time.
pub const SERIES: &str = "series.csv";
/// The name of the table of who served whom.
pub const CHOKE_MATRIX: &str = "choke_matrix.csv";

/// The number of this layout of files; a change that breaks readers raises it.
pub const SCHEMA: u32 = 1;

/// What was run: enough to run it again, and to see that the same came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of the files: [`SCHEMA`].
    pub schema: u32,
    /// `live` where real clients ran in real time; nothing where it was simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The scenario.
    pub scenario: ScenarioText,
    /// The seed of every draw.
    pub seed: u64,
    /// What `--set` changed; the scenario's text has it in already.
    pub sets: Vec<String>,
    /// Of a cell of a sweep: SHA-256 over the effective scenario before anything was set, by which one sees that it was
    /// changed between two cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The profile of each class.
    pub profiles: BTreeMap<String, String>,
    /// The versions of this program and of each crate that a plug-in comes from.
    pub versions: BTreeMap<String, String>,
    /// How the run ended: `done`, `limit` or `interrupted`.
    pub ended: String,
    /// When that was, in simulated seconds.
    pub end_s: f64,
    /// How many events there were, and SHA-256 over them as `events.jsonl` has them, where that was wanted.
    pub events: Option<u64>,
    /// See `events`.
    pub events_sha256: Option<String>,
    /// How many inputs the engines were given.
    pub inputs: u64,
    /// What its figures leave out at the start, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Cut>,
    /// Where it was run and how long it took: all that differs from one time to the next.
    #[serde(default)]
    pub machine: Machine,
}

/// A scenario in a [`Manifest`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScenarioText {
    /// Its name.
    pub name: String,
    /// The effective scenario with its profiles and the run's seed, complete: saved to a file and run, it gives this run.
    pub toml: String,
}

/// The part of a [`Manifest`] that is another one each time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// How long the run took, in seconds.
    pub wall_s: f64,
    /// The name of the machine.
    pub host: Option<String>,
    /// Its operating system and processor.
    pub os: String,
    /// See `os`.
    pub arch: String,
    /// How many processors it has.
    pub cores: Option<u64>,
    /// The command line.
    pub command: Vec<String>,
    /// The hash of the program: with another one, another plug-in may have the same version.
    pub program: Option<String>,
}

/// SHA-256 over this program, in hexadecimal, where it can be read.
pub fn program() -> Option<String> {
    static PROGRAM: OnceLock<Option<String>> = OnceLock::new();
    let hash = || {
        let bytes = std::env::current_exe().and_then(fs::read).ok()?;
        Some(sha256(&bytes))
    };
    PROGRAM.get_or_init(hash).clone()
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Removes the event log of an earlier run from `folder`: its manifest is replaced.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_events(folder: &Path) -> Result<(), OutputError> {
    let path = folder.join(EVENTS);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(OutputError::new("removing", &path, error))
        }
        _ => Ok(()),
    }
}

impl Machine {
    /// This one; the run took `wall`.
    pub fn here(wall: Duration) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host.or_else(|| std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok());
        Self {
            wall_s: wall.as_secs_f64(),
            host: host.map(|host| host.trim().to_owned()),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cores: std::thread::available_parallelism().ok().map(|cores| cores.get() as u64),
            command: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            program: program(),
        }
    }
}

/// What the first line of a simulation's event log says of the run. The same everywhere: it is hashed, too.
#[derive(Clone, Debug, Serialize)]
pub struct LogHeader<'a> {
    /// The name of the scenario.
    pub scenario: &'a str,
    /// The effective scenario with its profiles, complete.
    pub scenario_toml: &'a str,
    /// The seed of every draw.
    pub seed: u64,
    /// Versions by crate.
    pub versions: &'a BTreeMap<String, String>,
}

impl Manifest {
    /// What the event log's header is to say.
    pub fn header(&self) -> LogHeader<'_> {
        LogHeader {
            scenario: &self.scenario.name,
            scenario_toml: &self.scenario.toml,
            seed: self.seed,
            versions: &self.versions,
        }
    }

    /// Whether `other` is of a run of the same scenario with the same seed by the same versions.
    pub fn is_of_same_run(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.scenario == other.scenario
            && self.seed == other.seed
            && self.sets == other.sets
            && self.base == other.base
            && self.versions == other.versions
    }
}

/// The files of a run, read back.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFiles {
    /// What was run.
    pub manifest: Manifest,
    /// What came out.
    pub measured: Measured,
}

/// Why a file cannot be written or read; one line.
#[derive(Debug)]
pub struct OutputError {
    tried: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl OutputError {
    pub(crate) fn new(tried: &'static str, path: &Path, source: io::Error) -> Self {
        Self { tried, path: path.to_owned(), source }
    }

    /// What went wrong.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.tried, self.path, self.source)
    }
}

impl std::error::Error for OutputError {}

/// Makes `folder`, and what is above it, where it is not there.
///
/// # Errors
/// When that is not possible.
pub fn prepare(folder: &Path) -> Result<(), OutputError> {
    fs::create_dir_all(folder).map_err(|error| OutputError::new("making the folder", folder, error))
}

/// Writes the files of a run into `folder`, which is made where it is not there.
///
/// # Errors
/// The first that there was; files that are whole by then stay, the manifest is not among them.
pub fn write(folder: &Path, manifest: &Manifest, measured: &Measured) -> Result<(), OutputError> {
    prepare(folder)?;
    // What is there of an earlier run does not go with these.
    remove_manifest(folder)?;
    save_json(&folder.join(SUMMARY), &measured.summary)?;
    save(&folder.join(PEERS), |out| tables::write_peers(out, &measured.peers))?;
    save(&folder.join(SERIES), |out| tables::write_series(out, &measured.series))?;
    save(&folder.join(CHOKE_MATRIX), |out| tables::write_pairs(out, &measured.choke_matrix))?;
    save_json(&folder.join(MANIFEST), manifest)
}

/// Writes the summary of a run again, which was cut elsewhere, and the manifest that goes with it.
///
/// # Errors
/// When one cannot be written; without a manifest the run counts as not there.
pub fn write_summary(folder: &Path, manifest: &Manifest, summary: &Summary) -> Result<(), OutputError> {
    remove_manifest(folder)?;
    save_json(&folder.join(SUMMARY), summary)?;
    save_json(&folder.join(MANIFEST), manifest)
}

fn remove_manifest(folder: &Path) -> Result<(), OutputError> {
    match fs::remove_file(folder.join(MANIFEST)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(OutputError::new("replacing", &folder.join(MANIFEST), error))
        }
        _ => Ok(()),
    }
}

/// Reads the files of a run back.
///
/// # Errors
/// When one is missing or is not what [`write()`] writes; the message says which, and where.
pub fn read(folder: &Path) -> Result<RunFiles, OutputError> {
    let summary: Summary = read_json(&folder.join(SUMMARY))?;
    let peers = read_peers(folder)?;
    let series: Vec<SeriesRow> = read_table(&folder.join(SERIES), tables::read_series)?;
    let choke_matrix: Vec<PairRow> = read_table(&folder.join(CHOKE_MATRIX), tables::read_pairs)?;
    let manifest = read_json(&folder.join(MANIFEST))?;
    Ok(RunFiles { manifest, measured: Measured { summary, peers, series, choke_matrix } })
}

/// Reads the table of peers of a run back.
///
/// # Errors
/// When it is missing or is not what [`write()`] writes; the message says where.
pub fn read_peers(folder: &Path) -> Result<Vec<PeerRow>, OutputError> {
    read_table(&folder.join(PEERS), tables::read_peers)
}

/// Writes `value` to `path` as JSON for people, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn save_json(path: &Path, value: &impl Serialize) -> Result<(), OutputError> {
    save(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// Reads JSON from `path`.
///
/// # Errors
/// When it cannot be read, or is of another shape.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, OutputError> {
    let failed = |error| OutputError::new("reading", path, error);
    let text = fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| failed(io::Error::from(error)))
}

fn read_table<T>(path: &Path, read: impl FnOnce(File) -> io::Result<Vec<T>>) -> Result<Vec<T>, OutputError> {
    File::open(path).and_then(read).map_err(|error| OutputError::new("reading", path, error))
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn save(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<(), OutputError> {
    let mut part = Part::create(path.to_owned())?;
    part.write(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()
    })?;
    part.finish()
}

/// A file that does not have its name yet; dropped before it does, it is removed.
struct Part {
    path: PathBuf,
    part: PathBuf,
    /// Gone once the file has its name.
    file: Option<File>,
}

impl Part {
    fn create(path: PathBuf) -> Result<Self, OutputError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        match File::create(&part) {
            Ok(file) => Ok(Self { path, part, file: Some(file) }),
            Err(error) => Err(OutputError::new("writing", &path, error)),
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), OutputError> {
        let written = self.file.as_mut().map_or(Ok(()), write);
        written.map_err(|error| OutputError::new("writing", &self.path, error))
    }

    fn finish(mut self) -> Result<(), OutputError> {
        match fs::rename(&self.part, &self.path) {
            Ok(()) => {
                self.file = None;
                Ok(())
            }
            Err(error) => Err(OutputError::new("writing", &self.path, error)),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What is left behind is in nobody's way, and the error that led here is told.
            let _ = fs::remove_file(&self.part);
        }
    }
}
