//! Resume files: taken whole or not at all, and what is taken is what would be written.
//!
//! The input is tried as it is, and with the checksum that it ought to have, which no mutation would hit.
#![no_main]

use bt_api::InfoHash;
use bt_engine::resume::Resume;
use libfuzzer_sys::fuzz_target;
use sha1::{Digest, Sha1};

const HASH: InfoHash = InfoHash([b'h'; 20]);
const PIECES: u32 = 20;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&[bytes, &Sha1::digest(bytes)[..]].concat());
});

fn check(bytes: &[u8]) {
    if let Ok(resume) = Resume::decode(bytes, HASH, PIECES) {
        assert_eq!((resume.info_hash, resume.have.pieces()), (HASH, PIECES));
        assert_eq!(Resume::decode(&resume.encode(), HASH, PIECES).ok(), Some(resume));
    }
}
