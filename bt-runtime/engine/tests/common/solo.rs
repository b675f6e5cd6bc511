//! One engine driven by hand: each call feeds one thing and gives back what came out of it.

use std::net::SocketAddr;
use std::time::Duration;

use bt_api::{BlockRef, Instant, PeerId, PeerKey, PieceIndex, PieceSet};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Engine, EngineSetup, Input, Output, Tag, Verdict};

use super::{BLOCK, Node};

pub struct Solo {
    pub engine: Engine,
    pub now: Instant,
    /// What came out when it started.
    pub first: Vec<Output>,
    pieces: u32,
    next_tag: u64,
}

/// The peer id of the engine.
pub const OWN: PeerId = PeerId([b'o'; 20]);

pub fn block(piece: u32, at: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(piece), begin: at * BLOCK, length: BLOCK }
}

pub fn set(pieces: u32, have: &[u32]) -> PieceSet {
    let mut set = PieceSet::new(pieces);
    have.iter().for_each(|&piece| {
        set.insert(PieceIndex(piece));
    });
    set
}

impl Solo {
    /// Of a torrent of as many pieces as `node` has room for, of `blocks` blocks each.
    pub fn new(blocks: u32, node: Node) -> Self {
        Self::with(blocks, node, |_| {})
    }

    pub fn with(blocks: u32, node: Node, edit: impl FnOnce(&mut EngineSetup)) -> Self {
        let pieces = node.have.pieces();
        let mut setup = node.setup(pieces, blocks, 0, OWN, 1, true);
        edit(&mut setup);
        let mut solo =
            Self { engine: Engine::new(setup), now: Instant::ZERO, first: Vec::new(), pieces, next_tag: 0 };
        solo.engine.start(Instant::ZERO);
        solo.first = solo.drain();
        solo
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.engine.poll_output()).collect()
    }

    pub fn feed(&mut self, input: Input) -> Vec<Output> {
        self.engine.handle(self.now, input);
        self.drain()
    }

    /// Lets time pass, with every wake-up that the engine wants; gives what came out, each with its time.
    pub fn wait_timed(&mut self, time: Duration) -> Vec<(Instant, Output)> {
        let end = self.now + time;
        let mut out = Vec::new();
        while let Some(at) = self.engine.next_wakeup().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            out.extend(self.feed(Input::Wakeup).into_iter().map(|output| (self.now, output)));
        }
        self.now = end;
        out
    }

    pub fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.wait_timed(time).into_iter().map(|(_, output)| output).collect()
    }

    pub fn wait_secs(&mut self, secs: u64) -> Vec<Output> {
        self.wait(Duration::from_secs(secs))
    }

    pub fn incoming(&mut self, number: u8) -> (PeerKey, Vec<Output>) {
        let peer = self.engine.new_peer();
        let address = SocketAddr::from(([10, 1, 0, number], 6881));
        (peer, self.feed(Input::Incoming { peer, address }))
    }

    pub fn handshake(&mut self, peer: PeerKey, id: u8) -> Vec<Output> {
        self.feed(Input::Handshake { peer, id: PeerId([id; 20]) })
    }

    /// A peer connects; gives its key and what it is told at first.
    pub fn connect_told(&mut self, number: u8) -> (PeerKey, Vec<Output>) {
        let (peer, mut out) = self.incoming(number);
        out.extend(self.handshake(peer, number));
        (peer, out)
    }

    /// A peer connects that has these pieces.
    pub fn connect(&mut self, number: u8, have: &[u32]) -> PeerKey {
        let (peer, _) = self.connect_told(number);
        if !have.is_empty() {
            self.say(peer, Message::Bitfield(set(self.pieces, have)));
        }
        peer
    }

    /// A peer that has these pieces connects and serves us; gives its key and what was asked of it.
    pub fn connect_open(&mut self, number: u8, have: &[u32]) -> (PeerKey, Vec<BlockRef>) {
        let peer = self.connect(number, have);
        let out = self.say(peer, Message::Unchoke);
        (peer, requests(&out, peer))
    }

    pub fn say(&mut self, peer: PeerKey, message: Message) -> Vec<Output> {
        self.feed(Input::Message { peer, message })
    }

    pub fn send_block(&mut self, peer: PeerKey, block: BlockRef) -> Vec<Output> {
        self.next_tag += 1;
        self.feed(Input::Block { peer, block, tag: Tag(self.next_tag) })
    }

    pub fn good(&mut self, piece: u32) -> Vec<Output> {
        self.feed(Input::Finished { piece: PieceIndex(piece), result: Ok(Verdict::Good(Vec::new())) })
    }

    pub fn bad(&mut self, piece: u32) -> Vec<Output> {
        self.feed(Input::Finished { piece: PieceIndex(piece), result: Ok(Verdict::Bad(Vec::new())) })
    }

    pub fn uploaded(&mut self, peer: PeerKey, block: BlockRef) -> Vec<Output> {
        self.feed(Input::Uploaded { peer, block, result: Ok(()) })
    }
}

/// The messages to `peer`, in order.
pub fn sent(outputs: &[Output], to: PeerKey) -> Vec<Message> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send { peer, message } if *peer == to => Some(message.clone()),
            _ => None,
        })
        .collect()
}

/// The blocks that `peer` was asked for, in order.
pub fn requests(outputs: &[Output], of: PeerKey) -> Vec<BlockRef> {
    sent(outputs, of)
        .into_iter()
        .filter_map(|message| if let Message::Request(block) = message { Some(block) } else { None })
        .collect()
}

/// The blocks that were handed out, in order.
pub fn uploads(outputs: &[Output]) -> Vec<(PeerKey, BlockRef)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Upload { peer, block } => Some((*peer, *block)),
            _ => None,
        })
        .collect()
}

/// The connections that were closed, in order.
pub fn closes(outputs: &[Output]) -> Vec<(PeerKey, CloseReason)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Close { peer, reason } => Some((*peer, reason.clone())),
            _ => None,
        })
        .collect()
}
