//! A seed that serves the piece most asked for saves time where peers come and go (Esposito et al. 2009).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "seed-scheduling",
    title: "A seed that serves the piece most asked for of what it was served saves time where peers come and go",
    source: "Esposito, Matta, Michiardi, Mitsutake and Carra, \"Seed scheduling for peer-to-peer networks\", NCA 2009",
    run,
};

/// One seed, twice as fast as a peer, with four slots as of release 4. All run the same but for the seed's choker.
/// Dynamic: peers come by chance and leave when they are done, so that the seed goes on being the only one.
const SCENARIO: &str = r#"
[content]
size = "32 MiB"
piece = "256 KiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "800 kbit/s"
down = "unlimited"
profile = "mainline-4"
net = { upload-limit = "unlimited" }
choke = { max-uploads = 4 }
[[peers]]
name = "peer"
count = 60
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline-4"
net = { upload-limit = "unlimited" }
choke = { max-uploads = 4 }
"#;

/// The seed's chokers: the standard and the new one.
const SEEDS: [(&str, Option<&str>); 2] =
    [("in turn", None), ("pfs", Some("peers.seed.choke={ use = \"pfs\" }"))];

fn read(measured: &Measured) -> Figures {
    let overall = &measured.summary.overall;
    let figures = [
        ("time", overall.get("completion_time").map(|time| time.mean)),
        ("copies", overall.get("seed_copies").map(|copies| copies.mean)),
        (
            "used",
            measured
                .summary
                .classes
                .get("seed")
                .and_then(|seed| seed.get("upload_utilization_seeds"))
                .map(|used| used.mean),
        ),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (peers, size, per_minute) = lab.either((40, 24, 12), (150, 64, 12));
    let swarms = [
        (
            "dynamic",
            vec![
                format!("peers.peer.arrives={{ poisson = \"{per_minute}/min\" }}"),
                "peers.peer.leaves=on-complete".to_owned(),
            ],
        ),
        ("all at once, and they stay", vec![]),
    ];
    let swarms = lab.either(&swarms[..1], &swarms[..]);
    let mut cells = Vec::new();
    for (swarm, of_swarm) in swarms {
        for (seed, choke) in SEEDS {
            let mut sets = vec![format!("peers.peer.count={peers}"), format!("content.size={size} MiB")];
            sets.extend(of_swarm.iter().cloned());
            sets.extend(choke.map(str::to_owned));
            let scenario = lab.scenario("seed-scheduling", SCENARIO, &sets)?;
            let label = format!("seed-scheduling {swarm}, {seed}");
            cells.push(Cell { label, scenario, seeds: lab.seeds(20), read: &read });
        }
    }
    let runs = lab.run(&cells)?;
    let mut rows = Vec::new();
    for ((swarm, _), runs) in swarms.iter().zip(runs.chunks(SEEDS.len())) {
        let [turns, pfs] = [0, 1].map(|seed| Sample::of(&runs[seed], "time"));
        let saved = Sample(Sample::ratio(&pfs, &turns).0.iter().map(|ratio| 1.0 - ratio).collect());
        let what = format!("{swarm}: part of the mean download time that pfs saves");
        rows.push(match *swarm {
            "dynamic" => Row::new(
                what,
                ("more than 0, up to 0.25", Standing::Abstract),
                saved.shown(3),
                judge(Check::Shape, saved.interval(), 0.0, f64::INFINITY),
            ),
            _ => Row::noted(what, saved.shown(3)),
        });
        for ((seed, _), runs) in SEEDS.iter().zip(runs) {
            let shown = |figure, digits| Sample::of(runs, figure).shown(digits);
            rows.push(Row::noted(
                format!("{swarm}, {seed}: mean time in s; part of the seed's uplink in use; copies until one is done"),
                format!("{}; {}; {}", shown("time", 0), shown("used", 3), shown("copies", 2)),
            ));
        }
    }
    Ok(Findings {
        setup: vec![format!(
            "A seed of 800 kbit/s and {peers} peers of 400 kbit/s up and 1500 kbit/s down, {size} MiB in pieces of 256 KiB, 50 \
             ms of delay; all run mainline-4 with four slots and no limit on upload but the link. Dynamic: {per_minute} peers \
             come per minute by chance, and leave when they are done. The seed serves in turn as release 4 does, or by `pfs`: it \
             unchokes everybody, and of what is asked for gives the piece with the most requests for its share of the \
             upload so far. The abstract says what was gained, not with which links: these are ours."
        )],
        rows,
        explanation: vec![
            "One departure of `pfs` from the papers' client is the likely reason where nothing is saved. That one chokes \
             whoever is not chosen, so that these ask elsewhere and, once unchoked, for something that is rare then. Here \
             they stay unchoked, and their requests wait: in one dynamic run with 40 peers a request waited 13 s at the seed \
             (in turn: 4 s), and with a seed of 200 kbit/s 52 s. So many pieces are under way at once, each becomes whole, \
             and can be passed on, the later for it, and the seed gives more copies until the first peer is done. With \
             whole pieces for blocks and 200 kbit/s, peers took twice as long with `pfs` (two runs): what had waited \
             was asked for when it was rare."
                .to_owned(),
            "With 800 kbit/s all peers' uplinks are in use most of the time, so that no order of the seed can save much; \
             the gain of the paper must be of swarms that wait for the seed."
                .to_owned(),
        ],
    })
}
