//! Runs of `bt-lab` in a folder of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::binaries;

/// A swarm of thirty that takes a moment: whole pieces, a small content.
pub const TINY: &str = r#"name = "tiny"
[content]
size = "1 MiB"
piece = "64 KiB"
[network]
granularity = "piece"
[[peers]]
name = "seed"
count = 1
complete = true
up = "2 Mbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "leecher"
count = 30
up = "1 Mbit/s"
down = "4 Mbit/s"
profile = "mainline"
"#;

/// A folder with the scenario [`TINY`] in `tiny.toml`, in which `bt-lab` is run.
pub struct Lab(TempDir);

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// A new one.
    pub fn new() -> Self {
        let lab = Self(TempDir::new().expect("a folder for the test"));
        lab.write("tiny.toml", TINY);
        lab
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the folder is ours");
    }

    /// The text of a file.
    ///
    /// # Panics
    /// When there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A JSON file.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A command that runs `bt-lab` here.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binaries::bt_lab();
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("bt-lab starts")
    }

    /// Runs what must succeed: its standard output and standard error.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn succeeds(&self, arguments: &[&str]) -> (String, String) {
        let (code, out, errors) = told(&self.run(arguments));
        assert_eq!(code, Some(0), "{arguments:?}: {errors}");
        (out, errors)
    }

    /// Runs what must fail with this code, and say why in one line.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str], with: i32) -> String {
        let (code, out, errors) = told(&self.run(arguments));
        assert_eq!((code, errors.lines().count()), (Some(with), 1), "{arguments:?}: {errors}");
        assert_eq!(out, "");
        errors
    }
}

/// Code, standard output and standard error.
pub fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The files below `dir` that are called `name`, sorted.
pub fn files_called(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_called(&path, name));
        } else if path.file_name().is_some_and(|own| own == name) {
            found.push(path);
        }
    }
    found.sort();
    found
}
