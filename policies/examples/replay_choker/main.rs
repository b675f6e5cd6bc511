//! Replays a recording of the original's choker through `tit-for-tat`, and says where they differ:
//! `cargo run -p bt-policies --example replay_choker -- FILE.jsonl`.

use std::process::ExitCode;

#[path = "../../../tests/recordings/replay.rs"]
mod recording;
mod replay;

fn main() -> ExitCode {
    recording::example(replay::replay)
}
