//! When peers arrive, leave and give up, as a scenario says it.

use std::path::Path;
use std::time::Duration;

use bt_api::config;
use bt_api::plugin::shown;
use bt_runtime::TextError;
use bt_runtime::text::{Source, read_file};
use toml::Spanned;
use toml::de::DeValue;

use super::{Arrivals, Leaves, Scenario, Wait};
use crate::fields::{Fields, Value, choice, only_key, read};

/// The longest file of arrivals that is read, in bytes.
const MAX_TRACE: u64 = 64 << 20;
/// The latest arrival in a trace, in seconds: some thirty years.
const LATEST: f64 = 1e9;
/// Fewer or more arrivals a second than these mean something else.
const RATES: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// A duration, where a bare 0 is one too.
pub(super) fn duration_or_zero(source: &Source<'_>, value: Value<'_>) -> Result<Duration, TextError> {
    match value.get_ref() {
        DeValue::Integer(number) if number.as_str() == "0" => Ok(Duration::ZERO),
        DeValue::Integer(_) | DeValue::Float(_) => {
            let message =
                format!("expected a duration such as \"50 ms\", or 0, found {}", shown(value.get_ref()));
            Err(source.error(Some(value.span()), &message))
        }
        _ => duration(source, value),
    }
}

pub(super) fn duration(source: &Source<'_>, value: Value<'_>) -> Result<Duration, TextError> {
    Ok(read::<config::Duration>(source, value)?.into_inner().get())
}

/// A duration that must not be zero.
pub(super) fn some_time(source: &Source<'_>, key: &str, value: Value<'_>) -> Result<Duration, TextError> {
    let span = value.span();
    match duration(source, value)? {
        Duration::ZERO => Err(source.error(Some(span), &format!("`{key}` must be more than 0"))),
        time => Ok(time),
    }
}

/// `{ after = "10 min" }` or `{ exponential = "600 s" }`; `what` may stand here, for messages.
pub(super) fn wait(source: &Source<'_>, value: Value<'_>, what: &str) -> Result<Wait, TextError> {
    let (key, value) = only_key(source, value, what, &["after", "exponential"])?;
    Ok(match key.as_str() {
        "after" => Wait::After(duration(source, value)?),
        _ => Wait::Exponential(some_time(source, "exponential", value)?),
    })
}

pub(super) fn leaves(source: &Source<'_>, value: Value<'_>) -> Result<Leaves, TextError> {
    if value.get_ref().is_str() {
        return choice(source, &value, &[("never", Leaves::Never), ("on-complete", Leaves::OnComplete)]);
    }
    let what = "\"never\", \"on-complete\", { after = \"10 min\" } or { exponential = \"600 s\" }";
    wait(source, value, what).map(Leaves::Later)
}

/// When the peers of a group arrive; `count` is how many, as far as the scenario says.
pub(super) fn arrivals(
    source: &Source<'_>,
    folder: Option<&Path>,
    value: Value<'_>,
    count: Option<u32>,
) -> Result<Arrivals, TextError> {
    let what = "{ at = \"0 s\" }, { rate = \"100/s\" }, { poisson = \"0.5/s\" }, { batches = { every = \"100 s\", \
                size = 10 } } or { trace = \"file.csv\" }";
    let (key, value) = only_key(source, value, what, &["at", "rate", "poisson", "batches", "trace"])?;
    Ok(match key.as_str() {
        "at" => Arrivals::At(duration_or_zero(source, value)?),
        "rate" => Arrivals::Rate(rate(source, &value)?),
        "poisson" => Arrivals::Poisson(rate(source, &value)?),
        "batches" => Arrivals::Trace(batches(source, value, count)?),
        _ => Arrivals::Trace(trace(source, folder, value)?),
    })
}

/// `"100/s"`: so many a second, minute, hour or day.
fn rate(source: &Source<'_>, value: &Value<'_>) -> Result<f64, TextError> {
    let found = value.get_ref();
    let per_second = found.as_str().and_then(|text| {
        let (number, unit) = text.split_once('/')?;
        let number = number.trim();
        let digits = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number: f64 = number.parse().ok().filter(|_| digits)?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        Some(number / seconds)
    });
    per_second.filter(|rate| RATES.contains(rate)).ok_or_else(|| {
        let message = format!(
            "expected how many arrive, such as \"100/s\" (units s, min, h, d; from 0.000001/s to 1000000/s), \
             found {}",
            shown(found)
        );
        source.error(Some(value.span()), &message)
    })
}

/// `{ every = "100 s", size = 10, from = "1800 s" }`: the times of the `count` peers.
fn batches(source: &Source<'_>, value: Value<'_>, count: Option<u32>) -> Result<Vec<Duration>, TextError> {
    let mut fields = Fields::of(source, "batches", value)?;
    let every = fields.needed("every", "the time from one batch to the next, such as \"100 s\"")?;
    let every = some_time(source, "every", every)?;
    let size = read::<u32>(source, fields.needed("size", "how many peers arrive at once, such as 10")?)?;
    if *size.get_ref() == 0 {
        return Err(source.error(Some(size.span()), "`size` must be at least 1, found 0"));
    }
    let from = fields.take("from").map(|value| duration_or_zero(source, value)).transpose()?;
    let span = fields.span.clone();
    fields.finish()?;
    let Some(count) = count else {
        return Err(source.error(Some(span), "batches need the group's `count`: how many arrive in all"));
    };
    let from = from.unwrap_or_default();
    let batch = |number: u32| every.saturating_mul(number / size.get_ref()).saturating_add(from);
    Ok((0..count).map(batch).collect())
}

/// The times of a file, one in seconds a line, or of a list of durations.
fn trace(source: &Source<'_>, folder: Option<&Path>, value: Value<'_>) -> Result<Vec<Duration>, TextError> {
    let span = value.span();
    let wrong = |message: &str| source.error(Some(span.clone()), message);
    let mut times = match value.get_ref() {
        DeValue::Array(_) => {
            let times: Spanned<Vec<config::Duration>> = read(source, value)?;
            times.into_inner().into_iter().map(config::Duration::get).collect()
        }
        DeValue::String(name) => {
            // What a `--set` names is beside the user, what a scenario names is beside the scenario.
            let folder = folder.filter(|_| !source.is_set(&span));
            let path = folder.map_or_else(|| name.as_ref().into(), |folder| folder.join(name.as_ref()));
            let text =
                read_file(&path, "trace", MAX_TRACE).map_err(|why| wrong(&format!("{name}: {why}")))?;
            times_of(&text).map_err(|(line, found)| {
                let found: String = found.chars().take(40).collect();
                wrong(&format!(
                    "{name}, line {line}: expected the seconds of an arrival, from 0 to 1000000000, found {found:?}"
                ))
            })?
        }
        other => {
            let message = format!(
                "expected a file of arrivals such as \"arrivals.csv\", or a list of durations, found {}",
                shown(other)
            );
            return Err(wrong(&message));
        }
    };
    if times.is_empty() {
        return Err(wrong("the trace has no arrival"));
    }
    if times.len() as u64 > Scenario::MAX_PEERS {
        return Err(wrong(&format!("the trace has more than {} arrivals", Scenario::MAX_PEERS)));
    }
    times.sort_unstable();
    Ok(times)
}

/// The first column of a CSV file as times in seconds; else the number and text of the wrong line. The first line
/// may be a header; spreadsheets put a byte order mark before it.
fn times_of(text: &str) -> Result<Vec<Duration>, (usize, &str)> {
    let mut times = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        let first = line.split(',').next().unwrap_or_default().trim();
        if first.is_empty() && line.trim().is_empty() {
            continue;
        }
        match first.parse::<f64>() {
            Ok(seconds) if (0.0..=LATEST).contains(&seconds) => times.push(Duration::from_secs_f64(seconds)),
            Err(_) if number == 0 && first.starts_with(|c: char| c.is_alphabetic() || c == '"') => {}
            _ => return Err((number + 1, line)),
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_the_first_column_behind_a_header_if_any() {
        let times = [Duration::from_millis(1500), Duration::ZERO];
        assert_eq!(times_of("time,peer\n1.5,a\n\n0,b\n"), Ok(times.to_vec()));
        assert_eq!(times_of("1.5\r\n0\r\n"), Ok(times.to_vec()));
        assert_eq!(
            times_of("\u{feff}1.5\n0\n"),
            Ok(times.to_vec()),
            "a byte order mark is no part of a number"
        );
        for (wrong, line) in [("1\nx", 2), ("1\n-1", 2), ("nan", 1), ("inf", 1), ("1e10", 1), ("1\n,3", 2)] {
            assert_eq!(times_of(wrong).unwrap_err().0, line, "{wrong:?}");
        }
    }
}
