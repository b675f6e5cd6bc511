//! `bt-torrent verify`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use bt_engine::metainfo::{Metainfo, Rules};
use serde::Serialize;

use super::hash::hash_pieces;
use super::{Failure, note, progress_bar, read_torrent};
use crate::escape::escape;

/// Check files on the disk against a torrent file
///
/// Reads all pieces on all cores and writes nothing. Exits with 1 when a piece is bad or missing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-torrent verify album.torrent ~/downloads
  bt-torrent verify --json album.torrent ~/downloads")]
pub(super) struct Options {
    /// The torrent file
    torrent: PathBuf,
    /// The folder that holds the torrent's file or folder, as given to `bt-run --output`
    folder: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct Json<'a> {
    name: &'a str,
    info_hash: String,
    complete: bool,
    piece_count: u32,
    good: usize,
    bad: usize,
    missing: usize,
}

pub(super) fn run(options: &Options, out: &mut dyn Write, notes: &mut dyn Write) -> Result<u8, Failure> {
    let metainfo = read_torrent(&options.torrent, Rules::Lenient)?;
    let layout = &metainfo.layout;
    if !options.folder.is_dir() {
        return Err(Failure::usage(format!("there is no folder {}", options.folder.display())));
    }
    note_lengths(&metainfo, options, notes);

    let bar = progress_bar(layout.total_length());
    let hashes = hash_pieces(layout, &options.folder, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let hashes = hashes.map_err(|error| Failure::failed(error.to_string()))?;

    let missing = hashes.iter().filter(|hash| hash.is_none()).count();
    let pairs = hashes.iter().zip(&metainfo.piece_hashes);
    let good = pairs.filter(|(found, expected)| found.as_ref() == Some(expected)).count();
    let result = Json {
        name: layout.name(),
        info_hash: metainfo.info_hash.to_string(),
        complete: good == hashes.len(),
        piece_count: layout.piece_count(),
        good,
        bad: hashes.len() - good - missing,
        missing,
    };
    if options.json {
        let json = serde_json::to_string(&result).map_err(|error| Failure::failed(error.to_string()))?;
        writeln!(out, "{json}")?;
    } else {
        let Json { name, complete, piece_count, good, bad, missing, .. } = result;
        let verdict = if complete { "complete" } else { "incomplete" };
        writeln!(
            out,
            "{}: {verdict}: {piece_count} pieces, {good} good, {bad} bad, {missing} missing",
            escape(name)
        )?;
    }
    Ok(u8::from(!result.complete))
}

/// Says which files are longer than the torrent says, which no piece can show, and which empty ones are not
/// there.
fn note_lengths(metainfo: &Metainfo, options: &Options, notes: &mut dyn Write) {
    for file in metainfo.layout.files().iter().filter(|file| !file.is_pad()) {
        let path = file.path_in(&options.folder);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() && metadata.len() > file.length() => {
                let (found, length) = (metadata.len(), file.length());
                note(
                    notes,
                    &format!(
                        "{} is {found} bytes long, not {length}: longer than it should be",
                        path.display()
                    ),
                );
            }
            Err(_) if file.length() == 0 => {
                note(notes, &format!("{} is not there; it should be empty", path.display()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::bt_torrent;

    #[test]
    fn pieces_are_counted_good_bad_and_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(path("t")).unwrap();
        fs::write(path("t/a"), vec![1; 5000]).unwrap();
        fs::write(path("t/b"), vec![2; 5000]).unwrap();
        fs::write(path("t/empty"), "").unwrap();
        let create = ["create", &path("t"), "-o", &path("x.torrent"), "--piece-length", "1 KiB"];
        assert_eq!(bt_torrent(&create).0, 0);
        let verify = || bt_torrent(&["verify", &path("x.torrent"), &path(""), "--json"]);
        let counts = |json: &str| {
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            let number = |key: &str| json[key].as_u64().unwrap();
            (json["complete"].as_bool().unwrap(), [number("good"), number("bad"), number("missing")])
        };
        let (code, out, notes) = verify();
        assert_eq!((code, counts(&out), notes.as_str()), (0, (true, [10, 0, 0]), ""));

        fs::write(path("t/a"), vec![9; 1000]).unwrap();
        fs::write(path("t/b"), [vec![2; 4000], vec![3; 2000]].concat()).unwrap();
        fs::remove_file(path("t/empty")).unwrap();
        let (code, out, notes) = verify();
        // Of a, 1000 bytes are left: the first piece is not whole. The last 1000 bytes of b are other ones.
        assert_eq!((code, counts(&out)), (1, (false, [3, 2, 5])));
        assert!(
            notes.contains("t/b is 6000 bytes long, not 5000") && notes.contains("t/empty is not there"),
            "{notes}"
        );
        assert_eq!(fs::read_dir(path("t")).unwrap().count(), 2, "nothing is written");

        fs::remove_dir_all(path("t")).unwrap();
        let (code, out, _) = bt_torrent(&["verify", &path("x.torrent"), &path("")]);
        assert_eq!((code, out.as_str()), (1, "t: incomplete: 10 pieces, 0 good, 0 bad, 10 missing\n"));
        assert_eq!(bt_torrent(&["verify", &path("x.torrent"), &path("none")]).0, 2);
    }
}
