//! The database's file: opened when it is first used, and anew after it failed.
//!
//! Once a read or write of its file has failed, redb answers nothing but errors, since what it has in memory may
//! contradict the disk. So it is closed then, and the next call opens it again as it was at its last commit that
//! reached the disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bt_api::{StorageError, StorageErrorKind};
use redb::{Builder, Database, DatabaseError, Durability, WriteTransaction};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::SyncWhen;
use super::rows;

/// How a database is opened.
pub(super) struct Open {
    pub(super) path: PathBuf,
    /// In bytes.
    pub(super) cache: usize,
    pub(super) check_integrity: bool,
    pub(super) sync: SyncWhen,
    /// Opens the database in an open file, or begins one where it is empty.
    pub(super) create: fn(&Builder, File) -> Result<Database, DatabaseError>,
}

/// The file that torrents share.
pub(super) struct DatabaseFile {
    how: Open,
    database: RwLock<Opened>,
    /// Whether something was committed that did not wait for the disk.
    pending: AtomicBool,
    /// Seals that wait for their commit.
    seals: Mutex<Vec<Arc<Seal>>>,
    /// Held by whoever commits seals.
    committing: Mutex<()>,
    /// Which file it is, device and inode, once it was opened.
    identity: Mutex<Option<(u64, u64)>>,
    /// The torrents that run.
    pub(super) torrents: Mutex<BTreeSet<[u8; 20]>>,
}

#[derive(Default)]
struct Opened {
    database: Option<Database>,
    /// How often it was opened: a call that failed closes only what it used.
    times: u64,
}

/// A piece that is to be sealed, and how that ended.
struct Seal {
    piece: rows::Piece,
    result: Mutex<Option<Result<(), StorageError>>>,
}

impl DatabaseFile {
    pub(super) fn new(how: Open) -> Self {
        Self {
            how,
            database: RwLock::default(),
            pending: AtomicBool::new(false),
            seals: Mutex::default(),
            committing: Mutex::default(),
            identity: Mutex::default(),
            torrents: Mutex::default(),
        }
    }

    /// Opens the file, if it is not open; `progress` is told how much of it was gone through, from 0 to 1.
    pub(super) fn open(&self, progress: impl Fn(f64) + 'static) -> Result<(), StorageError> {
        let mut opened = self.database.write().unwrap_or_else(PoisonError::into_inner);
        self.vet()?;
        if opened.database.is_some() {
            return Ok(());
        }
        let attempt = format!("opening the database {:?}", self.how.path);
        let mut builder = Database::builder();
        builder.set_cache_size(self.how.cache).set_check_integrity_on_open(self.how.check_integrity);
        builder.set_repair_callback(move |session| progress(session.progress()));
        let open = || {
            let file = self.file()?;
            let facts = file.metadata()?;
            let database = (self.how.create)(&builder, file)?;
            let begun = database.begin_write()?;
            rows::make_tables(&begun)?;
            begun.commit()?;
            *lock(&self.identity) = Some((facts.dev(), facts.ino()));
            Ok(database)
        };
        opened.database = Some(open().map_err(|error| failed(&attempt, error))?);
        opened.times += 1;
        Ok(())
    }

    /// Whoever can write into the output folder may have planted a link there: it is not followed.
    fn file(&self) -> io::Result<File> {
        let path = &self.how.path;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o666));
        file.map(File::from).map_err(|errno| match errno {
            Errno::LOOP => {
                let what = "it is a symbolic link, which is never followed";
                io::Error::new(io::ErrorKind::InvalidData, what)
            }
            errno => errno.into(),
        })
    }

    /// Fails where the file was taken away or replaced since it was opened: what is written to it then is lost with the
    /// process, and another one that is made in its place would lack what was sealed.
    fn vet(&self) -> Result<(), StorageError> {
        let Some(known) = *lock(&self.identity) else { return Ok(()) };
        let attempt = || format!("writing to the database {:?}", self.how.path);
        let what = match std::fs::symlink_metadata(&self.how.path) {
            Ok(facts) if (facts.dev(), facts.ino()) == known => return Ok(()),
            Ok(_) => "it was replaced by another file",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "it was taken away",
            Err(error) => return Err(StorageError::io(attempt(), error)),
        };
        let message = format!("{}: {what} while running, so nothing is written", attempt());
        Err(StorageError::new(StorageErrorKind::Corrupt, message))
    }

    /// What `work` answers, which `attempt` tells; a file that failed is opened again by the next call.
    pub(super) fn with<T>(
        &self,
        attempt: &str,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        let (times, result) = loop {
            let opened = self.database.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(database) = &opened.database {
                break (opened.times, work(database));
            }
            drop(opened);
            self.open(|_| {})?;
        };
        result.map_err(|error| {
            if matches!(error, redb::Error::Io(_) | redb::Error::Backend(_) | redb::Error::PreviousIo) {
                let mut opened = self.database.write().unwrap_or_else(PoisonError::into_inner);
                if opened.times == times {
                    opened.database = None;
                }
            }
            failed(attempt, error)
        })
    }

    /// A transaction that `work` fills; it reaches the disk with a later one.
    pub(super) fn change<T>(
        &self,
        attempt: &str,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        self.vet()?;
        let changed = self.with(attempt, |database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::None)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        self.pending.store(true, Ordering::Release);
        changed
    }

    /// Seals a piece, together with those that wait for it at the same time.
    pub(super) fn seal(&self, piece: rows::Piece) -> Result<(), StorageError> {
        let seal = Arc::new(Seal { piece, result: Mutex::new(None) });
        lock(&self.seals).push(seal.clone());
        let _turn = lock(&self.committing);
        // Whoever had the turn before may have done it.
        if let Some(result) = lock(&seal.result).take() {
            return result;
        }
        let mut batch = std::mem::take(&mut *lock(&self.seals));
        if !batch.iter().any(|other| Arc::ptr_eq(other, &seal)) {
            // Whoever took it panicked.
            batch.push(seal.clone());
        }
        let attempt = format!("sealing {} pieces", batch.len());
        let commit = |database: &Database| {
            let mut transaction = database.begin_write()?;
            let durability = match self.how.sync {
                SyncWhen::Seal => Durability::Immediate,
                SyncWhen::Checkpoint => Durability::None,
            };
            transaction.set_durability(durability)?;
            let sealed: Vec<_> =
                batch.iter().map(|seal| rows::seal(&transaction, &seal.piece)).collect::<Result<_, _>>()?;
            transaction.commit()?;
            Ok(sealed)
        };
        let committed = self.vet().and_then(|()| self.with(&attempt, commit));
        if self.how.sync == SyncWhen::Checkpoint {
            self.pending.store(true, Ordering::Release);
        }
        let results: Vec<Result<(), StorageError>> = match committed {
            Ok(results) => results,
            Err(error) => vec![Err(error); batch.len()],
        };
        for (seal, result) in batch.iter().zip(results) {
            *lock(&seal.result) = Some(result);
        }
        lock(&seal.result).take().expect("it is in the batch")
    }

    /// Forces everything that was committed to the disk.
    pub(super) fn checkpoint(&self) -> Result<(), StorageError> {
        if !self.pending.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let forced = self.vet().and_then(|()| {
            self.with("committing the database to the disk", |database| {
                let mut transaction = database.begin_write()?;
                transaction.set_quick_repair(true);
                Ok(transaction.commit()?)
            })
        });
        forced.inspect_err(|_| self.pending.store(true, Ordering::Release))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error that the database's means, while `attempt` was tried.
fn failed(attempt: &str, error: redb::Error) -> StorageError {
    use redb::Error;
    let kind = match error {
        // Also what is no database at all.
        Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            return StorageError::new(StorageErrorKind::Corrupt, format!("{attempt}: {error}"));
        }
        Error::Io(error) => return StorageError::io(attempt, error),
        Error::Corrupted(_) | Error::TableTypeMismatch { .. } | Error::UpgradeRequired(_) => {
            StorageErrorKind::Corrupt
        }
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => StorageErrorKind::Denied,
        // Another call failed; the next one finds the file opened again.
        Error::PreviousIo => StorageErrorKind::Temporary,
        _ => StorageErrorKind::Other,
    };
    StorageError::new(kind, format!("{attempt}: {error}"))
}
