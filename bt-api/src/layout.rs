//! Where each byte of a torrent belongs: files laid end to end, cut into pieces.
//!
//! Paths are checked once, when a layout is made; afterwards no part of the program can name a file outside
//! the output folder. Pad files (BEP 47) take up room in the layout but are never on a disk.

use std::path::{Path, PathBuf};

use crate::block::PieceIndex;

/// The most pieces that a torrent may have, as libtorrent limits it: a bitfield of 256 KiB.
pub const MAX_PIECES: u32 = 1 << 21;

/// The longest part of a path, in bytes: what common file systems allow.
pub const MAX_NAME_BYTES: usize = 255;

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    path: Vec<String>,
    offset: u64,
    length: u64,
    pad: bool,
}

impl FileEntry {
    /// Its path below the output folder, part by part; the torrent's name comes first, whatever lies there (after DN-3).
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// Its path below `folder`, as the operating system writes it.
    pub fn path_in(&self, folder: &Path) -> PathBuf {
        self.path.iter().fold(folder.to_owned(), |path, part| path.join(part))
    }

    /// Where its first byte lies in the torrent, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether it is a pad file: all zeros, never written to a disk (BEP 47).
    pub fn is_pad(&self) -> bool {
        self.pad
    }
}

/// Bytes of one file that belong to a span of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// Which file, as an index into [`TorrentLayout::files`].
    pub file: usize,
    /// The first byte, counted from the start of the file.
    pub offset: u64,
    /// How many bytes; never 0.
    pub length: u32,
    /// Whether the file is a pad file, whose bytes are zeros that nobody stores.
    pub pad: bool,
}

/// The files and pieces of a torrent.
///
/// ```
/// use bt_api::{FileSpan, NewFile, PieceIndex, TorrentLayout};
/// let file = |name: &str, length| NewFile { path: vec![name.into()], length, pad: false };
/// let layout = TorrentLayout::several("album", vec![file("a", 5), file("b", 4), file("c", 3)], 8)?;
/// assert_eq!(layout.piece_count(), 2);
/// assert_eq!(layout.piece_length(PieceIndex(1)), 4);
/// let spans: Vec<_> = layout.spans(PieceIndex(0), 3, 5).map(|s| (s.file, s.offset, s.length)).collect();
/// assert_eq!(spans, [(0, 3, 2), (1, 0, 3)]);
/// # Ok::<(), bt_api::LayoutError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentLayout {
    name: String,
    files: Vec<FileEntry>,
    /// The files that hold bytes, for the binary search of [`Self::spans`]: zero-length ones are invisible to it.
    filled: Vec<u32>,
    single: bool,
    piece_length: u32,
    piece_count: u32,
    total_length: u64,
}

/// A file for [`TorrentLayout::several`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Its path below the torrent's name, part by part.
    pub path: Vec<String>,
    /// Its length in bytes.
    pub length: u64,
    /// Whether it is a pad file (BEP 47).
    pub pad: bool,
}

impl TorrentLayout {
    /// The layout of a torrent that is one file, at `name` in the output folder.
    ///
    /// # Errors
    /// When the name is no safe part of a path, or the lengths make no torrent.
    pub fn single(name: &str, length: u64, piece_length: u32) -> Result<Self, LayoutError> {
        let file = FileEntry { path: vec![name.to_owned()], offset: 0, length, pad: false };
        Self::new(name, vec![file], true, piece_length)
    }

    /// The layout of a torrent of several files, at `name/…` in the output folder.
    ///
    /// # Errors
    /// When a path is not safe, two files clash, or the lengths make no torrent.
    pub fn several(name: &str, files: Vec<NewFile>, piece_length: u32) -> Result<Self, LayoutError> {
        let mut offset = 0_u64;
        let mut entries = Vec::with_capacity(files.len());
        for file in files {
            if file.path.is_empty() {
                return Err(LayoutError::UnsafePath { part: String::new() });
            }
            let path = std::iter::once(name.to_owned()).chain(file.path).collect();
            entries.push(FileEntry { path, offset, length: file.length, pad: file.pad });
            offset = offset.checked_add(file.length).ok_or(LayoutError::TooLong)?;
        }
        Self::new(name, entries, false, piece_length)
    }

    fn new(name: &str, files: Vec<FileEntry>, single: bool, piece_length: u32) -> Result<Self, LayoutError> {
        if piece_length == 0 {
            return Err(LayoutError::ZeroPieceLength);
        }
        for part in files.iter().flat_map(|file| &file.path) {
            if !is_safe_name(part) {
                return Err(LayoutError::UnsafePath { part: part.clone() });
            }
        }
        let mut paths: Vec<&[String]> = files.iter().filter(|file| !file.pad).map(FileEntry::path).collect();
        paths.sort_unstable();
        if let Some(pair) = paths.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
            return Err(LayoutError::Clash { path: pair[1].join("/") });
        }
        let total_length = files.last().map_or(Some(0), |file| file.offset.checked_add(file.length));
        let total_length = total_length.ok_or(LayoutError::TooLong)?;
        if total_length == 0 {
            return Err(LayoutError::Empty);
        }
        let piece_count = total_length.div_ceil(u64::from(piece_length));
        let piece_count = u32::try_from(piece_count).ok().filter(|&count| count <= MAX_PIECES);
        let piece_count = piece_count.ok_or(LayoutError::TooManyPieces)?;
        let filled = (0..files.len() as u32).filter(|&i| files[i as usize].length > 0).collect();
        Ok(Self { name: name.to_owned(), files, filled, single, piece_length, piece_count, total_length })
    }

    /// The torrent's name: its file, or the folder of its files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the torrent is one file, which lies at `name` and not in a folder of that name.
    pub fn is_single(&self) -> bool {
        self.single
    }

    /// The files in the order of the torrent, pad files and zero-length ones among them.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The length of all files together in bytes, pad files counted; never 0.
    pub fn total_length(&self) -> u64 {
        self.total_length
    }

    /// How many pieces there are: at least 1 and at most [`MAX_PIECES`].
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// The length of every piece but the last, in bytes.
    pub fn nominal_piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The length of `piece` in bytes: the last one may be shorter (SW-2).
    ///
    /// # Panics
    /// When the torrent has no such piece.
    pub fn piece_length(&self, piece: PieceIndex) -> u32 {
        assert!(piece.0 < self.piece_count, "piece {piece} of {}", self.piece_count);
        let start = self.piece_offset(piece);
        u64::from(self.piece_length).min(self.total_length - start) as u32
    }

    /// Where `piece` begins in the torrent, in bytes.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// The files that hold the `length` bytes from `begin` in `piece`, in order (ST-4).
    ///
    /// # Panics
    /// When the span reaches past the end of the torrent.
    pub fn spans(&self, piece: PieceIndex, begin: u32, length: u32) -> impl Iterator<Item = FileSpan> + '_ {
        let start = self.piece_offset(piece) + u64::from(begin);
        let end = start + u64::from(length);
        assert!(end <= self.total_length, "a span past the end of the torrent");
        let file = |index: &u32| &self.files[*index as usize];
        let first = self.filled.partition_point(|index| file(index).offset + file(index).length <= start);
        self.filled[first..].iter().take_while(move |index| length > 0 && file(index).offset < end).map(
            move |index| {
                let entry = file(index);
                let from = start.max(entry.offset);
                let to = end.min(entry.offset + entry.length);
                FileSpan {
                    file: *index as usize,
                    offset: from - entry.offset,
                    length: (to - from) as u32,
                    pad: entry.pad,
                }
            },
        )
    }

    /// The pieces that hold bytes of `file` (an index into [`Self::files`]); empty for a zero-length file.
    pub fn pieces_of(&self, file: usize) -> impl Iterator<Item = PieceIndex> + use<> {
        let entry = &self.files[file];
        let piece_length = u64::from(self.piece_length);
        let first = entry.offset / piece_length;
        let end =
            if entry.length == 0 { first } else { (entry.offset + entry.length).div_ceil(piece_length) };
        (first as u32..end as u32).map(PieceIndex)
    }
}

/// Whether `part` may be one part of a path on every common system: not empty, not `.` or `..`, no longer
/// than [`MAX_NAME_BYTES`], and without separators and control characters.
pub fn is_safe_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..")
        && part.len() <= MAX_NAME_BYTES
        && !part.chars().any(|c| c == '/' || c == '\\' || c.is_control())
}

/// Why files and lengths make no torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A part of a path could lead out of the output folder or to another file than it shows.
    #[error("{part:?} is no safe part of a path")]
    UnsafePath {
        /// The part.
        part: String,
    },
    /// A path stands twice, or once as a file and once as a folder.
    #[error("the path {path:?} clashes with another file")]
    Clash {
        /// The second of the two, with `/` between its parts.
        path: String,
    },
    /// The piece length is 0.
    #[error("the piece length is 0")]
    ZeroPieceLength,
    /// All files together hold no byte.
    #[error("the torrent holds no data")]
    Empty,
    /// The lengths do not fit 64 bits together.
    #[error("the lengths of the files overflow")]
    TooLong,
    /// There would be more than [`MAX_PIECES`] pieces.
    #[error("the torrent has more than {MAX_PIECES} pieces")]
    TooManyPieces,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn several(lengths: &[u64], piece_length: u32) -> TorrentLayout {
        let file = |(i, &length): (usize, &u64)| NewFile { path: vec![format!("f{i}")], length, pad: false };
        TorrentLayout::several("t", lengths.iter().enumerate().map(file).collect(), piece_length).unwrap()
    }

    /// Case 20 of the original's tests: a zero-length file is invisible to spans (ST-4).
    #[test]
    fn zero_length_files_take_no_part() {
        let layout = several(&[3, 0, 3], 6);
        let spans: Vec<_> = layout.spans(PieceIndex(0), 2, 3).map(|s| (s.file, s.offset, s.length)).collect();
        assert_eq!(spans, [(0, 2, 1), (2, 0, 2)]);
    }

    #[test]
    fn unsafe_and_clashing_paths_are_refused() {
        for name in ["", ".", "..", "a/b", "a\\b", "a\0", "a\n", &"x".repeat(256)] {
            assert!(TorrentLayout::single(name, 1, 1).is_err(), "{name:?}");
        }
        let clash = |a: &[&str], b: &[&str]| {
            let file = |path: &[&str]| NewFile {
                path: path.iter().map(|s| s.to_string()).collect(),
                length: 1,
                pad: false,
            };
            TorrentLayout::several("t", vec![file(a), file(b)], 1)
        };
        assert!(clash(&["a"], &["a"]).is_err());
        assert!(clash(&["a"], &["a", "b"]).is_err());
        assert!(clash(&["a"], &["ab"]).is_ok());
        assert!(clash(&["a", "b"], &["a", "c"]).is_ok());
    }

    #[test]
    fn lengths_that_make_no_torrent_are_refused() {
        assert_eq!(TorrentLayout::single("a", 1, 0), Err(LayoutError::ZeroPieceLength));
        assert_eq!(TorrentLayout::single("a", 0, 1), Err(LayoutError::Empty));
        assert_eq!(TorrentLayout::single("a", u64::MAX, 1 << 14), Err(LayoutError::TooManyPieces));
        let huge = NewFile { path: vec!["a".into()], length: u64::MAX, pad: false };
        let one = NewFile { path: vec!["b".into()], length: 1, pad: false };
        assert_eq!(TorrentLayout::several("t", vec![huge, one], 1), Err(LayoutError::TooLong));
    }

    proptest! {
        #[test]
        fn spans_cover_each_byte_once(lengths in prop::collection::vec(0_u64..20, 1..8), piece_length in 1_u32..16) {
            prop_assume!(lengths.iter().sum::<u64>() > 0);
            let layout = several(&lengths, piece_length);
            let mut seen: Vec<Vec<u32>> = lengths.iter().map(|&length| vec![0; length as usize]).collect();
            for piece in (0..layout.piece_count()).map(PieceIndex) {
                for span in layout.spans(piece, 0, layout.piece_length(piece)) {
                    prop_assert!(layout.pieces_of(span.file).any(|p| p == piece));
                    for byte in span.offset..span.offset + u64::from(span.length) {
                        seen[span.file][byte as usize] += 1;
                    }
                }
            }
            prop_assert!(seen.iter().flatten().all(|&n| n == 1));
        }
    }
}
