//! A torrent of one file, who has it, and who downloads it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::bt_run::BtRun;
use crate::content::{Content, Torrent};
use crate::probe;
use crate::process::{Process, SOON};

/// The length of the torrent's pieces in bytes.
pub const PIECE: u64 = 256 << 10;

/// A torrent of one file, and folders for one who downloads it.
pub struct Place {
    /// The file as it should be, in the folder of who has it.
    pub content: Content,
    /// The torrent.
    pub torrent: Torrent,
    /// The output folder of who downloads it.
    pub output: PathBuf,
    dir: TempDir,
}

impl Place {
    /// A torrent of `length` bytes, and an output folder without anything in it.
    pub fn new(length: u64) -> Self {
        Self::with_pieces(length, "256 KiB")
    }

    /// The same, in pieces of another length than [`PIECE`].
    pub fn with_pieces(length: u64, piece: &str) -> Self {
        let dir = TempDir::new().expect("a folder for the test");
        let content = Content::file("file.bin", length, 3);
        // Nobody listens there: peers are named on the command line.
        let torrent = content.torrent("http://127.0.0.1:9/announce", piece, dir.path().join("x.torrent"));
        let output = dir.path().join("output");
        fs::create_dir(&output).expect("the folder is ours");
        Self { content, torrent, output, dir }
    }

    /// The folder of everything else: logs, events, resume files.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Somebody who has everything and gives it slowly enough to be interrupted, from the first byte on: the
    /// original's limiter lets twenty seconds' worth through at first.
    pub fn seeder(&self, limit: &str) -> (Process, SocketAddr) {
        let cap = ["--set", "upload.limiter=bucket", "--set", &format!("net.upload-limit={limit}")];
        self.run("seeder", self.content.folder()).with(cap).start_and_wait(&self.torrent)
    }

    /// The one who downloads: the same one in every run.
    pub fn leecher(&self) -> BtRun {
        self.run("leecher", &self.output)
    }

    /// A run called `name`, with its files in `output`.
    pub fn run(&self, name: &str, output: &Path) -> BtRun {
        BtRun::new(name, &self.torrent.file, output, self.folder())
    }

    /// The file as who downloads it has it.
    pub fn target(&self) -> PathBuf {
        self.output.join("file.bin")
    }

    /// Gives everything to who downloads it.
    pub fn copy_all(&self) {
        fs::copy(self.content.path(), self.target()).expect("the folder is ours");
    }

    /// The resume file of who downloads it.
    pub fn resume_file(&self) -> PathBuf {
        self.folder().join("leecher.state").join(format!("{}.resume", self.torrent.info_hash()))
    }

    /// Starts one who has everything, and waits until it shows every piece.
    pub fn start_complete(&self, arguments: &[&str]) -> (Process, SocketAddr) {
        let (mut process, addr) =
            self.leecher().with(arguments.iter().copied()).start_and_wait(&self.torrent);
        let pieces = self.torrent.metainfo.layout.piece_count();
        process.until("every piece is shown", SOON, || {
            let bits = probe::bitfield(addr, self.torrent.info_hash()).ok()?;
            (bits.iter().map(|byte| byte.count_ones()).sum::<u32>() == pieces).then_some(())
        });
        (process, addr)
    }
}

/// How many bytes of a sparse file are there.
pub fn written(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.blocks() * 512)
}

/// Waits until so many bytes of a sparse file are there.
///
/// # Panics
/// When the process ends first, or nothing comes for long.
pub fn wait_until_written(process: &mut Process, path: &Path, bytes: u64) {
    process.until(&format!("{bytes} bytes are written"), 2 * SOON, || (written(path) >= bytes).then_some(()));
}

/// How many bytes a process has asked the system to read so far.
pub fn bytes_read(process: &Process) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", process.id())).expect("it runs");
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("the system counts");
    read.parse().expect("a number")
}

/// Changes one byte of a file.
pub fn flip_byte(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the byte is there");
    file.write_all_at(&[!byte[0]], at).expect("the file is ours");
}
