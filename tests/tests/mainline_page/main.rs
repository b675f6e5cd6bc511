//! The page `bt-runtime/docs/mainline.md` against the sources: every fact of the original stands in it once, with
//! the files that cite it or the reason why none does, and every test case with the tests that hold it.
//!
//! Its links to files, in the columns *where* and *tests*, are what the sources say. When a citation or a test moved,
//! `BT_WRITE_PAGE=1 cargo test -p bt-tests --test mainline_page` writes them anew; the words are for people to write.

mod page;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bt_api::plugin::shipped;
use bt_bins as _;

use page::{Found, Line, words};
use sources::Fact;

/// The parts of the original, and how many facts each has.
const PARTS: [(&str, u32); 20] = [
    ("SP", 6),
    ("RS", 21),
    ("ST", 9),
    ("SW", 31),
    ("PA", 7),
    ("FO", 3),
    ("BF", 16),
    ("BI", 6),
    ("BE", 10),
    ("CR", 8),
    ("RM", 9),
    ("CH", 20),
    ("PP", 17),
    ("RR", 24),
    ("DL", 22),
    ("UP", 11),
    ("CN", 18),
    ("EN", 21),
    ("DN", 9),
    ("SS", 9),
];

/// A number that was never given to a fact.
const NO_FACT: (&str, u32) = ("SW", 9);

/// How many test cases there are.
const CASES: u32 = 136;

#[test]
fn the_page_says_what_the_sources_say() {
    let path = folder().join("mainline.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let found = Found::new(sources::all(&root()));
    let linked = page::with_links(&page, &found);
    let mut complaints = Vec::new();
    if std::env::var_os("BT_WRITE_PAGE").is_some() {
        std::fs::write(&path, &linked).unwrap();
    } else {
        complaints.extend(stale_links(&page, &linked));
    }
    complaints.extend(facts(&linked, &found));
    complaints.extend(departures(&linked));
    complaints.extend(cases(&linked));
    complaints.extend(dead_links(&linked));
    complaints.extend(unknown_keys(&linked));
    complaints.extend(other_values(&linked));
    assert!(complaints.is_empty(), "mainline.md does not hold:\n{}\n", complaints.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the page lies, and what its links start from.
fn folder() -> PathBuf {
    root().join("bt-runtime/docs")
}

/// Where the links of `page` are not those of `linked`, which has them as the sources do.
fn stale_links(page: &str, linked: &str) -> Vec<String> {
    if page == linked {
        return Vec::new();
    }
    let lines =
        page.lines().zip(linked.lines()).filter(|(line, linked)| line != linked && line.starts_with("| "));
    let mut stale: Vec<String> = lines.map(|(_, linked)| format!("by the sources: {linked}")).collect();
    stale.push("BT_WRITE_PAGE=1 cargo test -p bt-tests --test mainline_page writes the links anew".into());
    stale
}

/// Every fact stands here once, says something, and is cited just when its standing is not `none`.
fn facts(page: &str, found: &Found) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut here = BTreeSet::new();
    for line in words(page) {
        let Line::Fact { fact, rule, standing } = line else { continue };
        let cited = found.facts.contains_key(&fact);
        let begins = ["as is", "shape: ", "departs: ", "other: ", "none: "]
            .iter()
            .any(|word| standing.starts_with(word));
        if rule.is_empty() || !begins {
            complaints.push(format!("{fact}: there is no rule, or the standing {standing:?} is none"));
        }
        if cited == standing.starts_with("none: ") {
            let so = if cited { "is cited" } else { "is cited by no source" };
            complaints.push(format!("{fact} {so}, and its standing is {standing:?}"));
        }
        if !here.insert(fact.clone()) {
            complaints.push(format!("{fact} stands here twice"));
        }
    }
    let all: BTreeSet<Fact> = PARTS
        .iter()
        .flat_map(|&(part, count)| (1..=count).map(move |number| (part, number)))
        .filter(|&fact| fact != NO_FACT)
        .map(|(part, number)| Fact(part.to_owned(), number))
        .collect();
    complaints.extend(all.difference(&here).map(|fact| format!("{fact} is missing")));
    complaints.extend(here.difference(&all).map(|fact| format!("{fact} is no fact")));
    let is_wrong =
        |fact: &Fact| PARTS.iter().any(|&(part, count)| part == fact.0 && !(1..=count).contains(&fact.1));
    let wrong = found.facts.iter().filter(|(fact, _)| is_wrong(fact));
    complaints.extend(wrong.map(|(fact, paths)| format!("{fact} is no fact, and is cited in {paths:?}")));
    complaints
}

/// What stands under the heading `title`.
fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let rest = page.split(&format!("\n## {title}\n")).nth(1);
    rest.unwrap_or_else(|| panic!("the page has no part {title:?}")).split("\n## ").next().unwrap_or_default()
}

/// A fact that departs is in the list of departures, and none that is in the list is as it was.
fn departures(page: &str) -> Vec<String> {
    let listed = sources::facts(section(page, "What departs"));
    let wrong = |line| match line {
        Line::Fact { fact, standing, .. } if standing.starts_with("departs: ") && !listed.contains(&fact) => {
            Some(format!("{fact} departs, and is not in the list"))
        }
        Line::Fact { fact, standing, .. } if standing.starts_with("as is") && listed.contains(&fact) => {
            Some(format!("{fact} is in the list of departures, and its standing is {standing:?}"))
        }
        _ => None,
    };
    words(page).filter_map(wrong).collect()
}

/// Every case stands here once, with its tests, or with the reason why it has none.
fn cases(page: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut here = BTreeMap::new();
    for line in words(page) {
        let Line::Case { case, about, tests } = line else { continue };
        *here.entry(case).or_insert(0) += 1;
        if about.is_empty() || tests.is_empty() {
            complaints
                .push(format!("case {case} says nothing, or has neither a test nor a reason (`none: …`)"));
        }
    }
    let once: BTreeMap<u32, i32> = (1..=CASES).map(|case| (case, 1)).collect();
    if here != once {
        let wrong = (1..=CASES).filter(|case| here.get(case) != Some(&1)).collect::<Vec<_>>();
        complaints.push(format!("each case from 1 to {CASES} stands here once: look at {wrong:?}"));
    }
    complaints
}

/// The links that people wrote lead to files.
fn dead_links(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let dead = targets.filter(|target| !target.contains("://") && !folder().join(target).exists());
    dead.map(|target| format!("a link leads to {target:?}, where nothing is")).collect()
}

/// The keys that the page names, as `table.key` or `table.key = value`, are in a shipped profile.
fn unknown_keys(page: &str) -> Vec<String> {
    let profiles = shipped("profile");
    let profiles: Vec<toml::Table> = profiles.iter().map(|profile| profile.text.parse().unwrap()).collect();
    let is_unknown = |code: &&str| {
        let key = code.split(" = ").next().unwrap_or_default();
        let Some((table, key)) = key.split_once('.') else { return false };
        let is_table = profiles.iter().any(|profile| profile.contains_key(table));
        is_table
            && !profiles
                .iter()
                .any(|profile| profile.get(table).is_some_and(|table| table.get(key).is_some()))
    };
    let codes = page.split('`').skip(1).step_by(2).filter(is_unknown);
    codes.map(|code| format!("no shipped profile has the key of `{code}`")).collect()
}

/// The values in the table of parameters are those of the profile `mainline`.
fn other_values(page: &str) -> Vec<String> {
    let mainline = shipped("profile").into_iter().find(|profile| profile.name == "mainline");
    let mainline: toml::Table = mainline.unwrap().text.parse().unwrap();
    let holds = |code: &&str| {
        let Ok(one) = code.parse::<toml::Table>() else { return false };
        one.iter().all(|(table, keys)| {
            let has = |key, value| mainline.get(table).is_some_and(|table| table.get(key) == Some(value));
            keys.as_table().is_some_and(|keys| keys.iter().all(|(key, value)| has(key, value)))
        })
    };
    let codes =
        section(page, "The parameters").split('`').skip(1).step_by(2).filter(|code| code.contains(" = "));
    codes.filter(|code| !holds(code)).map(|code| format!("`mainline` does not say `{code}`")).collect()
}

#[test]
fn what_does_not_hold_is_said() {
    let source = sources::Source {
        path: "a.rs".into(),
        facts: sources::facts("CH-1, CH-21"),
        cases: sources::cases("fn case_2_is_held() {}"),
    };
    let found = Found::new(vec![source]);
    let page = "| CH-1 | a list |  | none: why |\n| CH-1 | a list |  | as is |\n| CH-2 | a clock |  | as is |\n\
                | 1 | a case |  |\n| 2 | another |  |\n";
    let linked = page::with_links(page, &found);
    assert!(linked.starts_with("| CH-1 | a list | [a.rs] | none: why |\n"), "{linked}");
    assert!(
        linked.contains("| 2 | another | [a.rs] |\n") && linked.ends_with("\n[a.rs]: ../../a.rs\n"),
        "{linked}"
    );
    assert!(stale_links(page, &linked)[0].contains("[a.rs]") && stale_links(&linked, &linked).is_empty());
    let said = [facts(&linked, &found), cases(&linked)].concat().join("\n");
    for wrong in [
        "CH-1 is cited, and its standing is \"none: why\"",
        "CH-1 stands here twice",
        "CH-2 is cited by no source",
        "CH-3 is missing",
        "CH-21 is no fact",
        "case 1 says nothing",
        "look at [3, 4,",
    ] {
        assert!(said.contains(wrong), "{wrong:?} is not said: {said}");
    }
    assert!(!said.contains("case 2"), "{said}");
}

#[test]
fn citations_are_read_as_people_write_them() {
    let facts = |text| sources::facts(text).iter().map(Fact::to_string).collect::<Vec<_>>();
    assert_eq!(facts("// CH-7, and (BE-2): SHA-1, X-CH-3"), ["BE-2", "CH-7"]);
    assert_eq!(facts("//! `CH-2` to\n//! `CH-4`."), ["CH-2", "CH-3", "CH-4"]);
    assert_eq!(facts("# CH-2 to RR-4"), ["CH-2", "RR-4"]);
    let cases = |text| sources::cases(text).into_iter().collect::<Vec<_>>();
    assert_eq!(cases("fn case_7_or_8() {}"), [7]);
    assert_eq!(cases("fn cases_57_and_59_to_61() {}"), [57, 59, 60, 61]);
    assert_eq!(cases("/// Cases 9 to 11,\n/// 128 and 130: all.\n// Case 4"), [9, 10, 11, 128, 130]);
    assert!(cases("//! Case 3, of a whole file\nfn in_case_5() {}").is_empty());
}
