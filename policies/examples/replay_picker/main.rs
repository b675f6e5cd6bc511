//! Replays a recording of the original's piece picker through `rarest-first`, and says where they differ:
//! `cargo run -p bt-policies --example replay_picker -- FILE.jsonl`.

use std::process::ExitCode;

#[path = "../../../tests/recordings/replay.rs"]
mod recording;
mod replay;

fn main() -> ExitCode {
    recording::example(replay::replay)
}
