//! The swarm of the simulations of Bharambe, Herley and Padmanabhan (INFOCOM 2006), as their program's scripts have it.

use bt_api::plugin::{Piece, Registry};

use super::{Figures, Lab, LabError};
use crate::Scenario;
use crate::measure::Measured;

/// Where the set-ups come from.
pub(super) const SOURCE: &str = "Bharambe, Herley and Padmanabhan, \"Analyzing and improving a BitTorrent network's \
                                 performance mechanisms\", INFOCOM 2006; the set-up from the scripts of their simulator";

/// What all set-ups have in common.
pub(super) const COMMON: &str = "From the scripts: everyone 1500 kbit/s down and 400 kbit/s up, pieces of 256 kB without \
    blocks, 100 peers come per second and leave when they are done, five slots, five peers in a reply of the tracker, no \
    endgame, no delay, no bytes for control. From the program: who has fewer than three neighbours (a seed: five) asks for \
    more at once (here within a second), nobody has more than ten (there one of them is dropped at random, here a \
    newcomer is refused), and nobody counts as snubbing. All run the mainline engine.";

/// All but the leechers.
const HEAD: &str = r#"
[content]
size = "102400 kB"
piece = "256 kB"
[network]
delay = 0
granularity = "piece"
[tracker]
reply = 5
[[peers]]
name = "seed"
count = 1
complete = true
up = "6000 kbit/s"
down = "unlimited"
profile = "mainline"
choke = { max-uploads = 5 }
announce = { min-peers = 5, reachable-divisor = 1, check-interval = "1 s" }
peers = { max-connections = 10 }
"#;

/// Leechers with the same links.
pub(super) struct Class {
    /// What they are called.
    pub(super) name: &'static str,
    /// How many come.
    pub(super) count: u32,
    /// How many of them come per second.
    pub(super) rate: u32,
    /// Their links, in kbit/s.
    pub(super) up: u32,
    pub(super) down: u32,
}

impl Class {
    fn to_toml(&self) -> String {
        let Self { name, count, rate, up, down } = self;
        format!(
            r#"
[[peers]]
name = "{name}"
count = {count}
up = "{up} kbit/s"
down = "{down} kbit/s"
profile = "mainline"
choke = {{ max-uploads = 5 }}
piece = {{ random-first-pieces = 1, endgame = false }}
announce = {{ min-peers = 3, reachable-divisor = 1, check-interval = "1 s" }}
peers = {{ max-connections = 10 }}
rate = {{ download-fudge = "5 s" }}
requests = {{ snub-time = "1 h" }}
arrives = {{ rate = "{rate}/s" }}
leaves = "on-complete"
"#
        )
    }
}

/// Mainline's piece policy, and that of a seed that gives what it has given least.
pub(super) const PLAIN: &str = "rarest-first";
pub(super) const SMART: &str = "smart-seed";

/// The leechers' uplinks, in bytes per second.
pub(super) const UP: f64 = 50_000.0;

/// The swarm of equal peers, with `sets` put in.
pub(super) fn scenario(lab: &Lab<'_>, name: &str, sets: &[String]) -> Result<Scenario, LabError> {
    let leechers = Class { name: "leecher", count: 1000, rate: 100, up: 400, down: 1500 };
    of_classes(lab, name, &[leechers], sets)
}

/// The swarm with these leechers, with `sets` put in.
pub(super) fn of_classes(
    lab: &Lab<'_>,
    name: &str,
    classes: &[Class],
    sets: &[String],
) -> Result<Scenario, LabError> {
    let leechers: String = classes.iter().map(Class::to_toml).collect();
    lab.scenario(name, &format!("{HEAD}{leechers}"), sets)
}

/// `utilization`: what the leechers sent each other of use, over what their uplinks could carry while they were there.
/// `mean_time`: their mean download time in seconds. `ratio`: the time until the last is done, over its lower bound.
pub(super) fn figures(measured: &Measured) -> Figures {
    let mut figures = Figures::new();
    if measured.summary.censored > 0 {
        return figures;
    }
    let (mut useful, mut could, mut all, mut count) = (0.0, 0.0, 0.0, 0.0);
    for peer in &measured.peers {
        match peer.metrics.get("completion_time") {
            Some(time) => {
                useful += peer.downloaded_bytes as f64;
                could += UP * time;
                all += time;
                count += 1.0;
            }
            None => useful -= peer.uploaded_bytes as f64,
        }
    }
    figures.insert("utilization".to_owned(), useful / could);
    figures.insert("mean_time".to_owned(), all / count);
    figures.extend(measured.summary.bound_ratio.map(|ratio| ("ratio".to_owned(), ratio)));
    figures
}

/// The most that `utilization` can be with seeds of `seeds` bytes per second in all: nobody is done before everything
/// left the seeds, and what they sent nobody else did.
pub(super) fn most(scenario: &Scenario, peers: u32, seeds: f64) -> f64 {
    let (peers, size) = (f64::from(peers), scenario.content.size as f64);
    // The last arrives when the others have been there for peers / 100 s.
    let earliest = size / seeds - peers / 200.0;
    ((peers - 1.0) * size / (peers * UP * earliest)).min(1.0)
}

/// The piece policies of the seed: mainline's, and one that gives the piece it has given least where there is such a one.
pub(super) fn seeds() -> Vec<&'static str> {
    let is_there = Registry::of::<Piece>().is_ok_and(|known| known.iter().any(|one| one.name == SMART));
    if is_there { vec![PLAIN, SMART] } else { vec![PLAIN] }
}

/// The settings that give the seed a piece policy; mainline's is there without. With the smart one the scripts also have
/// the seed leave no piece unfinished, as every peer here does: a choke waits for the piece before it.
pub(super) fn with_seed(policy: &str) -> Option<String> {
    (policy != PLAIN).then(|| format!("peers.seed.piece={{ use = \"{policy}\" }}"))
}
