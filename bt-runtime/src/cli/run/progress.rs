//! Progress on standard error: bars where it is a terminal, else a line now and then.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use bt_engine::Status;
use indicatif::{HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use crate::escape::escape;
use crate::net::{Phase, Progress};

/// How often a line says how things stand, where there are no bars.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Longer names leave no room for figures.
const MAX_NAME: usize = 24;

/// Shows a person how torrents come along.
pub(super) struct Display {
    names: Vec<String>,
    kind: Kind,
}

enum Kind {
    Bars { all: MultiProgress, bars: Vec<ProgressBar> },
    Lines { due: Instant, last: Vec<String> },
    Quiet,
}

impl Display {
    /// A display of torrents with these names; a quiet one shows only what goes wrong.
    pub(super) fn new(names: &[&str], quiet: bool) -> Self {
        let kind = if quiet {
            Kind::Quiet
        } else if stderr().is_terminal() {
            let all = MultiProgress::new();
            let style = ProgressStyle::with_template("{bar:10} {wide_msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = |_| all.add(ProgressBar::new(1).with_style(style.clone()));
            let bars = names.iter().map(bar).collect();
            Kind::Bars { all, bars }
        } else {
            Kind::Lines { due: Instant::now() + LINE_INTERVAL, last: vec![String::new(); names.len()] }
        };
        Self { names: names.iter().map(|name| short_name(name)).collect(), kind }
    }

    /// Shows how the torrents stand, in the order of their names.
    pub(super) fn show(&mut self, torrents: &[Progress]) {
        let texts = self.names.iter().zip(torrents).map(|(name, one)| format!("{name}: {}", describe(one)));
        match &mut self.kind {
            Kind::Bars { bars, .. } => {
                for ((bar, one), text) in bars.iter().zip(torrents).zip(texts) {
                    let (done, total) = amount(one);
                    bar.set_length(total.max(1));
                    bar.set_position(done);
                    bar.set_message(text);
                }
            }
            Kind::Lines { due, last } if Instant::now() >= *due => {
                *due = Instant::now() + LINE_INTERVAL;
                for (text, last) in texts.zip(last) {
                    if text != *last {
                        let _ = writeln!(stderr(), "{text}");
                        *last = text;
                    }
                }
            }
            Kind::Lines { .. } | Kind::Quiet => {}
        }
    }

    /// Says something that a person may want to know.
    pub(super) fn say(&self, text: &str) {
        if !matches!(self.kind, Kind::Quiet) {
            self.print(&escape(text));
        }
    }

    /// Says what went wrong.
    pub(super) fn warn(&self, text: &str) {
        self.print(&format!("bt-run: {}", escape(text)));
    }

    fn print(&self, line: &str) {
        let print = || {
            // Nobody is there to be told that standard error is gone.
            let _ = writeln!(stderr(), "{line}");
        };
        match &self.kind {
            Kind::Bars { all, .. } => all.suspend(print),
            Kind::Lines { .. } | Kind::Quiet => print(),
        }
    }

    /// Takes the bars away.
    pub(super) fn end(&mut self) {
        if let Kind::Bars { all, .. } = &self.kind {
            let _ = all.clear();
        }
        self.kind = Kind::Quiet;
    }
}

fn short_name(name: &str) -> String {
    let name = escape(name);
    if name.chars().count() <= MAX_NAME {
        return name.into_owned();
    }
    name.chars().take(MAX_NAME - 1).chain(['…']).collect()
}

/// How much is done, of how much.
fn amount(progress: &Progress) -> (u64, u64) {
    match progress.phase {
        Phase::Checking { done, total } => (done.into(), total.into()),
        _ => (progress.status.bytes_have, progress.status.bytes_total),
    }
}

/// How a torrent stands, in one line.
pub(super) fn describe(progress: &Progress) -> String {
    match &progress.phase {
        Phase::Checking { done, total } => {
            let text = format!("checking what is there, {done} of {total} pieces");
            match &progress.status.stall {
                Some(stall) => format!("stalled: {}; {text}", escape(&stall.to_string())),
                None => text,
            }
        }
        Phase::Running => describe_running(&progress.status),
        Phase::Stopped => "stopped".to_owned(),
        Phase::Failed(message) => format!("failed: {}", escape(message)),
    }
}

fn describe_running(status: &Status) -> String {
    let Status { bytes_have, bytes_total, peers, download_rate, upload_rate, uploaded, .. } = status;
    let count = if *peers == 1 { "1 peer".to_owned() } else { format!("{peers} peers") };
    let up = HumanBytes(*upload_rate);
    let mut text = if status.complete {
        format!("seeding, up {up}/s, {} sent, {count}", HumanBytes(*uploaded))
    } else {
        // Rounded down: nothing short of everything shows as 100 %.
        let tenths = u128::from(*bytes_have) * 1000 / u128::from((*bytes_total).max(1));
        let (percent, tenth, down) = (tenths / 10, tenths % 10, HumanBytes(*download_rate));
        format!("{percent}.{tenth} % of {}, down {down}/s, up {up}/s, {count}", HumanBytes(*bytes_total))
    };
    if let Some(left) = status.time_left.filter(|_| !status.complete && status.stall.is_none()) {
        text += &format!(", {} left", HumanDuration(left));
    }
    let trouble = status.tracker_trouble.as_ref().map(|trouble| format!("tracker: {}", escape(trouble)));
    // Why nothing moves comes first: a narrow terminal cuts off the end of the line.
    let parts = match &status.stall {
        // Who has everything and nobody to give it to is not stalled.
        Some(stall) if status.complete => {
            [Some(escape(&stall.to_string()).into_owned()), trouble, Some(text)]
        }
        Some(stall) => [Some(format!("stalled: {}", escape(&stall.to_string()))), trouble, Some(text)],
        None => [Some(text), trouble, None],
    };
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use bt_engine::Stall;

    use super::*;

    fn running(status: Status) -> String {
        describe(&Progress { phase: Phase::Running, status })
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let status = Status {
            bytes_total: 64 << 20,
            bytes_have: (64 << 20) - 1,
            download_rate: 2 << 20,
            peers: 1,
            time_left: Some(Duration::from_secs(12)),
            ..Status::default()
        };
        assert_eq!(
            running(status.clone()),
            "99.9 % of 64.00 MiB, down 2.00 MiB/s, up 0 B/s, 1 peer, 12 seconds left"
        );
        let status = Status { complete: true, uploaded: 5 << 10, peers: 2, ..status };
        assert_eq!(running(status), "seeding, up 0 B/s, 5.00 KiB sent, 2 peers");
    }

    #[test]
    fn a_line_says_why_nothing_moves_and_obeys_nobody() {
        let status = Status {
            bytes_total: 10,
            stall: Some(Stall::AllChoke),
            tracker_trouble: Some("go\x1b[2Jaway".to_owned()),
            ..Status::default()
        };
        assert_eq!(
            running(status),
            "stalled: all peers choke us; tracker: go\\u{1b}[2Jaway; \
             0.0 % of 10 B, down 0 B/s, up 0 B/s, 0 peers"
        );
        assert_eq!(short_name("a\nb"), "a\\u{a}b");
        assert_eq!(short_name(&"x".repeat(40)).chars().count(), MAX_NAME);
    }
}
