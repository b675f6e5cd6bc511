//! Texts found by a path, or by the name of a shipped one.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use bt_api::plugin::{did_you_mean, shipped};

/// A text that was found by its name.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name: that of the file, or of the shipped text, without `.toml`.
    pub name: String,
    /// What it is called in messages: the path, or `NAME.toml`.
    pub file: String,
    /// The text.
    pub text: Cow<'static, str>,
    /// The folder that it is in, if it is a file; paths in it may count from there.
    pub folder: Option<PathBuf>,
}

/// Finds the text of `kind` (`profile`, `scenario`) that `name` is the path of, or the shipped one of this name
/// with or without `.toml`. A relative path counts from `folder`, and else from the working folder.
///
/// # Errors
/// What is wrong: it cannot be read, is longer than `most` bytes, or there is none; with the nearest name.
pub fn find(kind: &str, name: &str, folder: Option<&Path>, most: u64) -> Result<Found, String> {
    let beside = folder.map(|folder| folder.join(name));
    if let Some(path) = beside.into_iter().chain([PathBuf::from(name)]).find(|path| path.is_file()) {
        let file = path.display().to_string();
        let text = read_file(&path, kind, most).map_err(|why| format!("{file}: {why}"))?;
        return Ok(Found {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            file,
            text: text.into(),
            folder: path.parent().map(Path::to_path_buf),
        });
    }
    let shipped = shipped(kind);
    let wanted = name.strip_suffix(".toml").unwrap_or(name);
    if let Some(found) = shipped.iter().find(|one| one.name == wanted) {
        let file = format!("{}.toml", found.name);
        return Ok(Found { name: found.name.to_owned(), file, text: found.text.into(), folder: None });
    }
    let names: Vec<&str> = shipped.iter().map(|one| one.name).collect();
    let meant = did_you_mean(wanted, names.iter().copied());
    let have = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(format!("no file and no shipped {kind} is named `{name}`{meant} (this binary has: {have})"))
}

/// Reads a file of text, `most` bytes at most.
///
/// # Errors
/// What is wrong, without the file's name.
pub fn read_file(path: &Path, kind: &str, most: u64) -> Result<String, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > most {
        return Err(format!("longer than {} KiB, so it is no {kind}", most >> 10));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
}
