//! Who is served, as tables; the quota of issue 1171 as the minutes go by.

use bt_api::{PieceIndex, PieceSet};
use proptest::prelude::*;

use super::*;
use crate::choke::harness::{self, Client};

const PIECE: u32 = 1 << 18;

/// A client with interested peers, after its first round.
fn client(config: Config, peers: &str) -> Client<Libtorrent> {
    let mut client = Client::new(Libtorrent::new(config).unwrap(), 1);
    client.own.piece_length = PIECE;
    client.joined_by(peers, |_| (0, 1));
    client
}

fn seed(config: Config, peers: &str) -> Client<Libtorrent> {
    let mut client = client(config, peers);
    client.own.is_seed = true;
    client
}

/// Runs a round in which each peer gives as many KiB as its word says.
fn given(client: &mut Client<Libtorrent>, words: &str) {
    transfer(client, words, |peer| &mut peer.downloaded);
}

/// Runs a round in which each peer takes as many KiB as its word says.
fn taken(client: &mut Client<Libtorrent>, words: &str) {
    transfer(client, words, |peer| &mut peer.uploaded);
}

fn transfer(client: &mut Client<Libtorrent>, words: &str, total: impl Fn(&mut PeerFacts) -> &mut u64) {
    for word in words.split(' ') {
        let (letter, kib) = word.split_at(1);
        *total(client.peer(letter.chars().next().unwrap())) += kib.parse::<u64>().unwrap() << 10;
    }
    client.tick();
}

#[test]
fn a_leecher_serves_those_that_gave_most_in_the_last_round_whatever_they_gave_before() {
    let config = Config { slots: 3, ..Config::default() };
    let mut client = client(config, "a0 b0 c0 d0 e0");
    given(&mut client, "a900 b900 c1 d2 e3");
    assert_eq!(client.unchoked_for(Reason::DOWNLOAD_RATE), "ab");
    given(&mut client, "a1 b2 c3 d4 e5");
    assert_eq!(client.unchoked_for(Reason::DOWNLOAD_RATE), "de");
    assert_eq!(client.unchoked().len(), 3);
}

#[test]
fn a_fifth_of_the_slots_is_optimistic_and_goes_every_30_s_to_whom_it_did_not_for_longest() {
    let config = Config { slots: 10, ..Config::default() };
    let mut client = client(config, "a0 b0 c0 d0 e0 f0 g0 h0 i0 j0 k0 l0 m0 n0");
    let fast = "a9 b9 c9 d9 e9 f9 g9 h9";
    let mut found = Vec::new();
    for _ in 0..8 {
        given(&mut client, fast);
        assert_eq!(client.unchoked_for(Reason::DOWNLOAD_RATE), "abcdefgh");
        found.push(client.unchoked_for(Reason::OPTIMISTIC));
    }
    // Rounds are 15 s: each pair is served for two of them, and after all six the first ones again.
    assert_eq!(found[1..].iter().step_by(2).collect::<std::collections::BTreeSet<_>>().len(), 3, "{found:?}");
    assert!(found[1..7].chunks(2).all(|pair| pair[0] == pair[1]), "{found:?}");
    assert_eq!(found[1], found[7], "{found:?}");
}

#[test]
fn by_rate_each_slot_must_be_worth_more_than_the_one_before() {
    let config = Config { algorithm: Algorithm::RateBased, ..Config::default() };
    let mut client = seed(config, "a0 b0 c0 d0 e0");
    client.tick();
    assert_eq!(client.unchoked().len(), 1);
    // Thresholds are 1, 3, 5 and 7 KiB/s: of a round of 15 s, 15, 45, 75 and 105 KiB.
    for (words, slots) in [
        ("a14", 1),
        ("a15 b44", 2),
        ("a44 b100 c44", 2),
        ("a45 b100", 3),
        ("a75 b100 c75", 4),
        ("a105 b105 c105 d105", 5),
        ("a105 b105 c105 d104", 4),
        ("a0", 1),
    ] {
        taken(&mut client, words);
        assert_eq!(client.policy.max_interested(), slots, "{words}");
        assert_eq!(client.unchoked().len(), slots, "{words}");
    }
}

#[test]
fn a_turn_of_round_robin_lasts_for_20_pieces_and_a_minute() {
    // One regular slot, one optimistic.
    let run = |quota_time, kib_per_round: u64| {
        let config = Config { slots: 2, quota_time, ..Config::default() };
        let mut client = seed(config, "a0 b0 c0");
        client.tick();
        let first = client.unchoked_for(Reason("libtorrent:round-robin")).chars().next().unwrap();
        (1..=12).find(|_| {
            client.peer(first).uploaded += kib_per_round << 10;
            client.tick();
            !client.unchoked_for(Reason("libtorrent:round-robin")).contains(first)
        })
    };
    let minute = config::Duration::secs(60);
    let quota = 20 * u64::from(PIECE >> 10);
    // Served from the first round at 15 s on: the fifth round after is the first to be more than a minute later.
    assert_eq!(run(minute, quota), Some(5));
    assert_eq!(run(minute, quota / 8), Some(9), "a slow peer keeps its slot until it had its pieces");
    assert_eq!(run(minute, quota / 20), None);
    let bytes_alone = config::Duration::secs(0);
    assert_eq!(run(bytes_alone, quota + 1), Some(1), "the old quota ends a fast peer's turn at once");
    assert_eq!(run(bytes_alone, quota / 20), None);
}

/// The regression of 2016. Slow peers hold on to slots, fast ones hand theirs on.
#[test]
fn a_quota_by_bytes_alone_leaves_the_slots_to_slow_peers() {
    let fast_share = |quota_time| {
        // As issue 1171: fast and slow leechers, and fewer slots than peers.
        let config = Config { slots: 5, quota_time, ..Config::default() };
        let mut client = seed(config, "a0 b0 c0 d0 e0 f0 g0 h0 i0 j0 k0 l0 m0 n0 o0 p0");
        let quota = 20 * u64::from(PIECE);
        let (mut fast, mut all) = (0, 0);
        for _ in 0..400 {
            for peer in &mut client.peers {
                let is_fast = peer.key.0 % 2 == 1;
                peer.uploaded += if peer.am_choking {
                    0
                } else if is_fast {
                    2 * quota
                } else {
                    quota / 40
                };
            }
            client.tick();
            let served = client.unchoked_for(Reason("libtorrent:round-robin"));
            all += served.len();
            fast += served.bytes().filter(|letter| letter % 2 == 1).count();
        }
        fast as f64 / all as f64
    };
    let (by_bytes, by_time) = (fast_share(config::Duration::secs(0)), fast_share(config::Duration::secs(60)));
    assert!(by_bytes < by_time / 2.0, "by bytes {by_bytes}, by bytes and time {by_time}");
}

#[test]
fn the_slowest_gives_way_to_a_faster_optimistic_peer_unless_turns_are_waited_for() {
    let served = |turn_order| {
        // One regular slot, one optimistic.
        let config = Config { slots: 2, turn_order, ..Config::default() };
        let mut client = seed(config, "a0 b0");
        client.tick();
        let reason = Reason("libtorrent:round-robin");
        let slow = client.unchoked_for(reason).chars().next().unwrap();
        let fast = client.unchoked_for(Reason::OPTIMISTIC).chars().next().unwrap();
        taken(&mut client, &format!("{slow}1 {fast}9"));
        client.unchoked_for(reason).contains(slow)
    };
    assert!(!served(TurnOrder::Rate), "whoever takes most goes first");
    assert!(served(TurnOrder::Waiting), "its turn is not over");
}

#[test]
fn fastest_upload_serves_those_that_took_most() {
    let config = Config { slots: 3, seed_order: SeedOrder::FastestUpload, ..Config::default() };
    let mut client = seed(config, "a0 b0 c0 d0 e0");
    taken(&mut client, "a1 b5 c2 d4 e3");
    assert_eq!(client.unchoked_for(Reason::UPLOAD_RATE), "bd");
    taken(&mut client, "a9 b1 c8 d1 e1");
    assert_eq!(client.unchoked_for(Reason::UPLOAD_RATE), "ac");
}

/// A peer's pieces of 100, and what it was given, in pieces.
fn progress(client: &mut Client<Libtorrent>, peer: char, claimed: u32, given: u64) {
    let facts = client.peer(peer);
    facts.pieces = PieceSet::new(100);
    (0..claimed).for_each(|piece| {
        facts.pieces.insert(PieceIndex(piece));
    });
    facts.uploaded = given * u64::from(PIECE);
}

#[test]
fn anti_leech_serves_those_that_begin_or_are_nearly_done() {
    let config = Config { slots: 4, seed_order: SeedOrder::AntiLeech, ..Config::default() };
    let mut client = seed(config, "a0 b0 c0 d0 e0 f0");
    for (peer, claimed) in [('a', 50), ('b', 3), ('c', 40), ('d', 98), ('e', 70), ('f', 90)] {
        progress(&mut client, peer, claimed, 0);
    }
    client.tick();
    assert_eq!(client.unchoked_for(Reason("libtorrent:anti-leech")), "bdf");
    let mut order: Vec<Rank> = client
        .peers
        .iter()
        .map(|peer| client.policy.rank(client.now, Cause::Timer, peer, &client.own))
        .collect();
    order.sort_unstable();
    assert_eq!(order.iter().map(|rank| rank.3.0).collect::<Vec<_>>(), [960, 940, 800, 400, 200, 0]);
}

#[test]
fn anti_leech_believes_its_own_books_against_a_peer_that_hides_its_pieces() {
    let score = |claimed, given| {
        let mut client = seed(Config::default(), "a0");
        progress(&mut client, 'a', claimed, given);
        anti_leech_score(client.peer('a'), PIECE)
    };
    assert_eq!(score(0, 0), 1000);
    assert_eq!(score(0, 30), 400, "it has what it was given");
    assert_eq!(score(0, 95), 0, "but that does not make it nearly done");
    assert_eq!(score(100, 95), 1000);
    assert_eq!(score(45, 95), 0);
}

#[test]
fn a_free_slot_is_given_on_at_once_and_nobody_else_loses_one() {
    let config = Config { slots: 2, ..Config::default() };
    let mut client = client(config, "a0 b0 c0");
    given(&mut client, "a3 b2 c1");
    let before = client.unchoked();
    assert_eq!(before.len(), 2);
    client.leave('a');
    assert_eq!(client.unchoked(), "bc");
    client.interest('b', false);
    assert_eq!(client.unchoked(), "c");
    client.interest('b', true);
    assert_eq!(client.unchoked(), "bc");
}

#[test]
fn bad_values_are_told() {
    let zero = config::Duration::secs(0);
    for config in [
        Config { slots: 0, ..Config::default() },
        Config { min_slots: 0, ..Config::default() },
        Config { slots: 4, optimistic_slots: 5, ..Config::default() },
        Config { round: zero, ..Config::default() },
        Config { optimistic_interval: zero, ..Config::default() },
    ] {
        assert!(Libtorrent::new(config).is_err());
    }
    let all = Config { slots: 4, optimistic_slots: 4, min_slots: 9, ..Config::default() };
    assert!(Libtorrent::new(all).is_ok(), "`min-slots` is only for slots by rate");
    let by_rate = Config { algorithm: Algorithm::RateBased, optimistic_slots: 9, ..Config::default() };
    assert!(Libtorrent::new(by_rate).is_ok(), "there may come to be nine");
}

proptest! {
    #[test]
    fn any_history_keeps_the_promises(
        slots in 1_usize..6, by_rate: bool, order in 0_usize..3, seed in any::<u64>(), ops in harness::history(),
    ) {
        let algorithm = if by_rate { Algorithm::RateBased } else { Algorithm::FixedSlots };
        let seed_order = [SeedOrder::RoundRobin, SeedOrder::FastestUpload, SeedOrder::AntiLeech][order];
        let policy =
            || Libtorrent::new(Config { slots, algorithm, seed_order, ..Config::default() }).unwrap();
        let client = harness::play(policy(), seed, &ops);
        prop_assert_eq!(&client.log, &harness::play(policy(), seed, &ops).log);
        let interested = client.peers.iter().filter(|peer| peer.peer_interested).count();
        prop_assert_eq!(client.unchoked().len(), interested.min(client.policy.max_interested()));
    }
}
