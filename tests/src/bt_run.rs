//! One run of `bt-run`, its summary and its event log.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::content::Torrent;
use crate::process::{Process, SOON, free_port};
use crate::{binaries, probe};

/// The user and group `nobody`.
const NOBODY: u32 = 65534;

/// `bt-run` with the profile `mainline`, to be started.
pub struct BtRun {
    command: Command,
    name: String,
    folder: PathBuf,
    addr: SocketAddr,
    profile: String,
    quiet: bool,
}

impl BtRun {
    /// A run of `torrent` into `output`, which listens at a port of its own. Its resume files, its log and its
    /// events are in `folder`, under `name`: two runs of one name resume each other.
    pub fn new(name: &str, torrent: &Path, output: &Path, folder: &Path) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = binaries::bt_run();
        command.args(["--json", "--listen", &addr.to_string()]);
        command.arg("--output").arg(output).arg("--state").arg(folder.join(format!("{name}.state")));
        command.arg("--events").arg(folder.join(format!("{name}.events"))).arg(torrent);
        Self {
            command,
            name: name.to_owned(),
            folder: folder.to_owned(),
            addr,
            profile: "mainline.toml".to_owned(),
            quiet: true,
        }
    }

    /// With further arguments.
    pub fn with<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(arguments);
        self
    }

    /// With another profile.
    pub fn profile(self, name: &str) -> Self {
        Self { profile: name.to_owned(), ..self }
    }

    /// With a variable in its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Ended once it is complete.
    pub fn until_complete(self) -> Self {
        self.with(["--stop-when", "complete"])
    }

    /// Saying on standard error how it comes along, and not only what goes wrong.
    pub fn aloud(self) -> Self {
        Self { quiet: false, ..self }
    }

    /// With peers to connect to.
    pub fn peers(self, peers: impl IntoIterator<Item = SocketAddr>) -> Self {
        peers.into_iter().fold(self, |run, peer| run.with(["--peer", &peer.to_string()]))
    }

    /// As another user than root, who may write anywhere; any other user stays who they are.
    pub fn not_as_root(mut self) -> Self {
        if !rustix::process::geteuid().is_root() {
            return self;
        }
        // Nobody may look into the folder where cargo puts it.
        let program = self.folder.join("bt-run");
        fs::copy(self.command.get_program(), &program).expect("the program can be copied");
        let mut command = Command::new(program);
        command.args(self.command.get_args()).uid(NOBODY).gid(NOBODY);
        self.command = command;
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Process {
        self.command.args(["--profile", &self.profile]);
        if self.quiet {
            self.command.arg("--quiet");
        }
        Process::start(&self.name, &self.folder, &mut self.command)
    }

    /// Starts it and waits until it answers peers of `torrent`: before, it would turn them away.
    pub fn start_and_wait(self, torrent: &Torrent) -> (Process, SocketAddr) {
        let addr = self.addr;
        let mut process = self.start();
        process.until("peers are answered", SOON, || probe::greet(addr, torrent.info_hash()).ok());
        (process, addr)
    }
}

/// The summary of its one torrent that `--json` put on standard output.
///
/// # Panics
/// When there is none.
pub fn summary(process: &Process) -> Value {
    let first = summaries(process).into_iter().next();
    first.unwrap_or_else(|| panic!("no summary: {}", process.story()))
}

/// The summaries of its torrents, in the order of the arguments.
pub fn summaries(process: &Process) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    process.output().lines().map(read).collect()
}

/// The events of the last run of `name`. A run that was killed may leave half a line at the end.
pub fn events(name: &str, folder: &Path) -> Vec<Value> {
    let text = fs::read(folder.join(format!("{name}.events"))).expect("the event log is there");
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let mut events: Vec<Value> = lines
        .map(|line| serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error} in an event")))
        .collect();
    assert_eq!(events.remove(0)["schema"], 1, "the header comes first");
    events
}

/// The sum of a field of all summaries or events.
pub fn sum<'a>(values: impl IntoIterator<Item = &'a Value>, field: &str) -> u64 {
    values
        .into_iter()
        .map(|value| value[field].as_u64().unwrap_or_else(|| panic!("no {field}: {value}")))
        .sum()
}
