//! Super-seeding (BEP 16): a seed that shows each peer one piece, and the next one once that piece was passed on.
//!
//! An ordinary first seed sends some pieces many times over before it has sent all of them once. This one poses as
//! a peer that has nothing, tells each peer of a single piece that nobody else was told of, and tells it of another
//! when peers announce the first. So nearly every block that it sends is one that the swarm lacks.
//!
//! A policy holds a [`SuperSeed`] and hands it `notice`, `advertise` and `next_wakeup`. While pieces are missing
//! nothing is hidden; the last one switches it on, for which all connections are closed (SS-1).
//!
//! Source: the rules `SS-1` to `SS-9` of BitTornado. Two of them are the engine's: a request for what was not
//! shown closes (SS-8), and a fellow seed is told that we are one before it is closed (SS-9). Where BitTornado asks
//! its choker how many candidates for an unchoke the last round had, the peers that are interested now are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bt_api::{Advertise, Instant, PeerFacts, PeerKey, PieceEvent, PieceIndex, PieceSet, PieceView, Rng, rng};

use super::lowest::lowest;

/// How often all peers are looked at (SS-2).
const EVERY: Duration = Duration::from_secs(5);
/// Bitfields arrive for so long before the first piece is shown (SS-3).
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// Announcements after which a peer has passed its piece on: its own, and one by somebody who got it (SS-4).
const PASSED_ON: u32 = 2;
/// A peer that was never interested when so many of its pieces were passed on is closed (SS-6).
const MAX_IDLE: u32 = 3;
/// Peers that left whose pieces are remembered: a bound against a flood of connections.
const MAX_LEFT: usize = 1024;

/// What such a seed remembers.
#[derive(Debug)]
pub(super) struct SuperSeed {
    /// While fewer peers than this are interested, pieces are shown more freely (SS-2).
    slots: usize,
    /// When all peers are looked at next; `None` while there is nobody.
    next_look: Option<Instant>,
    first_look: Option<Instant>,
    /// The peers that connected while all pieces were had.
    peers: BTreeMap<PeerKey, Shown>,
    /// The peers that were shown everything, before.
    open: BTreeSet<PeerKey>,
    /// Peers about which there is something new, since when, and the engine was not told yet.
    news: BTreeSet<PeerKey>,
    news_since: Instant,
    /// How often each piece was shown to a peer (SS-7).
    shown: Vec<u32>,
    /// How often each piece was announced since it was last shown to a peer (SS-4).
    announced: Vec<u32>,
    /// The last piece that was shown to a peer of this address, which left (SS-5).
    left: BTreeMap<IpAddr, PieceIndex>,
}

/// What one peer was shown.
#[derive(Debug)]
struct Shown {
    address: IpAddr,
    pieces: PieceSet,
    last: Option<PieceIndex>,
    /// Whether it had `last` from an earlier connection (SS-5).
    came_back: bool,
    was_interested: bool,
    /// How many of its pieces were passed on while it was never interested (SS-6).
    idle: u32,
    close: bool,
}

impl SuperSeed {
    /// Pieces are shown more freely while fewer than `slots` peers are interested.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots,
            next_look: None,
            first_look: None,
            peers: BTreeMap::new(),
            open: BTreeSet::new(),
            news: BTreeSet::new(),
            news_since: Instant::ZERO,
            shown: Vec::new(),
            announced: Vec::new(),
            left: BTreeMap::new(),
        }
    }

    /// When [`advertise`](Self::advertise) wants to be asked for every peer.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        if self.news.is_empty() { self.next_look } else { Some(self.news_since) }
    }

    pub(super) fn notice(&mut self, event: PieceEvent, view: &PieceView<'_>) {
        match event {
            PieceEvent::Announced(_, piece) => {
                if let Some(announced) = self.announced.get_mut(piece.as_usize()) {
                    *announced += 1;
                }
            }
            PieceEvent::Gone(peer) => {
                self.open.remove(&peer);
                self.news.remove(&peer);
                if let Some(Shown { address, last: Some(last), .. }) = self.peers.remove(&peer) {
                    self.left.insert(address, last);
                    if self.left.len() > MAX_LEFT {
                        self.left.pop_first();
                    }
                }
                if view.swarm().peers().is_empty() {
                    self.next_look = None;
                }
            }
            _ => {}
        }
    }

    /// What `peer` may know of.
    pub(super) fn advertise(
        &mut self,
        now: Instant,
        peer: PeerKey,
        view: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Advertise {
        let pieces = view.pieces();
        if pieces.left() > 0 {
            // A seed that lost a piece is a leecher again, and has told some peers less than it has.
            self.open.insert(peer);
            self.peers.remove(&peer);
            self.news.remove(&peer);
            (self.next_look, self.first_look) = (None, None);
            return Advertise::All;
        }
        let Some(facts) = view.swarm().peer(peer) else { return Advertise::Close };
        if self.open.contains(&peer) || facts.is_seed() {
            return Advertise::Close;
        }
        self.shown.resize(pieces.count() as usize, 0);
        self.announced.resize(pieces.count() as usize, 0);
        self.next_look.get_or_insert(now + EVERY);
        if !self.peers.contains_key(&peer) {
            self.welcome(now, facts);
            // No bitfield, whatever it was shown before: `have` messages tell it (SS-1).
            return Advertise::Only(PieceSet::new(pieces.count()));
        }
        if self.next_look.is_some_and(|due| due <= now) {
            self.look(now, view, rng);
        }
        self.news.remove(&peer);
        match self.peers.get(&peer) {
            Some(shown) if !shown.close => Advertise::Only(shown.pieces.clone()),
            _ => Advertise::Close,
        }
    }

    /// A peer that comes back is still to pass on what it was shown last (SS-5).
    fn welcome(&mut self, now: Instant, peer: &PeerFacts) {
        let address = peer.address.ip();
        let last = self.left.remove(&address);
        let mut pieces = PieceSet::new(peer.pieces.pieces());
        if let Some(last) = last {
            pieces.insert(last);
            self.tell(now, peer.key);
        }
        let came_back = last.is_some();
        let shown = Shown { address, pieces, last, came_back, was_interested: false, idle: 0, close: false };
        self.peers.insert(peer.key, shown);
    }

    fn tell(&mut self, now: Instant, peer: PeerKey) {
        self.news.insert(peer);
        self.news_since = now;
    }

    /// Looks at every peer (SS-2).
    fn look(&mut self, now: Instant, view: &PieceView<'_>, rng: &mut dyn Rng) {
        self.next_look = Some(now + EVERY);
        let first = *self.first_look.get_or_insert(now);
        if now < first + FIRST_WAIT {
            return;
        }
        let interested = view.swarm().peers().iter().filter(|peer| peer.peer_interested).count();
        let mut free = self.slots.saturating_sub(interested);
        let mut peers: Vec<PeerKey> = self.peers.keys().copied().collect();
        if free > 0 {
            rng::shuffle(rng, &mut peers);
        }
        for peer in peers {
            let Some(facts) = view.swarm().peer(peer) else { continue };
            if self.visit(facts, free > 0, view, rng) {
                free = free.saturating_sub(1);
            } else if !self.peers[&peer].close {
                continue;
            }
            self.tell(now, peer);
        }
    }

    /// Shows `peer` one more piece if it is its turn; `freely`: as soon as anybody has announced its last one. Says
    /// whether it was shown one.
    fn visit(&mut self, peer: &PeerFacts, freely: bool, view: &PieceView<'_>, rng: &mut dyn Rng) -> bool {
        let Some(shown) = self.peers.get_mut(&peer.key) else { return false };
        shown.was_interested |= peer.peer_interested || peer.uploaded > 0;
        if let Some(last) = shown.last {
            let needed = if freely { 1 } else { PASSED_ON + u32::from(shown.came_back) };
            if self.announced[last.as_usize()] < needed {
                return false;
            }
            if !shown.was_interested {
                shown.idle += 1;
                shown.close = shown.idle == MAX_IDLE;
                if shown.close {
                    return false;
                }
            }
        }
        // SS-7: one of those that fewest peers have or were shown, at random.
        let level = |piece: PieceIndex| view.pieces().availability(piece) + self.shown[piece.as_usize()];
        let may = |piece| !peer.pieces.contains(piece) && !shown.pieces.contains(piece);
        let next = lowest(view.pieces().have().iter(), level, may, rng);
        // It knows of all that it lacks: there is nothing to show it, but it is no seed either.
        let Some(piece) = next else { return false };
        shown.pieces.insert(piece);
        (shown.last, shown.came_back) = (Some(piece), false);
        self.shown[piece.as_usize()] += 1;
        self.announced[piece.as_usize()] = 0;
        true
    }
}
