//! The engine's own tables of a profile, typed; every default is the original client's, release 3.4.2.

use bt_api::config::{Duration, Limit, Rate, Size};
use serde::{Deserialize, Serialize};

use crate::metainfo::Rules;

/// The tables of a profile that configure the engine and its drivers, not a plug-in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// `[announce]`
    pub announce: AnnounceSettings,
    /// `[rate]`
    pub rate: RateSettings,
    /// `[requests]`
    pub requests: RequestSettings,
    /// `[upload]`
    pub upload: UploadSettings,
    /// `[peers]`
    pub peers: PeerSettings,
    /// `[net]`
    pub net: NetSettings,
    /// `[metainfo]`
    pub metainfo: MetainfoSettings,
    /// `[display]`
    pub display: DisplaySettings,
}

/// `[announce]`: when to announce, how many peers to want.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AnnounceSettings {
    /// How often to check whether more peers are wanted (RR-9); a tracker's `min interval` replaces it.
    pub check_interval: Duration,
    /// How often to announce in any case, until the tracker says otherwise (RR-10).
    pub default_interval: Duration,
    /// Fewer connections than this are too few (RR-10).
    pub min_peers: u32,
    /// Once a peer reached us from outside, a fraction of `min-peers` is enough: 1 / this (RR-10).
    pub reachable_divisor: u32,
    /// With so many connections no more peers are asked for (RR-4).
    pub max_peers: u32,
    /// How long to wait for a tracker (RR-13).
    pub timeout: Duration,
    /// When to try again after a failure.
    pub backoff: Backoff,
    /// The longest pause that the `v4` back-off grows to.
    pub max_retry_interval: Duration,
    /// A time-out is worth a word only when both rates are under this (RR-14).
    pub quiet_rate: Rate,
    /// Whether to ask for compact replies (BEP 23).
    pub compact: bool,
    /// The tracker's `last` is forgotten when it knows more than so many times the peers that it named and we have
    /// (RR-19).
    pub last_reset_factor: f64,
    /// Whether to use all of `announce-list` (BEP 12), or the first tracker alone.
    pub multitracker: bool,
    /// When the other trackers are asked if the one that answered last fails.
    pub failover: Failover,
    /// In which order the peers of a reply are dialled.
    pub peer_order: PeerOrder,
    /// The address to report to trackers; empty: none. A name is refused: 3.4.2 looked one up at each announce (RR-6).
    pub ip: String,
}

/// When to announce again after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backoff {
    /// At the next check that wants peers, as 3.4.2 (RR-15).
    None,
    /// After a minute, until the first answer of the run; then as `none`. As BitTornado (RR-22).
    #[serde(rename = "fixed-60")]
    Fixed60,
    /// After 50 s, then half as much again each time up to `max-retry-interval`, and no sooner whatever the check
    /// wants, as 4.0 (RR-21). 4.0 looks each minute whether the pause is over; here it ends to the moment. Nor is a
    /// torrent given up that a tracker refuses while nobody is connected.
    V4,
}

/// When the other trackers are asked if the one that answered last fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failover {
    /// At once (BEP 12).
    AtOnce,
    /// At the next announce; nothing is said of this one. As BitTornado (RR-23).
    NextAnnounce,
}

/// In which order the peers of a reply are dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerOrder {
    /// As the tracker names them (RR-20).
    Received,
    /// By chance, as BitTornado (RR-22): of a swarm that all ask the same tracker, nobody is dialled by all.
    Random,
}

impl Default for AnnounceSettings {
    fn default() -> Self {
        Self {
            check_interval: Duration::secs(300),
            default_interval: Duration::secs(1800),
            min_peers: 20,
            reachable_divisor: 3,
            max_peers: 35,
            timeout: Duration::secs(60),
            backoff: Backoff::None,
            max_retry_interval: Duration::secs(1800),
            quiet_rate: Rate(100),
            compact: true,
            last_reset_factor: 1.2,
            multitracker: false,
            failover: Failover::AtOnce,
            peer_order: PeerOrder::Received,
            ip: String::new(),
        }
    }
}

/// `[rate]`: the estimator of the rates that policies see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RateSettings {
    /// Which estimator.
    #[serde(rename = "use")]
    pub estimator: Estimator,
    /// How far back the window reaches (CR-2).
    pub period: Duration,
    /// What is added to a download's age at its start, against early extremes (CR-1).
    pub download_fudge: Duration,
    /// The same for uploads: the time that the kernel's send buffer takes to fill (CR-1).
    pub upload_fudge: Duration,
    /// For the time left, data is taken to have begun so long before its first byte (RM-2).
    pub time_left_head_start: Duration,
    /// After so long without data the time left is worked out anew when it is asked for (RM-5).
    pub time_left_idle: Duration,
    /// The least window of the time left, once it was longer than this (RM-3).
    pub time_left_window: Duration,
}

/// An estimator of rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// The mean over at most the last `period`, as 3.4.2 (CR-1 to CR-5).
    Window,
    /// Bytes of the choker's last round over its length, as libtorrent.
    Round,
}

impl Estimator {
    /// Its name in profiles and views.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Round => "round",
        }
    }
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            estimator: Estimator::Window,
            period: Duration::secs(20),
            download_fudge: Duration::secs(1),
            upload_fudge: Duration::secs(5),
            time_left_head_start: Duration::secs(2),
            time_left_idle: Duration::secs(15),
            time_left_window: Duration::secs(20),
        }
    }
}

/// `[requests]`: block size, backlog, snubbing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RequestSettings {
    /// What one request asks for.
    pub block_size: Size,
    /// Requests under way with one peer (DL-2), or the least of them when `backlog-mode` is `rate`.
    pub backlog: u32,
    /// How the backlog is found.
    pub backlog_mode: BacklogMode,
    /// With `rate`: how much of the peer's sending is kept under way (DL-20 has 4 s).
    pub backlog_time: Duration,
    /// With `rate`: a backlog of more than so many grows more slowly (DL-20).
    pub backlog_knee: Limit<u32>,
    /// With `rate`: a backlog over `backlog-knee` is multiplied by this, and is not less than it (DL-20).
    pub backlog_slope: f64,
    /// With `rate`: the most requests under way with one peer.
    pub max_backlog: Limit<u32>,
    /// Whether endgame keeps to the backlog too; 3.0 to 3.2 asked every peer for every missing block (DL-14).
    pub endgame_respects_backlog: bool,
    /// A peer that sent no block for so long is snubbing us (CH-13).
    pub snub_time: Duration,
    /// Whether requests of a snubbing peer are given to others (CH-14).
    pub snub_releases_requests: bool,
    /// Whether connections to other seeds are closed once we are a seed (DL-11).
    pub drop_seeds_when_complete: bool,
    /// Whether blocks of pieces that were begun are kept from run to run; 3.4.2 threw them away (SW-8, SW-30).
    pub keep_partials: bool,
}

/// How many requests are kept under way with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BacklogMode {
    /// Always `backlog`.
    Fixed,
    /// `backlog` and what the peer sends in `backlog-time`, fewer beyond `backlog-knee`, at most `max-backlog`
    /// (DL-20).
    Rate,
}

impl Default for RequestSettings {
    fn default() -> Self {
        Self {
            block_size: Size::kib(16),
            backlog: 5,
            backlog_mode: BacklogMode::Fixed,
            backlog_time: Duration::secs(4),
            backlog_knee: Limit::At(50),
            backlog_slope: 0.075,
            max_backlog: Limit::At(250),
            endgame_respects_backlog: true,
            snub_time: Duration::secs(30),
            snub_releases_requests: false,
            drop_seeds_when_complete: true,
            keep_partials: false,
        }
    }
}

/// `[upload]`: queue, longest request served, limiter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UploadSettings {
    /// Requests of one peer that wait here; further ones are dropped. UP-9 has no limit and advises 250, but
    /// libtorrent keeps 500 under way and Transmission ten seconds' worth, and each waits long for one that is
    /// dropped. This many take some 120 KiB.
    pub max_queue: u32,
    /// A request for more closes the connection (UP-4).
    pub max_request_length: Size,
    /// Blocks on their way into one peer's socket; the rest stay cancellable (UP-6 has 1).
    pub in_flight: u32,
    /// How the limit on upload is kept.
    pub limiter: Limiter,
    /// With `unit`: how much a peer may send before it is the next one's turn (CN-18).
    pub unit_size: Size,
    /// What a request of an uninterested peer does (UP-4).
    pub uninterested_request: UninterestedRequest,
    /// What a request of a peer that we do not serve does.
    pub choked_request: ChokedRequest,
}

/// How the limit on upload is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limiter {
    /// When the estimated rate is over the limit, nothing is sent until it fell; then the slowest peer is
    /// first (CN-13 to CN-16).
    Suspend,
    /// Credit grows at the limit, each block spends some; peers take turns by their shares.
    Bucket,
    /// Peers pay for their blocks in units of `unit-size`, in turns; a block goes out when it is paid for (CN-18).
    Unit,
}

/// What a request of a peer that said that it wants nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UninterestedRequest {
    /// It closes the connection (UP-4).
    Close,
    /// It is dropped.
    Ignore,
}

/// What a request of a peer that we do not serve does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChokedRequest {
    /// It is dropped in silence (UP-4).
    Ignore,
    /// It is rejected, where the peer knows the fast extension (BEP 6), which our handshake offers then.
    Reject,
}

impl Default for UploadSettings {
    fn default() -> Self {
        Self {
            max_queue: 10_000,
            max_request_length: Size::kib(128),
            in_flight: 1,
            limiter: Limiter::Suspend,
            unit_size: Size(1380),
            uninterested_request: UninterestedRequest::Close,
            choked_request: ChokedRequest::Ignore,
        }
    }
}

/// `[peers]`: how many to dial and let in, time-outs, bad data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PeerSettings {
    /// With so many connections nobody else is dialled (EN-1).
    pub max_initiate: u32,
    /// With so many connections nobody else is let in (RS-10, EN-3).
    pub max_connections: u32,
    /// Addresses kept to be dialled later (EN-1).
    pub max_spares: u32,
    /// Whether one IP address may have one connection only (EN-4).
    pub one_per_address: bool,
    /// What becomes of a peer that is found to have sent bad data.
    pub bad_data: BadData,
    /// What a bitfield that is not a peer's first message does.
    pub late_bitfield: LateBitfield,
    /// Whether our peer id is sent only after the other's was accepted (EN-5).
    pub delay_peer_id: bool,
    /// How long connecting and the handshake may take (3.4.2 had no limit, EN-10; BitTornado had 30 s, RS-21).
    pub handshake_timeout: Duration,
    /// How often a keep-alive is sent (EN-15).
    pub keepalive_interval: Duration,
    /// A peer from which nothing was read for so long is closed (RS-20).
    pub idle_timeout: Duration,
    /// How often that is looked at (RS-20).
    pub idle_check_interval: Duration,
}

/// What becomes of a peer that is found to have sent bad data. It is named in the events in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadData {
    /// Nothing (DL-19).
    Keep,
    /// As 3.9.1: it is closed; with three bad pieces or more, and more than one for thirty good ones, its IP address
    /// is banned (DL-22).
    V39,
    /// As BitTornado: the same, but the first bad piece is forgiven, nobody is closed while there are two peers or
    /// fewer, and nothing is done once more than ten IP addresses sent bad data (DL-22).
    Bittornado,
    /// It is closed, and its IP address is neither dialled nor let in again in this run (after DL-22).
    Ban,
}

/// What a bitfield that is not a peer's first message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LateBitfield {
    /// It stands for as many `have` messages: aria2 sends one in place of many (a departure from 3.4.2).
    Take,
    /// It closes the connection (CN-5).
    Close,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            max_initiate: 35,
            max_connections: 55,
            max_spares: 35,
            one_per_address: false,
            bad_data: BadData::Keep,
            late_bitfield: LateBitfield::Take,
            delay_peer_id: true,
            handshake_timeout: Duration::secs(30),
            keepalive_interval: Duration::secs(120),
            idle_timeout: Duration::secs(300),
            idle_check_interval: Duration::secs(60),
        }
    }
}

/// `[net]`: where to listen, limits of the whole process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetSettings {
    /// The address to listen at and to dial from; empty: any, IPv6 and IPv4.
    pub bind: String,
    /// The first port to try; 0: any free port.
    pub min_port: u16,
    /// The last port to try (DN-2).
    pub max_port: u16,
    /// In which order ports are tried.
    pub port_choice: PortChoice,
    /// Connections that the system keeps until they are accepted (RS-8).
    pub listen_backlog: u32,
    /// How packets are marked for routers, the IPv4 type of service (RS-8).
    pub type_of_service: u8,
    /// The most that is read from a socket at a time (RS-11).
    pub read_size: Size,
    /// The limit on upload of all torrents together.
    pub upload_limit: Limit<Rate>,
    /// The limit on download of all torrents together (after DL-21).
    pub download_limit: Limit<Rate>,
    /// The most memory that buffers take: received blocks that are not yet written, and what is read for uploads.
    pub memory: Size,
    /// After so long without an answer a store is said to hang, and at the end it is given up.
    pub store_patience: Duration,
    /// A longer message closes its connection (EN-14).
    pub max_message_length: Size,
}

/// In which order ports are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortChoice {
    /// Upward (DN-2).
    Ascending,
    /// In a random order, as BitTornado does.
    Random,
}

impl Default for NetSettings {
    fn default() -> Self {
        Self {
            bind: String::new(),
            min_port: 6881,
            max_port: 6999,
            port_choice: PortChoice::Ascending,
            listen_backlog: 5,
            type_of_service: 0x20,
            read_size: Size(100_000),
            upload_limit: Limit::Unlimited,
            download_limit: Limit::Unlimited,
            memory: Size::mib(32),
            store_patience: Duration::secs(30),
            max_message_length: Size::mib(8),
        }
    }
}

/// `[metainfo]`: which torrents are taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetainfoSettings {
    /// The rules by which a torrent is refused.
    pub rules: Rules,
}

/// `[display]`: what the user sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DisplaySettings {
    /// How often progress is drawn, and how often rates are written to the event log.
    pub interval: Duration,
    /// Whether each failed piece is reported (DN-7).
    pub report_hash_failures: bool,
}

impl Default for DisplaySettings {
    fn default() -> Self {
        Self { interval: Duration::millis(500), report_hash_failures: false }
    }
}
