//! Asks trackers and peer sources through the profile's clients.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Sender;
use async_std::future::timeout;
use async_std::task::{self, JoinHandle};
use bt_api::{Announce, AnnounceReply, Host, TrackerClient, TrackerError, TrackerErrorKind};
use bt_engine::Target;
use futures::FutureExt;

use super::panics;
use super::torrent::Note;

/// How long to wait when a source that speaks up by itself fails.
const SOURCE_PAUSE: Duration = Duration::from_secs(60);

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
            Target::Url(url) => (Some(url.as_str()), self.client_for(url)),
            Target::Source(number) => (None, self.source_clients().nth(*number)),
        };
        let Some((name, client)) = client else {
            let scheme = url.and_then(|url| url.split_once("://")).map_or("", |(scheme, _)| scheme);
            let message = format!("no tracker client of the profile serves {scheme:?} URLs");
            return Err(TrackerError::new(TrackerErrorKind::Unsupported, message));
        };
        let asking = AssertUnwindSafe(client.announce(url, announce, &*self.host)).catch_unwind();
        match timeout(self.patience, asking).await {
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

    fn client_for(&self, url: &str) -> Option<&(String, Arc<dyn TrackerClient>)> {
        let scheme = url.split_once("://")?.0.to_ascii_lowercase();
        self.clients.iter().find(|(_, client)| client.schemes().contains(&scheme.as_str()))
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
