//! The network driver over loopback: real sockets, real files, whole sessions.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_std::future::timeout;
use async_std::task::block_on;
use bt_api::{BlockRef, InfoHash, NewFile, PeerId, PieceHash, PieceIndex, TorrentLayout};
use bt_engine::handshake;
use bt_engine::metainfo::{Metainfo, Rules, create};
use bt_engine::wire::{Message, encode};
use bt_runtime::Profile;
use bt_runtime::net::{AddOptions, Phase, Session, SessionError, SessionOptions, TorrentHandle};
use futures::FutureExt;
use sha1::{Digest, Sha1};
use tempfile::{TempDir, tempdir};

use {bt_policies as _, bt_storage as _};

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A torrent and the folder that holds its files.
struct Content {
    metainfo: Metainfo,
    bytes: Vec<u8>,
    folder: TempDir,
}

fn content(name: &str, lengths: &[u64], piece_length: u32) -> Content {
    let total: u64 = lengths.iter().sum();
    let bytes: Vec<u8> = (0..total).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 29) as u8).collect();
    let files = lengths.iter().enumerate();
    let files = files.map(|(i, &length)| NewFile { path: vec![format!("{i}.dat")], length, pad: false });
    let layout = TorrentLayout::several(name, files.collect(), piece_length).unwrap();
    let hashes: Vec<_> =
        bytes.chunks(piece_length as usize).map(|piece| PieceHash(Sha1::digest(piece).into())).collect();
    let metainfo = Metainfo::parse(&create(&layout, &hashes, &Default::default()), Rules::Lenient).unwrap();
    let folder = tempdir().unwrap();
    std::fs::create_dir(folder.path().join(name)).unwrap();
    for file in metainfo.layout.files() {
        let range = file.offset() as usize..(file.offset() + file.length()) as usize;
        std::fs::write(file.path_in(folder.path()), &bytes[range]).unwrap();
    }
    Content { metainfo, bytes, folder }
}

impl Content {
    fn assert_in(&self, folder: &Path) {
        let files =
            self.metainfo.layout.files().iter().map(|file| std::fs::read(file.path_in(folder)).unwrap());
        assert!(files.flatten().eq(self.bytes.iter().copied()), "the files are not those that were sent");
    }
}

async fn session_at(address: IpAddr, storage: &str, keys: &str, state: Option<&Path>) -> Session {
    let text = format!(
        "[choke]\nuse = 'tit-for-tat'\n[piece]\nuse = 'rarest-first'\n[storage]\nuse = '{storage}'\n\
         [tracker]\nuse = []\n{keys}"
    );
    let profile = Profile::from_text("test", &text, &[]).unwrap_or_else(|error| panic!("{error}"));
    let options = SessionOptions {
        listen: Some((address, 0, 0)),
        seed: 1,
        state: state.map(Path::to_owned),
        ..SessionOptions::default()
    };
    Session::start(Arc::new(profile), options).await.unwrap()
}

async fn session(storage: &str, keys: &str) -> Session {
    session_at(Ipv4Addr::LOCALHOST.into(), storage, keys, None).await
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

async fn seed(session: &Session, content: &Content) -> TorrentHandle {
    let handle = add(session, content, content.folder.path(), &[]).await;
    complete(&handle).await;
    handle
}

async fn complete(handle: &TorrentHandle) {
    let done = timeout(PATIENCE, handle.wait_complete()).await;
    let progress = handle.progress();
    assert!(done.is_ok() && progress.status.complete, "{progress:?}");
}

#[test]
fn a_torrent_of_several_files_goes_from_disk_through_memory_to_disk() {
    block_on(async {
        let content = content("album", &[1_000_000, 0, 5, 2_500_000, 70_000], 256 << 10);
        let (seeder, relay, leecher) =
            (session("files", "").await, session("memory", "").await, session("files", "").await);
        seed(&seeder, &content).await;
        let folder = tempdir().unwrap();
        let passing = add(&relay, &content, folder.path(), &[seeder.local_address()]).await;
        complete(&passing).await;
        seeder.stop().await;
        let got = add(&leecher, &content, folder.path(), &[relay.local_address()]).await;
        complete(&got).await;
        content.assert_in(folder.path());
        let status = got.progress().status;
        assert_eq!((status.downloaded, status.wasted), (content.bytes.len() as u64, 0));
        relay.stop().await;
        leecher.stop().await;
        assert_eq!(got.progress().phase, Phase::Stopped);
    });
}

#[test]
fn torrents_share_a_listener_and_ipv6_works() {
    block_on(async {
        let (one, two) =
            (content("one", &[3_000_000], 64 << 10), content("two", &[100_000, 200_000], 32 << 10));
        let address = Ipv6Addr::LOCALHOST.into();
        let (left, right) =
            (session_at(address, "files", "", None).await, session_at(address, "files", "", None).await);
        let (folder_left, folder_right) = (tempdir().unwrap(), tempdir().unwrap());
        // Each has one torrent and wants the other.
        seed(&left, &one).await;
        seed(&right, &two).await;
        let two_left = add(&left, &two, folder_left.path(), &[right.local_address()]).await;
        let one_right = add(&right, &one, folder_right.path(), &[left.local_address()]).await;
        complete(&two_left).await;
        complete(&one_right).await;
        two.assert_in(folder_left.path());
        one.assert_in(folder_right.path());
        left.stop().await;
        right.stop().await;
    });
}

#[test]
fn pieces_larger_than_all_memory_arrive() {
    block_on(async {
        let content = content("big", &[40_000_000], 16 << 20);
        let memory = "[net]\nmemory = '8 MiB'\n[requests]\nbacklog = 100\n[upload]\nin-flight = 16\n";
        let (seeder, leecher) = (session("files", memory).await, session("files", memory).await);
        seed(&seeder, &content).await;
        let folder = tempdir().unwrap();
        let got = add(&leecher, &content, folder.path(), &[seeder.local_address()]).await;
        complete(&got).await;
        content.assert_in(folder.path());
        for session in [&seeder, &leecher] {
            assert!(session.peak_memory() < 9 << 20, "{} bytes", session.peak_memory());
        }
        seeder.stop().await;
        leecher.stop().await;
    });
}

#[test]
fn a_restart_trusts_the_resume_file_and_finds_what_changed() {
    block_on(async {
        let content = content("kept", &[2_000_000], 64 << 10);
        let (folder, state) = (tempdir().unwrap(), tempdir().unwrap());
        let start = || session_at(Ipv4Addr::LOCALHOST.into(), "files", "", Some(state.path()));
        let seeder = session("files", "").await;
        seed(&seeder, &content).await;
        let first = start().await;
        let got = add(&first, &content, folder.path(), &[seeder.local_address()]).await;
        complete(&got).await;
        first.stop().await;
        seeder.stop().await;

        let second = start().await;
        let again = add(&second, &content, folder.path(), &[]).await;
        complete(&again).await;
        assert_eq!(again.take_warnings(), Vec::<String>::new());
        second.stop().await;

        // A file that changed is hashed, whatever the resume file says; a broken resume file costs a check.
        let path = content.metainfo.layout.files()[0].path_in(folder.path());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        for broken in [false, true] {
            if broken {
                let resume = state.path().join(format!("{}.resume", content.metainfo.info_hash));
                std::fs::write(resume, "nonsense").unwrap();
            }
            let third = start().await;
            let damaged = add(&third, &content, folder.path(), &[]).await;
            while matches!(damaged.progress().phase, Phase::Checking { .. })
                || damaged.progress().status.bytes_total == 0
            {
                async_std::task::yield_now().await;
            }
            let status = damaged.progress().status;
            assert_eq!(status.bytes_total - status.bytes_have, 64 << 10);
            assert_eq!(damaged.take_warnings().len(), usize::from(broken));
            third.stop().await;
        }
    });
}

#[test]
fn the_same_torrent_or_the_same_file_twice_is_refused() {
    block_on(async {
        let (one, other) = (content("same", &[100_000], 32 << 10), content("same", &[120_000], 32 << 10));
        let session = session("memory", "").await;
        let folder = tempdir().unwrap();
        let options = || AddOptions { folder: folder.path().to_owned(), ..AddOptions::default() };
        let handle = session.add(one.metainfo.clone(), options()).await.unwrap();
        assert!(matches!(session.add(one.metainfo.clone(), options()).await, Err(SessionError::Added(_))));
        let error = session.add(other.metainfo.clone(), options()).await.err().unwrap();
        assert!(
            error.to_string().contains("0.dat") && matches!(error, SessionError::SameFile { .. }),
            "{error}"
        );
        handle.stop().await;
        session.add(one.metainfo.clone(), options()).await.expect("a stopped one may be added again");
        session.stop().await;
    });
}

/// Connects to `session` as a peer of `torrent` and ends its handshake.
fn connect(session: &Session, torrent: InfoHash) -> TcpStream {
    let mut peer = TcpStream::connect(session.local_address()).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    peer.write_all(&handshake::whole(torrent, PeerId(*b"-XX0000-abcdefghijkl"))).unwrap();
    let mut answer = [0; handshake::LENGTH];
    peer.read_exact(&mut answer).unwrap();
    peer
}

/// BEP 6, where the profile rejects requests: offered to all, spoken with those that offer it too.
#[test]
fn the_fast_extension_is_spoken_where_both_ends_offer_it() {
    const REJECT: &str = "[upload]\nchoked-request = 'reject'\n";
    block_on(async {
        let content = content("fast", &[3_000_000], 64 << 10);
        let seeder = session("files", REJECT).await;
        seed(&seeder, &content).await;
        let (have_all, bitfield) = ([0, 0, 0, 1, 14], [0, 0, 0, 7, 5]);
        for (offered, first) in [(true, have_all), (false, bitfield)] {
            // Not the same peer again: the end of the first connection may be noticed after the second begins.
            let id = PeerId(if offered { *b"-XX0000-abcdefghijkl" } else { *b"-XX0000-mnopqrstuvwx" });
            let mut ours = handshake::whole(content.metainfo.info_hash, id);
            if offered {
                handshake::offer_fast(&mut ours);
            }
            let mut peer = TcpStream::connect(seeder.local_address()).unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            peer.write_all(&ours).unwrap();
            let mut answer = [0; handshake::LENGTH + 5];
            peer.read_exact(&mut answer).unwrap();
            assert_eq!(answer[20..28], [0, 0, 0, 0, 0, 0, 0, 4]);
            assert_eq!(answer[handshake::LENGTH..], first);
        }
        // A dialled peer, and one that does not know it.
        for keys in [REJECT, ""] {
            let (leecher, folder) = (session("files", keys).await, tempdir().unwrap());
            let got = add(&leecher, &content, folder.path(), &[seeder.local_address()]).await;
            complete(&got).await;
            content.assert_in(folder.path());
            leecher.stop().await;
        }
        seeder.stop().await;
    });
}

/// Reads until the other end closes.
fn closed(mut peer: TcpStream) {
    let mut rest = Vec::new();
    if let Err(error) = peer.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn silent_and_wrong_callers_are_closed() {
    block_on(async {
        let content = content("quiet", &[100_000], 32 << 10);
        let session = session("files", "[peers]\nhandshake-timeout = '200 ms'\n").await;
        seed(&session, &content).await;
        closed(TcpStream::connect(session.local_address()).unwrap());
        // The handshake stops in the middle: before the info-hash, and before the peer id.
        let whole = handshake::whole(content.metainfo.info_hash, PeerId([7; 20]));
        for length in [10, 60] {
            let mut peer = TcpStream::connect(session.local_address()).unwrap();
            peer.write_all(&whole[..length]).unwrap();
            closed(peer);
        }
        // Another torrent, another protocol, a message too long.
        for bytes in [&handshake::whole(InfoHash([9; 20]), PeerId([7; 20]))[..], b"GET / HTTP/1.1\r\n\r\n"] {
            let mut peer = TcpStream::connect(session.local_address()).unwrap();
            peer.write_all(bytes).unwrap();
            closed(peer);
        }
        let mut peer = connect(&session, content.metainfo.info_hash);
        peer.write_all(&[0xff; 5]).unwrap();
        closed(peer);
        session.stop().await;
    });
}

#[test]
fn a_peer_that_asks_without_reading_stops_nobody() {
    block_on(async {
        let content = content("flood", &[8_000_000], 256 << 10);
        let (seeder, leecher) = (session("files", "").await, session("files", "").await);
        seed(&seeder, &content).await;
        let mut flooder = connect(&seeder, content.metainfo.info_hash);
        flooder.set_nonblocking(true).unwrap();
        let mut requests = Vec::new();
        encode(&Message::Interested, &mut requests);
        for i in 0..200_000 {
            let block = BlockRef { piece: PieceIndex(i % 30), begin: 0, length: 128 << 10 };
            encode(&Message::Request(block), &mut requests);
        }
        // As much as the other end takes.
        let mut rest = &requests[..];
        while !rest.is_empty() {
            match flooder.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        let folder = tempdir().unwrap();
        let got = add(&leecher, &content, folder.path(), &[seeder.local_address()]).await;
        complete(&got).await;
        content.assert_in(folder.path());
        assert!(seeder.peak_memory() < 20 << 20, "{} bytes", seeder.peak_memory());
        leecher.stop().await;
        seeder.stop().await;
    });
}

#[test]
fn completion_is_told_once_the_store_made_it_durable() {
    block_on(async {
        let content = content("saved", &[300_000], 64 << 10);
        let (seeder, folder) = (session("files", "").await, tempdir().unwrap());
        seed(&seeder, &content).await;
        // Without the resume file there is a check at the next start; no more is lost.
        let file = folder.path().join("a file");
        std::fs::write(&file, "").unwrap();
        let unsaved = session_at(Ipv4Addr::LOCALHOST.into(), "memory", "", Some(&file)).await;
        let got = add(&unsaved, &content, folder.path(), &[seeder.local_address()]).await;
        complete(&got).await;
        let warnings = got.take_warnings();
        // The first says that there is none to read.
        assert!(warnings.len() == 2 && warnings[1].starts_with("saving"), "{warnings:?}");
        unsaved.stop().await;

        let layer = "[[storage.layer]]\nuse = 'faulty'\nevery-checkpoint = 1\n";
        let refused = session("memory", layer).await;
        let got = add(&refused, &content, folder.path(), &[seeder.local_address()]).await;
        let mut warnings = Vec::new();
        while warnings.is_empty() || !got.progress().status.complete {
            warnings.extend(got.take_warnings());
            async_std::task::yield_now().await;
        }
        assert!(warnings[0].contains("faulty"), "{warnings:?}");
        assert!(got.wait_complete().now_or_never().is_none());
        refused.stop().await;
        seeder.stop().await;
    });
}
