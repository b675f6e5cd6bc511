//! One HTTP exchange over a connection that the [`Host`] made: what stands below surf.
//!
//! surf sends requests through an [`HttpClient`]; this one owns a single connection, TCP or TLS, and is
//! good for one request. It reads replies itself, on the `httparse` crate, as trackers are older than the
//! HTTP libraries at hand: replies come as HTTP/1.0, without a length, with Latin-1 in their headers.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use bt_api::{Host, Stream, TrackerError, TrackerErrorKind};
use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use futures_rustls::TlsConnector;
use futures_rustls::pki_types::ServerName;
use futures_rustls::rustls;
use http_client::http_types::{Body, Error, StatusCode};
use http_client::{HttpClient, Request, Response, async_trait};
use url::{Position, Url};

use super::reply::malformed;

/// The most bytes of a reply's status line and headers; web servers allow as much for requests.
const MAX_HEAD: usize = 16 * 1024;

/// The most headers of a reply. Those of trackers have a handful, of content networks some thirty.
const MAX_HEADERS: usize = 128;

/// The most bytes of a line that announces a chunk: a length, and extensions that nobody uses.
const MAX_CHUNK_LINE: usize = 256;

/// An open connection for one request, and the most bytes of body that it takes in.
pub(super) struct Connection {
    stream: Mutex<Option<Box<dyn Stream>>>,
    max_body: usize,
}

impl Connection {
    /// Connects to the server of `url`, which is `http` or `https`.
    pub(super) async fn open(
        host: &dyn Host,
        url: &Url,
        tls: &TlsConnector,
        max_body: usize,
    ) -> Result<Self, TrackerError> {
        let name = match url.host() {
            Some(url::Host::Domain(name)) => name.to_owned(),
            Some(url::Host::Ipv4(ip)) => ip.to_string(),
            Some(url::Host::Ipv6(ip)) => ip.to_string(),
            None => return Err(TrackerError::new(TrackerErrorKind::Unsupported, "the URL names no host")),
        };
        let port = url.port_or_known_default().unwrap_or(80);
        let tcp = host
            .connect(&name, port)
            .await
            .map_err(|error| unreachable_because(format!("cannot connect to {}: {error}", authority(url))))?;
        let stream = if url.scheme() == "https" { secure(tcp, name, tls).await? } else { tcp };
        Ok(Self { stream: Mutex::new(Some(stream)), max_body })
    }
}

/// TLS over `tcp`, with a certificate for `name`.
async fn secure(
    tcp: Box<dyn Stream>,
    name: String,
    tls: &TlsConnector,
) -> Result<Box<dyn Stream>, TrackerError> {
    let server = ServerName::try_from(name.clone()).map_err(|error| {
        TrackerError::new(
            TrackerErrorKind::Unsupported,
            format!("`{name}` cannot be used with https: {error}"),
        )
    })?;
    match tls.connect(server, tcp).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
            let message = if let Some(rustls::Error::InvalidCertificate(_)) = cause {
                format!("the certificate of {name} is not trusted ({error}); `ca-file` can name its root")
            } else {
                format!("cannot open a TLS connection to {name}: {error}")
            };
            Err(unreachable_because(message))
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("max_body", &self.max_body).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Connection {
    /// Sends the one request. Its error holds a [`TrackerError`].
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = stream.ok_or_else(|| bad_gateway(unreachable_because("the connection is used up")))?;
        exchange(stream, &request, self.max_body).await.map_err(bad_gateway)
    }
}

fn bad_gateway(error: TrackerError) -> Error {
    Error::new(StatusCode::BadGateway, error)
}

async fn exchange(
    mut stream: Box<dyn Stream>,
    request: &Request,
    max_body: usize,
) -> Result<Response, TrackerError> {
    let head = request_head(request);
    stream.write_all(head.as_bytes()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;

    let mut reader = BufReader::new(stream);
    let head = Head::parse(&read_head(&mut reader).await?)?;
    let mut response = Response::new(head.status);
    if let Some(location) = &head.location {
        response.append_header("location", location.as_str());
    }
    // The connection is done with, so what a redirection says besides where to go is left unread.
    if !head.status.is_redirection() {
        response.set_body(Body::from_bytes(read_body(&mut reader, &head.framing, max_body).await?));
    }
    Ok(response)
}

fn request_head(request: &Request) -> String {
    let url = request.url();
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let mut head = format!("{} {target} HTTP/1.1\r\nHost: {}\r\n", request.method(), authority(url));
    for (name, values) in request.iter() {
        for value in values {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head + "Connection: close\r\n\r\n"
}

/// Host and port as written in the URL.
fn authority(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// A connection that is read line by line.
type Reader = BufReader<Box<dyn Stream>>;

/// Reads up to and with the empty line that ends the head.
async fn read_head(reader: &mut Reader) -> Result<Vec<u8>, TrackerError> {
    let mut head = Vec::new();
    loop {
        let start = head.len();
        read_line(reader, &mut head, MAX_HEAD).await?;
        if start > 0 && matches!(head[start..], [b'\n'] | [b'\r', b'\n']) {
            return Ok(head);
        }
    }
}

/// Appends a line, with its end, to `into`, which may grow to `max` bytes.
async fn read_line(reader: &mut Reader, into: &mut Vec<u8>, max: usize) -> Result<(), TrackerError> {
    let room = max.saturating_sub(into.len()) as u64;
    let read = reader.take(room).read_until(b'\n', into).await.map_err(lost)?;
    if read > 0 && into.ends_with(b"\n") {
        return Ok(());
    }
    let over = into.len() >= max;
    Err(if over { malformed(format!("a line or head of HTTP is over {max} bytes")) } else { closed_early() })
}

/// How long a body is.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    /// As long as the chunks that it comes in.
    Chunked,
    /// So many bytes.
    Length(u64),
    /// Until the connection ends.
    ToTheEnd,
}

/// What matters of a reply's head.
#[derive(Debug)]
struct Head {
    status: StatusCode,
    framing: Framing,
    location: Option<String>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, TrackerError> {
        let broken = |why: &dyn fmt::Display| malformed(format!("the reply is no HTTP: {why}"));
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        let mut parser = httparse::ParserConfig::default();
        // A header that is not as it should be need not concern us unless it is one that we use.
        parser.ignore_invalid_headers_in_responses(true);
        match parser.parse_response(&mut parsed, bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(broken(&"its head breaks off")),
            Err(error) => return Err(broken(&error)),
        }
        let code = parsed.code.unwrap_or(0);
        let status = StatusCode::try_from(code)
            .map_err(|_| unreachable_because(format!("the tracker answered HTTP status {code}")))?;
        let header = |name: &str| {
            let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value)
        };
        let framing = if let Some(encodings) = header("transfer-encoding") {
            let last = encodings.rsplit(|&byte| byte == b',').next().unwrap_or_default();
            if !last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(broken(&format_args!(
                    "unknown transfer encoding `{}`",
                    encodings.escape_ascii()
                )));
            }
            Framing::Chunked
        } else if let Some(length) = header("content-length") {
            let number = std::str::from_utf8(length).ok().and_then(|length| length.trim().parse().ok());
            Framing::Length(
                number.ok_or_else(|| broken(&format_args!("its length is `{}`", length.escape_ascii())))?,
            )
        } else {
            Framing::ToTheEnd
        };
        // Servers send Latin-1 or UTF-8 unescaped; in a URL, bytes beyond ASCII are written with percent signs.
        let escape =
            |byte: &u8| if byte.is_ascii() { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
        let location = header("location").map(|value| value.iter().map(escape).collect());
        Ok(Self { status, framing, location })
    }
}

/// Reads the body, of which at most `max` bytes are taken.
async fn read_body(reader: &mut Reader, framing: &Framing, max: usize) -> Result<Vec<u8>, TrackerError> {
    let mut body = Vec::new();
    match *framing {
        Framing::Length(length) => read_exactly(reader, length, &mut body, max).await?,
        Framing::Chunked => loop {
            let mut line = Vec::new();
            read_line(reader, &mut line, MAX_CHUNK_LINE).await?;
            let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
            let length = std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
            let length = length
                .ok_or_else(|| malformed(format!("`{}` is no length of a chunk", line.escape_ascii())))?;
            if length == 0 {
                break;
            }
            read_exactly(reader, length, &mut body, max).await?;
            line.clear();
            read_line(reader, &mut line, MAX_CHUNK_LINE).await?;
            if !line.trim_ascii().is_empty() {
                return Err(malformed("a chunk is longer than it says"));
            }
        },
        Framing::ToTheEnd => match reader.take(max as u64 + 1).read_to_end(&mut body).await {
            // TLS connections are often just dropped. Bencoding shows by itself whether it is whole.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(lost(error)),
            _ if body.len() > max => return Err(too_large(max)),
            _ => {}
        },
    }
    Ok(body)
}

/// Appends exactly `length` bytes to `body`, which may grow to `max`.
async fn read_exactly(
    reader: &mut Reader,
    length: u64,
    body: &mut Vec<u8>,
    max: usize,
) -> Result<(), TrackerError> {
    let before = body.len();
    if length > (max - before) as u64 {
        return Err(too_large(max));
    }
    reader.take(length).read_to_end(body).await.map_err(lost)?;
    if (body.len() - before) as u64 == length { Ok(()) } else { Err(closed_early()) }
}

/// That a reply is larger than `max` bytes, packed or unpacked.
pub(super) fn too_large(max: usize) -> TrackerError {
    malformed(format!("the reply is larger than {} (`max-reply`)", bt_api::config::Size(max as u64)))
}

fn closed_early() -> TrackerError {
    unreachable_because("the tracker closed the connection in the middle of its reply")
}

fn lost(error: io::Error) -> TrackerError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => closed_early(),
        _ => unreachable_because(format!("the connection to the tracker was lost: {error}")),
    }
}

fn unreachable_because(message: impl Into<String>) -> TrackerError {
    TrackerError::new(TrackerErrorKind::Unreachable, message)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;
    use proptest::prelude::*;

    use super::*;

    /// A status, where it leads to, and a body of at most 100 bytes.
    fn read(reply: &[u8]) -> Result<(StatusCode, Option<String>, Vec<u8>), TrackerError> {
        let mut reader = BufReader::new(Box::new(Cursor::new(reply.to_vec())) as Box<dyn Stream>);
        block_on(async {
            let head = Head::parse(&read_head(&mut reader).await?)?;
            let body = read_body(&mut reader, &head.framing, 100).await?;
            Ok((head.status, head.location, body))
        })
    }

    #[test]
    fn a_location_beyond_ascii_is_escaped() {
        let (status, location, _) = read(b"HTTP/1.1 302 \xe9\r\nlocation: /\xc3\xa9\r\n\r\n").unwrap();
        assert_eq!((status, location.as_deref()), (StatusCode::Found, Some("/%C3%A9")));
    }

    #[test]
    fn bodies_are_taken_up_to_the_limit() {
        let body = "x".repeat(100);
        let framed = |body: &str| {
            let length = body.len();
            [
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"),
                format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
                format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n{length:X}\r\n{body}\r\n0\r\n\r\n"
                ),
            ]
        };
        for reply in framed(&body) {
            assert_eq!(read(reply.as_bytes()).unwrap().2, body.as_bytes(), "{reply}");
        }
        for reply in framed(&format!("{body}x")) {
            assert_eq!(read(reply.as_bytes()).unwrap_err(), too_large(100), "{reply}");
        }
    }

    proptest! {
        #[test]
        fn no_reply_panics(
            head in "HTTP/1\\.[01] [0-9]{3}( [a-z]{0,5})?\r?\n((content-length|transfer-encoding|location|x): ?[ -~é]{0,9}\r?\n){0,4}",
            body in prop::collection::vec(any::<u8>(), 0..200),
            chunk in "[0-9a-f]{0,3}\r?\n",
        ) {
            let chunked = "transfer-encoding: chunked\r\n";
            for between in ["\r\n", "\n", "", &format!("{chunked}\r\n{chunk}")] {
                if let Ok((_, _, taken)) = read(&[head.as_bytes(), between.as_bytes(), &body].concat()) {
                    prop_assert!(taken.len() <= 100);
                }
            }
            let _ = read(&body);
        }
    }
}
