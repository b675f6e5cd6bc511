//! `bt-torrent show`.

use std::io::Write;
use std::path::PathBuf;

use bt_engine::metainfo::{Metainfo, Rules};
use indicatif::BinaryBytes;
use serde::Serialize;

use super::{Failure, read_torrent};
use crate::escape::escape;

/// Show what a torrent file says
///
/// Names are shown as they will be on the disk: odd ones are cleaned, clashing ones renamed.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-torrent show album.torrent
  bt-torrent show --json --rules strict album.torrent")]
pub(super) struct Options {
    /// The torrent file
    torrent: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// What to refuse: `lenient` only what cannot be used, `strict` all that the original client did
    #[arg(long, value_name = "RULES", default_value = "lenient", value_parser = rules)]
    rules: Rules,
}

fn rules(text: &str) -> Result<Rules, String> {
    match text {
        "lenient" => Ok(Rules::Lenient),
        "strict" => Ok(Rules::Strict),
        _ => Err("expected `lenient` or `strict`".to_owned()),
    }
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<u8, Failure> {
    let metainfo = read_torrent(&options.torrent, options.rules)?;
    if options.json {
        let json = serde_json::to_string(&Json::new(&metainfo));
        writeln!(out, "{}", json.map_err(|error| Failure::failed(error.to_string()))?)?;
    } else {
        print(&metainfo, out)?;
    }
    Ok(0)
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct Json<'a> {
    name: &'a str,
    /// Of a name that is not UTF-8, its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    info_hash: String,
    piece_length: u32,
    piece_count: u32,
    total_length: u64,
    private: bool,
    trackers: &'a [Vec<String>],
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    creation_date: Option<i64>,
    files: Vec<JsonFile<'a>>,
}

#[derive(Serialize)]
struct JsonFile<'a> {
    /// Below the torrent's name; of a single file, the name itself.
    path: &'a [String],
    /// Of a path that is not UTF-8, the bytes of its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<Vec<String>>,
    length: u64,
    pad: bool,
}

impl<'a> Json<'a> {
    fn new(metainfo: &'a Metainfo) -> Self {
        let layout = &metainfo.layout;
        let raw_names = &metainfo.raw_names;
        let name_hex = raw_names.name.as_deref().map(hex);
        let file = |(i, file): (usize, &'a bt_api::FileEntry)| JsonFile {
            path: if layout.is_single() { file.path() } else { &file.path()[1..] },
            path_hex: match &name_hex {
                Some(name) if layout.is_single() => Some(vec![name.clone()]),
                _ => raw_names.paths.get(&i).map(|path| path.iter().map(|part| hex(part)).collect()),
            },
            length: file.length(),
            pad: file.is_pad(),
        };
        Self {
            name: layout.name(),
            info_hash: metainfo.info_hash.to_string(),
            piece_length: layout.nominal_piece_length(),
            piece_count: layout.piece_count(),
            total_length: layout.total_length(),
            private: metainfo.private,
            trackers: &metainfo.trackers,
            comment: metainfo.comment.as_deref(),
            created_by: metainfo.created_by.as_deref(),
            creation_date: metainfo.creation_date,
            files: layout.files().iter().enumerate().map(file).collect(),
            name_hex,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// For a person.
fn print(metainfo: &Metainfo, out: &mut dyn Write) -> Result<(), Failure> {
    let layout = &metainfo.layout;
    writeln!(out, "name       {}", escape(layout.name()))?;
    writeln!(out, "info-hash  {}", metainfo.info_hash)?;
    writeln!(out, "length     {} ({} bytes)", BinaryBytes(layout.total_length()), layout.total_length())?;
    let piece_length = BinaryBytes(u64::from(layout.nominal_piece_length()));
    writeln!(out, "pieces     {} of {piece_length}", layout.piece_count())?;
    writeln!(out, "private    {}", if metainfo.private { "yes" } else { "no" })?;
    for (text, what) in [(&metainfo.comment, "comment   "), (&metainfo.created_by, "created by")] {
        if let Some(text) = text {
            writeln!(out, "{what} {}", escape(text))?;
        }
    }
    for (tier, urls) in metainfo.trackers.iter().enumerate() {
        for url in urls {
            writeln!(out, "tracker    {} (tier {})", escape(url), tier + 1)?;
        }
    }
    for file in layout.files() {
        let pad = if file.is_pad() { " (pad file)" } else { "" };
        writeln!(out, "file       {:>12} {}{pad}", file.length(), escape(&file.path().join("/")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::bt_torrent;

    fn show(torrent: &[u8], options: &[&str]) -> (u8, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.torrent");
        fs::write(&path, torrent).unwrap();
        bt_torrent(&[&["show", path.to_str().unwrap()], options].concat())
    }

    const TORRENT: &[u8] = b"d13:announce-listll3:udp4:httpel1:xee4:infod5:filesl\
        d6:lengthi3e4:pathl2:..4:caf\xe9eed4:attr1:p6:lengthi1e4:pathl4:.pad1:1eee\
        4:name3:a\x1bb12:piece lengthi4e6:pieces20:####################7:privatei1eee";

    #[test]
    fn json_has_the_promised_fields() {
        let (code, out, _) = show(TORRENT, &["--json"]);
        assert_eq!((code, out.lines().count()), (0, 1));
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        let info_hash = json["info_hash"].as_str().unwrap();
        let expected = serde_json::json!({
            "name": "a_b", "info_hash": info_hash, "piece_length": 4, "piece_count": 1, "total_length": 4,
            "private": true, "trackers": [["udp", "http"], ["x"]],
            "comment": null, "created_by": null, "creation_date": null,
            "files": [
                {"path": ["__", "caf\u{fffd}"], "path_hex": ["2e2e", "636166e9"], "length": 3, "pad": false},
                {"path": [".pad", "1"], "length": 1, "pad": true},
            ],
        });
        assert_eq!(json, expected);
        assert!(
            info_hash.len() == 40 && info_hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        );
    }

    #[test]
    fn people_see_no_commands_for_their_terminal() {
        let torrent = b"d7:comment4:\x1b[2J4:infod6:lengthi3e4:name1:\xff12:piece lengthi4e6:pieces\
            20:####################ee";
        let (code, out, _) = show(torrent, &[]);
        assert_eq!(code, 0);
        assert!(
            out.contains("comment    \\u{1b}[2J\n") && out.contains("file                  3 \u{fffd}\n"),
            "{out}"
        );
        let (_, json, _) = show(torrent, &["--json"]);
        assert!(json.contains(r#""name_hex":"ff""#) && json.contains(r#""path_hex":["ff"]"#), "{json}");
    }

    #[test]
    fn a_refusal_names_its_rule() {
        let (code, out, notes) = show(TORRENT, &["--rules", "strict"]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(
            notes.ends_with("x.torrent: refused by rule `announce`: there is no `announce`\n"),
            "{notes}"
        );
        assert_eq!(show(b"<html>", &[]).0, 2);
    }
}
