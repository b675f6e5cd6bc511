//! Sets of pieces as the log writes them: `0-3,7`.

use std::fmt::Write;

use bt_api::{PieceIndex, PieceSet};

/// `set` as ranges, in order; empty for none.
pub fn to_ranges(set: &PieceSet) -> String {
    let mut text = String::new();
    let mut pieces = set.iter().map(|piece| piece.0).peekable();
    while let Some(first) = pieces.next() {
        let mut last = first;
        while let Some(next) = pieces.next_if_eq(&(last + 1)) {
            last = next;
        }
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = match first == last {
            true => write!(text, "{comma}{first}"),
            false => write!(text, "{comma}{first}-{last}"),
        };
    }
    text
}

/// The set of a torrent of so many `pieces` that `text` writes down; `None` where it is no such text.
pub fn from_ranges(text: &str, pieces: u32) -> Option<PieceSet> {
    let mut set = PieceSet::new(pieces);
    for range in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= pieces {
            return None;
        }
        (first..=last).for_each(|piece| {
            set.insert(PieceIndex(piece));
        });
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["", "0", "9", "0-9", "0-3,7", "1,3,5-6"] {
            assert_eq!(to_ranges(&from_ranges(text, 10).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_set_of_pieces_is_refused() {
        for text in [",", "x", "3-", "-3", "4-3", "10", "0-10", "1,,2", "1 ,2"] {
            assert!(from_ranges(text, 10).is_none(), "{text:?}");
        }
    }
}
