//! Trackers over UDP (BEP 15), with the URL's path and query told (BEP 41) and counts (BEP 48).
//!
//! A tracker first gives a connection id, which proves that we are where our packets say, and then answers
//! requests that carry it. Packets get lost, so each is sent again after 15·2^n seconds without an answer.
//! Anybody can send to an open port: an answer counts only when it comes from the address that was asked, at
//! a port of ours that only this request has, with a transaction id that only the tracker was told.
//!
//! Source: BEP 15 and BEP 41.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bt_api::config::Duration;
use bt_api::plugin::{self, BuildError, Plugin};
use bt_api::{
    Announce, AnnounceReply, BoxFuture, Datagrams, Host, InfoHash, Instant, PeerAddress, ScrapeReply,
    TrackerClient, TrackerError, TrackerErrorKind,
};
use futures::future::{Either, select};
use serde::{Deserialize, Serialize};

use super::udp_packet::{self, Action, MAX_REPLY, MAX_SCRAPE};
use super::udp_url::Url;
use super::{lock, unsupported, yield_now};

/// The most trackers whose connection ids are kept.
const MAX_CONNECTIONS: usize = 1000;

/// After so many datagrams that are no answer, others may run.
const STRAYS_AT_ONCE: u32 = 64;

/// The tracker client for `udp` URLs.
pub struct Udp {
    config: Config,
    /// The key of transaction ids, which nobody else may guess; nothing else depends on it.
    secret: RandomState,
    drawn: AtomicU64,
    connections: Mutex<BTreeMap<SocketAddr, Connection>>,
}

/// A connection id that a tracker gave.
#[derive(Clone, Copy)]
struct Connection {
    id: u64,
    /// Until when it may be used.
    until: Instant,
}

/// The `[tracker.udp]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How long the first answer is waited for; twice as long after each packet without one (BEP 15). The
    /// engine's `announce.timeout` may end it all earlier.
    pub timeout: Duration,
    /// How often a packet is sent again: up to 8 times (BEP 15).
    pub retries: u32,
    /// How long a connection id is used (BEP 15).
    pub connection_lifetime: Duration,
    /// Whether the tracker is told the path and query of its URL (BEP 41).
    pub url_data: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::secs(15),
            retries: 8,
            connection_lifetime: Duration::secs(60),
            url_data: true,
        }
    }
}

impl Plugin for Udp {
    type Kind = plugin::Tracker;
    type Config = Config;
    const NAME: &'static str = "udp";
    const SUMMARY: &'static str = "trackers at udp URLs";

    fn build(config: Config) -> Result<Box<dyn TrackerClient>, BuildError> {
        let within = |key, value: Duration, least, most| {
            if value < Duration::secs(least) || value > Duration::secs(most) {
                let message = format!("must be from \"{least} s\" to \"{most} s\"");
                return Err(BuildError::new(key, message));
            }
            Ok(())
        };
        within("timeout", config.timeout, 1, 3600)?;
        // Trackers take an id for two minutes (BEP 15).
        within("connection-lifetime", config.connection_lifetime, 1, 120)?;
        if config.retries > 8 {
            return Err(BuildError::new("retries", "must be 8 at most"));
        }
        Ok(Box::new(Self {
            config,
            secret: RandomState::new(),
            drawn: AtomicU64::new(0),
            connections: Mutex::default(),
        }))
    }
}

bt_api::register!(Udp);

impl TrackerClient for Udp {
    fn schemes(&self) -> &'static [&'static str] {
        &["udp"]
    }

    fn announce<'a>(
        &'a self,
        url: Option<&'a str>,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        Box::pin(async move {
            let url = Url::parse(url.ok_or_else(|| unsupported("the udp client needs a URL"))?)?;
            let data = if self.config.url_data { url.data } else { "" };
            let request = |connection, transaction, ipv4| {
                udp_packet::announce(connection, transaction, announce, ipv4, data)
            };
            let (answer, ipv4) = self.ask(&url, Action::Announce, &request, host).await?;
            udp_packet::parse_announce(&answer, ipv4)
        })
    }

    fn scrape<'a>(
        &'a self,
        url: &'a str,
        torrents: &'a [InfoHash],
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        Box::pin(async move {
            let url = Url::parse(url)?;
            let mut counts = Vec::new();
            for some in torrents.chunks(MAX_SCRAPE) {
                let request = |connection, transaction, _| udp_packet::scrape(connection, transaction, some);
                let (answer, _) = self.ask(&url, Action::Scrape, &request, host).await?;
                counts.extend(udp_packet::parse_scrape(&answer, some.len())?);
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

/// Makes a request's packet, given connection id, transaction id and whether the tracker is at an IPv4 address.
type Request<'a> = dyn Fn(u64, u32, bool) -> Vec<u8> + Send + Sync + 'a;

impl Udp {
    /// Asks the tracker at `url` until it answers; the answer past its transaction id, and whether it came
    /// from an IPv4 address.
    ///
    /// With addresses of both families each packet that is sent again goes to the other one, since one of the
    /// two may well lead nowhere.
    async fn ask(
        &self,
        url: &Url<'_>,
        action: Action,
        request: &Request<'_>,
        host: &dyn Host,
    ) -> Result<(Vec<u8>, bool), TrackerError> {
        let mut places = places(url, host).await?;
        let mut transaction = self.transaction();
        let (mut line, mut connected, mut silences, mut strays) = (None::<Line>, false, 0, 0);
        while let Some(&place) = places.get(silences as usize % places.len().max(1)) {
            let until = host.now() + self.config.timeout.get() * 2_u32.pow(silences);
            let ipv4 = place.is_ipv4();
            let known = self.connection(place, host.now());
            let (packet, asked, id) = match known {
                Some(connection) => (request(connection, transaction, ipv4), action, transaction),
                None => {
                    let id = self.transaction();
                    (udp_packet::connect(id), Action::Connect, id)
                }
            };
            let outcome = match Line::at(&mut line, place, host).await {
                Ok(line) => line.exchange(&packet, asked, id, until, host).await,
                Err(error) => Err(Failure::Io(error)),
            };
            strays += line.as_mut().map_or(0, |line| u64::from(std::mem::take(&mut line.strays)));
            match outcome {
                Ok(Some(answer)) if known.is_some() => return Ok((answer, ipv4)),
                Ok(Some(answer)) => {
                    self.connect(place, udp_packet::parse_connect(&answer)?, host.now());
                    connected = true;
                }
                Ok(None) if silences == self.config.retries => return Err(silent(url, silences + 1, strays)),
                Ok(None) => {
                    silences += 1;
                    if known.is_some() && !connected {
                        lock(&self.connections).remove(&place);
                    }
                }
                // A tracker that was started anew, or that sees us elsewhere, knows the id no more, and may or
                // may not say so. Whether it is the id that it minds shows with a new one.
                Err(Failure::Tracker(error)) if known.is_some() && !connected => {
                    if error.kind != TrackerErrorKind::Refused {
                        return Err(error);
                    }
                    lock(&self.connections).remove(&place);
                    // The same answer come twice is no answer to what follows.
                    transaction = self.transaction();
                }
                Err(Failure::Tracker(error)) => return Err(error),
                Err(Failure::Io(error)) => {
                    places.retain(|&other| other != place);
                    if places.is_empty() {
                        return Err(unreachable(url, &error.to_string()));
                    }
                }
            }
        }
        Err(unreachable(url, "it has no address"))
    }

    /// The connection id for the tracker at `place`, unless it is too old.
    fn connection(&self, place: SocketAddr, now: Instant) -> Option<u64> {
        let connections = lock(&self.connections);
        connections.get(&place).filter(|connection| now < connection.until).map(|connection| connection.id)
    }

    fn connect(&self, place: SocketAddr, id: u64, now: Instant) {
        let mut connections = lock(&self.connections);
        connections.retain(|_, connection| now < connection.until);
        if connections.len() >= MAX_CONNECTIONS {
            connections.pop_first();
        }
        connections.insert(place, Connection { id, until: now + self.config.connection_lifetime.get() });
    }

    /// A transaction id that nobody can tell from earlier ones.
    fn transaction(&self) -> u32 {
        let [_, _, _, _, id @ ..] =
            self.secret.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        u32::from_be_bytes(id)
    }
}

/// Why there is no answer, and will be none.
enum Failure {
    /// The system cannot send there.
    Io(io::Error),
    /// The tracker said something else.
    Tracker(TrackerError),
}

/// A socket for the packets of one request to one address of a tracker.
struct Line {
    place: SocketAddr,
    socket: Box<dyn Datagrams>,
    buffer: Vec<u8>,
    /// Datagrams that were no answer.
    strays: u32,
}

impl Line {
    /// The line to `place`: the one that there is, or else a new one in its stead.
    async fn at<'a>(
        line: &'a mut Option<Self>,
        place: SocketAddr,
        host: &dyn Host,
    ) -> io::Result<&'a mut Self> {
        if line.as_ref().is_none_or(|line| line.place != place) {
            let any: IpAddr = match place {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = host.bind_udp((any, 0).into()).await?;
            *line = Some(Self { place, socket, buffer: vec![0; MAX_REPLY], strays: 0 });
        }
        Ok(line.as_mut().expect("it was just made"))
    }

    /// Sends `packet` and waits for the answer `until` then; `None` when none came.
    async fn exchange(
        &mut self,
        packet: &[u8],
        action: Action,
        transaction: u32,
        until: Instant,
        host: &dyn Host,
    ) -> Result<Option<Vec<u8>>, Failure> {
        self.socket.send_to(packet, self.place).await.map_err(Failure::Io)?;
        let mut over = host.sleep_until(until);
        loop {
            let receiving = self.socket.receive_from(&mut self.buffer);
            let (length, from) = match select(over, receiving).await {
                Either::Left(_) => return Ok(None),
                Either::Right((received, rest)) => {
                    over = rest;
                    received.map_err(Failure::Io)?
                }
            };
            let answer = udp_packet::answer(&self.buffer[..length], action, transaction);
            match answer.filter(|_| same(from, self.place)) {
                Some(answer) => return answer.map(|body| Some(body.to_vec())).map_err(Failure::Tracker),
                None => self.strays = self.strays.saturating_add(1),
            }
            if self.strays.is_multiple_of(STRAYS_AT_ONCE) {
                yield_now().await;
            }
        }
    }
}

/// Whether two addresses are one; what a system adds to one of IPv6 that it received from does not count.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

/// Where a tracker is: its first usable address of each family, in the order in which they were found.
async fn places(url: &Url<'_>, host: &dyn Host) -> Result<Vec<SocketAddr>, TrackerError> {
    let found = host.resolve(url.name, url.port).await;
    let found = found.map_err(|error| unreachable(url, &error.to_string()))?;
    if found.is_empty() {
        return Err(unreachable(url, "it has no address"));
    }
    let mut places: Vec<SocketAddr> = Vec::new();
    // Nobody's name leads to everybody's address, but to have us send there many times.
    let usable = |ip: IpAddr| !ip.is_unspecified() && !ip.is_multicast() && ip != Ipv4Addr::BROADCAST;
    for place in found.into_iter().filter(|place| usable(place.ip())) {
        if places.iter().all(|other| other.is_ipv4() != place.is_ipv4()) {
            places.push(place);
        }
    }
    if places.is_empty() {
        return Err(unsupported(format!("{} is the address of no single host", url.name)));
    }
    Ok(places)
}

fn unreachable(url: &Url<'_>, why: &str) -> TrackerError {
    let message = format!("cannot reach {} at UDP port {}: {why}", url.name, url.port);
    TrackerError::new(TrackerErrorKind::Unreachable, message)
}

fn silent(url: &Url<'_>, packets: u32, strays: u64) -> TrackerError {
    let mut message = format!("no answer from {} at UDP port {} to {packets} packets", url.name, url.port);
    if strays > 0 {
        message += &format!(" ({strays} others came, with a wrong sender or transaction)");
    }
    TrackerError::new(TrackerErrorKind::TimedOut, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_refused() {
        let refused = |config: Config| Udp::build(config).err().unwrap();
        let zero = Config { timeout: Duration::secs(0), ..Config::default() };
        assert_eq!(refused(zero), BuildError::new("timeout", "must be from \"1 s\" to \"3600 s\""));
        let long = Config { connection_lifetime: Duration::secs(121), ..Config::default() };
        assert_eq!(
            refused(long),
            BuildError::new("connection-lifetime", "must be from \"1 s\" to \"120 s\"")
        );
        let often = Config { retries: 9, ..Config::default() };
        assert_eq!(refused(often), BuildError::new("retries", "must be 8 at most"));
        assert!(Udp::build(Config::default()).is_ok());
    }
}
