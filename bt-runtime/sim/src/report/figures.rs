//! Which plots a report has, and what each shows.

mod curves;
mod matrix;
mod rows;

use self::curves::{
    completion, entropy, normalized_upload, over_time, population_figure, share_ratio, utilization,
};
use self::matrix::heat;
use self::rows::{differences, means};
use super::chart::Chart;
use super::heat::Heat;
use super::intervals::Intervals;
use super::read::{Group, Run, Study};
use super::scale::Axis;
use super::several::{Courses, Distribution};
use super::svg::Canvas;
use super::text::Unit;

/// More groups than this and curves of all of them cannot be told apart: intervals are shown instead.
pub(super) const MOST_CURVES: usize = 8;

/// The line style of the whole swarm, beside those of its classes.
const OVERALL: usize = 6;

/// The axis of what changes over time.
const TIME: &str = "Time";

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
    if let Some(end) = study.warm_up() {
        for figure in &mut figures {
            if let Plot::Chart(chart) = &mut figure.plot
                && chart.x.label == TIME
            {
                chart.rules.push((end, "end of the warm-up".to_owned()));
                figure.caption += " Dashed: the end of the warm-up, which no figure counts.";
            }
        }
    }
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
    // The only class of leechers is all leechers.
    let several = classes.iter().filter(|class| has_leechers(study, class)).count() > 1;
    let scoped = |metric: &str| {
        let named = classes
            .iter()
            .enumerate()
            .filter(|_| several)
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
