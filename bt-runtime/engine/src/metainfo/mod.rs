//! Torrent files (BEP 3): parsed once, into values that need no further check.
//!
//! [`Metainfo::parse`] holds a file against [`Rules`]; each refusal names its [`Rule`]. The info-hash is taken
//! over the raw bytes of `info`, so unknown keys and odd order do not change it (BE-10). Besides BEP 3 it knows
//! several trackers (BEP 12), private torrents (BEP 27), pad files (BEP 47; its symbolic links are plain files
//! here, none is ever made) and hybrids (BEP 52), of which it takes the half of version 1. [`create`] is the
//! way back.

mod create;
mod hybrid;
mod names;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bt_api::{Bytes, InfoHash, LayoutError, NewFile, PieceHash, Torrent, TorrentLayout};
use sha1::{Digest, Sha1};

use crate::bencode::{self, MAX_DEPTH, Mode, ScanError, ScanErrorKind, Value};

pub use create::{Extras, create, default_piece_length};
pub use names::clean_name;
pub use rules::{MetainfoError, Rule, Rules};

/// The longest torrent file that is read, in bytes: 2^21 hashes take 40 MiB, names and lengths have the rest.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// The most trackers that are kept, the first of them: a torrent file shall not send us to any number of hosts.
pub const MAX_TRACKERS: usize = 1000;

/// A torrent file, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// Which torrent it is: SHA-1 over the raw bytes of `info`.
    pub info_hash: InfoHash,
    /// Its files and pieces, with names that are safe on a disk.
    pub layout: TorrentLayout,
    /// The hash of each piece.
    pub piece_hashes: Vec<PieceHash>,
    /// Whether peers may come from its trackers only (BEP 27).
    pub private: bool,
    /// Its trackers in tiers (BEP 12): each URL once, no tier empty; none at all if it names none.
    pub trackers: Vec<Vec<String>>,
    /// Its one tracker for clients that know no tiers (BEP 3).
    pub announce: Option<String>,
    /// What its maker says about it.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// The bytes of names that are not UTF-8.
    pub raw_names: RawNames,
}

/// Names that are not UTF-8, as they stand in the torrent file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawNames {
    /// The torrent's name.
    pub name: Option<Vec<u8>>,
    /// Paths, part by part, by the number of their file in the layout.
    pub paths: BTreeMap<usize, Vec<Vec<u8>>>,
}

impl Metainfo {
    /// Reads a torrent file. Besides what `rules` ask for, a torrent must hold data, have pieces shorter than
    /// 4 GiB and be usable as version 1.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(bytes: &[u8], rules: Rules) -> Result<Self, MetainfoError> {
        if bytes.len() > MAX_FILE_BYTES {
            let detail = format!("{} bytes, allowed are {MAX_FILE_BYTES}", bytes.len());
            return Err(MetainfoError::new(Rule::FileSize, detail));
        }
        let mode = if rules == Rules::Strict { Mode::Strict } else { Mode::Lenient };
        let root = bencode::scan(bytes, mode).map_err(not_bencode)?;
        let keys = ["info", "announce", "announce-list", "comment", "created by", "creation date"];
        let [info, announce, tiers, comment, created_by, created] = fields(root, "the torrent file", keys)?;
        if rules == Rules::Strict && announce.is_none() {
            return Err(MetainfoError::new(Rule::Announce, "there is no `announce`"));
        }
        let raw = required(info, "info")?;
        let info = Info::read(raw, rules)?;
        let (layout, raw_names) = info.layout(rules)?;
        Ok(Self {
            info_hash: InfoHash(Sha1::digest(raw.raw()).into()),
            piece_hashes: info.piece_hashes(&layout)?,
            layout,
            private: info.private,
            announce: announce.and_then(lossy).filter(|url| !url.is_empty()),
            trackers: trackers(announce, tiers)?,
            comment: comment.and_then(lossy),
            created_by: created_by.and_then(lossy),
            creation_date: created.and_then(|date| date.integer()?.parse().ok()),
            raw_names,
        })
    }

    /// The trackers to announce to: with `all` every tier; else one, as clients before BEP 12 did, which do not
    /// look at `announce-list` where there is an `announce` (BF-1).
    pub fn tiers(&self, all: bool) -> Vec<Vec<String>> {
        if all {
            return self.trackers.clone();
        }
        let one = self.announce.as_ref().or_else(|| self.trackers.first()?.first());
        one.into_iter().map(|url| vec![url.clone()]).collect()
    }

    /// What a store is told of the torrent: `folder` is the output folder, `saved` what the store saved
    /// when it last ran.
    pub fn torrent(&self, folder: impl Into<PathBuf>, saved: Option<Bytes>) -> Torrent {
        Torrent {
            info_hash: self.info_hash,
            layout: self.layout.clone(),
            piece_hashes: self.piece_hashes.clone(),
            folder: folder.into(),
            saved,
        }
    }
}

/// The `info` dictionary, its values of the right types.
struct Info<'a> {
    name: &'a [u8],
    /// `name.utf-8` where that is UTF-8, else `name`.
    best_name: &'a [u8],
    piece_length: u32,
    pieces: &'a [u8],
    private: bool,
    files: Files<'a>,
}

enum Files<'a> {
    One { length: u64 },
    Several(Vec<File<'a>>),
}

struct File<'a> {
    path: Vec<&'a [u8]>,
    /// `path.utf-8` where that is UTF-8.
    utf8_path: Option<Vec<&'a [u8]>>,
    length: u64,
    pad: bool,
}

impl<'a> Info<'a> {
    fn read(info: Value<'a>, rules: Rules) -> Result<Self, MetainfoError> {
        let one = ["name", "name.utf-8", "piece length", "pieces", "private", "length", "files"];
        let [name, utf8_name, piece_length, pieces, private, length, files] = fields(info, "`info`", one)?;
        let [version, tree] = fields(info, "`info`", ["meta version", "file tree"])?;
        let version_2 = version.and_then(Value::integer) == Some("2");
        if version_2 && pieces.is_none() {
            let detail = "a torrent of version 2 alone (BEP 52); only version 1 and hybrids can be used";
            return Err(MetainfoError::new(Rule::V2Only, detail));
        }
        let name = text(required(name, "name")?, "name")?;
        if rules == Rules::Strict && !is_mainline_name(name) {
            return Err(MetainfoError::new(Rule::Name, format!("`name` is {}", quote(name))));
        }
        if rules == Rules::Strict && length.is_some() == files.is_some() {
            let both = if length.is_some() { "both" } else { "neither" };
            return Err(MetainfoError::new(Rule::LengthOrFiles, format!("there is {both}")));
        }
        let info = Self {
            name,
            best_name: utf8_name.and_then(Value::text).filter(|name| is_utf8(name)).unwrap_or(name),
            piece_length: piece_length_of(required(piece_length, "piece length")?)?,
            pieces: text(required(pieces, "pieces")?, "pieces")?,
            private: match private {
                Some(private) => number(private, "private")?.contains(|c| matches!(c, '1'..='9')),
                None => false,
            },
            files: match (files, length) {
                (Some(files), _) => Files::Several(read_files(files, rules)?),
                (None, length) => Files::One { length: length_of(required(length, "length` or `files")?)? },
            },
        };
        if version_2 && let Some(tree) = tree {
            hybrid::check(&info, tree)?;
        }
        Ok(info)
    }

    /// The layout, under names that are safe.
    fn layout(&self, rules: Rules) -> Result<(TorrentLayout, RawNames), MetainfoError> {
        let name = clean_name(self.best_name);
        let raw_name = (!is_utf8(self.best_name)).then(|| self.best_name.to_vec());
        let mut raw_names = RawNames { name: raw_name, paths: BTreeMap::new() };
        let files = match &self.files {
            Files::One { length } => {
                let layout = TorrentLayout::single(&name, *length, self.piece_length).map_err(no_layout)?;
                return Ok((layout, raw_names));
            }
            Files::Several(files) => files,
        };
        if rules == Rules::Strict {
            let paths: Vec<&[&[u8]]> = files.iter().map(|file| file.path.as_slice()).collect();
            if let Some(&file) = names::clashing(&paths).first() {
                let detail =
                    format!("the path {} stands in the way of another", quote(&paths[file].join(&b'/')));
                return Err(MetainfoError::new(Rule::Clash, detail));
            }
        }
        let mut new_files = Vec::with_capacity(files.len());
        for (i, file) in files.iter().enumerate() {
            let path = file.utf8_path.as_ref().unwrap_or(&file.path);
            if !path.iter().all(|part| is_utf8(part)) {
                raw_names.paths.insert(i, path.iter().map(|part| part.to_vec()).collect());
            }
            let mut path: Vec<String> = path.iter().map(|part| clean_name(part)).collect();
            if path.is_empty() {
                path.push(clean_name(b""));
            }
            new_files.push(NewFile { path, length: file.length, pad: file.pad });
        }
        let mut paths: Vec<_> =
            new_files.iter_mut().filter(|file| !file.pad).map(|file| &mut file.path).collect();
        names::rename_clashing(&mut paths).map_err(|count| {
            let detail = format!("{count} names clash, allowed are {}", names::MAX_CLASHES);
            MetainfoError::new(Rule::ClashCount, detail)
        })?;
        let layout = TorrentLayout::several(&name, new_files, self.piece_length).map_err(no_layout)?;
        Ok((layout, raw_names))
    }

    fn piece_hashes(&self, layout: &TorrentLayout) -> Result<Vec<PieceHash>, MetainfoError> {
        let (hashes, rest) = self.pieces.as_chunks::<20>();
        if !rest.is_empty() {
            let detail = format!("`pieces` has {} bytes, which is no multiple of 20", self.pieces.len());
            return Err(MetainfoError::new(Rule::Pieces, detail));
        }
        if hashes.len() != layout.piece_count() as usize {
            let detail = format!("{} hashes for {} pieces", hashes.len(), layout.piece_count());
            return Err(MetainfoError::new(Rule::PieceCount, detail));
        }
        Ok(hashes.iter().map(|&hash| PieceHash(hash)).collect())
    }
}

fn read_files<'a>(files: Value<'a>, rules: Rules) -> Result<Vec<File<'a>>, MetainfoError> {
    let files = files.items().ok_or_else(|| wrong_type("files", "a list"))?;
    files.map(|file| read_file(file, rules)).collect()
}

fn read_file<'a>(file: Value<'a>, rules: Rules) -> Result<File<'a>, MetainfoError> {
    let [length, path, utf8_path, attr] =
        fields(file, "an entry of `files`", ["length", "path", "path.utf-8", "attr"])?;
    let parts = required(path, "path")?.items().ok_or_else(|| wrong_type("path", "a list"))?;
    let path = parts.map(|part| text(part, "path")).collect::<Result<Vec<&[u8]>, _>>()?;
    if path.len() > MAX_DEPTH {
        let detail = format!("a path of {} folders, allowed are {MAX_DEPTH}", path.len() - 1);
        return Err(MetainfoError::new(Rule::Nesting, detail));
    }
    if rules == Rules::Strict {
        if path.is_empty() {
            return Err(MetainfoError::new(Rule::Path, "a file has a path without parts"));
        }
        if let Some(part) = path.iter().find(|part| !is_mainline_name(part)) {
            return Err(MetainfoError::new(Rule::Name, format!("a part of a path is {}", quote(part))));
        }
    }
    let utf8_part = |part: Value<'a>| part.text().filter(|part| is_utf8(part));
    let utf8_path: Option<Vec<&[u8]>> =
        utf8_path.and_then(|path| path.items()?.take(MAX_DEPTH + 1).map(utf8_part).collect());
    Ok(File {
        // Not two ways to say where a file lies in the tree, only how its parts are spelt.
        utf8_path: utf8_path.filter(|other| other.len() == path.len()),
        path,
        length: length_of(required(length, "length")?)?,
        pad: attr.and_then(Value::text).is_some_and(|attr| attr.contains(&b'p')),
    })
}

/// The tiers of `announce-list`, else one of `announce`. A URL that stands in the list beside the tiers is
/// taken as a tier, as some programs write it.
fn trackers(
    announce: Option<Value<'_>>,
    tiers: Option<Value<'_>>,
) -> Result<Vec<Vec<String>>, MetainfoError> {
    let announce = announce.map(|url| text(url, "announce")).transpose()?;
    let mut trackers = Trackers::default();
    if let Some(tiers) = tiers {
        for tier in tiers.items().ok_or_else(|| wrong_type("announce-list", "a list"))? {
            match tier.items() {
                Some(urls) => {
                    for url in urls {
                        trackers.add(text(url, "announce-list")?);
                    }
                }
                None => trackers.add(text(tier, "announce-list")?),
            }
            trackers.end_tier();
        }
    }
    if trackers.tiers.is_empty()
        && let Some(url) = announce
    {
        trackers.add(url);
        trackers.end_tier();
    }
    Ok(trackers.tiers)
}

#[derive(Default)]
struct Trackers {
    tiers: Vec<Vec<String>>,
    tier: Vec<String>,
    known: BTreeSet<String>,
}

impl Trackers {
    fn add(&mut self, url: &[u8]) {
        let url = String::from_utf8_lossy(url);
        let url = url.trim();
        if !url.is_empty() && self.known.len() < MAX_TRACKERS && self.known.insert(url.to_owned()) {
            self.tier.push(url.to_owned());
        }
    }

    fn end_tier(&mut self) {
        if !self.tier.is_empty() {
            self.tiers.push(std::mem::take(&mut self.tier));
        }
    }
}

/// A name as BF-5 has it.
fn is_mainline_name(name: &[u8]) -> bool {
    !matches!(name, [] | [b'.' | b'~', ..]) && !name.iter().any(|byte| matches!(byte, b'/' | b'\\'))
}

fn is_utf8(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok()
}

fn fields<'a, const N: usize>(
    dict: Value<'a>,
    what: &str,
    keys: [&str; N],
) -> Result<[Option<Value<'a>>; N], MetainfoError> {
    let not_a_dict = || MetainfoError::new(Rule::WrongType, format!("{what} is no dictionary"));
    dict.get(keys).ok_or_else(not_a_dict)
}

fn required<'a>(value: Option<Value<'a>>, key: &str) -> Result<Value<'a>, MetainfoError> {
    value.ok_or_else(|| MetainfoError::new(Rule::MissingKey, format!("there is no `{key}`")))
}

fn text<'a>(value: Value<'a>, key: &str) -> Result<&'a [u8], MetainfoError> {
    value.text().ok_or_else(|| wrong_type(key, "text"))
}

fn number<'a>(value: Value<'a>, key: &str) -> Result<&'a str, MetainfoError> {
    value.integer().ok_or_else(|| wrong_type(key, "an integer"))
}

fn length_of(value: Value<'_>) -> Result<u64, MetainfoError> {
    let digits = number(value, "length")?;
    let length = digits.parse::<i64>().ok().and_then(|length| u64::try_from(length).ok());
    length
        .ok_or_else(|| MetainfoError::new(Rule::Length, format!("a length of {}", quote(digits.as_bytes()))))
}

fn piece_length_of(value: Value<'_>) -> Result<u32, MetainfoError> {
    let digits = number(value, "piece length")?;
    digits.parse().ok().filter(|&length| length > 0).ok_or_else(|| {
        MetainfoError::new(Rule::PieceLength, format!("a piece length of {}", quote(digits.as_bytes())))
    })
}

fn lossy(value: Value<'_>) -> Option<String> {
    value.text().map(|text| String::from_utf8_lossy(text).into_owned())
}

fn wrong_type(key: &str, expected: &str) -> MetainfoError {
    MetainfoError::new(Rule::WrongType, format!("`{key}` is not {expected}"))
}

fn not_bencode(error: ScanError) -> MetainfoError {
    let rule = match error.kind {
        ScanErrorKind::TooDeep => Rule::Nesting,
        ScanErrorKind::TooManyTokens => Rule::ValueCount,
        ScanErrorKind::KeyOrder => Rule::KeyOrder,
        ScanErrorKind::TrailingBytes => Rule::TrailingBytes,
        _ => Rule::Bencode,
    };
    MetainfoError::new(rule, error.to_string())
}

fn no_layout(error: LayoutError) -> MetainfoError {
    let rule = match error {
        LayoutError::Empty => Rule::Empty,
        LayoutError::TooManyPieces => Rule::TooManyPieces,
        LayoutError::TooLong => Rule::Length,
        LayoutError::ZeroPieceLength => Rule::PieceLength,
        LayoutError::Clash { .. } => Rule::Clash,
        _ => Rule::Name,
    };
    MetainfoError::new(rule, error.to_string())
}

/// Bytes of a stranger for a message: escaped, and cut where they are long.
fn quote(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let cut = if bytes.len() > SHOWN { "…" } else { "" };
    format!("{:?}{cut}", String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]))
}
