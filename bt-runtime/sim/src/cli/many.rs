//! What the commands with many runs share: seeds, processors, the bar with the time that is left.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use super::Failure;
use super::terminal::{Bar, Stop, Terminal, stopwatch};
use crate::grid::parse_seeds;
use crate::replicate::{Job, Progress, Ran, processors, replicate};

/// The seeds of an option.
#[derive(Clone, Debug)]
pub(super) struct Seeds(pub(super) Vec<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_seeds(text).map(Self)
    }
}

/// How many runs go on at a time.
#[derive(clap::Args)]
pub(super) struct Threads {
    /// How many runs go on at a time; as many as there are processors unless it is said
    #[arg(long, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,
}

/// What came of all runs; or the exit code of who was interrupted.
pub(super) enum Finished<T> {
    All(T),
    Interrupted(u8),
}

/// Runs all jobs, with a bar, and says what was there before.
pub(super) fn run(
    what: &str,
    jobs: &[Job],
    threads: &Threads,
    terminal: &mut Terminal<'_>,
) -> Result<Finished<Vec<Ran>>, Failure> {
    let threads = threads.jobs.unwrap_or_else(processors);
    let stop = Stop::listen()?;
    let (clock, bar) = (stopwatch(), Bar::with_message());
    let (mut done, mut count) = (0, jobs.len());
    let ran = replicate(jobs, threads, &clock, &mut |progress| {
        (done, count) = (progress.done, progress.count);
        bar.set(progress.part);
        bar.set_message(message(what, progress));
        stop.asked().is_none()
    })?;
    drop(bar);
    let Some(ran) = ran else {
        let done = jobs.len() - count + done;
        let all = jobs.len();
        terminal.note(&format!(
            "interrupted: {done} of {all} runs are done; the same command goes on from there"
        ));
        return Ok(Finished::Interrupted(stop.asked().unwrap_or(1)));
    };
    let reused = ran.iter().filter(|ran| ran.reused).count();
    if reused > 0 {
        terminal.note(&format!("{reused} of {} runs were there already", ran.len()));
    }
    let given_up = ran.iter().filter(|ran| ran.manifest.ended == "limit").count();
    if given_up > 0 {
        let of = ran.len();
        terminal.note(&format!(
            "{given_up} of {of} runs were given up at the scenario's limit: their unfinished peers are counted as censored"
        ));
    }
    Ok(Finished::All(ran))
}

/// How far it is, and for how long it will go on.
fn message(what: &str, progress: &Progress) -> String {
    let left =
        progress.left.map_or("time left not known yet".to_owned(), |left| format!("{} left", rough(left)));
    format!("{what}: {} of {} runs, {left}", progress.done, progress.count)
}

/// A time as a person says it.
fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..100 => format!("about {} s", seconds.max(1)),
        100..6000 => format!("about {} min", (seconds + 30) / 60),
        _ => format!("about {} h", (seconds + 1800) / 3600),
    }
}

/// A figure with four digits that count.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    match size {
        0.0 => "0".to_owned(),
        _ if !(1e-4..1e7).contains(&size) => format!("{value:.3e}"),
        _ if size >= 1000.0 => format!("{value:.0}"),
        _ if size >= 100.0 => format!("{value:.1}"),
        _ if size >= 10.0 => format!("{value:.2}"),
        _ if size >= 1.0 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// The same, with its sign and its interval.
pub(super) fn change(mean: f64, low: Option<f64>, high: Option<f64>) -> String {
    let signed = |value: f64| if value > 0.0 { format!("+{}", figure(value)) } else { figure(value) };
    match low.zip(high) {
        Some((low, high)) => format!("{} [{}, {}]", signed(mean), signed(low), signed(high)),
        None => signed(mean),
    }
}

/// Rows in columns: the first to the left, the others to the right.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |text: &String| text.chars().count();
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at).map(length)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let line: String = cells
            .map(
                |(at, (cell, width))| {
                    if at == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") }
                },
            )
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A probability.
pub(super) fn probability(p: Option<f64>) -> String {
    match p {
        None => "-".to_owned(),
        Some(p) if p < 0.001 => "<0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_people() {
        let found: Vec<String> = [0.0, 12345.6, 123.456, -1.23456, 0.012345, 3e9, 2e-6].map(figure).to_vec();
        assert_eq!(found, ["0", "12346", "123.5", "-1.235", "0.0123", "3.000e9", "2.000e-6"]);
        assert_eq!(change(1.5, Some(-0.5), Some(3.5)), "+1.500 [-0.5000, +3.500]");
        assert_eq!(change(0.0, None, None), "0");
        assert_eq!(
            (probability(Some(0.0)), probability(Some(0.25))),
            ("<0.001".to_owned(), "0.250".to_owned())
        );
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "22".to_owned()]];
        assert_eq!(table(&rows), "a      1\nlong  22\n");
    }

    #[test]
    fn the_time_that_is_left() {
        let progress = Progress { done: 0, count: 60, part: 0.01, left: None };
        assert_eq!(message("compare", &progress), "compare: 0 of 60 runs, time left not known yet");
        let progress = Progress { done: 3, left: Some(Duration::from_secs(185)), ..progress };
        assert_eq!(message("compare", &progress), "compare: 3 of 60 runs, about 3 min left");
        assert_eq!(rough(Duration::from_secs(7200)), "about 2 h");
    }
}
