//! HTTP servers on loopback that say what a script has for them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// What a server does with a connection once it has read the request.
pub(crate) type Reply = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// A server on loopback that takes as many connections as it has replies, each for one request.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            let answer = |reply: Reply| {
                let (mut stream, _) = listener.accept().unwrap();
                let request = request_head(&mut stream);
                reply(&mut stream);
                request
            };
            replies.into_iter().map(answer).collect()
        };
        Self { address, thread: thread::spawn(serve) }
    }

    /// The requests, each as it came up to the empty line.
    pub(crate) fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn request_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Says `bytes` and closes.
pub(crate) fn says(bytes: impl Into<Vec<u8>>) -> Reply {
    let bytes = bytes.into();
    // The client may hang up before it has read everything.
    Box::new(move |stream| drop(stream.write_all(&bytes)))
}

/// A reply with status 200, a length and `body`.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    with_status("200 OK", body)
}

/// A reply with `status`, a length and `body`.
pub(crate) fn with_status(status: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}
