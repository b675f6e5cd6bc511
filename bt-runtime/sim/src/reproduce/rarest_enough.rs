//! Rarest first is near the best that coding could do, and the new seed serves everybody (Legout et al., IMC 2006).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "rarest-enough",
    title: "Rarest first comes near network coding, and a seed that serves in turn is not captured by fast free riders",
    source: "Legout, Urvoy-Keller and Michiardi, \"Rarest first and choke algorithms are enough\", IMC 2006; the other \
             side: Gkantsidis and Rodriguez, \"Network coding for large scale content distribution\", INFOCOM 2005",
    run,
};

/// Equal peers of the publisher's speed. Steady: they come by chance and seed for a while, as a torrent that is not young;
/// else all come at once.
const PIECES: &str = r#"
[content]
size = "25600 kB"
piece = "256 kB"
[[peers]]
name = "publisher"
count = 1
complete = true
up = "400 kbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "peer"
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline"
"#;

/// A seed with four slots, as the releases that the paper compares; each slot has 2 Mbit/s. Of those that it serves,
/// ordinary peers take half of that at most, and free riders, a quarter of the peers, all. Nobody has everything before the
/// run is over, so that the whole run is of one seed.
const SEEDING: &str = r#"
[content]
size = "1 GiB"
piece = "1 MiB"
[run]
until = "30 min"
[[peers]]
name = "seed"
count = 1
complete = true
up = "8 Mbit/s"
down = "unlimited"
profile = "mainline"
choke = { max-uploads = 4 }
[[peers]]
name = "peer"
count = 30
up = "400 kbit/s"
down = "1 Mbit/s"
profile = "mainline"
[[peers]]
name = "free-rider"
count = 10
up = "400 kbit/s"
down = "10 Mbit/s"
profile = "free-rider"
"#;

/// What of the pieces is compared, and how peers choose.
const CHOICES: [(&str, &[&str]); 3] = [
    ("rarest first", &[]),
    ("coding", &["content.coded=true"]),
    ("random", &["peers.peer.piece={ use = \"random\" }"]),
];

/// No more than six neighbours, as in the overlays of the paper on coding; who has fewer than four asks for more within a
/// second.
const NARROW: [&str; 4] = [
    "tracker.reply=6",
    "peers.peer.peers={ max-connections = 6, max-initiate = 6 }",
    "peers.publisher.peers={ max-connections = 6, max-initiate = 6 }",
    "peers.peer.announce={ min-peers = 4, reachable-divisor = 1, check-interval = \"1 s\" }",
];

/// The limits of "near", of "nearly always", of "everybody alike" and of "captured": ours.
const NEAR: f64 = 1.05;
const ALWAYS: f64 = 0.9;
const ALIKE: f64 = 0.8;
const CAPTURED: f64 = 0.5;

fn pieces(measured: &Measured) -> Figures {
    let overall = &measured.summary.overall;
    let mean = |name: &str| overall.get(name).map(|dist| dist.mean);
    let figures = [
        ("time", mean("completion_time")),
        ("interest", overall.get("interest_ratio_p50").map(|dist| dist.median)),
        ("used", mean("upload_utilization")),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn seeding(measured: &Measured) -> Figures {
    let sent = |to: Option<&str>| -> f64 {
        let pairs = measured.choke_matrix.iter().filter(|pair| pair.from == "seed");
        pairs.filter(|pair| to.is_none_or(|to| pair.to == to)).map(|pair| pair.bytes as f64).sum()
    };
    let jain = measured.summary.overall.get("jain_seed_service").map_or(f64::NAN, |jain| jain.mean);
    Figures::from([
        ("jain".to_owned(), jain),
        ("free riders".to_owned(), sent(Some("free-rider")) / sent(None)),
    ])
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (kilobytes, until, crowd) = lab.either((12_800, 2500, 40), (51_200, 10_000, 100));
    // Peers seed for a sixth of the time that the content takes on one uplink.
    let (arrivals, seeding_time) = lab.either((0.1, 42), (0.05, 170));
    let steady = [
        format!("run.until={until} s"),
        format!("peers.peer.arrives={{ poisson = \"{arrivals}/s\" }}"),
        format!("peers.peer.leaves={{ exponential = \"{seeding_time} s\" }}"),
    ];
    let flash = [format!("peers.peer.count={crowd}")];
    let narrow: Vec<String> = flash.iter().cloned().chain(NARROW.map(str::to_owned)).collect();
    let swarms: [(&str, &[String]); 3] =
        [("steady state", &steady), ("flash crowd", &flash), ("flash crowd, six neighbours", &narrow)];
    let (swarms, choices) = lab.either((&swarms[..2], &CHOICES[..2]), (&swarms[..], &CHOICES[..]));
    let mut cells = Vec::new();
    for (swarm, of_swarm) in swarms {
        for (choice, of_choice) in choices {
            let mut sets = vec![format!("content.size={kilobytes} kB")];
            sets.extend(of_swarm.iter().cloned());
            sets.extend(of_choice.iter().map(|&set| set.to_owned()));
            let scenario = lab.scenario("rarest-enough", PIECES, &sets)?;
            let label = format!("rarest-enough {swarm}, {choice}");
            cells.push(Cell { label, scenario, seeds: lab.seeds(10), read: &pieces });
        }
    }
    let minutes = lab.either(10, 30);
    for ranking in ["upload-rate", "rotate"] {
        let sets = [format!("run.until={minutes} min"), format!("peers.seed.choke.seed-ranking={ranking}")];
        let scenario = lab.scenario("rarest-enough-seed", SEEDING, &sets)?;
        let label = format!("rarest-enough seed by {ranking}");
        cells.push(Cell { label, scenario, seeds: lab.seeds(20), read: &seeding });
    }
    let runs = lab.run(&cells)?;
    let mut rows = Vec::new();
    for ((swarm, _), runs) in swarms.iter().zip(runs.chunks(choices.len())) {
        let times: Vec<Sample> = runs.iter().map(|runs| Sample::of(runs, "time")).collect();
        let by_rarest = Sample::ratio(&times[0], &times[1]);
        let what = format!("{swarm}: mean download time, rarest first / coding");
        rows.push(match *swarm {
            "steady state" => Row::new(
                what,
                (format!("near 1: coding is not justified; at most {NEAR}"), Standing::Abstract),
                by_rarest.shown(3),
                judge(Check::Shape, by_rarest.interval(), 0.0, NEAR),
            ),
            _ => Row::noted(what, by_rarest.shown(3)),
        });
        if let [_, coding, random] = &times[..] {
            let by_random = Sample::ratio(random, coding);
            rows.push(Row::noted(format!("{swarm}: the same, random / coding"), by_random.shown(3)));
        }
        let interest = Sample::of(&runs[0], "interest");
        let what = format!(
            "{swarm}: part of the time that a peer wants something of a neighbour, median, rarest first"
        );
        rows.push(match *swarm {
            "steady state" => Row::new(
                what,
                (format!("near 1: close to ideal diversity; at least {ALWAYS}"), Standing::Abstract),
                interest.shown(3),
                judge(Check::Shape, interest.interval(), ALWAYS, 1.0),
            ),
            _ => Row::noted(what, interest.shown(3)),
        });
        for ((choice, _), (runs, time)) in choices.iter().zip(runs.iter().zip(&times)) {
            rows.push(Row::noted(
                format!("{swarm}, {choice}: mean download time in s; part of the leechers' uplinks in use"),
                format!("{}; {}", time.shown(0), Sample::of(runs, "used").shown(3)),
            ));
        }
    }
    let [old, new] = [0, 1].map(|at| &runs[swarms.len() * choices.len() + at]);
    let [old_jain, new_jain] = [old, new].map(|runs| Sample::of(runs, "jain"));
    let [old_part, new_part] = [old, new].map(|runs| Sample::of(runs, "free riders"));
    let fairer = Sample::difference(&new_jain, &old_jain);
    rows.extend([
        Row::new(
            "seed that serves in turn: Jain's index of what each peer got from it",
            (format!("near 1: everybody alike; at least {ALIKE}"), Standing::Abstract),
            new_jain.shown(3),
            judge(Check::Shape, new_jain.interval(), ALIKE, 1.0),
        ),
        Row::new(
            "the same, less that of a seed that serves who takes most",
            ("more than 0", Standing::Abstract),
            fairer.shown(3),
            judge(Check::Shape, fairer.interval(), 0.0, f64::INFINITY),
        ),
        Row::new(
            "seed that serves who takes most: what free riders, a quarter of the peers, get of it",
            (format!("captured: more than {CAPTURED}"), Standing::Abstract),
            old_part.shown(3),
            judge(Check::Shape, old_part.interval(), CAPTURED, 1.0),
        ),
        Row::noted("seed that serves in turn: the same", new_part.shown(3)),
    ]);
    Ok(Findings {
        setup: vec![
            format!(
                "Pieces: {kilobytes} kB in pieces of 256 kB, everybody 400 kbit/s up and 1500 kbit/s down, 50 ms of delay, \
                 mainline. Steady state: {arrivals} peers come per second, and seed for {seeding_time} s on average; the warm-up is cut off. \
                 Flash crowd: {crowd} peers at once, which stay, and a seed as slow as they are; once with up to 55 \
                 neighbours and once with six. Coding is an upper bound: whatever a peer sends is new to who lacks \
                 anything, with the same chokers, requests and rounds."
            ),
            format!(
                "Seed: 8 Mbit/s and four slots; 30 peers of 1 Mbit/s down and 10 free riders of 10 Mbit/s; {minutes} \
                 minutes, in which nobody gets everything. \"Who takes most\" is the original's order until 3.4.2, \"in \
                 turn\" that of release 4. The paper measured real torrents: the links are ours."
            ),
        ],
        rows,
        explanation: Vec::new(),
    })
}
