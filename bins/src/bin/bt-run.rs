//! Downloads and seeds torrents through a profile.

use bt_bins as _;

fn main() -> std::process::ExitCode {
    bt_runtime::cli::main()
}
