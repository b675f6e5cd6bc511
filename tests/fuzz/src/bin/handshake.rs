//! The handshake: the same in any split, and only what we would send ourselves passes, but for reserved bits.
#![no_main]

use bt_engine::handshake::{Handshake, LENGTH, Step, whole};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let at_once = steps(stream, stream.len().max(1));
    assert_eq!(at_once, steps(stream, 1));
    if let [Ok(Step::InfoHash(hash, reserved)), Ok(Step::PeerId(id))] = at_once[..] {
        let mut ours = whole(hash, id);
        ours[20..28].copy_from_slice(&reserved);
        assert_eq!(ours, stream[..LENGTH]);
    }
});

/// The steps of a handshake that comes in chunks, and whether it ended in an error.
fn steps(stream: &[u8], chunk: usize) -> Vec<Result<Step, ()>> {
    let (mut handshake, mut steps) = (Handshake::new(), Vec::new());
    let (mut taken, mut there) = (0, 0);
    while steps.len() < 2 {
        match handshake.step(&stream[taken..there]) {
            Ok((Step::Need, used)) => {
                assert_eq!(used, 0);
                if there == stream.len() {
                    break;
                }
                there = (there + chunk).min(stream.len());
            }
            Ok((step, used)) => {
                taken += used;
                steps.push(Ok(step));
            }
            Err(_) => {
                steps.push(Err(()));
                break;
            }
        }
    }
    steps
}
