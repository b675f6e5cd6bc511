//! The whole of `bt-run`: downloads and seeds torrents through a profile.

mod demo;
mod drive;
mod hook;
mod listing;
mod mini_tracker;
mod options;
mod progress;
mod signals;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use async_std::task;
use bt_api::contain;
use bt_engine::metainfo::{MAX_FILE_BYTES, Metainfo};
use clap::Parser;
use etcetera::BaseStrategy;
use indicatif::HumanBytes;

use crate::escape::escape;
use crate::net::{AddOptions, SessionOptions};
use crate::usage::one_line;
use crate::{Profile, ProfileError};
use drive::{Plan, Report, Summary, drive};
use options::Options;

/// Runs `bt-run` with the arguments of this process: the whole of a binary, once it has linked its plug-ins.
pub fn main() -> ExitCode {
    contain::note_places();
    #[cfg(unix)]
    allow_open_files();
    let code = match Options::try_parse() {
        Ok(options) => run(&options, &mut io::stdout().lock()),
        Err(error) if !error.use_stderr() => {
            write!(io::stdout(), "{}", error.render()).map(|()| 0).map_err(Failure::from)
        }
        Err(error) => Err(Failure::usage(one_line(&error.render(), "bt-run"))),
    };
    ExitCode::from(code.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            let lines: Vec<_> = failure.message.lines().map(escape).collect();
            eprintln!("{}", lines.join("\n"));
        }
        failure.code
    }))
}

/// Takes all the open files that the system allows this process: each torrent has its files and its peers, and what
/// systems begin with (1,024) is for programs that cannot handle more. Where that is refused it stays as it is.
#[cfg(unix)]
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// No more than Linux takes where nothing else is set.
    const MOST: u64 = 1 << 20;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.map_or(MOST, |maximum| maximum.min(MOST)));
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}

/// Why the command ends early.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The arguments, the profile or a torrent file are wrong.
    fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: format!("bt-run: {}", message.into()) }
    }

    /// Something went wrong on the way.
    fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: format!("bt-run: {}", message.into()) }
    }
}

/// A failure to write what was asked for; of a pipe that nobody reads nothing is said.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { code: 1, message: String::new() },
            _ => Self::failed(format!("cannot write to standard output: {error}")),
        }
    }
}

fn run(options: &Options, out: &mut dyn Write) -> Result<u8, Failure> {
    if options.list {
        let list = if options.json { listing::list_json(out) } else { listing::list(out) };
        list.map_err(|error| Failure::failed(error.to_string()))??;
        return Ok(0);
    }
    if let Some(name) = &options.defaults {
        write!(out, "{}", listing::defaults(name).map_err(Failure::usage)?)?;
        return Ok(0);
    }
    // The place comes first in a profile's message, where editors look for it.
    let wrong = |error: ProfileError| Failure { code: 2, message: error.detailed() };
    if options.print_profile {
        write!(out, "{}", Profile::printed(&options.profile, &options.set).map_err(wrong)?)?;
        return Ok(0);
    }
    let profile = Profile::load(&options.profile, &options.set).map_err(wrong)?;
    if let Some(why) = profile.lab_only() {
        return Err(Failure::usage(why));
    }
    let profile = Arc::new(profile);
    let seed = options.seed.unwrap_or_else(|| SessionOptions::default().seed);
    if options.demo {
        let (told, report) = task::block_on(demo::run(profile, options, seed))?;
        if report.exit_code() != 0 {
            eprintln!("bt-run: {told}");
        } else if !options.quiet && !options.json {
            writeln!(out, "{told}")?;
        }
        if options.json {
            print_json(&report, out)?;
        }
        return Ok(report.exit_code());
    }
    let report = task::block_on(drive(plan(profile, options, seed)?))?;
    if options.json {
        print_json(&report, out)?;
    }
    if !options.quiet {
        report.summaries.iter().for_each(|summary| eprintln!("{}", sentence(summary)));
    }
    Ok(report.exit_code())
}

fn plan(profile: Arc<Profile>, options: &Options, seed: u64) -> Result<Plan, Failure> {
    let on_complete = options.on_complete.as_deref().map(hook::find).transpose().map_err(Failure::usage)?;
    let torrents = options.torrents.iter().map(|path| read_torrent(path, &profile));
    let tiers: Vec<Vec<String>> = options.tracker.iter().map(|url| vec![url.clone()]).collect();
    Ok(Plan {
        torrents: torrents.collect::<Result<_, _>>()?,
        add: AddOptions {
            folder: options.output.clone(),
            peers: options.peer.clone(),
            trackers: (!tiers.is_empty()).then_some(tiers),
            check: options.check,
        },
        session: SessionOptions {
            listen: options.listen,
            seed,
            events: None,
            state: Some(state_folder(options)?),
            ..SessionOptions::default()
        },
        events: options.events.clone(),
        stop_when: options.stop_when,
        time_limit: None,
        on_complete,
        quiet: options.quiet,
        profile,
    })
}

/// Reads and checks the torrent file at `path` by the profile's rules.
fn read_torrent(path: &Path, profile: &Profile) -> Result<Metainfo, Failure> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that the length is refused and not the missing end.
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    let parsed = Metainfo::parse(&bytes, profile.settings.metainfo.rules);
    parsed.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Where resume files are kept.
fn state_folder(options: &Options) -> Result<PathBuf, Failure> {
    if let Some(folder) = &options.state {
        return Ok(folder.clone());
    }
    let base = etcetera::choose_base_strategy()
        .map_err(|error| Failure::usage(format!("no home folder ({error}): say --state DIR")))?;
    Ok(base.state_dir().unwrap_or_else(|| base.data_dir()).join("bt-run"))
}

fn print_json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for summary in &report.summaries {
        writeln!(out, "{}", serde_json::to_string(summary).expect("a summary is JSON"))?;
    }
    Ok(())
}

/// A torrent at the end of the run, for a person.
fn sentence(summary: &Summary) -> String {
    let Summary { name, complete, bytes_total, bytes_have, downloaded, uploaded, wasted, .. } = summary;
    let state = match complete {
        true => format!("complete, {}", HumanBytes(*bytes_total)),
        false => format!("incomplete, {} of {}", HumanBytes(*bytes_have), HumanBytes(*bytes_total)),
    };
    let (down, up, wasted) = (HumanBytes(*downloaded), HumanBytes(*uploaded), HumanBytes(*wasted));
    let seconds = summary.elapsed_s;
    format!("{}: {state}; {down} down ({wasted} wasted), {up} up, in {seconds:.1} s", escape(name))
}
