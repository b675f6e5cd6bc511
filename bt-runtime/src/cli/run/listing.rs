//! `--list` and `--defaults`: what this program has, from the registry.

use std::io::{self, Write};

use bt_api::plugin::{
    Choke, Kind, Layer, Piece, Registration, Registry, RegistryError, Storage, Tracker, did_you_mean, shipped,
};
use serde::Serialize;

/// A heading, and the plug-ins of one kind.
struct Group {
    kind: &'static str,
    table: &'static str,
    plugins: Vec<Registration>,
}

/// Every kind of plug-in, in the order of profiles.
fn groups() -> Result<[Group; 5], RegistryError> {
    fn group<K: Kind>() -> Result<Group, RegistryError> {
        Ok(Group { kind: K::NAME, table: K::TABLE, plugins: Registry::of::<K>()?.iter().copied().collect() })
    }
    Ok([group::<Choke>()?, group::<Piece>()?, group::<Storage>()?, group::<Layer>()?, group::<Tracker>()?])
}

/// Lists plug-ins and profiles for a person.
pub(super) fn list(out: &mut dyn Write) -> Result<io::Result<()>, RegistryError> {
    let groups = groups()?;
    let mut print = || {
        for Group { kind, table, plugins } in &groups {
            writeln!(out, "{kind}, [{table}]:")?;
            let width = plugins.iter().map(|one| one.name.len()).max().unwrap_or(0);
            for Registration { name, summary, lab_only, krate, version, .. } in plugins {
                let only = if *lab_only { "; in bt-lab only" } else { "" };
                writeln!(out, "  {name:width$}  {summary}{only} ({krate} {version})")?;
            }
            if plugins.is_empty() {
                writeln!(out, "  none in this program")?;
            }
            writeln!(out)?;
        }
        let profiles: Vec<&str> = shipped("profile").iter().map(|one| one.name).collect();
        writeln!(
            out,
            "profiles: {}",
            if profiles.is_empty() { "none".to_owned() } else { profiles.join(", ") }
        )
    };
    Ok(print())
}

/// Lists them as one JSON object.
pub(super) fn list_json(out: &mut dyn Write) -> Result<io::Result<()>, RegistryError> {
    #[derive(Serialize)]
    struct Plugin {
        kind: &'static str,
        table: &'static str,
        name: &'static str,
        summary: &'static str,
        lab_only: bool,
        #[serde(rename = "crate")]
        krate: &'static str,
        version: &'static str,
    }
    #[derive(Serialize)]
    struct List {
        plugins: Vec<Plugin>,
        profiles: Vec<&'static str>,
    }
    let plugins = groups()?.into_iter().flat_map(|group| group.plugins);
    let plugins =
        plugins.map(|Registration { kind, table, name, summary, lab_only, krate, version, .. }| Plugin {
            kind,
            table,
            name,
            summary,
            lab_only,
            krate,
            version,
        });
    let list = List {
        plugins: plugins.collect(),
        profiles: shipped("profile").iter().map(|one| one.name).collect(),
    };
    let text = serde_json::to_string(&list).expect("names are JSON");
    Ok(writeln!(out, "{text}"))
}

/// The tables of every plug-in that is called `name`, as a profile writes them, with every key at its default.
///
/// # Errors
/// One line when there is none.
pub(super) fn defaults(name: &str) -> Result<String, String> {
    let groups = groups().map_err(|error| error.to_string())?;
    let all: Vec<&Registration> = groups.iter().flat_map(|group| &group.plugins).collect();
    let tables: Vec<String> = all.iter().filter(|one| one.name == name).map(|one| table(one)).collect();
    if tables.is_empty() {
        let meant = did_you_mean(name, all.iter().map(|one| one.name));
        return Err(format!("no plug-in is named `{name}`{meant} (see --list)"));
    }
    Ok(tables.join("\n"))
}

/// The table that a profile names `plugin` in.
fn table(plugin: &Registration) -> String {
    let name = toml::Value::from(plugin.name);
    let own: toml::Table = plugin.defaults().parse().expect("a configuration is TOML");
    let of = |key: &str, value: toml::Value| toml::Table::from_iter([(key.to_owned(), value)]);
    let used = |name: toml::Value, keys: toml::Table| {
        let mut table = of("use", name);
        table.extend(keys);
        table
    };
    let profile = match plugin.table {
        Tracker::TABLE => of("tracker", used(vec![name].into(), of(plugin.name, own.into())).into()),
        Layer::TABLE => of("storage", of("layer", vec![used(name, own)].into()).into()),
        table => of(table, used(name, own).into()),
    };
    let Registration { kind, summary, krate, version, .. } = plugin;
    let text = toml::to_string(&profile).expect("tables are TOML");
    format!("# {kind} of {krate} {version}: {summary}\n{text}")
}
