//! Choke policies: rounds, reasons, shares, caps, the choice of each block, free riders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bt_api::config::{Limit, Rate};
use bt_api::{
    BlockRef, Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerKey, PieceSet, Reason, Rng, Serve, Share,
    SwarmView, Unchokes, Waiting,
};
use bt_engine::settings::Limiter;
use bt_engine::{Event, Input};

use crate::common::everyone::Everyone;
use crate::common::{BLOCK, Network, Node};

const HOUR: Instant = Instant::from_secs(3600);

type NoticeFn = dyn FnMut(Instant, PeerEvent<'_>, &SwarmView<'_>) -> Notice + Send;
type ChooseFn = dyn FnMut(Instant, Cause, &SwarmView<'_>, &mut Unchokes) + Send;
type ServeFn = dyn FnMut(&Waiting<'_>, &SwarmView<'_>) -> Serve + Send;

/// A choke policy of three closures: what it wants after an event, whom it serves, who gets the next block.
struct Made {
    every: Duration,
    next: Instant,
    notice: Box<NoticeFn>,
    choose: Box<ChooseFn>,
    serve: Box<ServeFn>,
}

impl Made {
    /// Serves everyone equally from the moment they connect, in rounds of ten seconds.
    fn new() -> Self {
        Self {
            every: Duration::from_secs(10),
            next: Instant::ZERO,
            notice: Box::new(|_, event, _| {
                if matches!(event, PeerEvent::Connected(_)) { Notice::Rechoke } else { Notice::Nothing }
            }),
            choose: Box::new(|_, _, swarm, unchokes| {
                swarm.peers().iter().for_each(|peer| unchokes.push(peer.key, Reason::EVERYONE));
            }),
            serve: Box::new(|_, _| Serve::ByShare),
        }
    }

    /// Gives each peer the share that `share` says for its place among the connections.
    fn sharing(share: fn(usize) -> Share) -> Self {
        let mut made = Self::new();
        made.choose = Box::new(move |_, _, swarm, unchokes| {
            for (place, peer) in swarm.peers().iter().enumerate() {
                unchokes.push_with(peer.key, share(place), Reason("test:share"));
            }
        });
        made
    }
}

impl ChokePolicy for Made {
    fn next_round(&self) -> Instant {
        self.next
    }

    fn max_interested(&self) -> usize {
        usize::MAX
    }

    fn notice(
        &mut self,
        now: Instant,
        event: PeerEvent<'_>,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
    ) -> Notice {
        (self.notice)(now, event, swarm)
    }

    fn choose(
        &mut self,
        now: Instant,
        cause: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        if cause == Cause::Timer {
            self.next = now + self.every;
        }
        (self.choose)(now, cause, swarm, unchokes);
    }

    fn serve(&mut self, _: Instant, waiting: &Waiting<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        (self.serve)(waiting, swarm)
    }
}

/// A seed with `choke` and a limit on upload, and leechers that give nothing to each other.
fn one_seed(pieces: u32, choke: Made, limit: u64, leechers: usize) -> Network {
    let mut seed = Node { choke: Box::new(choke), up: 1 << 30, ..Node::new(PieceSet::full(pieces)) };
    seed.settings.upload.limiter = Limiter::Bucket;
    seed.settings.net.upload_limit = Limit::At(Rate(limit));
    let mut nodes = vec![seed];
    nodes.extend((0..leechers).map(|_| free_rider(pieces)));
    let mut network = Network::new(pieces, 4, 1, true, nodes);
    network.start();
    network
}

/// Somebody who serves nobody.
fn free_rider(pieces: u32) -> Node {
    let mut nobody = Made::new();
    nobody.choose = Box::new(|_, _, _, _| {});
    Node { choke: Box::new(nobody), ..Node::new(PieceSet::new(pieces)) }
}

/// What the seed has sent to each of its peers, in order of their keys.
fn sent(network: &Network) -> Vec<u64> {
    network.nodes[0].engine.swarm().peers().iter().map(|peer| peer.uploaded).collect()
}

type Log<T> = Arc<Mutex<Vec<T>>>;

fn taken<T>(log: &Log<T>) -> Vec<T> {
    std::mem::take(&mut log.lock().unwrap())
}

#[test]
fn rounds_come_at_the_interval_of_the_policy() {
    let rounds: Log<(Instant, Cause)> = Arc::default();
    let log = rounds.clone();
    let mut choke = Made::new();
    choke.every = Duration::from_millis(2_500);
    choke.choose = Box::new(move |now, cause, _, _| log.lock().unwrap().push((now, cause)));
    let mut network = one_seed(4, choke, 1 << 20, 0);
    network.run(Instant::from_secs(10), |_| false);
    let expected: Vec<_> = (0..=4).map(|round| (Instant::from_millis(round * 2_500), Cause::Timer)).collect();
    assert_eq!(taken(&rounds), expected);
}

/// A round at once on each kind of event, told apart from those of the clock; of a peer that is gone the policy
/// sees the last state.
#[test]
fn a_round_at_once_on_every_kind_of_event() {
    let kinds = ["connected", "interested", "gone", "snubbed", "completed"];
    for wanted in kinds {
        let rounds: Log<(Instant, Cause)> = Arc::default();
        let seen: Log<(Instant, u64)> = Arc::default();
        let (log, events) = (rounds.clone(), seen.clone());
        let mut choke = Made::new();
        choke.every = Duration::from_secs(100_000);
        choke.notice = Box::new(move |now, event, _| {
            let (kind, figure) = match event {
                PeerEvent::Connected(_) => ("connected", 0),
                PeerEvent::Interested(_) | PeerEvent::NotInterested(_) => ("interested", 0),
                PeerEvent::Gone(last) => ("gone", last.downloaded),
                PeerEvent::Snubbed(_) => ("snubbed", 0),
                PeerEvent::Completed => ("completed", 0),
                _ => return Notice::Nothing,
            };
            if kind != wanted {
                return Notice::Nothing;
            }
            events.lock().unwrap().push((now, figure));
            Notice::Rechoke
        });
        choke.choose = Box::new(move |now, cause, swarm, unchokes| {
            log.lock().unwrap().push((now, cause));
            swarm.peers().iter().for_each(|peer| unchokes.push(peer.key, Reason::EVERYONE));
        });
        // It completes with two others, hears nothing more of them, and then they leave.
        let watcher = Node { choke: Box::new(choke), ..Node::new(PieceSet::new(8)) };
        let others = [PieceSet::full(8), PieceSet::new(8)];
        let others = others.map(|have| Node { choke: Everyone::boxed(), up: 64 << 10, ..Node::new(have) });
        let mut nodes = vec![watcher];
        nodes.extend(others);
        for node in &mut nodes {
            node.settings.requests.drop_seeds_when_complete = false;
        }
        let mut network = Network::new(8, 4, 1, true, nodes);
        assert!(network.run_until_complete(Instant::from_secs(120)));
        network.run(Instant::from_secs(200), |_| false);
        network.input(1, Input::Stop);
        network.input(2, Input::Stop);
        network.run(Instant::from_secs(210), |_| false);
        let events = taken(&seen);
        assert!(!events.is_empty(), "{wanted} never came");
        let by_event: Vec<Instant> = taken(&rounds)
            .into_iter()
            .filter(|(_, cause)| *cause == Cause::Event)
            .map(|(at, _)| at)
            .collect();
        let mut times: Vec<Instant> = events.iter().map(|(at, _)| *at).collect();
        times.dedup();
        let mut rounds_at = by_event.clone();
        rounds_at.dedup();
        assert_eq!(rounds_at, times, "{wanted}");
        if wanted == "gone" {
            assert!(events.iter().any(|(_, downloaded)| *downloaded > 0), "its last state is told");
        }
    }
}

#[test]
fn the_reason_of_each_unchoke_is_in_the_events() {
    let mut choke = Made::new();
    choke.choose = Box::new(|_, _, swarm, unchokes| {
        for peer in swarm.peers() {
            let reason = if peer.key.0 % 2 == 0 { Reason("test:even") } else { Reason::OPTIMISTIC };
            unchokes.push(peer.key, reason);
        }
    });
    let mut network = one_seed(4, choke, 1 << 20, 3);
    assert!(network.run(HOUR, |network| network.nodes.iter().all(|node| node.engine.have().is_full())));
    let reasons: BTreeMap<u32, String> = network.nodes[0]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Unchoke { peer, reason: Some(reason), .. } => Some((*peer, reason.to_string())),
            _ => None,
        })
        .collect();
    assert!(reasons.len() >= 3);
    for (peer, reason) in reasons {
        assert_eq!(reason, if peer % 2 == 0 { "test:even" } else { "optimistic" });
    }
}

#[test]
fn weights_divide_the_uplink_in_proportion() {
    for (share, expected) in [
        ((|_| Share::Equal) as fn(usize) -> Share, [1.0, 1.0, 1.0]),
        (|place| Share::Weight([1, 2, 5][place]), [1.0, 2.0, 5.0]),
    ] {
        let mut network = one_seed(400, Made::sharing(share), 256 << 10, 3);
        network.run(Instant::from_secs(60), |_| false);
        let sent = sent(&network);
        let all: u64 = sent.iter().sum();
        assert!((59..=61).contains(&(all / (256 << 10))), "{all} bytes in a minute");
        let weights: f64 = expected.iter().sum();
        for (bytes, weight) in sent.iter().zip(expected) {
            let wanted = all as f64 * weight / weights;
            assert!((*bytes as f64 - wanted).abs() < 0.03 * all as f64, "{sent:?}");
        }
    }
}

#[test]
fn weight_nothing_is_served_when_nobody_else_waits() {
    // The first peer of weight 0 gets what the other's slow asking leaves.
    let share = |place| if place == 0 { Share::Weight(0) } else { Share::Equal };
    let mut network = one_seed(400, Made::sharing(share), 64 << 10, 2);
    network.run(Instant::from_secs(60), |_| false);
    let both = sent(&network);
    assert!(both[0] * 20 < both[1], "{both:?}");
    let mut network = one_seed(400, Made::sharing(share), 64 << 10, 1);
    network.run(Instant::from_secs(60), |_| false);
    let alone = sent(&network)[0];
    assert!(alone > 50 * (64 << 10), "alone it gets everything: {alone}");
}

#[test]
fn a_cap_holds_for_its_peer_alone() {
    let share = |place| if place == 0 { Share::Cap(20_000) } else { Share::Equal };
    let mut network = one_seed(800, Made::sharing(share), 256 << 10, 2);
    network.run(Instant::from_secs(100), |_| false);
    let sent = sent(&network);
    // Waiting for the uplink costs it a little.
    assert!((1_800_000..=2_000_000 + u64::from(BLOCK)).contains(&sent[0]), "{sent:?}");
    assert!(sent[1] > 20_000_000, "{sent:?}");
}

/// FairTorrent: whoever we owe most, or owes us least, gets the next block.
#[test]
fn the_policy_chooses_who_gets_each_block() {
    let mut choke = Made::new();
    choke.serve = Box::new(|waiting, swarm| {
        let deficit = |peer: PeerKey| {
            swarm.peer(peer).map(|it| (it.uploaded + it.unsent) as i64 - it.downloaded as i64)
        };
        waiting
            .iter()
            .min_by_key(|queue| (deficit(queue.peer), queue.peer))
            .map_or(Serve::Nobody, |queue| Serve::Peer(queue.peer))
    });
    let mut network = one_seed(400, choke, 128 << 10, 4);
    network.run(Instant::from_secs(60), |_| false);
    let sent = sent(&network);
    let (most, least) = (sent.iter().max().unwrap(), sent.iter().min().unwrap());
    assert!(most - least <= 2 * u64::from(BLOCK), "{sent:?}");
    assert!(*least > 1 << 20);
}

/// Which of a peer's requests is answered first: here the last one that it made.
#[test]
fn the_policy_chooses_which_block_is_sent() {
    let order: Log<(BlockRef, BlockRef)> = Arc::default();
    let log = order.clone();
    let mut choke = Made::new();
    choke.serve = Box::new(move |waiting, _| {
        let Some(queue) = waiting.iter().next() else { return Serve::Nobody };
        let (first, last) = (queue.requests[0], queue.requests[queue.requests.len() - 1]);
        log.lock().unwrap().push((first, last));
        Serve::Block(queue.peer, last)
    });
    let mut network = one_seed(20, choke, 64 << 10, 1);
    assert!(network.run(HOUR, |network| network.nodes[1].engine.have().is_full()));
    let asked = taken(&order);
    assert!(asked.iter().any(|(first, last)| first != last), "it never had a choice");
    let served: Vec<BlockRef> = network.nodes[0]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Block { piece, begin, length, .. } => {
                Some(BlockRef { piece: bt_api::PieceIndex(*piece), begin: *begin, length: *length })
            }
            _ => None,
        })
        .collect();
    assert_eq!(served, asked.into_iter().map(|(_, last)| last).collect::<Vec<_>>());
    assert_eq!(network.nodes[0].engine.policy_violations(), 0);
}

/// Block tit-for-tat: nobody gets more than `CREDIT` bytes beyond what it gave.
#[test]
fn block_by_block_tit_for_tat_bounds_what_one_owes() {
    const CREDIT: u64 = 2 * BLOCK as u64;
    let choke = || {
        let mut choke = Made::new();
        choke.serve = Box::new(|waiting, swarm| {
            let may = |peer: PeerKey| {
                swarm
                    .peer(peer)
                    .is_some_and(|it| swarm.own().is_seed || it.uploaded + it.unsent < it.downloaded + CREDIT)
            };
            let next = waiting.iter().find(|queue| may(queue.peer));
            next.map_or(Serve::Nobody, |queue| Serve::Peer(queue.peer))
        });
        Box::new(choke) as Box<dyn ChokePolicy>
    };
    let mut seed = Node { choke: Everyone::boxed(), ..Node::new(PieceSet::full(60)) };
    seed.settings.net.upload_limit = Limit::At(Rate(256 << 10));
    seed.settings.upload.limiter = Limiter::Bucket;
    let mut nodes = vec![seed];
    nodes.extend((0..3).map(|_| Node { choke: choke(), ..Node::new(PieceSet::new(60)) }));
    nodes.push(free_rider(60));
    let mut network = Network::new(60, 4, 1, true, nodes);
    network.check = |engine| {
        for peer in engine.swarm().peers() {
            let owed = (peer.uploaded + peer.unsent).saturating_sub(peer.downloaded);
            assert!(engine.swarm().own().is_seed || owed <= CREDIT, "{owed} bytes ahead");
        }
    };
    assert!(network.run_until_complete(HOUR));
    let exchanged: u64 = network.nodes[1..4].iter().map(|node| node.engine.swarm().own().uploaded).sum();
    assert!(exchanged > 1 << 20, "they traded {exchanged} bytes");
    assert_eq!(network.nodes[4].engine.swarm().own().uploaded, 0);
}

#[test]
fn a_free_rider_takes_and_gives_nothing() {
    let mut nodes = vec![Node::new(PieceSet::full(20)), free_rider(20)];
    nodes.extend((0..3).map(|_| Node::new(PieceSet::new(20))));
    let mut network = Network::new(20, 4, 1, true, nodes);
    assert!(network.run_until_complete(HOUR));
    let rider = network.nodes[1].engine.swarm();
    assert_eq!(rider.own().uploaded, 0);
    assert!(network.nodes[2..].iter().any(|node| node.engine.swarm().own().uploaded > 0));
}
