//! A peer that sends whatever a test wants, over a socket of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use bt_api::{BlockRef, InfoHash, PeerId, PieceIndex};
use bt_engine::handshake::{self, LENGTH};
use bt_engine::wire::{Message, encode, piece_header};

use crate::stage::PATIENCE;

pub(crate) const UNCHOKE: u8 = 1;
pub(crate) const REQUEST: u8 = 6;

pub(crate) struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Connects, and says nothing.
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).unwrap())
    }

    /// Connects and completes the handshake, under an id of its own.
    pub(crate) fn join(to: SocketAddr, torrent: InfoHash) -> Self {
        let mut peer = Self::connect(to);
        peer.send(&handshake::whole(torrent, peer.id()));
        peer.read::<LENGTH>().expect("the handshake is answered");
        peer
    }

    /// Takes a connection and completes the handshake; the other's id comes after ours.
    pub(crate) fn accept(listener: &TcpListener, torrent: InfoHash) -> Self {
        let mut peer = Self::over(listener.accept().unwrap().0);
        peer.send(&handshake::whole(torrent, peer.id()));
        peer.read::<LENGTH>().expect("the handshake is answered");
        peer
    }

    /// A peer over a connection that stands; nothing was said.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// An id that no other peer has: its port is in it.
    pub(crate) fn id(&self) -> PeerId {
        let text =
            format!("-XX0000-{:05}{:05}..", self.address().port(), self.stream.peer_addr().unwrap().port());
        PeerId(text.as_bytes().try_into().unwrap())
    }

    /// Where the session sees it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Sends bytes; that it was closed on the way is for the test to see when it reads.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !is_end(error.kind()) => panic!("cannot send: {error}"),
            _ => {}
        }
    }

    /// Sends a message.
    pub(crate) fn say(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        encode(message, &mut bytes);
        self.send(&bytes);
    }

    /// Sends a block.
    pub(crate) fn say_block(&mut self, piece: u32, begin: u32, bytes: &[u8]) {
        let block = BlockRef { piece: PieceIndex(piece), begin, length: bytes.len() as u32 };
        self.send(&[&piece_header(block)[..], bytes].concat());
    }

    /// The next message: its type and what follows. `None` when it was closed.
    pub(crate) fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let length = u32::from_be_bytes(self.read()?);
            if length > 0 {
                let [kind] = self.read()?;
                let mut body = vec![0; length as usize - 1];
                self.fill(&mut body)?;
                return Some((kind, body));
            }
        }
    }

    /// Reads messages up to one of `kind`.
    pub(crate) fn wait_for(&mut self, kind: u8) {
        while self.hear().unwrap_or_else(|| panic!("closed while waiting for {kind}")).0 != kind {}
    }

    /// Reads to the end of the connection; answers what came.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if !is_end(error.kind()) => panic!("it is still open: {error}"),
            _ => bytes,
        }
    }

    /// The next bytes; `None` when it was closed.
    pub(crate) fn read<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Some(bytes)
    }

    fn fill(&mut self, into: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(into) {
            Ok(()) => Some(()),
            Err(error) if is_end(error.kind()) => None,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}

/// Whether the other end closed. It resets a connection of which it has not read everything.
fn is_end(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
    )
}

/// A message as bytes, with whatever `body`.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 1).to_be_bytes()[..], &[kind], body].concat()
}

/// Numbers as a message has them.
pub(crate) fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_be_bytes).collect()
}
