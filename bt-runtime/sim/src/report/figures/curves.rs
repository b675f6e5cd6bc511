//! The plots that are curves: distributions over peers, and courses over time.

use super::super::chart::{Chart, Curve};
use super::super::read::{Run, Study};
use super::super::scale::Axis;
use super::super::several::{Courses, Distribution};
use super::super::text::{Unit, number};
use super::{Figure, Plot, TIME};

/// Curves by name and line style.
pub(super) type Curves<T> = Vec<(String, usize, T)>;

pub(super) fn completion(study: &Study, name: &str, curves: Curves<Distribution>, class: &str) -> Figure {
    let seeds = study.groups.iter().map(|group| group.runs.len()).max().unwrap_or(1);
    let unfinished: usize = curves.iter().map(|(_, _, times)| times.unfinished()).sum();
    // It counts from the first arrival: of times from one's own it is a bound where all arrive at once.
    let bounds = study.runs().filter(|run| at_once(run)).filter_map(|run| run.summary.bound_s);
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

/// Whether all who lack something arrive at the same time.
fn at_once(run: &Run) -> bool {
    let mut arrivals = run.peers.iter().filter(|peer| !peer.is_initial_seed()).map(|peer| peer.arrived);
    let first = arrivals.next();
    arrivals.all(|arrived| Some(arrived) == first)
}

/// Lets an axis begin at zero unless all of its figures are far from there.
pub(super) fn begin_low(chart: &mut Chart) {
    let places = || chart.curves.iter().flat_map(|curve| &curve.points).map(|point| point.0);
    let rules = || chart.rules.iter().map(|rule| rule.0);
    let low = places().chain(rules()).fold(f64::INFINITY, f64::min);
    let high = places().chain(rules()).fold(0.0, f64::max);
    let room = (high - low).max(high / 50.0);
    chart.x.from = Some(if low > 0.5 * high { (low - 0.25 * room).max(0.0) } else { 0.0 });
    chart.x.to = Some(high + 0.06 * room);
}

pub(super) fn distributions(curves: Curves<Distribution>) -> Vec<Curve> {
    let curve = |(name, style, values): (String, usize, Distribution)| {
        let (unfinished, all) = (values.unfinished(), values.count());
        let note = if unfinished == 0 { String::new() } else { format!("{unfinished} of {all} unfinished") };
        let (points, band) = values.ecdf();
        let steps = band.is_empty();
        Curve { name, note, style, points, band, steps, open: unfinished > 0 }
    };
    curves.into_iter().filter(|(_, _, values)| values.count() > 0).map(curve).collect()
}

pub(super) fn population_figure(curves: Curves<Courses>, caption: &str) -> Figure {
    let y = Axis::from_zero("Peers", Unit::Plain);
    over_time("population", "Population", caption.to_owned(), y, curves)
}

pub(super) fn utilization(direction: &str, curves: Curves<Courses>) -> Figure {
    let (name, title) = match direction {
        "upload" => ("upload-utilization", "Upload utilisation"),
        _ => ("download-utilization", "Download utilisation"),
    };
    let caption = format!("Payload bytes {direction}ed over the {direction} capacity of the peers present.");
    over_time(name, title, caption, Axis::share("Used capacity"), curves)
}

pub(super) fn entropy(curves: Curves<Courses>) -> Figure {
    let caption = "How evenly copies are spread over pieces: Shannon entropy over its maximum; 100 %: every piece has \
                   as many copies as every other.";
    // It is near its maximum most of the time: what is below matters.
    let values = curves.iter().flat_map(|(_, _, courses)| courses.runs.iter().flatten()).map(|point| point.1);
    let y = Axis { from: Some(values.fold(0.9, f64::min)), ..Axis::share("Entropy") };
    over_time("entropy", "Entropy of the pieces", caption.to_owned(), y, curves)
}

pub(super) fn over_time(
    name: &str,
    title: &str,
    caption: String,
    y: Axis,
    curves: Curves<Courses>,
) -> Figure {
    let averaged = curves.iter().any(|(_, _, courses)| courses.runs.len() > 1);
    let curve = |(name, style, courses): (String, usize, Courses)| {
        let points = courses.mean();
        Curve { name, note: String::new(), style, points, band: Vec::new(), steps: false, open: false }
    };
    let curves = curves.into_iter().filter(|(_, _, courses)| !courses.runs.is_empty()).map(curve).collect();
    let caption = if averaged { caption + " Means over the runs still going." } else { caption };
    let chart = Chart { x: Axis::from_zero(TIME, Unit::Seconds), y, curves, rules: Vec::new() };
    Figure::new(name, title, caption, Plot::Chart(chart))
}

pub(super) fn share_ratio(curves: Curves<Distribution>) -> Figure {
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

pub(super) fn normalized_upload(curves: Curves<Distribution>) -> Figure {
    let caption = "Copies of the content that a leecher has uploaded.";
    let x = Axis::from_zero("Uploaded copies of the content", Unit::Plain);
    fairness("normalized-upload", "Normalised upload", caption, x, curves, Vec::new())
}

pub(super) fn fairness(
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
