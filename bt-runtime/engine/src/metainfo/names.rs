//! Names from strangers, made fit for a disk: each part of a path on its own, then the paths against each
//! other.
//!
//! The result depends on the torrent alone, never on the system or on what lies on the disk: so the same
//! torrent is the same files everywhere, and a second start finds what the first one wrote.

use std::collections::BTreeSet;

use bt_api::layout::MAX_NAME_BYTES;

/// The most names that are changed because they clash, as libtorrent limits it: a torrent with more was made
/// to cost time.
pub(super) const MAX_CLASHES: usize = 500;

/// The longest ending, dot included, that survives when a name is cut.
const MAX_ENDING_BYTES: usize = 17;

/// What `part` of a path is called on the disk. What is fine stays as it is; a name that was cleaned is fine.
///
/// Separators and control characters become `_`, as do dots and blanks at the end (Windows drops them, and
/// `.` and `..` are made of them) and the colon of a drive; an empty part becomes `_`; a name that Windows
/// reserves for a device gets a `_` in front; bytes that are not UTF-8 become U+FFFD; and what is longer than
/// [`MAX_NAME_BYTES`] is cut before its ending.
pub fn clean_name(part: &[u8]) -> String {
    let mut name =
        String::from_utf8_lossy(part).replace(|c: char| matches!(c, '/' | '\\') || c.is_control(), "_");
    if matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        name.replace_range(1..2, "_");
    }
    if name.is_empty() || is_device(&name) {
        name.insert(0, '_');
    }
    let mut name = fit(&name, "");
    let kept = name.trim_end_matches(['.', ' ']).len();
    let dropped = name.len() - kept;
    name.truncate(kept);
    name.extend(std::iter::repeat_n('_', dropped));
    name
}

/// Whether Windows takes `name` for a device, whatever its ending and case.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_lowercase();
    match stem.as_bytes() {
        b"con" | b"prn" | b"aux" | b"nul" => true,
        [b'c', b'o', b'm', digit] | [b'l', b'p', b't', digit] => digit.is_ascii_digit(),
        _ => false,
    }
}

/// `name` with `mark` before its ending, cut so that it is no longer than [`MAX_NAME_BYTES`].
fn fit(name: &str, mark: &str) -> String {
    let dot = name.rfind('.').filter(|&dot| dot > 0 && name.len() - dot <= MAX_ENDING_BYTES);
    let (stem, ending) = name.split_at(dot.unwrap_or(name.len()));
    let mut length = stem.len().min(MAX_NAME_BYTES - ending.len() - mark.len());
    while !stem.is_char_boundary(length) {
        length -= 1;
    }
    [&stem[..length], mark, ending].concat()
}

/// The paths that stand in the way of others: each that lies on the way to another file, and of several equal
/// ones all but the first. In time n log n.
pub(super) fn clashing<P: Ord>(paths: &[&[P]]) -> Vec<usize> {
    let order = sorted(paths);
    let mut equals = order.chunk_by(|&a, &b| paths[a] == paths[b]).peekable();
    let mut clashing: Vec<usize> = Vec::new();
    while let Some(files) = equals.next() {
        // What a path is the beginning of stands right behind it in order.
        let leads = equals.peek().is_some_and(|next| paths[next[0]].starts_with(paths[files[0]]));
        clashing.extend(&files[usize::from(!leads)..]);
    }
    clashing.sort_unstable();
    clashing
}

fn sorted<P: Ord>(paths: &[&[P]]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_by_key(|&file| paths[file]);
    order
}

/// Gives each file whose path clashes a new name, `name.N.ending`; `Err` with the number of clashes when
/// there are more than [`MAX_CLASHES`].
pub(super) fn rename_clashing(paths: &mut [&mut Vec<String>]) -> Result<(), usize> {
    let old: Vec<&[String]> = paths.iter().map(|path| path.as_slice()).collect();
    let clashing = clashing(&old);
    if clashing.len() > MAX_CLASHES {
        return Err(clashing.len());
    }
    let order = sorted(&old);
    let is_taken = |path: &[String]| {
        let next = order.partition_point(|&file| old[file] < path);
        order.get(next).is_some_and(|&file| old[file].starts_with(path))
    };
    let mut given: BTreeSet<Vec<String>> = BTreeSet::new();
    let mut renamed = Vec::new();
    // No number is tried twice, so that names made to be in the way cost one step each and no more.
    let mut number = 0_u32;
    for file in clashing {
        let mut path = old[file].to_vec();
        let name = path.pop().unwrap_or_default();
        path.push(String::new());
        loop {
            number += 1;
            path[old[file].len() - 1] = fit(&name, &format!(".{number}"));
            if !is_taken(&path) && given.insert(path.clone()) {
                break;
            }
        }
        renamed.push((file, path));
    }
    for (file, path) in renamed {
        *paths[file] = path;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bt_api::layout::is_safe_name;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_names_are_cleaned() {
        for (name, cleaned) in [
            (&b"plain.txt"[..], "plain.txt"),
            (b".hidden", ".hidden"),
            (b"a..b", "a..b"),
            (b"", "_"),
            (b".", "_"),
            (b"..", "__"),
            (b"../../etc/passwd", ".._.._etc_passwd"),
            (b"/etc", "_etc"),
            (b"C:\\boot.ini", "C__boot.ini"),
            (b"a\0b\x1b[31m\r\n\x7f", "a_b_[31m___"),
            (b"dots...", "dots___"),
            (b"blank ", "blank_"),
            (b"CON", "_CON"),
            (b"nul.txt", "_nul.txt"),
            (b"Lpt1 .tar.gz", "_Lpt1 .tar.gz"),
            (b"console", "console"),
            (b"caf\xe9", "caf\u{fffd}"),
            ("日本.txt".as_bytes(), "日本.txt"),
        ] {
            assert_eq!(clean_name(name), cleaned, "{name:?}");
        }
    }

    #[test]
    fn long_names_are_cut_before_their_ending() {
        let cleaned = clean_name(format!("{}.flac", "é".repeat(200)).as_bytes());
        assert_eq!(cleaned, format!("{}.flac", "é".repeat(125)));
        assert_eq!(clean_name(&b"x".repeat(300)), "x".repeat(255));
        assert_eq!(
            clean_name(format!("{} {}", "x".repeat(254), "y".repeat(20)).as_bytes()),
            "x".repeat(254) + "_"
        );
    }

    fn renamed(paths: &[&str]) -> Result<Vec<String>, usize> {
        let mut paths: Vec<Vec<String>> =
            paths.iter().map(|path| path.split('/').map(str::to_owned).collect()).collect();
        rename_clashing(&mut paths.iter_mut().collect::<Vec<_>>())?;
        Ok(paths.iter().map(|path| path.join("/")).collect())
    }

    #[test]
    fn clashing_names_are_numbered() {
        for (paths, expected) in [
            (&["a", "b"][..], &["a", "b"][..]),
            (&["a.txt", "a.txt", "a.txt"], &["a.txt", "a.1.txt", "a.2.txt"]),
            (&["a", "a/b"], &["a.1", "a/b"]),
            (&["a/b", "a"], &["a/b", "a.1"]),
            (&["a", "a", "a/b/c", "a/b"], &["a.1", "a.2", "a/b/c", "a/b.3"]),
            (&["a", "a", "a.1", "a.2/x"], &["a", "a.3", "a.1", "a.2/x"]),
            (&["a", "a.b", "a/b"], &["a.1", "a.b", "a/b"]),
        ] {
            assert_eq!(renamed(paths).unwrap(), expected, "{paths:?}");
        }
        assert_eq!(renamed(&["a"; MAX_CLASHES + 1]).unwrap().len(), MAX_CLASHES + 1);
        assert_eq!(renamed(&["a"; MAX_CLASHES + 2]), Err(MAX_CLASHES + 1));
    }

    /// The quadratic trap: each new name that would be tried next is there already.
    #[test]
    fn names_made_to_be_in_the_way_cost_one_step_each() {
        let blocked: Vec<String> = (1..100_000).map(|n| format!("a.{n}")).collect();
        let paths: Vec<&str> = blocked.iter().map(String::as_str).chain(["a"; MAX_CLASHES + 1]).collect();
        let names = renamed(&paths).unwrap();
        assert_eq!(names[100_000], "a.100000");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    proptest! {
        #[test]
        fn every_name_becomes_safe_and_stays(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let name = clean_name(&bytes);
            prop_assert!(is_safe_name(&name), "{name:?}");
            prop_assert_eq!(clean_name(name.as_bytes()), name);
        }

        #[test]
        fn odd_text_becomes_safe_and_stays(text in "(con|COM1|\\.| |:|x|é|/|\\PC){0,6}") {
            let name = clean_name(text.as_bytes());
            prop_assert!(is_safe_name(&name), "{name:?}");
            prop_assert_eq!(clean_name(name.as_bytes()), name);
        }

        #[test]
        fn renamed_paths_do_not_clash(
            paths in prop::collection::vec(prop::collection::vec("[ab](\\.[12])?", 1..4), 1..40),
        ) {
            let mut paths = paths;
            rename_clashing(&mut paths.iter_mut().collect::<Vec<_>>()).unwrap();
            let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(clashing(&paths), Vec::<usize>::new());
        }
    }
}
