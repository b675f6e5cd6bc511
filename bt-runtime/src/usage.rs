//! Wrong arguments, told in one line.

use std::fmt::Display;

/// The first paragraph and the hints of what `clap` says of wrong arguments to `program`, which takes several lines, in one
/// that ends with where to read on.
///
/// ```
/// let said = "error: unexpected argument '--jsn' found\n\n  tip: a similar argument exists: '--json'\n\n\
///             Usage: bt-run --json <TORRENT>...\n\nFor more information, try '--help'.\n";
/// assert_eq!(
///     bt_runtime::usage::one_line(&said, "bt-run"),
///     "unexpected argument '--jsn' found tip: a similar argument exists: '--json'; see `bt-run --help`"
/// );
/// ```
pub fn one_line(said: &dyn Display, program: &str) -> String {
    let said = said.to_string();
    let lines = said.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.contains("try '--help'")).collect();
    format!("{}; see `{program} --help`", lines.join(" ").trim_start_matches("error: "))
}
