//! Endgame: once every block was asked for, the last ones are asked of several peers, so that one slow peer
//! does not hold up the end.

use bt_api::{PeerFacts, Pick, PieceView, Rng, rng};

/// Whether endgame has begun, by the rules of 3.4.2 (SW-19, DL-16).
#[derive(Debug)]
pub(super) struct Endgame {
    enabled: bool,
    sticky: bool,
    begun: bool,
}

impl Endgame {
    /// `sticky`: what has begun does not end when a block is open again.
    pub(super) fn new(enabled: bool, sticky: bool) -> Self {
        Self { enabled, sticky, begun: false }
    }

    /// Whether it is on now: it begins when no block is open and pieces are missing.
    pub(super) fn is_on(&mut self, view: &PieceView<'_>) -> bool {
        let now = self.enabled && view.pieces().open_bytes() == 0 && view.pieces().left() > 0;
        self.begun = now || (self.sticky && self.begun);
        self.begun
    }
}

/// A block drawn at random from all that `peer` can still send us, asked of others or not (DL-13).
pub(super) fn pick(peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
    let count = u32::try_from(view.missing_blocks_of(peer).count()).unwrap_or(u32::MAX);
    if count == 0 {
        return Pick::Nothing;
    }
    let drawn = rng::below(rng, count) as usize;
    view.missing_blocks_of(peer).nth(drawn).map_or(Pick::Nothing, Pick::Block)
}
