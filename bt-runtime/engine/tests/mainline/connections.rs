//! Cases 9 to 12, 127, 128, 130 and 131: who is connected (RS-10, RS-20, EN-1 to EN-9, EN-15).

use std::net::SocketAddr;
use std::time::Duration;

use bt_api::{PeerAddress, PeerId, PeerKey, PieceSet};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Event, Input, Output};

use crate::common::Node;
use crate::common::solo::{OWN, Solo, block, closes, sent};

fn leecher() -> Solo {
    Solo::new(1, Node::new(PieceSet::new(50)))
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 2, 0, number], 6881))
}

fn dialled(outputs: &[Output]) -> Vec<(PeerKey, SocketAddr)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Connect { peer, address, .. } => Some((*peer, *address)),
            _ => None,
        })
        .collect()
}

fn tell(solo: &mut Solo, number: u8, id: Option<PeerId>) -> Vec<(PeerKey, SocketAddr)> {
    let peers = vec![PeerAddress { address: address(number), id }];
    dialled(&solo.feed(Input::Peers { source: "test".to_owned(), peers }))
}

fn accepted(outputs: &[Output], peer: PeerKey) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Accept { peer: it } if *it == peer))
}

#[test]
fn case_9_a_silent_peer_is_closed_at_the_first_check_after_the_time_out() {
    let mut solo = leecher();
    let a = solo.connect(1, &[]);
    assert!(closes(&solo.wait_secs(300)).is_empty());
    assert_eq!(closes(&solo.wait_secs(60)), [(a, CloseReason::Idle)]);
}

#[test]
fn case_10_what_we_write_does_not_make_a_peer_alive() {
    let mut solo = leecher();
    let silent = solo.connect(1, &[]);
    let all: Vec<u32> = (0..50).collect();
    let (b, asked) = solo.connect_open(2, &all);
    let mut written = 0;
    let mut waiting = asked;
    for _ in 0..11 {
        let mut out = solo.wait_secs(30);
        let block = waiting.remove(0);
        out.extend(solo.send_block(b, block));
        out.extend(solo.good(block.piece.0));
        waiting.extend(crate::common::solo::requests(&out, b));
        written += sent(&out, silent).len();
        assert!(closes(&out).is_empty());
    }
    assert!(written >= 10);
    assert_eq!(closes(&solo.wait_secs(30)), [(silent, CloseReason::Idle)]);
}

#[test]
fn case_11_one_too_many_is_closed_at_once() {
    let mut solo = leecher();
    let mut dials = 0;
    for number in 0..35 {
        dials += tell(&mut solo, number, None).len();
    }
    assert_eq!(dials, 35);
    for number in 0..20 {
        assert!(closes(&solo.incoming(100 + number).1).is_empty());
    }
    let (late, out) = solo.incoming(200);
    assert_eq!(closes(&out), [(late, CloseReason::TooMany)]);
    assert!(solo.handshake(late, 200).is_empty(), "it never was a connection");
}

#[test]
fn case_12_a_refused_connect_is_one_loss() {
    let mut solo = leecher();
    let (peer, _) = tell(&mut solo, 1, None)[0];
    assert_eq!(solo.engine.status(solo.now).dialing, 1);
    let refused = || Input::Closed { peer, reason: CloseReason::Connect("refused".to_owned()) };
    let out = solo.feed(refused());
    assert!(
        matches!(&out[..], [Output::Event(Event::PeerClosed { reason, .. })] if reason == "connect"),
        "{out:?}"
    );
    assert_eq!(solo.engine.status(solo.now).dialing, 0);
    assert!(solo.feed(refused()).is_empty());
}

#[test]
fn case_127_our_id_is_held_back_from_a_peer_whose_id_is_not_known() {
    let mut solo = leecher();
    for (number, id, held_back) in [(1, None, true), (2, Some(PeerId([2; 20])), false)] {
        let peers = vec![PeerAddress { address: address(number), id }];
        let out = solo.feed(Input::Peers { source: "test".to_owned(), peers });
        let connect = out.iter().find_map(|output| match output {
            Output::Connect { peer, delay_id, .. } => Some((*peer, *delay_id)),
            _ => None,
        });
        let (peer, delay_id) = connect.unwrap();
        assert_eq!(delay_id, held_back);
        assert!(accepted(&solo.handshake(peer, number), peer));
    }
}

#[test]
fn case_128_wrong_peer_ids_are_refused() {
    let mut solo = leecher();
    let (myself, _) = tell(&mut solo, 1, None)[0];
    let out = solo.feed(Input::Handshake { peer: myself, id: OWN });
    assert_eq!(closes(&out), [(myself, CloseReason::Myself)]);
    assert!(!accepted(&out, myself), "our id is not sent");

    let (known, _) = tell(&mut solo, 2, Some(PeerId([2; 20])))[0];
    let out = solo.handshake(known, 3);
    assert_eq!(closes(&out), [(known, CloseReason::UnexpectedId)]);

    let (first, out) = solo.connect_told(4);
    assert!(accepted(&out, first));
    let (second, _) = solo.incoming(5);
    let out = solo.handshake(second, 4);
    assert_eq!(closes(&out), [(second, CloseReason::Duplicate)]);
    assert!(solo.engine.swarm().peer(first).is_some());

    // A dialled peer whose id is known counts as that id from the start (EN-8), and we never dial ourselves.
    assert_eq!(tell(&mut solo, 6, Some(PeerId([6; 20]))).len(), 1);
    let (incoming, _) = solo.incoming(7);
    assert_eq!(closes(&solo.handshake(incoming, 6)), [(incoming, CloseReason::Duplicate)]);
    assert!(tell(&mut solo, 8, Some(OWN)).is_empty());
}

/// A departure: of two connections that two peers begin at once, both keep the one that the greater id began.
#[test]
fn of_two_that_dial_each_other_one_connection_stays() {
    for (other, kept_incoming) in [(1, false), (255, true)] {
        let mut solo = leecher();
        let (out, _) = tell(&mut solo, 9, None)[0];
        solo.handshake(out, other);
        let (back, _) = solo.incoming(9);
        let closed = closes(&solo.handshake(back, other));
        let (gone, kept) = if kept_incoming { (out, back) } else { (back, out) };
        assert_eq!(closed, [(gone, CloseReason::Duplicate)]);
        assert!(solo.engine.swarm().peer(kept).is_some());
    }
}

#[test]
fn case_130_keep_alives_go_to_whole_connections() {
    let mut solo = leecher();
    let a = solo.connect(1, &[]);
    solo.wait_secs(110);
    let half_open = tell(&mut solo, 2, None)[0].0;
    assert!(!sent(&solo.wait(Duration::from_millis(9_999)), a).contains(&Message::KeepAlive));
    let out = solo.wait(Duration::from_millis(1));
    assert_eq!(sent(&out, a), [Message::KeepAlive]);
    assert!(sent(&out, half_open).is_empty());
    assert_eq!(sent(&solo.wait_secs(120), a), [Message::KeepAlive]);
}

#[test]
fn case_131_addresses_beyond_the_limit_are_kept_and_the_newest_is_dialled_first() {
    let mut solo = leecher();
    let first = tell(&mut solo, 0, None)[0].0;
    (1..35).for_each(|number| assert_eq!(tell(&mut solo, number, None).len(), 1));
    for number in [100, 101, 102, 101] {
        assert!(tell(&mut solo, number, None).is_empty());
    }
    let mut lost = first;
    for expected in [102, 101, 100] {
        let out = solo.feed(Input::Closed { peer: lost, reason: CloseReason::Remote });
        let dials = dialled(&out);
        assert_eq!(dials.len(), 1);
        assert_eq!(dials[0].1, address(expected));
        lost = dials[0].0;
    }
    let out = solo.feed(Input::Closed { peer: lost, reason: CloseReason::Remote });
    assert!(dialled(&out).is_empty(), "each address is stored once");
}

#[test]
fn a_handshake_that_does_not_come_is_given_up() {
    let mut solo = leecher();
    let dialled = tell(&mut solo, 1, None)[0].0;
    let (incoming, _) = solo.incoming(2);
    let mut closed = closes(&solo.wait_secs(31));
    closed.sort_by_key(|(peer, _)| *peer);
    let late = CloseReason::HandshakeTimeout;
    assert_eq!(closed, [(dialled, late.clone()), (incoming, late)]);
    assert!(solo.handshake(dialled, 1).is_empty());
    assert!(solo.send_block(dialled, block(0, 0)).iter().all(|out| matches!(out, Output::Drop { .. })));
}

#[test]
fn a_connection_that_replaces_another_counts_when_the_next_is_dialled() {
    let mut node = Node::new(PieceSet::new(50));
    node.settings.peers.max_initiate = 1;
    let mut solo = Solo::new(1, node);
    let (out, _) = tell(&mut solo, 9, None)[0];
    assert!(tell(&mut solo, 10, None).is_empty(), "a spare");
    solo.handshake(out, 255);
    let (back, _) = solo.incoming(9);
    let replaced = solo.handshake(back, 255);
    assert_eq!(closes(&replaced), [(out, CloseReason::Duplicate)]);
    assert!(dialled(&replaced).is_empty());
}
