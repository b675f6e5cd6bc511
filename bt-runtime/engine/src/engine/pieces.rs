//! What becomes of whole pieces: their hash, the store's troubles (SW-23, DN-6), completion (DN-5).

use std::time::Duration;

use bt_api::{Instant, PeerEvent, PeerKey, PieceEvent, PieceIndex, StorageError, StorageErrorKind};

use super::Engine;
use crate::event::Event;
use crate::io::{Output, Verdict};
use crate::status::Stall;

/// The store's troubles, if any: downloading pauses and is tried again, so that room or a folder that comes
/// back is enough to go on. A peer is never blamed for them.
#[derive(Default)]
pub(super) struct Trouble {
    /// What failed last; shown until something works again.
    now: Option<(StorageErrorKind, String)>,
    paused: bool,
    retry_at: Option<Instant>,
    /// The pause before the next try; grows while tries fail.
    pause: Duration,
    /// Full pieces that the store would not take.
    unfinished: Vec<PieceIndex>,
    /// Whether the store ever took a piece in this run.
    worked: bool,
    /// Whether pieces that were had were ever lost.
    pub(super) lost: bool,
}

/// The first pause after a store failed, and the longest; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What calls itself temporary is tried again this soon at first.
const TEMPORARY_PAUSE: Duration = Duration::from_millis(50);

impl Trouble {
    /// Whether nothing is to be asked for.
    pub(super) fn pauses(&self) -> bool {
        self.paused
    }

    pub(super) fn retry_at(&self) -> Instant {
        self.retry_at.unwrap_or(Instant::NEVER)
    }

    pub(super) fn stall(&self) -> Option<Stall> {
        self.now.as_ref().map(|(kind, message)| Stall::Store { kind: *kind, message: message.clone() })
    }

    fn begin(&mut self, now: Instant, error: &StorageError) {
        self.now = Some((error.kind(), error.to_string()));
        // Pieces that were on their way together fail together: that is one failure.
        if self.paused && self.retry_at.is_some() {
            return;
        }
        let first = if error.kind() == StorageErrorKind::Temporary { TEMPORARY_PAUSE } else { FIRST_PAUSE };
        self.pause = if self.pause.is_zero() { first } else { (self.pause * 2).min(LONGEST_PAUSE) };
        self.retry_at = Some(now + self.pause);
        self.paused = true;
    }

    /// Whether trying again is in vain: somebody else changed what the store has, or it never let us write.
    fn is_hopeless(&self, error: &StorageError) -> bool {
        match error.kind() {
            StorageErrorKind::Corrupt => true,
            StorageErrorKind::Denied => !self.worked,
            _ => false,
        }
    }

    /// A block was read: what is shown no longer holds, unless a write is waiting to be tried again.
    pub(super) fn read_works(&mut self) {
        if !self.paused {
            self.now = None;
        }
    }
}

impl Engine {
    /// Every block of `piece` is here.
    pub(super) fn finish(&mut self, piece: PieceIndex) {
        if self.trouble.pauses() {
            // It waits its turn until the store works again.
            self.trouble.unfinished.push(piece);
            return;
        }
        let digests = self.guard.suspects(piece);
        self.outputs.push_back(Output::Finish { piece, digests });
    }

    pub(super) fn finished(&mut self, piece: PieceIndex, result: Result<Verdict, StorageError>) {
        // An answer that comes twice, or after the piece was begun anew, means nothing.
        let is_full = self.pieces.has_progress(piece) && !self.pieces.started().contains(&piece);
        if !is_full {
            return;
        }
        match result {
            Ok(Verdict::Good(digests)) => {
                self.store_works();
                self.good(piece, &digests);
            }
            Ok(Verdict::Bad(digests)) => self.bad(piece, digests),
            Err(error) => self.store_failed(Some(piece), &error),
        }
    }

    fn good(&mut self, piece: PieceIndex, digests: &[bt_api::PieceHash]) {
        let senders = self.pieces.senders(piece);
        self.pieces.complete(piece);
        self.event(|_| Event::PieceVerified { piece: piece.0, peers: unique(&senders) });
        self.praise(&senders);
        self.accuse(piece, digests);
        self.notice_picker(PieceEvent::Completed(piece));
        // To everyone, whoever sent it and whoever has it (CN-11). Backwards: the policy may close some.
        for at in (0..self.facts.len()).rev() {
            self.advertise_new(at, piece);
        }
        self.wake_held_off();
        self.look_for_endgame();
        if self.pieces.left() == 0 {
            self.complete();
        }
    }

    fn complete(&mut self) {
        self.own.is_seed = true;
        self.due.unsettled.fill(self.facts.len());
        self.event(|engine| Event::Complete {
            downloaded: engine.own.downloaded,
            uploaded: engine.own.uploaded,
        });
        self.announce_completed();
        self.close_fellow_seeds();
        self.notice_choke(PeerEvent::Completed);
    }

    /// A piece that failed its hash is asked for again, at once (DL-11). Nobody is dropped for it unless found
    /// guilty (DL-19, DL-22).
    fn bad(&mut self, piece: PieceIndex, digests: Vec<bt_api::PieceHash>) {
        let senders = self.pieces.senders(piece);
        let length = u64::from(self.pieces.piece_length(piece));
        self.hash_failures += 1;
        self.wasted += length;
        self.time_left.rejected(length);
        self.restart(piece);
        self.event(|_| Event::PieceFailed { piece: piece.0, peers: unique(&senders) });
        self.notice_picker(PieceEvent::Failed(piece));
        self.convict(piece, senders, digests);
        self.offer(&[piece]);
    }

    fn restart(&mut self, piece: PieceIndex) {
        let was_open = self.pieces.is_open(piece);
        self.pieces.restart(piece);
        self.count_open(piece, was_open);
    }

    /// The store could not take or give bytes of `piece`.
    pub(super) fn store_failed(&mut self, piece: Option<PieceIndex>, error: &StorageError) {
        self.event(|_| Event::StorageError {
            piece: piece.map(|piece| piece.0),
            kind: error.kind().to_string(),
            message: error.to_string(),
        });
        self.trouble.begin(self.now, error);
        let Some(piece) = piece else { return };
        if self.trouble.is_hopeless(error) {
            self.give_up(error);
        } else if error.kind() == StorageErrorKind::Missing {
            // What was written of it is gone: it is wanted again, from its start.
            self.outputs.push_back(Output::Discard { piece });
            self.time_left.rejected(u64::from(self.pieces.piece_length(piece)));
            self.restart(piece);
        } else {
            self.trouble.unfinished.push(piece);
        }
    }

    /// The store no longer has a piece that was had: it is wanted again, and nobody is served from it.
    pub(super) fn lost(&mut self, piece: PieceIndex, error: &StorageError) {
        self.event(|_| Event::StorageError {
            piece: Some(piece.0),
            kind: error.kind().to_string(),
            message: error.to_string(),
        });
        if !self.pieces.have().contains(piece) {
            return;
        }
        self.trouble.lost = true;
        self.trouble.begin(self.now, error);
        let was_open = self.pieces.is_open(piece);
        self.pieces.forget(piece, &mut self.rng);
        self.own.is_seed = false;
        self.time_left.rejected(u64::from(self.pieces.piece_length(piece)));
        self.count_open(piece, was_open);
        self.requests_may_change();
    }

    fn store_works(&mut self) {
        self.trouble.worked = true;
        self.trouble.now = None;
        self.trouble.paused = false;
        self.trouble.retry_at = None;
        self.trouble.pause = Duration::ZERO;
        let waiting = std::mem::take(&mut self.trouble.unfinished);
        waiting.into_iter().for_each(|piece| self.finish(piece));
        self.requests_may_change();
    }

    /// Tries the store again: with a piece that it would not take, else by asking for more.
    pub(super) fn retry_store(&mut self) {
        if self.trouble.retry_at() > self.now {
            return;
        }
        self.trouble.retry_at = None;
        match self.trouble.unfinished.pop() {
            // The trouble lasts until the answer.
            Some(piece) => {
                let digests = self.guard.suspects(piece);
                self.outputs.push_back(Output::Finish { piece, digests });
            }
            None => {
                self.trouble.paused = false;
                self.requests_may_change();
            }
        }
    }
}

/// Each of `senders` that is known once, as numbers.
pub(super) fn unique(senders: &[Option<PeerKey>]) -> Vec<u32> {
    let mut peers: Vec<u32> = senders.iter().flatten().map(|peer| peer.0).collect();
    peers.sort_unstable();
    peers.dedup();
    peers
}
