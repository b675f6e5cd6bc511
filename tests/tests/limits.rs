//! The limits of `modern` on real sockets: never above by more than 5 %, from the first second on, and the link is
//! full where the machine gave us the time to fill it.

use std::time::Duration;

use bt_bins as _;
use bt_tests::greedy::{Way, measure};

const TIME: Duration = Duration::from_secs(5);

#[track_caller]
fn holds(way: Way, limit: u64, block: u32) {
    let measured = measure("modern", way, limit, block, TIME);
    let seconds = measured.seconds();
    // From the start to any second: what was read late only lowers this.
    for secs in 1..=TIME.as_secs() {
        let bytes = measured.bytes(Duration::ZERO, Duration::from_secs(secs)) as f64;
        let most = 1.05 * limit as f64 * secs as f64;
        assert!(bytes <= most, "{bytes} bytes in {secs} s, more than {most}: {seconds:?}");
    }
    let had = TIME.saturating_sub(measured.stolen).as_secs_f64();
    // Of a download only whole blocks are seen. One is half here, and of the others no more than their beginnings.
    let unseen = if way == Way::Down { 2.0 * f64::from(block) } else { 0.0 };
    let (bytes, least) = (measured.bytes(Duration::ZERO, TIME) as f64, 0.95 * limit as f64 * had - unseen);
    let stolen = measured.stolen;
    assert!(bytes >= least, "{bytes} bytes, less than {least}, with {stolen:?} stolen: {seconds:?}");
}

#[test]
fn upload_of_short_blocks() {
    holds(Way::Up, 256 << 10, 16 << 10);
}

#[test]
fn upload_of_blocks_that_take_seconds() {
    holds(Way::Up, 64 << 10, 128 << 10);
}

#[test]
fn download_of_short_blocks() {
    holds(Way::Down, 512 << 10, 16 << 10);
}

#[test]
fn download_of_long_blocks() {
    holds(Way::Down, 1 << 20, 128 << 10);
}
