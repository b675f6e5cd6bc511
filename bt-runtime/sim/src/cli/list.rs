//! `bt-lab list`: what this binary has.

use bt_api::plugin::{self, Choke, Kind, Layer, Piece, Registry, RegistryError, Storage, Tracker};
use serde_json::json;

use super::Failure;
use super::terminal::Terminal;
use crate::measure::{METRICS, Metric};

/// Lists the scenarios, profiles, plug-ins and metrics of this binary.
#[derive(clap::Args)]
pub(super) struct Options {
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    let shipped = |kind| -> Vec<(&str, String)> {
        plugin::shipped(kind).into_iter().map(|one| (one.name, first_sentence(one.text))).collect()
    };
    let mut parts = vec![("scenarios", shipped("scenario")), ("profiles", shipped("profile"))];
    parts.push(("choke policies", of::<Choke>()?));
    parts.push(("piece policies", of::<Piece>()?));
    parts.push(("storage backends", of::<Storage>()?));
    parts.push(("storage layers", of::<Layer>()?));
    parts.push(("tracker clients", of::<Tracker>()?));
    if options.json {
        let object = parts.into_iter().map(|(what, names)| {
            let names = names.into_iter().map(|(name, summary)| json!({ "name": name, "summary": summary }));
            (what.replace(' ', "_"), names.collect())
        });
        let metrics = METRICS.iter().map(|metric| {
            let Metric { name, unit, formula, .. } = metric;
            json!({ "name": name, "unit": unit, "summary": formula })
        });
        let object = object.chain([("metrics".to_owned(), metrics.collect())]);
        writeln!(terminal.out, "{}", serde_json::Value::Object(object.collect()))?;
        return Ok(0);
    }
    let metrics = METRICS.iter().map(|metric| (metric.name, metric.formula.to_owned()));
    parts.push(("metrics", metrics.collect()));
    for (what, names) in parts {
        writeln!(terminal.out, "{what}:")?;
        let width = names.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, summary) in names {
            writeln!(terminal.out, "  {name:width$}  {summary}")?;
        }
    }
    Ok(0)
}

fn of<K: Kind>() -> Result<Vec<(&'static str, String)>, Failure> {
    let failed = |error: RegistryError| Failure::failed(error.to_string());
    let registry = Registry::of::<K>().map_err(failed)?;
    let summary = |lab_only, summary| format!("{summary}{}", if lab_only { "; in bt-lab only" } else { "" });
    Ok(registry.iter().map(|one| (one.name, summary(one.lab_only, one.summary))).collect())
}

/// The first sentence of the comment at the top of a shipped text.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with('#'));
    let words: Vec<&str> = lines.flat_map(|line| line.trim_start_matches('#').split_whitespace()).collect();
    let comment = words.join(" ");
    // After "et al. 2008" it goes on.
    let mut ends = comment.match_indices(". ").map(|(at, _)| at + 1);
    let end = ends.find(|end| !comment[end + 1..].starts_with(|next: char| next.is_ascii_digit()));
    comment[..end.unwrap_or(comment.len())].to_owned()
}
