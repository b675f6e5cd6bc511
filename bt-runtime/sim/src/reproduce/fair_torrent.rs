//! What a peer gives and gets hardly differs under FairTorrent (Sherman, Nieh and Stein, CoNEXT 2009).

use super::live_swarm::{self, Client, Start, Swarm};
use super::{Cell, Check, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "fair-torrent",
    title: "FairTorrent keeps what a peer gives near what it gets, with and without free riders",
    source: "Sherman, Nieh and Stein, \"FairTorrent: bringing fairness to peer-to-peer systems\", CoNEXT 2009",
    run,
};

/// How many times smaller is far smaller: ours.
const FAR: f64 = 2.0;

const POLICIES: [Client; 2] = [Client::Mainline, Client::FairTorrent];

/// What is run, under both policies: its name, whether there are free riders, and how peers come. The last is for the full
/// form only.
const SETUPS: [(&str, bool, Start); 4] = [
    ("live swarm", false, Start::Live),
    ("live swarm, 20 % free riders", true, Start::Live),
    ("all have half", false, Start::Half),
    ("crowd", false, Start::Nothing),
];

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (size, scale) = lab.either(("16 MiB", 1), ("64 MiB", 2));
    let mut cells = Vec::new();
    let setups = lab.either(&SETUPS[..3], &SETUPS);
    for &(setup, free_riders, start) in setups {
        for policy in POLICIES {
            let swarm = Swarm { free_riders, start, ..Swarm::of_all(policy) };
            let scenario = swarm.scenario(lab, "fair-torrent", size, scale)?;
            let label = format!("fair-torrent {setup}, {policy}");
            cells.push(Cell { label, scenario, seeds: lab.seeds(30), read: &live_swarm::read });
        }
    }
    let runs = lab.run(&cells)?;
    let mut rows = Vec::new();
    for ((setup, free_riders, _), runs) in setups.iter().zip(runs.chunks(POLICIES.len())) {
        let of = |policy: usize, name: &str| Sample::of(&runs[policy], name);
        let ratio = |name: &str| Sample::ratio(&of(0, name), &of(1, name));
        let error = ratio("error");
        rows.push(Row::new(
            format!("{setup}: largest service error of any peer, mainline / FairTorrent"),
            (format!("far above 1 (up to 100); at least {FAR}"), Standing::Abstract),
            error.shown(2),
            judge(Check::Shape, error.interval(), FAR, f64::INFINITY),
        ));
        let mean = ratio("mean error");
        rows.push(Row::noted(format!("{setup}: the same of a peer on average"), mean.shown(2)));
        let fast = ratio("time fast");
        rows.push(Row::new(
            format!("{setup}: mean download time of the fastest class, mainline / FairTorrent"),
            ("above 1 (up to 5 for those that give)", Standing::Abstract),
            fast.shown(2),
            judge(Check::Shape, fast.interval(), 1.0, f64::INFINITY),
        ));
        if *free_riders {
            let sooner = Sample::difference(&of(0, "time"), &of(1, "time"));
            rows.push(Row::new(
                format!("{setup}: mean download time in s of who gives, mainline less FairTorrent"),
                ("above 0", Standing::Abstract),
                sooner.shown(0),
                judge(Check::Shape, sooner.interval(), 0.0, f64::INFINITY),
            ));
        }
        for (policy, name) in POLICIES.iter().enumerate() {
            rows.push(Row::noted(
                format!("{setup}, {name}: largest and mean service error in MB"),
                format!("{}; {}", of(policy, "error").shown(2), of(policy, "mean error").shown(2)),
            ));
            rows.push(Row::noted(
                format!("{setup}, {name}: mean download time in s; of the fastest class"),
                format!("{}; {}", of(policy, "time").shown(0), of(policy, "time fast").shown(0)),
            ));
            if *free_riders {
                let free = of(policy, "time free").shown(0);
                rows.push(Row::noted(
                    format!("{setup}, {name}: mean download time in s of free riders"),
                    free,
                ));
            }
        }
    }
    Ok(Findings {
        setup: vec![
            live_swarm::SETUP.to_owned(),
            format!(
                "{} peers at the start, as many newcomers in four minutes, {size}; all run the same choker, the publisher as \
                 well. Free riders: a fifth of all, with 384 kbit/s that they do not use. All have half: the same links, all at once, and \
                 nobody comes later; this was added when the others had not come out, to see why. Crowd: all at once with nothing. The service error of a peer is the largest difference, at any time, of what it gave to and got \
                 from leechers.",
                40 * scale
            ),
        ],
        rows,
        explanation: EXPLANATION.map(str::to_owned).to_vec(),
    })
}

/// What was seen in runs of the first seed of the quick form.
const EXPLANATION: [&str; 3] = [
    "Where all have half, so that everybody has something for everybody, the algorithm does what the paper says: of the \
     first seed the largest service error is 1.3 MB, under mainline 48 MB, and the fastest peers, which give most, are \
     done after 16 s and not 61 s. That is paid by the others: the mean of all is 148 s, under mainline 71 to 92 s.",
    "Where newcomers have nothing it does not. To them everybody gives one block, and then nothing while others have \
     given more: their first piece is whole after 80 s on average, under mainline after 8 s, and until then they cannot give. The \
     publisher's 1 Mbit/s is shared evenly and helps each of them little. So only 0.4 of the leechers' uplinks are in use, \
     under mainline 0.73, and all are late. What nobody else asks for goes to those that can never pay: with 5000 kbit/s a \
     peer gives them twice what it takes. With equal links (1000 kbit/s) it is the same: 0.64 and 0.92 of uplinks, and the \
     larger error under FairTorrent.",
    "The paper's results seem to be of swarms where newcomers soon have something to trade with. How many seeds gave it to them \
     there was not at hand.",
];
