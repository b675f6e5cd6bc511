//! The packets of UDP trackers (BEP 15), with the options of BEP 41: requests written, replies read.
//!
//! Whatever comes is a stranger's. An answer is known by its transaction id alone, since anybody can send to
//! an open port; numbers are taken as they are, peers as far as there is room for them. Packets may be longer
//! than is known here (BEP 15: "do not expect packets to be exactly of a certain size").

use std::net::IpAddr;
use std::time::Duration;

use bt_api::{Announce, AnnounceEvent, AnnounceReply, InfoHash, ScrapeReply, TrackerError};

use super::reply::{MAX_PEERS, malformed, refusal, take_peers};

/// The largest reply that is read whole: an announce's with [`MAX_PEERS`] peers of IPv6. Of a longer one the
/// rest is cut off, between two peers of either family.
pub const MAX_REPLY: usize = 20 + 18 * MAX_PEERS;

/// The most torrents in one scrape (BEP 15).
pub const MAX_SCRAPE: usize = 74;

/// The most bytes of path and query that are sent (BEP 41): the whole packet still fits an Ethernet frame.
pub const MAX_URL_DATA: usize = 1024;

/// What says in a connect request that this is the protocol.
const MAGIC: u64 = 0x0417_2710_1980;

/// The option that carries path and query of the URL (BEP 41).
const URL_DATA: u8 = 2;

/// What a packet asks for or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A connection id is wanted.
    Connect = 0,
    /// We tell of ourselves and want peers.
    Announce = 1,
    /// Counts are wanted.
    Scrape = 2,
}

/// What a tracker answers in place of the action that it was asked for.
const ERROR: u32 = 3;

/// A request for a connection id.
pub fn connect(transaction: u32) -> Vec<u8> {
    head(MAGIC, Action::Connect, transaction)
}

/// An announce. Our address is said to a tracker at an IPv4 address only, as `ipv4` says: there is no room
/// for another kind. `url_data` is the URL's path and query, for BEP 41; none is sent when it is empty.
pub fn announce(
    connection: u64,
    transaction: u32,
    announce: &Announce,
    ipv4: bool,
    url_data: &str,
) -> Vec<u8> {
    let event: u32 = match announce.event {
        None => 0,
        Some(AnnounceEvent::Completed) => 1,
        Some(AnnounceEvent::Started) => 2,
        Some(AnnounceEvent::Stopped) => 3,
    };
    let ip = match announce.ip {
        Some(IpAddr::V4(ip)) if ipv4 => ip.octets(),
        _ => [0; 4],
    };
    let wanted = announce.peers_wanted.map_or(-1, |peers| i32::try_from(peers).unwrap_or(i32::MAX));
    let mut packet = head(connection, Action::Announce, transaction);
    packet.extend(announce.info_hash.0);
    packet.extend(announce.peer_id.0);
    for count in [announce.downloaded, announce.left, announce.uploaded] {
        packet.extend(count.to_be_bytes());
    }
    packet.extend(event.to_be_bytes());
    packet.extend(ip);
    packet.extend(announce.key.to_be_bytes());
    packet.extend(wanted.to_be_bytes());
    packet.extend(announce.port.to_be_bytes());
    for chunk in url_data.as_bytes().chunks(usize::from(u8::MAX)) {
        packet.extend([URL_DATA, u8::try_from(chunk.len()).expect("a chunk has 255 bytes at most")]);
        packet.extend(chunk);
    }
    packet
}

/// A request for the counts of `torrents`, of which there are [`MAX_SCRAPE`] at most.
pub fn scrape(connection: u64, transaction: u32, torrents: &[InfoHash]) -> Vec<u8> {
    let mut packet = head(connection, Action::Scrape, transaction);
    torrents.iter().for_each(|torrent| packet.extend(torrent.0));
    packet
}

fn head(connection: u64, action: Action, transaction: u32) -> Vec<u8> {
    let mut packet = connection.to_be_bytes().to_vec();
    packet.extend((action as u32).to_be_bytes());
    packet.extend(transaction.to_be_bytes());
    packet
}

/// What stands after action and transaction id of the answer to the request of these, or `None` when `packet`
/// is no answer to it.
///
/// # Errors
/// [`Refused`](bt_api::TrackerErrorKind::Refused) with the tracker's own words, which may hold control
/// characters; [`Malformed`](bt_api::TrackerErrorKind::Malformed) when the answer is to another kind of request.
pub fn answer(packet: &[u8], action: Action, transaction: u32) -> Option<Result<&[u8], TrackerError>> {
    let (found, rest) = number(packet)?;
    let (id, rest) = number(rest)?;
    if id != transaction {
        return None;
    }
    Some(match found {
        // C programs send the zero that ends their text.
        ERROR => Err(refusal(rest.split(|&byte| byte == 0).next().unwrap_or(rest))),
        found if found == action as u32 => Ok(rest),
        found => {
            Err(malformed(format!("the tracker answered action {found} to a request of {}", action as u32)))
        }
    })
}

/// The connection id in the answer to a connect request.
///
/// # Errors
/// [`Malformed`](bt_api::TrackerErrorKind::Malformed) when it is too short, as for the next two.
pub fn parse_connect(answer: &[u8]) -> Result<u64, TrackerError> {
    let id = answer.first_chunk().ok_or_else(|| too_short("a connect", 8, answer))?;
    Ok(u64::from_be_bytes(*id))
}

/// The answer to an announce, with peers of the family of the tracker's own address. An interval of zero says
/// nothing of when to come again. Peers at port 0 are skipped, and those after the first [`MAX_PEERS`].
///
/// # Errors
/// As [`parse_connect`], and when the list of peers breaks off.
pub fn parse_announce(answer: &[u8], ipv4: bool) -> Result<AnnounceReply, TrackerError> {
    let fields = number(answer).and_then(|(interval, rest)| {
        let (incomplete, rest) = number(rest)?;
        let (complete, rest) = number(rest)?;
        Some((interval, incomplete, complete, rest))
    });
    let (interval, incomplete, complete, list) =
        fields.ok_or_else(|| too_short("an announce", 12, answer))?;
    let each = if ipv4 { 6 } else { 18 };
    if list.len() % each != 0 {
        return Err(malformed(format!("the peers must take {each} bytes each, found {} in all", list.len())));
    }
    let mut peers = Vec::new();
    if ipv4 {
        take_peers::<4>(list, &mut peers)
    } else {
        take_peers::<16>(list, &mut peers)
    }
    Ok(AnnounceReply {
        interval: (interval > 0).then(|| Duration::from_secs(interval.into())),
        peers,
        complete: Some(complete.into()),
        incomplete: Some(incomplete.into()),
        ..AnnounceReply::default()
    })
}

/// The counts of as many torrents as were asked about.
///
/// # Errors
/// As [`parse_connect`].
pub fn parse_scrape(answer: &[u8], torrents: usize) -> Result<Vec<ScrapeReply>, TrackerError> {
    let counts: Option<Vec<ScrapeReply>> = (0..torrents)
        .map(|torrent| {
            let (complete, rest) = number(answer.get(12 * torrent..)?)?;
            let (downloaded, rest) = number(rest)?;
            let (incomplete, _) = number(rest)?;
            let [complete, downloaded, incomplete] = [complete, downloaded, incomplete].map(u64::from);
            Some(ScrapeReply { complete, incomplete, downloaded })
        })
        .collect();
    counts.ok_or_else(|| too_short("a scrape", 12 * torrents, answer))
}

/// The number at the start of `bytes`, and what follows it.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn too_short(request: &str, least: usize, found: &[u8]) -> TrackerError {
    malformed(format!("the answer to {request} must have {} bytes, found {}", 8 + least, 8 + found.len()))
}

#[cfg(test)]
mod tests {
    use bt_api::{PeerId, TrackerErrorKind};
    use proptest::prelude::*;

    use super::*;

    fn ours() -> Announce {
        Announce {
            info_hash: InfoHash([0xaa; 20]),
            peer_id: PeerId([0xbb; 20]),
            port: 6881,
            ip: None,
            key: 0x0102_0304,
            uploaded: 3,
            downloaded: 1,
            left: 2,
            event: None,
            peers_wanted: None,
            compact: true,
            tracker_id: None,
            last: None,
        }
    }

    /// Offsets and values as the tables of BEP 15 have them.
    #[test]
    fn requests_have_the_fields_where_bep_15_has_them() {
        let packet = connect(7);
        assert_eq!(packet, [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 7]);

        let full = Announce {
            ip: Some("192.0.2.1".parse().unwrap()),
            event: Some(AnnounceEvent::Started),
            peers_wanted: Some(50),
            ..ours()
        };
        let packet = announce(5, 7, &full, true, "");
        assert_eq!(packet.len(), 98);
        assert_eq!(packet[..16], [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 7]);
        assert_eq!((&packet[16..36], &packet[36..56]), (&[0xaa; 20][..], &[0xbb; 20][..]));
        let counts: Vec<u8> = packet[56..80].iter().copied().filter(|&byte| byte != 0).collect();
        assert_eq!((counts, packet[63], packet[71], packet[79]), (vec![1, 2, 3], 1, 2, 3));
        assert_eq!(packet[80..98], [0, 0, 0, 2, 192, 0, 2, 1, 1, 2, 3, 4, 0, 0, 0, 50, 0x1a, 0xe1]);

        // There is no room for an address of IPv6, and over IPv6 there is none for any.
        let six = Announce { ip: Some("2001:db8::1".parse().unwrap()), ..ours() };
        assert_eq!(
            announce(5, 7, &six, true, "")[80..96],
            [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 255, 255, 255, 255]
        );
        assert_eq!(announce(5, 7, &full, false, "")[84..88], [0; 4]);
        for (event, number) in [(AnnounceEvent::Completed, 1), (AnnounceEvent::Stopped, 3)] {
            assert_eq!(announce(5, 7, &Announce { event: Some(event), ..ours() }, true, "")[83], number);
        }

        let packet = scrape(5, 7, &[InfoHash([1; 20]), InfoHash([2; 20])]);
        assert_eq!(packet[..16], [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 7]);
        assert_eq!((&packet[16..36], &packet[36..]), (&[1; 20][..], &[2; 20][..]));
    }

    /// The example of BEP 41, and a URL that needs a second option.
    #[test]
    fn path_and_query_follow_the_announce() {
        let options = |data: &str| announce(5, 7, &ours(), true, data).split_off(98);
        assert_eq!(options("/dir?a=b&c=d"), b"\x02\x0c/dir?a=b&c=d");
        assert_eq!(options(""), b"");
        let long = format!("/{}", "x".repeat(299));
        let sent = options(&long);
        assert_eq!((sent.len(), &sent[..3], &sent[257..260]), (304, &b"\x02\xff/"[..], &b"\x02\x2dx"[..]));
    }

    #[test]
    fn an_answer_is_known_by_its_transaction() {
        let packet = b"\0\0\0\x01\0\0\0\x07rest";
        assert_eq!(answer(packet, Action::Announce, 7), Some(Ok(&b"rest"[..])));
        assert_eq!(answer(packet, Action::Announce, 8), None);
        assert_eq!(answer(&packet[..7], Action::Announce, 7), None);
        let wrong = answer(packet, Action::Scrape, 7).unwrap().unwrap_err();
        assert_eq!(wrong.to_string(), "the tracker answered action 1 to a request of 2");
        let said = |text: &[u8]| {
            let packet = [b"\0\0\0\x03\0\0\0\x07", text].concat();
            let error = answer(&packet, Action::Announce, 7).unwrap().unwrap_err();
            assert_eq!(error.kind, TrackerErrorKind::Refused);
            error.message
        };
        assert_eq!(said(b"not here"), "not here");
        assert_eq!(said(b"not here\0junk"), "not here");
        assert_eq!(said(b"\0"), "the tracker refused without a reason");
        assert_eq!(said(&[b'x'; 5000]).len(), 1000);
    }

    #[test]
    fn replies_are_read_by_family() {
        let head = b"\0\0\x07\x08\0\0\0\x02\0\0\0\x01";
        let four = [&head[..], b"\x7f\0\0\x01\x1a\xe1\x01\x02\x03\x04\0\0\x01\x02\x03\x04\0\x05"].concat();
        let reply = parse_announce(&four, true).unwrap();
        assert_eq!(reply.interval, Some(Duration::from_secs(1800)));
        assert_eq!((reply.complete, reply.incomplete), (Some(1), Some(2)));
        let peers: Vec<String> = reply.peers.iter().map(|peer| peer.address.to_string()).collect();
        assert_eq!(peers, ["127.0.0.1:6881", "1.2.3.4:5"], "the one at port 0 is left out");
        // Three peers of IPv4 take as many bytes as one of IPv6.
        let reply = parse_announce(&four, false).unwrap();
        assert_eq!(reply.peers[0].address.to_string(), "[7f00:1:1ae1:102:304:0:102:304]:5");
        let error = parse_announce(&four[..18], false).unwrap_err();
        assert_eq!(error.to_string(), "the peers must take 18 bytes each, found 6 in all");
    }

    #[test]
    fn counts_are_taken_as_they_are_and_peers_within_the_bound() {
        let giant = [&[0xff; 12][..], &[1; 6 * (MAX_PEERS + 1)]].concat();
        let reply = parse_announce(&giant, true).unwrap();
        assert_eq!((reply.complete, reply.incomplete), (Some(u32::MAX.into()), Some(u32::MAX.into())));
        assert_eq!(
            (reply.interval, reply.peers.len()),
            (Some(Duration::from_secs(u32::MAX.into())), MAX_PEERS)
        );
        assert_eq!(parse_announce(&[0; 12], true).unwrap().interval, None);
        for each in [6, 18] {
            assert_eq!((MAX_REPLY - 20) % each, 0, "a reply is cut between peers");
        }
    }

    #[test]
    fn short_answers_are_refused_with_what_was_found() {
        let error = parse_announce(&[0; 11], true).unwrap_err().to_string();
        assert_eq!(error, "the answer to an announce must have 20 bytes, found 19");
        assert_eq!(parse_connect(&[0; 7]).unwrap_err().kind, TrackerErrorKind::Malformed);
        assert_eq!(parse_connect(&[0, 0, 0, 0, 0, 0, 0, 9, 0]), Ok(9));
        let counts = [[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], [0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6]].concat();
        let parsed = parse_scrape(&counts, 2).unwrap();
        assert_eq!(parsed[1], ScrapeReply { complete: 4, downloaded: 5, incomplete: 6 });
        let error = parse_scrape(&counts, 3).unwrap_err().to_string();
        assert_eq!(error, "the answer to a scrape must have 44 bytes, found 32");
    }

    proptest! {
        #[test]
        fn no_packet_panics(packet in prop::collection::vec(any::<u8>(), 0..200), ipv4: bool, torrents in 0..80_usize) {
            let transaction = packet.get(4..8).map_or(0, |id| u32::from_be_bytes(id.try_into().unwrap()));
            for action in [Action::Connect, Action::Announce, Action::Scrape] {
                let _ = answer(&packet, action, transaction);
            }
            let _ = (parse_connect(&packet), parse_announce(&packet, ipv4), parse_scrape(&packet, torrents));
        }
    }
}
