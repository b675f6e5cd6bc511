//! Asks trackers and peer sources through the profile's clients: the wall around each. It is kept to its time, and its
//! panics are told by its name: they end the torrent that was asked for.
//!
//! The network driver asks in this way, and the simulator where a scenario has tracker clients take part. Whatever
//! waits, waits on the [`Host`].

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bt_api::contain::contain;
use bt_api::{
    Announce, AnnounceReply, Host, InfoHash, PeerAddress, PeerId, ScrapeReply, TrackerClient, TrackerError,
    TrackerErrorKind,
};
use bt_engine::Target;
use futures::future::{Either, poll_fn, select};

use crate::lane::{self, Lane};

/// How long to wait when a source that speaks up by itself fails.
const SOURCE_PAUSE: Duration = Duration::from_secs(60);

/// The clients of a process, with their names.
pub struct Trackers {
    clients: Vec<Client>,
    host: Arc<dyn Host>,
    /// How long to wait for an answer.
    patience: Duration,
}

/// One client.
struct Client {
    name: String,
    client: Arc<dyn TrackerClient>,
    /// Where its calls run; without it, in whoever asks.
    lane: Option<Arc<dyn Lane>>,
}

/// A client panicked: its name, and what it said. The torrent for which it was called is to end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(pub String);

impl Trackers {
    /// Those of a [`Profile`](crate::Profile), who are lent `host`; an answer is waited for as long as `patience`. Each
    /// runs on the lane that `lane` makes for it, if it makes one.
    pub fn new(
        clients: Vec<(String, Arc<dyn TrackerClient>)>,
        host: Arc<dyn Host>,
        patience: Duration,
        lane: impl Fn() -> Option<Arc<dyn Lane>>,
    ) -> Arc<Self> {
        let clients =
            clients.into_iter().map(|(name, client)| Client { name, client, lane: lane() }).collect();
        Arc::new(Self { clients, host, patience })
    }

    /// How many clients there are, sources included.
    pub fn count(&self) -> usize {
        self.clients.len()
    }

    /// The names of the clients that are asked without a URL, in the order of [`Target::Source`].
    pub fn sources(&self) -> Vec<String> {
        self.source_clients().map(|one| one.name.clone()).collect()
    }

    fn source_clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter(|one| one.schemes().is_empty())
    }

    /// Asks `target`.
    ///
    /// # Errors
    /// That the client panicked. Within: what the client says, or that it took too long.
    pub async fn announce(
        &self,
        target: &Target,
        announce: &Announce,
    ) -> Result<Result<AnnounceReply, TrackerError>, Panicked> {
        let (url, found) = match target {
            Target::Url(url) => (Some(url.clone()), self.client_for(url)),
            Target::Source(number) => {
                let source = self.source_clients().nth(*number);
                (None, source.ok_or_else(|| unsupported("the profile has no such source".to_owned())))
            }
        };
        let one = match found {
            Ok(one) => one,
            Err(error) => return Ok(Err(error)),
        };
        let (client, announce, host) = (one.client.clone(), announce.clone(), self.host.clone());
        let asking = async move { client.announce(url.as_deref(), &announce, &*host).await };
        self.bounded(one, asking).await
    }

    /// Asks the tracker at `url` for the counts of `torrent` (BEP 48).
    ///
    /// # Errors
    /// What the client says, that it took too long, or that it panicked.
    pub async fn scrape(&self, url: &str, torrent: InfoHash) -> Result<ScrapeReply, TrackerError> {
        let one = self.client_for(url)?;
        let (client, url, host) = (one.client.clone(), url.to_owned(), self.host.clone());
        let asking = async move { client.scrape(&url, &[torrent], &*host).await };
        let broke = |Panicked(said)| TrackerError::new(TrackerErrorKind::Unreachable, said);
        let counts = self.bounded(one, asking).await.map_err(broke)??;
        match counts[..] {
            [counts] => Ok(counts),
            _ => {
                let name = &one.name;
                let message =
                    format!("the tracker client {name} answered for {} torrents, not for one", counts.len());
                Err(TrackerError::new(TrackerErrorKind::Malformed, message))
            }
        }
    }

    /// What `asking` a client answers, within the time allowed.
    async fn bounded<T: Send + 'static>(
        &self,
        client: &Client,
        asking: impl Future<Output = Result<T, TrackerError>> + Send + 'static,
    ) -> Result<Result<T, TrackerError>, Panicked> {
        let asking = pin!(lane::run(client.lane.as_ref(), asking));
        match select(asking, self.host.sleep_until(self.host.now() + self.patience)).await {
            Either::Left((answer, _)) => answer.map_err(|said| client.panicked(&said)),
            Either::Right(_) => {
                let (name, seconds) = (&client.name, self.patience.as_secs_f64());
                let message = format!("the tracker client {name} gave no answer within {seconds} s");
                Ok(Err(TrackerError::new(TrackerErrorKind::TimedOut, message)))
            }
        }
    }

    /// The first client that serves the scheme of `url`.
    fn client_for(&self, url: &str) -> Result<&Client, TrackerError> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        let client = self.clients.iter().find(|one| one.schemes().contains(&scheme.as_str()));
        client.ok_or_else(|| unsupported(format!("no tracker client of the profile serves {scheme:?} URLs")))
    }

    /// Listens to client number `number` of all, which may hear of peers unasked, and has `tell` pass on its name and
    /// what it heard, until that answers `false`.
    ///
    /// # Errors
    /// That the client panicked: then it is not listened to any more.
    pub async fn listen_to<T: Future<Output = bool> + Send>(
        &self,
        number: usize,
        announce: &Announce,
        mut tell: impl FnMut(String, Vec<PeerAddress>) -> T + Send,
    ) -> Result<(), Panicked> {
        let Some(one) = self.clients.get(number) else { return Ok(()) };
        loop {
            let (client, announce, host) = (one.client.clone(), announce.clone(), self.host.clone());
            let hearing = async move { client.unasked(&announce, &*host).await };
            match lane::run(one.lane.as_ref(), hearing).await {
                Ok(Ok(peers)) => {
                    if !tell(one.name.clone(), peers).await {
                        return Ok(());
                    }
                    // One that answers at once, always, does not take the processor.
                    yield_now().await;
                }
                Ok(Err(_)) => self.host.sleep_until(self.host.now() + SOURCE_PAUSE).await,
                Err(said) => return Err(one.panicked(&said)),
            }
        }
    }
}

impl Client {
    /// The schemes that it serves; of one that panics when it is asked, none that any URL has.
    fn schemes(&self) -> &'static [&'static str] {
        contain(|| self.client.schemes()).unwrap_or(&[""])
    }

    fn panicked(&self, said: &str) -> Panicked {
        Panicked(format!("the tracker client {} panicked: {said}", self.name))
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
