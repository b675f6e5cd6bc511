//! Stores and layers under test.

use std::sync::Arc;

use crate::BoxFuture;
use crate::host::Host;
use crate::plugin::{self, Plugin};
use crate::storage::{StorageBackend, StorageError, StorageLayer, TorrentStore};
use crate::testkit::subject::{Builder, variants};
use crate::torrent::Torrent;

type Variants = Vec<(String, Builder<dyn StorageBackend>)>;

/// A storage backend under test, bare or behind layers.
pub struct Subject {
    name: &'static str,
    variants: Variants,
    /// The same with less room than 64 KiB, where it can be had.
    cramped: Variants,
    pub(super) volatile: bool,
}

impl Subject {
    /// The backend `P` under each of these tables, in TOML; with none under its defaults.
    ///
    /// # Panics
    /// When a table is not one of the plug-in, as [`behind`](Self::behind) does.
    pub fn of<P: Plugin<Kind = plugin::Storage>>(tables: &[&str]) -> Self {
        Self { name: P::NAME, variants: variants::<P>(tables), cramped: Vec::new(), volatile: false }
    }

    /// What `build` builds, anew for each start of a client.
    pub fn new(
        name: &'static str,
        build: impl Fn() -> Box<dyn StorageBackend> + Send + Sync + 'static,
    ) -> Self {
        Self { name, variants: vec![(String::new(), Box::new(build))], cramped: Vec::new(), volatile: false }
    }

    /// The backend keeps nothing after its end.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { volatile: true, ..self }
    }

    /// As `cramped` it has room for less than 64 KiB: see [`super::a_full_store_says_so`].
    #[must_use]
    pub fn with_little_room(self, cramped: Self) -> Self {
        Self { cramped: cramped.variants, ..self }
    }

    /// The same stores behind the layer `L` with this table.
    #[must_use]
    pub fn behind<L: Plugin<Kind = plugin::Layer>>(self, table: &str) -> Self {
        let layer = |inner: Variants| {
            let wrap = |(label, build): (String, Builder<dyn StorageBackend>)| {
                let layers = variants::<L>(&[table]);
                let build = move || {
                    let layered = Layered { inner: build(), layer: layers[0].1() };
                    Box::new(layered) as Box<dyn StorageBackend>
                };
                (format!("{label}\nbehind the layer {}", L::NAME), Box::new(build) as Builder<_>)
            };
            inner.into_iter().map(wrap).collect()
        };
        Self { variants: layer(self.variants), cramped: layer(self.cramped), ..self }
    }

    /// Runs `test` with what builds the backend, for each table. The name and the table are printed, so that a
    /// test that fails shows them.
    pub(super) fn for_each(&self, test: impl Fn(&dyn Fn() -> Box<dyn StorageBackend>)) {
        for (label, build) in &self.variants {
            println!("`{}`{label}", self.name);
            test(build);
        }
    }

    /// As [`for_each`](Self::for_each), with little room.
    pub(super) fn for_each_cramped(&self, test: impl Fn(&dyn Fn() -> Box<dyn StorageBackend>)) {
        for (label, build) in &self.cramped {
            println!("`{}` with little room{label}", self.name);
            test(build);
        }
    }
}

/// A layer under test.
pub struct LayerSubject {
    name: &'static str,
    variants: Vec<(String, Builder<dyn StorageLayer>)>,
}

impl LayerSubject {
    /// The layer `P` under each of these tables, in TOML; with none under its defaults.
    ///
    /// # Panics
    /// When a table is not one of the plug-in.
    pub fn of<P: Plugin<Kind = plugin::Layer>>(tables: &[&str]) -> Self {
        Self { name: P::NAME, variants: variants::<P>(tables) }
    }

    /// What `build` builds, each time anew.
    pub fn new(
        name: &'static str,
        build: impl Fn() -> Box<dyn StorageLayer> + Send + Sync + 'static,
    ) -> Self {
        Self { name, variants: vec![(String::new(), Box::new(build))] }
    }

    pub(super) fn for_each(&self, test: impl Fn(&dyn StorageLayer)) {
        for (label, build) in &self.variants {
            println!("the layer `{}`{label}", self.name);
            test(&*build());
        }
    }
}

/// A backend whose stores stand behind a layer.
struct Layered {
    inner: Box<dyn StorageBackend>,
    layer: Box<dyn StorageLayer>,
}

impl StorageBackend for Layered {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            let inner = self.inner.open(torrent.clone(), host.clone()).await?;
            Ok(self.layer.wrap(inner, torrent, host))
        })
    }
}
