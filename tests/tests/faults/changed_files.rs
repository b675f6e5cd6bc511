//! Somebody takes a file away, cuts it or puts another in its place while it is used: that is seen, said and never
//! written over, and the next start finds what is left.

use std::fs::{self, File};
use std::path::Path;

use bt_tests::bt_run::summary;
use bt_tests::place::{Place, wait_until_written};
use bt_tests::process::SOON;
use rustix::process::Signal;

use crate::{ends_complete, ends_with};

const SIZE: u64 = 16 << 20;

/// What somebody does to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Delete,
    Shorten,
    Replace,
    /// The whole output folder goes.
    Vanish,
}

impl Change {
    const ALL: [Self; 4] = [Self::Delete, Self::Shorten, Self::Replace, Self::Vanish];

    fn make(self, place: &Place) {
        let target = place.target();
        match self {
            Self::Delete => fs::remove_file(target).unwrap(),
            Self::Shorten => File::options().write(true).open(target).unwrap().set_len(1 << 20).unwrap(),
            Self::Replace => {
                let other = place.folder().join("other");
                fs::write(&other, theirs()).unwrap();
                fs::rename(other, target).unwrap();
            }
            Self::Vanish => fs::remove_dir_all(&place.output).unwrap(),
        }
    }

    /// What is said of it.
    fn told(self) -> &'static str {
        match self {
            Self::Delete | Self::Vanish => "taken away",
            Self::Shorten => "was cut",
            Self::Replace => "replaced by another file",
        }
    }

    /// The next start gets the rest, or leaves alone what is not ours.
    fn ends_well(self, place: &Place, mut next: bt_tests::process::Process) {
        if self == Self::Replace {
            ends_with(&mut next, "nothing in it is of this torrent");
            assert_theirs(&place.target());
        } else {
            ends_complete(place, &mut next);
        }
    }
}

/// Somebody else's data, as long as the torrent's.
fn theirs() -> Vec<u8> {
    b"not of this torrent. ".iter().copied().cycle().take(SIZE as usize).collect()
}

fn assert_theirs(path: &Path) {
    assert!(fs::read(path).unwrap() == theirs(), "somebody else's file was written to");
}

#[test]
fn while_downloading() {
    for change in Change::ALL {
        let place = Place::new(SIZE);
        let (_seeder, addr) = place.seeder("8 MiB/s");
        let mut leecher = place.leecher().peers([addr]).until_complete().start();
        wait_until_written(&mut leecher, &place.target(), 4 << 20);
        change.make(&place);
        ends_with(&mut leecher, change.told());
        if change == Change::Replace {
            assert_theirs(&place.target());
        }
        change.ends_well(&place, place.leecher().peers([addr]).until_complete().start());
    }
}

/// A seed sends nothing wrong, and writes nothing over when it wants again what it lost.
#[test]
fn while_seeding() {
    for change in Change::ALL {
        let place = Place::new(SIZE);
        place.copy_all();
        let (mut seed, addr) = place.start_complete(&[]);
        change.make(&place);
        let copy = place.folder().join("copy");
        let mut copying = place.run("copying", &copy).peers([addr]).start();
        let told = if change == Change::Shorten { "the file ends at" } else { change.told() };
        seed.until_told(told, SOON);
        copying.signal(Signal::TERM);
        copying.exit_code(SOON);
        let copied = summary(&copying);
        assert_eq!((&copied["hash_failures"], &copied["complete"]), (&0.into(), &false.into()), "{copied}");

        // Somebody comes who has it all.
        let cap = ["--set", "upload.limiter=bucket"];
        let helper = place.run("helper", place.content.folder()).with(cap).peers([addr]);
        let (_helper, addr) = helper.start_and_wait(&place.torrent);
        ends_with(&mut seed, change.told());
        change.ends_well(&place, place.leecher().peers([addr]).until_complete().start());
    }
}
