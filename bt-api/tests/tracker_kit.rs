//! The kits of tracker clients: a good client keeps every promise, and each of these broken ones breaks the one meant.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use bt_api::testkit::tracker::{PROMISES, Subject};
use bt_api::testkit::{broken_promises, http_tracker};
use bt_api::{
    Announce, AnnounceReply, BoxFuture, Host, InfoHash, PeerAddress, ScrapeReply, Stream, TrackerClient,
    TrackerError, TrackerErrorKind,
};
use futures::future::{Either, select};
use futures::{AsyncReadExt, AsyncWriteExt};

/// What is wrong with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    ShoutsItsScheme,
    GuessesTheUrl,
    HasNoNews,
    BlamesTheTrackerForTheNetwork,
    HidesThatNobodyAnswers,
    CountsNothing,
    SaysTooMuch,
    CountsWhatHasNoCounts,
    DropsTheQuery,
    KnowsNoSixes,
    KeepsWarningsToItself,
    KnowsNoChunks,
    HidesTheReason,
    IgnoresTheStatus,
    TakesPortZero,
    TakesNoTimeAtAll,
    TakesTextForAReply,
    TakesHalfAReply,
    PanicsAtOddTargets,
    ReadsForEver,
    FollowsForEver,
    WaitsForEver,
    BlamesTheTrackerForTheLine,
    KeepsItsLine,
    MixesCountsUp,
}

struct Plain {
    flaw: Flaw,
    lines: Mutex<Vec<Box<dyn Stream>>>,
}

const MOST: usize = 1 << 20;

fn error(kind: TrackerErrorKind, message: &str) -> TrackerError {
    TrackerError::new(kind, message)
}

fn malformed(message: &str) -> TrackerError {
    error(TrackerErrorKind::Malformed, message)
}

/// A bencoded value.
#[derive(Debug)]
enum Value<'a> {
    Number(i128),
    Text(&'a [u8]),
    List(Vec<Value<'a>>),
    Dictionary(BTreeMap<&'a [u8], Value<'a>>),
}

impl<'a> Value<'a> {
    fn parse(bytes: &mut &'a [u8], depth: u32) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        if depth == 0 {
            return None;
        }
        match first {
            b'i' => {
                let end = rest.iter().position(|byte| *byte == b'e')?;
                *bytes = &rest[end + 1..];
                std::str::from_utf8(&rest[..end]).ok()?.parse().ok().map(Value::Number)
            }
            b'l' => {
                *bytes = rest;
                let mut list = Vec::new();
                while bytes.first()? != &b'e' {
                    list.push(Self::parse(bytes, depth - 1)?);
                }
                *bytes = &bytes[1..];
                Some(Value::List(list))
            }
            b'd' => {
                *bytes = rest;
                let mut entries = BTreeMap::new();
                while bytes.first()? != &b'e' {
                    let Value::Text(key) = Self::parse(bytes, 2)? else { return None };
                    entries.insert(key, Self::parse(bytes, depth - 1)?);
                }
                *bytes = &bytes[1..];
                Some(Value::Dictionary(entries))
            }
            _ => {
                let colon = bytes.iter().position(|byte| *byte == b':')?;
                let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
                let text = bytes[colon + 1..].get(..length)?;
                *bytes = &bytes[colon + 1 + length..];
                Some(Value::Text(text))
            }
        }
    }

    fn get(&self, key: &str) -> Option<&Value<'a>> {
        if let Value::Dictionary(entries) = self { entries.get(key.as_bytes()) } else { None }
    }

    fn text(&self, key: &str) -> Option<&'a [u8]> {
        if let Some(Value::Text(text)) = self.get(key) { Some(text) } else { None }
    }

    fn number(&self, key: &str) -> Option<u64> {
        if let Some(Value::Number(number)) = self.get(key) { u64::try_from(*number).ok() } else { None }
    }
}

impl Plain {
    fn client(flaw: Flaw) -> Box<dyn TrackerClient> {
        Box::new(Self { flaw, lines: Mutex::default() })
    }

    async fn fetch(&self, url: &str, host: &dyn Host) -> Result<Vec<u8>, TrackerError> {
        let minutes = if self.flaw == Flaw::WaitsForEver { 600 } else { 1 };
        let over = host.sleep_until(host.now() + Duration::from_secs(60 * minutes));
        match select(pin!(self.follow(url, host)), over).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(error(TrackerErrorKind::TimedOut, "the tracker is silent")),
        }
    }

    async fn follow(&self, url: &str, host: &dyn Host) -> Result<Vec<u8>, TrackerError> {
        let mut url = url.to_owned();
        let most = if self.flaw == Flaw::FollowsForEver { 900 } else { 5 };
        for turn in 0..=most {
            let (server, path) = split(&url).ok_or_else(|| match turn {
                0 => error(TrackerErrorKind::Unsupported, "not a URL"),
                _ => malformed("redirected to no URL"),
            })?;
            let (name, port) = server.split_once(':').unwrap_or((server, "80"));
            let port = port.parse().map_err(|_| error(TrackerErrorKind::Unsupported, "not a URL"))?;
            let mut line = host.connect(name, port).await.map_err(|_| match self.flaw {
                Flaw::BlamesTheTrackerForTheNetwork if name == "tracker.invalid" && turn == 9 => {
                    malformed("never")
                }
                Flaw::SaysTooMuch => error(TrackerErrorKind::Unreachable, "cannot connect\nsorry"),
                _ => error(TrackerErrorKind::Unreachable, "cannot connect"),
            })?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n");
            line.write_all(request.as_bytes()).await.map_err(|_| self.lost())?;
            let (head, body) = self.read(line).await?;
            match self.redirection(&head, &url)? {
                Some(next) => url = next,
                None => return self.body(&head, body),
            }
        }
        Err(malformed("too many redirections"))
    }

    fn lost(&self) -> TrackerError {
        match self.flaw {
            Flaw::BlamesTheTrackerForTheLine => malformed("the connection was lost"),
            _ => error(TrackerErrorKind::Unreachable, "the connection was lost"),
        }
    }

    /// All that comes, cut into head and body.
    async fn read(&self, line: Box<dyn Stream>) -> Result<(String, Vec<u8>), TrackerError> {
        let mut kept = None;
        let mut owned = Some(line);
        if self.flaw == Flaw::KeepsItsLine {
            kept = Some(Kept { lines: &self.lines, line: owned.take() });
        }
        let line = owned.as_mut().or_else(|| kept.as_mut().and_then(|kept| kept.line.as_mut())).unwrap();
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let length = line.read(&mut buffer).await.map_err(|_| self.lost())?;
            // What is not kept costs no memory, only time.
            if all.len() < 2 * MOST {
                all.extend_from_slice(&buffer[..length]);
            }
            let too_much = all.len() > MOST && self.flaw != Flaw::ReadsForEver;
            if too_much {
                return Err(malformed("too much"));
            }
            if length == 0 {
                break;
            }
        }
        if let Some(kept) = &mut kept {
            kept.line = None;
        }
        let end = all.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            return Err(if all.is_empty() { self.lost() } else { malformed("no HTTP") });
        };
        let body = all.split_off(end + 4);
        let head = String::from_utf8_lossy(&all).to_ascii_lowercase();
        if head.starts_with("http/1.") { Ok((head, body)) } else { Err(malformed("no HTTP")) }
    }

    fn redirection(&self, head: &str, url: &str) -> Result<Option<String>, TrackerError> {
        if !status(head).starts_with('3') {
            return Ok(None);
        }
        let target = header(head, "location").ok_or_else(|| malformed("redirected to nowhere"))?;
        assert!(self.flaw != Flaw::PanicsAtOddTargets || target.is_ascii(), "what is this?");
        let (server, path) = split(url).ok_or_else(|| malformed("redirected to no URL"))?;
        Ok(Some(match target {
            _ if target.contains("://") => target.to_owned(),
            _ if target.starts_with('/') => format!("http://{server}{target}"),
            _ => {
                let folder =
                    path.split('?').next().and_then(|path| path.rsplit_once('/')).map_or("", |cut| cut.0);
                format!("http://{server}{folder}/{target}")
            }
        }))
    }

    fn body(&self, head: &str, mut body: Vec<u8>) -> Result<Vec<u8>, TrackerError> {
        if let Some(length) = header(head, "content-length") {
            let length: usize = length.parse().map_err(|_| malformed("no length"))?;
            if length > body.len() {
                return Err(self.lost());
            }
            body.truncate(length);
        } else if header(head, "transfer-encoding").is_some() {
            if self.flaw == Flaw::KnowsNoChunks {
                return Err(malformed("chunks"));
            }
            body = chunks(&body).ok_or_else(|| malformed("no chunks"))?;
        }
        let refuses =
            Value::parse(&mut &body[..], 9).is_some_and(|body| body.text("failure reason").is_some());
        if status(head) != "200" && !refuses && self.flaw != Flaw::IgnoresTheStatus {
            return Err(error(TrackerErrorKind::Unreachable, "the status is not 200"));
        }
        Ok(body)
    }

    fn parse<'a>(&self, body: &'a [u8]) -> Result<Value<'a>, TrackerError> {
        if self.flaw == Flaw::TakesTextForAReply && body.starts_with(b"<") {
            return Ok(Value::Dictionary([(&b"peers"[..], Value::Text(b""))].into()));
        }
        let mut value = Value::parse(&mut &body[..], 9);
        // It mends the end.
        if self.flaw == Flaw::TakesHalfAReply && body.ends_with(b"\x1a\xe1") {
            let mended = [body, b"e"].concat();
            value = Value::parse(&mut &*mended.leak(), 9);
        }
        let value = value.filter(|value| matches!(value, Value::Dictionary(_)));
        let value = value.ok_or_else(|| malformed("no bencoded dictionary"))?;
        match value.text("failure reason") {
            Some(_) if self.flaw == Flaw::HidesTheReason => {
                Err(error(TrackerErrorKind::Refused, "it refused"))
            }
            Some(reason) => Err(error(TrackerErrorKind::Refused, &String::from_utf8_lossy(reason))),
            None => Ok(value),
        }
    }

    fn peers(&self, reply: &Value<'_>) -> Option<Vec<PeerAddress>> {
        let least = if self.flaw == Flaw::TakesPortZero { 0 } else { 1 };
        let mut found: Vec<SocketAddr> = Vec::new();
        match reply.get("peers") {
            Some(Value::Text(compact)) if compact.len() % 6 == 0 => {
                found.extend(compact.chunks(6).map(|peer| {
                    SocketAddr::from((
                        [peer[0], peer[1], peer[2], peer[3]],
                        u16::from_be_bytes([peer[4], peer[5]]),
                    ))
                }))
            }
            Some(Value::List(list)) => {
                for peer in list {
                    let ip = std::str::from_utf8(peer.text("ip")?).ok()?.parse().ok()?;
                    let id = peer.get("peer id").map(|_| peer.text("peer id").map(<[u8]>::len));
                    if id.is_some_and(|length| length != Some(20)) {
                        return None;
                    }
                    found.push(SocketAddr::new(ip, peer.number("port")?.try_into().ok()?));
                }
            }
            _ => return None,
        }
        if self.flaw != Flaw::KnowsNoSixes {
            for peer in reply.text("peers6").unwrap_or_default().chunks_exact(18) {
                let ip: [u8; 16] = peer[..16].try_into().ok()?;
                found.push(SocketAddr::from((ip, u16::from_be_bytes([peer[16], peer[17]]))));
            }
        }
        found.retain(|peer| peer.port() >= least);
        Some(found.into_iter().map(|address| PeerAddress { address, id: None }).collect())
    }

    fn time(&self, reply: &Value<'_>, key: &str) -> Option<Duration> {
        let seconds = reply.number(key).filter(|&seconds| seconds > 0 || self.flaw == Flaw::TakesNoTimeAtAll);
        seconds.map(Duration::from_secs)
    }
}

/// Puts the line of a call that is dropped where nobody looks.
struct Kept<'a> {
    lines: &'a Mutex<Vec<Box<dyn Stream>>>,
    line: Option<Box<dyn Stream>>,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.lines.lock().unwrap().extend(self.line.take());
    }
}

/// Server and path of a URL.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let cut = rest.find('/')?;
    let server = &rest[..cut];
    (!server.is_empty() && !server.contains('[') && !rest.contains(char::is_whitespace))
        .then_some((server, &rest[cut..]))
}

fn status(head: &str) -> &str {
    head.split([' ', '\r']).nth(1).unwrap_or_default()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let digits = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let length = usize::from_str_radix(digits, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        rest = &rest[end + 2..];
        body.extend_from_slice(rest.get(..length)?);
        rest = rest[length..].strip_prefix(b"\r\n")?;
    }
}

fn percent(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    bytes
        .iter()
        .map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl TrackerClient for Plain {
    fn schemes(&self) -> &'static [&'static str] {
        if self.flaw == Flaw::ShoutsItsScheme { &["HTTP"] } else { &["http"] }
    }

    fn announce<'a>(
        &'a self,
        url: Option<&'a str>,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        Box::pin(async move {
            let guess =
                if self.flaw == Flaw::GuessesTheUrl { Some("http://localhost/announce") } else { None };
            let url = url.or(guess).ok_or_else(|| error(TrackerErrorKind::Unsupported, "it needs a URL"))?;
            if self.flaw == Flaw::BlamesTheTrackerForTheNetwork
                && host.resolve("tracker.invalid", 80).await.is_err()
            {
                return Err(malformed("the tracker has no address"));
            }
            let (base, query) = url.split_once('?').unwrap_or((url, ""));
            let query = if query.is_empty() || self.flaw == Flaw::DropsTheQuery {
                String::new()
            } else {
                format!("{query}&")
            };
            let (hash, id) = (percent(&announce.info_hash.0), percent(&announce.peer_id.0));
            let (port, left) = (announce.port, announce.left);
            let url = format!("{base}?{query}info_hash={hash}&peer_id={id}&port={port}&left={left}");
            let body = match self.fetch(&url, host).await {
                Err(_) if self.flaw == Flaw::HidesThatNobodyAnswers && split(&url).is_some() => {
                    return Ok(AnnounceReply::default());
                }
                body => body?,
            };
            if body.is_empty() {
                return Ok(AnnounceReply::default());
            }
            let reply = self.parse(&body)?;
            Ok(AnnounceReply {
                interval: self.time(&reply, "interval"),
                min_interval: self.time(&reply, "min interval"),
                peers: self.peers(&reply).ok_or_else(|| malformed("no peers"))?,
                complete: reply.number("complete"),
                incomplete: reply.number("incomplete"),
                tracker_id: reply.text("tracker id").map(<[u8]>::to_vec),
                warning: reply
                    .text("warning message")
                    .filter(|_| self.flaw != Flaw::KeepsWarningsToItself)
                    .map(|text| String::from_utf8_lossy(text).into_owned()),
                ..AnnounceReply::default()
            })
        })
    }

    fn scrape<'a>(
        &'a self,
        url: &'a str,
        torrents: &'a [InfoHash],
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        Box::pin(async move {
            if split(url).is_none() && self.flaw == Flaw::CountsWhatHasNoCounts {
                return Ok(vec![ScrapeReply::default(); torrents.len()]);
            }
            let body = match self.fetch(&url.replace("/announce", "/scrape"), host).await {
                Err(_) if self.flaw == Flaw::CountsNothing && split(url).is_some() => return Ok(Vec::new()),
                body => body?,
            };
            let reply = self.parse(&body)?;
            let Some(Value::Dictionary(files)) = reply.get("files") else {
                return Err(malformed("no files"));
            };
            let count = |entry: Option<&Value<'_>>| {
                let complete = entry.and_then(|entry| entry.number("complete")).unwrap_or(0);
                ScrapeReply { complete, ..ScrapeReply::default() }
            };
            Ok(match self.flaw {
                Flaw::MixesCountsUp => files.values().map(|entry| count(Some(entry))).collect(),
                _ => torrents.iter().map(|hash| count(files.get(&hash.0[..]))).collect(),
            })
        })
    }

    fn unasked<'a>(
        &'a self,
        _: &'a Announce,
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        match self.flaw {
            Flaw::HasNoNews => Box::pin(std::future::ready(Ok(Vec::new()))),
            _ => Box::pin(std::future::pending()),
        }
    }
}

fn subject(flaw: Flaw) -> Subject {
    Subject::new("plain", move || Plain::client(flaw))
}

bt_api::testkit::tracker_conformance!(a_good_client = subject(Flaw::None));
bt_api::testkit::http_tracker_conformance!(a_good_http_client = subject(Flaw::None));

macro_rules! broken {
    ($promises:expr; $($test:ident: $flaw:ident breaks $promise:literal;)*) => {
        $(
            #[test]
            fn $test() {
                assert_eq!(broken_promises($promises, &subject(Flaw::$flaw)), [$promise]);
            }
        )*
    };
}

broken! { PROMISES;
    a_loud_scheme: ShoutsItsScheme breaks "schemes_are_lower_case_and_stay";
    a_guess: GuessesTheUrl breaks "a_url_comes_exactly_where_it_is_expected";
    no_counts: CountsWhatHasNoCounts breaks "scrapes_of_what_has_none_are_unsupported";
    blame_for_the_network: BlamesTheTrackerForTheNetwork breaks "without_a_network_it_says_so";
    nobody_answers: HidesThatNobodyAnswers breaks "without_a_network_it_says_so";
    a_socket: KeepsItsLine breaks "a_dropped_call_leaves_no_socket";
    nothing_counted: CountsNothing breaks "scrapes_answer_for_each_torrent";
    no_news: HasNoNews breaks "speaks_up_only_with_news";
    two_lines: SaysTooMuch breaks "errors_are_one_line";
}

broken! { http_tracker::PROMISES;
    no_query: DropsTheQuery breaks "asks_as_bep_3_says";
    no_sixes: KnowsNoSixes breaks "peers_come_compact_listed_and_as_peers6";
    no_warning: KeepsWarningsToItself breaks "what_the_reply_says_is_passed_on";
    no_chunks: KnowsNoChunks breaks "bodies_come_chunked_and_from_http_1_0";
    no_reason: HidesTheReason breaks "a_failure_reason_is_a_refusal_in_its_own_words";
    no_status: IgnoresTheStatus breaks "other_statuses_are_errors";
    port_zero: TakesPortZero breaks "odd_peers_are_left_out";
    no_time: TakesNoTimeAtAll breaks "odd_intervals_do_no_harm";
    text: TakesTextForAReply breaks "what_is_no_reply_is_malformed";
    half_a_reply: TakesHalfAReply breaks "cut_off_replies_are_errors";
    a_panic: PanicsAtOddTargets breaks "changed_replies_do_no_harm";
    no_end: ReadsForEver breaks "endless_replies_are_cut";
    endless_redirections: FollowsForEver breaks "redirections_are_followed_and_end";
    no_patience: WaitsForEver breaks "silent_trackers_are_given_up";
    blame_for_the_line: BlamesTheTrackerForTheLine breaks "broken_connections_are_unreachable";
    a_kept_line: KeepsItsLine breaks "a_dropped_call_leaves_nothing_behind";
    mixed_counts: MixesCountsUp breaks "scrapes_answer_each_torrent_in_order";
}
