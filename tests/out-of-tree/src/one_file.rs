//! A whole torrent in one file, whatever files it is made of: pieces lie in it in the order in which they
//! came, so the file grows with the download and needs no sparse files.
//!
//! The file is a row of slots, each a mark and a piece. The mark of a sealed piece is its index plus 1,
//! written after its bytes are on the disk; 0 is a slot whose piece never matched its hash. So the marks
//! alone vouch for what is there, and a slot without one is used again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, PieceIndex, PieceSet, Plugin, StorageBackend, StorageError,
    StorageErrorKind, Torrent, TorrentStore, plugin, run_blocking,
};
use serde::{Deserialize, Serialize};

/// The length of a mark in bytes.
const MARK: u64 = 4;

/// Keeps each torrent in one file, `INFO-HASH.pieces` in the output folder.
pub struct OneFile {
    config: Config,
}

/// The `[storage]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Whether a piece is forced to the disk before it is marked: without it, a power cut may cost pieces.
    pub sync: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { sync: true }
    }
}

impl Plugin for OneFile {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "one-file";
    const SUMMARY: &'static str = "keeps a whole torrent in one file, pieces in the order of their arrival";

    fn build(config: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        Ok(Box::new(Self { config }))
    }
}
bt_api::register!(OneFile);

impl StorageBackend for OneFile {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        let sync = self.config.sync;
        Box::pin(async move {
            let path = torrent.folder.join(format!("{}.pieces", torrent.info_hash));
            let attempt = format!("opening {path:?}");
            let pieces = torrent.layout.piece_count();
            let slot_length = MARK + u64::from(torrent.layout.nominal_piece_length());
            let opened = run_blocking(&*host, move || -> io::Result<_> {
                path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                let file = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
                let slots = read_marks(&file, pieces, slot_length)?;
                Ok((file, slots))
            });
            let (file, slots) = opened.await.map_err(|error| StorageError::io(attempt, error))?;
            let (file, slots) = (Arc::new(file), Mutex::new(slots));
            Ok(Box::new(Store { torrent, host, file, slots, slot_length, sync }) as Box<dyn TorrentStore>)
        })
    }
}

struct Store {
    torrent: Arc<Torrent>,
    host: Arc<dyn Host>,
    file: Arc<File>,
    slots: Mutex<Slots>,
    /// In bytes.
    slot_length: u64,
    sync: bool,
}

#[derive(Default)]
struct Slots {
    of: BTreeMap<PieceIndex, Slot>,
    free: Vec<u64>,
    count: u64,
}

struct Slot {
    number: u64,
    /// Whether its piece matched its hash; then all of it is there.
    sealed: bool,
    /// Whether the mark on the disk is known to be 0.
    unmarked: bool,
    /// Which bytes are there: from, to.
    written: BTreeMap<u32, u32>,
}

impl Slot {
    fn holds(&self, offset: u32, length: u32) -> bool {
        let reach = |to: u32, (&from, &end): (&u32, &u32)| if from <= to { end.max(to) } else { to };
        self.sealed || self.written.iter().fold(offset, reach) >= offset + length
    }

    fn add(&mut self, offset: u32, length: u32) {
        let end = self.written.entry(offset).or_default();
        *end = (*end).max(offset + length);
    }
}

/// The slots of a file; those that an interrupted run left without a mark are free.
fn read_marks(file: &File, pieces: u32, slot_length: u64) -> io::Result<Slots> {
    // No run makes more slots than there are pieces.
    let count = file.metadata()?.len().div_ceil(slot_length).min(u64::from(pieces));
    let mut slots = Slots { count, ..Slots::default() };
    for number in 0..count {
        let mut mark = [0; MARK as usize];
        match file.read_exact_at(&mut mark, number * slot_length) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => {}
        }
        let piece = u32::from_be_bytes(mark).checked_sub(1).filter(|&piece| piece < pieces).map(PieceIndex);
        match piece.filter(|piece| !slots.of.contains_key(piece)) {
            Some(piece) => {
                let slot = Slot { number, sealed: true, unmarked: false, written: BTreeMap::new() };
                slots.of.insert(piece, slot);
            }
            None => slots.free.push(number),
        }
    }
    Ok(slots)
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        let mut held = PieceSet::new(self.torrent.layout.piece_count());
        for (&piece, _) in self.slots().of.iter().filter(|(_, slot)| slot.sealed) {
            held.insert(piece);
        }
        Box::pin(std::future::ready(Ok(held)))
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            if self.torrent.layout.spans(piece, offset, length).all(|span| span.pad) {
                return Ok(Block::zeros(length as usize));
            }
            let attempt = format!("reading {length} bytes at {offset} of piece {piece}");
            let slot =
                self.slots().of.get(&piece).filter(|slot| slot.holds(offset, length)).map(|slot| slot.number);
            let Some(number) = slot else {
                return Err(StorageError::new(StorageErrorKind::Missing, attempt));
            };
            let at = self.place(number) + u64::from(offset);
            let mut buffer = self.host.buffer(length as usize).await;
            let reading = self.blocking(attempt, move |file| {
                file.read_exact_at(&mut buffer, at)?;
                Ok(buffer.freeze())
            });
            reading.await
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let length: u32 = blocks.iter().map(|block| block.len() as u32).sum();
            let (number, unmarked) = self.slot_for(piece);
            let (start, padding) = (self.place(number), self.padding(piece));
            let writing =
                self.blocking(format!("writing {length} bytes at {offset} of piece {piece}"), move |file| {
                    if !unmarked {
                        // First of all nothing vouches for the slot any more.
                        file.write_all_at(&[0; MARK as usize], start - MARK)?;
                        for (begin, length) in padding {
                            file.write_all_at(&Block::zeros(length as usize), start + u64::from(begin))?;
                        }
                    }
                    let write =
                        |at, block: &Block| file.write_all_at(block, at).map(|()| at + block.len() as u64);
                    blocks.iter().try_fold(start + u64::from(offset), write)
                });
            writing.await?;
            if let Some(slot) = self.slots().of.get_mut(&piece) {
                slot.unmarked = true;
                slot.add(offset, length);
            }
            Ok(())
        })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let length = self.torrent.layout.piece_length(piece);
            let attempt = format!("sealing piece {piece}");
            let (number, sealed) = match self.slots().of.get(&piece) {
                Some(slot) if slot.holds(0, length) => (slot.number, slot.sealed),
                // Nothing but padding is nowhere.
                None if self.padding(piece) == [(0, length)] => return Ok(()),
                _ => return Err(StorageError::new(StorageErrorKind::Missing, attempt)),
            };
            if sealed {
                return Ok(());
            }
            let (start, sync) = (self.place(number), self.sync);
            let marking = self.blocking(attempt, move |file| {
                if sync {
                    file.sync_data()?;
                }
                file.write_all_at(&(piece.0 + 1).to_be_bytes(), start - MARK)
            });
            marking.await?;
            if let Some(slot) = self.slots().of.get_mut(&piece) {
                (slot.sealed, slot.unmarked) = (true, false);
                slot.written.clear();
            }
            Ok(())
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(async {
            self.blocking("forcing the pieces to the disk", |file| file.sync_data()).await.map(|()| None)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Store {
    /// The slot of a piece that is to be written, and whether its mark is known to be 0.
    fn slot_for(&self, piece: PieceIndex) -> (u64, bool) {
        let mut slots = self.slots();
        let Slots { of, free, count } = &mut *slots;
        let slot = of.entry(piece).or_insert_with(|| {
            let number = free.pop().unwrap_or_else(|| {
                *count += 1;
                *count - 1
            });
            let mut slot = Slot { number, sealed: false, unmarked: false, written: BTreeMap::new() };
            self.padding(piece).into_iter().for_each(|(offset, length)| slot.add(offset, length));
            slot
        });
        if std::mem::take(&mut slot.sealed) {
            slot.add(0, self.torrent.layout.piece_length(piece));
        }
        (slot.number, slot.unmarked)
    }

    /// The parts of `piece` that belong to pad files: offset, length. Nobody writes them (BEP 47).
    fn padding(&self, piece: PieceIndex) -> Vec<(u32, u32)> {
        let (mut at, mut padding) = (0, Vec::new());
        for span in self.torrent.layout.spans(piece, 0, self.torrent.layout.piece_length(piece)) {
            if span.pad {
                padding.push((at, span.length));
            }
            at += span.length;
        }
        padding
    }

    /// Where the piece in a slot begins in the file, after its mark.
    fn place(&self, number: u64) -> u64 {
        number * self.slot_length + MARK
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        attempt: impl Into<String>,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let file = self.file.clone();
        run_blocking(&*self.host, move || work(&file)).await.map_err(|error| StorageError::io(attempt, error))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bt_api::testkit::TestHost;
    use bt_api::{InfoHash, NewFile, PieceHash, TorrentLayout};
    use futures::executor::block_on;

    use super::*;

    /// Files of 6 bytes, 5 of padding and 3, in pieces of 4.
    fn open(folder: &Path) -> Box<dyn TorrentStore> {
        let file = |name: &str, length, pad| NewFile { path: vec![name.into()], length, pad };
        let files = vec![file("a", 6, false), file("pad", 5, true), file("b", 3, false)];
        let torrent = Torrent {
            info_hash: InfoHash([7; 20]),
            layout: TorrentLayout::several("t", files, 4).unwrap(),
            piece_hashes: vec![PieceHash([0; 20]); 4],
            folder: folder.to_owned(),
            saved: None,
        };
        let backend = OneFile::build(Config::default()).unwrap();
        block_on(backend.open(Arc::new(torrent), TestHost::new())).unwrap()
    }

    fn write(store: &dyn TorrentStore, piece: u32, offset: u32, bytes: &[u8]) {
        block_on(store.write(PieceIndex(piece), offset, vec![bytes.to_vec().into()])).unwrap();
    }

    fn seal(store: &dyn TorrentStore, piece: u32) -> Result<(), StorageErrorKind> {
        block_on(store.seal(PieceIndex(piece))).map_err(|error| error.kind())
    }

    fn read(
        store: &dyn TorrentStore,
        piece: u32,
        offset: u32,
        length: u32,
    ) -> Result<Vec<u8>, StorageErrorKind> {
        let read = block_on(store.read(PieceIndex(piece), offset, length));
        read.map(|block| block.to_vec()).map_err(|error| error.kind())
    }

    fn held(store: &dyn TorrentStore) -> Vec<u32> {
        block_on(store.held()).unwrap().iter().map(|piece| piece.0).collect()
    }

    #[test]
    fn pieces_lie_in_the_order_of_their_arrival_and_marks_vouch_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        write(&*store, 3, 0, b"yz");
        write(&*store, 0, 0, b"abcd");
        assert_eq!((seal(&*store, 3), seal(&*store, 0)), (Ok(()), Ok(())));
        let file = std::fs::read(folder.path().join(format!("{}.pieces", InfoHash([7; 20])))).unwrap();
        assert_eq!(file, b"\0\0\0\x04yz\0\0\0\0\0\x01abcd");
        assert_eq!(held(&*open(folder.path())), [0, 3]);
        // What is written again is not vouched for, and its slot is taken by what comes next.
        write(&*store, 3, 1, b"!");
        assert_eq!(read(&*store, 3, 0, 2), Ok(b"y!".to_vec()));
        let store = open(folder.path());
        assert_eq!(held(&*store), [0]);
        write(&*store, 1, 0, b"ef");
        assert_eq!(seal(&*store, 1), Ok(()));
        let store = open(folder.path());
        assert_eq!((held(&*store), read(&*store, 1, 0, 4)), (vec![0, 1], Ok(b"ef\0\0".to_vec())));
    }

    #[test]
    fn what_was_not_written_is_missing_and_padding_is_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        write(&*store, 0, 0, b"a");
        write(&*store, 0, 2, b"cd");
        assert_eq!(read(&*store, 0, 2, 2), Ok(b"cd".to_vec()));
        assert_eq!(read(&*store, 0, 0, 4), Err(StorageErrorKind::Missing));
        assert_eq!(seal(&*store, 0), Err(StorageErrorKind::Missing));
        write(&*store, 0, 1, b"b");
        assert_eq!(read(&*store, 0, 0, 4), Ok(b"abcd".to_vec()));
        assert_eq!(read(&*store, 1, 0, 4), Err(StorageErrorKind::Missing));
        assert_eq!(read(&*store, 2, 0, 3), Ok(vec![0; 3]));
    }

    #[test]
    fn a_file_of_something_else_is_no_piece() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{}.pieces", InfoHash([7; 20])));
        std::fs::write(&path, b"\xff\xff\xff\xff....\0\0\0\x02....\0\0\0\x02....\0\0").unwrap();
        let store = open(folder.path());
        assert_eq!(held(&*store), [1]);
        (0..4).filter(|&piece| piece != 1).for_each(|piece| write(&*store, piece, 0, b".."));
        assert_eq!(std::fs::metadata(path).unwrap().len(), 30);
    }
}
