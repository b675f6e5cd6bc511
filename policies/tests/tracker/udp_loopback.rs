//! The `udp` tracker client against a tracker on loopback, through real sockets.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use bt_api::AnnounceReply;
use bt_api::plugin::Plugin;
use bt_policies::tracker::udp::{Config, Udp};

use crate::ANNOUNCE;
use crate::host::TestHost;

/// A tracker at `address` that first has forgeries sent from another port, and answers one announce with `peers`.
fn tracker(address: &str, peers: Vec<u8>) -> SocketAddr {
    let socket = UdpSocket::bind(address).unwrap();
    let forger = UdpSocket::bind(address).unwrap();
    let place = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    thread::spawn(move || {
        let mut packet = [0; 2000];
        for (action, body) in [(0_u8, b"connect!".to_vec()), (1, [vec![0; 12], peers].concat())] {
            let (length, client) = socket.recv_from(&mut packet).unwrap();
            assert!(length >= 16 && packet[11] == action);
            let transaction = &packet[12..16];
            forger.send_to(&[&[0, 0, 0, action], transaction, &[0xee; 30]].concat(), client).unwrap();
            socket.send_to(&[0; 3], client).unwrap();
            socket.send_to(&[&[0, 0, 0, action], &[0; 4][..], &body].concat(), client).unwrap();
            socket.send_to(&[&[0, 0, 0, action], transaction, &body].concat(), client).unwrap();
        }
    });
    place
}

fn announce(place: SocketAddr) -> AnnounceReply {
    let (host, _ring) = TestHost::new();
    let client = Udp::build(Config::default()).unwrap();
    let url = format!("udp://{place}");
    let asking = client.announce(Some(&url), &ANNOUNCE, &host);
    let bounded = async_std::future::timeout(Duration::from_secs(60), asking);
    async_std::task::block_on(bounded).expect("the test does not hang").unwrap()
}

#[test]
fn over_ipv4() {
    let reply = announce(tracker("127.0.0.1:0", vec![127, 0, 0, 1, 0x1a, 0xe1]));
    assert_eq!(reply.peers[0].address.to_string(), "127.0.0.1:6881");
}

#[test]
fn over_ipv6() {
    let peer = [&[0; 15][..], &[1, 0x1a, 0xe1]].concat();
    let reply = announce(tracker("[::1]:0", peer));
    assert_eq!(reply.peers[0].address.to_string(), "[::1]:6881");
}
