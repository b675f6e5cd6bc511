//! `bt-lab reproduce`: published results, measured again.

use std::path::PathBuf;

use bt_api::plugin::did_you_mean;

use super::Failure;
use super::terminal::{Bar, Stop, Terminal};
use crate::reproduce::{self, Lab, LabError, REPRODUCTIONS, Report, Reproduction, Verdict, markdown, text};

/// Reproduces published results: what is expected, what is measured, and a verdict.
///
/// Without a NAME, all of them. With --out, each run's result is kept in DIR/cells and found again by the same program,
/// so that an interrupted command goes on where it was; DIR/scenarios has every set-up, ready for `bt-lab run`. Exit
/// code 1 when a number that must come out does not; what else does not come out is reported and explained.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-lab reproduce --list
  bt-lab reproduce --quick
  bt-lab reproduce distribution-time --quick
  bt-lab reproduce --out results --markdown reproductions.md   (all, in full: hours)")]
pub(super) struct Options {
    /// Which one (`--list`); all without
    name: Option<String>,
    /// Small swarms and five seeds: minutes in place of hours
    #[arg(long)]
    quick: bool,
    /// Where results are kept, and found again
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write all findings to a document, too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// List the reproductions
    #[arg(long)]
    list: bool,
}

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    if options.list {
        let width = REPRODUCTIONS.iter().map(|one| one.name.len()).max().unwrap_or(0);
        for Reproduction { name, title, .. } in REPRODUCTIONS {
            writeln!(terminal.out, "{name:width$}  {title}")?;
        }
        return Ok(0);
    }
    let chosen: Vec<&'static Reproduction> = match &options.name {
        None => REPRODUCTIONS.iter().collect(),
        Some(name) => vec![reproduce::reproduction(name).ok_or_else(|| unknown(name))?],
    };
    let stop = Stop::listen()?;
    let bar = Bar::new("reproduce");
    let progress = |label: &str, done: usize, all: usize| {
        bar.set_message(label.to_owned());
        bar.set(done as f64 / all as f64);
    };
    let lab = Lab {
        quick: options.quick,
        folder: options.out.clone(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        progress: &progress,
        stop: &|| stop.asked().is_some(),
        // A result counts only for the program that made it.
        program: crate::output::program().unwrap_or_default(),
    };
    let mut reports: Vec<Report> = Vec::new();
    for reproduction in chosen {
        let findings = match (reproduction.run)(&lab) {
            Ok(findings) => findings,
            Err(LabError::Interrupted) => {
                terminal.note(match options.out {
                    Some(_) => "interrupted: the same command goes on from here",
                    None => "interrupted: nothing was kept (`--out DIR` does)",
                });
                return Ok(stop.asked().unwrap_or(1));
            }
            Err(error) => return Err(Failure::failed(error.to_string())),
        };
        let report = (reproduction, findings);
        writeln!(terminal.out, "{}", text(&report))?;
        terminal.out.flush()?;
        reports.push(report);
    }
    if let Some(file) = &options.markdown {
        std::fs::write(file, markdown(&reports, options.quick))
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))?;
    }
    let failed =
        |(_, findings): &Report| findings.rows.iter().any(|row| row.verdict == Verdict::NotReproduced);
    Ok(u8::from(reports.iter().any(failed)))
}

fn unknown(name: &str) -> Failure {
    let names: Vec<&str> = REPRODUCTIONS.iter().map(|one| one.name).collect();
    let meant = did_you_mean(name, names.iter().copied());
    Failure::usage(format!("no reproduction is named `{name}`{meant} (there are: {})", names.join(", ")))
}
