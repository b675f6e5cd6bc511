//! One event, one line: `{"t":12.5,"ev":"choke","peer":3,"dir":"to"}`.
//!
//! A simulation has a hundred million of them. Those that come often are written by hand into one buffer, the
//! others by serde; both give the same bytes, and a property test holds that true. Many events come at one moment,
//! so the beginning of a line is kept for the next one.

use std::fmt::Display;
use std::io::Write;

use bt_api::{InfoHash, Instant};
use bt_engine::Event;
use bt_engine::event::Dir;

/// How many hexadecimal digits of its info-hash name a torrent in the log.
pub const TORRENT_DIGITS: usize = 12;

/// Whose event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Of the only torrent of the only client.
    Only,
    /// Of this torrent; in a client that has several.
    Torrent(InfoHash),
    /// Of this peer of a simulation.
    Node(u32),
}

/// Writes events as lines.
#[derive(Debug, Default)]
pub struct LineWriter {
    /// The moment of the last line, and its beginning: `{"t":12.5`.
    now: Option<Instant>,
    time: Vec<u8>,
}

impl LineWriter {
    /// Appends one line to `out`.
    pub fn write(&mut self, out: &mut Vec<u8>, now: Instant, subject: Subject, event: &Event) {
        if self.now != Some(now) {
            self.now = Some(now);
            self.time.clear();
            append(&mut self.time, format_args!("{{\"t\":{now}"));
        }
        out.extend_from_slice(&self.time);
        match subject {
            Subject::Only => {}
            Subject::Torrent(hash) => {
                let digits = hash.to_string();
                append(out, format_args!(",\"torrent\":\"{}\"", &digits[..TORRENT_DIGITS]));
            }
            Subject::Node(node) => number(out, ",\"node\":", node.into()),
        }
        body(out, event);
    }
}

/// The event's own fields, after what all events have; with the end of the line.
fn body(out: &mut Vec<u8>, event: &Event) {
    match *event {
        Event::Block { peer, dir, piece, begin, length } => {
            block(out, ",\"ev\":\"block\",\"peer\":", peer, dir, [piece, begin, length]);
        }
        Event::Request { peer, dir, piece, begin, length } => {
            block(out, ",\"ev\":\"request\",\"peer\":", peer, dir, [piece, begin, length]);
        }
        Event::Cancel { peer, dir, piece, begin, length } => {
            block(out, ",\"ev\":\"cancel\",\"peer\":", peer, dir, [piece, begin, length]);
        }
        Event::Reject { peer, dir, piece, begin, length } => {
            block(out, ",\"ev\":\"reject\",\"peer\":", peer, dir, [piece, begin, length]);
        }
        Event::Have { peer, dir, piece, pieces } => {
            number(out, ",\"ev\":\"have\",\"peer\":", peer.into());
            way(out, dir);
            maybe(out, ",\"piece\":", piece.map(u64::from));
            maybe(out, ",\"pieces\":", pieces.map(u64::from));
        }
        Event::Choke { peer, dir } => {
            number(out, ",\"ev\":\"choke\",\"peer\":", peer.into());
            way(out, dir);
        }
        Event::Interested { peer, dir, value } => {
            number(out, ",\"ev\":\"interested\",\"peer\":", peer.into());
            way(out, dir);
            text(out, if value { ",\"value\":true" } else { ",\"value\":false" });
        }
        Event::PieceStarted { piece, peer, availability, rarest } => {
            number(out, ",\"ev\":\"piece_started\",\"piece\":", piece.into());
            number(out, ",\"peer\":", peer.into());
            number(out, ",\"availability\":", availability.into());
            number(out, ",\"rarest\":", rarest.into());
        }
        Event::PieceVerified { piece, ref peers } => {
            number(out, ",\"ev\":\"piece_verified\",\"piece\":", piece.into());
            text(out, ",\"peers\":[");
            let mut comma = "";
            for &peer in peers {
                number(out, comma, peer.into());
                comma = ",";
            }
            text(out, "]");
        }
        Event::Rate { peer, down, up, downloaded, uploaded } => {
            maybe(out, ",\"ev\":\"rate\",\"peer\":", peer.map(u64::from));
            number(out, ",\"down\":", down);
            number(out, ",\"up\":", up);
            number(out, ",\"downloaded\":", downloaded);
            number(out, ",\"uploaded\":", uploaded);
        }
        _ => {
            // The event is an object of its own: its opening brace gives way to a comma.
            let brace = out.len();
            serde_json::to_writer(&mut *out, event).expect("an event is JSON, and memory takes it");
            out[brace] = b',';
            out.push(b'\n');
            return;
        }
    }
    text(out, "}\n");
}

fn block(out: &mut Vec<u8>, start: &str, peer: u32, dir: Dir, block: [u32; 3]) {
    number(out, start, peer.into());
    way(out, dir);
    number(out, ",\"piece\":", block[0].into());
    number(out, ",\"begin\":", block[1].into());
    number(out, ",\"length\":", block[2].into());
}

fn way(out: &mut Vec<u8>, dir: Dir) {
    text(
        out,
        match dir {
            Dir::To => ",\"dir\":\"to\"",
            Dir::From => ",\"dir\":\"from\"",
        },
    );
}

fn maybe(out: &mut Vec<u8>, name: &str, value: Option<u64>) {
    match value {
        Some(value) => number(out, name, value),
        None => {
            text(out, name);
            text(out, "null");
        }
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    text(out, name);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn append(out: &mut Vec<u8>, what: impl Display) {
    write!(out, "{what}").expect("memory takes what is written");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// What serde makes of it.
    fn by_serde(now: Instant, node: u32, event: &Event) -> String {
        let event = serde_json::to_string(event).unwrap();
        format!("{{\"t\":{now},\"node\":{node},{}\n", &event[1..])
    }

    fn dir() -> impl Strategy<Value = Dir> {
        prop_oneof![Just(Dir::To), Just(Dir::From)]
    }

    /// Every event that is written by hand, and two that are not.
    fn event() -> impl Strategy<Value = Event> {
        let block = || (any::<u32>(), dir(), any::<u32>(), any::<u32>(), any::<u32>());
        prop_oneof![
            block().prop_map(|(peer, dir, piece, begin, length)| Event::Block {
                peer,
                dir,
                piece,
                begin,
                length
            }),
            block().prop_map(|(peer, dir, piece, begin, length)| Event::Request {
                peer,
                dir,
                piece,
                begin,
                length
            }),
            block().prop_map(|(peer, dir, piece, begin, length)| Event::Cancel {
                peer,
                dir,
                piece,
                begin,
                length
            }),
            block().prop_map(|(peer, dir, piece, begin, length)| Event::Reject {
                peer,
                dir,
                piece,
                begin,
                length
            }),
            (any::<u32>(), dir(), any::<Option<u32>>(), any::<Option<u32>>())
                .prop_map(|(peer, dir, piece, pieces)| Event::Have { peer, dir, piece, pieces }),
            (any::<u32>(), dir()).prop_map(|(peer, dir)| Event::Choke { peer, dir }),
            (any::<u32>(), dir(), any::<bool>()).prop_map(|(peer, dir, value)| Event::Interested {
                peer,
                dir,
                value
            }),
            any::<[u32; 4]>().prop_map(|[piece, peer, availability, rarest]| Event::PieceStarted {
                piece,
                peer,
                availability,
                rarest
            }),
            (any::<u32>(), proptest::collection::vec(any::<u32>(), 0..4))
                .prop_map(|(piece, peers)| Event::PieceVerified { piece, peers }),
            (any::<Option<u32>>(), any::<[u64; 4]>()).prop_map(|(peer, [down, up, downloaded, uploaded])| {
                Event::Rate { peer, down, up, downloaded, uploaded }
            }),
            (any::<u32>(), dir(), any::<Option<String>>()).prop_map(|(peer, dir, reason)| Event::Unchoke {
                peer,
                dir,
                reason: reason.map(Into::into)
            }),
            Just(Event::Left {}),
        ]
    }

    proptest! {
        #[test]
        fn by_hand_and_by_serde_are_the_same_bytes(
            events in proptest::collection::vec((any::<u64>(), any::<u32>(), event()), 1..8),
        ) {
            let (mut writer, mut lines, mut expected) = (LineWriter::default(), Vec::new(), String::new());
            for (nanos, node, event) in &events {
                let now = Instant::from_nanos(*nanos);
                writer.write(&mut lines, now, Subject::Node(*node), event);
                expected.push_str(&by_serde(now, *node, event));
            }
            prop_assert_eq!(String::from_utf8(lines).unwrap(), expected);
        }
    }

    #[test]
    fn a_line_says_when_whose_and_what() {
        let line = |nanos, subject| -> Value {
            let mut line = Vec::new();
            let event = Event::Choke { peer: 3, dir: Dir::To };
            LineWriter::default().write(&mut line, Instant::from_nanos(nanos), subject, &event);
            serde_json::from_slice(&line).unwrap()
        };
        assert_eq!(
            line(12_500_000_000, Subject::Only),
            json!({"t": 12.5, "ev": "choke", "peer": 3, "dir": "to"})
        );
        assert_eq!(
            line(0, Subject::Node(7)),
            json!({"t": 0, "node": 7, "ev": "choke", "peer": 3, "dir": "to"})
        );
        let torrent = Subject::Torrent(InfoHash([0xab; 20]));
        assert_eq!(line(0, torrent)["torrent"], "abababababab");
    }
}
