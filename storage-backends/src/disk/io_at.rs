//! Positioned calls on open files that do all they are asked to, or fail.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use rustix::fs::{Timespec, Timestamps, UTIME_OMIT, fdatasync, fsync, futimens};
use rustix::io::{pread, pwritev, retry_on_intr};

/// How much is written at a time where a file is to be filled.
const ZEROS: usize = 1 << 20;

/// Bytes in parts, taken off the front.
pub(crate) struct Slices<'a, I> {
    parts: I,
    rest: &'a [u8],
}

impl<'a, I: Iterator<Item = &'a [u8]>> Slices<'a, I> {
    pub(crate) fn new(parts: I) -> Self {
        Self { parts, rest: &[] }
    }

    /// The next `wanted` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    pub(crate) fn take(&mut self, mut wanted: usize) -> Vec<IoSlice<'a>> {
        let mut taken = Vec::new();
        while wanted > 0 {
            while self.rest.is_empty() {
                self.rest = self.parts.next().expect("as many bytes as were counted");
            }
            let (now, later) = self.rest.split_at(wanted.min(self.rest.len()));
            taken.push(IoSlice::new(now));
            (self.rest, wanted) = (later, wanted - now.len());
        }
        taken
    }
}

/// Fills `into` from `offset`. Fewer bytes are an error, not a short answer (ST-5).
pub(crate) fn read_exact(file: &OwnedFd, into: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        let at = offset + done as u64;
        match retry_on_intr(|| pread(file, &mut into[done..], at))? {
            0 => {
                let what = format!("the file ends at {at}");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
            read => done += read,
        }
    }
    Ok(())
}

/// Writes all of `slices` from `offset`, in as few calls as the system allows.
pub(crate) fn write_all(file: &OwnedFd, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
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

/// Copies `length` bytes from one place to another inside the kernel, where it can.
#[cfg(target_os = "linux")]
pub(super) fn copy(
    input: &OwnedFd,
    mut from: u64,
    output: &OwnedFd,
    mut to: u64,
    mut length: usize,
) -> io::Result<()> {
    while length > 0 {
        // The system moves the two offsets on.
        match rustix::fs::copy_file_range(input, Some(&mut from), output, Some(&mut to), length)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            copied => length -= copied,
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn copy(_: &OwnedFd, _: u64, _: &OwnedFd, _: u64, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives a file of `from` bytes room on the disk for `to`, all of it there: the new bytes are zeros. Where
/// the file system cannot set room aside they are written.
pub(super) fn allocate(file: &OwnedFd, from: u64, to: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), from, to - from)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            done => return done.map_err(Into::into),
        }
    }
    write_zeros(file, from, to)
}

fn write_zeros(file: &OwnedFd, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS.min((to - from) as usize)];
    let mut at = from;
    while at < to {
        let run = &zeros[..(zeros.len() as u64).min(to - at) as usize];
        write_all(file, &mut [IoSlice::new(run)], at)?;
        at += run.len() as u64;
    }
    Ok(())
}

/// Forces a file to the disk: its bytes, and with `all` when it was written too.
///
/// A failure is told once: the next call may succeed although the bytes are lost.
pub(crate) fn sync(file: &OwnedFd, all: bool) -> io::Result<()> {
    #[cfg(test)]
    if FAILING_SYNCS.replace(FAILING_SYNCS.get().saturating_sub(1)) > 0 {
        return Err(rustix::io::Errno::IO.into());
    }
    let synced = if all { fsync(file) } else { fdatasync(file) };
    synced.map_err(Into::into)
}

#[cfg(test)]
thread_local! {
    /// How many syncs of this thread are to fail.
    pub(crate) static FAILING_SYNCS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Sets when a file was last written, in nanoseconds since 1970.
pub(crate) fn set_mtime(file: &OwnedFd, nanoseconds: i64) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: nanoseconds.div_euclid(1_000_000_000),
            tv_nsec: nanoseconds.rem_euclid(1_000_000_000),
        },
    };
    futimens(file, &times).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The way for file systems that set no room aside ends with the same bytes.
    #[test]
    fn room_is_zeros_in_both_ways() {
        for way in [allocate, write_zeros] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(b"abc").unwrap();
            way(&file.as_file().try_clone().unwrap().into(), 3, ZEROS as u64 + 9).unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            assert_eq!((bytes.len(), &bytes[..3]), (ZEROS + 9, &b"abc"[..]));
            assert!(bytes[3..].iter().all(|&byte| byte == 0));
        }
    }
}
