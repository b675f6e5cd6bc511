//! Tracker clients and other sources of peers: one URL scheme, or one source, one file.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bt_api::config::Size;
use bt_api::{TrackerError, TrackerErrorKind};

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
mod http_connect;
pub mod lsd;
pub mod none;
pub mod peer_file;
pub mod reply;
pub mod udp;
pub mod udp_packet;
mod udp_url;

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

/// Lets others run when datagrams that are of no use come faster than they can be looked at.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// What these locks guard is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unsupported(message: impl Into<String>) -> TrackerError {
    TrackerError::new(TrackerErrorKind::Unsupported, message)
}
