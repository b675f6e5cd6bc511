//! Reads what a tracker answers over HTTP (BEP 3, BEP 23; BEP 7 and BEP 48, which the original did not know: RR-24).
//!
//! A reply comes from a stranger, so nothing is built from it before its shape is known: a scanner walks
//! the bencoding without recursion, bounds its nesting, and yields slices of the reply. Only the values
//! that are wanted are then looked at. The reading is lax where trackers are known to be sloppy (unsorted
//! keys, leading zeros, bytes after the end) and strict where the original client was (BF-11 to BF-16).

use std::net::IpAddr;
use std::time::Duration;

use bt_api::{AnnounceReply, InfoHash, PeerAddress, PeerId, ScrapeReply, TrackerError, TrackerErrorKind};

/// The most peers taken from one reply. Trackers send 50 to 200; a client never dials more than some
/// hundred, and each one costs the engine memory.
pub const MAX_PEERS: usize = 2000;

/// The deepest nesting of a reply. Known ones need three (a peer's dictionary in a list in the reply).
pub const MAX_DEPTH: usize = 16;

/// The most characters kept of a tracker's message: it is shown on one line.
pub const MAX_MESSAGE: usize = 1000;

/// Reads the reply to an announce. Host names in place of a peer's address are skipped: looking them up
/// would let a tracker make us query and dial names inside our own network. Peers at port 0 are skipped
/// too (BF-13), and those after the first [`MAX_PEERS`].
///
/// # Errors
/// [`Refused`](TrackerErrorKind::Refused) with the tracker's own words, which may hold control characters;
/// [`Malformed`](TrackerErrorKind::Malformed) for anything that is no reply.
pub fn parse_announce(reply: &[u8]) -> Result<AnnounceReply, TrackerError> {
    let reply = accepted(reply)?;
    let mut peers = Vec::new();
    let (value, six) = (reply.get(b"peers"), reply.get(b"peers6"));
    match value {
        Some(list) if list[0] == b'l' => listed_peers(list, &mut peers)?,
        Some(text) => compact_peers::<4>("peers", text, &mut peers)?,
        // BF-12, of a tracker that knows IPv4 alone.
        None if six.is_none() => return Err(malformed("the reply has no `peers`")),
        None => {}
    }
    if let Some(value) = six {
        compact_peers::<16>("peers6", value, &mut peers)?;
    }
    Ok(AnnounceReply {
        interval: reply.number("interval", 1)?.map(Duration::from_secs),
        min_interval: reply.number("min interval", 1)?.map(Duration::from_secs),
        peers,
        // Only shown to the user: a tracker that gets them wrong may still name good peers.
        complete: reply.number("complete", 0).unwrap_or(None),
        incomplete: reply.number("incomplete", 0).unwrap_or(None),
        tracker_id: reply.text("tracker id")?.map(<[u8]>::to_vec),
        last: reply.number("last", 0)?,
        known_peers: reply.number("num peers", 0)?,
        done_peers: reply.number("done peers", 0)?,
        warning: reply.text("warning message")?.map(message),
    })
}

/// Reads the reply to a scrape (BEP 48): the counts of each of `torrents`, in order. One that the tracker
/// does not name has no peers there.
///
/// # Errors
/// As [`parse_announce`].
pub fn parse_scrape(reply: &[u8], torrents: &[InfoHash]) -> Result<Vec<ScrapeReply>, TrackerError> {
    let reply = accepted(reply)?;
    let files = reply.get(b"files").ok_or_else(|| malformed("the reply has no `files`"))?;
    let files = Dictionary::parse(files, "`files`")?;
    torrents
        .iter()
        .map(|torrent| {
            let Some(counts) = files.get(&torrent.0) else { return Ok(ScrapeReply::default()) };
            let counts = Dictionary::parse(counts, "an entry of `files`")?;
            let count = |key| Ok(counts.number(key, 0)?.unwrap_or(0));
            Ok(ScrapeReply {
                complete: count("complete")?,
                incomplete: count("incomplete")?,
                downloaded: count("downloaded")?,
            })
        })
        .collect()
}

/// The reply's dictionary, unless the tracker refused: then nothing else in it is checked (BF-11).
fn accepted(reply: &[u8]) -> Result<Dictionary<'_>, TrackerError> {
    let reply = Dictionary::parse(reply, "the reply")?;
    match reply.text("failure reason")? {
        None => Ok(reply),
        Some(reason) => Err(refusal(reason)),
    }
}

/// Peers as dictionaries (BEP 3, BF-12).
fn listed_peers(list: &[u8], peers: &mut Vec<PeerAddress>) -> Result<(), TrackerError> {
    let mut at = 1;
    while list[at] != b'e' && peers.len() < MAX_PEERS {
        let entry = Dictionary::parse(value(list, &mut at)?, "an entry of `peers`")?;
        let ip = entry.text("ip")?.ok_or_else(|| malformed("an entry of `peers` has no `ip`"))?;
        let port = entry.number("port", 0)?.ok_or_else(|| malformed("an entry of `peers` has no `port`"))?;
        let port = u16::try_from(port)
            .map_err(|_| malformed(format!("a peer's `port` must be at most 65535, found {port}")))?;
        let id = entry.text("peer id")?.map(<[u8; 20]>::try_from).transpose();
        let id = id.map_err(|_| malformed("a peer's `peer id` must have 20 bytes"))?.map(PeerId);
        let literal = std::str::from_utf8(ip).ok().and_then(|ip| ip.parse::<IpAddr>().ok());
        peers.extend(literal.filter(|_| port != 0).map(|ip| PeerAddress { address: (ip, port).into(), id }));
    }
    Ok(())
}

/// Peers as text, each an address of `N` bytes and a port of two (BEP 23, BEP 7).
fn compact_peers<const N: usize>(
    key: &str,
    value: &[u8],
    peers: &mut Vec<PeerAddress>,
) -> Result<(), TrackerError>
where
    IpAddr: From<[u8; N]>,
{
    let text = string(value, &mut 0)
        .map_err(|_| malformed(format!("`{key}` must be text or a list, found `{}`", shown(value))))?;
    if text.len() % (N + 2) != 0 {
        let length = text.len();
        return Err(malformed(format!("`{key}` must hold {} bytes a peer, found {length} in all", N + 2)));
    }
    take_peers(text, peers);
    Ok(())
}

/// Adds the peers in `text`, each an address of `N` bytes and a port of two, as far as there is room for them.
pub(super) fn take_peers<const N: usize>(text: &[u8], peers: &mut Vec<PeerAddress>)
where
    IpAddr: From<[u8; N]>,
{
    let decoded = text.chunks_exact(N + 2).map(|peer| {
        let (ip, port) = peer.split_first_chunk::<N>().expect("a chunk has N + 2 bytes");
        (IpAddr::from(*ip), u16::from_be_bytes([port[0], port[1]]))
    });
    let room = MAX_PEERS.saturating_sub(peers.len());
    let reachable = decoded.filter(|&(_, port)| port != 0).take(room);
    peers.extend(reachable.map(|address| PeerAddress { address: address.into(), id: None }));
}

/// A bencoded dictionary: its keys, and each value as the bytes that encode it.
struct Dictionary<'a> {
    entries: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Dictionary<'a> {
    /// Reads one from the start of `bytes`, and ignores what follows it (BE-7). `what` names it in messages.
    fn parse(bytes: &'a [u8], what: &str) -> Result<Self, TrackerError> {
        if bytes.first() != Some(&b'd') {
            return Err(malformed(format!(
                "{what} is no bencoded dictionary: it starts with `{}`",
                shown(bytes)
            )));
        }
        let (mut at, mut entries) = (1, Vec::new());
        while bytes.get(at) != Some(&b'e') {
            let key = string(bytes, &mut at)?;
            entries.push((key, value(bytes, &mut at)?));
        }
        Ok(Self { entries })
    }

    /// The encoded value of `key`: of the first, where a key is repeated.
    fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// The whole number at `key`, which must be at least `least`.
    fn number(&self, key: &str, least: u64) -> Result<Option<u64>, TrackerError> {
        let Some(value) = self.get(key.as_bytes()) else { return Ok(None) };
        let digits = value.strip_prefix(b"i").and_then(|rest| rest.strip_suffix(b"e"));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        number.filter(|&number| number >= least).map(Some).ok_or_else(|| {
            malformed(format!("`{key}` must be a whole number from {least}, found `{}`", shown(value)))
        })
    }

    /// The text at `key`, which may be any bytes.
    fn text(&self, key: &str) -> Result<Option<&'a [u8]>, TrackerError> {
        let Some(value) = self.get(key.as_bytes()) else { return Ok(None) };
        let text = string(value, &mut 0);
        text.map(Some).map_err(|_| malformed(format!("`{key}` must be text, found `{}`", shown(value))))
    }
}

/// Walks over one bencoded value at `at`, and yields the bytes that encode it. What stands in a dictionary
/// inside it is checked when it is read as one.
fn value<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], TrackerError> {
    let (start, mut depth) = (*at, 0);
    loop {
        match bytes.get(*at) {
            Some(b'd' | b'l') => {
                depth += 1;
                if depth == MAX_DEPTH {
                    return Err(malformed(format!("the reply is nested deeper than {MAX_DEPTH}")));
                }
                *at += 1;
            }
            Some(b'e') if depth > 0 => {
                depth -= 1;
                *at += 1;
            }
            Some(b'i') => integer(bytes, at)?,
            _ => _ = string(bytes, at)?,
        }
        if depth == 0 {
            return Ok(&bytes[start..*at]);
        }
    }
}

/// Walks over `i`, a number, `e`. Leading zeros pass, as everything that is no number does not (BE-6).
fn integer(bytes: &[u8], at: &mut usize) -> Result<(), TrackerError> {
    let sign = usize::from(bytes.get(*at + 1) == Some(&b'-'));
    let first = *at + 1 + sign;
    let digits = bytes[first.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || bytes.get(first + digits) != Some(&b'e') {
        return Err(broken(bytes, *at));
    }
    *at = first + digits + 1;
    Ok(())
}

/// Walks over a length, `:` and so many bytes, and yields these.
fn string<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], TrackerError> {
    let rest = bytes.get(*at..).unwrap_or_default();
    // A length of more digits than this is beyond any limit of a reply.
    let digits = rest.iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
    let length = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse::<usize>().ok());
    let text = match (length, rest.get(digits)) {
        (Some(length), Some(b':')) => rest[digits + 1..].get(..length).map(|text| (length, text)),
        _ => None,
    };
    let (length, text) = text.ok_or_else(|| broken(bytes, *at))?;
    *at += digits + 1 + length;
    Ok(text)
}

/// The start of `bytes`, fit for a message.
fn shown(bytes: &[u8]) -> String {
    const ENOUGH: usize = 40;
    let more = if bytes.len() > ENOUGH { "…" } else { "" };
    format!("{}{more}", bytes[..bytes.len().min(ENOUGH)].escape_ascii())
}

/// A tracker's message as it is, but for bytes that are no UTF-8 and characters past the limit.
fn message(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(MAX_MESSAGE).collect()
}

fn broken(bytes: &[u8], at: usize) -> TrackerError {
    match bytes.get(at..) {
        None | Some([]) => malformed(format!("the bencoding breaks off after {} bytes", bytes.len())),
        Some(rest) => malformed(format!("the bencoding is broken at byte {at}, `{}`", shown(rest))),
    }
}

pub(super) fn malformed(message: impl Into<String>) -> TrackerError {
    TrackerError::new(TrackerErrorKind::Malformed, message)
}

/// The tracker's own words, for not doing what it was asked.
pub(super) fn refusal(reason: &[u8]) -> TrackerError {
    match reason {
        b"" => refused("the tracker refused without a reason".to_owned()),
        reason => refused(message(reason)),
    }
}

fn refused(message: String) -> TrackerError {
    TrackerError::new(TrackerErrorKind::Refused, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(reply: &[u8]) -> String {
        parse_announce(reply).unwrap_err().to_string()
    }

    fn addresses(reply: &[u8]) -> Vec<String> {
        parse_announce(reply).unwrap().peers.iter().map(|peer| peer.address.to_string()).collect()
    }

    #[test]
    fn case_52_a_failure_reason_is_all_that_counts() {
        let error = parse_announce(b"d14:failure reason4:gone5:peersi7ee").unwrap_err();
        assert_eq!(error, refused("gone".to_owned()));
        assert_eq!(reason(b"d14:failure reasoni3ee"), "`failure reason` must be text, found `i3e`");
        assert_eq!(reason(b"d14:failure reason0:e"), "the tracker refused without a reason");
    }

    #[test]
    fn case_53_lengths_and_intervals_are_checked() {
        assert_eq!(reason(b"d5:peers7:1234567e"), "`peers` must hold 6 bytes a peer, found 7 in all");
        assert_eq!(reason(b"d6:peers66:123456e"), "`peers6` must hold 18 bytes a peer, found 6 in all");
        assert_eq!(addresses(b"d5:peers0:e"), [""; 0]);
        let zero = b"d8:intervali0e5:peers0:e";
        assert_eq!(reason(zero), "`interval` must be a whole number from 1, found `i0e`");
        assert!(parse_announce(b"d12:min intervali-5e5:peers0:e").is_err());
        assert!(parse_announce(b"d8:intervali99999999999999999999e5:peers0:e").is_err());
        assert_eq!(parse_announce(b"d5:peers0:e").unwrap().interval, None);
    }

    #[test]
    fn case_54_a_peer_id_has_20_bytes_or_is_missing() {
        assert!(
            parse_announce(b"d5:peersld2:ip7:1.2.3.47:peer id19:12345678901234567894:porti80eeee").is_err()
        );
        let reply =
            b"d5:peersld2:ip7:1.2.3.47:peer id20:123456789012345678904:porti80eed2:ip3:::14:porti1eeee";
        let peers = parse_announce(reply).unwrap().peers;
        assert_eq!(peers[0].id, Some(PeerId(*b"12345678901234567890")));
        assert_eq!(peers[1], PeerAddress { address: "[::1]:1".parse().unwrap(), id: None });
    }

    #[test]
    fn case_98_compact_peers_are_big_endian() {
        assert_eq!(addresses(b"d5:peers6:\x7f\x00\x00\x01\x1a\xe1e"), ["127.0.0.1:6881"]);
        let six = b"d6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1e";
        assert_eq!(addresses(six), ["[2001:db8::1]:6881"]);
    }

    #[test]
    fn peers_without_a_port_or_with_a_host_name_are_skipped() {
        assert_eq!(addresses(b"d5:peers6:\x7f\x00\x00\x01\x00\x00e"), [""; 0]);
        let list = b"d5:peersld2:ip9:localhost4:porti80eed2:ip7:1.2.3.44:porti0eed2:ip7:1.2.3.44:porti9eeee";
        assert_eq!(addresses(list), ["1.2.3.4:9"]);
        assert!(parse_announce(b"d5:peersld2:ip7:1.2.3.44:porti65536eeee").is_err());
        assert!(parse_announce(b"d5:peersld2:ip7:1.2.3.4eee").is_err());
        assert!(parse_announce(b"d5:peersld4:porti5eeee").is_err());
        assert!(parse_announce(b"d5:peersli5eee").is_err());
        assert_eq!(reason(b"d5:peersi7ee"), "`peers` must be text or a list, found `i7e`");
    }

    #[test]
    fn a_whole_reply_is_read_unsorted_and_with_bytes_after_it() {
        let reply = b"d8:intervali1800e12:min intervali60e10:tracker id2:\xff\x008:completei5e10:incompletei-1e\
            4:lasti9e9:num peersi100e10:done peersi40e15:warning message4:\x1b[2J7:unknownld1:xi-007eee5:peers0:etail";
        let reply = parse_announce(reply).unwrap();
        assert_eq!(reply.interval, Some(Duration::from_secs(1800)));
        assert_eq!(reply.min_interval, Some(Duration::from_secs(60)));
        assert_eq!(reply.tracker_id, Some(vec![0xff, 0]));
        assert_eq!((reply.complete, reply.incomplete), (Some(5), None));
        assert_eq!((reply.last, reply.known_peers, reply.done_peers), (Some(9), Some(100), Some(40)));
        assert_eq!(reply.warning.as_deref(), Some("\x1b[2J"));
        assert!(parse_announce(b"d5:peers0:15:warning messagei1ee").is_err(), "BF-15");
        assert_eq!(parse_announce(b"d5:peers0:e").unwrap(), AnnounceReply::default());
        assert_eq!(parse_announce(b"d6:peers60:e").unwrap(), AnnounceReply::default());
        assert_eq!(reason(b"de"), "the reply has no `peers`");
    }

    #[test]
    fn what_is_no_bencoding_is_named() {
        assert_eq!(reason(b""), "the reply is no bencoded dictionary: it starts with ``");
        assert_eq!(reason(b"<h1>\n"), "the reply is no bencoded dictionary: it starts with `<h1>\\n`");
        assert_eq!(reason(b"d5:peers"), "the bencoding breaks off after 8 bytes");
        assert_eq!(reason(b"d5:peers9999:x"), "the bencoding is broken at byte 8, `9999:x`");
        for wrong in
            ["d", "di1ee", "d1:ai+5ee", "d1:aiee", "d1:ai-ee", "d1:a-1:e", "d1:ae", "d1:a:e", "d1:ai5"]
        {
            assert!(parse_announce(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nesting_and_numbers_of_peers_are_bounded() {
        let deep = |depth| {
            [b"d5:peers0:1:a".to_vec(), b"d1:a".repeat(depth - 1), b"de".to_vec(), b"e".repeat(depth)]
                .concat()
        };
        assert!(parse_announce(&deep(MAX_DEPTH - 1)).is_ok());
        assert_eq!(reason(&deep(MAX_DEPTH)), "the reply is nested deeper than 16");
        assert!(parse_announce(&[&b"d1:a"[..], &vec![b'l'; 1 << 20]].concat()).is_err());

        let compact =
            [b"d5:peers6000000:".to_vec(), b"\x01\x02\x03\x04\x05\x06".repeat(1_000_000), b"e".to_vec()];
        assert_eq!(parse_announce(&compact.concat()).unwrap().peers.len(), MAX_PEERS);
        let listed = [b"d5:peersl".to_vec(), b"d2:ip7:1.2.3.44:porti9ee".repeat(5000), b"ee".to_vec()];
        assert_eq!(parse_announce(&listed.concat()).unwrap().peers.len(), MAX_PEERS);
        let long = [b"d14:failure reason5000:".to_vec(), vec![b'x'; 5000], b"e".to_vec()].concat();
        assert_eq!(reason(&long).len(), MAX_MESSAGE);
    }

    #[test]
    fn a_scrape_answers_for_each_torrent_in_order() {
        let torrents = [InfoHash([b'b'; 20]), InfoHash([b'x'; 20]), InfoHash([b'a'; 20])];
        let reply = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi2e10:incompletei3ee\
            20:bbbbbbbbbbbbbbbbbbbbd8:completei7eee5:flagsdee";
        let [b, x, a] = parse_scrape(reply, &torrents).unwrap()[..] else { panic!("three answers") };
        assert_eq!(a, ScrapeReply { complete: 1, downloaded: 2, incomplete: 3 });
        assert_eq!(b, ScrapeReply { complete: 7, ..ScrapeReply::default() });
        assert_eq!(x, ScrapeReply::default());
        assert!(parse_scrape(b"de", &torrents).is_err());
        let refused = parse_scrape(b"d14:failure reason2:noe", &torrents).unwrap_err();
        assert_eq!(refused.kind, TrackerErrorKind::Refused);
    }

    /// Bytes that look like bencoding more often than chance has it.
    fn almost_bencoded() -> impl Strategy<Value = Vec<u8>> {
        const WORDS: [&str; 19] = [
            "d",
            "l",
            "e",
            "i5e",
            "i-1e",
            "0:",
            "5:peers",
            "6:peers6",
            "6:\x01\x02\x03\x04\x05\x06",
            "2:ip",
            "7:1.2.3.4",
            "4:port",
            "7:peer id",
            "8:interval",
            "14:failure reason",
            "5:files",
            "99999:",
            "i",
            ":",
        ];
        prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40)
            .prop_map(|words| words.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn no_reply_panics(noise in prop::collection::vec(any::<u8>(), 0..200), almost in almost_bencoded()) {
            for reply in [noise, [b"d", &almost[..]].concat(), [b"d5:peersl", &almost[..]].concat()] {
                let _ = parse_announce(&reply);
                let _ = parse_scrape(&reply, &[InfoHash([1; 20])]);
            }
        }

        #[test]
        fn compact_peers_come_back(peers in prop::collection::vec((any::<[u8; 4]>(), 1..=u16::MAX), 0..50)) {
            let mut reply = format!("d5:peers{}:", peers.len() * 6).into_bytes();
            for (ip, port) in &peers {
                reply.extend(ip);
                reply.extend(port.to_be_bytes());
            }
            reply.push(b'e');
            let expected: Vec<PeerAddress> =
                peers.into_iter().map(|address| PeerAddress { address: address.into(), id: None }).collect();
            prop_assert_eq!(parse_announce(&reply).unwrap().peers, expected);
        }
    }
}
