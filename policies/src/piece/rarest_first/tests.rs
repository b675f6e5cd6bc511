use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::piece::harness::{self, Client};

/// A client of `pieces` pieces, of which the last `had` are had.
fn client(pieces: u32, had: u32, seed: u64) -> Client<RarestFirst> {
    let mut client = Client::new(RarestFirst::new(Config::default()), pieces, seed);
    (pieces - had..pieces).for_each(|piece| client.complete(piece));
    client
}

/// What a peer that has `pieces` would be asked for first in each of 60 runs.
fn answers(make: impl Fn(u64) -> Client<RarestFirst>, pieces: &[u32]) -> BTreeSet<Option<u32>> {
    let answer = |seed| {
        let mut client = make(seed);
        let peer = client.connect(pieces);
        client.pick_piece(peer)
    };
    (0..60).map(answer).collect()
}

#[test]
fn case_78_one_of_the_two_rarest_by_chance() {
    let make = |seed| {
        let mut client = client(7, 4, seed);
        client.connect(&[2]);
        client.connect(&[2]);
        client
    };
    assert_eq!(answers(make, &[0, 1, 2]), BTreeSet::from([Some(0), Some(1)]));
}

#[test]
fn case_79_begun_pieces_go_first_the_rarer_one_before() {
    let make = |seed| {
        let mut client = client(9, 4, seed);
        let starter = client.connect(&[0, 1]);
        client.start(starter, 0);
        client.start(starter, 1);
        client.connect(&[0]);
        client.connect(&[0]);
        client
    };
    assert_eq!(answers(make, &[0, 1, 2]), BTreeSet::from([Some(1)]));
    assert_eq!(answers(make, &[0, 2]), BTreeSet::from([Some(0)]));
    assert_eq!(answers(make, &[2]), BTreeSet::from([Some(2)]));
}

#[test]
fn equally_rare_begun_pieces_are_drawn_from() {
    let make = |seed| {
        let mut client = client(9, 4, seed);
        let starter = client.connect(&[0, 1, 2]);
        (0..3).for_each(|piece| client.start(starter, piece));
        client
    };
    assert_eq!(answers(make, &[0, 1, 2]), BTreeSet::from([Some(0), Some(1), Some(2)]));
}

#[test]
fn case_80_a_seed_joins_only_what_a_seed_began() {
    let mut client = client(9, 4, 1);
    let starter = client.connect(&[0]);
    client.start(starter, 0);
    let seed = client.connect(&(0..9).collect::<Vec<_>>());
    let fresh = client.pick_piece(seed);
    assert!(fresh.is_some_and(|piece| (1..5).contains(&piece)), "{fresh:?}");
    client.start(starter, 4);
    client.policy.config.seed_partials_only = false;
    assert!([Some(0), Some(4)].contains(&client.pick_piece(seed)));
    client.policy.config.seed_partials_only = true;
    client.start(seed, 0);
    assert_eq!(client.pick_piece(seed), Some(0));
}

#[test]
fn case_81_the_first_pieces_come_in_one_random_order() {
    let mut young = client(30, 3, 1);
    let all: Vec<u32> = (0..30).collect();
    let (some, other) = (young.connect(&all[..20]), young.connect(&all[10..]));
    young.connect(&[5]);
    young.pick_piece(some);
    let order = young.policy.scrambled.clone();
    let first = |of: &[u32]| order.iter().map(|piece| piece.0).find(|piece| of.contains(piece));
    assert_eq!(young.pick_piece(some), first(&all[..20]));
    assert_eq!(young.pick_piece(other), first(&all[10..27]));
    young.complete(26);
    young.connect(&all[..25]);
    assert_eq!(young.pick_piece(other), Some(25), "the only one that one peer has");
}

#[test]
fn case_82_what_no_peer_has_is_never_asked_for() {
    let mut client = client(6, 4, 1);
    let peer = client.connect(&[0]);
    // A table that was not told of piece 1, as when a message is still on its way.
    client.peer(peer).pieces.insert(PieceIndex(1));
    client.start_all(peer, 0);
    assert_eq!(client.pick_piece(peer), None);
}

#[test]
fn case_83_a_piece_that_is_had_stays_out_of_the_choice() {
    let mut client = client(7, 4, 1);
    client.complete(0);
    let peer = client.connect(&[0, 1]);
    assert_eq!(client.pick_piece(peer), Some(1));
    client.leave(peer);
    let peer = client.connect(&[0]);
    assert_eq!(client.pick_piece(peer), None);
}

#[test]
fn case_85_a_failed_piece_is_the_last_of_its_level() {
    for seed in 0..20 {
        let mut client = client(9, 4, seed);
        let peer = client.connect(&[0, 1, 2]);
        client.start_all(peer, 1);
        client.pieces.restart(PieceIndex(1));
        let order: Vec<_> = (0..3)
            .map(|_| {
                let piece = client.pick_piece(peer).expect("three pieces");
                client.start_all(peer, piece);
                piece
            })
            .collect();
        assert_eq!(order[2], 1);
    }
}

#[test]
fn only_freed_pieces_are_taken_as_they_are_listed() {
    let mut client = client(9, 4, 1);
    let peer = client.connect(&[0, 1, 2]);
    client.start(peer, 2);
    let only = [3, 1, 2].map(PieceIndex);
    assert_eq!(client.pick_of(peer, Some(&only)), Pick::Piece(PieceIndex(1)));
}

#[test]
fn endgame_begins_when_all_is_asked_for_and_stays() {
    let mut client = client(5, 4, 1);
    let (slow, fast) = (client.connect(&[0]), client.connect(&[0]));
    client.start(slow, 0);
    assert!(!client.endgame());
    client.start_all(slow, 0);
    assert!(client.endgame());
    let Pick::Block(block) = client.pick_of(fast, None) else { panic!("no duplicate") };
    assert_eq!((block.piece, client.pick_of(slow, None)), (PieceIndex(0), Pick::Nothing));
    client.leave(slow);
    assert!(client.endgame(), "it is sticky");
    client.policy.endgame = Endgame::new(true, false);
    assert!(!client.endgame(), "a block is open");
    client.start_all(fast, 0);
    assert!(client.endgame());
    client.policy.endgame = Endgame::new(false, true);
    assert!(!client.endgame());
}

/// A client with `config` that has 4 of its 9 pieces.
fn client_with(config: Config, seed: u64) -> Client<RarestFirst> {
    let mut client = Client::new(RarestFirst::new(config), 9, seed);
    (5..9).for_each(|piece| client.complete(piece));
    client
}

#[test]
fn a_begun_piece_may_give_way_to_a_rarer_one() {
    // Piece 0 is begun and five peers have it, two have piece 1, one has piece 2.
    let pick = |partials, partial_priority_cutoff, pieces: &[u32]| {
        let mut client = client_with(Config { partials, partial_priority_cutoff, ..Config::default() }, 1);
        let starter = client.connect(&[0]);
        client.start(starter, 0);
        for _ in 0..3 {
            client.connect(&[0]);
        }
        client.connect(&[1, 2]);
        let peer = client.connect(&[0, 1]);
        client.peer(peer).pieces = bt_api::PieceSet::new(9);
        for &piece in pieces {
            client.peer(peer).pieces.insert(PieceIndex(piece));
        }
        client.pick_piece(peer)
    };
    assert_eq!(pick(Partials::Always, 3, &[0, 1, 2]), Some(0));
    assert_eq!(pick(Partials::TieBreak, 3, &[0, 1, 2]), Some(2));
    assert_eq!(pick(Partials::TieBreak, 3, &[0]), Some(0));
    assert_eq!(pick(Partials::AboveCutoff, 3, &[0, 1]), Some(1));
    assert_eq!(pick(Partials::AboveCutoff, 2, &[0, 1]), Some(0), "two peers have it, so it is not rare");
    assert_eq!(pick(Partials::AboveCutoff, 2, &[0, 2]), Some(2));
}

#[test]
fn as_rare_a_piece_does_not_go_before_a_begun_one() {
    let mut client = client_with(Config { partials: Partials::TieBreak, ..Config::default() }, 1);
    let peer = client.connect(&[0, 1]);
    client.start(peer, 0);
    assert_eq!(client.pick_piece(peer), Some(0));
}

#[test]
fn the_oldest_begun_piece_may_go_first() {
    let config = Config { partial_order: PartialOrder::Oldest, ..Config::default() };
    let mut client = client_with(config, 1);
    let peer = client.connect(&[0, 1, 2]);
    client.connect(&[2]);
    client.start(peer, 2);
    client.start(peer, 0);
    assert_eq!(client.pick_piece(peer), Some(2), "though two peers have it");
}

/// PP-8: 3.4.2 kept a piece that failed among the begun ones.
#[test]
fn a_failed_piece_may_stay_begun() {
    for (unstart_failed, expected) in [(true, 1), (false, 0)] {
        let mut client = client_with(Config { unstart_failed, ..Config::default() }, 1);
        let peer = client.connect(&[0]);
        client.connect(&[0, 1]);
        client.start_all(peer, 0);
        client.fail(0);
        let other = client.connect(&[0, 1]);
        client.connect(&[0]);
        assert_eq!(client.pick_piece(other), Some(expected));
        // It was no seed that began it.
        let seed = client.connect(&(0..9).collect::<Vec<_>>());
        assert_ne!(client.pick_piece(seed), Some(0));
    }
    let mut client = client_with(Config { unstart_failed: false, ..Config::default() }, 1);
    let seed = client.connect(&(0..9).collect::<Vec<_>>());
    for _ in 0..3 {
        client.connect(&[0]);
    }
    client.start_all(seed, 0);
    client.fail(0);
    assert_eq!(client.pick_piece(seed), Some(0), "a seed began it");
    client.complete(0);
    client.event(PieceEvent::Completed(PieceIndex(0)));
    assert!(client.policy.failed.pieces.is_empty() && client.policy.failed.by_seed.is_empty());
}

#[test]
fn each_peer_may_have_its_own_random_order() {
    let drawn = |random_order, seed| {
        let config = Config { random_order, random_first_pieces: 9, ..Config::default() };
        let mut client = client_with(config, seed);
        let peers = [client.connect(&[0, 1, 2, 3, 4]), client.connect(&[0, 1, 2, 3, 4])];
        peers.map(|peer| client.pick_piece(peer))
    };
    assert!((0..20).all(|seed| {
        let [first, second] = drawn(RandomOrder::Shared, seed);
        first == second
    }));
    let own: BTreeSet<_> = (0..200).map(|seed| drawn(RandomOrder::PerPeer, seed)).collect();
    assert_eq!(own.len(), 25, "each pair of the five");
}

/// SW-26.
#[test]
fn blocks_may_come_highest_first() {
    let config = Config { block_order: BlockOrder::Descending, ..Config::default() };
    let mut client = client_with(config, 1);
    let peer = client.connect(&[0, 1]);
    client.start(peer, 0);
    let begins = [2, 1].map(|_| {
        let block = client.ask(peer).expect("a block");
        assert_eq!(block.piece, PieceIndex(0));
        block.begin / block.length
    });
    assert_eq!(begins, [2, 1]);
    assert_eq!(client.pick_of(peer, Some(&[PieceIndex(1)])), Pick::Block(client.block(1, 2)));
}

proptest! {
    /// Case 86, and what the harness checks of every answer.
    #[test]
    fn any_history_keeps_the_promises_and_ends(
        config in configs(), seed in any::<u64>(), ops in harness::history(),
    ) {
        let log = harness::play(RarestFirst::new(config.clone()), seed, &ops);
        prop_assert_eq!(log, harness::play(RarestFirst::new(config), seed, &ops));
    }
}

fn configs() -> impl Strategy<Value = Config> {
    let partials = prop::sample::select(vec![Partials::Always, Partials::TieBreak, Partials::AboveCutoff]);
    let numbers = (0_u32..9, 0_u32..4);
    let switches = proptest::array::uniform7(any::<bool>());
    (partials, numbers, switches).prop_map(|(partials, (random_first_pieces, cutoff), switches)| {
        let [shared, seed_partials_only, rarest, unstart_failed, ascending, endgame, endgame_sticky] =
            switches;
        Config {
            random_first_pieces,
            random_order: if shared { RandomOrder::Shared } else { RandomOrder::PerPeer },
            seed_partials_only,
            partials,
            partial_priority_cutoff: cutoff,
            partial_order: if rarest { PartialOrder::Rarest } else { PartialOrder::Oldest },
            unstart_failed,
            block_order: if ascending { BlockOrder::Ascending } else { BlockOrder::Descending },
            endgame,
            endgame_sticky,
            ..Config::default()
        }
    })
}
