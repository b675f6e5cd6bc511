//! One peer: its engine, its connections and its access links.

use std::collections::VecDeque;

use bt_api::rng::Generator;
use bt_api::{BlockRef, Instant, PeerId, PeerKey};
use bt_engine::Engine;
use bt_engine::wire::Message;

use super::coded::Names;
use crate::sharing::{FlowId, LinkId};

/// One peer.
pub(super) struct Node {
    /// Its group in the scenario.
    pub(super) group: usize,
    /// Gone once it has stopped.
    pub(super) engine: Option<Engine>,
    pub(super) id: PeerId,
    /// Whether its handshake offers the fast extension (BEP 6).
    pub(super) fast: bool,
    pub(super) up: LinkId,
    pub(super) down: LinkId,
    /// Whether it takes part: it arrived and did not leave.
    pub(super) present: bool,
    pub(super) complete: bool,
    /// By key, which counts from 1.
    connections: Vec<Connection>,
    /// When the agenda wakes its engine.
    pub(super) wakes_at: Option<Instant>,
    /// Draws the peers that the tracker names to it.
    pub(super) named: Generator,
}

/// One end of a connection.
#[derive(Default)]
pub(super) struct Connection {
    /// The node at the other end.
    pub(super) other: u32,
    /// The connection's key there, once it is known there.
    pub(super) there: Option<PeerKey>,
    pub(super) open: bool,
    /// Whether the other end began it.
    pub(super) incoming: bool,
    /// What is being sent; most send nothing.
    pub(super) sending: Option<Box<Sending>>,
    /// What the pieces are called at the other end, if the content is coded.
    pub(super) names: Option<Box<Names>>,
}

/// A block that is being sent, and what waits behind it.
pub(super) struct Sending {
    pub(super) flow: FlowId,
    /// `None` for the moment between one block and the next.
    pub(super) block: Option<BlockRef>,
    /// Blocks that were handed out after it.
    pub(super) queue: VecDeque<BlockRef>,
    /// Messages that must not overtake it.
    pub(super) held: Vec<Message>,
}

impl Node {
    pub(super) fn new(
        group: usize,
        engine: Engine,
        id: PeerId,
        fast: bool,
        links: [LinkId; 2],
        named: Generator,
    ) -> Self {
        let [up, down] = links;
        let (present, complete) = (true, engine.have().is_full());
        let (connections, wakes_at) = (Vec::new(), None);
        Self {
            group,
            engine: Some(engine),
            id,
            fast,
            up,
            down,
            present,
            complete,
            connections,
            wakes_at,
            named,
        }
    }

    /// The connection of this key, new where there was none.
    pub(super) fn connect(&mut self, peer: PeerKey) -> &mut Connection {
        let place = peer.0 as usize - 1;
        if self.connections.len() <= place {
            self.connections.resize_with(place + 1, Connection::default);
        }
        &mut self.connections[place]
    }

    /// The connection of this key, while it is open.
    pub(super) fn open(&mut self, peer: PeerKey) -> Option<&mut Connection> {
        self.connections.get_mut((peer.0 as usize).checked_sub(1)?).filter(|connection| connection.open)
    }

    /// The other ends of all connections that stand: the nodes, and the keys there.
    pub(super) fn neighbours(&self) -> Vec<(u32, PeerKey)> {
        let open = self.connections.iter().filter(|connection| connection.open);
        open.filter_map(|connection| Some((connection.other, connection.there?))).collect()
    }

    /// Forgets all connections: it is gone.
    pub(super) fn forget(&mut self) {
        self.connections = Vec::new();
    }
}
