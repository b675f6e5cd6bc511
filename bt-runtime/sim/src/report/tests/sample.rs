//! Makes folders as runs leave them, with figures that look like those of a swarm but are made up.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Class, peers, mean completion time in seconds, bytes up per byte down.
const CLASSES: [(&str, u32, f64, f64); 3] =
    [("fast", 66, 1420.0, 1.62), ("medium", 66, 1890.0, 0.91), ("slow <& \"odd\">", 68, 2480.0, 0.46)];
const SIZE: f64 = 104_857_600.0;
const BOUND: f64 = 1310.0;

/// A number from 0 to 1 for a place, the same every time.
fn noise(seed: u64, a: u64, b: u64) -> f64 {
    let mut x =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ a.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ b.rotate_left(32);
    for _ in 0..3 {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x94d0_49bb_1331_11eb);
        x ^= x >> 27;
    }
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// About normal: the sum of a few.
fn bell(seed: u64, a: u64) -> f64 {
    (0..6).map(|b| noise(seed, a, b)).sum::<f64>() / 3.0 - 1.0
}

/// Writes the files of a run; times are `factor` of the usual ones, and with `unfinished` some peers do not finish.
pub(crate) fn run(dir: &Path, seed: u64, factor: f64, unfinished: bool) {
    cell(dir, seed, factor, unfinished, "network.delay=0");
}

/// As [`run`], as a cell of a sweep for which something was set.
pub(crate) fn cell(dir: &Path, seed: u64, factor: f64, unfinished: bool, set: &str) {
    fs::create_dir_all(dir).unwrap();
    let save = |name: &str, text: String| fs::write(dir.join(name), text).unwrap();
    let mut peers = String::from(
        "peer,class,arrived_s,completed_s,left_s,uploaded_bytes,downloaded_bytes,wasted_bytes,normalized_upload\n\
         0,seed,0,0,,734003200,0,0,7\n",
    );
    let mut times = Vec::new();
    let mut peer = 0;
    for (class, count, mean, ratio) in CLASSES {
        for _ in 0..count {
            peer += 1;
            let time = mean * factor * (1.0 + 0.09 * bell(seed, peer) + 0.01 * bell(seed, 7777));
            let lost = unfinished && class.starts_with("slow") && peer % 9 == 0;
            let name = if class.contains('"') { "\"slow <& \"\"odd\"\">\"" } else { class };
            let up = SIZE * ratio * (1.0 + 0.16 * bell(seed, peer + 5000));
            let (completed, down) =
                if lost { (String::new(), 0.8 * SIZE) } else { (format!("{time:.3}"), SIZE) };
            let _ = writeln!(peers, "{peer},{name},0,{completed},,{up:.0},{down},16384,{}", up / SIZE);
            if !lost {
                times.push(time);
            }
        }
    }
    save("peers.csv", peers);
    times.sort_by(f64::total_cmp);
    save("series.csv", series(seed, &times));
    save("summary.json", summary(seed, &times, factor).to_string());
    let mut chokes = String::from("from,to,unchoked_s,bytes,share\n");
    let names = ["seed", "fast", "medium", "\"slow <& \"\"odd\"\">\""];
    let shares =
        [[0.0, 0.36, 0.33, 0.31], [0.0, 0.64, 0.25, 0.11], [0.0, 0.27, 0.51, 0.22], [0.0, 0.19, 0.3, 0.51]];
    for (from, row) in names.iter().zip(shares) {
        for (to, share) in names.iter().zip(row) {
            let _ = writeln!(chokes, "{from},{to},{},{},{share}", share * 90_000.0, share * 1e9);
        }
    }
    save("choke_matrix.csv", chokes);
    let toml = "name = \"bharambe-3\"\n[content]\nsize = \"100 MiB\"\npiece = \"256 KiB\"\n[[peers]]\nname = \"<script>\"\n";
    let manifest = json!({
        "schema": 1, "scenario": {"name": "bharambe-3 <i>", "toml": toml}, "seed": seed,
        "sets": ["tracker.reply=50", set], "profiles": {"fast": "mainline", "seed": "mainline"},
        "versions": {"bt-sim": "0.1.0", "bt-policies": "0.1.0"}, "ended": "done", "end_s": 2600.0,
        "events": 123_456, "events_sha256": format!("{seed:064x}"), "inputs": 654_321,
        "machine": {"wall_s": 12.5, "os": "linux", "arch": "x86_64", "cores": 2},
    });
    save("manifest.json", manifest.to_string());
}

fn series(seed: u64, times: &[f64]) -> String {
    let mut text = String::from("t,scope,metric,value\n");
    let last = times.last().copied().unwrap_or(1.0);
    for step in 0..=320u32 {
        let t = last * f64::from(step) / 320.0;
        let done = times.partition_point(|time| *time <= t) as f64;
        let ramp = (t / 90.0).min(1.0);
        let mut add = |scope: &str, metric: &str, value: f64| {
            let _ = writeln!(text, "{t:.3},{scope},{metric},{value:.6}");
        };
        let wave = |key: u64| 0.02 * (noise(seed, u64::from(step), key) - 0.5);
        let up = ramp * (0.94 + wave(1)) * if t > 0.8 * last { 1.0 - 2.2 * (t / last - 0.8) } else { 1.0 };
        add("overall", "leechers", 200.0 - done);
        add("overall", "seeds", 1.0 + done);
        add("overall", "completed", done);
        add("overall", "upload_utilization", up);
        add("overall", "upload_utilization_seeds", ramp * (0.99 + wave(2)).min(1.0));
        add("overall", "download_utilization", 0.41 * up + wave(3).abs());
        for (at, (class, ..)) in CLASSES.iter().enumerate() {
            let scope = if class.contains('"') { "\"slow <& \"\"odd\"\">\"" } else { class };
            add(scope, "upload_utilization", (up * (1.0 - 0.06 * at as f64) + wave(4 + at as u64)).max(0.0));
            add(
                scope,
                "download_utilization",
                (up * (0.3 + 0.25 * at as f64) + wave(9 + at as u64)).max(0.0),
            );
        }
        let copies = 1.0 + 199.0 * t / last;
        add("overall", "availability_mean", copies);
        add("overall", "availability_min", (copies * (0.82 + wave(20))).floor().max(1.0));
        add("overall", "distributed_copies", (copies * 0.82).max(1.0) + 0.6);
        add(
            "overall",
            "entropy",
            (1.0 - 0.08 * (1.0 - ramp) - 0.002 * noise(seed, u64::from(step), 30)).min(1.0),
        );
    }
    text
}

fn summary(seed: u64, times: &[f64], factor: f64) -> Value {
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let one =
        |value: f64| json!({"n": 1, "mean": value, "median": value, "p5": value, "p95": value, "max": value});
    let jitter = |key: u64| 1.0 + 0.02 * (noise(seed, 99, key) - 0.5);
    let spread = |mean: f64| json!({"n": 200, "mean": mean, "median": mean * 0.98, "p5": mean * 0.6, "p95": mean * 1.5, "max": mean * 2.0});
    let metrics = |scale: f64| {
        let mut metrics = Map::new();
        let time = json!({
            "n": times.len(), "mean": mean * scale, "median": at(0.5) * scale, "p5": at(0.05) * scale,
            "p95": at(0.95) * scale, "max": at(1.0) * scale
        });
        metrics.insert("completion_time".into(), time);
        for (name, value) in [
            ("upload_utilization", 0.93),
            ("download_utilization", 0.41),
            ("share_ratio", 0.99),
            ("normalized_upload", 0.97),
            ("service_error", 2.6e7),
            ("unchoke_time", 64.0),
            ("first_block", 11.4),
            ("wasted_bytes", 16_384.0),
            ("overhead", 0.0051),
            ("a_metric_of_tomorrow", 123_456.789),
        ] {
            metrics.insert(name.into(), spread(value * scale * jitter(name.len() as u64)));
        }
        metrics
    };
    let mut overall = metrics(1.0);
    for (name, value) in
        [("jain_ratio", 0.83), ("jain_rate", 0.94), ("seed_share", 0.034), ("reciprocation", 0.71)]
    {
        overall.insert(name.into(), one(value / factor * jitter(value.to_bits() >> 40)));
    }
    let mut classes = Map::new();
    for (at, (class, ..)) in CLASSES.iter().enumerate() {
        let mut metrics = metrics([0.75, 1.0, 1.3][at]);
        metrics.insert("clustering_index".into(), one([0.64, 0.51, 0.51][at]));
        classes.insert((*class).into(), Value::Object(metrics));
    }
    json!({
        "overall": overall, "classes": classes, "bound_s": BOUND, "bound_ratio": at(1.0) / BOUND,
        "end_s": 2600.0, "finished": times.len(), "censored": 200 - times.len(), "counts": {},
        "left_out": {"startup_delay": "no playhead in the log"},
    })
}

/// Writes the files of a comparison.
pub(crate) fn comparison(dir: &Path, profiles: &[(&str, f64)], seeds: std::ops::RangeInclusive<u64>) {
    for (profile, factor) in profiles {
        for seed in seeds.clone() {
            run(&dir.join(profile).join(seed.to_string()), seed, *factor, false);
        }
    }
    let mut metrics = Map::new();
    for (name, base, spread) in [
        ("completion_time", 1935.0, 0.012),
        ("upload_utilization", 0.931, 0.004),
        ("download_utilization", 0.41, 0.006),
        ("jain_ratio", 0.83, 0.02),
        ("jain_rate", 0.94, 0.01),
        ("service_error", 2.6e7, 0.06),
        ("seed_share", 0.034, 0.03),
        ("first_block", 11.4, 0.05),
        ("reciprocation", 0.71, 0.015),
        ("a_metric_of_tomorrow", 12.0, 0.1),
    ] {
        let row = |(at, (profile, factor)): (usize, &(&str, f64))| {
            let mean = base * (factor - 1.0) * if name.starts_with("completion") { 1.0 } else { -0.7 };
            let half = base * spread;
            let p: f64 = if mean.abs() > half { 0.0002 } else { 0.37 };
            let difference = (at > 0).then(|| {
                json!({"mean": mean, "low": mean - half, "high": mean + half, "p": p, "p_holm": (2.0 * p).min(1.0)})
            });
            json!({"profile": profile, "mean": base + mean, "difference": difference})
        };
        let rows: Vec<Value> = profiles.iter().enumerate().map(row).collect();
        metrics.insert(name.into(), json!({"baseline": profiles[0].0, "rows": rows}));
    }
    let names: Vec<&str> = profiles.iter().map(|profile| profile.0).collect();
    let seeds: Vec<u64> = seeds.collect();
    let compare = json!({"scenario": "bharambe-3", "paired": true, "seeds": seeds, "profiles": names, "metrics": metrics});
    fs::write(dir.join("compare.json"), compare.to_string()).unwrap();
}
