//! The report: one HTML page about a run, a comparison or a sweep, and its plots with their data.
//!
//! The page needs nothing but itself: no script, no network, no other file. It is the same whenever it is made of the
//! same files. Plots are drawn here as SVG and styled by class names, so that the page can show them in light, dark
//! and print, and a plot file in the colours of a paper.
//!
//! | module | holds |
//! | --- | --- |
//! | `read` | the files of runs and comparisons |
//! | `several` | several runs averaged, with intervals |
//! | `figures` | which plots there are |
//! | `chart`, `intervals`, `heat` | the kinds of plots |
//! | `overview` | the plot of comparisons in several scenarios |
//! | `scale`, `svg`, `text` | axes, shapes, texts and numbers |
//! | `metrics` | what metrics are called and how they are counted |
//! | `facts`, `tables`, `page` | what the page says, its tables, the whole of it |
//! | `restyle` | data and scripts beside the plots |

mod chart;
mod facts;
mod figures;
mod heat;
mod intervals;
mod metrics;
mod overview;
mod page;
mod read;
mod restyle;
mod scale;
mod several;
mod svg;
mod tables;
mod text;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::output::{self, OutputError};

pub use overview::overview;

/// Why there is no report. Each names the file at fault in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of a run cannot be read, or isn't what it should be.
    #[error(transparent)]
    Files(#[from] OutputError),
    /// A folder cannot be read.
    #[error("cannot read {}: {source}", dir.display())]
    Read {
        /// Which.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `compare.json` isn't what it should be.
    #[error("{}: {what}", file.display())]
    Bad {
        /// Where it is.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is nothing to report about.
    #[error(
        "{}: nothing to report: has neither manifest.json (of `bt-lab run`), compare.json (of `bt-lab compare`) nor \
         folders with runs in them", dir.display()
    )]
    Nothing {
        /// Where.
        dir: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Write {
        /// Which.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Writes `report.html` into `dir` from the files that runs have left there, and for each plot `plots/NAME.svg`, its
/// data `NAME.csv` and a script for gnuplot `NAME.gp`, with one for matplotlib, `plot.py`, that draws any of them.
/// Returns the page's path.
///
/// # Errors
///
/// Where a file is missing or wrong, or a file cannot be written.
pub fn write(dir: &Path) -> Result<PathBuf, Error> {
    let study = read::Study::read(dir)?;
    let figures = figures::all(&study);
    let plots = dir.join("plots");
    fs::create_dir_all(&plots).map_err(|source| Error::Write { file: plots.clone(), source })?;
    for figure in &figures {
        let name = &figure.name;
        let svg = figure.plot.draw().file(name, &figure.title, &figure.description());
        save(&plots.join(format!("{name}.svg")), &svg)?;
        save(&plots.join(format!("{name}.csv")), &figure.plot.csv())?;
        save(&plots.join(format!("{name}.gp")), &restyle::gnuplot(name, &figure.title, &figure.plot))?;
    }
    save(&plots.join("plot.py"), restyle::MATPLOTLIB)?;
    remove_others(&plots, &figures)?;
    let page = dir.join("report.html");
    save(&page, &page::page(&study, &figures))?;
    Ok(page)
}

/// Removes the plots of an earlier report that are none of this one, with what their scripts drew: those that have the
/// script that is made here. What else is in the folder is somebody's own.
fn remove_others(plots: &Path, figures: &[figures::Figure]) -> Result<(), Error> {
    let failed = |source| Error::Read { dir: plots.to_owned(), source };
    for entry in fs::read_dir(plots).map_err(failed)? {
        let script = entry.map_err(failed)?.path();
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if script.extension().is_none_or(|end| end != "gp") || figures.iter().any(|one| one.name == name) {
            continue;
        }
        if !fs::read_to_string(&script).is_ok_and(|text| text.starts_with(&restyle::first_line(&name))) {
            continue;
        }
        for end in [".svg", ".csv", "-gnuplot.svg", "-matplotlib.pdf", ".gp"] {
            let file = plots.join(format!("{name}{end}"));
            match fs::remove_file(&file) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::Write { file, source });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Writes a file, whole or not at all.
fn save(file: &Path, text: &str) -> Result<(), Error> {
    Ok(output::save(file, |out| out.write_all(text.as_bytes()))?)
}
