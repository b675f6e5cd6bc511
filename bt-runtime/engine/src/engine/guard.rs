//! Who sent bad data (SW-31, after DL-22).
//!
//! When a piece fails its hash and one peer sent all of it, that peer did it. Otherwise the hash and the sender
//! of each block are remembered; once the piece was downloaded anew and is good, whoever sent a block that
//! differs from the good one did it. A guilty peer is named in the events; whether it is banned, the profile says.
//!
//! A piece that failed is asked of everyone again (DL-11). So that a piece of many blocks is ever good while
//! somebody garbles some of them, one that failed twice is asked of one peer alone, and not of a guilty one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bt_api::{Instant, PeerFacts, PeerKey, PieceHash, PieceIndex};

use super::Engine;
use crate::event::Event;
use crate::settings::BadData;

/// One failed download of a piece: who sent each block, where that is known, and its hash.
type Attempt = Vec<(Option<PeerKey>, PieceHash)>;

/// A piece that failed.
#[derive(Default)]
struct Suspect {
    failures: u32,
    /// Its downloads from several senders.
    attempts: Vec<Attempt>,
    /// Who alone is asked for it, and since when.
    owner: Option<(PeerKey, Instant)>,
}

#[derive(Default)]
pub(super) struct Guard {
    suspects: BTreeMap<PieceIndex, Suspect>,
    guilty: BTreeSet<PeerKey>,
    /// Where peers were that are gone, so that they can still be named.
    gone: BTreeMap<PeerKey, SocketAddr>,
}

/// Failed downloads of one piece by several senders that are remembered: after the first it has one sender at a time.
const MAX_ATTEMPTS: usize = 4;
/// Failed pieces that are remembered at a time.
const MAX_PIECES: usize = 64;
/// Peers that are remembered after they left.
const MAX_GONE: usize = 1024;

impl Guard {
    /// Whether hashes of the blocks of `piece` are wanted though it is good.
    pub(super) fn suspects(&self, piece: PieceIndex) -> bool {
        self.suspects.contains_key(&piece)
    }

    /// `peer` was asked for a block of `piece`: from now on nobody else is, if the piece failed twice.
    pub(super) fn asked(&mut self, piece: PieceIndex, peer: PeerKey, now: Instant) {
        if let Some(suspect) = self.suspects.get_mut(&piece)
            && suspect.owner.is_none_or(|(owner, _)| owner != peer)
        {
            suspect.owner = Some((peer, now));
        }
    }

    pub(super) fn remember(&mut self, peer: PeerKey, address: SocketAddr) {
        self.gone.insert(peer, address);
        if self.gone.len() > MAX_GONE {
            self.gone.pop_first();
        }
    }
}

impl Engine {
    /// The pieces that failed and that this peer is not asked for: another has them alone while it sends, or this
    /// one was found guilty. Nearly always none.
    pub(super) fn withheld(&self, at: usize) -> Vec<PieceIndex> {
        let peer = self.facts[at].key;
        let guilty = self.guard.guilty.contains(&peer);
        let withheld = |piece: &PieceIndex| match self.owner_of(*piece) {
            Some(owner) => owner != peer,
            None => guilty && self.another_may_send(*piece),
        };
        let failed = self.guard.suspects.iter().filter(|(_, suspect)| suspect.failures >= 2);
        failed.map(|(&piece, _)| piece).filter(withheld).collect()
    }

    /// Whether somebody who was not found guilty has `piece` and serves us.
    fn another_may_send(&self, piece: PieceIndex) -> bool {
        let may = |facts: &PeerFacts| !facts.peer_choking && facts.pieces.contains(piece);
        self.facts.iter().any(|facts| may(facts) && !self.guard.guilty.contains(&facts.key))
    }

    /// Who alone is asked for `piece`, while it is there, serves us, and sent something of late.
    fn owner_of(&self, piece: PieceIndex) -> Option<PeerKey> {
        let (owner, since) = self.guard.suspects.get(&piece)?.owner?;
        let facts = &self.facts[self.at(owner)?];
        let sent = facts.last_received.map_or(since, |last| last.max(since));
        let active = !facts.peer_choking && sent + self.settings.requests.snub_time.get() >= self.now;
        active.then_some(owner)
    }

    /// `piece` failed; `senders` and `digests` are of its blocks, in order.
    pub(super) fn convict(
        &mut self,
        piece: PieceIndex,
        senders: Vec<Option<PeerKey>>,
        digests: Vec<PieceHash>,
    ) {
        let suspects = &mut self.guard.suspects;
        if !suspects.contains_key(&piece) && suspects.len() >= MAX_PIECES {
            suspects.pop_first();
        }
        let suspect = suspects.entry(piece).or_default();
        suspect.failures += 1;
        // Another one may have it next.
        suspect.owner = None;
        match senders.split_first() {
            Some((&Some(first), rest)) if rest.iter().all(|&sender| sender == Some(first)) => {
                self.guilty(piece, first);
            }
            _ if suspect.attempts.len() < MAX_ATTEMPTS => {
                suspect.attempts.push(senders.into_iter().zip(digests).collect());
            }
            _ => {}
        }
    }

    /// `piece` is good, and these are the hashes of its blocks: who sent others?
    pub(super) fn accuse(&mut self, piece: PieceIndex, digests: &[PieceHash]) {
        let suspect = self.guard.suspects.remove(&piece).unwrap_or_default();
        let mut guilty: Vec<PeerKey> = suspect
            .attempts
            .iter()
            .flat_map(|attempt| attempt.iter().zip(digests))
            .filter(|((_, sent), good)| sent != *good)
            .filter_map(|((sender, _), _)| *sender)
            .collect();
        guilty.sort_unstable();
        guilty.dedup();
        guilty.into_iter().for_each(|peer| self.guilty(piece, peer));
    }

    fn guilty(&mut self, piece: PieceIndex, peer: PeerKey) {
        let address = self.at(peer).map(|at| self.facts[at].address);
        let Some(addr) = address.or_else(|| self.guard.gone.get(&peer).copied()) else { return };
        self.guard.guilty.insert(peer);
        if self.guard.guilty.len() > MAX_GONE {
            self.guard.guilty.pop_first();
        }
        let banned = self.settings.peers.bad_data == BadData::Ban;
        self.event(|_| Event::BadData { peer: peer.0, addr, piece: piece.0, banned });
        if banned {
            self.ban(addr);
        }
    }
}
