//! The policies among the odd ones.

use std::time::Duration;

use super::{Config, LIES, Methods, PANICS, odd};
use crate::block::{BlockRef, PieceIndex, PieceSet};
use crate::choke::{Cause, ChokePolicy, Notice, PeerEvent, Reason, Serve, Unchokes, Waiting};
use crate::piece::{Advertise, Pick, PieceEvent, PiecePolicy};
use crate::pieces::PieceView;
use crate::plugin::BuildError;
use crate::rng::Rng;
use crate::time::Instant;
use crate::view::{PeerFacts, PeerKey, SwarmView};

/// Whom nobody knows.
const NOBODY: PeerKey = PeerKey(u32::MAX);

/// What is wrong, and towards whom, of a policy: it sees of which torrent it is when it is first shown a view.
struct Towards {
    config: Config,
    /// The length of the pieces of the one torrent.
    one: Option<u32>,
    is_it: bool,
}

impl Towards {
    fn new(config: Config) -> Result<Self, BuildError> {
        let one = config.piece_length()?;
        Ok(Self { config, one, is_it: one.is_none() })
    }

    fn reach(&self, method: &str) -> bool {
        self.is_it && self.config.reach(method)
    }

    fn reach_in(&mut self, method: &str, piece_length: u32) -> bool {
        self.is_it |= self.one == Some(piece_length);
        self.reach(method)
    }
}

/// Serves everyone, and looks every second and whenever something happens.
///
/// It lies in `next-round` (it is always time), `max-interested` (one, and it serves more), `choose` (a peer that is not
/// there, and each other twice) and `serve` (in turn a peer and a block that do not wait).
pub struct OddChoke {
    odd: Towards,
    next: Instant,
    served_nobody: bool,
}

const CHOKE: Methods =
    &[("next-round", LIES), ("max-interested", LIES), ("notice", PANICS), ("choose", LIES), ("serve", LIES)];
odd!(OddChoke: Choke, ChokePolicy, CHOKE, |config| {
    Ok(OddChoke { odd: Towards::new(config)?, next: Instant::ZERO, served_nobody: false })
});

impl ChokePolicy for OddChoke {
    fn next_round(&self) -> Instant {
        if self.odd.reach("next-round") { Instant::ZERO } else { self.next }
    }

    fn max_interested(&self) -> usize {
        if self.odd.reach("max-interested") { 1 } else { usize::MAX }
    }

    fn notice(&mut self, _: Instant, _: PeerEvent<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        self.odd.reach_in("notice", swarm.own().piece_length);
        Notice::Rechoke
    }

    fn choose(
        &mut self,
        now: Instant,
        _: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        self.next = now + Duration::from_secs(1);
        let mut serve_all = |reason| swarm.peers().iter().for_each(|peer| unchokes.push(peer.key, reason));
        serve_all(Reason::EVERYONE);
        if self.odd.reach_in("choose", swarm.own().piece_length) {
            serve_all(Reason::RANDOM);
            unchokes.push(NOBODY, Reason::RANDOM);
        }
    }

    fn serve(&mut self, _: Instant, waiting: &Waiting<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        if !self.odd.reach_in("serve", swarm.own().piece_length) {
            return Serve::ByShare;
        }
        self.served_nobody = !self.served_nobody;
        match waiting.iter().next() {
            Some(queue) if !self.served_nobody => {
                Serve::Block(queue.peer, BlockRef { piece: PieceIndex(u32::MAX), begin: 3, length: 9 })
            }
            _ => Serve::Peer(NOBODY),
        }
    }
}

impl Drop for OddChoke {
    fn drop(&mut self) {
        self.odd.reach("drop");
    }
}

/// Asks for pieces in order.
///
/// It lies in `pick` (a piece that there is not) and `advertise` (one piece more than there are).
pub struct OddPiece(Towards);

const PIECE: Methods =
    &[("pick", LIES), ("notice", PANICS), ("endgame", PANICS), ("next-wakeup", PANICS), ("advertise", LIES)];
odd!(OddPiece: Piece, PiecePolicy, PIECE, |config| Ok(OddPiece(Towards::new(config)?)));

impl OddPiece {
    fn reach_in(&mut self, method: &str, view: &PieceView<'_>) -> bool {
        self.0.reach_in(method, view.pieces().piece_length(PieceIndex(0)))
    }
}

impl PiecePolicy for OddPiece {
    fn pick(&mut self, _: Instant, peer: &PeerFacts, view: &PieceView<'_>, _: &mut dyn Rng) -> Pick {
        if self.reach_in("pick", view) {
            return Pick::Piece(PieceIndex(u32::MAX));
        }
        let offered = view.pieces().open().iter().find(|&piece| view.offers(peer, piece));
        offered.map_or(Pick::Nothing, Pick::Piece)
    }

    fn notice(&mut self, _: Instant, _: PieceEvent, view: &PieceView<'_>, _: &mut dyn Rng) {
        self.reach_in("notice", view);
    }

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        self.reach_in("endgame", view);
        false
    }

    fn next_wakeup(&self) -> Option<Instant> {
        self.0.reach("next-wakeup");
        None
    }

    fn advertise(&mut self, _: Instant, _: PeerKey, view: &PieceView<'_>, _: &mut dyn Rng) -> Advertise {
        match self.reach_in("advertise", view) {
            true => Advertise::Only(PieceSet::full(view.pieces().count() + 1)),
            false => Advertise::All,
        }
    }
}

impl Drop for OddPiece {
    fn drop(&mut self) {
        self.0.reach("drop");
    }
}
