//! The page as lines, and its links to files, which are written from what the sources say.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{self, Fact, Source};

/// Where the generated end of the page begins.
const LINKS: &str = "<!-- The rest is written by the test `mainline_page`. -->\n";

/// One line of the page.
pub(crate) enum Line<'a> {
    /// `| fact | rule | where | standing |`
    Fact { fact: Fact, rule: &'a str, standing: &'a str },
    /// `| case | what it is about | tests, or none: why |`
    Case { case: u32, about: &'a str, tests: &'a str },
    /// Anything else.
    Other(&'a str),
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let cells = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
        let cells: Vec<&str> = cells.map(|cells| cells.split(" | ").collect()).unwrap_or_default();
        if let [id, rule, _, standing] = cells[..]
            && let Some(fact) = sources::facts(id).pop_first().filter(|fact| fact.to_string() == id)
        {
            return Self::Fact { fact, rule, standing };
        }
        if let [id, about, tests] = cells[..]
            && let Ok(case) = id.parse()
        {
            return Self::Case { case, about, tests };
        }
        Self::Other(line)
    }
}

/// The lines that people write.
pub(crate) fn words(page: &str) -> impl Iterator<Item = Line<'_>> {
    page.split(LINKS).next().unwrap_or_default().lines().map(Line::parse)
}

/// Which files cite each fact, and test each case.
pub(crate) struct Found {
    pub(crate) facts: BTreeMap<Fact, Vec<String>>,
    pub(crate) cases: BTreeMap<u32, Vec<String>>,
}

impl Found {
    pub(crate) fn new(sources: Vec<Source>) -> Self {
        let mut found = Self { facts: BTreeMap::new(), cases: BTreeMap::new() };
        for source in sources {
            for fact in source.facts {
                found.facts.entry(fact).or_default().push(source.path.clone());
            }
            for case in source.cases {
                found.cases.entry(case).or_default().push(source.path.clone());
            }
        }
        found
    }
}

/// `page` with its links as `found` has them.
pub(crate) fn with_links(page: &str, found: &Found) -> String {
    let linked = words(page).filter_map(|line| match line {
        Line::Fact { fact, .. } => found.facts.get(&fact),
        Line::Case { case, .. } => found.cases.get(&case),
        Line::Other(_) => None,
    });
    let labels = labels(&linked.flatten().map(String::as_str).collect());
    let links = |paths: Option<&Vec<String>>| {
        let link = |path: &String| format!("[{}]", labels[path.as_str()]);
        paths.map(|paths| paths.iter().map(link).collect::<Vec<_>>().join(", "))
    };
    let mut text = String::new();
    for line in words(page) {
        text += &match line {
            Line::Fact { fact, rule, standing } => {
                let files = links(found.facts.get(&fact)).unwrap_or_default();
                format!("| {fact} | {rule} | {files} | {standing} |\n")
            }
            Line::Case { case, about, tests } => {
                let why = if tests.starts_with("none: ") { tests } else { "" };
                let tests = links(found.cases.get(&case)).unwrap_or(why.to_owned());
                format!("| {case} | {about} | {tests} |\n")
            }
            Line::Other(line) => format!("{line}\n"),
        };
    }
    text += LINKS;
    text.extend(labels.iter().map(|(path, label)| format!("[{label}]: ../../{path}\n")));
    text
}

/// What each of `paths` is called: its shortest end that no other has.
fn labels<'a>(paths: &BTreeSet<&'a str>) -> BTreeMap<&'a str, &'a str> {
    let ends = |path: &str, end: &str| {
        path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let label = |path: &'a str| {
        let mut starts = path.match_indices('/').map(|(at, _)| at + 1).rev();
        let alone = |&start: &usize| paths.iter().filter(|other| ends(other, &path[start..])).count() == 1;
        &path[starts.find(alone).unwrap_or(0)..]
    };
    paths.iter().map(|&path| (path, label(path))).collect()
}
