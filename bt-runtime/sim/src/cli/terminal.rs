//! Where a command writes, its progress bars, and the signals that end it.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bt_runtime::escape::escape;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Where a command writes.
pub(super) struct Terminal<'a> {
    /// What was asked for.
    pub(super) out: &'a mut dyn Write,
    /// Lines for a person.
    notes: &'a mut dyn Write,
}

impl<'a> Terminal<'a> {
    pub(super) fn new(out: &'a mut dyn Write, notes: &'a mut dyn Write) -> Self {
        Self { out, notes }
    }

    /// A line for a person; one that explains itself may take several.
    pub(super) fn note(&mut self, message: &str) {
        for (number, line) in message.lines().enumerate() {
            let name = if number == 0 { "bt-lab: " } else { "" };
            let _ = writeln!(self.notes, "{name}{}", escape(line));
        }
    }
}

/// The signal that asked the process to end, if one did. A second one ends it at once.
#[derive(Clone)]
pub(super) struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Listens for SIGINT and SIGTERM from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let flag = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal arms what the second one triggers.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                exit_code(signal).into(),
                asked.clone(),
            )?;
            signal_hook::flag::register(signal, asked.clone())?;
            signal_hook::flag::register_usize(signal, flag.clone(), signal as usize)?;
        }
        Ok(Self(flag))
    }

    /// The exit code of whoever was asked to end.
    pub(super) fn asked(&self) -> Option<u8> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(exit_code(signal as i32)),
        }
    }
}

fn exit_code(signal: i32) -> u8 {
    128 + signal as u8
}

/// How long something has taken so far: for people, never for results.
#[allow(clippy::disallowed_methods, reason = "people wait in real time")]
pub(super) fn stopwatch() -> impl Fn() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}

/// A bar on standard error, where that is a terminal; what is done is told from 0 to 1.
pub(super) struct Bar(ProgressBar);

/// The steps of a bar.
const STEPS: u64 = 1000;

impl Bar {
    /// A bar of one run, with the time that is left.
    pub(super) fn new(what: &str) -> Self {
        let bar = Self::drawn("{msg} {bar:40} {percent} %, {elapsed} gone, {eta} left");
        bar.set_message(what.to_owned());
        bar
    }

    /// A bar of which the message says what is left.
    pub(super) fn with_message() -> Self {
        Self::drawn("{bar:40} {percent} %, {elapsed} gone, {msg}")
    }

    fn drawn(template: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::new(STEPS).with_style(style))
    }

    pub(super) fn set(&self, done: f64) {
        self.0.set_position((done.clamp(0.0, 1.0) * STEPS as f64) as u64);
    }

    pub(super) fn set_message(&self, what: String) {
        self.0.set_message(what);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
