//! Cases 87 to 98, and the engine's half of 99: when trackers are asked, and what becomes of their answers (RR-1 to RR-23).

use std::net::SocketAddr;
use std::time::Duration;

use bt_api::{
    Announce, AnnounceEvent, AnnounceReply, Instant, PeerAddress, PeerKey, PieceSet, TrackerError,
    TrackerErrorKind, config,
};
use bt_engine::settings::{AnnounceSettings, Backoff, Failover, PeerOrder};
use bt_engine::{Event, Input, Output, Target};

use crate::common::Node;
use crate::common::solo::{Solo, block};

/// A leecher of which nobody is closed for silence.
pub(crate) fn patient_node() -> Node {
    let mut node = Node::new(PieceSet::new(40));
    node.settings.peers.idle_timeout = config::Duration::secs(1_000_000);
    node
}

fn patient() -> Solo {
    Solo::new(1, patient_node())
}

pub(crate) fn announces(outputs: &[Output]) -> Vec<(u64, Announce)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Announce { tag, announce, .. } => Some((*tag, Announce::clone(announce))),
            _ => None,
        })
        .collect()
}

pub(crate) fn dialled(outputs: &[Output]) -> Vec<(PeerKey, SocketAddr)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Connect { peer, address, .. } => Some((*peer, *address)),
            _ => None,
        })
        .collect()
}

pub(crate) fn addresses(from: u8, count: u8) -> Vec<PeerAddress> {
    let address = |number| SocketAddr::from(([10, 3, 0, number], 6881));
    (from..from + count).map(|number| PeerAddress { address: address(number), id: None }).collect()
}

/// Dials so many peers, all of which answer.
pub(crate) fn dial(solo: &mut Solo, from: u8, count: u8) {
    let peers = addresses(from, count);
    let out = solo.feed(Input::Peers { source: "test".to_owned(), peers });
    let dials = dialled(&out);
    assert_eq!(dials.len(), usize::from(count));
    for ((peer, _), id) in dials.into_iter().zip(from..) {
        solo.handshake(peer, id);
    }
}

fn answer(solo: &mut Solo, tag: u64, reply: AnnounceReply) -> Vec<Output> {
    solo.feed(Input::Announced { tag, result: Ok(Box::new(reply)) })
}

fn answer_first(solo: &mut Solo, reply: AnnounceReply) -> Vec<Output> {
    let tag = announces(&solo.first)[0].0;
    answer(solo, tag, reply)
}

/// Lets time pass with a tracker that answers `reply` to everything; gives what it was told and when.
fn wait_answered(solo: &mut Solo, secs: u64, reply: &AnnounceReply) -> Vec<(Instant, Announce)> {
    let end = solo.now + Duration::from_secs(secs);
    let mut said = Vec::new();
    while let Some(at) = solo.engine.next_wakeup().filter(|&at| at <= end) {
        solo.now = solo.now.max(at);
        for (tag, announce) in announces(&solo.feed(Input::Wakeup)) {
            said.push((solo.now, announce));
            answer(solo, tag, reply.clone());
        }
    }
    solo.now = end;
    said
}

fn times(said: &[(Instant, Announce)]) -> Vec<f64> {
    said.iter().map(|(at, _)| at.as_secs_f64()).collect()
}

#[test]
fn case_87_started_at_once_and_a_check_after_five_minutes() {
    let mut solo = patient();
    let first = announces(&solo.first);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].1.event, Some(AnnounceEvent::Started));
    answer_first(&mut solo, AnnounceReply::default());
    let said = wait_answered(&mut solo, 300, &AnnounceReply::default());
    assert_eq!(times(&said), [300.0]);
    assert_eq!(said[0].1.event, None);
}

#[test]
fn case_88_a_check_announces_when_there_are_too_few_peers() {
    for (dials, incoming, announced) in [(19, 0, 1), (20, 0, 0), (5, 1, 1), (6, 1, 0)] {
        let mut solo = patient();
        answer_first(&mut solo, AnnounceReply::default());
        dial(&mut solo, 1, dials);
        (0..incoming).for_each(|number| {
            solo.connect(200 + number, &[]);
        });
        let said = wait_answered(&mut solo, 300, &AnnounceReply::default());
        assert_eq!(said.len(), announced, "{dials} dialled, {incoming} from outside");
    }
}

#[test]
fn case_89_with_enough_peers_the_interval_of_the_tracker_counts() {
    let mut solo = patient();
    let reply = AnnounceReply { interval: Some(Duration::from_secs(1800)), ..Default::default() };
    answer_first(&mut solo, reply.clone());
    dial(&mut solo, 1, 30);
    (0..20).for_each(|number| {
        solo.connect(200 + number, &[]);
    });
    // The check at 1800 s is not past 1800 s.
    assert_eq!(times(&wait_answered(&mut solo, 4000, &reply)), [2100.0]);
}

#[test]
fn case_90_with_many_peers_none_are_wanted() {
    for (dials, peers_wanted, compact) in [(34, None, true), (35, Some(0), false)] {
        let mut solo = patient();
        answer_first(&mut solo, AnnounceReply::default());
        dial(&mut solo, 1, dials);
        let (_, said) = &wait_answered(&mut solo, 2400, &AnnounceReply::default())[0];
        assert_eq!((said.peers_wanted, said.compact), (peers_wanted, compact));
    }
}

#[test]
fn case_91_the_key_stays() {
    let mut solo = patient();
    let key = announces(&solo.first)[0].1.key;
    answer_first(&mut solo, AnnounceReply::default());
    let said = wait_answered(&mut solo, 1000, &AnnounceReply::default());
    assert_eq!(said.len(), 3);
    assert!(said.iter().all(|(_, announce)| announce.key == key));
    let other = Solo::with(1, patient_node(), |setup| setup.seed = 2);
    assert_ne!(announces(&other.first)[0].1.key, key);
}

#[test]
fn case_92_a_tracker_id_is_repeated_and_last_only_while_it_is_sent() {
    let mut solo = patient();
    let tracker_id = Some(b"it".to_vec());
    // It knows no more peers than it told.
    let known_peers = Some(0);
    let first =
        AnnounceReply { tracker_id: tracker_id.clone(), last: Some(7), known_peers, ..Default::default() };
    answer_first(&mut solo, first);
    let said = wait_answered(&mut solo, 600, &AnnounceReply { known_peers, ..Default::default() });
    let told: Vec<_> = said.into_iter().map(|(_, said)| (said.tracker_id, said.last)).collect();
    assert_eq!(told, [(tracker_id.clone(), Some(7)), (tracker_id, None)]);
}

#[test]
fn case_93_last_is_dropped_when_the_tracker_knows_many_more() {
    for (known, last) in [(19, None), (18, Some(3))] {
        let mut solo = patient();
        dial(&mut solo, 1, 5);
        let reply = AnnounceReply {
            peers: addresses(100, 10),
            known_peers: Some(known),
            last: Some(3),
            ..Default::default()
        };
        answer_first(&mut solo, reply);
        let said = wait_answered(&mut solo, 300, &AnnounceReply::default());
        assert_eq!(said[0].1.last, last, "{known} known");
    }
}

#[test]
fn case_94_a_refusal_is_said_and_changes_nothing_and_a_warning_is_said_and_the_rest_used() {
    let mut solo = patient();
    let tag = announces(&solo.first)[0].0;
    let refusal = TrackerError::new(TrackerErrorKind::Refused, "not your tracker");
    let out = solo.feed(Input::Announced { tag, result: Err(refusal) });
    assert!(out.iter().any(|output| matches!(
        output,
        Output::Event(Event::AnnounceReply(answer)) if answer.error.as_deref() == Some("not your tracker")
    )));
    assert_eq!(solo.engine.status(solo.now).tracker_trouble.as_deref(), Some("not your tracker"));
    // The interval is what it was, and the next check comes as usual.
    let warning =
        AnnounceReply { warning: Some("be quick".to_owned()), peers: addresses(1, 2), ..Default::default() };
    solo.now = Instant::from_secs(300);
    let tag = announces(&solo.feed(Input::Wakeup))[0].0;
    assert_eq!(dialled(&answer(&mut solo, tag, warning)).len(), 2);
    assert_eq!(solo.engine.status(solo.now).tracker_trouble.as_deref(), Some("be quick"));
}

#[test]
fn case_95_a_late_answer_does_not_count_and_one_lost_announce_is_no_news() {
    let mut solo = patient();
    answer_first(&mut solo, AnnounceReply::default());
    let trouble = |solo: &mut Solo| solo.engine.status(solo.now).tracker_trouble;
    let out = solo.wait_secs(361);
    let tag = announces(&out)[0].0;
    assert_eq!(trouble(&mut solo), None, "the first after a success");
    let late = AnnounceReply { peers: addresses(1, 3), ..Default::default() };
    assert!(dialled(&answer(&mut solo, tag, late)).is_empty());

    // Busy at the time of the second time-out: still no news.
    let (a, mut asked) = solo.connect_open(200, &(0..40).collect::<Vec<_>>());
    solo.wait_secs(298);
    for _ in 0..10 {
        let out = solo.send_block(a, asked.remove(0));
        asked.extend(crate::common::solo::requests(&out, a));
    }
    assert!(solo.engine.status(solo.now).download_rate > 5000);
    solo.wait_secs(2);
    assert_eq!(trouble(&mut solo), None);
    // Idle at the third.
    solo.wait_secs(300);
    assert!(trouble(&mut solo).is_some());
}

#[test]
fn case_96_the_trackers_least_interval_replaces_that_of_the_check() {
    let mut solo = patient();
    let reply = AnnounceReply { min_interval: Some(Duration::from_secs(120)), ..Default::default() };
    answer_first(&mut solo, reply.clone());
    // The first check is set already.
    assert_eq!(times(&wait_answered(&mut solo, 600, &reply)), [300.0, 420.0, 540.0]);
}

#[test]
fn case_97_completion_is_announced_once_and_stopping_last() {
    let mut node = patient_node();
    node.have = PieceSet::new(1);
    let mut solo = Solo::new(1, node);
    answer_first(&mut solo, AnnounceReply::default());
    let (a, _) = solo.connect_open(200, &[0]);
    solo.send_block(a, block(0, 0));
    let said = announces(&solo.good(0));
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].1.event, said[0].1.left), (Some(AnnounceEvent::Completed), 0));
    answer(&mut solo, said[0].0, AnnounceReply::default());
    assert!(announces(&solo.good(0)).is_empty());
    let out = solo.feed(Input::Stop);
    let said = announces(&out);
    assert_eq!(said[0].1.event, Some(AnnounceEvent::Stopped));
    assert!(!out.iter().any(|output| matches!(output, Output::Stopped)), "it waits a little for the tracker");
    let out = answer(&mut solo, said[0].0, AnnounceReply::default());
    assert!(matches!(out[..], [Output::Event(_), Output::Stopped]), "{out:?}");

    let mut complete = Solo::new(1, Node::new(PieceSet::full(1)));
    answer_first(&mut complete, AnnounceReply::default());
    let said = wait_answered(&mut complete, 600, &AnnounceReply::default());
    assert!(said.iter().all(|(_, announce)| announce.event.is_none()));
}

#[test]
fn the_end_of_a_run_waits_for_a_tracker_but_not_for_long() {
    let mut solo = patient();
    assert_eq!(announces(&solo.feed(Input::Stop)).len(), 1);
    let out = solo.wait_timed(Duration::from_secs(60));
    assert!(matches!(out[..], [(at, Output::Stopped)] if at <= Instant::from_secs(5)), "{out:?}");
}

/// The addresses that are dialled, in order, when a tracker names these peers.
fn dialled_of(solo: &mut Solo, peers: Vec<PeerAddress>) -> Vec<SocketAddr> {
    let out = answer_first(solo, AnnounceReply { peers, ..Default::default() });
    dialled(&out).into_iter().map(|(_, address)| address).collect()
}

#[test]
fn case_98_peers_are_dialled_at_once_in_the_order_received() {
    let peers = addresses(1, 5);
    let expected: Vec<SocketAddr> = peers.iter().map(|peer| peer.address).collect();
    assert_eq!(dialled_of(&mut patient(), peers), expected);
}

/// RR-22.
#[test]
fn peers_are_dialled_in_a_random_order_where_the_profile_says_so() {
    let peers = addresses(1, 20);
    let received: Vec<SocketAddr> = peers.iter().map(|peer| peer.address).collect();
    let order = |seed| {
        let mut node = patient_node();
        node.settings.announce.peer_order = PeerOrder::Random;
        dialled_of(&mut Solo::with(1, node, |setup| setup.seed = seed), peers.clone())
    };
    let [one, other] = [order(1), order(2)];
    assert_ne!(one, other);
    for mut order in [one, other] {
        assert_ne!(order, received);
        order.sort_unstable();
        assert_eq!(order, received);
    }
}

/// Trackers in these tiers, with a profile that uses them all.
fn tiered(tiers: &[&[&str]], edit: impl FnOnce(&mut AnnounceSettings)) -> Solo {
    let mut node = patient_node();
    node.settings.announce.multitracker = true;
    edit(&mut node.settings.announce);
    let owned = |tier: &&[&str]| tier.iter().map(|url| (*url).to_owned()).collect();
    let tiers = tiers.iter().map(owned).collect();
    Solo::with(1, node, |setup| setup.trackers = tiers)
}

/// The tracker that is asked, and the announce's tag.
fn asked(out: &[Output]) -> Option<(u64, String)> {
    out.iter().find_map(|output| match output {
        Output::Announce { tag, target: Target::Url(url), .. } => Some((*tag, url.clone())),
        _ => None,
    })
}

fn fails(solo: &mut Solo, tag: u64) -> Vec<Output> {
    let down = TrackerError::new(TrackerErrorKind::Unreachable, "down");
    solo.feed(Input::Announced { tag, result: Err(down) })
}

#[test]
fn case_99_the_tracker_that_answers_is_the_first_next_time() {
    let mut solo = tiered(&[&["http://a", "http://b"], &["http://c"]], |_| {});
    let (tag, first) = asked(&solo.first).unwrap();
    let (tag, second) = asked(&fails(&mut solo, tag)).unwrap();
    assert_ne!(first, second);
    assert_ne!(second, "http://c", "tier by tier");
    answer(&mut solo, tag, AnnounceReply::default());
    solo.now = Instant::from_secs(300);
    let (tag, again) = asked(&solo.feed(Input::Wakeup)).unwrap();
    assert_eq!(again, second);
    // It answered last time: the others are asked at once all the same (BEP 12).
    let (tag, next) = asked(&fails(&mut solo, tag)).unwrap();
    assert_eq!(next, first);
    let (_, last) = asked(&fails(&mut solo, tag)).unwrap();
    assert_eq!(last, "http://c");
}

/// The last sentence of RR-23, and the key that chooses it.
#[test]
fn the_tracker_that_answered_last_may_have_another_try() {
    let next_announce = |settings: &mut AnnounceSettings| settings.failover = Failover::NextAnnounce;
    let mut solo = tiered(&[&["http://a", "http://b"]], next_announce);
    let (tag, first) = asked(&solo.first).unwrap();
    answer(&mut solo, tag, AnnounceReply::default());
    solo.now = Instant::from_secs(300);
    let (tag, again) = asked(&solo.feed(Input::Wakeup)).unwrap();
    assert_eq!(again, first);
    assert_eq!(asked(&fails(&mut solo, tag)), None);
    assert_eq!(solo.engine.status(solo.now).tracker_trouble, None);
    solo.now = Instant::from_secs(600);
    let (tag, again) = asked(&solo.feed(Input::Wakeup)).unwrap();
    assert_eq!(again, first);
    let (tag, other) = asked(&fails(&mut solo, tag)).unwrap();
    assert_ne!(other, first);
    fails(&mut solo, tag);
    assert_eq!(solo.engine.status(solo.now).tracker_trouble.as_deref(), Some("down"));
}

#[test]
fn tiers_are_shuffled_once_and_a_tracker_that_is_listed_twice_is_asked_once() {
    let urls: Vec<String> = (0..8).map(|number| format!("http://{number}")).collect();
    let tier: Vec<&str> = urls.iter().chain(&urls).map(String::as_str).collect();
    let mut solo = tiered(&[&tier, &[], &tier[..3], &["http://last"]], |_| {});
    let mut round = || {
        let mut order = Vec::new();
        let mut out = if solo.now == Instant::ZERO { solo.first.clone() } else { solo.feed(Input::Wakeup) };
        while let Some((tag, url)) = asked(&out) {
            order.push(url);
            out = fails(&mut solo, tag);
        }
        solo.now += Duration::from_secs(300);
        order
    };
    let first = round();
    assert_eq!(round(), first, "once");
    assert_ne!(first[..8], urls[..], "shuffled");
    assert_eq!(first[8..], ["http://last"]);
}

/// RR-3 and RR-18, of several trackers: each is told what it said itself.
#[test]
fn a_trackers_id_and_last_are_said_to_it_alone() {
    let mut solo = tiered(&[&["http://a"], &["http://b"]], |_| {});
    let said =
        |out: &[Output]| announces(out).pop().map(|(tag, said)| (tag, said.tracker_id, said.last)).unwrap();
    let reply = |text: &str, last| AnnounceReply {
        tracker_id: Some(text.into()),
        last: Some(last),
        known_peers: Some(0),
        ..AnnounceReply::default()
    };
    answer_first(&mut solo, reply("a's", 1));
    solo.now = Instant::from_secs(300);
    let (tag, id, last) = said(&solo.feed(Input::Wakeup));
    assert_eq!((id, last), (Some(b"a's".to_vec()), Some(1)));
    let (tag, id, last) = said(&fails(&mut solo, tag));
    assert_eq!((id, last), (None, None));
    answer(&mut solo, tag, reply("b's", 2));
    solo.now = Instant::from_secs(600);
    let (tag, id, last) = said(&solo.feed(Input::Wakeup));
    assert_eq!((id, last), (Some(b"a's".to_vec()), Some(1)));
    let (_, id, last) = said(&fails(&mut solo, tag));
    assert_eq!((id, last), (Some(b"b's".to_vec()), Some(2)));
}

#[test]
fn an_event_is_announced_whatever_is_under_way() {
    let mut node = patient_node();
    node.have = PieceSet::new(1);
    let mut solo = Solo::new(1, node);
    let started = announces(&solo.first)[0].0;
    let (a, _) = solo.connect_open(200, &[0]);
    solo.send_block(a, block(0, 0));
    let completed = announces(&solo.good(0)).pop().unwrap();
    assert_eq!(completed.1.event, Some(AnnounceEvent::Completed));
    // Both answers count, in any order.
    let peers = |from| AnnounceReply { peers: addresses(from, 1), ..AnnounceReply::default() };
    assert_eq!(dialled(&answer(&mut solo, completed.0, peers(1))).len(), 1);
    assert_eq!(dialled(&answer(&mut solo, started, peers(2))).len(), 1);
}

/// The pause after a failure ends while another announce is under way: what becomes of that one counts.
#[test]
fn nothing_is_tried_again_while_an_event_is_under_way() {
    let mut node = patient_node();
    node.have = PieceSet::new(1);
    node.settings.announce.backoff = Backoff::V4;
    let mut solo = Solo::new(1, node);
    let started = announces(&solo.first)[0].0;
    solo.wait_secs(20);
    let (a, _) = solo.connect_open(200, &[0]);
    solo.send_block(a, block(0, 0));
    assert_eq!(announces(&solo.good(0)).len(), 1);
    solo.wait_secs(5);
    fails(&mut solo, started);
    // The pause is over at 75 s; the tracker has until 80 s to answer.
    solo.wait(Duration::from_millis(49_999));
    solo.now = Instant::from_secs(75);
    assert!(announces(&solo.feed(Input::Wakeup)).is_empty());
    assert!(solo.engine.next_wakeup().is_some_and(|next| next > solo.now));
    let said = wait_answered(&mut solo, 200, &AnnounceReply::default());
    // 50 s were the pause before.
    assert!((80.0 + 70.0..=80.0 + 80.0).contains(&times(&said)[0]), "{:?}", times(&said));
}

/// RR-19, with another factor.
#[test]
fn how_many_more_is_many_more_is_a_setting() {
    for (factor, last) in [(1.9, None), (2.0, Some(3))] {
        let mut solo = tiered(&[&["http://a"]], |settings| settings.last_reset_factor = factor);
        dial(&mut solo, 1, 5);
        let peers = addresses(100, 5);
        answer_first(
            &mut solo,
            AnnounceReply { peers, known_peers: Some(20), last: Some(3), ..Default::default() },
        );
        let said = wait_answered(&mut solo, 300, &AnnounceReply::default());
        assert_eq!(said[0].1.last, last, "{factor}");
    }
}

/// RR-19 counts only those who are not done once we are; 3.4.2 asked the wrong flag.
#[test]
fn a_seed_wants_news_of_those_who_are_not_done() {
    for (done, last) in [(0, None), (30, Some(3))] {
        let mut node = patient_node();
        node.have = PieceSet::full(1);
        let mut solo = Solo::new(1, node);
        let reply = AnnounceReply {
            peers: addresses(1, 10),
            known_peers: Some(40),
            done_peers: Some(done),
            last: Some(3),
            ..AnnounceReply::default()
        };
        answer_first(&mut solo, reply);
        let said = wait_answered(&mut solo, 300, &AnnounceReply::default());
        assert_eq!(said[0].1.last, last, "{done} done");
    }
}
