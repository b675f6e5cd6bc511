//! `bt-torrent scrape` against trackers on loopback that say what a script has for them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

/// A tracker that answers one request with `reply`, whole; gives the request's first line.
fn tracker(reply: Vec<u8>) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        stream.write_all(&reply).unwrap();
        String::from_utf8(head).unwrap().lines().next().unwrap_or_default().to_owned()
    };
    (address, thread::spawn(serve))
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// A UDP tracker that answers one scrape of one torrent with these counts; gives the hash that it was asked about.
fn udp_tracker([seeds, leechers, completed]: [u32; 3]) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let serve = move || {
        let mut packet = [0; 100];
        let (length, client) = socket.recv_from(&mut packet).unwrap();
        assert_eq!(packet[..length][..12], *b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0");
        socket.send_to(&[&packet[8..16], b"connect!"].concat(), client).unwrap();
        let (length, client) = socket.recv_from(&mut packet).unwrap();
        assert_eq!(packet[..length][..12], *b"connect!\0\0\0\x02");
        let counts = [seeds, completed, leechers].map(u32::to_be_bytes).concat();
        socket.send_to(&[&packet[8..16], &counts].concat(), client).unwrap();
        packet[16..length].to_vec()
    };
    (address, thread::spawn(serve))
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The info-hash of `torrent`, as hexadecimal digits and as bytes.
fn info_hash(torrent: &Path) -> (String, Vec<u8>) {
    let shown = bt_torrent(&["show", "--json", torrent.to_str().unwrap()]).1;
    let hex = serde_json::from_str::<Value>(&shown).unwrap()["info_hash"].as_str().unwrap().to_owned();
    let bytes = (0..20).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    (hex, bytes)
}

/// The bytes that a part of a URL stands for.
fn decoded(mut text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((first, rest)) = text.split_at_checked(1) {
        let digits = (first == "%").then(|| &rest[..2]);
        bytes.push(digits.map_or(first.as_bytes()[0], |digits| u8::from_str_radix(digits, 16).unwrap()));
        text = &rest[digits.map_or(0, str::len)..];
    }
    bytes
}

/// What a tracker says that has these counts.
fn counts(info_hash: &[u8], seeds: u32, leechers: u32, completed: u32) -> Vec<u8> {
    let counts = format!("d8:completei{seeds}e10:downloadedi{completed}e10:incompletei{leechers}ee");
    ok(&[b"d5:filesd20:", info_hash, counts.as_bytes(), b"ee"].concat())
}

/// A torrent whose trackers are `tiers`.
fn torrent(name: &str, tiers: &[&str]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.torrent"));
    let list: String = tiers.iter().map(|url| format!("l{}:{url}e", url.len())).collect();
    let info = "4:infod6:lengthi3e4:name1:x12:piece lengthi4e6:pieces20:####################e";
    fs::write(&path, format!("d13:announce-listl{list}e{info}e")).unwrap();
    path
}

/// Runs `bt-torrent`; its code, standard output and notes.
fn bt_torrent(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bt-torrent")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn scrape(torrent: &Path, options: &[&str]) -> (i32, String, String) {
    bt_torrent(&[&["scrape", torrent.to_str().unwrap()], options].concat())
}

#[test]
fn every_tracker_of_the_torrent_is_asked_and_told_in_order() {
    // The hash depends on the content alone, so any torrent of it tells.
    let (_, hash) = info_hash(&torrent("hash", &[]));
    let (a, asked_a) = tracker(counts(&hash, 12, 3, 40));
    let (b, asked_b) = tracker(counts(&hash, 0, 1, 0));
    let (a, b) = (format!("http://{a}/announce"), format!("http://{b}/x/announce.php?k=1"));
    let torrent = torrent("two", &[&a, &b, &a]);
    let told = scrape(&torrent, &[]);
    let lines = format!(
        "{a}: 12 seeds, 3 leechers, completed 40 times\n{b}: 0 seeds, 1 leechers, completed 0 times\n"
    );
    assert_eq!(told, (0, lines, String::new()));
    let request = asked_a.join().unwrap();
    let asked =
        request.strip_prefix("GET /scrape?info_hash=").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    assert_eq!(decoded(asked.unwrap()), hash);
    assert!(asked_b.join().unwrap().starts_with("GET /x/scrape.php?k=1&info_hash="));
}

#[test]
fn udp_trackers_are_asked_too() {
    let (_, hash) = info_hash(&torrent("hash-of-udp", &[]));
    let (udp, asked) = udp_tracker([12, 3, 40]);
    let url = format!("udp://{udp}/announce");
    let told = scrape(&torrent("udp", &[&url]), &[]);
    assert_eq!(told, (0, format!("{url}: 12 seeds, 3 leechers, completed 40 times\n"), String::new()));
    assert_eq!(asked.join().unwrap(), hash);
}

#[test]
fn what_fails_is_told_in_one_line_each_and_by_the_exit_code() {
    let (_, hash) = info_hash(&torrent("hash-of-failures", &[]));
    let (good, _) = tracker(counts(&hash, 1, 2, 3));
    let (refuses, _) = tracker(ok(b"d14:failure reason10:go\x1b[2Jawaye"));
    let (garbles, _) = tracker(ok(b"<html>"));
    let urls = [
        format!("http://{good}/announce"),
        format!("http://{refuses}/announce"),
        format!("http://{garbles}/announce"),
        format!("http://{}/announce", nobody()),
        "http://127.0.0.1:1/tracker".to_owned(),
        "gopher://x/announce".to_owned(),
    ];
    let torrent = torrent("failures", &urls.each_ref().map(String::as_str));
    let (code, out, notes) = scrape(&torrent, &[]);
    assert_eq!((code, out), (1, format!("{}: 1 seeds, 2 leechers, completed 3 times\n", urls[0])));
    let notes: Vec<&str> = notes.lines().collect();
    let ends = ["\\u{1b}[2Jaway", "`<html>`", "", "has no scrape", "serves \"gopher\" URLs"];
    assert_eq!(notes.len(), ends.len(), "{notes:?}");
    for ((note, url), end) in notes.iter().zip(&urls[1..]).zip(ends) {
        assert!(note.starts_with(&format!("bt-torrent: {url}: ")) && note.ends_with(end), "{note}");
    }
}

#[test]
fn json_has_the_counts_or_the_reason_of_each_tracker() {
    let (hex, hash) = info_hash(&torrent("hash-of-json", &[]));
    let (good, _) = tracker(counts(&hash, 1, 2, 3));
    let (refuses, _) = tracker(ok(b"d14:failure reason2:noe"));
    let (good, refuses) = (format!("http://{good}/announce"), format!("http://{refuses}/announce"));
    // Those of the user stand in for those of the torrent.
    let torrent = torrent("json", &["http://127.0.0.1:1/announce"]);
    let (code, out, notes) = scrape(&torrent, &["--json", "--tracker", &good, "--tracker", &refuses]);
    assert_eq!((code, notes.as_str(), out.lines().count()), (1, "", 1));
    let expected = json!({"name": "x", "info_hash": hex, "trackers": [
        {"url": good, "seeds": 1, "leechers": 2, "completed": 3, "error": null},
        {"url": refuses, "seeds": null, "leechers": null, "completed": null, "error": "no"},
    ]});
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);
}

#[test]
fn wrong_use_asks_nobody() {
    let none = torrent("none", &[]);
    let (code, out, notes) = scrape(&none, &[]);
    assert_eq!((code, out.as_str(), notes.lines().count()), (2, "", 1));
    assert!(notes.ends_with("none.torrent names no tracker; name one with --tracker URL\n"), "{notes}");
    let one = torrent("one", &["http://127.0.0.1:1/announce"]);
    let (code, _, notes) = scrape(&one, &["--set", "tracker.http.timeout=0 s"]);
    assert_eq!((code, notes.lines().count()), (2, 1), "{notes}");
    assert!(notes.contains("must be longer than"), "{notes}");
    let (code, _, notes) = scrape(&one, &["--profile", "moderm"]);
    assert!(code == 2 && notes.contains("did you mean `modern`?"), "{notes}");
    // A profile without a client for the scheme.
    let only_files = ["--set", "tracker.use=[\"peer-file\"]", "--set", "tracker.peer-file.path=peers"];
    let (code, _, notes) = scrape(&one, &only_files);
    assert!(
        code == 1 && notes.ends_with("no tracker client of the profile serves \"http\" URLs\n"),
        "{notes}"
    );
}
