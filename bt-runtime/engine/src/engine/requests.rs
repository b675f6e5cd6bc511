//! What is asked of whom: interest, the backlog of requests, blocks that arrive, endgame.
//!
//! We are interested in a peer exactly while it has a piece with an open block, or owes us a block, or in
//! endgame has a block that is missing (DL-4, DL-18). That is looked at once after each input, and set early where
//! a request is about to be sent.

use bt_api::{BlockRef, PeerEvent, PeerKey, Pick, PieceEvent, PieceIndex, PieceView, SwarmView, rng};

use super::Engine;
use super::peers::Active;
use crate::event::{Dir, Event};
use crate::io::{Output, Tag};
use crate::settings::{BacklogMode, RequestSettings};
use crate::wire::Message;

impl Engine {
    /// DL-7.
    pub(super) fn choked_us(&mut self, at: usize) {
        let facts = &mut self.facts[at];
        if facts.peer_choking {
            return;
        }
        facts.peer_choking = true;
        let peer = facts.key;
        self.event(|_| Event::Choke { peer: peer.0, dir: Dir::From });
        self.due.unsettled.insert(at);
        // Who knows the fast extension says no to each (BEP 6).
        if !self.connections[at].fast {
            self.facts[at].requested = 0;
            let active = std::mem::take(&mut self.connections[at].active);
            self.release(peer, active);
        }
        self.notice_choke(PeerEvent::ChokedUs(peer));
    }

    /// DL-7.
    pub(super) fn unchoked_us(&mut self, at: usize) {
        let facts = &mut self.facts[at];
        if !facts.peer_choking {
            return;
        }
        facts.peer_choking = false;
        facts.peer_unchoked = Some(self.now);
        let peer = facts.key;
        self.event(|_| Event::Unchoke { peer: peer.0, dir: Dir::From, reason: None });
        self.due.hungry.insert(at);
        self.notice_choke(PeerEvent::UnchokedUs(peer));
    }

    /// `peer` will not answer `requests`: their blocks are offered to the others, in random order (DL-8).
    pub(super) fn release(&mut self, peer: PeerKey, requests: Vec<Active>) {
        let mut freed: Vec<PieceIndex> = Vec::new();
        for request in requests {
            let piece = request.block.piece;
            let was_open = self.pieces.is_open(piece);
            if self.pieces.release(request.block, peer) && !freed.contains(&piece) {
                freed.push(piece);
            }
            self.count_open(piece, was_open);
        }
        if !freed.is_empty() {
            self.offer(&freed);
        }
    }

    /// Asks every peer that serves us and has room for blocks of `pieces`, in random order.
    pub(super) fn offer(&mut self, pieces: &[PieceIndex]) {
        let mut peers: Vec<PeerKey> =
            self.facts.iter().filter(|facts| !facts.peer_choking).map(|facts| facts.key).collect();
        rng::shuffle(&mut self.rng, &mut peers);
        // Who answers nothing is asked last.
        peers.sort_by_key(|&peer| self.at(peer).is_some_and(|at| self.connections[at].stalled));
        for peer in peers {
            if let Some(at) = self.at(peer) {
                self.ask_for_more(at, Some(pieces));
            }
        }
    }

    /// Keeps each peer's count of useful pieces true when `piece` may have gained or lost its open blocks.
    pub(super) fn count_open(&mut self, piece: PieceIndex, was_open: bool) {
        let is_open = self.pieces.is_open(piece);
        if is_open == was_open {
            return;
        }
        for (at, (facts, connection)) in self.facts.iter().zip(&mut self.connections).enumerate() {
            if facts.pieces.contains(piece) {
                connection.useful = if is_open { connection.useful + 1 } else { connection.useful - 1 };
                self.due.unsettled.insert(at);
            }
        }
    }

    /// Something changed that policies which held off may care about.
    pub(super) fn wake_held_off(&mut self) {
        self.due.hungry.take_over(&mut self.due.held_off);
    }

    /// Everybody is asked again.
    pub(super) fn requests_may_change(&mut self) {
        self.due.hungry.fill(self.facts.len());
    }

    pub(super) fn settle_requests(&mut self) {
        // Asking one can make others hungry only by beginning the endgame, which happens once.
        let mut from = 0;
        while let Some(at) = self.due.hungry.take_next(from) {
            self.ask_for_more(at, None);
            from = at + 1;
        }
        // DL-6.
        if std::mem::take(&mut self.endgame_began) {
            (0..self.connections.len()).for_each(|at| self.ask_for_more(at, None));
        }
    }

    /// Fills the peer's backlog (DL-2, DL-3), in endgame too (DL-14); with `only`, from these pieces.
    pub(super) fn ask_for_more(&mut self, at: usize, only: Option<&[PieceIndex]>) {
        if self.own.is_seed || self.trouble.pauses() {
            return;
        }
        let choking = self.facts[at].peer_choking;
        let allowed = if choking { self.allowed_of(at, only) } else { Vec::new() };
        if choking && (allowed.is_empty() || self.endgame) {
            return;
        }
        let only = if choking { Some(&allowed[..]) } else { only };
        let backlog = self.backlog(at);
        let withheld = self.withheld(at);
        while self.connections[at].active.len() < backlog {
            if self.connections[at].useful == 0 && !self.endgame {
                break;
            }
            let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.facts), self.endgame);
            let view = only.map_or(view, |only| view.restricted(only)).withholding(&withheld);
            let (now, facts) = (self.now, &self.facts[at]);
            let pick = self.picker.call(Pick::Nothing, |policy, rng| policy.pick(now, facts, &view, rng));
            let block = match pick {
                Pick::Nothing => {
                    self.due.held_off.insert(at);
                    break;
                }
                Pick::Piece(piece) if view.offers(facts, piece) => self.take_block(at, piece),
                Pick::Block(block)
                    if facts.pieces.contains(block.piece)
                        && !withheld.contains(&block.piece)
                        && (!choking || allowed.contains(&block.piece)) =>
                {
                    self.take_exactly(at, block)
                }
                Pick::Piece(_) | Pick::Block(_) => None,
            };
            let Some(block) = block else {
                self.piece_violation("picked what the peer lacks, we have, or is not open");
                self.due.held_off.insert(at);
                break;
            };
            self.request(at, block);
        }
    }

    fn take_block(&mut self, at: usize, piece: PieceIndex) -> Option<BlockRef> {
        let (peer, from_seed) = (self.facts[at].key, self.facts[at].is_seed());
        self.note_start(at, piece);
        let was_open = self.pieces.is_open(piece);
        let block = self.pieces.request(piece, peer, from_seed);
        self.count_open(piece, was_open);
        block
    }

    fn take_exactly(&mut self, at: usize, block: BlockRef) -> Option<BlockRef> {
        let (peer, from_seed) = (self.facts[at].key, self.facts[at].is_seed());
        if !self.endgame && !self.pieces.is_block_open(block) {
            return None;
        }
        self.note_start(at, block.piece);
        let was_open = self.pieces.is_open(block.piece);
        let taken = self.pieces.mark_requested(block, peer, from_seed);
        self.count_open(block.piece, was_open);
        taken.then_some(block)
    }

    /// Logs that a piece is begun, with how rare it is and how rare the rarest choice was.
    fn note_start(&mut self, at: usize, piece: PieceIndex) {
        if !self.log || self.pieces.has_progress(piece) {
            return;
        }
        let (peer, availability) = (self.facts[at].key.0, self.pieces.availability(piece));
        let fresh = |&other: &PieceIndex| {
            self.facts[at].pieces.contains(other)
                && self.pieces.is_open(other)
                && !self.pieces.has_progress(other)
        };
        let rarest = self.pieces.levels().iter().position(|level| level.iter().any(fresh));
        let rarest = rarest.map_or(availability, |level| level as u32);
        self.event(|_| Event::PieceStarted { piece: piece.0, peer, availability, rarest });
    }

    fn request(&mut self, at: usize, block: BlockRef) {
        if !self.facts[at].am_interested {
            self.set_interest(at, true);
        }
        self.connections[at].active.push(Active { block, at: self.now });
        let snub_time = self.settings.requests.snub_time.get();
        self.peers.snub_check = self.peers.snub_check.min(self.now + snub_time);
        self.due.unsettled.insert(at);
        let facts = &mut self.facts[at];
        facts.requested += 1;
        let (peer, from_seed) = (facts.key, facts.is_seed());
        self.event(|_| Event::Request {
            peer: peer.0,
            dir: Dir::To,
            piece: block.piece.0,
            begin: block.begin,
            length: block.length,
        });
        self.send(at, Message::Request(block));
        self.guard.asked(block.piece, peer, self.now);
        self.notice_picker(PieceEvent::Requested { block, peer, from_seed });
        self.look_for_endgame();
    }

    pub(super) fn look_for_endgame(&mut self) {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &self.facts), self.endgame);
        let endgame = self.picker.call(self.endgame, |policy, _| policy.endgame(&view));
        if endgame == self.endgame {
            return;
        }
        self.endgame = endgame;
        self.due.unsettled.fill(self.facts.len());
        if endgame {
            self.endgame_began = true;
            self.event(|engine| Event::Endgame { missing: engine.pieces.left() });
        }
    }

    /// How many requests are kept under way with the peer (DL-2).
    fn backlog(&self, at: usize) -> usize {
        let settings = &self.settings.requests;
        if self.connections[at].stalled {
            return 1;
        }
        if self.endgame && !settings.endgame_respects_backlog {
            return usize::MAX;
        }
        match settings.backlog_mode {
            BacklogMode::Fixed => settings.backlog as usize,
            BacklogMode::Rate => rate_backlog(settings, self.connections[at].down.current(self.now)),
        }
    }

    /// A block came (DL-11).
    pub(super) fn block(&mut self, peer: PeerKey, block: BlockRef, tag: Tag) {
        let Some(at) = self.at(peer) else {
            self.outputs.push_back(Output::Drop { tag });
            return;
        };
        self.connections[at].last_read = self.now;
        let Some(arrival) = self.pieces.receive(block, peer) else {
            // Unasked, taken back, or of wrong shape: dropped, not punished.
            self.wasted += u64::from(block.length);
            self.outputs.push_back(Output::Drop { tag });
            self.event(|_| Event::DuplicateBlock {
                peer: peer.0,
                piece: block.piece.0,
                begin: block.begin,
                length: block.length,
            });
            return;
        };
        self.outputs.push_back(Output::Keep { tag, block });
        self.credit(at, block);
        self.event(|_| Event::Block {
            peer: peer.0,
            dir: Dir::From,
            piece: block.piece.0,
            begin: block.begin,
            length: block.length,
        });
        for other in arrival.others {
            if let Some(other) = self.at(other) {
                self.take_back(other, block);
            }
        }
        if arrival.piece_is_full {
            // In endgame it may have been all that we wanted of others.
            if self.endgame {
                self.due.unsettled.fill(self.facts.len());
            }
            self.finish(block.piece);
        }
        self.notice_choke(PeerEvent::Received(peer, block.length));
        self.due.hungry.insert(at);
        self.due.unsettled.insert(at);
        if self.endgame {
            self.look_for_endgame();
        }
    }

    /// Counts a block that was asked for.
    fn credit(&mut self, at: usize, block: BlockRef) {
        let (now, length) = (self.now, u64::from(block.length));
        let connection = &mut self.connections[at];
        connection.down.count(now, length);
        // It snubs us no longer (DL-17).
        (connection.snub_told, connection.stalled) = (false, false);
        let asked = connection.active.iter().position(|active| active.block == block);
        let asked = asked.map(|place| connection.active.remove(place));
        let facts = &mut self.facts[at];
        facts.requested = connection.active.len() as u32;
        facts.downloaded += length;
        facts.downloaded_in_round += length;
        facts.last_received = Some(now);
        facts.snubbed = false;
        if let Some(asked) = asked {
            let took = now.since(asked.at);
            facts.round_trip = Some(facts.round_trip.map_or(took, |best| best.min(took)));
        }
        self.own.downloaded += length;
        self.total_down.count(now, length);
        self.time_left.came_in(now.as_secs_f64(), length);
        let snub = now + self.settings.requests.snub_time.get() + std::time::Duration::from_nanos(1);
        self.peers.snub_check = self.peers.snub_check.min(snub);
    }

    /// Takes a request back that somebody else has answered.
    fn take_back(&mut self, at: usize, block: BlockRef) {
        let connection = &mut self.connections[at];
        connection.active.retain(|active| active.block != block);
        self.facts[at].requested = connection.active.len() as u32;
        self.due.hungry.insert(at);
        self.due.unsettled.insert(at);
        let peer = self.facts[at].key.0;
        self.event(|_| Event::Cancel {
            peer,
            dir: Dir::To,
            piece: block.piece.0,
            begin: block.begin,
            length: block.length,
        });
        self.send(at, Message::Cancel(block));
    }

    /// Sends the news where interest is not what it should be.
    pub(super) fn settle_interest(&mut self) {
        let mut from = 0;
        while let Some(at) = self.due.unsettled.take_next(from) {
            let wanted = self.is_wanted(at);
            if wanted != self.facts[at].am_interested {
                self.set_interest(at, wanted);
            }
            from = at + 1;
        }
    }

    /// DL-18.
    pub(super) fn is_wanted(&self, at: usize) -> bool {
        let (facts, connection) = (&self.facts[at], &self.connections[at]);
        !self.own.is_seed
            && (connection.useful > 0
                || !connection.active.is_empty()
                || self.endgame && self.pieces.started().iter().any(|&piece| facts.pieces.contains(piece)))
    }

    fn set_interest(&mut self, at: usize, value: bool) {
        self.facts[at].am_interested = value;
        let peer = self.facts[at].key.0;
        self.event(|_| Event::Interested { peer, dir: Dir::To, value });
        self.send(at, if value { Message::Interested } else { Message::NotInterested });
    }

    pub(super) fn piece_violation(&mut self, message: &str) {
        self.picker.violated(message);
        self.event(|engine| Event::PolicyViolation {
            policy: engine.picker.name.clone(),
            message: message.to_owned(),
        });
    }
}

/// The requests to keep under way with a peer that sends `rate` bytes per second (DL-20).
fn rate_backlog(settings: &RequestSettings, rate: f64) -> usize {
    let ahead = rate * settings.backlog_time.get().as_secs_f64() / settings.block_size.0 as f64;
    let mut backlog = (settings.backlog as usize).saturating_add(ahead as usize);
    if let Some(knee) = settings.backlog_knee.get().map(|knee| knee as usize)
        && backlog > knee
    {
        backlog = knee.max((backlog as f64 * settings.backlog_slope) as usize);
    }
    // At least one, whatever the profile says: nothing would ever come.
    backlog.min(settings.max_backlog.get().map_or(usize::MAX, |most| most as usize)).max(1)
}
