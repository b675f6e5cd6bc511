//! What the original client does on its sockets, case by case of `docs/mainline.md`: raw peers against a session.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_std::task::block_on;
use bt_api::config::{Limit, Rate};
use bt_api::{
    Announce, AnnounceReply, BlockRef, BoxFuture, BuildError, Host, InfoHash, NewFile, PeerAddress, PeerId,
    PieceHash, PieceIndex, Plugin, Reason, ScrapeReply, TorrentLayout, TrackerClient, TrackerError, plugin,
};
use bt_engine::handshake;
use bt_engine::metainfo::{Metainfo, Rules, create};
use bt_engine::wire::{Message, encode};
use bt_runtime::events::RunHeader;
use bt_runtime::net::{AddOptions, Phase, Session, SessionError, SessionOptions, TorrentHandle};
use bt_runtime::{EventLog, Profile};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use {bt_policies as _, bt_storage as _};

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tracker that knows nobody, and notes the port that it is told.
struct PortNoter;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

static ANNOUNCED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

impl Plugin for PortNoter {
    type Kind = plugin::Tracker;
    type Config = NoKeys;
    const NAME: &'static str = "port-noter";
    const SUMMARY: &'static str = "notes which port is announced";
    fn build(_: NoKeys) -> Result<Box<dyn TrackerClient>, BuildError> {
        Ok(Box::new(Self))
    }
}
bt_api::register!(PortNoter);

impl TrackerClient for PortNoter {
    fn schemes(&self) -> &'static [&'static str] {
        &["ports"]
    }
    fn announce<'a>(
        &'a self,
        _: Option<&'a str>,
        announce: &'a Announce,
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<AnnounceReply, TrackerError>> {
        ANNOUNCED.lock().unwrap().insert(announce.port);
        Box::pin(async { Ok(AnnounceReply::default()) })
    }
    fn scrape<'a>(
        &'a self,
        _: &'a str,
        _: &'a [InfoHash],
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<ScrapeReply>, TrackerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn unasked<'a>(
        &'a self,
        _: &'a Announce,
        _: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Vec<PeerAddress>, TrackerError>> {
        Box::pin(std::future::pending())
    }
}

/// The event log, where the test can read it.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A session with one torrent that has nothing yet, and what happens there.
struct Client {
    session: Session,
    torrent: TorrentHandle,
    log: Arc<EventLog>,
    written: Written,
}

fn metainfo() -> Metainfo {
    let file = NewFile { path: vec!["file".to_owned()], length: 8 << 15, pad: false };
    let layout = TorrentLayout::several("torrent", vec![file], 1 << 15).unwrap();
    let bytes = create(&layout, &[PieceHash([7; 20]); 8], &Default::default());
    Metainfo::parse(&bytes, Rules::Lenient).unwrap()
}

fn profile(keys: &str) -> Profile {
    let text = format!(
        "[choke]\nuse = 'tit-for-tat'\n[piece]\nuse = 'rarest-first'\n[storage]\nuse = 'memory'\n\
         [tracker]\nuse = ['port-noter']\n{keys}"
    );
    Profile::from_text("test", &text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

async fn start(keys: &str, listen: Option<(IpAddr, u16, u16)>) -> Result<Client, SessionError> {
    let (profile, written) = (profile(keys), Written::default());
    let log = Arc::new(EventLog::to_writer(written.clone(), &RunHeader::new(&profile, 1)).unwrap());
    let options = SessionOptions {
        listen,
        seed: 1,
        events: Some(log.clone()),
        state: None,
        ..SessionOptions::default()
    };
    let session = Session::start(Arc::new(profile), options).await?;
    let trackers = Some(vec![vec!["ports://here".to_owned()]]);
    let options = AddOptions { trackers, ..AddOptions::default() };
    let torrent = session.add(metainfo(), options).await?;
    let client = Client { session, torrent, log, written };
    client.until(|client| client.torrent.progress().phase == Phase::Running).await;
    Ok(client)
}

async fn client(keys: &str) -> Client {
    start(keys, Some((Ipv4Addr::LOCALHOST.into(), 0, 0))).await.unwrap()
}

impl Client {
    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "it does not happen: {:?}", self.events());
            async_std::task::yield_now().await;
        }
    }

    fn events(&self) -> Vec<Value> {
        self.log.flush();
        let bytes = self.written.0.lock().unwrap().clone();
        bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    fn count(&self, name: &str) -> usize {
        self.events().iter().filter(|event| event["ev"] == name).count()
    }

    /// Why connections ended so far.
    fn ends(&self) -> Vec<String> {
        let events = self.events();
        let closed = events.iter().filter(|event| event["ev"] == "peer_closed");
        closed.map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    }

    fn raw(&self) -> TcpStream {
        patient(TcpStream::connect(self.session.local_address()).unwrap())
    }

    /// A peer whose handshake is complete on both sides.
    async fn peer(&self, id: u8) -> TcpStream {
        let known = self.count("handshake");
        let mut peer = self.raw();
        peer.write_all(&handshake::whole(self.torrent.info_hash(), PeerId([id; 20]))).unwrap();
        peer.read_exact(&mut [0; handshake::LENGTH]).unwrap();
        self.until(|client| client.count("handshake") > known).await;
        peer
    }
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn bytes(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| encode(message, &mut bytes));
    bytes
}

/// What still comes before the other end closes.
fn rest(mut peer: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    if let Err(error) = peer.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    rest
}

#[test]
fn case_12_a_refused_connect_is_one_loss() {
    block_on(async {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let client = client("").await;
        client.torrent.connect(nobody).await;
        client.until(|client| !client.ends().is_empty()).await;
        client.torrent.stop().await;
        assert_eq!((client.count("dial"), client.ends()), (1, vec!["connect".to_owned()]));
        client.session.stop().await;
    });
}

/// RS-18: who closes knows already; the other end's close is one loss.
#[test]
fn case_17_each_connection_ends_once() {
    block_on(async {
        let client = client("").await;
        let gone = client.peer(1).await;
        gone.shutdown(Shutdown::Write).unwrap();
        rest(gone);
        client.until(|client| client.ends() == ["remote"]).await;
        let mut wrong = client.peer(2).await;
        wrong.write_all(&[0, 0, 0, 1, 9]).unwrap();
        rest(wrong);
        client.until(|client| client.ends().len() == 2).await;
        client.torrent.stop().await;
        assert_eq!(client.ends(), ["remote", "protocol"]);
        client.session.stop().await;
    });
}

#[test]
fn case_119_and_120_who_breaks_the_rules_is_closed() {
    block_on(async {
        let client = client("[peers]\nlate-bitfield = 'close'\n").await;
        let past = [0, 0, 0, 8];
        let span = |kind| [&[0, 0, 0, 13, kind][..], &past, &[0; 8]].concat();
        let wrong = [
            [&bytes(&[Message::Choke])[..], &[0, 0, 0, 2, 5, 0xff]].concat(),
            [&[0, 0, 0, 5, 4][..], &past].concat(),
            span(6),
            span(8),
            [&[0, 0, 0, 10, 7][..], &past, &[0; 5]].concat(),
            vec![0, 0, 0, 2, 0, 0],
            vec![0, 0, 0, 9, 7],
            vec![0, 0, 0, 1, 9],
            vec![0, 0, 0, 1, 20],
        ];
        for (i, wrong) in wrong.iter().enumerate() {
            let mut peer = client.peer(i as u8).await;
            peer.write_all(wrong).unwrap();
            rest(peer);
            client.until(|client| client.ends().len() == i + 1).await;
        }
        assert!(client.ends().iter().all(|reason| reason == "protocol"), "{:?}", client.ends());
        // A keep-alive is no message.
        let mut peer = client.peer(100).await;
        peer.write_all(&[0, 0, 0, 0, 0, 0, 0, 2, 5, 0xff]).unwrap();
        client.until(|client| client.count("have") == 1).await;
        assert_eq!(client.ends().len(), wrong.len());
        client.session.stop().await;
    });
}

#[test]
fn case_125_any_split_of_the_stream_gives_the_same() {
    block_on(async {
        let client = client("").await;
        let messages = bytes(&[Message::Have(PieceIndex(3)), Message::Interested, Message::KeepAlive]);
        for (id, split) in [(1, 1), (2, usize::MAX)] {
            let (haves, interested) = (client.count("have"), client.count("interested"));
            let whole = handshake::whole(client.torrent.info_hash(), PeerId([id; 20]));
            let stream = [&whole[..], &messages].concat();
            let mut peer = client.raw();
            peer.set_nodelay(true).unwrap();
            for part in stream.chunks(split.min(stream.len())) {
                peer.write_all(part).unwrap();
            }
            // The peer's, and our own in answer to its piece.
            client.until(|client| client.count("interested") == interested + 2).await;
            assert_eq!(client.count("have"), haves + 1);
            drop(peer);
            client.until(|client| client.ends().len() == usize::from(id)).await;
        }
        client.session.stop().await;
    });
}

#[test]
fn case_126_a_wrong_handshake_is_answered_with_nothing() {
    block_on(async {
        let client = client("").await;
        let right = handshake::whole(client.torrent.info_hash(), PeerId([1; 20]));
        for place in [0, 1, 19, 28, 47] {
            let mut wrong = right;
            wrong[place] ^= 1;
            let mut peer = client.raw();
            peer.write_all(&wrong).unwrap();
            assert!(rest(peer).is_empty(), "byte {place} is wrong");
        }
        let (mut peer, mut reserved) = (client.raw(), right);
        reserved[20..28].fill(0xff);
        peer.write_all(&reserved).unwrap();
        peer.read_exact(&mut [0; handshake::LENGTH]).unwrap();
        client.until(|client| client.count("handshake") == 1).await;
        client.session.stop().await;
    });
}

#[test]
fn case_127_who_calls_says_first_who_it_is() {
    block_on(async {
        for (keys, first) in [("", handshake::START), ("[peers]\ndelay-peer-id = false\n", handshake::LENGTH)]
        {
            let client = client(keys).await;
            let ours = handshake::whole(client.torrent.info_hash(), client.torrent.peer_id());
            // One that comes in has our whole handshake before we know its id.
            let theirs = handshake::whole(client.torrent.info_hash(), PeerId([1; 20]));
            let mut incoming = client.raw();
            incoming.write_all(&theirs[..handshake::START]).unwrap();
            let mut got = [0; handshake::LENGTH];
            incoming.read_exact(&mut got).unwrap();
            assert_eq!(got, ours);

            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            client.torrent.connect(listener.local_addr().unwrap()).await;
            let mut outgoing = patient(listener.accept().unwrap().0);
            let mut got = vec![0; first];
            outgoing.read_exact(&mut got).unwrap();
            assert_eq!(got, ours[..first]);
            // Its id is a wrong one, ours: what is held back does not come at all.
            outgoing.write_all(&ours).unwrap();
            assert!(rest(outgoing).is_empty());
            assert_eq!(client.ends(), ["myself"]);

            client.torrent.connect(listener.local_addr().unwrap()).await;
            let mut outgoing = patient(listener.accept().unwrap().0);
            outgoing.write_all(&handshake::whole(client.torrent.info_hash(), PeerId([2; 20]))).unwrap();
            let mut got = [0; handshake::LENGTH];
            outgoing.read_exact(&mut got).unwrap();
            assert_eq!(got, ours);
            client.session.stop().await;
        }
    });
}

#[test]
fn case_132_the_rest_of_a_chunk_that_closes_is_dropped() {
    block_on(async {
        let client = client("").await;
        let have = |piece| Message::Have(PieceIndex(piece));
        let request = Message::Request(BlockRef { piece: PieceIndex(0), begin: 0, length: 1 });
        let mut peer = client.peer(1).await;
        peer.write_all(&bytes(&[have(1), request, have(2), have(3)])).unwrap();
        rest(peer);
        client.torrent.stop().await;
        assert_eq!((client.count("have"), client.ends()), (1, vec!["uninterested-request".to_owned()]));
        client.session.stop().await;
    });
}

#[test]
fn case_133_the_first_free_port_is_used_and_announced() {
    block_on(async {
        let hold = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        // Others take ports at the same time: it may need some tries.
        let (port, held) = loop {
            let port = hold(0).unwrap().local_addr().unwrap().port();
            let held: Vec<_> = (port..port.saturating_add(2)).map_while(|port| hold(port).ok()).collect();
            if held.len() == 2 && hold(port + 2).is_ok() {
                break (port, held);
            }
        };
        let keys = |last| format!("[net]\nbind = '127.0.0.1'\nmin-port = {port}\nmax-port = {last}\n");
        let refused = start(&keys(port + 1), None).await.err();
        assert!(matches!(refused, Some(SessionError::Listen(..))), "{refused:?}");
        let client = start(&keys(port + 2), None).await.unwrap();
        assert_eq!(client.session.local_address().port(), port + 2);
        client.until(|_| ANNOUNCED.lock().unwrap().contains(&(port + 2))).await;
        drop(held);
        client.session.stop().await;
    });
}

#[test]
fn a_random_port_is_one_of_the_range() {
    block_on(async {
        let keys = "[net]\nbind = '127.0.0.1'\nmin-port = 20000\nmax-port = 60000\nport-choice = 'random'\n";
        let (one, other) = (start(keys, None).await.unwrap(), start(keys, None).await.unwrap());
        let ports = [&one, &other].map(|client| client.session.local_address().port());
        assert!(
            ports.iter().all(|port| (20_000..=60_000).contains(port)) && ports[0] != ports[1],
            "{ports:?}"
        );
        assert!(ports[0] != 20_000, "the seed's first draw is another");
        one.session.stop().await;
        other.session.stop().await;
    });
}

/// DN-8 and DN-9: a peer by its address, who is connected and how, other limits.
#[test]
fn a_torrent_is_looked_at_and_steered_while_it_runs() {
    block_on(async {
        let (one, other) = (client("").await, client("").await);
        assert_ne!(one.torrent.peer_id(), other.torrent.peer_id());
        one.torrent.connect(other.session.local_address()).await;
        one.until(|client| client.count("handshake") == 1).await;
        let mut peer = one.peer(3).await;
        peer.write_all(&bytes(&[Message::Have(PieceIndex(1)), Message::Interested])).unwrap();
        one.until(|client| client.count("unchoke") >= 1 && client.count("interested") >= 2).await;
        let peers = one.torrent.peers().await;
        assert_eq!(peers.len(), 2);
        assert_eq!((peers[0].address, peers[0].id), (other.session.local_address(), other.torrent.peer_id()));
        assert!(!peers[0].incoming && !peers[0].peer_interested && !peers[0].am_interested && !peers[0].seed);
        let raw = &peers[1];
        assert_eq!((raw.address, raw.id), (peer.local_addr().unwrap(), PeerId([3; 20])));
        assert!(raw.incoming && raw.peer_interested && raw.am_interested && raw.peer_choking && raw.snubbed);
        assert_eq!(
            (raw.unchoked, raw.downloaded, raw.upload_rate),
            (Some(Reason::OPTIMISTIC), 0, 0),
            "{raw:?}"
        );
        for limit in [Limit::At(Rate(1000)), Limit::Unlimited] {
            one.session.set_upload_limit(limit);
            one.session.set_download_limit(limit);
        }
        one.session.stop().await;
        assert!(one.torrent.peers().await.is_empty(), "nobody is connected after the end");
        other.session.stop().await;
    });
}
