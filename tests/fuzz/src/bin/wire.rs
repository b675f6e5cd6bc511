//! The wire codec: a stream decodes to the same whatever the split, and what is decoded encodes to itself.
//!
//! Of the input the first byte seeds the split and says whether the fast extension is known, the rest is the stream.
#![no_main]

use bt_api::BlockRef;
use bt_engine::wire::{Decoder, Message, Step, WireError, encode};
use libfuzzer_sys::fuzz_target;

/// A small torrent's: the last byte of a bitfield has spare bits.
const PIECES: u32 = 20;
const BLOCK: u32 = 1 << 14;
const LONGEST: u32 = 1 << 15;

#[derive(Debug, PartialEq)]
enum Event {
    Message(Message),
    Block(BlockRef, bool),
    Payload(Vec<u8>, bool),
    Error(WireError),
}

fuzz_target!(|input: &[u8]| {
    let Some((&seed, stream)) = input.split_first() else { return };
    let fast = seed % 2 == 1;
    let whole = decode(stream, stream.len().max(1), 0, fast);
    assert_eq!(whole, decode(stream, usize::from(seed) + 1, 7, fast));
    assert_eq!(whole, decode(stream, 1, 0, fast));
});

/// Decodes `stream`, which comes in chunks of `chunk` bytes, each longer by `growth` than the one before.
fn decode(stream: &[u8], mut chunk: usize, growth: usize, fast: bool) -> Vec<Event> {
    let mut decoder = Decoder::new(PIECES, BLOCK, LONGEST);
    if fast {
        decoder = decoder.offering_fast();
        decoder.is_offered_fast();
    }
    let (mut events, mut taken, mut there) = (Vec::new(), 0, 0);
    loop {
        let (step, front) = (decoder.step(&stream[taken..there]), &stream[taken..there]);
        match step {
            Ok(Step::Need(bytes)) => {
                assert!(bytes > front.len() && bytes <= LONGEST as usize + 4);
                if there == stream.len() {
                    return events;
                }
                there = (there + chunk).min(stream.len());
                chunk += growth;
            }
            Ok(Step::Message(message, used)) => {
                let mut bytes = Vec::new();
                encode(&message, &mut bytes);
                assert_eq!(bytes, front[..used]);
                events.push(Event::Message(message));
                taken += used;
            }
            Ok(Step::Block { block, wanted, used }) => {
                assert!(block.piece.0 < PIECES && (!wanted || block.length <= BLOCK));
                events.push(Event::Block(block, wanted));
                taken += used;
            }
            Ok(Step::Payload { used, ends }) => {
                assert!(used > 0);
                match events.last_mut() {
                    Some(Event::Payload(bytes, end @ false)) => {
                        bytes.extend_from_slice(&front[..used]);
                        *end = ends;
                    }
                    _ => events.push(Event::Payload(front[..used].to_vec(), ends)),
                }
                taken += used;
            }
            Err(error) => {
                events.push(Event::Error(error));
                return events;
            }
        }
    }
}
