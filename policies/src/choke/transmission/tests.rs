//! What a round answers, as tables, and how seldom a peer's state changes.

use bt_api::PieceSet;
use proptest::prelude::*;

use super::*;
use crate::choke::harness::{self, Client};

fn client(config: Config, peers: &str) -> Client<Transmission> {
    let mut client = Client::new(Transmission::new(config).unwrap(), 1);
    client.joined_by(peers, |_| (0, 1));
    client.tick();
    client
}

fn slots(slots: usize) -> Config {
    Config { slots, ..Config::default() }
}

#[test]
fn the_fastest_are_served_snubbed_or_not_and_one_more_through_four_rounds() {
    let mut client = client(slots(2), "a9 b8 c! d! e! f! g!");
    let mut drawn = Vec::new();
    for _ in 0..20 {
        assert_eq!(client.unchoked_for(Reason::DOWNLOAD_RATE), "ab");
        drawn.push(client.unchoked_for(Reason::OPTIMISTIC));
        client.tick();
    }
    assert!(drawn.iter().all(|drawn| drawn.len() == 1));
    assert!(drawn.chunks(5).all(|same| same.iter().all(|one| *one == same[0])), "{drawn:?}");
    assert!(drawn.iter().collect::<BTreeSet<_>>().len() > 1, "{drawn:?}");
}

#[test]
fn uninterested_peers_before_the_last_slot_are_unchoked_and_take_none() {
    let mut client = client(slots(2), "a9 b- c8 d7 e-");
    client.peer('b').download_rate = 9;
    client.tick();
    assert_eq!(client.unchoked_for(Reason::DOWNLOAD_RATE), "ac");
    assert_eq!(client.unchoked_for(Reason::UNINTERESTED), "b");
}

#[test]
fn among_equals_who_is_served_already_stays() {
    let mut client = client(slots(3), "a1 b1 c1 d1 e1 f1 g1");
    let first = client.unchoked_for(Reason::DOWNLOAD_RATE);
    // While the peer that was drawn, their equal, is not ranked.
    for _ in 0..4 {
        client.tick();
        assert_eq!(client.unchoked_for(Reason::DOWNLOAD_RATE), first);
    }
}

#[test]
fn a_full_uplink_takes_nobody_new() {
    let mut client = client(slots(2), "a9 b8 c1 d1");
    let drawn = client.unchoked_for(Reason::OPTIMISTIC);
    (client.own.upload_limit, client.own.upload_rate) = (Some(1000), 1000);
    (client.peer('c').download_rate, client.peer('d').download_rate) = (99, 98);
    (0..6).for_each(|_| client.tick());
    assert_eq!(client.unchoked(), drawn, "c and d have the slots, and one of them may not come");
    client.own.upload_rate = 999;
    client.tick();
    assert_eq!(client.unchoked_for(Reason::DOWNLOAD_RATE), "cd");
}

#[test]
fn nobody_is_choked_or_unchoked_twice_within_the_choke_period() {
    let run = |period| {
        let config = Config { min_choke_period: config::Duration::secs(period), ..slots(2) };
        let mut client = client(config, "a1 b2 c3 d4 e5 f6 g7 h8");
        let mut last: BTreeMap<PeerKey, Instant> = BTreeMap::new();
        let mut shortest = None;
        for round in 0..200_u64 {
            for peer in &mut client.peers {
                peer.download_rate = (u64::from(peer.key.0) * 7919 + round * 104_729) % 97;
            }
            let before = client.unchoked();
            client.tick();
            let after = client.unchoked();
            for peer in client.peers.iter().map(|peer| peer.key) {
                let letter = char::from_u32(peer.0).unwrap();
                if before.contains(letter) != after.contains(letter) {
                    let since = last.insert(peer, client.now).map(|last| client.now.since(last).as_secs());
                    shortest = shortest.into_iter().chain(since).min();
                }
            }
        }
        shortest.unwrap()
    };
    assert_eq!(run(0), 10, "the rounds themselves");
    assert_eq!(run(10), 10);
    assert_eq!(run(25), 30);
}

#[test]
fn seeds_are_choked() {
    let mut client = client(slots(2), "a9 b8");
    client.peer('a').pieces = PieceSet::full(1);
    client.tick();
    assert_eq!(client.unchoked(), "b");
}

#[test]
fn a_seed_ranks_by_what_peers_take_and_private_torrents_by_both() {
    let config = Config { optimistic_rounds: 0, ..slots(1) };
    let both = Config { leecher_ranking: LeecherRanking::BothRates, ..config.clone() };
    for (config, is_seed, reason, expected) in [
        (&config, false, Reason::DOWNLOAD_RATE, "b"),
        (&config, true, Reason::UPLOAD_RATE, "c"),
        (&both, false, Reason::DOWNLOAD_RATE, "a"),
    ] {
        let mut client = client(config.clone(), "a7 b9 c0 d1");
        client.own.is_seed = is_seed;
        (client.peer('b').upload_rate, client.peer('c').upload_rate) = (0, 10);
        client.tick();
        assert_eq!(client.unchoked_for(reason), expected);
    }
}

proptest! {
    #[test]
    fn any_history_keeps_the_promises(
        slots in 1_usize..5, period in 0_u64..40, seed in any::<u64>(), ops in harness::history(),
    ) {
        let min_choke_period = config::Duration::secs(period);
        let policy = || Transmission::new(Config { slots, min_choke_period, ..Config::default() }).unwrap();
        let client = harness::play(policy(), seed, &ops);
        prop_assert_eq!(&client.log, &harness::play(policy(), seed, &ops).log);
    }
}
