//! What pickers share that do no more than choose pieces: endgame as in 3.4.2, and peers may know of all that we have.

use bt_api::{
    Advertise, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex, PiecePolicy, PieceView, Rng, rng,
};

use super::endgame::{self, Endgame};

/// How a picker chooses outside of endgame.
pub(super) trait Choose: Send {
    /// Whether the last blocks are asked of several peers; what has begun does not end.
    fn endgame(&self) -> bool;

    /// The piece to ask `peer` for next, of those that `view` offers.
    fn choose(
        &mut self,
        now: Instant,
        peer: &PeerFacts,
        view: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Option<PieceIndex>;

    /// Told what became of pieces and peers.
    fn notice(&mut self, now: Instant, event: PieceEvent, view: &PieceView<'_>) {
        let _ = (now, event, view);
    }
}

/// The policy around a choice.
#[derive(Debug)]
pub(super) struct Plain<C> {
    choice: C,
    endgame: Endgame,
}

impl<C: Choose> Plain<C> {
    pub(super) fn new(choice: C) -> Self {
        Self { endgame: Endgame::new(choice.endgame(), true), choice }
    }

    pub(super) fn boxed(choice: C) -> Box<dyn PiecePolicy>
    where
        C: 'static,
    {
        Box::new(Self::new(choice))
    }
}

impl<C: Choose> PiecePolicy for Plain<C> {
    fn pick(&mut self, now: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        if view.endgame() {
            return endgame::pick(peer, view, rng);
        }
        self.choice.choose(now, peer, view, rng).map_or(Pick::Nothing, Pick::Piece)
    }

    fn notice(&mut self, now: Instant, event: PieceEvent, view: &PieceView<'_>, _: &mut dyn Rng) {
        self.choice.notice(now, event, view);
    }

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        self.endgame.is_on(view)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        None
    }

    fn advertise(&mut self, _: Instant, _: PeerKey, _: &PieceView<'_>, _: &mut dyn Rng) -> Advertise {
        Advertise::All
    }
}

/// The begun piece that `peer` may go on with: the one that was begun first. A half piece is of use to nobody.
///
/// As in 3.4.2 a seed goes on only with what a seed began (PP-13): else everybody asks it for pieces that others have
/// too, and not for those that only it has. Without this rule thirty peers and one seed took a third longer.
pub(super) fn begun(peer: &PeerFacts, view: &PieceView<'_>) -> Option<PieceIndex> {
    let (pieces, seed) = (view.pieces(), peer.is_seed());
    let may = |piece| !seed || pieces.is_started_by_seed(piece);
    pieces.started().iter().copied().find(|&piece| may(piece) && view.offers(peer, piece))
}

/// The rarest of the pieces that `peer` may be asked for and that are wanted; of equals the first in the random order
/// of the table.
pub(super) fn rarest(
    peer: &PeerFacts,
    view: &PieceView<'_>,
    wanted: impl Fn(PieceIndex) -> bool,
) -> Option<PieceIndex> {
    let levels = view.pieces().levels().iter().flatten().copied();
    levels.into_iter().find(|&piece| wanted(piece) && view.offers(peer, piece))
}

/// One of the pieces that `peer` may be asked for and that are wanted, each as likely as any other.
pub(super) fn any(
    peer: &PeerFacts,
    view: &PieceView<'_>,
    wanted: impl Fn(PieceIndex) -> bool,
    rng: &mut dyn Rng,
) -> Option<PieceIndex> {
    let offered = || view.pieces().open().iter().filter(|&piece| view.offers(peer, piece) && wanted(piece));
    let count = u32::try_from(offered().count()).unwrap_or(u32::MAX);
    if count == 0 {
        return None;
    }
    offered().nth(rng::below(rng, count) as usize)
}
