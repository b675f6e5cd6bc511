//! Killed at any moment, again and again, with the resume file cut: nothing verified is lost.
//!
//! CI does 20 rounds; `BT_KILL_ROUNDS=200 cargo test -p bt-tests --test faults kill` does as many as it says.
//! The moments come from a seed, `BT_KILL_SEED`.

use std::env;
use std::fs::{self, File};

use bt_tests::bt_run::summary;
use bt_tests::content::SplitMix;
use bt_tests::place::{PIECE, Place, written};
use bt_tests::process::SOON;
use rustix::process::Signal;

use crate::{LIMIT, ends_complete};

/// What one kill may cost: the pieces that are not whole yet, and those whose writing was under way.
const LOSS: u64 = 4 * PIECE;

const SIZE: u64 = 24 << 20;

fn setting(name: &str, default: u64) -> u64 {
    env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}: a number")))
}

#[test]
fn kill_9_in_a_loop_with_a_cut_resume_file() {
    let rounds = setting("BT_KILL_ROUNDS", 20);
    let mut chance = SplitMix(setting("BT_KILL_SEED", 5));
    let place = Place::new(SIZE);
    let (mut seeder, addr) = place.seeder("12 MiB/s");
    let (mut downloads, mut cut) = (1, false);
    for round in 0..rounds {
        let before = written(&place.target());
        let mut leecher = place.leecher().peers([addr]).start();
        // From the first instant of its start, to a few pieces later; or at once when it has everything.
        let until = (before + chance.next() % (6 * PIECE)).min(SIZE);
        leecher.until("the moment comes", LIMIT, || (written(&place.target()) >= until).then_some(()));
        leecher.signal(Signal::KILL);
        leecher.wait(SOON);
        let errors = leecher.errors();
        assert!(cut || !errors.contains("is not used"), "round {round}: it was whole: {errors}");
        let state = place.resume_file().parent().map(fs::read_dir).unwrap();
        assert!(state.is_ok_and(|files| files.count() <= 2), "the file, and at most one that was being made");

        cut = chance.next().is_multiple_of(2);
        if cut && let Ok(file) = File::options().write(true).open(place.resume_file()) {
            file.set_len(chance.next() % (file.metadata().unwrap().len() + 1)).unwrap();
        }
        if until == SIZE {
            let mut last = place.leecher().peers([addr]).until_complete().start();
            ends_complete(&place, &mut last);
            fs::remove_file(place.target()).unwrap();
            downloads += 1;
        }
    }
    let mut leecher = place.leecher().peers([addr]).until_complete().start();
    ends_complete(&place, &mut leecher);

    // Who was killed cannot tell what it fetched, but who sent it can.
    seeder.signal(Signal::TERM);
    assert_eq!(seeder.exit_code(SOON), 143, "{}", seeder.story());
    let uploaded = summary(&seeder)["uploaded"].as_u64().unwrap();
    let whole = downloads * SIZE;
    assert!((whole..=whole + rounds * LOSS).contains(&uploaded), "{uploaded} for {downloads} downloads");
}
