//! Ended in the middle, in whatever way, `bt-run` goes on where it was: nothing verified is fetched again.

use std::time::Duration;

use bt_tests::bt_run::summary;
use bt_tests::content::SplitMix;
use bt_tests::place::{PIECE, Place, bytes_read, flip_byte, wait_until_written};
use bt_tests::process::SOON;
use rustix::process::Signal;

/// How long one download may take; a few seconds are usual.
const LIMIT: Duration = Duration::from_secs(120);

/// What one end in the middle may cost: the pieces that are not whole yet, and those whose writing was under way.
const LOSS: u64 = 4 * PIECE;

#[test]
fn ctrl_c_and_on_again() {
    let size = 24 << 20;
    let place = Place::new(size);
    let (_seeder, addr) = place.seeder("6 MiB/s");
    let mut first = place.leecher().peers([addr]).start();
    wait_until_written(&mut first, &place.target(), size / 3);
    first.signal(Signal::INT);
    assert_eq!(first.exit_code(SOON), 130, "{}", first.story());
    let first = summary(&first);
    assert_eq!(first["complete"], false);
    assert!(first["bytes_have"].as_u64().unwrap() >= size / 4, "{first}");

    let mut second = place.leecher().peers([addr]).until_complete().start();
    assert_eq!(second.exit_code(LIMIT), 0, "{}", second.story());
    place.content.assert_same(&place.output);
    let second = summary(&second);
    let downloaded = first["downloaded"].as_u64().unwrap() + second["downloaded"].as_u64().unwrap();
    assert!((size..=size + LOSS).contains(&downloaded), "{downloaded} of {size}: {first}, {second}");
}

/// A large piece that is half here at the end is gone on with, where the profile says so, and begun anew in 3.4.2.
#[test]
fn a_begun_piece_goes_on() {
    let size = 16 << 20;
    let downloaded = |keep: &'static str| {
        let place = Place::with_pieces(size, "16 MiB");
        let (_seeder, addr) = place.seeder("6 MiB/s");
        // A sparse file shows how much came in.
        let leecher = || place.leecher().peers([addr]).with(["--set", keep, "--set", "storage.use=files"]);
        let mut first = leecher().start();
        // Pieces this long are written while they come in.
        wait_until_written(&mut first, &place.target(), size / 4);
        first.signal(Signal::INT);
        assert_eq!(first.exit_code(SOON), 130, "{}", first.story());
        let first = summary(&first);
        assert_eq!(first["bytes_have"], 0, "{first}");
        let mut second = leecher().until_complete().start();
        assert_eq!(second.exit_code(LIMIT), 0, "{}", second.story());
        place.content.assert_same(&place.output);
        let second = summary(&second);
        assert_eq!(second["hash_failures"], 0, "{second}");
        (first["downloaded"].as_u64().unwrap(), second["downloaded"].as_u64().unwrap())
    };
    let (first, second) = downloaded("requests.keep-partials=true");
    assert!(first >= size / 4 && first + second == size, "{first} and {second} of {size}");
    let (_, second) = downloaded("requests.keep-partials=false");
    assert_eq!(second, size);
}

/// Pieces that `compact` put elsewhere than `files` looks are not written over without a word.
#[test]
fn another_storage_in_the_middle_loses_nothing() {
    let size = 16 << 20;
    let place = Place::new(size);
    let (_seeder, addr) = place.seeder("8 MiB/s");
    let leecher = || place.leecher().peers([addr]);
    let mut first = leecher().start();
    wait_until_written(&mut first, &place.target(), size / 2);
    first.signal(Signal::INT);
    assert_eq!(first.exit_code(SOON), 130, "{}", first.story());
    let had = summary(&first)["bytes_have"].as_u64().unwrap();
    assert!(had > 0 && had < size, "{had} of {size}");

    let mut other = leecher().with(["--set", "storage.use=files"]).start();
    assert_eq!(other.exit_code(SOON), 1, "{}", other.story());
    assert!(
        other.errors().contains("go on with \"compact\" until the torrent is complete"),
        "{}",
        other.story()
    );

    let mut last = leecher().until_complete().start();
    assert_eq!(last.exit_code(LIMIT), 0, "{}", last.story());
    place.content.assert_same(&place.output);
    assert_eq!(summary(&last)["downloaded"], size - had, "{}", last.story());
}

#[test]
fn kill_9_and_on_again() {
    let size = 40 << 20;
    let rounds = 4;
    let place = Place::new(size);
    let (mut seeder, addr) = place.seeder("8 MiB/s");
    let mut chance = SplitMix(11);
    for round in 1..=rounds {
        let mut leecher = place.leecher().peers([addr]).start();
        let bytes = size * round / (rounds + 2) + chance.next() % (size / (rounds + 2));
        wait_until_written(&mut leecher, &place.target(), bytes);
        leecher.signal(Signal::KILL);
        leecher.wait(SOON);
    }
    let mut leecher = place.leecher().peers([addr]).until_complete().start();
    assert_eq!(leecher.exit_code(LIMIT), 0, "{}", leecher.story());
    place.content.assert_same(&place.output);

    // Who was killed cannot tell what it fetched, but who sent it can.
    seeder.signal(Signal::TERM);
    assert_eq!(seeder.exit_code(SOON), 143, "{}", seeder.story());
    let uploaded = summary(&seeder)["uploaded"].as_u64().unwrap();
    assert!((size..=size + rounds * LOSS).contains(&uploaded), "{uploaded} of {size}");
}

#[test]
fn data_that_is_there_is_checked() {
    let place = Place::new(16 << 20);
    place.copy_all();
    for piece in [5, 40] {
        flip_byte(&place.target(), piece * PIECE + 77);
    }
    let (_seeder, addr) = place.seeder("unlimited");
    let mut leecher = place.leecher().peers([addr]).until_complete().start();
    assert_eq!(leecher.exit_code(LIMIT), 0, "{}", leecher.story());
    place.content.assert_same(&place.output);
    assert_eq!(summary(&leecher)["downloaded"], 2 * PIECE, "{}", leecher.story());
}

#[test]
fn a_valid_resume_file_spares_the_check() {
    let size = 32 << 20;
    let place = Place::new(size);
    place.copy_all();
    let read = |arguments: &[&'static str]| {
        let (mut process, _) = place.start_complete(arguments);
        let read = bytes_read(&process);
        process.signal(Signal::INT);
        assert_eq!(process.exit_code(SOON), 130, "{}", process.story());
        assert_eq!(summary(&process)["complete"], true);
        read
    };
    let first = read(&[]);
    assert!(first >= size, "the first run checks everything: {first} bytes read");
    let second = read(&[]);
    assert!(second < size / 4, "the second one believes what was saved: {second} bytes read");
    let third = read(&["--check"]);
    assert!(third >= size, "unless it is told to check: {third} bytes read");
}

#[test]
fn what_changed_since_it_was_saved_is_checked_again() {
    let place = Place::new(8 << 20);
    place.copy_all();
    let (mut first, _) = place.start_complete(&[]);
    first.signal(Signal::TERM);
    assert_eq!(first.exit_code(SOON), 143, "{}", first.story());

    flip_byte(&place.target(), 9 * PIECE);
    let (_seeder, addr) = place.seeder("unlimited");
    let mut second = place.leecher().peers([addr]).until_complete().start();
    assert_eq!(second.exit_code(LIMIT), 0, "{}", second.story());
    place.content.assert_same(&place.output);
    assert_eq!(summary(&second)["downloaded"], PIECE, "{}", second.story());
}
