//! What a round answers, as tables: a few peers in, who is unchoked out.

use proptest::prelude::*;

use super::*;
use crate::choke::harness::{self, Client};

fn policy(max_uploads: usize, min_uploads: usize) -> TitForTat {
    TitForTat::new(Config { max_uploads: MaxUploads::At(max_uploads), min_uploads, ..Config::default() })
        .unwrap()
}

/// A client whose list is `peers` (see [`Client::joined_by`]), after one round.
fn client(max_uploads: usize, min_uploads: usize, peers: &str) -> Client<TitForTat> {
    let mut client = Client::new(policy(max_uploads, min_uploads), 1);
    client.joined_by(peers, insert_last);
    client.tick();
    client
}

/// The draw that puts a new peer at the end of a list of `length`.
fn insert_last(length: usize) -> (u32, u32) {
    insert_at(length as u32, length)
}

/// The draw, and its bound, that puts a new peer at `place` of a list of `length` (CH-9).
fn insert_at(place: u32, length: usize) -> (u32, u32) {
    let weight = Config::default().new_peer_weight;
    (place + weight - 1, length as u32 + weight)
}

fn order(client: &Client<TitForTat>) -> String {
    harness::letters(client.policy.order.iter().copied())
}

#[test]
fn case_65_the_six_fastest_and_the_first_are_served() {
    let client = client(7, 4, "a! b50 c- d40 e30 f20 g10 h5 i4 j3");
    assert_eq!(client.unchoked(), "abdefgh");
    assert_eq!(client.unchoked_for(Reason::OPTIMISTIC), "a");
    assert_eq!(client.unchoked_for(Reason::DOWNLOAD_RATE), "bdefgh");
}

#[test]
fn case_66_without_candidates_min_uploads_are_served_from_the_front() {
    let client = client(7, 4, "a- b! c- d! e! f! g- h!");
    assert_eq!(client.unchoked(), "abcdef");
    assert_eq!(client.unchoked_for(Reason::UNINTERESTED), "ac");
}

#[test]
fn case_67_one_preferred_and_one_in_turn() {
    assert_eq!(client(2, 2, "a- b9 c5 d1").unchoked(), "abc");
}

#[test]
fn case_68_with_one_upload_or_none_nobody_is_preferred() {
    for max_uploads in [0, 1] {
        assert_eq!(client(max_uploads, 1, "a5 b9 c3").unchoked(), "a");
        assert_eq!(client(max_uploads, 0, "a5 b9 c3").unchoked(), "a");
        let four = client(max_uploads, 4, "a5 b4 c3 d2 e9");
        assert_eq!(four.unchoked_for(Reason::OPTIMISTIC), "abcd");
        assert_eq!(four.unchoked(), "abcd");
    }
}

#[test]
fn case_69_every_third_round_a_choked_interested_peer_comes_first() {
    let mut client = client(1, 1, "a1 b- c- d- e1");
    client.tick();
    assert_eq!((order(&client), client.unchoked()), ("abcde".into(), "a".into()));
    client.tick();
    assert_eq!(client.now, Instant::from_secs(30));
    assert_eq!((order(&client), client.unchoked()), ("eabcd".into(), "e".into()));
}

#[test]
fn case_70_rotation_keeps_the_cyclic_order() {
    let mut some = client(1, 1, "a1 b- c- d1 e- f1");
    (0..2).for_each(|_| some.tick());
    assert_eq!(order(&some), "defabc");
    let mut none = client(1, 1, "a- b1 c-");
    (0..5).for_each(|_| none.tick());
    assert_eq!(order(&none), "abc");
}

#[test]
fn case_71_only_the_interest_of_an_unchoked_peer_counts_at_once() {
    let mut client = client(1, 1, "a- b1 c-");
    let rounds = client.log.len();
    client.interest('c', true);
    assert_eq!((client.log.len(), client.unchoked()), (rounds, "ab".into()));
    client.interest('a', true);
    assert_eq!((client.log.len(), client.unchoked()), (rounds + 1, "a".into()));
    client.interest('a', false);
    assert_eq!((client.log.len(), client.unchoked()), (rounds + 2, "ab".into()));
}

#[test]
fn case_72_the_slot_of_a_lost_peer_is_given_on_at_once() {
    let mut client = client(2, 2, "a1 b9 c5 d4");
    assert_eq!(client.unchoked(), "ab");
    let rounds = client.log.len();
    client.leave('d');
    assert_eq!(client.log.len(), rounds);
    client.leave('b');
    assert_eq!((client.log.len(), client.unchoked()), (rounds + 1, "ac".into()));
}

#[test]
fn case_73_a_new_peer_is_three_times_likelier_to_be_first() {
    let mut client = Client::new(policy(7, 4), 1);
    let mut places = [0; 3];
    for _ in 0..5000 {
        client.connect('a');
        client.connect('b');
        places[usize::from(order(&client) == "ab")] += 1;
        client.connect('c');
        places[2] += u32::from(order(&client).ends_with('c'));
        "abc".chars().for_each(|peer| client.leave(peer));
    }
    assert!((3600..3900).contains(&places[0]), "{places:?} of 3750");
    assert!((900..1100).contains(&places[2]), "{places:?} of 1000");
    // The draw itself, as a recording gives it.
    client.connect_with('a', insert_at(0, 0));
    client.connect_with('b', insert_at(1, 1));
    client.connect_with('c', insert_at(1, 2));
    client.connect_with('d', (0, 6));
    assert_eq!(order(&client), "dacb");
}

#[test]
fn case_74_a_snubbed_peer_is_not_preferred_except_by_a_seed() {
    let mut client = client(2, 1, "a1 b9 c5 d4");
    assert_eq!(client.unchoked(), "ab");
    client.snub('b');
    assert_eq!(client.unchoked(), "ab");
    client.tick();
    assert_eq!(client.unchoked(), "ac");
    client.own.is_seed = true;
    client.event(PeerEvent::Completed);
    assert_eq!(client.unchoked(), "ac");
    client.policy.rounds = 0;
    client.tick();
    assert_eq!(client.unchoked(), "ab");
}

#[test]
fn case_75_a_seed_ranks_by_upload() {
    let mut client = client(2, 1, "a1 b9 c5");
    client.peer('c').upload_rate = 20;
    client.own.is_seed = true;
    client.tick();
    assert_eq!(client.unchoked(), "ac");
    assert_eq!(client.unchoked_for(Reason::UPLOAD_RATE), "c");
}

#[test]
fn case_76_a_round_without_a_change_answers_the_same() {
    let mut client = client(3, 2, "a1 b9 c5 d7 e-");
    client.tick();
    let [.., one, other] = &client.log[..] else { panic!("two rounds") };
    assert_eq!(one, other);
}

#[test]
fn case_77_a_change_of_max_uploads_takes_effect_in_a_later_turn() {
    let mut client = client(2, 1, "a1 b9 c5 d4");
    assert_eq!(client.unchoked(), "ab");
    let rounds = client.log.len();
    client.policy.set_max_uploads(3);
    client.event(PeerEvent::Snubbed(PeerKey(u32::from('d'))));
    assert_eq!((client.log.len(), client.unchoked()), (rounds, "ab".into()));
    assert_eq!(client.policy.max_interested(), 2, "what was promised of the last round holds");
    client.round(Cause::Event);
    assert_eq!((client.unchoked(), client.policy.max_interested()), ("abc".into(), 3));
}

#[test]
fn automatic_uploads_follow_the_limit_from_round_to_round() {
    let automatic = Config { max_uploads: MaxUploads::Automatic, min_uploads: 2, ..Config::default() };
    let mut client = Client::new(TitForTat::new(automatic).unwrap(), 1);
    client.joined_by("a9 b8 c7 d6 e5 f4 g3 h2 i1", insert_last);
    client.tick();
    assert_eq!((client.unchoked(), client.policy.max_interested()), ("abcdefg".into(), 7));
    client.own.upload_limit = Some(8 << 10);
    client.tick();
    assert_eq!((client.unchoked(), client.policy.max_interested()), ("ab".into(), 2));
    client.own.upload_limit = Some(1000 << 10);
    client.tick();
    assert_eq!((client.unchoked(), client.policy.max_interested()), ("abcdefghi".into(), 24));
}

#[test]
fn equal_rates_are_told_apart_by_place() {
    assert_eq!(client(3, 1, "a- b! c5 d5 e5").unchoked(), "abcd");
}

#[test]
fn peers_below_the_least_rate_are_not_preferred_except_by_a_seed() {
    let config = Config { min_preferred_rate: config::Rate(1000), ..policy(3, 1).config };
    let mut client = Client::new(TitForTat::new(config).unwrap(), 1);
    client.joined_by("a1 b999 c1000", insert_last);
    client.tick();
    assert_eq!(client.unchoked(), "ac");
    client.own.is_seed = true;
    client.tick();
    assert_eq!(client.unchoked(), "abc");
}

#[test]
fn values_that_cannot_be_are_refused() {
    let defaults = Config::default();
    for wrong in [
        Config { round: config::Duration::secs(0), ..defaults.clone() },
        Config { optimistic_rounds: 0, ..defaults.clone() },
        Config { new_peer_weight: 0, ..defaults },
    ] {
        assert!(TitForTat::new(wrong.clone()).is_err(), "{wrong:?}");
    }
}

proptest! {
    /// CH-7, and what the harness checks of every round.
    #[test]
    fn any_history_keeps_the_promises(
        max_uploads in 0_usize..6, min_uploads in 0_usize..6, seed in any::<u64>(),
        ops in harness::history(),
    ) {
        let mut client = harness::play(policy(max_uploads, min_uploads), seed, &ops);
        let again = harness::play(policy(max_uploads, min_uploads), seed, &ops);
        prop_assert_eq!(&client.log, &again.log);
        client.tick();
        let interested = client.peers.iter().filter(|peer| peer.peer_interested).count();
        let served =
            client.peers.iter().filter(|peer| peer.peer_interested && !peer.am_choking).count();
        let for_rate = [Reason::DOWNLOAD_RATE, Reason::UPLOAD_RATE];
        let last = client.log.last().unwrap().iter();
        let preferred = last.filter(|unchoke| for_rate.contains(&unchoke.reason)).count();
        let most = (preferred + 1).max(min_uploads);
        prop_assert_eq!(served, interested.min(most));
        if let Some(&first) = client.policy.order.first() {
            prop_assert!(!client.peers.iter().find(|peer| peer.key == first).unwrap().am_choking);
        }
    }
}
