//! Cases 13 to 17 and more: what is queued, and what becomes of it (RS-13 to RS-18).

use std::sync::Arc;
use std::task::Context;

use bt_api::PieceIndex;
use bt_engine::wire::piece_header;
use futures::FutureExt;

use super::*;
use crate::store::pool::{BufferPool, LONGEST};

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

/// A socket that does what it is told to, in order, and then takes everything.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<(VecDeque<Does>, Vec<u8>)>>);

enum Does {
    /// It is not connected yet, or full.
    Wait,
    /// It takes so many bytes.
    Take(usize),
    Fail,
}

impl Scripted {
    fn new(steps: impl IntoIterator<Item = Does>) -> Self {
        Self(Arc::new(Mutex::new((steps.into_iter().collect(), Vec::new()))))
    }
    fn taken(&self) -> Vec<u8> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Write for Scripted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let (steps, taken) = &mut *self.0.lock().unwrap();
        let most = match steps.pop_front() {
            Some(Does::Wait) => return Poll::Pending,
            Some(Does::Fail) => return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into())),
            Some(Does::Take(most)) => most,
            None => usize::MAX,
        };
        let written = most.min(bytes.len());
        taken.extend_from_slice(&bytes[..written]);
        Poll::Ready(Ok(written))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// RS-14: what is written meanwhile waits, in order; nobody is told before it went out.
#[test]
fn case_13_what_is_queued_before_the_socket_takes_anything_goes_out_in_order() {
    for limit in [None, Some(1 << 40)] {
        let (outbox, (notes, inbox)) = (Outbox::default(), async_channel::unbounded());
        let (socket, throttle) = (Scripted::new([Does::Wait, Does::Wait]), Throttle::new(limit));
        let mut writing = pin!(outbox.write_to(socket.clone(), &throttle, PeerKey(0), &notes, STALL_TIME));
        let mut expected = b"hello".to_vec();
        outbox.bytes(b"hello");
        let short = BlockRef { length: 2, ..BLOCK };
        for i in 0..3 {
            outbox.message(&Message::Have(PieceIndex(i))).unwrap();
            encode(&Message::Have(PieceIndex(i)), &mut expected);
            outbox.upload(short, Slot::of(vec![i as u8; 2].into()));
            expected.extend(piece_header(short));
            expected.extend([i as u8; 2]);
            if socket.taken().is_empty() {
                assert!(writing.as_mut().now_or_never().is_none());
                assert!(i == 2 || inbox.is_empty(), "nothing is flushed yet");
            }
        }
        let sent = async {
            let mut sent = 0;
            while sent < 3 {
                let Ok(Note::Uploaded(_, blocks)) = inbox.recv().await else { panic!("another note") };
                sent += blocks.len();
            }
        };
        async_std::task::block_on(select(writing.as_mut(), pin!(sent)));
        assert_eq!(socket.taken(), expected);
    }
}

/// RS-15: the rest of a short write is next, and each block is told of once, when its last byte went out.
#[test]
fn case_14_a_short_write_goes_on_where_it_stopped() {
    let (outbox, (notes, inbox)) = (Outbox::default(), async_channel::unbounded());
    let (socket, throttle) = (Scripted::new([Does::Take(10), Does::Wait]), Throttle::new(None));
    let mut writing = pin!(outbox.write_to(socket.clone(), &throttle, PeerKey(0), &notes, STALL_TIME));
    let block = BlockRef { length: 87, ..BLOCK };
    outbox.upload(block, Slot::of((0..87).collect::<Vec<u8>>().into()));
    let whole = [&piece_header(block)[..], &(0..87).collect::<Vec<u8>>()].concat();
    assert_eq!(whole.len(), 100);
    assert!(writing.as_mut().now_or_never().is_none());
    assert_eq!((socket.taken(), inbox.len()), (whole[..10].to_vec(), 0));
    while inbox.is_empty() {
        assert!(writing.as_mut().now_or_never().is_none());
    }
    assert_eq!(socket.taken(), whole);
    assert!(writing.as_mut().now_or_never().is_none());
    let Ok(Note::Uploaded(PeerKey(0), blocks)) = inbox.try_recv() else { panic!("another note") };
    assert!(matches!(blocks[..], [(sent, Ok(()))] if sent == block) && inbox.is_empty());
}

/// RS-17, adapted: only who waits for the end of a block is told of it.
#[test]
fn case_15_messages_that_go_out_at_once_are_not_told_of() {
    let (outbox, (notes, inbox)) = (Outbox::default(), async_channel::unbounded());
    let (socket, throttle) = (Scripted::default(), Throttle::new(None));
    let mut writing = pin!(outbox.write_to(socket.clone(), &throttle, PeerKey(0), &notes, STALL_TIME));
    outbox.message(&Message::Unchoke).unwrap();
    assert!(writing.as_mut().now_or_never().is_none());
    assert_eq!((socket.taken().len(), inbox.len()), (5, 0));
}

/// RS-15: the error ends the connection's task, which tells the torrent; who queued the message hears nothing.
#[test]
fn case_16_a_write_error_does_not_reach_who_writes() {
    let (outbox, (notes, inbox)) = (Outbox::default(), async_channel::unbounded());
    let throttle = Throttle::new(None);
    let mut writing =
        pin!(outbox.write_to(Scripted::new([Does::Fail]), &throttle, PeerKey(0), &notes, STALL_TIME));
    assert!(writing.as_mut().now_or_never().is_none());
    outbox.message(&Message::Unchoke).unwrap();
    outbox.wake();
    outbox.message(&Message::Choke).unwrap();
    let end = writing.now_or_never();
    assert!(matches!(end, Some(Err(CloseReason::Io(_)))) && inbox.is_empty());
}

/// RS-18, the local half of case 17: an end that we chose is no loss.
#[test]
fn case_17_a_local_close_ends_without_a_word() {
    let (outbox, (notes, inbox)) = (Outbox::default(), async_channel::unbounded());
    let (socket, throttle) = (Scripted::default(), Throttle::new(None));
    outbox.message(&Message::Choke).unwrap();
    outbox.close();
    let end = outbox.write_to(socket.clone(), &throttle, PeerKey(0), &notes, STALL_TIME).now_or_never();
    // What was queued before goes out first.
    assert_eq!((end, socket.taken().len(), inbox.len()), (Some(Ok(())), 5, 0));
}

/// CN-14 and case 124 of a limit at the sockets: messages do not wait for it.
#[test]
fn messages_pass_a_limit_that_holds_blocks_back() {
    let (outbox, (notes, inbox)) = (Outbox::default(), async_channel::unbounded());
    let (socket, throttle) = (Scripted::default(), Throttle::new(Some(1)));
    let mut writing = pin!(outbox.write_to(socket.clone(), &throttle, PeerKey(0), &notes, STALL_TIME));
    outbox.message(&Message::Unchoke).unwrap();
    outbox.upload(BLOCK, Slot::of(vec![0; 16 << 10].into()));
    assert!(writing.as_mut().now_or_never().is_none());
    assert_eq!((socket.taken().len(), inbox.len()), (5, 0));
}

const BLOCK: BlockRef = BlockRef { piece: PieceIndex(0), begin: 0, length: 16 << 10 };

#[test]
fn a_peer_that_does_not_read_frees_memory_when_it_is_short() {
    let pool = BufferPool::new(0);
    let (outbox, (notes, _inbox)) = (Outbox::default(), async_channel::unbounded());
    let unlimited = Throttle::new(None);
    let mut writing = pin!(outbox.write_to(Stuck, &unlimited, PeerKey(0), &notes, STALL_TIME));
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
    let unlimited = Throttle::new(None);
    let mut writing = pin!(outbox.write_to(Stuck, &unlimited, PeerKey(0), &notes, STALL_TIME));
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
    let unlimited = Throttle::new(None);
    let mut writing = pin!(outbox.write_to(Stuck, &unlimited, PeerKey(0), &notes, Duration::ZERO));
    assert!(writing.as_mut().now_or_never().is_none(), "nothing is to be written yet");
    outbox.message(&Message::Unchoke).unwrap();
    let end = async_std::task::block_on(writing);
    assert_eq!(end, Err(CloseReason::Io("the peer does not read".into())));
}
