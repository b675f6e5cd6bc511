//! Peer messages on the wire (BEP 3, and BEP 6 where both ends offer it): a decoder that takes the stream in any split, and the encoder.
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
    /// Fast extension: the sender would send this piece cheaply.
    Suggest(PieceIndex),
    /// Fast extension, in place of a bitfield: the sender has every piece.
    HaveAll,
    /// Fast extension, in place of a bitfield: the sender has nothing.
    HaveNone,
    /// Fast extension: the sender will not answer this request.
    Reject(BlockRef),
    /// Fast extension: the sender answers requests for this piece although it chokes us.
    AllowedFast(PieceIndex),
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
const SUGGEST: u8 = 13;
const HAVE_ALL: u8 = 14;
const HAVE_NONE: u8 = 15;
const REJECT: u8 = 16;
const ALLOWED_FAST: u8 = 17;

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
    fast: Fast,
}

/// Whether the messages of the fast extension (BEP 6) are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fast {
    /// We do not offer it.
    Unknown,
    /// We offer it; the peer has not so far.
    Offered,
    /// Both ends do.
    Agreed,
}

impl Decoder {
    /// A decoder for a torrent of `pieces` pieces, of which blocks of at most `block_length` bytes are
    /// asked for; a message of more than `max_message` bytes is an error.
    pub fn new(pieces: u32, block_length: u32, max_message: u32) -> Self {
        Self {
            pieces,
            block_length,
            max_message,
            payload: 0,
            begun: false,
            late_bitfields: false,
            fast: Fast::Unknown,
        }
    }

    /// For a connection on which our handshake offers the fast extension.
    pub fn offering_fast(self) -> Self {
        Self { fast: Fast::Offered, ..self }
    }

    /// The peer's handshake offers the fast extension; says whether ours does too, so that its messages are known
    /// from now on.
    pub fn is_offered_fast(&mut self) -> bool {
        if self.fast == Fast::Offered {
            self.fast = Fast::Agreed;
        }
        self.fast == Fast::Agreed
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
            BITFIELD | HAVE_ALL | HAVE_NONE if self.begun && !self.late_bitfields => {
                return Err(WireError::LateBitfield);
            }
            BITFIELD => Message::Bitfield(PieceSet::from_bitfield(self.pieces, body)?),
            REQUEST | CANCEL | REJECT => {
                let piece = self.piece(word(body, 0))?;
                let block = BlockRef { piece, begin: word(body, 4), length: word(body, 8) };
                match kind {
                    REQUEST => Message::Request(block),
                    CANCEL => Message::Cancel(block),
                    _ => Message::Reject(block),
                }
            }
            SUGGEST => Message::Suggest(self.piece(word(body, 0))?),
            ALLOWED_FAST => Message::AllowedFast(self.piece(word(body, 0))?),
            HAVE_ALL => Message::HaveAll,
            HAVE_NONE => Message::HaveNone,
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
            HAVE_ALL | HAVE_NONE if self.fast == Fast::Agreed => length == 1,
            SUGGEST | ALLOWED_FAST if self.fast == Fast::Agreed => length == 5,
            REJECT if self.fast == Fast::Agreed => length == 13,
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
        Message::Suggest(piece) => put(SUGGEST, &[piece.0]),
        Message::HaveAll => put(HAVE_ALL, &[]),
        Message::HaveNone => put(HAVE_NONE, &[]),
        Message::Reject(block) => put(REJECT, &span(block)),
        Message::AllowedFast(piece) => put(ALLOWED_FAST, &[piece.0]),
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
mod tests;
