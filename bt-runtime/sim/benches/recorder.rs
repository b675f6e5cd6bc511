//! What it costs to watch a run: nanoseconds an event for measuring, for the line, and for the line with its hash.
//!
//! The events are mixed as in a swarm: for each block sent, received and twice asked for, four announcements of
//! pieces each way; at 1,000 nodes with 50 connections each.

use std::hint::black_box;
use std::net::SocketAddr;

use bt_api::Instant;
use bt_engine::Event;
use bt_engine::event::{Dir, Joined};
use bt_runtime::events::{LineWriter, Subject};
use bt_sim::Observer;
use bt_sim::measure::Measures;
use bt_sim::output::{EventStream, Manifest, Recorder};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const NODES: u32 = 1000;
const PEERS: u32 = 50;
const ROUNDS: u32 = 200_000;

fn address(node: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, (node >> 8) as u8, node as u8], 6881))
}

/// Everybody joins and is connected.
fn beginning(mut tell: impl FnMut(Instant, u32, Event)) {
    for node in 0..NODES {
        let joined = Event::Joined(Box::new(Joined {
            addr: Some(address(node)),
            class: Some("leecher".to_owned()),
            up: Some(50_000),
            down: Some(200_000),
            total_length: 100 << 20,
            piece_length: 256 << 10,
            have: String::new(),
        }));
        tell(Instant::ZERO, node, joined);
    }
    for node in 0..NODES {
        for peer in 0..PEERS {
            let addr = address((node + 1 + peer) % NODES);
            tell(Instant::ZERO, node, Event::PeerConnected { peer, addr, incoming: false });
        }
    }
}

fn mixed() -> Vec<(Instant, u32, Event)> {
    let mut events = Vec::new();
    for round in 0..ROUNDS / 12 {
        let now = Instant::from_nanos(u64::from(round) * 1_234_567 + 1_800_000_000_000);
        let (node, peer) = (round.wrapping_mul(7919) % NODES, round.wrapping_mul(31) % PEERS);
        let (piece, begin, length) = (round % 400, (round % 16) << 14, 16384);
        for dir in [Dir::To, Dir::From] {
            events.push((now, node, Event::Request { peer, dir, piece, begin, length }));
            events.push((now, node, Event::Block { peer, dir, piece, begin, length }));
            for step in 1..=4 {
                let node = (node + step * 97) % NODES;
                events.push((now, node, Event::Have { peer, dir, piece: Some(piece), pieces: None }));
            }
        }
    }
    events
}

fn watching(criterion: &mut Criterion) {
    let events = mixed();
    let mut group = criterion.benchmark_group("recorder");
    group.sample_size(20).throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("measures", |bencher| {
        let mut measures = Measures::new();
        beginning(|now, node, event| measures.event(now, node, &event));
        bencher.iter(|| events.iter().for_each(|(now, node, event)| measures.event(*now, *node, event)));
        black_box(&measures);
    });
    group.bench_function("lines", |bencher| {
        let (mut lines, mut out) = (LineWriter::default(), Vec::with_capacity(1 << 20));
        let mut bytes = 0;
        bencher.iter(|| {
            for (now, node, event) in &events {
                lines.write(&mut out, *now, Subject::Node(*node), event);
                if out.len() >= 255 << 10 {
                    bytes += out.len();
                    out.clear();
                }
            }
        });
        black_box(bytes);
    });
    let stream = || EventStream::hashed(&Manifest::default().header()).unwrap();
    group.bench_function("lines and hash", |bencher| {
        let mut stream = stream();
        bencher.iter(|| events.iter().for_each(|(now, node, event)| stream.event(*now, *node, event)));
        black_box(stream.finish(events.last().map_or(Instant::ZERO, |(now, ..)| *now)).unwrap().sha256);
    });
    group.bench_function("all", |bencher| {
        let mut recorder = Recorder::new(Some(stream()));
        beginning(|now, node, event| recorder.event(now, node, &event));
        bencher.iter(|| events.iter().for_each(|(now, node, event)| recorder.event(*now, *node, event)));
        black_box(recorder.has_failed());
    });
    group.finish();
    let mut lines = Vec::new();
    events.iter().for_each(|(now, node, event)| {
        LineWriter::default().write(&mut lines, *now, Subject::Node(*node), event);
    });
    println!("a line has {} bytes in the mean", lines.len() / events.len());
}

criterion_group!(benches, watching);
criterion_main!(benches);
