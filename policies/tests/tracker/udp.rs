//! The `udp` tracker client in virtual time, against trackers well-meaning and not.

use std::net::SocketAddr;
use std::time::Duration;

use bt_api::config;
use bt_api::plugin::Plugin;
use bt_api::{
    Announce, AnnounceReply, Host, InfoHash, Instant, ScrapeReply, TrackerClient, TrackerError,
    TrackerErrorKind,
};
use bt_policies::tracker::reply::MAX_PEERS;
use bt_policies::tracker::udp::{Config, Udp};
use futures::FutureExt;
use futures::future::join;

use crate::ANNOUNCE;
use crate::virtual_net::{Arrival, Sent, VirtualNet};

const URL: Option<&str> = Some("udp://tracker.example:6969/announce");

fn four() -> SocketAddr {
    "192.0.2.1:6969".parse().unwrap()
}

fn six() -> SocketAddr {
    "[2001:db8::1]:6969".parse().unwrap()
}

fn client() -> Box<dyn TrackerClient> {
    Udp::build(Config::default()).unwrap()
}

fn word(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(packet[at..at + 4].try_into().unwrap())
}

/// 0, 1 or 2: connect, announce, scrape.
fn action(sent: &Sent) -> u32 {
    word(&sent.packet, 8)
}

/// The packet of this action that answers `sent`.
fn packet(action: u32, sent: &Sent, body: &[u8]) -> Vec<u8> {
    [&action.to_be_bytes()[..], &sent.packet[12..16], body].concat()
}

/// A connection id, an interval of 30 min, one seed, two leechers, one peer whose last byte is that of the
/// torrent; or counts of as many torrents as were asked for.
fn right(sent: &Sent) -> Vec<u8> {
    match action(sent) {
        0 => packet(0, sent, b"connect!"),
        1 => {
            let peer = [127, 0, 0, 1, 1, sent.packet[35]];
            packet(1, sent, &[&[0, 0, 7, 8, 0, 0, 0, 2, 0, 0, 0, 1][..], &peer].concat())
        }
        _ => packet(2, sent, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3].repeat((sent.packet.len() - 16) / 20)),
    }
}

/// A tracker that does as it should, at once.
fn tracker(sent: &Sent) -> Vec<Arrival> {
    vec![sent.answered(0, sent.to, right(sent))]
}

/// One that grants a connection and answers everything else as `answer` says.
fn connects(
    mut answer: impl FnMut(&Sent) -> Vec<Arrival> + Send + 'static,
) -> impl FnMut(&Sent) -> Vec<Arrival> + Send + 'static {
    move |sent| if action(sent) == 0 { tracker(sent) } else { answer(sent) }
}

fn silence(_: &Sent) -> Vec<Arrival> {
    Vec::new()
}

fn announce(net: &VirtualNet) -> Result<AnnounceReply, TrackerError> {
    net.run(client().announce(URL, &ANNOUNCE, net))
}

fn peers(reply: &AnnounceReply) -> Vec<String> {
    reply.peers.iter().map(|peer| peer.address.to_string()).collect()
}

/// When each packet was sent, in seconds, and its action.
fn schedule(net: &VirtualNet) -> Vec<(u64, u32)> {
    let secs = |at: Instant| at.since(Instant::ZERO).as_secs();
    net.sent().iter().map(|sent| (secs(sent.at), action(sent))).collect()
}

#[test]
fn an_announce_connects_first() {
    let net = VirtualNet::new(&[four()], tracker);
    let reply = announce(&net).unwrap();
    assert_eq!(peers(&reply), ["127.0.0.1:510"]);
    assert_eq!((reply.complete, reply.incomplete), (Some(1), Some(2)));
    assert_eq!(reply.interval, Some(Duration::from_secs(1800)));
    assert_eq!(schedule(&net), [(0, 0), (0, 1)]);
    let sent = net.sent();
    assert_eq!(&sent[1].packet[..8], b"connect!");
    assert_eq!(&sent[1].packet[98..], b"\x02\x09/announce");
    assert_ne!(word(&sent[0].packet, 12), word(&sent[1].packet, 12), "each request has its own id");
    assert_eq!(net.open_sockets(), 0);
}

#[test]
fn path_and_query_are_told_if_the_profile_says_so() {
    let net = VirtualNet::new(&[four()], tracker);
    let client = Udp::build(Config { url_data: false, ..Config::default() }).unwrap();
    net.run(client.announce(URL, &ANNOUNCE, &net)).unwrap();
    assert_eq!(net.sent()[1].packet.len(), 98);
}

/// The examples of BEP 15, "connect times out" and "announce times out".
#[test]
fn packets_go_again_after_15_times_2_to_the_n_seconds() {
    let net = VirtualNet::new(&[four()], silence);
    let error = announce(&net).unwrap_err();
    let times = [0, 15, 45, 105, 225, 465, 945, 1905, 3825];
    assert_eq!(schedule(&net), times.map(|at| (at, 0)));
    assert_eq!(net.now(), Instant::from_secs(15 * ((1 << 9) - 1)));
    assert_eq!(error.kind, TrackerErrorKind::TimedOut);
    assert_eq!(error.message, "no answer from tracker.example at UDP port 6969 to 9 packets");
    let ids: Vec<u32> = net.sent().iter().map(|sent| word(&sent.packet, 12)).collect();
    assert_eq!(ids.len(), 9);

    let mut connected = false;
    let net = VirtualNet::new(&[four()], move |sent| {
        if std::mem::replace(&mut connected, true) { Vec::new() } else { tracker(sent) }
    });
    announce(&net).unwrap_err();
    let begins = [(0, 0), (0, 1), (15, 1), (45, 1), (105, 0), (225, 0)];
    assert_eq!(schedule(&net)[..6], begins, "after a minute the connection id is too old");
}

#[test]
fn time_outs_are_keys() {
    let net = VirtualNet::new(&[four()], silence);
    let config = Config { timeout: config::Duration::secs(3), retries: 2, ..Config::default() };
    net.run(Udp::build(config).unwrap().announce(URL, &ANNOUNCE, &net)).unwrap_err();
    assert_eq!(schedule(&net), [(0, 0), (3, 0), (9, 0)]);
    assert_eq!(net.now(), Instant::from_secs(21));
}

#[test]
fn a_connection_id_serves_for_a_minute_and_all_torrents() {
    let net = VirtualNet::new(&[four()], tracker);
    let client = client();
    let ask = |torrent| {
        let announce = Announce { info_hash: InfoHash([torrent; 20]), ..ANNOUNCE };
        net.run(client.announce(URL, &announce, &net)).unwrap();
    };
    ask(1);
    net.wait(59);
    ask(2);
    net.run(client.scrape(URL.unwrap(), &[InfoHash([1; 20])], &net)).unwrap();
    net.wait(1);
    ask(1);
    assert_eq!(schedule(&net), [(0, 0), (0, 1), (59, 1), (59, 2), (60, 0), (60, 1)]);
}

#[test]
fn only_an_answer_from_the_tracker_to_this_request_counts() {
    let net = VirtualNet::new(&[four()], |sent| {
        let forged = match action(sent) {
            0 => packet(0, sent, b"forged!!"),
            _ => packet(1, sent, &[9; 18]),
        };
        let mut other_id = right(sent);
        other_id[7] ^= 1;
        vec![
            sent.answered(0, "192.0.2.1:6970".parse().unwrap(), forged.clone()),
            sent.answered(0, "192.0.2.2:6969".parse().unwrap(), forged),
            sent.answered(0, sent.to, other_id),
            sent.answered(0, sent.to, Vec::new()),
            sent.answered(0, sent.to, right(sent)[..7].to_vec()),
            sent.answered(1, sent.to, right(sent)),
        ]
    });
    assert_eq!(peers(&announce(&net).unwrap()), ["127.0.0.1:510"]);
    assert_eq!(&net.sent()[1].packet[..8], b"connect!");
}

#[test]
fn forgeries_alone_are_told_of_and_end_in_time() {
    let net = VirtualNet::new(&[four()], |sent| {
        let forged = sent.answered(1, "192.0.2.1:6970".parse().unwrap(), right(sent));
        vec![forged; 5000]
    });
    let config = Config { retries: 0, ..Config::default() };
    let error = net.run(Udp::build(config).unwrap().announce(URL, &ANNOUNCE, &net)).unwrap_err();
    assert_eq!(
        error.message,
        "no answer from tracker.example at UDP port 6969 to 1 packets (5000 others came, with a wrong sender or \
         transaction)"
    );
    assert_eq!(net.now(), Instant::from_secs(15));
}

#[test]
fn what_was_answered_once_answers_nothing_again() {
    let mut old: Vec<Vec<u8>> = Vec::new();
    let net = VirtualNet::new(&[four()], move |sent| {
        // All that was ever said to us, again, and then what is right.
        let mut arrivals: Vec<Arrival> =
            old.iter().map(|packet| sent.answered(0, sent.to, packet.clone())).collect();
        arrivals.extend(tracker(sent));
        old.push(right(sent));
        arrivals
    });
    let client = client();
    for torrent in 1..=3 {
        let announce = Announce { info_hash: InfoHash([torrent; 20]), ..ANNOUNCE };
        let reply = net.run(client.announce(URL, &announce, &net)).unwrap();
        assert_eq!(peers(&reply), [format!("127.0.0.1:{}", 256 + u16::from(torrent))]);
        net.wait(61);
    }
}

#[test]
fn a_late_answer_is_taken_while_it_is_waited_for() {
    let net = VirtualNet::new(&[four()], connects(|sent| vec![sent.answered(20, sent.to, right(sent))]));
    assert_eq!(peers(&announce(&net).unwrap()), ["127.0.0.1:510"]);
    assert_eq!(
        net.now(),
        Instant::from_secs(20),
        "the answer to the first packet, after the second was sent"
    );
    assert_eq!(schedule(&net), [(0, 0), (0, 1), (15, 1)]);
}

#[test]
fn a_refusal_has_the_trackers_words() {
    let net = VirtualNet::new(
        &[four()],
        connects(|sent| vec![sent.answered(0, sent.to, packet(3, sent, b"not on this tracker"))]),
    );
    let error = announce(&net).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (TrackerErrorKind::Refused, "not on this tracker"));
    assert_eq!(schedule(&net), [(0, 0), (0, 1)], "with a new id the answer is final");
}

#[test]
fn a_connection_id_that_is_refused_is_asked_for_anew_once() {
    let mut lost = 1;
    let net = VirtualNet::new(
        &[four()],
        connects(move |sent| {
            let refused = packet(3, sent, b"bad connection id");
            match lost {
                // The first announce is answered, the second refused, twice in case.
                1 => {
                    lost = 2;
                    tracker(sent)
                }
                2 => {
                    lost = 3;
                    vec![sent.answered(0, sent.to, refused.clone()), sent.answered(0, sent.to, refused)]
                }
                3 => {
                    lost = 4;
                    tracker(sent)
                }
                _ => vec![sent.answered(0, sent.to, refused)],
            }
        }),
    );
    let client = client();
    let ask = || net.run(client.announce(URL, &ANNOUNCE, &net));
    ask().unwrap();
    ask().unwrap();
    assert_eq!(ask().unwrap_err().message, "bad connection id");
    assert_eq!(schedule(&net).iter().map(|sent| sent.1).collect::<Vec<_>>(), [0, 1, 1, 0, 1, 1, 0, 1]);
}

#[test]
fn a_tracker_that_was_started_anew_costs_one_time_out() {
    // Of requests with an id that it does not know it takes no notice, as BEP 15 says.
    let (mut id, mut requests) = (0_u64, 0);
    let net = VirtualNet::new(&[four()], move |sent| {
        if action(sent) == 0 {
            id += 1;
            return vec![sent.answered(0, sent.to, packet(0, sent, &id.to_be_bytes()))];
        }
        requests += 1;
        let restarted = requests == 2;
        if restarted { Vec::new() } else { tracker(sent) }
    });
    let client = client();
    for _ in 0..2 {
        net.run(client.announce(URL, &ANNOUNCE, &net)).unwrap();
    }
    assert_eq!(schedule(&net), [(0, 0), (0, 1), (0, 1), (15, 0), (15, 1)]);
    assert_eq!(net.sent()[4].packet[..8], 2_u64.to_be_bytes());
}

#[test]
fn what_breaks_the_protocol_is_said_in_one_line() {
    let error = |body: &'static [u8], action: u32| {
        let net = VirtualNet::new(
            &[four()],
            connects(move |sent| vec![sent.answered(0, sent.to, packet(action, sent, body))]),
        );
        let error = announce(&net).unwrap_err();
        assert_eq!(error.kind, TrackerErrorKind::Malformed);
        assert!(!error.message.contains('\n'));
        error.message
    };
    assert_eq!(error(&[0; 11], 1), "the answer to an announce must have 20 bytes, found 19");
    assert_eq!(error(&[0; 17], 1), "the peers must take 6 bytes each, found 5 in all");
    assert_eq!(error(&[0; 18], 2), "the tracker answered action 2 to a request of 1");
    assert_eq!(error(&[0; 18], u32::MAX), "the tracker answered action 4294967295 to a request of 1");
    let net = VirtualNet::new(&[four()], |sent| vec![sent.answered(0, sent.to, packet(0, sent, &[0; 7]))]);
    assert_eq!(announce(&net).unwrap_err().message, "the answer to a connect must have 16 bytes, found 15");
}

#[test]
fn giant_numbers_and_lists_are_taken_within_bounds() {
    let net = VirtualNet::new(
        &[four()],
        connects(|sent| vec![sent.answered(0, sent.to, packet(1, sent, &[255; 12 + 6 * 10_000]))]),
    );
    let reply = announce(&net).unwrap();
    assert_eq!(reply.peers.len(), MAX_PEERS);
    assert_eq!((reply.complete, reply.incomplete), (Some(u32::MAX.into()), Some(u32::MAX.into())));
    assert_eq!(reply.interval, Some(Duration::from_secs(u32::MAX.into())));
}

#[test]
fn requests_at_once_keep_their_answers_apart() {
    // Answers come in the opposite order, each also to the other's socket.
    let mut first: Option<Sent> = None;
    let net = VirtualNet::new(
        &[four()],
        connects(move |sent| match first.take() {
            None => {
                first = Some(sent.clone());
                Vec::new()
            }
            Some(one) => {
                let (to_one, to_other) = (right(&one), right(sent));
                let arrives = |to: &Sent, after, packet: &Vec<u8>| Arrival {
                    at: sent.at,
                    ..to.answered(after, sent.to, packet.clone())
                };
                vec![
                    arrives(sent, 0, &to_one),
                    arrives(&one, 0, &to_other),
                    arrives(sent, 0, &to_other),
                    arrives(&one, 0, &to_one),
                ]
            }
        }),
    );
    let client = client();
    let announces = [1, 2].map(|torrent| Announce { info_hash: InfoHash([torrent; 20]), ..ANNOUNCE });
    let [one, other] = announces.each_ref().map(|announce| client.announce(URL, announce, &net));
    let (one, other) = net.run(join(one, other));
    assert_eq!(peers(&one.unwrap()), ["127.0.0.1:257"]);
    assert_eq!(peers(&other.unwrap()), ["127.0.0.1:258"]);
}

#[test]
fn counts_come_74_torrents_at_a_time() {
    let net = VirtualNet::new(&[four()], tracker);
    let torrents = [InfoHash([1; 20]); 80];
    let counts = net.run(client().scrape(URL.unwrap(), &torrents, &net)).unwrap();
    assert_eq!(counts, [ScrapeReply { complete: 1, downloaded: 2, incomplete: 3 }; 80]);
    let lengths: Vec<usize> = net.sent().iter().map(|sent| sent.packet.len()).collect();
    assert_eq!(lengths, [16, 16 + 74 * 20, 16 + 6 * 20]);

    let short = connects(|sent| vec![sent.answered(0, sent.to, packet(2, sent, &[0; 12]))]);
    let net = VirtualNet::new(&[four()], short);
    let error = net.run(client().scrape(URL.unwrap(), &torrents[..2], &net)).unwrap_err();
    assert_eq!(error.message, "the answer to a scrape must have 32 bytes, found 20");
}

#[test]
fn peers_are_of_the_family_of_the_trackers_address() {
    let listed = |sent: &Sent| {
        let peer = [&[0; 15][..], &[1, 0x1a, 0xe1]].concat();
        vec![sent.answered(0, sent.to, packet(1, sent, &[&[0; 12][..], &peer].concat()))]
    };
    let net = VirtualNet::new(&[six()], connects(listed));
    let ours = Announce { ip: Some("192.0.2.9".parse().unwrap()), ..ANNOUNCE };
    let reply = net.run(client().announce(URL, &ours, &net)).unwrap();
    assert_eq!(peers(&reply), ["[::1]:6881"]);
    assert_eq!(reply.interval, None, "an interval of zero says nothing");
    assert_eq!(word(&net.sent()[1].packet, 84), 0, "no address is told over IPv6 (BEP 15)");

    let net = VirtualNet::new(&[four()], connects(listed));
    let reply = net.run(client().announce(URL, &ours, &net)).unwrap();
    assert_eq!(reply.peers.len(), 1, "three times six bytes, of which two are at port 0");
    assert_eq!(net.sent()[1].packet[84..88], [192, 0, 2, 9]);
}

#[test]
fn a_family_that_leads_nowhere_costs_one_time_out() {
    let net =
        VirtualNet::new(&[six(), four()], |sent| if sent.to == four() { tracker(sent) } else { Vec::new() });
    assert_eq!(peers(&announce(&net).unwrap()), ["127.0.0.1:510"]);
    assert_eq!(schedule(&net), [(0, 0), (15, 0), (15, 1)]);

    let net = VirtualNet::new(&[six(), four()], tracker);
    net.reach_only(|address| address.is_ipv4());
    assert_eq!(peers(&announce(&net).unwrap()), ["127.0.0.1:510"]);
    assert_eq!(net.now(), Instant::ZERO, "without a network of that family there is nothing to wait for");
}

#[test]
fn where_nothing_can_be_sent_is_said() {
    let net = VirtualNet::new(&[four()], tracker);
    net.reach_only(|_| false);
    let error = announce(&net).unwrap_err();
    assert_eq!(error.kind, TrackerErrorKind::Unreachable);
    assert_eq!(error.message, "cannot reach tracker.example at UDP port 6969: no such network");
    let nowhere = VirtualNet::new(&[], tracker);
    assert_eq!(
        announce(&nowhere).unwrap_err().message,
        "cannot reach tracker.example at UDP port 6969: it has no address"
    );
    for many in ["239.0.0.1:1", "255.255.255.255:1", "0.0.0.0:1", "[ff02::1]:1", "[::]:1"] {
        let net = VirtualNet::new(&[many.parse().unwrap()], tracker);
        assert_eq!(announce(&net).unwrap_err().kind, TrackerErrorKind::Unsupported, "{many}");
        assert!(net.sent().is_empty());
    }
    let net = VirtualNet::new(&[four()], tracker);
    let error = net.run(client().announce(Some("udp://tracker.example/"), &ANNOUNCE, &net)).unwrap_err();
    assert_eq!(error.kind, TrackerErrorKind::Unsupported);
}

#[test]
fn one_that_is_dropped_leaves_no_socket() {
    let net = VirtualNet::new(&[four()], silence);
    let client = client();
    let mut asking = client.announce(URL, &ANNOUNCE, &net);
    assert!((&mut asking).now_or_never().is_none());
    assert_eq!(net.open_sockets(), 1);
    drop(asking);
    assert_eq!(net.open_sockets(), 0);
    assert!(client.unasked(&ANNOUNCE, &net).now_or_never().is_none());
    assert_eq!(client.schemes(), ["udp"]);
}

#[test]
fn transaction_ids_differ_from_client_to_client_and_packet_to_packet() {
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let (net, client) = (VirtualNet::new(&[four()], tracker), client());
        for _ in 0..50 {
            net.run(client.announce(URL, &ANNOUNCE, &net)).unwrap();
            net.wait(60);
        }
        ids.extend(net.sent().iter().map(|sent| word(&sent.packet, 12)));
    }
    // Of 400 random numbers of 32 bits two are the same once in 50 000 runs, three hardly ever.
    assert!(ids.len() >= 399, "{}", ids.len());
}
