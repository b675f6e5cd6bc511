//! Cases 44 and 135: what the store cannot take, and what fails its hash (SW-22, SW-23, DN-6, DN-7), where the
//! original stopped at any error of the disk, and this engine at those alone that do not go away.

use std::time::Duration;

use bt_api::{PeerKey, PieceIndex, PieceSet, StorageError, StorageErrorKind};
use bt_engine::{Event, Input, Output, Stall};

use crate::common::Node;
use crate::common::solo::{Solo, closes, requests};

/// One whose first piece of two has come in full, and who sent it.
fn with_a_full_piece() -> (Solo, PeerKey) {
    let mut solo = Solo::new(1, Node::new(PieceSet::new(2)));
    let (a, asked) = solo.connect_open(1, &[0]);
    solo.send_block(a, asked[0]);
    (solo, a)
}

fn fails(solo: &mut Solo, kind: StorageErrorKind) -> Vec<Output> {
    let result = Err(StorageError::new(kind, "writing, says the test"));
    solo.feed(Input::Finished { piece: PieceIndex(0), result })
}

fn is_finish(output: &Output) -> bool {
    matches!(output, Output::Finish { .. })
}

#[test]
fn case_44_a_write_error_pauses_and_is_tried_again_ever_less_often() {
    for kind in [StorageErrorKind::Full, StorageErrorKind::Other] {
        let (mut solo, _) = with_a_full_piece();
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let out = fails(&mut solo, kind);
            assert!(closes(&out).is_empty(), "no peer is to blame");
            let stall = solo.engine.status(solo.now).stall;
            assert!(matches!(stall, Some(Stall::Store { kind: shown, .. }) if shown == kind), "{stall:?}");
            let almost = Duration::from_secs(pause) - Duration::from_millis(1);
            assert!(!solo.wait(almost).iter().any(is_finish), "{pause}");
            assert!(solo.wait(Duration::from_millis(1)).iter().any(is_finish), "{pause}");
        }
        solo.good(0);
        assert!(!matches!(solo.engine.status(solo.now).stall, Some(Stall::Store { .. })));
    }
}

/// Else a disk that is full for a moment stops a fast download for a minute.
#[test]
fn pieces_that_fail_together_are_one_failure() {
    let mut solo = Solo::new(1, Node::new(PieceSet::new(5)));
    let (a, asked) = solo.connect_open(1, &[0, 1, 2, 3, 4]);
    for block in asked {
        solo.send_block(a, block);
    }
    for piece in 0..5 {
        let result = Err(StorageError::new(StorageErrorKind::Full, "writing, says the test"));
        solo.feed(Input::Finished { piece: PieceIndex(piece), result });
    }
    assert!(solo.wait_secs(1).iter().any(is_finish));
}

#[test]
fn case_44_a_write_error_that_stays_stops_the_torrent_and_is_told() {
    for kind in [StorageErrorKind::Corrupt, StorageErrorKind::Denied] {
        let (mut solo, _) = with_a_full_piece();
        let out = fails(&mut solo, kind);
        assert_eq!(closes(&out).len(), 1);
        let told = |output: &Output| matches!(output, Output::Failed { message } if message == "writing, says the test");
        assert!(out.iter().any(told), "{out:?}");
        assert!(out.iter().any(|output| matches!(output, Output::Event(Event::StorageError { .. }))));
        let rest = [out, solo.wait_secs(60)].concat();
        assert!(rest.iter().any(|output| matches!(output, Output::Stopped)), "{rest:?}");
    }
}

/// A folder that was writable may be so again.
#[test]
fn permission_that_is_taken_away_later_is_waited_for() {
    let (mut solo, _) = with_a_full_piece();
    solo.good(0);
    let (b, asked) = solo.connect_open(2, &[1]);
    solo.send_block(b, asked[0]);
    let result = Err(StorageError::new(StorageErrorKind::Denied, "writing, says the test"));
    let out = solo.feed(Input::Finished { piece: PieceIndex(1), result });
    assert!(closes(&out).is_empty() && !out.iter().any(|output| matches!(output, Output::Failed { .. })));
    assert!(solo.wait_secs(1).iter().any(is_finish));
}

/// No word for the user is in the engine: `tests/tests/mainline.rs` looks at what is shown.
#[test]
fn case_135_a_failed_piece_takes_its_length_from_the_progress() {
    let (mut solo, a) = with_a_full_piece();
    let length = u64::from(crate::common::BLOCK);
    let before = solo.engine.status(solo.now);
    assert_eq!((before.downloaded, before.bytes_have, before.wasted), (length, 0, 0));
    let out = solo.bad(0);
    assert_eq!(requests(&out, a).len(), 1, "it is asked for again");
    let after = solo.engine.status(solo.now);
    assert_eq!((after.downloaded, after.bytes_have, after.wasted), (length, 0, length));
    assert_eq!(after.bytes_total - after.bytes_have, 2 * length);
    assert_eq!(after.hash_failures, 1);
}
