//! Files that were there before: used where they are of the torrent, never written over without a word.

use std::fs;

use bt_tests::bt_run::{BtRun, summary};
use bt_tests::content::Content;
use bt_tests::place::{PIECE, Place};

use crate::{ends_complete, ends_with};

#[test]
fn a_file_that_is_not_of_the_torrent_is_left_alone() {
    let size = 4 << 20;
    let longer = "it has 4194305 bytes, and 4194304 in the torrent";
    let foreign = "nothing in it is of this torrent";
    for (length, why) in [(size + 1, longer), (size, foreign), (5000, foreign), (1, foreign)] {
        let place = Place::new(size);
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8 + 1).collect();
        fs::write(place.target(), &bytes).unwrap();
        let (_seeder, addr) = place.seeder("unlimited");
        // Asked again it answers the same.
        for _ in 0..2 {
            let mut leecher = place.leecher().peers([addr]).until_complete().start();
            ends_with(&mut leecher, why);
            assert!(fs::read(place.target()).unwrap() == bytes, "{length} bytes were written over");
        }
        // Moved away, as it says, it is no obstacle.
        fs::rename(place.target(), place.folder().join("moved")).unwrap();
        ends_complete(&place, &mut place.leecher().peers([addr]).until_complete().start());
    }
}

#[test]
fn room_that_was_set_aside_and_a_part_of_the_file_are_used() {
    let size = 4 << 20;
    let mut part = vec![0; size as usize];
    for whole in [0, PIECE as usize] {
        let place = Place::new(size);
        part[..whole].copy_from_slice(&fs::read(place.content.path()).unwrap()[..whole]);
        fs::write(place.target(), &part).unwrap();
        let (_seeder, addr) = place.seeder("unlimited");
        let mut leecher = place.leecher().peers([addr]).until_complete().start();
        ends_complete(&place, &mut leecher);
        assert_eq!(summary(&leecher)["downloaded"], size - whole as u64);
    }
}

/// Where the rest is of the torrent, one file that is not is taken for a damaged one; a word is said.
#[test]
fn a_changed_file_among_good_ones_is_named() {
    let place = Place::new(1);
    let content = Content::tree("tree", 4);
    let torrent = content.torrent("http://127.0.0.1:9/announce", "16 KiB", place.folder().join("t.torrent"));
    let run = |name: &str, output: &std::path::Path| BtRun::new(name, &torrent.file, output, place.folder());
    let (_seeder, addr) = run("seeder", content.folder()).start_and_wait(&torrent);
    let first = run("leecher", &place.output).peers([addr]).until_complete();
    assert_eq!(first.start().exit_code(crate::LIMIT), 0);
    let files = torrent.metainfo.layout.files();
    let largest = files.iter().max_by_key(|file| file.length()).unwrap();
    fs::write(largest.path_in(&place.output), vec![1; largest.length() as usize]).unwrap();
    let mut leecher = run("leecher", &place.output).peers([addr]).until_complete().start();
    assert_eq!(leecher.exit_code(crate::LIMIT), 0, "{}", leecher.story());
    content.assert_same(&place.output);
    let (told, name) = ("it is written over: ", format!("{:?}", largest.path().join("/")));
    let errors = leecher.errors();
    assert!(errors.contains(told) && errors.contains(&name), "{name}: {errors}");
}
