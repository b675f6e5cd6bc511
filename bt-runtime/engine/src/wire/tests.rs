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
    decode_with(decoder(), chunks)
}

fn decode_with(mut decoder: Decoder, chunks: &[&[u8]]) -> Vec<Said> {
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

/// CN-5, CN-8; the profile may say otherwise.
#[test]
fn case_119_a_bitfield_comes_first() {
    let bitfield = [0, 0, 0, 4, 5, 0xff, 0xff, 0xf0];
    assert_eq!(wrong(&[&[0, 0, 0, 1, 1][..], &bitfield].concat()), WireError::LateBitfield);
    assert_eq!(wrong(&[bitfield, bitfield].concat()), WireError::LateBitfield);
    // A keep-alive is no message.
    assert_eq!(decode(&[&[0; 4], &bitfield]).len(), 2);
    assert_eq!(wrong(&[0, 0, 0, 3, 5, 0, 0]), WireError::WrongLength { kind: 5, length: 3 });
    assert_eq!(wrong(&[0, 0, 0, 4, 5, 0, 0, 1]), WireError::Bitfield(BitfieldError::SpareBits));
}

/// CN-6, CN-7, CN-9.
#[test]
fn case_120_wrong_indexes_lengths_and_types_are_errors() {
    let piece = [0, 0, 0, PIECES as u8];
    for (kind, length, rest) in [(HAVE, 5, 0), (REQUEST, 13, 8), (CANCEL, 13, 8), (PIECE, 10, 5)] {
        let message = [&[0, 0, 0, length, kind][..], &piece, &vec![0; rest]].concat();
        assert_eq!(wrong(&message), WireError::NoSuchPiece(PIECES), "type {kind}");
    }
    for kind in [CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED] {
        assert_eq!(wrong(&[0, 0, 0, 2, kind, 0]), WireError::WrongLength { kind, length: 2 });
    }
    for (kind, length) in [(HAVE, 4), (HAVE, 6), (REQUEST, 12), (CANCEL, 14), (PIECE, 9)] {
        let expected = WireError::WrongLength { kind, length: u32::from(length) };
        assert_eq!(wrong(&[0, 0, 0, length, kind]), expected);
    }
    assert_eq!(wrong(&[0, 0, 0, 1, 9]), WireError::UnknownType(9));
    assert_eq!(wrong(&[0, 0, 0, 1, 20]), WireError::UnknownType(20));
}

/// EN-14: refused before anything of its size is waited for.
#[test]
fn case_129_a_message_over_the_limit_is_an_error() {
    let limit = 1 << 23;
    assert_eq!(wrong(&[0, 0x80, 0, 1, 7]), WireError::TooLong { length: limit + 1, limit });
    assert_eq!(wrong(&[0xff; 5]), WireError::TooLong { length: u32::MAX, limit });
    let longest = [&[0, 0x80, 0, 0, 7][..], &[0; 8]].concat();
    let block = BlockRef { piece: PieceIndex(0), begin: 0, length: limit - 9 };
    assert_eq!(decode(&[&longest]), [Said::Block(block, Vec::new())]);
}

/// BEP 6: its messages are known when both ends offer it, and to nobody else (CN-9).
#[test]
fn the_fast_extension_needs_both_ends() {
    let block = BlockRef { piece: PieceIndex(3), begin: 16, length: 64 };
    let messages = [
        Message::HaveAll,
        Message::Suggest(PieceIndex(1)),
        Message::Reject(block),
        Message::AllowedFast(PieceIndex(2)),
    ];
    let mut stream = Vec::new();
    messages.iter().for_each(|message| encode(message, &mut stream));
    let mut both = decoder().offering_fast();
    assert!(both.is_offered_fast());
    assert_eq!(decode_with(both.clone(), &[&stream]), messages.map(Said::Message));
    let unknown = [Said::Wrong(WireError::UnknownType(HAVE_ALL))];
    let mut theirs = decoder();
    assert!(!theirs.is_offered_fast());
    for alone in [theirs, decoder().offering_fast(), decoder()] {
        assert_eq!(decode_with(alone, &[&stream]), unknown);
    }
    // One of the three that tell of all pieces comes, once and first.
    for kind in [HAVE_ALL, HAVE_NONE] {
        let twice = [0, 0, 0, 1, HAVE_NONE, 0, 0, 0, 1, kind];
        assert_eq!(decode_with(both.clone(), &[&twice]).pop(), Some(Said::Wrong(WireError::LateBitfield)));
    }
    for (kind, length) in [(HAVE_ALL, 2), (HAVE_NONE, 5), (SUGGEST, 4), (REJECT, 12), (ALLOWED_FAST, 6)] {
        let wrong = WireError::WrongLength { kind, length: u32::from(length) };
        assert_eq!(decode_with(both.clone(), &[&[0, 0, 0, length, kind]]), [Said::Wrong(wrong)]);
    }
    for kind in [SUGGEST, ALLOWED_FAST] {
        let wrong = Said::Wrong(WireError::NoSuchPiece(PIECES));
        assert_eq!(decode_with(both.clone(), &[&[0, 0, 0, 5, kind, 0, 0, 0, PIECES as u8]]), [wrong]);
    }
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
