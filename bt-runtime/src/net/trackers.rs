//! What only the network driver does with trackers: tasks that listen, and counts for `bt-torrent`.

use std::sync::Arc;

use async_channel::Sender;
use async_std::task::{self, JoinHandle};
use bt_api::{Announce, InfoHash, ScrapeReply, TrackerError};
use futures::{StreamExt, stream};

use super::host::NetHost;
use super::lane::OwnThread;
use super::torrent::Note;
use crate::Profile;
use crate::lane::Lane;
use crate::store::pool::BufferPool;
use crate::trackers::{Panicked, Trackers};

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
    let trackers = clients(profile, host);
    let asking = urls.iter().map(|url| trackers.scrape(url, torrent));
    stream::iter(asking).buffered(SCRAPES).collect().await
}

/// The tracker clients of `profile`, each with a thread of its own.
pub(crate) fn clients(profile: &Profile, host: Arc<NetHost>) -> Arc<Trackers> {
    let patience = profile.settings.announce.timeout.get();
    Trackers::new(profile.trackers(), host, patience, || Some(OwnThread::new("tracker") as Arc<dyn Lane>))
}

/// Listens to every client that may hear of peers unasked; ends with the handles.
pub(crate) fn listen(
    trackers: &Arc<Trackers>,
    announce: &Announce,
    notes: &Sender<Note>,
) -> Vec<JoinHandle<()>> {
    (0..trackers.count())
        .map(|number| {
            let (trackers, announce, notes) = (trackers.clone(), announce.clone(), notes.clone());
            task::spawn(async move {
                let tell = |name, peers| {
                    let notes = notes.clone();
                    async move { notes.send(Note::Peers(name, peers)).await.is_ok() }
                };
                if let Err(Panicked(said)) = trackers.listen_to(number, &announce, tell).await {
                    // The torrent may be gone.
                    let _ = notes.send(Note::PluginBroke(said)).await;
                }
            })
        })
        .collect()
}
