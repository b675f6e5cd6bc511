//! What a slow seed costs, and what a smart one saves (Bharambe et al., figures 3 and 4).

use super::{Cell, Check, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge, octosim};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "seed-bandwidth",
    title: "A starved seed leaves uplinks idle, and one that gives what it gave least comes near the bound",
    source: octosim::SOURCE,
    run,
};

/// What part of the bound is near it: ours.
const NEAR: f64 = 0.9;

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (peers, kilobytes) = lab.either((50, 51_200), (1000, 102_400));
    let rates: &[u32] = lab.either(&[200, 400, 1000], &[200, 400, 600, 800, 1000]);
    let seeds = octosim::seeds();
    let mut cells = Vec::new();
    for rate in rates {
        for seed in &seeds {
            let sets = [
                format!("peers.leecher.count={peers}"),
                format!("content.size={kilobytes} kB"),
                format!("peers.seed.up={rate} kbit/s"),
            ];
            let sets: Vec<String> = sets.into_iter().chain(octosim::with_seed(seed)).collect();
            let scenario = octosim::scenario(lab, "seed-bandwidth", &sets)?;
            let label = format!("seed-bandwidth {rate} kbps, {seed}");
            cells.push(Cell { label, scenario, seeds: lab.seeds(10), read: &octosim::figures });
        }
    }
    let runs = lab.run(&cells)?;
    let used: Vec<Sample> = runs.iter().map(|runs| Sample::of(runs, "utilization")).collect();
    let mut rows = Vec::new();
    for ((rate, cells), used) in rates.iter().zip(cells.chunks(seeds.len())).zip(used.chunks(seeds.len())) {
        let most = octosim::most(&cells[0].scenario, peers, f64::from(*rate) * 125.0);
        for (seed, used) in seeds.iter().zip(used) {
            rows.push(Row::new(
                format!("seed of {rate} kbit/s, {seed}: part of the leechers' uplinks in use"),
                (format!("at most {most:.3}"), Standing::Derived),
                used.shown(3),
                Check::Number.verdict(used.largest() <= most),
            ));
        }
        if let [plain, smart] = used {
            if *rate == 200 {
                let part = Sample(smart.0.iter().map(|used| used / most).collect());
                rows.push(Row::new(
                    format!(
                        "seed of {rate} kbit/s, {}: the same over the most that it can be",
                        octosim::SMART
                    ),
                    (format!("near 1; at least {NEAR}"), Standing::Derived),
                    part.shown(3),
                    judge(Check::Number, part.interval(), NEAR, 1.0),
                ));
            }
            let difference = Sample::difference(smart, plain);
            rows.push(Row::new(
                format!("seed of {rate} kbit/s: smart less plain"),
                ("not below 0: it sends less twice", Standing::Derived),
                difference.shown(3),
                judge(Check::Shape, difference.interval(), 0.0, f64::INFINITY),
            ));
        }
    }
    let (slow, fast) = (&used[0], &used[used.len() - seeds.len()]);
    let fall = Sample::difference(fast, slow);
    rows.push(Row::new(
        format!("use of uplinks, seed of {} less seed of {} kbit/s", rates[rates.len() - 1], rates[0]),
        ("above 0", Standing::Derived),
        fall.shown(3),
        judge(Check::Shape, fall.interval(), 0.0, f64::INFINITY),
    ));
    let mut explanation = vec![
        "Nobody is done before everything has left the seed once, which takes F/u_s: with 200 kbit/s half of the uplinks must \
         idle, whatever the policies; from about 400 kbit/s on that no longer binds. What a plain seed sends twice before \
         it has sent all once is lost to everyone."
            .to_owned(),
    ];
    if seeds.len() == 1 {
        explanation
            .push("This program has no piece policy `smart-seed`: the smart seed was not run.".to_owned());
    }
    let setup = vec![
        octosim::COMMON.to_owned(),
        format!("{peers} peers, {kilobytes} kB. \"smart-seed\" gives the piece that it has given least."),
    ];
    Ok(Findings { setup, rows, explanation })
}
