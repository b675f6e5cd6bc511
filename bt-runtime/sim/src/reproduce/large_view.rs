//! Free riders that connect to everybody, and how many of them a swarm takes (Sirivianos et al., IPTPS 2007).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "large-view",
    title: "Free riders that connect to everybody are done first while they are few, and slow all down",
    source: "Sirivianos, Park, Chen and Yang, \"Free-riding in BitTorrent networks with the large view exploit\", IPTPS 2007",
    run,
};

/// Everybody comes at once; who is done leaves.
const SCENARIO: &str = r#"
[content]
size = "64 MiB"
piece = "256 KiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "800 kbit/s"
down = "unlimited"
profile = "mainline-4"
choke = { max-uploads = 5 }
net = { upload-limit = "unlimited" }
[[peers]]
name = "compliant"
count = 270
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline-4"
choke = { max-uploads = 5 }
net = { upload-limit = "unlimited" }
leaves = "on-complete"
[[peers]]
name = "free"
count = 30
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "large-view"
leaves = "on-complete"
"#;

/// A third of the swarm, and a third of the neighbours that a compliant peer looks for and takes.
const THIRD: &[&str] = &[
    "content.size=12 MiB",
    "peers.compliant.announce.min-peers=7",
    "peers.compliant.announce.max-peers=13",
    "peers.compliant.peers.max-initiate=13",
    "peers.compliant.peers.max-connections=27",
    "peers.compliant.peers.max-spares=13",
    "peers.free.announce.check-interval=10 s",
];

/// Of a hundred leechers, how many are free riders.
const QUICK: &[u32] = &[10, 30, 70];
const FULL: &[u32] = &[5, 10, 20, 30, 40, 50, 60, 70, 80];

/// The paper's crossing point, and how far from it one may be: the latter is ours.
const CROSSING: f64 = 40.0;
const WITHIN: f64 = 10.0;

/// What is kept of a run: the mean download times in seconds.
fn read(measured: &Measured) -> Figures {
    let time = |class: &str| Some(measured.summary.classes.get(class)?.get("completion_time")?.mean);
    if measured.summary.censored > 0 {
        return Figures::new();
    }
    let times = ["compliant", "free"].map(|class| Some((class.to_owned(), time(class)?)));
    times.into_iter().flatten().collect()
}

/// From which part on free riders are no longer the first: `ahead` says, for parts that grow, by how much they are. Linear
/// between parts; 0 if they never are, and 100 if they always are.
fn crossing(ahead: &[(f64, f64)]) -> f64 {
    match ahead.iter().position(|(_, ahead)| *ahead <= 0.0) {
        Some(0) => 0.0,
        Some(at) => {
            let ((below, high), (above, low)) = (ahead[at - 1], ahead[at]);
            below + (above - below) * high / (high - low)
        }
        None => 100.0,
    }
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let leechers = lab.either(100, 300);
    let parts = lab.either(QUICK, FULL);
    let leaving: &[(&str, &str)] =
        lab.either(&[("on-complete", "")], &[("on-complete", ""), ("never", ", all stay")]);
    let mut cells = Vec::new();
    for (leaves, label) in leaving {
        for part in parts {
            let free = leechers * part / 100;
            let mut sets = vec![
                format!("peers.free.count={free}"),
                format!("peers.compliant.count={}", leechers - free),
                format!("peers.free.leaves={leaves}"),
                format!("peers.compliant.leaves={leaves}"),
            ];
            sets.extend(lab.either(THIRD, &[]).iter().map(|&set| set.to_owned()));
            let scenario = lab.scenario("large-view", SCENARIO, &sets)?;
            let label = format!("large-view {part} %{label}");
            cells.push(Cell { label, scenario, seeds: lab.seeds(10), read: &read });
        }
    }
    let runs = lab.run(&cells)?;
    let mut rows = Vec::new();
    for ((_, label), runs) in leaving.iter().zip(runs.chunks(parts.len())) {
        let of = |at: usize, class: &str| Sample::of(&runs[at], class);
        let ahead: Vec<Sample> =
            (0..parts.len()).map(|at| Sample::difference(&of(at, "compliant"), &of(at, "free"))).collect();
        let is_first = label.is_empty();
        for (part, ahead) in parts.iter().zip(&ahead) {
            let what = format!(
                "{part} % free riders{label}: seconds that they are done before the others, on average"
            );
            let few = f64::from(*part) < CROSSING;
            let (from, to) = if few { (0.0, f64::INFINITY) } else { (f64::NEG_INFINITY, 0.0) };
            let expected = if few { "above 0" } else { "below 0" };
            // At the crossing point itself neither is expected.
            rows.push(if is_first && f64::from(*part) != CROSSING {
                let verdict = judge(Check::Shape, ahead.interval(), from, to);
                Row::new(what, (expected, Standing::Abstract), ahead.shown(0), verdict)
            } else {
                Row::noted(what, ahead.shown(0))
            });
        }
        let seeds = ahead.iter().map(|ahead| ahead.0.len()).min().unwrap_or(0);
        let of_run = |run: usize| {
            let course = parts.iter().zip(&ahead).map(|(part, ahead)| (f64::from(*part), ahead.0[run]));
            crossing(&course.collect::<Vec<_>>())
        };
        let crossings = Sample((0..seeds).map(of_run).collect());
        let what = format!("from how many % of free riders on they are later than the others{label}");
        rows.push(if is_first {
            Row::new(
                what,
                (format!("{CROSSING:.0}, within {WITHIN:.0}"), Standing::Abstract),
                crossings.shown(0),
                judge(Check::Shape, crossings.interval(), CROSSING - WITHIN, CROSSING + WITHIN),
            )
        } else {
            Row::noted(what, crossings.shown(0))
        });
        let last = parts.len() - 1;
        for (class, name) in [("compliant", "compliant peers"), ("free", "free riders")] {
            let slower = Sample::difference(&of(last, class), &of(0, class));
            let (few, many) = (parts[0], parts[last]);
            rows.push(Row::new(
                format!("{name}{label}: seconds more with {many} % of free riders than with {few} %"),
                ("above 0: all are worse off", Standing::Abstract),
                slower.shown(0),
                judge(Check::Shape, slower.interval(), 0.0, f64::INFINITY),
            ));
            for (at, part) in parts.iter().enumerate() {
                let what = format!("{part} % free riders{label}: mean download time of {name} in s");
                rows.push(Row::noted(what, of(at, class).shown(0)));
            }
        }
    }
    Ok(Findings {
        setup: vec![format!(
            "{leechers} leechers at once, all with 1500 kbit/s down and 400 kbit/s up, one seed of 800 kbit/s, {}; who is done \
             leaves. Compliant peers run mainline-4 with five slots and no limit on upload but the link{}; free riders run \
             large-view, which asks the tracker again and again and connects to everybody. The abstract has the number of \
             leechers (300) and the results; links, content and that peers leave are ours.",
            lab.either("12 MiB", "64 MiB"),
            lab.either(
                ", and look for a third of their usual neighbours, as the swarm is a third of the paper's",
                ""
            ),
        )],
        rows,
        explanation: EXPLANATION.map(str::to_owned).to_vec(),
    })
}

/// What was seen in runs of the first seed of the quick form.
const EXPLANATION: [&str; 3] = [
    "A free rider has one optimistic unchoke in five of each peer that it is connected to; who connects to the whole swarm \
     has many of them, and the seed serves in turn, whoever asks. That they are first while a tenth of all are, and that all \
     are worse off the more they are, comes out.",
    "In the quick form they are first still where they are many. There the begin is most of a download: with 70 % of them a \
     compliant peer's first piece is whole after 585 s on average and a free rider's after 249 s, since two thirds of what the \
     seed gives goes to free riders, and since a compliant peer's 27 places fill with neighbours that give nothing. With 200 \
     places its first piece is whole after 257 s, and both are done at the same time (1112 and 1133 s); with four times the \
     content as well, free riders are the later ones (3577 and 3688 s). A seed of 6000 kbit/s in place of 800 does not change \
     who is first.",
    "So where the two curves cross depends on how long the content is, how many connections a client allows and whom a seed \
     serves: of the paper's set-up these were not at hand.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crossing_is_between_what_is_on_both_sides() {
        assert_eq!(crossing(&[(10.0, 30.0), (30.0, 10.0), (50.0, -10.0), (70.0, -90.0)]), 40.0);
        assert_eq!(crossing(&[(10.0, 30.0), (30.0, 0.0), (50.0, 10.0)]), 30.0);
        assert_eq!(crossing(&[(10.0, -1.0), (30.0, 10.0)]), 0.0);
        assert_eq!(crossing(&[(10.0, 1.0), (30.0, 10.0)]), 100.0);
    }
}
