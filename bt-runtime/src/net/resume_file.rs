//! The resume file of a torrent: read whole or not at all, replaced whole or not at all.
//!
//! Whoever can write into the state folder may plant links, pipes and other people's files there, so only a
//! regular file is read, and it is never written into: a new one takes its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bt_api::InfoHash;
use bt_engine::resume::{MAX_RESUME_BYTES, Resume};

/// Where the resume file of a torrent lies in the state folder.
pub(crate) fn path(state: &Path, info_hash: InfoHash) -> PathBuf {
    state.join(format!("{info_hash}.resume"))
}

/// Reads the resume file at `path`; `None` where there is none.
///
/// # Errors
/// One line for the user: it cannot be read, or is not to be used. A full check does without it.
pub(crate) fn load(path: &Path, info_hash: InfoHash, pieces: u32) -> Result<Option<Resume>, String> {
    let tell = |error: &dyn std::fmt::Display| format!("resume file {path:?} is not used: {error}");
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(tell(&error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_RESUME_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| tell(&error))?;
    Resume::decode(&bytes, info_hash, pieces).map(Some).map_err(|error| tell(&error))
}

/// Opens the regular file at `path`: not through a link, and without waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let is_file = |kind: fs::FileType| {
        if kind.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
    };
    // Looked at first for the better message, and after opening in case it was swapped.
    is_file(fs::symlink_metadata(path)?.file_type())?;
    let file = options.open(path)?;
    is_file(file.metadata()?.file_type())?;
    Ok(file)
}

/// Puts `resume` in the place of the file at `path`: whatever happens meanwhile, the old file or the new
/// one is there, whole.
pub(crate) fn save(path: &Path, resume: &Resume) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    // Always the same name, so that whoever is killed here again and again leaves one file behind.
    let new = path.with_extension("resume.new");
    let result = write_new(&new, &resume.encode()).and_then(|()| fs::rename(&new, path));
    if result.is_err() {
        // It takes up room on a disk that may be full.
        let _ = fs::remove_file(&new);
    }
    result?;
    // The name too must last. Not every system can open a folder; there the rename is all there is.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Writes a file that was not there, down to the disk; what an earlier try left is taken away.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use bt_api::{PieceIndex, PieceSet};

    use super::*;

    const TORRENT: InfoHash = InfoHash([7; 20]);

    fn resume(pieces: &[u32]) -> Resume {
        let mut have = PieceSet::new(9);
        pieces.iter().for_each(|&piece| {
            have.insert(PieceIndex(piece));
        });
        let storage_name = "files".into();
        let partial = Vec::new();
        Resume { info_hash: TORRENT, have, partial, uploaded: 1, downloaded: 2, storage_name, store: None }
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_broken_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("new/state");
        let path = path(&state, TORRENT);
        assert!(path.ends_with("0707070707070707070707070707070707070707.resume"));
        assert_eq!(load(&path, TORRENT, 9), Ok(None));
        for pieces in [&[3][..], &[3, 5]] {
            save(&path, &resume(pieces)).unwrap();
            assert_eq!(load(&path, TORRENT, 9), Ok(Some(resume(pieces))));
        }
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "no temporary file is left");
        let whole = fs::read(&path).unwrap();
        for broken in [&whole[..whole.len() - 1], &[], &[0; 10]] {
            fs::write(&path, broken).unwrap();
            let error = load(&path, TORRENT, 9).unwrap_err();
            assert!(error.contains("is not used") && !error.contains('\n'), "{error}");
        }
    }

    /// A killed run leaves a part of the new file, never of the one that counts.
    #[test]
    fn what_a_killed_run_left_is_taken_away() {
        let state = tempfile::tempdir().unwrap();
        let path = path(state.path(), TORRENT);
        save(&path, &resume(&[1])).unwrap();
        fs::write(path.with_extension("resume.new"), "bt-resume 1\nhalf of").unwrap();
        assert_eq!(load(&path, TORRENT, 9), Ok(Some(resume(&[1]))));
        save(&path, &resume(&[2])).unwrap();
        assert_eq!(load(&path, TORRENT, 9), Ok(Some(resume(&[2]))));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_neither_read_nor_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (state, target) = (folder.path().join("state"), folder.path().join("target"));
        let (path, new) = (path(&state, TORRENT), path(&state, TORRENT).with_extension("resume.new"));
        save(&target, &resume(&[1])).unwrap();
        let before = fs::read(&target).unwrap();
        fs::create_dir(&state).unwrap();
        for link in [&path, &new] {
            std::os::unix::fs::symlink(&target, link).unwrap();
        }
        assert!(load(&path, TORRENT, 9).unwrap_err().ends_with("it is not a regular file"));
        save(&path, &resume(&[2])).unwrap();
        assert_eq!(load(&path, TORRENT, 9), Ok(Some(resume(&[2]))));
        assert_eq!(fs::read(&target).unwrap(), before);

        // A pipe keeps nobody waiting, and a folder stays.
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        load(&path, TORRENT, 9).unwrap_err();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        load(&path, TORRENT, 9).unwrap_err();
        save(&path, &resume(&[2])).unwrap_err();
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
    }
}
