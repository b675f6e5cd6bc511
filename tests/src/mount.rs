//! File systems of a test's own, where it may mount some.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};

use crate::skipped;

/// A mounted file system; dropped, it is taken away.
pub struct Mount(PathBuf);

impl Mount {
    /// A file system in memory with room for 64 MiB, mounted at `path`. Without the right to mount one it says so
    /// and answers `None`.
    ///
    /// # Panics
    /// When `BT_REQUIRE_CLIENTS` is `1` and it may not be mounted.
    pub fn of_64_mib(path: &Path) -> Option<Self> {
        Self::made(path, || mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(c"size=64m" as &CStr)))
    }

    /// `path` as it is, but read-only; `None` as above.
    ///
    /// # Panics
    /// As above.
    pub fn read_only(path: &Path) -> Option<Self> {
        Self::made(path, || {
            mount_bind(path, path)?;
            mount_remount(path, MountFlags::BIND | MountFlags::RDONLY, "").inspect_err(|_| {
                let _ = unmount(path, UnmountFlags::DETACH);
            })
        })
    }

    fn made(path: &Path, mount: impl FnOnce() -> Result<(), Errno>) -> Option<Self> {
        match mount() {
            Ok(()) => Some(Self(path.to_owned())),
            Err(errno) => {
                skipped(&format!("no file system can be mounted here ({errno})"));
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whoever still has a file open there does not keep the test's folder.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
