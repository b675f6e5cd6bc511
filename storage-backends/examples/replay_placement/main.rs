//! Replays a recording of the original's placement on disk through the store `compact`, and says where they
//! differ: `cargo run -p bt-storage --example replay_placement -- FILE.jsonl`.

use std::process::ExitCode;

#[path = "../../../tests/recordings/replay.rs"]
mod recording;
mod replay;

fn main() -> ExitCode {
    recording::example(replay::replay)
}
