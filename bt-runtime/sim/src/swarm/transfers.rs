//! Blocks on their way: what is left of each, and when its last byte leaves.

use std::collections::VecDeque;

use bt_api::{BlockRef, Instant, PeerKey, Share};
use bt_engine::{Input, Tag};

use super::Swarm;
use super::node::Sending;
use super::wires::Mail;
use crate::sharing::FlowId;

/// A block that is being sent.
#[derive(Clone, Copy, Default)]
pub(super) struct Transfer {
    node: u32,
    peer: u32,
    weight: u32,
    cap: Option<u64>,
    /// Bytes that had not left at `since`.
    left: f64,
    /// Bytes per second.
    rate: f64,
    since: Instant,
}

/// What an equal share weighs: other weights are in proportion, and one of nothing is small beside it.
const EQUAL: u32 = 1 << 8;

impl Swarm<'_> {
    /// `node` hands out a block.
    pub(super) fn upload(&mut self, node: u32, peer: PeerKey, block: BlockRef) {
        let Some(connection) = self.nodes[node as usize].open(peer) else { return };
        match &mut connection.sending {
            Some(sending) if sending.block.is_some() => sending.queue.push_back(block),
            _ => self.begin(node, peer, block),
        }
    }

    fn begin(&mut self, node: u32, peer: PeerKey, block: BlockRef) {
        let share =
            self.nodes[node as usize].engine.as_ref().map_or(Share::Equal, |engine| engine.share(peer));
        let (weight, cap) = match share {
            Share::Equal => (EQUAL, None),
            Share::Weight(weight) => (weight.saturating_mul(EQUAL).max(1), None),
            Share::Cap(rate) => (EQUAL, Some(rate.max(1))),
        };
        let up = self.nodes[node as usize].up;
        self.checks.began(node, block);
        let Some(connection) = self.nodes[node as usize].open(peer) else { return };
        let left = f64::from(block.length);
        if let Some(sending) = &mut connection.sending {
            sending.block = Some(block);
            let flow = sending.flow;
            // The transfer goes on with the next block, at the rate that it has.
            let transfer = &mut self.transfers[flow.index()];
            (transfer.left, transfer.since) = (left, self.now);
            if (transfer.weight, transfer.cap) != (weight, cap) {
                (transfer.weight, transfer.cap) = (weight, cap);
                self.sharing.change(flow, weight, cap);
                self.shares_changed = true;
            }
            return self.schedule(flow);
        }
        let other = connection.other;
        let down = self.nodes[other as usize].down;
        let flow = self.sharing.start(up, down, weight, cap);
        if self.transfers.len() <= flow.index() {
            self.transfers.resize(flow.index() + 1, Transfer::default());
        }
        self.transfers[flow.index()] =
            Transfer { node, peer: peer.0, weight, cap, left, rate: 0.0, since: self.now };
        let sending = Sending { flow, block: Some(block), queue: VecDeque::new(), held: Vec::new() };
        self.nodes[node as usize].connect(peer).sending = Some(Box::new(sending));
        self.shares_changed = true;
    }

    /// Puts the end of the block down at the present rate.
    fn schedule(&mut self, flow: FlowId) {
        let transfer = &self.transfers[flow.index()];
        let nanos = (transfer.left / transfer.rate * 1e9).ceil();
        // A float that is too large for it becomes the largest integer: a moment that never comes.
        let at = Instant::from_nanos(transfer.since.as_nanos().saturating_add(nanos as u64));
        self.agenda.put_transfer(at, transfer.node, flow.index() as u32);
    }

    /// Works out the shares anew, and with them when transfers end.
    pub(super) fn share_anew(&mut self) {
        self.shares_changed = false;
        let mut changed = std::mem::take(&mut self.changed);
        changed.clear();
        changed.extend_from_slice(self.sharing.settle());
        for &flow in &changed {
            let transfer = &mut self.transfers[flow.index()];
            let passed = (self.now - transfer.since).as_nanos() as f64 / 1e9;
            transfer.left = (transfer.left - transfer.rate * passed).max(0.0);
            (transfer.since, transfer.rate) = (self.now, self.sharing.rate(flow));
            self.schedule(flow);
        }
        self.changed = changed;
    }

    /// The last byte of the block on `flow` has left.
    pub(super) fn transferred(&mut self, flow: u32) {
        let Transfer { node, peer, .. } = self.transfers[flow as usize];
        let peer = PeerKey(peer);
        let Some(connection) = self.nodes[node as usize].open(peer) else { return };
        let (other, Some(there), Some(sending)) =
            (connection.other, connection.there, &mut connection.sending)
        else {
            return;
        };
        let Some(block) = sending.block.take() else { return };
        let next = sending.queue.pop_front();
        let mut held = std::mem::take(&mut sending.held);
        self.checks.sent(node, block.length);
        let piece = self.name_there(node, peer, block.piece);
        self.post(node, 1, Mail::Block { to: other, peer: there, block: BlockRef { piece, ..block } });
        for message in held.drain(..) {
            self.pass_on(node, peer, message);
        }
        if let Some(next) = next {
            self.begin(node, peer, next);
        }
        self.feed(node, Input::Uploaded { peer, block, result: Ok(()) });
        if let Some(connection) = self.nodes[node as usize].open(peer)
            && connection.sending.as_ref().is_some_and(|sending| sending.block.is_none())
        {
            self.abort(node, peer);
        }
    }

    /// Ends the transfer of a connection, whatever is left of it.
    pub(super) fn abort(&mut self, node: u32, peer: PeerKey) {
        if let Some(sending) = self.nodes[node as usize].connect(peer).sending.take() {
            self.sharing.stop(sending.flow);
            self.agenda.clear_transfer(sending.flow.index() as u32);
            self.shares_changed = true;
        }
    }

    /// The end of a block arrives.
    pub(super) fn arrived(&mut self, to: u32, peer: PeerKey, block: BlockRef) {
        if self.nodes[to as usize].open(peer).is_none() {
            return self.checks.lost(block.length);
        }
        self.checks.received(to, block.length);
        self.next_tag += 1;
        let tag = self.next_tag;
        if let Some(stores) = self.stores() {
            stores.land(to, peer, block, tag);
        }
        self.feed(to, Input::Block { peer, block, tag: Tag(tag) });
    }
}
