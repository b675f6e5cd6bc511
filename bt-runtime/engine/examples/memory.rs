//! Prints how many bytes one connection takes in an engine, counted at the allocator.
//!
//! `cargo run --release -p bt-engine --example memory`

#[path = "../tests/common/mod.rs"]
mod common;

use std::alloc::System;
use std::net::SocketAddr;

use bt_api::{Instant, PeerId, PieceSet};
use bt_engine::wire::Message;
use bt_engine::{Engine, Input};
use common::solo::block;
use common::{Node, everyone::Everyone};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: u32 = 1000;
const PIECES: u32 = 1000;
/// Requests under way in each direction of each connection.
const REQUESTS: u32 = 5;

/// Bytes that are allocated now.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn feed(engine: &mut Engine, input: Input) {
    engine.handle(Instant::ZERO, input);
    while engine.poll_output().is_some() {}
}

fn main() {
    let mut have = PieceSet::new(PIECES);
    have.insert(bt_api::PieceIndex(0));
    let mut node = Node { choke: Everyone::boxed(), ..Node::new(have) };
    node.settings.peers.max_connections = CONNECTIONS;
    let mut engine = Engine::new(node.setup(PIECES, 16, 0, PeerId([0; 20]), 1, false));
    engine.start(Instant::ZERO);
    while engine.poll_output().is_some() {}

    let empty = live();
    let mut peers = Vec::with_capacity(CONNECTIONS as usize);
    for number in 0..CONNECTIONS {
        let peer = engine.new_peer();
        let address = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 6881));
        let mut id = [1; 20];
        id[..4].copy_from_slice(&number.to_be_bytes());
        feed(&mut engine, Input::Incoming { peer, address });
        feed(&mut engine, Input::Handshake { peer, id: PeerId(id) });
        feed(&mut engine, Input::Message { peer, message: Message::Bitfield(PieceSet::full(PIECES)) });
        peers.push(peer);
    }
    let own_list = peers.capacity() * size_of_val(&peers[0]);
    let idle = live() - empty - own_list;
    for &peer in &peers {
        for message in [Message::Interested, Message::Unchoke] {
            feed(&mut engine, Input::Message { peer, message });
        }
        for at in 0..=REQUESTS {
            feed(&mut engine, Input::Message { peer, message: Message::Request(block(0, at)) });
        }
    }
    let busy = live() - empty - own_list;
    let asked: u32 = engine.swarm().peers().iter().map(|peer| peer.requested.min(peer.queued)).sum();
    assert_eq!(asked, CONNECTIONS * REQUESTS, "every connection is busy");

    let bitfield = PIECES.div_ceil(8);
    println!("{CONNECTIONS} connections, {PIECES} pieces, bitfields of {bitfield} bytes");
    println!("idle: {} bytes a connection", idle / CONNECTIONS as usize);
    println!(
        "with {REQUESTS} requests each way: {} bytes a connection, what is known of the pieces asked for included",
        busy / CONNECTIONS as usize
    );
    println!("an input takes {} bytes, an output {}", size_of::<Input>(), size_of::<bt_engine::Output>());
}
