//! What free riders get from each choker.

use super::{
    Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge, judge_each,
};
use crate::measure::Measured;

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "free-riders",
    title: "What a fifth of free riders costs the others, and what it brings them, under each choker",
    source: "the papers of the chokers: Cohen, P2PEcon 2003 (tit-for-tat); Piatek et al., NSDI 2007 (BitTyrant); Levin et \
             al., SIGCOMM 2008 (PropShare); Sherman et al., CoNEXT 2009 (FairTorrent); Bharambe et al., INFOCOM 2006 (by \
             blocks)",
    run,
};

/// The share of free riders of the shipped scenario `free-riders`, with OctoSim's equal links. All come at once and leave when
/// they are done: what a peer gives after that is a gift, whatever its choker.
const SCENARIO: &str = r#"
[content]
size = "16 MiB"
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
name = "giver"
count = 32
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline-4"
choke = { max-uploads = 5 }
net = { upload-limit = "unlimited" }
leaves = "on-complete"
[[peers]]
name = "free"
count = 8
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline-4"
choke = { use = "free-rider" }
net = { upload-limit = "unlimited" }
leaves = "on-complete"
"#;

/// The chokers of those that give: name, table, and blocks that it gives anybody beyond what came, if it has such a bound.
const CHOKERS: [(&str, &str, Option<u32>); 5] = [
    ("tit-for-tat", "{ max-uploads = 5 }", None),
    ("bittyrant", "{ use = \"bittyrant\", upload-capacity = \"400 kbit/s\" }", None),
    ("prop-share", "{ use = \"prop-share\" }", None),
    ("fair-torrent", "{ use = \"fair-torrent\" }", None),
    ("block-tft", "{ use = \"block-tft\", delta = 2, block = \"16 KiB\" }", Some(3)),
];

/// Bytes of a block.
const BLOCK: f64 = 16_384.0;

/// `giver` and `free`: mean download times in seconds. `taken`: bytes that a free rider got from leechers, over the content.
/// `imbalance`: the largest of a pair, in blocks.
fn read(measured: &Measured) -> Figures {
    let mut figures = Figures::new();
    if measured.summary.censored > 0 {
        return figures;
    }
    for class in ["giver", "free"] {
        let time = measured.summary.classes.get(class).and_then(|of| of.get("completion_time"));
        figures.extend(time.map(|time| (class.to_owned(), time.mean)));
    }
    let (mut all, mut from_leechers) = (0.0, 0.0);
    for peer in measured.peers.iter().filter(|peer| peer.class == "free") {
        all += peer.downloaded_bytes as f64;
        let from_seeds = peer.metrics.get("seed_bytes").copied().unwrap_or(f64::NAN);
        from_leechers += peer.downloaded_bytes as f64 - from_seeds;
    }
    figures.insert("taken".to_owned(), from_leechers / all);
    let imbalance = measured.summary.overall.get("pair_imbalance");
    figures.extend(imbalance.map(|dist| ("imbalance".to_owned(), dist.max / BLOCK)));
    figures
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let mut cells = Vec::new();
    for (name, choke, _) in CHOKERS {
        let mut sets = vec![format!("peers.giver.choke={choke}")];
        if !lab.quick {
            sets.extend(
                ["content.size=64 MiB", "peers.giver.count=80", "peers.free.count=20"].map(str::to_owned),
            );
        }
        let scenario = lab.scenario("free-riders", SCENARIO, &sets)?;
        cells.push(Cell {
            label: format!("free-riders {name}"),
            scenario,
            seeds: lab.seeds(30),
            read: &read,
        });
    }
    let runs = lab.run(&cells)?;
    let mut rows = Vec::new();
    for ((name, _, bound), runs) in CHOKERS.iter().zip(&runs) {
        let of = |figure: &str| Sample::of(runs, figure);
        let (givers, free) = (of("giver"), of("free"));
        let later = Sample::difference(&free, &givers);
        let what = format!("{name}: seconds that free riders are done after those that give, on average");
        if let Some(bound) = bound {
            let imbalance = of("imbalance");
            rows.push(Row::new(
                format!("{name}: most blocks that anybody got beyond what it gave, of one peer"),
                (format!("at most {bound}"), Standing::Read),
                format!("{:.2}", imbalance.largest()),
                judge_each(Check::Number, &imbalance, f64::from(*bound)),
            ));
            rows.push(Row::new(
                what,
                ("above 0: all else they have from the seed", Standing::Derived),
                later.shown(0),
                judge(Check::Shape, later.interval(), 0.0, f64::INFINITY),
            ));
        } else {
            rows.push(Row::noted(what, later.shown(0)));
        }
        rows.push(Row::noted(
            format!("{name}: mean download time in s of those that give; of free riders"),
            format!("{}; {}", givers.shown(0), free.shown(0)),
        ));
        rows.push(Row::noted(
            format!("{name}: part of a free rider's content that leechers gave it"),
            of("taken").shown(3),
        ));
    }
    Ok(Findings {
        setup: vec![format!(
            "{} peers that give and {} that give nothing, all at once, with 1500 kbit/s down and 400 kbit/s up; one seed of 800 \
             kbit/s; {}; who is done leaves. Everybody runs mainline-4, those that give with the choker of the row (five slots, \
             or its published defaults), the seed with mainline's, which serves in turn.",
            lab.either(32, 80),
            lab.either(8, 20),
            lab.either("16 MiB", "64 MiB")
        )],
        rows,
        explanation: EXPLANATION.map(str::to_owned).to_vec(),
    })
}

/// What was seen in runs of the first seed; the figures are of the quick form.
const EXPLANATION: [&str; 3] = [
    "Only tit-for-tat by blocks has a bound, and it is kept: a free rider gets delta blocks and one of each neighbour. What the \
     papers of the others say of free riders in such a swarm was not at hand, so these rows are noted.",
    "PropShare keeps a fifth of the uplink for peers that gave nothing in the last round. Once all others trade, these are the \
     free riders: they get nearly all of their content from leechers, and are hardly later than those that give. Under \
     tit-for-tat they have the optimistic unchokes, which those that give get as well, and wait for the seed at the end.",
    "FairTorrent gives to who gave nothing only what nobody else asks for, but that is much here: those that give use about \
     0.6 of their uplinks, and 0.8 under tit-for-tat. It serves everybody in turn, so first pieces are whole late (after 216 s \
     on average, and 62 s), all have much the same, and a neighbour is of interest 0.4 of the time at the median in place \
     of 0.7. That requests are not taken back from who does not serve, that begun pieces go first, and blocks in place of \
     whole pieces are not why: without each of them the times are the same within a few percent.",
];
