//! SHA-1 over blocks, in turns.

use std::future::poll_fn;
use std::task::Poll;

use bt_api::Block;
use sha1::{Digest, Sha1};

/// What is hashed on a task before others get their turn: some 100 µs of work.
const HASH_TURN: usize = 256 << 10;

/// Hashes `blocks` in order where the task stands, and lets others have a turn now and then: the bytes were
/// just received, so a worker thread would cost more than it saves.
pub async fn hash_into(sha: &mut Sha1, blocks: &[Block]) {
    let mut turn = 0;
    for block in blocks {
        for part in block.chunks(HASH_TURN) {
            sha.update(part);
            turn += part.len();
            if turn >= HASH_TURN {
                turn = 0;
                pass().await;
            }
        }
    }
}

/// Lets other tasks have a turn.
async fn pass() {
    let mut passed = false;
    poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
