//! `bt-torrent` as a process: what its functions cannot show.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn bt_torrent(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bt-torrent"));
    command.current_dir(folder);
    command
}

#[test]
fn create_show_and_verify_end_with_their_codes() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bt-torrent");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("album")).unwrap();
    fs::write(folder.join("album/song"), vec![5; 100_000]).unwrap();
    let run = |arguments: &str| bt_torrent(&folder).args(arguments.split(' ')).output().unwrap();
    let ends = |output: Output, code| {
        let notes = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{notes}");
        (String::from_utf8(output.stdout).unwrap(), notes)
    };

    ends(run("create album --tracker http://tracker.example/announce -o x.torrent"), 0);
    let (shown, _) = ends(run("show x.torrent"), 0);
    assert!(shown.contains("name       album\n"), "{shown}");
    let (verified, notes) = ends(run("verify x.torrent ."), 0);
    assert_eq!(
        (verified.as_str(), notes.as_str()),
        ("album: complete: 7 pieces, 7 good, 0 bad, 0 missing\n", "")
    );

    fs::write(folder.join("album/song"), vec![5; 99_999]).unwrap();
    ends(run("verify x.torrent ."), 1);
    let (_, notes) = ends(run("show album/song"), 2);
    assert!(notes.starts_with("bt-torrent: album/song: refused by rule `bencode`:"), "{notes}");

    // A reader that is gone is no reason for a panic.
    let mut child = bt_torrent(&folder)
        .args(["show", "x.torrent"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
