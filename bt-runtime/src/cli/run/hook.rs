//! The program that is run when a torrent is complete.

use std::io::stderr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use async_std::task;

/// The whole path of `program`, which may be a name that `PATH` knows.
///
/// # Errors
/// One line: there is none that can be run.
pub(super) fn find(program: &Path) -> Result<PathBuf, String> {
    which::which(program)
        .map_err(|_| format!("--on-complete {}: there is no such program that can be run", program.display()))
}

/// Runs `program` with the name, info-hash and folder of a torrent as its arguments, without a shell: nothing
/// that a torrent is called can be a command. What it prints goes to standard error, for standard output is
/// for summaries.
///
/// # Errors
/// One line: it could not be run, or it failed.
pub(super) async fn run(
    program: PathBuf,
    name: String,
    info_hash: String,
    folder: PathBuf,
) -> Result<(), String> {
    task::spawn_blocking(move || run_now(&program, &name, &info_hash, &folder)).await
}

fn run_now(program: &Path, name: &str, info_hash: &str, folder: &Path) -> Result<(), String> {
    let failed = |why: String| Err(format!("--on-complete {}: {why}", program.display()));
    let out = match stderr().as_fd().try_clone_to_owned() {
        Ok(stderr) => Stdio::from(stderr),
        Err(_) => Stdio::null(),
    };
    let mut command = Command::new(program);
    command.arg(name).arg(info_hash).arg(folder).stdin(Stdio::null()).stdout(out);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => failed(format!("ended with {status}")),
        Err(error) => failed(format!("cannot be run: {error}")),
    }
}
