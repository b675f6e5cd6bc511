//! Hashes the pieces of files on a disk, on all cores.
//!
//! Each worker takes a run of pieces that lie side by side, reads it front to back with a buffer of its own
//! that stays in its core's cache, and takes the next run. So memory does not depend on the torrent, but for
//! the hashes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fmt, thread};

use bt_api::{PieceHash, PieceIndex, TorrentLayout};
use sha1::{Digest, Sha1};

/// What one read asks for: large enough that calls do not count, small enough for a core's own cache.
const READ_BYTES: usize = 256 << 10;

/// About what a worker takes at a time: long enough to read in one direction, short enough that the workers
/// end together.
const RUN_BYTES: u32 = 8 << 20;

/// The most workers: more would only fight for the disk.
const MAX_WORKERS: usize = 64;

/// The hash of each piece of `layout` as its files lie below `folder`; `None` where bytes are not there. Calls
/// `progress` with the bytes that were done since it was last called, from any thread.
///
/// # Errors
/// When a file is there but cannot be read.
pub(super) fn hash_pieces(
    layout: &TorrentLayout,
    folder: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Option<PieceHash>>, ReadError> {
    let pieces = layout.piece_count();
    let run = (RUN_BYTES / layout.nominal_piece_length()).max(1);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    let workers = workers.min(pieces.div_ceil(run) as usize);
    let next = AtomicU32::new(0);
    let hashes = Mutex::new(vec![None; pieces as usize]);
    let work = || -> Result<(), ReadError> {
        let mut reader = Reader { layout, folder, file: None, buffer: vec![0; READ_BYTES] };
        loop {
            // At most one overshoot a worker, so far from 2^32: there are no more than 2^21 pieces.
            let first = next.fetch_add(run, Ordering::Relaxed);
            if first >= pieces {
                return Ok(());
            }
            let range = first..(first + run).min(pieces);
            let done = reader.hash_run(range.clone(), progress).inspect_err(|_| {
                next.store(pieces, Ordering::Relaxed);
            })?;
            let mut hashes = hashes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            hashes[range.start as usize..range.end as usize].copy_from_slice(&done);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
        results.fold(Ok(()), Result::and)
    })?;
    Ok(hashes.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// A file that is there but cannot be read.
#[derive(Debug)]
pub(super) struct ReadError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.path.display(), self.source)
    }
}

struct Reader<'a> {
    layout: &'a TorrentLayout,
    folder: &'a Path,
    /// The file that was read last; `None` in it if that is not there.
    file: Option<(usize, Option<File>)>,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// Hashes pieces that lie side by side.
    fn hash_run(
        &mut self,
        run: Range<u32>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Option<PieceHash>>, ReadError> {
        let layout = self.layout;
        let lengths = run.clone().map(|piece| layout.piece_length(PieceIndex(piece)));
        let mut splitter = Splitter::new(lengths.collect());
        // A run is one piece, or as many as make no more than RUN_BYTES.
        let length: u32 = splitter.lengths.iter().sum();
        for span in layout.spans(PieceIndex(run.start), 0, length) {
            let mut left = span.length;
            if span.pad {
                self.buffer.fill(0);
            } else {
                self.open(span.file, span.offset)?;
            }
            while left > 0 {
                let wanted = &mut self.buffer[..READ_BYTES.min(left as usize)];
                let read = match &mut self.file {
                    _ if span.pad => wanted.len(),
                    Some((_, Some(file))) => match file.read(wanted) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        read => read.map_err(|source| self.error(span.file, source))?,
                    },
                    _ => 0,
                };
                if read == 0 {
                    splitter.skip(left);
                    progress(u64::from(left));
                    break;
                }
                splitter.feed(&self.buffer[..read]);
                progress(read as u64);
                left -= read as u32;
            }
        }
        Ok(splitter.hashes)
    }

    /// Makes `self.file` the file with this index, at `offset`.
    fn open(&mut self, index: usize, offset: u64) -> Result<(), ReadError> {
        if self.file.as_ref().is_none_or(|(open, _)| *open != index) {
            let path = self.layout.files()[index].path_in(self.folder);
            let file = open_file(&path).map_err(|source| self.error(index, source))?;
            self.file = Some((index, file));
        }
        if let Some((_, Some(file))) = &mut self.file {
            file.seek(SeekFrom::Start(offset)).map_err(|source| self.error(index, source))?;
        }
        Ok(())
    }

    fn error(&self, file: usize, source: io::Error) -> ReadError {
        ReadError { path: self.layout.files()[file].path_in(self.folder), source }
    }
}

/// The file at `path`, to be read; `None` if there is none.
fn open_file(path: &Path) -> io::Result<Option<File>> {
    let is_missing =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    // Asked before it is opened: opening a pipe would wait for its writer.
    match std::fs::metadata(path).and_then(|metadata| match metadata.is_file() {
        true => File::open(path),
        false => Err(io::Error::other("it is not a regular file")),
    }) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Cuts a stream of bytes into pieces and hashes each.
struct Splitter {
    lengths: Vec<u32>,
    hashes: Vec<Option<PieceHash>>,
    sha1: Sha1,
    /// Bytes of the current piece that were fed or skipped.
    done: u32,
    /// Whether bytes of the current piece were skipped.
    skipped: bool,
}

impl Splitter {
    fn new(lengths: Vec<u32>) -> Self {
        let hashes = Vec::with_capacity(lengths.len());
        Self { lengths, hashes, sha1: Sha1::new(), done: 0, skipped: false }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.left() as usize));
            if !self.skipped {
                self.sha1.update(now);
            }
            self.advance(now.len() as u32);
            bytes = later;
        }
    }

    /// Goes on as if `length` bytes had come that are not there.
    fn skip(&mut self, mut length: u32) {
        while length > 0 {
            let now = length.min(self.left());
            self.skipped = true;
            self.advance(now);
            length -= now;
        }
    }

    fn left(&self) -> u32 {
        self.lengths[self.hashes.len()] - self.done
    }

    fn advance(&mut self, length: u32) {
        self.done += length;
        if self.left() == 0 {
            let hash = PieceHash(self.sha1.finalize_reset().into());
            self.hashes.push((!self.skipped).then_some(hash));
            self.done = 0;
            self.skipped = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bt_api::NewFile;

    use super::*;

    #[test]
    fn pieces_are_hashed_across_files_pads_and_gaps() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, length, pad| NewFile { path: vec![name.into()], length, pad };
        // One file is longer than a read and than a run; one is short by a byte, one is missing.
        let long: Vec<u8> = (0..RUN_BYTES as usize + READ_BYTES + 5).map(|i| (i % 251) as u8).collect();
        let files = vec![
            file("long", long.len() as u64, false),
            file("pad", 3, true),
            file("empty", 0, false),
            file("short", 10_000, false),
            file("gone", 20_000, false),
            file("end", 9_000, false),
        ];
        let layout = TorrentLayout::several("t", files, 4096).unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join("t").join(name), bytes).unwrap();
        fs::create_dir(folder.path().join("t")).unwrap();
        write("long", &long);
        write("short", &[1; 9_999]);
        write("end", &[2; 9_500]);
        let done = std::sync::atomic::AtomicU64::new(0);
        let progress = |bytes| {
            done.fetch_add(bytes, Ordering::Relaxed);
        };
        let hashes = hash_pieces(&layout, folder.path(), &progress).unwrap();
        assert_eq!(done.into_inner(), layout.total_length());

        let mut stream = [&long[..], &[0; 3], &[1; 10_000]].concat();
        let gap = stream.len() - 1..stream.len() + 20_000;
        stream.extend([[0; 20_000].as_slice(), &[2; 9_000]].concat());
        for (i, (piece, hash)) in stream.chunks(4096).zip(&hashes).enumerate() {
            let (start, end) = (i * 4096, i * 4096 + piece.len());
            let whole = end <= gap.start || start >= gap.end;
            assert_eq!(*hash, whole.then(|| PieceHash(Sha1::digest(piece).into())), "piece {i}");
        }
        assert_eq!(hashes.len(), stream.len().div_ceil(4096));
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("t")).unwrap();
        let layout = TorrentLayout::single("t", 1, 1).unwrap();
        let error = hash_pieces(&layout, folder.path(), &|_| {}).unwrap_err();
        assert!(error.to_string().ends_with("t: it is not a regular file"), "{error}");
    }
}
