//! Peers cluster by their uplink, and whoever gives more is done sooner (Legout et al., SIGMETRICS 2007).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "clustering",
    title: "Peers serve those of their own speed, and who gives more is done sooner",
    source: "Legout, Liogkas, Kohler and Zhang, \"Clustering and sharing incentives in BitTorrent systems\", \
             SIGMETRICS 2007",
    run,
};

/// Three classes as large as each other, which only their uplinks limit. All run the original client as of release 4,
/// whose seed serves in turn, with its four slots.
const SCENARIO: &str = r#"
[content]
size = "64 MiB"
piece = "256 KiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "8192 kbit/s"
down = "unlimited"
profile = "mainline-4"
net = { upload-limit = "unlimited" }
choke = { max-uploads = 4 }
[[peers]]
name = "slow"
count = 12
up = "128 kbit/s"
down = "unlimited"
profile = "mainline-4"
net = { upload-limit = "unlimited" }
choke = { max-uploads = 4 }
[[peers]]
name = "middle"
count = 12
up = "512 kbit/s"
down = "unlimited"
profile = "mainline-4"
net = { upload-limit = "unlimited" }
choke = { max-uploads = 4 }
[[peers]]
name = "fast"
count = 12
up = "2048 kbit/s"
down = "unlimited"
profile = "mainline-4"
net = { upload-limit = "unlimited" }
choke = { max-uploads = 4 }
"#;

const CLASSES: [&str; 3] = ["slow", "middle", "fast"];

/// What is run: a seed with a fast peer's uplink for each slot, and one that is too slow for them all.
const SETUPS: [(&str, &[&str]); 2] = [("fast seed", &[]), ("slow seed", &["peers.seed.up=512 kbit/s"])];

/// What is kept of a run.
fn read(measured: &Measured) -> Figures {
    let mut figures = Figures::new();
    let mut keep = |name: String, value: Option<f64>| {
        if let Some(value) = value {
            figures.insert(name, value);
        }
    };
    let overall = |name: &str| measured.summary.overall.get(name).map(|dist| dist.mean);
    for class in CLASSES {
        let of = |name: &str| measured.summary.classes.get(class)?.get(name).map(|dist| dist.mean);
        keep(format!("time {class}"), of("completion_time"));
        let (index, share) = (of("clustering_index"), of("clustering_share"));
        keep(format!("clustering {class}"), index.zip(share).map(|(index, share)| index / share));
    }
    keep("seed service".to_owned(), overall("jain_seed_service"));
    keep("utilization".to_owned(), overall("upload_utilization"));
    figures
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let mut cells = Vec::new();
    for (label, sets) in SETUPS {
        let mut sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        if !lab.quick {
            sets.push("content.size=128 MiB".to_owned());
        }
        let scenario = lab.scenario("clustering", SCENARIO, &sets)?;
        cells.push(Cell {
            label: format!("clustering {label}"),
            scenario,
            seeds: lab.seeds(30),
            read: &read,
        });
    }
    let runs = lab.run(&cells)?;
    let runs = &runs;
    let [fast_seed, slow_seed] = [0, 1].map(|cell| move |name: &str| Sample::of(&runs[cell], name));
    let shape = |sample: &Sample, from| judge(Check::Shape, sample.interval(), from, f64::INFINITY);
    let mut rows = Vec::new();
    for class in CLASSES {
        let index = fast_seed(&format!("clustering {class}"));
        rows.push(Row::new(
            format!("fast seed: time that {class} peers serve their own class / by chance"),
            ("more than 1", Standing::Abstract),
            index.shown(2),
            shape(&index, 1.0),
        ));
    }
    for (sooner, later) in [("fast", "middle"), ("middle", "slow")] {
        let [a, b] = [later, sooner].map(|class| fast_seed(&format!("time {class}")));
        let ahead = Sample::difference(&a, &b);
        rows.push(Row::new(
            format!("fast seed: seconds that {sooner} peers are done before {later} ones, on average"),
            ("more than 0", Standing::Abstract),
            ahead.shown(0),
            shape(&ahead, 0.0),
        ));
    }
    let weaker = Sample::difference(&fast_seed("clustering fast"), &slow_seed("clustering fast"));
    rows.push(Row::new(
        "how much more the fast peers cluster with the fast seed than with the slow one",
        ("more than 0", Standing::Abstract),
        weaker.shown(2),
        shape(&weaker, 0.0),
    ));
    let gain = |of: &dyn Fn(&str) -> Sample| {
        let ratio =
            of("time slow").0.iter().zip(&of("time fast").0).map(|(slow, fast)| slow / fast).collect();
        Sample(ratio)
    };
    let (with_fast, with_slow) = (gain(&fast_seed), gain(&slow_seed));
    let less = Sample::difference(&with_fast, &with_slow);
    rows.push(Row::new(
        "how much more giving pays (time of slow peers / of fast ones) with the fast seed than with the slow one",
        ("more than 0", Standing::Abstract),
        less.shown(2),
        shape(&less, 0.0),
    ));
    for (label, of) in [("fast seed", &fast_seed as &dyn Fn(&str) -> Sample), ("slow seed", &slow_seed)] {
        for class in CLASSES {
            rows.push(Row::noted(
                format!("{label}: mean time of {class} peers, s"),
                of(&format!("time {class}")).shown(0),
            ));
        }
        rows.push(Row::noted(format!("{label}: use of the leechers' uplinks"), of("utilization").shown(3)));
    }
    rows.push(Row::noted("slow seed: clustering of the fast peers", slow_seed("clustering fast").shown(2)));
    rows.push(Row::noted(
        "fast seed: Jain's index of the seed's service",
        fast_seed("seed service").shown(3),
    ));
    Ok(Findings {
        setup: vec![
            format!(
                "Three classes of 12 peers with uplinks of 128, 512 and 2048 kbit/s and no limit on download; {} in \
                 pieces of 256 KiB, 50 ms of delay; all come at once and stay. The seed has 8192 kbit/s, a fast peer's \
                 uplink for each of its slots, or (slow) 512 kbit/s: less than the peers can pass on.",
                lab.either("64 MiB", "128 MiB")
            ),
            "Profile mainline-4 with four slots and no limit on upload but the link; its seed serves in turn. The \
             paper's abstract gives the results, not these links: the classes are ours."
                .to_owned(),
        ],
        rows,
        explanation: vec![
            "Clustering is the part of the time of service that a class gives to itself, over the part that it has of \
             the interested neighbours: 1 is blind. It shows less the slower the class: a slow peer serves those that \
             serve it best, and these are faster peers that try it out by turns. It takes some rounds of ten seconds to \
             find equals: with less content, which is soon over, it shows less, and with 32 MiB slow peers do not cluster."
                .to_owned(),
            "The paper also found that the new seed serves everybody alike. Here no downlink is limited, so nobody takes \
             faster than anybody else, and Jain's index is noted only."
                .to_owned(),
        ],
    })
}
