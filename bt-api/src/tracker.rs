//! Finding peers: the trait of the fourth kind of plug-in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::BoxFuture;

use crate::host::Host;
use crate::torrent::{InfoHash, PeerId};

/// Finds peers. When to ask, and with which event, is the engine's business.
///
/// One value serves every torrent of a process. A profile lists several; each URL goes to the first whose
/// [`schemes`](Self::schemes) hold the URL's scheme, and a client without schemes is a *source*, asked
/// without a URL at the interval that it answers.
///
/// # Cancellation
/// A dropped future leaves no task and no socket behind.
pub trait TrackerClient: Send + Sync {
    /// The URL schemes that it serves, in lower case: `["http", "https"]`. Empty: a source of peers that
    /// has no URL (a file of peers, local discovery, a DHT).
    fn schemes(&self) -> &'static [&'static str];

    /// Tells the tracker of us and asks for peers. `url` is `None` for a source, and only then. The caller
    /// bounds the time that it waits.
    ///
    /// # Errors
    /// One [`TrackerError`], whose message is shown to the user.
    fn announce<'a>(
        &'a self,
        url: Option<&'a str>,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>>;

    /// Asks for the counts of `torrents` (BEP 48); one answer for each, in order.
    ///
    /// # Errors
    /// [`Unsupported`](TrackerErrorKind::Unsupported) when there is no such thing for this URL.
    fn scrape<'a>(
        &'a self,
        url: &'a str,
        torrents: &'a [InfoHash],
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>>;

    /// Waits until the client hears of peers of this torrent without having been asked, as local discovery
    /// and a DHT do. One that never does answers [`futures::future::pending`].
    fn unasked<'a>(
        &'a self,
        announce: &'a Announce,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>>;
}

/// Why an announce is made, other than because it is time (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// The first of a run.
    Started,
    /// The last piece came in this run.
    Completed,
    /// The run ends.
    Stopped,
}

impl AnnounceEvent {
    /// The word that a tracker is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
        }
    }
}

/// What a tracker is told (BEP 3, BEP 7, BEP 23).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who we are.
    pub peer_id: PeerId,
    /// The port at which we listen.
    pub port: u16,
    /// Our address, when the profile gives one to report.
    pub ip: Option<IpAddr>,
    /// A random number that proves to the tracker that we are the same client after a change of address;
    /// fixed for the run (RR-1).
    pub key: u32,
    /// Bytes of payload sent in this run.
    pub uploaded: u64,
    /// Bytes of payload received in this run.
    pub downloaded: u64,
    /// Bytes still missing.
    pub left: u64,
    /// Why, if not only because it is time.
    pub event: Option<AnnounceEvent>,
    /// How many peers we want: `Some(0)` when we have enough, `None` for as many as the tracker likes (RR-4).
    pub peers_wanted: Option<u32>,
    /// Whether peers are asked for in compact form (BEP 23).
    pub compact: bool,
    /// What this tracker told us to say in later announces.
    pub tracker_id: Option<Vec<u8>>,
    /// A number that lets old trackers send only news: as the last reply had it (RR-3).
    pub last: Option<u64>,
}

/// A peer that a tracker or source named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its id, where the tracker gave it.
    pub id: Option<PeerId>,
}

/// What a tracker answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceReply {
    /// When it wants the next announce.
    pub interval: Option<Duration>,
    /// How long it wants announces to be apart at least.
    pub min_interval: Option<Duration>,
    /// Peers, in the order received.
    pub peers: Vec<PeerAddress>,
    /// How many peers it knows that have everything.
    pub complete: Option<u64>,
    /// How many it knows that do not.
    pub incomplete: Option<u64>,
    /// What it wants to be told in later announces.
    pub tracker_id: Option<Vec<u8>>,
    /// See [`Announce::last`].
    pub last: Option<u64>,
    /// How many peers it knows (`num peers`, an old extension; RR-19).
    pub known_peers: Option<u64>,
    /// How many of them are done (`done peers`).
    pub done_peers: Option<u64>,
    /// A message for the user; the rest of the reply holds.
    pub warning: Option<String>,
}

/// The counts of one torrent (BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeReply {
    /// Peers that have everything.
    pub complete: u64,
    /// Peers that do not.
    pub incomplete: u64,
    /// How often the torrent was completed.
    pub downloaded: u64,
}

/// What kind of trouble there is with a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerErrorKind {
    /// No answer could be had.
    Unreachable,
    /// It took too long.
    TimedOut,
    /// The tracker refused, with its own words (`failure reason`).
    Refused,
    /// The answer breaks the protocol or a limit.
    Malformed,
    /// The client cannot do this with this URL.
    Unsupported,
}

/// Why an announce or a scrape failed: a kind, and one line for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TrackerError {
    /// What kind of trouble.
    pub kind: TrackerErrorKind,
    /// One line; of a refusal, the tracker's own words.
    pub message: String,
}

impl TrackerError {
    /// An error of `kind` with `message`.
    pub fn new(kind: TrackerErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
