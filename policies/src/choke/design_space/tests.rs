//! Each choice by itself, as tables.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::choke::harness::{self, Client};

/// A client with interested peers, in rounds of 10 s.
fn client(config: Config, peers: &str) -> Client<DesignSpace> {
    let mut client = Client::new(DesignSpace::new(config).unwrap(), 1);
    client.joined_by(peers, |length| (length as u32 + 2, length as u32 + 3));
    client
}

/// Runs a round in which each peer gives as many KiB/s as its word says.
fn given(client: &mut Client<DesignSpace>, words: &str) {
    for word in words.split(' ') {
        let (letter, kib) = word.split_at(1);
        let peer = client.peer(letter.chars().next().unwrap());
        peer.downloaded += (kib.parse::<u64>().unwrap() * 10) << 10;
    }
    client.tick();
}

/// The partners in the order of their ranks, after a round.
fn partners(client: &Client<DesignSpace>) -> String {
    harness::letters(client.policy.partners.iter().copied())
}

fn ranked(ranking: Ranking) -> Config {
    Config { ranking, ..Config::default() }
}

#[test]
fn each_ranking_has_its_order() {
    let order = |ranking| {
        let mut client = client(Config { partners: 5, ..ranked(ranking) }, "a0 b0 c0 d0 e0 f0");
        // 48 KiB/s over six slots are 8 each.
        client.own.upload_limit = Some(48 << 10);
        given(&mut client, "a1 c1");
        given(&mut client, "a3 c1 d5");
        given(&mut client, "a7 b20 c1 d11 e9");
        partners(&client)
    };
    assert_eq!(order(Ranking::Fastest), "bdeac");
    assert_eq!(order(Ranking::Slowest), "caedb");
    assert_eq!(order(Ranking::Proximity), "aedcb");
    assert_eq!(order(Ranking::Loyal), "acdbe");
}

#[test]
fn birds_leaves_the_fastest_peers_for_its_own_kind() {
    let mut client = client(ranked(Ranking::Proximity), "a0 b0 c0 d0 e0 f0");
    // Without a limit it is what is reached: 40 KiB/s over four slots.
    client.own.upload_rate = 40 << 10;
    given(&mut client, "a90 b11 c80 d9 e70 f12");
    assert_eq!(client.unchoked_for(Reason("design-space:proximity")), "bdf");
    assert!(Birds::build(BirdsConfig::default()).is_ok());
    assert!(Birds::build(BirdsConfig { partners: 0, ..BirdsConfig::default() }).is_err());
}

#[test]
fn random_ranking_takes_every_candidate_and_no_stranger() {
    let mut client = client(Config { partners: 1, ..ranked(Ranking::Random) }, "a0 b0 c0 d0");
    let found: BTreeSet<String> = (0..50)
        .map(|_| {
            given(&mut client, "a9 b1 c5");
            partners(&client)
        })
        .collect();
    assert_eq!(found.into_iter().collect::<String>(), "abc");
}

#[test]
fn tit_for_two_tats_forgives_one_round() {
    let run = |candidates| {
        let mut client = client(Config { candidates, ..Config::default() }, "a0 b0");
        given(&mut client, "a5");
        let mut found = vec![partners(&client)];
        for _ in 0..2 {
            given(&mut client, "b1");
            found.push(partners(&client));
        }
        found
    };
    assert_eq!(run(Candidates::LastRound), ["a", "b", "b"]);
    assert_eq!(run(Candidates::LastTwoRounds), ["a", "ab", "b"]);
}

#[test]
fn strangers_are_met_always_when_partners_are_missing_or_never() {
    let run = |strangers| {
        let mut client =
            client(Config { strangers, stranger_slots: 2, ..Config::default() }, "a0 b0 c0 d0 e0 f0");
        let mut found = Vec::new();
        for words in ["a0", "a1", "a1 b1", "a1 b1 c1", "a1 b1 c1 d1"] {
            given(&mut client, words);
            found.push(client.unchoked_for(Reason::OPTIMISTIC).len());
        }
        found
    };
    assert_eq!(run(Strangers::Periodic), [2, 2, 2, 2, 2]);
    assert_eq!(run(Strangers::WhenNeeded), [2, 2, 1, 0, 0]);
    assert_eq!(run(Strangers::Defect), [0, 0, 0, 0, 0]);
}

#[test]
fn the_uplink_is_shared_equally_by_contribution_or_not_at_all() {
    let run = |allocation| {
        let mut client = client(Config { allocation, ..Config::default() }, "a0 b0 c0 d0");
        given(&mut client, "a1 b2 c6");
        client.log.last().unwrap().iter().map(|one| one.share).collect::<Vec<_>>()
    };
    assert_eq!(run(Allocation::EqualSplit), [Share::Equal; 4]);
    let weight = |kib: u32| Share::Weight(kib * 10);
    assert_eq!(run(Allocation::PropShare), [weight(6), weight(2), weight(1), weight(3)]);
    assert_eq!(run(Allocation::FreeRide), [Share::Equal], "the stranger alone");
}

#[test]
fn a_free_slot_is_given_on_at_once_and_nobody_else_loses_one() {
    let mut client = client(Config { partners: 2, ..Config::default() }, "a0 b0 c0 d0 e0");
    given(&mut client, "a9 b8 c7");
    let before = client.unchoked();
    client.leave('a');
    assert_eq!(partners(&client), "bc");
    assert!(before.chars().filter(|&peer| peer != 'a').all(|peer| client.unchoked().contains(peer)));
    let stranger = client.unchoked_for(Reason::OPTIMISTIC).chars().next().unwrap();
    client.interest(stranger, false);
    assert_eq!(client.unchoked_for(Reason::OPTIMISTIC).len(), 1);
}

#[test]
fn a_seed_follows_3_4_2_but_a_free_rider_serves_nobody() {
    let run = |allocation| {
        let mut client = client(Config { allocation, ..Config::default() }, "a9 b8 c7 d6 e5 f4 g3 h2");
        client.own.is_seed = true;
        client.event(PeerEvent::Completed);
        client.tick();
        client.unchoked_for(Reason::UPLOAD_RATE)
    };
    assert_eq!(run(Allocation::PropShare), "abcdef");
    assert_eq!(run(Allocation::FreeRide), "");
}

proptest! {
    #[test]
    fn any_history_keeps_the_promises(
        partners in 1_usize..5, stranger_slots in 0_usize..3, choice in any::<[usize; 4]>(),
        seed in any::<u64>(), ops in harness::history(),
    ) {
        let config = Config {
            partners,
            stranger_slots,
            strangers: [Strangers::Periodic, Strangers::WhenNeeded, Strangers::Defect][choice[0] % 3],
            candidates: [Candidates::LastRound, Candidates::LastTwoRounds][choice[1] % 2],
            ranking: [
                Ranking::Fastest, Ranking::Slowest, Ranking::Proximity, Ranking::Loyal, Ranking::Random,
            ][choice[2] % 5],
            allocation: [Allocation::EqualSplit, Allocation::PropShare, Allocation::FreeRide][choice[3] % 3],
            ..Config::default()
        };
        let policy = || DesignSpace::new(config.clone()).unwrap();
        let client = harness::play(policy(), seed, &ops);
        prop_assert_eq!(&client.log, &harness::play(policy(), seed, &ops).log);
    }
}
