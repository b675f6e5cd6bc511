//! Figures of hand-made runs, worked out by hand.

use bt_api::Instant;
use bt_engine::Event;
use bt_engine::event::{Dir, Joined};
use proptest::prelude::*;

use super::*;

fn address(node: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, node as u8], 1))
}

fn joined(node: u32, class: &str, up: u64, down: Option<u64>, have: &str) -> Event {
    Event::Joined(Box::new(Joined {
        addr: Some(address(node)),
        class: Some(class.to_owned()),
        up: Some(up),
        down,
        total_length: 400,
        piece_length: 100,
        have: have.to_owned(),
    }))
}

/// A run under way.
#[derive(Default)]
struct Run(Measures);

impl Run {
    fn at(&mut self, seconds: f64, node: u32, event: Event) {
        self.0.event(Instant::from_nanos((seconds * 1e9) as u64), node, &event);
    }

    fn connect(&mut self, at: f64, [a, a_peer]: [u32; 2], [b, b_peer]: [u32; 2]) {
        self.at(at, a, Event::PeerConnected { peer: a_peer, addr: address(b), incoming: false });
        self.at(at, b, Event::PeerConnected { peer: b_peer, addr: address(a), incoming: true });
    }

    /// `a` says it to `b`, who hears it at once.
    fn say(
        &mut self,
        at: f64,
        [a, a_peer]: [u32; 2],
        [b, b_peer]: [u32; 2],
        event: impl Fn(u32, Dir) -> Event,
    ) {
        self.at(at, a, event(a_peer, Dir::To));
        self.at(at, b, event(b_peer, Dir::From));
    }

    /// `a` sends a piece to `b`.
    fn piece(&mut self, at: f64, a: [u32; 2], b: [u32; 2], piece: u32) {
        self.say(at, a, b, |peer, dir| Event::Block { peer, dir, piece, begin: 0, length: 100 });
        self.at(at, b[0], Event::PieceVerified { piece, peers: vec![b[1]] });
    }

    fn complete(&mut self, at: f64, node: u32) {
        self.at(at, node, Event::Complete { downloaded: 400, uploaded: 0 });
    }
}

fn interested(value: bool) -> impl Fn(u32, Dir) -> Event {
    move |peer, dir| Event::Interested { peer, dir, value }
}

fn unchoke(peer: u32, dir: Dir) -> Event {
    Event::Unchoke { peer, dir, reason: None }
}

fn choke(peer: u32, dir: Dir) -> Event {
    Event::Choke { peer, dir }
}

/// A seed serves `fast`, which serves `slow`: one piece as a leecher, three as a seed.
fn chain() -> Run {
    let mut run = Run::default();
    let (seed, fast, slow) = (0, 1, 2);
    run.at(0.0, seed, joined(seed, "seed", 100, None, "0-3"));
    run.at(0.0, fast, joined(fast, "fast", 100, Some(100), ""));
    run.at(0.0, slow, joined(slow, "slow", 25, Some(100), ""));
    run.connect(0.0, [fast, 0], [seed, 0]);
    run.connect(0.0, [slow, 0], [fast, 1]);
    run.say(1.0, [fast, 0], [seed, 0], interested(true));
    run.say(1.0, [seed, 0], [fast, 0], unchoke);
    run.piece(2.0, [seed, 0], [fast, 0], 0);
    run.say(2.0, [slow, 0], [fast, 1], interested(true));
    run.say(2.0, [fast, 1], [slow, 0], unchoke);
    run.piece(3.0, [seed, 0], [fast, 0], 1);
    run.piece(4.0, [seed, 0], [fast, 0], 2);
    run.piece(4.0, [fast, 1], [slow, 0], 0);
    run.piece(5.0, [seed, 0], [fast, 0], 3);
    run.complete(5.0, fast);
    run.say(5.0, [fast, 0], [seed, 0], interested(false));
    run.piece(6.0, [fast, 1], [slow, 0], 1);
    run.piece(7.0, [fast, 1], [slow, 0], 2);
    run.piece(8.0, [fast, 1], [slow, 0], 3);
    run.complete(8.0, slow);
    run.at(9.0, fast, Event::Left {});
    run
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * b.abs().max(1.0)
}

#[track_caller]
fn figures(of: &BTreeMap<String, Dist>, expected: &[(&str, f64)]) {
    for (name, mean) in expected {
        let dist = of.get(*name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(close(dist.mean, *mean), "{name} is {}, not {mean}", dist.mean);
    }
}

#[test]
fn a_chain_of_three_measured() {
    let measured = chain().0.finish(Instant::from_secs(10), Some(4.0));
    let summary = &measured.summary;
    figures(
        &summary.overall,
        &[
            ("completion_time", 6.5),
            ("normalized_time", 6.5 / 4.0),
            ("link_time", (1.25 + 2.0) / 2.0),
            ("upload_utilization", 100.0 / (100.0 * 5.0 + 25.0 * 8.0)),
            ("upload_utilization_seeds", 700.0 / (100.0 * 10.0 + 100.0 * 4.0 + 25.0 * 2.0)),
            ("download_utilization", 800.0 / 1300.0),
            ("seed_share", 700.0 / 800.0),
            ("seed_copies", 1.0),
            ("reciprocation", 0.0),
            ("jain_seed_service", 0.98),
            ("jain_ratio", 0.5),
            ("freerider_gain", 5.0 / 8.0),
            ("stratification_random", 1.0),
        ],
    );
    figures(
        &summary.classes["fast"],
        &[
            ("completion_time", 5.0),
            ("normalized_time", 1.25),
            ("download_rate", 80.0),
            ("share_ratio", 1.0),
            ("normalized_upload", 1.0),
            ("altruism", 0.0),
            ("peer_upload_utilization", 100.0 / 500.0),
            ("peer_download_utilization", 400.0 / 500.0),
            ("service_error", 100.0),
            // What it gave as a seed does not count.
            ("pair_imbalance", 100.0),
            ("seed_bytes", 400.0),
            ("first_block", 2.0),
            ("first_piece", 2.0),
            ("first_k_pieces", 0.4),
            ("last_k_pieces", 0.2),
            ("interest_ratio_p50", 0.4),
            ("interest_ratio_p80", 0.64),
            ("unchoke_time", 7.0),
            ("unchokes_per_minute", 60.0 / 9.0),
            ("choke_messages", 1.0),
            ("clustering_index", 0.0),
            ("clustering_share", 0.0),
            // Two times interested, two times unchoke, eight blocks; payload is 400 bytes each way.
            ("overhead", (5 * 5 + 8 * 13) as f64 / 800.0),
        ],
    );
    assert!(!summary.classes["slow"].contains_key("altruism"));
    assert!(!summary.classes["seed"].contains_key("clustering_index"));
    assert_eq!((summary.finished, summary.censored, summary.bound_ratio), (2, 0, Some(2.0)));
    assert_eq!(summary.counts["seed"], Counts { peers: 1, initial_seeds: 1, ..Counts::default() });
    let pair = |from: &str, to: &str| {
        let row = measured.choke_matrix.iter().find(|row| row.from == from && row.to == to).unwrap();
        (row.unchoked_s, row.bytes, row.share)
    };
    assert_eq!(pair("seed", "fast"), (4.0, 400, Some(1.0)));
    // While it was a leecher: from 2 s to 5 s, and one piece of four.
    assert_eq!(pair("fast", "slow"), (3.0, 100, Some(1.0)));
    assert_eq!(pair("slow", "fast"), (0.0, 0, None));
}

#[test]
fn series_tell_what_was_when() {
    let measured = chain().0.finish(Instant::from_secs(10), None);
    let value = |t: f64, scope: &str, metric: &str| {
        let row = measured.series.iter().find(|row| row.t == t && row.scope == scope && row.metric == metric);
        row.map(|row| row.value)
    };
    // At 3.5 s there are two copies of pieces 0 and 1, and one of 2 and 3.
    assert_eq!(value(3.5, "overall", "availability_min"), Some(1.0));
    assert_eq!(value(3.5, "overall", "availability_mean"), Some(1.5));
    assert_eq!(value(3.5, "overall", "distributed_copies"), Some(1.5));
    let entropy = 1.918_295_834_054_489_6 / 2.0; // in bits: -(2 * 1/3 log 1/3 + 2 * 1/6 log 1/6), over log 4
    assert!(close(value(3.5, "overall", "entropy").unwrap(), entropy));
    assert_eq!(value(3.5, "overall", "leechers"), Some(2.0));
    assert_eq!(value(6.0, "overall", "seeds"), Some(2.0));
    assert_eq!(value(6.0, "fast", "completed"), Some(1.0));
    assert_eq!(value(9.5, "fast", "seeds"), Some(0.0));
    // 100 bytes in an eighth of a second over 50 + 25 bytes a second. What happens at the moment of a sample
    // belongs to the interval that ends there.
    assert_eq!(value(4.0, "overall", "upload_utilization"), Some(100.0 / (125.0 / 8.0)));
    assert_eq!(value(4.125, "overall", "upload_utilization"), Some(0.0));
    assert_eq!(value(10.0, "overall", "availability_min"), None);
}

#[test]
fn peers_that_do_not_finish_are_counted_and_no_time_is_made_up() {
    let mut run = chain();
    run.at(9.5, 3, joined(3, "late", 10, Some(100), ""));
    run.at(9.5, 4, joined(4, "late", 10, Some(100), "1"));
    run.at(9.75, 4, Event::Left {});
    let summary = run.0.finish(Instant::from_secs(10), Some(4.0)).summary;
    assert_eq!((summary.finished, summary.censored, summary.bound_ratio), (2, 2, None));
    let late = Counts { peers: 2, unfinished: 1, abandoned: 1, ..Counts::default() };
    assert_eq!(summary.counts["late"], late);
    assert!(!summary.classes["late"].contains_key("completion_time"));
    // Of those that upload nothing, slow finished and two did not: their median is a peer that never finished.
    assert!(!summary.overall.contains_key("freerider_gain"));
}

#[test]
fn the_set_of_unchoked_peers_from_round_to_round() {
    let mut run = Run::default();
    (0..4).for_each(|node| run.at(0.0, node, joined(node, "peer", 10, None, "")));
    (1..4).for_each(|other| run.connect(0.0, [0, other], [other, 0]));
    run.at(1.0, 0, unchoke(1, Dir::To));
    run.at(1.0, 0, unchoke(2, Dir::To));
    run.at(14.0, 0, choke(2, Dir::To));
    run.at(14.5, 0, unchoke(2, Dir::To)); // as if nothing had happened
    run.at(15.0, 0, choke(1, Dir::To));
    run.at(15.0, 0, unchoke(3, Dir::To));
    let measured = run.0.finish(Instant::from_secs(40), None);
    let figure = |name: &str| measured.peers[0].metrics[name];
    // From nobody to {1, 2}; from {1, 2} to {2, 3}; then twice nothing changes.
    assert!(close(figure("slot_jaccard"), (0.0 + 1.0 / 3.0 + 1.0 + 1.0) / 4.0));
    assert_eq!(figure("fibrillation"), 2.0);
    assert!(close(figure("unchoke_time"), (14.0 + 13.0 + 25.5 + 25.0) / 4.0));
}

#[test]
fn peers_that_unchoke_each_other_reciprocate() {
    let mut run = Run::default();
    for (node, up) in [(0, 10), (1, 10), (2, 20), (3, 40)] {
        run.at(0.0, node, joined(node, &format!("up-{up}"), up, None, &node.to_string()));
    }
    run.connect(0.0, [0, 0], [3, 0]);
    run.connect(0.0, [1, 0], [2, 0]);
    run.say(1.0, [0, 0], [3, 0], unchoke);
    run.say(1.0, [0, 0], [3, 0], interested(true));
    run.piece(2.0, [0, 0], [3, 0], 0);
    run.say(3.0, [3, 0], [0, 0], unchoke); // ranks 1.5 and 4, for 6 s
    run.piece(4.0, [3, 0], [0, 0], 3);
    run.say(5.0, [1, 0], [2, 0], unchoke);
    run.say(6.0, [2, 0], [1, 0], unchoke); // ranks 1.5 and 3, for 4 s
    run.say(9.0, [0, 0], [3, 0], choke);
    let summary = run.0.finish(Instant::from_secs(10), None).summary;
    let random = (0.0 + 2.0 * 1.5 + 2.0 * 2.5 + 1.0) / 6.0;
    figures(
        &summary.overall,
        &[
            ("reciprocation", 0.5),
            ("stratification_distance", (2.5 * 6.0 + 1.5 * 4.0) / 10.0),
            ("stratification_random", random),
            ("service_error", 50.0),
            ("pair_imbalance", 25.0),
        ],
    );
}

#[test]
fn gifts_are_held_against_those_of_the_last_round() {
    let mut run = Run::default();
    (0..4).for_each(|node| run.at(2.0, node, joined(node, "peer", 100, None, &node.to_string())));
    (1..4).for_each(|other| run.connect(2.0, [0, other], [other, 0]));
    let mut block = |at: f64, a: [u32; 2], b: [u32; 2], blocks: u32| {
        for _ in 0..blocks {
            run.say(at, a, b, |peer, dir| Event::Block { peer, dir, piece: 0, begin: 0, length: 100 });
        }
    };
    let (one, two, three) = ([1, 0], [2, 0], [3, 0]);
    // Rounds begin at 2, 12, 22, 32 and 42 s. In the first, one gives three quarters and two the rest.
    block(3.0, one, [0, 1], 3);
    block(11.0, two, [0, 2], 1);
    // Both get half; what three gets, who gave nothing, does not count. The common part is 1/2 + 1/4.
    block(13.0, [0, 1], one, 2);
    block(13.0, [0, 2], two, 2);
    block(14.0, [0, 3], three, 5);
    block(15.0, one, [0, 1], 3);
    block(16.0, two, [0, 2], 3);
    // In proportion to what came last, with half as many bytes.
    block(23.0, [0, 1], one, 1);
    block(24.0, [0, 2], two, 1);
    block(25.0, one, [0, 1], 1);
    // One alone gave: nothing to share out. Then a round without anything, and then what was before no longer counts.
    block(33.0, [0, 1], one, 1);
    block(53.0, [0, 2], two, 1);
    block(63.0, two, [0, 2], 1);
    let peers = run.0.finish(Instant::from_secs(70), None).peers;
    assert!(close(peers[0].metrics["proportionality"], (4.0 * 0.75 + 2.0 * 1.0) / 6.0));
    assert!(!peers[3].metrics.contains_key("proportionality"), "it had nobody to give to");
    // Five blocks to three, who gave none.
    assert_eq!(peers[0].metrics["pair_imbalance"], 500.0);
}

/// What `bt-run` writes: one node, nobody known at the other end.
const CLIENT_LOG: &str = r#"{"schema":1,"run":{"profile":"mainline","seed":7}}
{"t":0.5,"ev":"joined","addr":"127.0.0.1:6881","class":null,"up":1000,"down":null,"total_length":400,"piece_length":100,"have":"1-2"}
{"t":1,"ev":"peer_connected","peer":0,"addr":"127.0.0.1:9999","incoming":true}
{"t":1,"ev":"handshake","peer":0,"id":"00"}
{"t":1.25,"ev":"interested","peer":0,"dir":"to","value":true}
{"t":1.5,"ev":"something_new","peer":0}
{"t":1.5,"ev":"request","peer":0,"dir":"to","piece":0,"begin":0,"length":100}
{"t":1.5,"ev":"request","peer":0,"dir":"to","piece":3,"begin":0,"length":100}
{"t":2,"ev":"block","peer":0,"dir":"from","piece":0,"begin":0,"length":100}
{"t":2,"ev":"piece_verified","piece":0,"peers":[0]}
{"t":2.25,"ev":"duplicate_block","peer":0,"piece":0,"begin":0,"length":100}
{"t":2.5,"ev":"block","peer":0,"dir":"from","piece":3,"begin":0,"length":100}
{"t":2.5,"ev":"piece_failed","piece":3,"peers":[0]}
{"t":3,"ev":"block","peer":0,"dir":"from","piece":3,"begin":0,"length":100}
{"t":3,"ev":"block","peer":0,"dir":"to","piece":1,"begin":0,"length":60}
{"t":3,"ev":"piece_verified","piece":3,"peers":[0]}
{"t":3,"ev":"complete","downloaded":300,"uploaded":60}
{"t":4.5,"ev":"left"}
"#;

#[test]
fn a_clients_own_log_gives_what_it_knows_and_says_what_it_does_not() {
    let mut measures = Measures::new();
    let (run, end) =
        read_log(CLIENT_LOG.as_bytes(), |now, node, event| measures.event(now, node, event)).unwrap();
    assert_eq!((run["seed"].as_u64(), end), (Some(7), Instant::from_millis(4500)));
    let measured = measures.finish(end, None);
    figures(
        &measured.summary.classes[CLIENT],
        &[
            ("completion_time", 2.5),
            ("download_rate", 80.0),
            ("share_ratio", 0.2),
            ("first_block", 1.5),
            ("interest_ratio_p50", 1.75 / 2.0),
            ("request_messages", 2.0),
            ("duplicate_bytes", 100.0),
            ("wasted_bytes", 200.0),
            ("upload_utilization", 60.0 / 2500.0),
        ],
    );
    let summary = &measured.summary;
    assert!(METRICS.iter().filter(|metric| metric.swarm).all(|metric| {
        summary.left_out.contains_key(metric.name) && !summary.overall.contains_key(metric.name)
    }));
    assert!(measured.choke_matrix.is_empty());
    let row = &measured.peers[0];
    assert_eq!((row.arrived_s, row.completed_s, row.left_s), (0.5, Some(3.0), Some(4.5)));
    assert_eq!((row.uploaded_bytes, row.downloaded_bytes, row.wasted_bytes), (60, 300, 200));
}

#[test]
fn each_torrent_of_a_client_is_a_node() {
    let log = "{\"schema\":1,\"run\":{}}\n{\"t\":1,\"torrent\":\"bb\",\"ev\":\"left\"}\n\
               {\"t\":1,\"torrent\":\"aa\",\"ev\":\"left\"}\n{\"t\":2,\"torrent\":\"bb\",\"ev\":\"left\"}\n";
    let mut nodes = Vec::new();
    read_log(log.as_bytes(), |_, node, _| nodes.push(node)).unwrap();
    assert_eq!(nodes, [0, 1, 0]);
}

#[test]
fn a_wrong_line_is_named() {
    let header = "{\"schema\":1,\"run\":{}}\n";
    let joined =
        |change: &str| format!("{header}{}", CLIENT_LOG.lines().nth(1).unwrap().replace("\"1-2\"", change));
    for (log, message) in [
        (String::new(), "line 1 of the event log: it is empty"),
        ("hello\n".to_owned(), "line 1 of the event log: the header is no JSON object"),
        ("{}\n".to_owned(), "line 1 of the event log: no header"),
        ("{\"schema\":2}\n".to_owned(), "line 1 of the event log: schema 2; this program reads schema 1"),
        (
            format!("{header}{{\"t\":1,\"ev\":\"choke\",\"peer\":1}}\n"),
            "line 2 of the event log: in `choke`: missing field `dir`",
        ),
        (
            format!("{header}{{\"t\":1,\"ev\":\"left\"}}\n{{\"t\":2,\"ev"),
            "line 3 of the event log: the log is cut off here",
        ),
        (
            format!("{header}{{\"t\":-1,\"ev\":\"left\"}}\n"),
            "line 2 of the event log: `t` is -1, which is no time",
        ),
        (
            format!("{header}{{\"t\":1,\"node\":4000000000,\"ev\":\"left\"}}\n"),
            "line 2 of the event log: `node` is 4000000000",
        ),
        (
            joined("\"3-4\""),
            "line 2 of the event log: `have` is \"3-4\", which is no set of the pieces 0 to 3",
        ),
        (joined("7"), "line 2 of the event log: in `joined`: invalid type"),
    ] {
        let error = read_log(log.as_bytes(), |_, _, _| {}).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}\nwanted: {message}");
    }
}

/// Any event, of a few small numbers.
fn event() -> impl Strategy<Value = Event> {
    let dir = || prop_oneof![Just(Dir::To), Just(Dir::From)];
    let peer = || 0..4_u32;
    prop_oneof![
        (0..4_u32, any::<bool>(), any::<u64>()).prop_map(|(node, full, up)| {
            joined(node, if full { "seed" } else { "leecher" }, up, None, if full { "0-3" } else { "1" })
        }),
        (peer(), 0..5_u32).prop_map(|(peer, other)| Event::PeerConnected {
            peer,
            addr: address(other),
            incoming: true
        }),
        peer().prop_map(|peer| Event::PeerClosed { peer, reason: "io".into(), detail: String::new() }),
        (peer(), dir(), any::<bool>()).prop_map(|(peer, dir, value)| Event::Interested { peer, dir, value }),
        (peer(), dir()).prop_map(|(peer, dir)| unchoke(peer, dir)),
        (peer(), dir()).prop_map(|(peer, dir)| choke(peer, dir)),
        (peer(), dir(), 0..9_u32).prop_map(|(peer, dir, piece)| Event::Block {
            peer,
            dir,
            piece,
            begin: 0,
            length: u32::MAX
        }),
        (0..9_u32).prop_map(|piece| Event::PieceVerified { piece, peers: Vec::new() }),
        (0..9_u32).prop_map(|piece| Event::PieceFailed { piece, peers: Vec::new() }),
        Just(Event::Complete { downloaded: 0, uploaded: 0 }),
        Just(Event::Left {}),
    ]
}

proptest! {
    #[test]
    fn no_log_makes_it_panic_and_ratios_are_ratios(
        events in proptest::collection::vec((0..100_u64, 0..5_u32, event()), 0..200),
    ) {
        let mut measures = Measures::new();
        let mut now = 0;
        for (later, node, event) in events {
            now += later * 100_000_000;
            measures.event(Instant::from_nanos(now), node, &event);
        }
        let measured = measures.finish(Instant::from_nanos(now), Some(1.0));
        for (name, dist) in &measured.summary.overall {
            prop_assert!(dist.mean.is_finite() && dist.p5 <= dist.p95 && dist.p95 <= dist.max, "{name}: {dist:?}");
        }
        for name in ["slot_jaccard", "seed_share", "reciprocation", "entropy", "clustering_index", "jain_ratio", "proportionality"] {
            let dist = measured.summary.overall.get(name);
            prop_assert!(dist.is_none_or(|dist| (-1e-9..=1.0 + 1e-9).contains(&dist.mean)), "{name}: {dist:?}");
        }
    }
}

#[test]
fn a_block_that_a_leecher_began_is_not_all_of_the_seed_that_it_became() {
    let mut run = Run::default();
    run.at(0.0, 0, joined(0, "seed", 100, None, "0-3"));
    run.at(0.0, 1, joined(1, "fast", 50, Some(400), "0-2"));
    run.at(0.0, 2, joined(2, "slow", 25, Some(100), ""));
    run.connect(0.0, [1, 0], [0, 0]);
    run.connect(0.0, [2, 0], [1, 1]);
    // 100 bytes at 50 B/s from 4 s on, of which the second half is a seed's.
    run.piece(5.0, [0, 0], [1, 0], 3);
    run.complete(5.0, 1);
    run.piece(6.0, [1, 1], [2, 0], 0);
    run.at(6.0, 1, Event::Left {});
    let summary = run.0.finish(Instant::from_secs(6), None).summary;
    let wanted = [("upload_utilization", 50.0 / 250.0), ("upload_utilization_seeds", 1.0)];
    figures(&summary.classes["fast"], &wanted);
    figures(&summary.classes["fast"], &[("peer_upload_utilization", 50.0 / 250.0)]);
}
