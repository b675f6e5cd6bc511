//! What a tracker hears and says over UDP (BEP 15), as bytes.

use std::net::SocketAddr;
use std::time::Duration;

use bt_api::{Announce, AnnounceEvent, AnnounceReply, InfoHash, Instant, PeerId, ScrapeReply};
use sha1::{Digest, Sha1};

use super::http::compact_peers;

/// What a request to connect begins with.
const MAGIC: u64 = 0x0417_2710_1980;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// The length of an announce; what follows are options, of which none concerns the tracker (BEP 41).
const ANNOUNCE_LENGTH: usize = 98;

/// How long a connection's number is taken at least, after it was given.
const LIFETIME: Duration = Duration::from_secs(120);

/// A request, and the number that its answer must have.
#[derive(Debug)]
pub(in crate::swarm) struct Request {
    pub(in crate::swarm) transaction: u32,
    /// The number of the connection; of a request for one the magic number.
    connection: u64,
    pub(in crate::swarm) question: Question,
}

/// What is asked.
#[derive(Debug)]
pub(in crate::swarm) enum Question {
    /// A number for a connection.
    Connect,
    /// Who else is there?
    Announce(Announce),
    /// How many are there?
    Scrape(Vec<InfoHash>),
}

/// Reads a datagram; `None` where it is no request.
pub(in crate::swarm) fn request(bytes: &[u8]) -> Option<Request> {
    let word = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let question = match word(8)? {
        CONNECT if long(0)? == MAGIC => Question::Connect,
        ANNOUNCE if bytes.len() >= ANNOUNCE_LENGTH => Question::Announce(Announce {
            info_hash: InfoHash(*bytes.get(16..)?.first_chunk()?),
            peer_id: PeerId(*bytes.get(36..)?.first_chunk()?),
            downloaded: long(56)?,
            left: long(64)?,
            uploaded: long(72)?,
            event: match word(80)? {
                1 => Some(AnnounceEvent::Completed),
                2 => Some(AnnounceEvent::Started),
                3 => Some(AnnounceEvent::Stopped),
                _ => None,
            },
            ip: None,
            key: word(88)?,
            // A signed number: below zero is as many as the tracker likes.
            peers_wanted: word(92).filter(|wanted| *wanted <= i32::MAX as u32),
            port: u16::from_be_bytes(*bytes.get(96..)?.first_chunk()?),
            compact: true,
            tracker_id: None,
            last: None,
        }),
        SCRAPE => Question::Scrape(bytes.get(16..)?.as_chunks().0.iter().copied().map(InfoHash).collect()),
        _ => return None,
    };
    Some(Request { transaction: word(12)?, connection: long(0)?, question })
}

/// Numbers connections: a number says to whom it was given and when, so that none need be remembered.
pub(in crate::swarm) struct Numbers {
    pub(in crate::swarm) seed: u64,
}

impl Numbers {
    /// The number that is given to `from`.
    pub(in crate::swarm) fn number(&self, from: SocketAddr, now: Instant) -> u64 {
        self.of_period(from, period(now))
    }

    fn of_period(&self, from: SocketAddr, period: u64) -> u64 {
        let text = format!("{} {from} {period}", self.seed);
        let digest: [u8; 20] = Sha1::digest(text).into();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Whether `request` of `from` has a number that was given to it, and not too long ago.
    pub(in crate::swarm) fn knows(&self, request: &Request, from: SocketAddr, now: Instant) -> bool {
        let now = period(now);
        [now, now.saturating_sub(1)].iter().any(|&period| request.connection == self.of_period(from, period))
    }
}

/// Times are counted in lifetimes of a connection.
fn period(now: Instant) -> u64 {
    (now - Instant::ZERO).as_secs() / LIFETIME.as_secs()
}

fn head(action: u32, transaction: u32) -> Vec<u8> {
    [action.to_be_bytes(), transaction.to_be_bytes()].concat()
}

/// The answer to a request to connect.
pub(in crate::swarm) fn connected(transaction: u32, connection: u64) -> Vec<u8> {
    [head(CONNECT, transaction).as_slice(), &connection.to_be_bytes()].concat()
}

/// The answer to an announce.
pub(in crate::swarm) fn announced(transaction: u32, reply: &AnnounceReply) -> Vec<u8> {
    let short = |count: u64| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = head(ANNOUNCE, transaction);
    bytes.extend(short(reply.interval.map_or(0, |interval| interval.as_secs())));
    bytes.extend(short(reply.incomplete.unwrap_or(0)));
    bytes.extend(short(reply.complete.unwrap_or(0)));
    bytes.extend(compact_peers(reply));
    bytes
}

/// The answer to a scrape.
pub(in crate::swarm) fn scraped(transaction: u32, counts: &[ScrapeReply]) -> Vec<u8> {
    let short = |count: u64| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = head(SCRAPE, transaction);
    for counts in counts {
        for count in [counts.complete, counts.downloaded, counts.incomplete] {
            bytes.extend(short(count));
        }
    }
    bytes
}

/// A refusal.
pub(in crate::swarm) fn refused(transaction: u32, why: &str) -> Vec<u8> {
    [head(ERROR, transaction).as_slice(), why.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_field_by_field() {
        let mut bytes = Vec::new();
        bytes.extend(5u64.to_be_bytes());
        bytes.extend([ANNOUNCE.to_be_bytes(), 77u32.to_be_bytes()].concat());
        bytes.extend([[1; 20], [2; 20]].concat());
        bytes.extend([10u64.to_be_bytes(), 20u64.to_be_bytes(), 30u64.to_be_bytes()].concat());
        bytes.extend([2u32.to_be_bytes(), [0; 4], 9u32.to_be_bytes(), (-1i32).to_be_bytes()].concat());
        bytes.extend(6881u16.to_be_bytes());
        assert!(request(&bytes[..ANNOUNCE_LENGTH - 1]).is_none());
        let read = request(&bytes).unwrap();
        assert_eq!((read.connection, read.transaction), (5, 77));
        let Question::Announce(announce) = read.question else { panic!() };
        assert_eq!((announce.info_hash, announce.peer_id), (InfoHash([1; 20]), PeerId([2; 20])));
        assert_eq!((announce.downloaded, announce.left, announce.uploaded), (10, 20, 30));
        assert_eq!(announce.event, Some(AnnounceEvent::Started));
        assert_eq!((announce.key, announce.peers_wanted, announce.port), (9, None, 6881));
        bytes[92..96].copy_from_slice(&3u32.to_be_bytes());
        let Question::Announce(announce) = request(&bytes).unwrap().question else { panic!() };
        assert_eq!(announce.peers_wanted, Some(3));
        for wrong in [&b""[..], &[0; 15], &[0; 16], &[9; 98]] {
            assert!(request(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_number_is_taken_from_whom_it_was_given_to_and_for_two_minutes() {
        let numbers = Numbers { seed: 1 };
        let [own, other]: [SocketAddr; 2] =
            ["10.0.0.1:500", "10.0.0.1:501"].map(|text| text.parse().unwrap());
        let given = Instant::from_secs(119);
        let connection = numbers.number(own, given);
        let scrape = Request { transaction: 0, connection, question: Question::Scrape(Vec::new()) };
        assert!(numbers.knows(&scrape, own, given + LIFETIME));
        assert!(!numbers.knows(&scrape, own, given + LIFETIME * 2));
        assert!(!numbers.knows(&scrape, other, given));
        assert!(!Numbers { seed: 2 }.knows(&scrape, own, given));
    }
}
