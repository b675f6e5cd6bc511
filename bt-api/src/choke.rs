//! Choosing whom to serve: the trait of the first kind of plug-in.

use std::collections::VecDeque;
use std::fmt;

use rand::Rng;

use crate::block::BlockRef;
use crate::time::Instant;
use crate::view::{PeerFacts, PeerKey, SwarmView};

/// Chooses which peers may download from us, and who is next when the uplink has room.
///
/// One value serves one torrent. The engine calls it, never two methods at once; it answers with data, and
/// the engine turns answers into messages and sends only the difference. It may not block, and has no way
/// to reach a connection. Its chance comes from `rng`, its time from `now`: a policy that keeps to them
/// gives the same answers in a simulation and on the network.
///
/// What it answers is checked. A peer that is gone, or more interested peers than
/// [`max_interested`](Self::max_interested), is counted and reported as a `policy_violation`, and left out.
pub trait ChokePolicy: Send {
    /// When [`choose`](Self::choose) next wants to run on its own clock; asked after every call. A time
    /// that is not after the last round's is put off until just after it.
    fn next_round(&self) -> Instant;

    /// The most interested peers that it will ever serve at once. (Uninterested ones take no upload and may
    /// be unchoked freely; the original client does.)
    fn max_interested(&self) -> usize;

    /// Told of each event of a peer, at once; asks with [`Notice::Rechoke`] for a round now.
    fn notice(
        &mut self,
        now: Instant,
        event: PeerEvent<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Notice;

    /// Puts the peers to serve into `unchokes`, which comes empty; all others are choked.
    ///
    /// Called when [`next_round`](Self::next_round) has come (`Cause::Timer`) and when a notice asked for
    /// it (`Cause::Event`). The rates in `swarm` are fresh.
    fn choose(
        &mut self,
        now: Instant,
        cause: Cause,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
        unchokes: &mut Unchokes,
    );

    /// The uplink has room for one block and these peers wait for one. [`Serve::ByShare`] suits every
    /// policy that has no opinion on single blocks. Asked again after each block. [`Serve::Nobody`] puts off a block,
    /// not a peer: one that is unchoked and waits is to be sent a block some time. Who would serve nobody
    /// unchokes nobody.
    fn serve(
        &mut self,
        now: Instant,
        waiting: &Waiting<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Serve;
}

/// A policy in a box is one, as a policy that wraps another holds it.
impl<P: ChokePolicy + ?Sized> ChokePolicy for Box<P> {
    fn next_round(&self) -> Instant {
        (**self).next_round()
    }

    fn max_interested(&self) -> usize {
        (**self).max_interested()
    }

    fn notice(
        &mut self,
        now: Instant,
        event: PeerEvent<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Notice {
        (**self).notice(now, event, swarm, rng)
    }

    fn choose(
        &mut self,
        now: Instant,
        cause: Cause,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        (**self).choose(now, cause, swarm, rng, unchokes);
    }

    fn serve(
        &mut self,
        now: Instant,
        waiting: &Waiting<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Serve {
        (**self).serve(now, waiting, swarm, rng)
    }
}

/// What happened to a peer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum PeerEvent<'a> {
    /// Its handshake is complete; it is choked.
    Connected(PeerKey),
    /// It is gone; this was its last state. It is no longer in the view.
    Gone(&'a PeerFacts),
    /// It became interested in our pieces.
    Interested(PeerKey),
    /// It is no longer interested.
    NotInterested(PeerKey),
    /// It began to serve us.
    UnchokedUs(PeerKey),
    /// It no longer serves us.
    ChokedUs(PeerKey),
    /// It has sent us nothing for the profile's snub time (CH-13).
    Snubbed(PeerKey),
    /// It asked for a block while it is served; the block waits.
    Requested(PeerKey),
    /// A block that we asked for came from it, of so many bytes.
    Received(PeerKey, u32),
    /// A block was sent to it, of so many bytes.
    Sent(PeerKey, u32),
    /// We have every piece now.
    Completed,
}

/// What a policy wants after a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Nothing.
    Nothing,
    /// A round at once.
    Rechoke,
}

/// What caused a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The policy's own clock.
    Timer,
    /// A notice that asked for it.
    Event,
}

/// How the upload to an unchoked peer is rationed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// As much as any other peer with an equal share; the same as a weight of 1.
    Equal,
    /// In proportion to this weight, while peers compete; 0 is served only when no other peer waits.
    Weight(u32),
    /// Never more than so many bytes per second.
    Cap(u64),
}

/// Why a peer is served, as traces show it.
///
/// The constants are the closed list of the event log's schema; a policy of another kind adds its own under
/// its own name: `Reason("prop-share:newcomer")`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(pub &'static str);

impl Reason {
    /// It uploads to us fast.
    pub const DOWNLOAD_RATE: Self = Self("download-rate");
    /// It downloads from us fast (a seed's ranking).
    pub const UPLOAD_RATE: Self = Self("upload-rate");
    /// By chance or in turn, to find better peers and to let newcomers begin.
    pub const OPTIMISTIC: Self = Self("optimistic");
    /// It wants nothing: unchoking it costs nothing and lets it begin at once.
    pub const UNINTERESTED: Self = Self("uninterested");
    /// Drawn at random.
    pub const RANDOM: Self = Self("random");
    /// Everyone is served.
    pub const EVERYONE: Self = Self("everyone");
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One peer to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unchoke {
    /// Who.
    pub peer: PeerKey,
    /// How much of the uplink it gets.
    pub share: Share,
    /// Why.
    pub reason: Reason,
}

/// The peers to serve, as [`ChokePolicy::choose`] fills it; a peer that is put in twice keeps its first place.
#[derive(Debug, Default)]
pub struct Unchokes(Vec<Unchoke>);

impl Unchokes {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `peer` with an equal share.
    pub fn push(&mut self, peer: PeerKey, reason: Reason) {
        self.push_with(peer, Share::Equal, reason);
    }

    /// Serves `peer` with `share`.
    pub fn push_with(&mut self, peer: PeerKey, share: Share, reason: Reason) {
        self.0.push(Unchoke { peer, share, reason });
    }

    /// The entries, in the order in which they were put in.
    pub fn as_slice(&self) -> &[Unchoke] {
        &self.0
    }

    /// Takes every entry out.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The requests of one unchoked peer that wait to be served.
#[derive(Clone, Debug)]
pub struct RequestQueue {
    /// Whose requests they are.
    pub peer: PeerKey,
    /// Whether its socket takes more now.
    pub ready: bool,
    /// What it asked for, the oldest request first.
    pub requests: VecDeque<BlockRef>,
}

/// The peers that wait for a block and whose sockets take one.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a>(&'a [RequestQueue]);

impl<'a> Waiting<'a> {
    /// A view of those of `queues` that are ready and not empty; they are sorted by peer.
    pub fn new(queues: &'a [RequestQueue]) -> Self {
        Self(queues)
    }

    /// The peers that wait, by key; none has an empty queue.
    pub fn iter(&self) -> impl Iterator<Item = &'a RequestQueue> + use<'a> {
        self.0.iter().filter(|queue| queue.ready && !queue.requests.is_empty())
    }
}

/// Who gets the next block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// Whoever is next by the shares of the last round.
    ByShare,
    /// This peer, its oldest request.
    Peer(PeerKey),
    /// This peer, this one of its requests.
    Block(PeerKey, BlockRef),
    /// Nobody yet; asked again after the next event of a peer or the next round.
    Nobody,
}
