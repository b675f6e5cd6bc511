//! The output folder, held open: the only way to the files below it.
//!
//! Whoever can write into the output folder may plant symbolic links there, before the torrent starts or
//! while it runs. So nothing is ever opened by its whole path: each part is opened from the folder before
//! it, and a link is refused wherever it stands. The output folder itself is the user's own choice, and may
//! be reached through links.

use std::os::fd::OwnedFd;
use std::path::Path;

use bt_api::{StorageError, StorageErrorKind};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, accessat, flock, fstat, fsync, ftruncate, mkdirat,
    openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

/// Everything that makes sense is allowed to all; the user's umask takes away from it.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// For opening a folder: not through a link.
const FOLDER_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// For opening a file: not through a link, and without waiting where it turns out to be a pipe.
const FILE_FLAGS: OFlags =
    OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// An open output folder.
pub(crate) struct Folder(OwnedFd);

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    /// To be made, where nothing of that name may stand yet, and written.
    Create,
}

/// What the system tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// In bytes.
    pub(crate) length: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub(crate) mtime: i64,
}

impl Folder {
    /// Opens the output folder at `path`, and makes it first where it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let attempt = |what: &str| format!("{what} the output folder {path:?}");
        std::fs::create_dir_all(path).map_err(|error| StorageError::io(attempt("making"), error))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty());
        folder.map(Self).map_err(|errno| StorageError::io(attempt("opening"), errno.into()))
    }

    /// Which folder it is: device and inode.
    pub(crate) fn identity(&self) -> Result<(u64, u64), StorageError> {
        let stat =
            fstat(&self.0).map_err(|errno| StorageError::io("looking at the output folder", errno.into()))?;
        let facts = Facts::from(&stat);
        Ok((facts.device, facts.inode))
    }

    /// Makes the folders that the file at `path` lies in, where they are missing, and opens the last one.
    pub(crate) fn make_parents(&self, path: &[String]) -> Result<OwnedFd, StorageError> {
        self.parent(path, true)
    }

    /// Sees whether the file at `path` may be written to, or made where it is not there (`exists`). This is
    /// for an early word: what counts is the write itself.
    pub(super) fn check_writable(&self, path: &[String], exists: bool) -> Result<(), StorageError> {
        let parent = self.parent(path, false)?;
        let (what, name, access) = match path.last() {
            Some(name) if exists => ("writing to", name.as_str(), rustix::fs::Access::WRITE_OK),
            _ => ("making", ".", rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK),
        };
        match accessat(&parent, name, access, AtFlags::EACCESS) {
            Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                Err(StorageError::io(attempt(what, path), errno.into()))
            }
            _ => Ok(()),
        }
    }

    /// The regular file at `path`, if there is anything.
    pub(crate) fn find(&self, path: &[String]) -> Result<Option<Facts>, StorageError> {
        let found = self.parent(path, false).and_then(|parent| regular(&parent, path));
        match found {
            Ok(facts) => Ok(Some(facts)),
            Err(error) if error.kind() == StorageErrorKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What lies at `path` in one quick look, if anything. Links on the way are followed: this only serves
    /// to see whether the path still leads to a file that is known.
    pub(crate) fn glance(&self, path: &[String]) -> Result<Option<Facts>, StorageError> {
        let whole: std::path::PathBuf = path.iter().collect();
        match statat(&self.0, &whole, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Facts::from(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            // A path may be longer than the system takes at once.
            Err(Errno::NAMETOOLONG) => self.find(path),
            Err(errno) => Err(StorageError::io(attempt("looking at", path), errno.into())),
        }
    }

    /// Opens the regular file at `path`.
    pub(crate) fn file(&self, path: &[String], access: Access) -> Result<(OwnedFd, Facts), StorageError> {
        let parent = self.parent(path, false)?;
        let name = last(path);
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        if access != Access::Create {
            // A device is not even opened: that alone may have effects.
            regular(&parent, path)?;
        }
        let file = openat(&parent, name, FILE_FLAGS | flags, FILE_MODE);
        let file = file.map_err(|errno| StorageError::io(attempt("opening", path), errno.into()))?;
        let stat = fstat(&file).map_err(|errno| StorageError::io(attempt("opening", path), errno.into()))?;
        // It may have been swapped after the first look.
        check_regular(&stat, path)?;
        Ok((file, Facts::from(&stat)))
    }

    /// Cuts the regular file at `path` to `length` bytes.
    pub(super) fn cut(&self, path: &[String], length: u64) -> Result<Facts, StorageError> {
        let (file, _) = self.file(path, Access::Write)?;
        let stat = ftruncate(&file, length).and_then(|()| fstat(&file));
        let stat = stat.map_err(|errno| StorageError::io(attempt("cutting", path), errno.into()))?;
        Ok(Facts::from(&stat))
    }

    /// Gives the file at `from` the name `to`, in the place of whatever file has it, in one step.
    pub(crate) fn rename(&self, from: &[String], to: &[String]) -> Result<(), StorageError> {
        let (old, new) = (self.parent(from, false)?, self.parent(to, true)?);
        let renamed = renameat(&old, last(from), &new, last(to));
        renamed.map_err(|errno| StorageError::io(attempt("naming", to), errno.into()))
    }

    /// Removes the file at `path`, if there is one.
    pub(crate) fn remove(&self, path: &[String]) -> Result<(), StorageError> {
        let removed = self.parent(path, false).and_then(|parent| {
            let removed = unlinkat(&parent, last(path), AtFlags::empty());
            removed.map_err(|errno| StorageError::io(attempt("removing", path), errno.into()))
        });
        removed.or_else(|error| match error.kind() {
            StorageErrorKind::Missing => Ok(()),
            _ => Err(error),
        })
    }

    /// Removes the folder at `path`, where it is one and empty.
    pub(crate) fn remove_folder(&self, path: &[String]) {
        if let Ok(parent) = self.parent(path, false) {
            // What is not empty stays: that is the point of asking.
            let _ = unlinkat(&parent, last(path), AtFlags::REMOVEDIR);
        }
    }

    /// Forces the names on the way to `path` to the disk: one that lies in a new folder is lost with that one's.
    pub(crate) fn sync_names(&self, path: &[String]) -> Result<(), StorageError> {
        (1..=path.len()).rev().try_for_each(|depth| {
            let synced = fsync(&self.parent(&path[..depth], false)?);
            synced.map_err(|errno| StorageError::io(attempt("syncing the folder of", path), errno.into()))
        })
    }

    /// Opens the folder that `path` lies in; with `make`, makes it and those above it.
    fn parent(&self, path: &[String], make: bool) -> Result<OwnedFd, StorageError> {
        let mut folder =
            self.0.try_clone().map_err(|error| StorageError::io(attempt("opening", path), error))?;
        for depth in 1..path.len() {
            let (here, name) = (&path[..depth], path[depth - 1].as_str());
            let open = || openat(&folder, name, FOLDER_FLAGS, Mode::empty());
            let opened = match open() {
                Err(Errno::NOENT) if make => match mkdirat(&folder, name, FOLDER_MODE) {
                    Ok(()) | Err(Errno::EXIST) => open(),
                    Err(errno) => Err(errno),
                },
                opened => opened,
            };
            folder = opened.map_err(|errno| match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
                    refused(path, here, &stat, "a folder")
                }
                _ => StorageError::io(attempt("opening the folder", here), errno.into()),
            })?;
        }
        Ok(folder)
    }
}

/// Locks what is open of `path`, a file or a folder, against other programs that would write there: two that move pieces
/// about in one file, each by its own map, would write over what the other has. The lock ends with `open`.
pub(crate) fn lock(open: &OwnedFd, path: &[String]) -> Result<(), StorageError> {
    match flock(open, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            let what = "another program is writing there, so nothing is written";
            let message = format!("{}: {what}", attempt("writing", path));
            Err(StorageError::new(StorageErrorKind::Corrupt, message))
        }
        // Not every file system has locks.
        _ => Ok(()),
    }
}

impl From<&Stat> for Facts {
    #[allow(clippy::unnecessary_cast, reason = "the types of these fields differ between systems")]
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            length: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: (stat.st_mtime as i64).wrapping_mul(1_000_000_000).wrapping_add(stat.st_mtime_nsec as i64),
        }
    }
}

fn last(path: &[String]) -> &str {
    path.last().expect("a checked path has a part")
}

/// `what` was tried on the file at `path`, for messages: control characters escaped.
pub(crate) fn attempt(what: &str, path: &[String]) -> String {
    format!("{what} {:?}", path.join("/"))
}

/// The regular file that the last part of `path` names in `parent`.
fn regular(parent: &OwnedFd, path: &[String]) -> Result<Facts, StorageError> {
    let name = last(path);
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.map_err(|errno| StorageError::io(attempt("looking at", path), errno.into()))?;
    check_regular(&stat, path)?;
    Ok(Facts::from(&stat))
}

fn check_regular(stat: &Stat, path: &[String]) -> Result<(), StorageError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(refused(path, path, stat, "a regular file")),
    }
}

/// What stands at `here`, on the way to `path`, is not what is needed there.
fn refused(path: &[String], here: &[String], stat: &Stat, needed: &str) -> StorageError {
    let found = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => "a symbolic link, which is never followed",
        FileType::Directory => "a folder",
        FileType::RegularFile => "a file",
        _ => "a device, pipe or socket",
    };
    let message = format!("{}: {:?} is {found}, not {needed}", attempt("opening", path), here.join("/"));
    StorageError::new(StorageErrorKind::Corrupt, message)
}
