//! The event log: JSON Lines, a header and then one object an event, as `docs/events.md` describes them.
//!
//! Lines are buffered, a write happens when the buffer is full. The first error ends the log: it is kept for
//! the user, and nothing is written after it, so that a log has no holes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bt_api::{InfoHash, Instant};
use bt_engine::Event;
use serde::Serialize;

/// The number of this schema; a change that breaks readers raises it.
pub const SCHEMA: u32 = 1;

/// Large enough that a write is rare, small enough to forget about.
const BUFFER: usize = 256 << 10;

/// How many hexadecimal digits of its info-hash name a torrent in the log.
const TORRENT_DIGITS: usize = 12;

/// What the header says of the run: enough to repeat it.
#[derive(Clone, Debug, Serialize)]
pub struct RunHeader {
    /// The name of the profile.
    pub profile: String,
    /// The effective profile, complete, as TOML.
    pub profile_toml: String,
    /// The seed of every generator.
    pub seed: u64,
    /// The versions of the runtime and of each crate that a plug-in comes from.
    pub versions: BTreeMap<String, String>,
    /// The torrents of the process.
    pub torrents: Vec<RunTorrent>,
}

/// One torrent in the header.
#[derive(Clone, Debug, Serialize)]
pub struct RunTorrent {
    /// Its info-hash in hexadecimal.
    pub info_hash: String,
    /// Its name.
    pub name: String,
}

impl RunHeader {
    /// The header of a run of `profile` with `seed`; torrents are added to it.
    pub fn new(profile: &crate::Profile, seed: u64) -> Self {
        let runtime = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let crates = profile.plugins().map(|one| (one.krate.to_owned(), one.version.to_owned()));
        Self {
            profile: profile.name.clone(),
            profile_toml: profile.to_toml(),
            seed,
            versions: crates.chain([runtime]).collect(),
            torrents: Vec::new(),
        }
    }
}

/// An event log that several tasks write to.
pub struct EventLog {
    /// Whether events name their torrent: only where there are several.
    names_torrents: bool,
    state: Mutex<State>,
}

struct State {
    out: BufWriter<Box<dyn Write + Send>>,
    line: Vec<u8>,
    stopped: bool,
    untold: Option<io::Error>,
}

impl EventLog {
    /// Begins the log in a new file at `path`; an old one is replaced.
    ///
    /// # Errors
    /// When the file cannot be made or the header not be written.
    pub fn create(path: &Path, run: &RunHeader) -> io::Result<Self> {
        Self::to_writer(File::create(path)?, run)
    }

    /// Begins the log on `out`.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn to_writer(out: impl Write + Send + 'static, run: &RunHeader) -> io::Result<Self> {
        #[derive(Serialize)]
        struct Header<'a> {
            schema: u32,
            run: &'a RunHeader,
        }
        let mut out = BufWriter::with_capacity(BUFFER, Box::new(out) as Box<dyn Write + Send>);
        serde_json::to_writer(&mut out, &Header { schema: SCHEMA, run })?;
        out.write_all(b"\n")?;
        out.flush()?;
        let state = State { out, line: Vec::new(), stopped: false, untold: None };
        Ok(Self { names_torrents: run.torrents.len() > 1, state: Mutex::new(state) })
    }

    /// Writes one event of `torrent`. After an error it does nothing.
    pub fn record(&self, now: Instant, torrent: &InfoHash, event: &Event) {
        let torrent = self.names_torrents.then_some(torrent);
        self.with(|state| {
            state.line.clear();
            write_line(&mut state.line, now, torrent, event)?;
            state.out.write_all(&state.line)
        });
    }

    /// Hands over what is buffered; called from time to time, so that a reader can follow, and at the end.
    pub fn flush(&self) {
        self.with(|state| state.out.flush());
    }

    /// The error that ended the log, once.
    pub fn take_error(&self) -> Option<io::Error> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).untold.take()
    }

    fn with(&self, work: impl FnOnce(&mut State) -> io::Result<()>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.stopped
            && let Err(error) = work(&mut state)
        {
            state.stopped = true;
            state.untold = Some(error);
        }
    }
}

/// One line: `{"t":12.5,"ev":"choke","peer":3,"dir":"to"}`, with `torrent` where one is given.
fn write_line(line: &mut Vec<u8>, now: Instant, torrent: Option<&InfoHash>, event: &Event) -> io::Result<()> {
    let (seconds, nanos) = (now.as_nanos() / 1_000_000_000, now.as_nanos() % 1_000_000_000);
    let fraction = format!("{nanos:09}");
    let fraction = fraction.trim_end_matches('0');
    write!(line, "{{\"t\":{seconds}")?;
    if !fraction.is_empty() {
        write!(line, ".{fraction}")?;
    }
    if let Some(torrent) = torrent {
        write!(line, ",\"torrent\":\"{}\"", &torrent.to_string()[..TORRENT_DIGITS])?;
    }
    // The event is an object of its own: its opening brace gives way to a comma.
    let brace = line.len();
    serde_json::to_writer(&mut *line, event)?;
    line[brace] = b',';
    line.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use bt_engine::event::{Answered, Dir, Joined};
    use serde_json::Value;

    use super::*;

    /// A writer that keeps what is written, up to `room` bytes.
    #[derive(Clone, Default)]
    struct Sink {
        written: Arc<Mutex<Vec<u8>>>,
        room: Option<usize>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.written.lock().unwrap();
            if self.room.is_some_and(|room| written.len() + bytes.len() > room) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn lines(&self) -> Vec<Value> {
            let text = String::from_utf8(self.written.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    fn header(torrents: usize) -> RunHeader {
        let torrent = |_| RunTorrent { info_hash: InfoHash([7; 20]).to_string(), name: "x".to_owned() };
        RunHeader {
            profile: "mainline".to_owned(),
            profile_toml: String::new(),
            seed: 7,
            versions: BTreeMap::new(),
            torrents: (0..torrents).map(torrent).collect(),
        }
    }

    const TORRENT: InfoHash = InfoHash([0xab; 20]);

    #[test]
    fn a_header_and_one_object_an_event() {
        let sink = Sink::default();
        let log = EventLog::to_writer(sink.clone(), &header(1)).unwrap();
        log.record(Instant::from_millis(12_500), &TORRENT, &Event::Choke { peer: 3, dir: Dir::To });
        log.record(Instant::from_secs(13), &TORRENT, &Event::Endgame { missing: 2 });
        log.flush();
        let lines = sink.lines();
        assert_eq!(lines[0]["schema"], 1);
        assert_eq!(lines[0]["run"]["seed"], 7);
        assert_eq!(lines[1], serde_json::json!({"t": 12.5, "ev": "choke", "peer": 3, "dir": "to"}));
        assert_eq!(lines[2], serde_json::json!({"t": 13, "ev": "endgame", "missing": 2}));
        assert_eq!(log.take_error().map(|error| error.kind()), None);
    }

    #[test]
    fn events_name_their_torrent_where_there_are_several() {
        let sink = Sink::default();
        let log = EventLog::to_writer(sink.clone(), &header(2)).unwrap();
        log.record(Instant::ZERO, &TORRENT, &Event::Endgame { missing: 2 });
        log.flush();
        assert_eq!(sink.lines()[1]["torrent"], "abababababab");
    }

    #[test]
    fn the_first_error_ends_the_log_and_is_told_once() {
        let sink = Sink { room: Some(1000), ..Sink::default() };
        let log = EventLog::to_writer(sink.clone(), &header(1)).unwrap();
        for _ in 0..100 {
            log.record(Instant::ZERO, &TORRENT, &Event::Endgame { missing: 2 });
        }
        log.flush();
        assert_eq!(log.take_error().unwrap().kind(), io::ErrorKind::StorageFull);
        assert!(log.take_error().is_none());
        let before = sink.written.lock().unwrap().len();
        log.record(Instant::ZERO, &TORRENT, &Event::Endgame { missing: 2 });
        log.flush();
        assert_eq!(sink.written.lock().unwrap().len(), before);
    }

    /// An example of every event, with every optional field there.
    fn examples() -> Vec<Event> {
        let (peer, piece, begin, length, dir) = (1, 2, 0, 16384, Dir::From);
        let addr: SocketAddr = "192.0.2.1:6881".parse().unwrap();
        let text = String::new;
        vec![
            Event::Joined(Box::new(Joined {
                addr: Some(addr),
                class: Some(text()),
                up: Some(1),
                down: Some(1),
                total_length: 5,
                piece_length: 2,
                have: text(),
            })),
            Event::Left {},
            Event::Dial { peer, addr },
            Event::PeerConnected { peer, addr, incoming: true },
            Event::Handshake { peer, id: text() },
            Event::PeerClosed { peer, reason: "remote".into(), detail: text() },
            Event::Interested { peer, dir, value: true },
            Event::Choke { peer, dir },
            Event::Unchoke { peer, dir, reason: Some("optimistic".into()) },
            Event::Request { peer, dir, piece, begin, length },
            Event::Cancel { peer, dir, piece, begin, length },
            Event::Reject { peer, dir, piece, begin, length },
            Event::Block { peer, dir, piece, begin, length },
            Event::DuplicateBlock { peer, piece, begin, length },
            Event::Have { peer, dir, piece: Some(piece), pieces: Some(7) },
            Event::PieceStarted { piece, peer, availability: 1, rarest: 1 },
            Event::PieceVerified { piece, peers: vec![peer] },
            Event::PieceFailed { piece, peers: vec![peer] },
            Event::BadData { peer, addr, piece, banned: true },
            Event::Endgame { missing: 3 },
            Event::Announce { target: text(), event: Some("started".into()), left: 5 },
            Event::AnnounceReply(Box::new(Answered {
                target: text(),
                peers: 9,
                interval: Some(1800),
                error: Some(text()),
                warning: Some(text()),
            })),
            Event::StorageError { piece: Some(piece), kind: text(), message: text() },
            Event::Rate { peer: Some(peer), down: 1, up: 2, downloaded: 3, uploaded: 4 },
            Event::Complete { downloaded: 3, uploaded: 4 },
            Event::PolicyViolation { policy: text(), message: text() },
        ]
    }

    /// The types of an object's fields, as the document words them.
    fn types(object: &Value) -> BTreeMap<String, &'static str> {
        let word = |value: &Value| match value {
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array of integers",
            Value::Null | Value::Object(_) => "another type",
        };
        let fields = object.as_object().unwrap().iter().filter(|(name, _)| *name != "ev");
        fields.map(|(name, value)| (name.clone(), word(value))).collect()
    }

    #[test]
    fn the_document_has_every_event_with_every_field_and_its_type() {
        // A section "### `name`" for each event; in it a row "| `field` | type | meaning |" for each field.
        let mut documented: BTreeMap<String, BTreeMap<String, &str>> = BTreeMap::new();
        let mut event = None;
        for line in include_str!("../docs/events.md").lines() {
            if let Some(heading) = line.strip_prefix("### `") {
                event = heading.strip_suffix('`').map(str::to_owned);
                documented.insert(event.clone().unwrap(), BTreeMap::new());
            } else if line.starts_with("## ") {
                event = None;
            } else if let (Some(event), Some(row)) = (&event, line.strip_prefix("| `")) {
                let mut cells = row.split(" | ");
                let field = cells.next().unwrap().trim_end_matches('`').to_owned();
                let kind = cells.next().unwrap().trim_end_matches(" or null");
                documented.get_mut(event).unwrap().insert(field, kind);
            }
        }
        let examples: Vec<Value> =
            examples().iter().map(|event| serde_json::to_value(event).unwrap()).collect();
        let actual: BTreeMap<String, _> = examples
            .iter()
            .map(|example| (example["ev"].as_str().unwrap().to_owned(), types(example)))
            .collect();
        assert_eq!(actual, documented);
        // The enum may grow: each variant must have its example above.
        let source = include_str!("../engine/src/event.rs");
        let body = source.split_once("pub enum Event {").unwrap().1;
        let body = body.split_once("\n}").unwrap().0;
        let variants = body
            .lines()
            .filter(|line| line.starts_with("    ") && line.trim_start().starts_with(char::is_uppercase));
        assert_eq!(variants.count(), examples.len());
    }
}
