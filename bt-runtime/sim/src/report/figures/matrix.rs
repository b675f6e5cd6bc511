//! The choke matrix.

use super::super::heat::Heat;
use super::super::metrics;
use super::super::read::{Group, Run};
use super::super::text::fixed;
use super::{Figure, Plot};
use crate::stats;

/// Who unchokes whom, from class to class.
pub(super) fn heat(group: &Group, classes: &[&str], name: &str, title: &str) -> Option<Figure> {
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
        all.filter(|choke| choke.from == from && choke.to == to).map(|choke| choke.unchoked_s).sum()
    };
    let row = |from: &&str| {
        let row: Vec<f64> = names.iter().map(|to| seconds(from, to)).collect();
        let total: f64 = row.iter().sum();
        row.into_iter().map(|cell| (total > 0.0).then(|| cell / total)).collect::<Vec<_>>()
    };
    let cells: Vec<Vec<_>> = names.iter().map(row).collect();
    cells.iter().flatten().flatten().next()?;
    let index = |class: &&str| {
        let spread = |run: &Run| Some(run.metric(class, metrics::CLUSTERING)?.mean);
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
