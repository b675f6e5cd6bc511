//! How well a download can be watched while it goes on: when playback begins, how often it waits, and for how long.
//!
//! The event log has no playhead, so a player is assumed, the same for all peers: it plays the content from its first
//! byte on at one rate, begins once so much is there in one stretch that it could play for the start-up time (or
//! everything), waits whenever a piece is not there, and goes on as soon as it is. It jumps nowhere and skips nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use bt_api::{Instant, PieceIndex};
use bt_engine::Event;
use bt_runtime::events::from_ranges;

use super::PeerRow;
use crate::Observer;

/// The player that every peer is taken to have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Player {
    /// What it plays, in bytes per second; more than 0.
    pub rate: u64,
    /// For how long it could play when it begins.
    pub start_up: Duration,
}

/// Watches a run, and says how well each peer could play.
#[derive(Debug)]
pub struct Playback {
    player: Player,
    viewers: BTreeMap<u32, Viewer>,
}

/// What one peer has, and where it stands. Times are in seconds.
#[derive(Debug)]
struct Viewer {
    arrived: f64,
    total: u64,
    piece_length: u64,
    have: Vec<bool>,
    /// Pieces that are there in one stretch from the first on.
    ready: usize,
    started: Option<f64>,
    /// When it will have played what is ready.
    until: f64,
    stalls: u32,
    stalled: f64,
}

impl Viewer {
    /// The bytes that are there in one stretch.
    fn bytes(&self) -> u64 {
        (self.ready as u64 * self.piece_length).min(self.total)
    }

    /// Takes note of what is there now.
    fn look(&mut self, now: f64, Player { rate, start_up }: Player) {
        let before = self.bytes();
        while self.have.get(self.ready).is_some_and(|here| *here) {
            self.ready += 1;
        }
        let (after, rate) = (self.bytes(), rate.max(1) as f64);
        if self.started.is_some() {
            if after == before {
                return;
            }
            if now > self.until {
                self.stalls += 1;
                self.stalled += now - self.until;
                self.until = now;
            }
            self.until += (after - before) as f64 / rate;
        } else if after as f64 >= rate * start_up.as_secs_f64() || after == self.total {
            self.started = Some(now);
            self.until = now + after as f64 / rate;
        }
    }

    /// Its figures at `end`; a wait that goes on counts.
    fn figures(&self, end: f64, rate: u64) -> Option<[(&'static str, f64); 4]> {
        let started = self.started?;
        let all = self.total as f64 / rate.max(1) as f64;
        let waits = if self.bytes() < self.total { (end - self.until).max(0.0) } else { 0.0 };
        let (stalls, stalled) = (self.stalls + u32::from(waits > 0.0), self.stalled + waits);
        let played = if self.bytes() < self.total { (end - started - stalled).max(0.0) } else { all };
        let continuity = if played > 0.0 { played / (played + stalled) } else { 0.0 };
        Some([
            ("startup_delay", started - self.arrived),
            ("stall_count", f64::from(stalls)),
            ("stall_time", stalled),
            ("continuity", continuity),
        ])
    }
}

impl Playback {
    /// Of a run that begins.
    pub fn new(player: Player) -> Self {
        Self { player, viewers: BTreeMap::new() }
    }

    /// Adds to the rows of peers that came without everything and began to play: `startup_delay` (s, from arrival to
    /// the first byte played), `stall_count`, `stall_time` (s), and `continuity` (the time in which it played, over that
    /// and the time of its stalls). A peer that left, or is there when the run ends at `end`, has waited until then.
    pub fn finish(&self, end: Instant, peers: &mut [PeerRow]) {
        for peer in peers {
            let Some(viewer) = self.viewers.get(&peer.peer) else { continue };
            let end = peer.left_s.unwrap_or(end.as_secs_f64());
            let figures = viewer.figures(end, self.player.rate).into_iter().flatten();
            peer.metrics.extend(figures.map(|(name, value)| (name.to_owned(), value)));
        }
    }
}

impl Observer for Playback {
    fn event(&mut self, now: Instant, node: u32, event: &Event) {
        let now = now.as_secs_f64();
        match event {
            Event::Joined(joined) => {
                let piece_length = u64::from(joined.piece_length).max(1);
                let pieces = joined.total_length.div_ceil(piece_length);
                let mut have = vec![false; pieces as usize];
                let held = from_ranges(&joined.have, pieces as u32);
                for PieceIndex(piece) in held.iter().flat_map(|held| held.iter()) {
                    have[piece as usize] = true;
                }
                if have.iter().all(|here| *here) {
                    return;
                }
                let (arrived, total) = (now, joined.total_length);
                let (ready, started, until, stalls, stalled) = (0, None, now, 0, 0.0);
                let mut viewer =
                    Viewer { arrived, total, piece_length, have, ready, started, until, stalls, stalled };
                viewer.look(now, self.player);
                self.viewers.insert(node, viewer);
            }
            Event::PieceVerified { piece, .. } => {
                let Some(viewer) = self.viewers.get_mut(&node) else { return };
                if let Some(here) = viewer.have.get_mut(*piece as usize) {
                    *here = true;
                    viewer.look(now, self.player);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bt_engine::event::Joined;

    use super::*;

    /// Four pieces of 100 bytes; 50 bytes are played a second, and it begins with two pieces.
    const PLAYER: Player = Player { rate: 50, start_up: Duration::from_secs(4) };

    /// What becomes of a peer that joins at 10 s with `have` and completes pieces at these times.
    fn watch(have: &str, pieces: &[(f64, u32)], left: Option<f64>) -> BTreeMap<String, f64> {
        let mut playback = Playback::new(PLAYER);
        let mut at = |seconds: f64, event| {
            playback.event(Instant::from_nanos((seconds * 1e9) as u64), 1, &event);
        };
        at(
            10.0,
            Event::Joined(Box::new(Joined {
                addr: None,
                class: None,
                up: None,
                down: None,
                total_length: 400,
                piece_length: 100,
                have: have.to_owned(),
            })),
        );
        for (seconds, piece) in pieces {
            at(*seconds, Event::PieceVerified { piece: *piece, peers: vec![] });
        }
        let mut rows = [PeerRow { peer: 1, left_s: left, ..PeerRow::default() }];
        playback.finish(Instant::from_secs(100), &mut rows);
        let [row] = rows;
        row.metrics
    }

    fn figures(metrics: &BTreeMap<String, f64>) -> [f64; 4] {
        ["startup_delay", "stall_count", "stall_time", "continuity"].map(|name| metrics[name])
    }

    #[test]
    fn it_begins_with_a_stretch_and_waits_for_what_is_not_there() {
        // Pieces 0 and 1 at 13 s: played until 17 s. Piece 2 at 20 s: a wait of 3 s; on until 22 s, with piece 3 until 24 s.
        let late = watch("", &[(11.0, 1), (12.0, 3), (13.0, 0), (20.0, 2)], Some(30.0));
        assert_eq!(figures(&late), [3.0, 1.0, 3.0, 8.0 / 11.0]);
        let in_time = watch("", &[(11.0, 1), (13.0, 0), (16.0, 2), (19.0, 3)], None);
        assert_eq!(figures(&in_time), [3.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_is_there_on_arrival_counts() {
        let held = watch("0-1", &[(17.0, 2), (17.0, 3)], None);
        assert_eq!(figures(&held), [0.0, 1.0, 3.0, 8.0 / 11.0]);
    }

    #[test]
    fn who_leaves_has_waited_until_then_and_who_never_plays_has_no_figures() {
        let left = watch("", &[(11.0, 0), (12.0, 1)], Some(20.0));
        assert_eq!(figures(&left), [2.0, 1.0, 4.0, 0.5]);
        let cut_off = watch("", &[(11.0, 0), (12.0, 1)], None);
        assert_eq!(figures(&cut_off)[2], 84.0);
        assert!(watch("", &[(11.0, 1), (12.0, 2)], None).is_empty());
        assert!(watch("0-3", &[], None).is_empty());
    }
}
