//! A process with two torrents, towards one of which a plug-in misbehaves: one line names the torrent and the plug-in, the
//! other torrent arrives, and the exit code says that not all is well.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bt_tests::bt_run::{BtRun, summaries};
use bt_tests::content::{Content, Torrent};
use bt_tests::probe;
use bt_tests::process::{Process, SOON};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::package;

/// What goes well; a store that is silent is told soon.
const PROFILE: &str = "net.store-patience = '1 s'\n[choke]\nuse = 'unchoke-all'\n[piece]\nuse = 'rarest-first'\n\
                       [storage]\nuse = 'files'\n[tracker]\nuse = []\n";

/// How long a process with a store that hangs may take to end: the store is waited for twice.
const END: Duration = Duration::from_secs(20);

/// Both torrents, and who has them.
struct Scene {
    ill: Torrent,
    well: Torrent,
    content: Content,
    seeder: SocketAddr,
    folder: TempDir,
    _seeding: Process,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (ill, content) = (Content::file("ill", 1 << 20, 1), Content::file("well", 1 << 20, 2));
        let torrent = |of: &Content, name: &str, piece: &str| {
            // Nobody listens there: the peer is named on the command line.
            of.torrent("http://127.0.0.1:9/announce", piece, folder.path().join(name))
        };
        let (its, well) =
            (torrent(&ill, "ill.torrent", "32 KiB"), torrent(&content, "well.torrent", "64 KiB"));
        fs::copy(ill.path(), content.folder().join("ill")).unwrap();
        let seeder = BtRun::new("seeder", &its.file, content.folder(), folder.path());
        let (mut seeding, seeder) = seeder.with([well.file.to_str().unwrap()]).start_and_wait(&its);
        seeding.until("the other is answered for", SOON, || probe::greet(seeder, well.info_hash()).ok());
        Self { ill: its, well, content, seeder, folder, _seeding: seeding }
    }

    /// Everything of one run of who downloads them.
    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn output(&self) -> PathBuf {
        self.run().join("output")
    }

    /// Starts a download of both, the ill one first, with this in the profile.
    fn download(&self, set: &str, stop_when: &str) -> Process {
        let profile = self.folder.path().join("profile.toml");
        fs::write(&profile, PROFILE).unwrap();
        // Nothing is left of an earlier one.
        let _ = fs::remove_dir_all(self.run());
        fs::create_dir_all(self.output()).unwrap();
        let mut odd = Command::new(&package().odd);
        odd.env_remove("RUST_BACKTRACE").arg("--profile").arg(profile).args(["--set", set]);
        odd.args(["--listen", "127.0.0.1:0", "--quiet", "--json", "--stop-when", stop_when]);
        odd.arg("--output").arg(self.output()).arg("--state").arg(self.run().join("state"));
        odd.args(["--peer", &self.seeder.to_string()]).arg(&self.ill.file).arg(&self.well.file);
        Process::start("odd", self.folder.path(), &mut odd)
    }

    /// Checks that it told once, in one line, that `why` ended or halted the ill torrent, and that the other came whole. Of
    /// a store that never answers another line may tell that it is given up.
    fn assert_ill_alone(&self, odd: &Process, why: &str) {
        let errors = odd.errors();
        let told: Vec<&str> = errors.lines().filter(|line| !line.ends_with("; it is given up")).collect();
        let [told] = told[..] else { panic!("one line: {}", odd.story()) };
        assert!(told.starts_with(&format!("bt-run: ill: {why}")), "{told}");
        let [ill, well] = &summaries(odd)[..] else { panic!("two summaries: {}", odd.story()) };
        assert_eq!((&ill["name"], &ill["complete"]), (&"ill".into(), &false.into()));
        assert!(ill["error"].as_str().is_some_and(|error| error.starts_with(why)), "{ill}");
        assert_eq!(
            (&well["name"], &well["complete"], &well["error"]),
            (&"well".into(), &true.into(), &().into())
        );
        self.content.assert_same(&self.output());
    }
}

/// Told of a plug-in that has this fault towards the ill torrent.
fn odd(at: &str, fault: &str) -> String {
    format!("at={{{at}='{fault}'}},torrent='32 KiB'")
}

#[test]
fn a_plug_in_that_panics_ends_its_torrent_alone() {
    let scene = Scene::new();
    let info_hash = scene.ill.info_hash();
    for (set, why) in [
        (
            format!("choke={{use='odd',{}}}", odd("choose", "panic")),
            "the plug-in `odd` panicked: broken at choose",
        ),
        (
            format!("piece={{use='odd',{}}}", odd("pick", "panic")),
            "the plug-in `odd` panicked: broken at pick",
        ),
        (
            format!("storage.layer=[{{use='odd',{}}}]", odd("write", "panic")),
            "the storage files + odd panicked while writing piece ",
        ),
        (
            format!("storage.layer=[{{use='odd',{}}}]", odd("checkpoint", "panic-at-once")),
            "the storage files + odd panicked while making a checkpoint: broken at checkpoint",
        ),
        (
            format!("tracker={{use=['odd'],odd={{at={{announce='panic'}},torrent='{info_hash}'}}}}"),
            "the tracker client odd panicked: broken at announce",
        ),
    ] {
        let mut odd = scene.download(&set, "complete");
        assert_eq!(odd.exit_code(SOON), 1, "{set}: {}", odd.story());
        scene.assert_ill_alone(&odd, why);
    }
}

#[test]
fn a_store_that_never_answers_holds_up_neither_the_other_torrent_nor_the_end() {
    let scene = Scene::new();
    let why = "the storage files + odd has not answered for ";
    for fault in ["block", "block-lent", "pend"] {
        let set = format!("storage.layer=[{{use='odd',{}}}]", odd("write", fault));
        // It could answer some day, so the process goes on until somebody has enough of it.
        let mut odd = scene.download(&set, "complete");
        let there = || fs::read(scene.output().join("well")).unwrap_or_default();
        let whole = fs::read(scene.content.path()).unwrap();
        odd.until("the other is there", SOON, || (there() == whole).then_some(()));
        odd.until_told(why, SOON);
        odd.signal(Signal::INT);
        assert_eq!(odd.exit_code(END), 130, "{fault}: {}", odd.story());
        scene.assert_ill_alone(&odd, why);
    }
    let set = format!("storage.layer=[{{use='odd',{}}}]", odd("seal", "block"));
    let mut odd = scene.download(&set, "time=4 s");
    assert_eq!(odd.exit_code(END), 1, "{}", odd.story());
    scene.assert_ill_alone(&odd, why);
}
