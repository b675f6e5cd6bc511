//! Makes, shows and checks torrent files, and asks their trackers.

use bt_bins as _;

fn main() -> std::process::ExitCode {
    bt_runtime::cli::torrent::main()
}
