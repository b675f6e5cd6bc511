//! Peer messages on the wire (BEP 3): a decoder that takes the stream in any split, and the encoder.
//!
//! The decoder never holds payload: of a `piece` message it takes the header, tells the driver how many of
//! the bytes that follow belong to the block, and so lets it keep them where the socket put them.
//! What it yields is checked: indexes are in range, bitfields are whole, lengths are those of their type.

use bt_api::{BitfieldError, BlockRef, PieceIndex, PieceSet};

/// A message without payload bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Zero length: nothing but a sign of life.
    KeepAlive,
    /// The sender will not serve us.
    Choke,
    /// The sender will serve us.
    Unchoke,
    /// The sender wants pieces of ours.
    Interested,
    /// The sender wants nothing.
    NotInterested,
    /// The sender has this piece.
    Have(PieceIndex),
    /// The sender has these pieces: the first message, and later ones where they are taken.
    Bitfield(PieceSet),
    /// The sender wants this block. Its piece exists; its span is not checked yet.
    Request(BlockRef),
    /// The sender no longer wants this block.
    Cancel(BlockRef),
}

const CHOKE: u8 = 0;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const NOT_INTERESTED: u8 = 3;
const HAVE: u8 = 4;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;
const CANCEL: u8 = 8;

/// Bytes of a `piece` message before its payload: length prefix, type, index, begin.
pub const PIECE_HEADER: usize = 13;

/// Why a stream is no stream of peer messages; the connection is to be closed (CN-5 to CN-9, EN-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The length prefix is over the limit.
    #[error("a message of {length} bytes, over the limit of {limit}")]
    TooLong {
        /// What the prefix says.
        length: u32,
        /// The limit.
        limit: u32,
    },
    /// The message is not as long as its type asks.
    #[error("a message of type {kind} with {length} bytes")]
    WrongLength {
        /// The type.
        kind: u8,
        /// Its length, type byte included.
        length: u32,
    },
    /// The type is unknown.
    #[error("a message of the unknown type {0}")]
    UnknownType(u8),
    /// A piece that the torrent does not have.
    #[error("piece {0}, which the torrent does not have")]
    NoSuchPiece(u32),
    /// A bitfield after another message.
    #[error("a bitfield that is not the first message")]
    LateBitfield,
    /// A bitfield of another torrent.
    #[error(transparent)]
    Bitfield(#[from] BitfieldError),
}

/// One step of decoding; each names how many bytes at the front of the stream it took (EN-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing can be decoded before so many bytes are there in all.
    Need(usize),
    /// A whole message.
    Message(Message, usize),
    /// The header of a `piece` message. The block's payload follows; when `wanted` is false it is no block
    /// that we can have asked for, and its bytes are best thrown away as they come.
    Block {
        /// What it says it is.
        block: BlockRef,
        /// Whether it is shaped like a block of ours.
        wanted: bool,
        /// Bytes of the header.
        used: usize,
    },
    /// So many bytes are payload of the current block; `ends` when they are its last.
    Payload {
        /// How many; at least 1.
        used: usize,
        /// Whether the block is whole now.
        ends: bool,
    },
}

/// Decodes the messages of one connection, after its handshake.
#[derive(Clone, Debug)]
pub struct Decoder {
    pieces: u32,
    /// The longest block that we ask for.
    block_length: u32,
    max_message: u32,
    /// Payload bytes of the current block that are still to come.
    payload: u32,
    /// Whether a message came already (keep-alives do not count, CN-5).
    begun: bool,
    late_bitfields: bool,
}

impl Decoder {
    /// A decoder for a torrent of `pieces` pieces, of which blocks of at most `block_length` bytes are
    /// asked for; a message of more than `max_message` bytes is an error.
    pub fn new(pieces: u32, block_length: u32, max_message: u32) -> Self {
        Self { pieces, block_length, max_message, payload: 0, begun: false, late_bitfields: false }
    }

    /// Takes a bitfield that is not the first message for what it is, where 3.4.2 closes (CN-5): aria2 sends one in
    /// place of many `have` messages.
    pub fn taking_late_bitfields(self) -> Self {
        Self { late_bitfields: true, ..self }
    }

    /// Takes the next step at the front of `stream`: the bytes that were received and not taken yet.
    ///
    /// # Errors
    /// When the stream breaks the protocol; the connection is of no use afterwards.
    pub fn step(&mut self, stream: &[u8]) -> Result<Step, WireError> {
        if self.payload > 0 {
            if stream.is_empty() {
                return Ok(Step::Need(1));
            }
            let used = stream.len().min(self.payload as usize);
            self.payload -= used as u32;
            return Ok(Step::Payload { used, ends: self.payload == 0 });
        }
        let Some((prefix, rest)) = stream.split_first_chunk::<4>() else { return Ok(Step::Need(4)) };
        let length = u32::from_be_bytes(*prefix);
        if length == 0 {
            return Ok(Step::Message(Message::KeepAlive, 4));
        }
        let Some((&kind, body)) = rest.split_first() else { return Ok(Step::Need(5)) };
        self.check_length(kind, length)?;
        if kind == PIECE {
            return self.block(length, body);
        }
        let whole = 4 + length as usize;
        let Some(body) = body.get(..length as usize - 1) else { return Ok(Step::Need(whole)) };
        let message = match kind {
            CHOKE => Message::Choke,
            UNCHOKE => Message::Unchoke,
            INTERESTED => Message::Interested,
            NOT_INTERESTED => Message::NotInterested,
            HAVE => Message::Have(self.piece(word(body, 0))?),
            BITFIELD if self.begun && !self.late_bitfields => return Err(WireError::LateBitfield),
            BITFIELD => Message::Bitfield(PieceSet::from_bitfield(self.pieces, body)?),
            REQUEST | CANCEL => {
                let piece = self.piece(word(body, 0))?;
                let block = BlockRef { piece, begin: word(body, 4), length: word(body, 8) };
                if kind == REQUEST { Message::Request(block) } else { Message::Cancel(block) }
            }
            _ => return Err(WireError::UnknownType(kind)),
        };
        self.begun = true;
        Ok(Step::Message(message, whole))
    }

    /// Refuses a length before anything of its size is waited for (EN-14, CN-6).
    fn check_length(&self, kind: u8, length: u32) -> Result<(), WireError> {
        if length > self.max_message {
            return Err(WireError::TooLong { length, limit: self.max_message });
        }
        let fits = match kind {
            CHOKE..=NOT_INTERESTED => length == 1,
            HAVE => length == 5,
            BITFIELD => length as usize == 1 + (self.pieces as usize).div_ceil(8),
            REQUEST | CANCEL => length == 13,
            PIECE => length >= 10,
            _ => return Err(WireError::UnknownType(kind)),
        };
        if fits { Ok(()) } else { Err(WireError::WrongLength { kind, length }) }
    }

    fn block(&mut self, length: u32, body: &[u8]) -> Result<Step, WireError> {
        if body.len() < 8 {
            return Ok(Step::Need(PIECE_HEADER));
        }
        let block = BlockRef { piece: self.piece(word(body, 0))?, begin: word(body, 4), length: length - 9 };
        self.begun = true;
        self.payload = block.length;
        Ok(Step::Block { block, wanted: block.length <= self.block_length, used: PIECE_HEADER })
    }

    fn piece(&self, index: u32) -> Result<PieceIndex, WireError> {
        if index < self.pieces { Ok(PieceIndex(index)) } else { Err(WireError::NoSuchPiece(index)) }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Appends `message` to `out` as it goes over the wire.
pub fn encode(message: &Message, out: &mut Vec<u8>) {
    let mut put = |kind: u8, words: &[u32]| {
        out.extend((1 + 4 * words.len() as u32).to_be_bytes());
        out.push(kind);
        words.iter().for_each(|word| out.extend(word.to_be_bytes()));
    };
    let span = |block: &BlockRef| [block.piece.0, block.begin, block.length];
    match message {
        Message::KeepAlive => out.extend([0; 4]),
        Message::Choke => put(CHOKE, &[]),
        Message::Unchoke => put(UNCHOKE, &[]),
        Message::Interested => put(INTERESTED, &[]),
        Message::NotInterested => put(NOT_INTERESTED, &[]),
        Message::Have(piece) => put(HAVE, &[piece.0]),
        Message::Request(block) => put(REQUEST, &span(block)),
        Message::Cancel(block) => put(CANCEL, &span(block)),
        Message::Bitfield(pieces) => {
            let bits = pieces.to_bitfield();
            out.extend((1 + bits.len() as u32).to_be_bytes());
            out.push(BITFIELD);
            out.extend(bits);
        }
    }
}

/// What goes over the wire before the payload of `block`.
pub fn piece_header(block: BlockRef) -> [u8; PIECE_HEADER] {
    let mut header = [0; PIECE_HEADER];
    header[..4].copy_from_slice(&(9 + block.length).to_be_bytes());
    header[4] = PIECE;
    header[5..9].copy_from_slice(&block.piece.0.to_be_bytes());
    header[9..].copy_from_slice(&block.begin.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIECES: u32 = 20;

    fn decoder() -> Decoder {
        Decoder::new(PIECES, 64, 1 << 23)
    }

    /// What a stream says, however it was split: messages, and blocks with their bytes.
    #[derive(Debug, PartialEq)]
    enum Said {
        Message(Message),
        Block(BlockRef, Vec<u8>),
        Wrong(WireError),
    }

    fn decode(chunks: &[&[u8]]) -> Vec<Said> {
        let mut decoder = decoder();
        let (mut buffer, mut said) = (Vec::new(), Vec::new());
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            loop {
                match decoder.step(&buffer) {
                    Ok(Step::Need(bytes)) => {
                        assert!(bytes > buffer.len(), "asked for what is there");
                        break;
                    }
                    Ok(Step::Message(message, used)) => {
                        said.push(Said::Message(message));
                        buffer.drain(..used);
                    }
                    Ok(Step::Block { block, used, .. }) => {
                        said.push(Said::Block(block, Vec::new()));
                        buffer.drain(..used);
                    }
                    Ok(Step::Payload { used, .. }) => {
                        let Some(Said::Block(_, bytes)) = said.last_mut() else { panic!("payload of what?") };
                        bytes.extend(buffer.drain(..used));
                    }
                    Err(error) => {
                        said.push(Said::Wrong(error));
                        return said;
                    }
                }
            }
        }
        said
    }

    fn wrong(bytes: &[u8]) -> WireError {
        match decode(&[bytes]).pop() {
            Some(Said::Wrong(error)) => error,
            other => panic!("{bytes:?} gave {other:?}"),
        }
    }

    /// Cases 119, 120 and 129 of the original's tests (CN-5 to CN-9, EN-14).
    #[test]
    fn messages_that_break_the_rules_are_errors() {
        let (have, request) = ([0, 0, 0, 5, 4, 0, 0, 0, 20], [0, 0, 0, 13, 6, 0, 0, 0, 20, 0, 0, 0, 0]);
        assert_eq!(wrong(&have), WireError::NoSuchPiece(20));
        assert_eq!(wrong(&[&request[..], &[0; 4]].concat()), WireError::NoSuchPiece(20));
        let piece = [0, 0, 0, 10, 7, 0, 0, 0, 20, 0, 0, 0, 0, 9];
        assert_eq!(wrong(&piece), WireError::NoSuchPiece(20));
        assert_eq!(wrong(&[0, 0, 0, 2, 0, 0]), WireError::WrongLength { kind: 0, length: 2 });
        assert_eq!(wrong(&[0, 0, 0, 9, 7]), WireError::WrongLength { kind: 7, length: 9 });
        assert_eq!(wrong(&[0, 0, 0, 1, 9]), WireError::UnknownType(9));
        assert_eq!(wrong(&[0, 0, 0, 1, 20]), WireError::UnknownType(20));
        let limit = 1 << 23;
        assert_eq!(wrong(&[0, 0x80, 0, 1, 7]), WireError::TooLong { length: limit + 1, limit });
        assert_eq!(wrong(&[0xff; 5]), WireError::TooLong { length: u32::MAX, limit });
        // A bitfield after another message; one after a keep-alive is fine.
        let bitfield = [0, 0, 0, 4, 5, 0xff, 0xff, 0xf0];
        assert_eq!(wrong(&[&[0, 0, 0, 1, 1][..], &bitfield].concat()), WireError::LateBitfield);
        assert_eq!(wrong(&[bitfield, bitfield].concat()), WireError::LateBitfield);
        assert_eq!(decode(&[&[0; 4], &bitfield]).len(), 2);
        assert_eq!(wrong(&[0, 0, 0, 3, 5, 0, 0]), WireError::WrongLength { kind: 5, length: 3 });
        assert_eq!(wrong(&[0, 0, 0, 4, 5, 0, 0, 1]), WireError::Bitfield(BitfieldError::SpareBits));
    }

    #[test]
    fn a_block_that_nobody_asks_for_is_told_apart() {
        let mut decoder = decoder();
        let header = piece_header(BlockRef { piece: PieceIndex(1), begin: 0, length: 65 });
        assert!(matches!(decoder.step(&header), Ok(Step::Block { wanted: false, .. })));
    }

    fn message() -> impl Strategy<Value = Message> {
        let piece = (0..PIECES).prop_map(PieceIndex);
        let block = (piece.clone(), any::<u32>(), any::<u32>()).prop_map(|(piece, begin, length)| BlockRef {
            piece,
            begin,
            length,
        });
        prop_oneof![
            Just(Message::KeepAlive),
            Just(Message::Choke),
            Just(Message::Unchoke),
            Just(Message::Interested),
            Just(Message::NotInterested),
            piece.prop_map(Message::Have),
            block.clone().prop_map(Message::Request),
            block.prop_map(Message::Cancel),
        ]
    }

    proptest! {
        /// Case 125: the same events from any split.
        #[test]
        fn any_split_of_the_stream_says_the_same(
            bits in any::<u32>(),
            messages in prop::collection::vec(message(), 0..20),
            payload in prop::collection::vec(any::<u8>(), 1..64),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut have = PieceSet::new(PIECES);
            (0..PIECES).filter(|i| bits >> i & 1 == 1).for_each(|i| { have.insert(PieceIndex(i)); });
            let mut stream = Vec::new();
            let block = BlockRef { piece: PieceIndex(3), begin: 16, length: payload.len() as u32 };
            let mut expected = vec![Said::Message(Message::Bitfield(have.clone()))];
            encode(&Message::Bitfield(have), &mut stream);
            stream.extend(piece_header(block));
            stream.extend(&payload);
            expected.push(Said::Block(block, payload));
            for message in messages {
                encode(&message, &mut stream);
                expected.push(Said::Message(message));
            }
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            ends.extend([0, stream.len()]);
            ends.sort_unstable();
            let chunks: Vec<&[u8]> = ends.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&chunks), expected);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&[&bytes]);
        }
    }
}
