//! Local service discovery (BEP 14): peers of the same network, found without a tracker.
//!
//! Each client tells a multicast group which torrent it has and at which port; whoever has it too connects, at
//! the address that the datagram came from. One who hears a newcomer tells of itself in turn, so that the two
//! find each other even when only one can be connected to. A torrent is told of at most once a minute, and a
//! private one never: the engine asks no source for it (BEP 27).
//!
//! Source: BEP 14.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;

use bt_api::config::Duration;
use bt_api::plugin::{self, BuildError, Plugin};
use bt_api::{
    Announce, AnnounceReply, BoxFuture, Datagrams, Host, InfoHash, Instant, PeerAddress, ScrapeReply,
    TrackerClient, TrackerError, TrackerErrorKind,
};
use futures::FutureExt;
use futures::future::{Either, pending, select, select_all};
use serde::{Deserialize, Serialize};

use super::{lock, unsupported, yield_now};

/// The groups of BEP 14: in an organisation, and at a site of IPv6.
const GROUPS: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(239, 192, 152, 143)), 6771),
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f)), 6771),
];

/// What an announce starts with.
const SEARCH: &str = "BT-SEARCH * HTTP/1.1";

/// The largest datagram that is read whole: announces have 1400 bytes at most (BEP 14).
const MAX_SEARCH: usize = 1500;

/// Once somebody is heard, others are listened to for so long: many may start at a time.
const GATHER: std::time::Duration = std::time::Duration::from_secs(1);

/// The most peers heard at a time. Anybody on the network can name as many ports as there are.
const MAX_PEERS: usize = 100;

/// After so many datagrams that are of no use, others may run.
const STRAYS_AT_ONCE: u32 = 64;

/// Finds peers on the local network.
pub struct Lsd {
    config: Config,
    /// What tells our own announces from those of others.
    cookie: String,
    /// When each torrent was told of last.
    told: Mutex<BTreeMap<InfoHash, Instant>>,
}

/// The `[tracker.lsd]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How often a torrent is told of (BEP 14).
    pub interval: Duration,
    /// How often at most, when newcomers are answered (BEP 14).
    pub min_interval: Duration,
    /// The multicast groups to tell and to hear; one of IPv6 may name its interface by number: `[ff15::efc0:988f%2]:6771`.
    pub groups: Vec<SocketAddr>,
    /// The address of the interface to use with a group of IPv4; `0.0.0.0`: the one that the system chooses.
    pub interface: Ipv4Addr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::secs(300),
            min_interval: Duration::secs(60),
            groups: GROUPS.to_vec(),
            interface: Ipv4Addr::UNSPECIFIED,
        }
    }
}

impl Plugin for Lsd {
    type Kind = plugin::Tracker;
    type Config = Config;
    const NAME: &'static str = "lsd";
    const SUMMARY: &'static str = "peers on the local network, by multicast";

    fn build(config: Config) -> Result<Box<dyn TrackerClient>, BuildError> {
        if config.interval.get().is_zero() {
            return Err(BuildError::new("interval", "must be longer than \"0 s\""));
        }
        let usable = |group: &SocketAddr| group.ip().is_multicast() && group.port() != 0;
        if config.groups.is_empty() || !config.groups.iter().all(usable) {
            let message = "must list multicast addresses with a port, such as \"239.192.152.143:6771\"";
            return Err(BuildError::new("groups", message));
        }
        let cookie = format!("{:016x}", RandomState::new().hash_one(Self::NAME));
        Ok(Box::new(Self { config, cookie, told: Mutex::default() }))
    }
}

bt_api::register!(Lsd);

impl TrackerClient for Lsd {
    fn schemes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Tells the network of us. Who hears it connects, or tells of itself: nobody is known here yet.
    fn announce<'a>(
        &'a self,
        _url: Option<&'a str>,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        Box::pin(async move {
            let sockets = self.join(host).await?;
            self.tell(&sockets, announce, host).await?;
            Ok(AnnounceReply { interval: Some(self.config.interval.get()), ..AnnounceReply::default() })
        })
    }

    fn scrape<'a>(
        &'a self,
        _url: &'a str,
        _torrents: &'a [InfoHash],
        _host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        Box::pin(std::future::ready(Err(unsupported("local discovery has no counts"))))
    }

    fn unasked<'a>(
        &'a self,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        Box::pin(async move {
            let sockets = self.join(host).await?;
            let (mut peers, mut over) = (Vec::new(), pending().boxed());
            loop {
                let hearing = sockets.iter().map(|member| self.hear(member, announce.info_hash).boxed());
                let heard = match select(over, select_all(hearing)).await {
                    Either::Left(_) => return Ok(peers),
                    Either::Right(((heard, ..), rest)) => {
                        over = rest;
                        heard.map_err(|error| failed("hear from", &error))?
                    }
                };
                if peers.is_empty() {
                    over = host.sleep_until(host.now() + GATHER);
                    // That we cannot be heard is no reason not to use what we hear.
                    let _ = self.tell(&sockets, announce, host).await;
                }
                if peers.len() < MAX_PEERS && !peers.contains(&heard) {
                    peers.push(heard);
                }
            }
        })
    }
}

/// A socket in a group.
struct Member {
    group: SocketAddr,
    socket: Box<dyn Datagrams>,
}

impl Lsd {
    /// A socket in each group that can be joined: few networks have both families.
    async fn join(&self, host: &dyn Host) -> Result<Vec<Member>, TrackerError> {
        let (mut members, mut first_error) = (Vec::new(), None);
        for &group in &self.config.groups {
            match host.bind_multicast(group, self.config.interface).await {
                Ok(socket) => members.push(Member { group, socket }),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            Some(error) if members.is_empty() => Err(failed("join", &error)),
            _ => Ok(members),
        }
    }

    /// Tells all groups of us, unless they were told a moment ago.
    async fn tell(
        &self,
        members: &[Member],
        announce: &Announce,
        host: &dyn Host,
    ) -> Result<(), TrackerError> {
        let (torrent, now, pause) = (announce.info_hash, host.now(), self.config.min_interval.get());
        {
            let mut told = lock(&self.told);
            told.retain(|_, &mut last| now.since(last) < pause);
            if told.contains_key(&torrent) {
                return Ok(());
            }
            told.insert(torrent, now);
        }
        let (mut sent, mut first_error) = (false, None);
        for Member { group, socket } in members {
            let packet = search(*group, announce.port, torrent, &self.cookie);
            match socket.send_to(packet.as_bytes(), *group).await {
                Ok(()) => sent = true,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            Some(error) if !sent => {
                lock(&self.told).remove(&torrent);
                Err(failed("tell", &error))
            }
            _ => Ok(()),
        }
    }

    /// Waits until another client tells of `torrent`.
    async fn hear(&self, member: &Member, torrent: InfoHash) -> io::Result<PeerAddress> {
        let (mut packet, mut strays) = ([0; MAX_SEARCH], 0_u32);
        loop {
            let (length, mut address) = member.socket.receive_from(&mut packet).await?;
            let heard = Search::parse(&packet[..length]);
            let others = heard.filter(|heard| heard.cookie != Some(&self.cookie) && heard.names(torrent));
            if let Some(search) = others {
                address.set_port(search.port);
                return Ok(PeerAddress { address, id: None });
            }
            strays = strays.wrapping_add(1);
            if strays.is_multiple_of(STRAYS_AT_ONCE) {
                yield_now().await;
            }
        }
    }
}

fn failed(action: &str, error: &io::Error) -> TrackerError {
    let message = format!("cannot {action} the local network: {error}");
    TrackerError::new(TrackerErrorKind::Unreachable, message)
}

/// An announce, as it is sent.
fn search(group: SocketAddr, port: u16, torrent: InfoHash, cookie: &str) -> String {
    // Without the number of our interface, which is nobody else's.
    let host = SocketAddr::new(group.ip(), group.port());
    format!("{SEARCH}\r\nHost: {host}\r\nPort: {port}\r\nInfohash: {torrent}\r\ncookie: {cookie}\r\n\r\n\r\n")
}

/// An announce, as it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search<'a> {
    /// The port at which the client listens; not 0.
    pub port: u16,
    /// What tells the client its own announces, if it said anything.
    pub cookie: Option<&'a str>,
    headers: &'a str,
}

impl<'a> Search<'a> {
    /// Reads one. Headers may come in any order and case, and unknown ones are passed over, as in HTTP.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(packet).ok()?;
        let headers = text.strip_prefix(SEARCH)?.strip_prefix("\r\n")?;
        let port = values(headers, "port").next()?.parse().ok().filter(|&port| port != 0)?;
        Some(Self { port, cookie: values(headers, "cookie").next(), headers })
    }

    /// Whether it tells of `torrent`. One announce may tell of several.
    pub fn names(&self, torrent: InfoHash) -> bool {
        let hash = torrent.to_string();
        values(self.headers, "infohash").any(|named| named.eq_ignore_ascii_case(&hash))
    }
}

/// The values of the headers of this name, up to the empty line.
fn values<'a>(headers: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.split("\r\n").take_while(|line| !line.is_empty());
    let pairs = lines.filter_map(|line| line.split_once(':'));
    pairs.filter(move |(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TORRENT: InfoHash = InfoHash([0xab; 20]);

    #[test]
    fn an_announce_is_as_bep_14_has_it() {
        let hash = "ab".repeat(20);
        assert_eq!(
            search(GROUPS[0], 6881, TORRENT, "x"),
            format!(
                "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: {hash}\r\ncookie: x\r\n\r\n\r\n"
            )
        );
        let scoped: SocketAddr = "[ff15::efc0:988f%3]:6771".parse().unwrap();
        assert!(search(scoped, 1, TORRENT, "x").contains("\r\nHost: [ff15::efc0:988f]:6771\r\n"));
    }

    #[test]
    fn announces_are_read_as_http_is() {
        let other = InfoHash([1; 20]);
        let upper = TORRENT.to_string().to_uppercase();
        let text = format!(
            "BT-SEARCH * HTTP/1.1\r\ninfohash:{other}\r\nX-New: 1\r\nPORT:  51413 \r\nInfohash: {upper}\r\n\r\ncookie: no\r\n"
        );
        let heard = Search::parse(text.as_bytes()).unwrap();
        assert_eq!((heard.port, heard.cookie), (51413, None), "headers end at the empty line");
        assert!(heard.names(TORRENT) && heard.names(other) && !heard.names(InfoHash([2; 20])));
        let own = search(GROUPS[1], 6881, TORRENT, "our cookie");
        assert_eq!(Search::parse(own.as_bytes()).unwrap().cookie, Some("our cookie"));
    }

    #[test]
    fn what_is_no_announce_is_passed_over() {
        let with = |port: &str| format!("BT-SEARCH * HTTP/1.1\r\nPort: {port}\r\n\r\n");
        for wrong in [
            "",
            "BT-SEARCH * HTTP/1.1",
            "M-SEARCH * HTTP/1.1\r\nPort: 1\r\n\r\n",
            &with("0"),
            &with("65536"),
            &with("-1"),
        ] {
            assert_eq!(Search::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Search::parse(b"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n\xff"), None);
        assert!(Search::parse(with("1").as_bytes()).is_some());
    }

    #[test]
    fn wrong_values_are_refused() {
        let refused = |config: Config| format!("{:?}", Lsd::build(config).err().unwrap());
        assert!(
            refused(Config { interval: Duration::secs(0), ..Config::default() }).contains("\"interval\"")
        );
        for groups in [vec![], vec!["127.0.0.1:6771".parse().unwrap()], vec!["239.1.1.1:0".parse().unwrap()]]
        {
            assert!(refused(Config { groups, ..Config::default() }).contains("\"groups\""));
        }
        assert!(Lsd::build(Config::default()).is_ok());
    }

    proptest! {
        #[test]
        fn no_datagram_panics(rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let packet = [SEARCH.as_bytes(), b"\r\nPort: 1\r\n", &rest].concat();
            if let Some(heard) = Search::parse(&packet) {
                assert_ne!(heard.port, 0);
                let _ = heard.names(TORRENT);
            }
        }
    }
}
