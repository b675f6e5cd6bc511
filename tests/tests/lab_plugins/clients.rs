//! Tracker clients of a crate that the simulator does not know: one that tries several trackers and remembers which one
//! answered, one that speaks UDP, and a source that asks another peer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bt_api::{
    Announce, AnnounceReply, BoxFuture, BuildError, Datagrams, Host, InfoHash, PeerAddress, Plugin,
    ScrapeReply, TrackerClient, TrackerError, TrackerErrorKind, config, plugin,
};
use futures::future::{Either, select};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use serde::{Deserialize, Serialize};

fn failed(message: impl Into<String>) -> TrackerError {
    TrackerError::new(TrackerErrorKind::Unreachable, message)
}

fn unsupported<T: Send + 'static>() -> BoxFuture<'static, Result<T, TrackerError>> {
    let error = TrackerError::new(TrackerErrorKind::Unsupported, "there are no counts");
    std::future::ready(Err(error)).boxed()
}

/// Peers as six bytes each.
fn peers(bytes: &[u8]) -> Vec<PeerAddress> {
    let (all, _) = bytes.as_chunks::<6>();
    let peer = |[a, b, c, d, e, f]: &[u8; 6]| {
        let address = SocketAddr::from((Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*e, *f])));
        PeerAddress { address, id: None }
    };
    all.iter().map(peer).collect()
}

/// The client `stubborn`: asks at each of its ports in turn, after a pause whenever one fails, and begins with the one
/// that answered last.
struct Stubborn {
    config: StubbornConfig,
    /// Which of its ports answered last.
    best: AtomicUsize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StubbornConfig {
    ports: Vec<u16>,
    pause: config::Duration,
    /// The first byte of the info-hash that it says in place of its own.
    wrong: Option<u8>,
}

impl Plugin for Stubborn {
    type Kind = plugin::Tracker;
    type Config = StubbornConfig;
    const NAME: &'static str = "stubborn";
    const SUMMARY: &'static str = "asks at several ports in turn";
    fn build(config: StubbornConfig) -> Result<Box<dyn TrackerClient>, BuildError> {
        Ok(Box::new(Self { config, best: AtomicUsize::new(0) }))
    }
}
bt_api::register!(Stubborn);

impl Stubborn {
    async fn ask(
        &self,
        port: u16,
        announce: &Announce,
        host: &dyn Host,
    ) -> Result<AnnounceReply, TrackerError> {
        let percent = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let mut hash = announce.info_hash.0;
        hash[0] = self.config.wrong.unwrap_or(hash[0]);
        let event = announce.event.map_or("", |event| event.as_str());
        let request = format!(
            "GET /announce?info_hash={}&peer_id={}&port={}&left={}&event={event}&compact=1 HTTP/1.0\r\n\r\n",
            percent(&hash),
            percent(&announce.peer_id.0),
            announce.port,
            announce.left
        );
        let io = |error: std::io::Error| failed(format!("port {port}: {error}"));
        let mut stream = host.connect("tracker.lab", port).await.map_err(io)?;
        stream.write_all(request.as_bytes()).await.map_err(io)?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.map_err(io)?;
        let find =
            |what: &[u8]| reply.windows(what.len()).position(|part| part == what).map(|at| at + what.len());
        if let Some(at) = find(b"14:failure reason") {
            return Err(TrackerError::new(TrackerErrorKind::Refused, String::from_utf8_lossy(&reply[at..])));
        }
        let at = find(b"5:peers").ok_or_else(|| failed("no peers in the reply"))?;
        let colon = reply[at..].iter().position(|byte| *byte == b':').ok_or_else(|| failed("no length"))?;
        let peers = peers(&reply[at + colon + 1..reply.len() - 1]);
        Ok(AnnounceReply { peers, ..AnnounceReply::default() })
    }
}

impl TrackerClient for Stubborn {
    fn schemes(&self) -> &'static [&'static str] {
        &["http"]
    }

    fn announce<'a>(
        &'a self,
        _: Option<&'a str>,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        Box::pin(async move {
            let (ports, best) = (&self.config.ports, self.best.load(Ordering::Relaxed));
            let mut last = failed("it has no port");
            for place in (0..ports.len()).map(|place| (best + place) % ports.len()) {
                match self.ask(ports[place], announce, host).await {
                    Ok(reply) => {
                        self.best.store(place, Ordering::Relaxed);
                        return Ok(reply);
                    }
                    Err(error) => last = error,
                }
                host.sleep_until(host.now() + self.config.pause.get()).await;
            }
            Err(last)
        })
    }

    fn scrape<'a>(
        &'a self,
        _: &'a str,
        _: &'a [InfoHash],
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        unsupported()
    }

    fn unasked<'a>(
        &'a self,
        _: &'a Announce,
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        std::future::pending().boxed()
    }
}

/// The client `small-udp`: BEP 15 without its tries. Each reply has the counts of a scrape as its warning.
struct SmallUdp;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

impl Plugin for SmallUdp {
    type Kind = plugin::Tracker;
    type Config = Nothing;
    const NAME: &'static str = "small-udp";
    const SUMMARY: &'static str = "UDP trackers, in a few lines";
    fn build(_: Nothing) -> Result<Box<dyn TrackerClient>, BuildError> {
        Ok(Box::new(Self))
    }
}
bt_api::register!(SmallUdp);

/// Sends `request` and waits for its answer: what follows action and transaction.
async fn exchange(
    socket: &dyn Datagrams,
    to: SocketAddr,
    request: &[u8],
    host: &dyn Host,
) -> Result<Vec<u8>, TrackerError> {
    let io = |error: std::io::Error| failed(error.to_string());
    socket.send_to(request, to).await.map_err(io)?;
    let mut bytes = [0; 2048];
    let late = host.sleep_until(host.now() + Duration::from_secs(15));
    let length = match select(socket.receive_from(&mut bytes), late).await {
        Either::Left((received, _)) => received.map_err(io)?.0,
        Either::Right(_) => return Err(failed("no datagram in 15 s")),
    };
    assert_eq!(bytes[4..8], request[12..16], "the transaction is that of the request");
    match bytes[..4] == request[8..12] {
        true => Ok(bytes[8..length].to_vec()),
        false => Err(failed(String::from_utf8_lossy(&bytes[8..length]))),
    }
}

impl TrackerClient for SmallUdp {
    fn schemes(&self) -> &'static [&'static str] {
        &["udp"]
    }

    fn announce<'a>(
        &'a self,
        _: Option<&'a str>,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        Box::pin(async move {
            let io = |error: std::io::Error| failed(error.to_string());
            let to = host.resolve("tracker.lab", 6969).await.map_err(io)?[0];
            let socket = host.bind_udp((Ipv4Addr::UNSPECIFIED, 0).into()).await.map_err(io)?;
            let head = |connection: &[u8], action: u32, number: u32| {
                [connection, &action.to_be_bytes(), &number.to_be_bytes()].concat()
            };
            let magic = 0x0417_2710_1980_u64.to_be_bytes();
            let connection = exchange(&*socket, to, &head(&magic, 0, 1), host).await?;
            let event: u32 = match announce.event.map(|event| event.as_str()) {
                None => 0,
                Some("completed") => 1,
                Some("started") => 2,
                Some(_) => 3,
            };
            let mut request = head(&connection, 1, 2);
            request.extend(announce.info_hash.0);
            request.extend(announce.peer_id.0);
            for count in [announce.downloaded, announce.left, announce.uploaded] {
                request.extend(count.to_be_bytes());
            }
            for word in [event, 0, 0, u32::MAX] {
                request.extend(word.to_be_bytes());
            }
            request.extend(announce.port.to_be_bytes());
            let reply = exchange(&*socket, to, &request, host).await?;
            let wrong = exchange(&*socket, to, &head(&[0; 8], 2, 3), host).await.unwrap_err();
            assert_eq!(wrong.message, "the connection id is not valid");
            let asked = [head(&connection, 2, 4).as_slice(), &announce.info_hash.0, &[9; 20]].concat();
            let counts = exchange(&*socket, to, &asked, host).await?;
            let interval = u32::from_be_bytes([reply[0], reply[1], reply[2], reply[3]]);
            Ok(AnnounceReply {
                interval: Some(Duration::from_secs(interval.into())),
                peers: peers(&reply[12..]),
                warning: Some(format!("{counts:?}")),
                ..AnnounceReply::default()
            })
        })
    }

    fn scrape<'a>(
        &'a self,
        _: &'a str,
        _: &'a [InfoHash],
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        unsupported()
    }

    fn unasked<'a>(
        &'a self,
        _: &'a Announce,
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        std::future::pending().boxed()
    }
}

/// The source `grapevine`: peer 0 remembers who called, and tells whoever calls next.
struct Grapevine {
    called: AtomicBool,
}

impl Plugin for Grapevine {
    type Kind = plugin::Tracker;
    type Config = Nothing;
    const NAME: &'static str = "grapevine";
    const SUMMARY: &'static str = "peers from peer 0";
    fn build(_: Nothing) -> Result<Box<dyn TrackerClient>, BuildError> {
        Ok(Box::new(Self { called: AtomicBool::new(false) }))
    }
}
bt_api::register!(Grapevine);

/// Where peer 0 is called.
const VINE: u16 = 7000;

impl TrackerClient for Grapevine {
    fn schemes(&self) -> &'static [&'static str] {
        &[]
    }

    fn announce<'a>(
        &'a self,
        url: Option<&'a str>,
        _: &'a Announce,
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        assert_eq!(url, None);
        std::future::ready(Ok(AnnounceReply::default())).boxed()
    }

    fn scrape<'a>(
        &'a self,
        _: &'a str,
        _: &'a [InfoHash],
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        unsupported()
    }

    fn unasked<'a>(
        &'a self,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        Box::pin(async move {
            if self.called.swap(true, Ordering::Relaxed) {
                return std::future::pending().await;
            }
            let io = |error: std::io::Error| failed(error.to_string());
            let socket = host.bind_udp((Ipv4Addr::UNSPECIFIED, VINE).into()).await.map_err(io)?;
            let hub = SocketAddr::from(([10, 0, 0, 0], VINE));
            let mut bytes = [0; 1000];
            if socket.local_address().map_err(io)? != hub {
                socket.send_to(&announce.info_hash.0, hub).await.map_err(io)?;
                let (length, _) = socket.receive_from(&mut bytes).await.map_err(io)?;
                return Ok(peers(&bytes[..length]));
            }
            let port = announce.port.to_be_bytes();
            let mut known = vec![10, 0, 0, 0, port[0], port[1]];
            loop {
                let (length, from) = socket.receive_from(&mut bytes).await.map_err(io)?;
                assert_eq!(bytes[..length], announce.info_hash.0);
                socket.send_to(&known, from).await.map_err(io)?;
                if let SocketAddr::V4(from) = from {
                    known.extend(from.ip().octets());
                    known.extend(port);
                }
            }
        })
    }
}
