//! `bt-torrent scrape`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use async_std::task;
use bt_api::{ScrapeReply, TrackerError};
use bt_engine::metainfo::{Metainfo, Rules};
use serde::Serialize;

use super::{Failure, note, read_torrent};
use crate::escape::escape;
use crate::{Profile, net};

/// Ask trackers how many have a torrent
///
/// Asks every tracker of the torrent for its counts (BEP 48) and joins no swarm. Exits with 1 when a tracker cannot say.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bt-torrent scrape album.torrent
  bt-torrent scrape --json --tracker http://tracker.example/announce album.torrent
  bt-torrent scrape --tracker udp://tracker.example:6969 album.torrent")]
pub(super) struct Options {
    /// The torrent file
    torrent: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Ask this tracker instead of the torrent's; may be given again
    #[arg(long, value_name = "URL")]
    tracker: Vec<String>,
    /// The profile whose tracker clients ask: a file, or the name of a shipped one
    #[arg(long, value_name = "PROFILE", default_value = "modern")]
    profile: String,
    /// Override or add a key of the profile, such as tracker.http.timeout='5 s'; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct Json<'a> {
    name: &'a str,
    info_hash: String,
    trackers: Vec<JsonTracker<'a>>,
}

/// Of one tracker, its counts or why there are none.
#[derive(Serialize)]
struct JsonTracker<'a> {
    url: &'a str,
    seeds: Option<u64>,
    leechers: Option<u64>,
    completed: Option<u64>,
    error: Option<&'a str>,
}

impl<'a> JsonTracker<'a> {
    fn new(url: &'a str, answer: &'a Result<ScrapeReply, TrackerError>) -> Self {
        let counts = answer.as_ref().ok();
        Self {
            url,
            seeds: counts.map(|counts| counts.complete),
            leechers: counts.map(|counts| counts.incomplete),
            completed: counts.map(|counts| counts.downloaded),
            error: answer.as_ref().err().map(|error| error.message.as_str()),
        }
    }
}

pub(super) fn run(options: &Options, out: &mut dyn Write, notes: &mut dyn Write) -> Result<u8, Failure> {
    let metainfo = read_torrent(&options.torrent, Rules::Lenient)?;
    let urls = trackers(options, &metainfo);
    if urls.is_empty() {
        let torrent = options.torrent.display();
        return Err(Failure::usage(format!("{torrent} names no tracker; name one with --tracker URL")));
    }
    let profile = Profile::load(&options.profile, &options.set);
    let profile = profile.map_err(|error| Failure::usage(error.to_string()))?;
    let answers = task::block_on(net::scrape(&profile, &urls, metainfo.info_hash));
    if options.json {
        let trackers = urls.iter().zip(&answers).map(|(url, answer)| JsonTracker::new(url, answer));
        let result = Json {
            name: metainfo.layout.name(),
            info_hash: metainfo.info_hash.to_string(),
            trackers: trackers.collect(),
        };
        let json = serde_json::to_string(&result).map_err(|error| Failure::failed(error.to_string()))?;
        writeln!(out, "{json}")?;
    } else {
        print(&urls, &answers, out, notes)?;
    }
    Ok(u8::from(answers.iter().any(Result::is_err)))
}

/// The trackers to ask, each once, in order.
fn trackers(options: &Options, metainfo: &Metainfo) -> Vec<String> {
    let named = &options.tracker;
    let urls = if named.is_empty() { metainfo.trackers.concat() } else { named.clone() };
    let mut seen = BTreeSet::new();
    urls.into_iter().filter(|url| seen.insert(url.clone())).collect()
}

/// For a person: a line for each tracker that answered, a note for each that did not.
fn print(
    urls: &[String],
    answers: &[Result<ScrapeReply, TrackerError>],
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<(), Failure> {
    for (url, answer) in urls.iter().zip(answers) {
        match answer {
            Ok(ScrapeReply { complete, incomplete, downloaded }) => writeln!(
                out,
                "{}: {complete} seeds, {incomplete} leechers, completed {downloaded} times",
                escape(url)
            )?,
            Err(error) => note(notes, &format!("{url}: {error}")),
        }
    }
    Ok(())
}
