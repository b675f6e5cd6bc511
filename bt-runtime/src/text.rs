//! The text of a profile or a scenario with its `--set`s, and messages that name a place in it.

mod find;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bt_api::plugin::did_you_mean;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::escape::escape;

pub use find::{Found, find, read_file};

/// Why a text cannot be used: one line that says where, what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    line: String,
    excerpt: Option<Excerpt>,
    /// Which `--set` is at fault, and what is wrong with it.
    set: Option<(usize, String)>,
}

/// The deepest key is that of a table within a plug-in's table; more parts only nest for ever.
const MAX_PARTS: usize = 16;

/// The line at fault, and which of its characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    line: String,
    before: usize,
    length: usize,
}

impl TextError {
    /// An error at no place in a text.
    pub fn new(message: &str) -> Self {
        Self { line: escape(message).into_owned(), excerpt: None, set: None }
    }

    /// The one line, and below it the line at fault with a mark under what is wrong.
    pub fn detailed(&self) -> String {
        let Some(excerpt) = &self.excerpt else { return self.line.clone() };
        let (blanks, marks) = (" ".repeat(excerpt.before), "^".repeat(excerpt.length));
        format!("{}\n  | {}\n  | {blanks}{marks}", self.line, excerpt.line)
    }

    /// The number of the `--set` that is at fault, counted from 0, and what is wrong with it.
    pub fn set(&self) -> Option<(usize, &str)> {
        self.set.as_ref().map(|(number, message)| (*number, message.as_str()))
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for TextError {}

/// A text with the `--set`s, and perhaps a second text that it names: a span of bytes counts through all of them,
/// so each value keeps its place wherever it is put.
#[derive(Clone)]
pub struct Source<'a> {
    files: Vec<File<'a>>,
    sets: Vec<Set>,
}

/// One text.
#[derive(Clone)]
struct File<'a> {
    name: &'a str,
    text: &'a str,
    start: usize,
    /// The text behind so many blanks that its spans count through the whole.
    document: Cow<'a, str>,
}

/// One `--set KEY=VALUE`.
#[derive(Clone)]
struct Set {
    given: String,
    path: Vec<String>,
    /// Where its text begins; the file's text ends before.
    start: usize,
    value: String,
    /// The value as a document, `v=VALUE`, behind so many blanks that its spans count through the whole.
    document: String,
}

impl Set {
    /// The value, if it is TOML; what is not is meant as a string: `choke.round=5 s`.
    fn toml(&self) -> Option<DeValue<'_>> {
        let mut document = DeTable::parse(&self.document).ok()?.into_inner();
        let value = document.remove("v")?.into_inner();
        document.is_empty().then_some(value)
    }

    fn end(&self) -> usize {
        self.start + self.given.len()
    }

    fn holds(&self, span: &Range<usize>) -> bool {
        (self.start..=self.end()).contains(&span.start)
    }
}

impl<'a> Source<'a> {
    /// The text of `file` and the `--set`s; `example` is a right one, for the message about a wrong one.
    ///
    /// # Errors
    /// A set that is not `KEY=VALUE`.
    pub fn new(file: &'a str, text: &'a str, sets: &[String], example: &str) -> Result<Self, TextError> {
        let mut start = text.len() + 1;
        let mut parsed = Vec::new();
        for given in sets {
            let wrong = || TextError::new(&format!("--set {given}: expected KEY=VALUE, such as {example}"));
            let (key, value) = given.split_once('=').ok_or_else(wrong)?;
            let path: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
            if path.iter().any(String::is_empty) || path.len() > MAX_PARTS {
                return Err(wrong());
            }
            let value = value.trim().to_owned();
            let document = format!("{:start$}v={value}", "");
            parsed.push(Set { given: given.clone(), path, start, value, document });
            start += given.len() + 1;
        }
        let file = File { name: file, text, start: 0, document: text.into() };
        Ok(Self { files: vec![file], sets: parsed })
    }

    /// This source with one more text, which is the main one from now on.
    pub fn with_file<'b>(&self, name: &'b str, text: &'b str) -> Source<'b>
    where
        'a: 'b,
    {
        let sets_end = self.sets.last().map_or(0, Set::end);
        let files_end = self.files.last().map_or(0, |file| file.start + file.text.len());
        let start = sets_end.max(files_end) + 1;
        let document = format!("{:start$}{text}", "").into();
        let mut files: Vec<File<'b>> = self.files.clone();
        files.push(File { name, text, start, document });
        Source { files, sets: self.sets.clone() }
    }

    /// The main text.
    fn main(&self) -> &File<'a> {
        self.files.last().expect("there is a file from the start")
    }

    /// Whether `span` is in a `--set`.
    pub fn is_set(&self, span: &Range<usize>) -> bool {
        self.sets.iter().any(|set| set.holds(span))
    }

    /// The tables of the main text.
    ///
    /// # Errors
    /// Text that is no TOML.
    pub fn parse(&self) -> Result<DeTable<'_>, TextError> {
        let parsed = DeTable::parse(&self.main().document);
        Ok(parsed.map_err(|error| self.error(error.span(), error.message()))?.into_inner())
    }

    /// The tables of the main text with the `--set`s put in, in their order. In a list of tables that have names, a
    /// set's path finds a table by its name: `peers.leecher.count=5`.
    ///
    /// # Errors
    /// Text that is no TOML, a set that leads nowhere.
    pub fn tables(&self) -> Result<DeTable<'_>, TextError> {
        let mut tables = self.parse()?;
        for set in &self.sets {
            let whole = set.start..set.end();
            let value = set.toml().unwrap_or_else(|| DeValue::String(set.value.as_str().into()));
            let (last, parents) = set.path.split_last().expect("a key has a part");
            let mut table = &mut tables;
            let mut parts = parents.iter();
            while let Some(part) = parts.next() {
                if !table.contains_key(part.as_str()) {
                    let empty = Spanned::new(whole.clone(), DeValue::Table(DeTable::new()));
                    table.insert(Spanned::new(whole.clone(), part.as_str().into()), empty);
                }
                let wrong = |message: &str| self.error(Some(whole.clone()), message);
                table = match table.get_mut(part.as_str()).expect("it was put in").get_mut() {
                    DeValue::Table(inner) => inner,
                    DeValue::Array(list) if list.iter().any(|one| name_of(one.get_ref()).is_some()) => {
                        let Some(wanted) = parts.next() else {
                            return Err(wrong(&format!("expected the path {part}.NAME.KEY")));
                        };
                        let names: Vec<String> =
                            list.iter().filter_map(|one| name_of(one.get_ref()).map(str::to_owned)).collect();
                        let found = list.iter_mut().map(Spanned::get_mut).find_map(|one| match one {
                            DeValue::Table(inner) if name_in(inner) == Some(wanted) => Some(inner),
                            _ => None,
                        });
                        found.ok_or_else(|| {
                            let meant = did_you_mean(wanted, names.iter().map(String::as_str));
                            let names = names.join(", ");
                            wrong(&format!("no [[{part}]] is named `{wanted}`{meant} (there are: {names})"))
                        })?
                    }
                    _ => return Err(wrong(&format!("`{part}` is not a table"))),
                };
            }
            if let ("use", Some(kind)) = (last.as_str(), parents.last()) {
                self.forget_other(kind, table, &value);
            }
            // Out first: the key's place is then that of the `--set`.
            table.remove(last.as_str());
            table.insert(Spanned::new(whole.clone(), last.as_str().into()), Spanned::new(whole, value));
        }
        Ok(tables)
    }

    /// Puts the tables `above` over those of the main text, `below`, key by key, as `--set`s would be.
    pub fn overlay<'t>(&self, below: &mut DeTable<'t>, above: DeTable<'t>) {
        for (key, value) in above {
            let name = key.get_ref().to_string();
            let (span, value) = (value.span(), value.into_inner());
            match (below.get_mut(name.as_str()).map(Spanned::get_mut), value) {
                (Some(DeValue::Table(below)), DeValue::Table(above)) => {
                    if let Some(new) = above.get("use") {
                        self.forget_other(&name, below, new.get_ref());
                    }
                    self.overlay(below, above);
                }
                (_, value) => {
                    below.remove(name.as_str());
                    below.insert(key, Spanned::new(span, value));
                }
            }
        }
    }

    /// Takes the keys that the main text gives to another plug-in out of the `table` of a kind, when something
    /// else changes its `use`: the new plug-in does not know them.
    fn forget_other(&self, kind: &str, table: &mut DeTable<'_>, name: &DeValue<'_>) {
        let is = |value: &DeValue<'_>, name: &str| value.as_str() == Some(name);
        let lists = |name: &DeValue<'_>, wanted: &str| match name {
            DeValue::Array(names) => names.iter().any(|one| is(one.get_ref(), wanted)),
            name => is(name, wanted),
        };
        let same =
            table.get("use").is_some_and(|old| old.get_ref().as_str().is_some_and(|old| is(name, old)));
        let keeps = |key: &str| match kind {
            "choke" | "piece" => same,
            "storage" => same || key == "layer",
            "tracker" => lists(name, key),
            _ => true,
        };
        let main = self.main();
        let main = main.start..=main.start + main.text.len();
        let gone = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            (main.contains(&value.span().start) && !keeps(key.get_ref())).then(|| key.get_ref().to_string())
        };
        for key in table.iter().filter_map(gone).collect::<Vec<_>>() {
            table.remove(key.as_str());
        }
    }

    /// An error at `span`, or at the start of the main text when it is of the whole. A nearest name is added where
    /// the message lists what is expected.
    pub fn error(&self, span: Option<Range<usize>>, message: &str) -> TextError {
        let message = with_nearest(&in_plain_words(message));
        let Some(span) = span else {
            return TextError::new(&format!("{}:1:1: {message}", self.main().name));
        };
        if let Some((number, set)) = self.sets.iter().enumerate().find(|(_, set)| set.holds(&span)) {
            let line = TextError::new(&format!("--set {}: {message}", set.given)).line;
            return TextError { line, excerpt: None, set: Some((number, message)) };
        }
        let holds = |file: &&File<'_>| file.start <= span.start;
        let File { name, text, start, .. } =
            self.files.iter().rev().find(holds).expect("the first file starts at 0");
        let whole_chars = |at: usize| (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
        let [start, end] =
            [span.start, span.end].map(|at| whole_chars(at.saturating_sub(*start)).unwrap_or(0));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let number = text[..line_start].matches('\n').count() + 1;
        let before = text[line_start..start].chars().count();
        let length = text[start..end.clamp(start, line_end)].chars().count().max(1);
        let line = text[line_start..line_end].trim_end().replace(char::is_control, " ");
        let place = format!("{name}:{number}:{}", before + 1);
        TextError {
            line: escape(&format!("{place}: {message}")).into_owned(),
            excerpt: Some(Excerpt { line, before, length }),
            set: None,
        }
    }
}

/// The `name` of a table in a list of tables.
fn name_of<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    value.as_table().and_then(|table| name_in(table))
}

fn name_in<'v>(table: &'v DeTable<'_>) -> Option<&'v str> {
    table.get("name")?.get_ref().as_str()
}

/// The message without the names of Rust's types: "invalid type: string "7", expected u32".
fn in_plain_words(message: &str) -> String {
    let types = [
        ("u8", "a whole number from 0 to 255"),
        ("u16", "a whole number from 0 to 65535"),
        ("u32", "a whole number from 0 to 4294967295"),
    ];
    let wide = [("u64", "a whole number"), ("usize", "a whole number"), ("f64", "a number")];
    for (name, words) in types.into_iter().chain(wide) {
        if let Some(found) = message.strip_suffix(name).filter(|found| found.ends_with("expected ")) {
            return format!("{found}{words}");
        }
    }
    match message {
        // What serde and the standard library say of an enumeration and of an address.
        "wanted string or table" => "expected one of its words, in double quotes".to_owned(),
        "invalid socket address syntax" => {
            "expected an IP address and a port, such as \"192.0.2.1:6881\"".to_owned()
        }
        _ => message.to_owned(),
    }
}

/// The message, with the name that was probably meant, if it says which are allowed as serde does:
/// "unknown field `slot`, expected `round` or `slots`".
fn with_nearest(message: &str) -> String {
    if message.contains("did you mean") || !message.starts_with("unknown ") {
        return message.to_owned();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let meant = quoted.next().map(|found| did_you_mean(found, quoted)).unwrap_or_default();
    format!("{message}{meant}")
}
