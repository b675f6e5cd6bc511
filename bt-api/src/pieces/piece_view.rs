//! What a piece policy sees of the pieces.

use super::Pieces;
use crate::block::{BlockRef, PieceIndex};
use crate::oracle::Oracle;
use crate::view::{PeerFacts, SwarmView};

/// The pieces as a piece policy sees them: the whole table, and what one peer offers of it.
#[derive(Clone, Copy, Debug)]
pub struct PieceView<'a> {
    pieces: &'a Pieces,
    swarm: SwarmView<'a>,
    only: Option<&'a [PieceIndex]>,
    withheld: &'a [PieceIndex],
    endgame: bool,
}

impl<'a> PieceView<'a> {
    /// A view of all of `pieces`; `endgame` says whether duplicate requests are allowed now.
    pub fn new(pieces: &'a Pieces, swarm: SwarmView<'a>, endgame: bool) -> Self {
        Self { pieces, swarm, only: None, withheld: &[], endgame }
    }

    /// The same view, offering nothing but `only`: the pieces that were just freed (DL-8, DL-9).
    pub fn restricted(self, only: &'a [PieceIndex]) -> Self {
        Self { only: Some(only), ..self }
    }

    /// The same view, without offering `withheld`: pieces that failed their hash, which another peer is asked for
    /// alone so that who garbles them is found.
    pub fn withholding(self, withheld: &'a [PieceIndex]) -> Self {
        Self { withheld, ..self }
    }

    /// The table: availability, started pieces, what we have.
    pub fn pieces(&self) -> &'a Pieces {
        self.pieces
    }

    /// The swarm, for policies that weigh other peers or what they hold.
    pub fn swarm(&self) -> SwarmView<'a> {
        self.swarm
    }

    /// The counts of the whole swarm: in `bt-lab`, for a plug-in that is [for the lab only](crate::Plugin::LAB_ONLY).
    pub fn oracle(&self) -> Option<&'a Oracle> {
        self.pieces.oracle()
    }

    /// The pieces that are offered, when not all are: those just freed.
    pub fn only(&self) -> Option<&'a [PieceIndex]> {
        self.only
    }

    /// Whether the policy has begun its endgame, so that blocks may be asked for twice.
    pub fn endgame(&self) -> bool {
        self.endgame
    }

    /// Whether `piece` may be asked of `peer`: it has the piece, a block of it is open, and it is offered.
    pub fn offers(&self, peer: &PeerFacts, piece: PieceIndex) -> bool {
        self.pieces.is_open(piece)
            && peer.pieces.contains(piece)
            && self.only.is_none_or(|only| only.contains(&piece))
            && !self.withheld.contains(&piece)
    }

    /// The blocks that are not here, that `peer` has, and that it was not asked for: what may be asked of it
    /// in endgame (DL-13, DL-15). Those of fresh pieces are among them: a piece that failed is wanted again (DL-11).
    pub fn missing_blocks_of(&self, peer: &'a PeerFacts) -> impl Iterator<Item = BlockRef> + use<'a> {
        let withheld = self.withheld;
        self.pieces.missing_blocks_where(
            move |piece| peer.pieces.contains(piece) && !withheld.contains(&piece),
            move |block| !block.is_requested_of(peer.key),
        )
    }
}
