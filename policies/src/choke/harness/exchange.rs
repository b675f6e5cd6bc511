//! Blocks in both directions around a [`Client`], for tests of chokers that decide block by block: requests wait,
//! sockets take a block at a time, and every answer of `serve` is held against what the trait promises.

use std::collections::VecDeque;

use bt_api::{
    BlockRef, ChokePolicy, Instant, PeerEvent, PeerKey, PieceIndex, RequestQueue, Serve, SwarmView, Waiting,
};
use proptest::prelude::*;

use bt_api::testkit::choke;

use super::{Client, Op};

/// The length of a block, where no other is said.
pub(crate) const BLOCK: u32 = 16 << 10;

/// A client with an uplink.
pub(crate) struct Exchange<P> {
    pub(crate) client: Client<P>,
    queues: Vec<RequestQueue>,
    /// The length of the blocks that are asked for.
    pub(crate) length: u32,
    /// Who was given each block so far, by letter.
    pub(crate) served: String,
    /// What `serve` answered, but for `Nobody`.
    pub(crate) answers: Vec<Serve>,
}

impl<P: ChokePolicy> Exchange<P> {
    pub(crate) fn new(policy: P, seed: u64) -> Self {
        let client = Client::new(policy, seed);
        Self { client, queues: Vec::new(), length: BLOCK, served: String::new(), answers: Vec::new() }
    }

    /// Connects `peer`, which is interested at once.
    pub(crate) fn join(&mut self, peer: char) {
        self.client.connect(peer);
        self.client.interest(peer, true);
    }

    /// A block of `bytes` comes from `peer`.
    pub(crate) fn receive(&mut self, peer: char, bytes: u32) {
        let facts = self.client.peer(peer);
        facts.downloaded += u64::from(bytes);
        facts.downloaded_in_round += u64::from(bytes);
        self.client.own.downloaded += u64::from(bytes);
        self.client.event(PeerEvent::Received(PeerKey(u32::from(peer)), bytes));
        self.settle(&mut |_, _, _, _| ());
    }

    /// `peer` asks for so many blocks, if it may.
    pub(crate) fn ask(&mut self, peer: char, blocks: usize) {
        self.ask_checked(peer, blocks, &mut |_, _, _, _| ());
    }

    /// A socket takes the block that is on its way to it, of the peers that have one the first by key.
    pub(crate) fn take_any(&mut self) {
        if let Some(key) = self.client.peers.iter().find(|peer| peer.unsent > 0).map(|peer| peer.key) {
            self.take_checked(key, &mut |_, _, _, _| ());
        }
    }

    fn ask_checked(&mut self, peer: char, blocks: usize, check: &mut Check<'_, P>) {
        let key = PeerKey(u32::from(peer));
        if self.client.peer(peer).am_choking {
            return;
        }
        let place = self.queues.partition_point(|queue| queue.peer < key);
        if self.queues.get(place).is_none_or(|queue| queue.peer != key) {
            self.queues.insert(place, RequestQueue { peer: key, ready: true, requests: VecDeque::new() });
        }
        for _ in 0..blocks {
            let block = BlockRef { piece: PieceIndex(0), begin: 0, length: self.length };
            self.queues[place].requests.push_back(block);
            self.client.peer(peer).queued += 1;
            self.client.event(PeerEvent::Requested(key));
        }
        self.settle(check);
    }

    fn take_checked(&mut self, key: PeerKey, check: &mut Check<'_, P>) {
        let Some(peer) = self.client.peers.iter_mut().find(|peer| peer.key == key) else { return };
        let bytes = std::mem::take(&mut peer.unsent);
        peer.uploaded += bytes;
        self.client.own.uploaded += bytes;
        if let Some(queue) = self.queues.iter_mut().find(|queue| queue.peer == key) {
            queue.ready = true;
        }
        if bytes > 0 {
            self.client.event(PeerEvent::Sent(key, bytes as u32));
        }
        self.settle(check);
    }

    /// Hands out blocks while somebody waits and the policy says who is next.
    fn settle(&mut self, check: &mut Check<'_, P>) {
        let served = |key| self.client.peers.iter().any(|peer| peer.key == key && !peer.am_choking);
        self.queues.retain(|queue| served(queue.peer));
        loop {
            let choke::Client { policy, own, peers, now, rng, .. } = &mut *self.client;
            let (waiting, swarm) = (Waiting::new(&self.queues), SwarmView::new(own, peers));
            let Some(first) = waiting.iter().next() else { break };
            let answer = policy.serve(*now, &waiting, &swarm, rng);
            check(policy, &waiting, &swarm, answer);
            let next = match answer {
                Serve::Nobody => break,
                Serve::ByShare => first.peer,
                Serve::Peer(peer) | Serve::Block(peer, _) => peer,
            };
            self.answers.push(answer);
            let queue = self.queues.iter_mut().find(|queue| queue.peer == next);
            let queue = queue.filter(|queue| queue.ready).expect("only peers that wait are served");
            let block = queue.requests.pop_front().expect("only peers that wait are served");
            queue.ready = false;
            let letter = char::from_u32(next.0).expect("a letter");
            let facts = self.client.peer(letter);
            facts.queued -= 1;
            facts.unsent += u64::from(block.length);
            self.served.push(letter);
        }
    }
}

/// Sees every answer of `serve`, before it is carried out.
type Check<'a, P> = dyn FnMut(&P, &Waiting<'_>, &SwarmView<'_>, Serve) + 'a;

/// Random histories of blocks.
pub(crate) fn history() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec((0_u8..16, prop::char::range('a', 'g'), 0_u64..6), 0..250)
}

/// Plays `history` to `policy`; `check` sees every answer of its `serve`.
pub(crate) fn play<P: ChokePolicy>(
    policy: P,
    seed: u64,
    history: &[Op],
    check: impl FnMut(&P, &Waiting<'_>, &SwarmView<'_>, Serve),
) -> Exchange<P> {
    play_lengths(policy, seed, &[BLOCK], history, check)
}

/// As [`play`]; the blocks that are asked for have these `lengths`.
pub(crate) fn play_lengths<P: ChokePolicy>(
    policy: P,
    seed: u64,
    lengths: &[u32],
    history: &[Op],
    mut check: impl FnMut(&P, &Waiting<'_>, &SwarmView<'_>, Serve),
) -> Exchange<P> {
    let mut exchange = Exchange::new(policy, seed);
    for &(op, peer, number) in history {
        let key = PeerKey(u32::from(peer));
        let here = exchange.client.peers.iter().any(|one| one.key == key);
        match op {
            _ if !here => exchange.join(peer),
            0 if number == 0 => exchange.client.leave(peer),
            1 => {
                let interested = exchange.client.peer(peer).peer_interested;
                exchange.client.interest(peer, !interested);
            }
            2 if number == 0 => {
                exchange.client.peer(peer).pieces.insert(PieceIndex(0));
            }
            3 if number == 0 => {
                exchange.client.own.is_seed = true;
                exchange.client.event(PeerEvent::Completed);
            }
            4 if exchange.client.policy.next_round() != Instant::NEVER => exchange.client.tick(),
            5..=7 => exchange.receive(peer, BLOCK),
            8..=11 => {
                exchange.length = lengths[(usize::from(op) + number as usize) % lengths.len()];
                exchange.ask_checked(peer, number as usize, &mut check);
            }
            _ => exchange.take_checked(key, &mut check),
        }
        exchange.settle(&mut check);
    }
    exchange
}
