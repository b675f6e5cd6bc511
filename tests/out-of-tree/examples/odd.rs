//! `bt-run` with the plug-ins that misbehave where a profile tells them to: for tests of what becomes of the rest of the
//! process.

use bt_api::testkit::odd::{OddChoke, OddLayer, OddPiece, OddTracker};

use {bt_policies as _, bt_storage as _};

bt_api::register!(OddChoke);
bt_api::register!(OddPiece);
bt_api::register!(OddLayer);
bt_api::register!(OddTracker);

fn main() -> std::process::ExitCode {
    bt_runtime::cli::main()
}
