//! Who gets the next block: requests of peers, shares, weights, caps, and the limit on upload.
//!
//! A request waits in its peer's queue, where it can be cancelled, until the uplink has room and the peer's
//! socket takes a block; then it is handed to the driver. The choke policy may choose who is next; else the
//! shares of its last round do.
//!
//! Rates of uploads count a block when it is handed out, as the original counts one when it writes it to a socket that
//! is drained (UP-5, CN-13): the limit must know of a block before the next is handed out, and what a driver still
//! holds is bounded by `in-flight`. Totals, and what policies see as sent, count it when the socket has taken it.
//!
//! The `unit` limiter of 3.9.1 and 4.0 sends parts of blocks in turns (CN-18). Blocks are handed out whole here, so
//! the turns decide when: the rate, the turns and the time at which each block is complete at its receiver are
//! those of the original. What differs: the bytes of a block leave together, at its last unit's time and not
//! spread over its units' times; and a block that is partly paid for can still be cancelled, or be forgotten by a
//! choke, which the original held back until the block was out (UP-10).

use std::time::Duration;

use bt_api::{
    BlockRef, Instant, PeerEvent, PeerKey, Serve, Share, StorageError, StorageErrorKind, SwarmView, Waiting,
};

use super::Engine;
use crate::event::{Dir, Event};
use crate::io::{CloseReason, Output};
use crate::rate::{Meter, WindowRate};
use crate::settings::{Limiter, Settings, UninterestedRequest};

/// The limit on upload, and what is sent altogether.
pub(super) struct Uplink {
    limiter: Limiter,
    limit: Option<u64>,
    meter: Meter,
    /// What the `suspend` limiter compares with the limit: the original's own measure (CN-13).
    window: WindowRate,
    /// Nothing is sent before this.
    closed_until: Instant,
    /// Whether somebody waits for that.
    held: bool,
    /// When a peer with a cap may have its next block, of those that wait.
    next_allowed: Instant,
    /// Whether nobody waited when blocks were last handed out.
    idle: bool,
}

/// Credit that the `bucket` limiter lets build up while nothing is sent.
const BURST: Duration = Duration::from_millis(100);

/// What one block costs a peer of weight 1: a block's length times this, over its weight.
const COST_SCALE: u64 = 1 << 16;

impl Uplink {
    pub(super) fn new(settings: &Settings, limit: Option<u64>, now: Instant) -> Self {
        let rate = &settings.rate;
        let (period, fudge) = (rate.period.get().as_secs_f64(), rate.upload_fudge.get().as_secs_f64());
        Self {
            limiter: settings.upload.limiter,
            limit,
            meter: Meter::new(rate, now, rate.upload_fudge.get()),
            window: WindowRate::new(now.as_secs_f64(), period, fudge),
            closed_until: Instant::ZERO,
            held: false,
            next_allowed: Instant::NEVER,
            idle: true,
        }
    }

    pub(super) fn start(&mut self, now: Instant, settings: &Settings) {
        *self = Self::new(settings, self.limit, now);
    }

    pub(super) fn rate(&self, now: Instant) -> u64 {
        self.meter.current(now) as u64
    }

    /// The rate for policies, at a choke round.
    pub(super) fn round(&mut self, now: Instant) -> u64 {
        self.meter.round(now)
    }

    /// When sending may go on, while it may not.
    pub(super) fn resumes(&self) -> Instant {
        if self.held { self.closed_until.min(self.next_allowed) } else { self.next_allowed }
    }

    /// Counts a block that is handed to the driver, and closes the uplink where it is over its limit.
    fn spend(&mut self, now: Instant, length: u64) {
        self.meter.count(now, length);
        self.window.update(now.as_secs_f64(), length);
        let Some(limit) = self.limit else { return };
        match self.limiter {
            // CN-13.
            Limiter::Suspend if self.window.rate() > limit as f64 => {
                let pause = self.window.time_until(now.as_secs_f64(), limit as f64);
                let pause = Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX);
                self.closed_until = now + pause.max(Duration::from_nanos(1));
            }
            Limiter::Bucket => {
                let credit_from = Instant::from_nanos(now.as_nanos().saturating_sub(BURST.as_nanos() as u64));
                self.closed_until = self.closed_until.max(credit_from) + time_of(length, limit);
            }
            // A block was paid for in units.
            Limiter::Suspend | Limiter::Unit => {}
        }
    }

    /// Closes the uplink for as long as a unit takes. What it was late by is made up for, but time in which nobody
    /// waited is lost (CN-18).
    fn pay_unit(&mut self, now: Instant, length: u64) {
        let Some(limit) = self.limit else { return };
        if std::mem::take(&mut self.idle) {
            self.closed_until = self.closed_until.max(now);
        }
        self.closed_until += time_of(length, limit);
    }
}

/// How long `length` bytes take at `rate` bytes per second.
fn time_of(length: u64, rate: u64) -> Duration {
    let nanos = u128::from(length) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Engine {
    pub(super) fn set_upload_limit(&mut self, limit: Option<u64>) {
        if limit == self.uplink.limit {
            return;
        }
        // Whatever was held back is looked at again at once (CN-17); of a debt, at the new rate.
        self.uplink.closed_until = match (self.uplink.limiter, self.uplink.limit, limit) {
            (Limiter::Bucket | Limiter::Unit, Some(old), Some(new)) => {
                let debt = self.uplink.closed_until.since(self.now).as_nanos() * u128::from(old)
                    / u128::from(new.max(1));
                self.now + Duration::from_nanos(u64::try_from(debt).unwrap_or(u64::MAX))
            }
            _ => Instant::ZERO,
        };
        self.uplink.limit = limit;
        self.own.upload_limit = limit;
    }

    /// A request came (UP-4).
    pub(super) fn asked(&mut self, at: usize, block: BlockRef) {
        let settings = &self.settings.upload;
        if !self.facts[at].peer_interested {
            return match settings.uninterested_request {
                UninterestedRequest::Close => self.close(at, CloseReason::UninterestedRequest),
                UninterestedRequest::Ignore => self.reject(at, block),
            };
        }
        if block.length == 0 || u64::from(block.length) > settings.max_request_length.0 {
            return self.close(at, CloseReason::BadRequest);
        }
        let hidden = self.connections[at].shown.as_ref().is_some_and(|shown| !shown.contains(block.piece));
        if hidden {
            return self.close(at, CloseReason::BadRequest);
        }
        if self.facts[at].am_choking || self.queues[at].requests.len() >= settings.max_queue as usize {
            return self.reject(at, block);
        }
        if self.queues[at].requests.is_empty() && self.connections[at].in_flight == 0 {
            // Who asked for nothing for a while has saved nothing up.
            self.level(at);
        }
        self.queues[at].requests.push_back(block);
        self.look_at_queue(at);
        self.facts[at].queued += 1;
        let peer = self.facts[at].key;
        self.event(|_| Event::Request {
            peer: peer.0,
            dir: Dir::From,
            piece: block.piece.0,
            begin: block.begin,
            length: block.length,
        });
        self.notice_choke(PeerEvent::Requested(peer));
    }

    /// UP-7.
    pub(super) fn cancelled(&mut self, at: usize, block: BlockRef) {
        let queue = &mut self.queues[at].requests;
        let Some(place) = queue.iter().position(|waiting| *waiting == block) else { return };
        queue.remove(place);
        self.look_at_queue(at);
        self.facts[at].queued -= 1;
        let peer = self.facts[at].key.0;
        self.event(|_| Event::Cancel {
            peer,
            dir: Dir::From,
            piece: block.piece.0,
            begin: block.begin,
            length: block.length,
        });
        self.reject(at, block);
    }

    pub(super) fn clear_queue(&mut self, at: usize) {
        let forgotten = std::mem::take(&mut self.queues[at].requests);
        self.look_at_queue(at);
        forgotten.into_iter().for_each(|block| self.reject(at, block));
        self.connections[at].paid = 0;
        self.facts[at].queued = 0;
    }

    /// A peer that begins to wait is level with those that wait already.
    fn level(&mut self, at: usize) {
        let waiting =
            self.queues.iter().zip(&self.connections).filter(|(queue, _)| !queue.requests.is_empty());
        if let Some(level) = waiting.map(|(_, connection)| connection.served).min() {
            self.connections[at].served = self.connections[at].served.max(level);
        }
    }

    /// Serves the peer with `share` from now on; what an earlier cap held back is free.
    pub(super) fn set_share(&mut self, at: usize, share: Share) {
        if self.connections[at].share != share {
            self.connections[at].share = share;
            self.connections[at].next_allowed = self.now;
            self.look_at_readiness(at);
        }
    }

    /// Hands out blocks while the uplink has room and somebody waits.
    pub(super) fn serve(&mut self) {
        self.look_at_caps();
        while !self.due.waiting.is_empty() && self.uplink.closed_until <= self.now {
            let waiting = Waiting::new(&self.queues);
            let swarm = SwarmView::new(&self.own, &self.facts);
            let now = self.now;
            let serve =
                self.choke.call(Serve::Nobody, |policy, rng| policy.serve(now, &waiting, &swarm, rng));
            let (chosen, wrong) = match serve {
                Serve::Nobody => break,
                Serve::ByShare => (None, None),
                Serve::Peer(peer) => (self.waiting_at(peer).map(|at| (at, 0)), Some("peer")),
                Serve::Block(peer, block) => {
                    let chosen = self.waiting_at(peer).and_then(|at| {
                        let place = self.queues[at].requests.iter().position(|waiting| *waiting == block);
                        place.map(|place| (at, place))
                    });
                    (chosen, Some("block"))
                }
            };
            if let (None, Some(wrong)) = (chosen, wrong) {
                self.choke_violation(format!("served a {wrong} that does not wait"));
            }
            let Some((at, place)) = chosen.or_else(|| self.next_by_share().map(|at| (at, 0))) else { break };
            if self.is_paid(at, place) {
                self.hand_out(at, place);
            }
        }
        let closed = self.uplink.closed_until > self.now;
        self.uplink.idle |= self.due.waiting.is_empty() && !closed;
        self.uplink.held = !self.due.waiting.is_empty() && closed;
    }

    fn waiting_at(&self, peer: PeerKey) -> Option<usize> {
        let at = self.at(peer)?;
        (self.queues[at].ready && !self.queues[at].requests.is_empty()).then_some(at)
    }

    /// Of those that wait: with the `suspend` limiter the one with the lowest upload rate (CN-15); else the one that
    /// was served least for its weight. Weight 0 comes last. Who waits is unchoked, since a choke clears the queue, and
    /// has a drained socket.
    fn next_by_share(&self) -> Option<usize> {
        let waiting = self.due.waiting.iter();
        match self.uplink.limiter {
            Limiter::Suspend if self.uplink.limit.is_some() => {
                let rate = |at: usize| self.connections[at].up.current(self.now);
                waiting.min_by(|&a, &b| rate(a).total_cmp(&rate(b)))
            }
            _ => waiting.min_by_key(|&at| {
                let connection = &self.connections[at];
                (connection.share == Share::Weight(0), connection.served, self.facts[at].key)
            }),
        }
    }

    /// Whether the block at `place` in the peer's queue may go out. With the `unit` limiter the peer pays for one more
    /// unit of it first, and it goes out when the last one is paid: as a whole, at the time when its last unit
    /// would have gone out by itself. What a peer paid for a block that it cancels counts for its next one.
    fn is_paid(&mut self, at: usize, place: usize) -> bool {
        let block = self.queues[at].requests[place];
        if self.uplink.limiter != Limiter::Unit || self.uplink.limit.is_none() || !self.is_there(block) {
            return true;
        }
        let owed = block.length.saturating_sub(self.connections[at].paid);
        let unit = owed.min(u32::try_from(self.settings.upload.unit_size.0).unwrap_or(u32::MAX));
        self.uplink.pay_unit(self.now, u64::from(unit));
        self.charge(at, u64::from(unit));
        let paid = unit == owed;
        let connection = &mut self.connections[at];
        connection.paid = if paid { 0 } else { connection.paid + unit };
        paid
    }

    /// Whether we have what `block` names.
    fn is_there(&self, block: BlockRef) -> bool {
        self.is_inside(block) && self.pieces.have().contains(block.piece)
    }

    fn is_inside(&self, block: BlockRef) -> bool {
        let end = block.begin.checked_add(block.length);
        end.is_some_and(|end| end <= self.pieces.piece_length(block.piece))
    }

    /// Counts what a peer is served against its share.
    fn charge(&mut self, at: usize, length: u64) {
        let (now, connection) = (self.now, &mut self.connections[at]);
        let weight = match connection.share {
            Share::Weight(weight) => u64::from(weight.max(1)),
            Share::Equal => 1,
            Share::Cap(rate) => {
                connection.next_allowed = connection.next_allowed.max(now) + time_of(length, rate);
                1
            }
        };
        connection.served = connection.served.saturating_add(length * COST_SCALE / weight);
        self.look_at_readiness(at);
    }

    /// Gives the block at `place` in its queue to the driver, or closes a peer that asked for what is not there (UP-5).
    fn hand_out(&mut self, at: usize, place: usize) {
        let Some(block) = self.queues[at].requests.remove(place) else { return };
        self.look_at_queue(at);
        self.facts[at].queued -= 1;
        if !self.is_there(block) {
            // A piece that we showed and lost is no fault of the peer.
            let ours = self.is_inside(block) && self.trouble.lost;
            return self.close(at, if ours { CloseReason::Store } else { CloseReason::BadRequest });
        }
        let length = u64::from(block.length);
        self.uplink.spend(self.now, length);
        let (now, connection) = (self.now, &mut self.connections[at]);
        connection.in_flight += 1;
        connection.up.count(now, length);
        if self.uplink.limiter == Limiter::Unit && self.uplink.limit.is_some() {
            self.look_at_readiness(at);
        } else {
            self.charge(at, length);
        }
        self.facts[at].unsent += length;
        self.outputs.push_back(Output::Upload { peer: self.facts[at].key, block });
    }

    fn look_at_readiness(&mut self, at: usize) {
        let connection = &self.connections[at];
        let capped = connection.next_allowed > self.now && matches!(connection.share, Share::Cap(_));
        if capped {
            self.uplink.next_allowed = self.uplink.next_allowed.min(connection.next_allowed);
        }
        let ready = !capped && connection.in_flight < self.settings.upload.in_flight;
        self.queues[at].ready = ready;
        self.look_at_queue(at);
    }

    /// Keeps note of who waits: whoever has requests, and a socket that takes a block.
    fn look_at_queue(&mut self, at: usize) {
        let queue = &self.queues[at];
        self.due.waiting.put(at, queue.ready && !queue.requests.is_empty());
    }

    /// Lets go of peers whose cap held them back until now.
    fn look_at_caps(&mut self) {
        if self.uplink.next_allowed <= self.now {
            self.uplink.next_allowed = Instant::NEVER;
            (0..self.queues.len()).for_each(|at| self.look_at_readiness(at));
        }
    }

    /// The socket has taken a block (CN-3), or the store could not give it.
    pub(super) fn uploaded(&mut self, peer: PeerKey, block: BlockRef, result: Result<(), StorageError>) {
        if let Err(error) = &result {
            match error.kind() {
                StorageErrorKind::Missing | StorageErrorKind::Corrupt => self.lost(block.piece, error),
                _ => self.store_failed(None, error),
            }
        }
        let Some(at) = self.at(peer) else { return };
        let length = u64::from(block.length);
        let connection = &mut self.connections[at];
        connection.in_flight = connection.in_flight.saturating_sub(1);
        self.facts[at].unsent = self.facts[at].unsent.saturating_sub(length);
        if result.is_err() {
            if self.connections[at].fast {
                self.look_at_readiness(at);
                return self.reject(at, block);
            }
            // There is no way to say "not now" without the fast extension.
            return self.close(at, CloseReason::Store);
        }
        self.trouble.read_works();
        let facts = &mut self.facts[at];
        facts.uploaded += length;
        facts.uploaded_in_round += length;
        facts.last_sent = Some(self.now);
        self.own.uploaded += length;
        self.look_at_readiness(at);
        self.event(|_| Event::Block {
            peer: peer.0,
            dir: Dir::To,
            piece: block.piece.0,
            begin: block.begin,
            length: block.length,
        });
        self.notice_choke(PeerEvent::Sent(peer, block.length));
    }
}
