//! An event log read back.

use std::collections::BTreeMap;
use std::io::BufRead;

use bt_api::Instant;
use bt_engine::Event;
use bt_engine::event::Joined;
use bt_runtime::events::{SCHEMA, from_ranges};
use serde::Deserialize;
use serde_json::Value;

use super::{MOST_CLASSES, MOST_CONNECTIONS, MOST_NODES, MOST_PIECES};

/// Why a log cannot be read: which line, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the event log: {what}")]
pub struct LogError {
    /// The number of the line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// What all lines but the first have.
#[derive(Deserialize)]
struct Head {
    t: f64,
    ev: String,
    node: Option<u32>,
    torrent: Option<String>,
}

/// Reads a log, of `bt-run` or of a simulation, and tells `each` of its events in their order; answers what the
/// header says of the run, and when it ended: the time of the last line. That of a simulation is no event and says just
/// that.
///
/// Without `node`, an event is of node 0; in a log of several torrents each torrent is a node. Events that this
/// version does not know are left out.
///
/// # Errors
/// When the log cannot be read, or a line is none of a log.
pub fn read_log(
    mut log: impl BufRead,
    mut each: impl FnMut(Instant, u32, &Event),
) -> Result<(Value, Instant), LogError> {
    let (mut run, mut end) = (None, Instant::ZERO);
    let mut torrents: BTreeMap<String, u32> = BTreeMap::new();
    let mut classes = std::collections::BTreeSet::new();
    let (mut line, mut text) = (0, Vec::new());
    loop {
        line += 1;
        text.clear();
        let wrong = |what: String| LogError { line, what };
        if log.read_until(b'\n', &mut text).map_err(|error| wrong(error.to_string()))? == 0 {
            return run.map(|run| (run, end)).ok_or_else(|| wrong("it is empty".to_owned()));
        }
        if run.is_none() {
            run = Some(header(&text).map_err(wrong)?);
            continue;
        }
        let is_whole = text.ends_with(b"\n");
        let head: Head = serde_json::from_slice(&text).map_err(|error| match is_whole {
            true => wrong(error.to_string()),
            false => wrong("the log is cut off here: its last line is not whole".to_owned()),
        })?;
        let nanos = head.t * 1e9;
        if !(0.0..1.8e19).contains(&nanos) {
            return Err(wrong(format!("`t` is {}, which is no time since the start of the run", head.t)));
        }
        // To the nearest nanosecond: what was written.
        let now = Instant::from_nanos((nanos + 0.5) as u64);
        end = end.max(now);
        let event: Event = match serde_json::from_slice(&text) {
            Ok(event) => event,
            Err(error) if error.to_string().starts_with("unknown variant") => continue,
            Err(error) => return Err(wrong(format!("in `{}`: {error}", head.ev))),
        };
        let next = torrents.len() as u32;
        let node = match (head.node, head.torrent) {
            (Some(node), _) => node,
            (None, Some(torrent)) => *torrents.entry(torrent).or_insert(next),
            (None, None) => 0,
        };
        if node >= MOST_NODES {
            return Err(wrong(format!("`node` is {node}; this program takes numbers below {MOST_NODES}")));
        }
        check(&event).map_err(wrong)?;
        if let Event::Joined(joined) = &event
            && let Some(class) = &joined.class
            && !classes.contains(class)
        {
            if classes.len() == MOST_CLASSES {
                return Err(wrong(format!("more than {MOST_CLASSES} classes of peers")));
            }
            classes.insert(class.clone());
        }
        each(now, node, &event);
    }
}

fn header(line: &[u8]) -> Result<Value, String> {
    let mut header: Value =
        serde_json::from_slice(line).map_err(|error| format!("the header is no JSON object: {error}"))?;
    match header.get("schema").and_then(Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => Ok(header["run"].take()),
        Some(schema) => Err(format!("schema {schema}; this program reads schema {SCHEMA}")),
        None => Err("no header `{\"schema\":…,\"run\":{…}}`: is it an event log?".to_owned()),
    }
}

/// Numbers that no run has would take memory without end.
fn check(event: &Event) -> Result<(), String> {
    match event {
        Event::PeerConnected { peer, .. } if *peer >= MOST_CONNECTIONS => {
            Err(format!("`peer` is {peer}; this program takes numbers below {MOST_CONNECTIONS}"))
        }
        Event::Joined(joined) => {
            let Joined { total_length, piece_length, have, .. } = &**joined;
            let pieces = total_length.div_ceil(u64::from(*piece_length).max(1));
            if *piece_length == 0 || pieces > MOST_PIECES {
                return Err(format!(
                    "{total_length} bytes in pieces of {piece_length} are more than {MOST_PIECES} pieces"
                ));
            }
            match from_ranges(have, pieces as u32) {
                Some(_) => Ok(()),
                None => Err(format!(
                    "`have` is {have:?}, which is no set of the pieces 0 to {}",
                    pieces.max(1) - 1
                )),
            }
        }
        _ => Ok(()),
    }
}
