//! Rate tit-for-tat among unequal peers, and tit-for-tat by blocks (Bharambe et al., figures 12 to 14).

use super::octosim::{self, Class};
use super::{
    Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge, judge_each,
};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "block-tft",
    title: "Rate tit-for-tat lets slow peers take more than they give; tit-for-tat by blocks bounds it",
    source: octosim::SOURCE,
    run,
};

const CLASSES: [&str; 3] = ["fast", "middle", "slow"];

/// Bytes of a piece, which is what is given at a time here.
const BLOCK: f64 = 256_000.0;

/// The deltas of the paper's experiments.
const DELTAS: [u32; 2] = [1, 2];

fn classes(each: u32) -> [Class; 3] {
    [
        Class { name: CLASSES[0], count: each, rate: 33, up: 3000, down: 6000 },
        Class { name: CLASSES[1], count: each, rate: 33, up: 400, down: 1500 },
        Class { name: CLASSES[2], count: each, rate: 34, up: 128, down: 784 },
    ]
}

/// Up to how many neighbours somebody looks for more, and how many it has at most: as in `octosim`, and larger.
const DEGREES: [(u32, u32); 3] = [(3, 10), (20, 30), (40, 60)];

fn sets(delta: Option<u32>, (few, most): (u32, u32), kilobytes: u32) -> Vec<String> {
    let mut sets = vec![format!("content.size={kilobytes} kB")];
    sets.extend(octosim::with_seed(octosim::SMART).filter(|_| octosim::seeds().contains(&octosim::SMART)));
    if few > 5 {
        sets.push(format!("tracker.reply={few}"));
        sets.push(format!("peers.seed.announce.min-peers={few}"));
        sets.push(format!("peers.seed.peers.max-connections={most}"));
    }
    for class in CLASSES {
        if few > 5 {
            sets.push(format!("peers.{class}.announce.min-peers={few}"));
            sets.push(format!("peers.{class}.peers.max-connections={most}"));
        }
        if let Some(delta) = delta {
            let choke =
                format!("{{ use = \"block-tft\", delta = {delta}, block = \"256 kB\", uploads = 5 }}");
            sets.push(format!("peers.{class}.choke={choke}"));
        }
    }
    sets
}

/// `taken CLASS`: bytes from leechers over bytes to leechers. `time CLASS`: mean download time in seconds.
/// `imbalance`: the largest of a pair, in blocks. `utilization`: the part of the leechers' uplinks in use.
fn read(measured: &Measured) -> Figures {
    let mut figures = Figures::new();
    let summary = &measured.summary;
    if summary.censored > 0 {
        return figures;
    }
    for class in CLASSES {
        let (mut taken, mut given) = (0.0, 0.0);
        for peer in measured.peers.iter().filter(|peer| peer.class == class) {
            let from_seeds = peer.metrics.get("seed_bytes").copied().unwrap_or(f64::NAN);
            taken += peer.downloaded_bytes as f64 - from_seeds;
            given += peer.uploaded_bytes as f64;
        }
        figures.insert(format!("taken {class}"), taken / given);
        let time = summary.classes.get(class).and_then(|of| of.get("completion_time"));
        figures.extend(time.map(|time| (format!("time {class}"), time.mean)));
    }
    let overall = |name: &str| summary.overall.get(name);
    figures.extend(overall("pair_imbalance").map(|dist| ("imbalance".to_owned(), dist.max / BLOCK)));
    figures.extend(overall("upload_utilization").map(|dist| ("utilization".to_owned(), dist.mean)));
    figures
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (each, kilobytes) = lab.either((20, 51_200), (100, 102_400));
    let degrees: &[(u32, u32)] = lab.either(&DEGREES[..1], &DEGREES);
    let mut cells = Vec::new();
    for degree in degrees {
        for delta in [None, Some(DELTAS[0]), Some(DELTAS[1])] {
            let sets = sets(delta, *degree, kilobytes);
            let scenario = octosim::of_classes(lab, "block-tft", &classes(each), &sets)?;
            let policy = delta.map_or("rate".to_owned(), |delta| format!("delta {delta}"));
            let label = format!("block-tft {policy}, up to {} neighbours", degree.1);
            cells.push(Cell { label, scenario, seeds: lab.seeds(10), read: &read });
        }
    }
    let runs = lab.run(&cells)?;
    let mut rows = Vec::new();
    for ((_, most), runs) in degrees.iter().zip(runs.chunks(1 + DELTAS.len())) {
        degree(*most, runs, &mut rows);
    }
    Ok(Findings {
        setup: vec![
            octosim::COMMON.to_owned(),
            format!(
                "Here three classes of {each} peers each: 6000/3000, 1500/400 and 784/128 kbit/s down/up; one seed of 6000 \
                 kbit/s with smart-seed; {kilobytes} kB. What is given at a time is a piece of 256 kB, so that is the block of \
                 delta. Of bytes, those from the seed are left out: all leechers together then take what they give."
            ),
        ],
        rows,
        explanation: vec![
            "Under rate tit-for-tat a slow peer lives on the optimistic unchokes of faster ones. By blocks nobody is given more \
             than delta blocks and one beyond what came, so a class gives about what it takes; what slow peers still have above 1 \
             is these few blocks of each neighbour, which they need not give back. A fast peer is then as slow as those that it \
             trades with, so uplinks idle, and everybody is later."
                .to_owned(),
            "The paper mends that with a tracker that names peers of the same speed, and with more neighbours; the tracker here \
             names peers at random, so only the fairness is checked, and what it costs is noted."
                .to_owned(),
        ],
    })
}

/// What is said of one number of neighbours; `runs` are those of rate tit-for-tat, then of each delta.
fn degree(most: u32, runs: &[Vec<Figures>], rows: &mut Vec<Row>) {
    let of = |policy: usize, name: &str| Sample::of(&runs[policy], name);
    let where_ = format!("up to {most} neighbours");
    let rate = of(0, "taken slow");
    rows.push(Row::new(
        format!("{where_}, rate tit-for-tat: slow peers take / give"),
        ("more than 1", Standing::Abstract),
        rate.shown(2),
        judge(Check::Shape, rate.interval(), 1.0, f64::INFINITY),
    ));
    for (at, delta) in DELTAS.iter().enumerate() {
        let fairer = Sample::difference(&rate, &of(at + 1, "taken slow"));
        rows.push(Row::new(
            format!("{where_}: the same under rate tit-for-tat, less that under delta = {delta}"),
            ("above 0: fairer", Standing::Abstract),
            fairer.shown(2),
            judge(Check::Shape, fairer.interval(), 0.0, f64::INFINITY),
        ));
        let (imbalance, bound) = (of(at + 1, "imbalance"), f64::from(delta + 1));
        rows.push(Row::new(
            format!(
                "{where_}, delta = {delta}: largest imbalance of a pair, in blocks, of {} runs",
                imbalance.0.len()
            ),
            (format!("at most {bound:.0}"), Standing::Read),
            format!("{:.2}", imbalance.largest()),
            judge_each(Check::Number, &imbalance, bound),
        ));
    }
    rows.push(Row::noted(
        format!("{where_}, rate tit-for-tat: largest imbalance of a pair, in blocks"),
        of(0, "imbalance").shown(0),
    ));
    for (policy, name) in ["rate tit-for-tat", "delta = 1", "delta = 2"].into_iter().enumerate() {
        for class in CLASSES {
            let taken = of(policy, &format!("taken {class}")).shown(2);
            let time = of(policy, &format!("time {class}")).shown(0);
            rows.push(Row::noted(
                format!("{where_}, {name}: {class} peers take / give; mean download time in s"),
                format!("{taken}; {time}"),
            ));
        }
        rows.push(Row::noted(
            format!("{where_}, {name}: part of the leechers' uplinks in use"),
            of(policy, "utilization").shown(3),
        ));
    }
}
