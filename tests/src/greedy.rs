//! What a limit is measured against: four peers on loopback that take, or give, as much as they can.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bt_api::{BlockRef, InfoHash, NewFile, PeerId, PieceHash, PieceIndex, PieceSet, TorrentLayout};
use bt_engine::handshake;
use bt_engine::metainfo::{Metainfo, Rules, create};
use bt_engine::wire::{Decoder, Message, Step, encode, piece_header};
use bt_runtime::Profile;
use bt_runtime::net::{AddOptions, Phase, Session, SessionOptions, TorrentHandle};
use futures::executor::block_on;
use sha1::{Digest, Sha1};

/// How many peers.
pub const PEERS: usize = 4;

/// Requests that a leecher keeps under way.
const PIPELINE: usize = 16;

const PIECE: u32 = 256 << 10;
/// The finest time that bytes are counted by.
const BIN: Duration = Duration::from_millis(10);
/// How late a sleeper of 5 ms may be; beyond that the machine had something else to do.
const LATE: Duration = Duration::from_millis(15);

/// Which of the two limits is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `net.upload-limit`, against leechers.
    Up,
    /// `net.download-limit`, against seeds.
    Down,
}

/// What went through, from the moment at which nothing had yet.
pub struct Measured {
    bins: Vec<u64>,
    /// How long the machine let others run instead.
    pub stolen: Duration,
}

impl Measured {
    /// Bytes in `length` from `start` on.
    pub fn bytes(&self, start: Duration, length: Duration) -> u64 {
        let at = |time: Duration| ((time.as_nanos() / BIN.as_nanos()) as usize).min(self.bins.len());
        self.bins[at(start)..at(start + length)].iter().sum()
    }

    /// Bytes of every whole second.
    pub fn seconds(&self) -> Vec<u64> {
        let second = Duration::from_secs(1);
        let count = (self.bins.len() as u128 * BIN.as_nanos() / second.as_nanos()) as u32;
        (0..count).map(|i| self.bytes(second * i, second)).collect()
    }
}

struct Traffic {
    began: Instant,
    bins: Vec<AtomicU64>,
}

impl Traffic {
    fn new(time: Duration) -> Self {
        let bins = time.as_nanos().div_ceil(BIN.as_nanos()) as usize;
        Self { began: Instant::now(), bins: (0..bins).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts `bytes` of now; what comes after the end is nobody's.
    fn count(&self, bytes: u64) {
        let now = (self.began.elapsed().as_nanos() / BIN.as_nanos()) as usize;
        if let Some(bin) = self.bins.get(now) {
            bin.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// Measures `profile` with a limit of `limit` bytes per second one way, for `time`, in blocks of `block` bytes.
///
/// What is counted is what a reader has: of an upload all bytes that the leechers read, of a download the blocks
/// that are whole.
pub fn measure(profile: &str, way: Way, limit: u64, block: u32, time: Duration) -> Measured {
    let key = if way == Way::Up { "upload" } else { "download" };
    let mut sets = vec![format!("net.{key}-limit={limit} B/s"), format!("requests.block-size={block} B")];
    if way == Way::Down {
        sets.push("storage={use=\"memory\"}".to_owned());
    }
    let profile = Profile::load(profile, &sets).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    // A seed gives the same pieces again and again; a leecher is not to be done before the end.
    let least = if way == Way::Up { 0 } else { (limit as f64 * (time.as_secs_f64() + 2.0)) as u64 };
    let pieces = u32::try_from(least / u64::from(PIECE)).expect("so much is not measured") + 16;
    let metainfo = zeros(pieces);
    if way == Way::Up {
        let file = &metainfo.layout.files()[0];
        let path = file.path_in(folder.path());
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder is ours");
        std::fs::write(path, vec![0; file.length() as usize]).expect("the folder is ours");
    }
    let torrent = metainfo.info_hash;
    let options =
        SessionOptions { listen: Some((Ipv4Addr::LOCALHOST.into(), 0, 0)), ..SessionOptions::default() };
    let session =
        block_on(Session::start(Arc::new(profile), options)).unwrap_or_else(|error| panic!("{error}"));
    let options =
        AddOptions { folder: folder.path().to_owned(), trackers: Some(Vec::new()), ..AddOptions::default() };
    let handle = block_on(session.add(metainfo, options)).unwrap_or_else(|error| panic!("{error}"));
    while handle.progress().phase != Phase::Running {
        thread::yield_now();
    }
    let streams: Vec<TcpStream> = (0..PEERS)
        .map(|number| greet(session.local_address(), torrent, number as u8).expect("it is let in"))
        .collect();
    let (traffic, over) = (Traffic::new(time), AtomicBool::new(false));
    let stolen = thread::scope(|scope| {
        for stream in streams {
            let traffic = &traffic;
            scope.spawn(move || match way {
                // Each ends when its connection does.
                Way::Up => leech(stream, pieces, block, traffic),
                Way::Down => seed(stream, pieces, block),
            });
        }
        let witness = scope.spawn(|| witness(&over));
        if way == Way::Down {
            watch(&handle, &traffic, time)
        } else {
            thread::sleep(time)
        }
        over.store(true, Ordering::Relaxed);
        block_on(session.stop());
        witness.join().expect("it only sleeps")
    });
    Measured { bins: traffic.bins.into_iter().map(AtomicU64::into_inner).collect(), stolen }
}

/// A torrent of so many pieces of zeros: nobody has to keep its bytes.
fn zeros(pieces: u32) -> Metainfo {
    let length = u64::from(pieces) * u64::from(PIECE);
    let file = NewFile { path: vec!["zeros".to_owned()], length, pad: false };
    let layout = TorrentLayout::several("greedy", vec![file], PIECE).expect("it is well formed");
    let hash = PieceHash(Sha1::digest(vec![0; PIECE as usize]).into());
    let bytes = create(&layout, &vec![hash; pieces as usize], &Default::default());
    Metainfo::parse(&bytes, Rules::Lenient).expect("it is well formed")
}

fn greet(address: SocketAddr, torrent: InfoHash, number: u8) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&handshake::whole(torrent, PeerId([b'a' + number; 20])))?;
    stream.read_exact(&mut [0; handshake::LENGTH])?;
    Ok(stream)
}

fn watch(handle: &TorrentHandle, traffic: &Traffic, time: Duration) {
    let mut before = 0;
    while traffic.began.elapsed() < time {
        let downloaded = block_on(handle.peers()).iter().map(|peer| peer.downloaded).sum::<u64>().max(before);
        traffic.count(downloaded - before);
        before = downloaded;
        thread::sleep(BIN);
    }
}

/// How long in all a sleeper that wants to wake up every 5 ms was kept from it.
fn witness(over: &AtomicBool) -> Duration {
    let mut stolen = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        thread::sleep(Duration::from_millis(5));
        stolen += Some(began.elapsed()).filter(|slept| *slept > LATE).unwrap_or_default();
    }
    stolen
}

fn leech(mut stream: TcpStream, pieces: u32, block: u32, traffic: &Traffic) {
    let blocks = PIECE / block;
    let mut wanted = (0..pieces * blocks).cycle().map(|i| BlockRef {
        piece: PieceIndex(i / blocks),
        begin: i % blocks * block,
        length: block,
    });
    let mut ask = |out: &mut Vec<u8>| encode(&Message::Request(wanted.next().expect("it is endless")), out);
    let mut first = Vec::new();
    encode(&Message::Interested, &mut first);
    let _ = talk(&mut stream, Decoder::new(pieces, block, 1 << 20), first, |read, step, out| {
        traffic.count(read as u64);
        match step {
            Some(Step::Message(Message::Unchoke, _)) => (0..PIPELINE).for_each(|_| ask(out)),
            Some(Step::Payload { ends: true, .. }) => ask(out),
            _ => {}
        }
    });
}

fn seed(mut stream: TcpStream, pieces: u32, block: u32) {
    let mut first = Vec::new();
    encode(&Message::Bitfield(PieceSet::full(pieces)), &mut first);
    encode(&Message::Unchoke, &mut first);
    let _ = talk(&mut stream, Decoder::new(pieces, block, 1 << 20), first, |_, step, out| {
        if let Some(Step::Message(Message::Request(block), _)) = step {
            out.extend(piece_header(*block));
            out.resize(out.len() + block.length as usize, 0);
        }
    });
}

/// Says `first`, then what `heard` answers to each step of what comes (and to what was read, once), to the end.
fn talk(
    stream: &mut TcpStream,
    mut decoder: Decoder,
    first: Vec<u8>,
    mut heard: impl FnMut(usize, Option<&Step>, &mut Vec<u8>),
) -> io::Result<()> {
    let (mut buffer, mut filled, mut out) = (vec![0; 256 << 10], 0, first);
    loop {
        stream.write_all(&out)?;
        out.clear();
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        heard(read, None, &mut out);
        filled += read;
        let mut taken = 0;
        loop {
            let step = decoder.step(&buffer[taken..filled]).map_err(io::Error::other)?;
            taken += match step {
                Step::Need(_) => break,
                Step::Message(_, used) | Step::Block { used, .. } | Step::Payload { used, .. } => used,
            };
            heard(0, Some(&step), &mut out);
        }
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
}
