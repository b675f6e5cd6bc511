//! A resume file saves reading the data, and is never believed over it.

use std::fs;

use bt_tests::bt_run::summary;
use bt_tests::place::{PIECE, Place, bytes_read, flip_byte};
use bt_tests::process::SOON;
use rustix::process::Signal;

use crate::ends_complete;

const SIZE: u64 = 16 << 20;

/// Runs until every piece is shown; answers how many bytes were read for that, and what was said.
fn restart(place: &Place) -> (u64, String) {
    let (mut process, _) = place.start_complete(&[]);
    let read = bytes_read(&process);
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code(SOON), 143, "{}", process.story());
    assert_eq!(summary(&process)["complete"], true);
    (read, process.errors())
}

#[test]
fn a_file_that_is_not_whole_costs_a_check_and_is_made_anew() {
    let place = Place::new(SIZE);
    place.copy_all();
    restart(&place);
    let good = fs::read(place.resume_file()).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 4;
    let version = [b"bt-resume 2", &good[b"bt-resume 1".len()..]].concat();
    for (broken, why) in [
        (&good[..good.len() / 2], "damaged"),
        (b"", "no resume file"),
        (&flipped, "damaged"),
        (&version, "version 2"),
        (&other_torrents(&place), "of another torrent"),
    ] {
        fs::write(place.resume_file(), broken).unwrap();
        let (read, errors) = restart(&place);
        assert!(read >= SIZE && errors.contains("is not used") && errors.contains(why), "{why}: {errors}");
        let (read, errors) = restart(&place);
        assert!(read < SIZE / 4 && errors.is_empty(), "after {why}: {read} bytes read; {errors}");
    }
    fs::remove_file(place.resume_file()).unwrap();
    let (read, errors) = restart(&place);
    assert!(read >= SIZE && errors.is_empty(), "{read} bytes read; {errors}");
}

/// The resume file of a torrent that is like this one and is another.
fn other_torrents(place: &Place) -> Vec<u8> {
    let other = Place::new(SIZE / 2);
    other.copy_all();
    restart(&other);
    assert_ne!(other.torrent.info_hash(), place.torrent.info_hash());
    fs::read(other.resume_file()).unwrap()
}

#[test]
fn data_that_is_not_what_it_was_is_not_believed() {
    let place = Place::new(SIZE);
    place.copy_all();
    restart(&place);
    let good = fs::read(place.resume_file()).unwrap();
    let (_seeder, addr) = place.seeder("unlimited");
    // Written in place; written to another file that took its name; and gone altogether.
    for (number, expected) in [(0, PIECE), (1, PIECE), (2, SIZE)] {
        match number {
            0 => flip_byte(&place.target(), 9 * PIECE),
            1 => {
                let copy = place.folder().join("copy");
                fs::copy(place.target(), &copy).unwrap();
                flip_byte(&copy, 9 * PIECE);
                fs::rename(copy, place.target()).unwrap();
            }
            _ => fs::remove_file(place.target()).unwrap(),
        }
        // As it was before the change: it vouches for everything.
        fs::write(place.resume_file(), &good).unwrap();
        let mut leecher = place.leecher().peers([addr]).until_complete().start();
        ends_complete(&place, &mut leecher);
        assert_eq!(summary(&leecher)["downloaded"], expected, "change {number}");
    }
}
