//! Policies that answer anything at all, right or wrong, by chance.

use std::time::Duration;

use bt_api::rng::{below, choose};
use bt_api::{
    Advertise, BlockRef, Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerFacts, PeerKey, Pick,
    PieceEvent, PieceIndex, PiecePolicy, PieceSet, PieceView, Reason, Rng, Serve, Share, SwarmView, Unchokes,
    Waiting,
};

/// Both policies in one: what it wants next, it wants at some time that may be long past.
#[derive(Default)]
pub(crate) struct Chaos {
    next: Instant,
}

impl Chaos {
    fn plan(&mut self, now: Instant, rng: &mut dyn Rng) {
        self.next = match below(rng, 4) {
            0 => Instant::ZERO,
            1 => now,
            2 => Instant::NEVER,
            _ => now + Duration::from_millis(u64::from(below(rng, 3000))),
        };
    }
}

impl ChokePolicy for Chaos {
    fn next_round(&self) -> Instant {
        self.next
    }

    fn max_interested(&self) -> usize {
        2
    }

    fn notice(&mut self, _: Instant, _: PeerEvent<'_>, _: &SwarmView<'_>, rng: &mut dyn Rng) -> Notice {
        if below(rng, 4) == 0 { Notice::Rechoke } else { Notice::Nothing }
    }

    fn choose(
        &mut self,
        now: Instant,
        _: Cause,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        self.plan(now, rng);
        for peer in swarm.peers() {
            let share = match below(rng, 5) {
                0 => continue,
                1 => Share::Equal,
                2 => Share::Weight(below(rng, 3)),
                3 => Share::Weight(u32::MAX),
                _ => Share::Cap(u64::from(below(rng, 3)) * 100_000),
            };
            unchokes.push_with(peer.key, share, Reason::RANDOM);
        }
        if below(rng, 8) == 0 {
            unchokes.push(PeerKey(below(rng, 50)), Reason::RANDOM);
        }
    }

    fn serve(&mut self, _: Instant, waiting: &Waiting<'_>, _: &SwarmView<'_>, rng: &mut dyn Rng) -> Serve {
        let waiting: Vec<_> = waiting.iter().collect();
        let Some(queue) = choose(rng, &waiting) else { return Serve::Nobody };
        match below(rng, 6) {
            0 => Serve::Nobody,
            1 => Serve::Peer(PeerKey(below(rng, 50))),
            2 => Serve::Peer(queue.peer),
            3 => Serve::Block(queue.peer, anything(rng, 5)),
            4 => Serve::Block(queue.peer, queue.requests[queue.requests.len() - 1]),
            _ => Serve::ByShare,
        }
    }
}

/// Some block, hardly ever one that exists.
fn anything(rng: &mut dyn Rng, pieces: u32) -> BlockRef {
    let piece = PieceIndex(below(rng, pieces + 2));
    BlockRef {
        piece,
        begin: below(rng, 3) * (16 << 10),
        length: [1, 16 << 10, u32::MAX][below(rng, 3) as usize],
    }
}

impl PiecePolicy for Chaos {
    fn pick(&mut self, _: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        let pieces = view.pieces().count();
        let open: Vec<PieceIndex> = view.pieces().open().iter().filter(|&it| view.offers(peer, it)).collect();
        match below(rng, 8) {
            0 => Pick::Nothing,
            1 => Pick::Piece(PieceIndex(below(rng, pieces + 2))),
            2 => Pick::Block(anything(rng, pieces)),
            3 | 4 => {
                let missing: Vec<BlockRef> = view.missing_blocks_of(peer).collect();
                choose(rng, &missing).map_or(Pick::Nothing, |&block| Pick::Block(block))
            }
            _ => choose(rng, &open).map_or(Pick::Nothing, |&piece| Pick::Piece(piece)),
        }
    }

    fn notice(&mut self, now: Instant, _: PieceEvent, _: &PieceView<'_>, rng: &mut dyn Rng) {
        self.plan(now, rng);
    }

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        // It has no chance of its own here: let the state of things decide, back and forth.
        view.pieces().started().len() % 2 == 1 && view.pieces().left() > 0
    }

    fn next_wakeup(&self) -> Option<Instant> {
        Some(self.next)
    }

    fn advertise(&mut self, now: Instant, _: PeerKey, view: &PieceView<'_>, rng: &mut dyn Rng) -> Advertise {
        self.plan(now, rng);
        let pieces = view.pieces().count();
        match below(rng, 24) {
            0 => Advertise::Close,
            1 => Advertise::Only(PieceSet::full(pieces + 1)),
            2 => Advertise::Only(PieceSet::full(pieces)),
            3 => Advertise::Only(PieceSet::new(pieces)),
            4 => {
                let mut some = PieceSet::new(pieces);
                some.insert(PieceIndex(below(rng, pieces)));
                Advertise::Only(some)
            }
            _ => Advertise::All,
        }
    }
}
