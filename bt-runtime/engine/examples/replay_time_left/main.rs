//! Replays a recording of the original's estimate of the time left through `TimeLeft`, and says where they differ:
//! `cargo run -p bt-engine --example replay_time_left -- FILE.jsonl`.

use std::process::ExitCode;

#[path = "../../../../tests/recordings/replay.rs"]
mod recording;
mod replay;

fn main() -> ExitCode {
    recording::example(replay::replay)
}
