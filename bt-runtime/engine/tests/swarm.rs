//! Swarms of engines with the mainline policies, in virtual time.

mod common;

use bt_api::{Instant, PieceSet};
use bt_engine::Event;
use bt_engine::settings::{BadData, ChokedRequest};
use common::{Network, Node};

const HOUR: Instant = Instant::from_secs(3600);

#[test]
fn a_swarm_completes() {
    let mut network = Network::mainline(40, 4, 8, 1, true);
    assert!(network.run_until_complete(HOUR), "{:?}", network.nodes[1].engine.status(network.now));
    for node in &network.nodes {
        assert_eq!(node.engine.policy_violations(), 0);
        assert!(node.failed.is_none());
    }
    let seed = network.nodes[0].engine.status(network.now);
    let all: u64 = network.nodes.iter_mut().map(|node| node.engine.status(HOUR).uploaded).sum();
    assert!(seed.uploaded * 2 < all, "the seed sent {} of {all}", seed.uploaded);
    let said = |wanted: fn(&Event) -> bool| {
        network.nodes.iter().any(|node| node.events.iter().any(|(_, event)| wanted(event)))
    };
    assert!(said(|event| matches!(event, Event::Unchoke { reason: Some(why), .. } if why == "optimistic")));
    assert!(said(|event| matches!(event, Event::Endgame { .. })));
}

/// BEP 6: requests outlive a choke until they are rejected.
#[test]
fn a_swarm_with_the_fast_extension_completes() {
    let node = |have| {
        let mut node = Node::new(have);
        node.settings.upload.choked_request = ChokedRequest::Reject;
        node
    };
    let mut nodes = vec![node(PieceSet::full(40))];
    nodes.extend((0..10).map(|_| node(PieceSet::new(40))));
    let mut network = Network::new(40, 8, 1, true, nodes);
    assert!(network.run_until_complete(HOUR), "{:?}", network.nodes[1].engine.status(network.now));
    let mut rejects = 0;
    for node in &mut network.nodes {
        assert_eq!(node.engine.policy_violations(), 0);
        rejects += node.events.iter().filter(|(_, event)| matches!(event, Event::Reject { .. })).count();
    }
    assert!(rejects > 0, "nobody was choked with requests under way");
}

/// `examples/trace.rs` prints such a trace; `.ci/run` compares those of debug and release.
#[test]
fn the_trace_of_a_run_is_always_the_same() {
    let trace = |seed| {
        let mut network = Network::mainline(24, 4, 6, seed, true);
        network.trace = Some(String::new());
        assert!(network.run_until_complete(HOUR));
        network.trace.unwrap()
    };
    let first = trace(1);
    assert!(first.lines().count() > 1000);
    assert_eq!(first, trace(1));
    assert_ne!(first, trace(2));
}

#[test]
fn a_poisoner_is_found_and_named_and_the_download_completes() {
    // Of a piece of 128 blocks, somebody who answers a third of all requests sends some in nearly every try.
    let rules = [BadData::Keep, BadData::V39, BadData::Bittornado, BadData::Ban];
    for (bad_data, pieces, blocks) in rules.into_iter().flat_map(|rule| [(rule, 30, 4), (rule, 6, 128)]) {
        let mut nodes: Vec<Node> = (0..2).map(|_| Node::new(PieceSet::full(pieces))).collect();
        nodes.push(Node { poison: |_| true, ..Node::new(PieceSet::full(pieces)) });
        let mut leecher = Node::new(PieceSet::new(pieces));
        leecher.settings.peers.bad_data = bad_data;
        nodes.push(leecher);
        let mut network = Network::new(pieces, blocks, 7, true, nodes);
        assert!(network.run_until_complete(HOUR), "{bad_data:?} {blocks}");
        let leecher = &network.nodes[3];
        let guilty: Vec<String> = leecher
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::BadData { addr, banned, .. } => {
                    match bad_data {
                        BadData::Keep => assert!(!banned),
                        BadData::Ban => assert!(banned),
                        _ => {}
                    }
                    Some(addr.ip().to_string())
                }
                _ => None,
            })
            .collect();
        assert!(!guilty.is_empty());
        assert!(guilty.iter().all(|ip| ip == "10.0.0.2"), "{guilty:?}");
    }
}
