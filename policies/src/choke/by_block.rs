//! What chokers share that serve everybody and decide block by block who is next.
//!
//! Everybody is unchoked, so that everybody can ask; a peer that gets no block waits with its requests. Only a few
//! peers are sent to at a time: were a block on its way to each of them, the uplink would be split evenly and no
//! order would matter.

use bt_api::{BlockRef, PeerFacts, Reason, RequestQueue, SwarmView, Unchokes, Waiting};

/// Serves everybody, interested or not: who wants something later can ask at once.
pub(super) fn unchoke_all(swarm: &SwarmView<'_>, unchokes: &mut Unchokes) {
    swarm.peers().iter().for_each(|peer| unchokes.push(peer.key, Reason::EVERYONE));
}

/// Those of the waiting that may have a block while `uploads` peers at most are sent to at once, each with its oldest
/// request.
pub(super) fn candidates<'a>(
    waiting: &Waiting<'a>,
    swarm: &SwarmView<'a>,
    uploads: usize,
) -> impl Iterator<Item = (&'a PeerFacts, BlockRef)> {
    let swarm = *swarm;
    let room = swarm.peers().iter().filter(|peer| peer.unsent > 0).count() < uploads;
    let oldest = move |queue: &RequestQueue| Some((swarm.peer(queue.peer)?, *queue.requests.front()?));
    waiting.iter().filter_map(oldest).filter(move |(peer, _)| room || peer.unsent > 0)
}

/// Bytes that a peer was given, those on their way to it among them.
pub(super) fn given(peer: &PeerFacts) -> i128 {
    i128::from(peer.uploaded) + i128::from(peer.unsent)
}
