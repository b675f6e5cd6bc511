//! A server of S3 that is not ours: moto's, which pip installs.
#![allow(dead_code, unreachable_pub, reason = "each test program has a part of it as a module")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A running server, with one bucket, `bucket`; it ends when dropped.
pub struct S3 {
    server: Child,
    address: String,
}

impl S3 {
    /// Starts one, if there is one on this machine.
    ///
    /// # Panics
    /// When there is none although `BT_REQUIRE_CLIENTS` is `1`.
    pub fn start() -> Option<Self> {
        let mut command = Command::new("moto_server");
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdin(Stdio::null()).stdout(Stdio::null());
        let Ok(mut server) = command.stderr(Stdio::piped()).spawn() else {
            return skipped("moto_server is not installed");
        };
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let address = lines.by_ref().find_map(|line| {
            let address = line.split_once("Running on http://").map(|(_, address)| address.trim().to_owned());
            said.push(line);
            address
        });
        // It writes a line for each request, and must not wait for somebody to read it.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(address) = address else {
            let _ = server.kill();
            let _ = server.wait();
            return skipped(&format!("moto_server does not start: {said:?}"));
        };
        let s3 = Self { server, address };
        s3.request("PUT /bucket");
        Some(s3)
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// How many objects there are, if it can be asked for a list by anybody, as moto can.
    pub fn objects(&self) -> usize {
        self.request("GET /bucket?list-type=2").matches("<Key>").count()
    }

    fn request(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{line} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 OK"), "{answer}");
        answer
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn skipped<T>(why: &str) -> Option<T> {
    let required = std::env::var_os("BT_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
    assert!(!required, "{why}, and BT_REQUIRE_CLIENTS=1");
    eprintln!("skipped: {why}");
    None
}
