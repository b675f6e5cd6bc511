//! One event, one line: `{"t":12.5,"ev":"choke","peer":3,"dir":"to"}`.
//!
//! A simulation has a hundred million of them. Those that come often are written by hand into one buffer, the
//! others by serde; both give the same bytes, and a property test holds that true. Many events come at one moment,
//! so the beginning of a line is kept for the next one.

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
    /// The last line, whose beginning the next one may share: `{"t":12.5,"node":3`.
    line: Line,
    /// How long that beginning is, and when and whose the line was.
    beginning: usize,
    last: Option<(Instant, Subject)>,
}

impl LineWriter {
    /// Appends one line to `out`.
    pub fn write(&mut self, out: &mut Vec<u8>, now: Instant, subject: Subject, event: &Event) {
        if self.last != Some((now, subject)) {
            self.last = Some((now, subject));
            self.line.begin(now, subject);
            self.beginning = self.line.length;
        }
        self.line.length = self.beginning;
        let is_whole = self.line.body(event);
        out.extend_from_slice(self.line.as_bytes());
        if !is_whole {
            // The event is an object of its own: its opening brace gives way to a comma.
            let brace = out.len();
            serde_json::to_writer(&mut *out, event).expect("an event is JSON, and memory takes it");
            out[brace] = b',';
            out.push(b'\n');
        }
    }
}

/// The longest line that is written by hand has six numbers of twenty digits and ninety letters.
const LONGEST: usize = 256;

/// A line that is being written, in place: no memory is asked for.
#[derive(Debug)]
struct Line {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; LONGEST], length: 0 }
    }
}

impl Line {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline(always)]
    fn text(&mut self, text: &str) {
        let end = self.length + text.len();
        self.bytes[self.length..end].copy_from_slice(text.as_bytes());
        self.length = end;
    }

    #[inline(always)]
    fn number(&mut self, name: &str, value: u64) {
        self.text(name);
        self.text(itoa::Buffer::new().format(value));
    }

    /// What all lines of one moment and subject begin with; the seconds as [`Instant`] shows itself.
    fn begin(&mut self, now: Instant, subject: Subject) {
        const SECOND: u64 = 1_000_000_000;
        self.length = 0;
        let (whole, fraction) = (now.as_nanos() / SECOND, now.as_nanos() % SECOND);
        self.number("{\"t\":", whole);
        if fraction > 0 {
            // A one before them keeps the zeros that they begin with, and gives way to the point.
            let point = self.length;
            self.number("", SECOND + fraction);
            self.bytes[point] = b'.';
            while self.bytes[self.length - 1] == b'0' {
                self.length -= 1;
            }
        }
        match subject {
            Subject::Only => {}
            Subject::Torrent(hash) => {
                self.text(",\"torrent\":\"");
                self.text(&hash.to_string()[..TORRENT_DIGITS]);
                self.text("\"");
            }
            Subject::Node(node) => self.number(",\"node\":", node.into()),
        }
    }

    /// The event's own fields, after what all events have, and the end of the line; says no to an event that comes
    /// rarely or has no longest form: serde writes those.
    fn body(&mut self, event: &Event) -> bool {
        match *event {
            Event::Block { peer, dir, piece, begin, length } => {
                self.block(",\"ev\":\"block\",\"peer\":", peer, dir, [piece, begin, length]);
            }
            Event::Request { peer, dir, piece, begin, length } => {
                self.block(",\"ev\":\"request\",\"peer\":", peer, dir, [piece, begin, length]);
            }
            Event::Cancel { peer, dir, piece, begin, length } => {
                self.block(",\"ev\":\"cancel\",\"peer\":", peer, dir, [piece, begin, length]);
            }
            Event::Reject { peer, dir, piece, begin, length } => {
                self.block(",\"ev\":\"reject\",\"peer\":", peer, dir, [piece, begin, length]);
            }
            Event::Have { peer, dir, piece, pieces } => {
                self.number(",\"ev\":\"have\",\"peer\":", peer.into());
                self.way(dir);
                self.maybe(",\"piece\":", piece.map(u64::from));
                self.maybe(",\"pieces\":", pieces.map(u64::from));
            }
            Event::Choke { peer, dir } => {
                self.number(",\"ev\":\"choke\",\"peer\":", peer.into());
                self.way(dir);
            }
            Event::Interested { peer, dir, value } => {
                self.number(",\"ev\":\"interested\",\"peer\":", peer.into());
                self.way(dir);
                self.text(if value { ",\"value\":true" } else { ",\"value\":false" });
            }
            Event::PieceStarted { piece, peer, availability, rarest } => {
                self.number(",\"ev\":\"piece_started\",\"piece\":", piece.into());
                self.number(",\"peer\":", peer.into());
                self.number(",\"availability\":", availability.into());
                self.number(",\"rarest\":", rarest.into());
            }
            Event::Rate { peer, down, up, downloaded, uploaded } => {
                self.maybe(",\"ev\":\"rate\",\"peer\":", peer.map(u64::from));
                self.number(",\"down\":", down);
                self.number(",\"up\":", up);
                self.number(",\"downloaded\":", downloaded);
                self.number(",\"uploaded\":", uploaded);
            }
            _ => return false,
        }
        self.text("}\n");
        true
    }

    fn block(&mut self, start: &str, peer: u32, dir: Dir, [piece, begin, length]: [u32; 3]) {
        self.number(start, peer.into());
        self.way(dir);
        self.number(",\"piece\":", piece.into());
        self.number(",\"begin\":", begin.into());
        self.number(",\"length\":", length.into());
    }

    fn way(&mut self, dir: Dir) {
        self.text(match dir {
            Dir::To => ",\"dir\":\"to\"",
            Dir::From => ",\"dir\":\"from\"",
        });
    }

    fn maybe(&mut self, name: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(name, value),
            None => {
                self.text(name);
                self.text("null");
            }
        }
    }
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
