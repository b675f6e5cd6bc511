//! What a peer is sent: a queue that the torrent fills without waiting, and the writer that empties it with
//! vectored writes, in order (RS-13 to RS-17).

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_channel::Sender;
use async_std::future::timeout;
use async_std::io::Write;
use bt_api::{BlockRef, PeerKey};
use bt_engine::CloseReason;
use bt_engine::wire::{Message, encode};
use futures::future::{Either, poll_fn, select};
use futures::io::AsyncWriteExt;
use futures::task::AtomicWaker;

use super::throttle::Throttle;
use super::torrent::Note;
use super::write_queue::{Queue, Sent};
use crate::store::uploads::Slot;

/// A peer for which so many bytes of messages wait does not read: a bitfield of the largest torrent, or
/// all its pieces as `have` messages to a peer that pauses for a while, are less.
const MOST_CONTROL: usize = 1 << 20;

/// A peer that took nothing for so long, of what it is sent, does not read.
pub(crate) const STALL_TIME: Duration = Duration::from_secs(60);

/// The queue of one connection.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    writer: AtomicWaker,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Bytes of messages that are not written yet, wherever they wait.
    control: usize,
    /// Memory is short: blocks that wait are not to hold the long buffers that they are parts of.
    relieve: bool,
    closed: bool,
}

enum Item {
    Control(Vec<u8>),
    Upload(BlockRef, Slot),
}

/// The peer does not read what it is sent.
#[derive(Debug)]
pub(crate) struct Overflow;

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues bytes of a handshake.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.control_bytes().extend_from_slice(bytes);
        state.control += bytes.len();
    }

    /// Queues a message. Nothing is sent before [`wake`](Self::wake).
    ///
    /// # Errors
    /// When too much waits already; the connection is to be closed.
    pub(crate) fn message(&self, message: &Message) -> Result<(), Overflow> {
        let mut state = self.lock();
        let bytes = state.control_bytes();
        let before = bytes.len();
        encode(message, bytes);
        let added = bytes.len() - before;
        state.control += added;
        if state.control > MOST_CONTROL { Err(Overflow) } else { Ok(()) }
    }

    /// Queues a block; the engine bounds how many. Nothing is sent before [`wake`](Self::wake).
    pub(crate) fn upload(&self, block: BlockRef, slot: Slot) {
        self.lock().items.push_back(Item::Upload(block, slot));
    }

    /// Lets the writer look at the queue.
    pub(crate) fn wake(&self) {
        self.writer.wake();
    }

    /// Memory is short: has the writer copy the blocks that wait, so that the buffers which they are parts
    /// of are free. The copies are as many as the engine lets a peer have under way, whatever the memory
    /// limit is; like the spare buffer of each connection they let everybody else go on.
    pub(crate) fn relieve(&self) {
        self.lock().relieve = true;
        self.wake();
    }

    /// Ends the connection once the queue is empty.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake();
    }

    /// Waits until the connection is to end.
    pub(crate) async fn closed(&self) {
        self.wait(|state| state.closed).await;
    }

    /// Waits until `is_time`. The connection is one task, so one waker serves all who wait.
    async fn wait(&self, is_time: impl Fn(&State) -> bool) {
        poll_fn(|context| {
            self.writer.register(context.waker());
            if is_time(&self.lock()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Writes what is queued to `stream`, blocks as `throttle` allows, until the connection is closed or fails, or
    /// `patience` passes in which the socket took nothing; tells the torrent of the blocks of `peer` that it took.
    pub(crate) async fn write_to(
        &self,
        mut stream: impl Write + Unpin,
        throttle: &Throttle,
        peer: PeerKey,
        notes: &Sender<Note>,
        patience: Duration,
    ) -> Result<(), CloseReason> {
        let (mut items, mut queue) = (VecDeque::new(), Queue::default());
        let (mut sent, mut give_up_at) = (Vec::new(), None);
        loop {
            let (closed, relieve) = {
                let mut state = self.lock();
                items.append(&mut state.items);
                state.control -= queue.take_written();
                (state.closed, std::mem::take(&mut state.relieve))
            };
            fill(&mut items, &mut queue, &mut sent);
            if relieve {
                items.iter_mut().for_each(Item::copy);
                queue.copy();
            }
            let mut relief = pin!(self.wait(|state| state.relieve));
            if !queue.is_empty() {
                let asked = Instant::now();
                let mut paying = pin!(throttle.wait(queue.to_be_paid()));
                let credit = select(paying.as_mut(), relief.as_mut()).await;
                // Waiting for credit is no fault of the peer.
                give_up_at = give_up_at.map(|at: Instant| at + asked.elapsed());
                let Either::Left((credit, _)) = credit else { continue };
                let mut credit = Credit { throttle, bytes: credit };
                let now = Instant::now();
                let left = give_up_at.get_or_insert(now + patience).saturating_duration_since(now);
                let writing = timeout(left, write(&mut stream, &queue, &mut credit));
                let Either::Left((written, _)) = select(pin!(writing), relief).await else { continue };
                match written {
                    Ok(Ok(None)) => continue,
                    Ok(Ok(Some(0))) => return Err(CloseReason::Remote),
                    Ok(Ok(Some(written))) => {
                        credit.bytes -= queue.advance(written, &mut sent).min(credit.bytes)
                    }
                    Ok(Err(error)) => return Err(CloseReason::Io(error.to_string())),
                    Err(_) => return Err(CloseReason::Io("the peer does not read".into())),
                }
                give_up_at = None;
            } else if sent.is_empty() {
                match items.front() {
                    Some(Item::Upload(_, slot)) => drop(select(pin!(slot.read()), relief).await),
                    _ if closed => return Ok(()),
                    _ => self.wait(|state| state.closed || !state.items.is_empty()).await,
                }
            }
            if !sent.is_empty() {
                let note = Note::Uploaded(peer, std::mem::take(&mut sent));
                if notes.send(note).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Credit that a throttle gave; what is left of it goes back.
struct Credit<'a> {
    throttle: &'a Throttle,
    bytes: usize,
}

impl Drop for Credit<'_> {
    fn drop(&mut self) {
        self.throttle.give_back(self.bytes);
    }
}

/// Writes the front of `queue`, of blocks as much as there is `credit` for; answers how many bytes the socket took, or
/// with `None` that it may have room now and did not before. Meanwhile a limit's credit was others', so a
/// peer that does not read holds none back.
async fn write(
    mut stream: impl Write + Unpin,
    queue: &Queue,
    credit: &mut Credit<'_>,
) -> std::io::Result<Option<usize>> {
    if !credit.throttle.is_limited() {
        return stream.write_vectored(&queue.slices(usize::MAX)).await.map(Some);
    }
    let slices = queue.slices(credit.bytes);
    let mut was_full = false;
    poll_fn(|context| {
        if was_full {
            return Poll::Ready(Ok(None));
        }
        let written = Pin::new(&mut stream).poll_write_vectored(context, &slices);
        was_full = written.is_pending();
        if was_full {
            credit.throttle.give_back(std::mem::take(&mut credit.bytes));
        }
        written.map_ok(Some)
    })
    .await
}

/// Moves items whose bytes are here to the write queue, up to the first whose are not.
fn fill(items: &mut VecDeque<Item>, queue: &mut Queue, sent: &mut Vec<Sent>) {
    while queue.has_room()
        && let Some(item) = items.pop_front()
    {
        match item {
            Item::Control(bytes) => queue.control(bytes),
            Item::Upload(block, slot) => match slot.now() {
                Some(Ok(blocks)) => queue.block(block, blocks),
                Some(Err(error)) => sent.push((block, Err(error))),
                None => return items.push_front(Item::Upload(block, slot)),
            },
        }
    }
}

impl Item {
    fn copy(&mut self) {
        if let Self::Upload(_, slot) = self {
            slot.copy();
        }
    }
}

impl State {
    /// Where the bytes of the next message go.
    fn control_bytes(&mut self) -> &mut Vec<u8> {
        if !matches!(self.items.back(), Some(Item::Control(_))) {
            self.items.push_back(Item::Control(Vec::new()));
        }
        match self.items.back_mut() {
            Some(Item::Control(bytes)) => bytes,
            _ => unreachable!("it was just put there"),
        }
    }
}

#[cfg(test)]
mod tests;
