//! What is written is read back, and the same run gives the same bytes.

use std::fs::File;
use std::io::BufReader;

use bt_api::Instant;
use bt_engine::Event;
use bt_engine::event::{Dir, Joined};
use sha2::{Digest, Sha256};
use tempfile::tempdir;

use super::*;
use crate::Observer;
use crate::measure::{Measures, read_log};

fn manifest() -> Manifest {
    Manifest {
        schema: SCHEMA,
        scenario: ScenarioText { name: "ring".to_owned(), toml: "name = \"ring\"\n".to_owned() },
        seed: 7,
        versions: [("bt-sim".to_owned(), "0.1.0".to_owned())].into(),
        ended: "done".to_owned(),
        ..Manifest::default()
    }
}

/// A ring of peers in which each serves the next, told to `observer`; with times that are no round numbers.
fn ring(observer: &mut dyn Observer) -> Instant {
    const PEERS: u32 = 12;
    const PIECES: u32 = 40;
    let address = |node: u32| format!("10.0.0.{node}:6881").parse().unwrap();
    let mut now = Instant::ZERO;
    let mut tell = |after: u64, node, event: Event| {
        now += Duration::from_nanos(after);
        observer.event(now, node, &event);
        now
    };
    for node in 0..PEERS {
        let class = if node % 3 == 0 { "a, \"quoted\"" } else { "b" };
        tell(
            1_234_567,
            node,
            Event::Joined(Box::new(Joined {
                addr: Some(address(node)),
                class: Some(class.to_owned()),
                up: Some(1000 + u64::from(node)),
                down: Some(10_000_000),
                total_length: u64::from(PIECES) * 1000 - 1,
                piece_length: 1000,
                have: if node == 0 { format!("0-{}", PIECES - 1) } else { String::new() },
            })),
        );
    }
    for node in 0..PEERS {
        let next = (node + 1) % PEERS;
        tell(7, node, Event::PeerConnected { peer: 0, addr: address(next), incoming: false });
        tell(7, next, Event::PeerConnected { peer: 1, addr: address(node), incoming: true });
        tell(7, node, Event::Interested { peer: 0, dir: Dir::From, value: true });
        tell(7, next, Event::Interested { peer: 1, dir: Dir::To, value: true });
        tell(7, node, Event::Unchoke { peer: 0, dir: Dir::To, reason: Some("rate".into()) });
        tell(7, next, Event::Unchoke { peer: 1, dir: Dir::From, reason: None });
    }
    for piece in 0..PIECES {
        for node in 0..PEERS - 2 {
            let next = node + 1;
            let block = |peer, dir| Event::Block { peer, dir, piece, begin: 0, length: 1000 };
            tell(98_765_432, node, block(0, Dir::To));
            tell(1, next, block(1, Dir::From));
            tell(1, next, Event::PieceVerified { piece, peers: vec![1] });
            tell(0, next, Event::Have { peer: 0, dir: Dir::To, piece: Some(piece), pieces: None });
            if piece == PIECES - 1 {
                tell(0, next, Event::Complete { downloaded: 40_000, uploaded: 40_000 });
            }
        }
    }
    tell(333, 1, Event::Left {})
}

#[test]
fn a_log_read_back_gives_the_same_figures_to_the_byte() {
    let folder = tempdir().unwrap();
    let manifest = manifest();
    let mut recorder = Recorder::new(Some(EventStream::written(&manifest.header(), folder.path()).unwrap()));
    // It lasts a while longer than anything happens.
    let end = ring(&mut recorder) + std::time::Duration::from_millis(1500);
    let recorded = recorder.finish(end, Some(2.0));
    let streamed = recorded.stream.unwrap().unwrap();

    let log = std::fs::read(folder.path().join(EVENTS)).unwrap();
    let sha256: String = Sha256::digest(&log).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(streamed.sha256, sha256);
    // Besides the events there is a first line and a last one.
    assert_eq!(streamed.events, log.iter().filter(|byte| **byte == b'\n').count() as u64 - 2);

    let mut measures = Measures::new();
    let file = BufReader::new(File::open(folder.path().join(EVENTS)).unwrap());
    let (run, last) = read_log(file, |now, node, event| measures.event(now, node, event)).unwrap();
    assert_eq!((run["scenario"].as_str(), last), (Some("ring"), end));
    let again = measures.finish(last, Some(2.0));
    assert!(again == recorded.measured, "the log gives other figures");
    let text = |measured: &Measured| serde_json::to_string_pretty(&measured.summary).unwrap();
    assert_eq!(text(&again), text(&recorded.measured));
    // All that the log gives is there.
    assert_eq!(again.summary.left_out.len(), 3);
    assert_eq!((again.summary.finished, again.summary.censored), (10, 1));
}

#[test]
fn what_is_written_is_read_back_and_is_the_same_twice() {
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let mut bytes = Vec::new();
    for folder in [&one, &two] {
        let mut recorder = Recorder::new(Some(EventStream::hashed(&manifest().header()).unwrap()));
        let end = ring(&mut recorder);
        let recorded = recorder.finish(end, None);
        let streamed = recorded.stream.unwrap().unwrap();
        let manifest = Manifest {
            events: Some(streamed.events),
            events_sha256: Some(streamed.sha256),
            end_s: end.as_secs_f64(),
            ..manifest()
        };
        // A folder that is not there yet.
        let folder = folder.path().join("deep/er");
        write(&folder, &manifest, &recorded.measured).unwrap();
        let files = read(&folder).unwrap();
        assert!(
            files == RunFiles { manifest, measured: recorded.measured },
            "what is read is not what was written"
        );
        let names = [MANIFEST, SUMMARY, PEERS, SERIES, CHOKE_MATRIX];
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), names.len());
        bytes.push(names.map(|name| std::fs::read(folder.join(name)).unwrap()));
    }
    assert!(bytes[0] == bytes[1]);
    let peers = String::from_utf8(bytes[0][2].clone()).unwrap();
    assert!(peers.starts_with(
        "peer,class,arrived_s,completed_s,left_s,uploaded_bytes,downloaded_bytes,wasted_bytes,completion_time,"
    ));
}

#[test]
fn what_cannot_be_written_or_read_is_one_line_that_says_where() {
    let folder = tempdir().unwrap();
    let measured = Measures::new().finish(Instant::ZERO, None);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = write(&file.join("run"), &manifest(), &measured).unwrap_err().to_string();
    assert!(error.starts_with(&format!("making the folder {:?}: ", file.join("run"))), "{error}");

    write(folder.path(), &manifest(), &measured).unwrap();
    for (name, text, message) in [
        (PEERS, "peer,class\n", "line 1: there is no column arrived_s"),
        (
            SERIES,
            "t,scope,metric,value\n1,overall,seeds,many\n",
            "line 2: value is \"many\"; a number is wanted",
        ),
        (SERIES, "t,scope,metric,value\n1,overall\n", "CSV error: record 1 (line: 2, byte: 21)"),
        (SUMMARY, "{", "EOF while parsing an object at line 1 column 1"),
    ] {
        let before = std::fs::read(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("reading {:?}: {message}", folder.path().join(name))), "{error}");
        assert!(!error.contains('\n'));
        std::fs::write(folder.path().join(name), before).unwrap();
    }
    std::fs::remove_file(folder.path().join(MANIFEST)).unwrap();
    let error = read(folder.path()).unwrap_err();
    assert!(error.kind() == io::ErrorKind::NotFound && error.to_string().contains(MANIFEST), "{error}");
}

/// A device that is always full, where the system has one.
#[test]
fn a_full_disk_is_told_and_nothing_half_written_stays() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let mut part = Part { path: "x".into(), part: "/nowhere/x.part".into(), file: File::create(full).ok() };
    let error = part.write(|file| file.write_all(b"text")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(error.to_string().starts_with("writing \"x\": "), "{error}");

    let mut stream = EventStream::hashed(&manifest().header()).unwrap();
    stream.file = Some(part);
    let mut recorder = Recorder::new(Some(stream));
    assert!(recorder.progress(Instant::ZERO, 0.0));
    for _ in 0..10_000 {
        recorder.event(Instant::ZERO, 0, &Event::Choke { peer: 0, dir: Dir::To });
    }
    assert!(!recorder.progress(Instant::ZERO, 0.5), "to go on is in vain");
    assert_eq!(recorder.finish(Instant::ZERO, None).stream.unwrap_err().kind(), io::ErrorKind::StorageFull);
}
