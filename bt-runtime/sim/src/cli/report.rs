//! `bt-lab report`: the page and the plots of what was run before.

use std::path::PathBuf;

use super::Failure;
use super::terminal::Terminal;
use crate::report;

/// Makes report.html and the plots of a folder that another command wrote.
///
/// The page needs nothing else: no network, no other file. Beside it, in `plots`, each plot stands alone as SVG, with its
/// data as CSV and scripts for gnuplot and matplotlib to draw it otherwise.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The folder of a run or of a comparison
    dir: PathBuf,
}

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    report::write(&options.dir).map_err(|error| Failure::failed(error.to_string()))?;
    writeln!(terminal.out, "{}", options.dir.join("report.html").display())?;
    Ok(0)
}
