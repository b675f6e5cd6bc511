//! Who is served, by the block; what waits is given as words.

use std::time::Duration;

use bt_api::RequestQueue;
use bt_api::rng;
use proptest::prelude::*;

use super::*;
use crate::choke::harness::{self, Client};

/// The draw that puts a new peer at the end of the list of 3.4.2.
fn insert_last(length: usize) -> (u32, u32) {
    (length as u32 + 2, length as u32 + 3)
}

fn seed(config: Config, peers: &str) -> Client<Pfs> {
    let mut client = Client::new(Pfs::new(config).unwrap(), 1);
    client.joined_by(peers, insert_last);
    client.own.is_seed = true;
    client.event(PeerEvent::Completed);
    client
}

/// Each word is a peer and the pieces of the blocks that it waits for, a digit each.
fn ask(client: &mut Client<Pfs>, words: &str) -> Option<(char, u32)> {
    let queues: Vec<RequestQueue> = words
        .split(' ')
        .map(|word| {
            let (peer, pieces) = word.split_at(1);
            let block = |(digit, begin): (char, u32)| BlockRef {
                piece: PieceIndex(digit.to_digit(10).unwrap()),
                begin: begin << 14,
                length: 1 << 14,
            };
            let requests = pieces.chars().zip(0..).map(block).collect();
            RequestQueue { peer: PeerKey(u32::from(peer.chars().next().unwrap())), ready: true, requests }
        })
        .collect();
    for queue in &queues {
        client.peer(char::from_u32(queue.peer.0).unwrap()).queued = queue.requests.len() as u32;
    }
    let mut rng = rng::stream(1, 0, "test");
    let bt_api::testkit::choke::Client { policy, own, peers, now, .. } = &mut **client;
    match policy.serve(*now, &Waiting::new(&queues), &SwarmView::new(own, peers), &mut rng) {
        Serve::Block(peer, block) => {
            let queue = queues.iter().find(|queue| queue.peer == peer).unwrap();
            assert!(queue.requests.contains(&block));
            Some((char::from_u32(peer.0).unwrap(), block.piece.0))
        }
        Serve::Nobody => None,
        other => panic!("{other:?}"),
    }
}

/// How often each of three pieces is served while the same requests wait all the time.
fn shares(config: Config, words: &str) -> [u32; 3] {
    let mut client = seed(config, "a1 b1 c1");
    let mut found = [0; 3];
    for _ in 0..6000 {
        let (_, piece) = ask(&mut client, words).expect("many wait");
        found[piece as usize] += 1;
    }
    found
}

#[test]
fn pieces_are_served_in_proportion_to_what_is_asked_for() {
    let near = |found: [u32; 3], expected: [u32; 3]| {
        let off = found.iter().zip(expected).map(|(&one, other)| one.abs_diff(other)).max();
        assert!(off <= Some(60), "{found:?}");
    };
    for alpha in [0.0, 0.001] {
        let config = Config { alpha, ..Config::default() };
        near(shares(config.clone(), "a001 b001 c02"), [3750, 1500, 750]);
        near(shares(config, "a012 b012 c012"), [2000, 2000, 2000]);
    }
}

#[test]
fn with_alpha_what_was_served_long_ago_is_forgotten() {
    let after = |alpha| {
        let mut client = seed(Config { alpha, ..Config::default() }, "a1 b1");
        (0..400).for_each(|_| assert!(ask(&mut client, "a000 b000").is_some()));
        // Piece 1 is new: how many blocks of it are served before the first of piece 0?
        (0..).take_while(|_| ask(&mut client, "a000 b111").map(|found| found.1) == Some(1)).count()
    };
    assert_eq!(after(0.0), 400, "until it has caught up");
    assert!(after(0.1) < 10, "{}", after(0.1));
}

#[test]
fn requests_are_collected_until_more_than_four_wait_or_a_second_has_passed() {
    let mut client = seed(Config::default(), "a1 b1");
    assert_eq!(ask(&mut client, "a12 b11"), None);
    assert_eq!(client.policy.next_round(), client.now + Duration::from_secs(1));
    // The piece more asked for, and of the peers the one that got less.
    client.peer('a').uploaded = 1;
    assert_eq!(ask(&mut client, "a12 b111"), Some(('b', 1)));
    assert_eq!(ask(&mut client, "a12 b1"), Some(('a', 2)), "four are served");
    assert!(ask(&mut client, "a1").is_some() && ask(&mut client, "a1").is_some());
    assert_eq!(ask(&mut client, "a1"), None);
    client.tick();
    assert_eq!(ask(&mut client, "a1"), Some(('a', 1)), "the second has passed");
    assert_eq!(client.policy.next_round(), Instant::NEVER);
}

#[test]
fn a_seed_serves_all_leechers_and_a_leecher_those_of_3_4_2() {
    let mut client = Client::new(Pfs::new(Config::default()).unwrap(), 1);
    client.joined_by("a9 b8 c7 d6 e5 f4 g3 h2 i1 j-", insert_last);
    client.tick();
    assert_eq!(client.unchoked().len(), 7);
    client.own.is_seed = true;
    client.event(PeerEvent::Completed);
    assert_eq!(client.unchoked(), "abcdefghij");
    client.connect('k');
    assert_eq!(client.unchoked(), "abcdefghijk");
    client.own.is_seed = false;
    client.round(Cause::Event);
    assert!(client.unchoked_for(Reason::EVERYONE).is_empty());
}

#[test]
fn bad_values_are_told() {
    for alpha in [-0.1, 1.0, f64::NAN] {
        assert!(Pfs::new(Config { alpha, ..Config::default() }).is_err());
    }
    assert!(Pfs::new(Config { batch: 0, ..Config::default() }).is_err());
    let leech = tit_for_tat::Config { optimistic_rounds: 0, ..tit_for_tat::Config::default() };
    assert!(Pfs::new(Config { leech, ..Config::default() }).is_err());
}

proptest! {
    #[test]
    fn any_history_keeps_the_promises(seed in any::<u64>(), ops in harness::history()) {
        let policy = || Pfs::new(Config::default()).unwrap();
        let client = harness::play(policy(), seed, &ops);
        prop_assert_eq!(&client.log, &harness::play(policy(), seed, &ops).log);
    }
}
