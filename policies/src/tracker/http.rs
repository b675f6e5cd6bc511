//! Trackers over HTTP and HTTPS (BEP 3, BEP 7, BEP 23, BEP 48).
//!
//! Requests are sent by surf through a client of ours over the [`Host`]'s connections
//! (`http_connect.rs`), replies are read in [`reply`]. One request, one connection: trackers
//! are asked twice an hour. Everything that a tracker sends is bounded: in time, in bytes before and after
//! unpacking, in redirections.
//!
//! Source: BEP 3, BEP 7, BEP 23 and BEP 48.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use bt_api::config::{Duration, Size};
use bt_api::plugin::{self, BuildError, Plugin};
use bt_api::{
    Announce, AnnounceReply, BoxFuture, Host, InfoHash, PeerAddress, ScrapeReply, TrackerClient,
    TrackerError, TrackerErrorKind,
};
use flate2::read::GzDecoder;
use futures::future::{Either, select};
use futures_rustls::TlsConnector;
use futures_rustls::pki_types::CertificateDer;
use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use surf::http::Method;
use surf::{Response, StatusCode};
use url::Url;

use super::http_connect::{Connection, too_large};
use super::reply::{self, malformed};
use super::{read_file, unsupported};

/// The most torrents named in one scrape: some 70 bytes each, and servers take 8 KiB of request.
const MAX_SCRAPE: usize = 50;

/// The largest file of root certificates; a whole system's worth has some 200 KiB.
const MAX_CA_FILE: Size = Size::mib(1);

/// The tracker client for `http` and `https` URLs.
pub struct Http {
    config: Config,
    tls: TlsConnector,
}

/// The `[tracker.http]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How long a tracker may take to answer, from the connection on and redirections included (RR-13).
    pub timeout: Duration,
    /// The largest reply taken, before and after unpacking.
    pub max_reply: Size,
    /// How many redirections are followed.
    pub max_redirects: u32,
    /// What the client calls itself.
    pub user_agent: String,
    /// A PEM file with further root certificates that trackers may be signed by; empty for none.
    pub ca_file: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::secs(60),
            max_reply: Size::mib(1),
            max_redirects: 5,
            user_agent: concat!("BitTorrent/bt-run-", env!("CARGO_PKG_VERSION")).to_owned(),
            ca_file: PathBuf::new(),
        }
    }
}

impl Plugin for Http {
    type Kind = plugin::Tracker;
    type Config = Config;
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "trackers at http and https URLs";

    fn build(config: Config) -> Result<Box<dyn TrackerClient>, BuildError> {
        if config.timeout.get().is_zero() {
            return Err(BuildError::new("timeout", "must be longer than \"0 s\""));
        }
        // Far above any reply, and low enough that a wrong unit does not cost the machine's memory.
        if config.max_reply < Size::kib(1) || config.max_reply > Size::mib(64) {
            return Err(BuildError::new("max-reply", "must be from \"1 KiB\" to \"64 MiB\""));
        }
        if !config.user_agent.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(BuildError::new("user-agent", "must be printable ASCII"));
        }
        let tls = tls(&config.ca_file)?;
        Ok(Box::new(Self { config, tls }))
    }
}

bt_api::register!(Http);

impl TrackerClient for Http {
    fn schemes(&self) -> &'static [&'static str] {
        &["http", "https"]
    }

    fn announce<'a>(
        &'a self,
        url: Option<&'a str>,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        Box::pin(async move {
            let url = url.ok_or_else(|| unsupported("the http client needs a URL"))?;
            let body = self.fetch(&announce_url(url, announce), host).await?;
            if body.is_empty() { Ok(silence(announce)) } else { reply::parse_announce(&body) }
        })
    }

    fn scrape<'a>(
        &'a self,
        url: &'a str,
        torrents: &'a [InfoHash],
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        Box::pin(async move {
            let mut counts = Vec::new();
            for some in torrents.chunks(MAX_SCRAPE) {
                let body = self.fetch(&scrape_url(url, some)?, host).await?;
                counts.extend(reply::parse_scrape(&body, some)?);
            }
            Ok(counts)
        })
    }

    fn unasked<'a>(
        &'a self,
        _announce: &'a Announce,
        _host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        Box::pin(std::future::pending())
    }
}

impl Http {
    /// The body at `url`, within the time allowed.
    async fn fetch(&self, url: &str, host: &dyn Host) -> Result<Vec<u8>, TrackerError> {
        let over = host.sleep_until(host.now() + self.config.timeout.get());
        match select(pin!(self.follow(url, host)), over).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(TrackerError::new(
                TrackerErrorKind::TimedOut,
                format!("the tracker did not answer within {}", self.config.timeout),
            )),
        }
    }

    /// The body at `url`, or where it leads to.
    async fn follow(&self, url: &str, host: &dyn Host) -> Result<Vec<u8>, TrackerError> {
        let mut url = Url::parse(url).map_err(|error| unsupported(format!("not a URL: {error}")))?;
        for _ in 0..=self.config.max_redirects {
            let response = self.request(&url, host).await?;
            match redirection(&url, &response)? {
                Some(next) => url = next,
                None => return self.body(response).await,
            }
        }
        Err(malformed(format!("more than {} redirections (`max-redirects`)", self.config.max_redirects)))
    }

    async fn request(&self, url: &Url, host: &dyn Host) -> Result<Response, TrackerError> {
        let connection = Connection::open(host, url, &self.tls, self.max_reply()).await?;
        let mut request = surf::Request::new(Method::Get, url.clone());
        // RR-7.
        request.insert_header("Accept-Encoding", "gzip");
        request.insert_header("User-Agent", self.config.user_agent.as_str());
        let answer = surf::Client::with_http_client(connection).send(request).await;
        answer.map_err(|error| {
            error.downcast().unwrap_or_else(|other| malformed(format!("the exchange failed: {other}")))
        })
    }

    /// The unpacked body of a reply that is no redirection.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, TrackerError> {
        let status = response.status();
        let body = response.body_bytes().await.map_err(|error| malformed(error.to_string()))?;
        let body = unpack(body, self.max_reply())?;
        if status == StatusCode::Ok {
            return Ok(body);
        }
        // Some trackers refuse with a status of its own; their words say more than the number.
        match reply::parse_announce(&body) {
            Err(refused) if refused.kind == TrackerErrorKind::Refused => Err(refused),
            _ => Err(TrackerError::new(
                TrackerErrorKind::Unreachable,
                format!("the tracker answered HTTP status {status} {}", status.canonical_reason()),
            )),
        }
    }

    fn max_reply(&self) -> usize {
        usize::try_from(self.config.max_reply.0).unwrap_or(usize::MAX)
    }
}

/// What an empty body says: an answer that changes nothing, usual after `stopped` (RR-16). The tracker's `last` stays as it
/// is, with no peers known that would be news (RR-19).
fn silence(announce: &Announce) -> AnnounceReply {
    AnnounceReply { last: announce.last, known_peers: Some(0), ..AnnounceReply::default() }
}

/// The announce URL with its query (RR-1 to RR-6). Raw bytes are percent-encoded here, so that no URL
/// library has a say in them.
fn announce_url(url: &str, announce: &Announce) -> String {
    let mut query = format!(
        "info_hash={}&peer_id={}&port={}&key={:08x}&uploaded={}&downloaded={}&left={}",
        percent(&announce.info_hash.0),
        percent(&announce.peer_id.0),
        announce.port,
        announce.key,
        announce.uploaded,
        announce.downloaded,
        announce.left
    );
    let mut add = |key: &str, value: &str| query += &format!("&{key}={value}");
    if let Some(last) = announce.last {
        add("last", &last.to_string());
    }
    if let Some(id) = &announce.tracker_id {
        add("trackerid", &percent(id));
    }
    if let Some(peers) = announce.peers_wanted {
        add("numwant", &peers.to_string());
    }
    if announce.compact {
        add("compact", "1");
    }
    if let Some(event) = announce.event {
        add("event", event.as_str());
    }
    if let Some(ip) = announce.ip {
        add("ip", &percent(ip.to_string().as_bytes()));
    }
    with_query(url, &query)
}

/// The scrape URL of an announce URL: `announce` at the start of the last part of the path gives way to
/// `scrape`; a tracker without it has none (BEP 48).
fn scrape_url(url: &str, torrents: &[InfoHash]) -> Result<String, TrackerError> {
    let path = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    let last = path.rfind('/').map_or(0, |slash| slash + 1);
    let rest = url[last..].strip_prefix("announce");
    let rest =
        rest.ok_or_else(|| unsupported("a tracker whose URL does not end in `announce` has no scrape"))?;
    let query: Vec<String> = torrents.iter().map(|hash| format!("info_hash={}", percent(&hash.0))).collect();
    Ok(with_query(&format!("{}scrape{rest}", &url[..last]), &query.join("&")))
}

/// `url` without its fragment, and with `query` after any query that it has.
fn with_query(url: &str, query: &str) -> String {
    let url = url.split('#').next().unwrap_or(url);
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{query}")
}

/// `bytes` as a URL has them: letters, digits and `-._~` as they are, others as `%` and two digits (RFC 3986).
fn percent(bytes: &[u8]) -> String {
    let encode = |&byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().map(encode).collect()
}

/// Where `response`, which came from `url`, leads to.
fn redirection(url: &Url, response: &Response) -> Result<Option<Url>, TrackerError> {
    if !response.status().is_redirection() {
        return Ok(None);
    }
    let location = response
        .header("location")
        .ok_or_else(|| malformed(format!("a redirection (HTTP status {}) to nowhere", response.status())))?;
    let target = location.last().as_str();
    let target = url.join(target).map_err(|error| malformed(format!("redirected to no URL: {error}")))?;
    match target.scheme() {
        "http" | "https" => Ok(Some(target)),
        scheme => Err(malformed(format!("redirected to a `{scheme}` URL; only http and https are followed"))),
    }
}

/// Unpacks a body that gzip packed. Its first two bytes tell, as headers of trackers do not always, and no
/// bencoded dictionary starts with them.
fn unpack(body: Vec<u8>, max: usize) -> Result<Vec<u8>, TrackerError> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body);
    }
    let mut unpacked = Vec::new();
    let reading = GzDecoder::new(&body[..]).take(max as u64 + 1).read_to_end(&mut unpacked);
    reading.map_err(|error| malformed(format!("the reply cannot be unpacked: {error}")))?;
    if unpacked.len() > max { Err(too_large(max)) } else { Ok(unpacked) }
}

/// TLS that trusts the web's roots and those in `ca_file`.
fn tls(ca_file: &Path) -> Result<TlsConnector, BuildError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if !ca_file.as_os_str().is_empty() {
        add_roots(&mut roots, ca_file).map_err(|error| {
            BuildError::new("ca-file", format!("cannot be used: {}: {error}", ca_file.display()))
        })?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add_roots(roots: &mut RootCertStore, file: &Path) -> io::Result<()> {
    let pem = read_file(file, MAX_CA_FILE)?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.len() == before { Err(io::Error::other("no certificate in it")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use bt_api::{AnnounceEvent, PeerId};

    use super::*;

    fn announce() -> Announce {
        Announce {
            info_hash: InfoHash(
                *b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a",
            ),
            peer_id: PeerId(*b"-BT0100-a b&c=d+e/f~"),
            port: 6881,
            ip: None,
            key: 0xbeef,
            uploaded: 1,
            downloaded: 2,
            left: u64::MAX,
            event: None,
            peers_wanted: None,
            compact: true,
            tracker_id: None,
            last: None,
        }
    }

    const BASE: &str = "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&peer_id=-BT0100-a%20b%26c%3Dd%2Be%2Ff~\
        &port=6881&key=0000beef&uploaded=1&downloaded=2&left=18446744073709551615";

    #[test]
    fn a_request_says_what_is_known() {
        assert_eq!(
            announce_url("http://t/announce", &announce()),
            format!("http://t/announce?{BASE}&compact=1")
        );
        let full = Announce {
            ip: Some("2001:db8::1".parse().unwrap()),
            event: Some(AnnounceEvent::Started),
            peers_wanted: Some(50),
            compact: false,
            ..announce()
        };
        assert_eq!(
            announce_url("http://t/announce", &full),
            format!("http://t/announce?{BASE}&numwant=50&event=started&ip=2001%3Adb8%3A%3A1")
        );
    }

    #[test]
    fn case_90_no_peers_are_wanted_in_no_form() {
        let enough = Announce { peers_wanted: Some(0), compact: false, ..announce() };
        assert_eq!(announce_url("http://t/announce", &enough), format!("http://t/announce?{BASE}&numwant=0"));
    }

    #[test]
    fn case_91_the_key_has_8_hexadecimal_digits() {
        for (key, digits) in [(0, "00000000"), (0xdead_beef, "deadbeef")] {
            let url = announce_url("http://t/announce", &Announce { key, ..announce() });
            assert!(url.contains(&format!("&key={digits}&")), "{url}");
        }
    }

    #[test]
    fn case_92_tracker_id_and_last_are_said_when_held() {
        let told = Announce { tracker_id: Some(b"a&\xff".to_vec()), last: Some(7), ..announce() };
        let url = announce_url("http://t/announce", &told);
        assert_eq!(url, format!("http://t/announce?{BASE}&last=7&trackerid=a%26%FF&compact=1"));
        let dropped = Announce { last: None, ..told };
        assert!(!announce_url("http://t/announce", &dropped).contains("last="));
    }

    #[test]
    fn case_99_a_query_goes_on() {
        let url = announce_url("http://t/announce?a=b#part", &announce());
        assert_eq!(url, format!("http://t/announce?a=b&{BASE}&compact=1"));
        // The URL library leaves what we wrote as it is.
        assert_eq!(Url::parse(&url).unwrap().as_str(), url);
    }

    #[test]
    fn every_byte_survives_the_url_library() {
        let bytes: Vec<u8> = (0..=255).collect();
        for chunk in bytes.chunks(20).filter_map(|chunk| chunk.try_into().ok()) {
            let url =
                announce_url("http://t/announce", &Announce { info_hash: InfoHash(chunk), ..announce() });
            assert_eq!(Url::parse(&url).unwrap().as_str(), url);
        }
    }

    #[test]
    fn scrape_follows_the_convention() {
        let scrape = |url| scrape_url(url, &[InfoHash([b'a'; 20]), InfoHash([0xff; 20])]);
        let query = format!("info_hash={}&info_hash={}", "a".repeat(20), "%FF".repeat(20));
        assert_eq!(scrape("http://t/x/announce").unwrap(), format!("http://t/x/scrape?{query}"));
        assert_eq!(scrape("http://t/announce.php?k=1").unwrap(), format!("http://t/scrape.php?k=1&{query}"));
        for none in ["http://t/a", "http://t/announce/x", "http://t/x%064announce", "http://t/?/announce"] {
            assert_eq!(scrape(none).unwrap_err().kind, TrackerErrorKind::Unsupported, "{none}");
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        let wrong = [
            Config { timeout: Duration::secs(0), ..Config::default() },
            Config { max_reply: Size(100), ..Config::default() },
            Config { max_reply: Size::mib(65), ..Config::default() },
            Config { user_agent: "a\r\nb".to_owned(), ..Config::default() },
            Config { ca_file: "/nowhere/at-all.pem".into(), ..Config::default() },
            Config {
                ca_file: concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into(),
                ..Config::default()
            },
        ];
        for config in wrong {
            assert!(Http::build(config.clone()).is_err(), "{config:?}");
        }
        assert!(Http::build(Config::default()).is_ok());
    }
}
