//! What a store on the disk wants back at its next start: which slots hold what matched its hash, and how to
//! tell that the files are still those that held it.
//!
//! One byte that tells the store and the version of its format, the info-hash, 24 bytes for each file of the
//! torrent, a bitfield; a store may add more. The length follows from the torrent; anything else is taken as
//! nothing saved, and costs a check of the data.

use bt_api::{PieceSet, Torrent};

use super::folder::Facts;

const STAMP_BYTES: usize = 24;
const HEADER_BYTES: usize = 1 + 20;

/// The state of a store at a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// One for each file of the torrent; `None` for a file that was not there, or that nobody reads.
    pub(crate) files: Vec<Option<Stamp>>,
    pub(crate) sealed: PieceSet,
}

/// What changes when a file is written or replaced. The device is left out: its number may change with
/// each start of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    /// In nanoseconds since 1970.
    pub(super) mtime: i64,
}

impl From<Facts> for Stamp {
    fn from(facts: Facts) -> Self {
        Self { inode: facts.inode, length: facts.length, mtime: facts.mtime }
    }
}

impl Saved {
    /// The bytes to save; `format` is the byte that tells the store and its version.
    pub(crate) fn encode(&self, format: u8, torrent: &Torrent) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.files.len() * STAMP_BYTES);
        bytes.push(format);
        bytes.extend(torrent.info_hash.0);
        for stamp in &self.files {
            // No file has inode 0.
            let stamp = stamp.unwrap_or(Stamp { inode: 0, length: 0, mtime: 0 });
            bytes.extend(stamp.inode.to_le_bytes());
            bytes.extend(stamp.length.to_le_bytes());
            bytes.extend(stamp.mtime.to_le_bytes());
        }
        bytes.extend(self.sealed.to_bitfield());
        bytes
    }

    /// What `bytes` say of `torrent`, where they begin with what [`Self::encode`] makes, and the bytes after
    /// it.
    pub(crate) fn decode<'a>(bytes: &'a [u8], format: u8, torrent: &Torrent) -> Option<(Self, &'a [u8])> {
        let (found, rest) = bytes.split_first()?;
        let (info_hash, rest) = rest.split_first_chunk()?;
        if *found != format || *info_hash != torrent.info_hash.0 {
            return None;
        }
        let (stamps, rest) = rest.split_at_checked(torrent.layout.files().len() * STAMP_BYTES)?;
        let (stamps, _) = stamps.as_chunks::<STAMP_BYTES>();
        let stamp = |bytes: &[u8; STAMP_BYTES]| {
            let (words, _) = bytes.as_chunks::<8>();
            let [inode, length, mtime] = [0, 1, 2].map(|i| u64::from_le_bytes(words[i]));
            (inode != 0).then_some(Stamp { inode, length, mtime: mtime.cast_signed() })
        };
        let pieces = torrent.layout.piece_count();
        let (bitfield, rest) = rest.split_at_checked(pieces.div_ceil(8) as usize)?;
        let sealed = PieceSet::from_bitfield(pieces, bitfield).ok()?;
        Some((Self { files: stamps.iter().map(stamp).collect(), sealed }, rest))
    }

    /// The slots all of whose files are still as they were; `now` has one entry for each file.
    pub(crate) fn vouched(mut self, torrent: &Torrent, now: &[Option<Stamp>]) -> PieceSet {
        for (i, file) in torrent.layout.files().iter().enumerate() {
            if !file.is_pad() && (self.files[i].is_none() || self.files[i] != now[i]) {
                for piece in torrent.layout.pieces_of(i) {
                    self.sealed.remove(piece);
                }
            }
        }
        self.sealed
    }
}

#[cfg(test)]
mod tests {
    use bt_api::{InfoHash, NewFile, PieceIndex, TorrentLayout};
    use proptest::prelude::*;

    use super::*;

    const FORMAT: u8 = 7;

    fn torrent() -> Torrent {
        let file = |name: &str, length, pad| NewFile { path: vec![name.into()], length, pad };
        let files = vec![file("a", 5, false), file("pad", 3, true), file("b", 8, false), file("c", 4, false)];
        Torrent {
            info_hash: InfoHash([7; 20]),
            layout: TorrentLayout::several("t", files, 4).unwrap(),
            piece_hashes: Vec::new(),
            folder: "unused".into(),
            saved: None,
        }
    }

    fn stamp(inode: u64) -> Option<Stamp> {
        Some(Stamp { inode, length: 1, mtime: -1 })
    }

    #[test]
    fn a_changed_file_takes_its_pieces_along() {
        let saved = Saved { files: vec![stamp(1), None, stamp(2), stamp(3)], sealed: PieceSet::full(5) };
        assert_eq!(saved.files.len(), torrent().layout.files().len());
        let vouched = |now: [Option<Stamp>; 4]| -> Vec<u32> {
            saved.clone().vouched(&torrent(), &now).iter().map(|PieceIndex(piece)| piece).collect()
        };
        assert_eq!(vouched([stamp(1), None, stamp(2), stamp(3)]), [0, 1, 2, 3, 4]);
        assert_eq!(vouched([stamp(9), None, stamp(2), stamp(3)]), [2, 3, 4]);
        assert_eq!(vouched([stamp(1), None, None, stamp(3)]), [0, 1, 4]);
    }

    #[test]
    fn what_is_of_another_version_torrent_or_length_is_nothing() {
        let saved = Saved { files: vec![stamp(1), None, stamp(2), stamp(3)], sealed: PieceSet::full(5) };
        let bytes = saved.encode(FORMAT, &torrent());
        assert_eq!(Saved::decode(&bytes, FORMAT, &torrent()), Some((saved, &[][..])));
        assert_eq!(Saved::decode(&bytes, FORMAT + 1, &torrent()), None);
        for at in [0, 1, 20, bytes.len() - 1] {
            let mut other = bytes.to_vec();
            other[at] ^= 1;
            assert_eq!(Saved::decode(&other, FORMAT, &torrent()), None, "byte {at}");
        }
        assert_eq!(Saved::decode(&bytes[..bytes.len() - 1], FORMAT, &torrent()), None);
        let longer = [&bytes[..], &[9]].concat();
        assert_eq!(Saved::decode(&longer, FORMAT, &torrent()).unwrap().1, [9]);
    }

    proptest! {
        #[test]
        fn what_is_saved_is_read_back(inodes in prop::array::uniform4(any::<u64>()), length: u64, mtime: i64, bits in 0_u8..32) {
            let files = inodes.map(|inode| (inode != 0).then_some(Stamp { inode, length, mtime })).to_vec();
            let sealed = PieceSet::from_bitfield(5, &[bits << 3]).unwrap();
            let saved = Saved { files, sealed };
            let bytes = saved.encode(FORMAT, &torrent());
            prop_assert_eq!(Saved::decode(&bytes, FORMAT, &torrent()), Some((saved, &[][..])));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(start in 0_usize..22, bytes in prop::collection::vec(any::<u8>(), 0..160)) {
            // The beginning of true bytes lets chance get past the first checks.
            let head = [&[FORMAT][..], &[7; 20]].concat();
            let bytes = [&head[..start.min(head.len())], &bytes[..]].concat();
            if let Some((saved, _)) = Saved::decode(&bytes, FORMAT, &torrent()) {
                prop_assert_eq!(saved.files.len(), 4);
                let _ = saved.vouched(&torrent(), &[None; 4]);
            }
        }
    }
}
