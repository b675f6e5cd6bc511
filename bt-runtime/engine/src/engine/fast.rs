//! The fast extension (BEP 6), with peers that know it too where the profile rejects requests.
//!
//! Without it a request ends in silence: a choke means that none of those before it is answered. With it each request
//! is answered, by its block or by a reject, and a choke by itself ends none. So both ends know at each moment what is
//! under way, and a block that was on its way when a choke came is not lost. A peer may also say of some pieces that
//! it sends them while it chokes us, for a newcomer to begin with; we take the offer, and make none, since whom we
//! serve is the choke policy's choice. Suggestions are read and left: pieces are the piece policy's choice.

use bt_api::{BlockRef, PieceIndex};

use super::Engine;
use crate::event::{Dir, Event};
use crate::wire::Message;

/// Pieces that one peer may offer while it chokes us; clients offer about ten.
const MAX_ALLOWED: usize = 32;

impl Engine {
    /// Tells the peer that it will not get `block`; silence tells those that do not know the message.
    pub(super) fn reject(&mut self, at: usize, block: BlockRef) {
        if self.connections[at].fast {
            self.log_reject(at, Dir::To, block);
            self.send(at, Message::Reject(block));
        }
    }

    /// The peer will not send `block`: others are asked.
    pub(super) fn rejected(&mut self, at: usize, block: BlockRef) {
        let connection = &mut self.connections[at];
        // Of what was taken back the peer says so too.
        let Some(place) = connection.active.iter().position(|active| active.block == block) else { return };
        let active = connection.active.remove(place);
        connection.allowed.retain(|&piece| piece != block.piece);
        // One that serves us and says no is asked last, and little, until it sends something.
        connection.stalled |= !self.facts[at].peer_choking;
        self.facts[at].requested = self.connections[at].active.len() as u32;
        self.due.unsettled.insert(at);
        self.log_reject(at, Dir::From, block);
        self.release(self.facts[at].key, vec![active]);
    }

    /// The peer sends `piece` although it chokes us.
    pub(super) fn allowed_fast(&mut self, at: usize, piece: PieceIndex) {
        let connection = &mut self.connections[at];
        if !connection.fast || connection.allowed.len() >= MAX_ALLOWED || connection.allowed.contains(&piece)
        {
            return;
        }
        connection.allowed.push(piece);
        self.due.hungry.insert(at);
    }

    /// What of `only`, or of all pieces, the peer may be asked for while it chokes us.
    pub(super) fn allowed_of(&self, at: usize, only: Option<&[PieceIndex]>) -> Vec<PieceIndex> {
        let allowed = self.connections[at].allowed.iter().copied();
        allowed.filter(|piece| only.is_none_or(|only| only.contains(piece))).collect()
    }

    fn log_reject(&mut self, at: usize, dir: Dir, block: BlockRef) {
        let peer = self.facts[at].key.0;
        let BlockRef { piece, begin, length } = block;
        self.event(|_| Event::Reject { peer, dir, piece: piece.0, begin, length });
    }
}
