use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::choke::harness::exchange;
use crate::choke::harness::{self, Client};

fn config(form: Form, kilobytes: u64) -> Config {
    let upload_capacity = UploadCapacity::At(config::Rate(kilobytes * 1000));
    let first_offer = FirstOffer::At(config::Rate(10_000));
    Config { form, selfish: true, upload_capacity, first_offer, ..Config::default() }
}

/// A client of `config`; each peer is interested, and its rate is what it gives when it serves us, in kB/s.
fn client(config: Config, peers: &str) -> Client<BitTyrant> {
    let mut client = Client::new(BitTyrant::new(config).unwrap(), 1);
    client.joined_by(peers, |_| (0, 1));
    for peer in &mut client.peers {
        peer.am_interested = true;
        peer.download_rate *= 1000;
    }
    client
}

/// The caps of the last round for `reason`, by letter.
fn caps(client: &Client<BitTyrant>, reason: Reason) -> BTreeMap<char, u64> {
    let last = client.log.last().unwrap().iter().filter(|one| one.reason == reason);
    let cap = |share| if let Share::Cap(cap) = share { cap } else { panic!("{share:?} is no cap") };
    last.map(|one| (char::from_u32(one.peer.0).unwrap(), cap(one.share))).collect()
}

fn serve_us(client: &mut Client<BitTyrant>, peer: char) {
    let now = client.now;
    let peer = client.peer(peer);
    (peer.peer_choking, peer.peer_unchoked) = (false, Some(now));
}

#[test]
fn the_offer_grows_until_it_is_taken_and_then_shrinks() {
    let mut client = client(config(Form::Paper, 100), "a50");
    let mut offers = Vec::new();
    for round in 0..10 {
        client.tick();
        offers.push(caps(&client, DEAL)[&'a']);
        if round == 3 {
            serve_us(&mut client, 'a');
        }
    }
    // A fifth more for each round without an answer, the same for three rounds, then a tenth less.
    assert_eq!(offers, [10000, 12000, 14400, 17280, 17280, 17280, 15552, 13997, 12598, 11339]);
}

#[test]
fn an_offer_that_is_too_low_now_grows_again() {
    let mut client = client(config(Form::Paper, 100), "a50");
    serve_us(&mut client, 'a');
    (0..4).for_each(|_| client.tick());
    assert_eq!(caps(&client, DEAL)[&'a'], 9000);
    client.peer('a').peer_choking = true;
    client.tick();
    assert_eq!(caps(&client, DEAL)[&'a'], 10800);
    client.peer('a').peer_choking = false;
    client.tick();
    client.tick();
    assert_eq!(caps(&client, DEAL)[&'a'], 10800, "three rounds are counted anew");
}

#[test]
fn those_who_give_most_for_what_they_cost_are_served_while_the_uplink_lasts() {
    let mut client = client(config(Form::Paper, 35), "a10 b90 c30 d70 e50");
    "abcde".chars().for_each(|peer| serve_us(&mut client, peer));
    client.tick();
    assert_eq!(client.unchoked(), "bde");
    // `b` stops serving us: at first it is still the best bargain, at a fifth more a round, until it is none.
    client.peer('b').peer_choking = true;
    client.tick();
    assert_eq!(caps(&client, DEAL)[&'b'], 12000);
    let rounds = (0..30).position(|_| {
        client.tick();
        !client.unchoked().contains('b')
    });
    assert!(rounds.is_some_and(|rounds| rounds > 0), "{rounds:?}");
}

#[test]
fn who_has_nothing_for_us_is_offered_nothing() {
    let mut client = client(config(Form::Paper, 100), "a10 b90");
    client.peer('b').am_interested = false;
    client.tick();
    assert_eq!(client.unchoked(), "a");
}

#[test]
fn what_is_left_over_is_kept_or_given_away() {
    for (selfish, unchoked) in [(true, "ab"), (false, "abcd")] {
        let mut client = client(Config { selfish, ..config(Form::Paper, 47) }, "a10 b20 c30 d40");
        client.peer('c').am_interested = false;
        client.peer('d').am_interested = false;
        client.tick();
        assert_eq!(client.unchoked(), unchoked);
        let sum: u64 =
            caps(&client, DEAL).values().sum::<u64>() + caps(&client, EXCESS).values().sum::<u64>();
        // 47 kB/s on four are a little more than the offer for each of them.
        assert_eq!(sum, if selfish { 20_000 } else { 47_000 });
        assert_eq!(caps(&client, EXCESS).len(), if selfish { 0 } else { 2 });
    }
}

#[test]
fn an_excess_for_one_goes_to_each_in_turn() {
    let mut client = client(Config { selfish: false, ..config(Form::Paper, 15) }, "a1 b1 c1");
    client.peers.iter_mut().for_each(|peer| peer.am_interested = false);
    let given: String = (0..6)
        .map(|_| {
            client.tick();
            client.unchoked()
        })
        .collect();
    assert!("abc".chars().all(|peer| given.matches(peer).count() == 2), "{given}");
}

#[test]
fn newcomers_are_offered_the_market_rate_in_1_1() {
    for (form, expected) in [(Form::Paper, 10_000), (Form::Shipped, 13_200)] {
        let mut client = client(config(form, 1000), "a10 b10 c10");
        client.tick();
        // Two rounds without an answer for `a` and `b`; `c` serves us at once.
        serve_us(&mut client, 'c');
        (0..2).for_each(|_| client.tick());
        client.joined_by("n10", |_| (0, 1));
        client.peer('n').am_interested = true;
        client.tick();
        let deals = caps(&client, DEAL);
        let mean = (deals[&'a'] + deals[&'b'] + deals[&'c']) / 3;
        assert_eq!(deals[&'n'], if form == Form::Paper { expected } else { mean }, "{deals:?}");
    }
}

#[test]
fn an_unset_first_offer_is_that_of_the_form() {
    let cases = [
        (r#"{}"#, 16_000),
        (r#"{"form": "1.1"}"#, 3072),
        (r#"{"form": "1.1", "first-offer": "of-form"}"#, 3072),
        (r#"{"form": "1.1", "first-offer": "16 kB/s"}"#, 16_000),
        (r#"{"first-offer": "3 KiB/s"}"#, 3072),
    ];
    for (table, expected) in cases {
        let config: Config = serde_json::from_str(table).unwrap();
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&written).unwrap().first_offer, config.first_offer);
        let upload_capacity = UploadCapacity::At(config::Rate(1_000_000));
        let mut client = client(Config { upload_capacity, selfish: true, ..config }, "a10");
        client.tick();
        assert_eq!(caps(&client, DEAL)[&'a'], expected, "{table}");
    }
    let error = serde_json::from_str::<Config>(r#"{"first-offer": "much"}"#).unwrap_err().to_string();
    assert!(error.contains("or \"of-form\""), "{error}");
}

#[test]
fn in_1_1_the_unknown_come_before_those_who_cost_more_than_they_give() {
    // Each is offered 10 kB/s: `a` gives 5, `b` 40, and of `c` nothing is known.
    for (form, expected) in [(Form::Paper, "ab"), (Form::Shipped, "bc")] {
        let mut client = client(config(form, 20), "a5 b40 c0");
        "ab".chars().for_each(|peer| serve_us(&mut client, peer));
        client.tick();
        assert_eq!(client.unchoked(), expected);
    }
}

#[test]
fn a_seed_serves_in_turn_without_caps() {
    let mut client = client(Config { seed_slots: 2, ..config(Form::Paper, 10) }, "a1 b1 c1 d1");
    client.own.is_seed = true;
    client.event(PeerEvent::Completed);
    let last = client.log.last().unwrap();
    assert!(last.len() == 2 && last.iter().all(|one| one.share == Share::Equal), "{last:?}");
}

#[test]
fn senseless_keys_are_refused() {
    let good = Config::default;
    for bad in [
        Config { upload_capacity: UploadCapacity::At(config::Rate(0)), ..good() },
        Config { round: config::Duration::secs(0), ..good() },
        Config { decrease: 100, ..good() },
        Config { patience: 0, ..good() },
        Config { first_offer: FirstOffer::At(config::Rate(0)), ..good() },
        Config { seed_slots: 0, ..good() },
    ] {
        assert!(BitTyrant::new(bad).is_err());
    }
}

proptest! {
    /// In any history all caps together fit the uplink, and a leecher that is not selfish uses nearly all of it.
    #[test]
    fn the_sum_of_all_caps_fits_the_uplink(
        shipped in any::<bool>(), selfish in any::<bool>(), seed in any::<u64>(), ops in exchange::history(),
    ) {
        let form = if shipped { Form::Shipped } else { Form::Paper };
        let policy = || BitTyrant::new(Config { selfish, ..config(form, 45) }).unwrap();
        let end = exchange::play(policy(), seed, &ops, |_, _, _, _| ());
        prop_assert_eq!(&end.client.log, &exchange::play(policy(), seed, &ops, |_, _, _, _| ()).client.log);
        for round in &end.client.log {
            let cap = |share| if let Share::Cap(cap) = share { cap } else { 0 };
            let sum: u64 = round.iter().map(|one| cap(one.share)).sum();
            prop_assert!(sum <= 45_000);
            let seeds = round.iter().any(|one| one.share == Share::Equal);
            prop_assert!(selfish || seeds || round.is_empty() || sum + round.len() as u64 > 45_000);
        }
    }

    #[test]
    fn any_history_keeps_the_promises(seed in any::<u64>(), ops in harness::history()) {
        let policy = || BitTyrant::new(Config::default()).unwrap();
        let log = || harness::play(policy(), seed, &ops).log.clone();
        prop_assert_eq!(log(), log());
    }
}
