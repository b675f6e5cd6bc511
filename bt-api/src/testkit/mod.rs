//! Help for tests of plug-ins, for the feature `testkit`.
//!
//! - **Conformance kits**: what each trait promises, as one named test a promise. An author writes one line and
//!   cargo names the promise that is broken: [`choke_conformance!`], [`piece_conformance!`],
//!   [`storage_conformance!`], [`layer_conformance!`], [`tracker_conformance!`] and, for clients of the scheme
//!   `http`, [`http_tracker_conformance!`].
//! - **Drivers** that play the engine's part around one policy, for tests of what only that policy does:
//!   [`choke::Client`], [`piece::Client`].
//! - [`TestHost`], a [`Host`](crate::Host) in virtual time.
//! - [`odd`], plug-ins that break their promises where they are told to, for tests of whoever calls plug-ins: a driver,
//!   a layer.
//!
//! Each macro takes the plug-in, then the tables to test it under, if its defaults are not all:
//!
//! ```text
//! bt_api::testkit::choke_conformance!(LeastServed);
//! bt_api::testkit::choke_conformance!(least_served: LeastServed, "slots = 1", "slots = 9");
//! ```
//!
//! The tests stand in a module of the name before the colon, which is needed where one file tests several.
//! Where a plug-in needs more than a table, `name = subject` takes a [`Subject`] (of stores, a
//! [`storage::Subject`]). Everything is seeded and in virtual time: what fails once fails again.

mod host;
mod subject;
mod told;

pub mod choke;
pub mod odd;
pub mod piece;
pub mod storage;
pub mod tracker;

pub use crate::{
    choke_conformance, http_tracker_conformance, layer_conformance, piece_conformance, storage_conformance,
    tracker_conformance,
};
pub use host::{Network, TestClock, TestHost};
pub use subject::{Broken, Promise, Subject, broken_promises};
pub use tracker::http as http_tracker;

/// A module `$name` with one test for each promise of a kit to `$subject`.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    ($kit:ident, $promises:ident, $subject_type:ty, $name:ident = $subject:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "a plug-in may be named by its whole path")]
            use super::*;
            static SUBJECT: ::std::sync::LazyLock<$subject_type> = ::std::sync::LazyLock::new(|| $subject);
            $crate::$promises! { __conformance_tests }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($kit:ident; $($promise:ident)*) => {
        $(
            #[test]
            fn $promise() {
                $crate::testkit::$kit::$promise(&SUBJECT);
            }
        )*
    };
}

/// The promises of a kit by name, for the module that has them.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_table {
    ($kit:ident; $($promise:ident)*) => {
        &[$((stringify!($promise), $promise)),*]
    };
}
