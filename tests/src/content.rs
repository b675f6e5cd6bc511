//! Files and folders to transfer: the same bytes for the same seed, on every machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bt_api::InfoHash;
use bt_engine::metainfo::{Metainfo, Rules};
use tempfile::TempDir;

use crate::binaries;

/// How much is written or compared at a time.
const CHUNK: usize = 1 << 20;

/// Content in a folder of its own, which goes with the last user.
pub struct Content {
    dir: TempDir,
    name: String,
}

impl Content {
    /// One file of `length` bytes.
    pub fn file(name: &str, length: u64, seed: u64) -> Self {
        let content = Self::empty(name);
        write_file(&content.path(), length, &mut SplitMix(seed));
        content
    }

    /// A folder of 500 files, 30 MiB in all, with what makes folders hard: files without bytes, pieces that hold
    /// many files, files that hold many pieces, folders in folders, names from several scripts.
    pub fn tree(name: &str, seed: u64) -> Self {
        let content = Self::empty(name);
        let mut chance = SplitMix(seed);
        for number in 0..500 {
            let folder = match number % 5 {
                0 => String::new(),
                1 => "disc 1/".to_owned(),
                2 => format!("disc 1/küche/{}/", number % 7),
                3 => "日本語/のフォルダ/".to_owned(),
                _ => format!("a/b/c/d/e/f/{}/", number / 50),
            };
            let file = match number % 4 {
                0 => format!("{number:03}.bin"),
                1 => format!("{number:03} Überraschung.txt"),
                2 => format!("{number:03} файл"),
                _ => format!("{number:03} 🎵 &'#%+.ogg"),
            };
            let length = match number % 10 {
                0 => 0,
                9 => 300_000 + chance.next() % 630_000,
                _ => 1 + chance.next() % 3000,
            };
            let path = content.path().join(folder).join(file);
            fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder is made");
            write_file(&path, length, &mut chance);
        }
        content
    }

    /// A file of 1 GiB: made once for all tests that use it at the same time, since that takes seconds.
    pub fn gibibyte() -> Arc<Self> {
        static SHARED: Mutex<Weak<Content>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let content = Arc::new(Self::file("gibibyte.bin", 1 << 30, 1));
            *shared = Arc::downgrade(&content);
            content
        })
    }

    fn empty(name: &str) -> Self {
        Self { dir: TempDir::new().expect("a folder for the content"), name: name.to_owned() }
    }

    /// The output folder of somebody who has everything.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The file or folder itself.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// Makes a torrent of it with `bt-torrent create`, at `to`.
    pub fn torrent(&self, tracker: &str, piece_length: &str, to: PathBuf) -> Torrent {
        let mut create = binaries::bt_torrent();
        create.arg("create").arg(self.path()).args(["--tracker", tracker, "--piece-length", piece_length]);
        let output = create.arg("-o").arg(&to).output().expect("bt-torrent starts");
        assert!(output.status.success(), "bt-torrent create: {}", String::from_utf8_lossy(&output.stderr));
        let bytes = fs::read(&to).expect("the torrent file is there");
        let metainfo = Metainfo::parse(&bytes, Rules::Strict).expect("it keeps the strict rules");
        Torrent { file: to, metainfo }
    }

    /// Checks that `folder` holds the same files with the same bytes, and nothing else.
    pub fn assert_same(&self, folder: &Path) {
        self.assert_same_but_for(folder, |_| false);
    }

    /// The same, where files that `may_miss` names by their length may be absent.
    pub fn assert_same_but_for(&self, folder: &Path, may_miss: impl Fn(u64) -> bool) {
        let (mut ours, theirs) = (files(&self.path()), files(&folder.join(&self.name)));
        ours.retain(|path, length| theirs.contains_key(path) || !may_miss(*length));
        assert_eq!(ours, theirs, "the files and their lengths");
        for path in ours.keys() {
            let (one, other) = (self.path().join(path), folder.join(&self.name).join(path));
            // A path joined with an empty one ends in a slash, which no file does.
            let (one, other) = if path.as_os_str().is_empty() {
                (self.path(), folder.join(&self.name))
            } else {
                (one, other)
            };
            assert!(same_bytes(&one, &other), "{} differs", other.display());
        }
    }
}

/// A torrent file and what it says.
pub struct Torrent {
    /// Where it lies.
    pub file: PathBuf,
    /// What it says.
    pub metainfo: Metainfo,
}

impl Torrent {
    /// Which torrent it is.
    pub fn info_hash(&self) -> InfoHash {
        self.metainfo.info_hash
    }
}

/// The files below `path`, relative to it, with their lengths; a file is itself, at the empty path.
fn files(path: &Path) -> BTreeMap<PathBuf, u64> {
    fn walk(root: &Path, path: &Path, found: &mut BTreeMap<PathBuf, u64>) {
        let metadata =
            fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if metadata.is_dir() {
            for entry in fs::read_dir(path).expect("the folder can be read") {
                walk(root, &entry.expect("the folder can be read").path(), found);
            }
        } else {
            let relative = path.strip_prefix(root).expect("it is below the root").to_owned();
            found.insert(relative, metadata.len());
        }
    }
    let mut found = BTreeMap::new();
    walk(path, path, &mut found);
    found
}

fn same_bytes(one: &Path, other: &Path) -> bool {
    let mut files = [one, other].map(|path| File::open(path).expect("the file can be read"));
    let mut buffers = [vec![0; CHUNK], vec![0; CHUNK]];
    loop {
        let mut lengths = [0; 2];
        for at in 0..2 {
            let mut part = (&mut files[at]).take(CHUNK as u64);
            buffers[at].clear();
            lengths[at] = part.read_to_end(&mut buffers[at]).expect("the file can be read");
        }
        if buffers[0] != buffers[1] {
            return false;
        }
        if lengths[0] == 0 {
            return true;
        }
    }
}

fn write_file(path: &Path, length: u64, chance: &mut SplitMix) {
    let mut file = File::create_new(path).expect("the file is made");
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut left = length;
    while left > 0 {
        chunk.clear();
        while chunk.len() < CHUNK {
            chunk.extend_from_slice(&chance.next().to_le_bytes());
        }
        let now = left.min(CHUNK as u64);
        file.write_all(&chunk[..now as usize]).expect("the disk has room");
        left -= now;
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): noise that does not compress, at memory speed.
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "an iterator without end says less")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_content_and_a_change_is_seen() {
        let content = Content::file("x", 3_000_001, 7);
        let other = Content::file("x", 3_000_001, 7);
        content.assert_same(other.folder());
        let mut bytes = fs::read(other.path()).unwrap();
        bytes[3_000_000] ^= 1;
        fs::write(other.path(), bytes).unwrap();
        assert!(!same_bytes(&content.path(), &other.path()));
    }

    #[test]
    fn the_tree_is_as_it_says() {
        let content = Content::tree("tree", 1);
        let files = files(&content.path());
        assert_eq!(files.len(), 500);
        assert_eq!(files.values().filter(|length| **length == 0).count(), 50);
        let total: u64 = files.values().sum();
        assert!((28 << 20..34 << 20).contains(&total), "{total}");
    }

    #[test]
    #[should_panic(expected = "the files and their lengths")]
    fn a_file_too_many_is_seen() {
        let (content, other) = (Content::tree("tree", 1), Content::tree("tree", 1));
        fs::write(other.path().join("more"), "").unwrap();
        content.assert_same(other.folder());
    }
}
