//! Video on demand with a fifth of free riders (Mol et al. 2008): the piece side of Give-to-Get.

use std::time::Duration;

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::{Measured, Player};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "give-to-get",
    title: "Video on demand goes on well for those who give when a fifth of the peers are free riders",
    source: "Mol, Pouwelse, Meulpolder, Epema and Sips, \"Give-to-Get: free-riding-resilient video-on-demand in P2P \
             systems\", MMCN 2008",
    run,
};

/// A short video, as most were, of five minutes. A peer has twice the uplink that playback takes, so that there is spare
/// capacity even where a fifth gives nothing. Peers come by chance and leave when they have everything.
const SCENARIO: &str = r#"
[content]
size = "18750 kB"
piece = "64 KiB"
[[peers]]
name = "seed"
count = 1
complete = true
up = "4 Mbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "giver"
count = 60
up = "1 Mbit/s"
down = "4 Mbit/s"
profile = "mainline"
arrives = { poisson = "8/min" }
leaves = "on-complete"
"#;

/// Who gives nothing, with the same player.
const FREE_RIDERS: &str = r#"
[[peers]]
name = "free-rider"
count = 15
up = "1 Mbit/s"
down = "4 Mbit/s"
profile = "mainline"
choke = { use = "free-rider" }
arrives = { poisson = "2/min" }
leaves = "on-complete"
"#;

/// 500 kbit/s; it begins with what it plays in ten seconds.
const PLAYER: Player = Player { rate: 62_500, start_up: Duration::from_secs(10) };

/// The piece policies: that of Give-to-Get, and what it is held against.
const PIECES: [(&str, &str); 3] = [
    ("give-to-get", "{ use = \"give-to-get\", playback-rate = \"500 kbit/s\" }"),
    ("rarest first", "{ use = \"rarest-first\" }"),
    ("sequential", "{ use = \"sequential\" }"),
];

/// "Good service": ours. Playback stands still for less than a twentieth of the time.
const GOOD: f64 = 0.95;

/// Of each class, over peers: how long until playback begins, stalls, and the part of the time that it goes on. A peer that
/// never began has played none of the time.
fn read(measured: &Measured) -> Figures {
    let mut figures = Figures::new();
    for class in ["giver", "free-rider"] {
        let peers: Vec<_> = measured.peers.iter().filter(|peer| peer.class == class).collect();
        if peers.is_empty() {
            continue;
        }
        let mean = |name: &str, without: Option<f64>| {
            let values: Vec<f64> =
                peers.iter().filter_map(|peer| peer.metrics.get(name).copied().or(without)).collect();
            crate::stats::mean(&values).unwrap_or(f64::NAN)
        };
        figures.insert(format!("continuity {class}"), mean("continuity", Some(0.0)));
        figures.insert(format!("startup {class}"), mean("startup_delay", None));
        figures.insert(format!("stalls {class}"), mean("stall_count", None));
        figures.insert(format!("time {class}"), mean("completion_time", None));
    }
    figures
}

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let givers: u32 = lab.either(40, 200);
    let pieces = lab.either(&PIECES[..2], &PIECES[..]);
    let mut cells = Vec::new();
    for (name, piece) in pieces {
        for free_riders in [0, givers / 4] {
            let mut sets = vec![format!("peers.giver.count={givers}"), format!("peers.giver.piece={piece}")];
            let text = if free_riders > 0 {
                sets.push(format!("peers.free-rider.count={free_riders}"));
                sets.push(format!("peers.free-rider.piece={piece}"));
                format!("{SCENARIO}{FREE_RIDERS}")
            } else {
                SCENARIO.to_owned()
            };
            let scenario = lab.scenario("give-to-get", &text, &sets)?;
            let label = format!("give-to-get {name}, {free_riders} free riders");
            cells.push(Cell { label, scenario, seeds: lab.seeds(20), read: &read });
        }
    }
    let runs = lab.run_playing(&cells, Some(PLAYER))?;
    let mut rows = Vec::new();
    for ((name, _), runs) in pieces.iter().zip(runs.chunks(2)) {
        let (none, fifth) = (&runs[0], &runs[1]);
        let continuity = Sample::of(fifth, "continuity giver");
        let what =
            format!("{name}, a fifth free riders: part of the time that playback of those who give goes on");
        rows.push(match *name {
            "give-to-get" => Row::new(
                what,
                (format!("good service; at least {GOOD}"), Standing::Abstract),
                continuity.shown(3),
                judge(Check::Shape, continuity.interval(), GOOD, f64::INFINITY),
            ),
            _ => Row::noted(what, continuity.shown(3)),
        });
        rows.push(Row::noted(
            format!("{name}, the same with no free riders; that of the free riders"),
            format!(
                "{}; {}",
                Sample::of(none, "continuity giver").shown(3),
                Sample::of(fifth, "continuity free-rider").shown(3)
            ),
        ));
        let shown = |figure| Sample::of(fifth, figure).shown(1);
        rows.push(Row::noted(
            format!("{name}, a fifth free riders, those who give: seconds until playback; stalls; seconds until done"),
            format!("{}; {}; {}", shown("startup giver"), shown("stalls giver"), shown("time giver")),
        ));
    }
    Ok(Findings {
        setup: vec![
            format!(
                "A video of 500 kbit/s and five minutes in pieces of 64 KiB; {givers} peers of 1 Mbit/s up and 4 Mbit/s down, 8 a \
                 minute by chance, which leave when they have everything; a seed of 4 Mbit/s; 50 ms of delay. Free riders: \
                 2 more a minute, which serve nobody. A player begins once ten seconds are there in a stretch, waits for \
                 what is not there, and skips nothing. The abstract says what came out, not with which links: these are ours."
            ),
            "The choke side of Give-to-Get is not run: a peer asks those whom its neighbours served how much they were \
             forwarded, so strangers report to it about others, in messages that no policy can send here. Everyone runs \
             tit-for-tat of mainline with the pieces of Give-to-Get, so what is measured is the order of pieces under free \
             riding, and not what the paper's choker does against it."
                .to_owned(),
        ],
        rows,
        explanation: vec![
            "Free riders get what is left over: optimistic unchokes and the seed, so their playback stalls more with the \
             pieces of Give-to-Get than that of those who give. In order alone begins a little sooner, and with spare \
             capacity and a fast seed stalls no more; rarest first begins only when nearly everything is there. The video \
             is short, as the paper says most are; with a longer one, or less spare capacity, the orders may differ more."
                .to_owned(),
        ],
    })
}
