//! The whole of `bt-torrent`: makes, shows and checks torrent files, and asks trackers of them.

mod create;
mod hash;
mod scrape;
mod show;
mod verify;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use bt_engine::metainfo::{MAX_FILE_BYTES, Metainfo, Rules};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::escape::escape;
use crate::usage::one_line;

/// Runs `bt-torrent` with the arguments of this process.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), &mut io::stdout().lock(), &mut io::stderr()))
}

/// Runs `bt-torrent`; answers with its exit code: 0 done, 1 failed or incomplete, 2 wrong use.
fn run(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write, notes: &mut dyn Write) -> u8 {
    let result = match Arguments::try_parse_from(arguments) {
        Ok(Arguments { command: Command::Create(options) }) => create::run(&options, out, notes),
        Ok(Arguments { command: Command::Show(options) }) => show::run(&options, out),
        Ok(Arguments { command: Command::Scrape(options) }) => scrape::run(&options, out, notes),
        Ok(Arguments { command: Command::Verify(options) }) => verify::run(&options, out, notes),
        Err(error) if !error.use_stderr() => {
            write!(out, "{}", error.render()).map(|()| 0).map_err(Failure::from)
        }
        Err(error) => Err(Failure::usage(one_line(&error.render(), "bt-torrent"))),
    };
    result.unwrap_or_else(|failure| {
        // Nobody reads standard output any more: not worth a word.
        if !failure.message.is_empty() {
            note(notes, &failure.message);
        }
        failure.code
    })
}

/// Makes, shows and checks torrent files, and asks their trackers who has them.
#[derive(Parser)]
#[command(
    name = "bt-torrent",
    version,
    after_help = "Examples:
  bt-torrent create --tracker http://tracker.example/announce -o album.torrent ~/music/album
  bt-torrent show album.torrent
  bt-torrent verify album.torrent ~/music
  bt-torrent scrape album.torrent"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(create::Options),
    Show(show::Options),
    Scrape(scrape::Options),
    Verify(verify::Options),
}

/// Why a command ends early.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The arguments or the torrent file are wrong.
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

/// A line for a person.
fn note(notes: &mut dyn Write, message: &str) {
    let _ = writeln!(notes, "bt-torrent: {}", escape(message));
}

/// Reads and checks the torrent file at `path`.
fn read_torrent(path: &Path, rules: Rules) -> Result<Metainfo, Failure> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that the length is refused and not the missing end.
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    Metainfo::parse(&bytes, rules).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// A bar over `total` bytes on standard error, where that is a terminal.
fn progress_bar(total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a command; answers with its code, standard output and notes.
    pub(super) fn bt_torrent(arguments: &[&str]) -> (u8, String, String) {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let arguments = ["bt-torrent"].iter().chain(arguments).map(OsString::from);
        let code = run(arguments, &mut out, &mut notes);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap())
    }

    #[test]
    fn wrong_use_is_told_in_one_line() {
        for arguments in [
            &[][..],
            &["creat"],
            &["show"],
            &["show", "--jsn", "x"],
            &["show", "--rules", "odd", "x"],
            &["show", "/nonexistent/x.torrent"],
            &["create", "x"],
            &["create", "x", "-o", "y", "--piece-length", "3"],
            &["verify", "x"],
            &["scrape"],
            &["scrape", "/nonexistent/x.torrent"],
        ] {
            let (code, out, notes) = bt_torrent(arguments);
            assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
            assert_eq!(notes.lines().count(), 1, "{notes}");
            assert!(notes.starts_with("bt-torrent: ") && !notes.contains("\\u"), "{notes}");
        }
        let (_, _, notes) = bt_torrent(&["show", "--jsn", "x"]);
        assert_eq!(
            notes,
            "bt-torrent: unexpected argument '--jsn' found tip: a similar argument exists: '--json'; \
             see `bt-torrent --help`\n"
        );
    }

    #[test]
    fn help_has_examples() {
        for command in [
            &["--help"][..],
            &["create", "--help"],
            &["show", "--help"],
            &["verify", "--help"],
            &["scrape", "--help"],
        ] {
            let (code, out, _) = bt_torrent(command);
            assert_eq!(code, 0);
            assert!(out.contains("Examples:\n  bt-torrent "), "{out}");
        }
        let (code, out, _) = bt_torrent(&["--version"]);
        assert_eq!((code, out.trim_end()), (0, concat!("bt-torrent ", env!("CARGO_PKG_VERSION"))));
    }
}
