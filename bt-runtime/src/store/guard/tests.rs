use std::future::pending;

use bt_api::testkit::TestHost;
use bt_api::testkit::odd::{Config, Fault, OddStorage};
use bt_api::{InfoHash, PieceHash, Plugin, TorrentLayout};
use futures::executor::block_on;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const PIECE: PieceIndex = PieceIndex(0);

struct Trial {
    host: Arc<TestHost>,
    guard: Arc<Guard>,
    store: Arc<dyn TorrentStore>,
    told: Arc<Mutex<Vec<String>>>,
}

/// The store of a torrent of two pieces; it panics at reads, never answers writes, and has these faults too.
fn open(also: &[(&str, Fault)]) -> Trial {
    let host = TestHost::new();
    let told = Arc::<Mutex<Vec<String>>>::default();
    let tell = {
        let told = told.clone();
        move |broke| told.lock().unwrap().push(broke)
    };
    let guard = Guard::new("ill".into(), host.clone(), None, tell);
    let torrent = Arc::new(Torrent {
        info_hash: InfoHash([0; 20]),
        layout: TorrentLayout::single("a", 40_000, 32_768).unwrap(),
        piece_hashes: vec![PieceHash([0; 20]); 2],
        folder: "unused".into(),
        saved: None,
    });
    let faults = [("read", Fault::PanicAtOnce), ("write", Fault::Pend)];
    let ill = Config::of(faults.iter().chain(also).copied());
    let opening = guard.open(OddStorage::build(ill).unwrap().into(), torrent, host.clone());
    let store = block_on(opening).unwrap();
    Trial { host, guard, store, told }
}

#[test]
fn a_panic_is_told_once_and_ends_every_call() {
    let Trial { host, guard, store, told } = open(&[]);
    let mut writing = store.write(PIECE, 0, Vec::new());
    assert!((&mut writing).now_or_never().is_none());
    let broke = "the storage ill panicked while reading piece 0: broken at read";
    for _ in 0..2 {
        assert_eq!(block_on(store.read(PIECE, 0, 1)).unwrap_err().to_string(), broke);
    }
    // The one under way ends too, and nothing hangs any more.
    assert_eq!(block_on(writing).unwrap_err().to_string(), broke);
    assert_eq!(block_on(store.close()).unwrap_err().to_string(), broke);
    host.advance(10 * PATIENCE);
    assert_eq!((guard.panic().as_deref(), guard.silence(PATIENCE)), (Some(broke), None));
    assert_eq!(*told.lock().unwrap(), [broke]);
}

#[test]
fn who_does_not_answer_is_known_by_what_it_is_at() {
    let Trial { host, guard, store, told } = open(&[]);
    let mut writing = store.write(PIECE, 0, Vec::new());
    assert!((&mut writing).now_or_never().is_none());
    host.advance(PATIENCE / 2);
    assert_eq!(guard.silence(PATIENCE), None);
    guard.goes_on();
    host.advance(PATIENCE / 2);
    assert_eq!(guard.silence(PATIENCE), None, "it said how far it is");
    // Other calls are answered meanwhile.
    block_on(store.seal(PIECE)).unwrap();
    host.advance(PATIENCE / 2);
    let silence = "the storage ill has not answered for 30 s: writing piece 0";
    assert_eq!(guard.silence(PATIENCE).as_deref(), Some(silence));
    let waiting = guard.unless_silent(PATIENCE, pending::<()>());
    let until = host.now() + PATIENCE;
    assert_eq!(host.run(until, waiting), Some(Err(silence.to_owned())));
    // A call that nobody waits for is none.
    drop(writing);
    assert_eq!(guard.silence(PATIENCE), None);
    guard.give_up();
    assert_eq!(block_on(store.seal(PIECE)).unwrap_err().to_string(), "the storage ill is given up");
    assert_eq!((guard.panic(), told.lock().unwrap().len()), (None, 0), "that is no panic");
}

#[test]
fn a_set_of_another_torrent_and_a_bad_end_are_told() {
    let Trial { store, told, .. } = open(&[("held", Fault::Lie), ("drop", Fault::Panic)]);
    let error = block_on(store.held()).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert_eq!(error.to_string(), "the storage ill says what it holds of 3 pieces, not of 2");
    drop(store);
    assert_eq!(*told.lock().unwrap(), ["the storage ill panicked when it was dropped: broken at drop"]);
}
