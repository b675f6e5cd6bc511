//! The plug-ins that misbehave: only where, how and towards whom they are told to.

use std::path::Path;

use bt_api::contain::{contain, contained};
use bt_api::plugin::{Kind, Plugin};
use bt_api::testkit::TestHost;
use bt_api::testkit::odd::{Config, Fault, OddChoke, OddLayer, OddPiece, OddStorage, OddTracker};
use bt_api::testkit::storage::{Reference, open, torrent};
use bt_api::{Block, PieceIndex, StorageBackend, TorrentStore};
use futures::FutureExt;

bt_api::testkit::choke_conformance!(choke: OddChoke);
bt_api::testkit::piece_conformance!(piece: OddPiece);
bt_api::testkit::layer_conformance!(layer: OddLayer);
bt_api::testkit::storage_conformance!(
    store = {
        let kept = Reference::default();
        bt_api::testkit::storage::Subject::new("odd", move || Box::new(kept.clone())).behind::<OddLayer>("")
    }
);

const PIECE: PieceIndex = PieceIndex(0);

fn refused<P: Plugin<Config = Config>>(config: Config) -> bool
where
    P::Kind: Kind,
{
    P::build(config).is_err()
}

#[test]
fn what_a_method_cannot_have_is_refused() {
    let (lie, pend) = (Fault::Lie, Fault::Pend);
    for (method, fault) in [("chose", lie), ("choose", pend), ("notice", lie), ("build", pend)] {
        assert!(refused::<OddChoke>(Config::of([(method, fault)])), "{method}");
    }
    assert!(!refused::<OddChoke>(Config::of([("choose", lie), ("serve", Fault::Panic)])));
    assert!(refused::<OddPiece>(Config::of([("choose", lie)])));
    assert!(refused::<OddStorage>(Config::of([("seal", lie)])));
    assert!(!refused::<OddTracker>(Config::of([("announce", pend)])));
    let towards = |torrent: &str| Config { torrent: torrent.to_owned(), ..Config::default() };
    let hash = "0123456789abcdef0123456789ABCDEF01234567";
    assert!(refused::<OddChoke>(towards(hash)) && refused::<OddTracker>(towards("32 KiB")));
    assert!(!refused::<OddTracker>(towards(hash)) && !refused::<OddLayer>(towards("32 KiB")));
    assert_eq!(
        contain(|| refused::<OddStorage>(Config::of([("build", Fault::Panic)]))),
        Err("broken at build".to_owned())
    );
}

/// A store of a torrent with pieces of 32 KiB that is `odd` in these.
fn store(at: &str, fault: Fault, towards: &str) -> Box<dyn TorrentStore> {
    let config = Config { torrent: towards.to_owned(), ..Config::of([(at, fault)]) };
    let storage: Box<dyn StorageBackend> = OddStorage::build(config).unwrap();
    let torrent = torrent(Path::new("unused"), &[("a", 50_000)], 32 << 10);
    open(&*storage, torrent, TestHost::new()).unwrap().0
}

#[test]
fn a_store_has_the_fault_that_it_is_told_towards_whom_it_is_told() {
    let write = |store: &dyn TorrentStore| {
        contain(|| store.write(PIECE, 0, vec![Block::from(vec![7; 9])]))
            .map(|writing| contained(writing).now_or_never())
    };
    let done = |store: &dyn TorrentStore| matches!(write(store), Ok(Some(Ok(Ok(())))));
    assert!(matches!(write(&*store("write", Fault::Panic, "")), Ok(Some(Err(_)))));
    assert!(write(&*store("write", Fault::PanicAtOnce, "")).is_err());
    assert!(matches!(write(&*store("write", Fault::Pend, "")), Ok(None)));
    for towards in ["", "32 KiB"] {
        let lies = store("write", Fault::Lie, towards);
        assert!(done(&*lies) && lies.read(PIECE, 0, 9).now_or_never().unwrap().is_err());
    }
    let other = store("write", Fault::Lie, "64 KiB");
    assert!(done(&*other));
    assert_eq!(&other.read(PIECE, 0, 9).now_or_never().unwrap().unwrap()[..], [7; 9]);
    let short = store("read", Fault::Lie, "");
    assert!(done(&*short));
    assert_eq!(short.read(PIECE, 0, 9).now_or_never().unwrap().unwrap().len(), 8);
}
