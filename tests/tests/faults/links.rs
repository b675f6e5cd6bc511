//! Symbolic links that somebody planted lead nowhere.

use std::fs;
use std::os::unix::fs::symlink;

use bt_tests::content::Content;
use bt_tests::place::Place;

use crate::{ends_complete, ends_with};

const LINK: &str = "a symbolic link, which is never followed";

#[test]
fn a_link_in_the_place_of_the_file_is_refused() {
    let place = Place::new(1 << 20);
    let outside = place.folder().join("outside");
    // To a file, and to nothing that could be made.
    for content in [Some("precious"), None] {
        if let Some(content) = content {
            fs::write(&outside, content).unwrap();
        }
        symlink(&outside, place.target()).unwrap();
        let mut leecher = place.leecher().until_complete().start();
        ends_with(&mut leecher, LINK);
        assert_eq!(fs::read_to_string(&outside).ok().as_deref(), content);
        fs::remove_file(place.target()).unwrap();
        let _ = fs::remove_file(&outside);
    }
}

#[test]
fn a_link_in_the_place_of_a_folder_is_refused() {
    let place = Place::new(1);
    let content = Content::tree("tree", 4);
    let torrent = content.torrent("http://127.0.0.1:9/announce", "256 KiB", place.folder().join("t.torrent"));
    let outside = place.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    for link in ["tree", "tree/a"] {
        let link = place.output.join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&outside, &link).unwrap();
        let run = bt_tests::bt_run::BtRun::new("tree", &torrent.file, &place.output, place.folder());
        ends_with(&mut run.until_complete().start(), LINK);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        fs::remove_file(&link).unwrap();
    }
}

#[test]
fn a_link_in_the_place_of_the_resume_file_is_neither_read_nor_written_through() {
    let place = Place::new(1 << 20);
    let outside = place.folder().join("outside");
    fs::write(&outside, "precious").unwrap();
    fs::create_dir_all(place.resume_file().parent().unwrap()).unwrap();
    symlink(&outside, place.resume_file()).unwrap();
    let (_seeder, addr) = place.seeder("unlimited");
    let mut leecher = place.leecher().peers([addr]).until_complete().start();
    ends_complete(&place, &mut leecher);
    assert!(leecher.errors().contains("is not used: it is not a regular file"), "{}", leecher.errors());
    assert_eq!(fs::read_to_string(&outside).unwrap(), "precious");
    assert!(fs::symlink_metadata(place.resume_file()).unwrap().is_file());
}
