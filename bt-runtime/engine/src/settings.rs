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
    /// The longest pause that `backoff` grows to.
    pub max_retry_interval: Duration,
    /// A time-out is worth a word only when both rates are under this (RR-14).
    pub quiet_rate: Rate,
    /// Whether to ask for compact replies (BEP 23).
    pub compact: bool,
    /// Whether to use all of `announce-list` (BEP 12), or the first tracker alone.
    pub multitracker: bool,
    /// The address to report to trackers; empty: none.
    pub ip: String,
}

/// When to announce again after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backoff {
    /// At the next check that wants peers, as 3.4.2 (RR-15).
    None,
    /// After 50 s, then half as much again each time, as 4.0 (RR-21).
    V4,
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
            multitracker: false,
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
    /// With `rate`: the most requests under way with one peer.
    pub max_backlog: u32,
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
    /// `backlog` and what the peer sends in `backlog-time`, at most `max-backlog` (after DL-20).
    Rate,
}

impl Default for RequestSettings {
    fn default() -> Self {
        Self {
            block_size: Size::kib(16),
            backlog: 5,
            backlog_mode: BacklogMode::Fixed,
            backlog_time: Duration::secs(4),
            max_backlog: 250,
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
    /// What a request of an uninterested peer does (UP-4).
    pub uninterested_request: UninterestedRequest,
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

impl Default for UploadSettings {
    fn default() -> Self {
        Self {
            max_queue: 10_000,
            max_request_length: Size::kib(128),
            in_flight: 1,
            limiter: Limiter::Suspend,
            uninterested_request: UninterestedRequest::Close,
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
    /// The limit on upload of all torrents together.
    pub upload_limit: Limit<Rate>,
    /// The limit on download of all torrents together (after DL-21).
    pub download_limit: Limit<Rate>,
    /// The most memory that buffers take: received blocks that are not yet written, and what is read for uploads.
    pub memory: Size,
    /// A longer message closes its connection (EN-14).
    pub max_message_length: Size,
}

impl Default for NetSettings {
    fn default() -> Self {
        Self {
            bind: String::new(),
            min_port: 6881,
            max_port: 6999,
            upload_limit: Limit::Unlimited,
            download_limit: Limit::Unlimited,
            memory: Size::mib(32),
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
