//! The objects, in calls that block, and the runtime that their client needs.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ::object_store::path::Path;
use ::object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use bt_api::{Bytes, InfoHash, StorageError, StorageErrorKind};
use futures::StreamExt;
use futures::channel::oneshot;
use tokio::runtime::{Builder, Handle};

use super::Config;
use super::connect::{connect, longest_call};
use super::failure::{failed, told};
use crate::tags::{Tag, tag_of};

/// Which of the objects that had a name it is, where the store tells: it changes when the object is written.
pub(super) type Version = Option<Tag>;

/// The version that an entity tag stands for. Some clouds put it in quotation marks here and not there.
pub(super) fn version_of(entity_tag: Option<&str>) -> Version {
    entity_tag.map(|tag| tag_of(tag.trim_start_matches("W/").trim_matches('"').as_bytes()))
}

/// Whether two versions may be the same.
pub(super) fn agree(one: Version, other: Version) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// The objects below a prefix of a store.
pub(super) struct Bucket {
    worker: Worker,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// How messages call the prefix.
    place: String,
    /// The longest that a call may take.
    limit: Duration,
    torrents: Mutex<BTreeSet<InfoHash>>,
}

impl Bucket {
    /// Those that `config` names, or those of a store that is `given`. Nothing is asked for yet.
    pub(super) fn open(
        config: &Config,
        given: Option<(Arc<dyn ObjectStore>, Path)>,
    ) -> Result<Self, StorageError> {
        let worker =
            Worker::start().map_err(|error| StorageError::io("object-store: starting a thread", error))?;
        let (place, connected) = match given {
            Some((store, prefix)) => (format!("{store}/{prefix}"), Ok((store, prefix))),
            None => {
                let _within = worker.handle.enter();
                (config.url.clone(), connect(config))
            }
        };
        let (store, prefix) = connected.map_err(|error| failed(&format!("using {place}"), &error))?;
        let place = place.trim_end_matches('/').to_owned();
        Ok(Self { worker, store, prefix, place, limit: longest_call(config), torrents: Mutex::default() })
    }

    /// Where something of a torrent lies; `parts` name it.
    pub(super) fn path(&self, torrent: InfoHash, parts: &[&str]) -> Path {
        let torrent = self.prefix.clone().join(torrent.to_string());
        parts.iter().fold(torrent, |path, &part| path.join(part))
    }

    /// How messages call an object.
    pub(super) fn name(&self, path: &Path) -> String {
        let below = path.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or(path.as_ref());
        format!("{}/{}", self.place, below.trim_start_matches('/'))
    }

    /// Tells `found` of every object below `path`.
    pub(super) fn list(&self, path: &Path, mut found: impl FnMut(ObjectMeta)) -> Result<(), StorageError> {
        let attempt = || format!("listing {}/", self.name(path));
        let mut objects = self.store.list(Some(path));
        // The limit holds for each page of the listing.
        while let Some(object) = self.wait(&attempt, async { Ok(objects.next().await) })? {
            found(object.map_err(|error| self.not_there(&attempt(), &error))?);
        }
        Ok(())
    }

    /// Reads a part of an object, and what it is now.
    pub(super) fn get(&self, path: &Path, range: Range<u32>) -> Result<(Bytes, ObjectMeta), StorageError> {
        let attempt =
            || format!("reading {} bytes at {} of {}", range.end - range.start, range.start, self.name(path));
        let range = GetRange::Bounded(range.start.into()..range.end.into());
        let (bytes, meta) = self.wait(&attempt, async {
            let read = async {
                let options = GetOptions { range: Some(range), ..GetOptions::default() };
                let found = self.store.get_opts(path, options).await?;
                let meta = found.meta.clone();
                Ok((found.bytes().await?, meta))
            };
            read.await.map_err(|error| failed(&attempt(), &error))
        })?;
        Ok((bytes, meta))
    }

    /// Writes an object.
    pub(super) fn put(&self, path: &Path, bytes: Bytes) -> Result<Version, StorageError> {
        let attempt = || format!("writing {}", self.name(path));
        let put = self.wait(&attempt, async {
            self.store.put(path, bytes.into()).await.map_err(|error| self.not_there(&attempt(), &error))
        })?;
        Ok(version_of(put.e_tag.as_deref()))
    }

    /// Deletes an object that nobody needs. If that fails it stays until the torrent is opened next.
    pub(super) fn discard(&self, path: &Path) {
        let attempt = || format!("deleting {}", self.name(path));
        let _ = self.wait(&attempt, async {
            self.store.delete(path).await.map_err(|error| failed(&attempt(), &error))
        });
    }

    /// As [`failed`], where what is missing can only be the bucket: no piece is wanted again for that.
    fn not_there(&self, attempt: &str, error: &::object_store::Error) -> StorageError {
        let error = failed(attempt, error);
        match error.kind() {
            StorageErrorKind::Missing => StorageError::new(StorageErrorKind::Other, error.to_string()),
            _ => error,
        }
    }

    fn wait<T>(
        &self,
        attempt: &dyn Fn() -> String,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let limit = self.limit;
        // The time-out is made within the runtime, whose clock it goes by.
        let done = self.worker.handle.block_on(async { tokio::time::timeout(limit, call).await });
        done.unwrap_or_else(|_| {
            let cause = format!("no answer within {} s", limit.as_secs_f32());
            Err(told(StorageErrorKind::Other, &attempt(), &cause))
        })
    }

    fn torrents(&self) -> MutexGuard<'_, BTreeSet<InfoHash>> {
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a torrent is open; dropped, it may be opened again.
pub(super) struct Claim {
    bucket: Arc<Bucket>,
    torrent: InfoHash,
}

impl Claim {
    pub(super) fn new(bucket: Arc<Bucket>, torrent: InfoHash) -> Result<Self, StorageError> {
        if !bucket.torrents().insert(torrent) {
            let place = format!("opening {}", bucket.name(&bucket.path(torrent, &[])));
            return Err(told(StorageErrorKind::Denied, &place, "the torrent is open already"));
        }
        Ok(Self { bucket, torrent })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.bucket.torrents().remove(&self.torrent);
    }
}

/// A tokio runtime on a thread of its own, which reads and writes its sockets; ends when dropped. What is waited for runs
/// on the thread that waits.
struct Worker {
    handle: Handle,
    /// `None` while it is being dropped, as below.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let _ = runtime.block_on(stopped);
            // Names that are being looked up and files that are being read are not waited for.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("object-store".to_owned()).spawn(run)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panics for no reason that matters here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_ends_with_its_worker() {
        let worker = Worker::start().unwrap();
        let handle = worker.handle.clone();
        // Something that would run for ever.
        let forever = handle.spawn(std::future::pending::<()>());
        drop(worker);
        assert!(forever.is_finished());
    }

    #[test]
    fn versions_are_told_apart_however_they_are_quoted() {
        let version = |tag| version_of(Some(tag));
        assert_eq!(version("\"0x8D\""), version("0x8D"));
        assert_eq!(version("W/\"a\""), version("\"a\""));
        assert!(!agree(version("a"), version("b")));
        assert!(agree(None, version("b")) && agree(version("a"), None));
    }
}
