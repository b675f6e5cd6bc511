//! The files of a torrent on the disk: what the stores [`files`](crate::files) and
//! [`compact`](crate::compact) share, in calls that block.
//!
//! Everything here is told by *slot*: slot *i* is the range of bytes where piece *i* belongs. `files` keeps
//! each piece in its own slot, `compact` moves them about.
//!
//! A table says of each file which one it is (device, inode, how far we know it to be written) and has the
//! handles of those that are open. It is locked for look-ups alone; data moves outside the lock, with
//! positioned calls. Before each use a glance at the path tells whether it still leads to that file: it
//! takes about 2 µs on a machine that writes 256 KiB to the page cache in 65 µs.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, FileEntry, FileSpan, PieceHash, PieceIndex, PieceSet, StorageError, StorageErrorKind, Torrent,
};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use self::claim::Claim;
use self::saved::Stamp;
use self::table::{State, Table};

mod claim;
mod durable;
mod folder;
mod handles;
pub(crate) mod io_at;
mod saved;
mod table;

pub(crate) use self::claim::Claims;
pub(crate) use self::durable::Sync;
pub(crate) use self::folder::{Access, Facts, Folder, attempt};
pub(crate) use self::saved::Saved;

/// What becomes of a file that is longer than the torrent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LongerFile {
    /// The torrent does not start: the file may be something else.
    Refuse,
    /// It is cut, as the original did (ST-2).
    Truncate,
}

/// When written data is forced to the disk, so that it outlives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncWhen {
    /// Before a piece is announced, and at each checkpoint: slow.
    Seal,
    /// At each checkpoint and at the end.
    Checkpoint,
    /// When the system does it by itself. After a power cut a piece that the resume file has may be lost.
    Never,
}

/// The keys that stores on the disk have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) longer_file: LongerFile,
    pub(crate) max_open_files: usize,
    pub(crate) sync: SyncWhen,
}

/// The files of one torrent.
pub(crate) struct Disk {
    torrent: Arc<Torrent>,
    rules: Rules,
    folder: Folder,
    /// Held by whoever opens or makes a file, so that no file is opened twice or made by two.
    opening: Mutex<()>,
    table: Mutex<Table>,
}

/// How much is read, copied or filled at a time: enough that calls cost little, and little enough for the
/// processor's cache.
const RUN: usize = 256 << 10;

impl Disk {
    /// Looks at all files first, and changes nothing where one of them is refused. Then makes the folders
    /// and the files without bytes (ST-1), and cuts what is to be cut.
    pub(crate) fn open(
        torrent: Arc<Torrent>,
        rules: Rules,
        claims: Arc<Mutex<Claims>>,
    ) -> Result<Self, StorageError> {
        let folder = Folder::open(&torrent.folder)?;
        let claim = Claim::new(claims, folder.identity()?, &torrent.layout)?;
        let files = torrent.layout.files();
        let mut found = Vec::with_capacity(files.len());
        for file in files {
            let facts = if file.is_pad() { None } else { folder.find(file.path())? };
            if let Some(facts) = facts.filter(|facts| is_too_long(file, facts))
                && rules.longer_file == LongerFile::Refuse
            {
                return Err(too_long(file, facts.length));
            }
            found.push(facts);
        }
        for (file, facts) in files.iter().zip(&mut found).filter(|(file, _)| !file.is_pad()) {
            match facts {
                Some(now) if is_too_long(file, now) => *now = folder.cut(file.path(), file.length())?,
                Some(_) => {}
                None => folder.make_parents(file.path())?,
            }
            // Told now, not when the first piece has come.
            if facts.is_none_or(|facts| facts.length < file.length()) {
                folder.check_writable(file.path(), facts.is_some())?;
            }
            if facts.is_none() && file.length() == 0 {
                *facts = Some(folder.file(file.path(), Access::Create)?.1);
            }
        }
        let table = Table::new(found, torrent.layout.piece_count(), claim);
        Ok(Self { torrent, rules, folder, opening: Mutex::new(()), table: Mutex::new(table) })
    }

    pub(crate) fn torrent(&self) -> &Arc<Torrent> {
        &self.torrent
    }

    /// How the files look; at the start, how they were found.
    pub(crate) fn stamps(&self) -> Vec<Option<Stamp>> {
        self.table().files.iter().map(|state| state.stamp).collect()
    }

    /// The slots all of whose bytes are in the files (ST-3); some may be in a hole of a sparse one.
    pub(crate) fn allocated(&self) -> PieceSet {
        let (layout, table) = (&self.torrent.layout, self.table());
        let mut slots = PieceSet::full(layout.piece_count());
        for (file, state) in table.files.iter().enumerate() {
            let length = state.length();
            if layout.files()[file].is_pad() || length >= layout.files()[file].length() {
                continue;
            }
            let is_cut = |slot: &PieceIndex| {
                let mut spans = layout.spans(*slot, 0, layout.piece_length(*slot));
                spans.any(|span| span.file == file && span.offset + u64::from(span.length) > length)
            };
            layout.pieces_of(file).filter(is_cut).for_each(|slot| {
                slots.remove(slot);
            });
        }
        slots
    }

    /// Takes the slots `sealed` as holding what matches its hash.
    pub(crate) fn vouch(&self, sealed: PieceSet) {
        self.table().sealed = sealed;
    }

    /// Takes `slots` as holding their own pieces, which are hashed when they are first read (`SW-4`).
    pub(crate) fn vouch_unchecked(&self, slots: &PieceSet) {
        let mut table = self.table();
        for slot in slots.iter().filter(|&slot| !table.sealed.contains(slot)).collect::<Vec<_>>() {
            table.sealed.insert(slot);
            table.unchecked.insert(slot);
        }
    }

    /// The slots whose contents matched their hash, now or before the last checkpoint, and were not written
    /// since.
    pub(crate) fn sealed(&self) -> PieceSet {
        self.table().sealed.clone()
    }

    /// Whether `slot` is sealed.
    pub(crate) fn is_sealed(&self, slot: PieceIndex) -> bool {
        self.table().sealed.contains(slot)
    }

    /// Fills `into` from `offset` of `slot`.
    pub(crate) fn read(&self, slot: PieceIndex, offset: u32, into: &mut [u8]) -> Result<(), StorageError> {
        let table = self.table();
        let (blank, unchecked) = (table.blank.contains(slot), table.unchecked.contains(slot));
        drop(table);
        // Padding is there all the same.
        if blank && self.torrent.layout.spans(slot, offset, into.len() as u32).any(|span| !span.pad) {
            let attempt =
                format!("reading {} bytes at {offset} of piece {slot}: it is not there yet", into.len());
            return Err(StorageError::new(StorageErrorKind::Missing, attempt));
        }
        if unchecked {
            self.check(slot)?;
        }
        self.read_bytes(slot, offset, into)
    }

    /// Hashes a piece that was taken for good unseen. One that does not match is sealed no longer (SW-24).
    fn check(&self, slot: PieceIndex) -> Result<(), StorageError> {
        let found = self.hash(slot, self.torrent.layout.piece_length(slot))?;
        let matches = found == self.torrent.piece_hashes[slot.as_usize()];
        let mut table = self.table();
        if table.unchecked.remove(slot) && !matches {
            table.sealed.remove(slot);
            table.blank.insert(slot);
        }
        drop(table);
        if matches {
            return Ok(());
        }
        let what = format!(
            "reading piece {slot}: what is there does not match its hash; it was taken as complete \
             since check-hashes = false"
        );
        Err(StorageError::new(StorageErrorKind::Corrupt, what))
    }

    /// The SHA-1 of the first `length` bytes of `slot`.
    fn hash(&self, slot: PieceIndex, length: u32) -> Result<PieceHash, StorageError> {
        let mut sha = Sha1::new();
        self.read_runs(slot, length, |_, run| {
            sha.update(run);
            Ok(())
        })?;
        Ok(PieceHash(sha.finalize().into()))
    }

    /// Reads the first `length` bytes of `slot`, a run at a time; `each` gets the offset and the bytes.
    pub(crate) fn read_runs(
        &self,
        slot: PieceIndex,
        length: u32,
        mut each: impl FnMut(u32, &[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut buffer = vec![0; RUN.min(length as usize)];
        for at in (0..length).step_by(RUN) {
            let run = &mut buffer[..RUN.min((length - at) as usize)];
            self.read_bytes(slot, at, run)?;
            each(at, run)?;
        }
        Ok(())
    }

    fn read_bytes(&self, slot: PieceIndex, offset: u32, into: &mut [u8]) -> Result<(), StorageError> {
        let mut rest = into;
        for span in self.torrent.layout.spans(slot, offset, rest.len() as u32) {
            let (now, later) = rest.split_at_mut(span.length as usize);
            if span.pad {
                now.fill(0);
            } else {
                let handle = self.handle(span.file, Access::Read)?;
                io_at::read_exact(&handle, now, span.offset)
                    .map_err(|error| StorageError::io(self.doing("reading", span), error))?;
            }
            rest = later;
        }
        Ok(())
    }

    /// Writes `blocks` end to end from `offset` of `slot`.
    pub(crate) fn write(&self, slot: PieceIndex, offset: u32, blocks: &[Block]) -> Result<(), StorageError> {
        self.write_bytes(slot, offset, blocks.iter().map(|block| &block[..]))
    }

    fn write_bytes<'a>(
        &self,
        slot: PieceIndex,
        offset: u32,
        parts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<(), StorageError> {
        self.table().changed(slot);
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        let mut slices = io_at::Slices::new(parts);
        for span in self.torrent.layout.spans(slot, offset, length as u32) {
            let mut now = slices.take(span.length as usize);
            if !span.pad {
                self.change(span, |file| io_at::write_all(file, &mut now, span.offset))?;
            }
        }
        Ok(())
    }

    /// Fills `range` of `slot` with `byte`, so that the files really grow there (SW-11).
    pub(crate) fn fill(&self, slot: PieceIndex, range: Range<u32>, byte: u8) -> Result<(), StorageError> {
        let run = vec![byte; RUN.min(range.len())];
        range.clone().step_by(RUN).try_for_each(|at| {
            let part = &run[..RUN.min((range.end - at) as usize)];
            self.write_bytes(slot, at, std::iter::once(part))
        })
    }

    /// Copies the first `length` bytes of slot `from` to slot `to`, and answers their hash where `hash` asks
    /// for it.
    pub(crate) fn copy(
        &self,
        from: PieceIndex,
        to: PieceIndex,
        length: u32,
        hash: bool,
    ) -> Result<Option<PieceHash>, StorageError> {
        // What keeps anybody from writing to these files keeps a piece from moving about in them: it is told as such.
        for span in self.torrent.layout.spans(from, 0, length).filter(|span| !span.pad) {
            self.handle(span.file, Access::Write)?;
        }
        if !hash && self.copy_in_kernel(from, to, length) {
            return Ok(None);
        }
        let mut sha = Sha1::new();
        self.read_runs(from, length, |at, run| {
            if hash {
                sha.update(run);
            }
            self.write_bytes(to, at, std::iter::once(run))
        })?;
        Ok(hash.then(|| PieceHash(sha.finalize().into())))
    }

    /// Copies without moving the bytes through this process, where the system can. Who gets a no copies in
    /// the other way, and learns what is wrong if anything is.
    fn copy_in_kernel(&self, from: PieceIndex, to: PieceIndex, length: u32) -> bool {
        let layout = &self.torrent.layout;
        self.table().changed(to);
        let mut done = 0;
        while done < length {
            let spans = layout
                .spans(from, done, length - done)
                .next()
                .zip(layout.spans(to, done, length - done).next());
            let Some((source, target)) = spans.filter(|(source, target)| !source.pad && !target.pad) else {
                return false;
            };
            let part = FileSpan { length: source.length.min(target.length), ..target };
            let Ok(input) = self.handle(source.file, Access::Read) else { return false };
            let copy = |output: &OwnedFd| {
                io_at::copy(&input, source.offset, output, part.offset, part.length as usize)
            };
            if self.change(part, copy).is_err() {
                return false;
            }
            done += part.length;
        }
        true
    }

    /// Makes all files as long as the torrent says, with room on the disk for every byte, as 3.0 to 3.2 did
    /// (ST-2). What is new is blank.
    pub(crate) fn preallocate(&self) -> Result<(), StorageError> {
        let (layout, there) = (&self.torrent.layout, self.allocated());
        let lengths: Vec<u64> = self.table().files.iter().map(State::length).collect();
        // A slot that somebody's file reached into is not blank: what lies there may be his.
        let is_new = |slot: &PieceIndex| {
            layout.spans(*slot, 0, layout.piece_length(*slot)).all(|span| lengths[span.file] <= span.offset)
        };
        for (file, entry) in layout.files().iter().enumerate() {
            let known = lengths[file];
            if entry.is_pad() || known >= entry.length() {
                continue;
            }
            // A span is at most a piece long: of a file there is more.
            let end = FileSpan { file, offset: entry.length() - 1, length: 1, pad: false };
            self.change(end, |output| io_at::allocate(output, known, entry.length()))?;
        }
        let mut blank = PieceSet::new(there.pieces());
        there.missing().filter(is_new).for_each(|slot| {
            blank.insert(slot);
        });
        self.table().blank = blank;
        Ok(())
    }

    /// Changes the file of `span`, which afterwards reaches to the end of `span` at least.
    fn change(
        &self,
        span: FileSpan,
        work: impl FnOnce(&OwnedFd) -> io::Result<()>,
    ) -> Result<(), StorageError> {
        let handle = self.handle(span.file, Access::Write)?;
        self.look_for_others(span.file);
        self.table().files[span.file].writers += 1;
        let written = work(&handle);
        let mut table = self.table();
        let now = self.look(span.file);
        let state = &mut table.files[span.file];
        state.writers -= 1;
        if state.writers == 0 {
            state.stamp = now;
        }
        (state.dirty, state.touched) = (true, true);
        if let (Ok(()), Some(known)) = (&written, &mut state.known) {
            known.length = known.length.max(span.offset + u64::from(span.length));
        }
        drop(table);
        written.map_err(|error| StorageError::io(self.doing("writing", span), error))
    }

    pub(crate) fn syncs_at_seal(&self) -> bool {
        self.rules.sync == SyncWhen::Seal
    }

    pub(crate) fn syncs(&self) -> bool {
        self.rules.sync != SyncWhen::Never
    }

    /// Notes that what `slot` holds matched its hash.
    pub(crate) fn seal(&self, slot: PieceIndex) {
        let mut table = self.table();
        table.sealed.insert(slot);
        table.unchecked.remove(slot);
        table.blank.remove(slot);
    }

    /// Notes that what slot `from` held lies in slot `to` now.
    pub(crate) fn moved(&self, from: PieceIndex, to: PieceIndex) {
        let mut table = self.table();
        if table.sealed.remove(from) {
            table.sealed.insert(to);
        }
    }

    /// What is tried on `span`, for messages.
    fn doing(&self, what: &str, span: FileSpan) -> String {
        format!("{what} {} bytes at {} of {:?}", span.length, span.offset, self.path(span.file).join("/"))
    }

    fn path(&self, file: usize) -> &[String] {
        self.torrent.layout.files()[file].path()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is to have no bytes is left alone (ST-1).
fn is_too_long(file: &FileEntry, facts: &Facts) -> bool {
    file.length() > 0 && facts.length > file.length()
}

fn too_long(file: &FileEntry, found: u64) -> StorageError {
    let message = format!(
        "{}: it has {found} bytes, and {} in the torrent; move it away, or set longer-file = \"truncate\"",
        attempt("opening", file.path()),
        file.length()
    );
    StorageError::new(StorageErrorKind::Corrupt, message)
}
