//! Measures the limits of a profile against four greedy peers on loopback: what each second brought, as part of the
//! limit, and the most that any second brought, wherever it began.
//!
//! Of a download whole blocks are counted: short ones show best what is read.
//!
//! `cargo bench -p bt-tests --bench limits [-- PROFILE [SECONDS]]`. On a machine that is busy with other things the
//! last column says for how long.

use std::time::Duration;

use bt_bins as _;
use bt_tests::greedy::{Way, measure};

const LIMITS: [u64; 3] = [64 << 10, 1 << 20, 20 << 20];
const BLOCKS: [u32; 3] = [1 << 10, 16 << 10, 128 << 10];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let profile = words.first().map_or("modern", String::as_str);
    let secs =
        words.get(1).map_or(6, |secs| secs.parse().expect("the second argument is a number of seconds"));
    let (time, second) = (Duration::from_secs(secs), Duration::from_secs(1));
    println!("way  KiB/s    block   each second, % of the limit   all, %   most in any second, %   stolen");
    for way in [Way::Up, Way::Down] {
        for (limit, block) in LIMITS.into_iter().flat_map(|limit| BLOCKS.map(|block| (limit, block))) {
            let measured = measure(profile, way, limit, block, time);
            let part =
                |bytes: u64, time: Duration| 100.0 * bytes as f64 / (limit as f64 * time.as_secs_f64());
            let seconds: Vec<String> =
                measured.seconds().iter().map(|&bytes| format!("{:.1}", part(bytes, second))).collect();
            let starts = (0..(time - second).as_millis() / 10).map(|i| Duration::from_millis(10) * i as u32);
            let most = starts.map(|start| measured.bytes(start, second)).max().unwrap_or(0);
            println!(
                "{:<4} {:<8} {:>3} KiB {}   {:.1}   {:.1}   {:.0?}",
                format!("{way:?}"),
                limit >> 10,
                block >> 10,
                seconds.join(" "),
                part(measured.bytes(Duration::ZERO, time), time),
                part(most, second),
                measured.stolen
            );
        }
    }
}
