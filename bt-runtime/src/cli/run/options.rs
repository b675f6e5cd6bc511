//! The options of `bt-run`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::cli::tracker_url;

/// Download and seed torrents, with every part chosen by a profile
#[derive(Parser)]
#[command(
    name = "bt-run",
    version,
    after_help = "Examples:
  bt-run --demo                                      see it work, with nothing but this machine
  bt-run -o ~/Downloads linux.iso.torrent            download, then seed until Ctrl-C
  bt-run --profile modern --stop-when complete x.torrent
  bt-run --profile mainline --set choke.use=random --set choke.slots=8 x.torrent
  bt-run --profile modern --set 'net.upload-limit=1 MiB/s' --print-profile > mine.toml
  bt-run --profile mine.toml --events run.jsonl --seed 7 x.torrent

Exit code: 0 done; 1 a torrent failed or is incomplete; 2 wrong use; 130 Ctrl-C; 143 ended by kill."
)]
pub(super) struct Options {
    /// The torrent files
    #[arg(value_name = "TORRENT", required_unless_present_any = ["list", "defaults", "print_profile", "demo"])]
    pub(super) torrents: Vec<PathBuf>,
    /// A profile: a file, or the name of a shipped one (see --list)
    #[arg(long, value_name = "PROFILE", default_value = "mainline")]
    pub(super) profile: String,
    /// Override or add a key of the profile, such as peers.max-initiate=60; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// The folder that files are put into: DIR/NAME, or DIR/NAME/... where a torrent has several
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(super) output: PathBuf,
    /// Also use this peer; may be given again
    #[arg(long, value_name = "ADDR:PORT", value_parser = peer)]
    pub(super) peer: Vec<SocketAddr>,
    /// Use this tracker instead of the torrent's; given again, more of them, tried in this order
    #[arg(long, value_name = "URL", value_parser = tracker_url)]
    pub(super) tracker: Vec<String>,
    /// Listen at this address and the first free port of these (0: any), instead of as the profile says
    #[arg(long, value_name = "ADDR:PORT[-PORT]", value_parser = listen)]
    pub(super) listen: Option<(IpAddr, u16, u16)>,
    /// When to stop a torrent: 'complete', 'ratio=R' (complete, and R times its length sent), 'time=D' (such as
    /// 'time=10 min', complete or not) or 'never'
    #[arg(long, value_name = "WHEN", default_value = "never", value_parser = stop_when)]
    pub(super) stop_when: StopWhen,
    /// The seed of everything that is left to chance [default: another one each time]
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Write what happens, and why, to this file, as JSON Lines
    #[arg(long, value_name = "FILE")]
    pub(super) events: Option<PathBuf>,
    /// Run this program once when a torrent is complete and on disk, with its name, info-hash and folder
    #[arg(long, value_name = "PROGRAM")]
    pub(super) on_complete: Option<PathBuf>,
    /// Hash everything that is there first, whatever was noted before
    #[arg(long)]
    pub(super) check: bool,
    /// The folder of resume files [default: the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Say nothing but what goes wrong
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// At the end, print one JSON object a torrent, one a line, in the order of the arguments
    #[arg(long)]
    pub(super) json: bool,
    /// List the plug-ins and profiles of this program (with --json: as data)
    #[arg(long, conflicts_with_all = ["torrents", "defaults", "print_profile", "demo"])]
    pub(super) list: bool,
    /// Print the table of the plug-in NAME with every key at its default
    #[arg(long, value_name = "NAME", conflicts_with_all = ["torrents", "print_profile", "demo"])]
    pub(super) defaults: Option<String>,
    /// Print the profile with its --set, complete: every key
    #[arg(long, conflicts_with_all = ["torrents", "demo"])]
    pub(super) print_profile: bool,
    /// Make a torrent, a tracker and a seeder on this machine, download it, verify it, and end
    #[arg(long, conflicts_with_all = ["torrents", "output", "peer", "tracker", "listen", "state", "stop_when", "on_complete", "check"])]
    pub(super) demo: bool,
}

/// When a torrent is stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum StopWhen {
    /// Everything is on disk.
    Complete,
    /// Everything is on disk, and so many times its length was sent in this run.
    Ratio(f64),
    /// So long after the start.
    Time(Duration),
    /// Only when the user says so.
    Never,
}

fn stop_when(text: &str) -> Result<StopWhen, String> {
    match text.split_once('=') {
        None if text == "complete" => Ok(StopWhen::Complete),
        None if text == "never" => Ok(StopWhen::Never),
        Some(("ratio", ratio)) => {
            let ratio = ratio.trim().parse().ok().filter(|ratio: &f64| ratio.is_finite() && *ratio >= 0.0);
            ratio
                .map(StopWhen::Ratio)
                .ok_or_else(|| "expected a number of at least 0, such as ratio=1.5".to_owned())
        }
        Some(("time", time)) => match time.parse::<bt_api::config::Duration>() {
            Ok(time) => Ok(StopWhen::Time(time.get())),
            Err(error) => Err(error.to_string()),
        },
        _ => Err("expected 'complete', 'ratio=R', 'time=D' or 'never'".to_owned()),
    }
}

fn listen(text: &str) -> Result<(IpAddr, u16, u16), String> {
    let wrong = || "expected an IP address and ports, such as 0.0.0.0:6881-6889 or [::1]:0".to_owned();
    let (address, ports) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    let address: IpAddr = match bare {
        Some(address) => IpAddr::V6(address.parse().map_err(|_| wrong())?),
        None => IpAddr::V4(address.parse().map_err(|_| wrong())?),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first > last {
        return Err(format!("the first port, {first}, is above the last, {last}"));
    }
    Ok((address, first, last))
}

fn peer(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an IP address and a port, such as 192.0.2.1:6881 or [::1]:6881".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torrent_stops_when_the_user_says() {
        assert_eq!(stop_when("complete"), Ok(StopWhen::Complete));
        assert_eq!(stop_when("ratio=1.5"), Ok(StopWhen::Ratio(1.5)));
        assert_eq!(stop_when("time=10 min"), Ok(StopWhen::Time(Duration::from_secs(600))));
        assert_eq!(stop_when("never"), Ok(StopWhen::Never));
        for wrong in
            ["", "done", "ratio", "ratio=", "ratio=-1", "ratio=NaN", "ratio=inf", "time=5", "complete=1"]
        {
            assert!(stop_when(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_to_listen_at() {
        let any = IpAddr::from([0, 0, 0, 0]);
        assert_eq!(listen("0.0.0.0:6881"), Ok((any, 6881, 6881)));
        assert_eq!(listen("0.0.0.0:6881-6889"), Ok((any, 6881, 6889)));
        assert_eq!(listen("[::1]:0"), Ok((IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 0, 0)));
        for wrong in
            ["", "6881", "0.0.0.0", "::1:6881", "0.0.0.0:9-8", "0.0.0.0:70000", "host:1", "[1.2.3.4]:1"]
        {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
