//! How the store tells at its next start whether a file is still the one that it sealed: a tag of its inode, length and
//! time.

use crate::disk::Facts;
use crate::tags::{Tag, tag_of};

/// Begins what is saved.
pub(super) const FORMAT: u8 = 1;

/// The tag of a file that looks like this. The device is left out: its number may change with each start of the machine.
pub(super) fn tag(facts: &Facts) -> Tag {
    let words = [facts.inode, facts.length, facts.mtime.cast_unsigned()];
    tag_of(words.map(u64::to_le_bytes).as_flattened())
}
