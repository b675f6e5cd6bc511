//! What a peer is sent: a queue that the torrent fills without waiting, and the writer that empties it with
//! vectored writes, in order (RS-13 to RS-17).

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_channel::Sender;
use async_std::future::timeout;
use async_std::io::Write;
use bt_api::{Block, BlockRef, PeerKey, StorageError};
use bt_engine::CloseReason;
use bt_engine::wire::{Message, PIECE_HEADER, encode, piece_header};
use futures::future::{Either, poll_fn, select};
use futures::io::AsyncWriteExt;
use futures::task::AtomicWaker;

use super::torrent::Note;
use super::uploads::Slot;

/// A peer for which so many bytes of messages wait does not read: a bitfield of the largest torrent, or
/// all its pieces as `have` messages to a peer that pauses for a while, are less.
const MOST_CONTROL: usize = 1 << 20;

/// What one write hands to the kernel at most: more than its buffers take.
const MOST_IN_WRITE: usize = 1 << 20;

/// How many slices one write names at most; the limit of common systems is 1024.
const MOST_SLICES: usize = 256;

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

    /// Writes what is queued to `stream` until the connection is closed or fails, or `patience` passes in
    /// which nothing could be written; tells the torrent of the blocks of `peer` that the socket took.
    pub(crate) async fn write_to(
        &self,
        mut stream: impl Write + Unpin,
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
                state.control -= std::mem::take(&mut queue.written);
                (state.closed, std::mem::take(&mut state.relieve))
            };
            fill(&mut items, &mut queue, &mut sent);
            if relieve {
                items.iter_mut().for_each(Item::copy);
                queue.copy();
            }
            let relief = pin!(self.wait(|state| state.relieve));
            if !queue.segments.is_empty() {
                let slices = queue.slices();
                let now = Instant::now();
                let left = give_up_at.get_or_insert(now + patience).saturating_duration_since(now);
                let writing = timeout(left, stream.write_vectored(&slices));
                let Either::Left((written, _)) = select(pin!(writing), relief).await else { continue };
                give_up_at = None;
                match written {
                    Ok(Ok(0)) => return Err(CloseReason::Remote),
                    Ok(Ok(written)) => queue.advance(written, &mut sent),
                    Ok(Err(error)) => return Err(CloseReason::Io(error.to_string())),
                    Err(_) => return Err(CloseReason::Io("the peer does not read".into())),
                }
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

type Sent = (BlockRef, Result<(), StorageError>);

/// Moves items whose bytes are here to the write queue, up to the first whose are not.
fn fill(items: &mut VecDeque<Item>, queue: &mut Queue, sent: &mut Vec<Sent>) {
    while queue.length < MOST_IN_WRITE
        && queue.segments.len() < MOST_SLICES
        && let Some(item) = items.pop_front()
    {
        match item {
            Item::Control(bytes) => queue.push(Segment::Control(bytes)),
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

/// What is being written.
#[derive(Default)]
struct Queue {
    segments: VecDeque<Segment>,
    /// How much of the first segment is written.
    offset: usize,
    /// Bytes in all segments.
    length: usize,
    /// Bytes of messages that were written since that was last looked at.
    written: usize,
}

enum Segment {
    Control(Vec<u8>),
    Header([u8; PIECE_HEADER]),
    /// Bytes of a block, which it ends where it is named.
    Payload(Block, Option<BlockRef>),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Control(bytes) => bytes,
            Self::Header(bytes) => bytes,
            Self::Payload(bytes, _) => bytes,
        }
    }
}

impl Queue {
    fn push(&mut self, segment: Segment) {
        self.length += segment.bytes().len();
        self.segments.push_back(segment);
    }

    fn block(&mut self, block: BlockRef, blocks: Vec<Block>) {
        self.push(Segment::Header(piece_header(block)));
        let last = blocks.len().saturating_sub(1);
        for (i, bytes) in blocks.into_iter().enumerate() {
            self.push(Segment::Payload(bytes, (i == last).then_some(block)));
        }
    }

    /// Lets go of the buffers that blocks are parts of.
    fn copy(&mut self) {
        for segment in &mut self.segments {
            if let Segment::Payload(bytes, _) = segment {
                *bytes = bytes.to_vec().into();
            }
        }
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices: Vec<_> =
            self.segments.iter().take(MOST_SLICES).map(|segment| IoSlice::new(segment.bytes())).collect();
        if let (Some(first), Some(segment)) = (slices.first_mut(), self.segments.front()) {
            *first = IoSlice::new(&segment.bytes()[self.offset..]);
        }
        slices
    }

    /// Takes off what was written; blocks that are through go to `sent`.
    fn advance(&mut self, written: usize, sent: &mut Vec<Sent>) {
        self.length -= written;
        self.offset += written;
        while let Some(segment) = self.segments.front()
            && segment.bytes().len() <= self.offset
        {
            self.offset -= segment.bytes().len();
            match segment {
                Segment::Control(bytes) => self.written += bytes.len(),
                Segment::Payload(_, Some(block)) => sent.push((*block, Ok(()))),
                _ => {}
            }
            self.segments.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Context;

    use bt_api::PieceIndex;
    use futures::FutureExt;

    use super::super::pool::{BufferPool, LONGEST};
    use super::*;

    /// A socket whose other end never reads.
    struct Stuck;

    impl Write for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
            Poll::Pending
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Pending
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Pending
        }
    }

    const BLOCK: BlockRef = BlockRef { piece: PieceIndex(0), begin: 0, length: 16 << 10 };

    #[test]
    fn a_peer_that_does_not_read_frees_memory_when_it_is_short() {
        let pool = BufferPool::new(0);
        let (outbox, (notes, _inbox)) = (Outbox::default(), async_channel::unbounded());
        let mut writing = pin!(outbox.write_to(Stuck, PeerKey(0), &notes, STALL_TIME));
        let free = || pool.get_for_store(pool.limit()).now_or_never().is_some();
        // One is in the write queue, the other still to be moved there.
        for _ in 0..2 {
            let span = pool.get_for_store(LONGEST).now_or_never().unwrap().freeze();
            outbox.upload(BLOCK, Slot::of(span.slice(0..16 << 10)));
            drop(span);
            assert!(writing.as_mut().now_or_never().is_none());
        }
        assert!(!free());
        outbox.relieve();
        assert!(writing.as_mut().now_or_never().is_none());
        assert!(free());
    }

    #[test]
    fn messages_that_wait_behind_a_block_count() {
        let (outbox, (notes, _inbox)) = (Outbox::default(), async_channel::unbounded());
        let mut writing = pin!(outbox.write_to(Stuck, PeerKey(0), &notes, STALL_TIME));
        let overflow = (0..MOST_CONTROL).find(|_| {
            outbox.upload(BLOCK, Slot::of(vec![0; 16].into()));
            let full = outbox.message(&Message::Have(PieceIndex(0))).is_err();
            outbox.wake();
            assert!(writing.as_mut().now_or_never().is_none());
            full
        });
        assert_eq!(overflow, Some(MOST_CONTROL / 9));
    }

    #[test]
    fn a_peer_that_takes_nothing_is_closed_whatever_else_happens() {
        let (outbox, (notes, _inbox)) = (Outbox::default(), async_channel::unbounded());
        let mut writing = pin!(outbox.write_to(Stuck, PeerKey(0), &notes, Duration::ZERO));
        assert!(writing.as_mut().now_or_never().is_none(), "nothing is to be written yet");
        outbox.message(&Message::Unchoke).unwrap();
        let end = async_std::task::block_on(writing);
        assert_eq!(end, Err(CloseReason::Io("the peer does not read".into())));
    }
}
