//! The tracker as somebody on the simulated network. What it is asked there goes to the tracker of the swarm, and what
//! that answers goes back.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bt_api::{Announce, AnnounceReply, Datagrams, Instant, ScrapeReply};
use futures::channel::oneshot::{self, Sender};
use futures::future::{Either, select};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};

use super::super::comings::INFO_HASH;
use super::super::executor::{Clock, Over};
use super::super::network::{Network, Wire};
use super::super::node_at;
use super::super::plugins::{News, NewsDesk};
use super::{http, udp};
use crate::scenario::{TrackerScheme, TrackerUrl};

/// Where it is, unless its URL has an address: one that is kept for examples (RFC 5737).
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// How long a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest datagram that is read: a scrape of 74 torrents has 1496 bytes.
const MAX_DATAGRAM: usize = 2048;

/// What it says of torrents that it does not know.
const UNKNOWN: &str = "the tracker does not know this torrent";

/// What the tracker of the swarm is asked, and who waits for the answer.
pub(in crate::swarm) enum Asked {
    /// Who else is there? `ids` says whether their ids are wanted.
    Announce { announce: Announce, ids: bool, answer: Sender<AnnounceReply> },
    /// How many are there?
    Scrape(Sender<ScrapeReply>),
}

/// Serves announces and scrapes.
pub(in crate::swarm) struct Server {
    clock: Arc<Clock>,
    news: NewsDesk,
    path: String,
    numbers: udp::Numbers,
    /// When nobody is served.
    down: Vec<Range<Duration>>,
}

impl Server {
    /// Serves at `url`, until it is over.
    pub(in crate::swarm) fn open(
        url: &TrackerUrl,
        down: &[Range<Duration>],
        seed: u64,
        (network, clock, news): (&Arc<Network>, &Arc<Clock>, &NewsDesk),
        over: Over,
    ) {
        let ip = url.host.parse().unwrap_or(ADDRESS);
        let address = SocketAddr::from((ip, url.port));
        network.call(&url.host, ip);
        let server = Arc::new(Self {
            clock: clock.clone(),
            news: news.clone(),
            path: url.path.clone(),
            numbers: udp::Numbers { seed },
            down: down.to_vec(),
        });
        match url.scheme {
            TrackerScheme::Http => network.listen(address, move |from, wire| {
                if server.is_down() {
                    return false;
                }
                // A client that breaks off is its own affair.
                let serving = server.clone().serve_http(from, wire).map(drop);
                server.clock.start(over.bound(serving));
                true
            }),
            TrackerScheme::Udp => {
                let socket = network.bind(ip, address).expect("nobody else is at the tracker's address");
                let clock = server.clock.clone();
                clock.start(over.bound(async move { server.serve_udp(&socket).await }));
            }
        }
    }

    fn is_down(&self) -> bool {
        let now = self.clock.now() - Instant::ZERO;
        self.down.iter().any(|time| time.contains(&now))
    }

    /// Answers one request after the other.
    async fn serve_http(self: Arc<Self>, from: SocketAddr, mut wire: Wire) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            let Some(length) = self.read_head(&mut wire, &mut bytes).await? else { return Ok(()) };
            if self.is_down() {
                return Ok(());
            }
            let head: Vec<u8> = bytes.drain(..length).collect();
            let (answer, stays) = match http::request(&head) {
                Err(status) => (http::response(status, b"", false), false),
                Ok(request) => (self.answer_http(&request, from).await?, request.stays),
            };
            wire.write_all(&answer).await?;
            if !stays {
                return wire.close().await;
            }
        }
    }

    /// Reads until a head is there and says how long it is; `None` when none comes any more.
    async fn read_head(&self, wire: &mut Wire, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let late = self.clock.sleep_until(self.clock.now() + PATIENCE);
        let reading = async {
            let mut chunk = [0; 1024];
            loop {
                if let Some(length) = http::head_length(bytes) {
                    return Ok(Some(length));
                }
                let read = wire.read(&mut chunk).await?;
                if read == 0 || bytes.len() + read > http::MAX_REQUEST {
                    return Ok(None);
                }
                bytes.extend_from_slice(&chunk[..read]);
            }
        };
        match select(pin!(reading), late).await {
            Either::Left((length, _)) => length,
            Either::Right(_) => Ok(None),
        }
    }

    async fn answer_http(&self, request: &http::Request<'_>, from: SocketAddr) -> io::Result<Vec<u8>> {
        let body = match http::question(request, &self.path) {
            Err(None) => return Ok(http::response("404 Not Found", b"", request.stays)),
            Err(Some(why)) => http::refused(&why),
            Ok(http::Question::Announce { announce, .. }) if announce.info_hash != INFO_HASH => {
                http::refused(UNKNOWN)
            }
            Ok(http::Question::Announce { announce, ids }) => {
                let compact = announce.compact;
                http::announced(&self.announce(from, announce, ids).await?, compact)
            }
            // Whoever names no torrent asks for all of them (BEP 48).
            Ok(http::Question::Scrape(hashes)) if hashes.is_empty() || hashes.contains(&INFO_HASH) => {
                http::scraped(&[(INFO_HASH, self.scrape(from).await?)])
            }
            Ok(http::Question::Scrape(_)) => http::scraped(&[]),
        };
        Ok(http::response("200 OK", &body, request.stays))
    }

    async fn serve_udp(&self, socket: &impl Datagrams) {
        let mut bytes = [0; MAX_DATAGRAM];
        while let Ok((length, from)) = socket.receive_from(&mut bytes).await {
            // What is no request is not answered (BEP 15).
            let Some(request) = udp::request(&bytes[..length]).filter(|_| !self.is_down()) else { continue };
            let answer = match self.answer_udp(request, from).await {
                Ok(answer) => answer,
                Err(_) => return,
            };
            // What cannot be sent is lost, as any datagram may be.
            let _ = socket.send_to(&answer, from).await;
        }
    }

    async fn answer_udp(&self, request: udp::Request, from: SocketAddr) -> io::Result<Vec<u8>> {
        let (transaction, now) = (request.transaction, self.clock.now());
        let is_known = self.numbers.knows(&request, from, now);
        Ok(match request.question {
            udp::Question::Connect => udp::connected(transaction, self.numbers.number(from, now)),
            _ if !is_known => udp::refused(transaction, "the connection id is not valid"),
            udp::Question::Announce(announce) if announce.info_hash != INFO_HASH => {
                udp::refused(transaction, UNKNOWN)
            }
            udp::Question::Announce(announce) => {
                udp::announced(transaction, &self.announce(from, announce, false).await?)
            }
            udp::Question::Scrape(hashes) => {
                let known = if hashes.contains(&INFO_HASH) {
                    self.scrape(from).await?
                } else {
                    ScrapeReply::default()
                };
                let counts =
                    hashes.iter().map(|hash| if *hash == INFO_HASH { known } else { ScrapeReply::default() });
                udp::scraped(transaction, &counts.collect::<Vec<_>>())
            }
        })
    }

    async fn announce(&self, from: SocketAddr, announce: Announce, ids: bool) -> io::Result<AnnounceReply> {
        self.ask(from, |answer| Asked::Announce { announce, ids, answer }).await
    }

    async fn scrape(&self, from: SocketAddr) -> io::Result<ScrapeReply> {
        self.ask(from, Asked::Scrape).await
    }

    /// Has the tracker of the swarm answer somebody.
    async fn ask<T>(&self, from: SocketAddr, asked: impl FnOnce(Sender<T>) -> Asked) -> io::Result<T> {
        let node = node_at(from).ok_or(ErrorKind::PermissionDenied)?;
        let (sender, answer) = oneshot::channel();
        self.news.put(node, News::Asked(asked(sender)));
        answer.await.map_err(|_| ErrorKind::ConnectionAborted.into())
    }
}
