//! Simulates flash crowds of growing size, and prints what they cost and how that grows.
//!
//! `cargo bench -p bt-bins --bench lab [-- block|piece [LEECHERS…]]`. The scenario is `flash-crowd`: 100 MiB in pieces
//! of 256 KiB, profile `mainline`. Without arguments: in blocks 100, 300 and 1,000 leechers, in pieces 100 to 10,000. The
//! last column is CPU time for a leecher, as a multiple of the first line's: 1 throughout would be linear.

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::Process;

const BT_LAB: &str = env!("CARGO_BIN_EXE_bt-lab");

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let sizes = |default: &[u32]| -> Vec<u32> {
        let given = words.iter().skip(1).map(|word| word.parse().expect("numbers of leechers"));
        if words.len() > 1 { given.collect() } else { default.to_vec() }
    };
    match words.first().map(String::as_str) {
        None => {
            crowds("block", &[100, 300, 1000]);
            crowds("piece", &[100, 300, 1000, 3000, 10_000]);
        }
        Some(granularity) => crowds(granularity, &sizes(&[100, 1000])),
    }
}

fn crowds(granularity: &str, sizes: &[u32]) {
    println!("{granularity:<6} leechers   CPU s   peak MiB   events/CPU s   inputs/CPU s   growth");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lab");
    let mut first = None;
    for &leechers in sizes {
        let mut command = Command::new(BT_LAB);
        command.args(["run", "flash-crowd", "--out"]).arg(&out);
        command.args(["--set", &format!("network.granularity={granularity}")]);
        command.args(["--set", &format!("peers.leecher.count={leechers}")]);
        let used = Process::start(&mut command).wait(None);
        let manifest = std::fs::read(out.join("manifest.json")).expect("the run wrote it");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("it is JSON");
        let count = |name: &str| manifest[name].as_u64().unwrap_or(0) as f64;
        let each = used.cpu() / f64::from(leechers);
        println!(
            "       {leechers:>8} {:>7.1} {:>10} {:>14.0} {:>14.0} {:>8.2}",
            used.cpu(),
            used.peak_kib >> 10,
            count("events") / used.cpu(),
            count("inputs") / used.cpu(),
            each / *first.get_or_insert(each)
        );
    }
}
