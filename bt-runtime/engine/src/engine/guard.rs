//! Who sent bad data (after DL-22).
//!
//! When a piece fails its hash and one peer sent all of it, that peer did it. Otherwise the hash and the sender
//! of each block are remembered; once the piece was downloaded anew and is good, whoever sent a block that
//! differs from the good one did it. A guilty peer is named in the events; whether it is banned, the profile says.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bt_api::{PeerKey, PieceHash, PieceIndex};

use super::Engine;
use crate::event::Event;
use crate::settings::BadData;

/// One failed download of a piece: who sent each block, and its hash.
type Attempt = Vec<(PeerKey, PieceHash)>;

#[derive(Default)]
pub(super) struct Guard {
    attempts: BTreeMap<PieceIndex, Vec<Attempt>>,
    /// Where peers were that are gone, so that they can still be named.
    gone: BTreeMap<PeerKey, SocketAddr>,
}

/// Failed downloads of one piece that are remembered; further ones tell nothing new.
const MAX_ATTEMPTS: usize = 4;
/// Failed pieces that are remembered at a time.
const MAX_PIECES: usize = 64;
/// Peers that are remembered after they left.
const MAX_GONE: usize = 1024;

impl Guard {
    /// Whether hashes of the blocks of `piece` are wanted though it is good.
    pub(super) fn suspects(&self, piece: PieceIndex) -> bool {
        self.attempts.contains_key(&piece)
    }

    pub(super) fn remember(&mut self, peer: PeerKey, address: SocketAddr) {
        self.gone.insert(peer, address);
        if self.gone.len() > MAX_GONE {
            self.gone.pop_first();
        }
    }
}

impl Engine {
    /// `piece` failed; `senders` and `digests` are of its blocks, in order.
    pub(super) fn convict(&mut self, piece: PieceIndex, senders: Vec<PeerKey>, digests: Vec<PieceHash>) {
        if let Some((&first, rest)) = senders.split_first()
            && rest.iter().all(|&sender| sender == first)
        {
            return self.guilty(piece, first);
        }
        let guard = &mut self.guard;
        if !guard.attempts.contains_key(&piece) && guard.attempts.len() >= MAX_PIECES {
            guard.attempts.pop_first();
        }
        let attempts = guard.attempts.entry(piece).or_default();
        if attempts.len() < MAX_ATTEMPTS {
            attempts.push(senders.into_iter().zip(digests).collect());
        }
    }

    /// `piece` is good, and these are the hashes of its blocks: who sent others?
    pub(super) fn accuse(&mut self, piece: PieceIndex, digests: &[PieceHash]) {
        let attempts = self.guard.attempts.remove(&piece).unwrap_or_default();
        let mut guilty: Vec<PeerKey> = attempts
            .iter()
            .flat_map(|attempt| attempt.iter().zip(digests))
            .filter(|((_, sent), good)| sent != *good)
            .map(|((sender, _), _)| *sender)
            .collect();
        guilty.sort_unstable();
        guilty.dedup();
        guilty.into_iter().for_each(|peer| self.guilty(piece, peer));
    }

    fn guilty(&mut self, piece: PieceIndex, peer: PeerKey) {
        let address = self.at(peer).map(|at| self.facts[at].address);
        let Some(addr) = address.or_else(|| self.guard.gone.get(&peer).copied()) else { return };
        let banned = self.settings.peers.bad_data == BadData::Ban;
        self.event(|_| Event::BadData { peer: peer.0, addr, piece: piece.0, banned });
        if banned {
            self.ban(addr);
        }
    }
}
