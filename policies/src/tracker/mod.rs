//! Tracker clients and other sources of peers: one URL scheme, or one source, one file.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use bt_api::config::Size;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
mod http_connect;
pub mod peer_file;
pub mod reply;

/// The whole of a file that a profile names, if it is not larger than `max`.
fn read_file(path: &Path, max: Size) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for a writer, and a device may have no end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(max.0 + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max.0 {
        return Err(io::Error::other(format!("the file is larger than {max}")));
    }
    Ok(bytes)
}
