//! Hostile peers over real sockets: each is closed or borne, and honest peers are served meanwhile.

mod peer;
mod stage;

use std::net::TcpListener;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use bt_api::{BlockRef, PieceIndex, PieceSet};
use bt_engine::handshake;
use bt_engine::wire::Message;
use serde_json::Value;

use peer::{Peer, REQUEST, UNCHOKE, message, words};
use stage::{Content, Node, PATIENCE, PIECE_LENGTH, PIECES};

const BLOCK: u32 = 16 << 10;

fn request(piece: u32, begin: u32, length: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(piece), begin, length }
}

#[test]
fn what_breaks_the_protocol_closes_its_connection() {
    let have = |piece| message(4, &words([piece]));
    let bitfield = |bytes: &[u8]| message(5, bytes);
    let attacks: &[(&str, Vec<u8>)] = &[
        ("a piece of 4 GiB", [&u32::MAX.to_be_bytes()[..], &[7]].concat()),
        ("a bitfield of 4 GiB", [&u32::MAX.to_be_bytes()[..], &[5]].concat()),
        ("an unknown message of 4 GiB", [&u32::MAX.to_be_bytes()[..], &[99]].concat()),
        ("a piece over the limit", [&((8_u32 << 20) + 1).to_be_bytes()[..], &[7]].concat()),
        ("an unknown message", message(99, b"")),
        ("a choke with a body", message(0, b"x")),
        ("half a have", message(4, &[0, 0])),
        ("a have of no piece", have(PIECES)),
        ("a have of the last number", have(u32::MAX)),
        ("a request of no piece", message(6, &words([PIECES, 0, BLOCK]))),
        ("a cancel of no piece", message(8, &words([u32::MAX, 0, BLOCK]))),
        ("a block of no piece", message(7, &[words([PIECES, 0]), vec![0; 100]].concat())),
        ("a block of no bytes", message(7, &words([0, 0]))),
        ("a bitfield twice", [bitfield(&[0x80, 0, 0, 0]), bitfield(&[0x80, 0, 0, 0])].concat()),
        ("a late bitfield", [have(0), bitfield(&[0x80, 0, 0, 0])].concat()),
        ("spare bits", bitfield(&[0, 0, 0, 0x01])),
        ("a short bitfield", bitfield(&[0x80, 0, 0])),
        ("a long bitfield", bitfield(&[0x80, 0, 0, 0, 0])),
    ];
    let content = Content::new();
    let node = Node::seeder(&content, "mainline.toml", &["peers.late-bitfield=close"], &[]);
    for (name, bytes) in attacks {
        let mut peer = Peer::join(node.address(), content.metainfo.info_hash);
        peer.send(bytes);
        peer.rest();
        assert_eq!(node.fate_of(peer.address()), "protocol", "{name}");
    }
    node.serves_on(&content);
}

#[test]
fn a_request_that_cannot_be_served_closes_its_connection() {
    let end = PIECE_LENGTH - 1000;
    let bad = [
        request(0, u32::MAX, BLOCK),
        request(0, u32::MAX - BLOCK + 1, BLOCK),
        request(0, PIECE_LENGTH, 1),
        request(PIECES - 1, end - BLOCK + 1, BLOCK),
        request(0, 0, 0),
        request(0, 0, 1 << 20),
        request(0, 0, u32::MAX),
    ];
    let content = Content::new();
    let node = Node::seeder(&content, "mainline.toml", &[], &[]);
    for block in bad {
        let mut peer = Peer::join(node.address(), content.metainfo.info_hash);
        peer.say(&Message::Interested);
        peer.wait_for(UNCHOKE);
        peer.say(&Message::Request(block));
        peer.rest();
        assert_eq!(node.fate_of(peer.address()), "bad-request", "{block:?}");
    }
    // Nor does a leecher serve a piece that it lacks.
    let leecher = Node::leecher(&content, "mainline.toml", &[], &[]);
    let mut peer = Peer::join(leecher.address(), content.metainfo.info_hash);
    peer.say(&Message::Interested);
    peer.wait_for(UNCHOKE);
    peer.say(&Message::Request(request(0, 0, BLOCK)));
    peer.rest();
    assert_eq!(leecher.fate_of(peer.address()), "bad-request");
    leecher.downloads_on(&content);
    node.serves_on(&content);
}

#[test]
fn blocks_that_nobody_asked_for_are_thrown_away() {
    let content = Content::new();
    let node = Node::leecher(&content, "mainline.toml", &[], &[]);
    let mut peer = Peer::join(node.address(), content.metainfo.info_hash);
    let mut pieces = PieceSet::full(PIECES);
    pieces.remove(PieceIndex(5));
    peer.say(&Message::Bitfield(pieces));
    let garbage = vec![0xbb; 4 << 20];
    peer.say_block(0, 0, &garbage[..BLOCK as usize]);
    peer.say_block(1, 100, &garbage[..77]);
    peer.say_block(2, u32::MAX, &garbage[..10]);
    peer.say_block(PIECES - 1, PIECE_LENGTH - 1, &garbage[..BLOCK as usize]);
    for _ in 0..4 {
        peer.say_block(3, 0, &garbage);
    }
    // After all of that it is still heard.
    peer.say(&Message::Have(PieceIndex(5)));
    let number = node.number_of(peer.address());
    node.wait_for_event("have", &[("peer", number.clone()), ("piece", 5.into())]);
    assert!(node.keeps(peer.address()));
    let dropped = node.events("duplicate_block");
    assert!(dropped.len() >= 4 && dropped.iter().all(|event| event["peer"] == number), "{dropped:?}");
    assert!(node.peak_memory() < garbage.len(), "{}", node.peak_memory());
    node.downloads_on(&content);
}

#[test]
fn a_flood_of_requests_that_reads_nothing_is_bounded() {
    const MEMORY: usize = 8 << 20;
    /// What may wait in the kernel's buffers, in blocks: tens of megabytes.
    const IN_SOCKETS: usize = 3000;
    const MAX_QUEUE: usize = 250;
    let content = Content::new();
    let sets = ["net.memory=8 MiB", "upload.max-queue=250"];
    let node = Node::seeder(&content, "mainline.toml", &sets, &[]);
    let mut flooder = Peer::join(node.address(), content.metainfo.info_hash);
    let mut waverer = Peer::join(node.address(), content.metainfo.info_hash);
    for peer in [&mut flooder, &mut waverer] {
        peer.say(&Message::Interested);
        peer.wait_for(UNCHOKE);
    }
    let asked = |kind, i: u32| message(kind, &words([i % (PIECES - 1), i % 4 * BLOCK, BLOCK]));
    let flood: Vec<u8> = (0..50_000).flat_map(|i| asked(6, i)).collect();
    let storm: Vec<u8> = (0..20_000).flat_map(|i| [asked(6, i), asked(8, i)].concat()).collect();
    for (peer, bytes) in [(&mut flooder, flood), (&mut waverer, storm)] {
        peer.send(&bytes);
        peer.say(&Message::Have(PieceIndex(7)));
    }
    for peer in [&flooder, &waverer] {
        let number = node.number_of(peer.address());
        node.wait_for_event("have", &[("peer", number), ("piece", 7.into())]);
        assert!(node.keeps(peer.address()));
    }
    let number = node.number_of(flooder.address());
    let taken = node.events("request").iter().filter(|event| event["peer"] == number).count();
    assert!((1..=MAX_QUEUE + IN_SOCKETS).contains(&taken), "{taken} requests were taken");
    assert!(node.peak_memory() <= MEMORY, "{}", node.peak_memory());
    node.serves_on(&content);
}

#[test]
fn silence_is_borne_for_a_while_only() {
    let content = Content::new();
    let hash = content.metainfo.info_hash;
    let sets = [
        "peers.handshake-timeout=2 s",
        "peers.idle-timeout=4 s",
        "peers.idle-check-interval=500 ms",
        "peers.keepalive-interval=500 ms",
    ];
    let node = Node::seeder(&content, "mainline.toml", &sets, &[]);
    let mut silent = Peer::connect(node.address());
    let mut half = Peer::connect(node.address());
    half.send(&handshake::start(hash)[..30]);
    let mut nameless = Peer::connect(node.address());
    nameless.send(&handshake::start(hash));
    let mut idle = Peer::join(node.address(), hash);
    // Part of a message is no sign of life for ever.
    let mut partial = Peer::join(node.address(), hash);
    partial.send(&[0, 0, 0, 13, REQUEST]);
    assert_eq!((silent.rest().len(), half.rest().len()), (0, 0));
    nameless.rest();
    assert_eq!(node.fate_of(nameless.address()), "handshake-timeout");
    for peer in [&mut idle, &mut partial] {
        peer.rest();
        assert_eq!(node.fate_of(peer.address()), "idle");
    }
    node.serves_on(&content);
}

#[test]
fn a_handshake_may_come_byte_by_byte_but_must_be_right() {
    let content = Content::new();
    let hash = content.metainfo.info_hash;
    // It dials peers, one of which is of another torrent.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = listener.local_addr().unwrap();
    let other = bt_api::InfoHash([9; 20]);
    let node = Node::seeder(&content, "mainline.toml", &[], &[elsewhere]);
    let (stream, _) = listener.accept().unwrap();
    let mut stranger = Peer::over(stream);
    // Ours up to the info-hash; our id not before the other's, and never to such a one.
    assert_eq!(stranger.read(), Some(handshake::start(hash)));
    stranger.send(&handshake::whole(other, stranger.id()));
    assert_eq!(stranger.rest(), b"");
    let number = node.wait_for_event("dial", &[("addr", elsewhere.to_string().into())])["peer"].clone();
    assert_eq!(node.wait_for_event("peer_closed", &[("peer", number)])["reason"], "handshake");

    let mut slow = Peer::connect(node.address());
    let whole = handshake::whole(hash, slow.id());
    whole.iter().for_each(|byte| slow.send(&[*byte]));
    let answer = slow.read::<{ handshake::LENGTH }>().expect("it is answered");
    assert_eq!(slow.hear().map(|(kind, _)| kind), Some(5), "the bitfield comes first");

    for wrong in [handshake::whole(other, slow.id()).to_vec(), b"GET /announce HTTP/1.1\r\n\r\n".to_vec()] {
        let mut peer = Peer::connect(node.address());
        peer.send(&wrong);
        assert_eq!(peer.rest(), b"", "nothing is said to a stranger");
    }
    for (id, reason) in [(&answer[48..], "myself"), (&whole[48..], "duplicate")] {
        let mut peer = Peer::connect(node.address());
        peer.send(&[&handshake::start(hash)[..], id].concat());
        peer.rest();
        assert_eq!(node.fate_of(peer.address()), reason);
    }
    assert!(node.keeps(slow.address()));
    node.serves_on(&content);
}

/// What comes in the same chunk as the message that closes the connection is not heard, and the end of the
/// connection is told once.
#[test]
fn case_132_nothing_is_heard_after_the_message_that_closes() {
    let content = Content::new();
    let node = Node::seeder(&content, "mainline.toml", &[], &[]);
    let mut peer = Peer::join(node.address(), content.metainfo.info_hash);
    // A request without interest closes.
    let chunk = [message(4, &words([1])), message(REQUEST, &words([0, 0, BLOCK])), message(2, &[])];
    peer.send(&chunk.concat());
    peer.rest();
    let number = node.number_of(peer.address());
    assert_eq!(node.fate_of(peer.address()), "uninterested-request");
    let told = |ev: &str| node.events(ev).into_iter().filter(|event| event["peer"] == number);
    let heard = |ev: &str| told(ev).filter(|event| event["dir"] == "from").count();
    assert_eq!((heard("have"), heard("interested"), told("peer_closed").count()), (1, 0, 1));
    node.serves_on(&content);
}

#[test]
fn a_flood_of_connections_is_turned_away() {
    const MOST: usize = 8;
    const FLOOD: usize = 60;
    let content = Content::new();
    // The original's short queue of the system would hold the flood back for seconds.
    let room = ["peers.max-connections=8", "net.listen-backlog=128"];
    let node = Node::seeder(&content, "mainline.toml", &room, &[]);
    // One that is there before is not pushed out: its download goes on meanwhile.
    let slowly = ["net.download-limit=500 KiB/s"];
    let leecher = Node::leecher(&content, "mainline.toml", &slowly, &[node.address()]);
    let there = node.wait_for_event("handshake", &[]);
    let mut peers: Vec<Peer> = (0..FLOOD).map(|_| Peer::connect(node.address())).collect();
    for peer in &mut peers {
        let whole = handshake::whole(content.metainfo.info_hash, peer.id());
        peer.send(&whole);
    }
    let fates =
        || node.events("peer_closed").into_iter().filter(|event| event["reason"] == "too-many").count();
    bt_tests::process::wait_for("the flood to be turned away", PATIENCE, || {
        (fates() >= FLOOD - MOST).then_some(())
    });
    assert!(fates() < FLOOD);
    leecher.complete();
    assert!(node.events("handshake").len() <= MOST && node.events("handshake")[0] == there);
    leecher.finish(&content);
    drop(peers);
    node.finish(&content);
}

/// Claims to have everything; of the blocks that it is asked for, the first `bad` are garbage.
fn poison(listener: &TcpListener, content: &Content, bad: usize, told: &Sender<()>) {
    let mut peer = Peer::accept(listener, content.metainfo.info_hash);
    peer.say(&Message::Bitfield(PieceSet::full(PIECES)));
    peer.say(&Message::Unchoke);
    let mut sent = 0;
    while let Some((kind, body)) = peer.hear() {
        if kind == REQUEST {
            let word = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
            let (piece, begin, length) = (word(0), word(4), word(8) as usize);
            let from = (piece * PIECE_LENGTH + begin) as usize;
            let good = &content.bytes[from..from + length];
            let bytes = if sent < bad { good.iter().map(|byte| !byte).collect() } else { good.to_vec() };
            peer.say_block(piece, begin, &bytes);
            sent += 1;
            // The test may have ended.
            let _ = told.send(());
        }
    }
}

/// A download from one poisoner and two honest seeders; answers what is said of bad data.
fn poisoned(profile: &str, bad: usize) -> (Vec<Value>, Vec<Value>) {
    let content = Content::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, poisoned) = channel();
    thread::scope(|scope| {
        let content = &content;
        scope.spawn(move || poison(&listener, content, bad, &told));
        let node = Node::leecher(content, profile, &[], &[address]);
        poisoned.recv_timeout(PATIENCE).expect("the poisoner is asked");
        let seeders = [(); 2].map(|()| Node::seeder(content, profile, &[], &[node.address()]));
        node.complete();
        node.wait_for_event("bad_data", &[("addr", address.to_string().into())]);
        assert!(!node.events("piece_failed").is_empty());
        let named = node.events("bad_data");
        let honest = named.iter().filter(|event| event["addr"] != address.to_string()).count();
        assert_eq!(honest, 0, "{named:?}");
        let closed = node.events("peer_closed");
        node.finish(content);
        seeders.into_iter().for_each(|seeder| seeder.finish(content));
        (named, closed)
    })
}

#[test]
fn a_poisoned_download_completes_and_the_poisoner_is_banned_where_the_profile_says_so() {
    let (named, closed) = poisoned("modern.toml", usize::MAX);
    assert!(named.iter().all(|event| event["banned"] == true), "{named:?}");
    let banned: Vec<&Value> = closed.iter().filter(|event| event["reason"] == "banned").collect();
    assert!(banned.iter().any(|event| event["peer"] == named[0]["peer"]), "{closed:?}");
}

#[test]
fn a_poisoned_download_completes_and_the_poisoner_is_named_where_nobody_is_banned() {
    let (named, closed) = poisoned("mainline.toml", 20);
    assert!(named.iter().all(|event| event["banned"] == false), "{named:?}");
    assert!(closed.iter().all(|event| event["reason"] != "banned"), "{closed:?}");
}
