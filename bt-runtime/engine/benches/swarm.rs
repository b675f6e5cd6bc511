//! How many inputs a second engines take on one core: one seeder, fifty leechers, the mainline policies.
//!
//! The scripted network runs the swarm once and records what goes into each engine; then only the engines
//! are measured, fed with the same inputs in the same order, each drained and asked for its next wake-up
//! after every input, as a driver does. The time is that of the processor, so that a busy machine does not
//! change it.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Duration;

use bt_api::{Instant, PeerId, PieceSet};
use bt_engine::Engine;
use common::{Fed, Network, Node};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LEECHERS: usize = 50;
/// 64 MiB in pieces of 256 KiB.
const PIECES: u32 = 256;
const BLOCKS: u32 = 16;
const SEED: u64 = 1;

/// Runs the swarm until everybody has everything.
fn record() -> Vec<Fed> {
    let mut network = Network::mainline(PIECES, BLOCKS, LEECHERS, SEED, false);
    network.record = Some(Vec::new());
    assert!(network.run_until_complete(Instant::from_secs(24 * 3600)), "the swarm completes");
    network.record.unwrap_or_default()
}

fn engines() -> Vec<Engine> {
    (0..=LEECHERS)
        .map(|number| {
            let have = if number == 0 { PieceSet::full(PIECES) } else { PieceSet::new(PIECES) };
            let id = PeerId(common::peer_id(number as u64));
            Engine::new(Node::new(have).setup(PIECES, BLOCKS, number as u64, id, SEED, false))
        })
        .collect()
}

/// What this thread has used of the processor.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Feeds the recorded inputs; gives how long that took.
fn replay(mut engines: Vec<Engine>, record: Vec<Fed>) -> Duration {
    let mut outputs = 0_u64;
    let start = processor_time();
    for engine in &mut engines {
        engine.start(Instant::ZERO);
        outputs += std::iter::from_fn(|| engine.poll_output()).count() as u64;
    }
    for fed in record {
        match fed {
            Fed::NewPeer(node) => {
                engines[node].new_peer();
            }
            Fed::Input(node, now, input) => {
                let engine = &mut engines[node];
                engine.handle(now, input);
                while engine.poll_output().is_some() {
                    outputs += 1;
                }
                std::hint::black_box(engine.next_wakeup());
            }
        }
    }
    let took = processor_time() - start;
    assert!(outputs > 0 && engines.iter().all(|engine| engine.have().is_full()), "the replay is the run");
    took
}

fn swarm(c: &mut Criterion) {
    let record = record();
    let inputs = record.iter().filter(|fed| matches!(fed, Fed::Input(..))).count() as u64;
    let mut group = c.benchmark_group("swarm");
    group.throughput(Throughput::Elements(inputs));
    group.sample_size(10);
    group.bench_function(format!("{inputs} inputs of 51 mainline engines"), |bench| {
        bench.iter_custom(|runs| (0..runs).map(|_| replay(engines(), record.clone())).sum());
    });
    group.finish();
}

criterion_group!(benches, swarm);
criterion_main!(benches);
