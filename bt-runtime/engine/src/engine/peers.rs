//! Who is connected: dialling, letting in, handshakes, messages that are not about blocks, time-outs, closing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use bt_api::{
    BlockRef, Instant, PeerAddress, PeerEvent, PeerFacts, PeerId, PeerKey, PieceEvent, PieceIndex, PieceSet,
    Reason, RequestQueue, Share,
};

use super::Engine;
use crate::event::{Dir, Event};
use crate::io::{CloseReason, Output};
use crate::rate::Meter;
use crate::settings::{ChokedRequest, PeerSettings};
use crate::wire::Message;

/// What the engine keeps of one connected peer and policies need not see.
pub(super) struct Connection {
    pub(super) id: PeerId,
    /// Our requests that it has not answered, oldest first.
    pub(super) active: Vec<Active>,
    pub(super) down: Meter,
    pub(super) up: Meter,
    /// When something was last read from it (RS-20).
    pub(super) last_read: Instant,
    /// The pieces that it was shown, when the policy does not show all.
    pub(super) shown: Option<PieceSet>,
    /// How many of its pieces have an open block: then it interests us.
    pub(super) useful: u32,
    pub(super) share: Share,
    /// Why it was last unchoked.
    pub(super) reason: Option<Reason>,
    /// Blocks on their way into its socket.
    pub(super) in_flight: u32,
    /// When a share with a cap lets it have its next block.
    pub(super) next_allowed: Instant,
    /// How much it was served, by weight; the least is next.
    pub(super) served: u64,
    /// How much of its next block was paid for, with the `unit` limiter.
    pub(super) paid: u32,
    /// Whether its snubbing was told to the policy.
    pub(super) snub_told: bool,
    /// Whether it knows the fast extension, as we do (BEP 6).
    pub(super) fast: bool,
    /// Pieces that it sends although it chokes us (BEP 6).
    pub(super) allowed: Vec<PieceIndex>,
    /// Whether its requests were given to others, and it has sent nothing since.
    pub(super) stalled: bool,
}

/// A request of ours under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    pub(super) block: BlockRef,
    pub(super) at: Instant,
}

/// A connection without a complete handshake.
#[derive(Clone, Copy)]
struct Pending {
    address: SocketAddr,
    incoming: bool,
    expected: Option<PeerId>,
    deadline: Instant,
    /// Whether both handshakes offer the fast extension (BEP 6).
    fast: bool,
}

/// Everything about peers that is not about one connected peer.
pub(super) struct Peers {
    id: PeerId,
    next_key: u32,
    pending: BTreeMap<PeerKey, Pending>,
    /// Addresses to be dialled when there is room, the newest last (EN-1).
    spares: Vec<PeerAddress>,
    pub(super) banned: BTreeSet<SocketAddr>,
    seen: BTreeSet<PeerId>,
    /// Whether a handshake of a connection from outside was ever completed (EN-9).
    pub(super) reached: bool,
    keepalive: Instant,
    idle_check: Instant,
    /// No connected peer becomes a snubber before this.
    pub(super) snub_check: Instant,
}

/// Different peer ids that are counted: enough for any swarm, and a bound against a flood of ids.
const MAX_SEEN: usize = 1 << 16;

/// Connections whose handshakes end within this time may have crossed on their way.
const CROSSING: std::time::Duration = std::time::Duration::from_secs(10);

/// What stands for a peer when it is banned or counted as "the same address": its IP address. On a loopback
/// address many clients share one IP address, so there the port counts too.
pub(super) fn place(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    };
    SocketAddr::new(ip, if ip.is_loopback() { address.port() } else { 0 })
}

impl Peers {
    pub(super) fn new(id: PeerId) -> Self {
        Self {
            id,
            next_key: 0,
            pending: BTreeMap::new(),
            spares: Vec::new(),
            banned: BTreeSet::new(),
            seen: BTreeSet::new(),
            reached: false,
            keepalive: Instant::NEVER,
            idle_check: Instant::NEVER,
            snub_check: Instant::NEVER,
        }
    }

    pub(super) fn start(&mut self, now: Instant, settings: &PeerSettings) {
        self.keepalive = now + settings.keepalive_interval.get();
        self.idle_check = now + settings.idle_check_interval.get();
    }

    pub(super) fn new_key(&mut self) -> PeerKey {
        self.next_key += 1;
        PeerKey(self.next_key)
    }

    pub(super) fn own_id(&self) -> PeerId {
        self.id
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(super) fn next_clock(&self) -> Instant {
        let deadline = self.pending.values().map(|pending| pending.deadline).min();
        self.keepalive.min(self.idle_check).min(self.snub_check).min(deadline.unwrap_or(Instant::NEVER))
    }

    fn is_banned(&self, address: SocketAddr) -> bool {
        self.banned.contains(&place(address))
    }
}

impl Engine {
    /// Dials `peer` now, later, or not at all (EN-1).
    pub(super) fn meet(&mut self, peer: PeerAddress) {
        let address = peer.address;
        if address.port() == 0 || address.ip().is_unspecified() || self.peers.is_banned(address) {
            return;
        }
        if let Some(id) = peer.id
            && (id == self.peers.id
                || self.connections.iter().any(|known| known.id == id)
                || self.peers.pending.values().any(|pending| pending.expected == Some(id)))
        {
            return;
        }
        if self.is_connected_to(address, false) {
            return;
        }
        if self.count_connections() >= self.settings.peers.max_initiate as usize {
            let spares = &mut self.peers.spares;
            if spares.len() < self.settings.peers.max_spares as usize && !spares.contains(&peer) {
                spares.push(peer);
            }
            return;
        }
        let key = self.peers.new_key();
        let pending = Pending {
            address,
            incoming: false,
            expected: peer.id,
            deadline: self.now + self.settings.peers.handshake_timeout.get(),
            fast: false,
        };
        self.peers.pending.insert(key, pending);
        self.event(|_| Event::Dial { peer: key.0, addr: address });
        // A peer whose id is known is told ours at once (EN-5).
        let delay_id = self.settings.peers.delay_peer_id && peer.id.is_none();
        self.outputs.push_back(Output::Connect { peer: key, address, delay_id });
    }

    /// All connections, those without a handshake too.
    fn count_connections(&self) -> usize {
        self.facts.len() + self.peers.pending.len()
    }

    /// Whether a connection to `address` stands or begins: to exactly this one, or where the profile wants
    /// one connection an address, to its IP address.
    fn is_connected_to(&self, address: SocketAddr, incoming: bool) -> bool {
        let one_per_address = self.settings.peers.one_per_address;
        let connected = self.facts.iter().map(|peer| peer.address);
        // Of a dial of ours that an incoming connection crosses, the handshakes tell which one stays.
        let pending = self.peers.pending.values().filter(|pending| !incoming || pending.incoming);
        let pending = pending.map(|pending| pending.address);
        connected.chain(pending).any(|other| {
            (!incoming && other == address) || (one_per_address && place(other) == place(address))
        })
    }

    pub(super) fn incoming(&mut self, peer: PeerKey, address: SocketAddr) {
        let refusal = if self.peers.is_banned(address) {
            Some(CloseReason::Banned)
        } else if self.count_connections() >= self.settings.peers.max_connections as usize {
            Some(CloseReason::TooMany)
        } else if self.is_connected_to(address, true) {
            Some(CloseReason::SameAddress)
        } else {
            None
        };
        self.event(|_| Event::PeerConnected { peer: peer.0, addr: address, incoming: true });
        if let Some(reason) = refusal {
            self.log_closed(peer, &reason);
            self.outputs.push_back(Output::Close { peer, reason });
            return;
        }
        let deadline = self.now + self.settings.peers.handshake_timeout.get();
        self.peers
            .pending
            .insert(peer, Pending { address, incoming: true, expected: None, deadline, fast: false });
    }

    /// Somebody came while the torrent stops.
    pub(super) fn turn_away(&mut self, peer: PeerKey) {
        self.outputs.push_back(Output::Close { peer, reason: CloseReason::Stopping });
    }

    pub(super) fn handshake(&mut self, peer: PeerKey, id: PeerId) {
        let Some(&pending) = self.peers.pending.get(&peer) else { return };
        let refusal = match pending.expected {
            Some(expected) if expected != id => Some(CloseReason::UnexpectedId),
            _ if id == self.peers.id => Some(CloseReason::Myself),
            _ if self.is_duplicate(id, pending.incoming) => Some(CloseReason::Duplicate),
            // A dialled peer whose id the tracker told counts as that id from the start (EN-8).
            None if self.peers.pending.values().any(|other| other.expected == Some(id)) => {
                Some(CloseReason::Duplicate)
            }
            _ => None,
        };
        // Only now, since it counts as a connection while another may be closed in its favour.
        self.peers.pending.remove(&peer);
        if !pending.incoming {
            self.event(|_| Event::PeerConnected { peer: peer.0, addr: pending.address, incoming: false });
        }
        if let Some(reason) = refusal {
            self.log_closed(peer, &reason);
            self.outputs.push_back(Output::Close { peer, reason });
            self.dial_spares();
            return;
        }
        self.peers.reached |= pending.incoming;
        if self.peers.seen.len() < MAX_SEEN {
            self.peers.seen.insert(id);
        }
        let at = self.keys.partition_point(|&key| key < peer);
        self.keys.insert(at, peer);
        let facts = PeerFacts::new(peer, pending.address, pending.incoming, self.now, self.pieces.count());
        self.facts.insert(at, facts);
        let rate = &self.settings.rate;
        let connection = Connection {
            id,
            active: Vec::new(),
            down: Meter::new(rate, self.now, rate.download_fudge.get()),
            up: Meter::new(rate, self.now, rate.upload_fudge.get()),
            last_read: self.now,
            shown: None,
            useful: 0,
            share: Share::Equal,
            reason: None,
            in_flight: 0,
            next_allowed: Instant::ZERO,
            served: 0,
            paid: 0,
            snub_told: true,
            fast: pending.fast,
            allowed: Vec::new(),
            stalled: false,
        };
        self.connections.insert(at, connection);
        self.due.came(at);
        self.queues.insert(at, RequestQueue { peer, ready: true, requests: Default::default() });
        self.event(|_| Event::Handshake { peer: peer.0, id: id.to_string() });
        self.outputs.push_back(Output::Accept { peer });
        // The bitfield is always the first message (CN-1); who has nothing sends none (UP-2).
        if !self.introduce(at) {
            return;
        }
        self.notice_picker(PieceEvent::Connected(peer));
        self.notice_choke(PeerEvent::Connected(peer));
    }

    /// Whether a connection to the peer `id` stands that is to be kept rather than a new one (EN-7).
    ///
    /// When two peers dial each other at once, each would close the connection that it sees second, and both
    /// would go. So of two connections of opposite direction that begin together, both ends keep the one that
    /// the greater peer id began (a departure from 3.4.2, where both were lost).
    fn is_duplicate(&mut self, id: PeerId, incoming: bool) -> bool {
        let Some(at) = self.connections.iter().position(|known| known.id == id) else { return false };
        let facts = &self.facts[at];
        let crossed = facts.incoming != incoming && self.now.since(facts.connected) < CROSSING;
        let began_by_greater = incoming != (self.peers.id > id);
        if !(crossed && began_by_greater) {
            return true;
        }
        self.close(at, CloseReason::Duplicate);
        false
    }

    /// Both handshakes offer the fast extension; ours does when the profile rejects requests.
    pub(super) fn agreed_on_fast(&mut self, peer: PeerKey) {
        if let Some(pending) = self.peers.pending.get_mut(&peer) {
            pending.fast = self.settings.upload.choked_request == ChokedRequest::Reject;
        }
    }

    pub(super) fn message(&mut self, peer: PeerKey, message: Message) {
        let Some(at) = self.at(peer) else { return };
        self.connections[at].last_read = self.now;
        let message = match message {
            Message::HaveAll => Message::Bitfield(PieceSet::full(self.pieces.count())),
            other => other,
        };
        match message {
            Message::KeepAlive | Message::HaveAll | Message::HaveNone => {}
            // A hint at what the peer has in its cache: policies choose by what the swarm lacks.
            Message::Suggest(_) => {}
            Message::Reject(block) => self.rejected(at, block),
            Message::AllowedFast(piece) => self.allowed_fast(at, piece),
            Message::Choke => self.choked_us(at),
            Message::Unchoke => self.unchoked_us(at),
            Message::Interested => self.interest_of(at, true),
            Message::NotInterested => self.interest_of(at, false),
            Message::Have(piece) => self.peer_has(at, piece),
            Message::Bitfield(pieces) if pieces.pieces() != self.pieces.count() => {}
            Message::Bitfield(pieces) if self.facts[at].pieces.is_empty() => self.peer_has_all(at, pieces),
            // A late one says what as many `have` messages would; each may close a peer that is a seed now.
            Message::Bitfield(pieces) => pieces.iter().for_each(|piece| {
                if let Some(at) = self.at(peer) {
                    self.peer_has(at, piece);
                }
            }),
            Message::Request(block) => self.asked(at, block),
            Message::Cancel(block) => self.cancelled(at, block),
        }
    }

    fn interest_of(&mut self, at: usize, interested: bool) {
        let facts = &mut self.facts[at];
        if facts.peer_interested == interested {
            return;
        }
        facts.peer_interested = interested;
        let peer = facts.key;
        self.event(|_| Event::Interested { peer: peer.0, dir: Dir::From, value: interested });
        if !interested {
            // What it asked for it no longer wants (UP-3).
            self.clear_queue(at);
        }
        let event = if interested { PeerEvent::Interested(peer) } else { PeerEvent::NotInterested(peer) };
        self.notice_choke(event);
    }

    /// DL-9.
    fn peer_has(&mut self, at: usize, piece: PieceIndex) {
        if piece.0 >= self.pieces.count() || !self.facts[at].pieces.insert(piece) {
            return;
        }
        self.facts[at].haves += 1;
        let peer = self.facts[at].key;
        self.pieces.gained(piece, &mut self.rng);
        self.event(|_| Event::Have { peer: peer.0, dir: Dir::From, piece: Some(piece.0), pieces: None });
        self.notice_picker(PieceEvent::Announced(peer, piece));
        if self.close_fellow_seed(at) {
            return;
        }
        if self.pieces.is_open(piece) {
            self.connections[at].useful += 1;
            self.due.hungry.insert(at);
        }
        self.due.unsettled.insert(at);
        self.advertise(at);
        self.wake_held_off();
    }

    /// DL-10.
    fn peer_has_all(&mut self, at: usize, pieces: PieceSet) {
        self.facts[at].pieces = pieces;
        let facts = &self.facts[at];
        for piece in facts.pieces.iter() {
            self.pieces.gained(piece, &mut self.rng);
        }
        let (peer, count) = (facts.key.0, facts.pieces.count());
        self.connections[at].useful = facts.pieces.common(self.pieces.open());
        self.due.unsettled.insert(at);
        self.event(|_| Event::Have { peer, dir: Dir::From, piece: None, pieces: Some(count) });
        if !self.close_fellow_seed(at) {
            self.advertise(at);
        }
        self.wake_held_off();
    }

    /// Two that have everything have nothing to say to each other; says whether that is so here (DL-9 to DL-11).
    fn close_fellow_seed(&mut self, at: usize) -> bool {
        let close =
            self.own.is_seed && self.facts[at].is_seed() && self.settings.requests.drop_seeds_when_complete;
        if close {
            self.part(at, CloseReason::BothSeeds);
        }
        close
    }

    pub(super) fn close_fellow_seeds(&mut self) {
        for at in (0..self.facts.len()).rev() {
            self.close_fellow_seed(at);
        }
    }

    /// The driver says that a connection is gone.
    pub(super) fn gone(&mut self, peer: PeerKey, reason: CloseReason) {
        if self.peers.pending.remove(&peer).is_some() {
            self.log_closed(peer, &reason);
            self.dial_spares();
        } else if let Some(at) = self.at(peer) {
            self.forget_peer(at, &reason);
        }
    }

    /// Closes a connected peer (EN-16). Peers after it move up by one place.
    pub(super) fn close(&mut self, at: usize, reason: CloseReason) {
        let peer = self.facts[at].key;
        self.outputs.push_back(Output::Close { peer, reason: reason.clone() });
        self.forget_peer(at, &reason);
    }

    /// DL-12, CN-2.
    fn forget_peer(&mut self, at: usize, reason: &CloseReason) {
        self.keys.remove(at);
        let mut facts = self.facts.remove(at);
        let connection = self.connections.remove(at);
        self.due.left(at);
        self.queues.remove(at);
        self.log_closed(facts.key, reason);
        for piece in facts.pieces.iter() {
            self.pieces.lost(piece, &mut self.rng);
        }
        self.guard.remember(facts.key, facts.address);
        self.release(facts.key, connection.active);
        (facts.requested, facts.queued) = (0, 0);
        self.notice_picker(PieceEvent::Gone(facts.key));
        self.notice_choke(PeerEvent::Gone(&facts));
        self.wake_held_off();
        self.dial_spares();
    }

    fn log_closed(&mut self, peer: PeerKey, reason: &CloseReason) {
        self.event(|_| Event::PeerClosed {
            peer: peer.0,
            reason: reason.word().into(),
            detail: reason.to_string(),
        });
    }

    /// The newest spare takes the place of a connection that is gone (EN-2).
    fn dial_spares(&mut self) {
        while self.phase == super::Phase::Running
            && self.count_connections() < self.settings.peers.max_initiate as usize
        {
            let Some(spare) = self.peers.spares.pop() else { break };
            self.meet(spare);
        }
    }

    /// Bans the place of `address`: nobody there is dialled, let in, or kept.
    pub(super) fn ban(&mut self, address: SocketAddr) {
        self.peers.banned.insert(place(address));
        for at in (0..self.facts.len()).rev() {
            // Closing one may close others: what was at this place may be gone.
            if self.facts.get(at).is_some_and(|facts| place(facts.address) == place(address)) {
                self.close(at, CloseReason::Banned);
            }
        }
    }

    /// Nobody is told but the driver and the event log (RS-6).
    pub(super) fn close_everyone(&mut self) {
        self.peers.spares.clear();
        let keys: Vec<PeerKey> =
            self.facts.iter().map(|facts| facts.key).chain(self.peers.pending.keys().copied()).collect();
        for peer in keys {
            self.log_closed(peer, &CloseReason::Stopping);
            self.outputs.push_back(Output::Close { peer, reason: CloseReason::Stopping });
        }
        self.keys.clear();
        self.facts.clear();
        self.connections.clear();
        self.due.clear();
        self.queues.clear();
        self.peers.pending.clear();
    }

    /// The clocks of connections: handshakes, keep-alives, silence, snubbing.
    pub(super) fn watch_peers(&mut self) {
        let now = self.now;
        let late = self.peers.pending.iter().filter(|(_, pending)| pending.deadline <= now);
        for peer in late.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            self.peers.pending.remove(&peer);
            let reason = CloseReason::HandshakeTimeout;
            self.log_closed(peer, &reason);
            self.outputs.push_back(Output::Close { peer, reason });
            self.dial_spares();
        }
        if self.peers.keepalive <= now {
            self.peers.keepalive = now + self.settings.peers.keepalive_interval.get();
            (0..self.facts.len()).for_each(|at| self.send(at, Message::KeepAlive));
        }
        if self.peers.idle_check <= now {
            self.peers.idle_check = now + self.settings.peers.idle_check_interval.get();
            let timeout = self.settings.peers.idle_timeout.get();
            for at in (0..self.facts.len()).rev() {
                if self.connections.get(at).is_some_and(|connection| connection.last_read + timeout < now) {
                    self.close(at, CloseReason::Idle);
                }
            }
        }
        if self.peers.snub_check <= now {
            self.watch_snubbers();
        }
    }

    /// Finds those that sent no block for the snub time, and when the next one may be one of them (CH-13).
    fn watch_snubbers(&mut self) {
        let snub_time = self.settings.requests.snub_time.get();
        // What is asked for from here on sets the clock again.
        self.peers.snub_check = Instant::NEVER;
        let mut next = Instant::NEVER;
        for at in (0..self.facts.len()).rev() {
            let last = self.facts[at].last_received.unwrap_or(Instant::ZERO);
            if !self.connections[at].snub_told {
                // Snubbed is only who was silent for more than the snub time.
                let due = last + snub_time + std::time::Duration::from_nanos(1);
                if due <= self.now {
                    self.facts[at].snubbed = true;
                    self.connections[at].snub_told = true;
                    self.notice_choke(PeerEvent::Snubbed(self.facts[at].key));
                } else {
                    next = next.min(due);
                }
            }
            let asked = self.connections[at].active.first().map(|active| active.at);
            if let Some(asked) = asked
                && self.settings.requests.snub_releases_requests
            {
                let due = last.max(asked) + snub_time;
                if due <= self.now { self.give_up_on(at) } else { next = next.min(due) }
            }
        }
        self.peers.snub_check = self.peers.snub_check.min(next);
    }

    /// Others are asked for what this peer does not send (CH-14); it is asked for one block at a time from now on.
    fn give_up_on(&mut self, at: usize) {
        let active = std::mem::take(&mut self.connections[at].active);
        self.connections[at].stalled = true;
        self.due.unsettled.insert(at);
        self.facts[at].requested = 0;
        for request in &active {
            self.send(at, Message::Cancel(request.block));
        }
        self.release(self.facts[at].key, active);
    }
}
