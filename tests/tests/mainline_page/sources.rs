//! What the sources say of the original: which facts a file cites, which cases it tests.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// A fact by its part and number, such as `CH-7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fact(pub(crate) String, pub(crate) u32);

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// A source file and what it says.
pub(crate) struct Source {
    /// From the root of the project, with `/` between its parts.
    pub(crate) path: String,
    /// The facts that its code cites; none for a file of tests.
    pub(crate) facts: BTreeSet<Fact>,
    /// The cases that it tests, by the names of its tests or the comments on them.
    pub(crate) cases: BTreeSet<u32>,
}

/// Every `.rs` file and every shipped profile below `root`, by path.
pub(crate) fn all(root: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    visit(root, "", &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn visit(folder: &Path, path: &str, sources: &mut Vec<Source>) {
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap_or_default();
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let is_folder = entry.file_type().unwrap().is_dir();
        if is_folder && !name.starts_with('.') && name != "target" {
            visit(&entry.path(), &path, sources);
        } else if !is_folder && (name.ends_with(".rs") || path.starts_with("bins/profiles/")) {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let code =
                if is_test(&path) { "" } else { text.split("#[cfg(test)]\nmod tests {").next().unwrap() };
            sources.push(Source { path, facts: facts(code), cases: cases(&text) });
        }
    }
}

/// Whether a file tests what others hold.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples"))
        || matches!(name, "tests.rs" | "harness.rs")
        || name.ends_with("_tests.rs")
}

/// The facts that `text` cites, one by one (`CH-7`) or as a range (`CH-1 to CH-13`), which may go over a line's end.
pub(crate) fn facts(text: &str) -> BTreeSet<Fact> {
    let lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("//").trim_start_matches(['/', '!', '#']).trim());
    let text = lines.collect::<Vec<_>>().join(" ").replace('`', "");
    let mut facts = BTreeSet::new();
    let mut before: Option<(Fact, usize)> = None;
    for (dash, _) in text.match_indices('-') {
        let Some((fact, from, to)) = fact_at(&text, dash) else { continue };
        if let Some((Fact(part, first), end)) = before.take()
            && part == fact.0
            && text.get(end..from) == Some(" to ")
        {
            facts.extend((first..fact.1).map(|number| Fact(part.clone(), number)));
        }
        facts.insert(fact.clone());
        before = Some((fact, to));
    }
    facts
}

/// The fact around the dash at `dash`, and where it begins and ends.
fn fact_at(text: &str, dash: usize) -> Option<(Fact, usize, usize)> {
    let from = dash.checked_sub(2)?;
    let part = text.get(from..dash).filter(|part| part.bytes().all(|byte| byte.is_ascii_uppercase()))?;
    let (number, length) = leading_number(&text[dash + 1..])?;
    let stands_alone = !text[..from].ends_with(|c: char| c.is_alphanumeric() || c == '-');
    stands_alone.then(|| (Fact(part.to_owned(), number), from, dash + 1 + length))
}

/// The cases that `text` tests: functions named `case_7_…`, `cases_7_and_9_…` or `cases_7_to_9_…`, and comments of
/// items that say `Case 7`, or `Cases 7, 9 and 11 to 13`.
pub(crate) fn cases(text: &str) -> BTreeSet<u32> {
    let mut cases = BTreeSet::new();
    let mut comments = String::new();
    for line in text.lines().map(str::trim) {
        match line.strip_prefix("///") {
            Some(comment) => comments += comment,
            None => comments += "\n",
        }
        if let Some(name) = line.split_once("fn case").map(|(_, name)| name.trim_start_matches('s')) {
            let words = name.split(['_', '(']).collect::<Vec<_>>().join(" ");
            cases.extend(list(words.trim_start()));
        }
    }
    for word in ["Case ", "Cases "] {
        cases.extend(comments.split(word).skip(1).flat_map(list));
    }
    cases
}

/// The numbers at the start of `text`: `1`, `1, 2 and 4 to 6`.
fn list(text: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    let (mut rest, mut range) = (text, false);
    while let Some((number, length)) = leading_number(rest) {
        let first = if range { numbers.last().map_or(number, |last| last + 1) } else { number };
        numbers.extend(first..=number);
        rest = &rest[length..];
        range = rest.starts_with(" to ");
        let joint = [" to ", ", ", " and "].into_iter().find_map(|joint| rest.strip_prefix(joint));
        let Some(after) = joint else { break };
        rest = after;
    }
    numbers
}

/// The number that `text` starts with, and how many bytes it takes.
fn leading_number(text: &str) -> Option<(u32, usize)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..length].parse().ok().map(|number| (number, length))
}
