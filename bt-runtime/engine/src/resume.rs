//! What is kept of a torrent between two runs, as the bytes of a resume file (after SW-29).
//!
//! A resume file saves hashing; it is never a reason to trust: the driver still holds files against it by
//! length and time. So [`Resume::decode`] takes a file whole or not at all: a checksum covers every byte, and
//! another torrent's file, or another number of pieces, is refused. A refused file costs a full check.
//!
//! The bytes: `bt-resume 1` and a line feed, a bencoded dictionary, the SHA-1 over all of that.

use bt_api::{BitfieldError, BlockRef, Bytes, InfoHash, PieceIndex, PieceSet};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use sha1::{Digest, Sha1};

use crate::bencode::{self, Mode, ScanError};

/// The longest resume file that is read, in bytes. The pieces take 256 KiB at most; the rest is for the state
/// of a store, which at 8 bytes a piece is 16 MiB.
pub const MAX_RESUME_BYTES: usize = 32 << 20;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

const MAGIC: &[u8] = b"bt-resume ";

/// The length of the SHA-1 at the end.
const CHECKSUM_BYTES: usize = 20;

/// What is kept of a torrent between two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Which torrent it is of.
    pub info_hash: InfoHash,
    /// The pieces that were verified and that the store said are written.
    pub have: PieceSet,
    /// Blocks of other pieces that are written; not verified.
    pub partial: Vec<BlockRef>,
    /// Bytes of payload sent in all runs.
    pub uploaded: u64,
    /// Bytes of payload received in all runs.
    pub downloaded: u64,
    /// The store and its layers by their plug-in names: only the same ones are given `store` back.
    pub storage_name: String,
    /// What [`checkpoint`](bt_api::TorrentStore::checkpoint) answered.
    pub store: Option<Bytes>,
}

/// The dictionary in the file.
#[derive(Serialize, Deserialize)]
struct Dict {
    downloaded: i64,
    have: ByteBuf,
    #[serde(rename = "info-hash")]
    info_hash: ByteArray<20>,
    /// Three big-endian numbers for each block: piece, begin, length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partial: Option<ByteBuf>,
    pieces: u32,
    storage: String,
    #[serde(default)]
    store: Option<ByteBuf>,
    uploaded: i64,
}

impl Resume {
    /// The bytes of the file. Byte counts past 2^63 - 1, which bencode's readers do not take, are kept as that.
    pub fn encode(&self) -> Vec<u8> {
        let count = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        let dict = Dict {
            downloaded: count(self.downloaded),
            have: ByteBuf::from(self.have.to_bitfield()),
            info_hash: ByteArray::new(self.info_hash.0),
            partial: (!self.partial.is_empty()).then(|| encode_blocks(&self.partial)),
            pieces: self.have.pieces(),
            storage: self.storage_name.clone(),
            store: self.store.as_ref().map(|state| ByteBuf::from(state.to_vec())),
            uploaded: count(self.uploaded),
        };
        let dict = serde_bencode::to_bytes(&dict).expect("numbers, text and bytes are all bencode");
        let mut bytes = [MAGIC, VERSION.to_string().as_bytes(), b"\n", &dict].concat();
        let checksum = Sha1::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// Reads the file of the torrent `info_hash`, which has `pieces` pieces.
    ///
    /// # Errors
    /// When it is damaged, of another version, or of another torrent.
    pub fn decode(bytes: &[u8], info_hash: InfoHash, pieces: u32) -> Result<Self, ResumeError> {
        if bytes.len() > MAX_RESUME_BYTES {
            return Err(ResumeError::TooLong { found: bytes.len() });
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(ResumeError::NotResume)?;
        let line = rest.iter().take(10).position(|&byte| byte == b'\n').ok_or(ResumeError::NotResume)?;
        let version = str::from_utf8(&rest[..line]).ok().and_then(|version| version.parse().ok());
        // Before the checksum, which a later version may make otherwise.
        match version {
            Some(VERSION) => {}
            Some(found) => return Err(ResumeError::Version { found }),
            None => return Err(ResumeError::NotResume),
        }
        let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(ResumeError::Checksum)?;
        if Sha1::digest(content)[..] != checksum[..] {
            return Err(ResumeError::Checksum);
        }
        let dict = content.get(MAGIC.len() + line + 1..).ok_or(ResumeError::Checksum)?;
        // serde follows nesting as deep as it goes, and takes what stands behind the root for nothing.
        bencode::scan(dict, Mode::Strict)?;
        let dict: Dict =
            serde_bencode::from_bytes(dict).map_err(|error| ResumeError::Content(error.to_string()))?;
        let found = InfoHash(dict.info_hash.into_array());
        if found != info_hash {
            return Err(ResumeError::Torrent { found });
        }
        if dict.pieces != pieces {
            return Err(ResumeError::Pieces { found: dict.pieces, expected: pieces });
        }
        let count = |key, bytes| {
            u64::try_from(bytes).map_err(|_| ResumeError::Content(format!("`{key}` is negative: {bytes}")))
        };
        Ok(Self {
            info_hash,
            have: PieceSet::from_bitfield(pieces, &dict.have)?,
            partial: decode_blocks(&dict.partial.unwrap_or_default())?,
            uploaded: count("uploaded", dict.uploaded)?,
            downloaded: count("downloaded", dict.downloaded)?,
            storage_name: dict.storage,
            store: dict.store.map(|state| Bytes::from(state.into_vec())),
        })
    }
}

fn encode_blocks(blocks: &[BlockRef]) -> ByteBuf {
    let words = blocks.iter().flat_map(|block| [block.piece.0, block.begin, block.length]);
    ByteBuf::from(words.flat_map(u32::to_be_bytes).collect::<Vec<u8>>())
}

fn decode_blocks(bytes: &[u8]) -> Result<Vec<BlockRef>, ResumeError> {
    let (blocks, rest) = bytes.as_chunks::<12>();
    if !rest.is_empty() {
        return Err(ResumeError::Content(format!("`partial` has {} bytes, no multiple of 12", bytes.len())));
    }
    let word = |block: &[u8; 12], at: usize| {
        let (words, _) = block.as_chunks::<4>();
        u32::from_be_bytes(words[at])
    };
    let block = |bytes: &[u8; 12]| BlockRef {
        piece: PieceIndex(word(bytes, 0)),
        begin: word(bytes, 1),
        length: word(bytes, 2),
    };
    Ok(blocks.iter().map(block).collect())
}

/// Why a resume file was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// It is longer than [`MAX_RESUME_BYTES`].
    #[error("the resume file is {found} bytes long, allowed are {MAX_RESUME_BYTES}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// It begins as none does.
    #[error("this is no resume file")]
    NotResume,
    /// Another version of this program wrote it.
    #[error("the resume file has version {found}, this program reads version {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// It was cut or changed.
    #[error("the resume file is damaged: its checksum does not match")]
    Checksum,
    /// Its checksum is right, but its content is not bencoded.
    #[error("the resume file is not well-formed")]
    Bencode(#[from] ScanError),
    /// A value is missing, or not what it should be.
    #[error("the resume file is not well-formed: {0}")]
    Content(String),
    /// It belongs to another torrent.
    #[error("the resume file is of another torrent, {found}")]
    Torrent {
        /// That torrent.
        found: InfoHash,
    },
    /// It counts other pieces than the torrent has.
    #[error("the resume file is of {found} pieces, the torrent has {expected}")]
    Pieces {
        /// The pieces in the file.
        found: u32,
        /// The pieces of the torrent.
        expected: u32,
    },
    /// The pieces held are no bitfield.
    #[error("the resume file is not well-formed")]
    Have(#[from] BitfieldError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: InfoHash = InfoHash([7; 20]);

    fn example() -> Resume {
        let mut have = PieceSet::new(9);
        have.insert(PieceIndex(8));
        let store = Some(Bytes::from_static(b"state"));
        let storage_name = "files".into();
        Resume { info_hash: HASH, have, partial: Vec::new(), uploaded: 5, downloaded: 6, storage_name, store }
    }

    fn block(piece: u32, begin: u32, length: u32) -> BlockRef {
        BlockRef { piece: PieceIndex(piece), begin, length }
    }

    /// The file of a version and a dictionary, with a right checksum.
    fn file(version: &str, dict: &[u8]) -> Vec<u8> {
        let content = [b"bt-resume ", version.as_bytes(), b"\n", dict].concat();
        [&content[..], &Sha1::digest(&content)].concat()
    }

    fn error(bytes: &[u8]) -> String {
        Resume::decode(bytes, HASH, 9).unwrap_err().to_string()
    }

    #[test]
    fn the_format_stays() {
        let dict = b"d10:downloadedi6e4:have2:\x00\x809:info-hash20:\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\
            \x07\x07\x07\x07\x07\x07\x07\x07\x07\x076:piecesi9e7:storage5:files5:store5:state8:uploadedi5ee";
        assert_eq!(example().encode(), file("1", dict));
        assert_eq!(Resume::decode(&file("1", dict), HASH, 9).unwrap(), example());
        let partial = vec![block(3, 16_384, 258)];
        let bytes = Resume { partial: partial.clone(), ..example() }.encode();
        let key = b"7:partial12:\x00\x00\x00\x03\x00\x00\x40\x00\x00\x00\x01\x02";
        assert!(bytes.windows(key.len()).any(|window| window == key));
        assert_eq!(Resume::decode(&bytes, HASH, 9).unwrap().partial, partial);
    }

    /// Row 24 of the threats: a file made by another, of another time or of another torrent.
    #[test]
    fn strange_files_are_refused_in_one_line() {
        assert_eq!(error(b""), "this is no resume file");
        assert_eq!(error(b"d4:infode"), "this is no resume file");
        assert_eq!(error(&file("2", b"de")), "the resume file has version 2, this program reads version 1");
        assert_eq!(error(b"bt-resume 1\n"), "the resume file is damaged: its checksum does not match");
        assert_eq!(error(&file("1", &b"l".repeat(100_000))), "the resume file is not well-formed");
        assert!(error(&file("1", b"de")).contains("`downloaded`"));
        assert_eq!(
            Resume::decode(&example().encode(), InfoHash([8; 20]), 9).unwrap_err().to_string(),
            format!("the resume file is of another torrent, {HASH}")
        );
        assert_eq!(
            Resume::decode(&example().encode(), HASH, 10).unwrap_err().to_string(),
            "the resume file is of 9 pieces, the torrent has 10"
        );
        assert!(error(&vec![0; MAX_RESUME_BYTES + 1]).contains("allowed are"));
        let changed = |from: &str, to: &str| {
            let bytes = example().encode();
            let dict = bytes[b"bt-resume 1\n".len()..bytes.len() - CHECKSUM_BYTES].to_vec();
            let at = dict.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            error(&file("1", &[&dict[..at], to.as_bytes(), &dict[at + from.len()..]].concat()))
        };
        assert!(changed("uploadedi5e", "uploadedi-5e").contains("`uploaded` is negative"));
        assert!(changed("have2:\0", "have1:").contains("not well-formed"));
        assert!(changed("6:pieces", "7:partial1:x6:pieces").contains("not well-formed"));
        assert!(changed("piecesi9e", "piecesi99999999999e").contains("not well-formed"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            have in prop::collection::vec(any::<bool>(), 1..100),
            partial in prop::collection::vec(any::<(u32, u32, u32)>(), 0..5),
            uploaded in 0..i64::MAX as u64,
            downloaded in 0..i64::MAX as u64,
            storage_name in "\\PC{0,20}",
            store in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
        ) {
            let pieces = have.len() as u32;
            let mut set = PieceSet::new(pieces);
            for (piece, _) in (0..).zip(&have).filter(|(_, have)| **have) {
                set.insert(PieceIndex(piece));
            }
            let store = store.map(Bytes::from);
            let partial = partial.into_iter().map(|(piece, begin, length)| block(piece, begin, length)).collect();
            let resume =
                Resume { info_hash: HASH, have: set, partial, uploaded, downloaded, storage_name, store };
            prop_assert_eq!(Resume::decode(&resume.encode(), HASH, pieces).unwrap(), resume);
        }

        #[test]
        fn a_cut_or_changed_file_is_refused(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut bytes = example().encode();
            let at = at.index(bytes.len());
            prop_assert!(Resume::decode(&bytes[..at], HASH, 9).is_err());
            bytes[at] ^= flip;
            prop_assert!(Resume::decode(&bytes, HASH, 9).is_err());
        }

        #[test]
        fn no_content_panics(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Resume::decode(&content, HASH, 9);
            let _ = Resume::decode(&file("1", &content), HASH, 9);
        }
    }
}
