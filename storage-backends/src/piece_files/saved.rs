//! What the store wants back at its next start: a tag of each file that it sealed, to tell whether it is still
//! that one.
//!
//! One byte for the format, the info-hash, and eight bytes a piece: zeros where it is not sealed, else the
//! beginning of the SHA-1 of the file's inode, length and time. Anything else is taken as nothing saved.

use bt_api::Torrent;
use sha1::{Digest, Sha1};

use crate::disk::Facts;

/// Begins what is saved: another store or format has another.
const FORMAT: u8 = 1;

/// What changes when a file is written or replaced. The device is left out: its number may change with each
/// start of the machine.
pub(super) type Tag = [u8; 8];

/// Stands for a piece that is not sealed.
pub(super) const NOTHING: Tag = [0; 8];

/// The tag of a file that looks like this.
pub(super) fn tag(facts: &Facts) -> Tag {
    let words = [facts.inode, facts.length, facts.mtime.cast_unsigned()];
    let mut sha = Sha1::new();
    words.iter().for_each(|word| sha.update(word.to_le_bytes()));
    let digest: [u8; 20] = sha.finalize().into();
    digest[..8].try_into().expect("a digest has more than eight bytes")
}

/// The bytes to save; `tags` has one entry a piece.
pub(super) fn encode(torrent: &Torrent, tags: impl Iterator<Item = Tag>) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.extend(torrent.info_hash.0);
    bytes.extend(tags.flatten());
    bytes
}

/// The tag of each piece, where `bytes` are what [`encode`] makes of this torrent.
pub(super) fn decode<'a>(bytes: &'a [u8], torrent: &Torrent) -> Option<&'a [Tag]> {
    let tags = bytes.strip_prefix(&[FORMAT])?.strip_prefix(&torrent.info_hash.0)?;
    let (tags, []) = tags.as_chunks::<8>() else { return None };
    (tags.len() == torrent.layout.piece_count() as usize).then_some(tags)
}
