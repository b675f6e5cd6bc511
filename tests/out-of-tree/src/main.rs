//! `bt-run` with plug-ins of one's own. A crate that is only listed in `Cargo.toml` registers nothing: each
//! that brings plug-ins is named here.

use {bt_policies as _, bt_storage as _, my_client as _};

fn main() -> std::process::ExitCode {
    bt_runtime::cli::main()
}
