//! What is being written to one peer: messages, and blocks with their headers, in order, as slices for one call.

use std::collections::VecDeque;
use std::io::IoSlice;

use bt_api::{Block, BlockRef, StorageError};
use bt_engine::wire::{PIECE_HEADER, piece_header};

/// What one write hands to the kernel at most: more than its buffers take.
const MOST_IN_WRITE: usize = 1 << 20;

/// How many slices one write names at most; the limit of common systems is 1024.
const MOST_SLICES: usize = 256;

/// A block that the socket took, or that the store could not read.
pub(super) type Sent = (BlockRef, Result<(), StorageError>);

/// What is being written.
#[derive(Default)]
pub(super) struct Queue {
    segments: VecDeque<Segment>,
    /// How much of the first segment is written.
    offset: usize,
    /// Bytes in all segments, and those of blocks among them.
    length: usize,
    payload: usize,
    /// Bytes of messages that were written since that was last looked at.
    written: usize,
}

pub(super) enum Segment {
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
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether one write can hand all of it to the kernel, so that more may be put here.
    pub(super) fn has_room(&self) -> bool {
        self.length < MOST_IN_WRITE && self.segments.len() < MOST_SLICES
    }

    /// Puts bytes of messages at the end.
    pub(super) fn control(&mut self, bytes: Vec<u8>) {
        self.push(Segment::Control(bytes));
    }

    /// Puts a block at the end, of which these are the bytes.
    pub(super) fn block(&mut self, block: BlockRef, blocks: Vec<Block>) {
        self.push(Segment::Header(piece_header(block)));
        let last = blocks.len().saturating_sub(1);
        for (i, bytes) in blocks.into_iter().enumerate() {
            self.payload += bytes.len();
            self.push(Segment::Payload(bytes, (i == last).then_some(block)));
        }
    }

    fn push(&mut self, segment: Segment) {
        self.length += segment.bytes().len();
        self.segments.push_back(segment);
    }

    /// Lets go of the buffers that blocks are parts of.
    pub(super) fn copy(&mut self) {
        for segment in &mut self.segments {
            if let Segment::Payload(bytes, _) = segment {
                *bytes = bytes.to_vec().into();
            }
        }
    }

    /// Bytes of messages that were written since this was last asked.
    pub(super) fn take_written(&mut self) -> usize {
        std::mem::take(&mut self.written)
    }

    /// How many bytes of blocks are next, and have to wait for credit where sending is limited: none while a message
    /// is at the front, which nothing holds back.
    pub(super) fn to_be_paid(&self) -> usize {
        if matches!(self.segments.front(), Some(Segment::Control(_))) { 0 } else { self.payload }
    }

    /// What one write names: of blocks no more than `payload` bytes, and a header only together with some of them.
    pub(super) fn slices(&self, mut payload: usize) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.segments.len().min(MOST_SLICES));
        let mut skip = self.offset;
        for segment in self.segments.iter().take(MOST_SLICES) {
            let bytes = &segment.bytes()[std::mem::take(&mut skip)..];
            let most = match segment {
                Segment::Control(_) => bytes.len(),
                _ if payload == 0 => break,
                Segment::Header(_) => bytes.len(),
                Segment::Payload(..) => bytes.len().min(payload),
            };
            slices.push(IoSlice::new(&bytes[..most]));
            if most < bytes.len() {
                break;
            }
            if let Segment::Payload(..) = segment {
                payload -= most;
            }
        }
        slices
    }

    /// Takes off what was written; blocks that are through go to `sent`. Answers how much of it was of blocks.
    pub(super) fn advance(&mut self, written: usize, sent: &mut Vec<Sent>) -> usize {
        let payload = self.payload;
        self.length -= written;
        let mut left = written;
        while let Some(segment) = self.segments.front() {
            let here = (segment.bytes().len() - self.offset).min(left);
            left -= here;
            self.offset += here;
            if let Segment::Payload(..) = segment {
                self.payload -= here;
            }
            if self.offset < segment.bytes().len() {
                break;
            }
            match segment {
                Segment::Control(bytes) => self.written += bytes.len(),
                Segment::Payload(_, Some(block)) => sent.push((*block, Ok(()))),
                _ => {}
            }
            self.offset = 0;
            self.segments.pop_front();
        }
        payload - self.payload
    }
}

#[cfg(test)]
mod tests {
    use bt_api::PieceIndex;

    use super::*;

    const BLOCK: BlockRef = BlockRef { piece: PieceIndex(0), begin: 0, length: 30 };

    fn lengths(queue: &Queue, payload: usize) -> Vec<usize> {
        queue.slices(payload).iter().map(|slice| slice.len()).collect()
    }

    #[test]
    fn blocks_are_cut_where_credit_ends_and_messages_are_not_held_back() {
        let (mut queue, mut sent) = (Queue::default(), Vec::new());
        queue.control(vec![0; 5]);
        queue.block(BLOCK, vec![vec![0; 10].into(), vec![0; 20].into()]);
        queue.control(vec![0; 9]);
        assert_eq!((queue.to_be_paid(), lengths(&queue, 0)), (0, vec![5]));
        assert_eq!(lengths(&queue, usize::MAX), [5, 13, 10, 20, 9]);
        assert_eq!(queue.advance(5, &mut sent), 0);
        // A header alone would be a packet of its own.
        assert_eq!((queue.to_be_paid(), lengths(&queue, 0)), (30, vec![]));
        assert_eq!(lengths(&queue, 12), [13, 10, 2]);
        assert_eq!(queue.advance(24, &mut sent), 11);
        assert_eq!((queue.to_be_paid(), lengths(&queue, 18)), (19, vec![18]));
        assert_eq!(lengths(&queue, 19), [19, 9]);
        assert!(sent.is_empty());
        assert_eq!(queue.advance(19, &mut sent), 19);
        assert!(matches!(sent[..], [(BLOCK, Ok(()))]));
        assert_eq!((queue.advance(9, &mut sent), queue.take_written()), (0, 14));
        assert!(queue.is_empty() && queue.has_room());
    }
}
