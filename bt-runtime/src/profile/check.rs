//! What types cannot say of the engine's settings: ranges, and values that must fit each other.

use std::fmt::Display;
use std::net::IpAddr;

use bt_api::config::{Duration, Limit, Rate, Size};
use bt_engine::Settings;
use bt_engine::settings::BacklogMode;

/// A shorter interval would keep the engine busy with nothing else.
const SHORTEST_INTERVAL: Duration = Duration::millis(1);
/// What other clients serve at most in one block (UP-4).
const LARGEST_BLOCK: Size = Size::kib(128);
/// Longer blocks than any client asks for would only bind memory.
const LARGEST_REQUEST: Size = Size::mib(1);
/// What one turn of the `unit` limiter ever was (CN-18).
const LARGEST_UNIT: Size = Size(17_000);
/// A packet; less at a time would cost more than the bytes.
const LEAST_READ: Size = Size::kib(1);
/// The longest buffer that is used again and again.
const LARGEST_READ: Size = Size::kib(256);
/// A few pieces in the making and a few uploads need this much.
const LEAST_MEMORY: Size = Size::mib(8);
/// The bitfield of a torrent of 2^21 pieces, the most that are taken, with its header.
const LEAST_MESSAGE: Size = Size(5 + (1 << 18));
/// Messages are short but for blocks and bitfields; this bounds what a peer can make us hold.
const LARGEST_MESSAGE: Size = Size::mib(16);

/// A value that cannot be: its table, its key (with others that it must fit), and what it must be.
pub(super) struct Problem {
    pub(super) table: &'static str,
    /// The first of these that the profile shows is at fault.
    pub(super) keys: Vec<&'static str>,
    pub(super) message: String,
}

/// The first problem of the settings, if any.
pub(super) fn first_problem(settings: &Settings) -> Option<Problem> {
    let Settings { announce, rate, requests, upload, peers, net, metainfo: _, display } = settings;
    let intervals = [
        ("announce", "check-interval", announce.check_interval),
        ("announce", "default-interval", announce.default_interval),
        ("announce", "timeout", announce.timeout),
        ("announce", "max-retry-interval", announce.max_retry_interval),
        ("rate", "period", rate.period),
        ("rate", "time-left-head-start", rate.time_left_head_start),
        ("rate", "time-left-idle", rate.time_left_idle),
        ("rate", "time-left-window", rate.time_left_window),
        ("requests", "backlog-time", requests.backlog_time),
        ("requests", "snub-time", requests.snub_time),
        ("peers", "handshake-timeout", peers.handshake_timeout),
        ("peers", "keepalive-interval", peers.keepalive_interval),
        ("peers", "idle-timeout", peers.idle_timeout),
        ("peers", "idle-check-interval", peers.idle_check_interval),
        ("net", "store-patience", net.store_patience),
        ("display", "interval", display.interval),
    ];
    let counts = [
        ("announce", "reachable-divisor", announce.reachable_divisor),
        ("requests", "backlog", requests.backlog),
        ("upload", "max-queue", upload.max_queue),
        ("upload", "in-flight", upload.in_flight),
        ("peers", "max-connections", peers.max_connections),
        ("net", "listen-backlog", net.listen_backlog),
    ];
    let sizes = [
        ("requests", "block-size", requests.block_size, Size(1), LARGEST_BLOCK),
        ("upload", "max-request-length", upload.max_request_length, Size(1), LARGEST_REQUEST),
        ("upload", "unit-size", upload.unit_size, Size(1), LARGEST_UNIT),
        ("net", "read-size", net.read_size, LEAST_READ, LARGEST_READ),
        ("net", "max-message-length", net.max_message_length, LEAST_MESSAGE, LARGEST_MESSAGE),
    ];
    let addresses = [("announce", "ip", &announce.ip), ("net", "bind", &net.bind)];
    let limits = [("net", "upload-limit", net.upload_limit), ("net", "download-limit", net.download_limit)];

    let mut problems = Vec::new();
    let mut refuse = |table, key, found: &dyn Display, allowed: &str| {
        let message = format!("`{key}` must be {allowed}, found {found}");
        problems.push(Problem { table, keys: vec![key], message });
    };
    for (table, key, value) in intervals {
        if value < SHORTEST_INTERVAL {
            refuse(table, key, &quoted(value), &format!("at least \"{SHORTEST_INTERVAL}\""));
        }
    }
    for (table, key, value) in counts {
        if value == 0 {
            refuse(table, key, &value, "at least 1");
        }
    }
    for (table, key, value, least, most) in sizes {
        if value < least || value > most {
            refuse(table, key, &quoted(value), &format!("\"{least}\" to \"{most}\""));
        }
    }
    for (table, key, value) in addresses {
        if !value.is_empty() && value.parse::<IpAddr>().is_err() {
            refuse(
                table,
                key,
                &quoted(value),
                "an IP address such as \"192.0.2.1\" or \"2001:db8::1\", or empty",
            );
        }
    }
    for (table, key, limit) in limits {
        if limit == Limit::At(Rate(0)) {
            refuse(table, key, &quoted(limit), "more than 0, or \"unlimited\"");
        }
    }
    let factor = announce.last_reset_factor;
    if !factor.is_finite() || factor <= 0.0 {
        refuse("announce", "last-reset-factor", &factor, "a number above 0");
    }
    if !(0.0..=1.0).contains(&requests.backlog_slope) {
        refuse("requests", "backlog-slope", &requests.backlog_slope, "0.0 to 1.0");
    }
    if net.memory < LEAST_MEMORY {
        refuse("net", "memory", &quoted(net.memory), &format!("at least \"{LEAST_MEMORY}\""));
    }
    if net.min_port > net.max_port {
        let (least, most) = (net.min_port, net.max_port);
        let message = format!("`min-port` must not be above `max-port`, found {least} and {most}");
        problems.push(Problem { table: "net", keys: vec!["min-port", "max-port"], message });
    }
    if let Limit::At(most) = requests.max_backlog
        && requests.backlog_mode == BacklogMode::Rate
        && most < requests.backlog
    {
        let least = requests.backlog;
        let message = format!("`max-backlog` must not be below `backlog`, found {most} and {least}");
        problems.push(Problem { table: "requests", keys: vec!["max-backlog", "backlog"], message });
    }
    problems.into_iter().next()
}

fn quoted(value: impl Display) -> String {
    format!("{:?}", value.to_string())
}
