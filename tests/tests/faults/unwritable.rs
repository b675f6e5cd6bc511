//! An output folder that may not be written to: told at once, and good enough to seed from.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bt_tests::mount::Mount;
use bt_tests::place::Place;

use crate::{ends_complete, ends_with};

/// Nobody comes: it is told without a peer, before anything is downloaded.
#[test]
fn a_folder_without_permission_is_told_at_the_start() {
    let place = Place::new(1 << 20);
    let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    allow(&place.output, 0o555);
    // Logs and resume files have a place.
    allow(place.folder(), 0o777);
    let mut leecher = place.leecher().not_as_root().until_complete().start();
    ends_with(&mut leecher, "making \"file.bin\": Permission denied");
    assert_eq!(fs::read_dir(&place.output).unwrap().count(), 0);

    // A part of the file is there, and may not be written to.
    fs::copy(place.content.path(), place.target()).unwrap();
    fs::File::options().write(true).open(place.target()).unwrap().set_len(1 << 19).unwrap();
    allow(&place.target(), 0o444);
    let mut leecher = place.leecher().not_as_root().until_complete().start();
    ends_with(&mut leecher, "writing to \"file.bin\": Permission denied");

    // All of it is there.
    place.copy_all();
    let mut leecher = place.leecher().not_as_root().until_complete().start();
    ends_complete(&place, &mut leecher);
}

#[test]
fn a_read_only_file_system_is_told_at_the_start() {
    let place = Place::new(1 << 20);
    let Some(mount) = Mount::read_only(&place.output) else { return };
    let mut leecher = place.leecher().until_complete().start();
    ends_with(&mut leecher, "Read-only file system");

    drop(mount);
    place.copy_all();
    let Some(_mount) = Mount::read_only(&place.output) else { return };
    let mut leecher = place.leecher().until_complete().start();
    ends_complete(&place, &mut leecher);
}

/// As an unwritable store that cannot tell it before the first write.
#[test]
fn a_store_that_never_let_us_write_is_given_up() {
    let layers = ["[{use=\"read-only\"}]", "[{use=\"faulty\",every-write=1,kind=\"denied\"}]"];
    for (layer, why) in layers.into_iter().zip(["the layer read-only denies it", "the layer faulty"]) {
        let place = Place::new(1 << 20);
        let (_seeder, addr) = place.seeder("unlimited");
        let layer = format!("storage.layer={layer}");
        let mut leecher = place.leecher().with(["--set", &layer]).peers([addr]).until_complete().start();
        ends_with(&mut leecher, why);
    }
}
