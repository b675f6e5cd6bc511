//! A scripted network: engines without payload in virtual time, for tests and benchmarks of the engine.
//!
//! Every node is an unmodified engine. Messages take a fixed delay; blocks leave one after another over the
//! sender's uplink and then take the same delay. There is a tracker that knows every node. What happens is
//! ordered by time and then by the order in which it was caused, so a run is a function of its script.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test and benchmark uses a part of it")]

pub mod everyone;
pub mod solo;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bt_api::{
    AnnounceReply, BlockRef, ChokePolicy, InfoHash, Instant, PeerAddress, PeerId, PeerKey, PieceHash,
    PieceIndex, PiecePolicy, PieceSet, Plugin, StorageError, StorageErrorKind,
};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Engine, EngineSetup, Event, Input, Output, Settings, Tag, Verdict};
use bt_policies::choke::tit_for_tat::TitForTat;
use bt_policies::piece::rarest_first::RarestFirst;

pub const BLOCK: u32 = 16 << 10;

pub fn tit_for_tat() -> Box<dyn ChokePolicy> {
    TitForTat::build(Default::default()).expect("defaults build")
}

pub fn rarest_first() -> Box<dyn PiecePolicy> {
    RarestFirst::build(Default::default()).expect("defaults build")
}

/// The peer id of the node of this number.
pub fn peer_id(number: u64) -> [u8; 20] {
    let mut id = [b'-'; 20];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

/// What one node is made of.
pub struct Node {
    pub settings: Settings,
    pub have: PieceSet,
    pub choke: Box<dyn ChokePolicy>,
    pub piece: Box<dyn PiecePolicy>,
    /// Bytes per second of its uplink.
    pub up: u64,
    /// Whether it sends garbage in place of this block.
    pub poison: fn(BlockRef) -> bool,
    /// What its store does with a finished piece, given how often a piece was finished before.
    pub store: fn(u64) -> Result<(), StorageErrorKind>,
}

impl Node {
    pub fn new(have: PieceSet) -> Self {
        Self {
            settings: Settings::default(),
            have,
            choke: tit_for_tat(),
            piece: rarest_first(),
            up: 1 << 20,
            poison: |_| false,
            store: |_| Ok(()),
        }
    }
}

impl Node {
    /// What its engine is made of, in a torrent of `pieces` pieces of `blocks` blocks each.
    pub fn setup(
        self,
        pieces: u32,
        blocks: u32,
        number: u64,
        peer_id: PeerId,
        seed: u64,
        log: bool,
    ) -> EngineSetup {
        EngineSetup {
            settings: Arc::new(self.settings),
            info_hash: InfoHash([1; 20]),
            peer_id,
            port: 6881,
            total_length: u64::from(pieces) * u64::from(blocks) * u64::from(BLOCK),
            piece_length: blocks * BLOCK,
            have: self.have,
            partial: Vec::new(),
            trackers: vec![vec!["http://tracker/announce".to_owned()]],
            sources: Vec::new(),
            choke: ("choke".to_owned(), self.choke),
            piece: ("piece".to_owned(), self.piece),
            seed,
            node: number,
            log,
        }
    }
}

/// A running node.
pub struct Running {
    pub engine: Engine,
    address: SocketAddr,
    id: PeerId,
    up: u64,
    poison: fn(BlockRef) -> bool,
    store: fn(u64) -> Result<(), StorageErrorKind>,
    busy_until: Instant,
    /// The other end of each connection: node, and the connection's key there.
    links: BTreeMap<PeerKey, (usize, PeerKey)>,
    /// Who garbled the blocks that were kept, by place.
    garbled: BTreeMap<BlockRef, u8>,
    kept: BTreeMap<Tag, (BlockRef, u8)>,
    next_tag: u64,
    finished: u64,
    woken_at: Option<Instant>,
    pub events: Vec<(Instant, Event)>,
    pub closed: Vec<(PeerKey, CloseReason)>,
    pub failed: Option<String>,
    pub stopped: bool,
    pub discards: u64,
}

enum Happening {
    Wake(usize),
    Input(usize, Input),
    /// A block with the mark of who garbled it, 0 for nobody.
    Block(usize, PeerKey, BlockRef, u8),
}

struct Due(Instant, u64, Happening);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// What was done to the engine of a node.
#[derive(Clone)]
pub enum Fed {
    /// It gave a key to a connection that came in.
    NewPeer(usize),
    /// It was fed an input at a time.
    Input(usize, Instant, Input),
}

pub struct Network {
    pub nodes: Vec<Running>,
    pub now: Instant,
    pub delay: Duration,
    pub inputs: u64,
    /// Every output as text, when it is wanted.
    pub trace: Option<String>,
    /// Called after every input.
    pub check: fn(&Engine),
    /// What went into each engine, when it is wanted: to be fed again to fresh ones.
    pub record: Option<Vec<Fed>>,
    queue: BinaryHeap<Reverse<Due>>,
    sequence: u64,
}

impl Network {
    /// `nodes` of a torrent of `pieces` pieces of `blocks` blocks each.
    pub fn new(pieces: u32, blocks: u32, seed: u64, log: bool, nodes: Vec<Node>) -> Self {
        let mut network = Self {
            nodes: Vec::new(),
            now: Instant::ZERO,
            delay: Duration::from_millis(10),
            inputs: 0,
            trace: None,
            check: |_| {},
            record: None,
            queue: BinaryHeap::new(),
            sequence: 0,
        };
        for (number, node) in nodes.into_iter().enumerate() {
            let address = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 6881));
            let id = PeerId(peer_id(number as u64));
            let (up, poison, store) = (node.up, node.poison, node.store);
            let engine = Engine::new(node.setup(pieces, blocks, number as u64, id, seed, log));
            network.nodes.push(Running {
                engine,
                address,
                id,
                up,
                poison,
                store,
                busy_until: Instant::ZERO,
                links: BTreeMap::new(),
                garbled: BTreeMap::new(),
                kept: BTreeMap::new(),
                next_tag: 0,
                finished: 0,
                woken_at: None,
                events: Vec::new(),
                closed: Vec::new(),
                failed: None,
                stopped: false,
                discards: 0,
            });
        }
        network
    }

    /// One seed and `leechers` leechers, all with the mainline policies and settings.
    pub fn mainline(pieces: u32, blocks: u32, leechers: usize, seed: u64, log: bool) -> Self {
        let mut nodes = vec![Node::new(PieceSet::full(pieces))];
        nodes.extend((0..leechers).map(|_| Node::new(PieceSet::new(pieces))));
        Self::new(pieces, blocks, seed, log, nodes)
    }

    pub fn start(&mut self) {
        for node in 0..self.nodes.len() {
            self.nodes[node].engine.start(self.now);
            self.drain(node);
        }
    }

    pub fn input(&mut self, node: usize, input: Input) {
        self.inputs += 1;
        if let Some(record) = &mut self.record {
            record.push(Fed::Input(node, self.now, input.clone()));
        }
        self.nodes[node].engine.handle(self.now, input);
        (self.check)(&self.nodes[node].engine);
        self.drain(node);
    }

    /// Runs until `done` or until nothing is left to happen before `limit`; says whether it was done.
    pub fn run(&mut self, limit: Instant, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let Some(Reverse(Due(at, _, happening))) = self.queue.pop() else { return false };
            if at > limit {
                self.queue.push(Reverse(Due(at, 0, happening)));
                return false;
            }
            self.now = at;
            match happening {
                Happening::Wake(node) => {
                    if self.nodes[node].woken_at == Some(at) {
                        self.nodes[node].woken_at = None;
                        self.input(node, Input::Wakeup);
                    }
                }
                Happening::Input(node, input) => self.input(node, input),
                Happening::Block(node, peer, block, garbled) => {
                    let running = &mut self.nodes[node];
                    running.next_tag += 1;
                    let tag = Tag(running.next_tag);
                    running.kept.insert(tag, (block, garbled));
                    self.input(node, Input::Block { peer, block, tag });
                }
            }
        }
        true
    }

    pub fn run_until_complete(&mut self, limit: Instant) -> bool {
        self.start();
        self.run(limit, |network| network.nodes.iter().all(|node| node.engine.have().is_full()))
    }

    pub fn schedule(&mut self, after: Duration, node: usize, input: Input) {
        let at = self.now + after;
        self.push(at, Happening::Input(node, input));
    }

    fn push(&mut self, at: Instant, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse(Due(at, self.sequence, happening)));
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].engine.poll_output() {
            if let Some(trace) = &mut self.trace {
                use std::fmt::Write;
                writeln!(trace, "{} {node} {output:?}", self.now).expect("a string takes it");
            }
            self.carry_out(node, output);
        }
        if let Some(at) = self.nodes[node].engine.next_wakeup() {
            let at = at.max(self.now + Duration::from_nanos(1));
            if self.nodes[node].woken_at.is_none_or(|woken| at < woken || woken < self.now) {
                self.nodes[node].woken_at = Some(at);
                self.push(at, Happening::Wake(node));
            }
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        let later = self.now + self.delay;
        match output {
            Output::Connect { peer, address, .. } => {
                let other = self.nodes.iter().position(|other| other.address == address);
                let Some(other) = other else {
                    let reason = CloseReason::Connect("nobody there".to_owned());
                    return self.push(later, Happening::Input(node, Input::Closed { peer, reason }));
                };
                let there = self.nodes[other].engine.new_peer();
                if let Some(record) = &mut self.record {
                    record.push(Fed::NewPeer(other));
                }
                self.nodes[node].links.insert(peer, (other, there));
                self.nodes[other].links.insert(there, (node, peer));
                let from = self.nodes[node].address;
                self.push(later, Happening::Input(other, Input::Incoming { peer: there, address: from }));
                let (mine, theirs) = (self.nodes[node].id, self.nodes[other].id);
                // An engine whose profile does not offer it takes no notice.
                self.push(later, Happening::Input(other, Input::Fast { peer: there }));
                self.push(later, Happening::Input(other, Input::Handshake { peer: there, id: mine }));
                let back = later + self.delay;
                self.push(back, Happening::Input(node, Input::Fast { peer }));
                self.push(back, Happening::Input(node, Input::Handshake { peer, id: theirs }));
            }
            Output::Accept { .. } => {}
            Output::Send { peer, message } => {
                if let Some(&(other, there)) = self.nodes[node].links.get(&peer) {
                    self.push(later, Happening::Input(other, Input::Message { peer: there, message }));
                }
            }
            Output::Upload { peer, block } => {
                let running = &mut self.nodes[node];
                let nanos = u128::from(block.length) * 1_000_000_000 / u128::from(running.up);
                let done = running.busy_until.max(self.now) + Duration::from_nanos(nanos as u64);
                running.busy_until = done;
                let garbled = if (running.poison)(block) { node as u8 + 1 } else { 0 };
                let link = running.links.get(&peer).copied();
                let result = Ok(());
                self.push(done, Happening::Input(node, Input::Uploaded { peer, block, result }));
                if let Some((other, there)) = link {
                    self.push(done + self.delay, Happening::Block(other, there, block, garbled));
                }
            }
            Output::Close { peer, reason } => {
                self.nodes[node].closed.push((peer, reason));
                if let Some((other, there)) = self.nodes[node].links.remove(&peer) {
                    self.nodes[other].links.remove(&there);
                    let reason = CloseReason::Remote;
                    self.push(later, Happening::Input(other, Input::Closed { peer: there, reason }));
                }
            }
            Output::Keep { tag, block } => {
                let (_, garbled) = self.nodes[node].kept.remove(&tag).expect("a tag is answered once");
                self.nodes[node].garbled.insert(block, garbled);
            }
            Output::Drop { tag } => {
                self.nodes[node].kept.remove(&tag).expect("a tag is answered once");
            }
            Output::Finish { piece, .. } => {
                let running = &mut self.nodes[node];
                let result = (running.store)(running.finished).map(|()| {
                    let marks: Vec<u8> =
                        running.garbled.range(whole(piece)).map(|(_, garbled)| *garbled).collect();
                    let digests = marks.iter().map(|mark| PieceHash([*mark; 20])).collect();
                    if marks.iter().all(|mark| *mark == 0) {
                        Verdict::Good(digests)
                    } else {
                        Verdict::Bad(digests)
                    }
                });
                running.finished += 1;
                if result.is_ok() {
                    running.garbled.retain(|block, _| block.piece != piece);
                }
                let result = result.map_err(|kind| StorageError::new(kind, "writing, says the script"));
                self.push(self.now, Happening::Input(node, Input::Finished { piece, result }));
            }
            Output::Discard { piece } => {
                self.nodes[node].discards += 1;
                self.nodes[node].garbled.retain(|block, _| block.piece != piece);
            }
            Output::Announce { tag, .. } => {
                let peers = self.nodes.iter().enumerate().filter(|(other, _)| *other != node);
                let peers =
                    peers.map(|(_, other)| PeerAddress { address: other.address, id: None }).collect();
                let reply = AnnounceReply { peers, ..AnnounceReply::default() };
                self.push(
                    later,
                    Happening::Input(node, Input::Announced { tag, result: Ok(Box::new(reply)) }),
                );
            }
            Output::Event(event) => {
                let now = self.now;
                self.nodes[node].events.push((now, event));
            }
            Output::Failed { message } => self.nodes[node].failed = Some(message),
            Output::Stopped => self.nodes[node].stopped = true,
        }
    }

    /// Feeds a message to `node` as from `peer`, now.
    pub fn say(&mut self, node: usize, peer: PeerKey, message: Message) {
        self.input(node, Input::Message { peer, message });
    }
}

fn whole(piece: PieceIndex) -> std::ops::RangeInclusive<BlockRef> {
    BlockRef { piece, begin: 0, length: 0 }..=BlockRef { piece, begin: u32::MAX, length: u32::MAX }
}
