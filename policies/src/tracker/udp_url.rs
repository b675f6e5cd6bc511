//! The URLs of UDP trackers (BEP 15, BEP 41).

use std::net::Ipv6Addr;

use bt_api::TrackerError;

use super::udp_packet::MAX_URL_DATA;
use super::unsupported;

/// A tracker's URL: `udp://name:port/path?query`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    /// A host name, or an address without brackets.
    pub(super) name: &'a str,
    pub(super) port: u16,
    /// Path and query.
    pub(super) data: &'a str,
}

impl<'a> Url<'a> {
    pub(super) fn parse(url: &'a str) -> Result<Self, TrackerError> {
        let wrong =
            || unsupported("the URL of a udp tracker must be udp://NAME:PORT or udp://NAME:PORT/PATH");
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, data) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (name, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        let name = match name.strip_prefix('[') {
            Some(six) => {
                six.strip_suffix(']').filter(|six| six.parse::<Ipv6Addr>().is_ok()).ok_or_else(wrong)?
            }
            None if name.contains(':') => return Err(wrong()),
            None => name,
        };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|&port| digits && port != 0).ok_or_else(wrong)?;
        let bare = |name: &str| name.contains(['@', '[', ']']) || name.contains(char::is_whitespace);
        if !scheme.eq_ignore_ascii_case("udp") || name.is_empty() || bare(name) {
            return Err(wrong());
        }
        if data.len() > MAX_URL_DATA {
            let message = format!("path and query of a udp tracker's URL may have {MAX_URL_DATA} bytes");
            return Err(unsupported(message));
        }
        Ok(Self { name, port, data })
    }
}

#[cfg(test)]
mod tests {
    use bt_api::TrackerErrorKind;

    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parsed = |url| Url::parse(url).map(|url| (url.name.to_owned(), url.port, url.data.to_owned()));
        let expect = |name: &str, port, data: &str| Ok((name.to_owned(), port, data.to_owned()));
        assert_eq!(parsed("udp://t.example:80"), expect("t.example", 80, ""));
        assert_eq!(parsed("UDP://1.2.3.4:6969/announce#x"), expect("1.2.3.4", 6969, "/announce"));
        assert_eq!(parsed("udp://[::1]:1/?auth=a:b/c"), expect("::1", 1, "/?auth=a:b/c"));
        assert_eq!(parsed("udp://t:9?a=b"), expect("t", 9, "?a=b"));
        for wrong in [
            "udp:t:80",
            "http://t:80",
            "udp://t",
            "udp://t/",
            "udp://:80",
            "udp://t:0",
            "udp://t:65536",
            "udp://t:+1",
            "udp://::1:80",
            "udp://[t]:80",
            "udp://u:p@t:80",
            "udp://[::1:80",
            "udp://a b:1",
            "udp://t:",
            "",
        ] {
            let error = parsed(wrong).unwrap_err();
            assert_eq!(error.kind, TrackerErrorKind::Unsupported, "{wrong}");
        }
        assert!(parsed(&format!("udp://t:1/{}", "x".repeat(1024))).unwrap_err().message.contains("1024"));
    }
}
