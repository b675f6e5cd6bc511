//! Stores that are killed, with a signal that nobody can catch, in the middle of a download, again and again: what
//! was sealed is there at the next start.
//!
//! The download is this program itself, started again with [`VICTIM`] set. `BT_KILL_MIB` sets how much there is to
//! download, in MiB.

mod common;
#[cfg(feature = "object-store")]
#[path = "common/s3.rs"]
mod s3;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bt_api::testkit::TestHost;
use bt_api::{PieceSet, Plugin, StorageBackend, Torrent};
use bt_storage::database::Database;
use bt_storage::piece_files::PieceFiles;
use common::{Waiting, blocks, hash_pieces, open, pattern, torrent};
use sha1::{Digest, Sha1};

/// The folder to download to.
const VICTIM: &str = "BT_KILL_VICTIM";
const PIECE: usize = 256 << 10;
/// Begins what the download says of each piece that it has sealed.
const SEALED: &str = "sealed ";

fn length() -> usize {
    std::env::var("BT_KILL_MIB").map_or(8, |mib| mib.parse().expect("a number of MiB")) << 20
}

fn piece(i: usize) -> Vec<u8> {
    let mut bytes = pattern(i as u8, PIECE);
    bytes[..8].copy_from_slice(&(i as u64).to_le_bytes());
    bytes
}

fn content(folder: &Path) -> Torrent {
    let pieces = length() / PIECE;
    let mut torrent = torrent(folder, &[("a", (pieces * PIECE) as u64)], PIECE as u32);
    for (i, hash) in torrent.piece_hashes.iter_mut().enumerate() {
        hash.0 = Sha1::digest(piece(i)).into();
    }
    torrent
}

/// As a client starts: what the store does not vouch for is hashed, and sealed where it matches.
fn start(backend: &dyn StorageBackend, torrent: &Torrent) -> (Waiting, PieceSet) {
    let store = open(backend, torrent.clone(), TestHost::new()).unwrap();
    let mut have = store.held();
    for piece in have.clone().missing() {
        if let Ok(bytes) = store.read(piece.0, 0, PIECE as u32)
            && Sha1::digest(bytes)[..] == torrent.piece_hashes[piece.as_usize()].0
        {
            store.seal(piece.0);
            have.insert(piece);
        }
    }
    (store, have)
}

/// Downloads what is missing, in an order that jumps about, and says so of each piece.
fn download(backend: &dyn StorageBackend, folder: &str) {
    let torrent = content(folder.as_ref());
    let (store, have) = start(backend, &torrent);
    let mut missing: Vec<_> = have.missing().collect();
    missing.sort_by_key(|piece| piece.0.wrapping_mul(0x9e37_79b9));
    for (i, index) in missing.iter().enumerate() {
        let bytes = piece(index.as_usize());
        let (first, second) = bytes.split_at(PIECE / 2);
        store.write_blocks(index.0, 0, blocks(first, 16 << 10)).unwrap();
        // The next one is begun before this one is done.
        if let Some(next) = missing.get(i + 1) {
            store.write(next.0, PIECE as u32 / 2, &piece(next.as_usize())[PIECE / 2..]).unwrap();
        }
        store.write_blocks(index.0, PIECE as u32 / 2, blocks(second, 16 << 10)).unwrap();
        store.seal(index.0);
        // Past the test harness, which keeps what is printed to itself.
        writeln!(std::io::stderr().lock(), "{SEALED}{index}").unwrap();
        if i % 8 == 7 {
            store.checkpoint().unwrap();
        }
    }
    store.close().unwrap();
}

/// Starts the test `name` of this program as a download, and kills it once it has sealed `pieces`; says which.
fn kill_after(name: &str, folder: &Path, pieces: usize) -> Vec<u32> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", name])
        .env(VICTIM, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut other = Vec::new();
    let sealed: Vec<u32> = lines
        .filter_map(|line| match line.strip_prefix(SEALED) {
            Some(piece) => Some(piece.parse().unwrap()),
            None => {
                other.push(line);
                None
            }
        })
        .take(pieces)
        .collect();
    // It may have come to its end meanwhile.
    let _ = child.kill();
    child.wait().unwrap();
    assert_eq!(sealed.len(), pieces, "the download failed: {other:?}");
    sealed
}

fn survives(name: &str, backend: &dyn Fn() -> Box<dyn StorageBackend>) {
    if let Ok(folder) = std::env::var(VICTIM) {
        return download(&*backend(), &folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let torrent = content(folder.path());
    let pieces = torrent.layout.piece_count() as usize;
    let mut sealed = PieceSet::new(pieces as u32);
    for part in [1, pieces / 4, pieces / 3] {
        for piece in kill_after(name, folder.path(), part) {
            sealed.insert(bt_api::PieceIndex(piece));
        }
        let (store, have) = start(&*backend(), &torrent);
        let lost: Vec<_> = sealed.iter().filter(|piece| !have.contains(*piece)).collect();
        assert_eq!(lost, [], "of {} sealed pieces", sealed.count());
        // This one is not closed either.
        drop(store);
    }
    let (store, have) = start(&*backend(), &torrent);
    drop(store);
    kill_after(name, folder.path(), pieces - have.count() as usize);
    let (store, have) = start(&*backend(), &torrent);
    assert!(have.is_full());
    for i in 0..pieces {
        assert_eq!(store.read(i as u32, 0, PIECE as u32).unwrap(), piece(i), "piece {i}");
    }
    store.close().unwrap();
}

#[test]
fn piece_files_survive() {
    survives("piece_files_survive", &|| PieceFiles::build(Default::default()).unwrap());
}

#[test]
fn a_database_survives() {
    survives("a_database_survives", &|| Database::build(Default::default()).unwrap());
}

/// The server is not ours, and outlives the clients that are killed. The test is run again in a process that has
/// credentials and knows the server.
#[cfg(feature = "object-store")]
#[test]
fn an_object_store_survives() {
    use bt_storage::object_store::{Config, ObjectStorage};
    const NAME: &str = "an_object_store_survives";
    const ENDPOINT: &str = "BT_KILL_ENDPOINT";
    let Ok(endpoint) = std::env::var(ENDPOINT) else {
        let Some(server) = s3::S3::start() else { return };
        let again = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", NAME])
            .env(ENDPOINT, server.endpoint())
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .status();
        return assert!(again.unwrap().success());
    };
    survives(NAME, &|| {
        let (url, endpoint) = ("s3://bucket/kill".to_owned(), endpoint.clone());
        ObjectStorage::build(Config { url, endpoint, allow_http: true, ..Config::default() }).unwrap()
    });
}

/// The hashes that the other tests are given are those of the content.
#[test]
fn the_content_matches_its_hashes() {
    let mut torrent = content("unused".as_ref());
    let hashes = torrent.piece_hashes.clone();
    let bytes: Vec<u8> = (0..hashes.len()).flat_map(piece).collect();
    hash_pieces(&mut torrent, &bytes);
    assert_eq!(torrent.piece_hashes, hashes);
}
