//! Who sent bad data (SW-31, after DL-22).
//!
//! When a piece fails its hash and one peer sent all of it, that peer did it. Otherwise the hash and the sender
//! of each block are remembered; once the piece was downloaded anew and is good, whoever sent a block that
//! differs from the good one did it. A guilty peer is named in the events; whether it is closed or banned, the
//! profile says.
//!
//! A piece that failed is asked of everyone again (DL-11). So that a piece of many blocks is ever good while
//! somebody garbles some of them, one that failed twice is asked of one peer alone, and not of a guilty one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bt_api::{Instant, PeerFacts, PeerKey, PieceHash, PieceIndex};

use super::Engine;
use super::peers::place;
use crate::event::Event;
use crate::io::CloseReason;
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
    /// What came from where somebody sent bad data, by [`place`].
    records: BTreeMap<SocketAddr, Record>,
}

/// What came from one place.
#[derive(Default)]
struct Record {
    /// The pieces that it spoiled.
    bad: BTreeSet<PieceIndex>,
    /// Good pieces of which it sent a part.
    good: u32,
}

impl Record {
    /// DL-22: three bad pieces, and more than one for thirty good ones.
    fn is_hopeless(&self) -> bool {
        self.bad.len() >= 3 && self.bad.len() > self.good as usize / 30
    }
}

/// What becomes of a guilty peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sentence {
    Nothing,
    /// It is closed.
    Close,
    /// Everyone at its place is closed, now and later.
    Ban,
}

/// Failed downloads of one piece by several senders that are remembered: after the first it has one sender at a time.
const MAX_ATTEMPTS: usize = 4;
/// Failed pieces that are remembered at a time.
const MAX_PIECES: usize = 64;
/// Peers that are remembered after they left, and places of which good and bad pieces are counted.
const MAX_GONE: usize = 1024;
/// BitTornado: when more places than this sent bad data, the fault is likely our own.
const MAX_BAD_PLACES: usize = 10;
/// BitTornado closes nobody while there are so few peers.
const FEW_PEERS: usize = 2;

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

    /// A good piece came from these places.
    fn praise(&mut self, places: BTreeSet<SocketAddr>) {
        for place in places {
            if self.records.len() < MAX_GONE || self.records.contains_key(&place) {
                self.records.entry(place).or_default().good += 1;
            }
        }
    }

    /// `piece` was spoiled from `place`.
    fn blame(&mut self, place: SocketAddr, piece: PieceIndex) {
        if self.records.len() >= MAX_GONE && !self.records.contains_key(&place) {
            // Room is made by somebody of whom nothing bad is known, if there is one.
            let harmless = self.records.iter().find(|(_, record)| record.bad.is_empty());
            let forgotten = harmless.or(self.records.first_key_value()).map(|(&place, _)| place);
            forgotten.map(|place| self.records.remove(&place));
        }
        self.records.entry(place).or_default().bad.insert(piece);
    }

    /// What the profile's rule says about somebody at `place`, of whom a piece was just found to be bad, while so many
    /// peers are connected.
    fn sentence(&self, rule: BadData, place: SocketAddr, peers: usize) -> Sentence {
        let Some(record) = self.records.get(&place) else { return Sentence::Nothing };
        match rule {
            BadData::Keep => Sentence::Nothing,
            BadData::Ban => Sentence::Ban,
            BadData::V39 if record.is_hopeless() => Sentence::Ban,
            BadData::V39 => Sentence::Close,
            BadData::Bittornado => {
                let bad_places = self.records.values().filter(|record| !record.bad.is_empty()).count();
                match record.bad.len() {
                    _ if bad_places > MAX_BAD_PLACES || peers <= FEW_PEERS => Sentence::Nothing,
                    _ if record.is_hopeless() => Sentence::Ban,
                    2.. => Sentence::Close,
                    _ => Sentence::Nothing,
                }
            }
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

    /// Where `peer` is, or was.
    fn address_of(&self, peer: PeerKey) -> Option<SocketAddr> {
        self.at(peer).map(|at| self.facts[at].address).or_else(|| self.guard.gone.get(&peer).copied())
    }

    /// `senders` sent the blocks of a piece that is good, as far as they are known: each place counts once.
    pub(super) fn praise(&mut self, senders: &[Option<PeerKey>]) {
        let places = senders.iter().flatten().filter_map(|&peer| self.address_of(peer)).map(place);
        let places = places.collect();
        self.guard.praise(places);
    }

    fn guilty(&mut self, piece: PieceIndex, peer: PeerKey) {
        let Some(addr) = self.address_of(peer) else { return };
        self.guard.guilty.insert(peer);
        if self.guard.guilty.len() > MAX_GONE {
            self.guard.guilty.pop_first();
        }
        self.guard.blame(place(addr), piece);
        let sentence = self.guard.sentence(self.settings.peers.bad_data, place(addr), self.facts.len());
        let banned = sentence == Sentence::Ban;
        self.event(|_| Event::BadData { peer: peer.0, addr, piece: piece.0, banned });
        match (sentence, self.at(peer)) {
            (Sentence::Ban, _) => self.ban(addr),
            (Sentence::Close, Some(at)) => self.close(at, CloseReason::BadData),
            _ => {}
        }
    }
}
