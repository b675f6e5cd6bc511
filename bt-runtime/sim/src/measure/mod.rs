//! Measurements: every metric of a run, from its event stream alone.
//!
//! [`Measures`] is told of each event, in a simulation as it happens, or from a log that [`read_log`] reads back: the
//! same figures come out. A simulation has a hundred million events, so what is kept is dense arrays by peer and by
//! connection, and nothing is allocated for an event that comes often.
//!
//! A connection's other end is found by its address, which `joined` tells. In a client's own log the other ends are
//! unknown: what needs them is left out and said to be ([`Summary::left_out`]).
//!
//! | module | holds |
//! | --- | --- |
//! | `metrics` | the metrics as data: name, unit, formula |
//! | `state` | what is kept of each peer and connection |
//! | `exchange` | what leechers give and take, pair by pair and round by round |
//! | `population` | who is there and what the swarm holds, over time |
//! | `finish` | the figures, once a run is over |
//! | `figures` | the rows and figures of a run that is over |
//! | `steady` | the steady part of a run in which peers go on arriving |
//! | `log` | an event log read back |
//! | `playback` | how well a download can be watched, by an assumed player |

mod dist;
mod exchange;
mod figures;
mod finish;
mod log;
mod metrics;
mod playback;
mod population;
mod state;
mod steady;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bt_api::{Instant, PieceIndex};
use bt_engine::Event;
use bt_engine::event::{Dir, Joined};
use bt_runtime::events::from_ranges;

pub use dist::Dist;
pub use figures::{CAPACITIES, Counts, Measured, OVERALL, PairRow, PeerRow, SeriesRow, Summary};
pub use log::{LogError, read_log};
pub use metrics::{METRICS, Metric, Of, metric};
pub use playback::{Playback, Player};
use population::{Change, Copies, Population};
use state::{Conn, NOBODY, Node};
pub use steady::{Cut, Rule};

/// The class of a peer that `joined` names none for: a real client.
pub const CLIENT: &str = "client";

/// Peers and connections have smaller numbers than these; more do not fit in memory anyway.
const MOST_NODES: u32 = 1 << 24;
const MOST_CONNECTIONS: u32 = 1 << 26;

/// As many pieces as a torrent may have.
const MOST_PIECES: u64 = 1 << 21;

/// More classes than this are one class: no scenario has so many, and what is kept grows with their square.
const MOST_CLASSES: usize = 1024;

/// Faster links count as this fast, in bytes per second, so that no sum of them overflows.
const FASTEST: u64 = 1 << 39;

/// An unchoke that a choke ends within so many nanoseconds is fibrillation.
const FIBRILLATION: u64 = 20_000_000_000;

/// Lengths of messages in bytes (BEP 3): prefix, number, fields.
mod length {
    pub(super) const HANDSHAKE: u64 = 68;
    pub(super) const BARE: u64 = 5;
    pub(super) const HAVE: u64 = 9;
    pub(super) const REQUEST: u64 = 17;
    pub(super) const PIECE: u64 = 13;
}

/// Computes the metrics of a run while it goes on.
#[derive(Debug)]
pub struct Measures {
    nodes: Vec<Node>,
    /// Whether a node has everything: apart, since it is asked for at each block.
    seeds: Vec<bool>,
    conns: Vec<Conn>,
    free: Vec<u32>,
    addresses: BTreeMap<SocketAddr, u32>,
    classes: Vec<String>,
    population: Population,
    /// Between the classes of leechers (and of seeds from the start), in nanoseconds and bytes.
    pairs: Vec<Vec<Pair>>,
    /// The distinct uplinks, and for how long leechers with the one and with the other unchoked each other.
    capacities: BTreeMap<u64, u32>,
    mutual: BTreeMap<(u32, u32), u64>,
    /// Length and piece length of the content that all have.
    content: Option<(u64, u32)>,
    /// Whether one has another content, or somebody at the other end of a connection is unknown.
    mixed: bool,
    strangers: bool,
    /// Bytes up by peers that came with everything, so far, and when the first of the others finished.
    by_initial_seeds: u64,
    seed_bytes_at_first: Option<u64>,
}

/// What leechers of one class did with neighbours of another.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    /// Served while interested, and interested, in nanoseconds.
    served: u64,
    interested: u64,
    bytes: u64,
}

impl Default for Measures {
    fn default() -> Self {
        Self::new()
    }
}

impl Measures {
    /// Of a run that begins.
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            seeds: Vec::new(),
            conns: Vec::new(),
            free: Vec::new(),
            addresses: BTreeMap::new(),
            classes: Vec::new(),
            population: Population::new(),
            pairs: Vec::new(),
            capacities: BTreeMap::new(),
            mutual: BTreeMap::new(),
            content: None,
            mixed: false,
            strangers: false,
            by_initial_seeds: 0,
            seed_bytes_at_first: None,
        }
    }

    /// Takes note of an event at `node`. Peers are numbered from 0 in the order in which they arrive; the events
    /// of a run come in the order of time.
    pub fn event(&mut self, now: Instant, node: u32, event: &Event) {
        let now = now.as_nanos();
        if now > self.population.due {
            self.population.sample(now);
        }
        let at = node as usize;
        if self.nodes.get(at).is_none_or(|node| !node.known) && !self.meet(now, node, event) {
            return;
        }
        let this = &mut self.nodes[at];
        match *event {
            Event::Have { dir, piece, .. } => {
                this.overhead += match piece {
                    Some(_) => length::HAVE,
                    None => length::BARE + u64::from(self.population.copies.pieces().div_ceil(8)),
                };
                this.haves += u64::from(dir == Dir::To);
            }
            Event::Request { dir, .. } => {
                this.overhead += length::REQUEST;
                this.requests += u64::from(dir == Dir::To);
            }
            Event::Cancel { .. } | Event::Reject { .. } => this.overhead += length::REQUEST,
            Event::Block { peer, dir: Dir::To, length, .. } => self.sent(now, at, peer, length.into()),
            Event::Block { peer, dir: Dir::From, length, .. } => self.received(now, at, peer, length.into()),
            Event::DuplicateBlock { length, .. } => {
                this.overhead += length::PIECE;
                this.duplicate += u64::from(length);
            }
            Event::Interested { peer, dir, value } => {
                this.overhead += length::BARE;
                self.turn(now, at, peer, |conn| match dir {
                    Dir::To => conn.interested = value,
                    Dir::From => conn.wanted = value,
                });
            }
            Event::Choke { peer, dir } => self.choke(now, at, peer, dir),
            Event::Unchoke { peer, dir, .. } => self.unchoke(now, at, peer, dir),
            Event::Handshake { .. } => this.overhead += 2 * length::HANDSHAKE,
            Event::PeerConnected { peer, addr, .. } => self.connected(now, at, peer, addr),
            Event::PeerClosed { peer, .. } => self.closed(now, at, peer),
            Event::PieceVerified { piece, .. } => self.verified(now, at, piece),
            Event::PieceFailed { .. } => this.failed += u64::from(this.piece_length),
            Event::Complete { .. } => self.complete(now, at),
            Event::Left {} => self.left(now, at),
            _ => {}
        }
    }

    /// The first event of a node: it joins, or was there before the log began. Says whether it is a node at all.
    fn meet(&mut self, now: u64, node: u32, event: &Event) -> bool {
        if node >= MOST_NODES {
            return false;
        }
        let at = node as usize;
        while self.nodes.len() <= at {
            self.nodes.push(Node::new());
            self.seeds.push(false);
        }
        let this = &mut self.nodes[at];
        (this.known, this.arrived) = (true, now);
        let mut class = CLIENT;
        if let Event::Joined(joined) = event {
            let Joined { addr, class: named, up, down, total_length, piece_length, have } = &**joined;
            class = named.as_deref().unwrap_or(CLIENT);
            let pieces = total_length.div_ceil(u64::from(*piece_length).max(1));
            let pieces = if pieces <= MOST_PIECES { pieces as u32 } else { 0 };
            let content = *self.content.get_or_insert((*total_length, *piece_length));
            if self.population.copies.pieces() == 0 {
                self.population.copies = Copies::new(pieces);
            }
            self.mixed |= content != (*total_length, *piece_length);
            (this.up, this.down) =
                (up.map(|up| up.clamp(1, FASTEST)), down.map(|down| down.clamp(1, FASTEST)));
            (this.total, this.piece_length) = (*total_length, *piece_length);
            (this.missing, this.missing_pieces) = (*total_length, pieces);
            this.have = vec![0; pieces.div_ceil(64) as usize];
            for PieceIndex(piece) in from_ranges(have, pieces).iter().flat_map(|have| have.iter()) {
                this.have[piece as usize / 64] |= 1 << (piece % 64);
                this.missing_pieces -= 1;
                let start = u64::from(piece) * u64::from(*piece_length);
                this.missing -= u64::from(*piece_length).min(total_length - start);
                self.population.copies.add(piece);
            }
            this.initial = pieces > 0 && this.missing_pieces == 0;
            this.completed = this.initial.then_some(now);
            this.address = *addr;
            if let Some(up) = this.up {
                let next = self.capacities.len() as u32;
                this.capacity = *self.capacities.entry(up).or_insert(next);
            }
            if let Some(addr) = addr {
                self.addresses.insert(*addr, node);
            }
        }
        self.seeds[at] = this.initial;
        let known = self.classes.iter().position(|known| known == class);
        let known = known.or((self.classes.len() == MOST_CLASSES).then_some(0));
        let class = known.unwrap_or_else(|| {
            self.classes.push(class.to_owned());
            self.population.scopes.push(population::Totals::default());
            self.pairs.iter_mut().for_each(|row| row.push(Pair::default()));
            self.pairs.push(vec![Pair::default(); self.classes.len()]);
            self.classes.len() - 1
        });
        this.class = class as u32;
        self.population.change(now, this.class, Change::Arrives, this.initial, (this.up, this.down));
        true
    }

    fn sent(&mut self, now: u64, at: usize, peer: u32, length: u64) {
        let this = &mut self.nodes[at];
        this.uploaded += length;
        this.overhead += length::PIECE;
        let is_leecher = this.is_leecher();
        let as_leecher = if is_leecher { length } else { this.sent_before_it_was_a_seed(now, length) };
        this.uploaded_as_leecher += as_leecher;
        self.by_initial_seeds += if this.initial { length } else { 0 };
        if this.up.is_some() && this.left.is_none() {
            self.population.of(this.class, |scope| {
                scope.up.bytes += as_leecher;
                scope.up_of_seeds.bytes += length - as_leecher;
            });
        }
        let Some(&slot) = this.slots.get(peer as usize).filter(|slot| **slot != NOBODY) else { return };
        let conn = &self.conns[slot as usize];
        if conn.other == NOBODY {
            return;
        }
        if this.counts_as_server() {
            self.pairs[this.class as usize][conn.class as usize].bytes += length;
        }
        if is_leecher && !self.seeds[conn.other as usize] {
            this.add_balance(length as i64);
            self.close_exchange(now, at);
            let conn = &mut self.conns[slot as usize];
            conn.exchange.give(length);
            let imbalance = conn.exchange.imbalance();
            self.nodes[at].worst_pair = self.nodes[at].worst_pair.max(imbalance);
        }
    }

    fn received(&mut self, now: u64, at: usize, peer: u32, length: u64) {
        let this = &mut self.nodes[at];
        this.downloaded += length;
        this.overhead += length::PIECE;
        this.first_block.get_or_insert(now);
        if !this.is_leecher() {
            return;
        }
        this.downloaded_as_leecher += length;
        if this.down.is_some() && this.left.is_none() {
            self.population.of(this.class, |scope| scope.down.bytes += length);
        }
        let Some(&slot) = this.slots.get(peer as usize).filter(|slot| **slot != NOBODY) else { return };
        let conn = &self.conns[slot as usize];
        match self.seeds.get(conn.other as usize) {
            Some(true) => this.from_seeds += length,
            Some(false) => {
                this.from_leechers += length;
                this.mutual += if conn.serving && conn.served { length } else { 0 };
                this.add_balance(-(length as i64));
                self.close_exchange(now, at);
                self.conns[slot as usize].exchange.take(length);
            }
            None => {}
        }
    }

    /// Ends a leecher's round of giving and taking, if it is over by `now`.
    fn close_exchange(&mut self, now: u64, at: usize) {
        let this = &mut self.nodes[at];
        let past = this.exchanges.advance(now.saturating_sub(this.arrived));
        if past == 0 {
            return;
        }
        let open = || this.slots.iter().copied().filter(|&slot| slot != NOBODY);
        this.exchanges.add(open().map(|slot| &self.conns[slot as usize].exchange));
        open().for_each(|slot| self.conns[slot as usize].exchange.next(past));
    }

    fn choke(&mut self, now: u64, at: usize, peer: u32, dir: Dir) {
        self.nodes[at].overhead += length::BARE;
        match dir {
            Dir::From => self.turn(now, at, peer, |conn| conn.served = false),
            Dir::To => {
                self.nodes[at].chokes += 1;
                if let Some(lasted) = self.stop_serving(now, at, peer) {
                    self.nodes[at].fibrillation += u64::from(lasted < FIBRILLATION);
                }
            }
        }
    }

    fn unchoke(&mut self, now: u64, at: usize, peer: u32, dir: Dir) {
        self.nodes[at].overhead += length::BARE;
        if dir == Dir::From {
            return self.turn(now, at, peer, |conn| conn.served = true);
        }
        self.nodes[at].chokes += 1;
        let mut in_round = None;
        self.turn(now, at, peer, |conn| {
            if !conn.serving {
                (conn.serving, conn.unchoked_at) = (true, now);
                in_round = Some(conn.in_round);
            }
        });
        if let Some(in_round) = in_round {
            let this = &mut self.nodes[at];
            this.unchokes += 1;
            let round = this.rounds.advance(now);
            this.rounds.unchoked(in_round == round);
        }
    }

    /// Somebody is unchoked no longer; says how long it was, if it was.
    fn stop_serving(&mut self, now: u64, at: usize, peer: u32) -> Option<u64> {
        let this = &mut self.nodes[at];
        let round = this.rounds.advance(now);
        let mut was = None;
        self.turn(now, at, peer, |conn| {
            if conn.serving {
                conn.serving = false;
                let then = conn.unchoked_at / state::ROUND + 1 < round || conn.in_round == round;
                if then {
                    conn.in_round = round;
                }
                was = Some((now.saturating_sub(conn.unchoked_at), then));
            }
        });
        let (lasted, then) = was?;
        let this = &mut self.nodes[at];
        this.unchoked_for += lasted;
        this.rounds.choked(then);
        Some(lasted)
    }

    fn connected(&mut self, now: u64, at: usize, peer: u32, addr: SocketAddr) {
        if peer >= MOST_CONNECTIONS {
            return;
        }
        self.closed(now, at, peer);
        let other = self.addresses.get(&addr).copied().unwrap_or(NOBODY);
        let class = self.nodes.get(other as usize).map_or(NOBODY, |other| other.class);
        self.strangers |= other == NOBODY;
        let conn = Conn::new(now, other, class);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.conns[slot as usize] = conn;
                slot
            }
            None => {
                self.conns.push(conn);
                self.conns.len() as u32 - 1
            }
        };
        let slots = &mut self.nodes[at].slots;
        if slots.len() <= peer as usize {
            slots.resize(peer as usize + 1, NOBODY);
        }
        slots[peer as usize] = slot;
    }

    fn closed(&mut self, now: u64, at: usize, peer: u32) {
        let slots = &self.nodes[at].slots;
        let Some(&slot) = slots.get(peer as usize).filter(|slot| **slot != NOBODY) else { return };
        self.stop_serving(now, at, peer);
        self.settle(now, at, slot);
        self.note_interest(now, at, slot);
        self.nodes[at].slots[peer as usize] = NOBODY;
        self.free.push(slot);
    }

    fn verified(&mut self, now: u64, at: usize, piece: u32) {
        let this = &mut self.nodes[at];
        if let Some(word) = this.have.get_mut(piece as usize / 64) {
            let bit = 1 << (piece % 64);
            if *word & bit != 0 {
                return;
            }
            *word |= bit;
        }
        if this.left.is_none() {
            self.population.copies.add(piece);
        }
        this.verified += 1;
        this.first_piece.get_or_insert(now);
        if this.verified == this.few_pieces() {
            this.first_k = Some(now);
        }
        if this.verified + this.few_pieces() == this.missing_pieces {
            this.last_k = Some(now);
        }
    }

    fn complete(&mut self, now: u64, at: usize) {
        if !self.nodes[at].is_leecher() {
            return;
        }
        for slot in self.open(at) {
            self.settle(now, at, slot);
            self.note_interest(now, at, slot);
        }
        let this = &mut self.nodes[at];
        this.completed = Some(now);
        self.seeds[at] = true;
        if this.left.is_none() {
            self.population.change(now, this.class, Change::Completes, false, (this.up, this.down));
        }
        self.seed_bytes_at_first.get_or_insert(self.by_initial_seeds);
    }

    fn left(&mut self, now: u64, at: usize) {
        if self.nodes[at].left.is_some() {
            return;
        }
        // The round that is under way is not over.
        self.nodes[at].rounds.advance(now);
        for peer in 0..self.nodes[at].slots.len() as u32 {
            self.closed(now, at, peer);
        }
        let this = &mut self.nodes[at];
        this.left = Some(now);
        let is_seed = this.completed.is_some();
        self.population.change(now, this.class, Change::Leaves, is_seed, (this.up, this.down));
        for (word, bits) in self.nodes[at].have.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                self.population.copies.remove(word as u32 * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
    }

    /// Brings the sums up to date, then changes the state of a connection.
    fn turn(&mut self, now: u64, at: usize, peer: u32, change: impl FnOnce(&mut Conn)) {
        let slots = &self.nodes[at].slots;
        if let Some(&slot) = slots.get(peer as usize).filter(|slot| **slot != NOBODY) {
            self.settle(now, at, slot);
            change(&mut self.conns[slot as usize]);
        }
    }

    /// Adds what a connection did since its mark to the sums.
    fn settle(&mut self, now: u64, at: usize, slot: u32) {
        let (this, conn) = (&self.nodes[at], &mut self.conns[slot as usize]);
        let (from, lasted) = (conn.mark, now.saturating_sub(conn.mark));
        conn.mark = now;
        if conn.interested && this.is_leecher() {
            conn.interested_for += lasted;
        }
        let Some(other) = self.nodes.get(conn.other as usize) else { return };
        if conn.wanted && this.counts_as_server() {
            let pair = &mut self.pairs[this.class as usize][conn.class as usize];
            pair.interested += lasted;
            pair.served += if conn.serving { lasted } else { 0 };
        }
        if conn.serving && conn.served && this.is_leecher() && this.capacity.max(other.capacity) != NOBODY {
            // Until the other had everything: that may be earlier than now.
            let until = other.completed.unwrap_or(now).min(now);
            let lasted = until.saturating_sub(from);
            if lasted > 0 {
                *self.mutual.entry((this.capacity, other.capacity)).or_default() += lasted;
            }
        }
    }

    /// Notes which part of a connection we were interested, while we are a leecher.
    fn note_interest(&mut self, now: u64, at: usize, slot: u32) {
        let (this, conn) = (&mut self.nodes[at], &self.conns[slot as usize]);
        let lasted = now.saturating_sub(conn.since);
        if this.is_leecher() && lasted > 0 {
            this.interest.push(conn.interested_for as f64 / lasted as f64);
        }
    }

    /// The connections of a node that are open.
    fn open(&self, at: usize) -> Vec<u32> {
        self.nodes[at].slots.iter().copied().filter(|&slot| slot != NOBODY).collect()
    }
}
