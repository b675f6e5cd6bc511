//! What every tracker client promises, a scripted network, and catalogues of bad replies by URL scheme.
//!
//! The promises of any client stand here, those of one that serves `http` in [`http`]. A catalogue for another
//! scheme is a module beside it: promises over a [`Network`](super::Network) of its own.

pub mod http;
mod script;
mod silence;

use std::time::Duration;

use futures::FutureExt;

use crate::testkit::{Promise, TestHost};
use crate::time::Instant;
use crate::torrent::{InfoHash, PeerId};
use crate::tracker::{Announce, TrackerClient, TrackerError, TrackerErrorKind};

pub use script::{Reply, Script, Tracker};
pub use silence::Silence;

/// A tracker client under test.
pub type Subject = super::Subject<dyn TrackerClient>;

/// One test for each promise of [`TrackerClient`] that holds for any client or source: see
/// [the kits](crate::testkit).
#[macro_export]
macro_rules! tracker_conformance {
    ($name:ident = $subject:expr) => {
        $crate::__conformance!(tracker, __tracker_promises, $crate::testkit::tracker::Subject, $name = $subject);
    };
    ($name:ident : $plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::tracker_conformance!($name = $crate::testkit::tracker::Subject::of::<$plugin>(&[$($table),*]));
    };
    ($plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::tracker_conformance!(tracker_conformance: $plugin $(, $table)*);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tracker_promises {
    ($then:ident) => {
        $crate::$then! { tracker;
            schemes_are_lower_case_and_stay
            a_url_comes_exactly_where_it_is_expected
            scrapes_of_what_has_none_are_unsupported
            without_a_network_it_says_so
            a_dropped_call_leaves_no_socket
            scrapes_answer_for_each_torrent
            speaks_up_only_with_news
            errors_are_one_line
        }
    };
}

/// The promises of any client by name.
pub const PROMISES: &[Promise<Subject>] = crate::__tracker_promises! { __conformance_table };

/// An hour: no client may be busy for longer with one call.
pub(super) const LIMIT: Instant = Instant::from_secs(3600);

/// What the kit announces.
pub fn announce() -> Announce {
    Announce {
        info_hash: InfoHash([0xa5; 20]),
        peer_id: PeerId(*b"-BT0100-012345678901"),
        port: 6881,
        ip: None,
        key: 1,
        uploaded: 0,
        downloaded: 0,
        left: 5,
        event: None,
        peers_wanted: None,
        compact: true,
        tracker_id: None,
        last: None,
    }
}

impl Subject {
    /// Runs `test` with the client under each table; the name and the table are printed, so that a test that
    /// fails shows them.
    pub(super) fn for_each_client(&self, test: impl Fn(&dyn TrackerClient)) {
        for (label, build) in &self.variants {
            println!("`{}`{label}", self.name);
            test(&*build());
        }
    }
}

/// What comes of an announce within [`LIMIT`].
fn announced<'a>(
    client: &'a dyn TrackerClient,
    url: Option<&'a str>,
    host: &'a TestHost,
) -> Option<Result<crate::AnnounceReply, TrackerError>> {
    let announce = announce();
    host.run(LIMIT, client.announce(url, &announce, host))
}

/// [`schemes`](TrackerClient::schemes) are in lower case, without `:`, and always the same.
///
/// # Panics
/// When the promise is broken, as all of these functions do.
pub fn schemes_are_lower_case_and_stay(subject: &Subject) {
    subject.for_each_client(|client| {
        let schemes = client.schemes();
        for scheme in schemes {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
            assert!(!scheme.is_empty() && scheme.bytes().all(plain), "the scheme `{scheme}`");
        }
        assert_eq!(schemes, client.schemes());
    });
}

/// A client that is given no URL, or one that is none of its, says [`Unsupported`](TrackerErrorKind::Unsupported)
/// and asks nobody; it does not panic. (One that never asks anybody, and only stands in for its schemes, need not read
/// what comes after the scheme.)
pub fn a_url_comes_exactly_where_it_is_expected(subject: &Subject) {
    subject.for_each_client(|client| {
        if client.schemes().is_empty() {
            return;
        }
        let urls = [None, Some(""), Some("announce"), Some("nonsense://"), Some("\u{fffd}\n:")];
        let own = client.schemes().iter().map(|scheme| format!("{scheme}://"));
        let own: Vec<String> =
            own.chain(client.schemes().iter().map(|scheme| format!("{scheme}://["))).collect();
        for url in urls.into_iter().chain(own.iter().map(|url| Some(url.as_str()))) {
            let (tracker, seen) = Tracker::new(Vec::new());
            let answer = announced(client, url, &TestHost::with_network(tracker));
            let own = url.is_some_and(|url| own.iter().any(|one| one == url));
            let kind = match answer {
                Some(Ok(reply)) if own && reply.peers.is_empty() && asks_nobody(client) => continue,
                answer => answer.and_then(Result::err).map(|error| error.kind),
            };
            assert_eq!(kind, Some(TrackerErrorKind::Unsupported), "the URL {url:?}");
            assert_eq!(seen.connections(), 0, "the URL {url:?}");
        }
    });
}

/// Of something that has no counts a scrape is [`Unsupported`](TrackerErrorKind::Unsupported): a source, a URL
/// that is none.
pub fn scrapes_of_what_has_none_are_unsupported(subject: &Subject) {
    subject.for_each_client(|client| {
        for url in ["", "nonsense"] {
            let host = TestHost::new();
            let torrents = [InfoHash([1; 20])];
            let answer = host.run(LIMIT, client.scrape(url, &torrents, &*host));
            let kind = answer.and_then(Result::err).map(|error| error.kind);
            assert_eq!(kind, Some(TrackerErrorKind::Unsupported), "a scrape of `{url}`");
        }
    });
}

/// Where nothing can be reached an announce ends with an error, which is not the tracker's fault. A client that never asks
/// anybody needs no network: it may answer that there is nobody.
pub fn without_a_network_it_says_so(subject: &Subject) {
    subject.for_each_client(|client| {
        for scheme in client.schemes() {
            let url = format!("{scheme}://tracker.invalid:6969/announce");
            let answer = announced(client, Some(&url), &TestHost::new());
            let error = match answer.expect("an answer within an hour") {
                Ok(reply) if asks_nobody(client) => {
                    assert_eq!(reply.peers, [], "it names peers, and asked nobody");
                    continue;
                }
                answer => answer.expect_err("nothing can be reached"),
            };
            let blamed = [TrackerErrorKind::Refused, TrackerErrorKind::Malformed].contains(&error.kind);
            assert!(!blamed, "{:?}: {error}", error.kind);
        }
    });
}

/// A call that is dropped while it waits, at once or after some time, leaves no socket behind.
pub fn a_dropped_call_leaves_no_socket(subject: &Subject) {
    subject.for_each_client(|client| {
        let announce = announce();
        for url in urls(client) {
            for patience in 0..4 {
                let network = Silence::default();
                let host = TestHost::with_network(network.clone());
                let mut call = client.announce(url.as_deref(), &announce, &*host);
                let mut unasked = client.unasked(&announce, &*host);
                let mut waits = (true, true);
                for _ in 0..=patience {
                    waits.0 = waits.0 && (&mut call).now_or_never().is_none();
                    waits.1 = waits.1 && (&mut unasked).now_or_never().is_none();
                    host.advance(Duration::from_secs(20));
                }
                drop((call, unasked));
                assert_eq!(network.open(), 0, "sockets that are left of {url:?}");
            }
        }
    });
}

/// A scrape that answers has one answer for each torrent that was asked for. That they are in the order of the question
/// shows only where a tracker answers: see [`http`], and test it for another scheme.
pub fn scrapes_answer_for_each_torrent(subject: &Subject) {
    subject.for_each_client(|client| {
        let torrents = [1, 2, 3].map(|byte| InfoHash([byte; 20]));
        for url in urls(client).iter().flatten() {
            for host in [TestHost::new(), TestHost::with_network(Silence::default())] {
                if let Some(Ok(counts)) = host.run(LIMIT, client.scrape(url, &torrents, &*host)) {
                    assert_eq!(counts.len(), torrents.len(), "the answers for {url}");
                }
            }
        }
    });
}

/// A URL of each of its schemes, or none for a source.
fn urls(client: &dyn TrackerClient) -> Vec<Option<String>> {
    let schemes = client.schemes();
    let urls = schemes.iter().map(|scheme| Some(format!("{scheme}://tracker.invalid:6969/announce")));
    let source = schemes.is_empty().then_some(None);
    urls.chain(source).collect()
}

/// Whether no announce of the client looks for anything on a network.
fn asks_nobody(client: &dyn TrackerClient) -> bool {
    urls(client).iter().all(|url| {
        let network = Silence::default();
        let _ = announced(client, url.as_deref(), &TestHost::with_network(network.clone()));
        network.asked() == 0
    })
}

/// [`unasked`](TrackerClient::unasked) waits until there is news: it never answers an empty list, and one that only
/// answers is never done.
pub fn speaks_up_only_with_news(subject: &Subject) {
    subject.for_each_client(|client| {
        let host = TestHost::new();
        let announce = announce();
        if let Some(Ok(peers)) = host.run(LIMIT, client.unasked(&announce, &*host)) {
            assert!(!peers.is_empty(), "it has no news, and says so");
        }
        // Dropped while it waits, it leaves nothing behind.
        let _ = client.unasked(&announce, &*host).now_or_never();
    });
}

/// What a client says of a failure is one line, for the user.
pub fn errors_are_one_line(subject: &Subject) {
    subject.for_each_client(|client| {
        let urls = client.schemes().iter().map(|scheme| Some(format!("{scheme}://tracker.invalid/announce")));
        let urls: Vec<Option<String>> = urls.chain([None, Some("a\nb".to_owned())]).collect();
        for url in urls {
            if client.schemes().is_empty() && url.is_some() {
                continue;
            }
            let host = TestHost::new();
            if let Some(Err(error)) = announced(client, url.as_deref(), &host) {
                let message = &error.message;
                assert!(!message.is_empty() && !message.contains(['\n', '\r']), "not one line: {message:?}");
            }
        }
    });
}
