//! Bytes into and out of slots, and from one slot to another.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use bt_api::{Block, FileSpan, PieceHash, PieceIndex, PieceSet, StorageError, StorageErrorKind};
use sha1::{Digest, Sha1};

use super::folder::Access;
use super::table::State;
use super::{Disk, io_at};

/// How much is read, copied or filled at a time: enough that calls cost little, and little enough for the
/// processor's cache.
const RUN: usize = 256 << 10;

impl Disk {
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
}
