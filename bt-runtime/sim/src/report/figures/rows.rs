//! The plots that are rows of intervals: differences between profiles, and their means.

use super::super::intervals::{Intervals, Row};
use super::super::metrics::{self, Metric};
use super::super::read::{Comparison, Group, Study};
use super::super::scale::Axis;
use super::super::text::{Unit, fixed, number};
use super::{Figure, MOST_CURVES, Plot};
use crate::measure::OVERALL;
use crate::stats;

/// The forest plot of a comparison.
pub(super) fn differences(study: &Study, comparison: &Comparison) -> Figure {
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
            let mut text = match interval {
                Some((low, high)) => {
                    format!("{} %  [{}, {}]", percent(part(difference.mean)), percent(low), percent(high))
                }
                None => format!("{} %", percent(part(difference.mean))),
            };
            if let Some((n, all)) = comparison.in_runs(profiles, row) {
                text += &format!(" in {n} of {all}");
            }
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
pub(super) fn means(study: &Study) -> Vec<Figure> {
    let figure = |name: &str| {
        let metric = Metric::of(name);
        let row = |(style, group): (usize, &Group)| {
            let values: Vec<f64> =
                group.runs.iter().filter_map(|run| Some(run.metric(OVERALL, name)?.mean)).collect();
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
