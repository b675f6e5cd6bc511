//! A swarm that lacks one piece grows without end once peers come faster than the seed can give it (Hajek and Zhu).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "missing-piece",
    title: "Whether peers come faster than the seed gives the missing piece decides whether the swarm grows",
    source: "Hajek and Zhu, \"The missing piece syndrome in peer-to-peer communication\", Stochastic Systems 1, 2011",
    run,
};

/// Everyone but the seed lacks piece 17. As in the model: a peer leaves at once when it has everything, downloads have no
/// limit, and the seed gives its whole uplink to one peer at a time, drawn at random from all, until that one leaves.
/// To know all it asks the tracker every 10 s.
pub(super) const SCENARIO: &str = r#"
[content]
size = "5120 kB"
piece = "256 kB"
[network]
delay = 0
granularity = "piece"
[tracker]
reply = 100
[run]
until = "1500 s"
limit = "10 d"
[[peers]]
name = "seed"
count = 1
complete = true
up = "400 kbit/s"
down = "unlimited"
profile = "mainline"
choke = { use = "random", slots = 1, round = "100 d" }
announce = { check-interval = "10 s", min-peers = 100000, max-peers = 100000 }
peers = { max-connections = 100000, max-initiate = 100000, max-spares = 100000 }
[[peers]]
name = "club"
count = 300
up = "400 kbit/s"
down = "unlimited"
have = { missing = [17] }
profile = "mainline"
leaves = "on-complete"
peers = { max-connections = 200 }
[[peers]]
name = "newcomer"
up = "400 kbit/s"
down = "unlimited"
arrives = { poisson = "0.1/s" }
profile = "mainline"
leaves = "on-complete"
peers = { max-connections = 200 }
"#;

/// What the seed's uplink carries: pieces per second. 400 kbit/s in pieces of 256 kB.
pub(super) const SEED: f64 = 50_000.0 / 256_000.0;
/// When counting begins, in seconds: by then those who come and those who know everything but piece 17 are in balance.
pub(super) const FROM: f64 = 200.0;
/// How far from the theory the slope may be.
const TOLERANCE: f64 = 0.2;

/// Arrivals, in parts of what the seed carries, and the piece policy of all but the seed.
const QUICK: &[(f64, &str)] = &[(0.5, "rarest-first"), (2.0, "rarest-first")];
const FULL: &[(f64, &str)] = &[
    (0.5, "rarest-first"),
    (0.75, "rarest-first"),
    (1.25, "rarest-first"),
    (2.0, "rarest-first"),
    (0.5, "sequential"),
    (2.0, "sequential"),
];

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (club, until) = lab.either((200, 1000), (500, 2500));
    let read = |measured: &Measured| -> Figures {
        let end = measured.summary.end_s;
        let present = |t: f64| {
            let here = |left: Option<f64>| left.is_none_or(|left| left > t);
            measured.peers.iter().filter(|peer| peer.arrived_s <= t && here(peer.left_s)).count() as f64
        };
        Figures::from([("slope".to_owned(), (present(end) - present(FROM)) / (end - FROM))])
    };
    let mut cells = Vec::new();
    let setups = lab.either(QUICK, FULL);
    for (part, piece) in setups {
        let mut sets = vec![
            format!("peers.club.count={club}"),
            format!("run.until={until} s"),
            format!("peers.newcomer.arrives={{ poisson = \"{}/s\" }}", part * SEED),
        ];
        if *piece != "rarest-first" {
            sets.extend(["club", "newcomer"].map(|who| format!("peers.{who}.profile={piece}")));
        }
        let scenario = lab.scenario("missing-piece", SCENARIO, &sets)?;
        let label = format!("missing-piece {part} times the seed, {piece}");
        cells.push(Cell { label, scenario, seeds: lab.seeds(20), read: &read });
    }
    let mut rows = Vec::new();
    for ((part, piece), runs) in setups.iter().zip(lab.run(&cells)?) {
        let slope = Sample::of(&runs, "slope");
        let expected = (part - 1.0) * SEED;
        let what = format!("arrivals {part} times what the seed carries, {piece}: peers more per second");
        let (from, to) = if expected > 0.0 { (0.0, f64::INFINITY) } else { (f64::NEG_INFINITY, 0.0) };
        let sign = if expected > 0.0 { "above 0: it grows" } else { "below 0: it shrinks" };
        rows.push(Row::new(
            format!("{what}, sign"),
            (sign, Standing::Abstract),
            slope.shown(4),
            judge(Check::Number, slope.interval(), from, to),
        ));
        let (a, b) = (expected * (1.0 - TOLERANCE), expected * (1.0 + TOLERANCE));
        rows.push(Row::new(
            what,
            (format!("{expected:.4}, within 20 %"), Standing::Derived),
            slope.shown(4),
            judge(Check::Number, slope.interval(), a.min(b), a.max(b)),
        ));
    }
    Ok(Findings {
        setup: vec![
            "One seed can give U_s pieces per second; peers come at rate lambda and leave with everything. If nearly all of \
             them lack one and the same piece (the \"one club\"), only the seed has it, so they leave at U_s, while \
             newcomers soon have all the others and join the club: it grows by lambda - U_s per second, whatever useful \
             piece is chosen."
                .to_owned(),
            format!(
                "U_s = {SEED:.4}/s (400 kbit/s, 20 pieces of 256 kB); {club} peers lack one same piece at the start; {until} s, \
                 counted from {FROM} s on. Whole pieces, no delay, no limit on downloads; the seed serves one peer at a \
                 time, drawn at random from all; all others run mainline."
            ),
        ],
        rows,
        explanation: vec![
            "In the theory the club is so large that the seed never meets a newcomer. Here it does now and then, and what it \
             gives it besides the missing piece is lost to the club; on the other hand a newcomer with the missing piece \
             passes it on before it leaves. Both vanish as the club grows."
                .to_owned(),
        ],
    })
}
