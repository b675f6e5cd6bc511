//! Makes torrent files: pure, hashing and reading are the caller's.

use bt_api::layout::MAX_PIECES;
use bt_api::{PieceHash, TorrentLayout};
use serde::Serialize;
use serde_bytes::ByteBuf;

/// What a torrent file says besides its files and hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Trackers in tiers (BEP 12); the first one is also written as `announce`.
    pub trackers: Vec<Vec<String>>,
    /// Whether peers may come from the trackers only (BEP 27).
    pub private: bool,
    /// What to say about it.
    pub comment: Option<String>,
    /// The program that makes it.
    pub created_by: Option<String>,
    /// When it is made, in seconds since 1970.
    pub creation_date: Option<i64>,
}

/// The torrent file of `layout`, whose pieces have the hashes `pieces`: canonical bencode, and the same bytes
/// for the same input.
///
/// # Panics
/// When there is not one hash a piece.
pub fn create(layout: &TorrentLayout, pieces: &[PieceHash], extras: &Extras) -> Vec<u8> {
    assert_eq!(pieces.len(), layout.piece_count() as usize, "one hash a piece");
    let files = layout.files().iter().map(|file| FileDict {
        attr: file.is_pad().then_some("p"),
        length: file.length(),
        path: &file.path()[1..],
    });
    let first = extras.trackers.iter().flatten().next();
    let several = extras.trackers.iter().flatten().nth(1).is_some();
    let root = Root {
        announce: first.map(String::as_str),
        announce_list: several.then_some(&extras.trackers),
        comment: extras.comment.as_deref(),
        created_by: extras.created_by.as_deref(),
        creation_date: extras.creation_date,
        info: InfoDict {
            files: (!layout.is_single()).then(|| files.collect()),
            length: layout.is_single().then(|| layout.total_length()),
            name: layout.name(),
            piece_length: layout.nominal_piece_length(),
            pieces: ByteBuf::from(pieces.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>()),
            private: extras.private.then_some(1),
        },
    };
    serde_bencode::to_bytes(&root).expect("text, whole numbers, lists and structs are all bencode")
}

#[derive(Serialize)]
struct Root<'a> {
    announce: Option<&'a str>,
    #[serde(rename = "announce-list")]
    announce_list: Option<&'a Vec<Vec<String>>>,
    comment: Option<&'a str>,
    #[serde(rename = "created by")]
    created_by: Option<&'a str>,
    #[serde(rename = "creation date")]
    creation_date: Option<i64>,
    info: InfoDict<'a>,
}

#[derive(Serialize)]
struct InfoDict<'a> {
    files: Option<Vec<FileDict<'a>>>,
    length: Option<u64>,
    name: &'a str,
    #[serde(rename = "piece length")]
    piece_length: u32,
    pieces: ByteBuf,
    private: Option<u8>,
}

#[derive(Serialize)]
struct FileDict<'a> {
    attr: Option<&'a str>,
    length: u64,
    path: &'a [String],
}

/// A fair piece length for `total` bytes: the power of two that makes some 750 to 1500 pieces.
///
/// That keeps the torrent file near 30 KiB and progress finer than a thousandth. Never less than 16 KiB, the
/// block that peers ask for, nor more than 16 MiB, since a piece is passed on only when it is whole; except
/// that a torrent too large for that still stays below the most pieces that are allowed.
pub fn default_piece_length(total: u64) -> u32 {
    let mut length =
        (total / 1500).max(1).checked_next_power_of_two().unwrap_or(1 << 63).clamp(16 << 10, 16 << 20);
    while total.div_ceil(length) > u64::from(MAX_PIECES) && length < 1 << 31 {
        length *= 2;
    }
    length as u32
}
