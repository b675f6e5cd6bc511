//! Writes down each call to the store that it wraps: what was asked, when, how long it took and what came of it.
//!
//! One file a torrent, `INFO-HASH.jsonl` in the key `folder`. A run adds to it, so that a download and its
//! continuation are one trace. Each line is a JSON object. The first of a run is its header:
//!
//! | field | type | what |
//! | --- | --- | --- |
//! | `schema` | number | 1: another format gets another number |
//! | `torrent` | string | its info-hash, 40 hexadecimal digits |
//! | `pieces`, `piece_length`, `length` | number | how many pieces, the bytes of a piece, and those of the torrent |
//!
//! Every other line is a call, in the order in which calls *ended*:
//!
//! | field | type | what |
//! | --- | --- | --- |
//! | `t` | number | when it was made, in seconds since the run began |
//! | `took` | number | seconds until it ended |
//! | `op` | string | `held`, `read`, `write`, `seal`, `checkpoint` or `close` |
//! | `piece` | number | of `read`, `write` and `seal` |
//! | `begin`, `length` | number | of `read` and `write`: the span, in bytes |
//! | `blocks` | number | of `write`: how many blocks the span came in |
//! | `result` | string | `ok`; the kind of the error (`missing`, `full`, …); or `dropped`, when nobody waited for the end |
//! | `got` | number | after `ok`: pieces of `held`, bytes of `read` and of the state of `checkpoint` |
//! | `error` | string | the message of an error |
//!
//! Times are those of the host: real ones in a client, and virtual ones in a simulation, where the same run writes
//! the same file. The layer stands around the stores that are *within* it, so two of them, one on each side of a
//! `cache`, show what the cache saves; give each a folder of its own.
//!
//! Lines are gathered and written in batches off the reactor, so a kill loses the last of them. A trace that cannot
//! be written fails the call that came upon it: a trace with holes would be worse than none.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_api::{
    Block, BoxFuture, BuildError, Bytes, Host, Instant, PieceIndex, PieceSet, Plugin, StorageError,
    StorageLayer, Torrent, TorrentStore, plugin, run_blocking,
};
use serde::{Deserialize, Serialize};

/// As many bytes of lines are gathered before they are written.
const BATCH: usize = 64 << 10;

/// The layer `trace`.
pub struct Trace {
    config: Config,
}

/// The `[[storage.layer]]` table of `trace`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where the traces go; below the output folder, if it does not begin with `/`. It is made where it is missing.
    pub folder: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { folder: "storage-trace".into() }
    }
}

impl Plugin for Trace {
    type Kind = plugin::Layer;
    type Config = Config;
    const NAME: &'static str = "trace";
    const SUMMARY: &'static str = "writes down each call to the store that it wraps";
    fn build(config: Config) -> Result<Box<dyn StorageLayer>, BuildError> {
        Ok(Box::new(Self { config }))
    }
}
bt_api::register!(Trace);

impl StorageLayer for Trace {
    fn wrap(
        &self,
        inner: Box<dyn TorrentStore>,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> Box<dyn TorrentStore> {
        let folder = torrent.folder.join(&self.config.folder);
        let header = Header {
            schema: 1,
            torrent: torrent.info_hash.to_string(),
            pieces: torrent.layout.piece_count(),
            piece_length: torrent.layout.nominal_piece_length(),
            length: torrent.layout.total_length(),
        };
        let journal = Journal {
            path: folder.join(format!("{}.jsonl", torrent.info_hash)),
            file: Mutex::new(None),
            lines: Mutex::new(line(&header)),
        };
        Box::new(Store { inner, host, journal: Arc::new(journal) })
    }
}

/// The first line of a run.
#[derive(Serialize)]
struct Header {
    schema: u8,
    torrent: String,
    pieces: u32,
    piece_length: u32,
    length: u64,
}

/// One call.
#[derive(Clone, Default, Serialize)]
struct Call {
    t: f64,
    took: f64,
    op: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    piece: Option<PieceIndex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begin: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    got: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Call {
    fn of(op: &'static str) -> Self {
        Self { op, ..Self::default() }
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("numbers and text can be written as JSON");
    line.push(b'\n');
    line
}

/// The file, and the lines that are not in it yet.
struct Journal {
    path: PathBuf,
    /// Opened at the first batch. Held while lines are taken and written, so that batches keep their order.
    file: Mutex<Option<File>>,
    lines: Mutex<Vec<u8>>,
}

impl Journal {
    /// Writes what was gathered; blocks.
    fn flush(&self) -> Result<(), StorageError> {
        let mut file = lock(&self.file);
        let lines = std::mem::take(&mut *lock(&self.lines));
        self.append(&mut file, &lines).map_err(|error| {
            // They come first when it is tried again. A batch that was written in part is written twice.
            lock(&self.lines).splice(0..0, lines);
            StorageError::io(format!("writing the trace {:?}", self.path), error)
        })
    }

    fn append(&self, file: &mut Option<File>, lines: &[u8]) -> std::io::Result<()> {
        let file = match file {
            Some(file) => file,
            None => {
                if let Some(folder) = self.path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                file.insert(File::options().append(true).create(true).open(&self.path)?)
            }
        };
        file.write_all(lines)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Store {
    inner: Box<dyn TorrentStore>,
    host: Arc<dyn Host>,
    journal: Arc<Journal>,
}

/// A call under way: written down when it ends, or when nobody waits for it any more.
struct Running<'a> {
    store: &'a Store,
    began: Instant,
    call: Option<Call>,
}

impl Running<'_> {
    /// Writes the call down, with its `result` and what else is to be said of it.
    fn end(&mut self, result: String, got: Option<usize>, error: Option<String>) {
        if let Some(call) = self.call.take() {
            let took = self.store.host.now().since(self.began).as_secs_f64();
            let call = Call { t: self.began.as_secs_f64(), took, result, got, error, ..call };
            lock(&self.store.journal.lines).extend(line(&call));
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.end("dropped".to_owned(), None, None);
    }
}

impl Store {
    /// What `work` answers, once it is written down; `got` says how much that is.
    async fn traced<T>(
        &self,
        call: Call,
        work: BoxFuture<'_, Result<T, StorageError>>,
        got: impl Fn(&T) -> Option<usize>,
    ) -> Result<T, StorageError> {
        let at_the_end = matches!(call.op, "checkpoint" | "close");
        let mut running = Running { store: self, began: self.host.now(), call: Some(call) };
        let result = work.await;
        match &result {
            Ok(value) => running.end("ok".to_owned(), got(value), None),
            Err(error) => running.end(error.kind().to_string(), None, Some(error.to_string())),
        }
        drop(running);
        if at_the_end || lock(&self.journal.lines).len() >= BATCH {
            let journal = self.journal.clone();
            let written = run_blocking(&*self.host, move || journal.flush()).await;
            // What the store has to say is worth more.
            return result.and_then(|value| written.map(|()| value));
        }
        result
    }
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        let got = |held: &PieceSet| Some(held.count() as usize);
        Box::pin(self.traced(Call::of("held"), self.inner.held(), got))
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        let call =
            Call { piece: Some(piece), begin: Some(offset), length: Some(length.into()), ..Call::of("read") };
        Box::pin(self.traced(call, self.inner.read(piece, offset, length), |block| Some(block.len())))
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        let call = Call {
            piece: Some(piece),
            begin: Some(offset),
            length: Some(blocks.iter().map(|block| block.len() as u64).sum()),
            blocks: Some(blocks.len()),
            ..Call::of("write")
        };
        Box::pin(self.traced(call, self.inner.write(piece, offset, blocks), |()| None))
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        let call = Call { piece: Some(piece), ..Call::of("seal") };
        Box::pin(self.traced(call, self.inner.seal(piece), |()| None))
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        let got = |state: &Option<Bytes>| Some(state.as_ref().map_or(0, Bytes::len));
        Box::pin(self.traced(Call::of("checkpoint"), self.inner.checkpoint(), got))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.traced(Call::of("close"), self.inner.close(), |()| None))
    }
}
