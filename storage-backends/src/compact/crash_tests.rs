//! Kills the store at every step of every plan, in the middle of a step too, and starts it again.

use std::fs;
use std::path::Path;

use bt_api::testkit::TestHost;
use bt_api::{Bytes, InfoHash, NewFile, PieceHash, Torrent, TorrentLayout, TorrentStore};
use futures::executor::block_on;
use proptest::prelude::*;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use super::*;
use crate::compact::{Compact, Config, Places};

/// A download that is killed again and again, without ever saying so to anybody.
struct Victim {
    folder: TempDir,
    torrent: Torrent,
    content: Vec<u8>,
    /// What was verified so far.
    verified: PieceSet,
    /// What the last checkpoint said.
    saved: Option<Bytes>,
}

impl Victim {
    fn new(lengths: &[u64], piece_length: u32, kinds: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |(i, &length): (usize, &u64)| NewFile { path: vec![i.to_string()], length, pad: false };
        let files = lengths.iter().enumerate().map(file).collect();
        let layout = TorrentLayout::several("t", files, piece_length).unwrap();
        // With few kinds of pieces some are equal.
        let byte = |at: u64| {
            (at / u64::from(piece_length)) as u8 % kinds * 16 + (at % u64::from(piece_length)) as u8
        };
        let content: Vec<u8> = (0..layout.total_length()).map(byte).collect();
        let hash = |piece: &[u8]| PieceHash(Sha1::digest(piece).into());
        let torrent = Torrent {
            info_hash: InfoHash([9; 20]),
            piece_hashes: content.chunks(piece_length as usize).map(hash).collect(),
            layout,
            folder: folder.path().to_owned(),
            saved: None,
        };
        let verified = PieceSet::new(torrent.layout.piece_count());
        Self { folder, torrent, content, verified, saved: None }
    }

    fn bytes_of(&self, piece: PieceIndex) -> &[u8] {
        let at = self.torrent.layout.piece_offset(piece) as usize;
        &self.content[at..at + self.torrent.layout.piece_length(piece) as usize]
    }

    fn open(&self, saved: Option<Bytes>) -> (Box<dyn TorrentStore>, Places) {
        let torrent = Arc::new(Torrent { saved, ..self.torrent.clone() });
        block_on(Compact::new(Config::default()).unwrap().open_store(torrent, TestHost::new())).unwrap()
    }

    /// Starts on what is on the disk now, with the last checkpoint and without: all that was verified is
    /// found.
    fn is_found(&self, when: &str) {
        for saved in [None, self.saved.clone()] {
            let (store, places) = self.open(saved.clone());
            let held = block_on(store.held()).unwrap();
            // Of equal pieces it is all the same which is had; so it is where the short last piece is the beginning of
            // the one in whose slot it stands.
            let alike = |one: PieceIndex, other: PieceIndex| {
                let (one, other) = (self.bytes_of(one), self.bytes_of(other));
                one.iter().zip(other).all(|(one, other)| one == other)
            };
            for piece in self.verified.iter() {
                let count = |set: &PieceSet| set.iter().filter(|&other| alike(other, piece)).count();
                let (found, had) = (count(&held), count(&self.verified));
                assert!(found >= had, "piece {piece} is lost {when}, {saved:?}: {:?}", places.now());
            }
            for piece in held.iter() {
                let bytes = self.bytes_of(piece);
                let read = block_on(store.read(piece, 0, bytes.len() as u32)).unwrap();
                assert_eq!(&*read, bytes, "piece {piece} is wrong {when}");
            }
        }
    }

    /// Lets `piece` arrive, with a kill at each step and in the middle of it.
    fn arrives(&mut self, Places(slots): &Places, piece: PieceIndex) {
        let length = self.torrent.layout.piece_length(piece);
        for step in slots.placement().plan(piece) {
            if let Step::Move { from, to, .. } = step {
                for part in 0..self.torrent.layout.piece_length(to) {
                    slots.disk.copy(from, to, part, part % 2 == 0).unwrap();
                    self.is_found("in the middle of a move");
                }
            }
            slots.carry_out(&step, &(1..length)).unwrap();
            self.is_found("after a step");
        }
        for (at, byte) in self.bytes_of(piece).to_vec().into_iter().enumerate() {
            slots.write(piece, at as u32, &[vec![byte].into()]).unwrap();
            self.is_found("while it is written");
        }
        slots.seal(piece).unwrap();
        self.verified.insert(piece);
        self.is_found("after it was sealed");
    }

    fn is_complete(&self) {
        let file = |file: &bt_api::FileEntry| fs::read(file.path_in(self.folder.path())).unwrap();
        let files: Vec<u8> = self.torrent.layout.files().iter().flat_map(file).collect();
        assert_eq!(files, self.content);
    }
}

fn order(count: u32) -> impl Strategy<Value = Vec<u32>> {
    Just((0..count).collect::<Vec<_>>()).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order and the files, and what lay in them before.
    #[test]
    fn nothing_verified_is_lost_in_a_crash(
        lengths in prop::collection::vec(1_u64..12, 1..5), order in order(6), kinds in 1_u8..7, litter in 0_u8..32,
        checkpoints: u16, restarts: u16,
    ) {
        let total: u64 = lengths.iter().sum();
        let piece_length = total.div_ceil(6).max(1) as u32;
        let mut victim = Victim::new(&lengths, piece_length, kinds);
        let t: &Path = &victim.folder.path().join("t");
        fs::create_dir(t).unwrap();
        for (i, length) in lengths.iter().enumerate().filter(|(i, _)| litter >> i & 1 == 1) {
            fs::write(t.join(i.to_string()), vec![b'?'; *length as usize]).unwrap();
        }
        let (mut store, mut places) = victim.open(None);
        // Twice: of equal pieces another one may be had after a restart.
        let rounds = order.iter().chain(&order).map(|&piece| PieceIndex(piece));
        for (nth, piece) in rounds.enumerate() {
            if piece.0 >= victim.torrent.layout.piece_count() || victim.verified.contains(piece) {
                continue;
            }
            victim.arrives(&places, piece);
            if checkpoints >> nth & 1 == 1 {
                victim.saved = block_on(store.checkpoint()).unwrap();
                victim.is_found("after a checkpoint");
            }
            if restarts >> nth & 1 == 1 {
                (store, places) = victim.open(victim.saved.clone());
                victim.verified = block_on(store.held()).unwrap();
            }
        }
        victim.is_complete();
    }
}

/// A checkpoint that nothing was written after is taken, and no piece is read for it.
#[test]
fn what_a_clean_end_saved_is_taken_unread() {
    let mut victim = Victim::new(&[9, 7, 5], 4, 7);
    let (store, places) = victim.open(None);
    [3, 4, 0].map(PieceIndex).iter().for_each(|&piece| victim.arrives(&places, piece));
    let saved = block_on(store.checkpoint()).unwrap();
    block_on(store.close()).unwrap();
    let (torrent, host) = (Torrent { saved, ..victim.torrent.clone() }, TestHost::new());
    let opening = Compact::new(Config::default()).unwrap().open_store(Arc::new(torrent), host.clone());
    let (again, places_again) = block_on(opening).unwrap();
    assert_eq!(places_again.now(), places.now());
    assert_eq!(block_on(again.held()).unwrap(), victim.verified);
    assert_eq!(host.pieces_looked_at(), 0);
}
