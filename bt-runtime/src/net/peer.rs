//! One connection: a task that connects, then reads and writes until either ends.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Sender;
use async_std::future::timeout;
use async_std::net::TcpStream;
use async_std::task;
use bt_api::{InfoHash, PeerKey};
use bt_engine::CloseReason;
use bt_engine::handshake::Handshake;
use bt_engine::wire::Decoder;
use futures::future::{Either, select};
use futures::io::AsyncReadExt;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Shared;
use super::intake::{Got, Intake};
use super::outbox::{Outbox, STALL_TIME};
use super::torrent::Note;
use crate::store::pool::{BufferPool, LONGEST};

/// How long a connection that we close may take to send what is queued.
const FLUSH_TIME: Duration = Duration::from_secs(5);

/// How often a peer that sends parts of messages is said to be alive.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// How long a thread waits for a connection at most; the handshake's own time-out ends the connection before.
const BOUND_DIAL_TIME: Duration = Duration::from_secs(60);

/// What is read at once where the system does not say how much there is.
#[cfg(not(unix))]
const BLIND_READ: usize = 64 << 10;

/// How a connection begins.
pub(crate) enum Start {
    /// We connect.
    Dial(SocketAddr),
    /// It came in: its socket, what was read of its handshake, and the bytes after that.
    Incoming(TcpStream, Handshake, Vec<u8>),
}

/// A connection that is to be.
pub(crate) struct Connection {
    pub(crate) peer: PeerKey,
    pub(crate) info_hash: InfoHash,
    pub(crate) decoder: Decoder,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) notes: Sender<Note>,
    /// The torrent's account of the pool.
    pub(crate) pool: BufferPool,
    pub(crate) shared: Arc<Shared>,
}

impl Connection {
    /// Runs the connection to its end; tells the torrent when it was not the torrent that ended it (RS-18).
    pub(crate) async fn run(self, start: Start) {
        let outbox = self.outbox.clone();
        let flushed = async {
            outbox.closed().await;
            task::sleep(FLUSH_TIME).await;
        };
        let life = std::pin::pin!(self.live(start));
        if let Either::Left((Err(reason), _)) = select(life, std::pin::pin!(flushed)).await {
            // The torrent may be gone.
            let _ = self.notes.send(Note::Closed(self.peer, reason)).await;
        }
    }

    async fn live(&self, start: Start) -> Result<(), CloseReason> {
        let deadline = Instant::now() + self.shared.settings.peers.handshake_timeout.get();
        let (stream, handshake, bytes) = match start {
            Start::Incoming(stream, handshake, bytes) => (stream, handshake, bytes),
            Start::Dial(address) => {
                let connected = timeout(until(deadline), dial(address, self.shared.bind)).await;
                let stream = connected.map_err(|_| CloseReason::HandshakeTimeout)?;
                (
                    stream.map_err(|error| CloseReason::Connect(error.to_string()))?,
                    Handshake::new(),
                    Vec::new(),
                )
            }
        };
        // Without it small messages wait for the answer to the one before.
        stream.set_nodelay(true).map_err(|error| CloseReason::Io(error.to_string()))?;
        // As 3.4.2 did: a system that knows no type of service is no reason not to connect (RS-8).
        let _ = SockRef::from(&stream).set_tos_v4(u32::from(self.shared.settings.net.type_of_service));
        let intake = Intake::new(self.info_hash, handshake, bytes, self.decoder.clone());
        let read = std::pin::pin!(self.read(&stream, intake, deadline));
        let limit = &self.shared.upload;
        let write = std::pin::pin!(self.outbox.write_to(&stream, limit, self.peer, &self.notes, STALL_TIME));
        select(read, write).await.factor_first().0
    }

    async fn read(
        &self,
        mut stream: &TcpStream,
        mut intake: Intake,
        deadline: Instant,
    ) -> Result<(), CloseReason> {
        let (spare, limit) = (self.pool.spare(), &self.shared.download);
        let most = usize::try_from(self.shared.settings.net.read_size.0).unwrap_or(LONGEST);
        // Whether the last read took all there was; when a peer was last said to be alive.
        let (mut drained, mut alive) = (true, Instant::now());
        let mut block_turn = None;
        loop {
            if let Some((at_hand, needed)) = intake.wants_buffer() {
                // A buffer is taken once something is there to fill it, and no longer than that.
                let waits = drained && !intake.is_ready();
                if waits {
                    in_time(intake.is_open(), deadline, stream.peek(&mut [0])).await?;
                }
                let least = at_hand + needed;
                // Where reading is limited, a longer buffer would be filled slowly and bind memory.
                let soon = available(stream).min(most).min(limit.most());
                let length = least.max((at_hand + soon).min(LONGEST));
                intake.give(self.pool.get(length, least, &spare).await);
            }
            let mut read = 0;
            if !intake.is_ready() {
                if limit.is_limited() {
                    // Credit that waits here for a silent peer would be missing elsewhere.
                    in_time(intake.is_open(), deadline, stream.peek(&mut [0])).await?;
                    if intake.is_within_block() && block_turn.is_none() {
                        block_turn = Some(limit.block().await);
                    }
                }
                let allowed = limit.wait(intake.space().len().min(most)).await;
                let is_open = intake.is_open();
                let reading = stream.read(&mut intake.space()[..allowed]);
                read = in_time(is_open, deadline, reading).await?;
                limit.give_back(allowed - read);
                drained = read < allowed;
            }
            let mut got = Vec::new();
            let result = intake.decode(read, &mut got);
            if got.is_empty() && alive.elapsed() >= ALIVE_INTERVAL && intake.is_open() {
                got.push(Got::Alive);
            }
            // It is not kept while anything else is waited for.
            block_turn = block_turn.filter(|_| {
                got.is_empty()
                    && intake.is_within_block()
                    && intake.wants_buffer().is_none()
                    && available(stream) > 0
            });
            if !got.is_empty() {
                alive = Instant::now();
                if self.notes.send(Note::Got(self.peer, got)).await.is_err() {
                    return Ok(());
                }
            }
            result?;
        }
    }
}

/// Waits for `reading`, no longer than to `deadline` while the handshake `is_open` not.
async fn in_time(
    is_open: bool,
    deadline: Instant,
    reading: impl Future<Output = std::io::Result<usize>>,
) -> Result<usize, CloseReason> {
    let read = if is_open {
        reading.await
    } else {
        timeout(until(deadline), reading).await.map_err(|_| CloseReason::HandshakeTimeout)?
    };
    match read {
        Ok(0) => Err(CloseReason::Remote),
        Ok(read) => Ok(read),
        Err(error) => Err(CloseReason::Io(error.to_string())),
    }
}

fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// How many bytes wait in the socket.
fn available(stream: &TcpStream) -> usize {
    #[cfg(unix)]
    return rustix::io::ioctl_fionread(stream).map_or(0, |bytes| usize::try_from(bytes).unwrap_or(LONGEST));
    #[cfg(not(unix))]
    return BLIND_READ;
}

/// Connects to `address`, from `bind` where the profile names an address of ours.
async fn dial(address: SocketAddr, bind: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let Some(bind) = bind else { return TcpStream::connect(address).await };
    // async-std binds no socket that connects; a thread that waits for it is portable, and there are few.
    task::spawn_blocking(move || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::new(bind, 0).into())?;
        socket.connect_timeout(&address.into(), BOUND_DIAL_TIME)?;
        Ok(TcpStream::from(std::net::TcpStream::from(socket)))
    })
    .await
}
