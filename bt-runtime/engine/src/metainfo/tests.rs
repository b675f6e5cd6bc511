//! Torrent files as attackers and odd programs write them. The cases are those of the original's tests.

use std::collections::BTreeMap;

use bt_api::layout::is_safe_name;
use proptest::prelude::*;

use super::*;

fn int(number: i128) -> Vec<u8> {
    format!("i{number}e").into_bytes()
}

fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [bytes.len().to_string().as_bytes(), b":", bytes].concat()
}

fn list(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    [&b"l"[..], &items.into_iter().collect::<Vec<_>>().concat(), b"e"].concat()
}

/// Entries in the order given.
fn dict<K: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, Vec<u8>)>) -> Vec<u8> {
    let entries = entries.into_iter().map(|(key, value)| [text(key), value].concat());
    [&b"d"[..], &entries.collect::<Vec<_>>().concat(), b"e"].concat()
}

fn hashes(count: usize) -> Vec<u8> {
    text(vec![b'#'; count * 20])
}

fn torrent(info: Vec<u8>) -> Vec<u8> {
    dict([("announce", text("http://t/announce")), ("info", info)])
}

/// A torrent of one file of 5 bytes in pieces of 4, with some keys of `info` changed or (`None`) taken away.
fn single(changes: &[(&str, Option<Vec<u8>>)]) -> Vec<u8> {
    let base = [("length", int(5)), ("name", text("t")), ("piece length", int(4)), ("pieces", hashes(2))];
    let mut info = BTreeMap::from(base);
    for (key, value) in changes {
        match value {
            Some(value) => drop(info.insert(key, value.clone())),
            None => drop(info.remove(key)),
        }
    }
    torrent(dict(info))
}

fn path(parts: &[&[u8]]) -> Vec<u8> {
    list(parts.iter().map(text))
}

fn file(parts: &[&[u8]], length: i128) -> Vec<u8> {
    dict([("length", int(length)), ("path", path(parts))])
}

/// A torrent of `files` in one piece.
fn several(files: Vec<Vec<u8>>) -> Vec<u8> {
    single(&[
        ("length", None),
        ("files", Some(list(files))),
        ("piece length", Some(int(1 << 20))),
        ("pieces", Some(hashes(1))),
    ])
}

/// Files of one byte at these paths, parts divided by `/`.
fn at_paths(paths: &[&str]) -> Vec<u8> {
    let parts = |path: &str| path.split('/').map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>();
    let files = paths.iter().map(|path| file(&parts(path).iter().map(Vec::as_slice).collect::<Vec<_>>(), 1));
    several(files.collect())
}

fn lenient(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
    Metainfo::parse(bytes, Rules::Lenient)
}

#[track_caller]
fn refused(bytes: &[u8], rules: Rules, rule: Rule) {
    assert_eq!(Metainfo::parse(bytes, rules).map_err(|error| error.rule()), Err(rule));
}

#[track_caller]
fn refused_by_both(bytes: &[u8], rule: Rule) {
    refused(bytes, Rules::Lenient, rule);
    refused(bytes, Rules::Strict, rule);
}

/// Strict refuses it by `rule`, lenient takes it.
#[track_caller]
fn refused_by_strict(bytes: &[u8], rule: Rule) -> Metainfo {
    refused(bytes, Rules::Strict, rule);
    lenient(bytes).unwrap()
}

fn paths(metainfo: &Metainfo) -> Vec<String> {
    metainfo.layout.files().iter().map(|file| file.path().join("/")).collect()
}

#[test]
fn a_plain_torrent_is_read() {
    let metainfo = Metainfo::parse(&single(&[]), Rules::Strict).unwrap();
    assert_eq!(metainfo.layout, TorrentLayout::single("t", 5, 4).unwrap());
    assert_eq!(metainfo.piece_hashes, [PieceHash([b'#'; 20]); 2]);
    assert_eq!(metainfo.trackers, [["http://t/announce"]]);
    assert!(!metainfo.private);
    assert_eq!(metainfo.comment, None);
    let private = lenient(&single(&[("private", Some(int(1)))])).unwrap();
    assert!(private.private);
    assert!(!lenient(&single(&[("private", Some(int(0)))])).unwrap().private);
    refused_by_both(&single(&[("private", Some(text("1")))]), Rule::WrongType);
}

#[test]
fn a_refusal_names_its_rule() {
    let error = lenient(&single(&[("pieces", Some(hashes(3)))])).unwrap_err();
    assert_eq!(error.to_string(), "refused by rule `piece-count`: 3 hashes for 2 pieces");
    let names: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert!(
        names.iter().all(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')))
    );
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

/// Row 6 of the threats (BE-10): unknown keys, odd order and odd numbers take part as they stand.
#[test]
fn the_info_hash_is_over_the_raw_bytes() {
    let info = b"d6:pieces20:####################4:name1:t7:unknownli-1ed1:z0:1:a0:ee4:name1:u\
        12:piece lengthi016e6:lengthi05ee";
    let bytes = [b"d4:info", &info[..], b"1:zi1ee"].concat();
    let metainfo = refused_by_strict(&bytes, Rule::KeyOrder);
    assert_eq!(metainfo.info_hash, InfoHash(Sha1::digest(info).into()));
    assert_eq!(metainfo.layout.name(), "t");
    // Worked out with Python's hashlib.
    let canonical = dict([
        ("length", int(5)),
        ("name", text("a")),
        ("piece length", int(16384)),
        ("pieces", text(Sha1::digest(b"hello"))),
    ]);
    let metainfo = Metainfo::parse(&torrent(canonical), Rules::Strict).unwrap();
    assert_eq!(metainfo.info_hash.to_string(), "ed805b7547c5b2b740bc29316d9eeb9a4f4ed761");
}

/// Case 27 (SW-1): two pieces of 4 are right for 5 to 8 bytes.
#[test]
fn case_27_counts_match_the_lengths() {
    for (length, fits) in [(4, false), (5, true), (8, true), (9, false)] {
        let bytes = single(&[("length", Some(int(length)))]);
        for rules in [Rules::Lenient, Rules::Strict] {
            let rule = Metainfo::parse(&bytes, rules).map(drop).map_err(|error| error.rule());
            assert_eq!(rule, if fits { Ok(()) } else { Err(Rule::PieceCount) }, "{length}");
        }
    }
}

/// Case 49 (BF-5), names; lenient cleans them.
#[test]
fn case_49_odd_names() {
    for (name, cleaned) in
        [("..", "__"), (".hid", ".hid"), ("~x", "~x"), ("a/b", "a_b"), ("a\\b", "a_b"), ("", "_"), (".", "_")]
    {
        let metainfo = refused_by_strict(&single(&[("name", Some(text(name)))]), Rule::Name);
        assert_eq!(paths(&metainfo), [cleaned]);
        let metainfo = refused_by_strict(&several(vec![file(&[name.as_bytes()], 1)]), Rule::Name);
        assert_eq!(paths(&metainfo), [format!("t/{cleaned}")]);
    }
    for name in ["a..b", "a.b", "a~"] {
        let metainfo = Metainfo::parse(&single(&[("name", Some(text(name)))]), Rules::Strict).unwrap();
        assert_eq!(metainfo.layout.name(), name);
    }
}

/// Case 50 (BF-3, BF-4, BF-6 to BF-9).
#[test]
fn case_50_wrong_values() {
    refused_by_both(&single(&[("pieces", Some(text([b'#'; 19])))]), Rule::Pieces);
    refused_by_both(&single(&[("piece length", Some(int(0)))]), Rule::PieceLength);
    refused_by_both(&single(&[("piece length", Some(int(-1)))]), Rule::PieceLength);
    refused_by_both(&single(&[("length", Some(int(-1)))]), Rule::Length);
    refused_by_both(&several(vec![file(&[b"a"], -1), file(&[b"b"], 2)]), Rule::Length);
    let neither = single(&[("length", None)]);
    refused(&neither, Rules::Strict, Rule::LengthOrFiles);
    refused(&neither, Rules::Lenient, Rule::MissingKey);
    let both = single(&[("files", Some(list([file(&[b"a"], 8)])))]);
    assert_eq!(paths(&refused_by_strict(&both, Rule::LengthOrFiles)), ["t/a"]);
    assert_eq!(paths(&refused_by_strict(&several(vec![file(&[], 1)]), Rule::Path)), ["t/_"]);
    assert_eq!(paths(&refused_by_strict(&at_paths(&["a", "a"]), Rule::Clash)), ["t/a", "t/a.1"]);
}

/// Case 51 (BF-9 with its prefix rule).
#[test]
fn case_51_a_file_in_the_place_of_a_folder() {
    assert_eq!(paths(&refused_by_strict(&at_paths(&["a", "a/b"]), Rule::Clash)), ["t/a.1", "t/a/b"]);
    assert_eq!(paths(&refused_by_strict(&at_paths(&["a/b", "a"]), Rule::Clash)), ["t/a/b", "t/a.1"]);
}

/// Cases 57 and 59: strict is strict about bencode, and nothing nests without end.
#[test]
fn cases_57_and_59_bencode() {
    let good = single(&[]);
    refused_by_strict(&[&good[..], b"junk"].concat(), Rule::TrailingBytes);
    refused_by_strict(&single(&[("length", Some(b"i05e".to_vec()))]), Rule::Bencode);
    let info =
        dict([("length", int(5)), ("name", text("t")), ("piece length", int(4)), ("pieces", hashes(2))]);
    let unsorted = dict([("info", info.clone()), ("announce", text("x"))]);
    refused_by_strict(&unsorted, Rule::KeyOrder);
    let repeated = dict([("announce", text("x")), ("info", info), ("info", int(1))]);
    refused_by_strict(&repeated, Rule::KeyOrder);
    refused_by_both(&vec![b'l'; 100_000], Rule::Nesting);
    refused_by_both(&vec![b'd'; 100_000], Rule::Bencode);
    let deep = [b"d1:a".repeat(100_000), b"0:".to_vec(), b"e".repeat(100_000)].concat();
    refused_by_both(&deep, Rule::Nesting);
    for bytes in [&b""[..], b"<html>", b"d4:infod6:lengthi5e", b"d4:info99999999999:x", b"d-3:abc"] {
        refused_by_both(bytes, Rule::Bencode);
    }
    refused_by_both(&[b"d1:al".to_vec(), b"le".repeat(2_000_000), b"ee".to_vec()].concat(), Rule::ValueCount);
    refused_by_both(&vec![b' '; MAX_FILE_BYTES + 1], Rule::FileSize);
    for bytes in [&b"i5e"[..], b"le", b"0:"] {
        refused_by_both(bytes, Rule::WrongType);
    }
}

#[test]
fn missing_keys_and_wrong_types() {
    for key in ["name", "pieces", "piece length"] {
        refused_by_both(&single(&[(key, None)]), Rule::MissingKey);
        refused_by_both(&single(&[(key, Some(list([])))]), Rule::WrongType);
    }
    refused_by_both(&dict([("announce", text("x"))]), Rule::MissingKey);
    refused_by_both(&torrent(int(5)), Rule::WrongType);
    refused_by_both(&single(&[("length", Some(text("5")))]), Rule::WrongType);
    for files in [int(1), list([int(1)]), list([dict([("length", text("1")), ("path", path(&[b"a"]))])])] {
        refused_by_both(&single(&[("length", None), ("files", Some(files))]), Rule::WrongType);
    }
    for entry in [
        dict([("length", int(1)), ("path", text("a"))]),
        dict([("length", int(1)), ("path", list([int(1)]))]),
    ] {
        refused_by_both(&several(vec![entry]), Rule::WrongType);
    }
    for entry in [dict([("length", int(1))]), dict([("path", path(&[b"a"]))])] {
        refused_by_both(&several(vec![entry]), Rule::MissingKey);
    }
    let strange = dict([("announce", int(1)), ("info", int(1))]);
    assert!(lenient(&strange).is_err());
}

/// Row 4: sizes that make no torrent.
#[test]
fn huge_and_zero_sizes() {
    refused_by_both(&single(&[("piece length", Some(int(1 << 32)))]), Rule::PieceLength);
    refused_by_both(&single(&[("piece length", Some(int(i128::MAX)))]), Rule::PieceLength);
    refused_by_both(&single(&[("length", Some(int(1 << 63)))]), Rule::Length);
    refused_by_both(&single(&[("length", Some(int(i128::MAX)))]), Rule::Length);
    refused_by_both(&single(&[("length", Some(int(i128::from(i64::MAX))))]), Rule::TooManyPieces);
    let max = i128::from(i64::MAX);
    let overflow = several(vec![file(&[b"a"], max), file(&[b"b"], max), file(&[b"c"], max)]);
    refused_by_both(&overflow, Rule::Length);
    refused_by_both(&single(&[("length", Some(int(0))), ("pieces", Some(hashes(0)))]), Rule::Empty);
    refused_by_both(&several(vec![]), Rule::Empty);
    refused_by_both(&several(vec![file(&[b"a"], 0)]), Rule::Empty);
    let pieces = (1 << 21) + 1;
    let many = |count: usize| {
        single(&[
            ("length", Some(int(count as i128))),
            ("piece length", Some(int(1))),
            ("pieces", Some(hashes(count))),
        ])
    };
    refused_by_both(&many(pieces), Rule::TooManyPieces);
    assert_eq!(lenient(&many(pieces - 1)).unwrap().layout.piece_count(), 1 << 21);
    let largest = single(&[("piece length", Some(int((1 << 32) - 1))), ("pieces", Some(hashes(1)))]);
    assert!(Metainfo::parse(&largest, Rules::Strict).is_ok());
}

/// Rows 1 and 3: whatever the names, the files lie within the output folder.
#[test]
fn hostile_paths_are_cleaned() {
    let hostile: [(&[&[u8]], &str); 9] = [
        (&[b"..", b"..", b"etc", b"passwd"], "t/__/__/etc/passwd"),
        (&[b"/etc/passwd"], "t/_etc_passwd"),
        (&[b"", b"a"], "t/_/a"),
        (&[b"C:", b"a"], "t/C_/a"),
        (&[b"a\\..\\b"], "t/a_.._b"),
        (&[b"a\0.txt"], "t/a_.txt"),
        (&[b"con.txt"], "t/_con.txt"),
        (&[b"x.", b"y "], "t/x_/y_"),
        (&[b"\x1b]0;owned\x07"], "t/_]0;owned_"),
    ];
    for (parts, cleaned) in hostile {
        assert_eq!(paths(&lenient(&several(vec![file(parts, 1)])).unwrap()), [cleaned]);
    }
    let long = lenient(&several(vec![file(&[&[b'x'; 400]], 1), file(&[&[b'x'; 500]], 1)])).unwrap();
    assert_eq!(paths(&long), [format!("t/{}", "x".repeat(255)), format!("t/{}.1", "x".repeat(253))]);
    assert_eq!(paths(&lenient(&at_paths(&["a:", "a_"])).unwrap()), ["t/a_", "t/a_.1"]);
    let deep = |depth| lenient(&several(vec![file(&vec![&b"a"[..]; depth], 1)]));
    assert!(deep(100).is_ok());
    assert_eq!(deep(101).unwrap_err().rule(), Rule::Nesting);
}

#[test]
fn clashing_names_are_bounded() {
    let equal = |count| at_paths(&vec!["a.txt"; count]);
    assert_eq!(paths(&lenient(&equal(501)).unwrap())[500], "t/a.500.txt");
    let error = lenient(&equal(502)).unwrap_err();
    assert_eq!(error.to_string(), "refused by rule `clash-count`: 501 names clash, allowed are 500");
}

#[test]
fn names_that_are_not_utf8_keep_their_bytes() {
    let metainfo = lenient(&several(vec![file(&[b"ok"], 1), file(&[b"caf\xe9", b"b"], 1)])).unwrap();
    assert_eq!(paths(&metainfo), ["t/ok", "t/caf\u{fffd}/b"]);
    assert_eq!(metainfo.raw_names.paths, BTreeMap::from([(1, vec![b"caf\xe9".to_vec(), b"b".to_vec()])]));
    let metainfo = lenient(&single(&[("name", Some(text(b"\xff")))])).unwrap();
    assert_eq!((metainfo.layout.name(), metainfo.raw_names.name), ("\u{fffd}", Some(b"\xff".to_vec())));
}

#[test]
fn the_utf8_spelling_is_preferred_where_it_is_one() {
    let spelt = |utf8: Vec<u8>| {
        let entry = dict([("length", int(1)), ("path", path(&[b"caf\xe9"])), ("path.utf-8", utf8)]);
        paths(&lenient(&several(vec![entry])).unwrap())
    };
    assert_eq!(spelt(path(&["café".as_bytes()])), ["t/café"]);
    assert_eq!(spelt(path(&[b".."])), ["t/__"]);
    for wrong in [path(&[b"\xff"]), path(&[b"a", b"b"]), text("a"), list([int(1)])] {
        assert_eq!(spelt(wrong), ["t/caf\u{fffd}"]);
    }
    let named =
        |utf8: &[u8]| lenient(&single(&[("name.utf-8", Some(text(utf8)))])).unwrap().layout.name().to_owned();
    assert_eq!((named("é".as_bytes()).as_str(), named(b"\xff").as_str()), ("é", "t"));
}

/// BEP 47: `attr` decides what is a pad file, not the name; a symbolic link is a plain file; pads never clash.
#[test]
fn pad_files_and_links() {
    let with = |name: &[u8], length, attr: &str| {
        dict([("attr", text(attr)), ("length", int(length)), ("path", path(&[b".pad", name]))])
    };
    let link = dict([
        ("attr", text("l")),
        ("length", int(0)),
        ("path", path(&[b"link"])),
        ("symlink path", path(&[b"..", b"..", b"etc"])),
    ]);
    let bytes = several(vec![
        file(&[b".pad", b"5"], 1),
        with(b"7", 7, "p"),
        with(b"7", 7, "xp"),
        with(b"8", 1, "x"),
        link,
    ]);
    let metainfo = lenient(&bytes).unwrap();
    let pads: Vec<bool> = metainfo.layout.files().iter().map(|file| file.is_pad()).collect();
    assert_eq!(pads, [false, true, true, false, false]);
    assert_eq!(paths(&metainfo), ["t/.pad/5", "t/.pad/7", "t/.pad/7", "t/.pad/8", "t/link"]);
}

#[test]
fn zero_length_files_are_kept() {
    let metainfo =
        Metainfo::parse(&several(vec![file(&[b"a"], 0), file(&[b"b", b"c"], 3)]), Rules::Strict).unwrap();
    assert_eq!(paths(&metainfo), ["t/a", "t/b/c"]);
    assert_eq!(metainfo.layout.total_length(), 3);
}

#[test]
fn trackers_are_read_in_tiers() {
    let info =
        dict([("length", int(5)), ("name", text("t")), ("piece length", int(8)), ("pieces", hashes(1))]);
    let with = |announce: Option<Vec<u8>>, tiers: Option<Vec<u8>>| {
        let entries = [("announce", announce), ("announce-list", tiers), ("info", Some(info.clone()))];
        lenient(&dict(entries.into_iter().filter_map(|(key, value)| Some((key, value?)))))
    };
    let tier = |urls: &[&str]| list(urls.iter().map(text));
    let trackers = |announce, tiers| with(announce, tiers).unwrap().trackers;
    assert_eq!(trackers(None, None), Vec::<Vec<String>>::new());
    assert_eq!(trackers(Some(text("a")), None), [["a"]]);
    assert_eq!(trackers(Some(text("")), None), Vec::<Vec<String>>::new());
    let tiers = list([tier(&["b", "c", "b"]), tier(&["", "c"]), text("d"), tier(&["e"])]);
    assert_eq!(trackers(Some(text("a")), Some(tiers)), [vec!["b", "c"], vec!["d"], vec!["e"]]);
    assert_eq!(trackers(Some(text("a")), Some(list([tier(&[])]))), [["a"]]);
    let many: Vec<String> = (0..MAX_TRACKERS + 5).map(|n| format!("http://{n}")).collect();
    let many = list(many.iter().map(|url| tier(&[url])));
    assert_eq!(trackers(None, Some(many)).len(), MAX_TRACKERS);
    for (announce, tiers) in [(Some(int(1)), None), (None, Some(int(1))), (None, Some(list([int(1)])))] {
        assert_eq!(with(announce, tiers).unwrap_err().rule(), Rule::WrongType);
    }
    refused(&dict([("info", info.clone())]), Rules::Strict, Rule::Announce);
}

#[test]
fn remarks_of_wrong_type_are_left_out() {
    let info =
        dict([("length", int(5)), ("name", text("t")), ("piece length", int(8)), ("pieces", hashes(1))]);
    let with = |comment, by, date| {
        dict([("comment", comment), ("created by", by), ("creation date", date), ("info", info.clone())])
    };
    let good = lenient(&with(text("hi"), text("me"), int(-7))).unwrap();
    let remarks = |m: Metainfo| (m.comment, m.created_by, m.creation_date);
    assert_eq!(remarks(good), (Some("hi".into()), Some("me".into()), Some(-7)));
    assert_eq!(remarks(lenient(&with(int(1), list([]), text("x"))).unwrap()), (None, None, None));
    assert_eq!(lenient(&with(int(1), int(1), int(i128::MAX))).unwrap().creation_date, None);
}

/// The `file tree` of files at the top, with their lengths.
fn tree(files: &[(&str, i128)]) -> Vec<u8> {
    let leaf = |length| dict([("", dict([("length", int(length)), ("pieces root", text([0; 32]))]))]);
    dict(files.iter().map(|&(name, length)| (name, leaf(length))))
}

fn hybrid(tree: Vec<u8>, files: Vec<Vec<u8>>) -> Result<Metainfo, MetainfoError> {
    lenient(&single(&[
        ("file tree", Some(tree)),
        ("meta version", Some(int(2))),
        ("length", None),
        ("files", Some(list(files))),
        ("piece length", Some(int(16384))),
        ("pieces", Some(hashes(2))),
    ]))
}

#[test]
fn hybrids_are_used_as_version_1() {
    let pad = |length| dict([("attr", text("p")), ("length", int(length)), ("path", path(&[b".pad", b"1"]))]);
    let files = || vec![file(&[b"a"], 5), pad(16379), file(&[b"b"], 7)];
    let metainfo = hybrid(tree(&[("a", 5), ("b", 7)]), files()).unwrap();
    assert_eq!(metainfo.layout.total_length(), 16384 + 7);
    let nested = dict([("d", tree(&[("x", 16384), ("y", 1)])), ("z", tree(&[]))]);
    assert!(hybrid(nested, vec![file(&[b"d", b"x"], 16384), file(&[b"d", b"y"], 1)]).is_ok());
    for other in
        [&[("a", 5), ("b", 8)][..], &[("a", 5), ("c", 7)], &[("a", 5)], &[("a", 5), ("b", 7), ("c", 0)]]
    {
        assert_eq!(hybrid(tree(other), files()).unwrap_err().rule(), Rule::Hybrid, "{other:?}");
    }
    for wrong in [int(1), dict([("a", int(1))]), dict([("a", dict([("", int(1))]))]), tree(&[("a", -1)])] {
        assert_eq!(hybrid(wrong, files()).unwrap_err().rule(), Rule::WrongType);
    }
    let one = |name, length| {
        lenient(&single(&[("file tree", Some(tree(&[(name, length)]))), ("meta version", Some(int(2)))]))
    };
    assert!(one("t", 5).is_ok());
    assert_eq!(one("u", 5).unwrap_err().rule(), Rule::Hybrid);
    assert_eq!(one("t", 6).unwrap_err().rule(), Rule::Hybrid);
}

#[test]
fn version_2_alone_is_refused_and_says_so() {
    let bytes = single(&[
        ("file tree", Some(tree(&[("t", 5)]))),
        ("meta version", Some(int(2))),
        ("length", None),
        ("pieces", None),
    ]);
    assert_eq!(
        lenient(&bytes).unwrap_err().to_string(),
        "refused by rule `v2-only`: a torrent of version 2 alone (BEP 52); only version 1 and hybrids can be used"
    );
}

#[test]
fn what_is_created_is_read_back_even_by_strict_rules() {
    let file = |path: &[&str], length, pad| NewFile {
        path: path.iter().map(|p| p.to_string()).collect(),
        length,
        pad,
    };
    let several = vec![file(&["a", "ü"], 20_000, false), file(&["pad"], 100, true), file(&["b"], 0, false)];
    let layouts =
        [TorrentLayout::single("one.bin", 40_000, 16384), TorrentLayout::several("many", several, 16384)];
    let extras = Extras {
        trackers: vec![vec!["http://a".into(), "http://b".into()], vec!["udp://c".into()]],
        private: true,
        comment: Some("a comment".into()),
        created_by: Some("a test".into()),
        creation_date: Some(1_234_567_890),
    };
    for layout in layouts.map(Result::unwrap) {
        let hashes: Vec<PieceHash> = (0..layout.piece_count()).map(|i| PieceHash([i as u8; 20])).collect();
        let metainfo = Metainfo::parse(&create(&layout, &hashes, &extras), Rules::Strict).unwrap();
        assert_eq!((&metainfo.layout, &metainfo.piece_hashes), (&layout, &hashes));
        assert_eq!((&metainfo.trackers, metainfo.private), (&extras.trackers, true));
        assert_eq!((&metainfo.comment, &metainfo.created_by), (&extras.comment, &extras.created_by));
        assert_eq!(metainfo.creation_date, extras.creation_date);
        let bare = Metainfo::parse(&create(&layout, &hashes, &Extras::default()), Rules::Lenient).unwrap();
        assert_eq!((&bare.layout, bare.private, bare.trackers.len()), (&layout, false, 0));
    }
}

#[test]
fn default_piece_lengths() {
    for (total, length) in [
        (0, 16 << 10),
        (1 << 20, 16 << 10),
        (1 << 30, 1 << 20),
        (1 << 40, 16 << 20),
        (1 << 46, 32 << 20),
        (u64::MAX, 1 << 31),
    ] {
        assert_eq!(default_piece_length(total), length, "{total}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = lenient(&bytes);
        let _ = Metainfo::parse(&bytes, Rules::Strict);
    }

    /// Whatever is changed in a torrent, what is still accepted stays within the output folder.
    #[test]
    fn mutated_torrents_are_refused_or_safe(
        which in 0_usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = [
            single(&[("private", Some(int(1)))]),
            at_paths(&["a", "a/b", "a.1", "c/d/e", "c/d/e", "../x", "con"]),
            single(&[("file tree", Some(tree(&[("t", 5)]))), ("meta version", Some(int(2)))]),
        ][which].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let strict = Metainfo::parse(&bytes, Rules::Strict);
        match lenient(&bytes) {
            Ok(metainfo) => {
                prop_assert!(metainfo.layout.files().iter().flat_map(|file| file.path()).all(|part| is_safe_name(part)));
                prop_assert_eq!(metainfo.piece_hashes.len(), metainfo.layout.piece_count() as usize);
            }
            // Strict takes nothing that lenient refuses.
            Err(_) => prop_assert!(strict.is_err()),
        }
    }
}
