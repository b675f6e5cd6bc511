//! The whole of `bt-lab`: simulated swarms, from one run to a comparison.

mod compare;
mod gather;
mod list;
#[cfg(feature = "live")]
mod live;
mod many;
mod measure;
mod new;
mod report;
mod reproduce;
mod run;
mod sweep;
mod terminal;
mod tournament;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use bt_api::contain;
use bt_runtime::TextError;
use bt_runtime::usage::one_line;
use clap::{Parser, Subcommand};

use crate::experiment::RunError;
use crate::output::OutputError;

use terminal::Terminal;

/// Runs `bt-lab` with the arguments of this process.
pub fn main() -> ExitCode {
    contain::note_places();
    let (mut out, mut notes) = (io::stdout().lock(), io::stderr());
    ExitCode::from(run(std::env::args_os(), &mut Terminal::new(&mut out, &mut notes)))
}

/// Runs `bt-lab`; answers with its exit code: 0 done, 1 failed or incomplete, 2 wrong use, 130 interrupted, 143
/// terminated.
fn run(arguments: impl IntoIterator<Item = OsString>, terminal: &mut Terminal<'_>) -> u8 {
    let result = match Arguments::try_parse_from(arguments) {
        Ok(Arguments { command: Command::Run(options) }) => run::run(&options, terminal),
        Ok(Arguments { command: Command::Compare(options) }) => compare::run(&options, terminal),
        Ok(Arguments { command: Command::Sweep(options) }) => sweep::run(&options, terminal),
        Ok(Arguments { command: Command::Gather(options) }) => gather::run(&options, terminal),
        Ok(Arguments { command: Command::Tournament(options) }) => tournament::run(&options, terminal),
        Ok(Arguments { command: Command::Measure(options) }) => measure::run(&options, terminal),
        #[cfg(feature = "live")]
        Ok(Arguments { command: Command::Live(options) }) => live::run(&options, terminal),
        Ok(Arguments { command: Command::Report(options) }) => report::run(&options, terminal),
        Ok(Arguments { command: Command::Reproduce(options) }) => reproduce::run(&options, terminal),
        Ok(Arguments { command: Command::List(options) }) => list::run(&options, terminal),
        Ok(Arguments { command: Command::New(options) }) => new::run(&options, terminal),
        Err(error) if !error.use_stderr() => {
            write!(terminal.out, "{}", error.render()).map(|()| 0).map_err(Failure::from)
        }
        Err(error) => Err(Failure::usage(one_line(&error.render(), "bt-lab"))),
    };
    result.unwrap_or_else(|failure| {
        // Nobody reads standard output any more: not worth a word.
        if !failure.message.is_empty() {
            terminal.note(&failure.message);
        }
        failure.code
    })
}

/// Simulates swarms of unmodified clients in virtual time, and measures them.
#[derive(Parser)]
#[command(
    name = "bt-lab",
    version,
    after_help = "Examples:
  bt-lab list
  bt-lab run homogeneous --out first
  bt-lab run flash-crowd --set peers.leecher.count=100 --seed 7 --out small
  bt-lab compare homogeneous --profile mainline --profile random-choker --seeds 1..30 --out chokers
  bt-lab report first
  bt-lab new choke least-served
  bt-lab reproduce --quick"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Options),
    Compare(compare::Options),
    Sweep(sweep::Options),
    Gather(gather::Options),
    Tournament(tournament::Options),
    Measure(measure::Options),
    #[cfg(feature = "live")]
    Live(live::Options),
    Report(report::Options),
    Reproduce(reproduce::Options),
    List(list::Options),
    New(new::Options),
}

/// Why a command ends early.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The arguments, the scenario or a profile are wrong.
    fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// Something went wrong on the way.
    fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }
}

/// A failure to write what was asked for.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { code: 1, message: String::new() },
            _ => Self::failed(format!("cannot write the answer: {error}")),
        }
    }
}

impl From<TextError> for Failure {
    fn from(error: TextError) -> Self {
        Self::usage(error.detailed())
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::failed(error.to_string())
    }
}
