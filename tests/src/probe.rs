//! A peer that says who it is, reads what the other one has, and leaves.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bt_api::InfoHash;

/// How long the other side may stay silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest bitfield that is read.
const MAX_BITFIELD: usize = 1 << 18;

/// Greets whoever listens at `addr`, who answers once the torrent has been checked.
///
/// # Errors
/// When nobody listens there, or whoever does knows no such torrent or not yet.
pub fn greet(addr: SocketAddr, torrent: InfoHash) -> io::Result<TcpStream> {
    const PROTOCOL: &[u8] = b"\x13BitTorrent protocol";
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[PROTOCOL, &[0; 8], &torrent.0, b"-PR0000-probeprobe00"].concat())?;
    let mut handshake = [0; 68];
    stream.read_exact(&mut handshake)?;
    if handshake[..20] != *PROTOCOL || handshake[28..48] != torrent.0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(stream)
}

/// The bitfield of whoever listens at `addr`; empty if it says something else first.
///
/// # Errors
/// As [`greet`], and when it says nothing more.
pub fn bitfield(addr: SocketAddr, torrent: InfoHash) -> io::Result<Vec<u8>> {
    let mut stream = greet(addr, torrent)?;
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        let mut message = vec![0; length.min(MAX_BITFIELD)];
        stream.read_exact(&mut message)?;
        match message.split_first() {
            Some((5, bits)) => return Ok(bits.to_vec()),
            // A keep-alive: more may come.
            None => {}
            Some(_) => return Ok(Vec::new()),
        }
    }
}
