//! Child processes that end with their test, and waits that end at a deadline.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take that is quick on an idle machine.
pub const SOON: Duration = Duration::from_secs(60);

/// How often a condition is looked at that nothing tells of.
const POLL: Duration = Duration::from_millis(10);

/// How much of a log a failure shows.
const SHOWN: usize = 4000;

/// Looks at `condition` until it answers.
///
/// # Panics
/// When it has not within `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        thread::sleep(POLL);
    }
}

/// A port of 127.0.0.1 that is free for TCP now; somebody else may take it before it is used.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Whether somebody listens there.
pub fn listens(addr: SocketAddr) -> bool {
    TcpStream::connect_timeout(&addr, Duration::from_secs(1)).is_ok()
}

/// A child process with its output in a file; dropped, it is killed.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both its outputs go to `NAME.log` in `folder`, except that standard output goes to
    /// `NAME.out`. Nothing of the user's settings, language or home reaches it.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = |path: &Path| File::create(path).expect("a log file is made");
        command.stdin(Stdio::null()).stdout(file(&log.with_extension("out"))).stderr(file(&log));
        command.env("HOME", folder).env("LC_ALL", "C.UTF-8").env_remove("XDG_CONFIG_HOME");
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { child, name: name.to_owned(), log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.with_extension("out")).unwrap_or_default()).into_owned()
    }

    /// Its standard error so far.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it says `text` on standard error.
    ///
    /// # Panics
    /// When it has not within `limit`, or ended first.
    pub fn until_told(&mut self, text: &str, limit: Duration) {
        let log = self.log.clone();
        let told = || String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).contains(text);
        self.until(&format!("it says {text:?}"), limit, || told().then_some(()));
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{} is gone: {error}", self.name));
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it has not within `limit`; the end of its log is shown.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(start.elapsed() < limit, "not over within {limit:?}: {}", self.story());
            thread::sleep(POLL);
        }
    }

    /// Waits until `condition` answers.
    ///
    /// # Panics
    /// When it has not within `limit`, or the process ended first.
    pub fn until<T>(&mut self, what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = condition() {
                return answer;
            }
            if let Some(status) = self.ended() {
                panic!("{what}: ended before with {status}: {}", self.story());
            }
            assert!(start.elapsed() < limit, "{what}: not within {limit:?}: {}", self.story());
            thread::sleep(POLL);
        }
    }

    /// Waits for the code that it exits with.
    ///
    /// # Panics
    /// When it has not ended within `limit`, or by a signal.
    pub fn exit_code(&mut self, limit: Duration) -> i32 {
        let status = self.wait(limit);
        status.code().unwrap_or_else(|| panic!("ended by a signal: {status}: {}", self.story()))
    }

    /// Its name and the end of what it wrote, for a failure.
    pub fn story(&self) -> String {
        let end = |path: &Path| {
            let bytes = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(SHOWN)..]).into_owned();
            // Of a line that is drawn again and again, as it was last.
            let lines = text.lines().map(|line| line.rsplit('\r').next().unwrap_or_default());
            lines.collect::<Vec<_>>().join("\n")
        };
        format!("{}\n{}\n{}", self.name, end(&self.log.with_extension("out")), end(&self.log))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
