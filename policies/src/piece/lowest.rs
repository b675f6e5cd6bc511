//! The choice that pickers share: one of the lowest, at random.

use bt_api::{PieceIndex, Rng, rng};

/// One of those of `pieces` that are wanted and of the lowest level, at random.
///
/// Each of the n equals found so far stays with probability 1/n: one pass, nothing stored. `wanted` is asked only
/// about pieces that would be an answer.
pub(super) fn lowest(
    pieces: impl Iterator<Item = PieceIndex>,
    level: impl Fn(PieceIndex) -> u32,
    wanted: impl Fn(PieceIndex) -> bool,
    rng: &mut dyn Rng,
) -> Option<PieceIndex> {
    let (mut best, mut lowest, mut equals) = (None, u32::MAX, 0);
    for piece in pieces {
        let level = level(piece);
        if level > lowest || !wanted(piece) {
            continue;
        }
        equals = if level < lowest { 1 } else { equals + 1 };
        lowest = level;
        if equals == 1 || rng::below(rng, equals) == 0 {
            best = Some(piece);
        }
    }
    best
}
