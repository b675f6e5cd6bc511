//! A live swarm of unequal peers, joined in the middle: where clients are compared by choker alone.

use std::fmt;

use super::{Figures, Lab, LabError};
use crate::Scenario;
use crate::measure::{Measured, PeerRow};
use crate::stats;

/// What the set-ups have in common, for readers.
pub(super) const SETUP: &str = "Links as in the scripts of Bharambe et al. (INFOCOM 2006), after measurements of Gnutella: \
    20 % have 784/128 kbit/s down/up, 40 % 1500/384, 25 % 3000/1000, 15 % 10000/5000. Live: of those that are there at the \
    start half hold a quarter of the pieces and half three quarters, drawn for each, and newcomers with nothing come at \
    random times; who is done leaves; one publisher of 1 Mbit/s stays. Everybody runs mainline-4 with a choker of its own; \
    mainline's has as many slots as release 4 gives to such an uplink (4, 5, 8 and 19), and only links limit uploads. All \
    figures are paired: the same arrivals, links and pieces.";

/// Peers with the same links.
struct Class {
    name: &'static str,
    /// In kbit/s.
    up: u32,
    down: u32,
    /// Slots of release 4 for such an uplink: 4 below 42 KiB/s, else sqrt(0.6 KiB/s).
    slots: u32,
    /// How many of forty.
    count: u32,
}

const CLASSES: [Class; 4] = [
    Class { name: "slow", up: 128, down: 784, slots: 4, count: 8 },
    Class { name: "middle", up: 384, down: 1500, slots: 5, count: 16 },
    Class { name: "quick", up: 1000, down: 3000, slots: 8, count: 10 },
    Class { name: "fast", up: 5000, down: 10_000, slots: 19, count: 6 },
];

/// The peer that is watched: its uplink is that of the paper on BitTyrant, and its downlink does not bind.
const PROBE: Class = Class { name: "probe", up: 1000, down: 10_000, slots: 8, count: 1 };

/// Who takes and gives nothing has the most common links.
const FREE_RIDERS: Class = Class { name: "free", up: 384, down: 1500, slots: 1, count: 10 };

/// The chokers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Mainline,
    BitTyrant,
    /// BitTyrant that keeps what is left over.
    Selfish,
    /// BitTyrant as its client 1.1.1 was shipped.
    Shipped,
    PropShare,
    FairTorrent,
    FreeRider,
}

impl Client {
    /// Its `[choke]` table.
    fn choke(self, class: &Class) -> String {
        let (slots, up) = (class.slots, class.up);
        let tyrant = |form: &str, selfish: bool| {
            format!(
                "{{ use = \"bittyrant\", form = \"{form}\", selfish = {selfish}, upload-capacity = \"{up} kbit/s\" }}"
            )
        };
        match self {
            Self::Mainline => format!("{{ max-uploads = {slots} }}"),
            Self::BitTyrant => tyrant("paper", false),
            Self::Selfish => tyrant("paper", true),
            Self::Shipped => tyrant("1.1", false),
            Self::PropShare => "{ use = \"prop-share\" }".to_owned(),
            Self::FairTorrent => "{ use = \"fair-torrent\" }".to_owned(),
            Self::FreeRider => "{ use = \"free-rider\" }".to_owned(),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mainline => "mainline",
            Self::BitTyrant => "BitTyrant",
            Self::Selfish => "selfish BitTyrant",
            Self::Shipped => "BitTyrant 1.1",
            Self::PropShare => "PropShare",
            Self::FairTorrent => "FairTorrent",
            Self::FreeRider => "free rider",
        })
    }
}

/// Who takes part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swarm {
    /// What all but the others below run.
    pub(super) everyone: Client,
    /// What the publisher runs.
    pub(super) publisher: Client,
    /// The peer that is watched, which joins after a minute.
    pub(super) probe: Option<Client>,
    /// Whether a fifth more come that take and give nothing.
    pub(super) free_riders: bool,
    /// What they have when they come, and when that is.
    pub(super) start: Start,
}

/// What peers have when they come, and when that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Some a quarter and some three quarters, at once; as many with nothing, one after another.
    Live,
    /// Half, all at once.
    Half,
    /// Nothing, all at once.
    Nothing,
}

impl Swarm {
    /// Mainline peers and a mainline publisher, with a peer that is watched.
    pub(super) const fn probed(everyone: Client, probe: Client) -> Self {
        Self {
            everyone,
            publisher: Client::Mainline,
            probe: Some(probe),
            free_riders: false,
            start: Start::Live,
        }
    }

    /// Of one kind, the publisher as well.
    pub(super) const fn of_all(everyone: Client) -> Self {
        Self { everyone, publisher: everyone, probe: None, free_riders: false, start: Start::Live }
    }

    /// The scenario, with `size` of content and `scale` times forty peers at the start.
    pub(super) fn scenario(
        self,
        lab: &Lab<'_>,
        name: &str,
        size: &str,
        scale: u32,
    ) -> Result<Scenario, LabError> {
        let mut text = format!("[content]\nsize = \"{size}\"\npiece = \"256 KiB\"\n");
        let publisher = Class { name: "publisher", up: 1000, down: 10_000, slots: 4, count: 1 };
        push(&mut text, &publisher, "publisher", 1, self.publisher, "complete = true");
        let mut group = |class: &Class, client: Client| {
            let (name, count) = (class.name, class.count * scale);
            let joins = |have: &str| format!("have = {have}\nleaves = \"on-complete\"");
            match self.start {
                Start::Live => {}
                Start::Half => {
                    return push(&mut text, class, &format!("{name}-half"), count, client, &joins("0.5"));
                }
                Start::Nothing => {
                    return push(&mut text, class, &format!("{name}-new"), count, client, &joins("0.0"));
                }
            }
            for part in [25, 75] {
                let here = joins(&format!("0.{part}"));
                push(&mut text, class, &format!("{name}-{part}"), count / 2, client, &here);
            }
            // As many again in four minutes.
            let rate = f64::from(count) / 4.0;
            let come = format!("arrives = {{ poisson = \"{rate}/min\" }}\nleaves = \"on-complete\"");
            push(&mut text, class, &format!("{name}-new"), count, client, &come);
        };
        CLASSES.iter().for_each(|class| group(class, self.everyone));
        if self.free_riders {
            group(&FREE_RIDERS, Client::FreeRider);
        }
        if let Some(probe) = self.probe {
            let late = "arrives = { at = \"60 s\" }\nleaves = \"on-complete\"";
            push(&mut text, &PROBE, PROBE.name, 1, probe, late);
        }
        lab.scenario(name, &text, &[])
    }
}

fn push(text: &mut String, class: &Class, name: &str, count: u32, client: Client, more: &str) {
    let Class { up, down, .. } = class;
    let choke = client.choke(class);
    text.push_str(&format!(
        "[[peers]]\nname = \"{name}\"\ncount = {count}\nup = \"{up} kbit/s\"\ndown = \"{down} kbit/s\"\n\
         profile = \"mainline-4\"\nchoke = {choke}\nnet = {{ upload-limit = \"unlimited\" }}\n{more}\n"
    ));
}

/// `probe`: the time of the peer that is watched, in seconds, and `probe gives`: what it gave, in copies of the content.
/// Of the others, but for free riders: `time`, their mean download time; `time fast`, that of the fast ones that came with least;
/// `error`, the largest service error in MB, and `mean error`; `proportion`, the mean of `proportionality`.
/// `time free`: the mean time of free riders. Times are only there if everybody was done.
pub(super) fn read(measured: &Measured) -> Figures {
    let mut figures = Figures::new();
    if measured.summary.censored > 0 {
        return figures;
    }
    let of = |is: &dyn Fn(&str) -> bool, metric: &str| -> Vec<f64> {
        let peers = measured.peers.iter().filter(|peer: &&PeerRow| is(&peer.class));
        peers.filter_map(|peer| peer.metrics.get(metric).copied()).collect()
    };
    let free = |class: &str| class.starts_with(FREE_RIDERS.name);
    let probe = |class: &str| class == PROBE.name;
    let others = |class: &str| !free(class) && !probe(class);
    let errors = of(&others, "service_error");
    let figure = [
        ("probe", stats::mean(&of(&probe, "completion_time"))),
        ("probe gives", stats::mean(&of(&probe, "normalized_upload"))),
        ("time", stats::mean(&of(&others, "completion_time"))),
        (
            "time fast",
            stats::mean(&of(&|class| matches!(class, "fast-new" | "fast-half"), "completion_time")),
        ),
        ("time free", stats::mean(&of(&free, "completion_time"))),
        ("error", errors.iter().copied().reduce(f64::max).map(|error| error / 1e6)),
        ("mean error", stats::mean(&errors).map(|error| error / 1e6)),
        ("proportion", stats::mean(&of(&others, "proportionality"))),
    ];
    figures.extend(figure.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    figures
}
