//! The text of a profile with its `--set`s, and messages that name a place in it.

use std::fmt;
use std::ops::Range;

use bt_api::plugin::nearest;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::escape::escape;

/// Why a profile cannot be used: one line that says where, what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    line: String,
    excerpt: Option<Excerpt>,
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

impl ProfileError {
    /// An error at no place in a text.
    pub(super) fn new(message: &str) -> Self {
        Self { line: escape(message).into_owned(), excerpt: None }
    }

    /// The one line, and below it the line at fault with a mark under what is wrong.
    pub fn detailed(&self) -> String {
        let Some(excerpt) = &self.excerpt else { return self.line.clone() };
        let (blanks, marks) = (" ".repeat(excerpt.before), "^".repeat(excerpt.length));
        format!("{}\n  | {}\n  | {blanks}{marks}", self.line, excerpt.line)
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for ProfileError {}

/// A profile's text, followed by the `--set`s: a span of bytes counts through all of them.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    sets: Vec<Set>,
}

/// One `--set KEY=VALUE`.
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
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a str, text: &'a str, sets: &[String]) -> Result<Self, ProfileError> {
        let mut start = text.len() + 1;
        let mut parsed = Vec::new();
        for given in sets {
            let wrong = || {
                ProfileError::new(&format!(
                    "--set {given}: expected KEY=VALUE, such as peers.max-initiate=60"
                ))
            };
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
        Ok(Self { file, text, sets: parsed })
    }

    /// The file's tables with the `--set`s put in, in their order.
    pub(super) fn tables(&self) -> Result<DeTable<'_>, ProfileError> {
        let parsed = DeTable::parse(self.text);
        let mut tables = parsed.map_err(|error| self.error(error.span(), error.message()))?.into_inner();
        for set in &self.sets {
            let whole = set.start..set.end();
            let value = set.toml().unwrap_or_else(|| DeValue::String(set.value.as_str().into()));
            let (last, parents) = set.path.split_last().expect("a key has a part");
            let mut table = &mut tables;
            for parent in parents {
                if !table.contains_key(parent.as_str()) {
                    let empty = Spanned::new(whole.clone(), DeValue::Table(DeTable::new()));
                    table.insert(Spanned::new(whole.clone(), parent.as_str().into()), empty);
                }
                let entry = table.get_mut(parent.as_str()).expect("it was put in if it was missing");
                let DeValue::Table(inner) = entry.get_mut() else {
                    return Err(self.error(Some(whole), &format!("`{parent}` is not a table")));
                };
                table = inner;
            }
            if last == "use" {
                self.forget_other(&set.path[0], table, &value);
            }
            // Out first: the key's place is then that of the `--set`.
            table.remove(last.as_str());
            table.insert(Spanned::new(whole.clone(), last.as_str().into()), Spanned::new(whole, value));
        }
        Ok(tables)
    }

    /// Takes the keys that the file gives to another plug-in out of the `table` of a kind, when a `--set`
    /// changes its `use`: the new plug-in does not know them.
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
        let gone = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            (value.span().start <= self.text.len() && !keeps(key.get_ref()))
                .then(|| key.get_ref().to_string())
        };
        for key in table.iter().filter_map(gone).collect::<Vec<_>>() {
            table.remove(key.as_str());
        }
    }

    /// An error at `span`, or at the start of the file when it is of the whole. A nearest name is added where
    /// the message lists what is expected.
    pub(super) fn error(&self, span: Option<Range<usize>>, message: &str) -> ProfileError {
        let message = with_nearest(&in_plain_words(message));
        let Some(span) = span else { return ProfileError::new(&format!("{}:1:1: {message}", self.file)) };
        if let Some(set) = self.sets.iter().find(|set| (set.start..=set.end()).contains(&span.start)) {
            return ProfileError::new(&format!("--set {}: {message}", set.given));
        }
        let whole_chars =
            |at: usize| (0..=at.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at));
        let [start, end] = [span.start, span.end].map(|at| whole_chars(at).unwrap_or(0));
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |newline| start + newline);
        let number = self.text[..line_start].matches('\n').count() + 1;
        let before = self.text[line_start..start].chars().count();
        let length = self.text[start..end.clamp(start, line_end)].chars().count().max(1);
        let line = self.text[line_start..line_end].trim_end().replace(char::is_control, " ");
        let place = format!("{}:{number}:{}", self.file, before + 1);
        ProfileError {
            line: escape(&format!("{place}: {message}")).into_owned(),
            excerpt: Some(Excerpt { line, before, length }),
        }
    }
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
    message.to_owned()
}

/// The message, with the name that was probably meant, if it says which are allowed as serde does:
/// "unknown field `slot`, expected `round` or `slots`".
fn with_nearest(message: &str) -> String {
    if message.contains("did you mean") || !message.starts_with("unknown ") {
        return message.to_owned();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let meant = quoted.next().and_then(|found| nearest(found, quoted));
    meant.map_or_else(|| message.to_owned(), |meant| format!("{message}; did you mean `{meant}`?"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Profile;

    #[test]
    fn a_place_is_counted_in_characters_from_1() {
        let source = Source::new("p.toml", "a = 1\n\t\"ä\" = x\n", &[]).unwrap();
        let at = source.text.find('x').unwrap();
        let error = source.error(Some(at..at + 1), "wrong");
        assert_eq!(error.detailed(), "p.toml:2:8: wrong\n  |  \"ä\" = x\n  |        ^");
    }

    proptest! {
        #[test]
        fn whatever_the_text_the_message_is_one_line(
            text in "([\\[\\]{}=.,'\"#\n\ta-cä0-9]|choke|piece|use|tit-for-tat|\\PC){0,40}",
            sets in proptest::collection::vec("[a-c.]{0,5}=?[\\[\\]{}=.,'\"#\na-cä0-9]{0,9}", 0..3),
        ) {
            let error = Profile::from_text("p", &text, &sets).unwrap_err();
            prop_assert!(!error.to_string().contains(char::is_control), "{error}");
            prop_assert!(error.detailed().lines().count() <= 3, "{}", error.detailed());
        }
    }
}
