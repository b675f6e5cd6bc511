//! Which plots a report has, and what each shows.

use super::chart::{Chart, Curve};
use super::heat::Heat;
use super::intervals::{Intervals, Row};
use super::metrics::{self, Metric};
use super::read::{Comparison, Group, Run, Study};
use super::scale::Axis;
use super::several::{Courses, Distribution};
use super::svg::Canvas;
use super::text::{Unit, fixed, number};
use crate::stats;

/// More groups than this and curves of all of them cannot be told apart: intervals are shown instead.
pub(super) const MOST_CURVES: usize = 8;

/// The line style of the whole swarm, beside those of its classes.
const OVERALL: usize = 6;

/// A plot with its words.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// Its name, also of its files.
    pub(super) name: String,
    /// Its title.
    pub(super) title: String,
    /// What is seen, in a sentence or two.
    pub(super) caption: String,
    /// Whether it takes the page's full width.
    pub(super) wide: bool,
    /// The plot.
    pub(super) plot: Plot,
}

/// The kinds of plots.
#[derive(Clone, Debug)]
pub(super) enum Plot {
    Chart(Chart),
    Intervals(Intervals),
    Heat(Heat),
}

impl Plot {
    /// The drawing.
    pub(super) fn draw(&self) -> Canvas {
        match self {
            Self::Chart(plot) => plot.draw(),
            Self::Intervals(plot) => plot.draw(),
            Self::Heat(plot) => plot.draw(),
        }
    }

    /// The data.
    pub(super) fn csv(&self) -> String {
        match self {
            Self::Chart(plot) => plot.csv(),
            Self::Intervals(plot) => plot.csv(),
            Self::Heat(plot) => plot.csv(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Chart(plot) => plot.curves.iter().all(|curve| curve.points.is_empty()),
            Self::Intervals(plot) => plot.rows.is_empty(),
            Self::Heat(plot) => plot.names.is_empty(),
        }
    }
}

impl Figure {
    fn new(name: &str, title: &str, caption: String, plot: Plot) -> Self {
        Self { name: name.to_owned(), title: title.to_owned(), caption, wide: false, plot }
    }
}

/// All plots for which there are data.
pub(super) fn all(study: &Study) -> Vec<Figure> {
    let mut figures = match &*study.groups {
        [group] => of_one(study, group),
        _ => of_several(study),
    };
    figures.retain(|figure| !figure.plot.is_empty());
    figures
}

/// One swarm, by class.
fn of_one(study: &Study, group: &Group) -> Vec<Figure> {
    let classes = study.classes();
    let by_class = |values: &dyn Fn(&Run, &str) -> Vec<Option<f64>>| {
        let curves = classes.iter().enumerate().map(|(style, class)| {
            let runs = group.runs.iter().map(|run| values(run, class)).collect();
            (class.to_string(), style, Distribution { runs })
        });
        curves.collect::<Vec<_>>()
    };
    let overall = |metric, name: &str, style| (name.to_owned(), style, courses(group, metric, "overall"));
    let scoped = |metric: &str| {
        let named = classes
            .iter()
            .enumerate()
            .map(|(style, class)| (class.to_string(), style, courses(group, metric, class)));
        let whole = ("all leechers".to_owned(), OVERALL, courses(group, metric, "overall"));
        let seeds = ("seeds".to_owned(), OVERALL + 1, courses(group, &format!("{metric}_seeds"), "overall"));
        std::iter::once(whole).chain(named).chain([seeds]).collect::<Vec<_>>()
    };
    let copies = vec![
        overall("availability_mean", "mean", 0),
        overall("availability_min", "rarest piece", 1),
        overall("distributed_copies", "distributed copies", 2),
    ];
    let population = vec![
        overall("leechers", "leechers", 0),
        overall("seeds", "seeds", 1),
        overall("completed", "completed so far", 2),
    ];
    let mut figures = vec![completion(study, "completion", by_class(&completion_times), "")];
    figures.extend([
        population_figure(population, "Leechers and seeds present, and how many have completed so far."),
        utilization("upload", scoped("upload_utilization")),
        utilization("download", scoped("download_utilization")),
        share_ratio(by_class(&share_ratios)),
        normalized_upload(by_class(&normalized_uploads)),
    ]);
    figures.extend(heat(group, &classes, "chokes", "Who unchokes whom"));
    figures.extend([
        over_time(
            "availability",
            "Copies of pieces",
            "Copies of each piece in the swarm: their mean, those of the rarest piece, and distributed copies (those \
             of the rarest piece, plus the fraction of pieces that have more)."
                .to_owned(),
            Axis::from_zero("Copies", Unit::Plain),
            copies,
        ),
        entropy(vec![overall("entropy", "entropy", 0)]),
    ]);
    figures
}

/// Several profiles or cells beside each other.
fn of_several(study: &Study) -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Some(comparison) = &study.comparison {
        figures.push(differences(study, comparison));
    }
    figures.extend(means(study));
    if study.groups.len() > MOST_CURVES {
        return figures;
    }
    let by_group = |values: &dyn Fn(&Run) -> Vec<Option<f64>>| {
        let curves = study.groups.iter().enumerate().map(|(style, group)| {
            (group.name.clone(), style, Distribution { runs: group.runs.iter().map(values).collect() })
        });
        curves.collect::<Vec<_>>()
    };
    let every = |values: fn(&Run, &str) -> Vec<Option<f64>>| {
        by_group(&|run| study.classes().iter().flat_map(|class| values(run, class)).collect())
    };
    let over = |metric| {
        let curves = study
            .groups
            .iter()
            .enumerate()
            .map(|(style, group)| (group.name.clone(), style, courses(group, metric, "overall")));
        curves.collect::<Vec<_>>()
    };
    figures.push(completion(study, "completion", every(completion_times), ""));
    let leechers: Vec<&str> =
        study.classes().into_iter().filter(|class| has_leechers(study, class)).collect();
    if leechers.len() > 1 {
        for (at, class) in leechers.iter().enumerate().take(MOST_CURVES) {
            let curves = by_group(&|run| completion_times(run, class));
            figures.push(completion(study, &format!("completion-{}", at + 1), curves, class));
        }
    }
    figures.extend([
        population_figure(over("leechers"), "Leechers present."),
        utilization("upload", over("upload_utilization")),
        utilization("download", over("download_utilization")),
        share_ratio(every(share_ratios)),
        normalized_upload(every(normalized_uploads)),
        entropy(over("entropy")),
        over_time(
            "availability",
            "Copies of the rarest piece",
            "Copies in the swarm of the piece that has fewest.".to_owned(),
            Axis::from_zero("Copies", Unit::Plain),
            over("availability_min"),
        ),
    ]);
    for (at, group) in study.groups.iter().enumerate() {
        let title = format!("Who unchokes whom: {}", group.name);
        figures.extend(heat(group, &study.classes(), &format!("chokes-{}", at + 1), &title));
    }
    figures
}

fn has_leechers(study: &Study, class: &str) -> bool {
    study.runs().flat_map(|run| &run.peers).any(|peer| peer.class == class && !peer.is_initial_seed())
}

/// Seconds from arrival to completion of the leechers of a class; `None`: unfinished.
fn completion_times(run: &Run, class: &str) -> Vec<Option<f64>> {
    let leechers = run.peers.iter().filter(|peer| peer.class == class && !peer.is_initial_seed());
    leechers.map(|peer| peer.completed.map(|completed| completed - peer.arrived)).collect()
}

/// Bytes up over bytes down.
fn share_ratios(run: &Run, class: &str) -> Vec<Option<f64>> {
    let peers = run.peers.iter().filter(|peer| peer.class == class && peer.downloaded > 0.0);
    peers.map(|peer| Some(peer.uploaded / peer.downloaded)).collect()
}

/// Bytes up over the content's length.
fn normalized_uploads(run: &Run, class: &str) -> Vec<Option<f64>> {
    let leechers = run.peers.iter().filter(|peer| peer.class == class && !peer.is_initial_seed());
    leechers.filter(|peer| peer.normalized_upload.is_some()).map(|peer| peer.normalized_upload).collect()
}

fn courses(group: &Group, metric: &str, scope: &str) -> Courses {
    let of = |run: &Run| {
        let found = run.series.iter().find(|series| series.metric == metric && series.scope == scope);
        found.map(|series| series.points.clone())
    };
    Courses { runs: group.runs.iter().filter_map(of).collect() }
}

type Curves<T> = Vec<(String, usize, T)>;

fn completion(study: &Study, name: &str, curves: Curves<Distribution>, class: &str) -> Figure {
    let seeds = study.groups.iter().map(|group| group.runs.len()).max().unwrap_or(1);
    let unfinished: usize = curves.iter().map(|(_, _, times)| times.unfinished()).sum();
    let bounds = study.runs().filter_map(|run| run.summary.bound);
    let bound = bounds.fold(f64::INFINITY, f64::min);
    let mut caption = format!(
        "Fraction of {} that have completed within a time from their arrival.",
        match class {
            "" => "leechers".to_owned(),
            class => format!("the leechers of class {class}"),
        }
    );
    let mut rules = Vec::new();
    // The bound is of the whole crowd: no class has one of its own.
    if bound.is_finite() && class.is_empty() {
        let text = Unit::Seconds.write(bound);
        caption += &format!(
            " Dashed: the lower bound ({text}): whatever the policy, the last of a flash crowd cannot \
                             be done sooner."
        );
        rules.push((bound, format!("lower bound {text}")));
    }
    caption += match unfinished {
        0 => "",
        _ => {
            " A curve that ends in a ring stays below 100 %: its other peers did not finish (they are counted, \
              not left out)."
        }
    };
    if seeds > 1 {
        caption += " Lines are means over runs, bands their 95 % intervals.";
    }
    let title = match class {
        "" => "Completion time".to_owned(),
        class => format!("Completion time: {class}"),
    };
    let x = Axis { label: "Completion time".to_owned(), unit: Unit::Seconds, from: None, to: None };
    let mut chart = Chart { x, y: Axis::share("Fraction of peers"), curves: distributions(curves), rules };
    begin_low(&mut chart);
    Figure::new(name, &title, caption, Plot::Chart(chart))
}

/// Lets an axis begin at zero unless all of its figures are far from there.
fn begin_low(chart: &mut Chart) {
    let places = || chart.curves.iter().flat_map(|curve| &curve.points).map(|point| point.0);
    let rules = || chart.rules.iter().map(|rule| rule.0);
    let low = places().chain(rules()).fold(f64::INFINITY, f64::min);
    let high = places().chain(rules()).fold(0.0, f64::max);
    let room = (high - low).max(high / 50.0);
    chart.x.from = Some(if low > 0.5 * high { (low - 0.25 * room).max(0.0) } else { 0.0 });
    chart.x.to = Some(high + 0.06 * room);
}

fn distributions(curves: Curves<Distribution>) -> Vec<Curve> {
    let curve = |(name, style, values): (String, usize, Distribution)| {
        let (unfinished, all) = (values.unfinished(), values.count());
        let note = if unfinished == 0 { String::new() } else { format!("{unfinished} of {all} unfinished") };
        let (points, band) = values.ecdf();
        let steps = band.is_empty();
        Curve { name, note, style, points, band, steps, open: unfinished > 0 }
    };
    curves.into_iter().filter(|(_, _, values)| values.count() > 0).map(curve).collect()
}

fn population_figure(curves: Curves<Courses>, caption: &str) -> Figure {
    let y = Axis::from_zero("Peers", Unit::Plain);
    over_time("population", "Population", caption.to_owned(), y, curves)
}

fn utilization(direction: &str, curves: Curves<Courses>) -> Figure {
    let (name, title) = match direction {
        "upload" => ("upload-utilization", "Upload utilisation"),
        _ => ("download-utilization", "Download utilisation"),
    };
    let caption = format!("Payload bytes {direction}ed over the {direction} capacity of the peers present.");
    over_time(name, title, caption, Axis::share("Used capacity"), curves)
}

fn entropy(curves: Curves<Courses>) -> Figure {
    let caption = "How evenly copies are spread over pieces: Shannon entropy over its maximum; 100 %: every piece has \
                   as many copies as every other.";
    // It is near its maximum most of the time: what is below matters.
    let values = curves.iter().flat_map(|(_, _, courses)| courses.runs.iter().flatten()).map(|point| point.1);
    let y = Axis { from: Some(values.fold(0.9, f64::min)), ..Axis::share("Entropy") };
    over_time("entropy", "Entropy of the pieces", caption.to_owned(), y, curves)
}

fn over_time(name: &str, title: &str, caption: String, y: Axis, curves: Curves<Courses>) -> Figure {
    let averaged = curves.iter().any(|(_, _, courses)| courses.runs.len() > 1);
    let curve = |(name, style, courses): (String, usize, Courses)| {
        let points = courses.mean();
        Curve { name, note: String::new(), style, points, band: Vec::new(), steps: false, open: false }
    };
    let curves = curves.into_iter().filter(|(_, _, courses)| !courses.runs.is_empty()).map(curve).collect();
    let caption = if averaged { caption + " Means over the runs still going." } else { caption };
    let chart = Chart { x: Axis::from_zero("Time", Unit::Seconds), y, curves, rules: Vec::new() };
    Figure::new(name, title, caption, Plot::Chart(chart))
}

fn share_ratio(curves: Curves<Distribution>) -> Figure {
    let rules = vec![(1.0, "gives as much as it gets".to_owned())];
    let caption = "Bytes uploaded over bytes downloaded, of the peers that downloaded anything. The steeper a curve, \
                   the more alike the peers.";
    fairness(
        "share-ratio",
        "Share ratio",
        caption,
        Axis::from_zero("Share ratio", Unit::Plain),
        curves,
        rules,
    )
}

fn normalized_upload(curves: Curves<Distribution>) -> Figure {
    let caption = "Copies of the content that a leecher has uploaded.";
    let x = Axis::from_zero("Uploaded copies of the content", Unit::Plain);
    fairness("normalized-upload", "Normalised upload", caption, x, curves, Vec::new())
}

fn fairness(
    name: &str,
    title: &str,
    caption: &str,
    x: Axis,
    curves: Curves<Distribution>,
    rules: Vec<(f64, String)>,
) -> Figure {
    let mut curves = distributions(curves);
    let mut caption = caption.to_owned();
    // One peer that gave a hundred times more than the others would flatten all curves to the left edge.
    let mut places: Vec<f64> = curves.iter().flat_map(|curve| &curve.points).map(|point| point.0).collect();
    places.sort_by(f64::total_cmp);
    let (most, usual) = (places.last().copied().unwrap_or(1.0), places.get(places.len() * 49 / 50).copied());
    let mut x = x;
    if let Some(usual) = usual.filter(|usual| most > 4.0 * usual.max(1.0)) {
        let end = 1.5 * usual.max(1.0);
        for curve in &mut curves {
            let kept = curve.points.partition_point(|point| point.0 <= end);
            curve.points.truncate(kept);
            curve.band.truncate(kept);
        }
        x.to = Some(end);
        caption += &format!(" A few peers beyond the right edge, up to {}, are not drawn.", number(most));
    }
    Figure::new(
        name,
        title,
        caption,
        Plot::Chart(Chart { x, y: Axis::share("Fraction of peers"), curves, rules }),
    )
}

/// Who unchokes whom, from class to class.
fn heat(group: &Group, classes: &[&str], name: &str, title: &str) -> Option<Figure> {
    let mut names: Vec<&str> = classes.to_vec();
    for choke in group.runs.iter().flat_map(|run| &run.chokes) {
        for name in [&*choke.from, &*choke.to] {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let seconds = |from: &str, to: &str| -> f64 {
        let all = group.runs.iter().flat_map(|run| &run.chokes);
        all.filter(|choke| choke.from == from && choke.to == to).map(|choke| choke.seconds).sum()
    };
    let row = |from: &&str| {
        let row: Vec<f64> = names.iter().map(|to| seconds(from, to)).collect();
        let total: f64 = row.iter().sum();
        row.into_iter().map(|cell| (total > 0.0).then(|| cell / total)).collect::<Vec<_>>()
    };
    let cells: Vec<Vec<_>> = names.iter().map(row).collect();
    cells.iter().flatten().flatten().next()?;
    let index = |class: &&str| {
        let spread = |run: &Run| run.summary.metric(class, metrics::CLUSTERING)?.mean();
        let values: Vec<f64> = group.runs.iter().filter_map(spread).collect();
        stats::mean(&values).map_or("–".to_owned(), |mean| fixed(mean, 2))
    };
    let indices: Vec<String> = names.iter().map(index).collect();
    let known = indices.iter().any(|index| index != "–");
    let caption = "How each class divides the time for which it unchokes interested peers; a row adds up to 100 %. The \
                   clustering index says how much of it goes to the own class.";
    let heat = Heat {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        cells,
        beside: known.then(|| ("clustering".to_owned(), indices)),
        figure: "share of unchoke time".to_owned(),
    };
    Some(Figure::new(name, title, caption.to_owned(), Plot::Heat(heat)))
}

/// The forest plot of a comparison.
fn differences(study: &Study, comparison: &Comparison) -> Figure {
    let place = |name: &str| metrics::place(name);
    let mut compared: Vec<_> = comparison.metrics.iter().filter(|(name, _)| metrics::is_key(name)).collect();
    compared.sort_by_key(|(name, _)| place(name));
    let mut rows = Vec::new();
    for (name, profiles) in compared {
        let base = profiles.iter().find(|row| row.profile == comparison.baseline).and_then(|row| row.mean);
        let Some(base) = base.filter(|base| *base != 0.0) else { continue };
        for row in profiles {
            let Some(difference) = row.difference else { continue };
            let part = |value: f64| value / base.abs();
            let interval = difference.interval.map(|(low, high)| (part(low), part(high)));
            let percent = |value: f64| {
                let text = fixed(value * 100.0, 1);
                if value > 0.0 && text != "0.0" { format!("+{text}") } else { text }
            };
            let text = match interval {
                Some((low, high)) => {
                    format!("{} %  [{}, {}]", percent(part(difference.mean)), percent(low), percent(high))
                }
                None => format!("{} %", percent(part(difference.mean))),
            };
            rows.push(Row {
                group: Metric::of(name).title,
                name: row.profile.clone(),
                value: part(difference.mean),
                interval,
                text,
                style: study.groups.iter().position(|group| group.name == row.profile).unwrap_or(1),
            });
        }
    }
    let how = if comparison.paired {
        "paired: seed by seed, each run against that of the same seed"
    } else {
        "unpaired: seeds are independent"
    };
    let caption = format!(
        "Differences of run means from those of {}, in per cent of its mean, with 95 % confidence intervals ({how}). An \
         interval that does not touch the dashed line is a difference.",
        comparison.baseline
    );
    let label = format!("Difference from {}", comparison.baseline);
    let x = Axis { label, unit: Unit::Share, from: Some(-0.01), to: Some(0.01) };
    let plot = Plot::Intervals(Intervals { x, rows, zero: Some(0.0), most: 2.0, width: 960.0 });
    Figure { wide: true, ..Figure::new("differences", "Differences", caption, plot) }
}

/// Means of the most important metrics, group by group.
fn means(study: &Study) -> Vec<Figure> {
    let figure = |name: &str| {
        let metric = Metric::of(name);
        let row = |(style, group): (usize, &Group)| {
            let values: Vec<f64> =
                group.runs.iter().filter_map(|run| run.summary.metric("overall", name)?.mean()).collect();
            let value = stats::mean(&values)?;
            let interval = stats::interval(&values).map(|found| (found.low, found.high));
            let (size, unit) = metric.unit.shown(value.abs());
            let show = |value: f64| number(value / size);
            let text = match interval {
                Some((low, high)) => format!("{}  [{}, {}] {unit}", show(value), show(low), show(high)),
                None => format!("{} {unit}", show(value)),
            };
            let style = if study.groups.len() > MOST_CURVES { 0 } else { style };
            Some(Row { group: String::new(), name: group.name.clone(), value, interval, text, style })
        };
        let rows: Vec<Row> = study.groups.iter().enumerate().filter_map(row).collect();
        let caption = match rows.iter().any(|row| row.interval.is_some()) {
            true => "Means over runs of the run's mean, with 95 % confidence intervals.",
            false => "The mean of each run; one run has no interval.",
        };
        let x = Axis { label: metric.title.clone(), unit: metric.unit, from: None, to: None };
        let plot = Plot::Intervals(Intervals { x, rows, zero: None, most: f64::MAX, width: 620.0 });
        let title = format!("{}, run means", metric.title);
        Figure::new(&format!("means-{}", name.replace('_', "-")), &title, caption.to_owned(), plot)
    };
    ["completion_time", "upload_utilization"].map(figure).into()
}
