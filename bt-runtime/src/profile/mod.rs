//! Profiles: a TOML text in, chosen plug-ins and settings out, and every message about what is wrong with it.
//!
//! Each kind of plug-in has a table: `use` names the plug-in, the other keys are its own. The engine's tables
//! are the fields of [`Settings`]. Everything is checked when the profile is loaded, so that a profile that
//! loads can run.

mod check;
mod choose;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bt_api::plugin::{self, Choke, Kind, Piece, Registration};
use bt_api::{ChokePolicy, PiecePolicy, StorageBackend, TrackerClient};
use bt_engine::Settings;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use choose::{Chosen, LayeredStorage, Purpose, Trackers, choose, choose_storage, choose_trackers};

use crate::text::{self, Source};

/// Why a profile cannot be used.
pub use crate::text::TextError as ProfileError;

/// A checked profile.
pub struct Profile {
    /// Its name: that of the file, or of the shipped profile, without `.toml`.
    pub name: String,
    /// The text that it was read from; the `--set`s are not in it.
    pub source_text: String,
    /// The tables that configure the engine and its drivers.
    pub settings: Arc<Settings>,
    choke: Chosen,
    piece: Chosen,
    storage: LayeredStorage,
    trackers: Trackers,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Profile {
    /// The tables of a profile, in the order in which they are shown.
    pub const TABLES: [&'static str; 12] = [
        "choke", "piece", "storage", "tracker", "announce", "rate", "requests", "upload", "peers", "net",
        "metainfo", "display",
    ];
    /// The largest profile that is read, in bytes: more is no profile.
    pub const MAX_TEXT: u64 = 1 << 20;

    /// Loads the profile that `name` is the path of, or the shipped one of this name (with or without
    /// `.toml`), with `sets` put in: each `KEY=VALUE`, with a dotted path as the key, and a value that is
    /// read as TOML, else as a string.
    ///
    /// A set that changes which plug-in is used takes out the keys that the text gives to the other one.
    ///
    /// # Errors
    /// Whatever is wrong with it, at its place.
    pub fn load(name: &str, sets: &[String]) -> Result<Self, ProfileError> {
        let found = Self::find(name)?;
        Self::read(&found.name, &found.file, &found.text, sets, Purpose::Run)
    }

    /// The effective profile `name` with `sets` as TOML: what [`to_toml`](Self::to_toml) answers, but also where a key
    /// that only its user can fill in is left open, so that it cannot run yet.
    ///
    /// # Errors
    /// Whatever else is wrong with it, as [`load`](Self::load).
    pub fn printed(name: &str, sets: &[String]) -> Result<String, ProfileError> {
        let found = Self::find(name)?;
        Self::read(&found.name, &found.file, &found.text, sets, Purpose::Print).map(|read| read.to_toml())
    }

    fn find(name: &str) -> Result<text::Found, ProfileError> {
        text::find("profile", name, None, Self::MAX_TEXT).map_err(|why| ProfileError::new(&why))
    }

    /// Reads a profile from `text`; `name` is its name, and `NAME.toml` stands in messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_text(name: &str, text: &str, sets: &[String]) -> Result<Self, ProfileError> {
        Self::read(name, &format!("{name}.toml"), text, sets, Purpose::Run)
    }

    fn read(
        name: &str,
        file: &str,
        text: &str,
        sets: &[String],
        purpose: Purpose,
    ) -> Result<Self, ProfileError> {
        let source = Source::new(file, text, sets, "peers.max-initiate=60")?;
        Self::of_tables(name, text, &source, source.tables()?, None, purpose)
    }

    /// Reads a profile from its `tables`, wherever in `source` they come from; what is missing is told at `place`,
    /// else at the start of the main text.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_tables(
        name: &str,
        source_text: &str,
        source: &Source<'_>,
        tables: DeTable<'_>,
        place: Option<Range<usize>>,
    ) -> Result<Self, ProfileError> {
        Self::of_tables(name, source_text, source, tables, place, Purpose::Run)
    }

    fn of_tables(
        name: &str,
        source_text: &str,
        source: &Source<'_>,
        mut tables: DeTable<'_>,
        place: Option<Range<usize>>,
        purpose: Purpose,
    ) -> Result<Self, ProfileError> {
        if let Some(unknown) = tables.keys().find(|key| !Self::TABLES.contains(&key.get_ref().as_ref())) {
            let expected: Vec<String> = Self::TABLES.iter().map(|name| format!("`{name}`")).collect();
            let (found, expected) = (unknown.get_ref(), expected.join(", "));
            let message = format!("unknown table `{found}`, expected one of {expected}");
            return Err(source.error(Some(unknown.span()), &message));
        }
        let choke = choose::<Choke>(source, purpose, table::<Choke>(source, &mut tables, &place)?)?;
        let piece = choose::<Piece>(source, purpose, table::<Piece>(source, &mut tables, &place)?)?;
        let storage = table::<plugin::Storage>(source, &mut tables, &place)?;
        let storage = choose_storage(source, purpose, storage)?;
        let trackers = table::<plugin::Tracker>(source, &mut tables, &place)?;
        let trackers = choose_trackers(source, purpose, trackers)?;
        Ok(Self {
            name: name.to_owned(),
            source_text: source_text.to_owned(),
            choke,
            piece,
            storage,
            trackers,
            settings: Arc::new(read_settings(source, tables)?),
        })
    }

    /// The name of the choke policy, and a new one.
    ///
    /// # Panics
    /// As every new plug-in: when it cannot be built again from what it was built from when this was loaded.
    pub fn choke(&self) -> (String, Box<dyn ChokePolicy>) {
        (self.choke.name().to_owned(), self.choke.build::<Choke>())
    }

    /// The name of the piece policy, and a new one.
    pub fn piece(&self) -> (String, Box<dyn PiecePolicy>) {
        (self.piece.name().to_owned(), self.piece.build::<Piece>())
    }

    /// The storage backend with its layers around it; one value serves every torrent.
    pub fn storage(&self) -> Arc<dyn StorageBackend> {
        self.storage.backend()
    }

    /// A new storage backend with new layers around it, as that of another process.
    pub fn new_storage(&self) -> Arc<dyn StorageBackend> {
        self.storage.build()
    }

    /// The name of the storage backend and those of its layers, the outermost last: `files + slow`.
    pub fn storage_name(&self) -> String {
        let names: Vec<&str> = self.storage.chosen().map(Chosen::name).collect();
        names.join(" + ")
    }

    /// The tracker clients, each with its name, in the order of the profile; one value serves every torrent.
    pub fn trackers(&self) -> Vec<(String, Arc<dyn TrackerClient>)> {
        let shared = |(chosen, client): &(Chosen, OnceLock<Arc<dyn TrackerClient>>)| {
            let client = client.get_or_init(|| Arc::from(chosen.build::<plugin::Tracker>()));
            (chosen.name().to_owned(), client.clone())
        };
        self.trackers.iter().map(shared).collect()
    }

    /// New tracker clients, as those of another process; as [`trackers`](Self::trackers) otherwise.
    pub fn new_trackers(&self) -> Vec<(String, Arc<dyn TrackerClient>)> {
        let new = |chosen: &Chosen| (chosen.name().to_owned(), Arc::from(chosen.build::<plugin::Tracker>()));
        self.trackers.iter().map(|(chosen, _)| new(chosen)).collect()
    }

    /// The plug-ins that it uses: policies, storage, layers, tracker clients.
    pub fn plugins(&self) -> impl Iterator<Item = &Registration> {
        let policies = [&self.choke, &self.piece];
        let trackers = self.trackers.iter().map(|(chosen, _)| chosen);
        policies.into_iter().chain(self.storage.chosen()).chain(trackers).map(|chosen| &chosen.registration)
    }

    /// Why it cannot run on a network, if one of its plug-ins is for the lab only: one line.
    pub fn lab_only(&self) -> Option<String> {
        let plugin = self.plugins().find(|plugin| plugin.lab_only)?;
        let Registration { kind, name, .. } = plugin;
        Some(format!(
            "the {kind} `{name}` needs to see the whole swarm, as only a simulator does: use bt-lab"
        ))
    }

    /// The effective profile, complete: every key of every table. Loading it gives this profile again.
    pub fn to_toml(&self) -> String {
        let mut profile = toml::Table::new();
        profile.insert(Choke::TABLE.into(), self.choke.table().into());
        profile.insert(Piece::TABLE.into(), self.piece.table().into());
        profile.insert(plugin::Storage::TABLE.into(), self.storage.table().into());
        let names: Vec<String> = self.trackers.iter().map(|(chosen, _)| chosen.name().to_owned()).collect();
        let mut trackers = toml::Table::from_iter([("use".to_owned(), names.into())]);
        for (chosen, _) in &self.trackers {
            trackers.insert(chosen.name().to_owned(), chosen.config().into());
        }
        profile.insert(plugin::Tracker::TABLE.into(), trackers.into());
        profile.extend(toml::Table::try_from(&*self.settings).expect("settings are TOML"));
        toml::to_string(&profile).expect("tables are TOML")
    }
}

/// Takes the table of kind `K` out of the profile.
fn table<'t, K: Kind>(
    source: &Source<'_>,
    tables: &mut DeTable<'t>,
    place: &Option<Range<usize>>,
) -> Result<plugin::Table<'t>, ProfileError> {
    let Some((key, value)) = tables.remove_entry(K::TABLE) else {
        let (name, kind) = (K::TABLE, K::NAME);
        let have = choose::names::<K>();
        let message = format!("[{name}] is missing: it says which {kind} to use (this binary has: {have})");
        return Err(source.error(place.clone(), &message));
    };
    as_table(source, &format!("[{}]", key.get_ref()), value)
}

/// `value` as the table that is written `header`.
fn as_table<'t>(
    source: &Source<'_>,
    header: &str,
    value: Spanned<DeValue<'t>>,
) -> Result<plugin::Table<'t>, ProfileError> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(span, table)),
        other => {
            let message = format!("expected a table, {header}, found {}", plugin::shown(&other));
            Err(source.error(Some(span), &message))
        }
    }
}

/// Reads the engine's tables, all that are left when those of plug-ins are taken out.
fn read_settings(source: &Source<'_>, mut tables: DeTable<'_>) -> Result<Settings, ProfileError> {
    let places = tables.clone();
    let mut settings = Settings::default();
    read_into(source, &mut tables, "announce", &mut settings.announce)?;
    read_into(source, &mut tables, "rate", &mut settings.rate)?;
    read_into(source, &mut tables, "requests", &mut settings.requests)?;
    read_into(source, &mut tables, "upload", &mut settings.upload)?;
    read_into(source, &mut tables, "peers", &mut settings.peers)?;
    read_into(source, &mut tables, "net", &mut settings.net)?;
    read_into(source, &mut tables, "metainfo", &mut settings.metainfo)?;
    read_into(source, &mut tables, "display", &mut settings.display)?;
    let Some(problem) = check::first_problem(&settings) else { return Ok(settings) };
    let table = places.get(problem.table).and_then(|table| Some((table.span(), table.get_ref().as_table()?)));
    let span = table.map(|(whole, table)| {
        problem.keys.iter().find_map(|key| table.get(*key)).map_or(whole, Spanned::span)
    });
    Err(source.error(span, &problem.message))
}

fn read_into<T: DeserializeOwned>(
    source: &Source<'_>,
    tables: &mut DeTable<'_>,
    name: &str,
    into: &mut T,
) -> Result<(), ProfileError> {
    if let Some(value) = tables.remove(name) {
        let table = as_table(source, &format!("[{name}]"), value)?;
        *into = plugin::read_table(table).map_err(|error| source.error(error.span, &error.message))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The wrong profiles, each with its message, are in the workspace's `tests/tests/profiles.rs`: they need
    // plug-ins, and this binary links none.
    #[test]
    fn a_binary_without_plug_ins_is_told_apart_from_a_misspelt_name() {
        let message =
            Profile::from_text("p", "[choke]\nuse = \"tit-for-tat\"\n", &[]).unwrap_err().to_string();
        assert_eq!(
            message,
            "p.toml:2:7: this binary links no choke policy at all; does its main.rs say `use bt_policies as _;` \
             and `use bt_storage as _;`?"
        );
    }
}
