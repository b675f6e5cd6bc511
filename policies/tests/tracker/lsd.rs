//! Local discovery in virtual time, between clients on one network.

use std::net::SocketAddr;
use std::time::Duration;

use bt_api::plugin::Plugin;
use bt_api::{Announce, Host, InfoHash, Instant, TrackerClient, TrackerErrorKind};
use bt_policies::tracker::lsd::{Config, Lsd};
use futures::FutureExt;
use futures::future::{join, join3};

use crate::ANNOUNCE;
use crate::virtual_net::{Arrival, VirtualNet};

fn client() -> Box<dyn TrackerClient> {
    Lsd::build(Config::default()).unwrap()
}

fn net() -> VirtualNet {
    VirtualNet::new(&[], |_| Vec::new())
}

fn group() -> SocketAddr {
    "239.192.152.143:6771".parse().unwrap()
}

/// An announce of another program's, which comes `after` so many seconds.
fn stranger(after: u64, ip: u8, port: u16, torrent: InfoHash) -> Arrival {
    let packet =
        format!("BT-SEARCH * HTTP/1.1\r\nPort: {port}\r\nInfohash: {torrent}\r\n\r\n\r\n").into_bytes();
    let from = SocketAddr::from(([192, 0, 2, ip], 6771));
    Arrival { at: Instant::from_secs(after), from, to: group(), packet }
}

fn port_of(sent: &[u8]) -> &str {
    std::str::from_utf8(sent).unwrap().split("Port: ").nth(1).unwrap().split("\r\n").next().unwrap()
}

#[test]
fn two_clients_find_each_other_whoever_speaks() {
    let (net, one, other) = (net(), client(), client());
    let (ours, theirs) = (ANNOUNCE, Announce { port: 6882, ..ANNOUNCE });
    let newcomer = async {
        let reply = other.announce(None, &theirs, &net).await.unwrap();
        assert_eq!((reply.peers.len(), reply.interval), (0, Some(Duration::from_secs(300))));
    };
    let (first, second, ()) =
        net.run(join3(one.unasked(&ours, &net), other.unasked(&theirs, &net), newcomer));
    assert!(first.unwrap().iter().all(|peer| peer.address.port() == 6882));
    assert!(second.unwrap().iter().all(|peer| peer.address.port() == 6881));
    // The newcomer spoke to both groups, and so did the other in answer; nobody spoke again.
    let sent: Vec<(SocketAddr, String)> =
        net.sent().iter().map(|sent| (sent.to, port_of(&sent.packet).to_owned())).collect();
    let six: SocketAddr = "[ff15::efc0:988f]:6771".parse().unwrap();
    assert_eq!(
        sent,
        [(group(), "6882"), (six, "6882"), (group(), "6881"), (six, "6881")]
            .map(|(to, port)| (to, port.to_owned()))
    );
    assert_eq!(net.open_sockets(), 0);
}

#[test]
fn a_torrent_is_told_of_once_a_minute_at_most() {
    let (net, client) = (net(), client());
    net.reach_only(|group| group.is_ipv4());
    let tell = |torrent| {
        let announce = Announce { info_hash: InfoHash([torrent; 20]), ..ANNOUNCE };
        net.run(client.announce(None, &announce, &net)).unwrap();
    };
    for _ in 0..5 {
        tell(1);
        tell(2);
        net.wait(20);
    }
    let times: Vec<u64> = net.sent().iter().map(|sent| sent.at.since(Instant::ZERO).as_secs()).collect();
    assert_eq!(times, [0, 0, 60, 60]);

    // Newcomers are answered within that limit too: the network cannot be made to shout.
    let ours = Announce { info_hash: InfoHash([1; 20]), ..ANNOUNCE };
    let hearing = client.unasked(&ours, &net);
    let arriving = async {
        (1..50).for_each(|ip| net.arrives(stranger(101, ip, 6881, ours.info_hash)));
    };
    let (peers, ()) = net.run(join(hearing, arriving));
    assert_eq!(peers.unwrap().len(), 49, "those who come in a moment are told of together");
    assert_eq!(net.sent().len(), 4);
}

#[test]
fn only_others_with_the_same_torrent_are_peers() {
    let (net, client) = (net(), client());
    let hearing = client.unasked(&ANNOUNCE, &net);
    let speaking = async {
        // Our own announce comes back to us.
        client.announce(None, &ANNOUNCE, &net).await.unwrap();
        net.arrives(stranger(1, 1, 6881, InfoHash([9; 20])));
        net.arrives(stranger(2, 2, 0, ANNOUNCE.info_hash));
        net.arrives(Arrival { packet: vec![0xff; 3000], ..stranger(3, 3, 1, ANNOUNCE.info_hash) });
        net.arrives(stranger(4, 4, 51413, ANNOUNCE.info_hash));
        net.arrives(stranger(4, 4, 51413, ANNOUNCE.info_hash));
    };
    let (peers, ()) = net.run(join(hearing, speaking));
    let peers: Vec<String> = peers.unwrap().iter().map(|peer| peer.address.to_string()).collect();
    assert_eq!(peers, ["192.0.2.4:51413"], "at the port that it named, not the one it spoke from");
    assert_eq!(net.now(), Instant::from_secs(5));
}

#[test]
fn a_flood_ends_after_a_second_and_is_bounded() {
    let (net, client) = (net(), client());
    let hearing = client.unasked(&ANNOUNCE, &net);
    let flood = async {
        (1..2000).for_each(|port| net.arrives(stranger(0, 1, port, ANNOUNCE.info_hash)));
        (1..2000).for_each(|port| net.arrives(stranger(0, 1, port, InfoHash([9; 20]))));
    };
    let (peers, ()) = net.run(join(hearing, flood));
    assert_eq!(peers.unwrap().len(), 100);
    assert_eq!(net.now(), Instant::from_secs(1));
}

#[test]
fn without_a_network_that_has_groups_it_says_so() {
    let (net, client) = (net(), client());
    net.reach_only(|_| false);
    let error = net.run(client.announce(None, &ANNOUNCE, &net)).unwrap_err();
    assert_eq!(error.kind, TrackerErrorKind::Unreachable);
    assert_eq!(error.message, "cannot join the local network: no such network");
    assert_eq!(net.run(client.unasked(&ANNOUNCE, &net)).unwrap_err().kind, TrackerErrorKind::Unreachable);
    let counts = client.scrape("lsd://x", &[], &net).now_or_never().unwrap();
    assert_eq!(counts.unwrap_err().kind, TrackerErrorKind::Unsupported);
    assert!(client.schemes().is_empty(), "a source: private torrents do not ask it");
}
