//! Cases of the original client that are about the whole program: where files go, and what its user is told.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bt_tests::bt_run::{BtRun, summary};
use bt_tests::content::Content;
use bt_tests::place::{PIECE, Place, flip_byte};
use rustix::process::Signal;

/// How long one download may take; a few seconds are usual.
const LIMIT: Duration = Duration::from_secs(120);

/// DN-3, where the original guessed from what lies in the folder: files are always at `DIR/name/…`, whatever else
/// is in `DIR`; what is there of them is used, and the rest is left alone.
#[test]
fn case_134_files_go_below_the_torrents_name_and_what_is_there_is_resumed() {
    let place = Place::new(1);
    let content = Content::tree("tree", 4);
    let torrent = content.torrent("http://127.0.0.1:9/announce", "16 KiB", place.folder().join("t.torrent"));
    let run = |name: &str, output: &Path| BtRun::new(name, &torrent.file, output, place.folder());
    let (_seeder, addr) = run("seeder", content.folder()).start_and_wait(&torrent);

    // A name of the torrent's own files, right in the folder, and one of nobody's.
    let files = torrent.metainfo.layout.files();
    let inner = place.output.join(files[0].path()[1..].join("/"));
    fs::create_dir_all(inner.parent().unwrap()).unwrap();
    for path in [&inner, &place.output.join("unrelated")] {
        fs::write(path, "mine").unwrap();
    }
    let mut first = run("leecher", &place.output).peers([addr]).until_complete().start();
    assert_eq!(first.exit_code(LIMIT), 0, "{}", first.story());
    content.assert_same(&place.output);
    for path in [&inner, &place.output.join("unrelated")] {
        assert_eq!(fs::read_to_string(path).unwrap(), "mine");
    }

    // One of the torrent's files is there already; nothing is known of it.
    fs::remove_dir_all(place.output.join("tree")).unwrap();
    let largest = files.iter().max_by_key(|file| file.length()).unwrap();
    let path = largest.path_in(&place.output);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(largest.path_in(content.folder()), path).unwrap();
    let mut second = run("newcomer", &place.output).peers([addr]).until_complete().start();
    assert_eq!(second.exit_code(LIMIT), 0, "{}", second.story());
    content.assert_same(&place.output);
    // Its first and last piece have bytes of its neighbours.
    let rest = torrent.metainfo.layout.total_length() - largest.length() + 2 * (16 << 10);
    assert!(summary(&second)["downloaded"].as_u64().unwrap() <= rest, "{}", summary(&second));
}

/// DN-7. Progress counts what was verified only, so a bad piece never raised it; its bytes are wasted.
#[test]
fn case_135_a_failed_hash_is_told_only_to_who_wants_to_know() {
    for wanted in [false, true] {
        let place = Place::new(4 << 20);
        let (_bad, bad) = place.seeder("unlimited");
        // It has checked its data, and knows nothing of this.
        flip_byte(&place.content.path(), 7 * PIECE);
        let setting = format!("display.report-hash-failures={wanted}");
        let mut leecher = place.leecher().aloud().with(["--set", &setting]).peers([bad]).start();
        leecher.until("a piece fails", LIMIT, || {
            let events = fs::read_to_string(place.folder().join("leecher.events")).unwrap_or_default();
            events.contains("\"piece_failed\"").then_some(())
        });
        if wanted {
            leecher.until_told("pieces failed their hash so far", LIMIT);
        }
        leecher.signal(Signal::TERM);
        assert_eq!(leecher.exit_code(LIMIT), 143, "{}", leecher.story());
        let end = summary(&leecher);
        let number = |field: &str| end[field].as_u64().unwrap();
        let failures = number("hash_failures");
        assert!(failures >= 1 && number("wasted") >= failures * PIECE, "{end}");
        assert!(number("bytes_have") <= number("bytes_total") - PIECE, "{end}");
        assert_eq!(leecher.errors().contains("failed their hash"), wanted, "{}", leecher.errors());
    }
}
