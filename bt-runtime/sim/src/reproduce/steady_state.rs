//! The steady state of an open swarm is that of the fluid model (Qiu and Srikant, SIGCOMM 2004).

use super::{Cell, Check, Figures, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge};
use crate::measure::{Measured, OVERALL};
use crate::stats::{mean, steady};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "steady-state",
    title: "An open swarm settles where the fluid model says",
    source: "Qiu and Srikant, \"Modeling and performance analysis of BitTorrent-like peer-to-peer networks\", \
             SIGCOMM 2004",
    run,
};

/// How far from the model a figure may be.
const TOLERANCE: f64 = 0.1;

/// Peers come by chance and seed for a while. The publisher keeps the content there.
const SCENARIO: &str = r#"
[content]
size = "102400 kB"
piece = "256 kB"
[network]
delay = 0
[run]
until = "20000 s"
limit = "10 d"
[[peers]]
name = "publisher"
count = 1
complete = true
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline"
[[peers]]
name = "peer"
up = "400 kbit/s"
down = "1500 kbit/s"
profile = "mainline"
arrives = { poisson = "0.05/s" }
leaves = { exponential = "600 s" }
"#;

/// What is run: arrivals per second, the length of the content in kB, the length of the run in seconds, and the mean
/// times of seeding in seconds.
struct Setup {
    arrivals: f64,
    kilobytes: u32,
    until: u32,
    seeding: &'static [f64],
}

const FULL: Setup =
    Setup { arrivals: 0.05, kilobytes: 102_400, until: 20_000, seeding: &[100.0, 300.0, 600.0, 1200.0] };
/// A quarter of the content, and of all times.
const QUICK: Setup = Setup { arrivals: 0.1, kilobytes: 25_600, until: 7500, seeding: &[75.0] };

/// The same in kB per second.
const UP: f64 = 50.0;

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let Setup { arrivals, kilobytes, until, seeding } = lab.either(QUICK, FULL);
    // The time of the content on one uplink.
    let alone = f64::from(kilobytes) / UP;
    let read = |measured: &Measured| figures(measured, alone, arrivals);
    let mut cells = Vec::new();
    for seeding in seeding {
        let sets = [
            format!("content.size={kilobytes} kB"),
            format!("run.until={until} s"),
            format!("peers.peer.arrives={{ poisson = \"{arrivals}/s\" }}"),
            format!("peers.peer.leaves={{ exponential = \"{seeding} s\" }}"),
        ];
        let scenario = lab.scenario("steady-state", SCENARIO, &sets)?;
        let label = format!("steady-state seeding {seeding} s");
        cells.push(Cell { label, scenario, seeds: lab.seeds(10), read: &read });
    }
    let mut rows = Vec::new();
    for (seeding, runs) in seeding.iter().zip(lab.run(&cells)?) {
        // All uplinks in use, of x leechers, y seeds and the publisher, carry what comes in:
        // eta x + busy (y + 1) = lambda F / u.
        let (eta, busy) = (Sample::of(&runs, "eta"), Sample::of(&runs, "seeds_busy"));
        let seeds = arrivals * seeding;
        let leechers = |eta: f64, busy: f64| (arrivals * alone - busy * (seeds + 1.0)) / eta;
        let mut row = |what: &str, name: &str, expected: f64, digits, check| {
            let sample = Sample::of(&runs, name);
            let (from, to) = (expected * (1.0 - TOLERANCE), expected * (1.0 + TOLERANCE));
            rows.push(Row::new(
                format!("seeding {seeding} s on average: {what}"),
                (format!("{expected:.digits$}, within 10 %"), Standing::Derived),
                sample.shown(digits),
                judge(check, sample.interval(), from, to),
            ));
        };
        let x = leechers(eta.mean(), busy.mean());
        row("download time T in s", "time", x / arrivals, 0, Check::Number);
        row("leechers x", "leechers", x, 1, Check::Number);
        row("seeds y", "seeds", seeds, 1, Check::Number);
        row(
            "T in s, if all uplinks were in use (eta = 1)",
            "time",
            leechers(1.0, 1.0) / arrivals,
            0,
            Check::Shape,
        );
        let shown = format!("{}; of seeds {}", eta.shown(3), busy.shown(3));
        rows.push(Row::noted(
            format!("seeding {seeding} s on average: part of the uplinks of leechers in use (eta)"),
            shown,
        ));
    }
    Ok(Findings {
        setup: vec![
            "The model: peers come at rate lambda, upload at mu (of the content per second), and stay 1/gamma as seeds. \
             Uplinks, not downlinks, decide as long as 1/mu - 1/gamma is more than the time on the downlink; then T = (1/eta) \
             (1/mu - 1/gamma), x = lambda T, y = lambda/gamma, where eta is the part of the leechers' uplinks in use."
                .to_owned(),
            format!(
                "{kilobytes} kB in pieces of 256 kB, blocks of 16 KiB, 400 kbit/s up and 1500 kbit/s down, no delay, lambda = \
                 {arrivals}/s, {until} s. One more peer, the publisher, seeds all the time; the expected figures count it: \
                 eta x + s (y + 1) = lambda/mu, with the measured eta and the part s of the seeds' uplinks in use. The warm-up \
                 is cut off by MSER-5, and at least 1/mu; T is of peers that came after it, and 2/mu or more before the end. x \
                 and y are for lambda arrivals per second: what came by chance is divided by how many came."
            ),
        ],
        rows,
        explanation: vec![
            "The model has one free figure, eta, and says that it is close to 1. Where T is above the figure for eta = 1, \
             eta says how much of that is uplinks that were not in use: newcomers have nothing to give at first, \
             and the smaller the swarm and the content, the more that weighs."
                .to_owned(),
        ],
    })
}

/// The means of a run after its warm-up; `alone` is the time of the content on one uplink in seconds,
/// `arrivals` are per second.
fn figures(measured: &Measured, alone: f64, arrivals: f64) -> Figures {
    let series = |metric: &str| -> Vec<(f64, f64)> {
        let rows = measured.series.iter().filter(|row| row.scope == OVERALL && row.metric == metric);
        rows.map(|row| (row.t, row.value)).collect()
    };
    let leechers = series("leechers");
    let values: Vec<f64> = leechers.iter().map(|(_, value)| *value).collect();
    let cut = steady::warm_up(&values).unwrap_or(values.len() / 2);
    let from = leechers.get(cut).map_or(f64::INFINITY, |(t, _)| *t).max(alone);
    let to = measured.summary.end_s - 2.0 * alone;
    let late = |metric: &str| -> Option<f64> {
        let late: Vec<f64> =
            series(metric).iter().filter(|(t, _)| *t >= from).map(|(_, value)| *value).collect();
        mean(&late)
    };
    let later = measured.peers.iter().filter(|peer| peer.arrived_s >= from).count() as f64;
    let per_arrival = arrivals * (measured.summary.end_s - from) / later;
    let came = measured.peers.iter().filter(|peer| (from..to).contains(&peer.arrived_s));
    let times: Vec<f64> = came.filter_map(|peer| peer.metrics.get("completion_time").copied()).collect();
    let figures = [
        ("leechers", late("leechers").map(|leechers| leechers * per_arrival)),
        ("seeds", late("seeds").map(|seeds| (seeds - 1.0) * per_arrival)),
        ("eta", late("upload_utilization")),
        ("seeds_busy", late("upload_utilization_seeds")),
        ("time", mean(&times)),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
