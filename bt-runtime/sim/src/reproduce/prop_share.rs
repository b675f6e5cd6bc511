//! Shares in proportion to what was given, against equal slots and BitTyrant (Levin et al., SIGCOMM 2008).

use super::live_swarm::{self, Client, Swarm};
use super::{Cell, Check, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "prop-share",
    title: "PropShare gives in proportion to what was given, and is faster than mainline and BitTyrant",
    source: "Levin, LaCurts, Spring and Bhattacharjee, \"BitTorrent is an auction: analyzing and improving BitTorrent's \
             incentives\", SIGCOMM 2008",
    run,
};

/// Everybody, and the peer that is watched.
const QUICK: &[(Client, Client)] = &[
    (Client::Mainline, Client::Mainline),
    (Client::Mainline, Client::PropShare),
    (Client::Mainline, Client::BitTyrant),
    (Client::PropShare, Client::PropShare),
];
const FULL: &[(Client, Client)] = &[
    (Client::Mainline, Client::Mainline),
    (Client::Mainline, Client::PropShare),
    (Client::Mainline, Client::BitTyrant),
    (Client::PropShare, Client::PropShare),
    (Client::BitTyrant, Client::BitTyrant),
    (Client::BitTyrant, Client::PropShare),
    (Client::PropShare, Client::BitTyrant),
];

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (size, scale) = lab.either(("24 MiB", 1), ("64 MiB", 2));
    let setups = lab.either(QUICK, FULL);
    let mut cells = Vec::new();
    for &(everyone, probe) in setups {
        let scenario = Swarm::probed(everyone, probe).scenario(lab, "prop-share", size, scale)?;
        let label = format!("prop-share {probe} among {everyone}");
        cells.push(Cell { label, scenario, seeds: lab.seeds(30), read: &live_swarm::read });
    }
    let runs = lab.run(&cells)?;
    let of = |everyone: Client, probe: Client, name: &str| {
        let cell = setups.iter().position(|setup| *setup == (everyone, probe));
        Sample::of(cell.map_or(&[], |cell| &runs[cell]), name)
    };
    let positive = |sample: &Sample| judge(Check::Shape, sample.interval(), 0.0, f64::INFINITY);
    let mut rows = Vec::new();
    let proportion = |all| of(all, all, "proportion");
    let more = Sample::difference(&proportion(Client::PropShare), &proportion(Client::Mainline));
    rows.push(Row::new(
        "all are PropShare: part of the gifts in proportion to those of the last round, less the same of mainline",
        ("above 0: it is the rule", Standing::Derived),
        more.shown(3),
        positive(&more),
    ));
    for all in [Client::PropShare, Client::Mainline] {
        rows.push(Row::noted(
            format!("all are {all}: part of the gifts in proportion to those of the last round"),
            proportion(all).shown(3),
        ));
    }
    for everyone in [Client::Mainline, Client::BitTyrant] {
        for rival in [Client::Mainline, Client::BitTyrant] {
            let (own, other) = (of(everyone, Client::PropShare, "probe"), of(everyone, rival, "probe"));
            if own.0.is_empty() || other.0.is_empty() {
                continue;
            }
            let gain = Sample::difference(&other, &own);
            rows.push(Row::new(
                format!(
                    "one PropShare among {everyone}: seconds that it is done before a {rival} in its place"
                ),
                ("above 0", Standing::Abstract),
                gain.shown(0),
                positive(&gain),
            ));
        }
    }
    for rival in [Client::Mainline, Client::BitTyrant] {
        let other = of(rival, rival, "time");
        if !other.0.is_empty() {
            let gain = Sample::difference(&other, &of(Client::PropShare, Client::PropShare, "time"));
            rows.push(Row::new(
                format!("all are {rival}: mean download time in s, less that of an all-PropShare swarm"),
                ("above 0", Standing::Abstract),
                gain.shown(0),
                positive(&gain),
            ));
        }
    }
    for (everyone, probe) in setups {
        rows.push(Row::noted(
            format!("one {probe} among {everyone}: its time in s; mean time of the others"),
            format!(
                "{}; {}",
                of(*everyone, *probe, "probe").shown(0),
                of(*everyone, *probe, "time").shown(0)
            ),
        ));
    }
    Ok(Findings {
        setup: vec![
            live_swarm::SETUP.to_owned(),
            format!(
                "{} peers at the start, as many newcomers in four minutes, {size}; the peer that is watched has 1 Mbit/s up and \
                 joins after a minute with nothing. In proportion (`proportionality`): of what is given in 10 s to peers that \
                 gave in the 10 s before, the part that is shared out as these gave; 1 is exact, up to whole blocks and to peers \
                 that ask for less.",
                40 * scale
            ),
        ],
        rows,
        explanation: EXPLANATION.map(str::to_owned).to_vec(),
    })
}

/// Classes and uses of uplinks are of runs of the first seed of the quick form.
const EXPLANATION: [&str; 3] = [
    "Weights are exactly in proportion; bytes are less so: a peer asks for less than its share, or for nothing at the moment, \
     blocks are whole (an uplink of 128 kbit/s carries less than ten in a round), and a round is short against the \
     swings of what others give. Equal slots are in proportion, too, as far as those that are served gave much the same: so \
     the difference from mainline is small.",
    "Who gives more gets more: where all are PropShare the fast newcomers are done after 162 s, under mainline after 231 s, and \
     more of the leechers' uplinks is in use (0.86 and 0.78). But slow ones need 424 s and not 319 s, and there are \
     more of these: the mean over all peers, which the rows are about, is worse. The paper's abstract does not say of whom its \
     times are.",
    "One PropShare among others differs from what is in its place by less than the times of one peer differ from seed to seed; \
     what decides is how many runs there are.",
];
