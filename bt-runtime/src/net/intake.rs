//! What a peer sends, taken apart where the socket put it: payload stays in its buffer and becomes the
//! [`Block`]s that are hashed, written and sent, without a copy.
//!
//! A buffer is filled until a block ends in it or it is full. Then it is frozen: blocks are slices of it,
//! the start of an unfinished block is one too, and of the rest at most an unfinished header is copied into
//! the next buffer.

use std::ops::Range;

use bt_api::{Block, BlockRef, Buffer, InfoHash, PeerId};
use bt_engine::CloseReason;
use bt_engine::handshake::{Handshake, Step as HandshakeStep};
use bt_engine::wire::{Decoder, Message, Step};

/// After so many messages they are handed on before more are decoded: what small messages grow to is bounded.
pub(crate) const BATCH: usize = 1024;

/// What is left of a buffer after the last whole message is copied when it is no longer than this: the start
/// of a small message is not to hold a long buffer while its rest is on the way.
const SHORT_REST: usize = 1 << 10;

/// What came from a peer.
#[derive(Debug, PartialEq)]
pub(crate) enum Got {
    /// Both handshakes offer the fast extension.
    Fast,
    /// Its handshake is complete.
    Handshake(PeerId),
    /// A message.
    Message(Message),
    /// A whole block.
    Block(BlockRef, Vec<Block>),
    /// Some bytes.
    Alive,
}

/// The receiving half of a connection, without its socket.
pub(crate) struct Intake {
    info_hash: InfoHash,
    /// Reads the handshake until it is complete.
    handshake: Option<Handshake>,
    decoder: Decoder,
    chunk: Option<Chunk>,
    /// What was received and could not be decoded yet, while there is no chunk.
    carry: Vec<u8>,
    /// Nothing can be decoded before so many bytes are there.
    need: usize,
    partial: Option<Partial>,
}

struct Chunk {
    buffer: Buffer,
    filled: usize,
    /// How much was decoded.
    taken: usize,
}

/// A block of which not all bytes are here.
struct Partial {
    block: BlockRef,
    wanted: bool,
    left: u32,
    parts: Vec<Block>,
    /// Its bytes in the present chunk.
    here: Range<usize>,
}

/// Something decoded; the bytes of a block are still in the chunk.
enum Found {
    Got(Got),
    Block(Partial),
}

impl Intake {
    /// The intake of a connection to a peer of `info_hash`, of whose handshake `handshake` has read some and
    /// `bytes` came after that.
    pub(crate) fn new(info_hash: InfoHash, handshake: Handshake, bytes: Vec<u8>, decoder: Decoder) -> Self {
        let handshake = Some(handshake);
        Self { info_hash, handshake, decoder, chunk: None, carry: bytes, need: 1, partial: None }
    }

    /// Whether the handshake is complete.
    pub(crate) fn is_open(&self) -> bool {
        self.handshake.is_none()
    }

    /// Whether a block has begun and not ended.
    pub(crate) fn is_within_block(&self) -> bool {
        self.partial.is_some()
    }

    /// The bytes at hand for which the next buffer must have room, and how many must fit besides them so
    /// that something can be decoded; `None` while there is a buffer.
    pub(crate) fn wants_buffer(&self) -> Option<(usize, usize)> {
        let left =
            self.partial.as_ref().filter(|partial| partial.wanted).map_or(1, |partial| partial.left as usize);
        self.chunk.is_none().then(|| (self.carry.len(), left.max(self.need.saturating_sub(self.carry.len()))))
    }

    /// Whether what is at hand may be decoded before more is read.
    pub(crate) fn is_ready(&self) -> bool {
        self.chunk.as_ref().map_or(0, |chunk| chunk.filled - chunk.taken).max(self.carry.len()) >= self.need
    }

    /// Takes a buffer that is long enough for what `wants_buffer` said.
    pub(crate) fn give(&mut self, mut buffer: Buffer) {
        buffer[..self.carry.len()].copy_from_slice(&self.carry);
        self.chunk = Some(Chunk { buffer, filled: self.carry.len(), taken: 0 });
        self.carry.clear();
    }

    /// Where the socket is to put what it has.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.chunk.as_mut().map_or(&mut [], |chunk| &mut chunk.buffer[chunk.filled..])
    }

    /// Decodes after `read` more bytes in [`space`](Self::space); what is whole goes to `got`.
    pub(crate) fn decode(&mut self, read: usize, got: &mut Vec<Got>) -> Result<(), CloseReason> {
        let Some(mut chunk) = self.chunk.take() else { return Ok(()) };
        chunk.filled += read;
        let mut found = Vec::new();
        let result = self.walk(&mut chunk, &mut found);
        let ended = found.iter().any(|one| matches!(one, Found::Block(block) if block.wanted));
        let kept_here = self.partial.as_ref().is_some_and(|partial| !partial.here.is_empty());
        if !ended && !kept_here && chunk.taken == chunk.filled {
            // Nothing of it is needed: an idle connection holds no memory.
            drop(chunk);
        } else if ended
            || chunk.filled == chunk.buffer.len()
            || (!kept_here && chunk.filled - chunk.taken <= SHORT_REST)
        {
            self.roll(chunk, &mut found);
        } else {
            self.chunk = Some(chunk);
        }
        got.extend(found.into_iter().filter_map(|one| match one {
            Found::Got(got) => Some(got),
            Found::Block(Partial { block, wanted: true, parts, .. }) => Some(Got::Block(block, parts)),
            Found::Block(_) => None,
        }));
        result
    }

    fn walk(&mut self, chunk: &mut Chunk, found: &mut Vec<Found>) -> Result<(), CloseReason> {
        while found.len() < BATCH {
            let stream = &chunk.buffer[chunk.taken..chunk.filled];
            if let Some(handshake) = &mut self.handshake {
                let (step, used) = handshake.step(stream).map_err(|_| CloseReason::Handshake)?;
                chunk.taken += used;
                match step {
                    HandshakeStep::Need => {
                        self.need = stream.len() + 1;
                        return Ok(());
                    }
                    HandshakeStep::InfoHash(hash, _) if hash != self.info_hash => {
                        return Err(CloseReason::Handshake);
                    }
                    HandshakeStep::InfoHash(..) => {}
                    HandshakeStep::PeerId(id) => {
                        if handshake.offers_fast() && self.decoder.is_offered_fast() {
                            found.push(Found::Got(Got::Fast));
                        }
                        self.handshake = None;
                        found.push(Found::Got(Got::Handshake(id)));
                    }
                }
                continue;
            }
            match self.decoder.step(stream)? {
                Step::Need(need) => {
                    self.need = need;
                    return Ok(());
                }
                Step::Message(message, used) => {
                    chunk.taken += used;
                    // A keep-alive says no more than that something came.
                    if message != Message::KeepAlive {
                        found.push(Found::Got(Got::Message(message)));
                    }
                }
                Step::Block { block, wanted, used } => {
                    chunk.taken += used;
                    self.partial =
                        Some(Partial { block, wanted, left: block.length, parts: Vec::new(), here: 0..0 });
                }
                Step::Payload { used, ends } => {
                    let here = chunk.taken..chunk.taken + used;
                    chunk.taken = here.end;
                    let Some(partial) = &mut self.partial else { continue };
                    partial.left = partial.left.saturating_sub(used as u32);
                    if partial.wanted {
                        let start = if partial.here.is_empty() { here.start } else { partial.here.start };
                        partial.here = start..here.end;
                    }
                    if ends {
                        found.extend(self.partial.take().map(Found::Block));
                    }
                }
            }
        }
        // There may be more of them in what is at hand.
        self.need = 1;
        Ok(())
    }

    /// Freezes a chunk: hands its slices to the blocks they belong to.
    fn roll(&mut self, chunk: Chunk, found: &mut [Found]) {
        self.carry.extend_from_slice(&chunk.buffer[chunk.taken..chunk.filled]);
        let Chunk { mut buffer, filled, .. } = chunk;
        buffer.truncate(filled);
        let whole = buffer.freeze();
        let blocks = found.iter_mut().filter_map(|one| match one {
            Found::Block(block) => Some(block),
            Found::Got(_) => None,
        });
        for partial in blocks.chain(&mut self.partial) {
            let here = std::mem::take(&mut partial.here);
            if !here.is_empty() {
                partial.parts.push(whole.slice(here));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bt_api::PieceIndex;
    use bt_engine::handshake;
    use bt_engine::wire::{encode, piece_header};
    use proptest::prelude::*;

    use super::*;

    const HASH: InfoHash = InfoHash([1; 20]);
    const ID: PeerId = PeerId([2; 20]);

    fn intake() -> Intake {
        Intake::new(HASH, Handshake::new(), Vec::new(), Decoder::new(100, 64, 1 << 20))
    }

    /// Feeds `stream` in reads of the given lengths through buffers of the given lengths.
    fn feed(stream: &[u8], reads: &[usize], buffers: &[usize]) -> Result<Vec<Got>, CloseReason> {
        let (mut intake, mut got) = (intake(), Vec::new());
        let (mut reads, mut buffers) = (reads.iter().cycle(), buffers.iter().cycle());
        let mut rest = stream;
        loop {
            if let Some((at_hand, room)) = intake.wants_buffer() {
                let length = (at_hand + 1).max(*buffers.next().unwrap()).max(at_hand + room.min(40));
                intake.give(Buffer::unpooled(length));
            }
            let space = intake.space();
            let read = space.len().min(rest.len()).min(*reads.next().unwrap());
            space[..read].copy_from_slice(&rest[..read]);
            rest = &rest[read..];
            intake.decode(read, &mut got)?;
            if rest.is_empty() && !(intake.is_ready() && intake.need == 1) {
                return Ok(got);
            }
        }
    }

    proptest! {
        /// Case 125 with buffers: any split of reads and any buffers give the same messages and bytes.
        #[test]
        fn any_reads_and_any_buffers_give_the_same(
            blocks in prop::collection::vec((0_u32..100, prop::collection::vec(any::<u8>(), 1..80)), 1..20),
            haves in prop::collection::vec(0_u32..100, 0..20),
            reads in prop::collection::vec(1_usize..200, 1..8),
            buffers in prop::collection::vec(1_usize..300, 1..8),
        ) {
            let mut stream = handshake::whole(HASH, ID).to_vec();
            let mut expected = vec![Got::Handshake(ID)];
            for (i, (piece, bytes)) in blocks.iter().enumerate() {
                let block = BlockRef { piece: PieceIndex(*piece), begin: 7, length: bytes.len() as u32 };
                stream.extend(piece_header(block));
                stream.extend(bytes);
                if bytes.len() <= 64 {
                    expected.push(Got::Block(block, vec![bytes.clone().into()]));
                }
                encode(&Message::KeepAlive, &mut stream);
                if let Some(&have) = haves.get(i) {
                    encode(&Message::Have(PieceIndex(have)), &mut stream);
                    expected.push(Got::Message(Message::Have(PieceIndex(have))));
                }
            }
            let mut got = feed(&stream, &reads, &buffers).unwrap();
            for one in &mut got {
                if let Got::Block(_, parts) = one {
                    *parts = vec![parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>().into()];
                }
            }
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), read in 1_usize..100) {
            let stream = [&handshake::whole(HASH, ID)[..], &bytes].concat();
            let _ = feed(&stream, &[read], &[64]);
        }
    }

    #[test]
    fn a_flood_of_small_messages_comes_in_batches() {
        let (mut intake, mut got) = (intake(), Vec::new());
        let mut stream = handshake::whole(HASH, ID).to_vec();
        (0..3 * BATCH).for_each(|_| encode(&Message::Interested, &mut stream));
        intake.give(Buffer::unpooled(stream.len()));
        intake.space().copy_from_slice(&stream);
        intake.decode(stream.len(), &mut got).unwrap();
        assert_eq!(got.len(), BATCH);
        let mut rounds = 0;
        while intake.is_ready() {
            if let Some((at_hand, room)) = intake.wants_buffer() {
                intake.give(Buffer::unpooled(at_hand + room));
            }
            intake.decode(0, &mut got).unwrap();
            rounds += 1;
        }
        assert_eq!((got.len(), rounds), (3 * BATCH + 1, 3));
    }

    #[test]
    fn an_idle_connection_holds_no_buffer() {
        let (mut intake, mut got) = (intake(), Vec::new());
        let mut stream = handshake::whole(HASH, ID).to_vec();
        encode(&Message::Unchoke, &mut stream);
        intake.give(Buffer::unpooled(1000));
        intake.space()[..stream.len()].copy_from_slice(&stream);
        intake.decode(stream.len(), &mut got).unwrap();
        assert!(intake.wants_buffer().is_some() && got.len() == 2);
    }

    #[test]
    fn the_start_of_a_small_message_holds_no_buffer() {
        let (mut intake, mut got) = (intake(), Vec::new());
        let mut stream = handshake::whole(HASH, ID).to_vec();
        encode(&Message::Have(PieceIndex(7)), &mut stream);
        let last = stream.pop().unwrap();
        intake.give(Buffer::unpooled(1000));
        intake.space()[..stream.len()].copy_from_slice(&stream);
        intake.decode(stream.len(), &mut got).unwrap();
        assert_eq!((intake.wants_buffer(), intake.is_ready()), (Some((8, 1)), false));
        intake.give(Buffer::unpooled(9));
        intake.space()[0] = last;
        intake.decode(1, &mut got).unwrap();
        assert_eq!(got.last(), Some(&Got::Message(Message::Have(PieceIndex(7)))));
    }

    #[test]
    fn another_torrent_is_refused() {
        assert_eq!(feed(&handshake::whole(InfoHash([9; 20]), ID), &[68], &[68]), Err(CloseReason::Handshake));
        assert_eq!(feed(b"GET / HTTP/1.0\r\n\r\n", &[5], &[68]), Err(CloseReason::Handshake));
    }
}
