//! Tables of a scenario or a grid, read key by key, with a message at its place for whatever is wrong.

use std::ops::Range;

use bt_api::plugin::shown;
use bt_runtime::TextError;
use bt_runtime::text::Source;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A value and its place.
pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

/// The keys of one table, taken out one after another.
pub(crate) struct Fields<'s, 't> {
    pub(crate) source: &'s Source<'s>,
    /// How the table is written: `[content]`.
    header: String,
    /// Where it is.
    pub(crate) span: Range<usize>,
    table: DeTable<'t>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
}

impl<'s, 't> Fields<'s, 't> {
    /// The keys of `value`, which must be a table.
    pub(crate) fn of(source: &'s Source<'s>, header: &str, value: Value<'t>) -> Result<Self, TextError> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Ok(Self::new(source, header, span, table)),
            other => {
                let message = format!("expected a table, {header}, found {}", shown(&other));
                Err(source.error(Some(span), &message))
            }
        }
    }

    pub(crate) fn new(source: &'s Source<'s>, header: &str, span: Range<usize>, table: DeTable<'t>) -> Self {
        Self { source, header: header.to_owned(), span, table, known: Vec::new() }
    }

    /// Takes out the value of `key`, if it is there.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value<'t>> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Takes out `key` with its own place and value.
    pub(crate) fn take_entry(
        &mut self,
        key: &'static str,
    ) -> Option<(Spanned<toml::de::DeString<'t>>, Value<'t>)> {
        self.known.push(key);
        self.table.remove_entry(key)
    }

    /// The value of `key` as a `T`, if it is there.
    pub(crate) fn optional<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Spanned<T>>, TextError> {
        self.take(key).map(|value| read(self.source, value)).transpose()
    }

    /// The value of `key`, which must be there: `what` it is, with an example, is told if it is not.
    pub(crate) fn needed(&mut self, key: &'static str, what: &str) -> Result<Value<'t>, TextError> {
        let (header, span) = (&self.header, self.span.clone());
        let missing = || self.source.error(Some(span), &format!("`{key}` is missing in {header}: {what}"));
        self.known.push(key);
        self.table.remove(key).ok_or_else(missing)
    }

    /// The table at `key`; an empty one, at the place of this one, if it is not there.
    pub(crate) fn table(&mut self, key: &'static str) -> Result<Self, TextError> {
        let header = format!("[{key}]");
        match self.take(key) {
            Some(value) => Self::of(self.source, &header, value),
            None => Ok(Self::new(self.source, &header, self.span.clone(), DeTable::new())),
        }
    }

    /// Refuses whatever key was not asked for.
    pub(crate) fn finish(self) -> Result<(), TextError> {
        let Some(key) = self.table.keys().min_by_key(|key| key.span().start) else { return Ok(()) };
        let expected: Vec<String> = self.known.iter().map(|name| format!("`{name}`")).collect();
        let (found, expected) = (key.get_ref(), expected.join(", "));
        let header = &self.header;
        let message = format!("unknown key `{found}` in {header}, expected one of {expected}");
        // The header is not among the names that may be meant: it is not quoted.
        Err(self.source.error(Some(key.span()), &message))
    }
}

/// `value` as a `T`.
pub(crate) fn read<T: DeserializeOwned>(
    source: &Source<'_>,
    value: Value<'_>,
) -> Result<Spanned<T>, TextError> {
    let span = value.span();
    let read = T::deserialize(ValueDeserializer::from(value));
    match read {
        Ok(value) => Ok(Spanned::new(span, value)),
        Err(error) => Err(source.error(error.span().or(Some(span)), error.message())),
    }
}

/// The one of `choices` that `value` names.
pub(crate) fn choice<T: Copy>(
    source: &Source<'_>,
    value: &Value<'_>,
    choices: &[(&str, T)],
) -> Result<T, TextError> {
    let found = value.get_ref();
    if let Some((_, choice)) = choices.iter().find(|(name, _)| found.as_str() == Some(name)) {
        return Ok(*choice);
    }
    let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
    let names = names.join(" or ");
    let message = match found.as_str() {
        Some(text) => format!("unknown value `{text}`, expected {names}"),
        None => format!("expected {names}, found {}", shown(found)),
    };
    Err(source.error(Some(value.span()), &message))
}

/// The only key of the table `value` and what it is set to; `what` may stand there is told if it is not so.
pub(crate) fn only_key<'t>(
    source: &Source<'_>,
    value: Value<'t>,
    what: &str,
    keys: &[&str],
) -> Result<(String, Value<'t>), TextError> {
    let span = value.span();
    let wrong = |found: &str| source.error(Some(span.clone()), &format!("expected {what}, found {found}"));
    let table = match value.into_inner() {
        DeValue::Table(table) => table,
        other => return Err(wrong(&shown(&other))),
    };
    if let Some(key) = table.keys().find(|key| !keys.contains(&key.get_ref().as_ref())) {
        let names: Vec<String> = keys.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("unknown key `{}`, expected {}", key.get_ref(), names.join(" or "));
        return Err(source.error(Some(key.span()), &message));
    }
    let count = table.len();
    match table.into_iter().next() {
        Some((key, value)) if count == 1 => Ok((key.get_ref().to_string(), value)),
        _ => Err(wrong(if count == 0 { "an empty table" } else { "several of them" })),
    }
}
