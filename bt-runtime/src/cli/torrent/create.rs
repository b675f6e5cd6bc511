//! `bt-torrent create`.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bt_api::config::Size;
use bt_api::{NewFile, PieceHash, TorrentLayout};
use bt_engine::bencode::MAX_DEPTH;
use bt_engine::metainfo::{Extras, Metainfo, Rules, clean_name, create, default_piece_length};

use super::hash::hash_pieces;
use super::{Failure, note, progress_bar};
use crate::cli::tracker_url;
use crate::escape::escape;

/// Make a torrent file from a file or a folder
///
/// Files come in the order of their names. Symbolic links are left out. The same input makes the same torrent
/// file, byte for byte: it holds no date.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-torrent create --tracker http://tracker.example/announce -o album.torrent ~/music/album
  bt-torrent create --piece-length '1 MiB' --private --comment 'our holiday' -o film.torrent film.mkv")]
pub(super) struct Options {
    /// The file or folder that is to be shared
    path: PathBuf,
    /// A tracker; given again, more of them, tried in this order
    #[arg(long, value_name = "URL", value_parser = tracker_url)]
    tracker: Vec<String>,
    /// The length of a piece, a power of two of at least 1 KiB, such as '256 KiB' [default: by size]
    #[arg(long, value_name = "SIZE", value_parser = piece_length)]
    piece_length: Option<u32>,
    /// Let peers come from the trackers only (BEP 27)
    #[arg(long)]
    private: bool,
    /// Text for whoever looks at the torrent file
    #[arg(long)]
    comment: Option<String>,
    /// The torrent file to write; one that is there is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Reads `--piece-length`.
fn piece_length(text: &str) -> Result<u32, String> {
    let size: Size = text.parse().map_err(|error: bt_api::config::UnitError| error.to_string())?;
    let length = u32::try_from(size.0).ok().filter(|length| length.is_power_of_two() && *length >= 1024);
    length.ok_or_else(|| format!("{size} is no power of two from 1 KiB to 2 GiB"))
}

pub(super) fn run(options: &Options, out: &mut dyn Write, notes: &mut dyn Write) -> Result<u8, Failure> {
    let cannot_read =
        |error: io::Error| Failure::usage(format!("cannot read {}: {error}", options.path.display()));
    // `.`, `..` and `/` have no name of their own, so links are followed there.
    let path = match options.path.file_name() {
        Some(_) => options.path.clone(),
        None => options.path.canonicalize().map_err(cannot_read)?,
    };
    let metadata = fs::metadata(&path).map_err(cannot_read)?;
    let name = path
        .file_name()
        .ok_or_else(|| Failure::usage("the root folder has no name: share a folder in it"))?;
    let name = portable_name(name, &path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    refuse_output_within(&path, &options.output)?;

    let layout = if metadata.is_file() {
        let piece_length = options.piece_length.unwrap_or_else(|| default_piece_length(metadata.len()));
        TorrentLayout::single(&name, metadata.len(), piece_length)
    } else if metadata.is_dir() {
        let mut files = Vec::new();
        walk(&path, &mut Vec::new(), &mut files, notes)?;
        let total = files.iter().fold(0_u64, |total, file| total.saturating_add(file.length));
        let piece_length = options.piece_length.unwrap_or_else(|| default_piece_length(total));
        TorrentLayout::several(&name, files, piece_length)
    } else {
        return Err(Failure::usage(format!("{} is neither a file nor a folder", options.path.display())));
    };
    let layout = layout.map_err(|error| Failure::usage(format!("{}: {error}", options.path.display())))?;

    let bar = progress_bar(layout.total_length());
    let hashes = hash_pieces(&layout, folder, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let hashes: Option<Vec<PieceHash>> =
        hashes.map_err(|error| Failure::failed(error.to_string()))?.into_iter().collect();
    let changed = || Failure::failed("a file became shorter or vanished while it was read: start again");
    let hashes = hashes.ok_or_else(changed)?;

    let extras = Extras {
        trackers: options.tracker.iter().map(|url| vec![url.clone()]).collect(),
        private: options.private,
        comment: options.comment.clone(),
        created_by: Some(concat!("bt-torrent ", env!("CARGO_PKG_VERSION")).to_owned()),
        creation_date: None,
    };
    let bytes = create(&layout, &hashes, &extras);
    // What cannot be read back must not be handed out.
    let metainfo =
        Metainfo::parse(&bytes, Rules::Lenient).map_err(|error| Failure::failed(error.to_string()))?;
    write_whole(&options.output, &bytes)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", options.output.display())))?;
    writeln!(out, "{} {}", metainfo.info_hash, escape(&options.output.display().to_string()))?;
    Ok(0)
}

/// `name` as text, if every system and this very program call it the same.
fn portable_name(name: &std::ffi::OsStr, path: &Path) -> Result<String, Failure> {
    let refuse = |why: String| Err(Failure::usage(format!("{} cannot be shared: {why}", path.display())));
    match name.to_str() {
        None => refuse("its name is not UTF-8".to_owned()),
        Some(name) if clean_name(name.as_bytes()) != name => refuse(format!(
            "some systems cannot keep its name; rename it to {:?}",
            clean_name(name.as_bytes())
        )),
        Some(name) => Ok(name.to_owned()),
    }
}

/// A torrent file among the files that it describes would change them.
fn refuse_output_within(path: &Path, output: &Path) -> Result<(), Failure> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot_write = |error| Failure::usage(format!("cannot write {}: {error}", output.display()));
    let file = parent.canonicalize().map_err(cannot_write)?.join(output.file_name().unwrap_or_default());
    if path.canonicalize().is_ok_and(|path| file.starts_with(path)) {
        let message = format!("{} lies within what is shared: write it elsewhere", output.display());
        return Err(Failure::usage(message));
    }
    Ok(())
}

/// Adds the files below `folder`, in the order of their names; `path` is where it lies in the torrent.
fn walk(
    folder: &Path,
    path: &mut Vec<String>,
    files: &mut Vec<NewFile>,
    notes: &mut dyn Write,
) -> Result<(), Failure> {
    if path.len() == MAX_DEPTH {
        return Err(Failure::usage(format!("{}: folders nest deeper than {MAX_DEPTH}", folder.display())));
    }
    let failed = |error: io::Error| Failure::failed(format!("cannot read {}: {error}", folder.display()));
    let mut entries =
        fs::read_dir(folder).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let metadata = entry.metadata().map_err(failed)?;
        if !metadata.is_file() && !metadata.is_dir() {
            let kind = if metadata.is_symlink() { "a symbolic link" } else { "no regular file" };
            note(notes, &format!("left out {}: it is {kind}", entry.path().display()));
            continue;
        }
        path.push(portable_name(&entry.file_name(), &entry.path())?);
        if metadata.is_dir() {
            walk(&entry.path(), path, files, notes)?;
        } else {
            files.push(NewFile { path: path.clone(), length: metadata.len(), pad: false });
        }
        path.pop();
    }
    Ok(())
}

/// Writes `bytes` to `path` so that there is never a part of them there.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any new file: the user's mask takes away what it shall not have.
    let permissions = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::tests::bt_torrent;
    use super::*;

    fn text(path: &Path) -> &str {
        path.to_str().unwrap()
    }

    fn parse(path: &Path) -> Metainfo {
        Metainfo::parse(&fs::read(path).unwrap(), Rules::Strict).unwrap()
    }

    #[test]
    fn a_folder_is_walked_in_order_without_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("täst");
        fs::create_dir_all(root.join("b/c")).unwrap();
        for (name, bytes) in [("z", &b"zz"[..]), ("a", b"aaa"), ("b/c/d", b""), ("b.txt", b"bbbb")] {
            fs::write(root.join(name), bytes).unwrap();
        }
        symlink("/etc/passwd", root.join("link")).unwrap();
        symlink(&root, root.join("loop")).unwrap();
        let output = folder.path().join("x.torrent");
        let arguments =
            ["create", text(&root), "-o", text(&output), "--tracker", "http://a", "--tracker", "http://b"];
        let (code, out, notes) = bt_torrent(&[&arguments[..], &["--private", "--comment", "hi"]].concat());
        assert_eq!(code, 0, "{notes}");
        assert_eq!(notes.lines().count(), 2, "{notes}");
        let metainfo = parse(&output);
        assert_eq!(out, format!("{} {}\n", metainfo.info_hash, output.display()));
        let files: Vec<_> =
            metainfo.layout.files().iter().map(|file| (file.path().join("/"), file.length())).collect();
        let expected = [("täst/a", 3), ("täst/b/c/d", 0), ("täst/b.txt", 4), ("täst/z", 2)];
        assert_eq!(files, expected.map(|(path, length)| (path.to_owned(), length)));
        assert_eq!(metainfo.trackers, [["http://a"], ["http://b"]]);
        assert_eq!((metainfo.private, metainfo.comment.as_deref()), (true, Some("hi")));
        assert_eq!(bt_torrent(&["verify", text(&output), text(folder.path())]).0, 0);

        let first = fs::read(&output).unwrap();
        assert_eq!(bt_torrent(&[&arguments[..], &["--private", "--comment", "hi"]].concat()).0, 0);
        assert_eq!(fs::read(&output).unwrap(), first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
    }

    #[test]
    fn what_makes_no_torrent_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let output = folder.path().join("x.torrent");
        let create = |path: &Path, output: &Path| {
            let (code, out, notes) = bt_torrent(&["create", text(path), "-o", text(output)]);
            assert_eq!((code, out.as_str()), (2, ""), "{notes}");
            assert_eq!(notes.lines().count(), 1, "{notes}");
            notes
        };
        assert!(create(&root, &output).ends_with("root: the torrent holds no data\n"));
        assert!(create(&root.join("none"), &output).contains("cannot read"));
        fs::write(root.join("file"), "x").unwrap();
        assert!(create(&root, &root.join("x.torrent")).contains("lies within what is shared"));
        assert!(create(&root.join("file"), &root.join("file")).contains("lies within what is shared"));
        assert!(create(&root, &folder.path().join("none/x.torrent")).contains("cannot write"));
        fs::write(root.join("aux.c"), "x").unwrap();
        assert!(create(&root, &output).contains("rename it to \"_aux.c\""));
        assert!(!output.exists());
        let deep = folder.path().join("deep");
        fs::create_dir_all(deep.join("a/".repeat(MAX_DEPTH))).unwrap();
        assert!(create(&deep, &output).contains("nest deeper"));
    }
}
