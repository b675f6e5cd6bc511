//! The `[tracker]` table: how peers announce themselves, and when nobody answers.

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use bt_api::config;
use bt_runtime::TextError;
use bt_runtime::text::Source;
use toml::Spanned;

use super::{Group, Tracker};
use crate::fields::{Fields, Value, read};

/// The most peers in a reply where the scenario does not say: what most clients ask for.
const REPLY: u32 = 50;

/// The most outages.
const MAX_OUTAGES: usize = 10_000;

/// How peers announce themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announces {
    /// Straight to the tracker: the tracker clients of profiles take no part.
    Directly,
    /// Through the tracker clients of their profiles, to this URL.
    To(TrackerUrl),
    /// There is no tracker: of their clients those are asked that have no URL.
    ToSources,
}

/// Where the simulated tracker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerUrl {
    /// What it speaks.
    pub scheme: TrackerScheme,
    /// Its name, or its IPv4 address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path of announces; `/` if the URL has none.
    pub path: String,
    /// The URL as it was given.
    text: String,
}

/// What the simulated tracker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerScheme {
    /// HTTP without TLS (BEP 3).
    Http,
    /// UDP (BEP 15).
    Udp,
}

impl TrackerScheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The tracker, and the place of its URL.
pub(super) fn tracker(mut fields: Fields<'_, '_>) -> Result<(Tracker, Option<Range<usize>>), TextError> {
    let source = fields.source;
    let reply = fields.optional::<u32>("reply")?;
    let url = fields.optional::<String>("url")?;
    let down = fields.take("down");
    fields.finish()?;
    if let Some(reply) = reply.as_ref().filter(|reply| *reply.get_ref() == 0) {
        return Err(source.error(Some(reply.span()), "`reply` must be at least 1, found 0"));
    }
    let span = url.as_ref().map(Spanned::span);
    let announces = match &url {
        None => Announces::Directly,
        Some(url) if url.get_ref() == "none" => Announces::ToSources,
        Some(url) => Announces::To(
            self::url(url.get_ref()).map_err(|message| source.error(Some(url.span()), &message))?,
        ),
    };
    let down = match down {
        None => Vec::new(),
        Some(down) if !matches!(announces, Announces::To(_)) => {
            let message =
                "only a tracker with a `url` can be down: announces that go straight to it always arrive";
            return Err(source.error(Some(down.span()), message));
        }
        Some(down) => outages(source, down)?,
    };
    Ok((Tracker { reply: reply.map_or(REPLY, Spanned::into_inner), announces, down }, span))
}

/// Reads the URL of the simulated tracker.
fn url(text: &str) -> Result<TrackerUrl, String> {
    let wrong = |what: &str| {
        format!(
            "`url` must be such as \"http://tracker.lab/announce\" or \"udp://tracker.lab:6969\", or \"none\": {what}, \
             found {text:?}"
        )
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
    let scheme = match scheme {
        "http" => TrackerScheme::Http,
        "udp" => TrackerScheme::Udp,
        "https" => return Err(wrong("the simulated tracker speaks no TLS")),
        _ => return Err(wrong("the simulated tracker speaks `http` and `udp`")),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)),
        None => (authority, (scheme == TrackerScheme::Http).then_some(80)),
    };
    let port = port.ok_or_else(|| wrong("a port from 1 to 65535 is needed"))?;
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if host.is_empty() || !host.bytes().all(in_name) {
        return Err(wrong("its host is a name or an IPv4 address"));
    }
    // What ends in a number is an address.
    let is_number = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
    if host.rsplit('.').next().is_some_and(is_number) {
        match host.parse::<Ipv4Addr>() {
            Err(_) => return Err(wrong("its host is no IPv4 address")),
            Ok(address) if address.octets()[0] == 10 => {
                return Err(wrong("the addresses from 10.0.0.0 to 10.255.255.255 are those of peers"));
            }
            Ok(address) if address.is_unspecified() => return Err(wrong("nobody is at 0.0.0.0")),
            Ok(_) => {}
        }
    }
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !path.bytes().all(in_path) {
        return Err(wrong("its path has letters, digits and `-._~/`"));
    }
    let path = if path.is_empty() { "/" } else { path };
    Ok(TrackerUrl { scheme, host: host.to_owned(), port, path: path.to_owned(), text: text.to_owned() })
}

/// `["10 min..20 min"]`: when the tracker is down.
fn outages(source: &Source<'_>, value: Value<'_>) -> Result<Vec<Range<Duration>>, TextError> {
    let list = read::<Vec<Spanned<String>>>(source, value)?;
    if list.get_ref().len() > MAX_OUTAGES {
        let message = format!("`down` has at most {MAX_OUTAGES} outages, found {}", list.get_ref().len());
        return Err(source.error(Some(list.span()), &message));
    }
    let outage = |text: &Spanned<String>| {
        let time = |text: &str| text.trim().parse::<config::Duration>().ok().map(config::Duration::get);
        let times = text.get_ref().split_once("..");
        let times = times.and_then(|(from, to)| Some(time(from)?..time(to)?));
        times.filter(|times| !times.is_empty()).ok_or_else(|| {
            let found = text.get_ref();
            let message =
                format!("expected a time and a later one, such as \"10 min..20 min\", found {found:?}");
            source.error(Some(text.span()), &message)
        })
    };
    list.get_ref().iter().map(outage).collect()
}

/// Why announces cannot go through the clients of everybody's profile, if they cannot.
pub(super) fn lacks_client(tracker: &Tracker, groups: &[Group]) -> Option<String> {
    let has_source =
        |group: &Group| group.profile.trackers().iter().any(|(_, client)| client.schemes().is_empty());
    match &tracker.announces {
        Announces::Directly => None,
        Announces::ToSources if groups.iter().any(has_source) => None,
        Announces::ToSources => Some(
            "with `url = \"none\"` peers find each other through sources without a URL, such as `peer-file`, but no \
             profile has one among the clients of its [tracker]"
                .to_owned(),
        ),
        Announces::To(url) => {
            let scheme = url.scheme.name();
            let serves = |group: &Group| {
                group.profile.trackers().iter().any(|(_, client)| client.schemes().contains(&scheme))
            };
            // Whoever has another source may do without the tracker.
            let group = groups.iter().find(|group| !serves(group) && !has_source(group))?;
            let names: Vec<String> = group.profile.trackers().into_iter().map(|(name, _)| name).collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            Some(format!(
                "no tracker client of the profile of `{}` serves `{scheme}` URLs: its [tracker] uses {names}",
                group.name
            ))
        }
    }
}

/// A scenario's outages as it has them.
pub(super) fn written_outages(down: &[Range<Duration>]) -> toml::Value {
    let outage =
        |time: &Range<Duration>| format!("{}..{}", config::Duration(time.start), config::Duration(time.end));
    down.iter().map(|time| toml::Value::from(outage(time))).collect::<Vec<_>>().into()
}
