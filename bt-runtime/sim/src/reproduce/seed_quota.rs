//! A seed whose turns are counted in bytes leaves its slots to slow peers (libtorrent, issue 1171).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "seed-quota",
    title: "A seed whose turns are counted in bytes leaves its slots to slow peers, and its uplink idles",
    source: "libtorrent, issue 1171 and its mend, pull request 1218, 2016",
    run,
};

/// The seed's uplink has 1 Mbit/s for each of libtorrent's eight slots. Slow peers take a quarter of that, fast ones four
/// times as much. With turns of 20 pieces (5 MiB) a slow peer's lasts 164 s and a fast one's 15 s, a round: of the seven
/// slots that are not optimistic, slow peers have 6.4, so that "one or two fast peers" are served at any time, as the
/// issue says. Nobody uploads but the seed, and nobody has everything before the run is over: its uplink is all that counts.
const SCENARIO: &str = r#"
[content]
size = "8 GiB"
piece = "256 KiB"
[run]
until = "1 h"
[[peers]]
name = "seed"
count = 1
complete = true
up = "8 Mbit/s"
down = "unlimited"
profile = "libtorrent"
[[peers]]
name = "slow"
count = 20
up = "1 Mbit/s"
down = "256 kbit/s"
profile = "free-rider"
requests = { backlog = 50 }
[[peers]]
name = "fast"
count = 20
up = "1 Mbit/s"
down = "4 Mbit/s"
profile = "free-rider"
requests = { backlog = 50 }
"#;

/// What counts as a full uplink: ours.
const FULL: f64 = 0.95;

/// Who is served: before the mend and after it, and the way out that the issue names.
const SETUPS: [(&str, &[&str]); 4] = [
    (
        "turns by bytes, as before",
        &["peers.seed.choke.quota-time=0 s", "peers.seed.choke.turn-order=waiting"],
    ),
    ("turns by bytes, the slowest first to give way", &["peers.seed.choke.quota-time=0 s"]),
    ("turns by bytes and a minute, as mended", &[]),
    ("fastest upload", &["peers.seed.choke.seed-order=fastest-upload"]),
];

fn read(measured: &Measured) -> Figures {
    let seed = measured.peers.iter().find(|peer| peer.class == "seed");
    let could = 1_000_000.0 * measured.summary.end_s;
    let fast =
        measured.peers.iter().filter(|peer| peer.class == "fast").map(|peer| peer.downloaded_bytes as f64);
    let Some(sent) = seed.map(|seed| seed.uploaded_bytes as f64) else { return Figures::new() };
    let served = measured.choke_matrix.iter().filter(|pair| pair.from == "seed" && pair.to == "fast");
    Figures::from([
        ("used".to_owned(), sent / could),
        ("to fast".to_owned(), fast.sum::<f64>() / sent),
        ("fast served".to_owned(), served.map(|pair| pair.unchoked_s).sum::<f64>() / measured.summary.end_s),
        (
            "jain".to_owned(),
            measured.summary.overall.get("jain_seed_service").map_or(f64::NAN, |jain| jain.mean),
        ),
    ])
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let until = lab.either("20 min", "2 h");
    let mut cells = Vec::new();
    for (label, sets) in SETUPS {
        let mut sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        sets.push(format!("run.until={until}"));
        let scenario = lab.scenario("seed-quota", SCENARIO, &sets)?;
        cells.push(Cell {
            label: format!("seed-quota {label}"),
            scenario,
            seeds: lab.seeds(10),
            read: &read,
        });
    }
    let runs = lab.run(&cells)?;
    let used: Vec<Sample> = runs.iter().map(|runs| Sample::of(runs, "used")).collect();
    let mut rows = Vec::new();
    let lost = Sample::difference(&used[2], &used[0]);
    rows.push(Row::new(
        "part of the seed's uplink in use, as mended less as before",
        ("more than 0", Standing::Read),
        lost.shown(3),
        judge(Check::Shape, lost.interval(), 0.0, f64::INFINITY),
    ));
    for ((label, _), (used, expected)) in SETUPS.iter().zip(used.iter().zip([false, false, true, true])) {
        let what = format!("{label}: part of the seed's uplink in use");
        rows.push(match (expected, *label) {
            (true, _) => Row::new(
                what,
                (format!("1: saturated; at least {FULL}"), Standing::Read),
                used.shown(3),
                judge(Check::Shape, used.interval(), FULL, f64::INFINITY),
            ),
            (false, label) if label.ends_with("before") => Row::new(
                what,
                (format!("not saturated, less than {FULL} (0.6 was seen)"), Standing::Read),
                used.shown(3),
                judge(Check::Shape, used.interval(), 0.0, FULL),
            ),
            _ => Row::noted(what, used.shown(3)),
        });
    }
    for ((label, _), runs) in SETUPS.iter().zip(&runs) {
        let shown = |figure, digits| Sample::of(runs, figure).shown(digits);
        rows.push(Row::noted(
            format!("{label}: fast peers served at a time; Jain's index of the bytes that each peer got"),
            format!("{}; {}", shown("fast served", 1), shown("jain", 2)),
        ));
    }
    Ok(Findings {
        setup: vec![format!(
            "A seed of 8 Mbit/s with libtorrent's eight slots, rounds of 15 s and turns of 20 pieces of 256 KiB; 20 slow peers \
             of 256 kbit/s and 20 fast ones of 4 Mbit/s down, which upload nothing; 50 ms of delay; {until}, in which nobody \
             gets everything. The issue says what was seen on a real seed, not its peers' links: these are ours, such that a \
             turn by bytes leaves one or two fast peers served at a time, as the issue says."
        )],
        rows,
        explanation: vec![
            "A turn by bytes lasts the longer the slower the peer, so slow peers pile up in the slots. The mend has two parts: a \
             turn lasts a minute at least, and of those whose turn is not over the fastest goes first, so that a fast peer \
             with the optimistic slot takes the place of the slowest. The second part alone changes nothing: by bytes, a \
             fast peer's turn is over within a round."
                .to_owned(),
        ],
    })
}
