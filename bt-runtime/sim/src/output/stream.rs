//! The event stream of a run: its hash, and the file when it is wanted.
//!
//! The hash is SHA-256 over the bytes of `events.jsonl`, header included, written or not: `sha256sum` of the file
//! gives the same.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use bt_api::Instant;
use bt_engine::Event;
use bt_runtime::events::{LineWriter, Subject, header_line};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{OutputError, Part};

/// The file's name.
pub const EVENTS: &str = "events.jsonl";

/// Large enough that hashing and writing are rare, small enough for the processor's cache.
const BUFFER: usize = 256 << 10;

/// Hashes events as they happen, and writes them where a file is wanted.
pub struct EventStream {
    lines: LineWriter,
    buffer: Vec<u8>,
    hash: Sha256,
    events: u64,
    pub(super) file: Option<Part>,
    error: Option<OutputError>,
}

/// What an event stream came to.
#[derive(Debug)]
pub struct Streamed {
    /// How many events there were.
    pub events: u64,
    /// The hash of all lines, in hexadecimal.
    pub sha256: String,
}

impl EventStream {
    /// Begins a stream that is only hashed; `header` is what its first line says of the run.
    ///
    /// # Errors
    /// When `header` is nothing that JSON can say.
    pub fn hashed(header: &impl Serialize) -> io::Result<Self> {
        let mut buffer = header_line(header)?;
        buffer.reserve(BUFFER);
        Ok(Self {
            lines: LineWriter::default(),
            buffer,
            hash: Sha256::new(),
            events: 0,
            file: None,
            error: None,
        })
    }

    /// Begins a stream that is written to `events.jsonl` in `folder` as well; the file has its name once it is whole.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn written(header: &impl Serialize, folder: &Path) -> Result<Self, OutputError> {
        let path = folder.join(EVENTS);
        let mut stream = Self::hashed(header).map_err(|error| OutputError::new("writing", &path, error))?;
        stream.file = Some(Part::create(path)?);
        Ok(stream)
    }

    /// Takes the next event.
    pub fn event(&mut self, now: Instant, node: u32, event: &Event) {
        self.events += 1;
        self.lines.write(&mut self.buffer, now, Subject::Node(node), event);
        if self.buffer.len() >= BUFFER - 1024 {
            self.flush();
        }
    }

    /// Whether the file cannot be written; then the rest is only hashed.
    pub fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Ends the stream of a run that ended at `now`, which its last line says: nothing may have happened then. The file
    /// gets its name.
    ///
    /// # Errors
    /// The first that there was when the file was written: a full disk, say.
    pub fn finish(mut self, now: Instant) -> Result<Streamed, OutputError> {
        self.buffer.extend_from_slice(format!("{{\"t\":{now},\"ev\":\"end\"}}\n").as_bytes());
        self.flush();
        if let Some(error) = self.error {
            return Err(error);
        }
        if let Some(file) = self.file {
            file.finish()?;
        }
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Streamed { events: self.events, sha256 })
    }

    fn flush(&mut self) {
        self.hash.update(&self.buffer);
        if let Some(part) = &mut self.file
            && let Err(error) = part.write(|file: &mut File| file.write_all(&self.buffer))
        {
            self.error = Some(error);
            self.file = None;
        }
        self.buffer.clear();
    }
}
