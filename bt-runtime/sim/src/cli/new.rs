//! `bt-lab new`: a crate to begin a plug-in with.

use std::path::PathBuf;

use super::Failure;
use super::terminal::Terminal;
use crate::new::{Kind, NewError, write_crate};

/// Writes a complete crate for a plug-in of one's own: the plug-in, `bt-run` and `bt-lab` with it, a profile, a test of
/// what the trait promises, and a first experiment.
///
/// It compiles and passes as it is; its README.md says how to go on.
#[derive(clap::Args)]
pub(super) struct Options {
    /// What it is to be
    kind: Kind,

    /// The name of the crate and of the plug-in in profiles: `least-served`
    name: String,

    /// The folder to make, in place of NAME
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// The folder of the framework, in place of the one that this binary was built from
    #[arg(long, value_name = "DIR")]
    framework: Option<PathBuf>,
}

pub(super) fn run(options: &Options, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    let built_from = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let framework = options.framework.clone().unwrap_or_else(|| built_from.into());
    let folder = options.out.clone().unwrap_or_else(|| options.name.clone().into());
    write_crate(options.kind, &options.name, &folder, &framework).map_err(|error| match error {
        NewError::Name { .. } | NewError::Exists(_) => Failure::usage(error.to_string()),
        NewError::NoFramework(_) => Failure::usage(format!("{error}; say where it is with --framework DIR")),
        NewError::Io { .. } => Failure::failed(error.to_string()),
    })?;
    writeln!(terminal.out, "{} is ready; next:\n  cd {}\n  cargo test", folder.display(), folder.display())?;
    let framework = framework.canonicalize().unwrap_or(framework);
    writeln!(
        terminal.out,
        "Its README.md says what each file is and what to try. Its Cargo.toml names the framework"
    )?;
    writeln!(terminal.out, "in {}. The first build takes some minutes.", framework.display())?;
    Ok(0)
}
