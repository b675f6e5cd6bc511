//! How a torrent begins: its store is opened, its resume file read, and the rest is checked (after DN-1).

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use async_std::task;
use bt_api::{BlockRef, Host, PieceSet, Torrent, TorrentStore};
use bt_engine::metainfo::Metainfo;
use bt_engine::resume::Resume;
use futures::FutureExt;

use super::check::check;
use super::{Shared, panics, resume_file};

/// A torrent that can run.
pub(crate) struct Ready {
    pub(crate) store: Arc<dyn TorrentStore>,
    pub(crate) torrent: Arc<Torrent>,
    pub(crate) have: PieceSet,
    /// Blocks of other pieces that an earlier run has written.
    pub(crate) partial: Vec<BlockRef>,
    /// Bytes sent and received in earlier runs.
    pub(crate) uploaded: u64,
    pub(crate) downloaded: u64,
}

/// Opens the store of a torrent in `folder` and finds out what of it is there; hashes everything when
/// `check_all` says so. `done` counts the pieces looked at; what the user should know goes to `warn`.
///
/// # Errors
/// One line: why the torrent cannot start.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    metainfo: &Metainfo,
    folder: PathBuf,
    check_all: bool,
    done: &Arc<AtomicU32>,
    warn: impl Fn(String),
) -> Result<Ready, String> {
    let pieces = metainfo.layout.piece_count();
    let mut resume = load(shared, metainfo, pieces).await.unwrap_or_else(|warning| {
        warn(warning);
        None
    });
    let storage_name = shared.profile.storage_name();
    if let Some(found) = resume.take_if(|resume| resume.storage_name != storage_name) {
        let (before, now) = (found.storage_name, storage_name.as_str());
        warn(format!("everything is checked: the storage was {before:?} and is {now:?} now"));
    }
    let saved = resume.as_ref().and_then(|resume| resume.store.clone());
    let torrent = Arc::new(metainfo.torrent(folder, saved));
    let backend = shared.profile.storage();
    let host: Arc<dyn Host> = shared.host.clone();
    let opening = AssertUnwindSafe(async {
        let store: Arc<dyn TorrentStore> = backend.open(torrent.clone(), host).await?.into();
        let held = if check_all { PieceSet::new(pieces) } else { store.held().await? };
        Ok::<_, bt_api::StorageError>((store, held))
    });
    let opened = opening.catch_unwind().await;
    let opened = opened
        .map_err(|panic| format!("the storage {storage_name} panicked: {}", panics::message(&*panic)))?;
    let (store, mut trusted) = opened.map_err(|error| error.to_string())?;
    if let Some(resume) = &resume {
        // What the store vouches for and what was verified: either alone may be newer than the other.
        let unsure: Vec<_> = trusted.iter().filter(|&piece| !resume.have.contains(piece)).collect();
        unsure.into_iter().for_each(|piece| {
            trusted.remove(piece);
        });
    }
    let have = check(&store, &torrent, trusted, done).await.map_err(|error| error.to_string())?;
    let (mut uploaded, mut downloaded, mut partial) = (0, 0, Vec::new());
    if let Some(resume) = resume {
        (uploaded, downloaded) = (resume.uploaded, resume.downloaded);
        if shared.settings.requests.keep_partials && !check_all {
            partial = resume.partial;
        }
    }
    Ok(Ready { store, torrent, have, partial, uploaded, downloaded })
}

async fn load(shared: &Shared, metainfo: &Metainfo, pieces: u32) -> Result<Option<Resume>, String> {
    let Some(state) = &shared.state else { return Ok(None) };
    let (path, info_hash) = (resume_file::path(state, metainfo.info_hash), metainfo.info_hash);
    task::spawn_blocking(move || resume_file::load(&path, info_hash, pieces)).await
}
