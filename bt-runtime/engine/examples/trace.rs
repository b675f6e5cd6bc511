//! Prints every output of a scripted swarm: the same bytes in debug and in release, and on every machine.
//!
//! `cargo run -p bt-engine --example trace -- SEED | sha256sum`

#[path = "../tests/common/mod.rs"]
mod common;

use bt_api::Instant;

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut network = common::Network::mainline(24, 4, 6, seed, true);
    network.trace = Some(String::new());
    assert!(network.run_until_complete(Instant::from_secs(3600)), "the swarm completes");
    print!("{}", network.trace.unwrap_or_default());
}
