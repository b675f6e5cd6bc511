//! Ctrl-C and `kill`.

use std::io;
use std::process::exit;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A signal that asks us to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal(i32);

impl Signal {
    /// The exit code of a process that it ended: 130 for Ctrl-C, 143 for `kill`.
    pub(super) fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(1)
    }
}

/// Tells of the first signal; the second one ends the process at once.
///
/// # Errors
/// When the system does not let us.
pub(super) fn watch(tell: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut asked = false;
        for signal in signals.forever().map(Signal) {
            if asked {
                exit(signal.exit_code().into());
            }
            asked = true;
            tell(signal);
        }
    })?;
    Ok(())
}
