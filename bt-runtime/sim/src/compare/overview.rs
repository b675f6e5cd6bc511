//! Comparisons in several scenarios at a glance: a row for each profile, a column for each class of peers.

use std::fmt::Write as _;

use super::{Comparison, Contest, Delta, Row};
use crate::measure::OVERALL;

/// The time by class, for it is whose that matters, and how evenly all are served for what they give.
const TIME: &str = "completion_time.median";
/// See [`TIME`].
const FAIRNESS: &str = "jain_ratio";

/// Profiles compared in one or more scenarios.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// The profiles, the first of which the others are compared with.
    pub profiles: Vec<String>,
    /// The median completion time, a column for each class that downloads.
    pub times: Vec<Column>,
    /// Jain's index of the share ratios, a column for each scenario.
    pub fairness: Vec<Column>,
    /// How many runs of each profile there are in a scenario.
    pub runs: usize,
}

/// One figure of all profiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The scenario.
    pub scenario: String,
    /// The class of peers; empty where it is all of them.
    pub class: String,
    /// The unit of the figure.
    pub unit: String,
    /// A row for each profile.
    pub rows: Vec<Row>,
}

impl Column {
    fn of(found: &Comparison, class: &str, metric: &str) -> Option<Self> {
        let metrics = if class == OVERALL { Some(&found.metrics) } else { found.by_class.get(class) };
        let compared = metrics?.get(metric)?;
        Some(Self {
            scenario: found.scenario.clone(),
            class: if class == OVERALL { String::new() } else { class.to_owned() },
            unit: compared.unit.clone(),
            rows: compared.rows.clone(),
        })
    }

    /// By what part of the first profile's mean another one differs: its difference with all figures as such parts.
    pub fn part(&self, row: &Row) -> Option<Delta> {
        let base = self.rows.first()?.mean.filter(|base| *base != 0.0)?.abs();
        let delta = row.difference?;
        let part = |value: f64| value / base;
        Some(Delta { mean: part(delta.mean), low: delta.low.map(part), high: delta.high.map(part), ..delta })
    }
}

impl Overview {
    /// Of comparisons of the same profiles, in the order in which they are given.
    pub fn of(found: &[(Contest, Comparison)]) -> Self {
        let times = found.iter().flat_map(|(contest, found)| {
            let scenario = contest.contestants.first().map(|one| &one.scenario);
            let groups = scenario.into_iter().flat_map(|scenario| &scenario.groups);
            let classes = groups.filter(|group| !group.complete).map(|group| group.name.as_str());
            classes.filter_map(|class| Column::of(found, class, TIME)).collect::<Vec<_>>()
        });
        Self {
            profiles: found.first().map(|(_, found)| found.profiles.clone()).unwrap_or_default(),
            times: times.collect(),
            fairness: found.iter().filter_map(|(_, found)| Column::of(found, OVERALL, FAIRNESS)).collect(),
            runs: found.iter().map(|(_, found)| found.seeds.len()).min().unwrap_or(0),
        }
    }

    /// As a document that `command` writes, with its plot in the file `plot` beside it.
    pub fn markdown(&self, command: &str, plot: &str) -> String {
        let first = self.profiles.first().map_or("", String::as_str);
        let mut text = format!(
            "# Profiles compared\n\nWritten by `bt-lab compare`; do not edit. The command:\n\n```sh\n{command}\n```\n\n\
             The first row has the means of `{first}` over {} runs of each scenario. The others have the difference from it in \
             per cent, with its 95 % confidence interval: paired by seed, a run is one observation. **Bold** is what is called \
             different, with the probabilities of a column adjusted for the number of profiles (Holm); of what does not differ \
             one column in twenty has one that is called so.\n\n![The table as a plot]({plot})\n",
            self.runs
        );
        text += "\n## Median completion time\n\nBy class; peers that did not finish count as slower than the run was long. Less is better.\n\n";
        text += &self.table(&self.times);
        text += "\n## Fairness\n\nJain's index of the share ratios of all that download (1: everybody gave in proportion to what it \
                 got). More is fairer.\n\n";
        text + &self.table(&self.fairness)
    }

    fn table(&self, columns: &[Column]) -> String {
        let mut text = String::from("| profile |");
        for Column { scenario, class, .. } in columns {
            let _ = match class.as_str() {
                "" => write!(text, " {scenario} |"),
                class => write!(text, " {scenario}: {class} |"),
            };
        }
        text += "\n| --- |";
        text += &" --- |".repeat(columns.len());
        text.push('\n');
        for (at, profile) in self.profiles.iter().enumerate() {
            let _ = write!(text, "| `{profile}` |");
            for column in columns {
                let _ = write!(text, " {} |", cell(column, at));
            }
            text.push('\n');
        }
        text
    }
}

/// What a table says of the profile `at`.
fn cell(column: &Column, at: usize) -> String {
    let Some(row) = column.rows.get(at) else { return "-".to_owned() };
    if at == 0 {
        return row.mean.map_or("-".to_owned(), |mean| match column.unit.as_str() {
            "1" => format!("{mean:.3}"),
            unit => format!("{mean:.1} {unit}"),
        });
    }
    column.part(row).map_or("-".to_owned(), |part| {
        let text = percent(&part);
        if part.differs() == Some(true) { format!("**{text}**") } else { text }
    })
}

/// A difference in per cent, with its interval.
pub(crate) fn percent(part: &Delta) -> String {
    // To a tenth where that is seen, with no minus before nothing.
    let digits = usize::from(part.mean.abs() < 0.9995);
    let show = |value: f64| {
        let text = format!("{:+.digits$}", value * 100.0);
        if text.bytes().all(|c| matches!(c, b'+' | b'-' | b'0' | b'.')) { text[1..].to_owned() } else { text }
    };
    match part.low.zip(part.high) {
        Some((low, high)) => format!("{} [{}, {}]", show(part.mean), show(low), show(high)),
        None => show(part.mean),
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare;
    use super::*;

    fn column(class: &str, samples: &[(&str, &[f64])]) -> Column {
        let samples: Vec<(&str, Vec<Option<f64>>)> = samples
            .iter()
            .map(|(name, values)| (*name, values.iter().copied().map(Some).collect()))
            .collect();
        let rows = compare(&samples, "s", true).rows;
        Column { scenario: "crowd".to_owned(), class: class.to_owned(), unit: "s".to_owned(), rows }
    }

    #[test]
    fn rows_are_parts_of_the_first() {
        let times = column(
            "slow",
            &[("mainline", &[99.0, 101.0]), ("same", &[99.0, 101.0]), ("slower", &[149.0, 151.0])],
        );
        let unfinished = column("lost", &[("mainline", &[]), ("same", &[1.0]), ("slower", &[])]);
        let profiles = ["mainline", "same", "slower"].map(str::to_owned).to_vec();
        let overview = Overview { profiles, times: vec![times, unfinished], fairness: Vec::new(), runs: 2 };
        let text = overview.markdown("bt-lab compare …", "plot.svg");
        assert!(text.contains("| profile | crowd: slow | crowd: lost |\n| --- | --- | --- |\n"), "{text}");
        assert!(text.contains("| `mainline` | 100.0 s | - |\n"), "{text}");
        assert!(text.contains("| `same` | 0.0 [0.0, 0.0] | - |\n"), "{text}");
        assert!(text.contains("| `slower` | **+50.0 [+50.0, +50.0]** | - |\n"), "{text}");
    }
}
