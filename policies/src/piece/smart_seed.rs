//! The smart seed of OctoSim: it lets every peer have the piece that it has served least.
//!
//! An ordinary seed sends what peers ask for, and who sees only a part of the swarm asks for some pieces many times
//! over before others were sent once. This one chooses itself: it poses as a peer that has little, and shows each peer
//! only what that peer is to take next. Unlike super-seeding it waits for nobody: who took a piece is shown the next at
//! once, and who is served is shown some pieces ahead, so that requests always wait here.
//!
//! A piece counts as served when a peer that was shown it announces it and was sent so many bytes, and while a peer that
//! is served knows of it and lacks it. No piece is shown to a peer while one that this peer lacks, and was not shown,
//! was served less often. So the counts of any two pieces differ by one at most, as long as each peer lacks some piece
//! that was served least and takes what it is shown. A peer that waits to be served is shown one piece, to want
//! something; others may be served that piece first if there is none that was served as little. What a choke leaves
//! unfinished goes before anything new when the peer is served again.
//!
//! While pieces are missing, everything is as with [`rarest_first`], and who is connected then
//! stays connected and knows of all pieces.
//!
//! Source: `-smartseed` of the simulator OctoSim; Bharambe, Herley and Padmanabhan (INFOCOM 2006). Its other half,
//! `-nsu`, that a choke does not interrupt a piece on its way, is a choker's business and not here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{
    Advertise, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex, PiecePolicy, PieceSet, PieceView,
    Pieces, Rng,
};
use serde::{Deserialize, Serialize};

use super::lowest::lowest;
use super::rarest_first::{self, RarestFirst};

/// How often all peers are looked at: for those just served, and those that got elsewhere what they were shown here.
const EVERY: Duration = Duration::from_secs(1);

/// Shows every peer the pieces that were served least; downloads the rarest first.
#[derive(Debug)]
pub struct SmartSeed {
    config: Config,
    download: RarestFirst,
    /// When all peers are looked at next; `None` while there is nobody.
    next_look: Option<Instant>,
    /// The peers that are here, and what they know.
    peers: BTreeMap<PeerKey, Known>,
    /// How often each piece was served.
    served: Vec<u32>,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Pieces that a peer who is served is shown and lacks.
    pub ahead: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { ahead: 2 }
    }
}

/// What one peer knows.
#[derive(Debug)]
enum Known {
    /// Everything: it came before we were a seed.
    All,
    /// Some pieces; it lacks those of `owed`. Of what it was sent, so many bytes are counted in pieces.
    Some { shown: PieceSet, owed: Vec<PieceIndex>, counted: u64 },
}

impl Plugin for SmartSeed {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "smart-seed";
    const SUMMARY: &'static str =
        "as a seed lets every peer have the piece that was served least; rarest first until then";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn PiecePolicy>)
    }
}
bt_api::register!(SmartSeed);

impl SmartSeed {
    /// A seed that has served nothing, or a leecher that has seen nothing.
    ///
    /// # Errors
    /// When `ahead` is 0.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.ahead == 0 {
            return Err(BuildError::new("ahead", "must be at least 1"));
        }
        let download = RarestFirst::new(rarest_first::Config::default());
        Ok(Self { config, download, next_look: None, peers: BTreeMap::new(), served: Vec::new() })
    }

    /// Looks at every peer: who is served and asks for nothing, or wants nothing, is shown one piece more.
    fn look(&mut self, now: Instant, view: &PieceView<'_>, rng: &mut dyn Rng) {
        self.next_look = Some(now + EVERY);
        for peer in view.swarm().peers() {
            let idle = !peer.am_choking && peer.queued == 0 && peer.unsent == 0;
            if !self.fill(peer, view, rng) && (idle || !peer.peer_interested) {
                self.show(peer, view, rng);
            }
        }
    }

    /// Shows `peer` as many pieces as it should know of and lack; says whether it did not know of so many.
    fn fill(&mut self, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> bool {
        let wanted = if peer.am_choking { 1 } else { self.config.ahead as usize };
        let Some(Known::Some { owed, .. }) = self.peers.get_mut(&peer.key) else { return false };
        owed.retain(|&piece| !peer.pieces.contains(piece));
        let known = owed.len();
        for _ in known..wanted {
            self.show(peer, view, rng);
        }
        known < wanted
    }

    /// Shows `peer` one piece more, if there is one that it lacks and was not shown: of those that were served least,
    /// one that the fewest peers who are not served may still come for, at random.
    fn show(&mut self, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) {
        let Some(Known::Some { shown, .. }) = self.peers.get(&peer.key) else { return };
        let mut levels: Vec<(u32, u32)> = self.served.iter().map(|&served| (served, 0)).collect();
        for other in view.swarm().peers() {
            let Some(Known::Some { owed, .. }) = self.peers.get(&other.key) else { continue };
            for piece in owed.iter().filter(|&&piece| !other.pieces.contains(piece)) {
                let (served, later) = &mut levels[piece.as_usize()];
                if other.am_choking { *later += 1 } else { *served += 1 }
            }
        }
        let may = |piece: PieceIndex| !peer.pieces.contains(piece) && !shown.contains(piece);
        let have = || view.pieces().have().iter().filter(|&piece| may(piece));
        let Some(least) = have().map(|piece| levels[piece.as_usize()]).min() else { return };
        let level = |piece: PieceIndex| u32::from(levels[piece.as_usize()] != least);
        let Some(next) = lowest(have(), level, |_| true, rng) else { return };
        if let Some(Known::Some { shown, owed, .. }) = self.peers.get_mut(&peer.key) {
            shown.insert(next);
            owed.push(next);
        }
    }

    /// Counts a piece that a peer announced, if it came from here.
    fn count(&mut self, peer: &PeerFacts, piece: PieceIndex, pieces: &Pieces) {
        let Some(Known::Some { owed, counted, .. }) = self.peers.get_mut(&peer.key) else { return };
        let Some(place) = owed.iter().position(|&one| one == piece) else { return };
        owed.remove(place);
        let length = u64::from(pieces.piece_length(piece));
        if peer.uploaded - *counted >= length {
            *counted += length;
            self.served[piece.as_usize()] += 1;
        }
    }
}

impl PiecePolicy for SmartSeed {
    fn pick(&mut self, now: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        self.download.pick(now, peer, view, rng)
    }

    fn notice(&mut self, now: Instant, event: PieceEvent, view: &PieceView<'_>, rng: &mut dyn Rng) {
        match event {
            PieceEvent::Announced(peer, piece) => {
                if let Some(peer) = view.swarm().peer(peer) {
                    self.count(peer, piece, view.pieces());
                }
            }
            PieceEvent::Gone(peer) => {
                self.peers.remove(&peer);
                if view.swarm().peers().is_empty() {
                    self.next_look = None;
                }
            }
            _ => {}
        }
        self.download.notice(now, event, view, rng);
    }

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        self.download.endgame(view)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        self.next_look
    }

    fn advertise(
        &mut self,
        now: Instant,
        peer: PeerKey,
        view: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Advertise {
        let pieces = view.pieces();
        let Some(facts) = view.swarm().peer(peer) else { return Advertise::Close };
        if pieces.left() > 0 {
            // A seed that lost a piece is a leecher again.
            self.peers.insert(peer, Known::All);
            self.next_look = None;
        }
        if matches!(self.peers.get(&peer), Some(Known::All)) {
            return Advertise::All;
        }
        self.served.resize(pieces.count() as usize, 0);
        match self.peers.entry(peer) {
            // Its bitfield may be on its way: what it lacks is known at the next look.
            Entry::Vacant(place) => {
                let shown = PieceSet::new(pieces.count());
                place.insert(Known::Some { shown, owed: Vec::new(), counted: facts.uploaded });
            }
            Entry::Occupied(_) if self.next_look.is_some_and(|due| due <= now) => self.look(now, view, rng),
            Entry::Occupied(_) => {
                self.fill(facts, view, rng);
            }
        }
        self.next_look.get_or_insert(now + EVERY);
        match self.peers.get(&peer) {
            Some(Known::Some { shown, .. }) => Advertise::Only(shown.clone()),
            _ => Advertise::All,
        }
    }
}

#[cfg(test)]
mod tests;
