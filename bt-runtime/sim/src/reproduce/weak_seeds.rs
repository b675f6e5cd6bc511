//! Several weak seeds, few or many pieces, few or many slots (Bharambe et al., figures 5, 10 and 11).

use super::{Cell, Check, Findings, Lab, LabError, Reproduction, Row, Sample, Standing, judge, octosim};

pub(super) const REPRODUCTION: Reproduction = Reproduction {
    name: "weak-seeds",
    title: "Several weak seeds, few or many pieces, few or many slots",
    source: octosim::SOURCE,
    run,
};

fn run(lab: &Lab<'_>) -> Result<Findings, LabError> {
    let (peers, kilobytes) = lab.either((50, 51_200), (200, 102_400));
    let common = [format!("peers.leecher.count={peers}"), format!("content.size={kilobytes} kB")];
    let cell = |label: String, sets: &[String]| -> Result<Cell<'_>, LabError> {
        let sets: Vec<String> = common.iter().chain(sets).cloned().collect();
        let scenario = octosim::scenario(lab, "weak-seeds", &sets)?;
        Ok(Cell {
            label: format!("weak-seeds {label}"),
            scenario,
            seeds: lab.seeds(10),
            read: &octosim::figures,
        })
    };
    let counts: &[u32] = lab.either(&[2, 5], &[2, 3, 4, 5]);
    let pieces: &[u32] = lab.either(&[50, 200], &[50, 100, 200, 400, 512]);
    let slots: &[u32] = lab.either(&[3, 5, 20], &[3, 5, 10, 20]);
    let mut cells = Vec::new();
    for count in counts {
        let many = [format!("peers.seed.count={count}"), "peers.seed.up=200 kbit/s".to_owned()];
        cells.push(cell(format!("{count} seeds of 200 kbps"), &many)?);
        let one = [format!("peers.seed.up={} kbit/s", 200 * count)];
        cells.push(cell(format!("one seed of {} kbps", 200 * count), &one)?);
    }
    for pieces in pieces {
        // Rounded up to whole kB, so that there are no more pieces.
        let piece = [format!("content.piece={} kB", u32::div_ceil(kilobytes, *pieces))];
        cells.push(cell(format!("{pieces} pieces"), &piece)?);
    }
    for slots in slots {
        let slots_of = |who| format!("peers.{who}.choke.max-uploads={slots}");
        cells.push(cell(format!("{slots} slots"), &["seed", "leecher"].map(slots_of))?);
    }
    let runs = lab.run(&cells)?;
    let mut used = runs.iter().map(|runs| Sample::of(runs, "utilization"));
    let mut next = || used.next().unwrap_or(Sample(Vec::new()));
    let mut rows = Vec::new();
    for (at, count) in counts.iter().enumerate() {
        let most = octosim::most(&cells[2 * at].scenario, peers, f64::from(*count) * 25_000.0);
        let (many, one) = (next(), next());
        for (what, used) in
            [(format!("{count} x 200 kbit/s"), &many), (format!("1 x {} kbit/s", 200 * count), &one)]
        {
            rows.push(Row::new(
                format!("seeds {what}: part of the leechers' uplinks in use"),
                (format!("at most {most:.3}"), Standing::Derived),
                used.shown(3),
                Check::Number.verdict(used.largest() <= most),
            ));
        }
        let shown = Sample::difference(&one, &many).shown(3);
        rows.push(Row::noted(format!("the same, one seed of the sum less {count} weak ones"), shown));
    }
    let by_pieces: Vec<Sample> = pieces.iter().map(|_| next()).collect();
    for (pieces, used) in pieces.iter().zip(&by_pieces) {
        rows.push(Row::noted(
            format!("{pieces} pieces: part of the leechers' uplinks in use"),
            used.shown(3),
        ));
    }
    if let [few, .., many] = &by_pieces[..] {
        let difference = Sample::difference(many, few);
        rows.push(Row::new(
            "the same, most pieces less fewest",
            ("above 0: even the optimum takes 1 + log2(N)/M", Standing::Closed),
            difference.shown(3),
            judge(Check::Shape, difference.interval(), 0.0, f64::INFINITY),
        ));
    }
    for slots in slots {
        rows.push(Row::noted(
            format!("{slots} slots: part of the leechers' uplinks in use"),
            next().shown(3),
        ));
    }
    Ok(Findings {
        setup: vec![
            octosim::COMMON.to_owned(),
            format!(
                "{peers} peers, {kilobytes} kB; one seed of 6000 kbit/s, 400 kbit/s for everyone else and five slots unless a \
                 row says otherwise; all seeds with mainline's piece policy."
            ),
        ],
        rows,
        explanation: vec![
            "What the paper's figures show of these is not at hand, so most rows are only noted: they say what this simulator \
             has. What can be derived is checked: the bound of the seeds' uplinks, and that too few pieces cost time. With ten \
             neighbours at most, twenty slots serve them all."
                .to_owned(),
        ],
    })
}
