//! What a store of one thing a piece wants back at its next start: a tag of each thing that it sealed, to tell whether
//! it is still that one.
//!
//! One byte for the store and its format, the info-hash, and eight bytes a piece: zeros where it is not sealed. Anything
//! else is taken as nothing saved.

use bt_api::Torrent;
use sha1::{Digest, Sha1};

/// What changes when the thing is written or replaced.
pub(crate) type Tag = [u8; 8];

/// Stands for a piece that is not sealed.
pub(crate) const NOTHING: Tag = [0; 8];

/// The tag of what `facts` tell: the beginning of their SHA-1.
pub(crate) fn tag_of(facts: &[u8]) -> Tag {
    let digest: [u8; 20] = Sha1::digest(facts).into();
    digest[..8].try_into().expect("a digest has more than eight bytes")
}

/// The bytes to save; `tags` has one entry a piece.
pub(crate) fn encode(format: u8, torrent: &Torrent, tags: impl Iterator<Item = Tag>) -> Vec<u8> {
    let mut bytes = vec![format];
    bytes.extend(torrent.info_hash.0);
    bytes.extend(tags.flatten());
    bytes
}

/// The tag of each piece, where `bytes` are what [`encode`] makes of this torrent.
pub(crate) fn decode<'a>(format: u8, bytes: &'a [u8], torrent: &Torrent) -> Option<&'a [Tag]> {
    let tags = bytes.strip_prefix(&[format])?.strip_prefix(&torrent.info_hash.0)?;
    let (tags, []) = tags.as_chunks::<8>() else { return None };
    (tags.len() == torrent.layout.piece_count() as usize).then_some(tags)
}
