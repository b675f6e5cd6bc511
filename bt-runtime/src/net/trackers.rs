//! What only the network driver does with trackers: tasks that listen, and counts for `bt-torrent`.

use std::sync::Arc;

use async_channel::Sender;
use async_std::task::{self, JoinHandle};
use bt_api::{Announce, InfoHash, ScrapeReply, TrackerError};
use futures::{StreamExt, stream};

use super::host::NetHost;
use super::torrent::Note;
use crate::Profile;
use crate::store::pool::BufferPool;
use crate::trackers::Trackers;

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

/// Listens to every client that may hear of peers unasked; ends with the handles. `warn` is told of one that panicked.
pub(crate) fn listen(
    trackers: &Arc<Trackers>,
    announce: &Announce,
    notes: &Sender<Note>,
    warn: impl Fn(String) + Clone + Send + 'static,
) -> Vec<JoinHandle<()>> {
    (0..trackers.count())
        .map(|number| {
            let (trackers, announce) = (trackers.clone(), announce.clone());
            let (notes, warn) = (notes.clone(), warn.clone());
            task::spawn(async move {
                let tell = |name, peers| {
                    let notes = notes.clone();
                    async move { notes.send(Note::Peers(name, peers)).await.is_ok() }
                };
                if let Some(message) = trackers.listen_to(number, &announce, tell).await {
                    warn(message);
                }
            })
        })
        .collect()
}
