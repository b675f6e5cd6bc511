//! Network-coded content: what a peer holds is useful to another whatever pieces it is made of.
//!
//! With random linear coding every piece that is sent is a new combination of what its sender holds, and nearly always
//! new to whoever lacks anything of that. No combination is computed here: only how many a peer has is counted, as is
//! enough for an upper baseline. Each peer calls its pieces by names of its own, and what it is told of another's is
//! translated: a piece keeps its name if that is one that the receiver lacks, and else gets one. When the receiver gets
//! a piece of that name from somebody else, it is told of it by another. Engines and policies notice nothing of it. What
//! holds of any code holds:
//!
//! - A piece is sent to the same peer once, and never back to the peer that it came from: so much at most can two peers
//!   give each other.
//! - Nobody but a source tells of more pieces than sources have let out: so nobody has more than these.
//!
//! What a code cannot do besides is not held against it: two peers that got all they have from the same others are
//! useful to each other here, and with a code they are not. So the figures are rather too good for a code than too bad.
//! They are of this protocol: its rounds, backlogs and endgame are as ever.
//!
//! Source: Gkantsidis and Rodriguez, "Network coding for large scale content distribution", INFOCOM 2005.

use std::collections::BTreeMap;

use bt_api::{PeerKey, PieceIndex, PieceSet};
use bt_engine::wire::Message;

use super::Swarm;

/// What is known of everybody.
pub(super) struct Coded {
    pieces: u32,
    /// How many pieces came from sources alone: more different ones are not in the swarm.
    out: u32,
    nodes: Vec<Ledger>,
}

/// What is known of a node.
struct Ledger {
    /// Whether it came with everything.
    source: bool,
    /// By its name for a piece: the only node that it came from, if there was one.
    from: Vec<Option<u32>>,
    /// Its names for pieces that somebody but a source told it of.
    told: PieceSet,
    /// How many of its pieces have other names.
    others: u32,
}

/// What the pieces of a node are called at the other end of a connection.
pub(super) struct Names {
    /// The names there.
    told: PieceSet,
    /// By the name there; several of these may be one piece, of which all but the last were got from somebody else.
    own: BTreeMap<PieceIndex, PieceIndex>,
    /// The last name there of each piece here.
    there: BTreeMap<PieceIndex, PieceIndex>,
    /// Pieces that the other end was not told of.
    waiting: Vec<PieceIndex>,
}

impl Names {
    fn new(pieces: u32) -> Self {
        let told = PieceSet::new(pieces);
        Self { told, own: BTreeMap::new(), there: BTreeMap::new(), waiting: Vec::new() }
    }

    fn call(&mut self, own: PieceIndex, there: PieceIndex) {
        self.told.insert(there);
        self.own.insert(there, own);
        self.there.insert(own, there);
    }

    /// Calls all pieces by all names: those that are called keep theirs.
    fn call_all(&mut self) {
        self.waiting.clear();
        let mut unused = PieceSet::full(self.told.pieces());
        self.own.values().for_each(|&own| _ = unused.remove(own));
        let missing: Vec<PieceIndex> = self.told.missing().collect();
        let (same, other): (Vec<_>, Vec<_>) = missing.into_iter().partition(|&name| unused.remove(name));
        same.into_iter().for_each(|name| self.call(name, name));
        for (name, own) in other.into_iter().zip(unused.iter()) {
            self.call(own, name);
        }
    }
}

impl Coded {
    pub(super) fn new(pieces: u32) -> Self {
        Self { pieces, out: 0, nodes: Vec::new() }
    }

    /// A node arrives, with everything or with nothing.
    pub(super) fn arrived(&mut self, source: bool) {
        let (from, told) = (vec![None; self.pieces as usize], PieceSet::new(self.pieces));
        self.nodes.push(Ledger { source, from, told, others: 0 });
    }

    /// `node` has a piece now, of which these nodes sent parts.
    fn verified(&mut self, node: u32, piece: PieceIndex, senders: &[u32]) {
        if senders.iter().all(|&sender| self.nodes[sender as usize].source) {
            self.out = (self.out + 1).min(self.pieces);
        }
        let ledger = &mut self.nodes[node as usize];
        ledger.others += u32::from(!ledger.told.contains(piece));
        ledger.from[piece.as_usize()] = if let [only] = senders { Some(*only) } else { None };
    }
}

impl Swarm<'_> {
    fn is_full(&self, node: u32) -> bool {
        self.nodes[node as usize].engine.as_ref().is_some_and(|engine| engine.have().is_full())
    }

    fn names(&mut self, node: u32, peer: PeerKey) -> &mut Names {
        let pieces = self.scenario.content.pieces();
        self.nodes[node as usize].connect(peer).names.get_or_insert_with(|| Box::new(Names::new(pieces)))
    }

    /// What `node` sends to a peer in place of `message`.
    pub(super) fn translated(&mut self, node: u32, peer: PeerKey, message: Message) -> Vec<Message> {
        let Some(pieces) = self.coded.as_ref().map(|coded| coded.pieces) else { return vec![message] };
        let Some((other, Some(there))) =
            self.nodes[node as usize].open(peer).map(|one| (one.other, one.there))
        else {
            return vec![message];
        };
        match message {
            Message::Have(_) if !self.is_source(node) && self.is_full(node) => {
                self.names(node, peer).call_all();
                vec![Message::Bitfield(PieceSet::full(pieces))]
            }
            Message::Have(piece) => {
                self.names(node, peer).waiting.push(piece);
                self.told_anew(node, peer).into_iter().map(Message::Have).collect()
            }
            Message::HaveAll => {
                self.names(node, peer).call_all();
                vec![message]
            }
            Message::Bitfield(set) if set.is_full() => {
                self.names(node, peer).call_all();
                vec![Message::Bitfield(set)]
            }
            Message::Bitfield(set) => {
                self.names(node, peer).waiting.extend(set.iter());
                let mut named = PieceSet::new(pieces);
                self.told_anew(node, peer).into_iter().for_each(|name| _ = named.insert(name));
                vec![Message::Bitfield(named)]
            }
            Message::Request(mut block) | Message::Cancel(mut block) => {
                let asks = matches!(message, Message::Request(_));
                let Some(&own) = self.names(other, there).own.get(&block.piece) else { return Vec::new() };
                block.piece = own;
                vec![if asks { Message::Request(block) } else { Message::Cancel(block) }]
            }
            Message::Reject(mut block) => {
                block.piece = self.name_there(node, peer, block.piece);
                vec![Message::Reject(block)]
            }
            // Offers that nobody must make.
            Message::AllowedFast(_) | Message::Suggest(_) => Vec::new(),
            _ => vec![message],
        }
    }

    fn is_source(&self, node: u32) -> bool {
        self.coded.as_ref().is_some_and(|coded| coded.nodes[node as usize].source)
    }

    /// What a piece of `node` is called at the other end.
    pub(super) fn name_there(&mut self, node: u32, peer: PeerKey, piece: PieceIndex) -> PieceIndex {
        match self.coded {
            Some(_) => self.names(node, peer).there.get(&piece).copied().unwrap_or(piece),
            None => piece,
        }
    }

    /// The names of what a peer can be told of now, of all that it was not told of.
    fn told_anew(&mut self, node: u32, peer: PeerKey) -> Vec<PieceIndex> {
        let Some((other, Some(there))) =
            self.nodes[node as usize].open(peer).map(|one| (one.other, one.there))
        else {
            return Vec::new();
        };
        let (full, source) = (self.is_full(node), self.is_source(node));
        // By its own names, what the other end told of.
        let heard =
            if self.is_full(other) { Some(std::mem::take(&mut self.names(other, there).own)) } else { None };
        self.names(node, peer);
        let Self { nodes, coded: Some(coded), .. } = self else { return Vec::new() };
        let [sender, receiver] = nodes.get_disjoint_mut([node as usize, other as usize]).expect("two nodes");
        let (Some(names), Some(receiver)) = (&mut sender.connect(peer).names, &receiver.engine) else {
            return Vec::new();
        };
        let mut told = Vec::new();
        let mut waiting = std::mem::take(&mut names.waiting).into_iter();
        for piece in waiting.by_ref() {
            // Who lacks something never looks as if it had everything.
            if !full && names.told.count() + 1 >= coded.pieces {
                names.waiting.push(piece);
                break;
            }
            let cyclic = (0..coded.pieces).map(|step| PieceIndex((piece.0 + step) % coded.pieces));
            let mut unused = cyclic.filter(|&name| !names.told.contains(name));
            let name = if let Some(heard) = &heard {
                // It wants nothing: it is told what was got of the pieces that it told of, and how much.
                let same = heard.get(&piece).copied().filter(|&name| !names.told.contains(name));
                same.or_else(|| unused.next())
            } else if coded.nodes[node as usize].from[piece.as_usize()] == Some(other) {
                names.waiting.push(piece);
                continue;
            } else {
                let ledger = &coded.nodes[other as usize];
                let room = source || ledger.told.count() + ledger.others < coded.out;
                let new = |name| room || ledger.told.contains(name);
                unused.find(|&name| !receiver.have().contains(name) && new(name))
            };
            let Some(name) = name else {
                names.waiting.push(piece);
                break;
            };
            if !source && heard.is_none() {
                coded.nodes[other as usize].told.insert(name);
            }
            names.call(piece, name);
            told.push(name);
        }
        names.waiting.extend(waiting);
        if let Some(heard) = heard {
            self.names(other, there).own = heard;
        }
        told
    }

    /// `node` has a piece now. Whoever told it of another piece by that name tells it by another name.
    pub(super) fn verified(&mut self, node: u32, piece: PieceIndex, senders: &[u32]) {
        let Some(coded) = &mut self.coded else { return };
        let of = |&key: &u32| self.nodes[node as usize].connect(PeerKey(key)).other;
        let mut senders: Vec<u32> = senders.iter().map(of).collect();
        senders.sort_unstable();
        senders.dedup();
        coded.verified(node, piece, &senders);
        if self.is_full(node) {
            return;
        }
        for (other, there) in self.nodes[node as usize].neighbours() {
            let names = self.names(other, there);
            if names.told.is_full() {
                continue;
            }
            if let Some(own) = names.own.get(&piece).copied().filter(|_| senders != [other]) {
                names.waiting.push(own);
            }
            if names.waiting.is_empty() {
                continue;
            }
            for name in self.told_anew(other, there) {
                self.pass_on(other, there, Message::Have(name));
            }
        }
    }
}

#[cfg(test)]
mod tests;
