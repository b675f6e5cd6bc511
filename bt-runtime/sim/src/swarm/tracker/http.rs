//! What a tracker hears and says over HTTP: announces (BEP 3, BEP 23) and scrapes (BEP 48), as bytes.

use std::net::SocketAddr;

use bt_api::{Announce, AnnounceEvent, AnnounceReply, InfoHash, PeerId, ScrapeReply};

/// The longest head of a request that is read: what web servers take, and room for a scrape of a hundred torrents.
pub(crate) const MAX_REQUEST: usize = 8 << 10;

/// What is asked.
#[derive(Debug)]
pub(in crate::swarm) enum Question {
    /// Who else is there? Peers are told with their ids unless they are told in compact form, or none are wanted.
    Announce {
        /// All but the key, the address, and what the tracker said before.
        announce: Announce,
        ids: bool,
    },
    /// How many are there?
    Scrape(Vec<InfoHash>),
}

/// What the head of a request says.
pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// Whether another request may follow.
    pub(crate) stays: bool,
}

/// Where the head at the beginning of `bytes` ends, if all of it is there.
pub(crate) fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|place| place + 4)
}

/// Reads the head of a request.
///
/// # Errors
/// The status of the answer.
pub(crate) fn request(head: &[u8]) -> Result<Request<'_>, &'static str> {
    let head = std::str::from_utf8(head).map_err(|_| "400 Bad Request")?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("400 Bad Request");
    };
    if !version.starts_with("HTTP/1.") {
        return Err("505 HTTP Version Not Supported");
    }
    if method != "GET" {
        return Err("405 Method Not Allowed");
    }
    let connection = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .map(|(_, value)| value.trim().to_ascii_lowercase());
    let stays = match connection.as_deref() {
        Some(value) => value == "keep-alive",
        None => version != "HTTP/1.0",
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Request { path, query, stays })
}

/// What is asked by `request` of the tracker whose announces go to `path`.
///
/// # Errors
/// `None` where nobody is at that path, else why the tracker refuses.
pub(in crate::swarm) fn question(request: &Request<'_>, path: &str) -> Result<Question, Option<String>> {
    if request.path == path {
        let announce = announce(request.query)?;
        let ids = !announce.compact && field(request.query, "no_peer_id") != Some("1");
        return Ok(Question::Announce { announce, ids });
    }
    if scrape_path(path).is_some_and(|scrape| request.path == scrape) {
        let hashes = fields(request.query).filter(|(key, _)| *key == "info_hash");
        let hashes = hashes.map(|(_, value)| twenty(value, "info_hash").map(InfoHash));
        return Ok(Question::Scrape(hashes.collect::<Result<_, String>>()?));
    }
    Err(None)
}

/// `scrape` in place of `announce` at the start of the last part of the path, as BEP 48 has it.
fn scrape_path(path: &str) -> Option<String> {
    let (folder, last) = path.rsplit_once('/')?;
    Some(format!("{folder}/scrape{}", last.strip_prefix("announce")?))
}

/// What an announce says in its query.
///
/// # Errors
/// What is missing or wrong.
pub(crate) fn announce(query: &str) -> Result<Announce, String> {
    let needed = |key: &str| field(query, key).ok_or_else(|| format!("{key} is missing"));
    let number = |key: &str| needed(key)?.parse::<u64>().map_err(|_| format!("{key} is no number"));
    let count = |key: &str| field(query, key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    Ok(Announce {
        info_hash: InfoHash(twenty(needed("info_hash")?, "info_hash")?),
        peer_id: PeerId(twenty(needed("peer_id")?, "peer_id")?),
        port: u16::try_from(number("port")?).map_err(|_| "port is too large".to_owned())?,
        ip: None,
        key: 0,
        uploaded: count("uploaded"),
        downloaded: count("downloaded"),
        left: number("left")?,
        event: match field(query, "event") {
            Some("started") => Some(AnnounceEvent::Started),
            Some("completed") => Some(AnnounceEvent::Completed),
            Some("stopped") => Some(AnnounceEvent::Stopped),
            // Trackers are sent an empty one too (BEP 3).
            _ => None,
        },
        peers_wanted: field(query, "numwant").and_then(|wanted| wanted.parse().ok()),
        compact: field(query, "compact") == Some("1"),
        tracker_id: None,
        last: None,
    })
}

fn fields(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

fn field<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    fields(query).find(|(other, _)| *other == key).map(|(_, value)| value)
}

/// The twenty bytes that `text` stands for.
fn twenty(text: &str, key: &str) -> Result<[u8; 20], String> {
    let bytes = percent_decoded(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("{key} is not 20 bytes"))
}

/// The bytes that `text` stands for (RFC 3986, section 2.1).
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        decoded.push(if byte == b'%' { (digit()? * 16 + digit()?) as u8 } else { byte });
    }
    Some(decoded)
}

/// A reply to an announce, bencoded: peers in compact form, or as dictionaries, with the ids that they have.
pub(crate) fn announced(reply: &AnnounceReply, compact: bool) -> Vec<u8> {
    let (seeds, others) = (reply.complete.unwrap_or(0), reply.incomplete.unwrap_or(0));
    let interval = reply.interval.map(|interval| format!("8:intervali{}e", interval.as_secs()));
    let interval = interval.unwrap_or_default();
    let mut body = format!("d8:completei{seeds}e10:incompletei{others}e{interval}5:peers").into_bytes();
    if compact {
        let peers = compact_peers(reply);
        text(&mut body, &peers);
    } else {
        body.push(b'l');
        for peer in &reply.peers {
            body.extend(b"d2:ip");
            text(&mut body, peer.address.ip().to_string().as_bytes());
            if let Some(id) = peer.id {
                body.extend(b"7:peer id");
                text(&mut body, &id.0);
            }
            body.extend(format!("4:porti{}ee", peer.address.port()).into_bytes());
        }
        body.push(b'e');
    }
    body.push(b'e');
    body
}

/// Peers as six bytes each (BEP 23).
pub(crate) fn compact_peers(reply: &AnnounceReply) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(6 * reply.peers.len());
    for peer in &reply.peers {
        if let SocketAddr::V4(address) = peer.address {
            bytes.extend(address.ip().octets());
            bytes.extend(address.port().to_be_bytes());
        }
    }
    bytes
}

/// A reply to a scrape, bencoded.
pub(in crate::swarm) fn scraped(counts: &[(InfoHash, ScrapeReply)]) -> Vec<u8> {
    let mut body = b"d5:filesd".to_vec();
    for (hash, counts) in counts {
        text(&mut body, &hash.0);
        let ScrapeReply { complete, incomplete, downloaded } = counts;
        let counts =
            format!("d8:completei{complete}e10:downloadedi{downloaded}e10:incompletei{incomplete}ee");
        body.extend(counts.into_bytes());
    }
    body.extend(b"ee");
    body
}

/// A refusal, bencoded.
pub(crate) fn refused(why: &str) -> Vec<u8> {
    let mut body = b"d14:failure reason".to_vec();
    text(&mut body, why.as_bytes());
    body.push(b'e');
    body
}

fn text(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend(format!("{}:", bytes.len()).into_bytes());
    body.extend(bytes);
}

/// The whole answer to a request.
pub(crate) fn response(status: &str, body: &[u8], stays: bool) -> Vec<u8> {
    let connection = if stays { "keep-alive" } else { "close" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use bt_api::PeerAddress;

    use super::*;

    const QUERY: &str = "info_hash=%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01\
                         &peer_id=aaaaaaaaaaaaaaaaaa%2D%2d&port=6881&left=5";

    fn asked(line: &str, headers: &str) -> Result<(Question, bool), String> {
        let head = format!("{line}\r\nHost: x\r\n{headers}\r\n");
        let request = request(head.as_bytes()).map_err(str::to_owned)?;
        let question = question(&request, "/x/announce");
        question.map(|question| (question, request.stays)).map_err(|why| why.unwrap_or("nobody".to_owned()))
    }

    fn announced_by(more: &str) -> (Announce, bool) {
        match asked(&format!("GET /x/announce?{QUERY}{more} HTTP/1.1"), "").unwrap() {
            (Question::Announce { announce, ids }, _) => (announce, ids),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_announce_is_read_as_it_was_written() {
        let (all, ids) =
            announced_by("&uploaded=3&downloaded=4&event=started&numwant=7&compact=1&key=00ff&unknown");
        assert_eq!(
            (all.info_hash, all.peer_id, all.port),
            (InfoHash([1; 20]), PeerId(*b"aaaaaaaaaaaaaaaaaa--"), 6881)
        );
        assert_eq!((all.uploaded, all.downloaded, all.left), (3, 4, 5));
        assert_eq!(
            (all.event, all.peers_wanted, all.compact, ids),
            (Some(AnnounceEvent::Started), Some(7), true, false)
        );
        let (least, ids) = announced_by("&event=");
        assert_eq!((least.event, least.peers_wanted, least.compact, ids), (None, None, false, true));
        assert!(!announced_by("&no_peer_id=1").1);
    }

    #[test]
    fn what_is_no_announce_is_refused_with_what_is_wrong() {
        let wrong = [
            ("GET /x/announce HTTP/1.1", "info_hash is missing"),
            ("GET /x/announce?info_hash=%0 HTTP/1.1", "info_hash is not 20 bytes"),
            ("GET /announce?port=1 HTTP/1.1", "nobody"),
            ("GET / HTTP/1.1", "nobody"),
            ("POST /x/announce HTTP/1.1", "405 Method Not Allowed"),
            ("GET /x/announce HTTP/2", "505 HTTP Version Not Supported"),
            ("GET /x/announce", "400 Bad Request"),
            ("", "400 Bad Request"),
            ("GET /x/scrape?info_hash=a HTTP/1.1", "info_hash is not 20 bytes"),
        ];
        for (line, message) in wrong {
            assert_eq!(asked(line, "").unwrap_err(), message, "{line}");
        }
        let no_port = QUERY.replace("port=6881", "port=66000");
        assert_eq!(
            asked(&format!("GET /x/announce?{no_port} HTTP/1.1"), "").unwrap_err(),
            "port is too large"
        );
        assert!(request(b"\xff\r\n\r\n").is_err());
    }

    #[test]
    fn a_connection_stays_where_client_and_version_want_it() {
        let stays = |version: &str, headers: &str| {
            asked(&format!("GET /x/announce?{QUERY} {version}"), headers).unwrap().1
        };
        assert!(stays("HTTP/1.1", "") && !stays("HTTP/1.0", ""));
        assert!(!stays("HTTP/1.1", "connection: Close\r\n"));
        assert!(stays("HTTP/1.0", "Connection: keep-alive\r\n"));
    }

    #[test]
    fn a_scrape_is_read_and_answered() {
        let line =
            format!("GET /x/scrape?info_hash={}&info_hash={} HTTP/1.1", "%01".repeat(20), "b".repeat(20));
        let Ok((Question::Scrape(hashes), true)) = asked(&line, "") else { panic!("{line}") };
        assert_eq!(hashes, [InfoHash([1; 20]), InfoHash([b'b'; 20])]);
        let counts = ScrapeReply { complete: 1, incomplete: 2, downloaded: 3 };
        assert_eq!(
            scraped(&[(hashes[1], counts)]),
            b"d5:filesd20:bbbbbbbbbbbbbbbbbbbbd8:completei1e10:downloadedi3e10:incompletei2eeee"
        );
        assert_eq!(scrape_path("/announce.php").as_deref(), Some("/scrape.php"));
        assert_eq!(scrape_path("/a"), None);
    }

    #[test]
    fn peers_are_told_in_either_form() {
        let peer = |id| PeerAddress { address: "10.0.0.2:258".parse().unwrap(), id };
        let reply = AnnounceReply {
            peers: vec![peer(None), peer(Some(PeerId([b'z'; 20])))],
            complete: Some(1),
            incomplete: Some(2),
            interval: Some(std::time::Duration::from_secs(9)),
            ..AnnounceReply::default()
        };
        let head = b"d8:completei1e10:incompletei2e8:intervali9e5:peers".as_slice();
        assert_eq!(announced(&reply, true), [head, b"12:\x0a\0\0\x02\x01\x02\x0a\0\0\x02\x01\x02e"].concat());
        let list =
            b"ld2:ip8:10.0.0.24:porti258eed2:ip8:10.0.0.27:peer id20:zzzzzzzzzzzzzzzzzzzz4:porti258eeee";
        assert_eq!(announced(&reply, false), [head, list.as_slice()].concat());
    }
}
