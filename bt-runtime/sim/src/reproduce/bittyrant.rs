//! One strategic client among mainline peers gains, and a swarm of selfish ones loses (Piatek et al., NSDI 2007).

use super::live_swarm::{self, Client, Swarm};
use super::{Cell, Check, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "bittyrant",
    title: "One BitTyrant among mainline peers is done sooner; when all keep what they can, all are later",
    source: "Piatek, Isdal, Anderson, Krishnamurthy and Venkataramani, \"Do incentives build robustness in BitTorrent?\", \
             NSDI 2007",
    run,
};

/// Everybody, and the peer that is watched. The first is the twin that the others are held against.
const QUICK: &[(Client, Client)] = &[
    (Client::Mainline, Client::Mainline),
    (Client::Mainline, Client::BitTyrant),
    (Client::Selfish, Client::Selfish),
    (Client::BitTyrant, Client::BitTyrant),
];
const FULL: &[(Client, Client)] = &[
    (Client::Mainline, Client::Mainline),
    (Client::Mainline, Client::BitTyrant),
    (Client::Selfish, Client::Selfish),
    (Client::BitTyrant, Client::BitTyrant),
    (Client::Mainline, Client::Selfish),
    (Client::Mainline, Client::Shipped),
];

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (size, scale) = lab.either(("24 MiB", 1), ("64 MiB", 2));
    let setups = lab.either(QUICK, FULL);
    let mut cells = Vec::new();
    for &(everyone, probe) in setups {
        let scenario = Swarm::probed(everyone, probe).scenario(lab, "bittyrant", size, scale)?;
        let label = format!("bittyrant {probe} among {everyone}");
        cells.push(Cell { label, scenario, seeds: lab.seeds(30), read: &live_swarm::read });
    }
    let runs = lab.run(&cells)?;
    let of = |cell: usize, name: &str| Sample::of(&runs[cell], name);
    let positive = |sample: &Sample| judge(Check::Shape, sample.interval(), 0.0, f64::INFINITY);
    let mut rows = Vec::new();
    for (at, (everyone, probe)) in setups.iter().enumerate().skip(1) {
        if *everyone == Client::Mainline {
            let gain = Sample::difference(&of(0, "probe"), &of(at, "probe"));
            rows.push(Row::new(
                format!("one {probe} among mainline: seconds that it is done before its mainline twin"),
                ("above 0 (70 % in live swarms of 2006)", Standing::Abstract),
                gain.shown(0),
                positive(&gain),
            ));
            let part = Sample::ratio(&of(0, "probe"), &of(at, "probe"));
            rows.push(Row::noted(
                format!("one {probe} among mainline: time of the twin / its own; copies that it gave"),
                format!("{}; {}", part.shown(2), of(at, "probe gives").shown(2)),
            ));
        } else {
            let loss = Sample::difference(&of(at, "time"), &of(0, "time"));
            let what =
                format!("all are {everyone}: mean download time in s, less that of an all-mainline swarm");
            rows.push(if *everyone == Client::Selfish {
                let expected = ("above 0: strategic clients can hurt the average", Standing::Abstract);
                Row::new(what, expected, loss.shown(0), positive(&loss))
            } else {
                Row::noted(what, loss.shown(0))
            });
        }
    }
    rows.push(Row::noted("mainline twin: time in s", of(0, "probe").shown(0)));
    rows.push(Row::noted("mainline twin: copies that it gave", of(0, "probe gives").shown(2)));
    rows.push(Row::noted("all are mainline: mean download time in s", of(0, "time").shown(0)));
    Ok(Findings {
        setup: vec![
            live_swarm::SETUP.to_owned(),
            format!(
                "{} peers at the start, as many newcomers in four minutes, {size}. BitTyrant in its paper's form unless a row \
                 says otherwise. The peer that is watched has 1 Mbit/s up, as in the paper, and joins after a minute with \
                 nothing: in the paper, too, one client joined swarms that were there. The capacities that the paper \
                 measured were not at hand; these links are as skewed.",
                40 * scale
            ),
        ],
        rows,
        explanation: EXPLANATION.map(str::to_owned).to_vec(),
    })
}

/// The uses of uplinks are of runs of the first seed of the quick form.
const EXPLANATION: [&str; 3] = [
    "A mainline peer shares its uplink equally among those that it serves, so whoever gives it a little more than the slowest \
     of them gets as much as the fastest. One BitTyrant finds out how little that is, and spends what it saves on more peers: it \
     is done sooner and gives less. How much sooner is a matter of links and peers; the 70 % of the paper are of swarms of \
     2006 and decide nothing here, only the sign does.",
    "When all are selfish, everybody stops giving once more would buy nothing more: a third of the leechers' uplinks is in use, \
     where an all-mainline swarm uses 0.78 of them, and what is not given nobody gets. What selfish peers save is \
     what the swarm lived on.",
    "When all give away what is left over, 0.61 of the uplinks are in use. What a peer is given is a cap: of an offer that it \
     does not use up (it lacks nothing that we have, or asks for little) nobody else gets the rest until the next round. The \
     paper's abstract says only that strategic clients can hurt the average, so the row is noted.",
];
