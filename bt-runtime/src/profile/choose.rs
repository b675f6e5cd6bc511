//! The plug-ins that a profile names: found in the registry, checked, built.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bt_api::contain::contain;
use bt_api::plugin::{self, Kind, Layer, Registration, Registry, Storage, Table, Tracker};
use bt_api::{
    BoxFuture, Host, StorageBackend, StorageError, StorageLayer, Torrent, TorrentStore, TrackerClient,
};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::text::Source;

use super::ProfileError;

/// What a profile is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Run,
    /// To be printed: what only the user can say may be missing.
    Print,
}

/// A plug-in that the profile names, with its whole configuration.
pub(super) struct Chosen {
    pub(super) registration: Registration,
    /// Its configuration as TOML, every key.
    effective: String,
}

impl Chosen {
    pub(super) fn name(&self) -> &'static str {
        self.registration.name
    }

    /// A new object.
    ///
    /// # Panics
    /// When the plug-in panics or refuses the configuration from which it was built when the profile was loaded.
    pub(super) fn build<K: Kind>(&self) -> Box<K::Object> {
        self.try_build::<K>().unwrap_or_else(|error| {
            panic!("the {} `{}` could be built only once: {error}", K::NAME, self.name())
        })
    }

    fn try_build<K: Kind>(&self) -> Result<Box<K::Object>, plugin::ConfigError> {
        plugin::build_registered::<K>(&self.registration, DeTable::parse(&self.effective)?)
    }

    /// Its own keys.
    pub(super) fn config(&self) -> toml::Table {
        self.effective.parse().expect("it was parsed when the profile was loaded")
    }

    /// `use` and its own keys.
    pub(super) fn table(&self) -> toml::Table {
        let mut table = toml::Table::from_iter([("use".to_owned(), self.name().into())]);
        table.extend(self.config());
        table
    }
}

/// What the plug-ins of a kind are called, for messages.
pub(super) fn names<K: Kind>() -> String {
    let names: Vec<&str> =
        Registry::of::<K>().map_or_else(|_| Vec::new(), |all| all.iter().map(|one| one.name).collect());
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Finds and checks the plug-in that `table` names with `use`.
pub(super) fn choose<K: Kind>(
    source: &Source<'_>,
    purpose: Purpose,
    mut table: Table<'_>,
) -> Result<Chosen, ProfileError> {
    let (name, span) = take_use::<K>(source, &mut table)?;
    choose_named::<K>(source, purpose, &name, span, table)
}

/// Takes the name of the plug-in out of its table, and its place.
fn take_use<K: Kind>(
    source: &Source<'_>,
    table: &mut Table<'_>,
) -> Result<(String, Range<usize>), ProfileError> {
    let whole = table.span();
    let Some(value) = table.get_mut().remove("use") else {
        let message =
            format!("`use` is missing: it names the {} (this binary has: {})", K::NAME, names::<K>());
        return Err(source.error(Some(whole), &message));
    };
    name_of::<K>(source, &value)
}

fn name_of<K: Kind>(
    source: &Source<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Result<(String, Range<usize>), ProfileError> {
    match value.get_ref() {
        DeValue::String(name) => Ok((name.to_string(), value.span())),
        other => {
            let message =
                format!("expected the name of a {} as a string, found {}", K::NAME, plugin::shown(other));
            Err(source.error(Some(value.span()), &message))
        }
    }
}

fn choose_named<K: Kind>(
    source: &Source<'_>,
    purpose: Purpose,
    name: &str,
    name_span: Range<usize>,
    config: Table<'_>,
) -> Result<Chosen, ProfileError> {
    let registry = Registry::of::<K>();
    let found = registry.as_ref().map_err(Clone::clone).and_then(|all| all.find::<K>(name).copied());
    let registration = found.map_err(|error| source.error(Some(name_span.clone()), &error.to_string()))?;
    let whole = config.span();
    let wrong = |error: plugin::ConfigError| {
        // What its table lacks is the fault of the `--set` that names it, not of a table for another plug-in.
        let lacks = |span: &Range<usize>| *span == whole && source.is_set(&name_span);
        let span = error.span.map(|span| if lacks(&span) { name_span.clone() } else { span });
        source.error(span, &error.message)
    };
    let built = plugin::build_registered::<K>(&registration, config.clone());
    let may_wait = purpose == Purpose::Print && built.as_ref().is_err_and(|error| error.unset);
    if !may_wait {
        built.map_err(wrong)?;
    }
    let chosen = Chosen { registration, effective: registration.effective(config).map_err(wrong)? };
    if may_wait {
        return Ok(chosen);
    }
    // What it says of itself must be what it takes, or the printed profile would not load.
    chosen.try_build::<K>().map_err(|error| {
        let message = format!("the {} `{name}` refuses its own effective configuration: {error}", K::NAME);
        source.error(Some(name_span.clone()), &message)
    })?;
    Ok(chosen)
}

/// A storage backend and the layers around it.
pub(super) struct LayeredStorage {
    inner: Chosen,
    /// The outermost last.
    layers: Vec<Chosen>,
    backend: OnceLock<Arc<dyn StorageBackend>>,
}

impl LayeredStorage {
    /// The one that all torrents share.
    pub(super) fn backend(&self) -> Arc<dyn StorageBackend> {
        self.backend.get_or_init(|| self.build()).clone()
    }

    /// A backend of its own, with layers of its own.
    pub(super) fn build(&self) -> Arc<dyn StorageBackend> {
        let layers = self.layers.iter().map(Chosen::build::<Layer>).collect();
        Arc::new(Layered { inner: self.inner.build::<Storage>(), layers })
    }

    /// The backend, then its layers.
    pub(super) fn chosen(&self) -> impl Iterator<Item = &Chosen> {
        std::iter::once(&self.inner).chain(&self.layers)
    }

    /// The `[storage]` table.
    pub(super) fn table(&self) -> toml::Table {
        let mut table = self.inner.table();
        if !self.layers.is_empty() {
            let layers: Vec<toml::Value> = self.layers.iter().map(|layer| layer.table().into()).collect();
            table.insert("layer".to_owned(), layers.into());
        }
        table
    }
}

/// Opens the inner store and wraps it.
struct Layered {
    inner: Box<dyn StorageBackend>,
    layers: Vec<Box<dyn StorageLayer>>,
}

impl StorageBackend for Layered {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            let store = self.inner.open(torrent.clone(), host.clone()).await?;
            Ok(self
                .layers
                .iter()
                .fold(store, |store, layer| layer.wrap(store, torrent.clone(), host.clone())))
        })
    }
}

/// Reads `[storage]` and its `[[storage.layer]]`s.
pub(super) fn choose_storage(
    source: &Source<'_>,
    purpose: Purpose,
    mut table: Table<'_>,
) -> Result<LayeredStorage, ProfileError> {
    let mut layers = Vec::new();
    if let Some(list) = table.get_mut().remove("layer") {
        let span = list.span();
        let DeValue::Array(list) = list.into_inner() else {
            let message = "layers are a list: each begins with the line [[storage.layer]]";
            return Err(source.error(Some(span), message));
        };
        for layer in list {
            let layer = super::as_table(source, "[[storage.layer]]", layer)?;
            layers.push(choose::<Layer>(source, purpose, layer)?);
        }
    }
    Ok(LayeredStorage { inner: choose::<Storage>(source, purpose, table)?, layers, backend: OnceLock::new() })
}

/// The tracker clients of a profile, in its order; those of one run, which all torrents share, are made when they are
/// first asked for.
pub(super) type Trackers = Vec<(Chosen, OnceLock<Arc<dyn TrackerClient>>)>;

/// Reads `[tracker]`, its list of clients and the table of each.
pub(super) fn choose_trackers(
    source: &Source<'_>,
    purpose: Purpose,
    mut table: Table<'_>,
) -> Result<Trackers, ProfileError> {
    let whole = table.span();
    let names: Vec<Spanned<DeValue<'_>>> = match table.get_mut().remove("use") {
        None => {
            let message = format!(
                "`use` is missing: it lists the tracker clients, such as [\"http\"] (this binary has: {})",
                self::names::<Tracker>()
            );
            return Err(source.error(Some(whole), &message));
        }
        Some(list) => match list.get_ref() {
            DeValue::Array(names) => names.iter().cloned().collect(),
            // One name is a list of one.
            DeValue::String(_) => vec![list],
            other => {
                let message = format!(
                    "expected a list of tracker clients such as [\"http\"], found {}",
                    plugin::shown(other)
                );
                return Err(source.error(Some(list.span()), &message));
            }
        },
    };
    let mut trackers = Trackers::new();
    for name in &names {
        let (name, span) = name_of::<Tracker>(source, name)?;
        if trackers.iter().any(|(chosen, _)| chosen.name() == name) {
            return Err(source.error(Some(span), &format!("the tracker client `{name}` is listed twice")));
        }
        let config = match table.get_mut().remove(name.as_str()) {
            Some(config) => super::as_table(source, &format!("[tracker.{name}]"), config)?,
            None => Spanned::new(span.clone(), DeTable::new()),
        };
        let chosen = choose_named::<Tracker>(source, purpose, &name, span.clone(), config)?;
        if purpose == Purpose::Run {
            contain(|| chosen.build::<Tracker>().schemes().len()).map_err(|said| {
                let message =
                    format!("the tracker client `{name}` panicked when it was asked for its schemes: {said}");
                source.error(Some(span), &message)
            })?;
        }
        trackers.push((chosen, OnceLock::new()));
    }
    if let Some((key, value)) = table.get_ref().iter().next() {
        let key_name = key.get_ref();
        let message = match value.get_ref() {
            DeValue::Table(_) => {
                let used = trackers.iter().map(|(chosen, _)| chosen.name());
                let advice = plugin::nearest(key_name, used).map_or_else(
                    || format!("add \"{key_name}\" to `use`, or take the table out"),
                    |meant| format!("did you mean [tracker.{meant}]?"),
                );
                format!("[tracker.{key_name}] is of a client that is not used: {advice}")
            }
            _ => format!(
                "unknown field `{key_name}`, expected `use` and a table for each client, such as [tracker.http]"
            ),
        };
        return Err(source.error(Some(key.span()), &message));
    }
    Ok(trackers)
}
