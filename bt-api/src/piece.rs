//! Choosing what to ask for and what to show: the trait of the second kind of plug-in.

use rand::Rng;

use crate::block::{BlockRef, PieceIndex, PieceSet};
use crate::pieces::PieceView;
use crate::time::Instant;
use crate::view::{PeerFacts, PeerKey};

/// Chooses what to ask a peer for, when to ask twice, and what to let peers know of.
///
/// One value serves one torrent. As with a [`ChokePolicy`](crate::ChokePolicy), the engine calls it, one
/// method at a time, and checks what it answers: a piece that the peer lacks, that we have, or of which no
/// block is open is counted and reported as a `policy_violation`, and nothing is asked for.
pub trait PiecePolicy: Send {
    /// What to ask `peer` for next. Called while `peer` serves us and has room in its queue of requests,
    /// again after each answer that was carried out. [`Pick::Nothing`] is always legal, also when
    /// something useful is offered: asked again when a piece, a block or a peer changed, and at
    /// [`next_wakeup`](Self::next_wakeup).
    fn pick(&mut self, now: Instant, peer: &PeerFacts, pieces: &PieceView<'_>, rng: &mut dyn Rng) -> Pick;

    /// Told what became of pieces and peers.
    fn notice(&mut self, now: Instant, event: PieceEvent, pieces: &PieceView<'_>, rng: &mut dyn Rng);

    /// Whether blocks may be asked of several peers from now on; asked when a block was handed out or freed.
    /// While it is so, peers that have nothing but blocks already asked of others interest us too, and
    /// [`Pick::Block`] may name such a block. A policy without endgame answers `false`.
    fn endgame(&mut self, pieces: &PieceView<'_>) -> bool;

    /// When [`advertise`](Self::advertise) and [`pick`](Self::pick) next want to be asked for every peer,
    /// if ever without an event.
    fn next_wakeup(&self) -> Option<Instant>;

    /// Which of our pieces `peer` may know of now. Asked when the peer connects (the answer becomes the
    /// bitfield), after each piece that we complete, when the peer announces a piece, and at
    /// [`next_wakeup`](Self::next_wakeup). What was once shown stays shown. [`Advertise::All`] suits every
    /// policy that hides nothing. One that hides something shows each piece to somebody in time once it is a seed: what
    /// nobody knows of cannot be asked for.
    fn advertise(
        &mut self,
        now: Instant,
        peer: PeerKey,
        pieces: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Advertise;
}

/// A policy in a box is one, as a policy that wraps another holds it.
impl<P: PiecePolicy + ?Sized> PiecePolicy for Box<P> {
    fn pick(&mut self, now: Instant, peer: &PeerFacts, pieces: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        (**self).pick(now, peer, pieces, rng)
    }

    fn notice(&mut self, now: Instant, event: PieceEvent, pieces: &PieceView<'_>, rng: &mut dyn Rng) {
        (**self).notice(now, event, pieces, rng);
    }

    fn endgame(&mut self, pieces: &PieceView<'_>) -> bool {
        (**self).endgame(pieces)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        (**self).next_wakeup()
    }

    fn advertise(
        &mut self,
        now: Instant,
        peer: PeerKey,
        pieces: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Advertise {
        (**self).advertise(now, peer, pieces, rng)
    }
}

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The lowest open block of this piece.
    Piece(PieceIndex),
    /// This block; in endgame it may be one that was asked of others.
    Block(BlockRef),
    /// Nothing now.
    Nothing,
}

/// What became of a piece or a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PieceEvent {
    /// `peer` was asked for a block.
    Requested {
        /// The block.
        block: BlockRef,
        /// Who was asked.
        peer: PeerKey,
        /// Whether that peer has every piece.
        from_seed: bool,
    },
    /// The piece is verified and stored.
    Completed(PieceIndex),
    /// The piece failed its hash and is fresh again.
    Failed(PieceIndex),
    /// `peer` announced that it has the piece.
    Announced(PeerKey, PieceIndex),
    /// The handshake with the peer is complete.
    Connected(PeerKey),
    /// The peer is gone.
    Gone(PeerKey),
}

/// What a peer may know of our pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advertise {
    /// All that we have.
    All,
    /// These, as far as we have them; and all that it was shown before. A request for any other closes it (SS-8).
    Only(PieceSet),
    /// Close the connection: the peer is of no use to this policy. When both of us have everything and something was
    /// hidden from the peer, it is told of all pieces first, so that it does not come again (SS-9).
    Close,
}
