//! The page `bt-runtime/docs/catalogue.md`: every plug-in of the shipped binaries with its keys, as the registry has them,
//! and with its source and what each key is, as the file says that holds it. `BT_WRITE_PAGE=1 cargo test -p bt-tests --test
//! catalogue` writes it anew. The page of comparisons beside it has every choker.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, iter};

use bt_api::plugin::{Choke, Kind, Layer, Piece, Registry, Storage, Tracker};
use bt_bins as _;
use bt_runtime::Profile;
use bt_tests::page::framework;

const PAGE: &str = "bt-runtime/docs/catalogue.md";

const BEGINNING: &str = "# Catalogue

Every plug-in of the shipped binaries: what it does, where it is from, and its keys with their defaults. The text of each
file says more; `cargo doc --open` has them as pages. A source of which nothing is said is this project.

In a profile a plug-in is named by `use`, with its keys beside it; `bt-run --defaults NAME` prints them, `bt-run --list`
the plug-ins of a binary, your own among them. This page is made from the registry:
`BT_WRITE_PAGE=1 cargo test -p bt-tests --test catalogue`.
";

/// The file of `folder` that holds the plug-in `name`.
fn file_of(name: &str, folder: &str) -> PathBuf {
    let line = format!("const NAME: &'static str = \"{name}\";");
    let files = fs::read_dir(framework().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .filter(|path| fs::read_to_string(path).unwrap().contains(&line))
        .collect();
    assert_eq!(found.len(), 1, "{name} stands in one file of {folder}: {found:?}");
    found.remove(0)
}

/// What the comment at the top of `file` says after `Source:`, up to the end of the paragraph.
fn source_of(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let paragraph: Vec<&str> =
        lines.skip_while(|line| !line.starts_with("Source:")).take_while(|line| !line.is_empty()).collect();
    let source = paragraph.join(" ");
    Some(source.strip_prefix("Source: ")?.to_owned())
}

/// What the files of the plug-in `name`, of which `file` is the first, say of each key of its table.
fn notes_of(name: &str, file: &Path) -> BTreeMap<String, String> {
    let parts =
        fs::read_dir(file.with_extension("")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = iter::once(file.to_owned()).chain(parts.filter(|path| path.is_file()));
    let texts: Vec<String> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    let named = texts[0].split(&format!("const NAME: &'static str = \"{name}\";")).next().unwrap();
    let config = named.rsplit("type Config = ").next().unwrap().split(';').next().unwrap();
    let begin = format!("pub struct {config} {{\n");
    let fields = texts.iter().find_map(|text| text.split(&begin).nth(1)).unwrap_or_default();
    let mut notes = BTreeMap::new();
    let mut note = Vec::new();
    for line in fields.lines().map(str::trim).take_while(|&line| line != "}") {
        if let Some(said) = line.strip_prefix("/// ") {
            note.push(said);
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            notes.insert(field.replace('_', "-"), std::mem::take(&mut note).join(" "));
        }
    }
    notes
}

/// The keys of `defaults`, each below what is said of it; those of a table in the table are another plug-in's.
fn annotated(defaults: &str, notes: &BTreeMap<String, String>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut nested = false;
    for line in defaults.trim_end().lines() {
        let key = line.trim_matches(['[', ']']).split(" = ").next().unwrap();
        lines.extend(notes.get(key).filter(|_| !nested).map(|note| format!("# {note}")));
        lines.push(line.to_owned());
        nested |= line.starts_with('[');
    }
    lines.join("\n")
}

fn section<K: Kind>(title: &str, folder: &str) -> String {
    let mut section = format!("\n## {title}\n");
    for plugin in Registry::of::<K>().unwrap().iter() {
        let file = file_of(plugin.name, folder);
        let link = Path::new("../..").join(file.strip_prefix(framework()).unwrap());
        let only = if plugin.lab_only { " In `bt-lab` only." } else { "" };
        write!(
            section,
            "\n### `{}`\n\n[{}]({}): {}.{only}",
            plugin.name,
            K::NAME,
            link.display(),
            plugin.summary
        )
        .unwrap();
        match source_of(&file) {
            Some(source) => writeln!(section, "\n\nSource: {source}").unwrap(),
            None => writeln!(section).unwrap(),
        }
        let keys = plugin.defaults();
        if !keys.is_empty() {
            let keys = annotated(&keys, &notes_of(plugin.name, &file));
            writeln!(section, "\n```toml\n{keys}\n```").unwrap();
        }
    }
    section
}

#[test]
fn the_page_is_what_the_registry_has() {
    let sections = [
        section::<Choke>("Choke policies, `[choke]`", "policies/src/choke"),
        section::<Piece>("Piece policies, `[piece]`", "policies/src/piece"),
        section::<Storage>("Storage backends, `[storage]`", "storage-backends/src"),
        section::<Layer>("Storage layers, `[[storage.layer]]`", "storage-backends/src/layer"),
        section::<Tracker>("Tracker clients and sources of peers, `[tracker]`", "policies/src/tracker"),
    ];
    let page = format!("{BEGINNING}{}", sections.concat());
    let path = framework().join(PAGE);
    if std::env::var_os("BT_WRITE_PAGE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{PAGE} is not what the registry has: BT_WRITE_PAGE=1 writes it anew");
}

/// The table of comparisons is made by hours of `bt-lab compare`, so not here; but no choker may be missing.
#[test]
fn every_choker_is_in_the_comparison() {
    let page = fs::read_to_string(framework().join("bt-runtime/docs/comparison.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let used = rows.map(|profile| {
        let profile = Profile::load(profile, &[]).unwrap().to_toml();
        let profile: toml::Table = profile.parse().unwrap();
        profile["choke"]["use"].as_str().unwrap().to_owned()
    });
    let used: BTreeSet<String> = used.collect();
    let registry = Registry::of::<Choke>().unwrap();
    let missing: Vec<&str> =
        registry.iter().map(|plugin| plugin.name).filter(|&name| !used.contains(name)).collect();
    assert!(missing.is_empty(), "add their profiles to the command in the page, and run it: {missing:?}");
}
