//! Grids: one scenario with many values, each cell of them a run.

use std::path::Path;

use bt_api::plugin::shown;
use bt_runtime::TextError;
use bt_runtime::text::{Found, Source, find};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Scenario;
use crate::fields::{Fields, Value, read};

/// A checked grid: each of its cells can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Its name.
    pub name: String,
    /// The path or the shipped name of its scenario.
    pub scenario: String,
    /// What varies, in the order of the text.
    pub axes: Vec<Axis>,
    /// The seeds with which each combination of values runs.
    pub seeds: Vec<u64>,
}

/// A key of the scenario and the values that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The dotted key: `peers.leecher.profile`.
    pub key: String,
    /// The values as a `--set` has them.
    pub values: Vec<String>,
}

/// One run of a grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its number, counted from 1.
    pub number: usize,
    /// The scenario's `--set`s, `KEY=VALUE`, one for each axis; the seed is not among them.
    pub sets: Vec<String>,
    /// The seed.
    pub seed: u64,
}

impl Grid {
    /// The longest text that is read, in bytes.
    pub const MAX_TEXT: u64 = 1 << 20;
    /// The most combinations of values; each is checked before anything runs.
    pub const MAX_COMBINATIONS: usize = 10_000;

    /// Loads the grid in the file `path`, and checks the scenario of every cell.
    ///
    /// # Errors
    /// Whatever is wrong with it, at its place; a wrong value with its key.
    pub fn load(path: &str) -> Result<Self, TextError> {
        let found = find("grid", path, None, Self::MAX_TEXT).map_err(|why| TextError::new(&why))?;
        read_grid(&found, true)
    }

    /// As [`load`](Self::load), but the scenarios are not checked: whoever runs one cell of ten thousand loads one.
    ///
    /// # Errors
    /// Whatever is wrong with the grid itself, at its place.
    pub fn load_unchecked(path: &str) -> Result<Self, TextError> {
        let found = find("grid", path, None, Self::MAX_TEXT).map_err(|why| TextError::new(&why))?;
        read_grid(&found, false)
    }

    /// Reads a grid from `text`; `name` is its name unless the text has one, and `NAME.toml` stands in messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_text(name: &str, text: &str) -> Result<Self, TextError> {
        let file = format!("{name}.toml");
        read_grid(&Found { name: name.to_owned(), file, text: text.to_owned().into(), folder: None }, true)
    }

    /// The cells: all combinations of values, the first axis slowest, and the seeds of each one after another.
    pub fn cells(&self) -> Vec<Cell> {
        let runs = self.combinations().flat_map(|values| {
            let sets: Vec<String> = self.sets(&values).collect();
            self.seeds.iter().map(move |&seed| (sets.clone(), seed))
        });
        runs.enumerate().map(|(index, (sets, seed))| Cell { number: index + 1, sets, seed }).collect()
    }

    /// The indices of the values, one for each axis, of every combination in order.
    fn combinations(&self) -> impl Iterator<Item = Vec<usize>> {
        let count: usize = self.axes.iter().map(|axis| axis.values.len()).product();
        (0..count).map(|mut rest| {
            let mut indices: Vec<usize> = Vec::with_capacity(self.axes.len());
            for axis in self.axes.iter().rev() {
                indices.push(rest % axis.values.len());
                rest /= axis.values.len();
            }
            indices.reverse();
            indices
        })
    }

    fn sets(&self, values: &[usize]) -> impl Iterator<Item = String> {
        let chosen = self.axes.iter().zip(values);
        chosen.map(|(axis, &index)| format!("{}={}", axis.key, axis.values[index]))
    }
}

/// Reads seeds: `1..30` (both ends included), `7`, or several of them: `1..5,9`.
///
/// # Errors
/// What is expected and what was found.
pub fn parse_seeds(text: &str) -> Result<Vec<u64>, String> {
    const MAX_SEEDS: u64 = 100_000;
    let number = |text: &str| -> Option<u64> {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|&seed| digits && seed <= Scenario::MAX_SEED)
    };
    let mut seeds: Vec<u64> = Vec::new();
    for part in text.split(',') {
        let range = match part.split_once("..") {
            Some((first, last)) => number(first).zip(number(last)),
            None => number(part).map(|seed| (seed, seed)),
        };
        let Some((first, last)) = range.filter(|(first, last)| first <= last) else {
            return Err(format!(
                "expected seeds such as \"1..30\" (both ends included) or \"1,2,5\", found {text:?}"
            ));
        };
        if last - first >= MAX_SEEDS {
            return Err(format!("more than {MAX_SEEDS} seeds, found {text:?}"));
        }
        seeds.extend(first..=last);
    }
    once_each(&seeds)?;
    Ok(seeds)
}

/// Numbers in ascending order, as [`parse_seeds`] reads them: `1..3,7`.
pub(crate) fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [first, .., last] => format!("{first}..{last}"),
        _ => run[0].to_string(),
    });
    runs.collect::<Vec<_>>().join(",")
}

/// Refuses a seed that comes twice: its run would count twice.
fn once_each(seeds: &[u64]) -> Result<(), String> {
    let mut sorted = seeds.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("the seed {} is there twice", pair[0])),
        None => Ok(()),
    }
}

/// An axis, and where in the text its key and each of its values are.
struct Placed {
    axis: Axis,
    key: std::ops::Range<usize>,
    values: Vec<std::ops::Range<usize>>,
}

fn read_grid(found: &Found, checked: bool) -> Result<Grid, TextError> {
    let source = Source::new(&found.file, &found.text, &[], "")?;
    let mut fields = Fields::new(&source, "a grid", 0..0, source.tables()?);
    let name = fields.optional::<String>("name")?;
    let scenario = fields.needed("scenario", "a path, or the name of a shipped scenario")?;
    let scenario = read::<String>(&source, scenario)?;
    let seeds = fields.take("seeds");
    let vary = fields.take("vary");
    fields.finish()?;
    let seeds = seeds.map_or_else(|| Ok(vec![1]), |value| read_seeds(&source, value))?;

    let mut placed = Vec::new();
    if let Some(vary) = vary {
        let span = vary.span();
        match vary.into_inner() {
            DeValue::Table(table) => read_axes(&source, &found.text, "", table, &mut placed)?,
            other => {
                let message = format!("expected a table, [vary], found {}", shown(&other));
                return Err(source.error(Some(span), &message));
            }
        }
    }
    placed.sort_by_key(|one| one.key.start);
    let combinations = placed.iter().try_fold(1_usize, |all, one| all.checked_mul(one.axis.values.len()));
    if combinations.is_none_or(|all| all > Grid::MAX_COMBINATIONS) {
        let message = format!("more than {} combinations of values", Grid::MAX_COMBINATIONS);
        return Err(source.error(placed.first().map(|one| one.key.clone()), &message));
    }

    // A path counts from the grid's folder; from now on it is told as it is found from here.
    let beside = found.folder.as_ref().map(|folder| folder.join(scenario.get_ref()));
    let beside = beside.filter(|path| path.is_file()).and_then(|path| path.to_str().map(str::to_owned));
    let grid = Grid {
        name: name.map_or_else(|| found.name.clone(), Spanned::into_inner),
        scenario: beside.unwrap_or_else(|| scenario.get_ref().clone()),
        axes: placed.iter().map(|one| one.axis.clone()).collect(),
        seeds,
    };
    if checked {
        check(&source, &grid, scenario.span(), &placed)?;
    }
    Ok(grid)
}

fn read_seeds(source: &Source<'_>, value: Value<'_>) -> Result<Vec<u64>, TextError> {
    let span = value.span();
    let wrong = |message: String| source.error(Some(span.clone()), &message);
    match value.get_ref() {
        DeValue::String(text) => parse_seeds(text).map_err(wrong),
        DeValue::Array(list) if !list.is_empty() => {
            let seeds = read::<Vec<Spanned<u64>>>(source, value)?.into_inner();
            if let Some(large) = seeds.iter().find(|seed| *seed.get_ref() > Scenario::MAX_SEED) {
                let message = format!("a seed must be at most {}", Scenario::MAX_SEED);
                return Err(source.error(Some(large.span()), &message));
            }
            let seeds: Vec<u64> = seeds.into_iter().map(Spanned::into_inner).collect();
            once_each(&seeds).map_err(wrong)?;
            Ok(seeds)
        }
        other => {
            let found = shown(other);
            Err(wrong(format!("expected seeds such as \"1..30\" or [1, 2, 5], found {found}")))
        }
    }
}

/// Reads the axes of `table`, whose keys continue `prefix`.
fn read_axes(
    source: &Source<'_>,
    text: &str,
    prefix: &str,
    table: DeTable<'_>,
    axes: &mut Vec<Placed>,
) -> Result<(), TextError> {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        let wrong = |message: &str| Err(source.error(Some(name.span()), message));
        match value.into_inner() {
            DeValue::Table(inner) => read_axes(source, text, &format!("{key}."), inner, axes)?,
            DeValue::Array(_) if key == "run.seed" => {
                return wrong("the seeds of a grid are its key `seeds`");
            }
            DeValue::Array(list) if !list.is_empty() => {
                if axes.iter().any(|one| one.axis.key == key) {
                    return wrong(&format!("`{key}` is there twice"));
                }
                let places = list.iter().map(Spanned::span).collect();
                let values: Vec<String> = list.iter().map(|value| set_value(text, value)).collect();
                if let Some(place) = (1..values.len()).find(|&place| values[..place].contains(&values[place]))
                {
                    let message =
                        format!("`{key}` has the value {} twice: its runs would count twice", values[place]);
                    return Err(source.error(Some(list[place].span()), &message));
                }
                axes.push(Placed { axis: Axis { key, values }, key: name.span(), values: places });
            }
            other => {
                let found = if other.is_array() { "an empty one".to_owned() } else { shown(&other) };
                return wrong(&format!("expected a list of values for `{key}`, found {found}"));
            }
        }
    }
    Ok(())
}

/// `value` as a `--set` has it: text that would not read as something else without its quotes has none.
fn set_value(text: &str, value: &Spanned<DeValue<'_>>) -> String {
    let parse = |written: &str| format!("v = {written}").parse::<toml::Table>().ok();
    if let Some(plain) = value.get_ref().as_str()
        && parse(plain).is_none()
        && plain.trim() == plain
        && !plain.contains(char::is_control)
    {
        return plain.to_owned();
    }
    // In one line, whatever the text has.
    let written = parse(&text[value.span()]).and_then(|mut table| table.remove("v"));
    written.map_or_else(|| text[value.span()].to_owned(), |value| value.to_string())
}

/// Loads the scenario of every combination.
fn check(
    source: &Source<'_>,
    grid: &Grid,
    scenario: std::ops::Range<usize>,
    placed: &[Placed],
) -> Result<(), TextError> {
    // What is wrong with the scenario itself is not the fault of a value.
    if !Path::new(&grid.scenario).is_file() {
        find("scenario", &grid.scenario, None, Scenario::MAX_TEXT)
            .map_err(|why| source.error(Some(scenario.clone()), &why))?;
    }
    for values in grid.combinations() {
        let sets: Vec<String> = grid.sets(&values).collect();
        let Err(error) = Scenario::load(&grid.scenario, &sets) else { continue };
        if let Some((number, message)) = error.set() {
            let (one, value) = (&placed[number], values[number]);
            let message = format!("`{}`: {message}", one.axis.key);
            return Err(source.error(Some(one.values[value].clone()), &message));
        }
        let with = if sets.is_empty() { String::new() } else { format!("with {}: ", sets.join(" ")) };
        return Err(source.error(Some(scenario), &format!("{with}{error}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges_with_both_ends() {
        assert_eq!(parse_seeds("1..3"), Ok(vec![1, 2, 3]));
        assert_eq!(parse_seeds("7"), Ok(vec![7]));
        assert_eq!(parse_seeds("1..2, 9"), Ok(vec![1, 2, 9]));
        for wrong in ["", "3..1", "1..", "..3", "a", "-1", "1,", "1...3", "+1", "9223372036854775808"] {
            let message = parse_seeds(wrong).unwrap_err();
            assert!(message.starts_with("expected seeds such as \"1..30\""), "{wrong:?}: {message}");
        }
        assert_eq!(parse_seeds("1..3,2").unwrap_err(), "the seed 2 is there twice");
        assert_eq!(parse_seeds("1..1000000").unwrap_err(), "more than 100000 seeds, found \"1..1000000\"");
    }

    #[test]
    fn the_first_axis_is_slowest_and_seeds_are_fastest() {
        let axis = |key: &str, values: &[&str]| Axis {
            key: key.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        };
        let grid = Grid {
            name: "g".to_owned(),
            scenario: "s".to_owned(),
            axes: vec![axis("a", &["1", "2"]), axis("b", &["x", "y", "z"])],
            seeds: vec![5, 6],
        };
        let cells = grid.cells();
        assert_eq!(cells.len(), 12);
        assert_eq!(cells[0], Cell { number: 1, sets: vec!["a=1".into(), "b=x".into()], seed: 5 });
        assert_eq!(cells[1].seed, 6);
        assert_eq!(cells[2].sets, ["a=1", "b=y"]);
        assert_eq!(cells[11], Cell { number: 12, sets: vec!["a=2".into(), "b=z".into()], seed: 6 });
    }
}
