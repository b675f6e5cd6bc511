//! The binaries of this workspace, built once a test process, as they are in its own profile.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// A command that runs `bt-run`.
pub fn bt_run() -> Command {
    Command::new(path("bt-run"))
}

/// A command that runs `bt-lab`.
pub fn bt_lab() -> Command {
    Command::new(path("bt-lab"))
}

/// A command that runs `bt-torrent`.
pub fn bt_torrent() -> Command {
    Command::new(path("bt-torrent"))
}

/// The target folder of this test, wherever it was asked to be: what was built for it serves what it builds.
///
/// # Panics
/// When it was not built by cargo.
pub fn target() -> PathBuf {
    let test = env::current_exe().expect("a running test has a path");
    let target = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.expect("a test is built below a target folder").to_owned()
}

/// Takes from `command`, which runs cargo, what cargo sets for a running test: build scripts look at it, ring's among them,
/// and with it that is built anew, and all that stands upon it.
pub fn as_from_a_shell(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        if ["CARGO_MANIFEST_", "CARGO_PKG_"]
            .iter()
            .any(|of| name.as_encoded_bytes().starts_with(of.as_bytes()))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Where a binary lies. Cargo builds binaries for the tests of their own package only, so it is asked here; of the whole
/// workspace, as in `cargo test --workspace`, which leaves nothing to do.
fn path(name: &str) -> &'static PathBuf {
    static PATHS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    PATHS.get_or_init(build).get(name).unwrap_or_else(|| panic!("bt-bins has no binary {name}"))
}

fn build() -> BTreeMap<String, PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    as_from_a_shell(&mut cargo).args([
        "build",
        "--quiet",
        "--workspace",
        "--bins",
        "--message-format",
        "json",
    ]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.arg("--target-dir").arg(target()).output().expect("cargo starts");
    assert!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let executable = |message: serde_json::Value| {
        let path = PathBuf::from(message["executable"].as_str()?);
        Some((message["target"]["name"].as_str()?.to_owned(), path))
    };
    messages.filter_map(executable).collect()
}
