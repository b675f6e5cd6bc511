//! Equal peers need unequal times when the seed is slow, and leave together (Murai et al. 2011).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::Measured;
use crate::stats;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "arrival-order",
    title: "Behind a slow seed equal peers need unequal times and leave in bursts",
    source: "Murai, Rocha, Figueiredo and de Souza e Silva, \"Heterogeneous download times in a homogeneous BitTorrent \
             swarm\", 2011",
    run,
};

/// Equal peers come one by one, as evenly as a clock, and leave when they are done.
const SCENARIO: &str = r#"
[content]
size = "16 MiB"
piece = "256 KiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "100 kbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "leecher"
count = 20
up = "400 kbit/s"
down = "1 Mbit/s"
profile = "mainline"
arrives = { rate = "1/min" }
leaves = "on-complete"
"#;

/// The standard deviation of some values over their mean.
fn variation(values: &[f64]) -> Option<f64> {
    Some(stats::sd(values)? / stats::mean(values)?)
}

/// What is kept of a run.
fn read(measured: &Measured) -> Figures {
    let leechers = || measured.peers.iter().filter(|peer| peer.class == "leecher");
    let done: Vec<(f64, f64)> =
        leechers().filter_map(|peer| peer.completed_s.map(|done| (peer.arrived_s, done))).collect();
    if done.len() < leechers().count() {
        return Figures::new();
    }
    let times: Vec<f64> = done.iter().map(|(arrived, done)| done - arrived).collect();
    let ends: Vec<f64> = done.iter().map(|(_, done)| *done).collect();
    let ends = stats::sorted(&ends);
    let gaps: Vec<f64> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (first, last) = times.split_at(times.len() / 2);
    let figures = [
        ("time", stats::mean(&times)),
        ("variation", variation(&times)),
        ("burstiness", variation(&gaps)),
        ("catching up", stats::mean(first).zip(stats::mean(last)).map(|(first, last)| first / last)),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let mut cells = Vec::new();
    for (label, up) in [("slow seed", "100 kbit/s"), ("fast seed", "2 Mbit/s")] {
        let mut sets = vec![format!("peers.seed.up={up}")];
        if !lab.quick {
            sets.push("peers.leecher.count=40".to_owned());
        }
        let scenario = lab.scenario("arrival-order", SCENARIO, &sets)?;
        let label = format!("arrival-order {label}");
        cells.push(Cell { label, scenario, seeds: lab.seeds(30), read: &read });
    }
    let runs = lab.run(&cells)?;
    let (slow, fast) = (|name: &str| Sample::of(&runs[0], name), |name: &str| Sample::of(&runs[1], name));
    let shape = |sample: &Sample, from| judge(Check::Shape, sample.interval(), from, f64::INFINITY);
    let mut rows = Vec::new();
    for (name, what) in [
        ("variation", "unevenness of download times (standard deviation / mean)"),
        ("burstiness", "burstiness of departures (standard deviation / mean of the times between them)"),
    ] {
        let more = Sample::difference(&slow(name), &fast(name));
        rows.push(Row::new(
            format!("{what}: slow seed less fast seed"),
            ("more than 0", Standing::Abstract),
            more.shown(2),
            shape(&more, 0.0),
        ));
        rows.push(Row::noted(format!("{what}, slow seed"), slow(name).shown(2)));
        rows.push(Row::noted(format!("{what}, fast seed"), fast(name).shown(2)));
    }
    let ahead = slow("catching up");
    rows.push(Row::new(
        "slow seed: mean time of the first half to arrive / of the second half",
        ("more than 1: who comes later catches up", Standing::Abstract),
        ahead.shown(2),
        shape(&ahead, 1.0),
    ));
    rows.push(Row::noted("fast seed: the same", fast("catching up").shown(2)));
    rows.push(Row::noted("slow seed: mean download time, s", slow("time").shown(0)));
    rows.push(Row::noted("fast seed: mean download time, s", fast("time").shown(0)));
    Ok(Findings {
        setup: vec![format!(
            "{} equal peers (400 kbit/s up, 1 Mbit/s down) come one a minute, evenly, and leave when they are \
             done; 16 MiB in pieces of 256 KiB; 50 ms of delay; profile mainline. The seed has 100 kbit/s (1342 s for one \
             copy), or 2 Mbit/s to compare.",
            lab.either("20", "40")
        )],
        rows,
        explanation: vec![
            "Behind a slow seed everybody waits for the same next piece: peers that came later get what the earlier ones \
             have at once, catch up, and all are done with the seed's last piece. As arrivals are even, all burstiness \
             is made by the swarm. With Poisson departures the burstiness would be near 1; evenly as they came, 0."
                .to_owned(),
        ],
    })
}
