//! The check that both halves of a hybrid torrent (BEP 52) mean the same files.
//!
//! Were they to differ, clients of the two versions would put different files under one torrent.

use super::{Files, Info, MetainfoError, Rule, quote, wrong_type};
use crate::bencode::{Entries, Value};

/// A path and a length.
type Entry<'a> = (Vec<&'a [u8]>, u64);

/// Holds the files of version 1, pad files left out, against `file tree`: same paths, same lengths.
pub(super) fn check(info: &Info<'_>, tree: Value<'_>) -> Result<(), MetainfoError> {
    let mut one: Vec<Entry<'_>> = match &info.files {
        Files::One { length } => vec![(vec![info.name], *length)],
        Files::Several(files) => {
            files.iter().filter(|file| !file.pad).map(|file| (file.path.clone(), file.length)).collect()
        }
    };
    let mut two = flatten(tree)?;
    one.sort_unstable();
    two.sort_unstable();
    let differs = one.iter().zip(&two).find(|(one, two)| one != two);
    if let Some((one, two)) = differs {
        let show = |(path, length): &Entry<'_>| format!("{} of {length} bytes", quote(&path.join(&b'/')));
        let detail = format!("version 1 has {} where version 2 has {}", show(one), show(two));
        return Err(MetainfoError::new(Rule::Hybrid, detail));
    }
    if one.len() != two.len() {
        let detail = format!("version 1 has {} files, version 2 has {}", one.len(), two.len());
        return Err(MetainfoError::new(Rule::Hybrid, detail));
    }
    Ok(())
}

/// The files of a tree with their paths. What stands under an empty key describes a file.
fn flatten<'a>(tree: Value<'a>) -> Result<Vec<Entry<'a>>, MetainfoError> {
    let not_a_tree = || wrong_type("file tree", "made of dictionaries with lengths");
    let mut files = Vec::new();
    let mut path: Vec<&[u8]> = Vec::new();
    // The scan bounds the depth.
    let mut open: Vec<Entries<'a>> = vec![tree.entries().ok_or_else(not_a_tree)?];
    while let Some(node) = open.last_mut() {
        match node.next() {
            Some((b"", file)) => {
                let [length] = file.get(["length"]).ok_or_else(not_a_tree)?;
                // A symbolic link may come without.
                let length = length.map_or(Some(0), |length| length.integer()?.parse().ok());
                files.push((path.clone(), length.ok_or_else(not_a_tree)?));
            }
            Some((name, child)) => {
                path.push(name);
                open.push(child.entries().ok_or_else(not_a_tree)?);
            }
            None => {
                path.pop();
                open.pop();
            }
        }
    }
    Ok(files)
}
