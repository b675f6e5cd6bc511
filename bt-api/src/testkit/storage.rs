//! What every store and every layer promises, and small torrents for tests of them.

mod history;
mod layers;
mod reference;
mod scene;
mod stores;
mod subject;

pub use layers::{LAYER_PROMISES, changes_nothing, errors_keep_their_kind, everything_is_passed_on};
pub use reference::Reference;
pub use scene::{Folder, Waiting, blocks, open, pattern, torrent};
pub use stores::*;
pub use subject::{LayerSubject, Subject};

/// One test for each promise of [`StorageBackend`](crate::StorageBackend) and
/// [`TorrentStore`](crate::TorrentStore) to the store: see [the kits](crate::testkit).
#[macro_export]
macro_rules! storage_conformance {
    ($name:ident = $subject:expr) => {
        $crate::__conformance!(storage, __storage_promises, $crate::testkit::storage::Subject, $name = $subject);
    };
    ($name:ident : $plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::storage_conformance!($name = $crate::testkit::storage::Subject::of::<$plugin>(&[$($table),*]));
    };
    ($plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::storage_conformance!(storage_conformance: $plugin $(, $table)*);
    };
}

/// One test for each promise of a [`StorageLayer`](crate::StorageLayer) that changes nothing: see
/// [the kits](crate::testkit). A layer that denies, loses or fails on purpose is tested under a table with
/// which it does not, or not by this kit.
#[macro_export]
macro_rules! layer_conformance {
    ($name:ident = $subject:expr) => {
        $crate::__conformance!(
            storage, __layer_promises, $crate::testkit::storage::LayerSubject, $name = $subject
        );
    };
    ($name:ident : $plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::layer_conformance!($name = $crate::testkit::storage::LayerSubject::of::<$plugin>(&[$($table),*]));
    };
    ($plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::layer_conformance!(layer_conformance: $plugin $(, $table)*);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_promises {
    ($then:ident) => {
        $crate::$then! { storage;
            spans_cross_file_edges
            the_last_piece_may_be_short
            a_span_may_be_written_again
            what_was_never_written_is_missing
            reads_are_whole
            padding_is_zeros
            any_writes_are_read_back
            reads_and_writes_run_side_by_side
            a_dropped_write_touches_no_other_byte
            vouches_only_for_what_was_sealed
            vouches_by_sets_of_this_torrent
            sealed_pieces_outlive_a_restart
            saved_pieces_outlive_a_crash
            saved_state_is_not_trusted_blindly
            close_lets_go
            torrents_are_kept_apart
            an_unusable_folder_is_an_error
            a_full_store_says_so
            keeps_no_block
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __layer_promises {
    ($then:ident) => {
        $crate::$then! { storage; changes_nothing errors_keep_their_kind everything_is_passed_on }
    };
}
