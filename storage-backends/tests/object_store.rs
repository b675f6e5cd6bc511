//! The store `object-store`: its promises over each kind of place, what is asked of a server, and servers that fail.
#![cfg(feature = "object-store")]

mod common;
#[path = "common/s3.rs"]
mod s3;
#[path = "common/tiny_s3.rs"]
mod tiny_s3;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_api::testkit::storage::{PROMISES, Subject};
use bt_api::testkit::{TestHost, storage_conformance};
use bt_api::{
    BoxFuture, Host, InfoHash, PieceIndex, Plugin, StorageBackend, StorageError, StorageErrorKind, Torrent,
    TorrentStore, config,
};
use bt_storage::layer::faulty::Faulty;
use bt_storage::object_store::{Config, ObjectStorage};
use common::{Waiting, hash_pieces, open, pattern, torrent};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use s3::S3;
use tiny_s3::{Mood, TinyS3};

type Make = dyn Fn(&Torrent) -> Box<dyn StorageBackend> + Send + Sync;

/// One store for all folders, as one bucket is; each folder has a prefix of its own in it.
struct PerFolder(Box<Make>);

impl StorageBackend for PerFolder {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move { (self.0)(&torrent).open(torrent, host).await })
    }
}

fn subject(place: impl Fn(&Torrent) -> Box<dyn StorageBackend> + Clone + Send + Sync + 'static) -> Subject {
    Subject::new("object-store", move || Box::new(PerFolder(Box::new(place.clone()))))
}

fn over(store: Arc<dyn ObjectStore>, prefix: &str, memory: &str) -> Box<dyn StorageBackend> {
    let config = Config { memory: memory.parse().unwrap(), ..Config::default() };
    Box::new(ObjectStorage::over(store, Path::from(prefix), config))
}

fn in_memory(memory: &'static str) -> Subject {
    let store = Arc::new(InMemory::new());
    subject(move |torrent| over(store.clone(), torrent.folder.to_str().unwrap(), memory))
}

fn in_folders() -> Subject {
    subject(|torrent| {
        let url = format!("file://{}/objects", torrent.folder.display());
        ObjectStorage::build(Config { url, ..Config::default() }).unwrap()
    })
}

storage_conformance!(kept_in_memory = in_memory("64 MiB"));
// There is room for one piece: the others go away, and come back.
storage_conformance!(kept_with_little_memory = in_memory("16 KiB"));
storage_conformance!(
    volatile = Subject::of::<ObjectStorage>(&["url = 'memory:///'"]).volatile().with_little_room(
        Subject::of::<ObjectStorage>(&["url = 'memory:///'"]).behind::<Faulty>("capacity = '16 KiB'")
    )
);

/// A folder that cannot be made is not found before something is written.
#[test]
fn its_promises_hold_in_a_folder() {
    let subject = in_folders();
    PROMISES.iter().for_each(|(name, promise)| {
        println!("{name}");
        promise(&subject);
    });
}

/// Runs the test `name` in a process that has credentials; says whether this is that process.
fn has_credentials(name: &str) -> bool {
    if std::env::var_os("AWS_SECRET_ACCESS_KEY").is_some_and(|key| key == SECRET) {
        return true;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "--nocapture", name])
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    for other in [
        "AWS_ENDPOINT",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_SESSION_TOKEN",
        "HTTP_PROXY",
        "http_proxy",
    ] {
        child.env_remove(other);
    }
    let output = child.output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success(), "{told}");
    assert!(!told.contains(SECRET) && !told.contains(KEY), "{told}");
    if let Some(line) = told.lines().find(|line| line.starts_with("skipped: ")) {
        eprintln!("{line}");
    }
    false
}

const KEY: &str = "AKIAOBJECTSTORETEST";
const SECRET: &str = "objectstoretestsecret";

/// In a hurry.
fn at(endpoint: String, prefix: &str) -> Config {
    Config {
        url: format!("s3://bucket/{prefix}"),
        endpoint,
        allow_http: true,
        connect_timeout: config::Duration::millis(500),
        timeout: config::Duration::millis(500),
        retries: 1,
        ..Config::default()
    }
}

fn start(backend: &dyn StorageBackend, torrent: &Torrent) -> Waiting {
    open(backend, torrent.clone(), TestHost::new()).unwrap()
}

/// A torrent of this content, in pieces of four bytes.
fn of(content: &[u8]) -> Torrent {
    let mut torrent = torrent("unused".as_ref(), &[("a", content.len() as u64)], 4);
    hash_pieces(&mut torrent, content);
    torrent
}

/// What fails, and how: in one line that names the store and no secret.
fn failure<T>(what: Result<T, StorageError>) -> (StorageErrorKind, String) {
    let error = what.err().expect("it fails");
    let text = error.to_string();
    assert!(text.starts_with("object-store: ") && text.lines().count() == 1, "{text}");
    assert!(!text.contains(SECRET) && !text.contains(KEY), "{text}");
    (error.kind(), text)
}

fn seal(store: &Waiting, piece: u32) -> Result<(), StorageError> {
    futures::executor::block_on(store.0.seal(PieceIndex(piece)))
}

#[test]
fn its_promises_hold_at_a_server_of_s3() {
    if !has_credentials("its_promises_hold_at_a_server_of_s3") {
        return;
    }
    let Some(server) = S3::start() else { return };
    for memory in ["64 MiB", "16 KiB"] {
        let endpoint = server.endpoint();
        let subject = subject(move |torrent| {
            let prefix = torrent.folder.file_name().unwrap().to_str().unwrap();
            let (memory, timeout) = (memory.parse().unwrap(), config::Duration::secs(30));
            let config = Config { memory, timeout, ..at(endpoint.clone(), prefix) };
            ObjectStorage::build(config).unwrap()
        });
        for (name, promise) in PROMISES {
            println!("{name}");
            promise(&subject);
        }
    }
}

/// What is asked for, and when.
#[test]
fn a_piece_costs_one_request_and_a_start_one_for_each_page() {
    if !has_credentials("a_piece_costs_one_request_and_a_start_one_for_each_page") {
        return;
    }
    let server = TinyS3::start();
    let torrent = of(b"aaaabbbbccccddddee");
    let backend = ObjectStorage::build(at(server.endpoint(), "some/place/")).unwrap();
    let store = start(&*backend, &torrent);
    assert_eq!(server.requests(), 1, "the listing");
    for piece in 0..5 {
        assert_eq!(store.read(piece, 0, 2).unwrap_err().kind(), StorageErrorKind::Missing);
    }
    assert_eq!(server.requests(), 1, "what is not there is not asked for");
    for piece in [4, 1, 0, 2] {
        let bytes = b"aaaabbbbccccddddee".chunks(4).nth(piece).unwrap();
        store.write(piece as u32, 0, &bytes[..1]).unwrap();
        store.write(piece as u32, 1, &bytes[1..]).unwrap();
        assert_eq!(store.read(piece as u32, 0, 2).unwrap(), bytes[..2]);
        store.seal(piece as u32);
    }
    let saved = store.checkpoint().unwrap();
    assert_eq!(server.requests(), 5);
    let top = format!("some/place/{}", torrent.info_hash);
    assert_eq!(server.keys(), [0, 1, 2, 4].map(|piece| format!("{top}/{piece:07}")));
    store.close().unwrap();
    drop(store);

    // Four objects are two pages here. Of what is vouched for nothing is read.
    let torrent = Torrent { saved, ..torrent };
    let store = start(&*backend, &torrent);
    assert_eq!((store.pieces_held(), server.requests()), (vec![0, 1, 2, 4], 7));
    store.close().unwrap();
    // After a kill the resume file may be old or gone: they are found, and hashed by the client.
    let store = start(&*backend, &Torrent { saved: None, ..torrent });
    assert_eq!(store.pieces_held(), [0; 0]);
    assert_eq!(store.read(4, 0, 2).unwrap(), b"ee");
    store.seal(4);
    assert_eq!(store.pieces_held(), [4]);
}

#[test]
fn a_name_proves_nothing() {
    if !has_credentials("a_name_proves_nothing") {
        return;
    }
    let server = TinyS3::start();
    let torrent = of(b"aaaabbbbccccdddd");
    let backend = ObjectStorage::build(at(server.endpoint(), "")).unwrap();
    let store = start(&*backend, &torrent);
    (0..4).for_each(|piece| {
        store.write(piece, 0, &b"aaaabbbbccccdddd"[piece as usize * 4..][..4]).unwrap();
        store.seal(piece);
    });
    let saved = store.checkpoint().unwrap();
    let key = |piece: u32| format!("{}/{piece:07}", torrent.info_hash);
    // While it runs: another one of the same length, a shorter one, none.
    server.change(|objects| {
        objects.insert(key(0), b"evil".to_vec());
        objects.insert(key(1), b"b".to_vec());
        objects.remove(&key(2));
    });
    for (piece, kind) in
        [(0, StorageErrorKind::Corrupt), (1, StorageErrorKind::Corrupt), (2, StorageErrorKind::Missing)]
    {
        let (found, told) = failure(store.read(piece, 2, 2));
        assert_eq!(found, kind, "{told}");
        assert!(told.contains(&format!("s3://bucket/{}", key(piece))), "{told}");
    }
    assert_eq!(store.pieces_held(), [3]);
    store.close().unwrap();
    // And between two runs.
    server.change(|objects| drop(objects.insert(key(4), b"none".to_vec())));
    let store = start(&*backend, &Torrent { saved, ..torrent.clone() });
    assert_eq!(store.pieces_held(), [3]);
    // It is hashed before anything is made of it.
    assert_eq!(store.read(0, 0, 4).unwrap(), b"evil");
    assert_eq!(store.read(1, 0, 1).unwrap_err().kind(), StorageErrorKind::Missing);
    store.write(0, 0, b"aaaa").unwrap();
    store.seal(0);
    assert_eq!(store.read(0, 0, 4).unwrap(), b"aaaa");
}

/// In memory for one piece of 64 KiB; each is written in halves, all first halves first.
#[test]
fn what_finds_no_room_goes_to_the_server_and_comes_back() {
    const PIECE: usize = 64 << 10;
    let store = Arc::new(InMemory::new());
    let backend = over(store.clone(), "p", "64 KiB");
    let torrent = torrent("unused".as_ref(), &[("a", 5 * PIECE as u64)], PIECE as u32);
    let keys = || -> Vec<String> {
        let listed = futures::executor::block_on(futures::StreamExt::collect::<Vec<_>>(store.list(None)));
        listed.into_iter().map(|object| object.unwrap().location.to_string()).collect()
    };
    let first = start(&*backend, &torrent);
    std::thread::scope(|scope| {
        for piece in 0..5 {
            let first = &first;
            scope.spawn(move || {
                let bytes = pattern(piece as u8, PIECE);
                first.write(piece, 0, &bytes[..PIECE / 2]).unwrap();
                assert_eq!(first.read(piece, 7, 100).unwrap(), bytes[7..107]);
            });
        }
    });
    let away: Vec<String> = keys().into_iter().filter(|key| key.contains("/begun/")).collect();
    assert_eq!((away.len(), keys().len()), (4, 4));
    assert_eq!(first.read(1, PIECE as u32 / 2, 1).unwrap_err().kind(), StorageErrorKind::Missing);
    for piece in 0..4 {
        first.write(piece, PIECE as u32 / 2, &pattern(piece as u8, PIECE)[PIECE / 2..]).unwrap();
        first.seal(piece);
        assert_eq!(first.read(piece, 0, PIECE as u32).unwrap(), pattern(piece as u8, PIECE));
    }
    assert!(keys().iter().any(|key| key.contains("/begun/")), "one piece is still begun");
    // Not closed, as if it were killed.
    drop(first);
    drop(backend);
    let backend = over(store.clone(), "p", "64 KiB");
    let second = start(&*backend, &torrent);
    assert_eq!(keys().len(), 4, "what was left behind is gone: {:?}", keys());
    assert_eq!(second.read(4, 0, 1).unwrap_err().kind(), StorageErrorKind::Missing);
    assert_eq!(second.read(3, 0, PIECE as u32).unwrap(), pattern(3, PIECE));
    (0..2).for_each(|_| second.write(4, 0, b"x").unwrap());
    second.write(3, 0, b"y").unwrap();
    second.close().unwrap();
    assert_eq!(keys().len(), 4, "a close leaves nothing behind");
}

/// Somebody deletes what went away: the piece is begun anew.
#[test]
fn what_was_taken_away_is_missing_and_can_be_written_again() {
    let store = Arc::new(InMemory::new());
    let backend = over(store.clone(), "p", "4 B");
    let client = start(&*backend, &of(b"aaaabbbb"));
    client.write(0, 0, b"aa").unwrap();
    client.write(1, 0, b"bb").unwrap();
    let listed = futures::executor::block_on(futures::StreamExt::collect::<Vec<_>>(store.list(None)));
    let [Ok(object)] = &listed[..] else { panic!("{listed:?}") };
    futures::executor::block_on(store.delete(&object.location)).unwrap();
    let (kind, told) = failure(client.write(0, 2, b"aa"));
    assert_eq!(kind, StorageErrorKind::Missing, "{told}");
    client.write(0, 0, b"aaaa").unwrap();
    client.seal(0);
    assert_eq!(client.read(0, 0, 4).unwrap(), b"aaaa");
    assert_eq!(client.read(1, 0, 2).unwrap(), b"bb");
}

/// In the middle of a download; what it had goes on when the server is well again.
#[test]
fn a_server_that_fails_costs_nothing_but_time() {
    if !has_credentials("a_server_that_fails_costs_nothing_but_time") {
        return;
    }
    let denied = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>\n<Message>You may not.</Message>\
                  <AWSAccessKeyId>AKIAOBJECTSTORETEST</AWSAccessKeyId></Error>";
    let moods = [
        (Mood::Away, StorageErrorKind::Other, "the connection broke: "),
        (Mood::Silent, StorageErrorKind::Other, "no answer in time: "),
        (Mood::Garbage, StorageErrorKind::Other, ": "),
        (Mood::Half, StorageErrorKind::Other, ": "),
        (
            Mood::Says("503 Slow Down", "<Error><Code>SlowDown</Code></Error>"),
            StorageErrorKind::Other,
            "503 Service Unavailable: SlowDown",
        ),
        (
            Mood::Says("403 Forbidden", denied),
            StorageErrorKind::Denied,
            "403 Forbidden: AccessDenied: You may not.",
        ),
        (Mood::Says("401 Unauthorized", "who?"), StorageErrorKind::Denied, "401 Unauthorized"),
        (
            Mood::Says("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>"),
            StorageErrorKind::Other,
            "404 Not Found: NoSuchBucket",
        ),
        (Mood::Says("507 Insufficient Storage", ""), StorageErrorKind::Full, "507 Insufficient Storage"),
        (Mood::Says("301 Moved Permanently", ""), StorageErrorKind::Other, "region"),
    ];
    let torrent = of(b"aaaabbbb");
    for (mood, kind, told) in moods {
        let server = TinyS3::start();
        let backend = ObjectStorage::build(at(server.endpoint(), "p")).unwrap();
        let store = start(&*backend, &torrent);
        store.write(0, 0, b"aaaa").unwrap();
        store.seal(0);
        store.write(1, 0, b"bbbb").unwrap();
        server.set(mood.clone());
        let began = Instant::now();
        let (found, text) = failure(seal(&store, 1));
        assert!(began.elapsed() < Duration::from_secs(5), "{mood:?} took {:?}", began.elapsed());
        assert_eq!(found, kind, "{mood:?}: {text}");
        let object = format!("writing s3://bucket/p/{}/0000001: ", torrent.info_hash);
        assert!(text.contains(&object) && text.contains(told), "{mood:?}: {text}");
        assert_eq!(store.read(1, 0, 4).unwrap(), b"bbbb", "{mood:?}: it is kept");
        assert_eq!(store.pieces_held(), [0]);
        // A read says so too. Where the server says that there is no such object, there is none.
        let (found, text) = failure(store.read(0, 0, 4));
        if matches!(mood, Mood::Says("404 Not Found", _)) {
            assert_eq!(found, StorageErrorKind::Missing);
        } else {
            assert!(
                found == kind && text.contains("reading 4 bytes at 0 of s3://bucket/p/"),
                "{mood:?}: {text}"
            );
            server.set(Mood::Well);
            assert_eq!(store.read(0, 0, 4).unwrap(), b"aaaa", "{mood:?}");
        }
        server.set(Mood::Well);
        store.seal(1);
        assert_eq!(store.read(1, 0, 4).unwrap(), b"bbbb");
        store.close().unwrap();

        // And at a start.
        server.set(mood.clone());
        let other = Torrent { info_hash: InfoHash([4; 20]), ..torrent.clone() };
        let opened = open(&*backend, other.clone(), TestHost::new());
        let (found, text) = failure(opened.map(drop));
        let listing = format!("listing s3://bucket/p/{}/: ", other.info_hash);
        assert!(found == kind && text.contains(&listing), "{mood:?}: {text}");
        server.set(Mood::Well);
        start(&*backend, &other);
    }
}

#[test]
fn nobody_at_the_endpoint_is_told_in_one_line() {
    if !has_credentials("nobody_at_the_endpoint_is_told_in_one_line") {
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let backend = ObjectStorage::build(at(format!("http://127.0.0.1:{port}"), "p")).unwrap();
    let (kind, text) = failure(open(&*backend, of(b"aaaa"), TestHost::new()).map(drop));
    assert_eq!(kind, StorageErrorKind::Other);
    assert!(text.contains("no connection: ") && text.contains("refused"), "{text}");
}

/// It tries again by itself first.
#[test]
fn a_fault_that_passes_is_not_told() {
    if !has_credentials("a_fault_that_passes_is_not_told") {
        return;
    }
    let server = TinyS3::start();
    let config = Config { retries: 20, ..at(server.endpoint(), "p") };
    let backend = ObjectStorage::build(config).unwrap();
    let store = start(&*backend, &of(b"aaaa"));
    store.write(0, 0, b"aaaa").unwrap();
    server.set(Mood::Says("503 Slow Down", ""));
    let before = server.requests();
    std::thread::scope(|scope| {
        let sealing = scope.spawn(|| seal(&store, 0));
        // It has been asked twice: it was asked again.
        while server.requests() < before + 2 {
            std::thread::yield_now();
        }
        server.set(Mood::Well);
        sealing.join().unwrap().unwrap();
    });
    assert_eq!(store.pieces_held(), [0]);
}

/// A call that nobody waits for any more leaves the piece as it is or as it would be.
#[test]
fn a_dropped_call_breaks_nothing() {
    use futures::FutureExt;
    let store = Arc::new(InMemory::new());
    let backend = over(store, "p", "8 B");
    let host = TestHost::new();
    let client = open(&*backend, of(b"aaaabbbb"), host.clone()).unwrap();
    client.write(0, 0, b"aaaa").unwrap();
    host.hold_work();
    assert!(client.0.seal(PieceIndex(0)).now_or_never().is_none());
    assert!(client.0.read(PieceIndex(0), 0, 4).now_or_never().is_none());
    assert_eq!(host.run_held(), 2);
    assert_eq!(client.read(0, 0, 4).unwrap(), b"aaaa");
    client.seal(0);
    assert_eq!(client.pieces_held(), [0]);
}

#[test]
fn a_torrent_runs_once() {
    let backend = over(Arc::new(InMemory::new()), "p", "1 KiB");
    let torrent = of(b"aaaa");
    let first = start(&*backend, &torrent);
    let (kind, _) = failure(open(&*backend, torrent.clone(), TestHost::new()).map(drop));
    assert_eq!(kind, StorageErrorKind::Denied);
    first.close().unwrap();
    assert_eq!(first.write(0, 0, b"aaaa").unwrap_err().kind(), StorageErrorKind::Other);
    start(&*backend, &torrent);
}

/// Two clients of one bucket, as two backends are.
#[test]
fn what_one_client_sealed_another_finds() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (one, other) = (over(store.clone(), "p", "1 KiB"), over(store, "p", "1 KiB"));
    let torrent = of(b"aaaabbbb");
    let first = start(&*one, &torrent);
    first.write(0, 0, b"aaaa").unwrap();
    first.seal(0);
    let second = start(&*other, &torrent);
    assert_eq!(second.read(0, 0, 4).unwrap(), b"aaaa");
    second.seal(0);
    // Both have it now, and make the same of it.
    second.write(1, 0, b"bbbb").unwrap();
    second.seal(1);
    first.write(1, 0, b"bbbb").unwrap();
    first.seal(1);
    assert_eq!(first.read(1, 0, 4).unwrap(), b"bbbb");
    // What the other one made of it is the same piece: nobody fetches it again.
    assert_eq!(second.read(1, 1, 2).unwrap(), b"bb");
    assert_eq!((first.pieces_held(), second.pieces_held()), (vec![0, 1], vec![0, 1]));
}

#[test]
fn a_piece_that_fits_no_memory_is_refused() {
    let backend = over(Arc::new(InMemory::new()), "p", "3 B");
    let (kind, told) = failure(open(&*backend, of(b"aaaa"), TestHost::new()).map(drop));
    assert_eq!(kind, StorageErrorKind::Full);
    assert!(told.ends_with("a piece of 4 B is longer than the memory of 3 B"), "{told}");
}

/// The table of a profile, and what is said of it.
#[test]
fn a_wrong_table_is_told() {
    let told = |table: &str| {
        let config = toml(table);
        ObjectStorage::build(config).err().map(|error| format!("{error:?}")).unwrap_or_default()
    };
    for table in [
        "url = 's3://bucket'",
        "url = 's3://bucket/a/b/'\nregion = 'eu-west-1'",
        "url = 's3://bucket'\nendpoint = 'http://127.0.0.1:9000'\nallow-http = true",
        "url = 'gs://bucket/a'",
        "url = 'az://container/a'\nendpoint = 'https://127.0.0.1:10000'",
        "url = 'abfss://container@account.dfs.core.windows.net/a'",
        "url = 'file:///tmp/a b'",
        "url = 'memory:///'",
    ] {
        assert_eq!(told(table), "", "{table}");
    }
    for (table, part) in [
        ("", "must say where the objects go"),
        ("url = 'bucket/prefix'", "must be a URL"),
        ("url = 'ftp://bucket/prefix'", "must be of a kind that is known"),
        ("url = 'https://minio.example/bucket'", "must name a bucket"),
        ("url = 's3://user:word@bucket/'", "must hold no password"),
        ("url = 's3://bucket/?token=word'", "must hold no password"),
        ("url = 's3://bucket'\nendpoint = 'minio:9000'", "must be an address"),
        ("url = 's3://bucket'\nendpoint = 'http://minio:9000'", "allow-http = true"),
        ("url = 's3://bucket'\nendpoint = 'https://user:word@minio'", "must hold no password"),
        ("url = 'gs://bucket'\nendpoint = 'https://minio'", "is for S3 and Azure"),
        ("url = 'gs://bucket'\nregion = 'eu-west-1'", "is for S3"),
        ("url = 'memory:///'\nmemory = '0 B'", "at least 1 B"),
        ("url = 'memory:///'\ntimeout = '0 s'", "from 1 ms to 1 h"),
        ("url = 'memory:///'\nconnect-timeout = '2 h'", "from 1 ms to 1 h"),
        ("url = 'memory:///'\nretries = 101", "at most 100"),
    ] {
        let told = told(table);
        assert!(told.contains(part) && !told.contains("word@") && !told.contains("=word"), "{table}: {told}");
    }
}

fn toml(table: &str) -> Config {
    toml::from_str(table).unwrap()
}
