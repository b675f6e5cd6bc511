//! The least time in which anybody could serve everybody is never beaten (Kumar and Ross, HotWeb 2006).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "distribution-time",
    title: "No swarm beats the minimum distribution time",
    source: "Kumar and Ross, \"Peer-assisted file distribution: the minimum distribution time\", HotWeb 2006",
    run,
};

/// All come at once and stay; no message takes time.
const SCENARIO: &str = r#"
[content]
size = "32 MiB"
piece = "256 KiB"
[network]
delay = 0
[[peers]]
name = "seed"
count = 1
complete = true
up = "8 Mbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "leecher"
count = 50
up = "2 Mbit/s"
down = "8 Mbit/s"
profile = "mainline"
[[peers]]
name = "weak"
count = 1
up = "1 Mbit/s"
down = "8 Mbit/s"
profile = "mainline"
"#;

/// Which term of the bound decides, and what makes it so.
const SETUPS: &[(&str, &[&str])] = &[
    ("all uplinks together", &[]),
    ("the seed's uplink", &["peers.seed.up=1 Mbit/s"]),
    ("the slowest downlink", &["peers.seed.up=200 Mbit/s", "peers.weak.down=1 Mbit/s"]),
    ("unequal peers", &["peers.weak.count=50", "peers.leecher.up=6 Mbit/s"]),
];

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let read = |measured: &Measured| -> Figures {
        measured.summary.bound_ratio.map(|ratio| ("ratio".to_owned(), ratio)).into_iter().collect()
    };
    let mut cells = Vec::new();
    for (term, sets) in SETUPS {
        for choke in ["tit-for-tat", "random"] {
            let mut sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
            if !lab.quick {
                sets.push("peers.leecher.count=200".to_owned());
            }
            if choke != "tit-for-tat" {
                let groups = ["seed", "leecher", "weak"];
                sets.extend(groups.map(|group| format!("peers.{group}.choke={{ use = \"{choke}\" }}")));
            }
            let label = format!("distribution-time {term}, {choke}");
            let scenario = lab.scenario("distribution-time", SCENARIO, &sets)?;
            cells.push(Cell { label, scenario, seeds: lab.seeds(30), read: &read });
        }
    }
    let runs = lab.run(&cells)?;
    let all = Sample(runs.iter().flat_map(|runs| Sample::of(runs, "ratio").0).collect());
    let mut rows = vec![Row::new(
        format!("time until the last peer is done / bound, the least of {} runs", all.0.len()),
        ("at least 1", Standing::Closed),
        format!("{:.4}", all.least()),
        Check::Number.verdict(all.least() >= 1.0),
    )];
    for (cell, runs) in cells.iter().zip(&runs) {
        let what = cell.label.trim_start_matches("distribution-time ");
        let bound = cell.scenario.lower_bound().unwrap_or(f64::NAN);
        rows.push(Row::noted(
            format!("{what} (bound {bound:.0} s): time / bound"),
            Sample::of(runs, "ratio").shown(3),
        ));
    }
    Ok(Findings {
        setup: vec![
            "The bound is max { F/u_s, F/min d, sum of what is missing/(u_s + sum of u) }: the content F must leave \
             the seed once, must pass the slowest downlink, and all copies must pass the uplinks. Each set-up makes \
             another term decide; \"random\" serves peers drawn at random in place of tit-for-tat."
                .to_owned(),
            format!(
                "32 MiB in pieces of 256 KiB, blocks of 16 KiB, no delay; {} peers at once, which stay.",
                lab.either("50 to 100", "200 to 250")
            ),
        ],
        rows,
        explanation: vec![
            "The simulator asserts the bound in every run, here and elsewhere: a run that beats it ends with an error. \
             The ratios say how far from physics each policy is where that term decides."
                .to_owned(),
        ],
    })
}
