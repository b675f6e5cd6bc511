//! Asks trackers and peer sources through the profile's clients; each is kept to its time, and its panics to itself.
//!
//! The network driver asks in this way, and the simulator where a scenario has tracker clients take part. Whatever
//! waits, waits on the [`Host`].

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bt_api::{
    Announce, AnnounceReply, Host, InfoHash, PeerAddress, PeerId, ScrapeReply, TrackerClient, TrackerError,
    TrackerErrorKind,
};
use bt_engine::Target;
use futures::FutureExt;
use futures::future::{Either, poll_fn, select};

use crate::panics;

/// How long to wait when a source that speaks up by itself fails.
const SOURCE_PAUSE: Duration = Duration::from_secs(60);

/// The clients of a process, with their names.
pub struct Trackers {
    clients: Vec<(String, Arc<dyn TrackerClient>)>,
    host: Arc<dyn Host>,
    /// How long to wait for an answer.
    patience: Duration,
}

impl Trackers {
    /// Those of a [`Profile`](crate::Profile), who are lent `host`; an answer is waited for as long as `patience`.
    pub fn new(
        clients: Vec<(String, Arc<dyn TrackerClient>)>,
        host: Arc<dyn Host>,
        patience: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { clients, host, patience })
    }

    /// How many clients there are, sources included.
    pub fn count(&self) -> usize {
        self.clients.len()
    }

    /// The names of the clients that are asked without a URL, in the order of [`Target::Source`].
    pub fn sources(&self) -> Vec<String> {
        self.source_clients().map(|(name, _)| name.clone()).collect()
    }

    fn source_clients(&self) -> impl Iterator<Item = &(String, Arc<dyn TrackerClient>)> {
        self.clients.iter().filter(|(_, client)| client.schemes().is_empty())
    }

    /// Asks `target`.
    ///
    /// # Errors
    /// What the client says, that it took too long, or that it panicked: then the message has its name.
    pub async fn announce(
        &self,
        target: &Target,
        announce: &Announce,
    ) -> Result<AnnounceReply, TrackerError> {
        let (url, client) = match target {
            Target::Url(url) => (Some(url.as_str()), self.client_for(url)?),
            Target::Source(number) => {
                let source = self.source_clients().nth(*number);
                (None, source.ok_or_else(|| unsupported("the profile has no such source".to_owned()))?)
            }
        };
        let (name, client) = client;
        self.bounded(name, async { client.announce(url, announce, &*self.host).await }).await
    }

    /// Asks the tracker at `url` for the counts of `torrent` (BEP 48).
    ///
    /// # Errors
    /// As [`announce`](Self::announce).
    pub async fn scrape(&self, url: &str, torrent: InfoHash) -> Result<ScrapeReply, TrackerError> {
        let (name, client) = self.client_for(url)?;
        let torrents = [torrent];
        let counts = self.bounded(name, async { client.scrape(url, &torrents, &*self.host).await }).await?;
        match counts[..] {
            [counts] => Ok(counts),
            _ => {
                let message =
                    format!("the tracker client {name} answered for {} torrents, not for one", counts.len());
                Err(TrackerError::new(TrackerErrorKind::Malformed, message))
            }
        }
    }

    /// What the client of this name answers, within the time allowed.
    async fn bounded<T>(
        &self,
        name: &str,
        asking: impl Future<Output = Result<T, TrackerError>> + Send,
    ) -> Result<T, TrackerError> {
        let asking = pin!(AssertUnwindSafe(asking).catch_unwind());
        match select(asking, self.host.sleep_until(self.host.now() + self.patience)).await {
            Either::Left((Ok(answer), _)) => answer,
            Either::Left((Err(panic), _)) => {
                let message = format!("the tracker client {name} panicked: {}", panics::message(&*panic));
                Err(TrackerError::new(TrackerErrorKind::Unreachable, message))
            }
            Either::Right(_) => {
                let message = format!("no answer within {} s", self.patience.as_secs_f64());
                Err(TrackerError::new(TrackerErrorKind::TimedOut, message))
            }
        }
    }

    /// The first client that serves the scheme of `url`.
    fn client_for(&self, url: &str) -> Result<&(String, Arc<dyn TrackerClient>), TrackerError> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        let client = self.clients.iter().find(|(_, client)| client.schemes().contains(&scheme.as_str()));
        client.ok_or_else(|| unsupported(format!("no tracker client of the profile serves {scheme:?} URLs")))
    }

    /// Listens to client number `number` of all, which may hear of peers unasked, and has `tell` pass on its name and
    /// what it heard, until that answers `false`. Answers with the message when the client panicked: then it is not
    /// listened to any more.
    pub async fn listen_to<T: Future<Output = bool> + Send>(
        &self,
        number: usize,
        announce: &Announce,
        mut tell: impl FnMut(String, Vec<PeerAddress>) -> T + Send,
    ) -> Option<String> {
        let (name, client) = self.clients.get(number)?;
        loop {
            let hearing = async { client.unasked(announce, &*self.host).await };
            match AssertUnwindSafe(hearing).catch_unwind().await {
                Ok(Ok(peers)) => {
                    if !tell(name.clone(), peers).await {
                        return None;
                    }
                    // One that answers at once, always, does not take the processor.
                    yield_now().await;
                }
                Ok(Err(_)) => self.host.sleep_until(self.host.now() + SOURCE_PAUSE).await,
                Err(panic) => {
                    let what = panics::message(&*panic);
                    return Some(format!("the tracker client {name} panicked: {what}"));
                }
            }
        }
    }

    /// The name of client number `number` of all.
    pub fn name(&self, number: usize) -> Option<&str> {
        self.clients.get(number).map(|(name, _)| name.as_str())
    }
}

/// What sources that speak up by themselves are told of a torrent.
pub fn introduction(info_hash: InfoHash, peer_id: PeerId, port: u16) -> Announce {
    Announce {
        info_hash,
        peer_id,
        port,
        ip: None,
        key: 0,
        uploaded: 0,
        downloaded: 0,
        left: 0,
        event: None,
        peers_wanted: None,
        compact: true,
        tracker_id: None,
        last: None,
    }
}

fn unsupported(message: String) -> TrackerError {
    TrackerError::new(TrackerErrorKind::Unsupported, message)
}

/// Lets other tasks run first.
async fn yield_now() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}
