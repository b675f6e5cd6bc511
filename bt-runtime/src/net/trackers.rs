//! Asks trackers and peer sources through the profile's clients.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Sender;
use async_std::future::timeout;
use async_std::task::{self, JoinHandle};
use bt_api::{
    Announce, AnnounceReply, BoxFuture, Host, InfoHash, ScrapeReply, TrackerClient, TrackerError,
    TrackerErrorKind,
};
use bt_engine::Target;
use futures::{FutureExt, StreamExt, stream};

use super::host::NetHost;
use super::torrent::Note;
use crate::store::pool::BufferPool;
use crate::{Profile, panics};

/// How long to wait when a source that speaks up by itself fails.
const SOURCE_PAUSE: Duration = Duration::from_secs(60);

/// How many trackers are asked for counts at a time.
const SCRAPES: usize = 16;

/// Asks each of the trackers at `urls` for the counts of `torrent`, through the clients of `profile`; the answers come
/// in the order of `urls` (BEP 48).
pub async fn scrape(
    profile: &Profile,
    urls: &[String],
    torrent: InfoHash,
) -> Vec<Result<ScrapeReply, TrackerError>> {
    // A client has no use for payload, so for buffers.
    let host = Arc::new(NetHost::new(BufferPool::new(0)));
    let trackers = Trackers::new(profile.trackers(), host, profile.settings.announce.timeout.get());
    let asking = urls.iter().map(|url| trackers.scrape(url, torrent));
    stream::iter(asking).buffered(SCRAPES).collect().await
}

/// The clients of a process, with their names.
pub(crate) struct Trackers {
    clients: Vec<(String, Arc<dyn TrackerClient>)>,
    host: Arc<dyn Host>,
    /// How long to wait for an answer.
    patience: Duration,
}

impl Trackers {
    pub(crate) fn new(
        clients: Vec<(String, Arc<dyn TrackerClient>)>,
        host: Arc<dyn Host>,
        patience: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { clients, host, patience })
    }

    /// The names of the clients that are asked without a URL, in the order of [`Target::Source`].
    pub(crate) fn sources(&self) -> Vec<String> {
        self.source_clients().map(|(name, _)| name.clone()).collect()
    }

    fn source_clients(&self) -> impl Iterator<Item = &(String, Arc<dyn TrackerClient>)> {
        self.clients.iter().filter(|(_, client)| client.schemes().is_empty())
    }

    /// Asks `target`; a panic in the client is an error that names it.
    pub(crate) async fn announce(
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
        self.bounded(name, client.announce(url, announce, &*self.host)).await
    }

    /// Asks the tracker at `url` for the counts of `torrent` (BEP 48); a panic in the client is an error that names it.
    async fn scrape(&self, url: &str, torrent: InfoHash) -> Result<ScrapeReply, TrackerError> {
        let (name, client) = self.client_for(url)?;
        let torrents = [torrent];
        let counts = self.bounded(name, client.scrape(url, &torrents, &*self.host)).await?;
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
        asking: BoxFuture<'_, Result<T, TrackerError>>,
    ) -> Result<T, TrackerError> {
        match timeout(self.patience, AssertUnwindSafe(asking).catch_unwind()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => {
                let message = format!("the tracker client {name} panicked: {}", panics::message(&*panic));
                Err(TrackerError::new(TrackerErrorKind::Unreachable, message))
            }
            Err(_) => {
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

    /// Listens to every client that may hear of peers unasked; ends with the handles.
    pub(crate) fn listen(self: &Arc<Self>, announce: &Announce, notes: &Sender<Note>) -> Vec<JoinHandle<()>> {
        (0..self.clients.len())
            .map(|number| {
                let (this, announce, notes) = (self.clone(), announce.clone(), notes.clone());
                task::spawn(async move { this.listen_to(number, &announce, &notes).await })
            })
            .collect()
    }

    async fn listen_to(&self, number: usize, announce: &Announce, notes: &Sender<Note>) {
        let (name, client) = &self.clients[number];
        loop {
            let hearing = AssertUnwindSafe(client.unasked(announce, &*self.host)).catch_unwind();
            match hearing.await {
                Ok(Ok(peers)) => {
                    if notes.send(Note::Peers(name.clone(), peers)).await.is_err() {
                        return;
                    }
                    // One that answers at once, always, does not take the processor.
                    task::yield_now().await;
                }
                Ok(Err(_)) => task::sleep(SOURCE_PAUSE).await,
                // It is not asked again.
                Err(_) => return,
            }
        }
    }
}

fn unsupported(message: String) -> TrackerError {
    TrackerError::new(TrackerErrorKind::Unsupported, message)
}
