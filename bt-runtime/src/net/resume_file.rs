//! The resume file of a torrent: read whole or not at all, replaced whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bt_api::InfoHash;
use bt_engine::resume::{MAX_RESUME_BYTES, Resume};
use tempfile::NamedTempFile;

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
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(tell(&error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_RESUME_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| tell(&error))?;
    Resume::decode(&bytes, info_hash, pieces).map(Some).map_err(|error| tell(&error))
}

/// Puts `resume` in the place of the file at `path`: whatever happens meanwhile, the old file or the new
/// one is there, whole.
pub(crate) fn save(path: &Path, resume: &Resume) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(&resume.encode())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The name too must last. Not every system can open a folder; there the rename is all there is.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bt_api::{PieceIndex, PieceSet};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_broken_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("new/state");
        let path = path(&state, InfoHash([7; 20]));
        assert!(path.ends_with("0707070707070707070707070707070707070707.resume"));
        assert_eq!(load(&path, InfoHash([7; 20]), 9), Ok(None));
        let mut have = PieceSet::new(9);
        for piece in [3, 5] {
            have.insert(PieceIndex(piece));
            let resume = Resume {
                info_hash: InfoHash([7; 20]),
                have: have.clone(),
                partial: Vec::new(),
                uploaded: 1,
                downloaded: 2,
                storage_name: "files".into(),
                store: None,
            };
            save(&path, &resume).unwrap();
            assert_eq!(load(&path, InfoHash([7; 20]), 9), Ok(Some(resume)));
        }
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "no temporary file is left");
        let whole = fs::read(&path).unwrap();
        for broken in [&whole[..whole.len() - 1], &[], &[0; 10]] {
            fs::write(&path, broken).unwrap();
            let error = load(&path, InfoHash([7; 20]), 9).unwrap_err();
            assert!(error.contains("is not used") && !error.contains('\n'), "{error}");
        }
    }
}
