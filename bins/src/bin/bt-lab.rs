//! Simulates swarms of the same clients in virtual time, and measures them.

use bt_bins as _;

fn main() -> std::process::ExitCode {
    bt_sim::cli::main()
}
