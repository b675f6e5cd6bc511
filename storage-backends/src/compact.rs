//! The original's store (3.3 to 3.4.2): a torrent's files on disk, filled from their start without holes,
//! with pieces out of order until their own places are reached.
//!
//! [`Placement`] says which piece goes where, and why everything is at home in the end; the files are those
//! that [`files`](crate::files) would write, and the same care is taken of them (links, longer, deleted and
//! replaced files, `ST-1` to `ST-9`). The facts are `SW-3` to `SW-17` and `SW-24` of the original.
//!
//! **Several files.** A slot is a range of bytes of the torrent, so it may lie in several files; each of
//! them grows without holes. A slot with padding in it (BEP 47) cannot hold another piece, since padding is
//! never on the disk, so such a piece stands at home from the start, for good, and takes no part; the file
//! before the padding may have a hole until its other pieces are there.
//!
//! **Another program** that moves pieces about in the same files, by a map of its own, would write over what is had.
//! So a file that is written is locked, where the file system has locks, and who finds it locked stops. On a share of
//! SMB nobody else can read the file meanwhile.
//!
//! **A begun piece** has a slot with filler, or with what lay there before. Reading bytes of it that were
//! not written gives those: its hash tells.
//!
//! # What a crash may cost
//! Nothing that was verified, as long as the system goes on; what was not saved is hashed.
//!
//! - A move copies a piece as a whole into a slot whose contents nobody needs, and only after that is
//!   anything written over the old slot. So whenever the process is killed, each verified piece is whole in
//!   its old slot or in its new one, and the filler, the copy that was cut short and the piece that was
//!   being written are what is lost.
//! - What a checkpoint said is taken at the next start only when every file of the torrent still has the
//!   length and the time that it had then; the checkpoint sets that time so that no later write comes upon
//!   the same. So after a kill in the middle the saved places are not used, every slot on the disk is
//!   hashed, and each piece is recognised wherever it lies: at home, in another's slot, or twice, where its
//!   copy is done and its old slot not yet used.
//! - A power cut may also lose what was never forced to the disk. With `sync = "seal"` each copy is forced
//!   there before its old slot is used. With `sync = "checkpoint"` the first one after a checkpoint is, and
//!   with it the files' new times: so the saved places are never taken for true when they are not, but
//!   pieces that moved since the last checkpoint may have to be fetched again. With `sync = "never"` the
//!   power must not fail.
//!
//! A torrent that was begun with this store and is not complete needs this store again: another one does not
//! know who is where. Its resume file says which one it was, and the client does not start with another while that
//! would cost pieces.
//!
//! Source: the original, release 3.4.2.

use std::future::Future;
use std::sync::{Arc, Mutex};

use bt_api::{
    BoxFuture, BuildError, Host, PieceIndex, PieceSet, Plugin, StorageBackend, StorageError, Torrent,
    TorrentLayout, TorrentStore, plugin, run_blocking,
};
use serde::{Deserialize, Serialize};

use self::scan::scan;
use self::slots::Slots;
use crate::blocking::Blocking;
use crate::disk::{Claims, Disk, Rules};

mod placement;
mod recognise;
mod saved;
mod scan;
mod slots;

pub use self::placement::{Placement, Step};
pub use crate::disk::{LongerFile, SyncWhen};

/// The plug-in `compact`.
pub struct Compact {
    config: Config,
    claims: Arc<Mutex<Claims>>,
}

/// The `[storage]` table of `compact`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What becomes of a file that is longer than the torrent says (ST-2).
    pub longer_file: LongerFile,
    /// How many files of one torrent are open at a time; the one least recently used is closed (ST-9).
    pub max_open_files: usize,
    /// When written data is forced to the disk.
    pub sync: SyncWhen,
    /// The byte that a fresh slot is filled with (SW-11).
    pub fill: u8,
    /// Whether a piece that is had is hashed on its way home; one that does not match stays where it is, and
    /// downloading pauses (SW-10).
    pub verify_moves: bool,
    /// Whether data that is there already is hashed at the start. If not, it is taken as complete and in
    /// order, and hashed when it is first read; what does not match then is wanted again (SW-4, SW-24).
    pub check_hashes: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            longer_file: LongerFile::Refuse,
            max_open_files: 50,
            sync: SyncWhen::Checkpoint,
            fill: 255,
            verify_moves: true,
            check_hashes: true,
        }
    }
}

impl Plugin for Compact {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "compact";
    const SUMMARY: &'static str = "keeps the torrent's files on disk, filled from the start without holes";
    fn build(config: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        Self::new(config).map(|backend| Box::new(backend) as _)
    }
}
bt_api::register!(Compact);

impl Compact {
    /// The backend with these keys.
    ///
    /// # Errors
    /// When no file may be open.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.max_open_files == 0 {
            return Err(BuildError::new("max-open-files", "must be at least 1"));
        }
        Ok(Self { config, claims: Arc::default() })
    }

    /// Opens the store of a torrent, as [`StorageBackend::open`] does, and lets its placement be watched. Where nothing saved can be trusted,
    /// all that is there is hashed, on all cores, and pieces are recognised wherever they lie (SW-4).
    ///
    /// # Errors
    /// As there.
    pub fn open_store(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> impl Future<Output = Result<(Box<dyn TorrentStore>, Places), StorageError>> + Send + use<> {
        let (config, claims) = (self.config.clone(), self.claims.clone());
        async move {
            let Config { longer_file, max_open_files, sync, .. } = config;
            let (rules, opened) = (Rules { longer_file, max_open_files, sync, locks: true }, torrent.clone());
            let disk = Arc::new(run_blocking(&*host, move || Disk::open(opened, rules, claims)).await?);
            let pinned = padded(&torrent.layout);
            let saved =
                torrent.saved.as_ref().and_then(|bytes| saved::decode(bytes, pinned.clone(), &torrent));
            let placement = match saved.filter(|(saved, _)| saved.files == disk.stamps()) {
                Some((saved, placement)) => {
                    disk.vouch(saved.sealed);
                    placement
                }
                None if !config.check_hashes => {
                    let there = disk.allocated();
                    disk.vouch_unchecked(&there);
                    let held =
                        (0..there.pieces()).map(PieceIndex).map(|slot| there.contains(slot).then_some(slot));
                    arranged(&torrent.layout, pinned, held)
                }
                None => {
                    let found = scan(&disk, &host, pinned.clone()).await?;
                    disk.vouch(found.sealed);
                    arranged(&torrent.layout, pinned, found.held)
                }
            };
            let slots = Slots::new(disk, placement, config.fill, config.verify_moves);
            let slots = Arc::new(slots);
            Ok((Blocking::boxed(slots.clone(), host), Places(slots)))
        }
    }
}

fn arranged(
    layout: &TorrentLayout,
    pinned: PieceSet,
    held: impl IntoIterator<Item = Option<PieceIndex>>,
) -> Placement {
    Placement::restore(pinned, short_last(layout), held)
        .expect("what is found keeps the rules of a placement")
}

/// Whether the last piece is shorter than the others.
fn short_last(layout: &TorrentLayout) -> bool {
    layout.piece_length(PieceIndex(layout.piece_count() - 1)) < layout.nominal_piece_length()
}

/// The pieces with padding in them.
fn padded(layout: &TorrentLayout) -> PieceSet {
    let mut pieces = PieceSet::new(layout.piece_count());
    let pads = layout.files().iter().enumerate().filter(|(_, file)| file.is_pad());
    for piece in pads.flat_map(|(file, _)| layout.pieces_of(file)) {
        pieces.insert(piece);
    }
    pieces
}

impl StorageBackend for Compact {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        let opening = self.open_store(torrent, host);
        Box::pin(async move { opening.await.map(|(store, _)| store) })
    }
}

/// Tells who is where in an open store.
pub struct Places(Arc<Slots>);

impl Places {
    /// Who is where now.
    pub fn now(&self) -> Placement {
        self.0.placement()
    }
}
