//! Pieces from blocks in any order, over a store that fails and counts.

use std::sync::{Arc, Mutex};

use bt_api::testkit::TestHost;
use bt_api::{BoxFuture, Bytes, InfoHash, PieceSet, Torrent, TorrentLayout, TorrentStore, rng};
use futures::executor::block_on;

use super::super::Tasks;
use super::*;

const BLOCK: u32 = 64 << 10;
const PIECE: PieceIndex = PieceIndex(1);

/// A store that keeps one piece, counts calls, and fails as often as it is told to.
#[derive(Default)]
struct Scripted(Mutex<Script>);

#[derive(Default)]
struct Script {
    bytes: Vec<u8>,
    writes: Vec<(u32, usize)>,
    reads: Vec<u32>,
    sealed: bool,
    failures: usize,
    /// By how much reads are too short.
    short: u32,
}

impl TorrentStore for Scripted {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        unreachable!("not used")
    }
    fn read(&self, _: PieceIndex, offset: u32, length: u32) -> BoxFuture<'_, Result<Block, StorageError>> {
        let mut script = self.0.lock().unwrap();
        script.reads.push(offset);
        let bytes = script.bytes[offset as usize..(offset + length - script.short) as usize].to_vec();
        Box::pin(async move { Ok(bytes.into()) })
    }
    fn write(
        &self,
        _: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        let mut script = self.0.lock().unwrap();
        if script.failures > 0 {
            script.failures -= 1;
            return Box::pin(async { Err(StorageError::new(StorageErrorKind::Full, "writing")) });
        }
        assert!(!script.sealed);
        let bytes: Vec<u8> = blocks.iter().flat_map(|block| block.to_vec()).collect();
        script.writes.push((offset, bytes.len()));
        let end = offset as usize + bytes.len();
        if script.bytes.len() < end {
            script.bytes.resize(end, 0);
        }
        script.bytes[offset as usize..end].copy_from_slice(&bytes);
        Box::pin(async { Ok(()) })
    }
    fn seal(&self, _: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        self.0.lock().unwrap().sealed = true;
        Box::pin(async { Ok(()) })
    }
    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        unreachable!("not used")
    }
    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        unreachable!("not used")
    }
}

/// Work that was begun, in order.
#[derive(Default)]
struct Begun(Mutex<Vec<BoxFuture<'static, Option<Box<Done>>>>>);

impl Tasks for Begun {
    fn start(&self, work: BoxFuture<'static, Option<Box<Done>>>) {
        self.0.lock().unwrap().push(work);
    }
}

struct Trial {
    assembly: Assembly,
    store: Arc<Scripted>,
    begun: Arc<Begun>,
    content: Vec<u8>,
    now: Instant,
    warnings: Vec<String>,
}

impl Trial {
    /// An assembly for a torrent whose second piece, the last, is `length` bytes.
    fn new(length: u32) -> Self {
        let content: Vec<u8> = (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let nominal = length.max(BLOCK);
        let total = u64::from(nominal) + u64::from(length);
        let torrent = Torrent {
            info_hash: InfoHash([0; 20]),
            layout: TorrentLayout::single("a", total, nominal).unwrap(),
            piece_hashes: vec![PieceHash([0; 20]), digest(&content)],
            folder: "unused".into(),
            saved: None,
        };
        let (begun, store) = (Arc::<Begun>::default(), Arc::new(Scripted::default()));
        let desk = Desk {
            store: store.clone(),
            torrent: Arc::new(torrent),
            host: TestHost::auto_advancing(),
            tasks: begun.clone(),
        };
        let assembly = Assembly::new(desk);
        Self { assembly, store, begun, content, now: Instant::ZERO, warnings: Vec::new() }
    }

    fn blocks(&self) -> Vec<u32> {
        (0..self.content.len() as u32).step_by(BLOCK as usize).collect()
    }

    /// Receives the block at `begin`, in two parts, with one wrong byte when `bad`.
    fn keep(&mut self, begin: u32, bad: bool) {
        let end = (begin + BLOCK).min(self.content.len() as u32);
        let mut bytes = self.content[begin as usize..end as usize].to_vec();
        bytes[0] ^= u8::from(bad);
        let rest = bytes.split_off(bytes.len() / 3);
        let block = BlockRef { piece: PIECE, begin, length: end - begin };
        self.assembly.keep(block, vec![bytes.into(), rest.into()]);
    }

    /// Takes answers until no job runs.
    fn settle(&mut self) -> Option<Result<Verdict, StorageError>> {
        let mut answer = None;
        while self.assembly.is_busy() {
            let work = self.begun.0.lock().unwrap().remove(0);
            let done = block_on(work).expect("jobs say what they did");
            self.warnings.extend(self.assembly.take_warning(&done));
            answer = self.assembly.done(self.now, *done).map(|(_, result)| result).or(answer);
        }
        answer
    }

    fn finish(&mut self, digests: bool) -> Result<Verdict, StorageError> {
        self.assembly.finish(PIECE, digests);
        self.settle().expect("a finished piece is answered")
    }

    fn script<T>(&self, look: impl FnOnce(&mut Script) -> T) -> T {
        look(&mut self.store.0.lock().unwrap())
    }
}

fn digest(bytes: &[u8]) -> PieceHash {
    PieceHash(Sha1::digest(bytes).into())
}

#[test]
fn a_piece_in_order_is_written_in_long_runs_and_never_read() {
    for (length, writes) in [
        (BLOCK * 5 + 7, vec![(0, BLOCK * 5 + 7)]),
        (WRITE_RUN * 2 + 9, vec![(0, WRITE_RUN), (WRITE_RUN, WRITE_RUN), (2 * WRITE_RUN, 9)]),
    ] {
        let mut trial = Trial::new(length);
        for begin in trial.blocks() {
            trial.keep(begin, false);
            trial.settle();
        }
        assert_eq!(trial.finish(false).unwrap(), Verdict::Good(Vec::new()));
        let expected: Vec<_> = writes.into_iter().map(|(at, length)| (at, length as usize)).collect();
        trial.script(|script| {
            assert_eq!((&script.writes, script.reads.len(), script.sealed), (&expected, 0, true));
            assert_eq!(script.bytes, trial.content);
        });
        assert!(trial.assembly.pieces.is_empty());
    }
}

#[test]
fn any_order_with_early_writes_gives_the_piece_and_the_digests_of_its_blocks() {
    let mut rng = rng::stream(1, 0, "order");
    for round in 0..30 {
        let mut trial = Trial::new(WRITE_RUN + BLOCK * (round % 5) + 1);
        let mut order = trial.blocks();
        rng::shuffle(&mut rng, &mut order);
        for (i, begin) in order.into_iter().enumerate() {
            trial.keep(begin, false);
            if i as u32 % 7 == round % 7 {
                trial.assembly.relieve(Instant::ZERO);
                if round % 2 == 0 {
                    trial.settle();
                }
            }
        }
        let digests = trial.content.chunks(BLOCK as usize).map(digest).collect();
        assert_eq!(trial.finish(true).unwrap(), Verdict::Good(digests), "round {round}");
        trial.script(|script| assert_eq!(script.bytes, trial.content));
    }
}

#[test]
fn what_is_in_order_is_hashed_before_it_is_written_early() {
    let mut trial = Trial::new(BLOCK * 3);
    trial.keep(0, false);
    trial.keep(2 * BLOCK, false);
    trial.assembly.relieve(Instant::ZERO);
    trial.settle();
    assert_eq!(trial.assembly.pieces[&PIECE].in_memory, 0);
    trial.keep(BLOCK, false);
    assert_eq!(trial.finish(false).unwrap(), Verdict::Good(Vec::new()));
    trial.script(|script| assert_eq!(script.reads, [2 * BLOCK], "only what came out of order"));
}

#[test]
fn bad_data_is_told_by_block_and_the_next_try_starts_afresh() {
    let mut trial = Trial::new(BLOCK * 4);
    for begin in trial.blocks() {
        trial.keep(begin, begin == BLOCK);
    }
    let Ok(Verdict::Bad(digests)) = trial.finish(false) else { panic!("it is bad") };
    let good: Vec<_> = trial.content.chunks(BLOCK as usize).map(digest).collect();
    let wrong: Vec<_> = (0..4).filter(|&i| digests[i] != good[i]).collect();
    assert_eq!(wrong, [1]);
    trial.script(|script| assert!(script.writes.is_empty() && !script.sealed));
    for begin in trial.blocks() {
        trial.keep(begin, false);
    }
    assert_eq!(trial.finish(false).unwrap(), Verdict::Good(Vec::new()));
}

#[test]
fn blocks_outlive_a_full_disk() {
    let mut trial = Trial::new(WRITE_RUN * 2);
    trial.script(|script| script.failures = 3);
    for begin in trial.blocks() {
        trial.keep(begin, false);
        trial.settle();
    }
    for _ in 0..2 {
        assert_eq!(trial.finish(false).unwrap_err().kind(), StorageErrorKind::Full);
    }
    assert_eq!(trial.finish(false).unwrap(), Verdict::Good(Vec::new()));
    trial.script(|script| assert_eq!(script.bytes, trial.content));
}

/// Otherwise a piece that is larger than memory would hold all of it for ever.
#[test]
fn early_writes_are_tried_again_after_a_pause_and_told_once() {
    let mut trial = Trial::new(WRITE_RUN * 4);
    trial.script(|script| script.failures = 2);
    let blocks = trial.blocks();
    let (first, last) = blocks.split_at(blocks.len() - 1);
    first.iter().for_each(|&begin| trial.keep(begin, false));
    trial.settle();
    for (seconds, writes) in [(0, false), (5, false), (9, false), (10, true)] {
        trial.now = Instant::ZERO + Duration::from_secs(seconds);
        trial.assembly.relieve(trial.now);
        trial.settle();
        let all = trial.assembly.pieces[&PIECE].in_memory == 0;
        assert_eq!(all, writes, "after {seconds} s");
    }
    assert_eq!(trial.warnings.len(), 1);
    trial.keep(last[0], false);
    assert_eq!(trial.finish(false).unwrap(), Verdict::Good(Vec::new()));
    trial.script(|script| assert_eq!(script.bytes, trial.content));
}

#[test]
fn what_is_parked_is_gone_on_with() {
    let mut first = Trial::new(4 * BLOCK);
    for begin in [2, 0] {
        first.keep(begin * BLOCK, false);
    }
    assert_eq!(first.assembly.written(), []);
    first.assembly.park();
    assert!(first.settle().is_none());
    let written: Vec<u32> = first.assembly.written().iter().map(|block| block.begin / BLOCK).collect();
    assert_eq!(written, [0, 2]);
    let bytes = first.script(|script| std::mem::take(&mut script.bytes));

    let mut second = Trial::new(4 * BLOCK);
    second.script(|script| script.bytes = bytes);
    first.assembly.written().into_iter().for_each(|block| second.assembly.restore(block));
    for begin in [3, 1] {
        second.keep(begin * BLOCK, false);
    }
    assert_eq!(second.finish(false).unwrap(), Verdict::Good(Vec::new()));
    second.script(|script| {
        let written: Vec<u32> = script.writes.iter().map(|write| write.0 / BLOCK).collect();
        assert_eq!(written, [1, 3], "what is there is not written again");
    });
}

#[test]
fn a_store_that_answers_too_few_bytes_is_an_error() {
    let mut trial = Trial::new(BLOCK * 2);
    trial.keep(BLOCK, false);
    trial.assembly.relieve(Instant::ZERO);
    trial.settle();
    trial.script(|script| script.short = 1);
    trial.keep(0, false);
    assert_eq!(trial.finish(false).unwrap_err().kind(), StorageErrorKind::Corrupt);
}

#[test]
fn a_discarded_piece_waits_for_its_job_and_begins_again() {
    let mut trial = Trial::new(BLOCK * 8);
    for begin in trial.blocks() {
        trial.keep(begin, true);
    }
    assert!(trial.assembly.is_busy());
    trial.assembly.discard(PIECE);
    for begin in trial.blocks() {
        trial.keep(begin, false);
    }
    assert_eq!(trial.finish(false).unwrap(), Verdict::Good(Vec::new()));
    trial.assembly.discard(PieceIndex(0));
}
