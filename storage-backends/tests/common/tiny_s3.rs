//! As much of S3 as the store `object-store` uses, in memory on loopback, and what a server may do wrong.
#![allow(unreachable_pub, reason = "a test program has it as a module")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sha1::{Digest, Sha1};

/// How the server answers.
#[derive(Clone, Debug)]
pub enum Mood {
    Well,
    /// It closes each connection.
    Away,
    /// It takes the request and says nothing.
    Silent,
    /// It says this to everything: a status line's end, and a body.
    Says(&'static str, &'static str),
    /// It sends bytes that are no HTTP.
    Garbage,
    /// It answers the first half of what it would, and closes the connection.
    Half,
}

#[derive(Default)]
struct State {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    mood: Mutex<Option<Mood>>,
    requests: AtomicUsize,
    /// Connections that are kept waiting.
    silent: Mutex<Vec<TcpStream>>,
}

/// A server with one bucket, `bucket`.
pub struct TinyS3 {
    port: u16,
    state: Arc<State>,
}

impl TinyS3 {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let shared = state.clone();
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                std::thread::spawn(move || serve(&state, stream));
            }
        });
        Self { port, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = Some(mood);
        self.state.silent.lock().unwrap().clear();
    }

    /// How many requests came so far.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    pub fn keys(&self) -> Vec<String> {
        self.state.objects.lock().unwrap().keys().cloned().collect()
    }

    /// As somebody else would do it.
    pub fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) {
        change(&mut self.state.objects.lock().unwrap());
    }
}

/// Answers one request; the connection is closed then.
fn serve(state: &State, stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let (mut length, mut range) = (0, None);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap_or(0) <= 2 {
            break;
        }
        let (name, value) = header.trim().split_once(':').unwrap();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "range" => range = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    state.requests.fetch_add(1, Ordering::SeqCst);
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut stream = stream;
    let mood = state.mood.lock().unwrap().clone().unwrap_or(Mood::Well);
    let answer = match mood {
        Mood::Away => return,
        Mood::Silent => return state.silent.lock().unwrap().push(stream),
        Mood::Garbage => b"what is it that you want from me?\r\n\r\n".to_vec(),
        Mood::Says(status, body) => answer(status, "", body.as_bytes()),
        Mood::Well | Mood::Half => act(state, method, target, range.as_deref(), body),
    };
    let end = if matches!(mood, Mood::Half) { answer.len() / 2 } else { answer.len() };
    // Whoever asked may be gone.
    let _ = stream.write_all(&answer[..end]);
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn tag(bytes: &[u8]) -> String {
    let digest: [u8; 20] = Sha1::digest(bytes).into();
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

const MODIFIED: &str = "Last-Modified: Wed, 12 Oct 2022 17:50:00 GMT\r\n";

fn act(state: &State, method: &str, target: &str, range: Option<&str>, body: Vec<u8>) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Some(key) = path.strip_prefix("/bucket") else {
        return answer("404 Not Found", "", b"<Error><Code>NoSuchBucket</Code></Error>");
    };
    let key = key.trim_start_matches('/').to_owned();
    let mut objects = state.objects.lock().unwrap();
    match method {
        "GET" if key.is_empty() => answer("200 OK", "", list(&objects, query).as_bytes()),
        "GET" => {
            let Some(object) = objects.get(&key) else {
                return answer("404 Not Found", "", b"<Error><Code>NoSuchKey</Code></Error>");
            };
            let (first, last) = range.and_then(|text| text.strip_prefix("bytes=")?.split_once('-')).unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            if first >= object.len() {
                return answer("416 Range Not Satisfiable", "", b"<Error><Code>InvalidRange</Code></Error>");
            }
            let last = last.min(object.len() - 1);
            let whole = object.len();
            let headers = format!(
                "ETag: \"{}\"\r\n{MODIFIED}Content-Range: bytes {first}-{last}/{whole}\r\n",
                tag(object)
            );
            answer("206 Partial Content", &headers, &object[first..=last])
        }
        "PUT" => {
            let headers = format!("ETag: \"{}\"\r\n", tag(&body));
            objects.insert(key, body);
            answer("200 OK", &headers, b"")
        }
        "DELETE" => {
            objects.remove(&key);
            answer("204 No Content", "", b"")
        }
        // Several at once: the names stand in the body.
        "POST" => {
            let text = String::from_utf8(body).unwrap();
            let names = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
            names.for_each(|name| drop(objects.remove(name)));
            answer("200 OK", "", b"<DeleteResult></DeleteResult>")
        }
        _ => answer("501 Not Implemented", "", b""),
    }
}

/// Three objects a page, so that there are several pages.
fn list(objects: &BTreeMap<String, Vec<u8>>, query: &str) -> String {
    const PAGE: usize = 3;
    let parameter = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().replace("%2F", "/")
    };
    let (prefix, after) = (parameter("prefix"), parameter("continuation-token"));
    let mut found = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after).peekable();
    let (mut text, mut last) = ("<ListBucketResult>".to_owned(), "");
    for (key, object) in found.by_ref().take(PAGE) {
        let (tag, size) = (tag(object), object.len());
        write!(
            text,
            "<Contents><Key>{key}</Key><LastModified>2022-10-12T17:50:00.000Z</LastModified>\
             <ETag>&quot;{tag}&quot;</ETag><Size>{size}</Size></Contents>"
        )
        .unwrap();
        last = key;
    }
    if found.peek().is_some() {
        write!(text, "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>")
            .unwrap();
    }
    text + "</ListBucketResult>"
}
