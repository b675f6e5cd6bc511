//! From the event logs of all peers to the figures of the run: one stream, in the order of time, in which a connection
//! that came in has the address that its other end listens at.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bt_api::Instant;
use bt_engine::Event;

use crate::Observer;
use crate::measure::{LogError, read_log};
use crate::output::Recorder;

use super::transit::Watch;

/// What a peer's own log cannot know.
pub(super) struct PeerLog {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its log's zero, since the start of the run.
    pub(super) began: Duration,
    /// Its class and its links.
    pub(super) class: String,
    pub(super) up: Option<u64>,
    pub(super) down: Option<u64>,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// Tells `recorder` and `watch` of all that happened up to `end`; peers are numbered as in `logs`. A run that ended once
/// all were done (`until_complete`) ends no sooner than the last log says that its peer was: clocks of logs begin a
/// moment later than the run is told. Gives the end.
///
/// # Errors
/// When a log cannot be read.
pub(super) fn gather(
    logs: &[PeerLog],
    end: Instant,
    recorder: &mut Recorder,
    watch: &mut Watch,
    until_complete: bool,
) -> Result<Instant, LogError> {
    let listening: BTreeMap<IpAddr, SocketAddr> =
        logs.iter().map(|log| (log.address.ip(), log.address)).collect();
    let mut events: Vec<(Instant, u32, Event)> = Vec::new();
    for (node, log) in (0..).zip(logs) {
        let file = File::open(&log.path).map_err(|error| LogError { line: 1, what: error.to_string() })?;
        read_log(BufReader::new(file), |at, _, event| {
            // It arrives when it is started, whenever its task came to say so.
            let at = if matches!(event, Event::Joined(_)) { Instant::ZERO } else { at } + log.began;
            let mut event = event.clone();
            match &mut event {
                Event::Joined(joined) => {
                    (joined.class, joined.addr) = (Some(log.class.clone()), Some(log.address));
                    (joined.up, joined.down) = (log.up, log.down);
                }
                Event::PeerConnected { addr, .. } => *addr = *listening.get(&addr.ip()).unwrap_or(addr),
                _ => {}
            }
            events.push((at, node, event));
        })?;
    }
    let completions = events.iter().filter(|(.., event)| matches!(event, Event::Complete { .. }));
    let last = completions.map(|(at, ..)| *at).max().filter(|_| until_complete);
    let end = last.map_or(end, |last| end.max(last));
    events.retain(|(at, ..)| *at <= end);
    // Events of one peer keep their order, and one that arrives goes first: by number, as they arrived.
    events.sort_by_key(|(at, node, _)| (*at, *node));
    for (at, node, event) in &events {
        recorder.event(*at, *node, event);
        watch.event(*at, *node, event);
    }
    Ok(end)
}
