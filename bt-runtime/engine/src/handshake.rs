//! The handshake of BEP 3 as a state machine, for both ends.
//!
//! Sixty-eight bytes: 19, `BitTorrent protocol`, 8 reserved, info-hash, peer id. The driver feeds what it
//! reads; the info-hash comes out before the peer id does, so that a listener can find the torrent, and
//! answer, before it knows who calls (EN-6).

use bt_api::{InfoHash, PeerId};

/// Bytes of a whole handshake.
pub const LENGTH: usize = 68;
/// Bytes of a handshake before the peer id.
pub const START: usize = 48;

const PROTOCOL: [u8; 20] = *b"\x13BitTorrent protocol";

/// The place of the reserved bit of the fast extension (BEP 6).
const FAST: (usize, u8) = (27, 0x04);

/// Makes `handshake`, ours or the start of it, offer the fast extension (BEP 6).
pub fn offer_fast(handshake: &mut [u8]) {
    handshake[FAST.0] |= FAST.1;
}

/// Our handshake up to the info-hash: no extension is offered.
pub fn start(info_hash: InfoHash) -> [u8; START] {
    let mut bytes = [0; START];
    bytes[..20].copy_from_slice(&PROTOCOL);
    bytes[28..].copy_from_slice(&info_hash.0);
    bytes
}

/// Our whole handshake.
pub fn whole(info_hash: InfoHash, id: PeerId) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..START].copy_from_slice(&start(info_hash));
    bytes[START..].copy_from_slice(&id.0);
    bytes
}

/// What a step of the handshake brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    Need,
    /// The torrent that the peer wants, and its reserved bits (BEP 4).
    InfoHash(InfoHash, [u8; 8]),
    /// Who the peer is: the handshake is complete.
    PeerId(PeerId),
}

/// Why bytes are no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer does not speak the BitTorrent protocol")]
pub struct NotBitTorrent;

/// Reads the handshake of one peer.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// Whether the part up to the info-hash was read.
    started: bool,
    fast: bool,
}

impl Handshake {
    /// A handshake of which nothing was read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the part that was read offers the fast extension (BEP 6).
    pub fn offers_fast(&self) -> bool {
        self.fast
    }

    /// Takes the next step at the front of `stream`: what was received and not taken yet. Answers with the
    /// step and how many bytes it took.
    ///
    /// # Errors
    /// At the first byte that no handshake has there.
    pub fn step(&mut self, stream: &[u8]) -> Result<(Step, usize), NotBitTorrent> {
        if self.started {
            let id = stream.first_chunk::<20>();
            return Ok(id.map_or((Step::Need, 0), |id| (Step::PeerId(PeerId(*id)), 20)));
        }
        let common = stream.len().min(PROTOCOL.len());
        if stream[..common] != PROTOCOL[..common] {
            return Err(NotBitTorrent);
        }
        let Some(head) = stream.first_chunk::<START>() else { return Ok((Step::Need, 0)) };
        self.started = true;
        self.fast = head[FAST.0] & FAST.1 != 0;
        let (mut reserved, mut hash) = ([0; 8], [0; 20]);
        reserved.copy_from_slice(&head[20..28]);
        hash.copy_from_slice(&head[28..]);
        Ok((Step::InfoHash(InfoHash(hash), reserved), START))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash([1; 20]);
    const ID: PeerId = PeerId([2; 20]);

    /// Case 125: byte by byte gives the same as at once.
    #[test]
    fn a_handshake_may_come_in_any_split() {
        for split in 1..=LENGTH {
            let (mut handshake, mut buffer, mut steps) = (Handshake::new(), Vec::new(), Vec::new());
            for chunk in whole(HASH, ID).chunks(split) {
                buffer.extend_from_slice(chunk);
                loop {
                    let (step, used) = handshake.step(&buffer).unwrap();
                    buffer.drain(..used);
                    match step {
                        Step::Need => break,
                        step => steps.push(step),
                    }
                    if steps.len() == 2 {
                        break;
                    }
                }
            }
            assert_eq!(steps, [Step::InfoHash(HASH, [0; 8]), Step::PeerId(ID)], "split {split}");
        }
    }

    #[test]
    fn the_fast_extension_is_a_bit() {
        let mut bytes = whole(HASH, ID);
        for offered in [false, true] {
            let mut handshake = Handshake::new();
            assert!(handshake.step(&bytes).is_ok());
            assert_eq!(handshake.offers_fast(), offered);
            offer_fast(&mut bytes);
        }
    }

    /// Case 126: a wrong byte is refused at once, reserved bits are not looked at.
    #[test]
    fn only_the_protocol_text_is_checked_here() {
        assert_eq!(Handshake::new().step(&[18]), Err(NotBitTorrent));
        assert_eq!(Handshake::new().step(b"\x13BitTorrent protocoL"), Err(NotBitTorrent));
        let mut bytes = whole(HASH, ID);
        bytes[20..28].fill(0xff);
        assert_eq!(Handshake::new().step(&bytes), Ok((Step::InfoHash(HASH, [0xff; 8]), START)));
    }
}
