//! The player that streaming pickers imagine: it knows where playback stands.
//!
//! It plays the content from its first byte on, at one rate. It begins once so much is there in one stretch that it
//! could play for the start-up time, or all that is left; it never plays what is not there: it waits for it, and goes
//! on as soon as the next piece is complete. A driver that moves the playhead (a user who jumps) moves this player to
//! the beginning of that piece, where it fills its buffer anew. Nothing is ever skipped because it is late.

use std::time::Duration;

use bt_api::plugin::BuildError;
use bt_api::{Instant, PieceIndex, Pieces, config};

/// A virtual player.
#[derive(Debug)]
pub(super) struct Player {
    /// In bytes per second.
    rate: u64,
    /// In bytes.
    start_up: u64,
    playing: bool,
    /// Where it stood, in bytes from the beginning, and when.
    position: u64,
    at: Instant,
    /// What is there from the position on goes on to this piece.
    ready: PieceIndex,
    /// Where the driver last put it.
    told: PieceIndex,
}

impl Player {
    /// A player that plays `rate`, and begins once it could play for `start_up`.
    ///
    /// # Errors
    /// When the rate is 0.
    pub(super) fn new(rate: config::Rate, start_up: config::Duration) -> Result<Self, BuildError> {
        if rate.0 == 0 {
            return Err(BuildError::new("playback-rate", "must be more than 0"));
        }
        Ok(Self {
            rate: rate.0,
            start_up: bytes_in(rate.0, start_up.get()),
            playing: false,
            position: 0,
            at: Instant::ZERO,
            ready: PieceIndex(0),
            told: PieceIndex(0),
        })
    }

    /// Plays on to `now`, and says where playback stands. To be called whenever a piece is complete too: what is there
    /// now may not have been there a moment ago.
    pub(super) fn look(&mut self, now: Instant, pieces: &Pieces) -> Playhead {
        if self.told != pieces.playhead() {
            self.told = pieces.playhead();
            (self.playing, self.ready) = (false, self.told);
            self.position = begin_of(self.told, pieces);
        }
        let mut head = Playhead { position: self.position, rate: self.rate };
        if self.playing {
            let end = begin_of(self.ready, pieces).max(self.position);
            head.position = self.position.saturating_add(bytes_in(self.rate, now.since(self.at)));
            if head.position >= end {
                head.position = end;
                (self.position, self.at) = (end, now);
            }
        }
        // A store may lose what was there.
        let here = PieceIndex(head.piece(pieces).0.min(pieces.count() - 1));
        if !pieces.have().contains(here) {
            self.ready = here;
        }
        while self.ready.0 < pieces.count() && pieces.have().contains(self.ready) {
            self.ready.0 += 1;
        }
        if !self.playing {
            let buffered = begin_of(self.ready, pieces).saturating_sub(self.position);
            self.playing = buffered >= self.start_up || self.ready.0 == pieces.count();
            self.at = now;
        }
        head
    }
}

/// Where playback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Playhead {
    /// In bytes from the beginning.
    position: u64,
    rate: u64,
}

impl Playhead {
    /// The piece that is played, or that playback waits for.
    pub(super) fn piece(self, pieces: &Pieces) -> PieceIndex {
        piece_at(self.position, pieces)
    }

    /// The first piece that is not needed, not even in part, within `time` of playback from here.
    pub(super) fn end_of(self, time: Duration, pieces: &Pieces) -> PieceIndex {
        let end = self.position.saturating_add(bytes_in(self.rate, time));
        piece_at(end.saturating_add(u64::from(length_of(pieces)) - 1), pieces)
    }
}

fn bytes_in(rate: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(rate) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
}

/// The length of all pieces but the last.
fn length_of(pieces: &Pieces) -> u32 {
    pieces.piece_length(PieceIndex(0))
}

/// The first byte of `piece`; of the one behind the last, where the content ends.
fn begin_of(piece: PieceIndex, pieces: &Pieces) -> u64 {
    let begin = u64::from(piece.0) * u64::from(length_of(pieces));
    let last = PieceIndex(pieces.count() - 1);
    let end = u64::from(last.0) * u64::from(length_of(pieces)) + u64::from(pieces.piece_length(last));
    begin.min(end)
}

/// The piece of this byte; the one behind the last when it lies behind the end.
fn piece_at(position: u64, pieces: &Pieces) -> PieceIndex {
    let piece = position / u64::from(length_of(pieces));
    PieceIndex(piece.min(u64::from(pieces.count())) as u32)
}

#[cfg(test)]
mod tests {
    use bt_api::{PieceSet, rng};

    use super::*;

    /// Ten pieces of 1000 bytes; the player plays one a second, and begins with two.
    fn new() -> (Player, Pieces) {
        let mut rng = rng::stream(1, 0, "pieces");
        let player = Player::new(config::Rate(1000), config::Duration::secs(2)).unwrap();
        (player, Pieces::new(9_500, 1000, 1000, PieceSet::new(10), &mut rng))
    }

    /// Completes `complete` at this time, and says where playback stands.
    fn at(player: &mut Player, pieces: &mut Pieces, millis: u64, complete: &[u32]) -> u64 {
        complete.iter().for_each(|&piece| pieces.complete(PieceIndex(piece)));
        player.look(Instant::from_millis(millis), pieces).position
    }

    #[test]
    fn it_begins_with_enough_and_waits_for_what_is_not_there() {
        let (mut player, mut pieces) = new();
        let mut at = |millis, complete: &[u32]| at(&mut player, &mut pieces, millis, complete);
        assert_eq!(at(1000, &[0, 2]), 0);
        assert_eq!(at(9000, &[]), 0, "one piece in a stretch is too little");
        assert_eq!(at(10_000, &[1]), 0, "and three are enough");
        assert_eq!(at(11_500, &[]), 1500);
        assert_eq!(at(12_000, &[]), 2000);
        assert_eq!(at(20_000, &[]), 3000, "piece 3 is missing");
        assert_eq!(at(21_000, &[3]), 3000);
        assert_eq!(at(21_250, &[5]), 3250);
        assert_eq!(at(30_000, &[4]), 4000, "piece 4 came late, and was not played before it came");
        assert_eq!(at(99_000, &[]), 6000);
        assert_eq!(at(99_000, &[6, 7, 8, 9]), 6000);
        assert_eq!(at(199_000, &[]), 9500, "the end");
    }

    #[test]
    fn the_rest_is_always_enough_to_begin() {
        let (mut player, mut pieces) = new();
        pieces.set_playhead(PieceIndex(9));
        assert_eq!(at(&mut player, &mut pieces, 0, &[9]), 9000);
        assert_eq!(at(&mut player, &mut pieces, 100, &[]), 9100);
    }

    #[test]
    fn a_jump_fills_the_buffer_anew() {
        let (mut player, mut pieces) = new();
        assert_eq!(at(&mut player, &mut pieces, 0, &[0, 1, 2, 7]), 0);
        assert_eq!(at(&mut player, &mut pieces, 1000, &[]), 1000);
        pieces.set_playhead(PieceIndex(7));
        assert_eq!(at(&mut player, &mut pieces, 1000, &[]), 7000);
        assert_eq!(at(&mut player, &mut pieces, 5000, &[]), 7000);
        assert_eq!(at(&mut player, &mut pieces, 5000, &[8]), 7000);
        assert_eq!(at(&mut player, &mut pieces, 6500, &[]), 8500);
    }

    #[test]
    fn many_looks_lose_no_time() {
        let (mut player, mut pieces) = new();
        at(&mut player, &mut pieces, 0, &[0, 1, 2, 3, 4]);
        for nanos in (0..2_000_000_000).step_by(1_000_001) {
            player.look(Instant::from_nanos(nanos), &pieces);
        }
        assert_eq!(at(&mut player, &mut pieces, 2000, &[]), 2000);
    }

    #[test]
    fn what_is_needed_soon_is_told_in_pieces() {
        let (mut player, mut pieces) = new();
        let head = player.look(Instant::ZERO, &pieces);
        let end =
            |head: Playhead, millis, pieces: &Pieces| head.end_of(Duration::from_millis(millis), pieces).0;
        assert_eq!((head.piece(&pieces).0, end(head, 3000, &pieces), end(head, 3001, &pieces)), (0, 3, 4));
        assert_eq!(end(head, u64::MAX, &pieces), 10);
        at(&mut player, &mut pieces, 0, &[0, 1, 2]);
        let head = player.look(Instant::from_millis(1500), &pieces);
        assert_eq!((head.piece(&pieces).0, end(head, 1000, &pieces)), (1, 3));
        assert!(Player::new(config::Rate(0), config::Duration::secs(2)).is_err());
    }
}
