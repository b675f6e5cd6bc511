//! A super-seed spawns the next seeds with little more than one copy of the content (BEP 16).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "super-seeding",
    title: "A super-seed uploads little more than one copy before there is a second seed",
    source: "Hoffman, \"Superseeding\", BEP 16, 2008",
    run,
};

/// One seed with limited bandwidth, as BEP 16 has it: no faster than anybody else, so that the swarm waits for it.
const SCENARIO: &str = r#"
[content]
size = "64 MiB"
piece = "256 KiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "400 kbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "leecher"
count = 30
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline"
"#;

/// Ours: as far from the 1.05 of BEP 16 as a swarm of another size and with other clients may be.
const MOST: f64 = 1.3;

fn read(measured: &Measured) -> Figures {
    let overall = &measured.summary.overall;
    let mut figures = Figures::new();
    if let Some(copies) = overall.get("seed_copies") {
        figures.insert("copies".to_owned(), copies.mean);
    }
    if let Some(time) = overall.get("completion_time") {
        let first =
            measured.peers.iter().filter(|peer| peer.class != "seed").filter_map(|peer| peer.completed_s);
        figures.insert("first".to_owned(), first.fold(f64::INFINITY, f64::min));
        figures.insert("mean".to_owned(), time.mean);
        figures.insert("last".to_owned(), time.max);
    }
    figures
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (peers, size) = lab.either((30, 32), (100, 256));
    let mut cells = Vec::new();
    for seed in ["mainline", "super-seed"] {
        let sets = [
            format!("peers.leecher.count={peers}"),
            format!("content.size={size} MiB"),
            format!("peers.seed.profile={seed}"),
        ];
        let scenario = lab.scenario("super-seeding", SCENARIO, &sets)?;
        cells.push(Cell {
            label: format!("super-seeding {seed}"),
            scenario,
            seeds: lab.seeds(10),
            read: &read,
        });
    }
    let runs = lab.run(&cells)?;
    let [plain, shown_one_by_one] = [0, 1].map(|cell| Sample::of(&runs[cell], "copies"));
    let saved = Sample::difference(&plain, &shown_one_by_one);
    let mut rows = vec![
        Row::new(
            "super-seed: copies that it uploads before there is a second seed",
            (format!("1.05 of a large torrent; at most {MOST}"), Standing::Read),
            shown_one_by_one.shown(3),
            judge(Check::Number, shown_one_by_one.interval(), 1.0, MOST),
        ),
        Row::new(
            "a plain seed's, less these",
            ("more than 0", Standing::Read),
            saved.shown(3),
            judge(Check::Shape, saved.interval(), 0.0, f64::INFINITY),
        ),
        Row::noted("plain seed: copies (BEP 16 has seen 1.5 to 2)", plain.shown(3)),
    ];
    for (seed, runs) in ["plain seed", "super-seed"].iter().zip(&runs) {
        let shown = |figure| Sample::of(runs, figure).shown(0);
        rows.push(Row::noted(
            format!("{seed}: seconds until the first, the mean and the last peer is done"),
            format!("{}; {}; {}", shown("first"), shown("mean"), shown("last")),
        ));
    }
    Ok(Findings {
        setup: vec![format!(
            "One seed of 400 kbit/s and {peers} peers of 400 kbit/s up and 1500 kbit/s down, all there at once; {size} MiB in \
             pieces of 256 KiB, 50 ms of delay; all run mainline, and the seed its own piece policy or `super-seed`."
        )],
        rows,
        explanation: vec![
            "The links and the size are ours: BEP 16 says what was seen with a large torrent, not how it was set up. The limit \
             is ours, too. The figure of a plain seed is of a swarm of clients that take the rarest first; those of the \
             time did worse. The smaller the content, the more weighs what is under way when the first peer is done."
                .to_owned(),
        ],
    })
}
