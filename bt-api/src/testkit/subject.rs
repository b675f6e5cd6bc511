//! A plug-in under test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use toml::de::DeTable;

use crate::plugin::{Kind, Plugin, Registration, build_registered};

/// Builds the plug-in anew.
pub(super) type Builder<O> = Box<dyn Fn() -> Box<O> + Send + Sync>;

/// A plug-in under test, as it is built under each of the tables that it is tested under; `O` is its trait.
pub struct Subject<O: ?Sized> {
    /// Its name in profiles.
    pub(super) name: &'static str,
    /// Whether it needs what only a simulator knows.
    pub(super) lab_only: bool,
    /// What a message calls the table, and how to build it so.
    pub(super) variants: Vec<(String, Builder<O>)>,
    /// What the random histories found, once they were played.
    found: OnceLock<Vec<Broken>>,
}

impl<O: ?Sized + 'static> Subject<O> {
    /// The plug-in `P` under each of these tables of a profile, in TOML; with none under its defaults.
    ///
    /// # Panics
    /// When a table is not one of the plug-in: then the test is wrong.
    pub fn of<P>(tables: &[&str]) -> Self
    where
        P: Plugin,
        P::Kind: Kind<Object = O>,
    {
        Self { name: P::NAME, lab_only: P::LAB_ONLY, variants: variants::<P>(tables), found: OnceLock::new() }
    }

    /// What `build` builds, each time anew; `name` is its name in profiles.
    pub fn new(name: &'static str, build: impl Fn() -> Box<O> + Send + Sync + 'static) -> Self {
        Self {
            name,
            lab_only: false,
            variants: vec![(String::new(), Box::new(build))],
            found: OnceLock::new(),
        }
    }

    /// Fails when a history that `play` plays under one of the tables breaks `promise`. Histories are played
    /// once for all promises.
    pub(super) fn assert_kept(&self, promise: &str, play: fn(&Self, &dyn Fn() -> Box<O>) -> Vec<Broken>) {
        let found = self.found.get_or_init(|| {
            let played = self.variants.iter().map(|(label, build)| {
                let mut found = play(self, build);
                found.iter_mut().for_each(|broken| broken.how += label);
                found
            });
            played.flatten().collect()
        });
        if let Some(broken) = found.iter().find(|broken| broken.promise == promise) {
            panic!("`{}` breaks its promise: {}", self.name, broken.how);
        }
    }
}

/// Each table of `P`, with what builds the plug-in under it.
pub(super) fn variants<P: Plugin>(tables: &[&str]) -> Vec<(String, Builder<<P::Kind as Kind>::Object>)> {
    let tables = if tables.is_empty() { &[""] } else { tables };
    let variant = |&table: &&str| {
        let text = table.to_owned();
        let build = move || {
            let parsed = DeTable::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            build_registered::<P::Kind>(&const { Registration::of::<P>("testkit", "") }, parsed)
                .unwrap_or_else(|error| panic!("`{}` is not built under `{text}`: {error}", P::NAME))
        };
        let label = if table.is_empty() { String::new() } else { format!("\nunder the table: {table}") };
        (label, Box::new(build) as Builder<_>)
    };
    tables.iter().map(variant).collect()
}

/// A promise that a plug-in broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The name of the promise's test.
    pub promise: &'static str,
    /// What happened.
    pub how: String,
}

/// A promise to a subject `S`: the name of its test, and what fails when it is broken.
pub type Promise<S> = (&'static str, fn(&S));

/// The names of those of a kit's `promises` that `subject` breaks.
pub fn broken_promises<S>(promises: &[Promise<S>], subject: &S) -> Vec<&'static str> {
    let broken = promises.iter().filter(|(_, promise)| panic_of(|| promise(subject)).is_some());
    broken.map(|&(name, _)| name).collect()
}

/// Runs `work`; what it said when it panicked.
pub(super) fn panic_of(work: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(work)).err()?;
    let said = panic.downcast_ref::<String>().cloned();
    Some(said.or_else(|| panic.downcast_ref::<&str>().map(|said| said.to_string())).unwrap_or_default())
}
