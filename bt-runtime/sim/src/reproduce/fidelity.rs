//! How much coarser models of the same swarm differ: the error bar of every other figure (Eger et al. 2007).

use super::{Cell, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, Verdict};
use crate::measure::Measured;
use crate::stats::Interval;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "fidelity",
    title: "What pieces in place of blocks, and no delay, do to the same swarm",
    source: "Eger, Hoßfeld, Binzenhöfer and Kunzmann, \"Efficient simulation of large-scale P2P networks: packet-level \
             vs. flow-level simulations\", UPGRADE-CN 2007",
    run,
};

const SCENARIO: &str = r#"
[content]
size = "100 MiB"
piece = "256 KiB"
[network]
delay = "50 ms"
[[peers]]
name = "seed"
count = 1
complete = true
up = "6000 kbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "fast"
count = 20
up = "3000 kbit/s"
down = "6000 kbit/s"
profile = "mainline"
[[peers]]
name = "middle"
count = 20
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline"
[[peers]]
name = "slow"
count = 20
up = "128 kbit/s"
down = "784 kbit/s"
profile = "mainline"
"#;

/// The finest model first: the others are held against it.
const MODELS: [(&str, &[&str]); 5] = [
    ("blocks, 50 ms", &[]),
    ("blocks, 1 ms", &["network.delay=1 ms"]),
    ("blocks, no delay", &["network.delay=0"]),
    ("blocks, 200 ms", &["network.delay=200 ms"]),
    ("pieces, 50 ms", &["network.granularity=piece"]),
];

const FIGURES: [(&str, &str); 4] = [
    ("mean", "mean time"),
    ("fast", "mean time of the fast peers"),
    ("slow", "mean time of the slow peers"),
    ("end", "time until the last peer is done"),
];

fn read(measured: &Measured) -> Figures {
    let summary = &measured.summary;
    let time = |figures: Option<&std::collections::BTreeMap<String, crate::measure::Dist>>| {
        figures.and_then(|figures| figures.get("completion_time")).map(|dist| (dist.mean, dist.max))
    };
    let overall = time(Some(&summary.overall));
    let class = |class: &str| time(summary.classes.get(class)).map(|(mean, _)| mean);
    let figures = [
        ("mean", overall.map(|(mean, _)| mean)),
        ("end", overall.map(|(_, max)| max)),
        ("fast", class("fast")),
        ("slow", class("slow")),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let mut cells = Vec::new();
    for (label, sets) in MODELS {
        let mut sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        if lab.quick {
            sets.push("content.size=16 MiB".to_owned());
        }
        let scenario = lab.scenario("fidelity", SCENARIO, &sets)?;
        cells.push(Cell { label: format!("fidelity {label}"), scenario, seeds: lab.seeds(30), read: &read });
    }
    let runs = lab.run(&cells)?;
    let percent = |cell: usize, name: &str| {
        let pairs = Sample::of(&runs[cell], name).0.into_iter().zip(Sample::of(&runs[0], name).0);
        Sample(pairs.map(|(coarse, fine)| 100.0 * (coarse / fine - 1.0)).collect())
    };
    let mut rows = Vec::new();
    let mut largest: f64 = 0.0;
    for (name, what) in FIGURES {
        rows.push(Row::noted(format!("{what}, {}, s", MODELS[0].0), Sample::of(&runs[0], name).shown(0)));
        for (cell, (label, _)) in MODELS.iter().enumerate().skip(1) {
            let more = percent(cell, name);
            if let Some(Interval { low, high, .. }) = more.interval() {
                largest = largest.max(low.abs()).max(high.abs());
            }
            rows.push(Row::noted(format!("{what}, {label}: % more"), more.shown(1)));
        }
    }
    rows.push(Row {
        what: "the largest of these differences, ends of intervals included, %".to_owned(),
        expected: "flow level and packet level differ by at most about 30 % (of the paper's swarms)"
            .to_owned(),
        standing: Some(Standing::Abstract),
        measured: format!("{largest:.1}"),
        verdict: Verdict::Noted,
    });
    Ok(Findings {
        setup: vec![format!(
            "The three classes of OctoSim (3000, 400 and 128 kbit/s up; 6000, 1500 and 784 down), 20 peers of each at \
             once, which stay; {} in pieces of 256 KiB; seed 6000 kbit/s; profile mainline. The same seeds in each model: \
             differences are taken run by run.",
            lab.either("16 MiB", "100 MiB")
        )],
        rows,
        explanation: vec![
            "There is no packet level here, so the paper's figure is not tested: it is the error bar to keep in mind with \
             every figure of a flow-level model, this one too. What can be measured is what the steps of this model \
             cost: a block or a piece at a time, and how late messages come. Every pair of peers has the same delay here, \
             so that delays cannot bias whom peers choose, which the paper found too."
                .to_owned(),
            "How long the delay is hardly matters. No delay is the limit of short ones: a message takes a nanosecond then, so \
             that a crowd that comes at once has its talks side by side. What decides most is whom the seed serves first; \
             a crowd comes in random order, and that order is the same in each model."
                .to_owned(),
            "With pieces in place of blocks a peer waits for whole pieces of slow peers, and the last ones take long. That \
             counts in a small swarm with little content and very unequal links; use it for large content and many peers."
                .to_owned(),
        ],
    })
}
