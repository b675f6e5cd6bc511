//! How a torrent begins: its store is opened, its resume file read, and the rest is checked (after DN-1).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use async_std::task;
use bt_api::{BlockRef, Host, PieceSet};
use bt_engine::metainfo::Metainfo;
use bt_engine::resume::Resume;

use super::check::check;
use super::foreign::foreign;
use super::{Shared, resume_file};
use crate::store::guard::Guard;
use crate::store::pool::BufferPool;
use crate::store::{Desk, Tasks};

/// The most files that a message names.
const MOST_NAMES: usize = 5;

/// A torrent that can run.
pub(crate) struct Ready {
    pub(crate) desk: Desk,
    pub(crate) have: PieceSet,
    /// Blocks of other pieces that an earlier run has written.
    pub(crate) partial: Vec<BlockRef>,
    /// Bytes sent and received in earlier runs.
    pub(crate) uploaded: u64,
    pub(crate) downloaded: u64,
}

/// A torrent that is to begin.
pub(crate) struct Beginning<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) metainfo: &'a Metainfo,
    /// The output folder.
    pub(crate) folder: PathBuf,
    /// Whether everything is hashed, and the store goes without what it saved.
    pub(crate) check_all: bool,
    /// Counts the pieces looked at.
    pub(crate) done: &'a Arc<AtomicU32>,
    /// The wall around the store, the buffers that it is lent, and where work on it will run.
    pub(crate) guard: &'a Arc<Guard>,
    pub(crate) pool: BufferPool,
    pub(crate) tasks: Arc<dyn Tasks>,
}

/// Opens the store of a torrent and finds out what of it is there: what the store vouches for is taken, the rest is
/// hashed. What the user should know goes to `warn`.
///
/// # Errors
/// One line: why the torrent cannot start.
pub(crate) async fn start(beginning: Beginning<'_>, warn: impl Fn(String)) -> Result<Ready, String> {
    let Beginning { shared, metainfo, folder, check_all, done, guard, pool, tasks } = beginning;
    let pieces = metainfo.layout.piece_count();
    let loaded = load(shared, metainfo, pieces).await;
    // A resume file is written before the first byte. So where there is none, or one that vouches for pieces of
    // which none is left, what is there is not ours.
    let is_foreign = match &loaded {
        Ok(Some(resume)) => !resume.have.is_empty(),
        Ok(None) => shared.state.is_some(),
        Err(_) => false,
    };
    let mut resume = loaded.unwrap_or_else(|warning| {
        warn(warning);
        None
    });
    let storage_name = shared.profile.storage_name();
    let other = resume.take_if(|resume| resume.storage_name != storage_name);
    if let Some(other) = &other {
        let (before, now) = (&other.storage_name, storage_name.as_str());
        warn(format!("everything is checked: the storage was {before:?} and is {now:?} now"));
    }
    let saved = resume.as_ref().filter(|_| !check_all).and_then(|resume| resume.store.clone());
    let torrent = Arc::new(metainfo.torrent(folder, saved));
    let backend = shared.store.clone().unwrap_or_else(|| shared.profile.storage());
    let host: Arc<dyn Host> = Arc::new(shared.host.of_store(pool, done.clone()));
    let store = guard.open(backend, torrent.clone(), host).await.map_err(|error| error.to_string())?;
    let nothing = PieceSet::new(pieces);
    let trusted = if check_all { nothing } else { store.held().await.map_err(|error| error.to_string())? };
    let desk = Desk { store, torrent, host: shared.host.clone(), tasks };
    let have = check(&desk, trusted, done).await.map_err(|error| error.to_string())?;
    let (mut uploaded, mut downloaded, mut partial) = (0, 0, Vec::new());
    if let Some(resume) = resume {
        (uploaded, downloaded) = (resume.uploaded, resume.downloaded);
        if shared.settings.requests.keep_partials && !check_all {
            partial = resume.partial;
        }
    }
    let is_foreign = is_foreign && have.is_empty();
    let begun = if is_foreign { &[] } else { &partial[..] };
    let foreign = foreign(&desk, &have, begun).await;
    let anything = !have.is_empty() || !foreign.is_empty();
    if let Some(other) = other.filter(|_| anything && !check_all) {
        let lost = other.have.iter().filter(|&piece| !have.contains(piece)).count();
        if lost > 0 {
            let before = other.storage_name;
            return Err(format!(
                "{lost} pieces that the storage {before:?} verified are not where {storage_name:?} looks for them, and \
                 would be written over; go on with {before:?} until the torrent is complete, or fetch them again \
                 with --check"
            ));
        }
    }
    if !foreign.is_empty() {
        let names = names(&foreign);
        if is_foreign {
            return Err(format!(
                "there already, and nothing in it is of this torrent: {names}; move it away, or give another \
                 output folder"
            ));
        }
        warn(format!("no piece is whole of what is there already, and it is written over: {names}"));
    }
    Ok(Ready { desk, have, partial, uploaded, downloaded })
}

/// The first of `files`, and how many more there are.
fn names(files: &[String]) -> String {
    let first: Vec<String> = files.iter().take(MOST_NAMES).map(|file| format!("{file:?}")).collect();
    match files.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

async fn load(shared: &Shared, metainfo: &Metainfo, pieces: u32) -> Result<Option<Resume>, String> {
    let Some(state) = &shared.state else { return Ok(None) };
    let (path, info_hash) = (resume_file::path(state, metainfo.info_hash), metainfo.info_hash);
    task::spawn_blocking(move || resume_file::load(&path, info_hash, pieces)).await
}
