//! Rarest first is near the best that coding could do, and the new seed serves everybody (Legout et al., IMC 2006).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::{Measured, PairRow};
use crate::stats;

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

/// A seed with four slots, as the releases that the paper compares; a quarter of the peers are free riders with fast
/// links. Nobody has everything before the run is over, so that the whole run is of one seed.
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
profile = "mainline-4"
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

/// A seed that its link alone limits: it gives 2 Mbit/s a slot, of which an ordinary peer can take half and a free rider
/// all. And one with the limit of 20 KiB/s that release 4 had unless told otherwise, as those of the paper: 5 KiB/s a slot,
/// at which nobody's link matters.
const SEEDS: [(&str, &str); 2] = [(LIMITED, "20 KiB/s"), (FAST, "unlimited")];
const LIMITED: &str = "seed limited to 20 KiB/s";
const FAST: &str = "fast seed";

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
    let pairs: Vec<_> = measured.choke_matrix.iter().filter(|pair| pair.from == "seed").collect();
    let part = |of: &dyn Fn(&PairRow) -> f64| {
        let free_riders = pairs.iter().filter(|pair| pair.to == "free-rider");
        free_riders.map(|pair| of(pair)).sum::<f64>() / pairs.iter().map(|pair| of(pair)).sum::<f64>()
    };
    let got: Vec<f64> =
        measured.peers.iter().filter_map(|peer| peer.metrics.get("seed_bytes").copied()).collect();
    let served = got.iter().filter(|bytes| **bytes > 0.0).count() as f64;
    Figures::from([
        ("jain".to_owned(), stats::jain(&got).unwrap_or(f64::NAN)),
        ("free riders".to_owned(), part(&|pair| pair.bytes as f64)),
        ("their time".to_owned(), part(&|pair| pair.unchoked_s)),
        ("served".to_owned(), served / got.len() as f64),
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
    for (speed, limit) in SEEDS {
        for ranking in ["upload-rate", "rotate"] {
            let sets = [
                format!("run.until={minutes} min"),
                format!("peers.seed.net.upload-limit={limit}"),
                format!("peers.seed.choke.seed-ranking={ranking}"),
            ];
            let scenario = lab.scenario("rarest-enough-seed", SEEDING, &sets)?;
            let label = format!("rarest-enough {speed} by {ranking}");
            cells.push(Cell { label, scenario, seeds: lab.seeds(20), read: &seeding });
        }
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
                judge(Check::Shape, interest.interval(), ALWAYS, f64::INFINITY),
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
    for ((speed, _), runs) in SEEDS.iter().zip(runs[swarms.len() * choices.len()..].chunks(2)) {
        let of = |run: usize, figure| Sample::of(&runs[run], figure);
        let jain = of(1, "jain");
        rows.push(Row::new(
            format!("{speed}, in turn: Jain's index of what each peer got from it"),
            (format!("near 1: everybody alike; at least {ALIKE}"), Standing::Abstract),
            jain.shown(3),
            judge(Check::Shape, jain.interval(), ALIKE, f64::INFINITY),
        ));
        let fairer = Sample::difference(&jain, &of(0, "jain"));
        rows.push(Row::new(
            format!("{speed}: the same, less that of who takes most first"),
            ("more than 0", Standing::Abstract),
            fairer.shown(3),
            judge(Check::Shape, fairer.interval(), 0.0, f64::INFINITY),
        ));
        let captured = of(0, "free riders");
        let what =
            format!("{speed}, who takes most first: what free riders, a quarter of the peers, get of it");
        rows.push(match *speed {
            FAST => Row::new(
                what,
                (format!("captured: more than {CAPTURED}"), Standing::Abstract),
                captured.shown(3),
                judge(Check::Shape, captured.interval(), CAPTURED, f64::INFINITY),
            ),
            _ => Row::noted(what, captured.shown(3)),
        });
        for (run, order) in [(0, "who takes most first"), (1, "in turn")] {
            let shown = |figure| of(run, figure).shown(2);
            rows.push(Row::noted(
                format!("{speed}, {order}: free riders' part of its bytes; of its time; part of all peers that got anything"),
                format!("{}; {}; {}", shown("free riders"), shown("their time"), shown("served")),
            ));
        }
    }
    Ok(Findings {
        setup: vec![
            format!(
                "Pieces: {kilobytes} kB in pieces of 256 kB, everybody 400 kbit/s up and 1500 kbit/s down, 50 ms of delay, \
                 mainline. Steady state: {arrivals} peers come per second, and seed for {seeding_time} s on \
                 average; the warm-up is cut off. \
                 Flash crowd: {crowd} peers at once, which stay, and a seed as slow as they are; once with up to 55 \
                 neighbours and once with six. Coding: whatever a peer sends is new to who lacks \
                 anything, with the same chokers, requests and rounds."
            ),
            format!(
                "Seed: a link of 8 Mbit/s and four slots; 30 peers of 1 Mbit/s down and 10 free riders of 10 Mbit/s; {minutes} \
                 minutes, in which nobody gets everything. Its client is release 4's, with its limit on upload of 20 KiB/s \
                 or without. \"Who takes most\" is the original's order up to 3.4.2, \"in turn\" that of release 4. The paper \
                 measured real torrents: the links are ours."
            ),
        ],
        rows,
        explanation: vec![
            "Where no piece is rare there is nothing to gain by coding. This coded swarm is even slower there, so it is no \
             bound of the time: it has the same requests, rounds and slots, and each peer calls its pieces by names of its \
             own, so a newcomer finds fewer neighbours that can finish what another began. It had its first whole piece \
             after 43 s in place of 10 (two runs), and nothing to give until then."
                .to_owned(),
            "Coding does gain in a crowd that waits for a seed no faster than one peer: there peers want nothing of each \
             other for much of the time, and what the paper calls the transient state lasts as long as the seed needs for \
             one copy. The paper on coding gains more, in swarms of unequal peers that come and go; few neighbours, as in \
             the third swarm of the full form, are a step towards these."
                .to_owned(),
            "Release 4 keeps the slots of those that it last unchoked, and of those that wait for data while their socket is \
             drained; then of who takes most; two slots of four are given on every 30 s. With a limit on upload sockets \
             are drained nearly always, so that all slots are in the first group, who was served longest is the one to go, \
             and everybody is served alike. Where the link is the limit, data is always on its way: then two of four slots \
             are kept by who takes most, and only the other two go round, so that everybody gets something and fast free \
             riders get most of it. (Its order before that gave slots on only one at a time, and reached part of the peers.)"
                .to_owned(),
        ],
    })
}
