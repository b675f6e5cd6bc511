//! Torrent files, by both rules: bounded, nothing outside the output folder, and what strict takes lenient takes.
#![no_main]

use std::path::{Component, Path};

use bt_api::PieceIndex;
use bt_engine::metainfo::{Metainfo, Rules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lenient = Metainfo::parse(bytes, Rules::Lenient);
    match Metainfo::parse(bytes, Rules::Strict) {
        Ok(strict) => assert_eq!(lenient.as_ref().map(|metainfo| metainfo.info_hash), Ok(strict.info_hash)),
        Err(error) => assert!(is_one_line(&error.to_string())),
    }
    match lenient {
        Ok(metainfo) => check(&metainfo),
        Err(error) => assert!(is_one_line(&error.to_string())),
    }
});

fn check(metainfo: &Metainfo) {
    let layout = &metainfo.layout;
    assert_eq!(metainfo.piece_hashes.len(), layout.piece_count() as usize);
    let mut end = 0;
    for file in layout.files() {
        assert_eq!(file.offset(), end);
        end += file.length();
        let path = file.path_in(Path::new("folder"));
        let mut parts = path.components();
        assert_eq!(parts.next(), Some(Component::Normal("folder".as_ref())));
        assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{path:?}");
    }
    assert_eq!(end, layout.total_length());
    let last = PieceIndex(layout.piece_count() - 1);
    assert_eq!(layout.piece_offset(last) + u64::from(layout.piece_length(last)), end);
}

fn is_one_line(message: &str) -> bool {
    !message.is_empty() && !message.chars().any(char::is_control)
}
