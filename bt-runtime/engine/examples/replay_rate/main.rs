//! Replays a recording of the original's measure of a rate through `WindowRate`, and says where they differ:
//! `cargo run -p bt-engine --example replay_rate -- FILE.jsonl`.

use std::process::ExitCode;

#[path = "../../../../tests/recordings/replay.rs"]
mod recording;
mod replay;

fn main() -> ExitCode {
    recording::example(replay::replay)
}
