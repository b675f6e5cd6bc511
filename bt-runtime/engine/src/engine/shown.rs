//! What a peer is told of our pieces: all of them, or what the piece policy lets it know of (super-seeding).
//!
//! What was once shown stays shown. While the policy hides nothing from a peer, no set is kept for it.

use bt_api::{Advertise, PieceIndex, PieceSet, PieceView, SwarmView};

use super::Engine;
use crate::event::{Dir, Event};
use crate::io::CloseReason;
use crate::wire::Message;

impl Engine {
    /// Sends the bitfield that the policy allows; says whether the peer is still there.
    pub(super) fn introduce(&mut self, at: usize) -> bool {
        let shown = match self.ask_advertise(at) {
            Advertise::All => self.pieces.have().clone(),
            Advertise::Only(mut shown) => {
                if shown.pieces() != self.pieces.count() {
                    self.piece_violation("advertised a set of another torrent");
                    shown = PieceSet::new(self.pieces.count());
                }
                let hidden: Vec<PieceIndex> =
                    shown.iter().filter(|&piece| !self.pieces.have().contains(piece)).collect();
                hidden.into_iter().for_each(|piece| {
                    shown.remove(piece);
                });
                self.connections[at].shown = Some(shown.clone());
                shown
            }
            Advertise::Close => {
                self.part(at, CloseReason::Policy);
                return false;
            }
        };
        let fast = self.connections[at].fast;
        if !shown.is_empty() || fast {
            let (peer, pieces) = (self.facts[at].key.0, Some(shown.count()));
            self.event(|_| Event::Have { peer, dir: Dir::To, piece: None, pieces });
            let message = match shown {
                _ if fast && shown.is_full() => Message::HaveAll,
                _ if fast && shown.is_empty() => Message::HaveNone,
                _ => Message::Bitfield(shown),
            };
            self.send(at, message);
        }
        true
    }

    /// Shows the peer what the policy lets it know of by now, and it does not know yet.
    pub(super) fn advertise(&mut self, at: usize) {
        let shown = match self.ask_advertise(at) {
            Advertise::Close => return self.part(at, CloseReason::Policy),
            Advertise::All if self.connections[at].shown.is_none() => return,
            Advertise::All => self.pieces.have().clone(),
            Advertise::Only(shown) if shown.pieces() == self.pieces.count() => shown,
            Advertise::Only(_) => return self.piece_violation("advertised a set of another torrent"),
        };
        // Before the policy hid anything, everything was shown.
        let known = self.connections[at].shown.get_or_insert_with(|| self.pieces.have().clone());
        let news: Vec<PieceIndex> = shown
            .iter()
            .filter(|&piece| self.pieces.have().contains(piece) && !known.contains(piece))
            .collect();
        for &piece in &news {
            known.insert(piece);
        }
        news.into_iter().for_each(|piece| self.send_have(at, piece));
    }

    /// Tells the peer of a piece that we just completed, where the policy lets it.
    pub(super) fn advertise_new(&mut self, at: usize, piece: PieceIndex) {
        match self.ask_advertise(at) {
            Advertise::Close => self.part(at, CloseReason::Policy),
            Advertise::All if self.connections[at].shown.is_none() => self.send_have(at, piece),
            _ => {
                // The set shown so far lacks the new piece: without a set, all that was had before.
                let had = || {
                    let mut had = self.pieces.have().clone();
                    had.remove(piece);
                    had
                };
                if self.connections[at].shown.is_none() {
                    self.connections[at].shown = Some(had());
                }
                self.advertise(at);
            }
        }
    }

    fn send_have(&mut self, at: usize, piece: PieceIndex) {
        let peer = self.facts[at].key.0;
        self.event(|_| Event::Have { peer, dir: Dir::To, piece: Some(piece.0), pieces: None });
        self.send(at, Message::Have(piece));
    }

    fn ask_advertise(&mut self, at: usize) -> Advertise {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.facts), self.endgame);
        let (now, peer) = (self.now, self.facts[at].key);
        self.picker.call(Advertise::All, |policy, rng| policy.advertise(now, peer, &view, rng))
    }

    /// Closes a peer as was decided. A fellow seed from which the policy hid pieces is told first that we are one: it
    /// would come again (SS-9).
    pub(super) fn part(&mut self, at: usize, reason: CloseReason) {
        let hid = self.connections[at].shown.as_ref().is_some_and(|shown| !shown.is_full());
        if hid && self.own.is_seed && self.facts[at].is_seed() {
            self.send(at, Message::Bitfield(self.pieces.have().clone()));
        }
        self.close(at, reason);
    }
}
