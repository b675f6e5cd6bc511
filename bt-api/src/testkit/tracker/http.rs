//! What a client of the scheme `http` makes of good trackers and of a catalogue of bad ones (BEP 3, 7, 23, 48).

use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt;

use super::script::{Reply, Script, Tracker};
use super::{LIMIT, Subject, announce, announced};
use crate::rng::{self, below};
use crate::testkit::{Promise, TestHost};
use crate::torrent::InfoHash;
use crate::tracker::{AnnounceReply, TrackerClient, TrackerError, TrackerErrorKind};

/// One test for each promise of a [`TrackerClient`] that serves `http` URLs: see [the kits](crate::testkit).
/// It goes with [`tracker_conformance!`](crate::testkit::tracker_conformance), in the same way.
#[macro_export]
macro_rules! http_tracker_conformance {
    ($name:ident = $subject:expr) => {
        $crate::__conformance!(
            http_tracker, __http_tracker_promises, $crate::testkit::tracker::Subject, $name = $subject
        );
    };
    ($name:ident : $plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::http_tracker_conformance!(
            $name = $crate::testkit::tracker::Subject::of::<$plugin>(&[$($table),*])
        );
    };
    ($plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::http_tracker_conformance!(http_tracker_conformance: $plugin $(, $table)*);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __http_tracker_promises {
    ($then:ident) => {
        $crate::$then! { http_tracker;
            asks_as_bep_3_says
            peers_come_compact_listed_and_as_peers6
            what_the_reply_says_is_passed_on
            bodies_come_chunked_and_from_http_1_0
            a_failure_reason_is_a_refusal_in_its_own_words
            other_statuses_are_errors
            odd_peers_are_left_out
            odd_intervals_do_no_harm
            what_is_no_reply_is_malformed
            cut_off_replies_are_errors
            changed_replies_do_no_harm
            endless_replies_are_cut
            redirections_are_followed_and_end
            silent_trackers_are_given_up
            broken_connections_are_unreachable
            a_dropped_call_leaves_nothing_behind
            scrapes_answer_each_torrent_in_order
        }
    };
}

/// The promises by name.
pub const PROMISES: &[Promise<Subject>] = crate::__http_tracker_promises! { __conformance_table };

const URL: &str = "http://tracker.invalid:6969/announce";

/// A good reply with one peer, [`PEER`].
const GOOD: &[u8] = b"d8:intervali1800e5:peers6:\x7f\x00\x00\x01\x1a\xe1e";

const PEER: &str = "127.0.0.1:6881";

/// No reply is worth more than this to a client, in bytes of what was sent.
const ENOUGH: usize = 96 << 20;

fn with_status(status: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    with_status("200 OK", body)
}

type Answer = Result<AnnounceReply, TrackerError>;

/// What a client makes of `replies`, and what the tracker saw.
fn ask(client: &dyn TrackerClient, url: &str, replies: Vec<Reply>) -> (Answer, Script) {
    let (tracker, seen) = Tracker::new(replies);
    let answer = announced(client, Some(url), &TestHost::with_network(tracker));
    (answer.expect("an answer within an hour"), seen)
}

/// What a client makes of a reply that says `bytes`.
fn made_of(client: &dyn TrackerClient, bytes: impl Into<Vec<u8>>) -> Answer {
    ask(client, URL, vec![Reply::Says(bytes.into())]).0
}

fn addresses(answer: Answer) -> Vec<String> {
    answer.expect("a reply").peers.iter().map(|peer| peer.address.to_string()).collect()
}

fn kind(answer: &Answer) -> Option<TrackerErrorKind> {
    answer.as_ref().err().map(|error| error.kind)
}

/// Shows bytes in a message.
fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(120)].escape_ascii().to_string()
}

/// The request is a GET with the parameters of BEP 3, raw bytes percent-encoded; a query of the URL is kept.
///
/// # Panics
/// When the promise is broken, as all of these functions do.
pub fn asks_as_bep_3_says(subject: &Subject) {
    subject.for_each_client(|client| {
        let url = format!("{URL}?pass=a%26b");
        let (_, seen) = ask(client, &url, vec![Reply::Says(ok(GOOD))]);
        let requests = seen.requests();
        let request = String::from_utf8_lossy(requests.first().expect("a request")).into_owned();
        let line = request.lines().next().unwrap_or_default();
        let query = line.strip_prefix("GET /announce?").and_then(|rest| rest.split(' ').next());
        let pairs: Vec<&str> = query.unwrap_or_else(|| panic!("the request {line:?}")).split('&').collect();
        let hash = format!("info_hash={}", "%A5".repeat(20));
        for needed in [&hash, "peer_id=-BT0100-012345678901", "port=6881", "left=5", "pass=a%26b"] {
            assert!(pairs.iter().any(|pair| pair.eq_ignore_ascii_case(needed)), "no {needed} in {line:?}");
        }
        let host = request.lines().any(|line| line.eq_ignore_ascii_case("host: tracker.invalid:6969"));
        assert!(host, "no Host in {request:?}");
    });
}

/// Peers come in six bytes each (BEP 23), as dictionaries (BEP 3), and in eighteen bytes each (BEP 7).
pub fn peers_come_compact_listed_and_as_peers6(subject: &Subject) {
    subject.for_each_client(|client| {
        assert_eq!(addresses(made_of(client, ok(GOOD))), [PEER]);
        let listed = b"d8:intervali9e5:peersld2:ip9:127.0.0.17:peer id20:abcdefghijklmnopqrst4:porti6881eeee";
        assert_eq!(addresses(made_of(client, ok(listed))), [PEER]);
        let six =
            [b"d8:intervali9e5:peers0:6:peers618:".as_slice(), &[0; 15], &[1, 0x1a, 0xe1], b"e"].concat();
        assert_eq!(addresses(made_of(client, ok(six))), ["[::1]:6881"]);
    });
}

/// Interval, counts, the tracker's id and its warning reach the caller.
pub fn what_the_reply_says_is_passed_on(subject: &Subject) {
    subject.for_each_client(|client| {
        let body =
            b"d8:completei3e10:incompletei4e8:intervali1800e12:min intervali60e5:peers0:10:tracker id3:x\xff\
                     y15:warning message4:slowe";
        let reply = made_of(client, ok(body)).expect("a reply");
        assert_eq!((reply.complete, reply.incomplete), (Some(3), Some(4)));
        assert_eq!(reply.interval, Some(Duration::from_secs(1800)));
        assert_eq!(reply.min_interval, Some(Duration::from_secs(60)));
        assert_eq!(reply.tracker_id.as_deref(), Some(&b"x\xffy"[..]));
        assert_eq!(reply.warning.as_deref(), Some("slow"));
    });
}

/// A body may come in chunks, or without a length, up to the end of the connection.
pub fn bodies_come_chunked_and_from_http_1_0(subject: &Subject) {
    subject.for_each_client(|client| {
        let (one, two) = GOOD.split_at(10);
        let chunks: [&[u8]; 6] = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n",
            one,
            b"\r\n17\r\n",
            two,
            b"\r\n",
            b"0\r\n\r\n",
        ];
        assert_eq!(addresses(made_of(client, chunks.concat())), [PEER]);
        assert_eq!(addresses(made_of(client, [b"HTTP/1.0 200 OK\r\n\r\n", GOOD].concat())), [PEER]);
    });
}

/// A `failure reason` is [`Refused`](TrackerErrorKind::Refused), with the tracker's own words, whatever the status.
pub fn a_failure_reason_is_a_refusal_in_its_own_words(subject: &Subject) {
    subject.for_each_client(|client| {
        for status in ["200 OK", "403 Forbidden"] {
            let body = "d14:failure reason9:not today5:peersi7ee";
            let error = made_of(client, with_status(status, body)).expect_err("a refusal");
            assert_eq!(
                (error.kind, error.message.as_str()),
                (TrackerErrorKind::Refused, "not today"),
                "{status}"
            );
        }
    });
}

/// Of any status but 200 that is no redirection the body counts for nothing.
pub fn other_statuses_are_errors(subject: &Subject) {
    subject.for_each_client(|client| {
        for status in ["404 Not Found", "500 Internal Server Error", "599 What", "204 No Content"] {
            let answer = made_of(client, with_status(status, GOOD));
            assert!(answer.is_err(), "{status}: {answer:?}");
        }
    });
}

/// No peer that cannot be (port 0 or beyond, no address, a name that would have to be looked up) comes out of a
/// reply; the reply is [`Malformed`](TrackerErrorKind::Malformed), or its good peers come out.
pub fn odd_peers_are_left_out(subject: &Subject) {
    let peer = |ip: &str, port: &str| format!("d2:ip{ip}4:port{port}e");
    let good = peer("9:127.0.0.1", "i6881e");
    let odd = [
        peer("9:127.0.0.1", "i0e"),
        peer("9:127.0.0.1", "i70000e"),
        peer("9:127.0.0.1", "i-1e"),
        peer("9:127.0.0.1", "4:6881"),
        peer("i5e", "i6881e"),
        peer("0:", "i6881e"),
        peer("15:router.internal", "i6881e"),
        "d4:porti6881ee".to_owned(),
        "d2:ip9:127.0.0.1e".to_owned(),
        "i5e".to_owned(),
        "le".to_owned(),
        "d2:ip9:127.0.0.17:peer id19:abcdefghijklmnopqrs4:porti6881ee".to_owned(),
    ];
    let listed = odd.iter().map(|odd| format!("d8:intervali9e5:peersl{good}{odd}ee").into_bytes());
    let mut bodies: Vec<Vec<u8>> = listed.collect();
    bodies.push(b"d8:intervali9e5:peers12:\x7f\x00\x00\x01\x1a\xe1\x01\x02\x03\x04\x00\x00e".to_vec());
    bodies.push(b"d8:intervali9e5:peers7:\x7f\x00\x00\x01\x1a\xe1xe".to_vec());
    bodies.extend([&b"d8:intervali9e5:peersi5ee"[..], b"d8:intervali9e5:peersdee"].map(<[u8]>::to_vec));
    subject.for_each_client(|client| {
        for body in &bodies {
            assert_sane(&made_of(client, ok(body)), body);
        }
    });
}

/// Whatever was said, what comes out is at most the one good peer, or a complaint of the reply.
fn assert_sane(answer: &Answer, body: &[u8]) {
    match answer {
        Ok(reply) => {
            let good: SocketAddr = PEER.parse().expect("an address");
            assert!(
                reply.peers.iter().all(|peer| peer.address == good),
                "{:?} of {}",
                reply.peers,
                shown(body)
            );
        }
        Err(error) => assert_eq!(error.kind, TrackerErrorKind::Malformed, "{error}: {}", shown(body)),
    }
}

/// An interval of nothing, below it, beyond any number or of another type never comes out as no time at all: the
/// reply is refused, or has no interval.
pub fn odd_intervals_do_no_harm(subject: &Subject) {
    subject.for_each_client(|client| {
        let beyond = "i99999999999999999999999e";
        for value in ["i0e", "i-5e", beyond, "4:1800", "le", "i18446744073709551615e"] {
            for key in ["8:interval", "12:min interval"] {
                let body = format!("d{key}{value}5:peers0:e");
                if let Ok(reply) = made_of(client, ok(&body)) {
                    let none = [reply.interval, reply.min_interval].contains(&Some(Duration::ZERO));
                    assert!(!none, "an interval of no time, of {body}");
                }
            }
        }
    });
}

/// What is not bencoding, or no dictionary, or nested too deep to be one, is
/// [`Malformed`](TrackerErrorKind::Malformed); so is what is no HTTP.
pub fn what_is_no_reply_is_malformed(subject: &Subject) {
    subject.for_each_client(|client| {
        let deep = [b"d5:peers".to_vec(), b"l".repeat(100_000), b"e".repeat(100_001)].concat();
        let lists = b"l".repeat(300_000);
        let bodies: [&[u8]; 14] = [
            b"<html>gone</html>",
            b"{\"peers\": []}",
            b"i5e",
            b"le",
            b"5:peers",
            b"d",
            b"d5:peers",
            b"d5:peers99999999999999999999:e",
            b"d5:peers4294967295:e",
            b"d-1:x0:5:peers0:e",
            b"di5e5:peers5:peers0:e",
            b"\x00\x01\x02\xff",
            &deep,
            &lists,
        ];
        for body in bodies {
            let answer = made_of(client, ok(body));
            assert_eq!(kind(&answer), Some(TrackerErrorKind::Malformed), "{}", shown(body));
        }
        for reply in [&b"SSH-2.0-x\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"] {
            assert_eq!(kind(&made_of(client, reply)), Some(TrackerErrorKind::Malformed), "{}", shown(reply));
        }
    });
}

/// A reply that ends early, in its bencoding or in its HTTP, is an error and never half a reply.
pub fn cut_off_replies_are_errors(subject: &Subject) {
    subject.for_each_client(|client| {
        // An empty body is an answer of its own.
        for end in 1..GOOD.len() {
            let answer = made_of(client, ok(&GOOD[..end]));
            assert_eq!(kind(&answer), Some(TrackerErrorKind::Malformed), "{}", shown(&GOOD[..end]));
        }
        let whole = ok(GOOD);
        for end in 0..whole.len() {
            let answer = made_of(client, &whole[..end]);
            assert!(answer.is_err(), "half a reply, {}, is {answer:?}", shown(&whole[..end]));
        }
    });
}

/// Thousands of replies, each a good one with some bytes changed, cause no panic, and take no time.
pub fn changed_replies_do_no_harm(subject: &Subject) {
    let body = b"d8:completei3e8:intervali1800e5:peersld2:ip9:127.0.0.17:peer id20:abcdefghijklmnopqrst4:porti6881eee\
                 6:peers60:e";
    let chunked =
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n21\r\n", GOOD, b"\r\n0\r\n\r\n"].concat();
    let replies =
        [ok(body), ok(GOOD), chunked, with_status("302 Found\r\nLocation: /beside/the?first=one", "")];
    subject.for_each_client(|client| {
        let mut rng = rng::stream(1, 0, "replies");
        for round in 0..3000 {
            let mut reply = replies[round % replies.len()].clone();
            for _ in 0..=below(&mut rng, 4) {
                let at = below(&mut rng, reply.len() as u32) as usize;
                let any = [0, 1].map(|_| below(&mut rng, 256) as u8);
                let byte = [b'0', b'9', b'e', b':', b'l', b'd', any[0], any[1]];
                match below(&mut rng, 3) {
                    0 => reply[at] = byte[below(&mut rng, 8) as usize],
                    1 => reply.insert(at, byte[below(&mut rng, 8) as usize]),
                    _ => _ = reply.remove(at),
                }
            }
            let _ = made_of(client, reply);
        }
    });
}

/// Replies without end, or that say they have hardly any, are cut off with an error, before they cost the
/// memory of the machine.
pub fn endless_replies_are_cut(subject: &Subject) {
    let head = b"HTTP/1.0 200 OK\r\n";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nd";
    let replies: [(&[u8], &[u8]); 8] = [
        (&[], b"x"),
        (&[], b"\r\n"),
        (head, b"X: y\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"0:"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"l"),
        (chunked, b"4\r\n1:ab\r\n"),
        (chunked, b"0"),
        (huge, b"1:ab"),
    ];
    subject.for_each_client(|client| {
        for (start, more) in replies {
            let (answer, seen) = ask(client, URL, vec![Reply::SaysForEver(start.to_vec(), more.to_vec())]);
            let what = format!("{} and then {} for ever", shown(start), shown(more));
            assert!(answer.is_err(), "{what}: {answer:?}");
            assert!(seen.bytes_read() < ENOUGH, "{what}: {} bytes are read", seen.bytes_read());
        }
        let chunk = [chunked, &b"ffffffffffffffff\r\nd"[..]].concat();
        assert!(made_of(client, chunk).is_err(), "a chunk of 2^64 - 1 bytes");
    });
}

/// A redirection is followed to http and https, to paths beside the first; one without end ends soon, and one to
/// anything else is an error.
pub fn redirections_are_followed_and_end(subject: &Subject) {
    subject.for_each_client(|client| {
        let to = |target: &str| {
            Reply::Says(format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\n\r\n").into_bytes())
        };
        for target in ["/b?x=1", "c", "http://other.invalid/d"] {
            let (answer, seen) = ask(client, URL, vec![to(target), Reply::Says(ok(GOOD))]);
            assert_eq!((addresses(answer), seen.connections()), (vec![PEER.to_owned()], 2), "to {target}");
        }
        for target in ["/announce", "http://other.invalid/announce"] {
            let (answer, seen) = ask(client, URL, (0..1000).map(|_| to(target)).collect());
            assert!(answer.is_err() && seen.connections() <= 50, "{} redirections", seen.connections());
        }
        for target in ["file:///etc/passwd", "gopher://x/", "http://[", "http://"] {
            let (answer, seen) = ask(client, URL, vec![to(target), Reply::Says(ok(GOOD))]);
            assert!(answer.is_err() && seen.connections() == 1, "to {target}: {answer:?}");
        }
        assert!(made_of(client, "HTTP/1.1 302 Found\r\n\r\n").is_err(), "a redirection to nowhere");
    });
}

/// A tracker that is silent, from the start or in the middle, or that drips, is given up within an hour; one
/// that is only slow is waited for.
pub fn silent_trackers_are_given_up(subject: &Subject) {
    let whole = ok(GOOD);
    subject.for_each_client(|client| {
        let mut replies: Vec<Reply> =
            [0, 5, 20, whole.len() - 1].map(|end| Reply::FallsSilent(whole[..end].to_vec())).into();
        replies.push(Reply::Drips([ok(GOOD), b"x".repeat(9000)].concat(), Duration::from_secs(30)));
        for reply in replies {
            let (tracker, _) = Tracker::new(vec![reply.clone()]);
            let answer = announced(client, Some(URL), &TestHost::with_network(tracker));
            let answer = answer.unwrap_or_else(|| panic!("it waits for more than an hour for {reply:?}"));
            assert_eq!(kind(&answer), Some(TrackerErrorKind::TimedOut));
        }
        let slow = Reply::Drips(whole.clone(), Duration::from_millis(20));
        assert_eq!(addresses(ask(client, URL, vec![slow]).0), [PEER]);
    });
}

/// A connection that is refused or reset is [`Unreachable`](TrackerErrorKind::Unreachable): nobody answered.
pub fn broken_connections_are_unreachable(subject: &Subject) {
    let whole = ok(GOOD);
    subject.for_each_client(|client| {
        let resets = [0, 5, 20, whole.len() - 1].map(|end| Reply::Resets(whole[..end].to_vec()));
        for reply in resets.into_iter().chain([Reply::Refused, Reply::Says(Vec::new())]) {
            let (answer, _) = ask(client, URL, vec![reply.clone()]);
            assert_eq!(kind(&answer), Some(TrackerErrorKind::Unreachable), "{reply:?}: {answer:?}");
        }
    });
}

/// A call that is dropped while it waits leaves no connection behind.
pub fn a_dropped_call_leaves_nothing_behind(subject: &Subject) {
    subject.for_each_client(|client| {
        for said in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nd"] {
            let (tracker, seen) = Tracker::new(vec![Reply::FallsSilent(said.to_vec())]);
            let host = TestHost::with_network(tracker);
            let announce = announce();
            let mut call = client.announce(Some(URL), &announce, &*host);
            assert!((&mut call).now_or_never().is_none(), "it answers what was not said");
            assert_eq!(seen.open(), 1);
            drop(call);
            assert_eq!(seen.open(), 0, "connections that are left");
        }
    });
}

/// A scrape (BEP 48) has one answer for each torrent that was asked for, in the order of the question; one that
/// the tracker does not name has no peers there. A client without scrapes says
/// [`Unsupported`](TrackerErrorKind::Unsupported).
pub fn scrapes_answer_each_torrent_in_order(subject: &Subject) {
    subject.for_each_client(|client| {
        let entry = |hash: char, count: u32| {
            let hash = hash.to_string().repeat(20);
            format!("20:{hash}d8:completei{count}e10:downloadedi0e10:incompletei0ee")
        };
        let body = format!("d5:filesd{}{}ee", entry('a', 1), entry('b', 2));
        let (tracker, _) = Tracker::new(vec![Reply::Says(ok(body))]);
        let host = TestHost::with_network(tracker);
        let torrents = [b'b', b'c', b'a'].map(|byte| InfoHash([byte; 20]));
        let answer =
            host.run(LIMIT, client.scrape(URL, &torrents, &*host)).expect("an answer within an hour");
        match answer {
            Ok(counts) => {
                let complete: Vec<u64> = counts.iter().map(|counts| counts.complete).collect();
                assert_eq!(complete, [2, 0, 1]);
            }
            Err(error) => assert_eq!(error.kind, TrackerErrorKind::Unsupported, "{error}"),
        }
    });
}
