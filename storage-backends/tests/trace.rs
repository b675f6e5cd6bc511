//! The layer `trace`: what it writes down, in virtual time.

mod common;

use std::sync::Arc;

use bt_api::testkit::TestHost;
use bt_api::{PieceIndex, Plugin, StorageErrorKind, Torrent};
use bt_storage::layer::slow::Slow;
use bt_storage::layer::trace::{self, Trace};
use bt_storage::memory::Memory;
use common::{Waiting, blocks, open, torrent};
use futures::FutureExt;
use serde_json::{Value, json};

/// A trace around a store that takes 10 ms a call.
fn traced(torrent: &Torrent, host: &Arc<TestHost>) -> Waiting {
    let memory = open(&*Memory::build(Default::default()).unwrap(), torrent.clone(), host.clone()).unwrap();
    let torrent = Arc::new(torrent.clone());
    let slow = Slow::build(Default::default()).unwrap().wrap(memory.0, torrent.clone(), host.clone());
    Waiting(Trace::build(Default::default()).unwrap().wrap(slow, torrent, host.clone()))
}

fn run() -> String {
    let folder = tempfile::tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", 10)], 4);
    let host = TestHost::auto_advancing();
    let store = traced(&torrent, &host);
    store.held();
    store.write_blocks(1, 1, blocks(b"abc", 2)).unwrap();
    store.read(2, 0, 2).unwrap_err();
    store.write(1, 0, b"x").unwrap();
    store.seal(1);
    drop(store.0.read(PieceIndex(1), 0, 4));
    store.read(1, 0, 4).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    std::fs::read_to_string(folder.path().join(format!("storage-trace/{}.jsonl", torrent.info_hash))).unwrap()
}

#[test]
fn each_call_is_written_down() {
    let trace = run();
    let lines: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let hash = "03".repeat(20);
    assert_eq!(
        lines,
        [
            json!({"schema": 1, "torrent": hash, "pieces": 3, "piece_length": 4, "length": 10}),
            json!({"t": 0.0, "took": 0.01, "op": "held", "result": "ok", "got": 0}),
            json!({"t": 0.01, "took": 0.01, "op": "write", "piece": 1, "begin": 1, "length": 3, "blocks": 2, "result": "ok"}),
            json!({
                "t": 0.02, "took": 0.01, "op": "read", "piece": 2, "begin": 0, "length": 2, "result": "missing",
                "error": "reading bytes 0 to 2 of piece 2: not all were written",
            }),
            json!({"t": 0.03, "took": 0.01, "op": "write", "piece": 1, "begin": 0, "length": 1, "blocks": 1, "result": "ok"}),
            json!({"t": 0.04, "took": 0.01, "op": "seal", "piece": 1, "result": "ok"}),
            json!({"t": 0.05, "took": 0.01, "op": "read", "piece": 1, "begin": 0, "length": 4, "result": "ok", "got": 4}),
            json!({"t": 0.06, "took": 0.01, "op": "checkpoint", "result": "ok", "got": 0}),
            json!({"t": 0.07, "took": 0.01, "op": "close", "result": "ok"}),
        ]
    );
    assert_eq!(trace, run(), "the same run writes the same trace");
}

#[test]
fn a_call_that_nobody_waits_for_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = torrent(folder.path(), &[("a", 10)], 4);
    let host = TestHost::new();
    let store = traced(&torrent, &host);
    assert!(store.0.seal(PieceIndex(0)).now_or_never().is_none());
    let mut close = store.0.close();
    assert!((&mut close).now_or_never().is_none());
    host.advance(std::time::Duration::from_millis(10));
    close.now_or_never().unwrap().unwrap();
    let path = folder.path().join(format!("storage-trace/{}.jsonl", torrent.info_hash));
    let trace = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        trace.lines().nth(1).unwrap(),
        r#"{"t":0.0,"took":0.0,"op":"seal","piece":0,"result":"dropped"}"#
    );
}

#[test]
fn a_trace_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("taken"), "").unwrap();
    let (torrent, host) = (torrent(folder.path(), &[("a", 4)], 4), TestHost::new());
    let memory = open(&*Memory::build(Default::default()).unwrap(), torrent.clone(), host.clone()).unwrap();
    let layer = Trace::build(trace::Config { folder: "taken".into() }).unwrap();
    let store = Waiting(layer.wrap(memory.0, Arc::new(torrent), host));
    store.write(0, 0, b"abcd").unwrap();
    store.seal(0);
    let error = store.checkpoint().unwrap_err();
    assert!(error.to_string().starts_with("writing the trace "), "{error}");
    assert_ne!(error.kind(), StorageErrorKind::Missing, "no piece is blamed");
    assert_eq!(store.read(0, 0, 4).unwrap(), b"abcd");
}
