//! Makes, shows and checks torrent files.

fn main() -> std::process::ExitCode {
    bt_runtime::cli::torrent::main()
}
