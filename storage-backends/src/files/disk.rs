//! The work of the store `files`, in calls that block.
//!
//! A table says of each file which one it is (device, inode, how far we know it to be written) and has the
//! handles of those that are open. It is locked for look-ups alone; data moves outside the lock, with
//! positioned calls. Before each use a glance at the path tells whether it still leads to that file: it
//! takes about 2 µs on a machine that writes 256 KiB to the page cache in 65 µs.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, Bytes, FileEntry, FileSpan, PieceIndex, PieceSet, StorageError, StorageErrorKind, Torrent,
};
use rustix::fs::{fdatasync, fsync};
use rustix::io::{Errno, pread, pwritev, retry_on_intr};

use super::claim::{Claim, Claims};
use super::folder::{Access, Facts, Folder, attempt};
use super::saved::{Saved, Stamp};
use super::{Config, LongerFile, SyncWhen};

/// The open files of one torrent.
pub(super) struct Disk {
    torrent: Arc<Torrent>,
    config: Config,
    folder: Folder,
    /// Held by whoever opens or makes a file, so that no file is opened twice or made by two.
    opening: Mutex<()>,
    table: Mutex<Table>,
}

struct Table {
    files: Vec<State>,
    /// The files with an open handle, by when it was last used.
    recent: BTreeMap<u64, usize>,
    /// How often a handle was used: the clock of `recent`.
    uses: u64,
    sealed: PieceSet,
    /// `None` once the store is closed: then no file is opened any more.
    claim: Option<Claim>,
}

#[derive(Default)]
struct State {
    /// Which file it is; `None` while it is not there.
    known: Option<Known>,
    handle: Option<Handle>,
    /// Whether it was written since it was last synced.
    dirty: bool,
    /// How it looked at the start, or after our last write: when it looks otherwise, somebody else wrote.
    stamp: Option<Stamp>,
    /// Writes of ours that are under way.
    writers: u32,
}

#[derive(Clone, Copy)]
struct Known {
    device: u64,
    inode: u64,
    /// It is at least this long, or somebody else cut it.
    length: u64,
}

struct Handle {
    file: Arc<OwnedFd>,
    writable: bool,
    used: u64,
}

impl Disk {
    /// Looks at all files first, and changes nothing where one of them is refused. Then makes the folders
    /// and the files without bytes (ST-1), and cuts what is to be cut.
    pub(super) fn open(
        torrent: Arc<Torrent>,
        config: Config,
        claims: Arc<Mutex<Claims>>,
    ) -> Result<Self, StorageError> {
        let folder = Folder::open(&torrent.folder)?;
        let claim = Claim::new(claims, folder.identity()?, &torrent.layout)?;
        let files = torrent.layout.files();
        let mut found = Vec::with_capacity(files.len());
        for file in files {
            let facts = if file.is_pad() { None } else { folder.find(file.path())? };
            if let Some(facts) = facts.filter(|facts| is_too_long(file, facts))
                && config.longer_file == LongerFile::Refuse
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
        let stamps: Vec<Option<Stamp>> = found.iter().map(|facts| facts.map(Stamp::from)).collect();
        let saved = torrent.saved.as_ref().and_then(|bytes| Saved::decode(bytes, &torrent));
        let sealed = saved.map(|saved| saved.vouched(&torrent, &stamps));
        let table = Table {
            files: found
                .into_iter()
                .map(|facts| State {
                    known: facts.map(Known::from),
                    stamp: facts.map(Stamp::from),
                    ..State::default()
                })
                .collect(),
            recent: BTreeMap::new(),
            uses: 0,
            sealed: sealed.unwrap_or_else(|| PieceSet::new(torrent.layout.piece_count())),
            claim: Some(claim),
        };
        Ok(Self { torrent, config, folder, opening: Mutex::new(()), table: Mutex::new(table) })
    }

    /// The pieces that matched their hashes, now or before the last checkpoint, and were not written since.
    pub(super) fn sealed(&self) -> PieceSet {
        self.table().sealed.clone()
    }

    /// Fills `into` from `offset` of `piece`.
    pub(super) fn read(&self, piece: PieceIndex, offset: u32, into: &mut [u8]) -> Result<(), StorageError> {
        let mut rest = into;
        for span in self.torrent.layout.spans(piece, offset, rest.len() as u32) {
            let (now, later) = rest.split_at_mut(span.length as usize);
            if span.pad {
                now.fill(0);
            } else {
                self.read_span(span, now)?;
            }
            rest = later;
        }
        Ok(())
    }

    fn read_span(&self, span: FileSpan, into: &mut [u8]) -> Result<(), StorageError> {
        let handle = self.handle(span.file, Access::Read)?;
        let trying =
            || format!("reading {} bytes at {} of {:?}", span.length, span.offset, self.name(span.file));
        let mut done = 0;
        while done < into.len() {
            let at = span.offset + done as u64;
            match retry_on_intr(|| pread(&*handle, &mut into[done..], at)) {
                // Fewer bytes are an error, not a short answer (ST-5).
                Ok(0) => {
                    let message = format!("{}: the file ends at {at}", trying());
                    return Err(StorageError::new(StorageErrorKind::Missing, message));
                }
                Ok(read) => done += read,
                Err(errno) => return Err(StorageError::io(trying(), errno.into())),
            }
        }
        Ok(())
    }

    /// Writes `blocks` end to end from `offset` of `piece`.
    pub(super) fn write(&self, piece: PieceIndex, offset: u32, blocks: &[Block]) -> Result<(), StorageError> {
        self.table().sealed.remove(piece);
        let length: usize = blocks.iter().map(|block| block.len()).sum();
        let mut blocks = blocks.iter().map(|block| &block[..]);
        let mut rest: &[u8] = &[];
        for span in self.torrent.layout.spans(piece, offset, length as u32) {
            let mut slices = Vec::new();
            let mut wanted = span.length as usize;
            while wanted > 0 {
                while rest.is_empty() {
                    rest = blocks.next().expect("the spans are as long as the blocks");
                }
                let (now, later) = rest.split_at(wanted.min(rest.len()));
                slices.push(IoSlice::new(now));
                (rest, wanted) = (later, wanted - now.len());
            }
            if !span.pad {
                self.write_span(span, &mut slices)?;
            }
        }
        Ok(())
    }

    fn write_span(&self, span: FileSpan, slices: &mut [IoSlice<'_>]) -> Result<(), StorageError> {
        let handle = self.handle(span.file, Access::Write)?;
        self.look_for_others(span.file);
        self.table().files[span.file].writers += 1;
        let written = write_all(&handle, slices, span.offset);
        let mut table = self.table();
        let now = self.look(span.file);
        let state = &mut table.files[span.file];
        state.writers -= 1;
        if state.writers == 0 {
            state.stamp = now;
        }
        state.dirty = true;
        if let (Ok(()), Some(known)) = (&written, &mut state.known) {
            known.length = known.length.max(span.offset + u64::from(span.length));
        }
        drop(table);
        written.map_err(|error| {
            let name = self.name(span.file);
            StorageError::io(format!("writing {} bytes at {} of {name:?}", span.length, span.offset), error)
        })
    }

    pub(super) fn syncs_at_seal(&self) -> bool {
        self.config.sync == SyncWhen::Seal
    }

    /// Notes that `piece` matched its hash.
    pub(super) fn seal(&self, piece: PieceIndex) {
        self.table().sealed.insert(piece);
    }

    /// Forces the bytes of `piece` to the disk, and notes that it matched its hash.
    pub(super) fn sync_and_seal(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let length = self.torrent.layout.piece_length(piece);
        for span in self.torrent.layout.spans(piece, 0, length).filter(|span| !span.pad) {
            let handle = self.handle(span.file, Access::Read)?;
            fdatasync(&*handle).map_err(|errno| self.sync_error(span.file, errno))?;
        }
        self.seal(piece);
        Ok(())
    }

    /// Forces what was written to the disk, and answers what tells at the next start which pieces are good.
    pub(super) fn checkpoint(&self) -> Result<Bytes, StorageError> {
        // Only what was sealed before the sync is on the disk after it, and only what is sealed still after
        // the files were looked at has not been written in between.
        let before = self.sealed();
        self.sync()?;
        let files = (0..self.torrent.layout.files().len()).map(|file| self.stamp(file)).collect();
        let after = self.sealed();
        let mut sealed = PieceSet::new(after.pieces());
        before.iter().filter(|&piece| after.contains(piece)).for_each(|piece| {
            sealed.insert(piece);
        });
        Ok(Saved { files, sealed }.encode(&self.torrent))
    }

    /// Forces what was written to the disk, and lets go of everything whether or not that works.
    pub(super) fn close(&self) -> Result<(), StorageError> {
        let synced = self.sync();
        let mut table = self.table();
        table.recent.clear();
        let handles: Vec<_> = table.files.iter_mut().filter_map(|state| state.handle.take()).collect();
        let claim = table.claim.take();
        drop(table);
        drop((handles, claim));
        synced
    }

    /// Syncs each file that was written since it was last synced. A file whose name is lost in a power cut
    /// is not vouched for at the next start, so the folders need not be synced.
    fn sync(&self) -> Result<(), StorageError> {
        if self.config.sync == SyncWhen::Never {
            return Ok(());
        }
        let mut table = self.table();
        let states = table.files.iter_mut().enumerate();
        let dirty: Vec<usize> =
            states.filter_map(|(file, state)| std::mem::take(&mut state.dirty).then_some(file)).collect();
        drop(table);
        let mut result = Ok(());
        for file in dirty {
            let synced = self
                .handle(file, Access::Read)
                .and_then(|handle| fsync(&*handle).map_err(|errno| self.sync_error(file, errno)));
            if let Err(error) = synced {
                // What did not reach the disk may be gone although a later try works.
                let mut table = self.table();
                table.files[file].dirty = true;
                table.disown(file, &self.torrent);
                result = Err(error);
            }
        }
        result
    }

    fn sync_error(&self, file: usize, errno: Errno) -> StorageError {
        StorageError::io(attempt("syncing", self.path(file)), errno.into())
    }

    /// How a file looks now.
    fn look(&self, file: usize) -> Option<Stamp> {
        self.folder.glance(self.path(file)).ok().flatten().map(Stamp::from)
    }

    /// Vouches no longer for a file that somebody else has written since our last write.
    fn look_for_others(&self, file: usize) {
        let mut table = self.table();
        let now = self.look(file);
        let state = &mut table.files[file];
        if state.writers == 0 && state.stamp.is_some() && state.stamp != now {
            state.stamp = now;
            table.disown(file, &self.torrent);
        }
    }

    /// How to tell at the next start that a file is unchanged; nothing where it is not the one that it was.
    fn stamp(&self, file: usize) -> Option<Stamp> {
        self.look_for_others(file);
        let known = self.table().files[file].known?;
        let now = self.folder.glance(self.path(file)).ok()?;
        self.vet(file, known, now, Access::Write).ok()?;
        now.map(Stamp::from)
    }

    /// An open handle of a file, which is still the one that it was.
    fn handle(&self, file: usize, access: Access) -> Result<Arc<OwnedFd>, StorageError> {
        let cached = self.table().cached(file, access);
        let Some((handle, known)) = cached else {
            return self.open_file(file, access);
        };
        let now = self.folder.glance(self.path(file))?;
        self.vet(file, known, now, access).inspect_err(|_| {
            // A deleted file takes up room for as long as it is open.
            let forgotten = self.table().forget(file);
            drop(forgotten);
        })?;
        Ok(handle)
    }

    /// Opens a file, or makes it where it is to be written and was never there.
    fn open_file(&self, file: usize, access: Access) -> Result<Arc<OwnedFd>, StorageError> {
        let _turn = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.table();
        if table.claim.is_none() {
            let message = format!("{}: the store is closed", attempt("opening", self.path(file)));
            return Err(StorageError::new(StorageErrorKind::Other, message));
        }
        // Somebody else may have opened it before it was our turn.
        if let Some((handle, _)) = table.cached(file, access) {
            return Ok(handle);
        }
        let known = table.files[file].known;
        drop(table);

        let path = self.path(file);
        let (handle, facts) = match (known, access) {
            (Some(known), _) => match self.folder.file(path, access) {
                Ok((handle, facts)) => {
                    self.vet(file, known, Some(facts), access)?;
                    (handle, facts)
                }
                Err(error) if error.kind() == StorageErrorKind::Missing => {
                    return Err(self.vet(file, known, None, access).expect_err("it is gone"));
                }
                Err(error) => return Err(error),
            },
            (None, Access::Read) => {
                let message = format!("{}: it is not there yet", attempt("reading", path));
                return Err(StorageError::new(StorageErrorKind::Missing, message));
            }
            (None, Access::Write | Access::Create) => self.create(file)?,
        };
        let handle = Arc::new(handle);
        let closed = self.table().insert(file, &handle, access, facts, self.config.max_open_files);
        drop(closed);
        Ok(handle)
    }

    fn create(&self, file: usize) -> Result<(OwnedFd, Facts), StorageError> {
        let path = self.path(file);
        let failed = match self.folder.file(path, Access::Create) {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        // The folder was made at the start: who took it away, or put a file there, did so since.
        let what = match self.folder.find(path)? {
            Some(_) => "a file that is not ours appeared there while running, and is not written over",
            None if failed.kind() == StorageErrorKind::Missing => "its folder was taken away while running",
            None => return Err(failed),
        };
        Err(StorageError::new(StorageErrorKind::Corrupt, format!("{}: {what}", attempt("making", path))))
    }

    /// Compares a file as it is known with what its path leads to now.
    ///
    /// Who reads learns that bytes are missing; who writes is told to stop, since a piece that is wanted
    /// again because of it could not be written either.
    fn vet(&self, file: usize, known: Known, now: Option<Facts>, access: Access) -> Result<(), StorageError> {
        let reads = access == Access::Read;
        let (kind, what) = match now {
            None if reads => (StorageErrorKind::Missing, "it was taken away".to_owned()),
            None => (StorageErrorKind::Corrupt, "it was taken away".to_owned()),
            Some(now) if (now.device, now.inode) != (known.device, known.inode) => {
                (StorageErrorKind::Corrupt, "it was replaced by another file".to_owned())
            }
            Some(now) if now.length < known.length && !reads => {
                let what = format!("it was cut from {} to {} bytes", known.length, now.length);
                (StorageErrorKind::Corrupt, what)
            }
            Some(_) => return Ok(()),
        };
        let (what_for, end) = if reads { ("reading", "") } else { ("writing", ", so nothing is written") };
        let message = format!("{}: {what} while running{end}", attempt(what_for, self.path(file)));
        Err(StorageError::new(kind, message))
    }

    fn path(&self, file: usize) -> &[String] {
        self.torrent.layout.files()[file].path()
    }

    fn name(&self, file: usize) -> String {
        self.path(file).join("/")
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Forgets that pieces with bytes of `file` matched their hashes.
    fn disown(&mut self, file: usize, torrent: &Torrent) {
        torrent.layout.pieces_of(file).for_each(|piece| {
            self.sealed.remove(piece);
        });
    }

    /// The handle of a file, if it is open for this, and which file it is.
    fn cached(&mut self, file: usize, access: Access) -> Option<(Arc<OwnedFd>, Known)> {
        let state = &mut self.files[file];
        let handle = state.handle.as_mut().filter(|handle| handle.writable || access == Access::Read)?;
        self.recent.remove(&handle.used);
        self.uses += 1;
        handle.used = self.uses;
        self.recent.insert(self.uses, file);
        Some((handle.file.clone(), state.known?))
    }

    /// Takes in a new handle; answers those that make room for it, to be closed outside the lock.
    ///
    /// One that is in use at this moment is closed when that use ends.
    fn insert(
        &mut self,
        file: usize,
        handle: &Arc<OwnedFd>,
        access: Access,
        facts: Facts,
        limit: usize,
    ) -> Vec<Option<Handle>> {
        let mut closed = vec![self.forget(file)];
        while self.recent.len() >= limit
            && let Some((_, &oldest)) = self.recent.first_key_value()
        {
            closed.push(self.forget(oldest));
        }
        self.uses += 1;
        self.recent.insert(self.uses, file);
        let state = &mut self.files[file];
        state.known.get_or_insert(facts.into());
        let writable = access != Access::Read;
        state.handle = Some(Handle { file: handle.clone(), writable, used: self.uses });
        closed
    }

    fn forget(&mut self, file: usize) -> Option<Handle> {
        let handle = self.files[file].handle.take()?;
        self.recent.remove(&handle.used);
        Some(handle)
    }
}

impl From<Facts> for Known {
    fn from(facts: Facts) -> Self {
        Self { device: facts.device, inode: facts.inode, length: facts.length }
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

/// Writes all of `slices` from `offset`, in as few calls as the system allows.
fn write_all(file: &OwnedFd, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !slices.is_empty() {
        // rustix hands the system no more slices than it takes at once.
        match retry_on_intr(|| pwritev(file, slices, offset))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                offset += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
        }
    }
    Ok(())
}
