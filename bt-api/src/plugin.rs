//! The registry: how a profile's `use = "name"` finds the code of that name.
//!
//! A plug-in is a type with a name, a typed configuration and a way to build the trait object. [`register!`](crate::register)
//! puts it into the registry of every binary that links its crate; a crate that is only listed in
//! `Cargo.toml` is not linked, so the binary says `use my_policies as _;`.

use std::fmt;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::choke::ChokePolicy;
use crate::contain::contain;
use crate::piece::PiecePolicy;
use crate::storage::{StorageBackend, StorageLayer};
use crate::tracker::TrackerClient;

/// A type that a profile can name.
pub trait Plugin: Sized {
    /// What it is: one of [`Choke`], [`Piece`], [`Storage`], [`Layer`], [`Tracker`].
    type Kind: Kind;
    /// Its keys in the profile: derive `Serialize` and `Deserialize` with
    /// `#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]`, and document each field.
    type Config: Serialize + DeserializeOwned + Default;
    /// Its name in profiles, in kebab-case.
    const NAME: &'static str;
    /// One line for lists of plug-ins.
    const SUMMARY: &'static str;
    /// Whether it needs what only a simulator knows ([`Oracle`](crate::Oracle)): profiles that name it run in `bt-lab` only.
    const LAB_ONLY: bool = false;

    /// Builds it; called once a torrent for policies, once a process for the other kinds.
    ///
    /// # Errors
    /// When a value is out of its range: the key and what is allowed.
    fn build(config: Self::Config) -> Result<Box<<Self::Kind as Kind>::Object>, BuildError>;
}

/// A value of a plug-in's configuration that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    key: &'static str,
    message: String,
    unset: bool,
}

impl BuildError {
    /// `key`, as the profile writes it, and what its value must be: `("slots", "must be at least 1")`.
    pub fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into(), unset: false }
    }

    /// `key` was left at a default that stands for nothing, and what its value must be, which only the user can say:
    /// `("path", "must name a file")`. A profile of this kind cannot run, but it can be printed, to be filled in.
    pub fn unset(key: &'static str, message: impl Into<String>) -> Self {
        Self { unset: true, ..Self::new(key, message) }
    }
}

/// What is wrong with a plug-in's table, and where in the profile's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The bytes of the text that are at fault, where they are known.
    pub span: Option<Range<usize>>,
    /// What was found and what is allowed.
    pub message: String,
    /// Whether nothing is wrong but that a value is [left to the user](BuildError::unset).
    pub unset: bool,
}

impl ConfigError {
    fn new(span: Option<Range<usize>>, message: String) -> Self {
        Self { span, message, unset: false }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

impl From<toml::de::Error> for ConfigError {
    fn from(error: toml::de::Error) -> Self {
        Self::new(error.span(), error.message().to_owned())
    }
}

/// A plug-in's table in a profile, without its `use` key: positions kept.
pub type Table<'i> = Spanned<DeTable<'i>>;

/// Reads a table of a profile into `T`; errors keep their position in the text.
///
/// # Errors
/// An unknown key, a wrong type, a value that `T` refuses.
pub fn read_table<T: DeserializeOwned>(table: Table<'_>) -> Result<T, ConfigError> {
    Ok(T::deserialize(toml::de::Deserializer::from(table))?)
}

/// A kind of plug-in.
pub trait Kind: 'static {
    /// What is built.
    type Object: ?Sized;
    /// What it is called in messages: `choke policy`.
    const NAME: &'static str;
    /// The profile's table that names it: `choke`.
    const TABLE: &'static str;
    /// Hides the kind in a registration.
    #[doc(hidden)]
    fn wrap(build: BuildFn<Self::Object>) -> Build;
    /// Finds the kind in a registration.
    #[doc(hidden)]
    fn unwrap(build: Build) -> Option<BuildFn<Self::Object>>;
}

/// Builds a plug-in of object type `O` from its table.
pub type BuildFn<O> = fn(Table<'_>) -> Result<Box<O>, ConfigError>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $object:path, $name:literal, $table:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub enum $kind {}

            impl Kind for $kind {
                type Object = dyn $object;
                const NAME: &'static str = $name;
                const TABLE: &'static str = $table;
                fn wrap(build: BuildFn<Self::Object>) -> Build {
                    Build::$kind(build)
                }
                fn unwrap(build: Build) -> Option<BuildFn<Self::Object>> {
                    match build {
                        Build::$kind(build) => Some(build),
                        _ => None,
                    }
                }
            }
        )*

        /// How to build a plug-in, by kind.
        #[doc(hidden)]
        #[derive(Clone, Copy, Debug)]
        pub enum Build {
            $(#[allow(missing_docs)] $kind(BuildFn<dyn $object>),)*
        }
    };
}

kinds! {
    /// Choke policies: `[choke]`.
    Choke, ChokePolicy, "choke policy", "choke";
    /// Piece policies: `[piece]`.
    Piece, PiecePolicy, "piece policy", "piece";
    /// Storage backends: `[storage]`.
    Storage, StorageBackend, "storage backend", "storage";
    /// Storage layers: `[[storage.layer]]`.
    Layer, StorageLayer, "storage layer", "storage.layer";
    /// Tracker clients and peer sources: `[tracker]`.
    Tracker, TrackerClient, "tracker client", "tracker";
}

/// One plug-in in the registry.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// What kind it is, in words: `choke policy`.
    pub kind: &'static str,
    /// The profile's table of its kind: `choke`.
    pub table: &'static str,
    /// Its name in profiles.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Whether it runs in `bt-lab` only.
    pub lab_only: bool,
    /// The crate that it comes from.
    pub krate: &'static str,
    /// That crate's version.
    pub version: &'static str,
    #[doc(hidden)]
    pub build: fn() -> Build,
    /// Its configuration as TOML: all keys with the values of `table`, or its defaults for those not there.
    #[doc(hidden)]
    pub effective: fn(Table<'_>) -> Result<String, ConfigError>,
}

inventory::collect!(Registration);

impl Registration {
    /// The registration of plug-in `P` of the crate `krate`; use [`register!`](crate::register).
    #[doc(hidden)]
    pub const fn of<P: Plugin>(krate: &'static str, version: &'static str) -> Self {
        Self {
            kind: <P::Kind as Kind>::NAME,
            table: <P::Kind as Kind>::TABLE,
            name: P::NAME,
            summary: P::SUMMARY,
            lab_only: P::LAB_ONLY,
            krate,
            version,
            // A trait's function cannot run in a static; a pointer to one that calls it can stand there.
            build: || <P::Kind as Kind>::wrap(build::<P>),
            effective: effective::<P>,
        }
    }

    /// Its table with every key at its default, as TOML.
    pub fn defaults(&self) -> String {
        (self.effective)(Spanned::new(0..0, DeTable::new())).expect("a plug-in reads its own defaults")
    }

    /// Its table with every key, at the value that `table` gives or at its default, as TOML.
    ///
    /// # Errors
    /// As when it is built.
    pub fn effective(&self, table: Table<'_>) -> Result<String, ConfigError> {
        (self.effective)(table)
    }
}

fn effective<P: Plugin>(table: Table<'_>) -> Result<String, ConfigError> {
    let config: P::Config = read_table(table)?;
    toml::to_string(&config).map_err(|error| ConfigError::new(None, error.to_string()))
}

/// Reads the table and builds the plug-in; a bad value is found at its key.
fn build<P: Plugin>(table: Table<'_>) -> Result<Box<<P::Kind as Kind>::Object>, ConfigError> {
    let whole = table.span();
    let values: Vec<(String, Range<usize>, String)> = table
        .get_ref()
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), value.span(), shown(value.get_ref())))
        .collect();
    let config = read_table(table)?;
    let built = contain(|| P::build(config)).map_err(|said| {
        let message = format!("the {} `{}` panicked when it was built: {said}", P::Kind::NAME, P::NAME);
        ConfigError::new(Some(whole.clone()), message)
    })?;
    built.map_err(|BuildError { key, message, unset }| {
        let (span, message) = match values.into_iter().find(|(name, ..)| name == key) {
            Some((_, span, found)) => (span, format!("`{key}` {message}, found {found}")),
            None => (whole, format!("`{key}` {message}")),
        };
        ConfigError { span: Some(span), message, unset }
    })
}

/// How messages show a value that was found.
pub fn shown(value: &DeValue<'_>) -> String {
    /// Longer text would hide the message.
    const MAX_SHOWN: usize = 60;
    match value {
        DeValue::String(text) if text.chars().count() > MAX_SHOWN => "a long string".to_owned(),
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Puts a [`Plugin`] into the registry of every binary that links this crate.
#[macro_export]
macro_rules! register {
    ($plugin:ty) => {
        $crate::plugin::inventory::submit! {
            $crate::plugin::Registration::of::<$plugin>(
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION"),
            )
        }
    };
}

#[doc(hidden)]
pub use inventory;

/// The plug-ins of one kind in this binary.
#[derive(Clone, Debug)]
pub struct Registry {
    plugins: Vec<Registration>,
}

/// Why the registry has no such plug-in, or cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// Two plug-ins of one kind have one name.
    Duplicate {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: &'static str,
        /// Both crates, with versions.
        crates: [String; 2],
    },
    /// The binary links no plug-in of this kind.
    Empty {
        /// The kind.
        kind: &'static str,
    },
    /// It links some, but none of this name.
    Unknown {
        /// The kind.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// The name nearest to it, when one is near.
        nearest: Option<&'static str>,
        /// What there is, each with its crate.
        have: Vec<String>,
    },
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { kind, name, crates: [one, other] } => {
                write!(f, "two {} are named `{name}`: one from {one}, one from {other}", plural(kind))
            }
            Self::Empty { kind } => {
                write!(
                    f,
                    "this binary links no {kind} at all; does its main.rs say `use bt_policies as _;`"
                )?;
                write!(f, " and `use bt_storage as _;`?")
            }
            Self::Unknown { kind, name, nearest, have } => {
                write!(f, "no {kind} is named `{name}`")?;
                if let Some(nearest) = nearest {
                    write!(f, "; did you mean `{nearest}`?")?;
                }
                write!(f, " (this binary has: {})", have.join(", "))?;
                if nearest.is_none() {
                    write!(
                        f,
                        "; one of your own needs `bt_api::register!`, and a main.rs that uses its crate"
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for RegistryError {}

fn plural(kind: &str) -> String {
    kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"))
}

impl Registry {
    /// The plug-ins of kind `K`, sorted by name.
    ///
    /// # Errors
    /// When two of them have one name.
    pub fn of<K: Kind>() -> Result<Self, RegistryError> {
        Self::from_registrations::<K>(inventory::iter::<Registration>.into_iter().copied())
    }

    fn from_registrations<K: Kind>(all: impl Iterator<Item = Registration>) -> Result<Self, RegistryError> {
        let mut plugins: Vec<Registration> = all.filter(|one| one.table == K::TABLE).collect();
        // inventory promises no order: ours is by name, then by crate, so that messages are stable too.
        plugins.sort_by_key(|one| (one.name, one.krate, one.version));
        match plugins.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some([one, other]) => Err(RegistryError::Duplicate {
                kind: K::NAME,
                name: one.name,
                crates: [one, other].map(|one| format!("{} {}", one.krate, one.version)),
            }),
            _ => Ok(Self { plugins }),
        }
    }

    /// The plug-ins, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.plugins.iter()
    }

    /// The plug-in of this name.
    ///
    /// # Errors
    /// When there is none, with the nearest name.
    pub fn find<K: Kind>(&self, name: &str) -> Result<&Registration, RegistryError> {
        if self.plugins.is_empty() {
            return Err(RegistryError::Empty { kind: K::NAME });
        }
        self.plugins.iter().find(|one| one.name == name).ok_or_else(|| RegistryError::Unknown {
            kind: K::NAME,
            name: name.to_owned(),
            nearest: nearest(name, self.plugins.iter().map(|one| one.name)),
            have: self
                .plugins
                .iter()
                .map(|one| format!("{} ({} {})", one.name, one.krate, one.version))
                .collect(),
        })
    }
}

/// Builds the plug-in `registration` of kind `K` from `table`.
///
/// # Errors
/// When the table is wrong.
///
/// # Panics
/// When the registration is of another kind.
pub fn build_registered<K: Kind>(
    registration: &Registration,
    table: Table<'_>,
) -> Result<Box<K::Object>, ConfigError> {
    K::unwrap((registration.build)()).expect("a registry holds one kind")(table)
}

/// The one of `names` that is nearest to `wanted`: fewest changed letters, at most a third of them.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|name| (edits(wanted, name), name));
    let (edits, name) = scored.min()?;
    (edits <= wanted.chars().count().max(name.chars().count()) / 3).then_some(name)
}

/// What a message says after a name that is unknown: "; did you mean `cache`?", or nothing where none of `names` is
/// [near](nearest).
pub fn did_you_mean<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(wanted, names).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"))
}

/// How many letters must be put in, taken out, changed, or exchanged with the next one to make `b` of `a` (optimal string
/// alignment).
fn edits(a: &str, b: &str) -> usize {
    let [a, b] = [a, b].map(|text| text.chars().collect::<Vec<char>>());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let changed = last[j] + usize::from(a[i] != b[j]);
            let exchanged = i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j];
            let exchanged = if exchanged { before[j - 1] + 1 } else { changed };
            row.push(changed.min(exchanged).min(last[j + 1] + 1).min(row[j] + 1));
        }
        (before, last) = (last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_hand_is_near_and_another_word_is_not() {
        let names = ["cache", "faulty", "slow", "read-only"];
        let near = |wanted| nearest(wanted, names.into_iter());
        for slip in ["cahce", "cach", "cachee", "cacke"] {
            assert_eq!(near(slip), Some("cache"), "{slip}");
        }
        assert_eq!((near("slwo"), near("read_only")), (Some("slow"), Some("read-only")));
        assert_eq!((near("disk"), near("")), (None, None));
    }
}

/// A text that a crate ships for every binary that links it: a profile or a scenario.
#[derive(Clone, Copy, Debug)]
pub struct ShippedText {
    /// `profile` or `scenario`.
    pub kind: &'static str,
    /// Its name, without `.toml`.
    pub name: &'static str,
    /// The text, TOML.
    pub text: &'static str,
}

inventory::collect!(ShippedText);

/// Ships a profile with every binary that links this crate: `ship_profile!("mainline", "../profiles/mainline.toml")`.
#[macro_export]
macro_rules! ship_profile {
    ($name:literal, $file:literal) => {
        $crate::plugin::inventory::submit! {
            $crate::plugin::ShippedText { kind: "profile", name: $name, text: include_str!($file) }
        }
    };
}

/// Ships a scenario with every binary that links this crate: `ship_scenario!("adsl", "../scenarios/adsl.toml")`.
#[macro_export]
macro_rules! ship_scenario {
    ($name:literal, $file:literal) => {
        $crate::plugin::inventory::submit! {
            $crate::plugin::ShippedText { kind: "scenario", name: $name, text: include_str!($file) }
        }
    };
}

/// The shipped texts of `kind`, sorted by name.
pub fn shipped(kind: &str) -> Vec<ShippedText> {
    let mut texts: Vec<ShippedText> =
        inventory::iter::<ShippedText>.into_iter().filter(|one| one.kind == kind).copied().collect();
    texts.sort_by_key(|one| one.name);
    texts
}
