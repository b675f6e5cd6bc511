//! The rules that a torrent file must keep, each with a name, so that a refusal can be looked up.

use std::fmt;

use crate::bencode::{MAX_DEPTH, MAX_TOKENS};

/// Which rules hold: the profile's `[metainfo] rules`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rules {
    /// Refuses what cannot be used; cleans or renames odd names, and takes odd order and missing trackers.
    #[default]
    Lenient,
    /// The original client's rules (BE-1 to BE-6, BF-1 to BF-10). Much of what circulates breaks them.
    Strict,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident $name:literal $summary:literal,)*) => {
        /// A rule that a torrent file broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $summary] $(#[$doc])* $rule,)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Rule] = &[$(Rule::$rule),*];

            /// Its name, which does not change: kebab-case.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$rule => $name,)* }
            }

            /// What it asks for, in one line.
            pub fn summary(self) -> &'static str {
                match self { $(Rule::$rule => $summary,)* }
            }
        }
    };
}

rules! {
    FileSize "file-size" "the torrent file is at most 64 MiB long",
    Bencode "bencode" "the file is bencoded (BEP 3); strict: in shortest form (BE-2, BE-3)",
    Nesting "nesting" "lists, dictionaries and folders nest at most 100 deep",
    ValueCount "value-count" "the file holds at most three million values",
    KeyOrder "key-order" "strict: keys ascend and none stands twice (BE-4)",
    TrailingBytes "trailing-bytes" "strict: nothing follows the root (BE-1)",
    WrongType "wrong-type" "each known key has a value of its type",
    MissingKey "missing-key" "`info`, `name`, `pieces`, `piece length`, lengths and paths are there",
    Announce "announce" "strict: there is an `announce` (BF-1)",
    LengthOrFiles "length-or-files" "strict: there is either `length` or `files` (BF-6)",
    Name "name" "strict: names are not empty, begin with none of / \\ . ~ and hold neither / nor \\ (BF-5)",
    Path "path" "strict: no path is empty (BF-8)",
    Clash "clash" "strict: no path stands twice or lies within another (BF-9)",
    ClashCount "clash-count" "at most 500 names clash",
    PieceLength "piece-length" "pieces are at least 1 and less than 2^32 bytes long",
    Length "length" "lengths are not negative and fit 63 bits, and 64 bits together",
    Empty "empty" "the torrent holds data",
    TooManyPieces "too-many-pieces" "there are at most 2^21 pieces",
    Pieces "pieces" "`pieces` is made of hashes of 20 bytes",
    PieceCount "piece-count" "there is one hash for each piece that the lengths make (SW-1)",
    V2Only "v2-only" "the torrent can be used as version 1 (BEP 3)",
    Hybrid "hybrid" "the two halves of a hybrid torrent name the same files (BEP 52)",
}

/// The name.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a torrent file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused by rule `{rule}`: {detail}")]
pub struct MetainfoError {
    rule: Rule,
    detail: String,
}

impl MetainfoError {
    pub(super) fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }

    /// The rule that was broken.
    pub fn rule(&self) -> Rule {
        self.rule
    }
}

// The summaries spell the numbers out.
const _: () = assert!(MAX_DEPTH == 100 && MAX_TOKENS == 3_000_000 && super::MAX_FILE_BYTES == 64 << 20);
const _: () = assert!(super::names::MAX_CLASHES == 500 && bt_api::layout::MAX_PIECES == 1 << 21);
