//! A sweep's list of jobs, run by GNU parallel and by a Slurm of one node: the same results as of the sweep itself.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bt_tests::bt_lab::Lab;
use bt_tests::clients::runs;
use bt_tests::process::{Process, SOON, free_port, wait_for};
use bt_tests::skipped;
use rustix::process::Signal;

const GRID: &str = r#"scenario = "tiny.toml"
seeds = "1..3"
[vary]
peers.leecher.profile = ["mainline", "random-choker"]
"#;

/// How long such a sweep may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// A planned sweep in a folder with a blank in its name, and what the sweep itself gives.
fn planned() -> (Lab, String) {
    let lab = Lab::new();
    lab.write("grid.toml", GRID);
    lab.succeeds(&["sweep", "grid.toml", "--out", "itself"]);
    lab.succeeds(&["gather", "itself"]);
    lab.succeeds(&["sweep", "grid.toml", "--out", "many machines", "--plan"]);
    let wanted = lab.read("itself/cells.csv");
    (lab, wanted)
}

fn gathered(lab: &Lab) -> String {
    lab.succeeds(&["gather", "many machines"]);
    lab.read("many machines/cells.csv")
}

#[test]
fn gnu_parallel_runs_the_jobs() {
    // There is another `parallel`, which knows no such option.
    if !runs("parallel", &["--will-cite", "--version"]) {
        return skipped("GNU parallel is not installed");
    }
    let (lab, wanted) = planned();
    let mut command = Command::new("parallel");
    command.args(["--will-cite", "--jobs", "2", "--halt", "now,fail=1"]);
    command.env("HOME", lab.path("")).env("SHELL", "/bin/sh");
    command.stdin(File::open(lab.path("many machines/jobs.txt")).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(gathered(&lab), wanted);
}

#[test]
fn slurm_runs_the_jobs() {
    // `sbatch` comes with them, and says nothing without a configuration.
    let programs = [("slurmctld", "-V"), ("slurmd", "-V")];
    if let Some((program, _)) = programs.iter().find(|(program, version)| !runs(program, &[version])) {
        return skipped(&format!("{program} is not installed"));
    }
    let (lab, wanted) = planned();
    let slurm = Slurm::start(&lab.path("slurm"));
    let mut command = slurm.command("sbatch");
    command.arg("--wait").arg(lab.path("many machines/array.sbatch"));
    let mut batch = Process::start("sbatch", &slurm.folder, &mut command);
    let code = batch.exit_code(LIMIT);
    let logs = fs::read_dir(lab.path("many machines")).unwrap().flatten();
    let logs = logs.filter(|entry| entry.file_name().to_string_lossy().starts_with("slurm-"));
    let logs: Vec<String> = logs.map(|entry| fs::read_to_string(entry.path()).unwrap_or_default()).collect();
    assert_eq!((code, logs.len()), (0, 6), "{}\n{logs:?}\n{}", batch.story(), slurm.story());
    assert_eq!(gathered(&lab), wanted);
}

/// A Slurm of its own, on loopback, that nobody needs to prove anything to; dropped, it ends.
struct Slurm {
    folder: std::path::PathBuf,
    controller: Process,
    node: Process,
}

impl Slurm {
    fn start(folder: &Path) -> Self {
        for part in ["state", "spool"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap_or("localhost");
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap();
        let (user, dir, ports) = (user.trim(), folder.display(), [free_port(), free_port()]);
        let config = format!(
            "ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={}
SlurmdPort={}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/none
CredType=cred/none
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES State=UP
",
            ports[0], ports[1]
        );
        fs::write(folder.join("slurm.conf"), config).unwrap();
        let config = folder.join("slurm.conf");
        let daemon = |name: &str| {
            let mut command = Command::new(name);
            command.arg("-D").arg("-f").arg(&config).env("SLURM_CONF", &config);
            Process::start(name, folder, &mut command)
        };
        let slurm =
            Self { folder: folder.to_owned(), controller: daemon("slurmctld"), node: daemon("slurmd") };
        wait_for("the node is idle", SOON, || {
            let output = slurm.command("sinfo").args(["--noheader", "--format=%T"]).output().ok()?;
            (String::from_utf8_lossy(&output.stdout).trim() == "idle").then_some(())
        });
        slurm
    }

    /// A command that knows this Slurm.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.folder.join("slurm.conf")).stdin(Stdio::null());
        command
    }

    fn story(&self) -> String {
        format!("{}\n{}", self.controller.story(), self.node.story())
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // Asked first, the node ends what it started.
        for process in [&mut self.node, &mut self.controller] {
            if process.ended().is_none() {
                process.signal(Signal::TERM);
            }
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5)
            && (self.node.ended().is_none() || self.controller.ended().is_none())
        {
            thread::sleep(Duration::from_millis(20));
        }
    }
}
