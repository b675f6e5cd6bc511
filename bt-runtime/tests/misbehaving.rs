//! Plug-ins that panic, hang or lie, in a process with two torrents: the ill one is told by the plug-in's name, and the
//! other arrives, with the right bytes, through a session that ends in time.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_std::future::timeout;
use async_std::task::{block_on, sleep};
use bt_api::testkit::odd::{OddChoke, OddLayer, OddPiece, OddStorage, OddTracker};
use bt_api::{NewFile, PieceHash, TorrentLayout};
use bt_engine::Stall;
use bt_engine::metainfo::{Metainfo, Rules, create};
use bt_runtime::Profile;
use bt_runtime::net::{AddOptions, Phase, Session, SessionOptions, TorrentHandle};
use sha1::{Digest, Sha1};
use tempfile::{TempDir, tempdir};

use {bt_policies as _, bt_storage as _};

bt_api::register!(OddChoke);
bt_api::register!(OddPiece);
bt_api::register!(OddStorage);
bt_api::register!(OddLayer);
bt_api::register!(OddTracker);

/// The length of the ill torrent's pieces in bytes, and of the other's.
const PIECE: [u32; 2] = [32 << 10, 64 << 10];

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The patience of sessions with a store that hangs, and the longest that their end may take: that of trackers, and that
/// of the store twice.
const STORE_PATIENCE: &str = "net.store-patience = '1 s'\n";
const END: Duration = Duration::from_secs(20);

/// A torrent of two files, in a folder that has them.
struct Content {
    metainfo: Metainfo,
    bytes: Vec<u8>,
}

fn content(name: &str, piece: u32, folder: &Path) -> Content {
    let bytes: Vec<u8> = (0..1_000_000_u64)
        .map(|i| (i.wrapping_add(piece.into()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 29) as u8)
        .collect();
    let file = |number: usize| NewFile { path: vec![format!("{number}.dat")], length: 500_000, pad: false };
    let layout = TorrentLayout::several(name, (0..2).map(file).collect(), piece).unwrap();
    let hashes: Vec<_> =
        bytes.chunks(piece as usize).map(|piece| PieceHash(Sha1::digest(piece).into())).collect();
    let metainfo = Metainfo::parse(&create(&layout, &hashes, &Default::default()), Rules::Lenient).unwrap();
    std::fs::create_dir(folder.join(name)).unwrap();
    for (file, bytes) in metainfo.layout.files().iter().zip(bytes.chunks(500_000)) {
        std::fs::write(file.path_in(folder), bytes).unwrap();
    }
    Content { metainfo, bytes }
}

/// The plug-ins of a profile, each a table's inside.
fn profile(choke: &str, piece: &str, storage: &str, tracker: &str, more: &str) -> String {
    format!("{more}[choke]\n{choke}\n[piece]\n{piece}\n[storage]\n{storage}\n[tracker]\n{tracker}\n")
}

const CHOKE: &str = "use = 'unchoke-all'";
const RAREST: &str = "use = 'rarest-first'";
const FILES: &str = "use = 'files'";
const NO_TRACKER: &str = "use = []";

/// The `odd` policy or store, with a fault towards the ill torrent.
fn odd(at: &str, fault: &str) -> String {
    format!("use = 'odd'\nat = {{ {at} = '{fault}' }}\ntorrent = '32 KiB'")
}

async fn session(text: &str) -> Session {
    let profile = Profile::from_text("test", text, &[]).unwrap_or_else(|error| panic!("{error}"));
    let options = SessionOptions {
        listen: Some((Ipv4Addr::LOCALHOST.into(), 0, 0)),
        seed: 1,
        ..SessionOptions::default()
    };
    Session::start(Arc::new(profile), options).await.unwrap()
}

async fn add(session: &Session, content: &Content, folder: &Path, peers: &[SocketAddr]) -> TorrentHandle {
    let options = AddOptions {
        folder: folder.to_owned(),
        peers: peers.to_vec(),
        trackers: Some(Vec::new()),
        check: false,
    };
    session.add(content.metainfo.clone(), options).await.unwrap()
}

/// Both torrents, who has them, and where another may put them.
struct Scene {
    ill: Content,
    well: Content,
    seeder: Session,
    /// Of who has them, and of who gets them.
    folders: [TempDir; 2],
}

impl Scene {
    async fn new() -> Self {
        let folders = [tempdir().unwrap(), tempdir().unwrap()];
        let from = folders[0].path();
        let (ill, well) = (content("ill", PIECE[0], from), content("well", PIECE[1], from));
        let seeder = session(&profile(CHOKE, RAREST, FILES, NO_TRACKER, "")).await;
        for content in [&ill, &well] {
            let handle = add(&seeder, content, from, &[]).await;
            timeout(PATIENCE, handle.wait_complete()).await.expect("it is there");
        }
        Self { ill, well, seeder, folders }
    }

    /// The table of the `odd` tracker client, with a fault towards the ill torrent.
    fn odd_tracker(&self, at: &str, fault: &str) -> String {
        let torrent = self.ill.metainfo.info_hash;
        format!("use = ['odd']\n[tracker.odd]\nat = {{ {at} = '{fault}' }}\ntorrent = '{torrent}'")
    }

    /// Has `session` download both, the ill one first, and waits until the other is complete, with the right bytes where
    /// they are kept in files.
    async fn download(&self, session: &Session) -> (TorrentHandle, TorrentHandle) {
        let from = self.seeder.local_address();
        let ill = add(session, &self.ill, self.folders[1].path(), &[from]).await;
        // What it does, it does before the other begins.
        sleep(Duration::from_millis(100)).await;
        let well = add(session, &self.well, self.folders[1].path(), &[from]).await;
        let done = timeout(PATIENCE, well.wait_complete()).await;
        let progress = well.progress();
        assert!(done.is_ok() && progress.status.complete, "{:?}: {progress:?}", ill.progress());
        assert_eq!(progress.status.hash_failures, 0);
        let paths = self.well.metainfo.layout.files().iter().map(|file| file.path_in(self.folders[1].path()));
        let paths: Vec<_> = paths.filter(|path| path.exists()).collect();
        if !paths.is_empty() {
            let bytes: Vec<u8> = paths.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
            assert!(bytes == self.well.bytes);
        }
        (ill, well)
    }
}

/// Waits until it failed, and answers why.
async fn failure(handle: &TorrentHandle) -> String {
    let ended = timeout(PATIENCE, handle.wait_ended()).await;
    match handle.progress().phase {
        Phase::Failed(message) => message,
        phase => panic!("{phase:?}, {ended:?}: {:?}", handle.progress().status),
    }
}

async fn end(session: Session, why: &str) {
    let begun = Instant::now();
    assert!(timeout(PATIENCE, session.stop()).await.is_ok(), "{why}: it does not end");
    assert!(begun.elapsed() < END, "{why}: {:?}", begun.elapsed());
}

#[test]
fn a_policy_that_panics_ends_its_torrent_alone() {
    block_on(async {
        let scene = Scene::new().await;
        let choke = ["next-round", "max-interested", "notice", "choose"];
        let piece = ["pick", "notice", "endgame", "next-wakeup", "advertise"];
        let choke = choke.map(|at| (at, profile(&odd(at, "panic"), RAREST, FILES, NO_TRACKER, "")));
        let piece = piece.map(|at| (at, profile(CHOKE, &odd(at, "panic"), FILES, NO_TRACKER, "")));
        for (at, text) in choke.into_iter().chain(piece) {
            let leecher = session(&text).await;
            let (ill, _) = scene.download(&leecher).await;
            assert_eq!(failure(&ill).await, format!("the plug-in `odd` panicked: broken at {at}"));
            end(leecher, at).await;
            std::fs::remove_dir_all(scene.folders[1].path().join("well")).unwrap();
            let _ = std::fs::remove_dir_all(scene.folders[1].path().join("ill"));
        }
        scene.seeder.stop().await;
    });
}

#[test]
fn a_policy_that_panics_while_it_serves_or_is_dropped_takes_nobody_along() {
    block_on(async {
        let scene = Scene::new().await;
        // The one who serves is ill: its leecher loses that torrent's only peer, and gets the other.
        let from = scene.folders[0].path();
        let relay = session(&profile(&odd("serve", "panic"), RAREST, FILES, NO_TRACKER, "")).await;
        let ill_there = add(&relay, &scene.ill, from, &[]).await;
        let well_there = add(&relay, &scene.well, from, &[]).await;
        timeout(PATIENCE, well_there.wait_complete()).await.unwrap();
        timeout(PATIENCE, ill_there.wait_complete()).await.unwrap();
        let leecher = session(&profile(CHOKE, RAREST, "use = 'memory'", NO_TRACKER, "")).await;
        let to = scene.folders[1].path();
        add(&leecher, &scene.ill, to, &[relay.local_address()]).await;
        let well = add(&leecher, &scene.well, to, &[relay.local_address()]).await;
        assert_eq!(failure(&ill_there).await, "the plug-in `odd` panicked: broken at serve");
        timeout(PATIENCE, well.wait_complete()).await.expect("it comes");
        assert!(well.progress().status.complete);
        end(leecher, "serve").await;
        end(relay, "serve").await;

        let leecher = session(&profile(&odd("drop", "panic"), RAREST, FILES, NO_TRACKER, "")).await;
        let (ill, _) = scene.download(&leecher).await;
        timeout(PATIENCE, ill.wait_complete()).await.unwrap();
        ill.stop().await;
        assert_eq!(ill.progress().phase, Phase::Stopped, "nothing was lost");
        end(leecher, "drop").await;
        scene.seeder.stop().await;
    });
}

#[test]
fn a_policy_that_lies_is_left_out_and_its_torrent_goes_on() {
    block_on(async {
        let scene = Scene::new().await;
        let leecher =
            session(&profile(&odd("choose", "lie"), RAREST, "use = 'memory'", NO_TRACKER, "")).await;
        let (ill, _) = scene.download(&leecher).await;
        timeout(PATIENCE, ill.wait_complete()).await.unwrap();
        assert!(ill.progress().status.complete);
        let wrong = "the plug-in `odd` answered what cannot be, and is not obeyed: unchoked 1 peers that are not connected";
        assert_eq!(ill.take_warnings(), [wrong], "told once");
        end(leecher, "lie").await;
        // One that never names a piece that can be had gets nothing; the other torrent does.
        let leecher = session(&profile(CHOKE, &odd("pick", "lie"), "use = 'memory'", NO_TRACKER, "")).await;
        let (ill, _) = scene.download(&leecher).await;
        assert_eq!((ill.progress().phase, ill.progress().status.bytes_have), (Phase::Running, 0));
        let warnings = ill.take_warnings().join("\n");
        assert!(
            warnings.starts_with("the plug-in `odd` answered what cannot be") && !warnings.contains('\n')
        );
        end(leecher, "lie").await;
        scene.seeder.stop().await;
    });
}

#[test]
fn a_store_that_panics_ends_its_torrent_alone() {
    block_on(async {
        let scene = Scene::new().await;
        for (at, doing) in [
            ("open", "while opening"),
            ("held", "while saying what it holds"),
            ("write", "while writing piece"),
            ("seal", "while sealing piece"),
            ("checkpoint", "while making a checkpoint"),
        ] {
            let leecher = session(&profile(CHOKE, RAREST, &odd(at, "panic"), NO_TRACKER, "")).await;
            let (ill, _) = scene.download(&leecher).await;
            let message = failure(&ill).await;
            assert!(message.starts_with(&format!("the storage odd panicked {doing}")), "{message}");
            assert!(message.ends_with(&format!(": broken at {at}")), "{message}");
            assert_eq!(ill.take_warnings(), [] as [String; 0], "{at}: it is told once");
            end(leecher, at).await;
        }
        // At its end nothing is left to be stopped, but it is told.
        for (at, doing) in [("close", "while closing"), ("drop", "when it was dropped")] {
            let leecher = session(&profile(CHOKE, RAREST, &odd(at, "panic"), NO_TRACKER, "")).await;
            let (ill, well) = scene.download(&leecher).await;
            timeout(PATIENCE, ill.wait_complete()).await.unwrap();
            end(leecher, at).await;
            assert_eq!(failure(&ill).await, format!("the storage odd panicked {doing}: broken at {at}"));
            assert_eq!(well.progress().phase, Phase::Stopped);
        }
        scene.seeder.stop().await;
    });
}

#[test]
fn a_layer_that_panics_ends_its_torrent_by_both_names() {
    block_on(async {
        let scene = Scene::new().await;
        let layered = |at, fault| format!("use = 'memory'\n[[storage.layer]]\n{}", odd(at, fault));
        let leecher =
            session(&profile(CHOKE, RAREST, &layered("write", "panic-at-once"), NO_TRACKER, "")).await;
        let (ill, _) = scene.download(&leecher).await;
        let message = failure(&ill).await;
        assert!(message.starts_with("the storage memory + odd panicked while writing piece"), "{message}");
        end(leecher, "write").await;
        // One that has it, and breaks when somebody asks.
        let relay = session(&profile(CHOKE, RAREST, &layered("read", "panic"), NO_TRACKER, "")).await;
        let (ill_there, _) = scene.download(&relay).await;
        timeout(PATIENCE, ill_there.wait_complete()).await.unwrap();
        let leecher = session(&profile(CHOKE, RAREST, "use = 'memory'", NO_TRACKER, "")).await;
        add(&leecher, &scene.ill, scene.folders[1].path(), &[relay.local_address()]).await;
        let message = failure(&ill_there).await;
        assert!(message.starts_with("the storage memory + odd panicked while reading piece"), "{message}");
        assert!(message.ends_with(": broken at read"), "{message}");
        end(leecher, "read").await;
        end(relay, "read").await;
        scene.seeder.stop().await;
    });
}

#[test]
fn a_store_that_hangs_is_told_and_given_up_at_the_end() {
    block_on(async {
        let scene = Scene::new().await;
        for (at, does, doing) in [
            ("open", "pend", "opening"),
            ("open", "block", "opening"),
            ("held", "block-lent", "saying what it holds"),
            ("write", "pend", "writing piece"),
            ("write", "block", "writing piece"),
            ("write", "block-lent", "writing piece"),
            ("seal", "block-lent", "sealing piece"),
            ("checkpoint", "block", "making a checkpoint"),
        ] {
            let text = profile(CHOKE, RAREST, &odd(at, does), NO_TRACKER, STORE_PATIENCE);
            let (leecher, why) = (session(&text).await, format!("{at} {does}"));
            let (ill, _) = scene.download(&leecher).await;
            let begun = Instant::now();
            let silence = loop {
                if let Some(Stall::StoreSilent(silence)) = ill.progress().status.stall {
                    break silence;
                }
                assert!(begun.elapsed() < PATIENCE, "{why}: {:?}", ill.progress());
                sleep(Duration::from_millis(50)).await;
            };
            assert!(silence.starts_with("the storage odd has not answered for "), "{why}: {silence}");
            assert!(silence.contains(doing), "{why}: {silence}");
            assert_eq!(ill.take_warnings().len(), 1, "{why}: it is told once");
            end(leecher, &why).await;
            assert_eq!(ill.progress().phase, Phase::Stopped, "{why}");
        }
        let leecher =
            session(&profile(CHOKE, RAREST, &odd("close", "block"), NO_TRACKER, STORE_PATIENCE)).await;
        let (ill, _) = scene.download(&leecher).await;
        timeout(PATIENCE, ill.wait_complete()).await.unwrap();
        end(leecher, "close").await;
        let warnings = ill.take_warnings().join("\n");
        assert!(warnings.contains("has not answered") && warnings.contains("it is given up"), "{warnings}");
        scene.seeder.stop().await;
    });
}

#[test]
fn a_store_that_lies_is_found_out() {
    block_on(async {
        let scene = Scene::new().await;
        let leecher = session(&profile(CHOKE, RAREST, &odd("held", "lie"), NO_TRACKER, "")).await;
        let (ill, _) = scene.download(&leecher).await;
        let wrong = "the storage odd says what it holds of 32 pieces, not of 31";
        assert_eq!(failure(&ill).await, wrong);
        end(leecher, "held").await;
        // Whoever is to send what was read short sends nothing.
        let relay = session(&profile(CHOKE, RAREST, &odd("read", "lie"), NO_TRACKER, "")).await;
        let (ill_there, _) = scene.download(&relay).await;
        timeout(PATIENCE, ill_there.wait_complete()).await.unwrap();
        let leecher = session(&profile(CHOKE, RAREST, "use = 'memory'", NO_TRACKER, "")).await;
        let got = add(&leecher, &scene.ill, scene.folders[1].path(), &[relay.local_address()]).await;
        let begun = Instant::now();
        while !ill_there
            .progress()
            .status
            .stall
            .is_some_and(|stall| stall.to_string().contains("the store answered"))
        {
            assert!(begun.elapsed() < PATIENCE, "{:?}", ill_there.progress());
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((got.progress().status.bytes_have, got.progress().status.hash_failures), (0, 0));
        end(leecher, "read").await;
        end(relay, "read").await;
        scene.seeder.stop().await;
    });
}

#[test]
fn a_tracker_client_that_panics_ends_its_torrent_alone() {
    block_on(async {
        let scene = Scene::new().await;
        for at in ["announce", "unasked"] {
            let tracker = scene.odd_tracker(at, "panic");
            let leecher = session(&profile(CHOKE, RAREST, "use = 'memory'", &tracker, "")).await;
            let (ill, well) = scene.download(&leecher).await;
            assert_eq!(failure(&ill).await, format!("the tracker client odd panicked: broken at {at}"));
            assert_eq!(well.progress().phase, Phase::Running);
            end(leecher, at).await;
        }
        scene.seeder.stop().await;
    });
}

#[test]
fn a_tracker_client_that_hangs_costs_its_torrent_nothing_but_peers() {
    block_on(async {
        let scene = Scene::new().await;
        for does in ["pend", "block", "block-lent"] {
            let tracker = scene.odd_tracker("announce", does);
            let more = "announce.timeout = '1 s'\n";
            let leecher = session(&profile(CHOKE, RAREST, "use = 'memory'", &tracker, more)).await;
            let (ill, _) = scene.download(&leecher).await;
            timeout(PATIENCE, ill.wait_complete()).await.unwrap();
            let begun = Instant::now();
            let trouble = loop {
                if let Some(trouble) = ill.progress().status.tracker_trouble {
                    break trouble;
                }
                assert!(begun.elapsed() < PATIENCE, "{does}: {:?}", ill.progress());
                sleep(Duration::from_millis(50)).await;
            };
            assert_eq!(trouble, "the tracker client odd gave no answer within 1 s");
            end(leecher, does).await;
        }
        scene.seeder.stop().await;
    });
}

#[test]
fn a_plug_in_that_panics_when_it_is_built_is_told_at_its_place() {
    let odd = odd("build", "panic");
    let refused = |text: &str| Profile::from_text("test", text, &[]).unwrap_err().to_string();
    for (text, what) in [
        (profile(&odd, RAREST, FILES, NO_TRACKER, ""), "choke policy"),
        (profile(CHOKE, &odd, FILES, NO_TRACKER, ""), "piece policy"),
        (profile(CHOKE, RAREST, &odd, NO_TRACKER, ""), "storage backend"),
    ] {
        let error = refused(&text);
        let told = format!("the {what} `odd` panicked when it was built: broken at build");
        assert!(error.starts_with("test.toml:") && error.ends_with(&told), "{error}");
    }
    let tracker = "use = ['odd']\n[tracker.odd]\nat = { schemes = 'panic' }";
    let error = refused(&profile(CHOKE, RAREST, FILES, tracker, ""));
    let told = "the tracker client `odd` panicked when it was asked for its schemes: broken at schemes";
    assert!(error.ends_with(told), "{error}");
}
