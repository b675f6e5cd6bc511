//! The `http` tracker client against servers on loopback, well-meaning and not.

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bt_api::config::Size;
use bt_api::plugin::Plugin;
use bt_api::{
    Announce, AnnounceReply, InfoHash, PeerId, ScrapeReply, TrackerClient, TrackerError, TrackerErrorKind,
};
use bt_policies::tracker::http::{Config, Http};
use bt_policies::tracker::reply::MAX_PEERS;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::TlsAcceptor;
use futures_rustls::pki_types::PrivateKeyDer;
use futures_rustls::rustls::ServerConfig;
use futures_rustls::rustls::crypto::ring;

use crate::host::TestHost;
use crate::server::{Reply, Server, ok, says, with_status};

const ANNOUNCE: Announce = Announce {
    info_hash: InfoHash([0xff; 20]),
    peer_id: PeerId(*b"-BT0100-012345678901"),
    port: 6881,
    ip: None,
    key: 1,
    uploaded: 0,
    downloaded: 0,
    left: 5,
    event: None,
    peers_wanted: None,
    compact: true,
    tracker_id: None,
    last: None,
};

/// Runs `test`, which waits for nothing but loopback; should it hang, it fails.
fn run<T>(test: impl Future<Output = T>) -> T {
    let bounded = async_std::future::timeout(Duration::from_secs(60), test);
    async_std::task::block_on(bounded).expect("the test does not hang")
}

fn client(config: Config) -> Box<dyn TrackerClient> {
    Http::build(config).unwrap()
}

/// Announces to a server with `replies`: what came of it, and the requests that the server saw.
fn announce_with(config: Config, replies: Vec<Reply>) -> (Result<AnnounceReply, TrackerError>, Vec<String>) {
    let server = Server::start(replies);
    let url = format!("http://{}/announce", server.address);
    let (host, _ring) = TestHost::new();
    let answer = run(client(config).announce(Some(&url), &ANNOUNCE, &host));
    (answer, server.requests())
}

fn announce(reply: impl Into<Vec<u8>>) -> Result<AnnounceReply, TrackerError> {
    announce_with(Config::default(), vec![says(reply)]).0
}

fn peers(reply: impl Into<Vec<u8>>) -> Vec<String> {
    announce(reply).unwrap().peers.iter().map(|peer| peer.address.to_string()).collect()
}

/// The error of an announce that is answered with `reply`: its kind and its text.
fn error(reply: impl Into<Vec<u8>>) -> (TrackerErrorKind, String) {
    let error = announce(reply).unwrap_err();
    (error.kind, error.message)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const ONE_PEER: &[u8] = b"d8:intervali1800e5:peers6:\x7f\x00\x00\x01\x1a\xe1e";

#[test]
fn the_request_is_what_bep_3_says() {
    let config = Config { user_agent: "test/1".to_owned(), ..Config::default() };
    let (answer, requests) = announce_with(config, vec![says(ok(ONE_PEER))]);
    assert_eq!(answer.unwrap().interval, Some(Duration::from_secs(1800)));
    let lines: Vec<&str> = requests[0].lines().collect();
    let hash = "%FF".repeat(20);
    assert_eq!(
        lines[0],
        format!(
            "GET /announce?info_hash={hash}&peer_id=-BT0100-012345678901&port=6881&key=00000001\
             &uploaded=0&downloaded=0&left=5&compact=1 HTTP/1.1"
        )
    );
    assert!(lines[1].starts_with("Host: 127.0.0.1:"), "{requests:?}");
    for header in ["accept-encoding: gzip", "user-agent: test/1", "Connection: close"] {
        assert!(lines.contains(&header), "{header} in {requests:?}");
    }
}

#[test]
fn peers_come_compact_listed_and_as_peers6() {
    assert_eq!(peers(ok(ONE_PEER)), ["127.0.0.1:6881"]);
    let listed = b"d5:peersld2:ip3:::17:peer id20:abcdefghijklmnopqrst4:porti80eeee";
    assert_eq!(peers(ok(listed)), ["[::1]:80"]);
    let both =
        [b"d5:peers6:\x01\x02\x03\x04\x00\x056:peers618:".as_slice(), &[0; 15], &[1, 0, 9], b"e"].concat();
    assert_eq!(peers(ok(both)), ["1.2.3.4:5", "[::1]:9"]);
}

#[test]
fn bodies_come_packed_chunked_without_a_length_and_from_http_1_0() {
    assert_eq!(peers(ok(gzip(ONE_PEER))), ["127.0.0.1:6881"]);
    let header = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n";
    let packed = gzip(ONE_PEER);
    let (one, two) = packed.split_at(10);
    let chunks: [&[u8]; 5] = [header.as_bytes(), b"A;x=y\r\n", one, b"\r\n", b"00"];
    let second = format!("{:x}  \r\n", two.len());
    let chunked = [&chunks.concat(), second.as_bytes(), two, b"\r\n0\r\nX: \xff\r\n\r\n"].concat();
    assert_eq!(peers(chunked), ["127.0.0.1:6881"]);
    assert_eq!(peers([b"HTTP/1.0 200 OK\r\n\r\n", ONE_PEER].concat()), ["127.0.0.1:6881"]);
    let sloppy = b"HTTP/1.1 200 OK\nServer: caf\xe9\nbroken\n\n";
    assert_eq!(peers([sloppy, ONE_PEER].concat()), ["127.0.0.1:6881"]);
}

/// RR-16.
#[test]
fn an_empty_body_changes_nothing() {
    let nothing = AnnounceReply { known_peers: Some(0), ..AnnounceReply::default() };
    assert_eq!(announce(ok("")).unwrap(), nothing);
    let server = Server::start(vec![says(ok(""))]);
    let url = format!("http://{}/announce", server.address);
    let (host, _ring) = TestHost::new();
    let told = Announce { last: Some(7), ..ANNOUNCE };
    assert_eq!(run(client(Config::default()).announce(Some(&url), &told, &host)).unwrap().last, Some(7));
}

#[test]
fn refusals_and_warnings_are_in_the_trackers_own_words() {
    let refusal = "d14:failure reason6:go\x1b[2Je";
    let refused = (TrackerErrorKind::Refused, "go\x1b[2J".to_owned());
    assert_eq!(error(ok(refusal)), refused);
    assert_eq!(error(with_status("403 Forbidden", refusal)), refused);
    let (kind, text) = error(with_status("404 Not Found", "<h1>gone</h1>"));
    assert_eq!(
        (kind, &*text),
        (TrackerErrorKind::Unreachable, "the tracker answered HTTP status 404 Not Found")
    );
    assert!(error(with_status("599 What", "")).1.contains("599"));
    let warned = announce(ok("d5:peers0:15:warning message4:slowe")).unwrap();
    assert_eq!(warned.warning.as_deref(), Some("slow"));
}

#[test]
fn redirections_are_followed_so_far_and_to_http_only() {
    let to = |target: &str| says(format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\n\r\n"));
    let chain = vec![to("/b?x=1"), to("c"), says(ok(ONE_PEER))];
    let (answer, requests) = announce_with(Config::default(), chain);
    assert_eq!(answer.unwrap().peers.len(), 1);
    assert!(requests[1].starts_with("GET /b?x=1 HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[2].starts_with("GET /c HTTP/1.1\r\n"), "{requests:?}");

    let endless = (0..6).map(|_| to("/announce")).collect();
    let answer = announce_with(Config::default(), endless).0.unwrap_err();
    assert_eq!(answer.to_string(), "more than 5 redirections (`max-redirects`)");
    let none = announce_with(Config { max_redirects: 0, ..Config::default() }, vec![to("/x")]).0;
    assert_eq!(none.unwrap_err().kind, TrackerErrorKind::Malformed);

    let refused = announce_with(Config::default(), vec![to("file:///etc/passwd")]).0.unwrap_err();
    assert_eq!(refused.to_string(), "redirected to a `file` URL; only http and https are followed");
    let nowhere = error("HTTP/1.1 302 Found\r\n\r\n").1;
    assert_eq!(nowhere, "a redirection (HTTP status 302) to nowhere");
    assert!(error("HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n").1.starts_with("redirected to no URL"));
}

#[test]
fn large_and_endless_replies_are_cut() {
    let too_large = "the reply is larger than 1 MiB (`max-reply`)";
    let huge = "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nd";
    assert_eq!(error(huge).1, too_large);
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nd";
    assert_eq!(error(chunk).1, too_large);
    assert_eq!(error(ok(gzip(&vec![b'0'; 64 << 20]))).1, too_large);

    let endless = |start: &'static [u8], more: &'static [u8]| -> Reply {
        Box::new(move |stream| {
            let more = more.repeat(1000);
            let mut said = stream.write_all(start);
            while said.is_ok() {
                said = stream.write_all(&more);
            }
        })
    };
    let cut = |reply| announce_with(Config::default(), vec![reply]).0.unwrap_err().message;
    assert_eq!(cut(endless(b"HTTP/1.0 200 OK\r\n\r\n", b"0:")), too_large);
    let chunked = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(cut(endless(chunked, b"4\r\n1:ab\r\n")), too_large);
    assert_eq!(cut(endless(chunked, b"0")), "a line or head of HTTP is over 256 bytes");
    assert_eq!(
        cut(endless(b"HTTP/1.0 200 OK\r\n", b"X: y\r\n")),
        "a line or head of HTTP is over 16384 bytes"
    );
    assert_eq!(cut(endless(b"", b"x")), "a line or head of HTTP is over 16384 bytes");
}

#[test]
fn what_is_no_reply_is_malformed() {
    let malformed = |reply: Vec<u8>| {
        let (kind, text) = error(reply);
        assert_eq!(kind, TrackerErrorKind::Malformed, "{text}");
        text
    };
    assert!(malformed(ok("<html>")).contains("starts with `<html>`"));
    assert!(malformed(ok("d8:intervali0e5:peers0:e")).contains("`interval`"));
    assert!(malformed(ok("d1:a".repeat(1000))).contains("deeper than 16"));
    assert!(malformed(b"SSH-2.0-x\r\n\r\n".to_vec()).starts_with("the reply is no HTTP"));
    assert!(malformed(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_vec()).contains("`-1`"));
    assert!(malformed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: zip\r\n\r\n".to_vec()).contains("`zip`"));
    assert!(
        malformed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec()).contains("chunk")
    );
    let long = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n";
    assert_eq!(malformed(long.to_vec()), "a chunk is longer than it says");
    assert!(malformed(ok(b"\x1f\x8bnonsense")).starts_with("the reply cannot be unpacked"));
    let half = gzip(ONE_PEER);
    assert!(malformed(ok(&half[..half.len() / 2])).starts_with("the reply cannot be unpacked"));
}

#[test]
fn millions_of_peers_are_cut() {
    let config = Config { max_reply: Size::mib(16), ..Config::default() };
    let many = [b"d5:peers12000000:".to_vec(), b"\x01\x02\x03\x04\x05\x06".repeat(2_000_000), b"e".to_vec()];
    let (answer, _) = announce_with(config, vec![says(ok(many.concat()))]);
    assert_eq!(answer.unwrap().peers.len(), MAX_PEERS);
}

#[test]
fn a_connection_that_ends_early_is_no_answer() {
    let early = "the tracker closed the connection in the middle of its reply";
    for reply in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nd"] {
        let (kind, text) = error(reply);
        assert_eq!(kind, TrackerErrorKind::Unreachable, "{reply:?}");
        assert!(text == early || text.contains("was lost"), "{text}");
    }
    assert_eq!(error("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nd").1, early);
    assert_eq!(error([b"HTTP/1.0 200 OK\r\n\r\n", &ONE_PEER[..20]].concat()).0, TrackerErrorKind::Malformed);
}

#[test]
fn silence_ends_with_the_time_allowed() {
    let (host, ring) = TestHost::new();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    // The alarm rings once the server has the request and says nothing.
    let silent: Reply = Box::new(move |_stream| {
        ring.send(()).unwrap();
        let _ = ended.recv();
    });
    let server = Server::start(vec![silent]);
    let url = format!("http://{}/announce", server.address);
    let error = run(client(Config::default()).announce(Some(&url), &ANNOUNCE, &host)).unwrap_err();
    drop(end);
    assert_eq!(error.kind, TrackerErrorKind::TimedOut);
    assert_eq!(error.message, "the tracker did not answer within 1 min");
}

#[test]
fn where_nobody_listens_is_named() {
    let (host, _ring) = TestHost::new();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{unused}/announce");
    let http = client(Config::default());
    let error = run(http.announce(Some(&url), &ANNOUNCE, &host)).unwrap_err();
    assert_eq!(error.kind, TrackerErrorKind::Unreachable);
    assert!(error.message.starts_with(&format!("cannot connect to {unused}: ")), "{error}");
    for url in [None, Some("announce"), Some("http://")] {
        let error = run(http.announce(url, &ANNOUNCE, &host)).unwrap_err();
        assert_eq!(error.kind, TrackerErrorKind::Unsupported, "{url:?}");
    }
}

#[test]
fn many_torrents_are_scraped_in_several_requests() {
    let files = |complete| ok(format!("d5:filesd20:{}d8:completei{complete}eeee", "a".repeat(20)));
    let server = Server::start(vec![says(files(1)), says(files(2))]);
    let url = format!("http://{}/announce", server.address);
    let (host, _ring) = TestHost::new();
    let torrents = [[InfoHash([b'a'; 20]); 51], [InfoHash([b'b'; 20]); 51]].concat();
    let http = client(Config::default());
    let counts = run(http.scrape(&url, &torrents[..52], &host)).unwrap();
    assert_eq!(counts.len(), 52);
    let complete = |complete| ScrapeReply { complete, ..ScrapeReply::default() };
    assert_eq!([counts[0], counts[50], counts[51]], [complete(1), complete(2), complete(0)]);
    assert!(server.requests()[1].starts_with("GET /scrape?info_hash=aaaaa"));
}

/// A server with a certificate for `localhost` by a root of its own. Yields its address and the root as PEM.
async fn https_server(body: &'static [u8], close_properly: bool) -> (std::net::SocketAddr, String) {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::new([]).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::from_params(&root, &root_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();

    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = async_std::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    async_std::task::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        // A client that does not trust us ends here.
        let Ok(mut stream) = acceptor.accept(tcp).await else { return };
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(&[b"HTTP/1.0 200 OK\r\n\r\n", body].concat()).await.unwrap();
        stream.flush().await.unwrap();
        if close_properly {
            stream.close().await.unwrap();
        }
    });
    (address, root_certificate.pem())
}

#[test]
fn https_works_with_a_root_of_ones_own() {
    let (host, _ring) = TestHost::new();
    for (name, close_properly) in [("localhost", true), ("127.0.0.1", false)] {
        run(async {
            let (address, root) = https_server(ONE_PEER, close_properly).await;
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), root).unwrap();
            let http = client(Config { ca_file: file.path().to_owned(), ..Config::default() });
            let url = format!("https://{name}:{}/announce", address.port());
            let reply = http.announce(Some(&url), &ANNOUNCE, &host).await.unwrap();
            assert_eq!(reply.peers.len(), 1);
        });
    }
}

#[test]
fn https_refuses_a_certificate_that_nobody_vouches_for() {
    let (host, _ring) = TestHost::new();
    let error = run(async {
        let (address, _) = https_server(ONE_PEER, true).await;
        let url = format!("https://localhost:{}/announce", address.port());
        client(Config::default()).announce(Some(&url), &ANNOUNCE, &host).await.unwrap_err()
    });
    assert_eq!(error.kind, TrackerErrorKind::Unreachable);
    let expected = "the certificate of localhost is not trusted (invalid peer certificate: UnknownIssuer); \
                    `ca-file` can name its root";
    assert_eq!(error.message, expected);
}

#[test]
fn https_to_a_server_that_speaks_http_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(&ok(ONE_PEER));
    });
    let (host, _ring) = TestHost::new();
    let url = format!("https://{address}/announce");
    let error = run(client(Config::default()).announce(Some(&url), &ANNOUNCE, &host)).unwrap_err();
    server.join().unwrap();
    assert_eq!(error.kind, TrackerErrorKind::Unreachable);
    assert!(error.message.starts_with("cannot open a TLS connection to 127.0.0.1: "), "{error}");
}
