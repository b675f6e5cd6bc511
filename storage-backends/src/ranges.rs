//! Which parts of a piece there are: ranges of its bytes, sorted and apart.

use std::iter::once;
use std::ops::Range;

use bt_api::{PieceIndex, TorrentLayout};

/// The parts of `piece` that belong to pad files: zeros that nobody writes (BEP 47).
pub(crate) fn padding(layout: &TorrentLayout, piece: PieceIndex) -> Vec<Range<u32>> {
    let (mut at, mut padding) = (0, Vec::new());
    for span in layout.spans(piece, 0, layout.piece_length(piece)) {
        if span.pad {
            add(&mut padding, at..at + span.length);
        }
        at += span.length;
    }
    padding
}

/// Whether all of a span belongs to pad files.
pub(crate) fn is_padding(layout: &TorrentLayout, piece: PieceIndex, offset: u32, length: u32) -> bool {
    layout.spans(piece, offset, length).all(|span| span.pad)
}

/// Whether one of `ranges`, which are apart, holds all of `span`.
pub(crate) fn covers(ranges: &[Range<u32>], span: &Range<u32>) -> bool {
    span.is_empty() || ranges.iter().any(|range| range.start <= span.start && span.end <= range.end)
}

/// Adds `new` to `ranges`, which are sorted and apart, and stay so.
pub(crate) fn add(ranges: &mut Vec<Range<u32>>, new: Range<u32>) {
    if new.is_empty() {
        return;
    }
    let first = ranges.partition_point(|range| range.end < new.start);
    let end = ranges.partition_point(|range| range.start <= new.end);
    let touched = &ranges[first..end];
    let start = touched.first().map_or(new.start, |range| range.start.min(new.start));
    let stop = touched.last().map_or(new.end, |range| range.end.max(new.end));
    ranges.splice(first..end, once(start..stop));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_agree_with_naive_ones(new in prop::collection::vec((0_u32..40, 0_u32..10), 0..20)) {
            let (mut ranges, mut naive) = (Vec::new(), [false; 50]);
            for (start, length) in new {
                add(&mut ranges, start..start + length);
                naive[start as usize..(start + length) as usize].fill(true);
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            for start in 0..50_u32 {
                for end in start..50 {
                    let all = naive[start as usize..end as usize].iter().all(|&written| written);
                    prop_assert_eq!(covers(&ranges, &(start..end)), all);
                }
            }
        }
    }
}
