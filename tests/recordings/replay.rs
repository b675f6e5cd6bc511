//! Goes through a recording of the original client, scenario by scenario: what the `replay_*` examples share.
//! Each includes this file with `#[path]`, and so do the tests that alter a recording.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::de::DeserializeOwned;

/// Replays each line of `recording` with `replay`, which says how a scenario differs: a line each, none when it
/// agrees. Writes what differs, then `N of M scenarios agree`; answers whether all do.
///
/// # Errors
/// When a line is not a scenario, which is said with its number, or `out` cannot be written to.
pub(crate) fn all<S: DeserializeOwned>(
    recording: &str,
    replay: impl Fn(&S) -> Vec<String>,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let (mut scenarios, mut agree) = (0, 0);
    let lines = recording.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    for (at, line) in lines {
        let scenario = serde_json::from_str(line).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {error}", at + 1))
        })?;
        scenarios += 1;
        let differences = replay(&scenario);
        agree += u32::from(differences.is_empty());
        for difference in differences {
            writeln!(out, "line {}: {difference}", at + 1)?;
        }
    }
    if scenarios == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "there is no scenario in it"));
    }
    writeln!(out, "{agree} of {scenarios} scenarios agree")?;
    Ok(agree == scenarios)
}

/// The whole of an example: replays the file that the one argument names. Exit code 0 when all agree, 1 when one does
/// not, 2 when there is no such recording.
pub(crate) fn example<S: DeserializeOwned>(replay: impl Fn(&S) -> Vec<String>) -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        eprintln!("one argument is wanted: a recording (FILE.jsonl)");
        return ExitCode::from(2);
    };
    let replayed =
        std::fs::read_to_string(&path).and_then(|text| all(&text, replay, &mut io::stdout().lock()));
    match replayed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::from(2)
        }
    }
}
